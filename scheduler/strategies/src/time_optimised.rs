//! `time-optimised`: the best of the list rules, then a search over (priority, device) within the budget.
//! Where the graph gives weights, the weighted sum of time, transfer, energy and fragmentation is what is
//! least, each measured in what the best rule comes to.
//!
//! Source: the portfolio is ours; annealing with the neighbourhoods of the flexible job shop (Mastrolilli
//! and Gambardella 2000) and the serial scheme (Kolisch 1996); see [`crate::improve`]. Cost: the budget.
//! Never worse than any rule that was made. Bad when estimates are bad: it spends its effort on differences
//! that are not there, and its plans have less slack than those of a rule.

use crate::improve::{Goal, improve};
use crate::planning::{Instance, PlanOptions, Schedule, SchedulePlanner};
use dunnage_core::Budget;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct TimeOptimised;

impl SchedulePlanner for TimeOptimised {
    fn name(&self) -> &'static str {
        "time-optimised"
    }

    fn schedule(&self, instance: &Instance, options: &PlanOptions, budget: &mut Budget<'_>) -> Schedule {
        improve(instance, Goal::Time(options.weights), options, budget)
    }
}
