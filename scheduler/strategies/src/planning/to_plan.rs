//! From a schedule to the plan that the dispatcher follows, and so from planners of instances to planners of
//! graphs.

use super::{Instance, MeanComm, PlanOptions, Planned, Schedule, SchedulePlanner, from_problem};
use dunnage_core::{Budget, PlanProblem, Planner};
use dunnage_model::{Plan, PlannedPlace};

/// The plan of a graph that a schedule of its instance means. Tasks go in order of their planned start, ties
/// by index; those that were not planned come first if they are started again.
pub fn to_plan(problem: &PlanProblem, planned: &Planned, schedule: &Schedule, strategy: &str) -> Plan {
    let tasks = problem.graph.len() as usize;
    let mut plan = Plan {
        priority: vec![1.0; tasks],
        place: vec![None; tasks],
        makespan_s: schedule.makespan.max(planned.busy_s),
        is_informed: !problem.has_unknown,
        strategy: strategy.to_owned(),
        why: schedule.why.clone(),
        schedules: schedule.schedules,
    };
    let instance: &Instance = &planned.instance;
    for (at, task) in planned.tasks.iter().enumerate() {
        let Some(mode) = instance.modes(at as u32).get(usize::from(schedule.mode[at])) else { continue };
        let (start, end) = (schedule.start[at], schedule.end[at]);
        plan.priority[*task as usize] = 0.0 - start;
        plan.place[*task as usize] = Some(PlannedPlace {
            variant: mode.variant,
            device: planned.devices[mode.device as usize],
            start_s: start,
            end_s: end,
        });
    }
    plan
}

/// A planner of graphs made of a planner of instances.
#[derive(Clone, Copy, Debug)]
pub struct GraphPlanner<P>(pub P);

impl<P: SchedulePlanner> Planner for GraphPlanner<P> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn plan(&self, problem: &PlanProblem, budget: &mut Budget<'_>) -> Plan {
        let planned = from_problem(problem);
        let options = PlanOptions {
            seed: problem.seed,
            mean_comm: MeanComm::Pairs,
            weights: problem.graph.settings.weights,
        };
        let schedule = self.0.schedule(&planned.instance, &options, budget);
        to_plan(problem, &planned, &schedule, self.0.name())
    }
}
