//! The command line itself: help, completions, configuration, schema.

use dunnage_tests::{Home, has_keys};
use serde_json::Value;

const VERBS: [&str; 17] = [
    "run",
    "daemon",
    "submit",
    "queue",
    "status",
    "wait",
    "logs",
    "cancel",
    "hold",
    "release",
    "retry",
    "explain",
    "plan",
    "devices",
    "doctor",
    "schema",
    "completions",
];

#[test]
fn every_command_explains_itself_with_an_example() {
    let home = Home::new();
    let all = home.call("--help").ok().out;
    for verb in VERBS {
        assert!(all.contains(&format!("\n  {verb} ")), "{verb} is not listed");
        let help = home.call(verb).words(" --help").ok().out;
        assert!(help.contains("Usage: dunnage"), "{help}");
        if !matches!(verb, "hold" | "release" | "doctor" | "schema") {
            assert!(help.contains("Example"), "`{verb} --help` shows no example");
        }
    }
    home.call("config show --help").ok();
    assert!(home.call("--version").ok().out.starts_with("dunnage "));
}

#[test]
fn completions_are_there_for_the_usual_shells() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = home.call("completions").arg(shell).ok().out;
        assert!(script.contains("explain") && script.len() > 1000, "{shell}");
    }
    home.call("completions csh").end().expect(2).says(&["csh", "bash"]);
}

#[test]
fn the_schema_is_json_and_knows_the_keys() {
    let home = Home::new();
    let schema: Value = home.call("schema").ok().json();
    assert!(schema["$schema"].is_string());
    for key in ["graph", "defaults", "function"] {
        assert!(schema["properties"][key].is_object(), "{key}");
    }
    let text = schema.to_string();
    for key in [
        "foreach",
        "max_parallel",
        "compensate",
        "gpu_memory",
        "has_cuda_requirement",
        "variants",
        "tolerance",
    ] {
        assert!(text.contains(&format!("\"{key}\"")), "{key}");
    }
}

#[test]
fn every_setting_knows_where_it_comes_from() {
    let home = Home::new();
    home.write("mine.toml", "log_max = '1MiB'\nstrategy = 'random'\ndevices = 'host'\n");
    let call = home
        .call("config show --json --config mine.toml --devices mock:2x24g")
        .env("DUNNAGE_STRATEGY", "heft");
    let entries = call.ok().json();
    let entry = |key: &str| {
        entries
            .as_array()
            .and_then(|all| all.iter().find(|entry| entry["key"] == key))
            .cloned()
            .unwrap_or_default()
    };
    for key in ["log_max", "strategy", "devices", "state_dir", "gpu_env"] {
        has_keys(&entry(key), "key:string value origin:string about:string");
    }
    let origin = |key: &str| entry(key)["origin"].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        (entry("log_max")["value"].as_str(), entry("strategy")["value"].as_str()),
        (Some("1MiB"), Some("heft"))
    );
    assert_eq!(entry("devices")["value"], "mock:2x24g");
    assert!(origin("log_max").contains("mine.toml"), "{}", origin("log_max"));
    assert!(origin("strategy").contains("DUNNAGE_STRATEGY"), "{}", origin("strategy"));
    assert!(origin("devices").contains("--devices") && origin("gpu_env").contains("default"));
    let text = home.call("config show --config mine.toml").ok().out;
    assert!(text.contains("log_max") && text.contains("mine.toml"), "{text}");
}

#[test]
fn a_wrong_configuration_names_file_line_value_and_fix() {
    let home = Home::new();
    home.write("mine.toml", "log_max = '1MiB'\nstratgy = 'heft'\nprobe_timeout = 5\n");
    let said = home.call("config show --config mine.toml").end().expect(2);
    said.says(&["mine.toml:2", "stratgy", "did you mean `strategy`?", "probe_timeout", "`5`"]);
    home.call("config show --config none.toml").end().expect(2).says(&["none.toml"]);
    let said = home.call("config show").env("DUNNAGE_LOG_MAX", "many").end().expect(2);
    said.says(&["DUNNAGE_LOG_MAX", "many"]);
}

#[test]
fn nothing_but_a_terminal_gets_escapes() {
    let home = Home::new();
    let calls = ["devices --devices mock:mixed", "doctor", "--help", "run --bogus", "queue", "config show"];
    for words in calls {
        let ended = home.call(words).end();
        assert!(!ended.out.contains('\u{1b}') && !ended.err.contains('\u{1b}'), "{words}: {ended:?}");
    }
    let coloured = home.call("devices --devices mock:dying --color always").ok().out;
    assert!(coloured.contains('\u{1b}'), "{coloured}");
    let plain = home.call("devices --devices mock:dying --color never").ok().out;
    assert!(!plain.contains('\u{1b}'));
}

#[test]
fn flags_stand_anywhere() {
    let home = Home::new();
    let before = home.call("--json --devices mock:2x24g devices").ok().json();
    let after = home.call("devices --devices mock:2x24g --json").ok().json();
    assert_eq!(before["gpus"].as_array().map(Vec::len), after["gpus"].as_array().map(Vec::len));
}

#[test]
fn doctor_names_checks_with_a_fix_for_what_is_wrong() {
    let home = Home::new();
    let doc = home.call("doctor --json").ok().json();
    assert!(doc["daemon"].is_null());
    let checks = doc["checks"].as_array().expect("checks");
    assert!(!checks.is_empty());
    for check in checks {
        has_keys(check, "name:string ok:bool detail:string fix:string|?");
        assert!(check["ok"] == true || check["fix"].is_string(), "{check}");
    }
    assert!(!home.state().exists(), "looking makes nothing");
}

#[test]
fn a_plan_is_shown_without_running_it() {
    let home = Home::new();
    let graph = "[graph]\nname = 'p'\n[[function]]\nid = 'a-{n}'\nforeach = { n = '0-3' }\ncommand = ['touch', 'ran']\n\
        cost = { gpu_memory = '20GiB', duration = '1s' }\n[[function]]\nid = 'b'\nafter = ['a[*]']\ncommand = ['touch', 'ran']\n";
    home.write("graph.toml", graph);
    let doc = home.call("plan graph.toml --devices mock:2x24g --json --strategy heft").ok().json();
    has_keys(&doc, "graph:string functions:count strategy:string makespan_s:number tasks:list");
    assert_eq!((doc["functions"].as_u64(), doc["strategy"].as_str()), (Some(5), Some("heft")));
    let tasks = doc["tasks"].as_array().expect("tasks");
    let on = |device: &str| tasks.iter().filter(|task| task["device"] == device).count();
    assert_eq!((on("gpu0"), on("gpu1")), (2, 2), "{doc}");
    assert!(doc["makespan_s"].as_f64() >= Some(2.0), "two after another on each card");
    let text = home.call("plan graph.toml --devices mock:2x24g").ok().out;
    assert!(text.contains("gpu1") && text.contains("heft"), "{text}");
    assert!(!home.path("ran").exists());
    home.call("plan graph.toml --devices mock:2x24g --strategy hefd").end().expect(2).says(&["hefd", "heft"]);
    home.call("plan graph.toml --devices host").end().expect(4).says(&["GPU"]);
}
