//! The exporter: a Prometheus page made from the published snapshot.
//!
//! [`Exporter::render`] takes a [`Snapshot`](dunnage_model::Snapshot) and gives the text of `/metrics`.
//! It never sees the live scheduler, does no I/O and holds no series: every page is made anew from
//! what the snapshot holds, so the series of a task that has ended are gone by construction.
//!
//! - `table.rs`: every metric, with its type, unit, help and labels. Nothing else spells a name.
//! - `collectors/`: one file a collector, which turns one part of the snapshot into samples.
//! - `exporter.rs`: runs them one by one, measures each, and lets none of them break the page.
//! - `docs.rs`: the table as `docs/metrics.md`.

mod collector;
mod collectors;
mod docs;
mod exporter;
mod families;
mod process_info;
mod table;

pub use collector::{CollectError, Input};
pub use docs::metrics_markdown;
pub use exporter::{BuildInfo, CONTENT_TYPE, Exporter, Fault, Page};
pub use process_info::ProcessInfo;
pub use table::{CollectorName, Kind, LABEL_CHARS_MAX, Spec, TABLE, TASK_SERIES_MAX, Unit};
