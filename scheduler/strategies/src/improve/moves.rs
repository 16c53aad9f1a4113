//! Small changes of a solution: another mode for a task, another position in the order, or an exchange
//! of the devices of two tasks. Most begin at a task that decides the makespan, that is, one on a chain of
//! tasks from the last end back in which each starts when the one before has ended or its value arrived.

use super::encoding::{List, Net};
use dunnage_core::Rng;

/// How far in the order a task goes at once where nothing else bounds it.
const WINDOW: usize = 64;

/// A change that was made, so that it can be taken back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Move {
    /// The node went from the first position to the second.
    pub(crate) shift: Option<(usize, usize)>,
    /// Tasks with the modes they had.
    pub(crate) modes: [Option<(u32, u32)>; 2],
    /// The first position at which something is different.
    pub(crate) first: usize,
    /// The last such position.
    pub(crate) last: usize,
}

/// A list with the position of each node.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) list: List,
    pub(crate) position: Vec<u32>,
}

impl Order {
    pub(crate) fn new(list: List) -> Self {
        let mut order = Self { position: vec![0; list.order.len()], list };
        order.number(0, order.list.order.len());
        order
    }

    /// Takes over another list of the same nodes.
    pub(crate) fn set(&mut self, list: &List) {
        self.list.order.copy_from_slice(&list.order);
        self.list.mode.copy_from_slice(&list.mode);
        self.number(0, self.list.order.len());
    }

    fn number(&mut self, from: usize, to: usize) {
        for at in from..to {
            self.position[self.list.order[at] as usize] = at as u32;
        }
    }

    fn shift(&mut self, from: usize, to: usize) {
        if from < to {
            self.list.order[from..=to].rotate_left(1);
            self.number(from, to + 1);
        } else {
            self.list.order[to..=from].rotate_right(1);
            self.number(to, from + 1);
        }
    }

    /// Takes a change back.
    pub(crate) fn undo(&mut self, change: &Move) {
        for (task, row) in change.modes.iter().flatten() {
            self.list.mode[*task as usize] = *row;
        }
        if let Some((from, to)) = change.shift {
            self.shift(to, from);
        }
    }

    /// The positions to which a node may go with its parents before it and its children behind.
    pub(crate) fn room(&self, net: &Net<'_>, node: u32) -> (usize, usize) {
        let at = self.position[node as usize] as usize;
        let least = net.parents(node).iter().map(|edge| self.position[edge.node as usize] as usize + 1);
        let most = net.children(node).iter().map(|edge| self.position[edge.node as usize] as usize - 1);
        (
            least.fold(at.saturating_sub(WINDOW), usize::max),
            most.fold((at + WINDOW).min(self.list.order.len() - 1), usize::min),
        )
    }

    fn line(&self, net: &Net<'_>, node: u32) -> u32 {
        if node >= net.tasks { u32::MAX } else { net.modes[self.list.mode[node as usize] as usize].line }
    }

    /// Gives a task a mode and a position.
    pub(crate) fn place(&mut self, task: u32, row: u32, to: usize) -> Move {
        let at = self.position[task as usize] as usize;
        let old = std::mem::replace(&mut self.list.mode[task as usize], row);
        if to != at {
            self.shift(at, to);
        }
        Move {
            shift: (to != at).then_some((at, to)),
            modes: [(row != old).then_some((task, old)), None],
            first: at.min(to),
            last: at.max(to),
        }
    }

    /// Changes something at this task. `None` where nothing came of it.
    pub(crate) fn change(&mut self, net: &Net<'_>, task: u32, rng: &mut Rng) -> Option<Move> {
        let rows = net.modes_of(task);
        let draw = rng.unit();
        if rows.len() > 1 && draw < 0.45 {
            self.remode(net, task, rng)
        } else if rows.len() > 1 && draw < 0.6 {
            self.exchange(net, task, rng)
        } else {
            self.reorder(net, task, rng)
        }
    }

    /// Another mode, at the same position or a near one.
    fn remode(&mut self, net: &Net<'_>, task: u32, rng: &mut Rng) -> Option<Move> {
        let rows = net.modes_of(task);
        let old = self.list.mode[task as usize];
        let mut row = (rows.start + rng.below(rows.len() - 1)) as u32;
        if row >= old {
            row += 1;
        }
        self.list.mode[task as usize] = row;
        let at = self.position[task as usize] as usize;
        let mut change = Move { shift: None, modes: [Some((task, old)), None], first: at, last: at };
        if rng.below(2) == 0 {
            let (least, most) = self.room(net, task);
            let to = least + rng.below(most - least + 1);
            if to != at {
                self.shift(at, to);
                change.shift = Some((at, to));
                change.first = at.min(to);
                change.last = at.max(to);
            }
        }
        Some(change)
    }

    /// This task and one near it in the order each get a mode on the other's device.
    fn exchange(&mut self, net: &Net<'_>, task: u32, rng: &mut Rng) -> Option<Move> {
        let at = self.position[task as usize] as usize;
        let from = at.saturating_sub(WINDOW / 2);
        let to = (at + WINDOW / 2).min(self.list.order.len() - 1);
        let other = self.list.order[from + rng.below(to - from + 1)];
        if other >= net.tasks || other == task {
            return None;
        }
        let (mine, theirs) = (self.list.mode[task as usize], self.list.mode[other as usize]);
        let (a, b) = (&net.modes[mine as usize], &net.modes[theirs as usize]);
        if (a.line, a.place) == (b.line, b.place) {
            return None;
        }
        let alike = |task: u32, line: u32, place: u32| {
            let rows = net.modes_of(task);
            let first = rows.start;
            let found = net.modes[rows].iter().position(|row| row.line == line && row.place == place);
            found.map(|at| (first + at) as u32)
        };
        let new_mine = alike(task, b.line, b.place)?;
        let new_theirs = alike(other, a.line, a.place)?;
        self.list.mode[task as usize] = new_mine;
        self.list.mode[other as usize] = new_theirs;
        let first = at.min(self.position[other as usize] as usize);
        let last = at.max(self.position[other as usize] as usize);
        Some(Move { shift: None, modes: [Some((task, mine)), Some((other, theirs))], first, last })
    }

