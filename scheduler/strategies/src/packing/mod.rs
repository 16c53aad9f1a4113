//! Packing: on which node and GPU a task leaves the most room for those to come.
//!
//! Scores are functions of what a node has free ([`Fill`]), what the task asks for ([`Shape`]) and what
//! tasks typically ask for ([`Workload`]), one file for each policy beside this folder. The same functions
//! serve [`Strategy::choose`](dunnage_core::Strategy::choose) on the ledger of a machine (`online.rs`) and
//! [`Index`], which keeps the scores of thousands of nodes up to date for replays.

mod auto_fit;
mod fill;
mod index;
pub(crate) mod online;
mod policy;
mod shape;
mod tree;
mod waste;
mod workload;

pub use auto_fit::Weights;
pub use fill::{Chosen, Fill, GPU_MILLI, GPUS_MAX, Gpu};
pub use index::{Index, Placed};
pub use policy::{Policy, Rated, Tie};
pub use shape::{Class, Models, Shape};
pub use workload::{Capacity, History, Workload};

/// What the largest node is taken to have, so that cores and GPUs can be added up: thousandths of cores.
/// The numbers are those of the FGD artifact, so that results can be compared.
pub(crate) const CPU_MAX: f64 = 128_000.0;

/// The same for GPUs, in milli.
pub(crate) const GPU_MAX: f64 = 8_000.0;

mod strategy;
#[cfg(test)]
mod tests;
pub use strategy::Packing;
