//! What earlier runs have taught outlives the processes that learned it.

use dunnage_tests::{Home, function, until};
use serde_json::Value;

const ONE: &str = "[[function]]\nid = 'a'\ncommand = ['sh', 'task.sh', '-', '0.05']\n\
                   cost = { duration = '50s' }\n";

fn basis(doc: &Value) -> &str {
    function(doc, "a")["basis"].as_str().unwrap_or_default()
}

fn named(name: &str) -> String {
    format!("[graph]\nname = '{name}'\n{ONE}")
}

fn many(count: usize) -> String {
    format!(
        "[[function]]\nid = 'f-{{n}}'\nforeach = {{ n = '1-{count}' }}\ncost = {{ cpus = 0.5 }}\n\
         command = ['sh', 'task.sh', '-', '0.05']\n"
    )
}

#[test]
fn daemons_local_runs_and_plans_share_one_history() {
    let home = Home::new();
    let first = home.run(&named("monday"), "", 0);
    assert_eq!(basis(&first), "declaration", "{first}");
    let second = home.run(&named("tuesday"), "", 0);
    assert_eq!(basis(&second), "history", "{second}");

    let daemon = home.daemon("");
    let id = home.submit(&named("wednesday"));
    let third = home.call(&format!("wait {id} --json")).ok().json();
    assert_eq!(basis(&third), "history", "{third}");
    daemon.terminate().expect(0);

    let plan = home.call("plan --json").arg(home.path("graph.toml")).ok().json();
    assert_eq!(plan["basis"], "history", "{plan}");
    assert!(plan["makespan_s"].as_f64().unwrap_or(50.0) < 25.0, "{plan}");

    let two = named("thursday").replace("'a'", "'a-{n}'\nforeach = { n = '1-2' }");
    let said = home.call("run --local").arg(home.write("two.toml", two)).ok();
    assert!(said.out.contains("predictions: ") && said.out.contains("median error"), "{}", said.out);
}

#[test]
fn a_crash_neither_forgets_nor_counts_twice() {
    let home = Home::new();
    let mut daemon = home.daemon("");
    let id = home.submit(&many(12));
    until("some to end", || (home.diary().begins().len() >= 5).then_some(()));
    daemon.crash();
    daemon = home.daemon("");
    home.call(&format!("wait {id} --json")).ok();
    daemon.terminate().expect(0);
    daemon = home.daemon("");
    let again = home.submit(&many(1));
    home.call(&format!("wait {again} --json")).ok();
    let explained = home.call("explain --json").arg(format!("{again}/f-1")).ok().json();
    let option = &explained["options"][0];
    assert_eq!(
        (option["basis"].as_str(), option["samples"].as_u64()),
        (Some("history"), Some(13)),
        "{explained}"
    );
    assert!(option["low_s"].as_f64() <= option["high_s"].as_f64());
    let remarks = option["remarks"].to_string();
    assert!(remarks.contains("13 runs of `f: sh task.sh`"), "{remarks}");
    daemon.terminate().expect(0);
}

#[test]
fn a_history_that_cannot_be_used_is_told_of_and_costs_no_run() {
    let home = Home::new();
    home.run(ONE, "", 0);
    let file = home.state().join("history.db");
    assert!(file.is_file());
    std::fs::write(&file, "no database ".repeat(1000)).expect("written");
    let graph = home.write("graph.toml", ONE);
    let said = home.call("run --local").arg(&graph).ok();
    said.says(&["was damaged", "begun anew"]);
    assert_eq!(basis(&home.run(ONE, "", 0)), "history", "of the run before");

    for end in ["", "-wal", "-shm"] {
        drop(std::fs::remove_file(format!("{}{end}", file.display())));
    }
    std::fs::create_dir(&file).expect("a folder in its place");
    let said = home.call("run --local").arg(&graph).ok();
    said.says(&["goes on without the history"]);
}

#[test]
fn a_state_directory_from_before_there_was_a_history_goes_on() {
    let home = Home::new();
    let daemon = home.daemon("");
    let id = home.submit(ONE);
    home.call(&format!("wait {id}")).ok();
    daemon.terminate().expect(0);
    for entry in std::fs::read_dir(home.state()).expect("the state directory").flatten() {
        if entry.file_name().to_string_lossy().starts_with("history.") {
            std::fs::remove_file(entry.path()).expect("removed");
        }
    }
    let daemon = home.daemon("");
    let id = home.submit(ONE);
    let doc = home.call(&format!("wait {id} --json")).ok().json();
    assert_eq!(basis(&doc), "declaration");
    daemon.terminate().expect(0);
}

/// What a machine's own processes use counts from the first placement on, and not only from the first look
/// that the running daemon takes.
#[test]
fn memory_of_others_counts_for_the_very_first_placements() {
    let home = Home::new();
    let devices = home.call("devices --json").ok().json();
    let amount = |name: &str| devices[name].as_u64().expect("measured");
    // Two that fit beside each other only where nobody else uses anything.
    let each = (amount("memory_bytes") - amount("memory_used_bytes") / 2) / 2;
    let graph = format!(
        "[[function]]\nid = 'f-{{n}}'\nforeach = {{ n = '1-2' }}\n\
         cost = {{ cpus = 0.1, memory = '{each}B' }}\ncommand = ['sh', 'task.sh', '-', '0.3']\n"
    );
    home.write("config.toml", "ignore_foreign_below = '1KiB'\n");
    home.run(&graph, &format!("--config {}", home.text("config.toml")), 0);
    assert_eq!(home.diary().most_at_once(), 1, "both at once do not fit");
}