    /// Another position: in a chain past one or more tasks of the same device, else anywhere near.
    fn reorder(&mut self, net: &Net<'_>, task: u32, rng: &mut Rng) -> Option<Move> {
        let at = self.position[task as usize] as usize;
        let (least, most) = self.room(net, task);
        if least >= most {
            return None;
        }
        let to = if net.is_chain {
            let line = self.line(net, task);
            let mut passes = 1 + rng.below(2) * rng.below(4);
            let mut found = None;
            if rng.below(2) == 0 {
                for to in (least..at).rev() {
                    if self.line(net, self.list.order[to]) == line {
                        found = Some(to);
                        passes -= 1;
                        if passes == 0 {
                            break;
                        }
                    }
                }
            } else {
                for to in at + 1..=most {
                    if self.line(net, self.list.order[to]) == line {
                        found = Some(to);
                        passes -= 1;
                        if passes == 0 {
                            break;
                        }
                    }
                }
            }
            found?
        } else {
            least + rng.below(most - least + 1)
        };
        if to == at {
            return None;
        }
        self.shift(at, to);
        Some(Move { shift: Some((at, to)), modes: [None, None], first: at.min(to), last: at.max(to) })
    }
}

/// Finds the tasks that decide the makespan.
#[derive(Debug, Default)]
pub(crate) struct Critical {
    /// One chain from the last end back.
    pub(crate) tasks: Vec<u32>,
    /// In a chain: for each task the one before it on its device.
    before: Vec<u32>,
    last: Vec<u32>,
    by_end: Vec<u32>,
}

impl Critical {
    /// Finds one chain; where several things were waited for, one of them at random.
    pub(crate) fn find(&mut self, net: &Net<'_>, list: &List, start: &[f64], end: &[f64], rng: &mut Rng) {
        self.tasks.clear();
        if net.is_chain {
            self.before.resize(net.tasks as usize, u32::MAX);
            self.last.clear();
            self.last.resize(net.lines.len(), u32::MAX);
            for node in list.order.iter().copied().filter(|node| *node < net.tasks) {
                let line = net.modes[list.mode[node as usize] as usize].line as usize;
                self.before[node as usize] = self.last[line];
                self.last[line] = node;
            }
        } else {
            self.by_end.clear();
            self.by_end.extend(0..net.tasks);
            self.by_end.sort_unstable_by(|a, b| end[*a as usize].total_cmp(&end[*b as usize]).then(a.cmp(b)));
        }
        let Some(mut task) =
            (0..net.tasks).max_by(|a, b| end[*a as usize].total_cmp(&end[*b as usize]).then(b.cmp(a)))
        else {
            return;
        };
        // A chain of tasks without length could go round; none is longer than all tasks.
        for _ in 0..net.tasks {
            self.tasks.push(task);
            let Some(before) = self.cause(net, list, start, end, task, rng) else { break };
            task = before;
        }
    }

    fn cause(
        &self,
        net: &Net<'_>,
        list: &List,
        start: &[f64],
        end: &[f64],
        task: u32,
        rng: &mut Rng,
    ) -> Option<u32> {
        let began = start[task as usize];
        let mode = &net.modes[list.mode[task as usize] as usize];
        let mut found = None;
        let mut count = 0;
        let mut offer = |candidate: u32| {
            count += 1;
            if rng.below(count) == 0 {
                found = Some(candidate);
            }
        };
        if net.is_chain {
            let before = self.before[task as usize];
            if before != u32::MAX && end[before as usize] == began {
                offer(before);
            }
        } else {
            let from = self.by_end.partition_point(|other| end[*other as usize] < began);
            for other in self.by_end[from..].iter().take_while(|other| end[**other as usize] == began) {
                let theirs = net.takes_of(&net.modes[list.mode[*other as usize] as usize]);
                let shares =
                    net.takes_of(mode).iter().any(|(line, _)| theirs.iter().any(|(other, _)| other == line));
                if shares && *other != task && start[*other as usize] < began {
                    offer(*other);
                }
            }
        }
        arrivals(net, list, end, task, mode.place, 0, &mut |parent, there| {
            if there == began {
                offer(parent);
            }
        });
        found
    }
}

/// The parents of a node, through gathers, with the times at which their values are at a place.
fn arrivals(
    net: &Net<'_>,
    list: &List,
    end: &[f64],
    node: u32,
    place: u32,
    depth: u8,
    each: &mut dyn FnMut(u32, f64),
) {
    for edge in net.parents(node) {
        if edge.node < net.tasks {
            let from = net.modes[list.mode[edge.node as usize] as usize].place;
            each(edge.node, end[edge.node as usize] + net.moving(edge.size, from, place));
        } else if depth < 4 {
            arrivals(net, list, end, edge.node, place, depth + 1, each);
        }
    }
}
