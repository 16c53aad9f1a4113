//! What a replay found.

use dunnage_strategies::packing::{Class, Policy, Shape, Tie};

/// What a replay found; parts of a whole in percent.
#[derive(Clone, PartialEq, Debug)]
pub struct PackReport {
    /// The policy.
    pub policy: Policy,
    /// The tie rule.
    pub tie: Tie,
    /// The seed of the arrivals.
    pub seed: u64,
    /// The order of the nodes.
    pub node_order: super::NodeOrder,
    /// GPU milli placed when as many as there are have arrived; `None` where the target is less.
    pub alloc_100: Option<f64>,
    /// GPU milli placed at the target.
    pub alloc_130: f64,
    /// Fragmentation F at the target, in percent of what is free.
    pub frag_130: f64,
    /// Pods that were placed.
    pub placements: u64,
    /// The median time of a decision with its bookkeeping, in microseconds, whether or not it found a place.
    pub median_place_us: f64,
    /// Pods that arrived.
    pub arrivals: u64,
    /// Pods that fitted nowhere when they arrived.
    pub failures: Failures,
    /// Of these, pods that would fit no node if it were empty.
    pub hopeless: u64,
    /// The bins, in order.
    pub bins: Vec<Bin>,
}

/// Pods that fitted nowhere, by class.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Failures {
    /// Without GPU.
    pub cpu_only: u64,
    /// With a part of a GPU.
    pub shared: u64,
    /// With one whole GPU.
    pub whole: u64,
    /// With several.
    pub multi: u64,
}

/// The means over the arrivals of a bin, in percent.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Bin {
    /// GPU milli arrived, of the capacity.
    pub arrived: u32,
    /// GPU milli placed, of the capacity.
    pub alloc: f64,
    /// Fragmentation, of what is free.
    pub frag: f64,
}

impl Failures {
    /// All.
    pub fn total(&self) -> u64 {
        self.cpu_only + self.shared + self.whole + self.multi
    }

    pub(super) fn count(&mut self, shape: &Shape) {
        match shape.class() {
            Class::CpuOnly => self.cpu_only += 1,
            Class::Shared => self.shared += 1,
            Class::Whole => self.whole += 1,
            Class::Multi => self.multi += 1,
        }
    }
}
