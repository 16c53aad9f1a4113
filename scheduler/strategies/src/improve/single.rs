//! Where each task has one way to run and values move at no cost, order is all there is to choose: that is
//! the search of [`crate::search`], begun with the list rules.

use super::why;
use crate::planning::{Instance, PlanOptions, Schedule};
use dunnage_core::Budget;
use dunnage_model::Weights;

/// Rules that differ where there is nothing to choose but the order.
const RULES: [&str; 5] = ["heft", "cpop", "mct", "min-min", "max-min"];

/// Above this many tasks only the first rule is made before the search.
const RULES_MAX: u32 = 2_000;

/// A schedule of such an instance; `None` of any other, or where more than time counts.
pub(super) fn solve(instance: &Instance, options: &PlanOptions, budget: &mut Budget<'_>) -> Option<Schedule> {
    if options.weights != Weights::default()
        || !instance.is_single_mode()
        || instance.value_memory.iter().any(Option::is_some)
    {
        return None;
    }
    if !instance.transfers.is_free() {
        return None;
    }
    let count = if instance.tasks() > RULES_MAX { 1 } else { RULES.len() };
    let mut made: Vec<(&'static str, f64)> = Vec::new();
    let mut seeds: Vec<Schedule> = Vec::new();
    for name in &RULES[..count] {
        if !made.is_empty() && budget.is_over() {
            break;
        }
        let Some(rule) = crate::schedule_planner(name) else { continue };
        let schedule = rule.schedule(instance, options, &mut Budget::of(0));
        budget.has_plan(schedule.makespan);
        made.push((name, schedule.makespan));
        seeds.push(schedule);
    }
    let from = made.iter().map(|(_, makespan)| *makespan).fold(f64::INFINITY, f64::min);
    let mut schedule = crate::search::solve(instance, options, &seeds, budget)?;
    schedule.schedules += made.len() as u64;
    // Its bounds cost as much as many schedules, and the search has used them already.
    schedule.why = why::sentence(&made, from, schedule.makespan, &schedule, 0.0);
    Some(schedule)
}
