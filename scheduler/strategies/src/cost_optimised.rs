//! `cost-optimised`: the least money, and for that money the least makespan. Money is the price of a device
//! for as long as a task has it, so each task takes its cheapest modes, those within one in a hundred of
//! the cheapest among them, and a search as for `time-optimised` orders and spreads them.
//!
//! Source: ours; the order of goals is lexicographic (Ehrgott 2005, chapter 5). Cost: the budget. Bad when a
//! little more money would save much time: it never pays that; then give weights to `time-optimised`.

use crate::improve::{Goal, improve};
use crate::planning::{Instance, PlanOptions, Schedule, SchedulePlanner};
use dunnage_core::Budget;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct CostOptimised;

impl SchedulePlanner for CostOptimised {
    fn name(&self) -> &'static str {
        "cost-optimised"
    }

    fn schedule(&self, instance: &Instance, options: &PlanOptions, budget: &mut Budget<'_>) -> Schedule {
        improve(instance, Goal::Money, options, budget)
    }
}
