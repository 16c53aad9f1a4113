//! The fast decoder for tasks that have a device each to themselves: in the order of the list, a task
//! starts when its inputs are there and its device has ended what stands before it in the list. No room
//! is looked for: every schedule whose tasks cannot start earlier is that of the list of its starts.
//!
//! What lies before the first place that changed is not made again: the free times of the devices are kept
//! at every [`BLOCK`]th node. Cost: for each node from there on one look at its parents.

use super::encoding::{List, Net};
use super::insertion::Tails;

/// Nodes between two kept states.
pub(super) const BLOCK: usize = 16;

/// What is known of the current solution that shows early that another one is worse.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen<'t> {
    /// The ways to the end from what stays as it is.
    pub(crate) tails: &'t Tails,
    /// The position of each node in the order that is tried.
    pub(crate) position: &'t [u32],
    /// The last position at which something is different.
    pub(crate) last: usize,
    /// Tasks in another mode than before.
    pub(crate) moved: [u32; 2],
}

/// The times of the current solution, and of the one that is tried.
#[derive(Debug)]
pub(crate) struct Chain {
    /// Of the tried solution: starts and ends of tasks.
    pub(crate) start: Vec<f64>,
    pub(crate) end: Vec<f64>,
    /// Of the tried one: for each gather and place, when all of it is there.
    seen: Vec<f64>,
    kept: Kept,
    /// Free times of the devices while a list is decoded.
    free: Vec<f64>,
    /// States of the tried solution at the blocks that were decoded.
    tried_free: Vec<f64>,
    tried_makespan: Vec<f64>,
    /// The mode's seconds, place and line of each task, for the tried solution.
    data: Vec<(f64, u32, u32)>,
    /// The positions that were decoded for the tried solution.
    from: usize,
    to: usize,
}

#[derive(Debug)]
struct Kept {
    start: Vec<f64>,
    end: Vec<f64>,
    seen: Vec<f64>,
    free: Vec<f64>,
    makespan: Vec<f64>,
}

impl Chain {
    pub(crate) fn new(net: &Net<'_>) -> Self {
        let tasks = net.tasks as usize;
        let gathers = (net.nodes - net.tasks) as usize * net.places;
        let blocks = net.nodes as usize / BLOCK + 1;
        let lines = net.lines.len();
        Self {
            start: vec![0.0; tasks],
            end: vec![0.0; tasks],
            seen: vec![0.0; gathers],
            kept: Kept {
                start: vec![0.0; tasks],
                end: vec![0.0; tasks],
                seen: vec![0.0; gathers],
                free: vec![0.0; blocks * lines],
                makespan: vec![0.0; blocks],
            },
            free: vec![0.0; lines],
            tried_free: vec![0.0; blocks * lines],
            tried_makespan: vec![0.0; blocks],
            data: vec![(0.0, 0, 0); tasks],
            from: 0,
            to: 0,
        }
    }

    /// Says which mode a task has from now on.
    pub(crate) fn set_mode(&mut self, net: &Net<'_>, task: u32, row: u32) {
        let mode = &net.modes[row as usize];
        self.data[task as usize] = (mode.seconds, mode.place, mode.line);
    }

    /// Makes another solution the current one. Returns its makespan.
    pub(crate) fn load(&mut self, net: &Net<'_>, list: &List) -> f64 {
        for (task, row) in list.mode.iter().enumerate() {
            self.set_mode(net, task as u32, *row);
        }
        for (line, spec) in net.lines.iter().enumerate() {
            self.kept.free[line] = spec.occupied.iter().map(|(until, _)| *until).fold(0.0, f64::max);
        }
        self.kept.makespan[0] = 0.0;
        let makespan = self.run(net, list, 0, f64::INFINITY, None);
        self.accept(list);
        makespan
    }

    /// Makes the schedule of a list that differs from the current one from this position on. Returns the
    /// makespan; infinite where it would reach `limit`, which `screen` may know early.
    pub(crate) fn run(
        &mut self,
        net: &Net<'_>,
        list: &List,
        from: usize,
        limit: f64,
        screen: Option<&Screen<'_>>,
    ) -> f64 {
        let stop = screen.map_or(usize::MAX, |screen| (screen.last / BLOCK + 1) * BLOCK);
        let lines = self.free.len();
        let block = from / BLOCK;
        self.from = block * BLOCK;
        self.free.copy_from_slice(&self.kept.free[block * lines..(block + 1) * lines]);
        let mut makespan = self.kept.makespan[block];
        for (at, node) in list.order.iter().copied().enumerate().skip(self.from) {
            if at % BLOCK == 0 {
                let block = at / BLOCK;
                self.tried_free[block * lines..(block + 1) * lines].copy_from_slice(&self.free);
                self.tried_makespan[block] = makespan;
                if at == stop
                    && let Some(screen) = screen
                    && self.is_longer(net, list, screen, at, limit)
                {
                    self.to = at;
                    return f64::INFINITY;
                }
            }
            if node >= net.tasks {
                self.gather(net, node);
                continue;
            }
            let task = node as usize;
            let (seconds, place, line) = self.data[task];
            let mut start = self.free[line as usize].max(net.instance.earliest(node));
            for edge in net.parents(node) {
                let there = if edge.node < net.tasks {
                    let parent = edge.node as usize;
                    let from = self.data[parent].1;
                    if from == place || edge.size <= 0.0 {
                        self.end[parent]
                    } else {
                        let (latency, unit) = net.transfer[from as usize * net.places + place as usize];
                        self.end[parent] + (latency + edge.size * unit)
                    }
                } else {
                    self.seen[(edge.node - net.tasks) as usize * net.places + place as usize]
                };
                start = start.max(there);
            }
            let end = start + seconds;
            self.start[task] = start;
            self.end[task] = end;
            self.free[line as usize] = end;
            makespan = makespan.max(end);
            if end + net.behind[task] >= limit {
                self.to = at + 1;
                return f64::INFINITY;
            }
        }
        self.to = list.order.len();
        makespan
    }

