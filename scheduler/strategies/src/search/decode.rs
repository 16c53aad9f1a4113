//! From a list of tasks to a schedule: serial schedule generation (Kolisch 1996), each task in turn at the
//! earliest time at which all before it have ended and what it takes is free, and double justification
//! (Valls, Ballestin and Quintanilla 2005): all tasks as late as possible from the last end back, then as
//! early as possible again, which never makes a schedule longer and nearly always shorter.
//!
//! A pass costs the sum of its placements; a justified schedule is three passes and two sorts.

use super::problem::{Links, NODES_MAX, Problem};

/// How many nodes are placed between questions whether to stop.
const NODES_PER_STOP: usize = 512;

/// What is free when.
pub(crate) trait Profile {
    /// All free, for about this many ticks.
    fn new(full: &[u64], guards: &[u64], ticks: usize) -> Self;
    /// All free again.
    fn reset(&mut self);
    /// Takes this from one time to another, when it must be free.
    fn take(&mut self, from: i64, to: i64, need: &[u64]);
    /// The first time from `earliest` on from which this is free for so long (more than 0).
    fn find(&mut self, earliest: i64, duration: i64, need: &[u64]) -> i64;
}

/// Which way time runs in a pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Direction {
    Forward,
    /// From the given end of all back to 0.
    Backward(i64),
}

/// Makes schedules; holds what is used again for each.
#[derive(Debug)]
pub(crate) struct Decoder<'a, P> {
    problem: &'a Problem,
    profile: P,
    /// After a forward pass the end of each node.
    pub end: Vec<i64>,
    /// After a backward pass how long before the end of all each node starts.
    back: Vec<i64>,
    order: Vec<u32>,
    first: Vec<u32>,
    next: Vec<u32>,
    keys: Vec<u64>,
    onward: Steps,
    backward: Steps,
    /// The ends that the next pass begins from, in large instances.
    known: Vec<i64>,
    not_before: Vec<i64>,
}

const NONE: u32 = u32::MAX;
/// From so many nodes on, a pass looks for room near where a node was.
pub(crate) const LARGE: usize = 1024;
/// How far before that: in the time in which on average so many nodes start.
const NEAR_NODES: i64 = 48;

impl<'a, P: Profile> Decoder<'a, P> {
    pub(crate) fn new(problem: &'a Problem) -> Self {
        let nodes = problem.nodes();
        let packed = &problem.packed;
        Self {
            problem,
            profile: P::new(&packed.full, &packed.guards, problem.critical_path().max(64) as usize),
            end: vec![0; nodes],
            back: vec![0; nodes],
            order: Vec::with_capacity(nodes),
            first: Vec::new(),
            next: vec![NONE; nodes],
            keys: Vec::new(),
            known: Vec::new(),
            not_before: Vec::new(),
            onward: Steps::new(problem, &problem.before, true),
            backward: Steps::new(problem, &problem.after, false),
        }
    }

    /// Places all nodes in the order of a list in which parents come before children. Stops with `None`
    /// as soon as no end below `limit` is possible, or when `stop` says so (asked every [`NODES_PER_STOP`] nodes).
    pub(crate) fn forward(
        &mut self,
        list: &[u32],
        limit: i64,
        stop: &mut dyn FnMut() -> bool,
    ) -> Option<i64> {
        self.look_near(Direction::Forward);
        self.profile.reset();
        for block in &self.problem.blocks {
            self.profile.take(0, block.until, &block.words);
        }
        let problem = self.problem;
        pass(&mut self.profile, problem, &self.onward, list, &self.not_before, &mut self.end, limit, stop)
    }

    /// Lets the next passes by a given list look for room near where nodes are now. Nothing for small
    /// instances, where all the room is looked at. A pass over a list by rising start of what is remembered
    /// still makes nothing later, for there is room where a node was.
    pub(crate) fn remember(&mut self) {
        if self.end.len() >= LARGE {
            self.known.clone_from(&self.end);
        }
    }

