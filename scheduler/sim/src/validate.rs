//! The judge of schedules: works on a file's own numbers ([`Facts`]) and on rows of task, device, start and
//! end, never on a planner's books.
//!
//! Each task once; no start before all parents' values are there; each run as long as the device needs; no
//! resource above its capacity at any instant; all times finite. Whole numbers are compared exactly, others
//! within a billionth of the makespan. Cost: a sort of the rows for each resource or device.

use crate::formats::{Case, Facts, Machine};
use dunnage_strategies::planning::Schedule;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

/// When a task ran, and where.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Row {
    /// The task, counted from 0 in the file's order.
    pub task: u32,
    /// On which device or processor; `None` where the format knows of none.
    pub device: Option<u32>,
    /// From when, in the file's unit.
    pub start: f64,
    /// Until when.
    pub end: f64,
}

/// Times may differ by this part of the makespan.
const TOLERANCE: f64 = 1e-9;

/// The largest whole number that a float surely holds.
const WHOLE_MAX: f64 = (1_u64 << 53) as f64;

/// A schedule as rows, by task. Processors of which there are several alike are given out here, lowest
/// first.
pub fn rows(case: &Case, schedule: &Schedule) -> Vec<Row> {
    let times = schedule.start.iter().zip(&schedule.end);
    let mut rows: Vec<Row> = (0_u32..)
        .zip(times)
        .map(|(task, (start, end))| Row { task, device: None, start: *start, end: *end })
        .collect();
    match &case.facts.machine {
        Machine::Vector { processors: true, capacities, .. } => {
            give_processors(&mut rows, capacities.first().copied().unwrap_or(0));
        }
        Machine::Vector { .. } => {}
        Machine::Related { .. } | Machine::Graph => {
            for (row, mode) in rows.iter_mut().zip(&schedule.mode) {
                let mode = case.instance.modes(row.task).get(usize::from(*mode));
                row.device = mode.map(|mode| mode.device);
            }
        }
    }
    rows
}

/// Gives each row a processor: the lowest that is free then. A task without time gets one that is idle at
/// that moment, where there is one.
fn give_processors(rows: &mut [Row], processors: u64) {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|a, b| {
        let (a, b) = (&rows[*a], &rows[*b]);
        a.start.total_cmp(&b.start).then(a.end.total_cmp(&b.end)).then(a.task.cmp(&b.task))
    });
    let mut running: BinaryHeap<Reverse<(OrderedTime, u32)>> = BinaryHeap::new();
    let mut free: BTreeSet<u32> = BTreeSet::new();
    let mut opened = 0_u32;
    for at in order {
        let row = &mut rows[at];
        while let Some(Reverse((end, processor))) = running.peek().copied() {
            if end.0 > row.start {
                break;
            }
            running.pop();
            free.insert(processor);
        }
        let lowest = free.first().copied();
        if row.end <= row.start {
            row.device = Some(lowest.unwrap_or(if u64::from(opened) < processors { opened } else { 0 }));
            continue;
        }
        let processor = lowest.unwrap_or_else(|| {
            opened += 1;
            opened - 1
        });
        free.remove(&processor);
        running.push(Reverse((OrderedTime(row.end), processor)));
        row.device = Some(processor);
    }
}

/// A time that sorts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OrderedTime(pub(crate) f64);

