//! What a graph file may say, and what then happens.

use dunnage_tests::{Home, function, is_status, states};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// The lines that a function's only output holds; it must be kept.
fn lines(doc: &Value, id: &str) -> Vec<String> {
    let path = function(doc, id)["outputs"][0]["path"].as_str().unwrap_or_else(|| panic!("no value: {doc}"));
    fs::read_to_string(path).expect("a value").lines().map(str::to_owned).collect()
}

#[test]
fn placeholders_are_replaced_and_other_braces_stay() {
    let home = Home::new();
    home.write("data.csv", "1,2\n");
    let graph = r#"
        [graph]
        name = "g"
        inputs = { data = "data.csv" }
        [[function]]
        id = "make"
        command = ["sh", "-c", "echo made > {out.0}"]
        outputs = ["file"]
        [[function]]
        id = "use-{lr}"
        foreach = { lr = [0.1, "x"] }
        args = [["make", 0]]
        command = ["sh", "-c", "printf '%s\\n' \"$@\" > {out.0}", "sh", "{id}", "{graph}", "{attempt}", "{gpus}", "{cpus}",
                   "{lr}", "{{lr}}", "{unknown}", "${HOME}", "a{lr}b", "{port}", "{input.data}", "{arg.0}"]
        extra_args = ["--lr", "{lr}"]
        outputs = ["file"]
        cost = { cpus = 2 }
    "#;
    let doc = home.run(graph, "", 0);
    let words = lines(&doc, "use-0.1");
    let id = doc["id"].as_str().expect("an id");
    assert_eq!(words[..10], ["use-0.1", id, "1", "0", "2", "0.1", "{lr}", "{unknown}", "${HOME}", "a0.1b"]);
    assert!(words[10].parse::<u16>().is_ok_and(|port| port > 0), "{}", words[10]);
    assert_eq!(fs::read_to_string(&words[11]).expect("the input"), "1,2\n");
    assert_eq!(words[13..], ["--lr", "0.1"]);
    assert_eq!(lines(&doc, "use-x")[0], "use-x");
}

#[test]
fn tasks_are_told_who_they_are() {
    let home = Home::new();
    let graph = r#"
        [[function]]
        id = "make"
        command = ["sh", "-c", "echo made > $DUNNAGE_OUT_0"]
        outputs = ["file"]
        [[function]]
        id = "use"
        args = [["make", 0]]
        timeout = "1h"
        command = ["sh", "-c", "cat $DUNNAGE_ARG_0 > {out.0}; env >> {out.0}; pwd >> {out.0}"]
        env = { A = "b", C = "{id}" }
        dir = "sub"
        outputs = ["file"]
        cost = { cpus = 2 }
    "#;
    fs::create_dir(home.path("sub")).expect("a folder");
    let doc = home.run(graph, "", 0);
    let text = lines(&doc, "use");
    assert_eq!(text[0], "made");
    let id = format!("DUNNAGE_GRAPH={}", doc["id"].as_str().expect("an id"));
    let expected = [
        id.as_str(),
        "DUNNAGE_FUNCTION=use",
        "DUNNAGE_ATTEMPT=1",
        "A=b",
        "C=use",
        "CUDA_VISIBLE_DEVICES=",
        "CUDA_DEVICE_ORDER=PCI_BUS_ID",
        "OMP_NUM_THREADS=2",
    ];
    for line in expected {
        assert!(text.iter().any(|other| other == line), "no {line}: {text:#?}");
    }
    for name in ["DUNNAGE_ARG_0=/", "DUNNAGE_OUT_0=/", "DUNNAGE_DEADLINE=", "DUNNAGE_REPORT=/", "HOME="] {
        assert!(text.iter().any(|line| line.starts_with(name)), "no {name}: {text:#?}");
    }
    assert!(text.last().is_some_and(|dir| Path::new(dir).ends_with("sub")), "{text:?}");
}

#[test]
fn a_family_becomes_words_and_a_list() {
    let home = Home::new();
    let graph = r#"
        [[function]]
        id = "part-{n}"
        foreach = { n = "0-10:5" }
        command = ["sh", "-c", "echo {n} > {out.0}"]
        outputs = ["file"]
        [[function]]
        id = "all"
        args = [["part[*]", 0]]
        command = ["sh", "-c", "out=$1; shift; cat \"$@\" > $out; cp $DUNNAGE_ARG_0 {out.1}", "sh", "{out.0}", "{arg.0}"]
        outputs = ["file", "json"]
    "#;
    let doc = home.run(graph, "", 0);
    assert_eq!(lines(&doc, "all"), ["0", "5", "10"]);
    let list = function(&doc, "all")["outputs"][1]["value"].as_array().expect("a list").clone();
    assert_eq!(list.len(), 3);
    assert!(list.iter().all(|path| path.as_str().is_some_and(|path| path.starts_with('/'))));
}

