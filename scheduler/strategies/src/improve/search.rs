//! The search: annealing over (order, mode) in rounds of growing length, each from the best solution so
//! far, with its phases counted in schedules. A clock only cuts it off, so a number of schedules always
//! gives the same solution.
//!
//! Cost: a schedule for each step, of which the unchanged beginning and, as soon as it is known to be
//! worse, the rest are not made. Bad where one step takes a large part of the budget: above some ten
//! thousand tasks little is found in 100 ms.

use super::chain::{Chain, Screen};
use super::decoder::{Choose, Sgs};
use super::encoding::{List, Net};
use super::insertion::Tails;
use super::moves::{Critical, Move, Order};
use super::objective::Objective;
use crate::planning::Moved;
use dunnage_core::{Budget, Rng};

/// Nodes decoded between two looks at the clock.
const STRIDE: usize = 4096;

/// Counts schedules and looks at the clock. Once that is over nothing more is counted, so that a run with as
/// many schedules as were counted does the same.
#[derive(Debug)]
pub(crate) struct Count<'a, 'b> {
    budget: &'a mut Budget<'b>,
    left: u64,
    /// How many schedules were made, those of the rules among them.
    pub(crate) made: u64,
    /// How many nodes were decoded, about.
    pub(crate) total: u64,
    work: usize,
    over: bool,
}

impl<'a, 'b> Count<'a, 'b> {
    pub(crate) fn new(budget: &'a mut Budget<'b>) -> Self {
        Self { left: budget.schedules, budget, made: 0, total: 0, work: 0, over: false }
    }

    /// Tells the caller how long the first plan takes.
    pub(crate) fn has_plan(&mut self, makespan: f64) {
        self.budget.has_plan(makespan);
    }

    /// Takes the schedule of a rule from the budget. The first one is always made.
    pub(crate) fn rule(&mut self) -> bool {
        if self.made > 0 && self.is_spent() {
            return false;
        }
        self.left = self.left.saturating_sub(1);
        self.made += 1;
        true
    }

    /// Takes a schedule of about this many nodes from the budget. `false` where there is none left.
    pub(crate) fn take(&mut self, nodes: usize) -> bool {
        if self.left == 0 || self.over {
            return false;
        }
        self.work += nodes + 16;
        if self.work >= STRIDE {
            self.work = 0;
            if self.is_over() {
                return false;
            }
        }
        self.total += nodes as u64 + 16;
        self.left -= 1;
        self.made += 1;
        true
    }

    /// Whether the clock ended the schedule that was taken last, which then is not counted.
    pub(crate) fn was_cut(&mut self) -> bool {
        self.made -= u64::from(self.over);
        self.over
    }

    /// Whether time is over.
    pub(crate) fn is_over(&mut self) -> bool {
        self.over = self.over || self.budget.is_over();
        self.over
    }

    /// Whether no schedule is left, or no time.
    pub(crate) fn is_spent(&mut self) -> bool {
        self.left == 0 || self.is_over()
    }
}

/// A solution with its times.
#[derive(Clone, Debug, Default)]
pub(crate) struct Solution {
    pub(crate) list: List,
    pub(crate) start: Vec<f64>,
    pub(crate) end: Vec<f64>,
    pub(crate) value: f64,
    /// What leaves a memory early.
    pub(crate) moved: Vec<Moved>,
}

impl Solution {
    /// Decodes a list whose modes are fixed. `None` where time ran out.
    pub(crate) fn of(
        net: &Net<'_>,
        sgs: &mut Sgs,
        objective: &Objective,
        mut list: List,
        choose: Choose,
        is_over: &mut dyn FnMut() -> bool,
    ) -> Option<Self> {
        if sgs.run(net, &mut list, choose, f64::INFINITY, is_over) == f64::INFINITY {
            return None;
        }
        // In the order of starts nothing starts later, and moves between neighbours mean more.
        net.sort_by_start(&mut list, &sgs.start);
        let value = objective.value(net, &list, &sgs.start, &sgs.end);
        Some(Self {
            list,
            start: sgs.start.clone(),
            end: sgs.end.clone(),
            value,
            moved: sgs.held.moved.clone(),
        })
    }
}

/// Either decoder, with the current solution's times kept.
#[derive(Debug)]
enum Decoder {
    Chain(Box<Chain>),
    Sgs(Box<Sgs>),
}

/// The mean time of a task, in the objective's unit: about what one step changes.
fn mean_step(net: &Net<'_>, solution: &Solution) -> f64 {
    let makespan = solution.end.iter().copied().fold(0.0, f64::max);
    let sum: f64 = solution.end.iter().zip(&solution.start).map(|(end, start)| end - start).sum();
    if makespan > 0.0 { sum / f64::from(net.tasks.max(1)) * (solution.value / makespan) } else { 0.0 }
}

