//! The table as a page of documentation, `docs/metrics.md`. A test keeps the two the same.

use crate::table::{CollectorName, Kind, LABEL_CHARS_MAX, Spec, TABLE, TASK_SERIES_MAX};
use std::fmt::Write;

const INTRODUCTION: &str = "\
# Metrics

This page is made from the table in `exporters/src/table.rs`; a test compares them.

`dunnage daemon --metrics ADDR` serves `/metrics` in the Prometheus text format. Every page is made
anew from the scheduler's last published snapshot.

- What a driver does not tell is absent, never 0. A lost GPU keeps its health, its identity and what
  the ledger holds of it; its readings are gone.
- Series of GPUs carry `gpu_uuid` alone. Join identity from `dunnage_gpu_info`:
  `dunnage_gpu_power_watts * on (gpu_uuid) group_left (name, node) dunnage_gpu_info`.
- Series of tasks exist only while the task holds a GPU. `task` is `GRAPH/FUNCTION`, as on the
  command line. Join the rest from `dunnage_task_gpu_info`:
  `dunnage_task_gpu_memory_used_bytes * on (task, gpu_uuid) group_left (family) dunnage_task_gpu_info`.
- No label holds a process id.
- A collector that fails costs the page its own part alone; look at `dunnage_collector_success`.
";

/// The text of `docs/metrics.md`.
pub fn metrics_markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    // Writing to a string cannot fail.
    let _ = writeln!(
        page,
        "\n## How many series there are\n\n\
         At most, for G GPUs and MIG instances, N nodes, S strategies that have placed something:\n\n\
         | Series | Bound |\n|---|---|\n\
         | GPUs | {} x G |\n\
         | nodes | {} x N |\n\
         | running tasks | {} for each pair of a running task and a GPU it holds, and {TASK_SERIES_MAX} such pairs |\n\
         | all others | 105 + S |\n\n\
         The scheduler runs at most 1,024 attempts at once. Values of labels are cut at {LABEL_CHARS_MAX} \
         characters; the name of a task that is cut ends with `~` and its index, so that it stays its own.",
        series_of(CollectorName::Gpu),
        series_of(CollectorName::Node),
        series_of(CollectorName::Task),
    );
    for collector in CollectorName::ALL {
        let _ = writeln!(page, "\n## {}\n", title(collector));
        page.push_str("| Name | Type | Unit | Labels | What it tells |\n|---|---|---|---|---|\n");
        for spec in of(collector) {
            let labels: Vec<String> = spec.labels.iter().map(|label| format!("`{label}`")).collect();
            let _ = writeln!(
                page,
                "| `{}` | {} | {} | {} | {} |",
                spec.name,
                kind(spec.kind),
                spec.unit.word().unwrap_or("-"),
                if labels.is_empty() { "-".to_owned() } else { labels.join(", ") },
                spec.help.trim(),
            );
        }
    }
    page
}

fn of(collector: CollectorName) -> impl Iterator<Item = &'static Spec> {
    TABLE.iter().copied().filter(move |spec| spec.collector == collector)
}

/// Series for one subject of a collector. The health of a GPU, the only state set, has four.
fn series_of(collector: CollectorName) -> usize {
    of(collector).map(|spec| if spec.kind == Kind::StateSet { 4 } else { 1 }).sum()
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Info => "gauge, always 1",
        Kind::StateSet => "gauge, 0 or 1 a state",
    }
}

const fn title(collector: CollectorName) -> &'static str {
    match collector {
        CollectorName::Build => "Program (collector `build`)",
        CollectorName::Node => "Nodes (collector `node`)",
        CollectorName::Gpu => "GPUs (collector `gpu`)",
        CollectorName::Task => "Running tasks (collector `task`)",
        CollectorName::Queue => "Queue (collector `queue`)",
        CollectorName::Scheduler => "Scheduler (collector `scheduler`)",
        CollectorName::Estimates => "Predictions (collector `estimates`)",
        CollectorName::Process => "The daemon's process (collector `process`)",
        CollectorName::Collector => "The collectors themselves",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/metrics.md` holds exactly what the table gives. Run with `DUNNAGE_BLESS=1` to write it.
    #[test]
    fn the_documentation_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        if std::env::var_os("DUNNAGE_BLESS").is_some() {
            std::fs::write(path, metrics_markdown()).expect("docs/metrics.md can be written");
        }
        let text = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            text == metrics_markdown(),
            "docs/metrics.md is out of date; run the test with DUNNAGE_BLESS=1"
        );
    }
}
