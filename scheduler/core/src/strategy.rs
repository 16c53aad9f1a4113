//! The port of the allocation strategies: they see a read-only view and propose; the ledger disposes.

use crate::estimate::{Estimate, Estimates};
use crate::ledger::Ledger;
use crate::rng::Rng;
use dunnage_model::{DeviceId, Graph, NodeId, PlannedPlace, Request, Time, Weights};

/// Chooses where a ready task runs.
///
/// One page each, in `dunnage-strategies`, behind one registry. A strategy keeps no books: what is free
/// is in the view. It may remember statistics of what it was asked to place, and must choose the same after
/// the same questions, with randomness only from the generator it is handed, which is seeded by the
/// submission and the task. What it remembers does not outlive the process.
pub trait Strategy: Send {
    /// The name of graph file and CLI.
    fn name(&self) -> &'static str;

    /// Whether a whole-graph plan is wanted before the first task of this graph starts.
    fn needs_plan(&self, graph: &Graph) -> bool {
        let _ = graph;
        false
    }

    /// Why a graph has no plan, for people, where there is something to say.
    fn why_unplanned(&self, graph: &Graph) -> Option<&'static str> {
        let _ = graph;
        None
    }

    /// Chooses among the ways to place a task that fit now; `None` waits for a better one. The list is
    /// never empty and is ordered by variant, node and device.
    fn choose(
        &mut self,
        view: &View<'_>,
        task: &Candidate<'_>,
        options: &[Proposal],
        rng: &mut Rng,
    ) -> Option<usize>;
}

/// What a strategy may look at.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Now.
    pub now: Time,
    /// What is free, and who holds the rest.
    pub ledger: &'a Ledger,
    /// What tasks are expected to need.
    pub estimates: &'a Estimates,
}

/// A task that is to be placed.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its index in its graph.
    pub task: u32,
    /// Where the plan wants it, if there is a plan.
    pub planned: Option<PlannedPlace>,
    /// What its graph weighs against what.
    pub weights: Weights,
    /// What each of its variants asks for, grown after out-of-memory, in the order of the variants.
    pub requests: &'a [Request],
}

/// A way to place a task.
#[derive(Clone, PartialEq, Debug)]
pub struct Proposal {
    /// Which of the function's variants.
    pub variant: u8,
    /// On which node.
    pub node: NodeId,
    /// On which GPUs there.
    pub gpus: Vec<DeviceId>,
    /// What the task is expected to take there.
    pub estimate: Estimate,
    /// Seconds that moving its inputs there takes, as far as their sizes are known.
    pub transfer_s: f64,
}

impl Proposal {
    /// The device that a person would name: its first GPU, else the cores.
    pub fn main_device(&self) -> DeviceId {
        self.gpus.first().copied().unwrap_or(DeviceId::host(self.node))
    }

    /// Seconds until it would have ended if it began now; infinite where nothing is known of it.
    pub fn seconds(&self) -> f64 {
        self.estimate.duration.map_or(f64::INFINITY, |span| span.as_secs_f64()) + self.transfer_s
    }
}
