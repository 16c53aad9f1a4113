//! `run`: graphs and commands without a daemon.

use dunnage_tests::{Home, Signal, alive, function, is_status, states, until, workspace};
use serde_json::Value;

fn close(value: &Value, expected: f64) {
    let got = value.as_f64().unwrap_or(f64::NAN);
    assert!((got - expected).abs() <= 1e-6, "{got} and not {expected}");
}

#[test]
fn the_main_job_chooses_what_was_computed_independently() {
    let home = Home::new();
    let graph = workspace().join("examples/gp-regression/graph.toml");
    let call = home.call("run --local --json --trace trace.json").arg(graph).ok();
    let doc = call.json();
    is_status(&doc);
    assert_eq!((doc["state"].as_str(), doc["failed"].as_u64()), (Some("succeeded"), Some(0)));
    assert!(doc["succeeded"].as_u64() >= Some(200), "{}", doc["succeeded"]);
    let output = &function(&doc, "best")["outputs"][0];
    assert_eq!(output["kind"], "json");
    let best = output["value"].as_object().expect("a table");
    assert_eq!(best.len(), 4);
    assert_eq!(best["length_scale"].as_f64(), Some(6.0));
    assert_eq!(best["noise"].as_f64(), Some(0.7));
    close(&best["log_marginal_likelihood"], -388.047_677_846_545);
    close(&best["rmse"], 56.828_767_218_623);

    let trace = std::fs::read_to_string(home.path("trace.json")).expect("a trace");
    let trace: Value = serde_json::from_str(&trace).expect("JSON");
    let events = trace["traceEvents"].as_array().or_else(|| trace.as_array()).expect("events");
    let spans = events.iter().filter(|event| event["ph"] == "X");
    assert!(spans.clone().count() as u64 >= doc["succeeded"].as_u64().unwrap_or(0));
    assert!(
        spans
            .clone()
            .all(|span| span["ts"].is_number() && span["dur"].is_number() && span["pid"].is_number())
    );
}

#[test]
fn the_other_examples_come_out_as_they_say() {
    let home = Home::new();
    let example = |name: &str| workspace().join("examples").join(name).join("graph.toml");
    let doc = home.call("run --local --json").arg(example("sweep")).ok().json();
    assert_eq!((doc["succeeded"].as_u64(), doc["failed"].as_u64()), (Some(11), Some(3)));
    assert_eq!(function(&doc, "data")["attempts"], 2);
    assert_eq!(function(&doc, "best")["outputs"][0]["value"]["lr"].as_f64(), Some(0.05));
    let doc = home.call("run --local --json --devices mock:2x24g").arg(example("variants")).ok().json();
    assert_eq!(function(&doc, "where")["outputs"][0]["value"]["gpus_used"], 2);
    let doc = home.call("run --local --json --devices host").arg(example("variants")).ok().json();
    assert_eq!(function(&doc, "where")["outputs"][0]["value"]["on_gpus"], 0);
}

#[test]
fn an_attached_command_gives_its_output_and_its_exit_code() {
    let home = Home::new();
    let run =
        |words: &[&str]| words.iter().fold(home.call("run --local --"), |call, word| call.arg(word)).end();
    let said = run(&["sh", "-c", "echo to out; echo to err >&2; exit 7"]).expect(7);
    assert!(
        said.out.contains("to out") && format!("{}{}", said.out, said.err).contains("to err"),
        "{said:?}"
    );
    run(&["sh", "-c", "kill -KILL $$"]).expect(137);
    run(&["sh", "-c", "kill -TERM $$"]).expect(143);
    run(&["true"]).expect(0);
    let missing = run(&["no-such-program", "x"]).expect(127);
    missing.says(&["no-such-program"]);
}

/// Not as it should be: the command should read what is piped to it. Until it does, it is said.
#[test]
fn what_is_piped_to_an_attached_command_is_not_passed_on_and_that_is_said() {
    let home = Home::new();
    let said = home.call("run --local -- cat").input("one\ntwo\n").ok();
    assert_eq!(said.out, "");
    said.says(&["standard input is not passed on"]);
}