    /// The same for a schedule from before.
    pub(crate) fn remember_ends(&mut self, end: &[i64]) {
        self.known.clear();
        self.known.extend_from_slice(end);
    }

    /// The same for a schedule from elsewhere.
    pub(crate) fn remember_starts(&mut self, start: &[i64]) {
        for (node, start) in start.iter().enumerate() {
            self.end[node] = start + self.problem.duration[node];
        }
        self.remember();
    }

    /// Works out from when on a pass looks for room for each node.
    fn look_near(&mut self, direction: Direction) {
        self.not_before.clear();
        if self.known.is_empty() {
            return;
        }
        let last = self.known.iter().copied().max().unwrap_or(0);
        let near = last.saturating_mul(NEAR_NODES) / self.known.len() as i64 + 1;
        let duration = &self.problem.duration;
        self.not_before.extend(self.known.iter().zip(duration).map(|(end, duration)| match direction {
            Direction::Forward => end - duration - near,
            Direction::Backward(makespan) => makespan - end - near,
        }));
    }

    /// Makes what the last forward pass made as late as possible: how long the late schedule is.
    pub(crate) fn backward(&mut self, makespan: i64, stop: &mut dyn FnMut() -> bool) -> Option<i64> {
        self.sort(Direction::Backward(makespan));
        self.remember();
        let order = std::mem::take(&mut self.order);
        let late = self.backward_by(&order, makespan, stop);
        self.order = order;
        late
    }

    /// Places all nodes as late as possible before a makespan, in the order of a list in which children
    /// come before parents. What others hold lies before that makespan; the schedule may be longer than it.
    pub(crate) fn backward_by(
        &mut self,
        list: &[u32],
        makespan: i64,
        stop: &mut dyn FnMut() -> bool,
    ) -> Option<i64> {
        self.look_near(Direction::Backward(makespan));
        self.profile.reset();
        for block in &self.problem.blocks {
            self.profile.take(makespan - block.until, makespan, &block.words);
        }
        let problem = self.problem;
        pass(
            &mut self.profile,
            problem,
            &self.backward,
            list,
            &self.not_before,
            &mut self.back,
            i64::MAX,
            stop,
        )
    }

    /// Makes what the last backward pass made as early as possible. `None` and nothing useful where the
    /// end cannot be below the limit or `stop` says so.
    pub(crate) fn again(&mut self, makespan: i64, limit: i64, stop: &mut dyn FnMut() -> bool) -> Option<i64> {
        // As early as possible again: never later than `makespan`.
        for (end, back) in self.end.iter_mut().zip(&self.back) {
            *end = makespan - back;
        }
        self.sort(Direction::Forward);
        // These are starts.
        for (end, duration) in self.end.iter_mut().zip(&self.problem.duration) {
            *end += duration;
        }
        self.remember();
        let order = std::mem::take(&mut self.order);
        let shorter = self.forward(&order, limit, stop);
        self.order = order;
        shorter
    }

    /// The list of the last schedule, by rising start.
    pub(crate) fn list(&mut self, into: &mut Vec<u32>) {
        for (end, duration) in self.end.iter_mut().zip(&self.problem.duration) {
            *end -= duration;
        }
        self.sort(Direction::Forward);
        for (end, duration) in self.end.iter_mut().zip(&self.problem.duration) {
            *end += duration;
        }
        into.clear();
        into.extend_from_slice(&self.order);
    }

    /// The nodes of the last schedule by rising end.
    pub(crate) fn list_by_end(&mut self, into: &mut Vec<u32>) {
        self.sort(Direction::Forward);
        into.clear();
        into.extend_from_slice(&self.order);
    }

