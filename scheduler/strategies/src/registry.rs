//! The one list of strategies: adding one is a file and a line here.

use crate::packing::{Packing, Policy};
use crate::planning::{GraphPlanner, SchedulePlanner};
use crate::{
    Auto, CostOptimised, Cpop, EnergyOptimised, FirstAvailable, Follow, Heft, LoadBalanced, MaxMin, Mct,
    MinMin, Peft, Random, Sufferage, TimeOptimised,
};
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

static REGISTRY: &[Entry] = &[
    Entry {
        name: "auto",
        summary: "a searched plan where order or variants matter, tight packing where not",
        make: || Box::new(Auto::default()),
        planner: Some(|| Arc::new(Auto::default())),
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
        name: "best-fit",
        summary: "the node with the least left",
        make: || Box::new(Packing::new(Policy::BestFit)),
        planner: None,
    },
    Entry {
        name: "dot-product",
        summary: "the node whose free resources are least like the request",
        make: || Box::new(Packing::new(Policy::DotProduct)),
        planner: None,
    },
    Entry {
        name: "gpu-packing",
        summary: "GPUs in use before idle ones, nodes in use before idle ones",
        make: || Box::new(Packing::new(Policy::GpuPacking)),
        planner: None,
    },
    Entry {
        name: "gpu-clustering",
        summary: "tasks of a kind together",
        make: || Box::new(Packing::new(Policy::GpuClustering)),
        planner: None,
    },
    Entry {
        name: "fgd",
        summary: "where what is left stays usable (Weng 2023)",
        make: || Box::new(Packing::new(Policy::Fgd)),
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
        make: || Box::new(Follow::time("heft")),
        planner: Some(|| Arc::new(GraphPlanner(Heft))),
    },
    Entry {
        name: "cpop",
        summary: "the critical path on one device (Topcuoglu 2002)",
        make: || Box::new(Follow::time("cpop")),
        planner: Some(|| Arc::new(GraphPlanner(Cpop))),
    },
    Entry {
        name: "peft",
        summary: "where it and what is behind it end earliest (Arabnejad 2014)",
        make: || Box::new(Follow::time("peft")),
        planner: Some(|| Arc::new(GraphPlanner(Peft))),
    },
    Entry {
        name: "min-min",
        summary: "of what is ready that which is complete first",
        make: || Box::new(Follow::time("min-min")),
        planner: Some(|| Arc::new(GraphPlanner(MinMin))),
    },
    Entry {
        name: "max-min",
        summary: "of what is ready that which is complete last",
        make: || Box::new(Follow::time("max-min")),
        planner: Some(|| Arc::new(GraphPlanner(MaxMin))),
    },
    Entry {
        name: "sufferage",
        summary: "of what is ready that which loses most by its second best place",
        make: || Box::new(Follow::time("sufferage")),
        planner: Some(|| Arc::new(GraphPlanner(Sufferage))),
    },
    Entry {
        name: "mct",
        summary: "in order of readiness, each where it is complete first",
        make: || Box::new(Follow::time("mct")),
        planner: Some(|| Arc::new(GraphPlanner(Mct))),
    },
    Entry {
        name: "time-optimised",
        summary: "the best rule, then a search for less time, or for less of what the graph weighs",
        make: || Box::new(Follow::time("time-optimised")),
        planner: Some(|| Arc::new(GraphPlanner(TimeOptimised))),
    },
    Entry {
        name: "cost-optimised",
        summary: "the least money, then the least time",
        make: || Box::new(Follow::other("cost-optimised")),
        planner: Some(|| Arc::new(GraphPlanner(CostOptimised))),
    },
    Entry {
        name: "energy-optimised",
        summary: "the least joules, then the least time",
        make: || Box::new(Follow::other("energy-optimised")),
        planner: Some(|| Arc::new(GraphPlanner(EnergyOptimised))),
    },
];

/// All strategies; the first is the default.
pub fn registry() -> &'static [Entry] {
    REGISTRY
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
    Some(match name {
        "heft" => Arc::new(Heft),
        "cpop" => Arc::new(Cpop),
        "peft" => Arc::new(Peft),
        "min-min" => Arc::new(MinMin),
        "max-min" => Arc::new(MaxMin),
        "sufferage" => Arc::new(Sufferage),
        "mct" => Arc::new(Mct),
        "time-optimised" => Arc::new(TimeOptimised),
        "cost-optimised" => Arc::new(CostOptimised),
        "energy-optimised" => Arc::new(EnergyOptimised),
        "auto" => Arc::new(Auto::default()),
        _ => return None,
    })
}
