//! Bad graph files and what is said about them. Each snapshot shows the document and the report.

use dunnage_wire::graph_file::{Limits, decode_text, render};
use std::fmt::Write as _;

/// Decodes each document, which must be refused, and shows what is said.
fn reports(extension: &str, cases: &[(&str, &str)]) -> String {
    let limits = Limits { functions: 1000, ..Limits::default() };
    let mut out = String::new();
    for (name, text) in cases {
        let (problems, places) = decode_text((*text).to_owned(), extension, &limits).expect_err(name);
        assert!(!problems.is_empty(), "{name}");
        let file = format!("graph.{extension}");
        writeln!(out, "== {name}\n{}\n--\n{}", text.trim_matches('\n'), render(&problems, &file, &places))
            .unwrap();
    }
    out
}

fn snapshot(name: &str, report: &str) {
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, report);
    });
}

/// A function that is well but for one more line.
fn with_line(line: &str) -> String {
    format!("[[function]]\nid = \"train\"\ncommand = [\"true\"]\n{line}\n")
}

fn lines(cases: &[&str]) -> String {
    let texts: Vec<String> = cases.iter().map(|line| with_line(line)).collect();
    let cases: Vec<(&str, &str)> =
        cases.iter().zip(&texts).map(|(line, text)| (*line, text.as_str())).collect();
    let limits = Limits { functions: 1000, ..Limits::default() };
    let mut out = String::new();
    for (line, text) in cases {
        let (problems, places) = decode_text(text.to_owned(), "toml", &limits).expect_err(line);
        writeln!(out, "{line}\n{}", render(&problems, "graph.toml", &places)).unwrap();
    }
    out
}

#[test]
fn documents_that_are_none() {
    snapshot(
        "documents_toml",
        &reports(
            "toml",
            &[
                ("no value", "[graph]\nname ="),
                ("open text", "[graph]\nname = \"x\n"),
                ("a key twice", "[graph]\nname = \"x\"\nname = \"y\"\n"),
                ("a table twice", "[graph]\n[graph]\n"),
                ("json in a toml file", "{\"graph\": {}}"),
                ("deep", &format!("a = {}", "[".repeat(100_000))[..64]),
            ],
        ),
    );
    snapshot(
        "documents_json",
        &reports(
            "json",
            &[
                ("empty", ""),
                ("cut off", "{\"graph\": {\"name\": \"x\""),
                ("comma", "{\"graph\": {\"name\": \"x\",}}"),
                ("something after", "{} {}"),
                ("a list", "[1, 2]"),
                ("a number", "7"),
                ("too large a number", "{\"graph\": {\"priority\": 1e999}}"),
                ("half an escape", "{\"graph\": {\"name\": \"\\ud800\"}}"),
                ("functions as an object", "{\"function\": {\"id\": \"a\"}}"),
                ("functions as text", "{\"function\": \"a\"}"),
                ("keys twice", "{\"graph\": {\"name\": \"a\", \"name\": \"b\"}, \"graph\": 3}"),
                ("a function that is none", "{\"function\": [null, 3, {}]}"),
            ],
        ),
    );
}

#[test]
fn deep_documents_are_refused() {
    let limits = Limits::default();
    for depth in [200, 100_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let text = format!("{{\"graph\": {}1{}}}", open.repeat(depth), close.repeat(depth));
            let (problems, _) = decode_text(text, "json", &limits).unwrap_err();
            assert!(problems[0].message.contains("recursion limit"), "{problems:?}");
        }
        for text in [
            format!("graph = {}1{}", "[".repeat(depth), "]".repeat(depth)),
            format!("graph = {}1{}", "{a=".repeat(depth), "}".repeat(depth)),
            format!("graph{} = 1", ".a".repeat(depth)),
            format!("[graph{}]", ".a".repeat(depth)),
        ] {
            let (problems, _) = decode_text(text, "toml", &limits).unwrap_err();
            assert!(problems[0].message.starts_with("not TOML"), "{problems:?}");
        }
    }
}

#[test]
fn unknown_keys() {
    snapshot(
        "unknown_keys",
        &reports(
            "toml",
            &[(
                "everywhere",
                r#"
title = "x"
[graph]
nmae = "x"
memory = 3
tolerance = { max_failure = 3 }
[defaults]
comand = ["x"]
command = ["x"]
gpus = 1
[functions]
[[function]]
id = "train"
command = ["true"]
cmd = ["true"]
gpu_memory = "1GiB"
max = 3
strategy = "heft"
depends_on = ["x"]
elephant = 1
outputs = [{ kind = "file", sise = "1MiB" }]
cost = { memroy = "1GiB", timeout = "3s", "gpu-memory" = 3, ram = 3 }
variants = [{ devcie = "cpu", cost = { cpu = 1 } }]
retry = { factor = 3.0, retries = 2, oom = { fctor = 2.0 } }
[function.python]
cal = "a:b"
"#,
            )],
        ),
    );
}

