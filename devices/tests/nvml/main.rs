//! The production NVML path, probe process and all, against our own library with NVML's C symbols.

mod fixture;

use dunnage_devices::{checks, foreign_memory};
use dunnage_model::{Bytes, Health, MilliCores};
use fixture::{Machine, Sleeper, gib, open_library};
use std::path::Path;
use std::time::Duration;

/// Two equal cards; `FAULT` goes to the first of them.
fn two(fault: &str) -> String {
    let card = |name: &str| {
        format!("[[device]]\nname = 'NVIDIA RTX {name}'\nuuid = 'GPU-{name}'\nmemory = '24GiB'\n")
    };
    format!("{}{fault}\n{}", card("a"), card("b"))
}

fn why(health: &Health) -> &str {
    match health {
        Health::Lost { why } | Health::Unknown { why } => why,
        Health::Ok | Health::Drained => "",
    }
}

#[test]
fn the_inventory_lists_what_the_driver_describes() {
    let machine = Machine::new(
        "[[device]]\nname = 'second'\nuuid = 'GPU-2'\nmemory = '8GiB'\npci = '00000000:FE:00.0'\nnear_cpus = [0, 70]\n\
         [[device]]\nname = 'first'\nuuid = 'GPU-1'\nmemory = '24GiB'\npci = '00000000:FD:00.0'\ncompute_capability = [9, 0]\n",
    );
    let node = machine.open().inventory();
    assert!(node.cpu.capacity > MilliCores(0) && node.memory > Bytes::ZERO, "the host is there as well");
    let [first, second] = node.gpus.as_slice() else { panic!("{:?}", node.gpus) };
    assert_eq!((first.uuid.as_str(), first.name.as_str(), first.memory), ("GPU-1", "first", Bytes::gib(24)));
    assert_eq!((first.device.local, first.driver_index), (1, 1), "in order of the bus");
    assert_eq!(first.compute_capability, Some((9, 0)));
    assert_eq!((second.device.local, second.pci_bus_id.as_str()), (2, "00000000:FE:00.0"));
    assert_eq!(second.near_cpus, [0, 70]);
    assert!(node.gpus.iter().all(|gpu| gpu.allocatable && gpu.mig_parent.is_none()));
}

#[test]
fn what_runs_shows_at_once_and_what_ended_no_longer() {
    let machine = Machine::new(&two(
        "reserved = '1GiB'\n[[device.process]]\npid = 4000000\nmemory = '2GiB'\ngraphics = true",
    ));
    let mut source = machine.open();
    let idle = source.until_health(&["ok", "ok", "ok"]);
    assert_eq!(
        (idle[1].memory_used, idle[1].busy),
        (gib(3), Some(0.0)),
        "what the driver keeps counts as used"
    );
    let mut task = Sleeper::start();
    let pid = task.pid();
    machine.claim(pid, "GPU-a", 8, 0.5);
    let busy = source.until("the claim", |samples| samples[1].memory_used == gib(11));
    assert_eq!(busy[1].busy, Some(0.5));
    let seen = busy[1].processes.iter().find(|process| process.pid == pid).expect("listed");
    assert_eq!((seen.memory, seen.sm_share), (gib(8), Some(0.5)));
    assert_eq!(foreign_memory(&busy[1], &|other| other == pid, Bytes::gib(8), Bytes::ZERO), gib(3));
    assert_eq!(busy[2].memory_used, gib(0), "the other card is free");
    assert!(busy[1].power_watts > idle[1].power_watts && busy[1].energy_joules >= idle[1].energy_joules);
    task.end();
    source.until("the claim ended", |samples| samples[1].memory_used == gib(3));
}

#[test]
fn what_a_card_does_not_support_is_absent_and_never_zero() {
    let machine = Machine::new(&two(
        "not_supported = ['utilisation', 'power', 'energy', 'temperature', 'ecc', 'processes', \
         'process_utilisation', 'affinity', 'mig', 'events', 'capability']",
    ));
    let mut source = machine.open();
    assert_eq!(source.inventory().gpus[0].compute_capability, None);
    let samples = source.until_health(&["ok", "ok", "ok"]);
    let (poor, rich) = (&samples[1], &samples[2]);
    assert_eq!((poor.busy, poor.memory_busy, poor.energy_joules), (None, None, None));
    assert_eq!((poor.power_watts, poor.temperature_celsius), (None, None));
    assert!(poor.processes.is_empty());
    assert!(rich.busy.is_some() && rich.energy_joules.is_some() && rich.temperature_celsius.is_some());
}

