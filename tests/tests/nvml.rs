//! The whole program on NVIDIA GPUs that a library of our own makes up: scenario, claims, faults.

use dunnage_tests::{Call, Daemon, Home, alive, ask, fake_nvml, function, until};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;

/// The name of a card. Locks on GPUs are shared by the whole machine, so each home has names of its own.
fn card(home: &Home, letter: &str) -> String {
    let home = home.path("x");
    let tag = home.parent().and_then(|folder| folder.file_name()).expect("a folder");
    format!("GPU-{}-{letter}", tag.display())
}

/// Two equal cards; `more` belongs to the first of them.
fn machine(home: &Home, more: &str) -> Daemon {
    let device = |name: &str, more: &str| {
        let uuid = card(home, name);
        format!("[[device]]\nname = 'NVIDIA RTX {name}'\nuuid = '{uuid}'\nmemory = '24GiB'\n{more}\n")
    };
    let more = more.replace("{switch}", &home.text("switch"));
    home.write("scenario.toml", format!("{}{}", device("a", &more), device("b", "")));
    fs::create_dir(home.path("claims")).expect("a folder");
    home.write("gpu.sh", GPU_TASK);
    let variables = [
        ("FAKE_NVML_SCENARIO", home.text("scenario.toml")),
        ("FAKE_NVML_CLAIMS", home.text("claims")),
        ("DUNNAGE_PROBE_TIMEOUT", "400ms".to_owned()),
    ];
    home.daemon_with(&format!("--devices nvml:{}", fake_nvml().display()), &variables)
}

/// `sh gpu.sh SIZE GATE`: claims memory of each GPU that it sees, as a real task allocates it.
const GPU_TASK: &str = r#"
for gpu in $(echo "$CUDA_VISIBLE_DEVICES" | tr , ' '); do
    printf 'pid = %s\ngpu = %s\nbytes = %s\nsm = 0.5\n' $$ "$gpu" "$1" > "$GATES/unfinished-$$"
    mv "$GATES/unfinished-$$" "$GATES/claims/$$-$gpu"
done

echo "start $DUNNAGE_FUNCTION $DUNNAGE_ATTEMPT $$ $CUDA_VISIBLE_DEVICES" >> "$DIARY"
tries=0
while [ ! -e "$GATES/$2" ] && [ $tries -lt 6000 ]; do sleep 0.01; tries=$((tries + 1)); done
echo "end $DUNNAGE_FUNCTION $DUNNAGE_ATTEMPT $$ $CUDA_VISIBLE_DEVICES" >> "$DIARY"
"#;

fn gpus(home: &Home) -> BTreeMap<String, Value> {
    let doc = home.call("devices --json").ok().json();
    let list = doc["gpus"].as_array().cloned().unwrap_or_default();
    list.into_iter().map(|gpu| (gpu["uuid"].as_str().unwrap_or_default().to_owned(), gpu)).collect()
}

fn until_health(home: &Home, gpu: &str, health: &str) {
    until(&format!("{gpu} is {health}"), || (gpus(home)[gpu]["health"] == health).then_some(()));
}

/// The value of a series that has all of these labels.
fn metric(home: &Home, family: &str, labels: &[&str]) -> Option<u64> {
    let page = ask(&home.socket(), "GET", "/metrics", &[], "").body;
    let line = page.lines().find(|line| {
        line.starts_with(&format!("{family}{{")) && labels.iter().all(|label| line.contains(label))
    })?;
    line.rsplit(' ').next()?.parse::<f64>().ok().map(|value| value as u64)
}

const fn gib(n: u64) -> u64 {
    n << 30
}

