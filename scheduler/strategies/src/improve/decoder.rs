//! From a solution to its times: serial schedule generation with insertion. Each task in the order of the
//! list starts at the first time from which its inputs are there and every resource that its mode takes
//! has room for all of its run; where modes are free, it takes the one in which it ends first.
//!
//! Source: Kolisch 1996 for the serial scheme over several renewable resources, Topcuoglu 2002 for
//! insertion and the earliest finish. Cost: for each task one look at its edges and the busy times that it
//! passes; nothing is allocated once the arrays have grown. Bad where thousands of small pieces stand
//! before the end of a resource: only the last [`REACH`] are searched.

use super::encoding::{LineSpec, List, ModeRow, Net};
use super::lifetimes::Held;

/// How many steps before its end a resource is searched for room.
const REACH: usize = 4096;

/// How many nodes go by between two looks at the clock.
const STRIDE: usize = 512;

/// What one resource holds over time.
#[derive(Clone, Debug)]
pub(super) enum Line {
    /// One task at a time: disjoint busy intervals that do not touch, ascending.
    Unary(Vec<(f64, f64)>),
    /// From each time on this much is free; ascending, the first at 0.
    Shared(Vec<(f64, i64)>),
}

impl Line {
    fn clear(&mut self, spec: &LineSpec) {
        match self {
            Self::Unary(busy) => {
                busy.clear();
                let until = spec.occupied.iter().map(|(until, _)| *until).fold(0.0, f64::max);
                if until > 0.0 {
                    busy.push((0.0, until));
                }
            }
            Self::Shared(free) => {
                free.clear();
                free.push((0.0, spec.capacity));
                for (until, amount) in &spec.occupied {
                    take(free, 0.0, *until, *amount);
                }
            }
        }
    }

    /// The first time from `ready` on at which `amount` is free for `seconds`.
    pub(super) fn fit(&self, ready: f64, seconds: f64, amount: i64) -> f64 {
        match self {
            Self::Unary(busy) => {
                let first =
                    busy.partition_point(|(_, end)| *end <= ready).max(busy.len().saturating_sub(REACH));
                let mut at = match busy.get(first.wrapping_sub(1)) {
                    Some((_, end)) => ready.max(*end),
                    None => ready,
                };
                for (start, end) in &busy[first..] {
                    if at + seconds <= *start {
                        return at;
                    }
                    at = at.max(*end);
                }
                at
            }
            Self::Shared(free) => {
                let reach = free.len().saturating_sub(REACH);
                let first = free.partition_point(|(time, _)| *time <= ready).saturating_sub(1).max(reach);
                let mut at = ready.max(free[first].0);
                for (step, (_, has)) in free.iter().enumerate().skip(first) {
                    let next = free.get(step + 1).map_or(f64::INFINITY, |(time, _)| *time);
                    if *has < amount {
                        at = next;
                    } else if at + seconds <= next {
                        return at;
                    }
                }
                at
            }
        }
    }

    /// Until when less than this is free within a stretch of time, at the latest; `None` where it always is.
    pub(super) fn blocked(&self, from: f64, to: f64, amount: i64) -> Option<f64> {
        let Self::Shared(free) = self else { return None };
        let first = free.partition_point(|(time, _)| *time <= from).saturating_sub(1);
        let mut until = None;
        for (step, (time, has)) in free.iter().enumerate().skip(first) {
            if *time >= to {
                break;
            }
            if *has < amount {
                until = Some(free.get(step + 1).map_or(f64::INFINITY, |(time, _)| *time));
            }
        }
        until
    }

    /// Gives back what was taken without an end.
    pub(super) fn free(&mut self, from: f64, amount: i64) {
        if let Self::Shared(free) = self {
            take(free, from, f64::INFINITY, -amount);
        }
    }

    pub(super) fn take(&mut self, start: f64, end: f64, amount: i64) {
        if end <= start {
            return;
        }
        match self {
            Self::Unary(busy) => {
                let at = busy.partition_point(|(_, before)| *before < start);
                // Joined with what it touches, so that a busy run is one step.
                let joins_before = busy.get(at).is_some_and(|(_, before)| *before == start);
                let next = if joins_before { at + 1 } else { at };
                let joins_after = busy.get(next).is_some_and(|(after, _)| *after == end);
                match (joins_before, joins_after) {
                    (true, true) => {
                        busy[at].1 = busy[next].1;
                        busy.remove(next);
                    }
                    (true, false) => busy[at].1 = end,
                    (false, true) => busy[at].0 = start,
                    (false, false) => busy.insert(at, (start, end)),
                }
            }
            Self::Shared(free) => take(free, start, end, amount),
        }
    }
}

fn take(free: &mut Vec<(f64, i64)>, start: f64, end: f64, amount: i64) {
    let from = free.partition_point(|(time, _)| *time < start);
    if free.get(from).is_none_or(|(time, _)| *time > start) {
        let has = free[from.saturating_sub(1)].1;
        free.insert(from, (start, has));
    }
    let mut to = from;
    let mut has = free[from].1;
    while to < free.len() && free[to].0 < end {
        has = free[to].1;
        free[to].1 = has.saturating_sub(amount);
        to += 1;
    }
    if free.get(to).is_none_or(|(time, _)| *time > end) {
        free.insert(to, (end, has));
    }
    // Steps without a difference are dropped, so that a full stretch is one step.
    if to < free.len() && free[to].1 == free[to - 1].1 {
        free.remove(to);
    }
    if from > 0 && free[from].1 == free[from - 1].1 {
        free.remove(from);
    }
}

