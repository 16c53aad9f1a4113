//! Every strategy over every instance: what `bench plan` does, without reading and writing.
//!
//! Nothing here has a clock: the caller brings one that counts the CPU seconds of its thread.

use crate::formats::Case;
use crate::online::{self, Site};
use crate::validate::{self, Row};
use dunnage_core::Budget;
use dunnage_strategies::planning::{PlanOptions, Schedule};

/// What all strategies are given.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Limits {
    /// A search ends after so many CPU seconds.
    pub seconds: Option<f64>,
    /// A search ends after so many whole schedules.
    pub schedules: Option<u64>,
    /// Seed, weights and conventions.
    pub options: PlanOptions,
}

/// What a strategy made of an instance.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// When each task runs, by task.
    pub rows: Vec<Row>,
    /// The last end, in the file's unit.
    pub makespan: f64,
    /// CPU seconds of planning.
    pub seconds: f64,
    /// How many whole schedules were made.
    pub schedules: u64,
    /// Why it is this one, where the planner says.
    pub why: String,
    /// What the validator says.
    pub verdict: Result<(), String>,
}

/// Runs one strategy over one instance. `clock` tells the CPU seconds of this thread.
///
/// # Errors
/// The strategy makes no schedule.
pub fn plan(
    case: &Case,
    strategy: &str,
    limits: &Limits,
    clock: &dyn Fn() -> f64,
) -> Result<Outcome, String> {
    let (schedule, seconds) = match dunnage_strategies::schedule_planner(strategy) {
        Some(planner) => {
            let begin = clock();
            let mut meter = Meter::new(clock, begin, limits.seconds);
            let mut is_over = || meter.is_over();
            let most = limits.schedules.unwrap_or(u64::MAX);
            let mut budget = match limits.seconds {
                Some(_) => Budget::with_clock(most, &mut is_over),
                None => Budget::of(most),
            };
            let schedule = planner.schedule(&case.instance, &limits.options, &mut budget);
            (schedule, clock() - begin)
        }
        None => online(case, strategy, limits, clock)?,
    };
    let rows = validate::rows(case, &schedule);
    let verdict = validate::judge(case, &schedule, &rows);
    Ok(Outcome {
        rows,
        makespan: schedule.makespan,
        seconds,
        schedules: schedule.schedules,
        why: schedule.why,
        verdict,
    })
}

/// An online strategy in virtual time. Building the ledger is no part of its time.
fn online(
    case: &Case,
    strategy: &str,
    limits: &Limits,
    clock: &dyn Fn() -> f64,
) -> Result<(Schedule, f64), String> {
    let mut all = dunnage_strategies::strategies();
    let found = all.iter_mut().find(|known| known.name() == strategy);
    let Some(strategy) = found else { return Err(format!("there is no strategy `{strategy}`")) };
    let made;
    let site = match &case.graph {
        Some(graph) => &graph.site,
        None => {
            made = Site::of(&case.instance)?;
            &made
        }
    };
    let begin = clock();
    let schedule = online::run(&case.instance, site, strategy.as_mut(), limits.options.seed)?;
    Ok((schedule, clock() - begin))
}

/// A clock that is looked at as seldom as a budget allows.
///
/// Reading a thread's CPU time is a call of the system and takes as long as a tenth of a small schedule, so
/// most questions are answered by counting: after each look, the next one is due when an eighth of the time
/// that is left, or a 64th of all, will have passed at the pace since the look before, at most twice as many
/// questions later as last time.
struct Meter<'c> {
    clock: &'c dyn Fn() -> f64,
    begin: f64,
    budget: f64,
    asked: u64,
    /// The question before which the clock is looked at again.
    next: u64,
    stride: u64,
    /// Seconds that were used at the last look.
    used: f64,
    over: bool,
}

/// At most so many questions go by unanswered: the next phase may ask a hundred times slower.
const STRIDE_MAX: u64 = 16;

/// What is left of a budget for the last schedule to end in.
const USED: f64 = 0.97;

impl<'c> Meter<'c> {
    fn new(clock: &'c dyn Fn() -> f64, begin: f64, budget: Option<f64>) -> Self {
        let budget = budget.unwrap_or(f64::INFINITY) * USED;
        Self { clock, begin, budget, asked: 0, next: 1, stride: 1, used: 0.0, over: false }
    }

    fn is_over(&mut self) -> bool {
        self.asked += 1;
        if self.over || self.asked < self.next {
            return self.over;
        }
        let used = (self.clock)() - self.begin;
        self.over = used >= self.budget;
        let pace = (used - self.used) / self.stride as f64;
        self.used = used;
        let wait = ((self.budget - used) / 8.0).min(self.budget / 64.0);
        // Before the first schedules nothing is known of how long one takes.
        let most = if self.asked > 2 { (self.stride * 2).min(STRIDE_MAX) } else { 1 };
        let left = (wait / pace.max(1e-12)).min(1e12);
        self.stride = (left as u64).clamp(1, most);
        self.next = self.asked + self.stride;
        self.over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn the_clock_is_read_seldom_and_the_budget_is_kept() {
        for (step, budget) in [(1e-6, 0.01), (1e-3, 0.01), (3e-3, 0.1), (0.2, 0.1)] {
            let (now, reads) = (Cell::new(0.0), Cell::new(0));
            let clock = || {
                reads.set(reads.get() + 1);
                now.get()
            };
            let mut meter = Meter::new(&clock, 0.0, Some(budget));
            let mut schedules = 0;
            while !meter.is_over() {
                now.set(now.get() + step);
                schedules += 1;
            }
            assert!(now.get() <= budget + step, "{step}: {}", now.get());
            assert!(now.get() >= 0.9 * budget, "{step}: {}", now.get());
            assert!(schedules < 200 || reads.get() < schedules / 10, "{step}: {} reads", reads.get());
        }
    }

    #[test]
    fn a_phase_that_asks_seldom_is_noticed() {
        // Questions that cost nothing, then some that take a hundredth of the budget each.
        let now = Cell::new(0.0);
        let clock = || now.get();
        let mut meter = Meter::new(&clock, 0.0, Some(1.0));
        let mut asked = 0_u32;
        while !meter.is_over() {
            let is_slow = asked > 50_000;
            now.set(now.get() + if is_slow { 0.002 } else { 1e-5 });
            asked += 1;
        }
        assert!((0.9..=1.1).contains(&now.get()), "{}", now.get());
    }
}
