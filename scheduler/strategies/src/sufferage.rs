//! `sufferage`: of all ready tasks the one that loses most if it does not get the device where it is
//! complete first: its second earliest completion less its earliest; then again.
//!
//! Source: Maheswaran, Ali, Siegel, Hensgen and Freund, "Dynamic mapping of a class of independent tasks
//! onto heterogeneous computing systems", JPDC 59, 1999; for graphs over the tasks that are ready. Cost: for
//! each task a look at each class of ready tasks. Bad when devices are alike: then nothing suffers, and the
//! order is that of the indices; it sees no critical path and fills no gaps.

use crate::planning::batch::{Choice, plan};
use crate::planning::{Instance, PlanOptions, Schedule, SchedulePlanner};
use dunnage_core::Budget;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Sufferage;

impl SchedulePlanner for Sufferage {
    fn name(&self) -> &'static str {
        "sufferage"
    }

    fn schedule(&self, instance: &Instance, _: &PlanOptions, _: &mut Budget<'_>) -> Schedule {
        plan(
            instance,
            Choice::Sufferage,
            false,
            "of what is ready that which loses most by its second best place",
        )
    }
}
