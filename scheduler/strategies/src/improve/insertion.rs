//! Where a task of a chain would go best: for every device and every gap near its position, the longest
//! way through it from the heads and tails of the current solution, without making a schedule.
//!
//! Source: the estimates of Taillard 1994 and of Mastrolilli and Gambardella 2000 for the flexible job
//! shop, with transfers. Heads and tails are those with the task still where it is, so the estimate is a
//! little off; the schedule that is made of the best one decides. Cost: one look at the edges of the task
//! for each of its modes and one at each neighbour in the window.

use super::encoding::Net;
use super::moves::{Move, Order};
use dunnage_core::Rng;

/// Nodes between two kept states; as in [`super::chain`].
use super::chain::BLOCK;

/// For the current solution, the longest ways to the end.
#[derive(Debug, Default)]
pub(crate) struct Tails {
    /// For each task from its start to the end of everything.
    from_start: Vec<f64>,
    /// For each gather and place, that of its readers there.
    behind: Vec<f64>,
    /// For each block and line, that of the first task on the line from there on.
    line: Vec<f64>,
    now: Vec<f64>,
    candidates: Vec<Candidate>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    row: u32,
    ready: f64,
    seconds: f64,
    tail: f64,
    /// Where its mode runs.
    line: u32,
    /// The best gap so far and the longest way through it.
    to: usize,
    way: f64,
}

impl Tails {
    /// Measures the current solution.
    pub(crate) fn measure(&mut self, net: &Net<'_>, order: &Order) {
        let lines = net.lines.len();
        let nodes = net.nodes as usize;
        self.from_start.resize(net.tasks as usize, 0.0);
        self.behind.clear();
        self.behind.resize((nodes - net.tasks as usize) * net.places, 0.0);
        self.line.resize((nodes / BLOCK + 1) * lines, 0.0);
        self.now.clear();
        self.now.resize(lines, 0.0);
        if nodes.is_multiple_of(BLOCK) {
            let at = nodes / BLOCK * lines;
            self.line[at..at + lines].fill(0.0);
        }
        for (at, node) in order.list.order.iter().copied().enumerate().rev() {
            if node < net.tasks {
                let mode = &net.modes[order.list.mode[node as usize] as usize];
                let tail = self.after(net, order, node, mode.place).max(self.now[mode.line as usize]);
                let whole = tail + mode.seconds;
                self.from_start[node as usize] = whole;
                self.now[mode.line as usize] = whole;
            } else {
                let row = (node - net.tasks) as usize * net.places;
                for edge in net.children(node) {
                    if edge.node < net.tasks {
                        let place = net.modes[order.list.mode[edge.node as usize] as usize].place as usize;
                        self.behind[row + place] =
                            self.behind[row + place].max(self.from_start[edge.node as usize]);
                    } else {
                        let other = (edge.node - net.tasks) as usize * net.places;
                        for place in 0..net.places {
                            self.behind[row + place] =
                                self.behind[row + place].max(self.behind[other + place]);
                        }
                    }
                }
            }
            if at % BLOCK == 0 {
                let row = at / BLOCK * lines;
                self.line[row..row + lines].copy_from_slice(&self.now);
            }
        }
    }

    /// The longest way from the start of a task to the end of everything.
    pub(crate) fn of(&self, task: u32) -> f64 {
        self.from_start[task as usize]
    }

    /// For each line that of the first task from a block on.
    pub(crate) fn line_at(&self, block: usize, lines: usize) -> &[f64] {
        &self.line[block * lines..(block + 1) * lines]
    }

    /// The longest way behind a task through its readers, if it runs at a place.
    fn after(&self, net: &Net<'_>, order: &Order, task: u32, place: u32) -> f64 {
        let mut after = 0.0_f64;
        for edge in net.children(task) {
            if edge.node < net.tasks {
                let to = net.modes[order.list.mode[edge.node as usize] as usize].place;
                after = after.max(self.from_start[edge.node as usize] + net.moving(edge.size, place, to));
            } else {
                let row = (edge.node - net.tasks) as usize * net.places;
                for to in 0..net.places {
                    let behind = self.behind[row + to];
                    if behind > 0.0 {
                        after = after.max(behind + net.moving(edge.size, place, to as u32));
                    }
                }
            }
        }
        after
    }

