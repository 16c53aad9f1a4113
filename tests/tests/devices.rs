//! Devices: which there are, who gets which of them, and that none is given twice.

use dunnage_tests::{Entry, Home, alive, function, has_keys, states, until};
use serde_json::Value;
use std::collections::BTreeSet;

const GPU: [&str; 2] =
    ["GPU-00000000-0000-0000-0000-000000000001", "GPU-00000000-0000-0000-0000-000000000002"];

fn devices(home: &Home, flags: &str) -> Value {
    home.call("devices --json").words(&format!(" {flags}")).ok().json()
}

/// What the tasks of a diary take of each GPU, where each takes as much.
fn on_gpus(each: u64) -> impl FnMut(&Entry) -> Vec<(String, u64)> {
    move |entry| entry.gpus.iter().map(|gpu| (gpu.clone(), each)).collect()
}

#[test]
fn every_profile_shows_its_machine() {
    let home = Home::new();
    for (profile, gpus) in
        [("1x8g", 1), ("2x24g", 2), ("8xh100", 8), ("mixed", 2), ("dying", 2), ("1x8gx3", 3), ("8xh100x2", 2)]
    {
        let doc = devices(&home, &format!("--devices mock:{profile}"));
        has_keys(&doc, "node:string cpu:table memory_bytes:count gpus:list custom:table");
        has_keys(&doc["cpu"], "cores:number model:string numa_nodes:count");
        let list = doc["gpus"].as_array().expect("a list");
        assert_eq!(list.len(), gpus, "{profile}");
        for gpu in list {
            has_keys(
                gpu,
                "uuid:string name:string memory_bytes:count memory_used_bytes:count|? pci_bus_id:string",
            );
            has_keys(gpu, "compute_capability:string|? mig:list health:string");
        }
        let uuids: BTreeSet<&str> = list.iter().filter_map(|gpu| gpu["uuid"].as_str()).collect();
        assert_eq!(uuids.len(), gpus, "{profile}");
    }
    let cards = devices(&home, "--devices mock:2x24g");
    assert_eq!(cards["gpus"][1]["memory_bytes"].as_u64(), Some(24 << 30));
    let mixed = devices(&home, "--devices mock:mixed");
    assert_ne!(mixed["gpus"][0]["name"], mixed["gpus"][1]["name"]);
    let mig = devices(&home, "--devices mock:mig-a100");
    let instances = mig["gpus"]
        .as_array()
        .and_then(|gpus| gpus.iter().find_map(|gpu| gpu["mig"].as_array().filter(|mig| !mig.is_empty())));
    assert!(
        instances.is_some_and(|mig| mig[0]["uuid"].as_str().is_some_and(|uuid| uuid.starts_with("MIG-"))),
        "{mig}"
    );
    assert_eq!(devices(&home, "--devices host")["gpus"].as_array().map(Vec::len), Some(0));
    assert!(!home.state().join("journal.db").exists(), "looking makes no store");
}