    /// Fills `order` by rising `end` with ties by rising node, or, backward, by falling end with ties by
    /// falling node. Nodes are in topological order, so that both lists respect it where `end` does.
    fn sort(&mut self, direction: Direction) {
        let nodes = self.end.len();
        let span = match direction {
            Direction::Forward => self.end.iter().copied().max().unwrap_or(0),
            Direction::Backward(makespan) => makespan,
        };
        let key = |end: i64| match direction {
            Direction::Forward => end,
            Direction::Backward(makespan) => makespan - end,
        };
        self.order.clear();
        if span < 8 * nodes as i64 + 64 {
            self.first.clear();
            self.first.resize(span as usize + 1, NONE);
            let mut push = |node: usize| {
                let slot = &mut self.first[key(self.end[node]) as usize];
                self.next[node] = *slot;
                *slot = node as u32;
            };
            // What is pushed last comes out first.
            match direction {
                Direction::Forward => (0..nodes).rev().for_each(&mut push),
                Direction::Backward(_) => (0..nodes).for_each(&mut push),
            }
            for first in &self.first {
                let mut node = *first;
                while node != NONE {
                    self.order.push(node);
                    node = self.next[node as usize];
                }
            }
            return;
        }
        let node_mask = NODES_MAX as u64 - 1;
        self.keys.clear();
        self.keys.extend(self.end.iter().enumerate().map(|(node, end)| {
            let tie = match direction {
                Direction::Forward => node as u64,
                Direction::Backward(_) => node_mask - node as u64,
            };
            (key(*end) as u64) * NODES_MAX as u64 + tie
        }));
        self.keys.sort_unstable();
        self.order.extend(self.keys.iter().map(|key| match direction {
            Direction::Forward => (key & node_mask) as u32,
            Direction::Backward(_) => (node_mask - (key & node_mask)) as u32,
        }));
    }
}

/// What a pass reads of a node, in one place.
#[derive(Clone, Copy, Debug)]
struct Step {
    duration: i64,
    /// Not before this by itself.
    release: i64,
    /// So much follows it at least.
    rest: i64,
    /// Its row of the others that it waits for in this direction.
    from: u32,
    to: u32,
    takes_any: bool,
}

/// A direction's graph.
#[derive(Debug)]
struct Steps {
    steps: Vec<Step>,
    waits_for: Vec<u32>,
}

impl Steps {
    fn new(problem: &Problem, links: &Links, is_forward: bool) -> Self {
        let mut waits_for = Vec::new();
        let steps = (0..problem.nodes())
            .map(|node| {
                let from = waits_for.len() as u32;
                waits_for.extend_from_slice(links.row(node));
                let duration = problem.duration[node];
                Step {
                    duration,
                    release: if is_forward { problem.release[node] } else { 0 },
                    rest: if is_forward { problem.tail[node] } else { 0 },
                    from,
                    to: waits_for.len() as u32,
                    takes_any: duration > 0 && problem.packed.need(node).iter().any(|word| *word > 0),
                }
            })
            .collect();
        Self { steps, waits_for }
    }
}

/// One pass over a list; fills `end` and returns the last.
#[inline]
fn pass<P: Profile>(
    profile: &mut P,
    problem: &Problem,
    graph: &Steps,
    list: &[u32],
    not_before: &[i64],
    end: &mut [i64],
    limit: i64,
    stop: &mut dyn FnMut() -> bool,
) -> Option<i64> {
    let mut last = 0;
    let mut is_first = true;
    for chunk in list.chunks(NODES_PER_STOP) {
        if !is_first && stop() {
            return None;
        }
        is_first = false;
        for node in chunk {
            let node = *node as usize;
            let step = graph.steps[node];
            let mut at = step.release;
            for other in &graph.waits_for[step.from as usize..step.to as usize] {
                at = at.max(end[*other as usize]);
            }
            if step.takes_any {
                let need = problem.packed.need(node);
                if let Some(not_before) = not_before.get(node) {
                    at = at.max(*not_before);
                }
                at = profile.find(at, step.duration, need);
                profile.take(at, at + step.duration, need);
            }
            at += step.duration;
            end[node] = at;
            if at + step.rest >= limit {
                return None;
            }
            last = last.max(at);
        }
    }
    Some(last)
}