impl PartialEq for OrderedTime {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for OrderedTime {}

impl PartialOrd for OrderedTime {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OrderedTime {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Judges a schedule of any format.
///
/// # Errors
/// The first thing that is wrong.
pub fn judge(case: &Case, schedule: &Schedule, rows: &[Row]) -> Result<(), String> {
    check(&case.facts, rows, schedule.makespan)?;
    match &case.graph {
        Some(graph) => crate::validate_graph::check(case, graph, schedule),
        None => Ok(()),
    }
}

/// Judges a schedule by the file's own numbers.
///
/// # Errors
/// The first thing that is wrong, with the tasks as the file calls them.
pub fn check(facts: &Facts, rows: &[Row], makespan: f64) -> Result<(), String> {
    let by_task = once_each(facts, rows)?;
    let last = rows.iter().map(|row| row.end).fold(0.0, f64::max);
    if !makespan.is_finite() || (last - makespan).abs() > TOLERANCE * last.abs() {
        return Err(format!("the last end is {last}, and the makespan is said to be {makespan}"));
    }
    match &facts.machine {
        Machine::Related { costs, speeds, links } => {
            check_related(facts, &by_task, costs, speeds, links, last)
        }
        Machine::Vector { .. } => check_vector(facts, &by_task),
        Machine::Graph => Ok(()),
    }
}

/// What a task is called in messages.
fn called(facts: &Facts, task: u32) -> String {
    facts.name(task).map_or_else(|| format!("the added task {task}"), |name| format!("task {name}"))
}

/// Each task once, all times finite and in order.
fn once_each(facts: &Facts, rows: &[Row]) -> Result<Vec<Row>, String> {
    if rows.len() != facts.tasks as usize {
        return Err(format!("{} of {} tasks are in the schedule", rows.len(), facts.tasks));
    }
    let mut by_task: Vec<Option<Row>> = vec![None; rows.len()];
    for row in rows {
        let Some(slot) = by_task.get_mut(row.task as usize) else {
            return Err(format!("there is no task {}", row.task));
        };
        if slot.is_some() {
            return Err(format!("{} is there twice", called(facts, row.task)));
        }
        if !row.start.is_finite() || !row.end.is_finite() || row.start < 0.0 || row.end < row.start {
            return Err(format!("{} runs from {} to {}", called(facts, row.task), row.start, row.end));
        }
        *slot = Some(*row);
    }
    by_task.into_iter().collect::<Option<Vec<Row>>>().ok_or_else(|| "a task is missing".to_owned())
}

fn check_related(
    facts: &Facts,
    rows: &[Row],
    costs: &[f64],
    speeds: &[f64],
    links: &[f64],
    makespan: f64,
) -> Result<(), String> {
    let slack = TOLERANCE * makespan;
    let devices = speeds.len();
    let mut on_device: Vec<Vec<Row>> = vec![Vec::new(); devices];
    for row in rows {
        let Some(device) = row.device.map(|device| device as usize).filter(|device| *device < devices) else {
            return Err(format!("{} is on no device", called(facts, row.task)));
        };
        let wanted = costs[row.task as usize] / speeds[device];
        if (row.end - row.start - wanted).abs() > slack {
            return Err(format!(
                "{} runs from {} to {} and should take {wanted}",
                called(facts, row.task),
                row.start,
                row.end
            ));
        }
        if wanted > 0.0 {
            on_device[device].push(*row);
        }
    }
    for (parent, child, size) in &facts.edges {
        let (before, after) = (&rows[*parent as usize], &rows[*child as usize]);
        let (from, to) = (before.device.unwrap_or(0) as usize, after.device.unwrap_or(0) as usize);
        let moving = if from == to || *size == 0.0 { 0.0 } else { size / links[from * devices + to] };
        if after.start + slack < before.end + moving {
            return Err(format!(
                "{} starts at {} and needs what {} has ended at {} and takes {moving} to move",
                called(facts, *child),
                after.start,
                called(facts, *parent),
                before.end
            ));
        }
    }
    for there in &mut on_device {
        there.sort_by(|a, b| a.start.total_cmp(&b.start).then(a.end.total_cmp(&b.end)));
        for pair in there.windows(2) {
            if pair[1].start + slack < pair[0].end {
                return Err(format!(
                    "{} and {} run on device {} at once",
                    called(facts, pair[0].task),
                    called(facts, pair[1].task),
                    pair[0].device.unwrap_or(0)
                ));
            }
        }
    }
    Ok(())
}

fn check_vector(facts: &Facts, rows: &[Row]) -> Result<(), String> {
    let Machine::Vector { durations, demands, capacities, resources, processors } = &facts.machine else {
        return Ok(());
    };
    let whole = |time: f64| (time.fract() == 0.0 && time <= WHOLE_MAX).then_some(time as u64);
    let mut times = Vec::with_capacity(rows.len());
    for row in rows {
        let (Some(start), Some(end)) = (whole(row.start), whole(row.end)) else {
            return Err(format!(
                "{} runs from {} to {}, which are no whole numbers",
                called(facts, row.task),
                row.start,
                row.end
            ));
        };
        let wanted = durations[row.task as usize];
        if end - start != wanted {
            return Err(format!(
                "{} runs from {start} to {end} and should take {wanted}",
                called(facts, row.task)
            ));
        }
        times.push((start, end));
    }
    for (parent, child, _) in &facts.edges {
        let (ended, starts) = (times[*parent as usize].1, times[*child as usize].0);
        if starts < ended {
            return Err(format!(
                "{} starts at {starts}, before {} has ended at {ended}",
                called(facts, *child),
                called(facts, *parent)
            ));
        }
    }
    for (resource, capacity) in capacities.iter().enumerate() {
        // Ends before starts at the same time: what is given back may be taken at once.
        let mut events: Vec<(u64, bool, u64, u32)> = Vec::new();
        for row in rows {
            let (start, end) = times[row.task as usize];
            let amount = demands.of(row.task, resource, capacities.len(), end - start);
            if amount > 0 && end > start {
                events.push((end, false, amount, row.task));
                events.push((start, true, amount, row.task));
            }
        }
        events.sort_unstable();
        let mut used = 0_u128;
        for (time, starts, amount, task) in events {
            if starts {
                used += u128::from(amount);
            } else {
                used -= u128::from(amount);
            }
            if used > u128::from(*capacity) {
                return Err(format!(
                    "{used} of {} are taken at {time}, of which there are {capacity}, when {} starts",
                    resources[resource],
                    called(facts, task)
                ));
            }
        }
    }
    if *processors {
        check_processors(facts, rows, capacities.first().copied().unwrap_or(0))?;
    }
    Ok(())
}

/// No processor holds two at once.
fn check_processors(facts: &Facts, rows: &[Row], processors: u64) -> Result<(), String> {
    let mut busy: Vec<Row> = rows.iter().filter(|row| row.end > row.start).copied().collect();
    busy.sort_by(|a, b| a.device.cmp(&b.device).then(a.start.total_cmp(&b.start)));
    for row in rows {
        if row.device.is_none_or(|device| u64::from(device) >= processors) {
            return Err(format!("{} is on no processor", called(facts, row.task)));
        }
    }
    for pair in busy.windows(2) {
        if pair[0].device == pair[1].device && pair[1].start < pair[0].end {
            return Err(format!(
                "{} and {} run on processor {} at once",
                called(facts, pair[0].task),
                called(facts, pair[1].task),
                pair[0].device.unwrap_or(0)
            ));
        }
    }
    Ok(())
}
