//! The port of the planners: a whole graph in, a plan out. They run beside the loop, never in it.

use dunnage_model::{Basis, Graph, NodeSpec, Plan};
use std::sync::Arc;

/// Makes a schedule for a whole graph. Pure: the same problem and seed give the same plan.
pub trait Planner: Send + Sync {
    /// The name of graph file and CLI.
    fn name(&self) -> &'static str;

    /// Makes the plan.
    fn plan(&self, problem: &PlanProblem) -> Plan;
}

/// What a planner is given: a copy of what it needs, so that the loop goes on meanwhile.
#[derive(Clone, Debug)]
pub struct PlanProblem {
    /// The graph.
    pub graph: Arc<Graph>,
    /// The machines.
    pub nodes: Vec<Arc<NodeSpec>>,
    /// For each task whether it has ended or is running and is not to be planned.
    pub settled: Vec<bool>,
    /// For each function and each of its variants, the seconds that an instance is expected to take.
    pub seconds: Vec<Vec<f64>>,
    /// On what these rest, at best.
    pub basis: Basis,
    /// Whether nothing at all is known of some of them.
    pub has_unknown: bool,
    /// For choices that are free.
    pub seed: u64,
}