#[test]
fn a_gpu_that_shares_the_hosts_memory_has_as_much_as_the_host() {
    let machine = Machine::new(&two("not_supported = ['memory']"));
    let mut source = machine.open();
    let node = source.inventory();
    assert!(node.gpus[0].memory >= node.memory && node.gpus[1].memory == Bytes::gib(24), "{:?}", node.gpus);
    assert_eq!(source.until_health(&["ok", "ok", "ok"])[1].memory_used, None);
}

#[test]
fn an_old_driver_lacks_newer_calls_and_works() {
    let missing = "missing = ['nvmlDeviceGetMemoryInfo_v2', 'nvmlDeviceGetCpuAffinityWithinScope', \
        'nvmlDeviceGetComputeRunningProcesses_v3', 'nvmlDeviceGetTotalEnergyConsumption', 'nvmlDeviceGetMigMode']\n";
    let machine = Machine::new(&format!("{missing}{}", two("reserved = '1GiB'")));
    let samples = machine.open().until_health(&["ok", "ok", "ok"]);
    assert_eq!((samples[1].memory_used, samples[1].energy_joules), (gib(1), None));
}

#[test]
fn a_gpu_off_the_bus_is_lost_alone_and_keeps_its_id() {
    let machine = Machine::new(&two("[[device.fault]]\nkind = 'lost'\nwhen_file = '{switch}'"));
    let mut source = machine.open();
    let before = source.inventory().gpus;
    source.until_health(&["ok", "ok", "ok"]);
    machine.switch(true);
    let samples = source.until_health(&["ok", "lost", "ok"]);
    assert!(why(&samples[1].health).contains("fell off the bus"), "{:?}", samples[1].health);
    assert_eq!(source.inventory().gpus, before, "an id is never given twice");
    machine.switch(false);
    source.until_health(&["ok", "ok", "ok"]);
}

#[test]
fn a_gpu_that_hangs_is_unknown_and_holds_up_nobody() {
    let machine = Machine::new(&two("[[device.fault]]\nkind = 'hang'\nwhen_file = '{switch}'"))
        .with_deadline(Duration::from_millis(300));
    let mut source = machine.open();
    source.until_health(&["ok", "ok", "ok"]);
    machine.switch(true);
    source.until_health(&["ok", "unknown", "ok"]);
    // Then the probe is started again without it, and the other card goes on.
    source.until("left out", |samples| {
        why(&samples[1].health).contains("again and again") && samples[2].health == Health::Ok
    });
    machine.switch(false);
    source.until_health(&["ok", "ok", "ok"]);
}

#[test]
fn a_gpu_that_hangs_from_the_start_does_not_hide_the_others() {
    let machine = Machine::new(&two("[[device.fault]]\nkind = 'hang'\nwhen_file = '{switch}'"))
        .with_deadline(Duration::from_millis(300));
    machine.switch(true);
    let mut source = machine.open();
    let uuids: Vec<String> = source.inventory().gpus.into_iter().map(|gpu| gpu.uuid).collect();
    assert_eq!(uuids, ["GPU-b"]);
    source.until_health(&["ok", "ok"]);
    machine.switch(false);
    // It comes as a new device, which tells that the inventory is to be taken again.
    source.until_health(&["ok", "ok", "ok"]);
    assert_eq!(source.inventory().gpus[1].uuid, "GPU-a");
}

#[test]
fn a_library_that_ends_its_process_costs_one_gpu() {
    let fault = "[[device.fault]]\nkind = 'exit'\nvalue = 3\ncall = 'nvmlDeviceGetMemoryInfo_v2'\nwhen_file = '{switch}'";
    let machine = Machine::new(&two(fault)).with_deadline(Duration::from_millis(300));
    let mut source = machine.open();
    source.until_health(&["ok", "ok", "ok"]);
    machine.switch(true);
    let samples = source.until_health(&["ok", "unknown", "ok"]);
    assert!(why(&samples[1].health).contains("exit status: 3"), "{:?}", samples[1].health);
    machine.switch(false);
    source.until_health(&["ok", "ok", "ok"]);
}

#[test]
fn a_library_that_ends_its_process_at_the_first_look_costs_one_gpu() {
    let fault = "[[device.fault]]\nkind = 'exit'\nvalue = 3\ncall = 'nvmlDeviceGetUUID'";
    let machine = Machine::new(&two(fault)).with_deadline(Duration::from_millis(600));
    let mut source = machine.open();
    let uuids: Vec<String> = source.inventory().gpus.into_iter().map(|gpu| gpu.uuid).collect();
    assert_eq!(uuids, ["GPU-b"]);
    source.until_health(&["ok", "ok"]);
}

