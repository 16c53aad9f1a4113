//! Where each value of the configuration comes from, and what is said about bad ones.

use dunnage_model::{Bytes, Links, Span};
use dunnage_wire::config::{Config, GpuEnv, KEYS, KeyKind, Origin, SourceFile, Sources, config_paths};
use std::path::{Path, PathBuf};

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn file(path: &str, text: &str) -> SourceFile {
    SourceFile { path: path.into(), text: text.into() }
}

/// The report of sources that are refused.
fn report(sources: &Sources) -> String {
    let problems = Config::load(sources).unwrap_err();
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_later_source_wins_and_is_named() {
    let sources = Sources {
        files: vec![
            file(
                "/etc/dunnage/config.toml",
                "devices = \"host\"\nstrategy = \"heft\"\nlog_max = \"1MiB\"\nkeep_logs = \"1d\"",
            ),
            file(
                "/home/u/.config/dunnage/config.toml",
                "strategy = \"random\"\nlog_max = \"2MiB\"\nkeep_logs = \"2d\"",
            ),
        ],
        env: pairs(&[("DUNNAGE_LOG_MAX", "3MiB"), ("DUNNAGE_KEEP_LOGS", "3d"), ("DUNNAGE_WORKERS", "")]),
        flags: pairs(&[("keep_logs", "4d")]),
        uid: 1000,
    };
    let config = Config::load(&sources).unwrap();
    assert_eq!((config.devices.as_str(), config.strategy.as_str()), ("host", "random"));
    assert_eq!((config.log_max, config.keep_logs), (Bytes::mib(3), Span::secs(4 * 86_400)));
    assert_eq!(config.workers, None);
    assert_eq!(config.origin("devices").to_string(), "/etc/dunnage/config.toml");
    assert_eq!(config.origin("strategy").to_string(), "/home/u/.config/dunnage/config.toml");
    assert_eq!(config.origin("log_max").to_string(), "environment variable DUNNAGE_LOG_MAX");
    assert_eq!(config.origin("keep_logs").to_string(), "flag --keep-logs");
    assert_eq!(config.origin("workers").to_string(), "default");
}

#[test]
fn default_directories_follow_the_environment() {
    let load = |env: &[(&str, &str)], uid| {
        let config = Config::load(&Sources { env: pairs(env), uid, ..Sources::default() }).unwrap();
        (config.state_dir.display().to_string(), config.socket.display().to_string())
    };
    assert_eq!(
        load(&[("HOME", "/home/u")], 1000),
        ("/home/u/.local/state/dunnage".into(), "/home/u/.local/state/dunnage/dunnage.sock".into())
    );
    assert_eq!(
        load(&[("HOME", "/h"), ("XDG_STATE_HOME", "/s"), ("XDG_RUNTIME_DIR", "/run/user/7")], 1000),
        ("/s/dunnage".into(), "/run/user/7/dunnage/dunnage.sock".into())
    );
    assert_eq!(load(&[], 1000).0, "/tmp/dunnage-1000");
    // A relative directory does not count.
    assert_eq!(load(&[("HOME", "/h"), ("XDG_STATE_HOME", "s")], 1000).0, "/h/.local/state/dunnage");
    assert_eq!(
        load(&[("HOME", "/root")], 0),
        ("/var/lib/dunnage".into(), "/run/dunnage/dunnage.sock".into())
    );
}

#[test]
fn the_socket_goes_with_the_state_unless_it_is_said() {
    let mut sources = Sources { flags: pairs(&[("state_dir", "/tmp/s")]), ..Sources::default() };
    sources.env = pairs(&[("XDG_RUNTIME_DIR", "/run/user/7")]);
    let config = Config::load(&sources).unwrap();
    assert_eq!(config.socket, Path::new("/tmp/s/dunnage.sock"));
    assert_eq!(config.origin("socket"), &Origin::Flag("--state-dir".into()));
    sources.flags.extend(pairs(&[("socket", "/tmp/other.sock")]));
    assert_eq!(Config::load(&sources).unwrap().socket, Path::new("/tmp/other.sock"));
}

#[test]
fn resources_are_merged_name_by_name() {
    let sources = Sources {
        files: vec![file("/a", "[resources]\nlicence = 3\nseats = 2")],
        env: pairs(&[("DUNNAGE_RESOURCES", "seats=5, more = 1")]),
        ..Sources::default()
    };
    let config = Config::load(&sources).unwrap();
    let amounts: Vec<_> = config.resources.iter().map(|(name, amount)| (name.as_str(), *amount)).collect();
    assert_eq!(amounts, [("licence", 3), ("more", 1), ("seats", 5)]);
    assert_eq!(config.origin("resources.licence"), &Origin::File("/a".into()));
    assert_eq!(config.origin("resources.seats"), &Origin::Env("DUNNAGE_RESOURCES".into()));
}

#[test]
fn what_a_machine_costs_is_merged_name_by_name() {
    let text = "prices = { cpu = 0.00001, \"H100 NVL\" = 2 }\n[watts]\ncpu = 5\n[links]\nhost_gpu = \"25GiB/s\"\nlatency = \"5us\"";
    let sources = Sources {
        files: vec![file("/a", text)],
        env: pairs(&[("DUNNAGE_PRICES", "h100 nvl=3, a100=1"), ("DUNNAGE_LINKS", "gpu_gpu=300GB")]),
        ..Sources::default()
    };
    let config = Config::load(&sources).unwrap();
    let tariff = config.tariff();
    assert_eq!((tariff.price(None), tariff.price(Some("NVIDIA H100 NVL"))), (0.00001, 3.0));
    assert_eq!((tariff.power(None), tariff.price(Some("A100-SXM"))), (5.0, 1.0));
    assert_eq!((tariff.links.host_gpu, tariff.links.gpu_gpu), (25.0 * 1_073_741_824.0, 3e11));
    assert_eq!((tariff.links.node_node, tariff.links.latency), (Links::default().node_node, 5e-6));
    let shown: Vec<String> = config
        .entries()
        .iter()
        .filter(|entry| ["prices.", "watts.", "links."].iter().any(|table| entry.key.starts_with(table)))
        .map(|entry| format!("{} = {} # {}", entry.key, entry.value, entry.origin))
        .collect();
    assert_eq!(
        shown,
        [
            "prices.a100 = 1.0 # environment variable DUNNAGE_PRICES",
            "prices.cpu = 0.00001 # /a",
            "prices.\"h100 nvl\" = 3.0 # environment variable DUNNAGE_PRICES",
            "watts.cpu = 5.0 # /a",
            "links.host_gpu = \"25GiB/s\" # /a",
            "links.gpu_gpu = \"300GB/s\" # environment variable DUNNAGE_LINKS",
            "links.node_node = \"1100MB/s\" # default",
            "links.latency = \"5us\" # /a",
        ]
    );
    // What is shown is what is read.
    let text = shown.join("\n");
    let again = Config::load(&Sources { files: vec![file("/b", &text)], ..Sources::default() }).unwrap();
    assert_eq!(again.tariff(), tariff);
}

#[test]
fn what_a_machine_cannot_cost_is_refused() {
    let text = "prices = { cpu = -1, h100 = nan, a100 = inf, \"\" = 1, b = \"3\" }\nwatts = { h100 = 1e9 }\n\
                links = { host_gup = \"1GiB\", host_gpu = 25, gpu_gpu = \"0B\", node_node = \"fast\", latency = \"2h\" }";
    let sources = Sources {
        files: vec![file("/c.toml", text)],
        env: pairs(&[
            ("DUNNAGE_WATTS", "cpu"),
            ("DUNNAGE_LINKS", "latency=[2J"),
            ("DUNNAGE_PRICES", "cpu=1e400"),
        ]),
        ..Sources::default()
    };
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("bad_tariff", report(&sources));
    });
}

