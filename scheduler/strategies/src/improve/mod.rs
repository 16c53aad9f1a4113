//! Improving plans: from the schedules of the list rules to better ones within a budget, for a general
//! instance: several modes for a task, a vector of resources, transfers, gathers, times at which tasks may
//! start, what others hold, and values that take up memory while they are needed.
//!
//! Never worse than any rule that was made. The same instance, options and number of schedules give the
//! same schedule: all phases are counted in schedules and in nodes decoded, and a clock only cuts.

mod chain;
mod decoder;
mod encoding;
mod insertion;
mod justify;
mod lifetimes;
mod line;
mod moves;
mod objective;
mod portfolio;
mod search;
mod seeds;
mod single;
#[cfg(test)]
mod tests;
mod why;

use crate::planning::{Instance, PlanOptions, Schedule, lower_bound};
use decoder::{Choose, Sgs};
use dunnage_core::Budget;
use dunnage_model::Weights;
use encoding::Net;
pub(crate) use objective::Goal;
use objective::{Objective, Parts, parts};
use portfolio::Portfolio;
use search::{Meter, SGS_WORK, Solution, Walk};

/// Above this many tasks nothing is pushed to the right.
const TURNED_MAX: u32 = 20_000;

/// Finds the best schedule for a goal that the budget allows.
pub(crate) fn improve(
    instance: &Instance,
    goal: Goal,
    options: &PlanOptions,
    budget: &mut Budget<'_>,
) -> Schedule {
    if instance.tasks() == 0 {
        return Schedule::default();
    }
    let weights = if let Goal::Time(weights) = goal { weights } else { Weights::default() };
    let options = PlanOptions { weights, ..*options };
    match goal.restricted(instance) {
        None => shorten(instance, &options, budget),
        Some(restricted) => {
            let mut schedule = restricted.translate(shorten(&restricted.instance, &options, budget));
            let what = if goal == Goal::Money { "cheapest" } else { "most sparing" };
            schedule.why = format!("each task in its {what} ways; of those {}", schedule.why);
            schedule
        }
    }
}

/// The least makespan, or the least weighted sum.
fn shorten(instance: &Instance, options: &PlanOptions, budget: &mut Budget<'_>) -> Schedule {
    if let Some(schedule) = single::solve(instance, options, budget) {
        return schedule;
    }
    let mut meter = Meter::new(budget);
    // One rule first: for a large graph it may be all that there is time for.
    let is_plain = instance.value_memory.iter().all(Option::is_none);
    let first = if is_plain { Portfolio::first(instance, options, &mut meter) } else { None };
    if let Some(first) = first.as_ref().filter(|_| meter.is_over()) {
        return by_one_rule(first.clone());
    }
    let net = Net::new(instance);
    if let Some(first) = first.as_ref().filter(|_| meter.is_over()) {
        return by_one_rule(first.clone());
    }
    let mut portfolio = Portfolio::new(&net, options, first.as_ref());
    let turns = !net.is_chain && instance.earliest.is_empty() && instance.tasks() <= TURNED_MAX;
    let turned = turns.then(|| justify::reversed(instance));
    let back = turned.as_ref().map(Net::new);
    let mut begin = Begin {
        sgs: Sgs::new(&net),
        back: back.as_ref().map(|back| (back, Sgs::new(back))),
        objective: Objective::new(&options.weights, &Parts::default()),
    };

    // By makespan first: what the best rule comes to is what the parts are measured in.
    let rules = portfolio.rules(meter.total, &mut meter);
    let mut solutions: Vec<Solution> =
        first.iter().chain(&rules).filter_map(|rule| begin.raw(&net, rule)).collect();
    solutions.extend(portfolio.orders(&mut begin.sgs, &begin.objective, solutions.is_empty(), &mut meter));
    let Some(best) = least(&solutions) else {
        // Something is held for ever: then any rule's plan is as good.
        return Portfolio::first(instance, options, &mut meter).unwrap_or_default();
    };
    let reference = parts(&net, &best.list, &best.start, &best.end);
    begin.objective = Objective::new(&options.weights, &reference);
    for solution in &mut solutions {
        solution.value = begin.objective.value(&net, &solution.list, &solution.start, &solution.end);
    }
    let Some(best) = least(&solutions).cloned() else { return Schedule::default() };
    let begun_with = best.value;

    if let Some(first) = first.filter(|_| solutions.len() == 1 && meter.is_over()) {
        return by_one_rule(first);
    }
    // Of a large graph the bound takes long, and is not met anyway.
    let mut known = portfolio.may(meter.total).then(|| lower_bound(instance));
    let bound = known.unwrap_or_else(|| net.tail.iter().copied().fold(0.0, f64::max));
    let enough = if begin.objective.is_time() { bound * (1.0 + 1e-9) } else { f64::NEG_INFINITY };
    let mut walk = Walk::new(&net, begin.objective, best, options.seed);
    for solution in &solutions {
        begin.tighten(&net, &mut walk, solution, &mut meter);
    }
    drop(solutions);
    walk.run(enough, &mut meter, &mut |walk, meter| {
        for rule in portfolio.rules(meter.total, meter) {
            if let Some(solution) = begin.raw(&net, &rule) {
                walk.offer(solution);
            }
        }
        for solution in portfolio.orders(&mut begin.sgs, &begin.objective, false, meter) {
            walk.offer(solution);
        }
        if known.is_none() && portfolio.may(meter.total) && !meter.is_over() {
            known = Some(lower_bound(instance));
        }
        let best = walk.best.clone();
        begin.tighten(&net, walk, &best, meter);
    });
    let left = if walk.best.value > enough { u64::MAX } else { 0 };
    for rule in portfolio.rules(left, &mut meter) {
        if let Some(solution) = begin.raw(&net, &rule) {
            walk.offer(solution);
        }
    }
    let best = walk.best;
    let mut schedule = net.schedule(&best.list, &best.start, &best.end);
    schedule.moved = best.moved;
    schedule.schedules = meter.made;
    schedule.why = why::sentence(&portfolio.made, begun_with, best.value, &schedule, known.unwrap_or(0.0));
    schedule
}

