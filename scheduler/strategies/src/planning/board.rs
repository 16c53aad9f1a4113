//! A schedule in the making: list rules put one task after another on it.
//!
//! It answers when the inputs of a task can be in each memory, and in which mode it would end first. Ties go
//! to the mode with the lowest index.

use super::table::{Table, Way};
use super::tails::Tails;
use super::timeline::Timeline;
use super::{Instance, Schedule};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What is planned so far.
pub(crate) struct Board<'a> {
    pub(crate) instance: &'a Instance,
    pub(crate) table: &'a Table,
    room: Room,
    mode: Vec<u16>,
    start: Vec<f64>,
    done: Vec<Done>,
    /// For each gather and place when all that it gathers could be there.
    gathered: Vec<f64>,
    /// For each place when the inputs of the task that was looked at last could be there.
    ready: Vec<f64>,
    /// For each mode of kinds that several tasks have: between these two times it is known not to fit.
    floors: Vec<(f64, f64)>,
}

/// When there is room.
enum Room {
    /// For rules that fill gaps.
    Gaps(Timeline),
    /// For rules that put each task after those before.
    Tails(Tails),
}

#[derive(Clone, Copy)]
struct Done {
    end: f64,
    place: u32,
}

/// A mode of a task and when it would run.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Fit {
    pub(crate) mode: u16,
    pub(crate) start: f64,
    pub(crate) end: f64,
}

impl<'a> Board<'a> {
    /// An empty one for rules that fill gaps.
    pub(crate) fn new(instance: &'a Instance, table: &'a Table) -> Self {
        // Where each task is a kind of its own, nothing is learned from others of the kind.
        let is_shared = instance.kinds.len() < instance.kind_of.len();
        let floors = if is_shared { table.all_modes() } else { 0 };
        Self {
            floors: vec![(f64::INFINITY, 0.0); floors],
            ..Self::with(instance, table, Room::Gaps(Timeline::new(instance, table.least_taken())))
        }
    }

    /// An empty one for rules that put each task after those before.
    pub(crate) fn appending(instance: &'a Instance, table: &'a Table) -> Self {
        Self::with(instance, table, Room::Tails(Tails::new(instance)))
    }

    fn with(instance: &'a Instance, table: &'a Table, room: Room) -> Self {
        let tasks = instance.tasks() as usize;
        Self {
            instance,
            table,
            room,
            mode: vec![0; tasks],
            start: vec![0.0; tasks],
            done: vec![Done { end: 0.0, place: 0 }; tasks],
            gathered: vec![0.0; instance.gathers as usize * table.places()],
            ready: vec![0.0; table.places()],
            floors: Vec::new(),
        }
    }

    /// For each place when the inputs of a node can be there: its parents must be planned.
    pub(crate) fn look(&mut self, node: u32) -> &[f64] {
        let tasks = self.instance.tasks();
        let earliest = if node < tasks { self.instance.earliest(node) } else { 0.0 };
        self.ready.fill(earliest);
        for edge in self.instance.parents.row(node) {
            if edge.node >= tasks {
                let at = (edge.node - tasks) as usize * self.ready.len();
                for (ready, gathered) in self.ready.iter_mut().zip(&self.gathered[at..]) {
                    *ready = ready.max(*gathered);
                }
                continue;
            }
            let Done { end, place } = self.done[edge.node as usize];
            if self.ready.len() == 1 {
                self.ready[0] = self.ready[0].max(end);
            } else if edge.size > 0.0 {
                let (per_unit, latency) = self.instance.transfers.from(place);
                for ((ready, per_unit), latency) in self.ready.iter_mut().zip(per_unit).zip(latency) {
                    *ready = ready.max(end + (latency + edge.size * per_unit));
                }
            } else {
                for ready in &mut self.ready {
                    *ready = ready.max(end);
                }
            }
        }
        &self.ready
    }

    /// Passes a gather: all that it gathers must be planned.
    pub(crate) fn gather(&mut self, node: u32) {
        self.look(node);
        let at = (node - self.instance.tasks()) as usize * self.ready.len();
        self.gathered[at..at + self.ready.len()].copy_from_slice(&self.ready);
    }

    /// Before this a mode of the task that was looked at last cannot start: what did not fit when a task of
    /// the same kind was planned does not fit now, for room only gets less.
    fn not_before(&self, at: usize, ready: f64, seconds: f64) -> f64 {
        match self.floors.get(at) {
            // A task so short that it is lost beside the time may fit where one gap ends.
            Some((from, to)) if *from <= ready && ready <= *to && to + seconds > *to => *to,
            _ => ready,
        }
    }