    /// Whether a way through what was decoded up to a block, and then along what follows unchanged, reaches
    /// the limit.
    fn is_longer(&self, net: &Net<'_>, list: &List, screen: &Screen<'_>, stop: usize, limit: f64) -> bool {
        let lines = self.free.len();
        let behind = screen.tails.line_at(stop / BLOCK, lines);
        if self.free.iter().zip(behind).any(|(free, behind)| *behind > 0.0 && free + behind >= limit) {
            return true;
        }
        let tasks = list.order[self.from..stop].iter().copied().filter(|node| *node < net.tasks);
        tasks.into_iter().any(|task| {
            let end = self.end[task as usize];
            let is_moved = screen.moved.contains(&task);
            if end <= self.kept.end[task as usize] && !is_moved {
                return false;
            }
            let place = self.data[task as usize].1;
            net.children(task).iter().any(|edge| {
                let node = edge.node as usize;
                if edge.node >= net.tasks || (screen.position[node] as usize) < stop {
                    return false;
                }
                end + net.moving(edge.size, place, self.data[node].1) + screen.tails.of(edge.node) >= limit
            })
        })
    }

    /// Makes the tried solution the current one.
    pub(crate) fn accept(&mut self, list: &List) {
        let lines = self.free.len();
        let tasks = self.start.len();
        let places = if self.seen.is_empty() { 0 } else { self.seen.len() / (list.order.len() - tasks) };
        for node in list.order[self.from..self.to].iter().map(|node| *node as usize) {
            if node < tasks {
                self.kept.start[node] = self.start[node];
                self.kept.end[node] = self.end[node];
            } else {
                let row = (node - tasks) * places..(node - tasks + 1) * places;
                self.kept.seen[row.clone()].copy_from_slice(&self.seen[row]);
            }
        }
        let blocks = self.from / BLOCK..self.to.div_ceil(BLOCK);
        let row = blocks.start * lines..blocks.end * lines;
        self.kept.free[row.clone()].copy_from_slice(&self.tried_free[row]);
        self.kept.makespan[blocks.clone()].copy_from_slice(&self.tried_makespan[blocks]);
    }

    /// Forgets the tried solution, which is still in `list`.
    pub(crate) fn reject(&mut self, list: &List) {
        let tasks = self.start.len();
        let places = if self.seen.is_empty() { 0 } else { self.seen.len() / (list.order.len() - tasks) };
        for node in list.order[self.from..self.to].iter().map(|node| *node as usize) {
            if node < tasks {
                self.start[node] = self.kept.start[node];
                self.end[node] = self.kept.end[node];
            } else {
                let row = (node - tasks) * places..(node - tasks + 1) * places;
                self.seen[row.clone()].copy_from_slice(&self.kept.seen[row]);
            }
        }
    }

    /// The free times of the lines of the current solution at every block.
    pub(crate) fn free(&self) -> &[f64] {
        &self.kept.free
    }

    /// When all inputs of a task can be at a place, in the current solution.
    pub(crate) fn arrive(&self, net: &Net<'_>, task: u32, place: u32) -> f64 {
        let mut ready = net.instance.earliest(task);
        for edge in net.parents(task) {
            ready = ready.max(if edge.node < net.tasks {
                let parent = edge.node as usize;
                self.kept.end[parent] + net.moving(edge.size, self.data[parent].1, place)
            } else {
                self.kept.seen[(edge.node - net.tasks) as usize * net.places + place as usize]
            });
        }
        ready
    }

    /// How many nodes the last call decoded.
    pub(crate) fn work(&self) -> usize {
        self.to - self.from
    }

    fn gather(&mut self, net: &Net<'_>, node: u32) {
        let first = (node - net.tasks) as usize * net.places;
        for place in 0..net.places {
            let mut all = 0.0_f64;
            for edge in net.parents(node) {
                all = all.max(if edge.node < net.tasks {
                    let parent = edge.node as usize;
                    self.end[parent] + net.moving(edge.size, self.data[parent].1, place as u32)
                } else {
                    self.seen[(edge.node - net.tasks) as usize * net.places + place]
                });
            }
            self.seen[first + place] = all;
        }
    }
}
