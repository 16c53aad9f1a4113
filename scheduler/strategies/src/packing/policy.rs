//! The packing policies by name, and how the best GPUs of one node are found for a task.

use super::fill::{Chosen, Fill};
use super::shape::Shape;
use super::workload::Workload;
use super::{Weights, auto_fit};
use crate::{best_fit, dot_product, fgd, gpu_clustering, gpu_packing};

/// A packing policy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Policy {
    /// Any node that fits, each as likely.
    Random,
    /// The node with the least left.
    BestFit,
    /// The node whose free vector points least along the request.
    DotProduct,
    /// Used GPUs before fresh ones, used nodes before fresh ones.
    GpuPacking,
    /// Tasks of a kind together.
    GpuClustering,
    /// Least growth of fragmentation.
    Fgd,
    /// What `auto` does.
    Auto,
}

impl Policy {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Random,
        Self::BestFit,
        Self::DotProduct,
        Self::GpuPacking,
        Self::GpuClustering,
        Self::Fgd,
        Self::Auto,
    ];

    /// Its name, that of its strategy.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::BestFit => "best-fit",
            Self::DotProduct => "dot-product",
            Self::GpuPacking => "gpu-packing",
            Self::GpuClustering => "gpu-clustering",
            Self::Fgd => "fgd",
            Self::Auto => "auto",
        }
    }

    /// The policy with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name() == name)
    }

    /// Whether it looks at what tasks typically ask for.
    pub const fn uses_workload(self) -> bool {
        matches!(self, Self::Fgd | Self::Auto)
    }

    /// The part of a score that hangs on the node alone: worth keeping until the node changes.
    pub fn value(self, fill: &Fill, workload: &Workload) -> f64 {
        match self {
            Self::Fgd => -workload.fragmentation(fill),
            Self::Auto => auto_fit::value(fill, workload, &Weights::STANDARD),
            _ => 0.0,
        }
    }

    /// How good it is to put a task on these GPUs of a node; more is better. `value` is [`Self::value`] of
    /// the node as it is.
    pub fn score(self, fill: &Fill, shape: &Shape, chosen: Chosen, workload: &Workload, value: f64) -> i64 {
        match self {
            Self::Random => 0,
            Self::BestFit => best_fit::score(fill, shape),
            Self::DotProduct => dot_product::score(fill, shape),
            Self::GpuPacking => gpu_packing::score(fill, shape, chosen),
            Self::GpuClustering => gpu_clustering::score(fill, shape),
            Self::Fgd => fgd::score(fill, shape, chosen, workload, value),
            Self::Auto => auto_fit::score(fill, shape, chosen, workload, value, &Weights::STANDARD),
        }
    }

    /// The best GPUs of a node for a task; `None` where it does not fit. Equal GPUs: the first one, with
    /// `auto` the tightest.
    pub fn best(
        self,
        fill: &Fill,
        shape: &Shape,
        workload: &Workload,
        value: f64,
        tie: Tie,
    ) -> Option<Rated> {
        if !fill.fits(shape) {
            return None;
        }
        let rated = |chosen: Chosen| Rated {
            score: self.score(fill, shape, chosen, workload, value),
            tie: tie.key(self, fill, shape, chosen),
            chosen,
        };
        if shape.is_shared() && self.uses_workload() {
            let mut best: Option<Rated> = None;
            for at in fill.distinct_gpus(shape) {
                let this = rated(Chosen::one(at));
                let better = best.is_none_or(|best| match self {
                    Self::Auto => {
                        (this.score, -gpu_left(fill, this.chosen))
                            > (best.score, -gpu_left(fill, best.chosen))
                    }
                    _ => this.score > best.score,
                });
                if better {
                    best = Some(this);
                }
            }
            best
        } else {
            Some(rated(fill.tightest_gpus(shape)))
        }
    }
}

/// What is free of the tightest of these GPUs; 0 where there are none.
fn gpu_left(fill: &Fill, chosen: Chosen) -> i64 {
    let gpus = fill.gpus().iter().enumerate().filter(|(at, _)| chosen.has(*at));
    gpus.map(|(_, gpu)| i64::from(gpu.free)).min().unwrap_or(0)
}

/// A node with the best GPUs there for a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rated {
    /// More is better.
    pub score: i64,
    /// Of equal scores: more is better.
    pub tie: i64,
    /// The GPUs.
    pub chosen: Chosen,
}

/// Which of several nodes with the same score.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Tie {
    /// The first in the order of the nodes.
    Name,
    /// Any, each as likely.
    Random,
    /// The one with the least left, cores and GPUs counted as best-fit counts them; then the first.
    Fit,
}

impl Tie {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Random => "random",
            Self::Fit => "fit",
        }
    }

    /// The tie rule with this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Name, Self::Random, Self::Fit].into_iter().find(|tie| tie.name() == name)
    }

    fn key(self, policy: Policy, fill: &Fill, shape: &Shape, chosen: Chosen) -> i64 {
        if self != Self::Fit {
            return 0;
        }
        // Exact in integers: a GPU milli weighs as much as 128,000 / 8,000 thousandths of a core.
        let node = fill.cpu.saturating_add(16 * fill.gpu_free());
        // The tightest GPU before the tightest node.
        let gpu = if policy == Policy::Auto && shape.is_shared() { gpu_left(fill, chosen) } else { 0 };
        -(node.clamp(0, (1 << 48) - 1) | gpu << 48)
    }
}