    /// The mode in which the task that was looked at last ends first, with `more` seconds added
    /// to the end of each mode for the comparison alone; of modes for which that is infinite the first.
    pub(crate) fn best_with(&mut self, task: u32, more: impl Fn(usize, Way) -> f64) -> Fit {
        let kind = self.instance.kind_of[task as usize];
        let table = self.table;
        let (ways, lengths) = table.modes(kind);
        let first = table.first(kind);
        let mut best: Option<(f64, Fit)> = None;
        for (mode, (way, seconds)) in ways.iter().zip(lengths).enumerate() {
            let more = more(mode, *way);
            let ready = self.ready[way.place as usize];
            let known = self.not_before(first + mode, ready, *seconds);
            if best.is_some_and(|(cost, _)| known + seconds + more >= cost) {
                continue;
            }
            let takes = table.takes(*way);
            let start = match &self.room {
                Room::Gaps(timeline) => {
                    // A hair more where a difference may round down.
                    let slack = if more > 0.0 { 4.0 * f64::EPSILON } else { 0.0 };
                    let limit = best.map_or(f64::INFINITY, |(cost, _)| cost - more + cost * slack);
                    timeline.earliest(takes, known, *seconds, limit)
                }
                Room::Tails(tails) => tails.tail(takes).max(known),
            };
            if let Some(floor) = self.floors.get_mut(first + mode) {
                *floor = (if known > ready { floor.0 } else { ready }, start);
            }
            let end = start + seconds;
            if best.is_none_or(|(cost, _)| end + more < cost) {
                best = Some((end + more, Fit { mode: mode as u16, start, end }));
            }
        }
        best.map_or(Fit { mode: 0, start: 0.0, end: 0.0 }, |(_, fit)| fit)
    }

    /// The mode in which the task that was looked at last ends first.
    pub(crate) fn best(&mut self, task: u32) -> Fit {
        self.best_with(task, |_, _| 0.0)
    }

    /// From when on a mode has room after all that is planned, whatever its inputs, for rules that append.
    pub(crate) fn tail(&self, way: Way) -> f64 {
        match &self.room {
            Room::Gaps(_) => 0.0,
            Room::Tails(tails) => tails.tail(self.table.takes(way)),
        }
    }

    /// Puts a task where it was found to fit.
    pub(crate) fn put(&mut self, task: u32, fit: Fit) {
        let (ways, _) = self.table.modes(self.instance.kind_of[task as usize]);
        let Some(way) = ways.get(usize::from(fit.mode)) else { return };
        let takes = self.table.takes(*way);
        match &mut self.room {
            Room::Gaps(timeline) => timeline.take(takes, fit.start, fit.end),
            Room::Tails(tails) => tails.take(takes, fit.start, fit.end),
        }
        let at = task as usize;
        self.mode[at] = fit.mode;
        self.start[at] = fit.start;
        self.done[at] = Done { end: fit.end, place: way.place };
    }

    /// No task to come is shorter than this.
    pub(crate) fn forget_shorter_than(&mut self, seconds: f64) {
        if let Room::Gaps(timeline) = &mut self.room {
            timeline.forget_shorter_than(seconds);
        }
    }

    /// Puts all nodes on it in an order in which parents come before children, each where it ends first.
    pub(crate) fn put_in_order(&mut self, order: &[u32]) {
        let tasks = self.instance.tasks();
        // What is the shortest task from here on, looked up every so often.
        const STRIDE: usize = 64;
        let mut shortest: Vec<f64> = order
            .chunks(STRIDE)
            .map(|nodes| {
                nodes
                    .iter()
                    .filter(|node| **node < tasks)
                    .map(|task| self.table.least(self.instance.kind_of[*task as usize]))
                    .fold(f64::INFINITY, f64::min)
            })
            .collect();
        for at in (1..shortest.len()).rev() {
            shortest[at - 1] = shortest[at - 1].min(shortest[at]);
        }
        for (chunk, shortest) in order.chunks(STRIDE).zip(shortest) {
            self.forget_shorter_than(shortest);
            for node in chunk {
                if *node >= tasks {
                    self.gather(*node);
                    continue;
                }
                self.look(*node);
                let fit = self.best(*node);
                self.put(*node, fit);
            }
        }
    }

    /// Puts all nodes, of those whose parents are put the one of the highest priority first; ties go by
    /// place in the `topological` order. Priorities are numbers and not negative.
    pub(crate) fn put_by_priority(
        &mut self,
        topological: &[u32],
        priority: impl Fn(u32) -> f64,
        choose: impl Fn(&mut Self, u32) -> Fit,
    ) {
        let instance = self.instance;
        let nodes = instance.nodes();
        let mut position = vec![0_u32; nodes as usize];
        for (at, node) in topological.iter().enumerate() {
            position[*node as usize] = at as u32;
        }
        // What is not negative sorts as its bits do.
        let key = |node: u32| ((priority(node) + 0.0).to_bits(), Reverse(position[node as usize]), node);
        let mut missing: Vec<u32> = (0..nodes).map(|node| instance.parents.row(node).len() as u32).collect();
        let mut ready: BinaryHeap<_> =
            (0..nodes).filter(|node| missing[*node as usize] == 0).map(key).collect();
        let shortest =
            instance.kind_of.iter().map(|kind| self.table.least(*kind)).fold(f64::INFINITY, f64::min);
        self.forget_shorter_than(shortest);
        while let Some((.., node)) = ready.pop() {
            if node >= instance.tasks() {
                self.gather(node);
            } else {
                self.look(node);
                let fit = choose(self, node);
                self.put(node, fit);
            }
            for edge in instance.children.row(node) {
                let count = &mut missing[edge.node as usize];
                *count -= 1;
                if *count == 0 {
                    ready.push(key(edge.node));
                }
            }
        }
    }

    /// The schedule.
    pub(crate) fn finish(self, why: &str) -> Schedule {
        let end: Vec<f64> = self.done.iter().map(|done| done.end).collect();
        Schedule {
            mode: self.mode,
            start: self.start,
            makespan: end.iter().copied().fold(0.0, f64::max),
            end,
            moved: Vec::new(),
            schedules: 1,
            why: why.to_owned(),
        }
    }
}