#[test]
fn the_graph_table() {
    snapshot(
        "the_graph_table",
        &reports(
            "toml",
            &[
                ("no table", "graph = 3"),
                (
                    "types",
                    r#"
[graph]
name = 3
strategy = ["heft"]
order = true
tolerance = 5
on_failure = 1979-05-27
timeout = 60
priority = "high"
keep = "score.0"
inputs = ["data.csv"]
"#,
                ),
                (
                    "values",
                    r#"
[graph]
name = " "
strategy = ""
order = "dga"
tolerance = "strikt"
on_failure = "stop"
timeout = "60"
priority = 1.5
keep = ["score.0", 3]
inputs = { data = "", more = 3 }
"#,
                ),
                (
                    "more values",
                    r#"
[graph]
order = "elephant"
tolerance = { max_failures = -1 }
timeout = "0s"
priority = 10000000
"#,
                ),
                ("both tolerances", "[graph]\ntolerance = { max_failures = 1, min_success = 0.5 }"),
                ("no tolerance", "[graph]\ntolerance = {}"),
                ("min_success", "[graph]\ntolerance = { min_success = 95 }"),
                ("min_success nan", "[graph]\ntolerance = { min_success = nan }"),
                (
                    "weights",
                    "[graph]\nweights = { tme = 1, energy = -1, transfer = nan, fragmentation = \"1\" }",
                ),
                ("weights inf", "[graph]\nweights = { time = inf, energy = 1e7 }"),
                ("no weight", "[graph]\nweights = { time = 0 }"),
                ("weights of time alone", "[graph]\nweights = 1"),
            ],
        ),
    );
}

#[test]
fn what_a_function_runs() {
    snapshot(
        "what_a_function_runs",
        &reports(
            "toml",
            &[
                ("nothing", "[[function]]\nid = \"a\""),
                ("no id", "[[function]]\ncommand = [\"true\"]"),
                ("an empty id", "[[function]]\nid = \"\"\ncommand = [\"true\"]"),
                ("two things", "[[function]]\nid = \"a\"\ncommand = [\"true\"]\nkernel = \"gemm\""),
                ("a table", "[function]\nid = \"a\""),
                ("words", "[[function]]\nid = \"a\"\ncommand = \"python3 train.py\""),
                ("a line of shell", "[[function]]\nid = \"a\"\ncommand = \"cat x | wc > y\""),
                ("an empty command", "[[function]]\nid = \"a\"\ncommand = []"),
                ("an empty program", "[[function]]\nid = \"a\"\ncommand = [\"\"]"),
                ("numbers", "[[function]]\nid = \"a\"\ncommand = [\"seq\", 3]"),
                ("nul", "[[function]]\nid = \"a\"\ncommand = [\"a\\u0000b\"]"),
                ("params of a command", "[[function]]\nid = \"a\"\ncommand = [\"a\"]\nparams = { x = 1 }"),
                (
                    "params",
                    "[[function]]\nid = \"a\"\nkernel = \"gemm\"\nparams = { x = inf, y = 1979-05-27, z = [99999999999999999999] }",
                ),
                ("python", "[[function]]\nid = \"a\"\npython = \"module:function\""),
                (
                    "python call",
                    "[[function]]\nid = \"a\"\npython = { call = \"module.function\", pure = \"yes\" }",
                ),
                ("python nothing", "[[function]]\nid = \"a\"\npython = { }"),
                (
                    "a terminal",
                    "[[function]]\nid = \"\\u001b[31m\"\ncommand = [\"a\"]\n\"\\u001b[2J\" = 3\ntimeout = \"\\u001b[2J\\n\"",
                ),
            ],
        ),
    );
}

#[test]
fn sweeps() {
    snapshot(
        "sweeps",
        &lines(&[
            "foreach = [1, 2]",
            "foreach = { x = 3 }",
            "foreach = { x = [] }",
            "foreach = { x = [[1], { a = 1 }, nan] }",
            "foreach = { x = \"7-0\" }",
            "foreach = { x = \"0-7:0\" }",
            "foreach = { x = \"0..7\" }",
            "foreach = { x = \"-3-7\" }",
            "foreach = { x = \"+3-7\" }",
            "foreach = { x = \"0-999999999\" }",
            "foreach = { x = \"0-18446744073709551615\" }",
            "foreach = { x = \"0-99999999999999999999\" }",
            "foreach = { x = \"0-600\", y = \"0-600\" }",
            "max_parallel = 0",
        ]),
    );
}

#[test]
fn what_a_function_reads_and_makes() {
    snapshot(
        "what_a_function_reads_and_makes",
        &lines(&[
            "args = \"prepare\"",
            "args = [\"prepare\", 0]",
            "args = [\"prepare\"]",
            "args = [[\"prepare\"]]",
            "args = [[0, \"prepare\"]]",
            "args = [[\"prepare\", -1], [\"prepare\", 70000], [\"prepare\", 0.5]]",
            "args = [[\"prepare\", 0, \"suceeded\"]]",
            "args = [[\"prepare\", 0, \"succeeded\", 1]]",
            "after = \"prepare\"",
            "after = [[\"prepare\", 0]]",
            "outputs = \"file\"",
            "outputs = [\"flie\", 3]",
            "outputs = [{ size = \"1MiB\" }]",
            "outputs = [{ kind = \"file\", size = 100 }]",
            "outputs = [{ kind = \"file\", size = \"100 parsecs\" }]",
        ]),
    );
    let many = with_line(&format!("outputs = [{}]", "\"file\", ".repeat(65)));
    let (problems, _) = decode_text(many, "toml", &Limits::default()).unwrap_err();
    assert_eq!(problems[0].message, "too many outputs");
}

