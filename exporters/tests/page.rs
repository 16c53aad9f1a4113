//! The page as Prometheus sees it.

mod support;

use dunnage_exporters::{ProcessInfo, Spec, TABLE, TASK_SERIES_MAX};
use dunnage_model::{Bytes, DeviceId, NodeId, Snapshot};
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use support::{exporter, gpu, process, running, two_gpus};

fn render(snapshot: &Snapshot) -> String {
    exporter().render(snapshot, &process())
}

/// A series' name and labels, and its value.
fn series(page: &str) -> impl Iterator<Item = (&str, &str)> {
    page.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').expect("a value"))
}

fn value<'a>(page: &'a str, wanted: &str) -> Option<&'a str> {
    series(page).find(|(name, _)| *name == wanted).map(|(_, value)| value)
}

#[test]
fn two_gpus_one_of_them_lost() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.add_filter(r"(?m)^(dunnage_collector_duration_seconds\{.*\}) .*$", "$1 [time]");
    settings.bind(|| insta::assert_snapshot!("two_gpus", render(&two_gpus())));
}

#[test]
fn series_of_ended_tasks_are_gone_at_the_next_page() {
    let exporter = exporter();
    let mut snapshot = two_gpus();
    let before = exporter.render(&snapshot, &process());
    assert_eq!(series(&before).filter(|(name, _)| name.contains("task=\"7/train-0.1-0\"")).count(), 3);
    snapshot.running.remove(0);
    let after = exporter.render(&snapshot, &process());
    assert!(!after.contains("7/train-0.1-0"));
    assert!(after.contains("7/train-0.1-2"));
    snapshot.running.clear();
    assert!(!exporter.render(&snapshot, &process()).contains("dunnage_task_gpu"));
}

#[test]
fn an_empty_machine_has_a_page_too() {
    let page = exporter().render_page(&Snapshot::default(), &ProcessInfo::default());
    assert_eq!(page.faults, []);
    assert_eq!(value(&page.text, "dunnage_queue_depth{state=\"queued\"}"), Some("0"));
    assert_eq!(value(&page.text, "dunnage_attempt_failures_total{cause=\"out_of_memory\"}"), Some("0"));
    assert!(series(&page.text).count() <= 76, "the documentation promises 80 with the process's four");
    for absent in ["dunnage_gpu_", "dunnage_node_", "process_", "dunnage_snapshot_age_seconds"] {
        assert!(!page.text.lines().any(|line| line.starts_with(absent)), "{absent}\n{}", page.text);
    }
}

#[test]
fn a_former_attempt_that_still_holds_is_shown_with_the_newer_one() {
    let mut snapshot = two_gpus();
    snapshot.running = vec![
        running(7, 0, 2, "train", &[(gpu(0), Bytes::gib(3))]),
        running(7, 0, 1, "train", &[(gpu(0), Bytes::gib(2))]),
    ];
    let page = exporter().render_page(&snapshot, &process());
    assert_eq!(page.faults, []);
    let allocated: Vec<_> = series(&page.text)
        .filter(|(name, _)| name.starts_with("dunnage_task_gpu_memory_allocated_bytes"))
        .collect();
    let uuid = &snapshot.nodes[0].gpus[0].uuid;
    let name = format!("dunnage_task_gpu_memory_allocated_bytes{{task=\"7/train\",gpu_uuid=\"{uuid}\"}}");
    assert_eq!(allocated, [(name.as_str(), (5_u64 << 30).to_string().as_str())]);
    let info: Vec<_> =
        series(&page.text).filter(|(name, _)| name.starts_with("dunnage_task_gpu_info")).collect();
    assert!(info.len() == 1 && info[0].0.contains("attempt=\"2\""), "{info:?}");
}

#[test]
fn a_device_that_no_inventory_names_is_told_and_left_out() {
    let mut snapshot = two_gpus();
    let stranger = DeviceId { node: NodeId::LOCAL, local: 9 };
    snapshot.running.push(running(7, 4, 1, "lost", &[(stranger, Bytes::gib(1))]));
    let page = exporter().render_page(&snapshot, &process());
    assert_eq!(page.faults.len(), 1);
    assert_eq!(value(&page.text, "dunnage_collector_success{collector=\"task\"}"), Some("0"));
    assert!(page.text.contains("7/train-0.1-0") && !page.text.contains("7/lost"));
}