/// How much worse than the current solution one may be that is taken, in mean times of a task, at the
/// beginning of the first round; of each later one by as much more, up to the next number.
const HEAT_STEP: f64 = 0.06;
const HEAT_MOST: f64 = 0.25;

/// The same at the end of each round.
const HEAT_LAST: f64 = 0.007;

/// The share of moves that put a task of a chain where it is estimated to go best.
const INFORMED: f64 = 0.45;

/// Nodes that are decoded in the first round, about, and its steps at least and at most; each round is twice
/// as long as the one before.
const FIRST_ROUND: u64 = 1 << 20;
const FIRST_STEPS: (u64, u64) = (32, 2048);

/// What a node of the serial scheme with insertion costs in nodes of a chain.
pub(crate) const SGS_WORK: usize = 16;

/// The walk from one solution to the next.
pub(crate) struct Walk<'n, 'i> {
    net: &'n Net<'i>,
    objective: Objective,
    decoder: Decoder,
    order: Order,
    value: f64,
    critical: Critical,
    critical_is_known: bool,
    tails: Tails,
    tails_are_known: bool,
    rng: Rng,
    /// What temperatures are measured in.
    unit: f64,
    /// The best so far; never worse than what the walk began with.
    pub(crate) best: Solution,
}

impl std::fmt::Debug for Walk<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk")
            .field("value", &self.value)
            .field("best", &self.best.value)
            .finish_non_exhaustive()
    }
}

impl<'n, 'i> Walk<'n, 'i> {
    /// A walk that begins at a solution.
    pub(crate) fn new(net: &'n Net<'i>, objective: Objective, best: Solution, seed: u64) -> Self {
        let decoder = if net.is_chain {
            Decoder::Chain(Box::new(Chain::new(net)))
        } else {
            Decoder::Sgs(Box::new(Sgs::new(net)))
        };
        let mut walk = Self {
            net,
            objective,
            decoder,
            order: Order::new(best.list.clone()),
            value: f64::INFINITY,
            critical: Critical::default(),
            critical_is_known: false,
            tails: Tails::default(),
            tails_are_known: false,
            rng: Rng::of(seed, 0x11),
            unit: mean_step(net, &best),
            best,
        };
        walk.restart();
        walk
    }

    /// Goes back to the best.
    fn restart(&mut self) {
        self.order.set(&self.best.list);
        match &mut self.decoder {
            Decoder::Chain(chain) => {
                chain.load(self.net, &self.order.list);
            }
            Decoder::Sgs(sgs) => sgs.load(self.net, &mut self.order.list),
        }
        let (start, end) = self.times();
        self.value = self.objective.value(self.net, &self.order.list, start, end);
        self.critical_is_known = false;
        self.tails_are_known = false;
        self.keep_if_best();
    }

    fn times(&self) -> (&[f64], &[f64]) {
        match &self.decoder {
            Decoder::Chain(chain) => (&chain.start, &chain.end),
            Decoder::Sgs(sgs) => (&sgs.start, &sgs.end),
        }
    }

    fn keep_if_best(&mut self) {
        let (start, end) = match &self.decoder {
            Decoder::Chain(chain) => (&chain.start, &chain.end),
            Decoder::Sgs(sgs) => (&sgs.start, &sgs.end),
        };
        let value = self.objective.value(self.net, &self.order.list, start, end);
        if value < self.best.value {
            self.best.value = value;
            self.best.list.order.copy_from_slice(&self.order.list.order);
            self.best.list.mode.copy_from_slice(&self.order.list.mode);
            self.best.start.copy_from_slice(start);
            self.best.end.copy_from_slice(end);
            if let Decoder::Sgs(sgs) = &self.decoder {
                self.best.moved.clone_from(&sgs.held.moved);
            }
        }
    }

    /// Goes on from another solution where that is better. Says whether it is.
    pub(crate) fn offer(&mut self, solution: Solution) -> bool {
        let is_better = solution.value < self.best.value;
        if is_better {
            self.best = solution;
            self.restart();
        }
        is_better
    }