#[test]
fn a_profile_may_be_a_file() {
    let home = Home::new();
    home.write(
        "mine.toml",
        "cpus = 64\nmemory = '1TiB'\n[[gpu]]\nname = 'Card'\nmemory = '48GiB'\ncount = 3\n",
    );
    let doc = devices(&home, "--devices mock:mine.toml");
    assert_eq!((doc["cpu"]["cores"].as_f64(), doc["gpus"].as_array().map(Vec::len)), (Some(64.0), Some(3)));
    home.write("wrong.toml", "[[gpu]]\nmemry = '48GiB'\nmemory = '12 parsecs'\n");
    let said = home.call("devices --devices mock:wrong.toml").end().expect(2);
    said.says(&["wrong.toml", "memry", "`memory`", "12 parsecs"]);
    home.call("devices --devices mock:none.toml").end().expect(2).says(&["none.toml"]);
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest() {
    let home = Home::new();
    home.call("devices --devices mock:2x24").end().expect(2).says(&["`2x24`", "did you mean `2x24g`?"]);
    home.call("devices --devices hots").end().expect(2).says(&["`hots`", "did you mean `host`?"]);
    home.call("devices --devices mock:1x8gx0").end().expect(2).says(&["1 to 64"]);
    home.call("devices --devices nvml:none.so").end().expect(2).says(&["none.so"]);
    home.call("run --devices mock:3x24g -- true").end().expect(2);
    assert!(!home.state().join("runs/1").exists());
}

#[test]
fn gpu_memory_packs_and_is_never_over_committed() {
    let home = Home::new();
    let daemon = home.daemon("--devices mock:2x24g");
    let graph = "[[function]]\nid = 'f-{n}'\nforeach = { n = '1-16' }\ncommand = ['sh', 'task.sh', 'open']\n\
        cost = { cpus = 0, gpu_memory = '10GiB' }\n";
    home.submit(graph);
    until("two on each", || (home.diary().begins().len() == 4).then_some(()));
    let waiting = home.call("explain 1/f-16 --json").ok().json();
    let said = waiting.to_string();
    assert!(waiting["state"] == "queued" && said.contains("4 GiB free") && said.contains("10 GiB"), "{said}");
    let metrics = devices(&home, "");
    assert_eq!(metrics["gpus"][0]["memory_allocated_bytes"].as_u64(), Some(20 << 30));
    home.open("open");
    home.call("wait 1").ok();
    home.diary().each_exactly_once(16);
    let peak = home.diary().peak(on_gpus(10));
    assert_eq!(peak.keys().map(String::as_str).collect::<Vec<_>>(), GPU);
    assert!(peak.values().all(|gib| *gib == 20), "{peak:?}");
    daemon.terminate().expect(0);
}

#[test]
fn whole_gpus_are_whole_and_several_are_different() {
    let home = Home::new();
    let _daemon = home.daemon("--devices mock:2x24gx3");
    let graph = "[[function]]\nid = 'pair-{n}'\nforeach = { n = '1-3' }\ncommand = ['sh', 'task.sh', '-', '0.02']\ncost = { cpus = 0, gpus = 2 }\n\
        [[function]]\nid = 'one-{n}'\nforeach = { n = '1-5' }\ncommand = ['sh', 'task.sh', '-', '0.02']\ncost = { cpus = 0, has_cuda_requirement = true }\n\
        [[function]]\nid = 'shared-{n}'\nforeach = { n = '1-8' }\ncommand = ['sh', 'task.sh', '-', '0.02']\ncost = { cpus = 0, gpu_memory = '1GiB' }\n";
    home.submit(graph);
    home.call("wait 1").ok();
    let diary = home.diary();
    diary.each_exactly_once(16);
    for entry in &diary.entries {
        let different: BTreeSet<&String> = entry.gpus.iter().collect();
        let expected = if entry.function.starts_with("pair") { 2 } else { 1 };
        assert_eq!((entry.gpus.len(), different.len()), (expected, expected), "{entry:?}");
    }
    // A whole GPU weighs 100, a shared one 1: more than 100 means somebody shared a whole one.
    let weight = |entry: &Entry| if entry.function.starts_with("shared") { 1 } else { 100 };
    let peak = diary.peak(|entry| entry.gpus.iter().map(|gpu| (gpu.clone(), weight(entry))).collect());
    assert!(peak.values().all(|weight| *weight <= 100), "{peak:?}");
}

#[test]
fn shares_of_a_gpu_sum_to_one() {
    let home = Home::new();
    let _daemon = home.daemon("--devices mock:1x8g");
    let graph = "[[function]]\nid = 'f-{n}'\nforeach = { n = '1-9' }\ncommand = ['sh', 'task.sh', 'open']\n\
        cost = { cpus = 0, gpu_share = 0.3 }\n";
    home.submit(graph);
    until("three at once", || (home.diary().begins().len() == 3).then_some(()));
    home.call("submit --wait -- true").ok();
    assert_eq!(home.diary().begins().len(), 3, "a fourth would be 1.2");
    home.open("open");
    home.call("wait 1").ok();
    home.diary().each_exactly_once(9);
    assert_eq!(home.diary().most_at_once(), 3);
}

#[test]
fn named_resources_are_counted() {
    let home = Home::new();
    home.write("config.toml", "resources = { licence = 2 }\n");
    let config = format!("--config {}", home.text("config.toml"));
    assert_eq!(devices(&home, &config)["custom"]["licence"], 2);
    let graph = "[[function]]\nid = 'f-{n}'\nforeach = { n = '1-6' }\ncommand = ['sh', 'task.sh', '-', '0.02']\n\
        cost = { cpus = 0, custom = { licence = 1 } }\n";
    home.run(graph, &config, 0);
    home.diary().each_exactly_once(6);
    assert!(home.diary().most_at_once() <= 2);
    home.write("graph.toml", graph.replace("licence = 1", "licence = 3"));
    home.call("run --local graph.toml")
        .words(&format!(" {config}"))
        .end()
        .expect(4)
        .says(&["licence", "3", "2"]);
    home.write("graph.toml", graph.replace("licence = 1", "licenc = 1"));
    home.call("run --local graph.toml")
        .words(&format!(" {config}"))
        .end()
        .expect(4)
        .says(&["licenc", "licence"]);
}

#[test]
fn tasks_see_only_what_they_were_given() {
    let home = Home::new();
    let _daemon = home.daemon_with("--devices mock:2x24g", &[("DUNNAGE_GPU_ENV", "index".to_owned())]);
    let graph = "[[function]]\nid = 'two'\ncommand = ['sh', '-c', 'echo $CUDA_VISIBLE_DEVICES {gpus} > {out.0}']\noutputs = ['file']\ncost = { gpus = 2 }\n\
        [[function]]\nid = 'none'\ncommand = ['sh', '-c', 'echo ${CUDA_VISIBLE_DEVICES-unset}. {gpus} > {out.0}']\noutputs = ['file']\n";
    home.submit(graph);
    let doc = home.call("wait 1 --json").ok().json();
    let said = |id: &str| {
        std::fs::read_to_string(function(&doc, id)["outputs"][0]["path"].as_str().expect("a path"))
            .expect("a value")
    };
    assert_eq!((said("two").as_str(), said("none").as_str()), ("0,1 2\n", ". 0\n"));
}

#[test]
fn instances_of_a_cut_gpu_are_devices() {
    let home = Home::new();
    let _daemon = home.daemon("--devices mock:mig-a100");
    let graph = "[[function]]\nid = 'f-{n}'\nforeach = { n = '1-4' }\ncommand = ['sh', 'task.sh', 'open']\n\
        cost = { cpus = 0, gpus = 1, gpu_memory = '4GiB' }\n";
    home.submit(graph);
    until("all at once", || (home.diary().begins().len() == 4).then_some(()));
    home.open("open");
    home.call("wait 1").ok();
    let gpus: BTreeSet<String> = home.diary().entries.iter().flat_map(|entry| entry.gpus.clone()).collect();
    assert_eq!(gpus.len(), 4, "{gpus:?}");
    assert!(gpus.iter().any(|gpu| gpu.starts_with("MIG-")), "{gpus:?}");
}

#[test]
fn a_variant_is_chosen_by_what_is_there() {
    let home = Home::new();
    let graph = "[[function]]\nid = 'f'\ncommand = ['sh', 'task.sh']\n\
        variants = [{ device = 'gpu', cost = { cpus = 0, gpu_memory = '1GiB', duration = '1us' } }, { device = 'cpu', cost = { cpus = 1, duration = '1s' } }]\n";
    let doc = home.run(graph, "--devices host", 0);
    assert_eq!(function(&doc, "f")["device"], "cpu");
    let _daemon = home.daemon("--devices mock:1x8g");
    home.submit(graph);
    let doc = home.call("wait 1 --json").ok().json();
    assert_eq!(function(&doc, "f")["device"], "gpu0");
    let diary = home.diary();
    assert!(diary.entries[0].gpus.is_empty() && diary.entries[2].gpus == [GPU[0]], "{diary:?}");
}

#[test]
fn a_model_and_a_capability_choose_the_card() {
    let home = Home::new();
    let _daemon = home.daemon("--devices mock:mixed");
    let cards = devices(&home, "");
    let (a, b) = (&cards["gpus"][0], &cards["gpus"][1]);
    for card in [a, b] {
        let name = card["name"].as_str().expect("a name");
        let model = name.rsplit(' ').next().expect("a word");
        let graph = format!(
            "[[function]]\nid = 'f'\ncommand = ['sh', 'task.sh']\ncost = {{ gpus = 1, gpu_model = '{model}' }}\n"
        );
        let id = home.submit(&graph);
        home.call("wait").arg(id).ok();
        let last = home.diary().entries.last().cloned().expect("an entry");
        assert_eq!(last.gpus, [card["uuid"].as_str().expect("a uuid")], "{model}");
    }
    let graph =
        "[[function]]\nid = 'f'\ncommand = ['true']\ncost = { gpus = 1, compute_capability = '99.0' }\n";
    home.write("graph.toml", graph);
    home.call("submit graph.toml").end().expect(4).says(&["99.0"]);
}

#[test]
fn what_can_never_fit_is_refused_with_what_there_is() {
    let home = Home::new();
    let run = |words: &str| {
        home.call("run --local --devices mock:2x24g").words(&format!(" {words} -- true")).end().expect(4)
    };
    run("-G 3").says(&["3 whole GPU", "2", "dunnage devices"]);
    run("--gpu-memory 30G").says(&["30 GiB", "24 GiB", "NVIDIA GeForce RTX 4090"]);
    run("-c 100000").says(&["100000 cores"]);
    run("--mem 900T").says(&["900 TiB"]);
    run("-G 1 --gres gpu:h100:1").says(&["h100"]);
    assert!(
        std::fs::read_dir(home.state().join("runs")).is_ok_and(|runs| runs.count() == 0),
        "nothing is left"
    );
    let refused = home.call("run --local --json --devices host -G 1 -- true").end().expect(4).json();
    has_keys(&refused, "error:string code:string problems:list");
    assert_eq!(refused["code"], "refused");
    let _daemon = home.daemon("--devices mock:2x24g");
    home.call("submit -G 3 -- true").end().expect(4).says(&["3 whole GPU", "2"]);
    assert_eq!(home.call("queue --json").ok().json().as_array().map(Vec::len), Some(0));
}

#[test]
fn a_gpu_that_dies_loses_its_task_to_another() {
    let home = Home::new();
    // As the profile `dying`, but sooner.
    let card = "[[gpu]]\nname = 'Card'\nmemory = '24GiB'\n";
    home.write("dying.toml", format!("{card}{card}lost_after_samples = 2\n"));
    let mut daemon = home.daemon("--devices mock:dying.toml");
    let graph = "[[function]]\nid = 'f-{n}'\nforeach = { n = '1-2' }\nretry = { max = 1, base = '10ms' }\n\
        command = ['sh', '-c', 'sh task.sh $CUDA_VISIBLE_DEVICES']\ncost = { cpus = 0, gpu_memory = '14GiB' }\n";
    home.submit(graph);
    until("one on each", || (home.diary().begins().len() == 2).then_some(()));
    let lost =
        home.diary().entries.iter().find(|entry| entry.gpus == [GPU[1]]).cloned().expect("on the second");
    until("the loss", || (devices(&home, "")["gpus"][1]["health"] == "lost").then_some(()));
    until("the end of what ran there", || (!alive(lost.pid)).then_some(()));
    assert_eq!(devices(&home, "")["gpus"][0]["health"], "ok");
    home.open(GPU[0]);
    let doc = home.call("wait 1 --json").ok().json();
    let moved = function(&doc, &lost.function);
    assert_eq!(
        (moved["state"].as_str(), moved["attempts"].as_u64(), moved["device"].as_str()),
        (Some("succeeded"), Some(2), Some("gpu0"))
    );
    let last = home
        .diary()
        .entries
        .iter()
        .rfind(|entry| entry.function == lost.function)
        .cloned()
        .expect("an entry");
    assert_eq!((last.attempt, last.gpus), (2, vec![GPU[0].to_owned()]));
    assert!(daemon.lives());
}

#[test]
fn a_gpu_that_dies_ends_a_function_that_starts_once() {
    let home = Home::new();
    home.write("dying.toml", "[[gpu]]\nmemory = '24GiB'\nlost_after_samples = 2\n");
    let _daemon = home.daemon("--devices mock:dying.toml");
    home.submit("[[function]]\nid = 'f'\ncommand = ['sh', 'task.sh', 'never']\ngrace = '100ms'\ncost = { gpus = 1 }\n");
    let doc = home.call("wait 1 --json").end().expect(1).json();
    let f = function(&doc, "f");
    assert_eq!(
        (f["state"].as_str(), f["cause"].as_str(), f["attempts"].as_u64()),
        (Some("failed"), Some("device_lost"), Some(1))
    );
    home.until_no_task();
}

#[test]
fn a_drained_gpu_gets_nothing_new() {
    let home = Home::new();
    let _daemon = home.daemon("--devices mock:2x24g");
    home.call("devices drain gpu0").ok();
    assert_eq!(devices(&home, "")["gpus"][0]["health"], "drained");
    let graph = "[[function]]\nid = 'f-{n}'\nforeach = { n = '1-4' }\ncommand = ['sh', 'task.sh']\ncost = { cpus = 0, gpus = 1 }\n";
    home.submit(graph);
    home.call("wait 1").ok();
    assert!(home.diary().entries.iter().all(|entry| entry.gpus == [GPU[1]]), "{:?}", home.diary());
    home.call("devices resume gpu0").ok();
    home.call("submit --wait -G 2 -- true").ok();
    home.call("devices drain gpu7").end().expect(2).says(&["gpu7"]);
}

#[test]
fn two_graphs_use_two_gpus_at_once() {
    let home = Home::new();
    let _daemon = home.daemon("--devices mock:2x24g");
    let graph = "[[function]]\nid = 'a'\ncommand = ['sh', 'task.sh', 'open']\ncost = { cpus = 0.5, gpu_memory = '20GiB' }\n\
        [[function]]\nid = 'b'\nafter = ['a']\ncommand = ['sh', 'task.sh']\ncost = { cpus = 0.5, gpu_memory = '20GiB' }\n";
    home.submit(graph);
    home.submit(graph);
    until("one of each graph, on a GPU of its own", || (home.diary().begins().len() == 2).then_some(()));
    let gpus: BTreeSet<String> = home.diary().entries.iter().flat_map(|entry| entry.gpus.clone()).collect();
    assert_eq!(gpus.len(), 2);
    home.open("open");
    home.call("wait 1").ok();
    home.call("wait 2").ok();
    assert_eq!(states(&home.call("status 2 --json").ok().json(), &["a", "b"]), ["succeeded"; 2]);
}

#[test]
fn runs_on_made_up_gpus_do_not_disturb_each_other() {
    let (one, other) = (Home::new(), Home::new());
    let first = one.call("run --local --devices mock:2x24g -G 2 -- sh task.sh open").start();
    until("the first", || one.diary().pid_of("job"));
    other.call("run --local --devices mock:2x24g -G 2 -- sh task.sh").ok();
    one.open("open");
    first.end().expect(0);
}
