//! Lower bounds in ticks: the critical path, the work of a resource between heads and tails, and the
//! destructive bound (Klein and Scholl 1999), which supposes a makespan, narrows the windows of the tasks
//! (precedence, pairs that do not fit together, what must run when, energy in an interval) and raises the
//! makespan while that leads to a contradiction.
//!
//! Cost: the first two n log n (n^2 a resource up to 256 tasks); the destructive bound about n^2 a round
//! and n^3 for the energy at its end, for up to 300 tasks. Bad where the graph is wide and resources are
//! many: little is forced there.

use super::problem::Problem;

/// Up to this many nodes, and this many ticks, the destructive bound is tried.
const NODES_MAX: usize = 300;
const TICKS_MAX: i64 = 20_000;

/// Steps between questions whether to stop.
const STEPS_PER_STOP: usize = 4096;

/// The critical path and the work of each resource; of the resources so far where `stop` says so.
pub(crate) fn cheap(problem: &Problem, stop: &mut dyn FnMut() -> bool) -> i64 {
    let mut bound = problem.critical_path();
    let mut users: Vec<Vec<User>> = problem.capacity.iter().map(|_| Vec::new()).collect();
    for node in 0..problem.nodes() {
        for (resource, amount) in problem.takes.row(node) {
            let energy = u128::from(*amount) * problem.duration[node] as u128;
            let user = User { head: problem.head[node], tail: problem.tail[node], energy };
            users[*resource as usize].push(user);
        }
    }
    let mut steps = 0;
    for (users, capacity) in users.iter_mut().zip(&problem.capacity) {
        steps += users.len() * users.len().min(EXACT_USERS);
        if steps >= STEPS_PER_STOP {
            steps = 0;
            if stop() {
                break;
            }
        }
        bound = bound.max(energy(users, u128::from(*capacity)));
    }
    bound
}

/// Up to so many users of a resource all pairs of head and tail are looked at.
const EXACT_USERS: usize = 256;

struct User {
    head: i64,
    tail: i64,
    energy: u128,
}

/// All that start at `head` or later and have `tail` or more behind them need so much time between.
fn energy(users: &mut [User], capacity: u128) -> i64 {
    let mut bound = 0;
    if users.is_empty() || capacity == 0 {
        return bound;
    }
    users.sort_by_key(|user| std::cmp::Reverse(user.head));
    let mut tails: Vec<i64> = users.iter().map(|user| user.tail).collect();
    tails.sort_unstable();
    tails.dedup();
    if users.len() > EXACT_USERS {
        // For many the least tail alone, and the least head alone below.
        tails.truncate(1);
        let mut by_tail: Vec<&User> = users.iter().collect();
        by_tail.sort_by_key(|user| std::cmp::Reverse(user.tail));
        let head = users.iter().map(|user| user.head).min().unwrap_or(0);
        let mut sum = 0_u128;
        for user in by_tail {
            sum += user.energy;
            bound = bound.max(head + sum.div_ceil(capacity) as i64 + user.tail);
        }
    }
    for tail in tails {
        let mut sum = 0_u128;
        let mut least = i64::MAX;
        for user in users.iter().filter(|user| user.tail >= tail) {
            sum += user.energy;
            least = least.min(user.tail);
            bound = bound.max(user.head + sum.div_ceil(capacity) as i64 + least);
        }
    }
    bound
}

/// The least makespan, from a bound that holds up to a makespan that is reached, that cannot be refuted.
/// Ends early with what is proven so far when `stop` says so.
pub(crate) fn destructive(
    problem: &Problem,
    bound: i64,
    reached: i64,
    stop: &mut dyn FnMut() -> bool,
) -> i64 {
    if problem.nodes() > NODES_MAX || reached > TICKS_MAX || bound >= reached {
        return bound;
    }
    let mut windows = Windows::new(problem, reached);
    let (mut low, mut high) = (bound, reached);
    // Steps of one while the gap is small, halves of it while it is large.
    while low < high && !stop() {
        let step = if high - low > 16 { (high - low) / 8 } else { 0 };
        match windows.is_refuted(low + step, stop) {
            Some(true) => low += step + 1,
            Some(false) if step == 0 => break,
            Some(false) => high = low + step,
            None => break,
        }
    }
    low
}

/// The windows of the tasks under a makespan that is supposed.
struct Windows<'a> {
    problem: &'a Problem,
    start: Vec<i64>,
    end: Vec<i64>,
    /// Pairs that do not fit together and are not ordered by the graph.
    pairs: Vec<(u32, u32)>,
    /// What is free beside what must run, each tick.
    free: Vec<u64>,
    /// Steps since `stop` was asked.
    steps: usize,
}