#[test]
fn a_family_may_be_taken_without_those_that_failed() {
    let home = Home::new();
    let graph = r#"
        [graph]
        tolerance = "tolerant"
        [[function]]
        id = "part-{n}"
        foreach = { n = "0-3" }
        command = ["sh", "-c", "echo {n} > {out.0}; test {n} != 2"]
        outputs = ["file"]
        [[function]]
        id = "some"
        args = [["part[*]", 0, "succeeded"]]
        command = ["sh", "-c", "out=$1; shift; cat \"$@\" > $out", "sh", "{out.0}", "{arg.0}"]
        outputs = ["file"]
        [[function]]
        id = "all"
        args = [["part[*]", 0]]
        command = ["true", "{arg.0}"]
        [[function]]
        id = "pipe-{n}"
        foreach = { n = "0-3" }
        args = [["part-{n}", 0]]
        command = ["cp", "{arg.0}", "{out.0}"]
        outputs = ["file"]
    "#;
    let doc = home.run(graph, "", 0);
    assert_eq!(lines(&doc, "some"), ["0", "1", "3"]);
    assert_eq!(lines(&doc, "pipe-3"), ["3"]);
    assert_eq!(states(&doc, &["part-2", "all", "pipe-2"]), ["failed", "cancelled", "cancelled"]);
    assert_eq!(function(&doc, "all")["cause"], "upstream_failed");
}

#[test]
fn values_of_every_kind_are_passed_and_shown() {
    let home = Home::new();
    let graph = r#"
        [[function]]
        id = "file"
        command = ["sh", "-c", "printf bytes > {out.0}"]
        outputs = [{ kind = "file", size = "1KiB" }]
        [[function]]
        id = "dir"
        command = ["sh", "-c", "mkdir -p {out.0}/in; echo deep > {out.0}/in/it"]
        outputs = ["dir"]
        [[function]]
        id = "json"
        command = ["sh", "-c", "echo '{\"a\": [1, 2.5, null]}' > {out.0}"]
        outputs = ["json"]
        [[function]]
        id = "large"
        command = ["sh", "-c", "(echo '['; seq -s, 1 20000; echo ']') > {out.0}"]
        outputs = ["json"]
        [[function]]
        id = "reader"
        args = [["file", 0], ["dir", 0], ["json", 0]]
        command = ["sh", "-c", "cat {arg.0} {arg.1}/in/it {arg.2} > {out.0}"]
        outputs = ["file"]
    "#;
    let doc = home.run(graph, "", 0);
    is_status(&doc);
    assert_eq!(lines(&doc, "reader"), ["bytesdeep", "{\"a\": [1, 2.5, null]}"]);
    let large = &function(&doc, "large")["outputs"][0];
    assert!(large["value"].is_null() && large["path"].is_string(), "more than 64 KiB is not shown: {large}");
    let kinds = ["file", "dir", "json"].map(|id| function(&doc, id)["outputs"][0]["kind"].clone());
    assert_eq!(kinds, ["file", "dir", "json"]);
}

#[test]
fn values_go_when_nobody_reads_them_any_more() {
    let home = Home::new();
    let graph = r#"
        [graph]
        keep = ["kept.0"]
        [[function]]
        id = "freed"
        command = ["sh", "-c", "echo 1 > {out.0}"]
        outputs = ["file"]
        [[function]]
        id = "kept"
        args = [["freed", 0]]
        command = ["sh", "-c", "cp {arg.0} {out.0}; echo {arg.0} > {out.1}"]
        outputs = ["file", "file"]
        [[function]]
        id = "last"
        args = [["kept", 0]]
        command = ["sh", "-c", "echo '{\"x\": 1}' > {out.0}"]
        outputs = ["json"]
    "#;
    let doc = home.run(graph, "", 0);
    assert_eq!(lines(&doc, "kept"), ["1"]);
    assert_eq!(function(&doc, "last")["outputs"][0]["value"]["x"], 1);
    assert!(function(&doc, "freed")["outputs"][0]["path"].is_null(), "{doc}");
    let path = function(&doc, "kept")["outputs"][1]["path"]
        .as_str()
        .expect("nobody reads it: it is kept")
        .to_owned();
    let freed = fs::read_to_string(path).expect("a value");
    assert!(!Path::new(freed.trim()).exists(), "{freed}");
}

