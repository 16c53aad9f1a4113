//! `auto`: chooses a strategy for a graph and says why. Where functions depend on each other or have
//! several variants, order and device matter, and it plans with `heft`; where they are independent and
//! alike, any order is as good and it balances the load.
//!
//! Cost and weakness are those of what it chose.

use crate::Heft;
use crate::follow::follow;
use crate::load_balanced::LoadBalanced;
use crate::planning::GraphPlanner;
use dunnage_core::{Budget, Candidate, PlanProblem, Planner, Proposal, Rng, Strategy, View};
use dunnage_model::{Graph, Plan};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Auto;

fn order_matters(graph: &Graph) -> bool {
    graph.len() > 1
        && (graph.edges() > 0 || graph.functions().iter().any(|function| function.variants.len() > 1))
}

impl Strategy for Auto {
    fn name(&self) -> &'static str {
        "auto"
    }

    fn needs_plan(&self, graph: &Graph) -> bool {
        order_matters(graph)
    }

    fn choose(
        &mut self,
        view: &View<'_>,
        task: &Candidate<'_>,
        options: &[Proposal],
        rng: &mut Rng,
    ) -> Option<usize> {
        if task.planned.is_some() || task.requests.len() > 1 {
            follow(view, task, options)
        } else {
            LoadBalanced.choose(view, task, options, rng)
        }
    }
}

impl Planner for Auto {
    fn name(&self) -> &'static str {
        "auto"
    }

    fn plan(&self, problem: &PlanProblem, budget: &mut Budget<'_>) -> Plan {
        let mut plan = GraphPlanner(Heft).plan(problem, budget);
        plan.why = if problem.graph.edges() > 0 {
            "heft, because functions depend on each other".to_owned()
        } else {
            "heft, because functions have several variants".to_owned()
        };
        plan
    }
}