/// How a part of a refutation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    /// The makespan may be possible.
    Possible,
    /// It is not.
    Refuted,
    /// It was told to stop.
    Stopped,
}

impl<'a> Windows<'a> {
    fn new(problem: &'a Problem, reached: i64) -> Self {
        let nodes = problem.nodes();
        let words = nodes.div_ceil(64);
        let mut ancestors = vec![0_u64; nodes * words];
        let mut pairs = Vec::new();
        for node in 0..nodes {
            let (done, rest) = ancestors.split_at_mut(node * words);
            for parent in problem.before.row(node) {
                let parent = *parent as usize;
                for (mine, theirs) in rest[..words].iter_mut().zip(&done[parent * words..]) {
                    *mine |= theirs;
                }
                rest[parent / 64] |= 1 << (parent % 64);
            }
            for other in 0..node {
                if rest[other / 64] >> (other % 64) & 1 == 0 && !problem.packed.fit_together(node, other) {
                    pairs.push((other as u32, node as u32));
                }
            }
        }
        let free = Vec::with_capacity((reached as usize + 1) * problem.packed.words);
        Self { problem, start: Vec::new(), end: Vec::new(), pairs, free, steps: 0 }
    }

    /// Whether no schedule has this makespan; `None` where `stop` ended it.
    fn is_refuted(&mut self, makespan: i64, stop: &mut dyn FnMut() -> bool) -> Option<bool> {
        self.start.clone_from(&self.problem.head);
        self.end.clear();
        self.end.extend(self.problem.tail.iter().map(|tail| makespan - tail));
        loop {
            if stop() {
                return None;
            }
            if !self.is_ordered() {
                return Some(true);
            }
            let mut has_changed = false;
            if !self.order_pairs(&mut has_changed) {
                return Some(true);
            }
            if self.is_stopped(self.pairs.len(), stop) {
                return None;
            }
            if has_changed {
                continue;
            }
            for part in [Self::fill, Self::push] {
                match part(self, makespan, &mut has_changed, stop) {
                    Part::Possible => {}
                    Part::Refuted => return Some(true),
                    Part::Stopped => return None,
                }
            }
            if !has_changed {
                return self.has_too_much_work(stop);
            }
        }
    }

    /// Counts steps, and asks `stop` after many.
    fn is_stopped(&mut self, steps: usize, stop: &mut dyn FnMut() -> bool) -> bool {
        self.steps += steps;
        if self.steps < STEPS_PER_STOP {
            return false;
        }
        self.steps = 0;
        stop()
    }

    /// Windows after the graph; whether all are wide enough.
    fn is_ordered(&mut self) -> bool {
        let problem = self.problem;
        for node in 0..problem.nodes() {
            for parent in problem.before.row(node) {
                let parent = *parent as usize;
                self.start[node] = self.start[node].max(self.start[parent] + problem.duration[parent]);
            }
        }
        for node in (0..problem.nodes()).rev() {
            for child in problem.after.row(node) {
                let child = *child as usize;
                self.end[node] = self.end[node].min(self.end[child] - problem.duration[child]);
            }
            if self.start[node] + problem.duration[node] > self.end[node] {
                return false;
            }
        }
        true
    }

    /// Of two that do not fit together one ends before the other starts; whether one can.
    fn order_pairs(&mut self, has_changed: &mut bool) -> bool {
        let duration = &self.problem.duration;
        for (a, b) in &self.pairs {
            let (a, b) = (*a as usize, *b as usize);
            let a_first = self.start[a] + duration[a] + duration[b] <= self.end[b];
            let b_first = self.start[b] + duration[b] + duration[a] <= self.end[a];
            let (first, second) = match (a_first, b_first) {
                (true, true) => continue,
                (true, false) => (a, b),
                (false, true) => (b, a),
                (false, false) => return false,
            };
            let earliest = self.start[first] + duration[first];
            let latest = self.end[second] - duration[second];
            if earliest > self.start[second] || latest < self.end[first] {
                self.start[second] = self.start[second].max(earliest);
                self.end[first] = self.end[first].min(latest);
                *has_changed = true;
            }
        }
        true
    }