#[test]
fn what_is_used_is_told_beside_what_was_given() {
    let home = Home::new();
    let _daemon = machine(&home, "reserved = '1GiB'");
    let cards = gpus(&home);
    assert_eq!(cards.keys().cloned().collect::<Vec<_>>(), [card(&home, "a"), card(&home, "b")]);
    assert_eq!(cards[&card(&home, "a")]["memory_bytes"].as_u64(), Some(gib(24)));
    home.call("submit --gpu-memory 10G -- sh gpu.sh 6GiB open").ok();
    let gpu = until("the task", || home.diary().entries.first().map(|entry| entry.gpus[0].clone()));
    let label = format!("gpu_uuid=\"{gpu}\"");
    let reserved = u64::from(gpu == card(&home, "a"));
    until("the task's memory", || {
        let used = metric(&home, "dunnage_task_gpu_memory_used_bytes", &["task=\"1/job\"", &label])?;
        (used == gib(6)).then_some(())
    });
    let seen = |family: &str| metric(&home, family, &[&label]);
    assert_eq!(seen("dunnage_task_gpu_memory_allocated_bytes"), Some(gib(10)));
    assert_eq!(seen("dunnage_gpu_memory_allocated_bytes"), Some(gib(10)));
    assert_eq!(seen("dunnage_gpu_memory_used_bytes"), Some(gib(6 + reserved)));
    assert_eq!(gpus(&home)[&gpu]["memory_used_bytes"].as_u64(), Some(gib(6 + reserved)));
    home.open("open");
    home.call("wait 1").ok();
    until("given back", || (seen("dunnage_gpu_memory_used_bytes") == Some(gib(reserved))).then_some(()));
    assert_eq!(seen("dunnage_task_gpu_memory_used_bytes"), None);
}

#[test]
fn memory_of_strangers_keeps_a_task_waiting() {
    let home = Home::new();
    let _daemon = machine(&home, "");
    // Two processes that nobody here started.
    let mut strangers: Vec<_> =
        (0..2).map(|_| std::process::Command::new("sleep").arg("600").spawn().expect("a process")).collect();
    for (stranger, gpu) in strangers.iter().zip([card(&home, "a"), card(&home, "b")]) {
        let text = format!("pid = {}\ngpu = {gpu}\nbytes = 16GiB\nsm = 0.9\n", stranger.id());
        home.write("unfinished", text);
        fs::rename(home.path("unfinished"), home.path("claims").join(&gpu)).expect("a claim");
    }
    until("the strangers", || {
        gpus(&home).values().all(|gpu| gpu["memory_foreign_bytes"].as_u64() == Some(gib(16))).then_some(())
    });
    home.call("submit --gpu-memory 10G -- sh gpu.sh 10GiB open").ok();
    home.call("submit --gpu-memory 6G -- sh gpu.sh 6GiB open").ok();
    until("the smaller one", || (home.diary().begins().len() == 1).then_some(()));
    let explained = home.call("explain 1/job --json").ok().json();
    let said = explained.to_string();
    assert_eq!(explained["reason"], "resources", "{said}");
    assert!(said.contains("16 GiB used by processes that are not ours") && said.contains("10 GiB"), "{said}");
    for stranger in &mut strangers {
        stranger.kill().expect("killed");
        stranger.wait().expect("ended");
    }
    until("the larger one", || (home.diary().begins().len() == 2).then_some(()));
    home.open("open");
    home.call("wait 1").ok();
}

/// A task on each card; gives what runs on the first and on the second.
fn one_on_each(home: &Home) -> (String, u32, String, u32) {
    let graph = "[[function]]\nid = 'f-{n}'\nforeach = { n = '1-2' }\nretry = { max = 1, base = '10ms' }\ngrace = '200ms'\n\
        command = ['sh', '-c', 'exec sh gpu.sh 14GiB $CUDA_VISIBLE_DEVICES']\ncost = { cpus = 0, gpu_memory = '14GiB' }\n";
    home.submit(graph);
    until("one on each", || (home.diary().begins().len() == 2).then_some(()));
    let on = |letter: &str| {
        let gpu = card(home, letter);
        home.diary().entries.iter().find(|entry| entry.gpus == [gpu.as_str()]).cloned().expect("a task there")
    };
    let (a, b) = (on("a"), on("b"));
    (a.function, a.pid, b.function, b.pid)
}