    /// Anneals until the budget is spent or `enough` is reached. Between rounds `between` may offer, and
    /// says what is enough from then on.
    pub(crate) fn run(
        &mut self,
        mut enough: f64,
        count: &mut Count<'_, '_>,
        between: &mut dyn FnMut(&mut Self, &mut Count<'_, '_>) -> f64,
    ) {
        let nodes = u64::from(self.net.nodes) * if self.net.is_chain { 1 } else { SGS_WORK as u64 };
        let mut length = (FIRST_ROUND / nodes.max(1)).clamp(FIRST_STEPS.0, FIRST_STEPS.1);
        let mut heat = HEAT_STEP;
        while self.best.value > enough && self.round(length, heat.min(HEAT_MOST), enough, count) {
            self.restart();
            if self.best.value <= enough {
                break;
            }
            enough = between(self, count);
            length = length.saturating_mul(2);
            heat += HEAT_STEP;
        }
    }

    fn round(&mut self, length: u64, heat: f64, enough: f64, count: &mut Count<'_, '_>) -> bool {
        let mut temperature = 0.0;
        for step in 0..length {
            if step % 32 == 0 {
                let part = step as f64 / length as f64;
                temperature = self.unit * heat * (HEAT_LAST / heat).powf(part);
            }
            if !count.take(self.work()) {
                return false;
            }
            if !self.step(temperature, count) {
                return false;
            }
            if self.best.value <= enough {
                return true;
            }
        }
        true
    }

    fn work(&self) -> usize {
        match &self.decoder {
            Decoder::Chain(chain) => chain.work(),
            Decoder::Sgs(_) => self.net.nodes as usize * SGS_WORK,
        }
    }

    fn propose(&mut self, task: u32) -> Option<Move> {
        if let Decoder::Chain(chain) = &self.decoder
            && self.rng.unit() < INFORMED
        {
            if !self.tails_are_known {
                self.tails.measure(self.net, &self.order);
                self.tails_are_known = true;
            }
            let arrive = |task, place| chain.arrive(self.net, task, place);
            return self.tails.reinsert(
                self.net,
                &mut self.order,
                chain.free(),
                &chain.end,
                &arrive,
                task,
                &mut self.rng,
            );
        }
        self.order.change(self.net, task, &mut self.rng)
    }

    /// Tries a change. `false` where time was over before that was done.
    fn step(&mut self, temperature: f64, count: &mut Count<'_, '_>) -> bool {
        if !self.critical_is_known {
            let (start, end) = match &self.decoder {
                Decoder::Chain(chain) => (&chain.start, &chain.end),
                Decoder::Sgs(sgs) => (&sgs.start, &sgs.end),
            };
            self.critical.find(self.net, &self.order.list, start, end, &mut self.rng);
            self.critical_is_known = true;
        }
        let tasks = &self.critical.tasks;
        let task = if self.rng.unit() < 0.75 && !tasks.is_empty() {
            tasks[self.rng.below(tasks.len())]
        } else {
            self.rng.below(self.net.tasks as usize) as u32
        };
        let Some(change) = self.propose(task) else { return true };
        let limit = self.value - temperature * (1.0 - self.rng.unit()).ln();
        let bound = if self.objective.is_time() { limit } else { f64::INFINITY };
        let makespan = match &mut self.decoder {
            Decoder::Chain(chain) => {
                for (task, _) in change.modes.iter().flatten() {
                    chain.set_mode(self.net, *task, self.order.list.mode[*task as usize]);
                }
                let moved = change.modes.map(|mode| mode.map_or(u32::MAX, |(task, _)| task));
                let screen =
                    Screen { tails: &self.tails, position: &self.order.position, last: change.last, moved };
                let screen = Some(&screen).filter(|_| self.tails_are_known && bound < f64::INFINITY);
                chain.run(self.net, &self.order.list, change.first, bound, screen)
            }
            Decoder::Sgs(sgs) => {
                let list = &mut self.order.list;
                sgs.run_from(self.net, list, change.first, bound, &mut || count.is_over())
            }
        };
        let value = if self.objective.is_time() || makespan == f64::INFINITY {
            makespan
        } else {
            let (start, end) = self.times();
            self.objective.value(self.net, &self.order.list, start, end)
        };
        let is_cut = count.was_cut();
        if value < limit && !is_cut {
            match &mut self.decoder {
                Decoder::Chain(chain) => chain.accept(&self.order.list),
                Decoder::Sgs(sgs) => sgs.accept(change.first),
            }
            self.value = value;
            self.critical_is_known = false;
            self.tails_are_known = false;
            if value < self.best.value {
                self.keep_if_best();
            }
        } else {
            match &mut self.decoder {
                Decoder::Chain(chain) => chain.reject(&self.order.list),
                Decoder::Sgs(sgs) => sgs.reject(self.net, &change.modes),
            }
            self.order.undo(&change);
            if let Decoder::Chain(chain) = &mut self.decoder {
                for (task, row) in change.modes.iter().flatten() {
                    chain.set_mode(self.net, *task, *row);
                }
            }
        }
        !is_cut
    }
}
