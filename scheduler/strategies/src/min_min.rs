//! `min-min`: of all ready tasks the one that can be complete first, on the device where that is; then
//! again. Tasks that become ready meanwhile wait until all that were ready before are planned.
//!
//! Source: Ibarra and Kim, "Heuristic algorithms for scheduling independent tasks on nonidentical
//! processors", JACM 24(2), 1977; for graphs by batches of ready tasks as in Yu, Buyya and Ramamohanarao,
//! "Workflow scheduling algorithms for grid computing", 2008. Cost: for each task a look at each class of
//! ready tasks. Bad when long tasks matter: short ones go first and long ones are left over at the end, on
//! few devices; it sees no critical path and fills no gaps.

use crate::planning::batch::{Choice, plan};
use crate::planning::{Instance, PlanOptions, Schedule, SchedulePlanner};
use dunnage_core::Budget;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct MinMin;

impl SchedulePlanner for MinMin {
    fn name(&self) -> &'static str {
        "min-min"
    }

    fn schedule(&self, instance: &Instance, _: &PlanOptions, _: &mut Budget<'_>) -> Schedule {
        plan(instance, Choice::Min, true, "of what is ready that which is complete first")
    }
}
