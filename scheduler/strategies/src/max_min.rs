//! `max-min`: of all ready tasks the one whose earliest completion is latest, on the device where it is
//! complete first; then again. Tasks that become ready meanwhile wait until all that were ready before are
//! planned.
//!
//! Source: Ibarra and Kim, "Heuristic algorithms for scheduling independent tasks on nonidentical
//! processors", JACM 24(2), 1977; compared with ten others in Braun et al., "A comparison of eleven static
//! heuristics", JPDC 61, 2001. Cost: for each task a look at each class of ready tasks. Bad when most tasks
//! are long: short ones that others wait for are put off; it sees no critical path and fills no gaps.

use crate::planning::batch::{Choice, plan};
use crate::planning::{Instance, PlanOptions, Schedule, SchedulePlanner};
use dunnage_core::Budget;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct MaxMin;

impl SchedulePlanner for MaxMin {
    fn name(&self) -> &'static str {
        "max-min"
    }

    fn schedule(&self, instance: &Instance, _: &PlanOptions, _: &mut Budget<'_>) -> Schedule {
        plan(instance, Choice::Max, true, "of what is ready that which is complete last")
    }
}