#[test]
fn a_fatal_xid_takes_its_gpu_out_of_service_for_good() {
    let fault = "[[device.fault]]\nkind = 'xid'\nvalue = 79\nwhen_file = '{switch}'";
    let harmless = "[[device.fault]]\nkind = 'xid'\nvalue = 31";
    let machine = Machine::new(&format!("{}{harmless}\n", two(fault)));
    let mut source = machine.open();
    source.until_health(&["ok", "ok", "ok"]);
    machine.switch(true);
    let samples = source.until_health(&["ok", "lost", "ok"]);
    assert_eq!(why(&samples[1].health), "XID 79: the GPU has fallen off the bus");
    assert!(samples[1].memory_used.is_some(), "what it still says is passed on");
    machine.switch(false);
    assert_eq!(source.until("one more answer", |samples| samples[1].busy.is_some())[1].health.word(), "lost");
}

#[test]
fn uncorrected_ecc_errors_take_their_gpu_out_of_service() {
    let machine = Machine::new(&two("[[device.fault]]\nkind = 'ecc'\nvalue = 2\nwhen_file = '{switch}'"));
    let mut source = machine.open();
    source.until_health(&["ok", "ok", "ok"]);
    machine.switch(true);
    let samples = source.until_health(&["ok", "lost", "ok"]);
    assert!(why(&samples[1].health).starts_with("2 uncorrected ECC errors"), "{:?}", samples[1].health);
}

#[test]
fn a_cut_gpu_takes_no_work_and_its_instances_do() {
    let cut = "[[device.mig]]\nuuid = 'MIG-1'\nmemory = '10GiB'\n[[device.mig]]\nuuid = 'MIG-2'\nmemory = '5GiB'\nname = 'MIG 1g.5gb'\n\
        [[device.fault]]\nkind = 'xid'\nvalue = 95\nwhen_file = '{switch}'";
    let machine = Machine::new(&two(cut));
    let mut source = machine.open();
    let gpus = source.inventory().gpus;
    let shape: Vec<(&str, bool, Option<&str>)> =
        gpus.iter().map(|gpu| (gpu.uuid.as_str(), gpu.allocatable, gpu.mig_parent.as_deref())).collect();
    let expected = [
        ("GPU-a", false, None),
        ("MIG-1", true, Some("GPU-a")),
        ("MIG-2", true, Some("GPU-a")),
        ("GPU-b", true, None),
    ];
    assert_eq!(shape, expected);
    assert_eq!((gpus[2].memory, gpus[2].name.as_str()), (Bytes::gib(5), "MIG 1g.5gb"));
    let task = Sleeper::start();
    machine.claim(task.pid(), "MIG-2", 4, 0.5);
    let samples = source.until("the claim", |samples| samples[3].memory_used == gib(4));
    assert_eq!(
        (samples[1].memory_used, samples[2].memory_used),
        (gib(4), gib(0)),
        "in the whole and in no other part"
    );
    assert_eq!((samples[3].busy, samples[3].power_watts), (None, None), "an instance has no sensors");
    machine.switch(true);
    source.until_health(&["ok", "lost", "lost", "lost", "ok"]);
}

#[test]
fn a_library_that_cannot_be_used_is_an_error_that_says_why() {
    let message = |path: &Path| open_library(path).expect_err("unusable").to_string();
    let missing = message(Path::new("/no/such/libnvidia-ml.so"));
    assert!(missing.contains("/no/such/libnvidia-ml.so") && missing.contains("no such file"), "{missing}");
    let file = tempfile::NamedTempFile::new().expect("a file");
    assert!(message(file.path()).contains("cannot be loaded"), "{}", message(file.path()));
    // Our library without a scenario is one without a driver.
    let idle = message(&fixture::fake_library());
    assert!(idle.contains("driver is not loaded") && idle.contains("hint:"), "{idle}");
}

#[test]
fn a_probe_that_cannot_be_started_or_talks_nonsense_is_an_error() {
    for (program, expected) in [("/no/such/probe", "cannot start"), ("echo", "NVML probe")] {
        let options =
            dunnage_devices::OpenOptions { probe_command: vec![program.into()], ..Default::default() };
        let selection = dunnage_devices::Selection::Nvml { library: None };
        let error = dunnage_devices::open(&selection, &options).expect_err(program).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn the_doctor_asks_every_gpu() {
    let machine = Machine::new(&two("[[device.fault]]\nkind = 'ecc'"));
    let options = dunnage_devices::OpenOptions { probe_command: machine.probe(), ..Default::default() };
    let selection = dunnage_devices::Selection::Nvml { library: Some(fixture::fake_library()) };
    let found = checks(&selection, &options, Path::new("/dev/shm"));
    let check = |name: &str| {
        found.iter().find(|check| check.name == name).unwrap_or_else(|| panic!("{name} in {found:?}"))
    };
    assert!(check("nvml").ok && check("nvml").detail.contains("570.86.15, 2 GPUs"));
    assert!(check("gpu GPU-b").ok);
    assert!(!check("gpu GPU-a").ok && check("gpu GPU-a").detail.contains("ECC"));
}
