//! The rules that choose among all ready tasks at once: min-min, max-min, sufferage.
//!
//! A task's completion time on a device is there counted from when the device is done with everything that
//! was given to it: gaps are not filled. With several resources "done" is when there is enough for good.
//!
//! Ready tasks of one kind whose inputs come at the same times are alike and looked at as one, and what was
//! found for a task holds until one of the resources that it rests on was taken. So a step costs a look at
//! each class of ready tasks, and evaluating its modes only for those that the last step concerned.

use super::board::{Board, Fit};
use super::table::Table;
use super::{Instance, Schedule};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Which of the ready tasks goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The one that can be complete first.
    Min,
    /// The one that will be complete last.
    Max,
    /// The one that loses most if it does not get its best place.
    Sufferage,
}

/// Ready tasks that are alike.
struct Class {
    kind: u32,
    ready: Box<[f64]>,
    /// By rising index.
    tasks: BinaryHeap<Reverse<u32>>,
    best: Fit,
    second: Option<Fit>,
    is_found: bool,
}

impl Class {
    fn first(&self) -> u32 {
        self.tasks.peek().map_or(u32::MAX, |task| task.0)
    }
}

/// Plans all tasks. `in_batches`: tasks that become ready meanwhile wait until all that were ready before are
/// planned.
pub(crate) fn plan(instance: &Instance, choice: Choice, in_batches: bool, why: &str) -> Schedule {
    let table = Table::new(instance);
    let mut board = Board::appending(instance, &table);
    let tasks = instance.tasks();
    let mut missing: Vec<u32> =
        (0..instance.nodes()).map(|node| instance.parents.row(node).len() as u32).collect();
    let mut free: Vec<u32> = (0..instance.nodes()).filter(|node| missing[*node as usize] == 0).collect();
    let mut classes: Vec<Class> = Vec::new();
    let mut class_of: BTreeMap<(u32, Box<[u64]>), usize> = BTreeMap::new();
    loop {
        if !in_batches || classes.is_empty() {
            let mut waiting: Vec<u32> = std::mem::take(&mut free);
            while let Some(node) = waiting.pop() {
                if node >= tasks {
                    board.gather(node);
                    release(instance, node, &mut missing, &mut waiting);
                    continue;
                }
                let kind = instance.kind_of[node as usize];
                let ready: Box<[f64]> = board.look(node).into();
                let key = (kind, ready.iter().map(|time| time.to_bits()).collect());
                let at = *class_of.entry(key).or_insert_with(|| {
                    let nowhere = Fit { mode: 0, start: 0.0, end: 0.0 };
                    classes.push(Class {
                        kind,
                        ready,
                        tasks: BinaryHeap::new(),
                        best: nowhere,
                        second: None,
                        is_found: false,
                    });
                    classes.len() - 1
                });
                classes[at].tasks.push(Reverse(node));
            }
        }
        let Some(next) = choose(&board, &table, &mut classes, choice) else { break };
        let class = &mut classes[next];
        let Some(Reverse(task)) = class.tasks.pop() else { break };
        let fit = class.best;
        board.put(task, fit);
        if class.tasks.is_empty() {
            class_of.remove(&(class.kind, class.ready.iter().map(|time| time.to_bits()).collect()));
            classes.swap_remove(next);
            if let Some(moved) = classes.get(next) {
                let key = (moved.kind, moved.ready.iter().map(|time| time.to_bits()).collect());
                class_of.insert(key, next);
            }
        }
        release(instance, task, &mut missing, &mut free);
    }
    board.finish(why)
}

fn release(instance: &Instance, node: u32, missing: &mut [u32], free: &mut Vec<u32>) {
    for edge in instance.children.row(node) {
        let count = &mut missing[edge.node as usize];
        *count -= 1;
        if *count == 0 {
            free.push(edge.node);
        }
    }
}

/// The two modes of a class that are complete first.
fn two_best(board: &Board<'_>, table: &Table, class: &Class) -> (Fit, Option<Fit>) {
    let mut best: Option<Fit> = None;
    let mut second: Option<Fit> = None;
    let (ways, lengths) = table.modes(class.kind);
    for (mode, (way, seconds)) in ways.iter().zip(lengths).enumerate() {
        let start = class.ready[way.place as usize].max(board.tail(*way));
        let fit = Fit { mode: mode as u16, start, end: start + seconds };
        if best.is_none_or(|best| fit.end < best.end) {
            second = best.replace(fit);
        } else if second.is_none_or(|second| fit.end < second.end) {
            second = Some(fit);
        }
    }
    (best.unwrap_or(Fit { mode: 0, start: 0.0, end: 0.0 }), second)
}

/// The class that goes next; of equals the one with the lowest task.
fn choose(board: &Board<'_>, table: &Table, classes: &mut [Class], choice: Choice) -> Option<usize> {
    let mut best: Option<(f64, u32, usize)> = None;
    for (at, class) in classes.iter_mut().enumerate() {
        if choice == Choice::Min && best.is_some_and(|(least, ..)| class.best.end > least) {
            continue;
        }
        let holds = |fit: Fit| {
            let (ways, _) = table.modes(class.kind);
            let way = ways[usize::from(fit.mode)];
            class.ready[way.place as usize].max(board.tail(way)) == fit.start
        };
        if !class.is_found || !holds(class.best) || class.second.is_some_and(|second| !holds(second)) {
            (class.best, class.second) = two_best(board, table, class);
            class.is_found = true;
            if choice != Choice::Sufferage {
                class.second = None;
            }
        }
        let cost = match choice {
            Choice::Min => class.best.end,
            Choice::Max => -class.best.end,
            // Who has one way alone loses nothing by waiting.
            Choice::Sufferage => class.second.map_or(0.0, |second| class.best.end - second.end),
        };
        let first = class.first();
        if best.is_none_or(|(least, lowest, _)| cost < least || (cost == least && first < lowest)) {
            best = Some((cost, first, at));
        }
    }
    best.map(|(.., at)| at)
}
