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
use search::{Count, SGS_WORK, Solution, Walk};
use why::What;

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
    let restricted = goal.restricted(instance);
    let mut schedule = match &restricted {
        None => shorten(instance, &options, budget),
        Some(restricted) => restricted.translate(shorten(&restricted.instance, &options, budget)),
    };
    let what = match goal {
        Goal::Time(_) => return schedule,
        Goal::Money => "cheapest",
        Goal::Energy => "most sparing",
    };
    schedule.why = format!("each task in its {what} ways; of those {}", schedule.why);
    schedule
}

/// The least makespan, or the least weighted sum.
fn shorten(instance: &Instance, options: &PlanOptions, budget: &mut Budget<'_>) -> Schedule {
    if let Some(schedule) = single::solve(instance, options, budget) {
        return schedule;
    }
    let mut count = Count::new(budget);
    // One rule first: for a large graph it may be all that there is time for.
    let is_plain = instance.value_memory.iter().all(Option::is_none);
    let first = if is_plain { Portfolio::first(instance, options, &mut count) } else { None };
    if let Some(first) = first.as_ref().filter(|_| count.is_spent()) {
        return by_one_rule(first.clone());
    }
    let net = Net::new(instance);
    if let Some(first) = first.as_ref().filter(|_| count.is_spent()) {
        return by_one_rule(first.clone());
    }
    let mut portfolio = Portfolio::new(&net, options, first.as_ref());
    let turns = !net.is_chain && instance.earliest.is_empty() && instance.tasks() <= TURNED_MAX;
    // Made once the rules are, for it takes long; dropped after what uses it.
    let turned;
    let back;
    let mut begin = Begin {
        sgs: Sgs::new(&net),
        back: None,
        objective: Objective::new(&options.weights, &Parts::default()),
    };

    // By makespan first: what the best rule comes to is what the parts are measured in.
    let rules = portfolio.rules(&mut count);
    let mut solutions: Vec<Solution> =
        first.iter().chain(&rules).filter_map(|rule| begin.raw(&net, rule)).collect();
    solutions.extend(portfolio.orders(&mut begin.sgs, &begin.objective, solutions.is_empty(), &mut count));
    let Some(best) = least(&solutions) else {
        // Something is held for ever: then any rule's plan is as good.
        let rule = first.or(rules.into_iter().next()).unwrap_or_default();
        return Schedule { schedules: count.made, ..rule };
    };
    let reference = parts(&net, &best.list, &best.start, &best.end);
    begin.objective = Objective::new(&options.weights, &reference);
    for solution in &mut solutions {
        solution.value = begin.objective.value(&net, &solution.list, &solution.start, &solution.end);
    }
    let Some(best) = least(&solutions).cloned() else { return Schedule::default() };
    let begun_with = best.value;

    // The walk begins with a schedule of its own.
    let has_begun = count.take(net.nodes as usize * SGS_WORK);
    if let Some(first) = first.filter(|_| solutions.len() == 1 && !has_begun) {
        return by_one_rule(first);
    }
    let mut least_known = Least::default();
    let best = if has_begun {
        turned = Some(()).filter(|()| turns && !count.is_spent()).map(|()| justify::reversed(instance));
        back = turned.as_ref().map(Net::new);
        begin.back = back.as_ref().map(|back| (back, Sgs::new(back)));
        // Of a large graph the bound takes long, and is not met anyway.
        if begin.objective.is_time() && portfolio.may_bound(count.total) {
            least_known.find(&net, &mut count);
        }
        let mut walk = Walk::new(&net, begin.objective, best, options.seed);
        for solution in &solutions {
            begin.tighten(&net, &mut walk, solution, &mut count);
        }
        drop(solutions);
        let enough = least_known.enough(&begin.objective);
        walk.run(enough, &mut count, &mut |walk, count| {
            for rule in portfolio.rules(count) {
                if let Some(solution) = begin.raw(&net, &rule) {
                    walk.offer(solution);
                }
            }
            for solution in portfolio.orders(&mut begin.sgs, &begin.objective, false, count) {
                walk.offer(solution);
            }
            if begin.objective.is_time() && portfolio.may_bound(count.total) {
                least_known.find(&net, count);
            }
            let best = walk.best.clone();
            begin.tighten(&net, walk, &best, count);
            least_known.enough(&begin.objective)
        });
        walk.best
    } else {
        best
    };
    let mut schedule = net.schedule(&best.list, &best.start, &best.end);
    schedule.moved = best.moved;
    schedule.schedules = count.made;
    let what = if begin.objective.is_time() { What::Time(least_known.told(&count)) } else { What::Weighted };
    schedule.why = why::sentence(&portfolio.made, begun_with, best.value, &schedule, what);
    schedule
}

/// What no makespan can go below, once that is worked out.
#[derive(Default)]
struct Least {
    bound: Option<f64>,
    /// How many schedules had been made then.
    made: u64,
}

impl Least {
    /// Works it out where that is not done yet and the budget is not spent.
    fn find(&mut self, net: &Net<'_>, count: &mut Count<'_, '_>) {
        if self.bound.is_none() && !count.is_spent() {
            self.bound = Some(lower_bound(net.instance));
            self.made = count.made;
        }
    }

    /// The value that need not be improved.
    fn enough(&self, objective: &Objective) -> f64 {
        if objective.is_time() {
            self.bound.map_or(f64::NEG_INFINITY, |bound| bound * (1.0 + 1e-9))
        } else {
            f64::NEG_INFINITY
        }
    }

    /// What is told of it: nothing where time may as well have been over before, so that a run of as many
    /// schedules tells the same.
    fn told(&self, count: &Count<'_, '_>) -> f64 {
        self.bound.filter(|_| count.made > self.made).unwrap_or(0.0)
    }
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
        count: &mut Count<'_, '_>,
    ) {
        let nodes = net.nodes as usize * SGS_WORK;
        if !count.take(nodes) {
            return;
        }
        let list = from.list.clone();
        let made =
            Solution::of(net, &mut self.sgs, &self.objective, list, Choose::No, &mut || count.is_over());
        let Some(mut solution) = made.filter(|_| !count.was_cut()) else { return };
        while let Some((back, sgs)) = self.back.as_mut().filter(|_| count.take(2 * nodes)) {
            let list = justify::to_the_right(net, back, sgs, &solution.list, &solution.end);
            let again =
                Solution::of(net, &mut self.sgs, &self.objective, list, Choose::No, &mut || count.is_over());
            match again {
                _ if count.was_cut() => break,
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
