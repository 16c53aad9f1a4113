//! What the phases of a search share: the budget and its count, the best schedule so far, and when to stop.
//!
//! All that a phase decides depends on counts of schedules and on the seed, never on time; the clock only
//! cuts the sequence. So a run that time ended can be repeated by its count.

use super::decode::{Decoder, Profile};
use super::problem::Problem;
use dunnage_core::{Budget, Rng};

/// Small instances ask the clock about once for this many nodes placed.
const NODES_PER_QUESTION: u64 = 2_000;

/// A search under way.
#[derive(Debug)]
pub(crate) struct Run<'a, 'b, P> {
    pub problem: &'a Problem,
    pub decoder: Decoder<'a, P>,
    pub rng: Rng,
    /// Schedules made so far: passes over a whole list, given up early or not.
    pub schedules: u64,
    /// The shortest so far.
    pub best: i64,
    /// Its ends.
    pub best_end: Vec<i64>,
    /// Whether the first schedule is made whatever the clock says.
    pub must: bool,
    /// No schedule is shorter.
    pub bound: i64,
    budget: &'a mut Budget<'b>,
    is_over: bool,
    unasked: u64,
}

impl<'a, 'b, P: Profile> Run<'a, 'b, P> {
    pub(crate) fn new(problem: &'a Problem, bound: i64, seed: u64, budget: &'a mut Budget<'b>) -> Self {
        Self {
            problem,
            decoder: Decoder::new(problem),
            rng: Rng::of(seed, 0x5e_a2c4),
            schedules: 0,
            best: i64::MAX,
            must: true,
            best_end: Vec::new(),
            bound,
            budget,
            is_over: false,
            unasked: 0,
        }
    }

    /// Whether the search has to end: the best is proven, or the budget is spent.
    pub(crate) fn is_done(&mut self) -> bool {
        self.is_over = self.is_over || self.best <= self.bound || self.schedules >= self.budget.schedules;
        if !self.is_over && self.unasked >= NODES_PER_QUESTION {
            self.unasked = 0;
            self.is_over = self.budget.is_over();
        }
        self.is_over
    }

    /// Asks the clock now.
    pub(crate) fn is_time_over(&mut self) -> bool {
        self.is_over = self.is_over || self.budget.is_over();
        self.is_over
    }

    /// A schedule from this list and its justified form: the makespan, with the ends in the decoder. The
    /// first pass is given up at `rough`, the last one at `limit`. `None` where it was.
    pub(crate) fn evaluate(&mut self, list: &[u32], rough: i64, limit: i64) -> Option<i64> {
        let makespan = self.forward(list, rough)?;
        if self.is_over || makespan <= self.bound {
            return Some(makespan);
        }
        self.justify(makespan, limit)
    }

    /// A schedule from this list alone.
    pub(crate) fn forward(&mut self, list: &[u32], limit: i64) -> Option<i64> {
        let makespan = self.pass(|decoder, stop| decoder.forward(list, limit, stop))?;
        self.keep(makespan);
        Some(makespan)
    }

    /// A schedule with these starts or earlier ones, justified: for large instances, where a list alone says
    /// too little of where to look for room.
    pub(crate) fn settle(&mut self, start: &[i64]) -> Option<i64> {
        self.decoder.remember_starts(start);
        let mut list = Vec::new();
        self.decoder.list(&mut list);
        self.evaluate(&list, i64::MAX, i64::MAX)
    }

    /// The last schedule justified: two passes.
    pub(crate) fn justify(&mut self, makespan: i64, limit: i64) -> Option<i64> {
        let late = self.pass(|decoder, stop| decoder.backward(makespan, stop))?;
        // What was as late as possible before that end is not later.
        self.again(late.max(makespan), limit)
    }

    /// A schedule from a list of children before parents, laid from a makespan back, and then as early as
    /// possible: two passes.
    pub(crate) fn evaluate_back(
        &mut self,
        list: &[u32],
        makespan: i64,
        rough: i64,
        limit: i64,
    ) -> Option<i64> {
        let late = self.pass(|decoder, stop| decoder.backward_by(list, makespan, stop))?;
        if late >= rough { None } else { self.again(late, limit) }
    }

    fn again(&mut self, makespan: i64, limit: i64) -> Option<i64> {
        let makespan = self.pass(|decoder, stop| decoder.again(makespan, limit, stop))?;
        self.keep(makespan);
        Some(makespan)
    }

    /// One pass, counted unless time cut it: so that a run can be repeated by its count.
    fn pass(
        &mut self,
        pass: impl FnOnce(&mut Decoder<'a, P>, &mut dyn FnMut() -> bool) -> Option<i64>,
    ) -> Option<i64> {
        let is_first = self.must && self.best == i64::MAX;
        if !is_first && self.is_done() {
            return None;
        }
        let Self { decoder, budget, is_over, .. } = self;
        let mut stop = || {
            *is_over = !is_first && budget.is_over();
            *is_over
        };
        let made = pass(decoder, &mut stop);
        if !self.is_over {
            self.count();
        }
        made
    }

    fn count(&mut self) {
        self.schedules += 1;
        self.unasked += self.problem.nodes() as u64;
    }

    fn keep(&mut self, makespan: i64) {
        if makespan < self.best {
            self.best = makespan;
            self.best_end.clone_from(&self.decoder.end);
        }
    }
}
