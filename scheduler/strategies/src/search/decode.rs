//! From a list of tasks to a schedule: serial schedule generation (Kolisch 1996), each task in turn at the
//! earliest time at which all before it have ended and what it takes is free, and double justification
//! (Valls, Ballestin and Quintanilla 2005): all tasks as late as possible from the last end back, then as
//! early as possible again, which never makes a schedule longer and nearly always shorter.
//!
//! A pass costs the sum of its placements; a justified schedule is three passes and two sorts.

use super::problem::{Links, NODES_MAX, Problem};
use std::collections::BTreeMap;

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
    takes_any: Vec<bool>,
    floors: Option<Floors>,
}

const NONE: u32 = u32::MAX;
/// From so many nodes on, passes remember before when there is no room.
const FLOORS_FROM: usize = 1024;

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
            floors: (nodes >= FLOORS_FROM).then(|| Floors::new(problem)),
            takes_any: (0..nodes)
                .map(|node| problem.duration[node] > 0 && packed.need(node).iter().any(|word| *word > 0))
                .collect(),
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
        self.profile.reset();
        for block in &self.problem.blocks {
            self.profile.take(0, block.until, &block.words);
        }
        let problem = self.problem;
        pass(
            &mut self.profile,
            problem,
            &problem.before,
            list,
            &self.takes_any,
            self.floors.as_mut(),
            &mut self.end,
            Some((&problem.release, &problem.tail, limit)),
            stop,
        )
    }

    /// The first half of [`Self::justify`]: how long the late schedule is.
    pub(crate) fn backward(&mut self, makespan: i64, stop: &mut dyn FnMut() -> bool) -> Option<i64> {
        self.sort(Direction::Backward(makespan));
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
        self.profile.reset();
        for block in &self.problem.blocks {
            self.profile.take(makespan - block.until, makespan, &block.words);
        }
        let problem = self.problem;
        pass(
            &mut self.profile,
            problem,
            &problem.after,
            list,
            &self.takes_any,
            self.floors.as_mut(),
            &mut self.back,
            None,
            stop,
        )
    }

    /// The second half of [`Self::justify`].
    pub(crate) fn again(&mut self, makespan: i64, limit: i64, stop: &mut dyn FnMut() -> bool) -> Option<i64> {
        for (end, back) in self.end.iter_mut().zip(&self.back) {
            *end = makespan - back;
        }
        self.sort(Direction::Forward);
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

/// For tasks that are alike the time before which none of them fits any more. What is free only shrinks in
/// a pass, so that this only rises, and long full stretches are looked at once and not for each task.
///
/// Alike are those whose amounts and durations round down to the same powers of two; the floor is that of a
/// task of the rounded size.
#[derive(Debug)]
struct Floors {
    class_of: Vec<u32>,
    needs: Vec<u64>,
    lasts: Vec<i64>,
    at: Vec<i64>,
    words: usize,
}

impl Floors {
    fn new(problem: &Problem) -> Self {
        let words = problem.packed.words;
        let mut floors = Self {
            class_of: vec![0; problem.nodes()],
            needs: Vec::new(),
            lasts: Vec::new(),
            at: Vec::new(),
            words,
        };
        let mut classes: BTreeMap<(Vec<u64>, i64), u32> = BTreeMap::new();
        for node in 0..problem.nodes() {
            let lasts = 1 << problem.duration[node].max(1).ilog2();
            let key = (problem.packed.rounded_down(node), lasts);
            let next = classes.len() as u32;
            floors.class_of[node] = *classes.entry(key).or_insert_with_key(|(need, lasts)| {
                floors.needs.extend_from_slice(need);
                floors.lasts.push(*lasts);
                floors.at.push(0);
                next
            });
        }
        floors
    }

    fn raise<P: Profile>(&mut self, profile: &mut P, node: usize) -> i64 {
        let class = self.class_of[node] as usize;
        let need = &self.needs[class * self.words..(class + 1) * self.words];
        self.at[class] = profile.find(self.at[class], self.lasts[class], need);
        self.at[class]
    }
}

/// One pass over a list, along these links; fills `end` and returns the last.
#[inline]
fn pass<P: Profile>(
    profile: &mut P,
    problem: &Problem,
    links: &Links,
    list: &[u32],
    takes_any: &[bool],
    mut floors: Option<&mut Floors>,
    end: &mut [i64],
    bounds: Option<(&[i64], &[i64], i64)>,
    stop: &mut dyn FnMut() -> bool,
) -> Option<i64> {
    let mut last = 0;
    let mut is_first = true;
    if let Some(floors) = &mut floors {
        floors.at.fill(0);
    }
    for chunk in list.chunks(NODES_PER_STOP) {
        if !is_first && stop() {
            return None;
        }
        is_first = false;
        for node in chunk {
            let node = *node as usize;
            let mut at = match bounds {
                Some((release, _, _)) => release[node],
                None => 0,
            };
            for other in links.row(node) {
                at = at.max(end[*other as usize]);
            }
            let duration = problem.duration[node];
            if takes_any[node] {
                let need = problem.packed.need(node);
                if let Some(floors) = &mut floors {
                    at = at.max(floors.raise(profile, node));
                }
                at = profile.find(at, duration, need);
                profile.take(at, at + duration, need);
            }
            at += duration;
            end[node] = at;
            if let Some((_, tail, limit)) = bounds
                && at + tail[node] >= limit
            {
                return None;
            }
            last = last.max(at);
        }
    }
    Some(last)
}