#[test]
fn a_lost_gpu_is_quarantined_alone_and_its_task_moves() {
    let home = Home::new();
    let mut daemon = machine(&home, "[[device.fault]]\nkind = 'lost'\nwhen_file = '{switch}'");
    let (moved, old, stays, neighbour) = one_on_each(&home);
    home.open("switch");
    until_health(&home, &card(&home, "a"), "lost");
    until("the end of what ran there", || (!alive(old)).then_some(()));
    assert!(alive(neighbour));
    assert_eq!(gpus(&home)[&card(&home, "b")]["health"], "ok");
    home.open(&card(&home, "b"));
    let doc = home.call("wait 1 --json").ok().json();
    let f = function(&doc, &moved);
    assert_eq!((f["state"].as_str(), f["attempts"].as_u64()), (Some("succeeded"), Some(2)), "{f}");
    assert_eq!(function(&doc, &stays)["attempts"], 1);
    assert!(
        home.diary()
            .entries
            .iter()
            .rfind(|entry| entry.function == moved)
            .is_some_and(|entry| entry.gpus == [card(&home, "b")])
    );
    home.call("submit -G 2 -- true").end();
    home.call("submit --wait -G 1 -- true").ok();
    assert!(daemon.lives());
}

#[test]
fn a_gpu_that_hangs_holds_up_nobody() {
    let home = Home::new();
    let mut daemon = machine(&home, "[[device.fault]]\nkind = 'hang'\nwhen_file = '{switch}'");
    home.open("switch");
    until_health(&home, &card(&home, "a"), "unknown");
    assert_eq!(ask(&home.socket(), "GET", "/readyz", &[], "").status, 200);
    home.open("open");
    for _ in 0..3 {
        home.call("submit --wait --gpu-memory 20G -- sh gpu.sh 20GiB open").ok();
    }
    assert!(
        home.diary().entries.iter().all(|entry| entry.gpus == [card(&home, "b")]),
        "nothing new on what is unknown"
    );
    assert_eq!(gpus(&home)[&card(&home, "b")]["health"], "ok");
    fs::remove_file(home.path("switch")).expect("the hang is over");
    until_health(&home, &card(&home, "a"), "ok");
    home.call("submit --wait -G 2 -- true").ok();
    assert!(daemon.lives());
}

#[test]
fn a_library_that_ends_its_process_does_not_end_ours() {
    let home = Home::new();
    let mut daemon = machine(
        &home,
        "[[device.fault]]\nkind = 'exit'\nvalue = 3\ncall = 'nvmlDeviceGetMemoryInfo_v2'\nwhen_file = '{switch}'",
    );
    home.open("switch");
    until_health(&home, &card(&home, "a"), "unknown");
    home.call("submit --wait --gpu-memory 1G -- true").ok();
    assert!(daemon.lives());
    daemon.terminate().expect(0);
    home.until_empty();
}

#[test]
fn a_library_that_is_none_is_named() {
    let home = Home::new();
    home.write("libbad.so", "not a library");
    let library = home.text("libbad.so");
    home.call("devices --devices").arg(format!("nvml:{library}")).end().expect(2).says(&[&library]);
    home.call("run --local --devices")
        .arg(format!("nvml:{library}"))
        .words("-- true")
        .end()
        .expect(2)
        .says(&[&library]);
    // Where nobody asked for NVML, its absence is ordinary.
    home.call("run --local --devices host -- true").ok();
}

/// A call that sees the machine's cards.
fn seeing(home: &Home, words: &str) -> Call {
    home.call(words)
        .words(" --devices")
        .arg(format!("nvml:{}", fake_nvml().display()))
        .env("FAKE_NVML_SCENARIO", home.path("scenario.toml"))
        .env("FAKE_NVML_CLAIMS", home.path("claims"))
}

#[test]
fn a_local_run_uses_them_too() {
    let home = Home::new();
    machine(&home, "").terminate().expect(0);
    let ended =
        seeing(&home, "run --local --json -G 2").words(" -- sh -c").arg("echo $CUDA_VISIBLE_DEVICES").ok();
    assert_eq!(ended.err.trim(), format!("{},{}", card(&home, "a"), card(&home, "b")));
}

#[test]
fn two_runs_at_once_never_share_a_gpu_that_is_given_whole() {
    let home = Home::new();
    machine(&home, "").terminate().expect(0);
    let run = |_| seeing(&home, "run --local -G 2").words(" -- sh task.sh - 0.1").start();
    for run in (0..3).map(run).collect::<Vec<_>>() {
        run.end().expect(0);
    }
    assert_eq!(home.diary().ends().len(), 3);
    assert_eq!(home.diary().most_at_once(), 1);
}
