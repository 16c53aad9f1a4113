//! `energy-optimised`: the least joules above idling, and for those the least makespan. As
//! `cost-optimised` with watts instead of prices.
//!
//! Source: ours. Cost: the budget. Bad where idling costs most: a machine that is on draws power
//! however late the graph ends, and then the shortest plan is the one that saves energy.

use crate::improve::{Goal, improve};
use crate::planning::{Instance, PlanOptions, Schedule, SchedulePlanner};
use dunnage_core::Budget;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct EnergyOptimised;

impl SchedulePlanner for EnergyOptimised {
    fn name(&self) -> &'static str {
        "energy-optimised"
    }

    fn schedule(&self, instance: &Instance, options: &PlanOptions, budget: &mut Budget<'_>) -> Schedule {
        improve(instance, Goal::Energy, options, budget)
    }
}
