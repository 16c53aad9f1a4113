//! The one list of strategies: adding one is a file and a line here.

use crate::planning::SchedulePlanner;
use crate::{Auto, FirstAvailable, Heft, LoadBalanced, Random};
use dunnage_core::{Planner, Strategy};
use std::sync::Arc;

/// A strategy in the list.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The name of graph file and CLI.
    pub name: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    make: fn() -> Box<dyn Strategy>,
    planner: Option<fn() -> Arc<dyn Planner>>,
}

/// Names of the graph file's contract that are not in the list yet; a graph that uses one is told so.
pub const NAMES_TO_COME: [&str; 14] = [
    "best-fit",
    "dot-product",
    "gpu-packing",
    "gpu-clustering",
    "fgd",
    "cpop",
    "peft",
    "min-min",
    "max-min",
    "sufferage",
    "mct",
    "cost-optimised",
    "time-optimised",
    "energy-optimised",
];

static REGISTRY: [Entry; 5] = [
    Entry {
        name: "auto",
        summary: "heft where order or variants matter, load-balanced where not",
        make: || Box::new(Auto),
        planner: Some(|| Arc::new(Auto)),
    },
    Entry {
        name: "first-available",
        summary: "the first variant on the first device that fits",
        make: || Box::new(FirstAvailable),
        planner: None,
    },
    Entry {
        name: "load-balanced",
        summary: "the device that is emptiest afterwards",
        make: || Box::new(LoadBalanced),
        planner: None,
    },
    Entry {
        name: "random",
        summary: "any device that fits: the baseline",
        make: || Box::new(Random),
        planner: None,
    },
    Entry {
        name: "heft",
        summary: "critical path first, where it ends earliest (Topcuoglu 2002)",
        make: || Box::new(Heft),
        planner: Some(|| Arc::new(Heft)),
    },
];

/// All strategies; the first is the default.
pub fn registry() -> &'static [Entry] {
    &REGISTRY
}

/// One of each, for a scheduler.
pub fn strategies() -> Vec<Box<dyn Strategy>> {
    REGISTRY.iter().map(|entry| (entry.make)()).collect()
}

/// The planner of a strategy, if it plans.
pub fn planner(name: &str) -> Option<Arc<dyn Planner>> {
    REGISTRY.iter().find(|entry| entry.name == name).and_then(|entry| entry.planner).map(|make| make())
}

/// The planner of a strategy as benchmarks use it: on instances of public data sets.
pub fn schedule_planner(name: &str) -> Option<Arc<dyn SchedulePlanner>> {
    let _ = name;
    None
}
