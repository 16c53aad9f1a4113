//! From ticks back to seconds.
//!
//! Nodes keep the order that they have in ticks: one starts when all have ended, in seconds, that it waits
//! for, and all that ended in ticks by its start and take of what it takes. Two that share a resource and
//! overlap in seconds overlap in ticks too, and intervals that overlap pairwise overlap at one time, so
//! capacities hold whatever the rounding was. Cost: two sorts.

use super::problem::Problem;
use crate::planning::{Instance, Schedule};

/// The schedule in seconds with these ends in ticks.
pub(crate) fn in_seconds(instance: &Instance, problem: &Problem, end: &[i64]) -> Schedule {
    let nodes = problem.nodes();
    let tasks = instance.tasks();
    let start = |node: usize| end[node] - problem.duration[node];
    let mut schedule = Schedule {
        mode: vec![0; tasks as usize],
        start: vec![0.0; tasks as usize],
        end: vec![0.0; tasks as usize],
        ..Schedule::default()
    };
    if problem.is_exact && problem.tick.fract() == 0.0 && problem.horizon as f64 * problem.tick < 9e15 {
        // Whole seconds are numbers as they are.
        for (node, name) in problem.node_of.iter().enumerate().filter(|(_, name)| **name < tasks) {
            schedule.start[*name as usize] = start(node) as f64 * problem.tick;
            schedule.end[*name as usize] = end[node] as f64 * problem.tick;
        }
        schedule.makespan = schedule.end.iter().copied().fold(0.0, f64::max);
        return schedule;
    }
    let mut by_start: Vec<(i64, u32)> = (0..nodes).map(|node| (start(node), node as u32)).collect();
    by_start.sort_unstable();
    let mut by_end: Vec<(i64, u32)> = (0..nodes).map(|node| (end[node], node as u32)).collect();
    by_end.sort_unstable();
    let mut held = vec![0.0_f64; instance.resources.len()];
    // What others hold, by when it is free again.
    let mut occupied: Vec<(i64, f64, u32)> = instance
        .occupied
        .iter()
        .filter(|occupied| occupied.until.is_finite())
        .map(|occupied| (problem.ticks(occupied.until), occupied.until, occupied.resource))
        .collect();
    occupied.sort_by_key(|(until, _, _)| *until);
    let mut occupied = occupied.into_iter().peekable();
    let mut ended = by_end.into_iter().peekable();
    let mut ends = vec![0.0_f64; nodes];
    for (now, node) in by_start {
        let here = node as usize;
        while let Some((_, until, resource)) = occupied.next_if(|(until, _, _)| *until <= now) {
            held[resource as usize] = held[resource as usize].max(until);
        }
        while let Some((_, other)) = ended.next_if(|(end, _)| *end <= now) {
            let name = problem.node_of[other as usize];
            if name < tasks && problem.duration[other as usize] > 0 {
                for (resource, _) in &instance.modes(name)[0].takes {
                    held[*resource as usize] = held[*resource as usize].max(ends[other as usize]);
                }
            }
        }
        let name = problem.node_of[here];
        let mut at = 0.0_f64;
        for parent in problem.before.row(here) {
            at = at.max(ends[*parent as usize]);
        }
        if name >= tasks {
            ends[here] = at;
            continue;
        }
        let mode = &instance.modes(name)[0];
        at = at.max(instance.earliest(name));
        if problem.duration[here] > 0 {
            for (resource, _) in &mode.takes {
                at = at.max(held[*resource as usize]);
            }
        }
        ends[here] = at + mode.seconds;
        schedule.start[name as usize] = at;
        schedule.end[name as usize] = at + mode.seconds;
    }
    schedule.makespan = schedule.end.iter().copied().fold(0.0, f64::max);
    schedule
}