#[test]
fn what_is_not_utf8_or_long_passes_through_an_attached_command() {
    let home = Home::new();
    let said = home.call("run --local -- sh -c").arg("seq 1 20000; printf last").ok();
    assert_eq!(said.out.lines().count(), 20_001);
    assert!(said.out.starts_with("1\n2\n") && said.out.ends_with("20000\nlast"), "{}", said.out.len());
}

#[test]
fn words_of_a_command_stay_as_they_are_written() {
    let home = Home::new();
    let words = "{id} {graph} {arg.0} {gpus} {{gpus}} {none} {}";
    let said = home.call("run --local -- printf %s").arg(words).ok();
    assert_eq!(said.out, "{id} {graph} {arg.0} 0 {gpus} {none} {}");
}

#[test]
fn flags_of_a_command_are_taken() {
    let home = Home::new();
    std::fs::create_dir(home.path("elsewhere")).expect("a folder");
    let doc = home
        .call("run --local --json -J name -c 0.5 --mem 100M -D elsewhere --env A=b --clean-env -t 5 --")
        .words("sh -c")
        .arg("pwd; echo $A-$DIARY-$OMP_NUM_THREADS")
        .ok();
    assert!(doc.err.contains("elsewhere\nb--1\n"), "{}", doc.err);
    let doc = doc.json();
    is_status(&doc);
    assert_eq!(doc["graph"], "name");
    assert_eq!(function(&doc, "job")["exit_code"], 0);
}

#[test]
fn a_time_limit_ends_a_command() {
    let home = Home::new();
    let doc = home.call("run --local --json -t 200ms -- sleep 600").end();
    let job = doc.json();
    assert_eq!(function(&job, "job")["cause"], "timeout");
    assert_ne!(doc.code, Some(0));
    home.until_no_task();
}

#[test]
fn ctrl_c_ends_the_tasks_and_leaves_nothing() {
    let home = Home::new();
    let graph = "[[function]]\nid = 'a-{n}'\nforeach = { n = '0-3' }\ncommand = ['sh', 'task.sh', 'never']\n\
        [[function]]\nid = 'b'\nafter = ['a[*]']\ncommand = ['sh', 'task.sh']\n";
    home.write("graph.toml", graph);
    let run = home.call("run --local --json graph.toml").start();
    until("two tasks", || (home.diary().begins().len() >= 2).then_some(()));
    run.signal_group(Signal::INT);
    let ended = run.end().expect(130);
    let doc = ended.json();
    assert_eq!(doc["state"], "cancelled");
    assert_eq!(states(&doc, &["a-0", "a-3", "b"]), ["cancelled"; 3]);
    assert!(home.diary().ends().is_empty());
    home.until_no_task();
}

#[test]
fn ctrl_c_reaches_a_task_that_ignores_it() {
    let home = Home::new();
    let graph = "[[function]]\nid = 'a'\ngrace = '100ms'\n\
        command = ['sh', '-c', \"trap '' TERM INT; sh task.sh never\"]\n";
    home.write("graph.toml", graph);
    let run = home.call("run --local graph.toml").start();
    until("the task", || home.diary().pid_of("a"));
    run.signal(Signal::INT);
    run.end().expect(130);
    home.until_no_task();
}

#[test]
fn ctrl_c_ends_an_attached_command() {
    let home = Home::new();
    let run = home.call("run --local -- sh task.sh never").start();
    let pid = until("the task", || home.diary().pid_of("job"));
    run.signal_group(Signal::INT);
    let ended = run.end();
    assert!(matches!(ended.code, Some(130 | 143)), "{ended:?}");
    assert!(!alive(pid));
    home.until_no_task();
}