#[test]
fn how_a_function_runs() {
    snapshot(
        "how_a_function_runs",
        &lines(&[
            "env = [\"A=B\"]",
            "env = { A = [1], \"B=\" = \"x\", C = \"a\\u0000b\" }",
            "dir = \"\"",
            "timeout = 30",
            "timeout = \"30\"",
            "timeout = \"30 fortnights\"",
            "timeout = \"-30s\"",
            "timeout = \"soon\"",
            "timeout = \"0s\"",
            "timeout = \"99999999999999d\"",
            "grace = true",
            "signal = \"TREM\"",
            "signal = \"elephant\"",
            "signal = 32",
            "node = \"\"",
            "compensate = \"rm -rf scratch\"",
            "retry = 3",
            "retry = { max = -1, backoff = \"linear\", base = 1, cap = \"1x\", jitter = 0.5, oom = 3 }",
            "retry = { base = \"1m\", cap = \"1s\" }",
            "retry = { oom = { max = 1.5, factor = 0.5 } }",
        ]),
    );
}

#[test]
fn costs() {
    snapshot(
        "costs",
        &lines(&[
            "cost = 3",
            "cost = { cpus = \"4\" }",
            "cost = { cpus = -1 }",
            "cost = { cpus = nan }",
            "cost = { cpus = inf }",
            "cost = { cpus = 1e300 }",
            "cost = { memory = \"20Gib\" }",
            "cost = { memory = \"20\" }",
            "cost = { memory = -1 }",
            "cost = { memory = 1e300 }",
            "cost = { memory = 99999999999999999999999999999999999999999999999999 }",
            "cost = { memory = \"99999999999TiB\" }",
            "cost = { memory = [1] }",
            "cost = { gpus = 0.5 }",
            "cost = { gpus = 100000 }",
            "cost = { gpu_share = 1.5 }",
            "cost = { gpu_share = 0 }",
            "cost = { has_cuda_requirement = \"yes\" }",
            "cost = { compute_capability = \"sm_80\" }",
            "cost = { compute_capability = -8.0 }",
            "cost = { gpu_model = \"\" }",
            "cost = { duration = \"20 secs\" }",
            "cost = { flops = \"1.2 TFLOP\" }",
            "cost = { flops = -1 }",
            "cost = { custom = { licence = 1.5, seats = -1, \"\" = 1 } }",
            "variants = { device = \"gpu\" }",
            "variants = [{ device = \"tpu\" }, \"cpu\"]",
        ]),
    );
}

#[test]
fn all_problems_come_at_once_up_to_a_number() {
    let text = "[[function]]\nid = 3\n".repeat(80);
    let (problems, _) = decode_text(text, "toml", &Limits::default()).unwrap_err();
    assert_eq!(problems.len(), 101);
    assert_eq!(problems[100].message, "and 60 more problems");
}

#[test]
fn too_many_functions_stop_the_reading() {
    let limits = Limits { functions: 3, ..Limits::default() };
    let json = format!("{{\"function\": [{}{{}}]}}", "{\"id\": \"a\", \"command\": [\"a\"]}, ".repeat(3));
    let toml = "[[function]]\nid = \"a\"\ncommand = [\"a\"]\n".repeat(4);
    for (text, extension) in [(json, "json"), (toml, "toml")] {
        let (problems, _) = decode_text(text, extension, &limits).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].message, "the graph has too many functions");
    }
}

#[test]
fn short_documents_do_not_become_long_graphs() {
    let limits = Limits { bytes: 1 << 20, ..Limits::default() };
    let function = "{\"id\": \"a\", \"command\": [\"a\"]}, ".repeat(1000);
    let long = "x".repeat(2000);
    let text = format!(
        "{{\"function\": [{}], \"defaults\": {{\"env\": {{\"A\": \"{long}\"}}}}}}",
        &function[..function.len() - 2]
    );
    let (problems, _) = decode_text(text, "json", &limits).unwrap_err();
    assert_eq!(problems[0].message, "defaults that are too long for so many functions");
    let many = (0..20_000).map(|n| format!("E{n} = {n}")).collect::<Vec<_>>().join("\n");
    let text = format!(
        "[defaults.env]\n{many}\n[[function]]\nid = \"a\"\ncommand = [\"a\"]\n[function.env]\n{many}\nX = 1\n"
    );
    let spec = decode_text(text, "toml", &Limits::default()).unwrap().spec;
    assert_eq!(spec.functions[0].env.len(), 20_001);
}
