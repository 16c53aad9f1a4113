//! The rules of Prometheus for names, over the whole table.

use dunnage_exporters::{Kind, Spec, TABLE, Unit};
use std::collections::BTreeSet;

const UNITS: [Unit; 7] =
    [Unit::Bytes, Unit::Seconds, Unit::Joules, Unit::Watts, Unit::Celsius, Unit::Ratio, Unit::Cores];

/// Words that say a unit which is not a base unit, or abbreviate one.
const NOT_BASE_UNITS: [&str; 22] = [
    "milliseconds",
    "microseconds",
    "ms",
    "us",
    "sec",
    "s",
    "minutes",
    "hours",
    "kilobytes",
    "megabytes",
    "mib",
    "gib",
    "mb",
    "gb",
    "kb",
    "b",
    "percent",
    "millijoules",
    "milliwatts",
    "kelvin",
    "millicores",
    "fahrenheit",
];

/// What is wrong with an entry.
fn faults(spec: &Spec) -> Vec<String> {
    let Spec { name, kind, unit, labels, collector: _, help } = *spec;
    let words: Vec<&str> = name.split('_').collect();
    let mut faults = Vec::new();
    let mut check = |right: bool, rule: &str| {
        if !right {
            faults.push(format!("`{name}`: {rule}"));
        }
    };
    let plain = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            && !text.contains("__")
    };
    check(plain(name), "a name is small letters, digits and single underscores");
    check(
        matches!(words[0], "dunnage" | "process"),
        "a name begins with the program's prefix, or `process_`",
    );
    check((kind == Kind::Counter) == name.ends_with("_total"), "counters, and only they, end in `_total`");
    check((kind == Kind::Info) == name.ends_with("_info"), "info metrics, and only they, end in `_info`");
    let stem = name.strip_suffix("_total").unwrap_or(name);
    if let Some(word) = unit.word() {
        check(stem.ends_with(&format!("_{word}")) || stem.ends_with("_cpu_cores"), "the unit ends the name");
    }
    for other in UNITS.into_iter().filter(|other| *other != unit).filter_map(Unit::word) {
        check(!words.contains(&other), "a name carries one unit, that of its entry");
    }
    check(!words.iter().any(|word| NOT_BASE_UNITS.contains(word)), "units are base units, in full");
    check(
        !["_bucket", "_sum", "_count"].iter().any(|end| name.ends_with(end)),
        "`_bucket`, `_sum` and `_count` belong to histograms",
    );
    check(
        !words.iter().any(|word| matches!(*word, "gauge" | "counter" | "histogram" | "summary")),
        "a name does not tell its type",
    );
    check(help.trim().ends_with('.') && help.trim().len() > 10, "HELP is a sentence");
    check(!help.contains('|'), "HELP fits into a table");
    check(labels.iter().collect::<BTreeSet<_>>().len() == labels.len(), "labels are different");
    for label in labels {
        check(plain(label), "a label is small letters, digits and single underscores");
        check(
            !matches!(*label, "le" | "quantile" | "job" | "instance" | "pid"),
            "a label is not a reserved one",
        );
        // `dunnage_task_gpu_info{task}`: the subject of a metric may be its first word. `placements_by_strategy` may not.
        check(!words.iter().skip(2).any(|word| word == label), "names of labels stay out of the name");
    }
    faults
}

#[test]
fn every_name_keeps_the_rules() {
    let faults: Vec<String> = TABLE.iter().copied().flat_map(faults).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_lint_finds_what_it_looks_for() {
    let good =
        **TABLE.iter().find(|spec| spec.name == "dunnage_gpu_energy_joules_total").expect("in the table");
    assert_eq!(faults(&good), [""; 0]);
    let bad = |spec: Spec| assert_ne!(faults(&spec), [""; 0], "{spec:?}");
    bad(Spec { name: "dunnage_gpu_energy_joules", ..good });
    bad(Spec { name: "dunnage_gpu_energy_millijoules_total", ..good });
    bad(Spec { name: "dunnage_gpu_energy_total", ..good });
    bad(Spec { name: "dunnage_gpu_energy_joules_seconds_total", ..good });
    bad(Spec { name: "gpu_energy_joules_total", ..good });
    bad(Spec { name: "dunnage_Gpu_energy_joules_total", ..good });
    bad(Spec { kind: Kind::Gauge, ..good });
    bad(Spec { help: "", ..good });
    bad(Spec { labels: &["gpu_uuid", "gpu_uuid"], ..good });
    bad(Spec { labels: &["energy"], ..good });
    bad(Spec { labels: &["pid"], ..good });
}

#[test]
fn names_are_different() {
    assert_eq!(TABLE.iter().map(|spec| spec.name).collect::<BTreeSet<_>>().len(), TABLE.len());
}

#[test]
fn the_names_that_others_rely_on_are_there() {
    for (name, labels) in [
        ("dunnage_build_info", &["version"][..]),
        ("dunnage_gpu_info", &["gpu_uuid", "name"]),
        ("dunnage_gpu_memory_total_bytes", &["gpu_uuid"]),
        ("dunnage_gpu_memory_used_bytes", &["gpu_uuid"]),
        ("dunnage_gpu_memory_allocated_bytes", &["gpu_uuid"]),
        ("dunnage_gpu_energy_joules_total", &["gpu_uuid"]),
        ("dunnage_task_gpu_memory_allocated_bytes", &["task", "gpu_uuid"]),
        ("dunnage_task_gpu_memory_used_bytes", &["task", "gpu_uuid"]),
        ("dunnage_queue_depth", &["state"]),
        ("dunnage_collector_success", &["collector"]),
    ] {
        let spec = TABLE.iter().find(|spec| spec.name == name).unwrap_or_else(|| panic!("`{name}` is gone"));
        assert!(labels.iter().all(|label| spec.labels.contains(label)), "`{name}` lost a label");
    }
}

/// Nothing but the table spells a metric's name in the sources.
#[test]
fn names_are_spelled_in_the_table_alone() {
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/src/collectors");
    for entry in std::fs::read_dir(sources).expect("the collectors") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a source file");
        let strings = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        assert!(!strings.clone().any(|line| line.contains("\"dunnage_")), "{}", path.display());
        assert!(!strings.clone().any(|line| line.contains("\"process_")), "{}", path.display());
    }
}