/// The schedule of the first rule, after which time was over.
fn by_one_rule(mut schedule: Schedule) -> Schedule {
    schedule.why += "; there was time for no other rule";
    schedule
}

/// What solutions are made with before the walk.
struct Begin<'n> {
    sgs: Sgs,
    /// The reversed instance, where pushing to the right may help.
    back: Option<(&'n Net<'n>, Sgs)>,
    objective: Objective,
}

impl Begin<'_> {
    /// The schedule of a rule as it is; made again where values cost memory, of which rules know nothing.
    /// `None` where it is not one of this instance.
    fn raw(&mut self, net: &Net<'_>, schedule: &Schedule) -> Option<Solution> {
        let list = net.list_of(schedule)?;
        if net.values.is_some() {
            return Solution::of(net, &mut self.sgs, &self.objective, list, Choose::No, &mut || false);
        }
        let value = self.objective.value(net, &list, &schedule.start, &schedule.end);
        let (start, end) = (schedule.start.clone(), schedule.end.clone());
        Some(Solution { list, start, end, value, moved: Vec::new() })
    }

    /// Makes a solution again with insertion, and by forward-backward improvement as long as that helps.
    fn tighten(
        &mut self,
        net: &Net<'_>,
        walk: &mut Walk<'_, '_>,
        from: &Solution,
        meter: &mut Meter<'_, '_>,
    ) {
        let nodes = net.nodes as usize * SGS_WORK;
        if !meter.take(nodes) {
            return;
        }
        let list = from.list.clone();
        let Some(mut solution) =
            Solution::of(net, &mut self.sgs, &self.objective, list, Choose::No, &mut || meter.is_over())
        else {
            return;
        };
        while let Some((back, sgs)) = self.back.as_mut().filter(|_| meter.take(2 * nodes)) {
            let list = justify::to_the_right(net, back, sgs, &solution.list, &solution.end);
            let again =
                Solution::of(net, &mut self.sgs, &self.objective, list, Choose::No, &mut || meter.is_over());
            match again {
                Some(again) if again.value < solution.value => solution = again,
                _ => break,
            }
        }
        walk.offer(solution);
    }
}

fn least(solutions: &[Solution]) -> Option<&Solution> {
    solutions.iter().reduce(|best, next| if next.value < best.value { next } else { best })
}