#[test]
fn a_run_that_was_killed_is_resumed_with_each_task_once() {
    let home = Home::new();
    let graph = "[[function]]\nid = 'a-{n}'\nforeach = { n = '0-19' }\ncommand = ['sh', 'task.sh']\n\
        [[function]]\nid = 'gate'\nafter = ['a[*]']\ncommand = ['sh', 'task.sh', 'open']\n\
        [[function]]\nid = 'c-{n}'\nforeach = { n = '0-4' }\nafter = ['gate']\ncommand = ['sh', 'task.sh']\n";
    home.write("graph.toml", graph);
    let run = home.call("run --local --json graph.toml").start();
    until("some tasks", || (home.diary().begins().len() >= 7).then_some(()));
    run.signal(Signal::KILL);
    assert_eq!(run.end().signal, Some(9));
    let again = home.call("run --resume 1 --json").start();
    until("the gate", || home.diary().pid_of("gate"));
    // Killed once more, in the middle of a task.
    again.signal(Signal::KILL);
    again.end();
    home.open("open");
    let doc = home.call("run --resume 1 --json").ok().json();
    assert_eq!((doc["state"].as_str(), doc["succeeded"].as_u64()), (Some("succeeded"), Some(26)));
    home.diary().each_exactly_once(26);
    let attempts = doc["functions"].as_array().expect("functions").iter().map(|f| f["attempts"].as_u64());
    assert!(attempts.clone().all(|attempts| attempts == Some(1)), "{doc}");
}

#[test]
fn an_ended_run_leaves_nothing_in_memory() {
    let home = Home::new();
    home.run("[[function]]\nid = 'a'\ncommand = ['true']\n", "", 0);
    home.call("run --local -- true").ok();
    home.call("run --local -- no-such-program").end().expect(127);
    home.until_empty();
    let left: Vec<_> =
        std::fs::read_dir(home.runtime().join("dunnage")).into_iter().flatten().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn resuming_what_is_not_there_says_what_is() {
    let home = Home::new();
    home.call("run --local -- true").ok();
    home.call("run --resume 9").end().expect(2).says(&["no local run 9", "1"]);
}

#[test]
fn a_failed_run_is_resumed_from_where_it_failed() {
    let home = Home::new();
    let graph = "[[function]]\nid = 'a'\ncommand = ['sh', 'task.sh']\n\
        [[function]]\nid = 'b'\nafter = ['a']\ncommand = ['test', '-e', 'mended']\n";
    home.run(graph, "", 1);
    home.open("mended");
    let doc = home.call("run --resume 1 --json").ok().json();
    assert_eq!(states(&doc, &["a", "b"]), ["succeeded", "succeeded"]);
    home.diary().each_exactly_once(1);
}

#[test]
fn a_reachable_daemon_carries_a_run_out() {
    let home = Home::new();
    let daemon = home.daemon("");
    home.write("graph.toml", "[[function]]\nid = 'a'\ncommand = ['sh', 'task.sh']\n");
    let doc = home.call("run --json graph.toml").ok().json();
    let queue = home.call("queue --json").ok().json();
    assert_eq!(queue[0]["id"], doc["id"]);
    home.call("run --local --json graph.toml").ok();
    home.call("run --json graph.toml --state-dir").arg(home.path("other")).ok();
    assert_eq!(home.call("queue --json").ok().json().as_array().map(Vec::len), Some(1));
    home.call("run -- sh -c").arg("exit 5").end().expect(5);
    daemon.terminate().expect(0);
}

#[test]
fn the_summary_tells_what_a_person_wants() {
    let home = Home::new();
    let graph = "[graph]\nname = 'small'\n[[function]]\nid = 'a'\ncommand = ['true']\n\
        [[function]]\nid = 'b'\nafter = ['a']\ncommand = ['sh', '-c', 'echo the reason; exit 3']\n";
    home.write("graph.toml", graph);
    let said = home.call("run --local graph.toml").end().expect(1);
    for text in ["small", "failed", "the reason", "3", "b"] {
        assert!(said.out.contains(text), "{text:?} is not in {}", said.out);
    }
    assert!(!said.out.contains('\u{1b}') && !said.err.contains('\u{1b}'), "escapes although no terminal");
}
