//! From a solution to its times: serial schedule generation with insertion. Each task in the order of the
//! list starts at the first time from which its inputs are there and every resource that its mode takes
//! has room for all of its run; where modes are free, it takes the one in which it ends first.
//!
//! Source: Kolisch 1996 for the serial scheme over several renewable resources, Topcuoglu 2002 for
//! insertion and the earliest finish. Cost: for each task one look at its edges and the busy times that it
//! passes; nothing is allocated once the arrays have grown. Bad where thousands of small pieces stand
//! before the end of a resource: only the last [`super::line::REACH`] are searched.

use super::encoding::{List, ModeRow, Net};
use super::lifetimes::Held;
use super::line::Line;

/// How many states of a schedule are kept at most, and how many nodes at least are between two.
const SAVES: usize = 16;

/// How many nodes go by between two looks at the clock.
const STRIDE: usize = 512;

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
    /// For each gather and place, when all of it is there.
    seen: Vec<f64>,
    ready: Vec<f64>,
    /// Starts, ends and gathers of the current solution, while another is tried.
    kept: (Vec<f64>, Vec<f64>, Vec<f64>),
    /// What the lines hold before every so many positions of the current solution, with the makespan there.
    saved: Vec<(Vec<Line>, f64)>,
    nodes: usize,
    /// Up to which of these they are those of the current solution.
    valid: usize,
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
            kept: (Vec::new(), Vec::new(), Vec::new()),
            saved: Vec::new(),
            valid: 0,
            nodes: net.nodes as usize,
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
        for at in 0..list.order.len() {
            if at % STRIDE == STRIDE - 1 && is_over() {
                return f64::INFINITY;
            }
            let node = list.order[at];
            if node >= net.tasks {
                self.gather(net, node);
                continue;
            }
            if matches!(choose, Choose::All) {
                list.mode[node as usize] = self.earliest(net, node);
            }
            let end = self.put(net, list, node);
            makespan = makespan.max(end);
            if end + net.behind[node as usize] >= limit {
                return f64::INFINITY;
            }
        }
        makespan
    }

    /// Puts a task where it fits first in its mode. Returns its end.
    fn put(&mut self, net: &Net<'_>, list: &List, node: u32) -> f64 {
        let task = node as usize;
        let mode = &net.modes[list.mode[task] as usize];
        let ready = self.ready_at(net, node, mode.place);
        let start = self.fit(net, mode, ready);
        let end = start + mode.seconds;
        for (line, amount) in net.takes_of(mode) {
            self.lines[*line as usize].take(start, end, *amount);
        }
        self.place[task] = mode.place;
        self.start[task] = start;
        self.end[task] = end;
        end
    }

    /// Makes another solution, whose modes are fixed, the current one.
    pub(crate) fn load(&mut self, net: &Net<'_>, list: &mut List) {
        self.run(net, list, Choose::No, f64::INFINITY, &mut || false);
        self.forget(0);
    }

    /// Makes the schedule of a list with fixed modes that differs from the current one from this position
    /// on. Returns the makespan; infinite where it would reach `limit` or time is over.
    pub(crate) fn run_from(
        &mut self,
        net: &Net<'_>,
        list: &mut List,
        from: usize,
        limit: f64,
        is_over: &mut dyn FnMut() -> bool,
    ) -> f64 {
        if net.values.is_some() {
            return self.run(net, list, Choose::No, limit, is_over);
        }
        let apart = (list.order.len() / SAVES).max(SAVES);
        if self.saved.is_empty() {
            let empty = net.lines.iter().zip(&self.lines).map(|(spec, line)| {
                let mut line = line.clone();
                line.clear(spec);
                line
            });
            self.saved.push((empty.collect(), 0.0));
        }
        let block = (from / apart).min(self.valid);
        let (lines, before) = &self.saved[block];
        self.lines.clone_from(lines);
        let mut makespan = *before;
        for at in block * apart..list.order.len() {
            // Up to where they differ the two solutions are one.
            if at % apart == 0 && at / apart > self.valid && at <= from {
                self.valid = at / apart;
                if let Some((lines, before)) = self.saved.get_mut(self.valid) {
                    lines.clone_from(&self.lines);
                    *before = makespan;
                } else {
                    self.saved.push((self.lines.clone(), makespan));
                }
            }
            if at % STRIDE == STRIDE - 1 && is_over() {
                return f64::INFINITY;
            }
            let node = list.order[at];
            if node >= net.tasks {
                self.gather(net, node);
                continue;
            }
            let end = self.put(net, list, node);
            makespan = makespan.max(end);
            if end + net.behind[node as usize] >= limit {
                return f64::INFINITY;
            }
        }
        makespan
    }

    /// Makes the tried solution, which differs from this position on, the current one.
    pub(crate) fn accept(&mut self, from: usize) {
        self.forget(from);
    }

    fn forget(&mut self, from: usize) {
        let apart = (self.nodes / SAVES).max(SAVES);
        self.valid = self.valid.min(from / apart);
        self.kept.0.clone_from(&self.start);
        self.kept.1.clone_from(&self.end);
        self.kept.2.clone_from(&self.seen);
    }

    /// Goes back to the current solution; `modes` are those of the tasks that were tried in others.
    pub(crate) fn reject(&mut self, net: &Net<'_>, modes: &[Option<(u32, u32)>]) {
        self.start.clone_from(&self.kept.0);
        self.end.clone_from(&self.kept.1);
        self.seen.clone_from(&self.kept.2);
        for (task, row) in modes.iter().flatten() {
            self.place[*task as usize] = net.modes[*row as usize].place;
        }
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

    /// The mode in which a task ends first; ties go to the first mode.
    fn earliest(&mut self, net: &Net<'_>, task: u32) -> u32 {
        self.ready.fill(-1.0);
        let rows = net.modes_of(task);
        let mut best = (rows.start as u32, f64::INFINITY);
        for row in rows {
            let mode = &net.modes[row];
            let mut ready = self.ready[mode.place as usize];
            if ready < 0.0 {
                ready = self.ready_at(net, task, mode.place);
                self.ready[mode.place as usize] = ready;
            }
            if ready + mode.seconds >= best.1 {
                continue;
            }
            let start = self.fit(net, mode, ready);
            if start + mode.seconds < best.1 {
                best = (row as u32, start + mode.seconds);
            }
        }
        best.0
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