#[test]
fn paths_of_a_file_are_relative_to_it() {
    let sources =
        Sources { files: vec![file("/etc/dunnage/c.toml", "socket = \"d.sock\"")], ..Sources::default() };
    assert_eq!(Config::load(&sources).unwrap().socket, Path::new("/etc/dunnage/d.sock"));
}

#[test]
fn every_key_can_be_set_and_is_shown() {
    for key in KEYS {
        let (text, shown) = match key.kind {
            KeyKind::Path => ("/x/y", "\"/x/y\""),
            KeyKind::Text => ("word", "\"word\""),
            KeyKind::Word(words) => (words[1], "\"index\""),
            KeyKind::Address => (":9750", "\"127.0.0.1:9750\""),
            KeyKind::Size => ("1536KiB", "\"1536KiB\""),
            KeyKind::Time => ("90m", "\"90m\""),
            KeyKind::Count => ("7", "7"),
            KeyKind::Resources => ("licence=3", "3"),
            KeyKind::Rates => ("h100=0.5", "0.5"),
            KeyKind::Links => ("host_gpu=25GiB", "\"25GiB/s\""),
        };
        let sources = Sources { env: pairs(&[(&key.variable(), text)]), ..Sources::default() };
        let config = Config::load(&sources).unwrap_or_else(|problems| panic!("{}: {problems:?}", key.name));
        let entries = config.entries();
        let entry = entries.iter().find(|entry| entry.key.split('.').next() == Some(key.name)).unwrap();
        assert_eq!(entry.value.to_string(), shown, "{}", key.name);
        assert_eq!(entry.origin, Origin::Env(key.variable()), "{}", key.name);
    }
    assert_eq!(Config::load(&Sources::default()).unwrap().gpu_env, GpuEnv::Uuid);
}