#[test]
fn a_success_without_its_output_is_a_failure() {
    let home = Home::new();
    let graph = "[[function]]\nid = 'a'\ncommand = ['true']\noutputs = ['file']\n";
    let doc = home.run(graph, "", 1);
    let message = function(&doc, "a")["message"].as_str().expect("a message");
    assert!(message.contains("output 0"), "{message}");
}

const COUNTER: &str = r#"
    [[function]]
    id = "a"
    command = ["sh", "-c", "echo x >> count; test $(wc -l < count) -ge 3"]
"#;

#[test]
fn without_a_retry_a_function_starts_once() {
    let home = Home::new();
    let doc = home.run(COUNTER, "", 1);
    let a = function(&doc, "a");
    assert_eq!(
        (a["attempts"].as_u64(), a["cause"].as_str(), a["exit_code"].as_i64()),
        (Some(1), Some("user"), Some(1))
    );
}

#[test]
fn retries_are_counted_as_further_starts() {
    let home = Home::new();
    let doc = home.run(&format!("{COUNTER}\nretry = {{ max = 1, base = '10ms' }}"), "", 1);
    assert_eq!(function(&doc, "a")["attempts"], 2);
    let home = Home::new();
    // Two where the table is given without it.
    let doc = home.run(&format!("{COUNTER}\nretry = {{ base = '10ms' }}"), "", 0);
    assert_eq!(
        (function(&doc, "a")["attempts"].as_u64(), doc["state"].as_str()),
        (Some(3), Some("succeeded"))
    );
    let home = Home::new();
    let doc = home.run(
        &format!("[defaults]\nretry = {{ max = 5, base = '10ms', jitter = false }}\n{COUNTER}"),
        "",
        0,
    );
    assert_eq!(function(&doc, "a")["attempts"], 3);
    assert_eq!(fs::read_to_string(home.path("count")).expect("a file").lines().count(), 3);
}

#[test]
fn a_time_limit_ends_what_ignores_its_signal() {
    let home = Home::new();
    let graph = r#"
        [graph]
        tolerance = "tolerant"
        [[function]]
        id = "stubborn"
        timeout = "200ms"
        grace = "100ms"
        command = ["sh", "-c", "trap '' TERM; sh task.sh never"]
        [[function]]
        id = "tidy"
        timeout = "200ms"
        signal = "INT"
        command = ["sh", "-c", "trap 'echo interrupted > told; exit 0' INT; while :; do sleep 0.02; done"]
    "#;
    let doc = home.run(graph, "", 0);
    for id in ["stubborn", "tidy"] {
        assert_eq!(
            (function(&doc, id)["state"].as_str(), function(&doc, id)["cause"].as_str()),
            (Some("failed"), Some("timeout")),
            "{doc}"
        );
    }
    assert_eq!(fs::read_to_string(home.path("told")).expect("it was asked first"), "interrupted\n");
    home.until_no_task();
}

/// Ten functions of which 3 and 6 fail, and one that depends on 3.
fn failing(tolerance: &str) -> String {
    format!(
        "[graph]\norder = 'sequential'\ntolerance = {tolerance}\n\
         [[function]]\nid = 'f-{{n}}'\nforeach = {{ n = '0-8' }}\ncommand = ['sh', '-c', 'test {{n}} != 3 -a {{n}} != 6']\n\
         [[function]]\nid = 'dependant'\nafter = ['f-3']\ncommand = ['true']\n"
    )
}

#[test]
fn tolerance_decides_what_goes_on_and_how_it_ends() {
    // Tolerance, exit code, state, and succeeded, failed, cancelled.
    let cases = [
        ("'strict'", 1, "failed", [3, 1, 6]),
        ("'tolerant'", 0, "succeeded", [7, 2, 1]),
        ("{ max_failures = 2 }", 0, "succeeded", [7, 2, 1]),
        ("{ max_failures = 1 }", 1, "failed", [5, 2, 3]),
        ("{ min_success = 0.7 }", 0, "succeeded", [7, 2, 1]),
        ("{ min_success = 0.71 }", 1, "failed", [7, 2, 1]),
    ];
    for (tolerance, code, state, counts) in cases {
        let home = Home::new();
        let doc = home.run(&failing(tolerance), "", code);
        assert_eq!(doc["state"], state, "{tolerance}: {doc}");
        let got = ["succeeded", "failed", "cancelled"].map(|key| doc[key].as_u64().unwrap_or(99));
        assert_eq!(got, counts, "{tolerance}");
        assert_eq!(function(&doc, "dependant")["cause"], "upstream_failed", "{tolerance}");
    }
}

