//! What the benchmarks share: a daemon of their own, floors to hold figures against, tables.

pub mod cpu;
pub mod daemon;
pub mod floor;
pub mod graphs;
pub mod http;
pub mod layered;
pub mod options;
pub mod report;
pub mod spawned;

/// Benchmarks end with the first thing that goes wrong.
pub type Failure = Box<dyn std::error::Error>;
