//! `auto`: chooses a strategy for a graph and says why. Where functions depend on each other or have
//! several variants or different lengths, order and device matter: it searches like `time-optimised` where the graph is small
//! enough for a search to matter, and plans like `heft` beyond. Where functions are independent and alike,
//! any order is as good, and each goes where it leaves the most room for those to come.
//!
//! Source: ours; that no list rule is best everywhere is shown by Coleman and Krishnamachari 2024 (PISA).
//! Cost and weakness are those of what it chose.

use crate::follow::{Goal, follow};
use crate::packing::Policy;
use crate::packing::online::Packer;
use crate::planning::{GraphPlanner, Instance, PlanOptions, Schedule, SchedulePlanner};
use crate::{Heft, TimeOptimised};
use dunnage_core::{Budget, Candidate, PlanProblem, Planner, Proposal, Rng, Strategy, View};
use dunnage_model::{Graph, Plan};

/// Above this many tasks a search finds next to nothing in the time that a plan may take.
const SEARCH_MAX: u32 = 20_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Auto {
    packer: Packer,
}

fn order_matters(graph: &Graph) -> bool {
    let has_variants = graph.functions().iter().any(|function| function.variants.len() > 1);
    (graph.len() > 1 && (graph.edges() > 0 || has_variants || lengths_differ(graph)))
        || (has_variants && Goal::of(graph.settings.weights) == Goal::Other)
}

/// Whether functions are declared to take different times: then the long ones are to begin first.
fn lengths_differ(graph: &Graph) -> bool {
    let mut lengths = (0..graph.functions().len() as u32)
        .filter(|function| !graph.instances(*function).is_empty())
        .flat_map(|function| &graph.functions()[function as usize].variants)
        .map(|variant| {
            variant.cost.declared_duration().or_else(|| variant.cost.roofline_duration(variant.kind))
        });
    let first = lengths.next();
    lengths.any(|length| Some(length) != first)
}

/// What plans a graph of this many tasks, and the reason in words.
fn planner(tasks: u32) -> (&'static dyn Chosen, String) {
    if tasks <= SEARCH_MAX {
        (&GraphPlanner(TimeOptimised), String::new())
    } else {
        (&GraphPlanner(Heft), format!(", and a search would find little among more than {SEARCH_MAX} tasks"))
    }
}

/// A planner of graphs and of instances.
trait Chosen: Planner {
    fn instance_planner(&self) -> &dyn SchedulePlanner;
}

impl<P: SchedulePlanner> Chosen for GraphPlanner<P> {
    fn instance_planner(&self) -> &dyn SchedulePlanner {
        &self.0
    }
}

impl Strategy for Auto {
    fn name(&self) -> &'static str {
        "auto"
    }

    fn needs_plan(&self, graph: &Graph) -> bool {
        order_matters(graph)
    }

    fn why_unplanned(&self, graph: &Graph) -> Option<&'static str> {
        let alike = graph.len() > 1 && !order_matters(graph);
        alike.then_some("functions are independent and alike, so any order is as good: packed as they come")
    }

    fn choose(
        &mut self,
        view: &View<'_>,
        task: &Candidate<'_>,
        options: &[Proposal],
        _: &mut Rng,
    ) -> Option<usize> {
        if task.planned.is_some() || task.requests.len() > 1 {
            follow(view, task, options, Goal::of(task.weights))
        } else {
            self.packer.choose(Policy::Auto, view, task, options)
        }
    }
}

impl SchedulePlanner for Auto {
    fn name(&self) -> &'static str {
        "auto"
    }

    fn schedule(&self, instance: &Instance, options: &PlanOptions, budget: &mut Budget<'_>) -> Schedule {
        let (chosen, _) = planner(instance.tasks());
        let mut schedule = chosen.instance_planner().schedule(instance, options, budget);
        schedule.why = format!("{}: {}", chosen.name(), schedule.why);
        schedule
    }
}

impl Planner for Auto {
    fn name(&self) -> &'static str {
        "auto"
    }

    fn plan(&self, problem: &PlanProblem, budget: &mut Budget<'_>) -> Plan {
        let graph = &problem.graph;
        let tasks = problem.settled.iter().filter(|settled| !**settled).count() as u32;
        let (chosen, size) = planner(tasks);
        let name = chosen.name();
        let mut plan = chosen.plan(problem, budget);
        let reason = if graph.edges() > 0 {
            "functions depend on each other"
        } else if graph.functions().iter().any(|function| function.variants.len() > 1) {
            "functions have several variants"
        } else {
            "functions take different times"
        };
        plan.why = format!("{name}, because {reason}{size}; {}", plan.why);
        if problem.has_unknown {
            plan.why += "; how long some functions take is not known, so a second is taken for each";
        }
        plan
    }
}