    /// What is free beside the parts of tasks that lie in all their positions; whether they fit.
    fn fill(&mut self, makespan: i64, _: &mut bool, stop: &mut dyn FnMut() -> bool) -> Part {
        let problem = self.problem;
        let packed = &problem.packed;
        let words = packed.words;
        self.free.clear();
        for _ in 0..makespan {
            self.free.extend_from_slice(&packed.full);
        }
        for block in &problem.blocks {
            for entry in self.free[..block.until.min(makespan) as usize * words].chunks_exact_mut(words) {
                for (free, need) in entry.iter_mut().zip(&block.words) {
                    *free -= need;
                }
            }
        }
        for node in 0..problem.nodes() {
            let (from, to) = self.fixed(node);
            if from >= to {
                continue;
            }
            if self.is_stopped((to - from) as usize * words, stop) {
                return Part::Stopped;
            }
            let need = packed.need(node);
            for entry in self.free[from as usize * words..to as usize * words].chunks_exact_mut(words) {
                for word in 0..words {
                    let left = entry[word].wrapping_sub(need[word]);
                    if left & packed.guards[word] != packed.guards[word] {
                        return Part::Refuted;
                    }
                    entry[word] = left;
                }
            }
        }
        Part::Possible
    }

    /// When a node runs wherever it is in its window; from >= to where that is never.
    fn fixed(&self, node: usize) -> (i64, i64) {
        let duration = self.problem.duration[node];
        (self.end[node] - duration, self.start[node] + duration)
    }

    /// Moves windows past times at which the task does not fit beside what must run.
    fn push(&mut self, makespan: i64, has_changed: &mut bool, stop: &mut dyn FnMut() -> bool) -> Part {
        let problem = self.problem;
        let packed = &problem.packed;
        let words = packed.words;
        for node in 0..problem.nodes() {
            let duration = problem.duration[node];
            if duration == 0 || problem.takes.row(node).is_empty() {
                continue;
            }
            let need = packed.need(node);
            // As `free` was when the parts were laid down: the windows change meanwhile.
            let fixed = self.fixed(node);
            let fits = |time: i64| {
                if time >= fixed.0 && time < fixed.1 {
                    return true;
                }
                let entry = &self.free[time as usize * words..(time as usize + 1) * words];
                (0..words).all(|word| {
                    entry[word].wrapping_sub(need[word]) & packed.guards[word] == packed.guards[word]
                })
            };
            let mut start = self.start[node];
            let mut time = start;
            while time < start + duration {
                if time >= makespan {
                    return Part::Refuted;
                }
                if !fits(time) {
                    start = time + 1;
                }
                time += 1;
            }
            let mut end = self.end[node];
            let mut time = end;
            while time > end - duration {
                if time <= 0 {
                    return Part::Refuted;
                }
                if !fits(time - 1) {
                    end = time - 1;
                }
                time -= 1;
            }
            if start + duration > end {
                return Part::Refuted;
            }
            let passed = (start - self.start[node]) + (self.end[node] - end) + 2 * duration;
            if start > self.start[node] || end < self.end[node] {
                self.start[node] = start;
                self.end[node] = end;
                *has_changed = true;
            }
            if self.is_stopped(passed as usize * words, stop) {
                return Part::Stopped;
            }
        }
        Part::Possible
    }

    /// Whether an interval between a start and an end has to hold more work than a resource can do.
    fn has_too_much_work(&mut self, stop: &mut dyn FnMut() -> bool) -> Option<bool> {
        let problem = self.problem;
        for (resource, capacity) in problem.capacity.iter().enumerate() {
            let users: Vec<(usize, i128)> = (0..problem.nodes())
                .filter_map(|node| {
                    let amount: u64 = (problem.takes.row(node).iter())
                        .filter(|(taken, _)| *taken as usize == resource)
                        .map(|(_, amount)| *amount)
                        .sum();
                    (amount > 0).then_some((node, i128::from(amount)))
                })
                .collect();
            let mut from: Vec<i64> = users.iter().map(|(node, _)| self.start[*node]).collect();
            let mut to: Vec<i64> = users.iter().map(|(node, _)| self.end[*node]).collect();
            from.sort_unstable();
            from.dedup();
            to.sort_unstable();
            to.dedup();
            for from in from {
                if stop() {
                    return None;
                }
                for to in to.iter().copied().filter(|to| *to > from) {
                    if self.is_stopped(users.len(), stop) {
                        return None;
                    }
                    let mut work = 0_i128;
                    for (node, amount) in &users {
                        let duration = problem.duration[*node];
                        let left = (self.start[*node] + duration - from).min(to - self.end[*node] + duration);
                        work += amount * i128::from(left.min(duration).min(to - from).max(0));
                    }
                    if work > i128::from(*capacity) * i128::from(to - from) {
                        return Some(true);
                    }
                }
            }
        }
        Some(false)
    }
}