#[test]
fn gpus_with_one_uuid_do_not_spoil_the_page() {
    let mut snapshot = two_gpus();
    let mut other = (*snapshot.nodes[0]).clone();
    other.name = "other".to_owned();
    snapshot.nodes.push(Arc::new(other));
    let page = exporter().render_page(&snapshot, &process());
    assert_eq!(value(&page.text, "dunnage_collector_success{collector=\"gpu\"}"), Some("0"));
    assert_unique(&page.text);
}

#[test]
fn hostile_names_stay_one_line_and_short() {
    let mut snapshot = two_gpus();
    let names = ["a\nb 1", "quote\" } 2", "back\\", "nul\u{0}", &"long".repeat(1000), &"long".repeat(1001)];
    snapshot.running =
        (0..).zip(names).map(|(n, name)| running(1, n, 1, name, &[(gpu(0), Bytes::mib(1))])).collect();
    let page = exporter().render_page(&snapshot, &process());
    assert_eq!(page.faults, []);
    assert_unique(&page.text);
    assert!(page.text.lines().all(|line| line.len() < 2500));
    assert!(page.text.chars().all(|c| c == '\n' || !c.is_control()));
    assert!(page.text.contains(r#"task="1/quote\" } 2""#) && page.text.contains(r#"task="1/back\\""#));
    let held =
        series(&page.text).filter(|(name, _)| name.starts_with("dunnage_task_gpu_memory_allocated_bytes"));
    assert_eq!(held.count(), names.len());
}

#[test]
fn the_number_of_task_series_is_bounded() {
    let mut snapshot = two_gpus();
    let many = TASK_SERIES_MAX as u32 + 10;
    snapshot.running = (0..many).map(|n| running(1, n, 1, &format!("t{n}"), &[(gpu(0), Bytes(1))])).collect();
    let page = exporter().render_page(&snapshot, &process());
    let info = series(&page.text).filter(|(name, _)| name.starts_with("dunnage_task_gpu_info"));
    assert_eq!(info.count(), TASK_SERIES_MAX);
    assert_eq!(value(&page.text, "dunnage_collector_success{collector=\"task\"}"), Some("0"));
}

#[test]
fn the_page_holds_what_the_table_says() {
    let page = render(&two_gpus());
    assert_unique(&page);
    for (series, value) in series(&page) {
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let spec = spec(name);
        for label in labels.trim_end_matches('}').split("\",").filter_map(|pair| pair.split_once("=\"")) {
            assert!(spec.labels.contains(&label.0), "{series}");
        }
        value.parse::<f64>().expect(series);
    }
    // The fixture knows everything that the model can tell, but for two readings.
    let absent = TABLE.iter().map(|spec| spec.name).filter(|name| !page.contains(&format!("# TYPE {name} ")));
    assert_eq!(
        absent.collect::<Vec<_>>(),
        ["dunnage_gpu_memory_controller_active_ratio", "dunnage_gpu_temperature_celsius"]
    );
}

#[test]
fn families_are_in_the_order_of_the_table() {
    let page = render(&two_gpus());
    let names: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let places: Vec<_> = names.iter().map(|name| TABLE.iter().position(|spec| spec.name == *name)).collect();
    assert!(places.is_sorted() && places.iter().collect::<BTreeSet<_>>().len() == places.len(), "{names:?}");
}

/// The linter of Prometheus itself, where it is installed.
#[test]
fn promtool_accepts_the_page() {
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = match started {
        Ok(promtool) => promtool,
        Err(error) => {
            eprintln!(
                "SKIPPED: `promtool check metrics` was not run ({error}); install the package `prometheus`"
            );
            return;
        }
    };
    let mut page = two_gpus();
    page.running.push(running(1, 0, 1, "a\nb \"c\" \\ \u{0}", &[(gpu(0), Bytes::gib(1))]));
    promtool.stdin.take().expect("piped").write_all(render(&page).as_bytes()).expect("promtool reads");
    let output = promtool.wait_with_output().expect("promtool ends");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

fn spec(name: &str) -> &'static Spec {
    TABLE.iter().find(|spec| spec.name == name).unwrap_or_else(|| panic!("`{name}` is not in the table"))
}

fn assert_unique(page: &str) {
    let mut seen = BTreeSet::new();
    for (series, _) in series(page) {
        assert!(seen.insert(series), "`{series}` stands twice on the page");
    }
}
