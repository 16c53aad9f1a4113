//! What a collector is: gather from the snapshot, convert to base units, give samples. No scheduling
//! thoughts, no I/O, no state.

use crate::exporter::BuildInfo;
use crate::families::Families;
use crate::process_info::ProcessInfo;
use crate::table::CollectorName;
use dunnage_model::{DeviceId, Snapshot};

/// What a page is made from.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The state that the scheduler has published.
    pub snapshot: &'a Snapshot,
    /// What the daemon knows of its own process.
    pub process: &'a ProcessInfo,
    /// What program this is.
    pub build: &'a BuildInfo,
}

/// Why a collector could not give all it should. What it gave stays on the page.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CollectError {
    /// Two samples of a metric have the same labels.
    #[error("two samples of `{metric}` have the labels `{labels}`; the first was kept")]
    Duplicate {
        /// The metric.
        metric: &'static str,
        /// The values of its labels.
        labels: String,
    },
    /// A task holds a device that no inventory names.
    #[error("`{device}` is held by a task and is in no inventory; its series were left out")]
    UnknownDevice {
        /// The device.
        device: DeviceId,
    },
    /// There is more to show than the page's bound.
    #[error(
        "{found} pairs of task and GPU are more than the {max} that a page holds; the last were left out"
    )]
    TooMany {
        /// How many there are.
        found: usize,
        /// How many were kept.
        max: usize,
    },
}

/// One part of the page.
pub(crate) trait Collector: Send + Sync {
    /// Its name in the table and in its own metrics.
    fn name(&self) -> CollectorName;

    /// Gives its samples. After an error, what it gave stays; after a panic, none of it does.
    fn collect(&self, input: Input<'_>, out: &mut Families) -> Result<(), CollectError>;
}
