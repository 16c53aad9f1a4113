//! Where each task has one way to run and values move at no cost, order is all there is to choose: that is
//! the search of [`crate::search`], begun with the list rules.

use super::why::{self, What};
use crate::planning::{Instance, PlanOptions, Schedule};
use dunnage_core::Budget;
use dunnage_model::Weights;

/// Rules that differ where there is nothing to choose but the order; those first that are best more often.
const RULES: [&str; 7] = ["heft", "cpop", "mct", "min-min", "max-min", "peft", "sufferage"];

/// Rules cannot be interrupted: up to so many tasks, and this that they take and wait for, so many of them
/// are made before the search; the first one always.
const MADE: [(u32, usize, usize); 2] = [(300, 6_000, RULES.len()), (2_000, 20_000, 5)];

/// How many of the rules are made: a matter of size alone, never of time.
fn rules_for(instance: &Instance) -> usize {
    let takes = instance.kind_of.iter().map(|kind| instance.kinds[*kind as usize].modes[0].takes.len());
    let work = takes.sum::<usize>() + instance.parents.items();
    let fits = |row: &&(u32, usize, usize)| instance.tasks() <= row.0 && work <= row.1;
    MADE.iter().find(fits).map_or(1, |row| row.2)
}

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
    let schedules = budget.schedules;
    let mut made: Vec<(&'static str, f64)> = Vec::new();
    let mut seeds: Vec<Schedule> = Vec::new();
    for name in &RULES[..rules_for(instance)] {
        if !made.is_empty() && (made.len() as u64 >= schedules || budget.is_over()) {
            break;
        }
        let Some(rule) = crate::schedule_planner(name) else { continue };
        let schedule = rule.schedule(instance, options, &mut Budget::of(0));
        budget.has_plan(schedule.makespan);
        made.push((name, schedule.makespan));
        seeds.push(schedule);
    }
    let from = made.iter().map(|(_, makespan)| *makespan).fold(f64::INFINITY, f64::min);
    budget.schedules = schedules.saturating_sub(made.len() as u64);
    let found = crate::search::solve(instance, options, &seeds, budget);
    budget.schedules = schedules;
    // Where something is held for ever any rule's plan is as good.
    let least = |seeds: Vec<Schedule>| seeds.into_iter().min_by(|a, b| a.makespan.total_cmp(&b.makespan));
    let mut schedule = match found {
        Some(found) => found,
        None => Schedule { schedules: 0, ..least(seeds)? },
    };
    schedule.schedules += made.len() as u64;
    // Its bounds cost as much as many schedules, and the search has used them already.
    schedule.why = why::sentence(&made, from, schedule.makespan, &schedule, What::Time(0.0));
    Some(schedule)
}