#[test]
fn what_is_shown_can_be_written_into_a_file() {
    let config = Config::load(&Sources::default()).unwrap();
    let text: Vec<String> = config
        .entries()
        .iter()
        .filter(|entry| !entry.value.is_null())
        .map(|entry| format!("{} = {}", entry.key, entry.value))
        .collect();
    let again =
        Config::load(&Sources { files: vec![file("/c.toml", &text.join("\n"))], ..Sources::default() })
            .unwrap();
    let values = |config: &Config| config.entries().into_iter().map(|entry| entry.value).collect::<Vec<_>>();
    assert_eq!(values(&config), values(&again));
}

#[test]
fn all_problems_of_all_sources_are_reported() {
    let long = format!("/tmp/{}", "x".repeat(200));
    let sources = Sources {
        files: vec![
            file("/etc/dunnage/config.toml", "devices = \n"),
            file(
                "/c.toml",
                "# comment\ndevises = \"x\"\nelephant = 1\nlog_max = 100\nkeep_logs = \"0s\"\nkeep_values = \"3 fortnights\"\n\
                 workers = 0\ngpu_env = \"name\"\nlisten_metrics = \"9750\"\nresources = 3\nstrategy = 1",
            ),
        ],
        env: pairs(&[
            ("DUNNAGE_RESOURCES", "licence"),
            ("DUNNAGE_WORKERS", "many"),
            ("DUNNAGE_LOG_MAX", "99999999999TiB"),
            ("DUNNAGE_PROBE_TIMEOUT", "\u{1b}[2J"),
        ]),
        flags: pairs(&[("socket", &long), ("nothing", "x"), ("sample_interval", "30")]),
        uid: 1000,
    };
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("bad_config", report(&sources));
    });
}

#[test]
fn a_mistyped_variable_is_a_warning_and_those_of_attempts_are_none() {
    let env = pairs(&[
        ("DUNNAGE_DEVICE", "host"),
        ("DUNNAGE_OUT_0", "/x"),
        ("DUNNAGE_GRAPH", "g"),
        ("DUNNAGE_SOMETHING_ELSE", "g"),
        ("PATH", "/bin"),
    ]);
    let config = Config::load(&Sources { env, ..Sources::default() }).unwrap();
    let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        ["DUNNAGE_DEVICE: no variable of this program\n  hint: did you mean `DUNNAGE_DEVICES`?"]
    );
}

#[test]
fn files_are_looked_for_in_the_usual_places() {
    let system = PathBuf::from("/etc/dunnage/config.toml");
    let find = |env: &[(&str, &str)], named: Option<&str>| config_paths(&pairs(env), named.map(Path::new));
    assert_eq!(find(&[], None), std::slice::from_ref(&system));
    assert_eq!(find(&[("HOME", "/h")], None), [system.clone(), "/h/.config/dunnage/config.toml".into()]);
    let xdg = [("HOME", "/h"), ("XDG_CONFIG_HOME", "/c")];
    assert_eq!(find(&xdg, None), [system.clone(), "/c/dunnage/config.toml".into()]);
    assert_eq!(find(&xdg, Some("mine.toml")), [system.clone(), "mine.toml".into()]);
    assert_eq!(find(&[("DUNNAGE_CONFIG", "/d.toml")], None), [system, "/d.toml".into()]);
}