/// Which tasks choose their mode.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Choose {
    /// None.
    No,
    /// All.
    All,
}

/// The arrays of the serial scheme, used again for each schedule.
#[derive(Debug)]
pub(crate) struct Sgs {
    pub(super) lines: Vec<Line>,
    /// For each task, its start.
    pub(crate) start: Vec<f64>,
    /// For each task, its end.
    pub(crate) end: Vec<f64>,
    /// Starts and ends that a caller keeps while it tries others.
    pub(crate) kept: (Vec<f64>, Vec<f64>),
    /// For each gather and place, when all of it is there.
    seen: Vec<f64>,
    ready: Vec<f64>,
    /// For each task, the place where it runs.
    pub(super) place: Vec<u32>,
    /// What values hold, where they cost memory.
    pub(super) held: Held,
}

impl Sgs {
    pub(crate) fn new(net: &Net<'_>) -> Self {
        let lines = net
            .lines
            .iter()
            .map(|line| if line.is_unary { Line::Unary(Vec::new()) } else { Line::Shared(Vec::new()) });
        Self {
            lines: lines.collect(),
            start: vec![0.0; net.tasks as usize],
            end: vec![0.0; net.tasks as usize],
            kept: (vec![0.0; net.tasks as usize], vec![0.0; net.tasks as usize]),
            seen: vec![0.0; (net.nodes - net.tasks) as usize * net.places],
            ready: vec![0.0; net.places],
            place: vec![0; net.tasks as usize],
            held: Held::default(),
        }
    }

    /// Makes the schedule of a list. Modes that are chosen are written to it. Returns the makespan;
    /// infinite where it would reach `limit` or time is over, and then the times are not all set.
    pub(crate) fn run(
        &mut self,
        net: &Net<'_>,
        list: &mut List,
        choose: Choose,
        limit: f64,
        is_over: &mut dyn FnMut() -> bool,
    ) -> f64 {
        for (line, spec) in self.lines.iter_mut().zip(&net.lines) {
            line.clear(spec);
        }
        if let Some(values) = &net.values {
            return self.run_with_values(net, values, list, choose, limit, is_over);
        }
        let mut makespan = 0.0_f64;
        for (at, node) in list.order.iter().copied().enumerate() {
            if at % STRIDE == STRIDE - 1 && is_over() {
                return f64::INFINITY;
            }
            if node >= net.tasks {
                self.gather(net, node);
                continue;
            }
            let task = node as usize;
            let (row, start) = if matches!(choose, Choose::All) {
                self.earliest(net, node)
            } else {
                let row = list.mode[task];
                let mode = &net.modes[row as usize];
                let ready = self.ready_at(net, node, mode.place);
                (row, self.fit(net, mode, ready))
            };
            let mode = &net.modes[row as usize];
            let end = start + mode.seconds;
            for (line, amount) in net.takes_of(mode) {
                self.lines[*line as usize].take(start, end, *amount);
            }
            list.mode[task] = row;
            self.place[task] = mode.place;
            self.start[task] = start;
            self.end[task] = end;
            makespan = makespan.max(end);
            if end + net.behind[task] >= limit {
                return f64::INFINITY;
            }
        }
        makespan
    }

    /// When all inputs of a task can be at a place.
    pub(super) fn ready_at(&self, net: &Net<'_>, task: u32, place: u32) -> f64 {
        let mut ready = net.instance.earliest(task);
        for edge in net.parents(task) {
            let there = if edge.node < net.tasks {
                let parent = edge.node as usize;
                self.end[parent] + net.moving(edge.size, self.place[parent], place)
            } else {
                self.seen[(edge.node - net.tasks) as usize * net.places + place as usize]
            };
            ready = ready.max(there);
        }
        ready
    }

    /// The mode in which a task ends first, and its start then; ties go to the first mode.
    fn earliest(&mut self, net: &Net<'_>, task: u32) -> (u32, f64) {
        self.ready.fill(-1.0);
        let rows = net.modes_of(task);
        let mut best = (rows.start as u32, 0.0, f64::INFINITY);
        for row in rows {
            let mode = &net.modes[row];
            let mut ready = self.ready[mode.place as usize];
            if ready < 0.0 {
                ready = self.ready_at(net, task, mode.place);
                self.ready[mode.place as usize] = ready;
            }
            if ready + mode.seconds >= best.2 {
                continue;
            }
            let start = self.fit(net, mode, ready);
            if start + mode.seconds < best.2 {
                best = (row as u32, start, start + mode.seconds);
            }
        }
        (best.0, best.1)
    }

    pub(super) fn fit(&self, net: &Net<'_>, mode: &ModeRow, ready: f64) -> f64 {
        let takes = net.takes_of(mode);
        let mut at = ready;
        loop {
            let before = at;
            for (line, amount) in takes {
                at = self.lines[*line as usize].fit(at, mode.seconds, *amount);
            }
            if at == before || takes.len() < 2 {
                return at;
            }
        }
    }

    pub(super) fn gather(&mut self, net: &Net<'_>, node: u32) {
        let first = (node - net.tasks) as usize * net.places;
        for place in 0..net.places {
            self.seen[first + place] = net
                .parents(node)
                .iter()
                .map(|edge| {
                    if edge.node < net.tasks {
                        let parent = edge.node as usize;
                        self.end[parent] + net.moving(edge.size, self.place[parent], place as u32)
                    } else {
                        self.seen[(edge.node - net.tasks) as usize * net.places + place]
                    }
                })
                .fold(0.0, f64::max);
        }
    }
}
