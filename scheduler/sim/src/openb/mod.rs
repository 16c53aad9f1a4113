//! Replay of the openb cluster trace: pods arrive one after the other at a cluster with many GPU nodes, none
//! leaves, and a packing policy says where each goes.
//!
//! The trace and the setting are those of Weng et al., "Beware of fragmentation: scheduling GPU-sharing
//! workloads with fragmentation gradient descent", USENIX ATC 2023. Scores are those of
//! `dunnage_strategies::packing`, the same that the daemon uses.
//!
//! - Files: CSV with a head line, plain or gzipped; nodes `sn, cpu_milli, memory_mib, gpu, model`, pods `name,
//!   cpu_milli, memory_mib, num_gpu, gpu_milli` and perhaps `gpu_spec`; other columns are passed over.
//! - Arrivals: all pods in random order, then random repeats until what is asked for of the GPUs reaches the
//!   target times their capacity; where the list asks for more than that, random pods are left out.
//! - A pod that fits nowhere when it arrives is a failure, counted by class, and does not come back. That
//!   includes pods that would fit no node if it were empty. A list of which no pod fits any is an error.
//! - A bin is the GPU milli that have arrived, in percent of the capacity, rounded to a whole number; the
//!   value of a bin is the mean over its arrivals.

mod arrivals;
mod csv;
mod error;
mod nodes;
mod pods;
mod replay;
mod report;

pub use error::{PackError, ReadError};
pub use nodes::{NodeOrder, Nodes, read_nodes, read_nodes_from};
pub use pods::{Pods, read_pods, read_pods_from};
pub use replay::{Knowledge, PackOptions, replay};
pub use report::{Bin, Failures, PackReport};

#[cfg(test)]
mod tests;