#[test]
fn what_runs_ends_by_itself_when_a_strict_graph_has_failed() {
    let home = Home::new();
    let graph = r#"
        [[function]]
        id = "long"
        command = ["sh", "task.sh", "failed"]
        cost = { cpus = 0 }
        [[function]]
        id = "bad"
        command = ["sh", "-c", "until grep -q long \"$DIARY\"; do sleep 0.01; done; : > failed; exit 1"]
        cost = { cpus = 0 }
        [[function]]
        id = "never-{n}"
        foreach = { n = "0-2" }
        after = ["long"]
        command = ["sh", "task.sh"]
    "#;
    let doc = home.run(graph, "", 1);
    assert_eq!(states(&doc, &["long", "bad", "never-0"]), ["succeeded", "failed", "cancelled"]);
    assert_eq!(function(&doc, "never-2")["cause"], "cancelled");
    home.diary().each_exactly_once(1);
}

/// Holds 100 MB for a second in the memory of `tail`, which keeps a line until it ends.
const HUNGRY: &str =
    "command = ['sh', '-c', '{ head -c 100000000 /dev/zero; sleep 1; } | tail > /dev/null']\n";

#[test]
fn memory_beyond_what_was_declared_is_its_own_outcome() {
    let home = Home::new();
    let graph = format!("[[function]]\nid = 'a'\n{HUNGRY}cost = {{ memory = '32MiB' }}\n");
    let doc = home.run(&graph, "", 1);
    let a = function(&doc, "a");
    assert_eq!(
        (a["cause"].as_str(), a["where"].as_str(), a["attempts"].as_u64()),
        (Some("out_of_memory"), Some("host"), Some(1)),
        "{a}"
    );
}

#[test]
fn out_of_memory_has_a_budget_of_its_own_and_gets_more() {
    let home = Home::new();
    let graph = format!(
        "[[function]]\nid = 'a'\n{HUNGRY}cost = {{ memory = '40MiB' }}\n\
         retry = {{ max = 1, base = '10ms', oom = {{ max = 3, factor = 2.0 }} }}\n"
    );
    let doc = home.run(&graph, "", 0);
    assert_eq!(function(&doc, "a")["attempts"], 3, "40, 80 and 160 MiB");
}

#[test]
fn a_family_keeps_to_its_limit_and_a_sequence_to_its_order() {
    let home = Home::new();
    let graph = r#"
        [[function]]
        id = "limited-{n}"
        foreach = { n = "0-7" }
        max_parallel = 2
        command = ["sh", "-c", "sh task.sh - 0.05"]
        cost = { cpus = 0 }
    "#;
    home.run(graph, "", 0);
    assert!(home.diary().most_at_once() <= 2);
    home.diary().each_exactly_once(8);

    let home = Home::new();
    let graph = r#"
        [graph]
        order = "sequential"
        [[function]]
        id = "f-{n}"
        foreach = { n = "0-9" }
        command = ["sh", "task.sh"]
        cost = { cpus = 0 }
    "#;
    home.run(graph, "", 0);
    assert_eq!(home.diary().most_at_once(), 1);
    assert_eq!(home.diary().ends(), (0..10).map(|n| format!("f-{n}")).collect::<Vec<_>>());
}

#[test]
fn a_pipeline_goes_on_item_by_item() {
    let home = Home::new();
    // The second stage of the first item does not wait for the first stage of the second.
    let graph = r#"
        [[function]]
        id = "one-{n}"
        foreach = { n = "0-1" }
        command = ["sh", "-c", "test {n} = 0 || exec sh task.sh went-on; sh task.sh"]
        cost = { cpus = 0.5 }
        [[function]]
        id = "two-{n}"
        foreach = { n = "0-1" }
        after = ["one-{n}"]
        command = ["sh", "-c", "sh task.sh; : > went-on"]
        cost = { cpus = 0.5 }
    "#;
    home.run(graph, "", 0);
    home.diary().each_exactly_once(4);
    let ends = home.diary().ends().join(" ");
    assert_eq!(ends, "one-0 two-0 one-1 two-1");
}

#[test]
fn cores_are_not_given_twice() {
    let home = Home::new();
    let graph = r#"
        [[function]]
        id = "f-{n}"
        foreach = { n = "0-11" }
        command = ["sh", "task.sh"]
        cost = { cpus = 1.5 }
    "#;
    home.write("three.toml", "cpus = 3\nmemory = '8GiB'\n");
    home.run(graph, "--devices mock:three.toml", 0);
    assert!(home.diary().most_at_once() <= 2);
    home.diary().each_exactly_once(12);
}

