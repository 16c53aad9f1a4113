//! The metrics page: names that dashboards rely on, and numbers that agree with what happens.

use dunnage_tests::{Home, ask, until};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

/// A page, taken apart: series with their values, and the types of families.
struct Page {
    text: String,
    series: BTreeMap<String, f64>,
    types: BTreeMap<String, String>,
}

fn page(home: &Home) -> Page {
    let answer = ask(&home.socket(), "GET", "/metrics", &[], "");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(
        answer.head.to_lowercase().contains("content-type: text/plain; version=0.0.4"),
        "{}",
        answer.head
    );
    parse(answer.body)
}

fn parse(text: String) -> Page {
    let mut series = BTreeMap::new();
    let mut types = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} is there twice");
        } else if !line.starts_with('#') && !line.is_empty() {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            let value = value.parse().unwrap_or_else(|_| panic!("not a number: {line}"));
            assert!(series.insert(name.to_owned(), value).is_none(), "{name} is there twice");
        }
    }
    Page { text, series, types }
}

impl Page {
    /// The values of a family by the value of one label.
    fn by(&self, family: &str, label: &str) -> BTreeMap<String, f64> {
        let mine = self.series.iter().filter(|(name, _)| name.split('{').next() == Some(family));
        mine.map(|(name, value)| {
            let label = name.split(&format!("{label}=\"")).nth(1).and_then(|rest| rest.split('"').next());
            (label.unwrap_or_default().to_owned(), *value)
        })
        .collect()
    }
}

#[test]
fn the_names_are_there_with_type_help_and_unit() {
    let home = Home::new();
    let _daemon = home.daemon("--devices mock:2x24g");
    home.call("submit -J busy --gpu-memory 10G -- sh task.sh open").ok();
    until("the task", || home.diary().pid_of("job"));
    let page = until("a sample", || {
        let page = page(&home);
        page.series.keys().any(|name| name.starts_with("dunnage_task_gpu_memory_used_bytes")).then_some(page)
    });
    for name in [
        "dunnage_build_info",
        "dunnage_gpu_info",
        "dunnage_gpu_memory_total_bytes",
        "dunnage_gpu_memory_used_bytes",
        "dunnage_gpu_memory_allocated_bytes",
        "dunnage_gpu_energy_joules_total",
        "dunnage_task_gpu_memory_allocated_bytes",
        "dunnage_task_gpu_memory_used_bytes",
        "dunnage_queue_depth",
        "dunnage_collector_success",
    ] {
        assert!(page.types.contains_key(name), "no type of {name}");
        assert!(page.series.keys().any(|series| series.starts_with(name)), "no series of {name}");
    }
    for (name, kind) in &page.types {
        assert!(page.text.contains(&format!("# HELP {name} ")), "{name} has no help");
        assert!(kind != "counter" || name.ends_with("_total"), "{name} is a counter");
    }
    assert!(!page.text.contains("pid=\""), "no label may hold a pid");
    assert!(page.by("dunnage_collector_success", "collector").values().all(|value| *value == 1.0));
    let families: BTreeSet<&str> = page.series.keys().filter_map(|name| name.split('{').next()).collect();
    let untyped: Vec<_> = families
        .iter()
        .filter(|name| {
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            !page.types.contains_key(**name) && base.is_none_or(|base| !page.types.contains_key(base))
        })
        .collect();
    assert!(untyped.is_empty(), "{untyped:?}");
}

#[test]
fn numbers_follow_what_runs() {
    let home = Home::new();
    let _daemon = home.daemon("--devices mock:2x24g");
    let graph = "[[function]]\nid = 'f-{n}'\nforeach = { n = '1-7' }\ncommand = ['sh', 'task.sh', 'open']\ncost = { cpus = 0, gpu_memory = '10GiB' }\n";
    home.submit(graph);
    until("four tasks", || (home.diary().begins().len() == 4).then_some(()));
    let now = page(&home);
    let allocated = now.by("dunnage_gpu_memory_allocated_bytes", "gpu_uuid");
    assert_eq!(allocated.values().copied().collect::<Vec<_>>(), [20_f64 * f64::from(1 << 30); 2]);
    assert_eq!(now.by("dunnage_task_gpu_memory_allocated_bytes", "task").len(), 4);
    let depth = now.by("dunnage_queue_depth", "state");
    assert_eq!((depth["queued"], depth["running"]), (3.0, 4.0));
    let energy = now.by("dunnage_gpu_energy_joules_total", "gpu_uuid");
    until("used as much as was given, by somebody", || {
        let page = page(&home);
        let used = page.by("dunnage_gpu_memory_used_bytes", "gpu_uuid");
        (used == allocated).then_some(())
    });
    home.open("open");
    home.call("wait 1").ok();
    let after = until("an idle machine", || {
        let page = page(&home);
        page.by("dunnage_gpu_memory_used_bytes", "gpu_uuid").values().all(|used| *used == 0.0).then_some(page)
    });
    assert!(
        after.by("dunnage_task_gpu_memory_allocated_bytes", "task").is_empty(),
        "only while the task runs"
    );
    assert!(after.by("dunnage_gpu_memory_allocated_bytes", "gpu_uuid").values().all(|bytes| *bytes == 0.0));
    assert_eq!(after.by("dunnage_tasks_total", "outcome")["succeeded"], 7.0);
    for (gpu, joules) in after.by("dunnage_gpu_energy_joules_total", "gpu_uuid") {
        assert!(joules >= energy[&gpu], "a counter never falls");
    }
}

#[test]
fn the_tcp_listener_serves_metrics_and_health_alone() {
    let home = Home::new();
    let mut daemon = home.daemon("--metrics 127.0.0.1:0");
    let address = daemon.metrics_address();
    let get = |method: &str, path: &str| {
        let mut stream = TcpStream::connect(&address).expect("a listener");
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        .expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        text
    };
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert!(get("GET", path).starts_with("HTTP/1.1 200"), "{path}");
    }
    assert!(get("GET", "/metrics").contains("dunnage_build_info{version="));
    for (method, path) in [
        ("GET", "/v1/graphs"),
        ("POST", "/v1/stop"),
        ("POST", "/metrics"),
        ("GET", "/v1/devices"),
        ("GET", "/"),
    ] {
        let answer = get(method, path);
        assert!(answer.starts_with("HTTP/1.1 40"), "{method} {path}: {answer}");
    }
    assert!(daemon.lives());
    home.call("daemon --state-dir other --socket other.sock --metrics")
        .arg(&address)
        .end()
        .expect(1)
        .says(&[&address]);
}

#[test]
fn promtool_finds_nothing_wrong() {
    let home = Home::new();
    let _daemon = home.daemon("--devices mock:mixed");
    home.call("submit --gpu-memory 1G -- sh task.sh open").ok();
    until("the task", || home.diary().pid_of("job"));
    let page = page(&home);
    let checker = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut checker) = checker else {
        eprintln!("skipped: promtool is not installed");
        return;
    };
    checker.stdin.take().expect("a pipe").write_all(page.text.as_bytes()).expect("written");
    let output = checker.wait_with_output().expect("ended");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