    /// Puts a task of a chain where the longest way through it is least, of a random half of its modes.
    /// `free` holds the free times of the lines at every block; `end` and `seen` are the current times.
    pub(crate) fn reinsert(
        &mut self,
        net: &Net<'_>,
        order: &mut Order,
        free: &[f64],
        end: &[f64],
        arrive: &dyn Fn(u32, u32) -> f64,
        task: u32,
        rng: &mut Rng,
    ) -> Option<Move> {
        let lines = net.lines.len();
        let (least, most) = order.room(net, task);
        let old = order.list.mode[task as usize];
        let at = order.position[task as usize] as usize;
        self.candidates.clear();
        for row in net.modes_of(task) {
            if rng.below(3) == 0 {
                continue;
            }
            let mode = &net.modes[row];
            self.candidates.push(Candidate {
                row: row as u32,
                ready: arrive(task, mode.place),
                seconds: mode.seconds,
                tail: self.after(net, order, task, mode.place),
                line: mode.line,
                to: usize::MAX,
                way: f64::INFINITY,
            });
        }
        let Self { candidates, now, line: tails, from_start, .. } = self;
        // Free times right before the window.
        now.clear();
        now.extend_from_slice(&free[least / BLOCK * lines..(least / BLOCK + 1) * lines]);
        let nodes = &order.list.order;
        let line_of = |node: u32| net.modes[order.list.mode[node as usize] as usize].line;
        for node in nodes[least / BLOCK * BLOCK..least].iter().filter(|node| **node < net.tasks) {
            now[line_of(*node) as usize] = end[*node as usize];
        }
        let own_line = net.modes[old as usize].line;
        // What directly follows the task on its own device: to go there again would change nothing.
        let mut is_own_gap = false;
        let mut consider = |node_line: u32, free: f64, tail: f64, to: usize, is_own_gap: bool| {
            for candidate in candidates.iter_mut().filter(|candidate| candidate.line == node_line) {
                if is_own_gap && candidate.row == old {
                    continue;
                }
                let way = free.max(candidate.ready) + candidate.seconds + tail.max(candidate.tail);
                if way < candidate.way {
                    candidate.way = way;
                    candidate.to = to;
                }
            }
        };
        for (slot, node) in nodes.iter().copied().enumerate().take(most + 1).skip(least) {
            if node >= net.tasks {
                continue;
            }
            if node == task {
                is_own_gap = true;
                continue;
            }
            let line = line_of(node);
            // Before this node: behind the slot it has, less one where the task itself stands before.
            let to = if slot > at { slot - 1 } else { slot };
            consider(line, now[line as usize], from_start[node as usize], to, is_own_gap && line == own_line);
            if line == own_line {
                is_own_gap = false;
            }
            now[line as usize] = end[node as usize];
        }
        // After all of the window.
        let next = (most + 1).div_ceil(BLOCK);
        let mut behind = vec![0.0; lines];
        if next * BLOCK <= nodes.len() {
            behind.copy_from_slice(&tails[next * lines..(next + 1) * lines]);
        }
        for node in
            nodes[most + 1..(next * BLOCK).min(nodes.len())].iter().rev().filter(|node| **node < net.tasks)
        {
            behind[line_of(*node) as usize] = from_start[*node as usize];
        }
        for line in 0..lines {
            consider(line as u32, now[line], behind[line], most, is_own_gap && line as u32 == own_line);
        }
        let best = self
            .candidates
            .iter()
            .filter(|candidate| candidate.to != usize::MAX)
            .min_by(|a, b| a.way.total_cmp(&b.way).then(a.row.cmp(&b.row)))?;
        let (row, to) = (best.row, best.to);
        Some(order.place(task, row, to))
    }
}