#[test]
fn json_says_the_same_as_toml() {
    let home = Home::new();
    let graph = r#"{ "graph": { "name": "j" }, "function": [
        { "id": "a", "command": ["sh", "-c", "echo 5 > {out.0}"], "outputs": ["json"] },
        { "id": "b", "args": [["a", 0]], "command": ["cp", "{arg.0}", "{out.0}"], "outputs": ["json"] } ] }"#;
    home.write("graph.json", graph);
    let doc = home.call("run --local --json graph.json").ok().json();
    assert_eq!(
        (doc["graph"].as_str(), function(&doc, "b")["outputs"][0]["value"].as_i64()),
        (Some("j"), Some(5))
    );
}

#[test]
fn a_graph_has_a_time_limit_too() {
    let home = Home::new();
    let graph = "[graph]\ntimeout = '300ms'\n[[function]]\nid = 'a'\ncommand = ['sleep', '600']\ngrace = '100ms'\n\
        [[function]]\nid = 'b'\nafter = ['a']\ncommand = ['true']\n";
    let doc = home.run(graph, "", 1);
    assert!(matches!(doc["state"].as_str(), Some("failed" | "cancelled")), "{doc}");
    assert_eq!(function(&doc, "a")["cause"], "timeout", "the reason is told: {doc}");
    assert_ne!(function(&doc, "b")["state"], "succeeded");
    home.until_no_task();
}

#[test]
fn the_environment_of_the_submitter_comes_along() {
    let home = Home::new();
    home.write(
        "graph.toml",
        "[[function]]\nid = 'a'\ncommand = ['sh', '-c', 'echo \"$MINE\" > {out.0}']\noutputs = ['file']\n",
    );
    let doc = home.call("run --local --json graph.toml").env("MINE", "a secret").ok();
    assert_eq!(lines(&doc.json(), "a"), ["a secret"]);
    assert!(!doc.out.contains("a secret"), "it is never shown");
}

/// A pipe would never answer, a link could point anywhere: neither is a value, and neither holds anybody up.
#[test]
fn pipes_and_links_are_no_values_and_no_reports() {
    let home = Home::new();
    let part = |id: &str, script: &str| {
        format!("[[function]]\nid = '{id}'\ncommand = ['sh', '-c', '{script}']\noutputs = ['json']\n")
    };
    let graph = format!(
        "[graph]\ntolerance = 'tolerant'\n{}{}{}[[function]]\nid = 'reader'\nargs = [['pipe', 0], ['link', 0]]\ncommand = ['true']\n",
        part("pipe", "mkfifo {out.0}"),
        part("link", "ln -s /etc/passwd {out.0}"),
        part("report", "mkfifo $DUNNAGE_REPORT; echo 1 > {out.0}"),
    );
    home.write("graph.toml", &graph);
    let doc = home.call("run --local --json graph.toml").ok().json();
    for id in ["pipe", "link"] {
        let failed = function(&doc, id);
        assert_eq!(failed["state"], "failed", "{id}");
        assert!(
            failed["message"].as_str().is_some_and(|text| text.contains("not a regular file")),
            "{failed}"
        );
    }
    assert_eq!(function(&doc, "reader")["cause"], "upstream_failed");
    assert_eq!(function(&doc, "report")["state"], "succeeded");
}

/// A value that somebody removed is made again by its producer, and nothing is counted for it.
#[test]
fn a_value_that_is_gone_before_its_reader_starts_is_made_again() {
    let home = Home::new();
    let graph = "[[function]]\nid = 'a'\ncommand = ['sh', '-c', 'echo $DUNNAGE_ATTEMPT > {out.0}']\noutputs = ['file']\n\
        [[function]]\nid = 'c'\nargs = [['a', 0]]\ncommand = ['sh', '-c', '[ $(cat {arg.0}) = 2 ] || rm {arg.0}']\n\
        [[function]]\nid = 'b'\nargs = [['a', 0]]\nafter = ['c']\ncommand = ['cp', '{arg.0}', '{out.0}']\noutputs = ['json']\n";
    home.write("graph.toml", graph);
    let doc = home.call("run --local --json graph.toml").ok().json();
    assert_eq!(function(&doc, "b")["outputs"][0]["value"], 2, "by the second attempt at `a`");
    assert_eq!(function(&doc, "b")["attempts"], 1);
}
