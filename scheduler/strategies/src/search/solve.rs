//! The phases of a search, one after the other; see the module above.

use super::bounds;
use super::decode::{LARGE, Profile};
use super::genetic::{Population, breed, fill};
use super::lists::{RULES, rule};
use super::problem::Problem;
use super::retime::in_seconds;
use super::run::Run;
use super::sgs_events::Events;
use super::sgs_slots::Slots;
use super::sweep::sweep;
use super::window::{Windows, search};
use crate::planning::{Instance, PlanOptions, Schedule};
use dunnage_core::Budget;

/// Tasks take at most this many ticks on average where ticks have a slot each.
const SLOTS_A_TASK: i64 = 48;
/// And there are at most this many slots.
const SLOTS_MAX: i64 = 1 << 20;

/// Lists made before the costlier bound is worked out, which many instances then meet.
const FIRST: usize = 6;
/// Lists that are bred.
const POPULATION: usize = 60;
/// The noise of the first lists, as a share of the critical path.
const NOISE: f64 = 0.3;
/// The same once the search begins anew.
const NOISE_LATER: f64 = 1.0;
/// Breeding takes so many schedules, twice.
const BREED: u64 = 2_500;
/// After so many schedules a node the search begins anew, keeping the best.
const EPOCH_A_NODE: u64 = 4_000;
const WINDOWS: Windows =
    Windows { least: 6, most: 30, threshold: 0.003, patience: 20_000, rough: 0.05, back: 0.5 };

/// A short schedule of an instance whose tasks have one way to run each and whose values move at no cost;
/// `None` where that is not so. Never longer than any of the seeds, which have to be schedules of it.
///
/// The same instance, seed, seeds and number of schedules give the same plan; a clock in the budget only
/// cuts the sequence. Stops early where a lower bound is met.
pub fn solve(
    instance: &Instance,
    options: &PlanOptions,
    seeds: &[Schedule],
    budget: &mut Budget<'_>,
) -> Option<Schedule> {
    if !Problem::is_for(instance) {
        return None;
    }
    let shortest = seeds.iter().min_by(|a, b| a.makespan.total_cmp(&b.makespan));
    let is_over = |budget: &mut Budget<'_>| shortest.is_some() && (budget.schedules == 0 || budget.is_over());
    let problem = if is_over(budget) { None } else { Problem::new(instance, &mut || is_over(budget)) };
    let Some(problem) = problem else {
        return shortest.filter(|_| is_over(budget)).map(|seed| Schedule { schedules: 0, ..seed.clone() });
    };
    let sum: i64 = problem.duration.iter().sum();
    let is_short = sum <= SLOTS_A_TASK * problem.nodes() as i64 && problem.horizon <= SLOTS_MAX;
    let (end, schedules) = match (is_short, problem.packed.words) {
        (true, 1) => improve::<Slots<1>>(instance, &problem, options, seeds, budget),
        (true, 2) => improve::<Slots<2>>(instance, &problem, options, seeds, budget),
        (true, _) => improve::<Slots<0>>(instance, &problem, options, seeds, budget),
        (false, 1) => improve::<Events<1>>(instance, &problem, options, seeds, budget),
        (false, 2) => improve::<Events<2>>(instance, &problem, options, seeds, budget),
        (false, _) => improve::<Events<0>>(instance, &problem, options, seeds, budget),
    };
    let mut schedule = match shortest {
        // Time was over before the first schedule was made.
        Some(seed) if end.is_empty() => seed.clone(),
        _ => in_seconds(instance, &problem, &end),
    };
    // Rounding aside the search has begun with the seeds; where it matters they win.
    if let Some(seed) = shortest
        && seed.makespan < schedule.makespan
    {
        schedule = seed.clone();
    }
    schedule.schedules = schedules;
    Some(schedule)
}

/// The ends of the best schedule, and how many were made.
fn improve<P: Profile>(
    instance: &Instance,
    problem: &Problem,
    options: &PlanOptions,
    seeds: &[Schedule],
    budget: &mut Budget<'_>,
) -> (Vec<i64>, u64) {
    let bound = bounds::cheap(problem, &mut || budget.is_over());
    let mut run: Run<'_, '_, P> = Run::new(problem, bound, options.seed, budget);
    run.must = seeds.is_empty();
    let mut population = Population::default();
    if problem.nodes() >= LARGE {
        sweep_first(&mut run, instance, seeds, &mut population);
        search(&mut run, &mut population, WINDOWS, u64::MAX);
        return (run.best_end, run.schedules);
    }
    let given = lists_of(instance, problem, seeds);
    fill(&mut run, &mut population, &given, FIRST, NOISE);
    if !run.is_done() {
        let (bound, best) = (run.bound, run.best);
        run.bound = bounds::destructive(problem, bound, best, &mut || run.is_time_over());
    }
    let mut noise = NOISE;
    loop {
        fill(&mut run, &mut population, &given, POPULATION, noise);
        // Some instances are solved by breeding and others by windows: neither is to wait for long.
        let until = run.schedules + BREED;
        breed(&mut run, &mut population, until);
        let until = run.schedules + 2 * BREED;
        search(&mut run, &mut population, WINDOWS, until);
        let until = run.schedules + BREED;
        breed(&mut run, &mut population, until);
        let until = run.schedules + EPOCH_A_NODE * problem.nodes() as u64;
        search(&mut run, &mut population, WINDOWS, until);
        if run.is_done() {
            break;
        }
        // Nothing new has come of these for long: others, less alike.
        population = Population { tried: given.len() + RULES, ..Population::default() };
        noise = NOISE_LATER;
    }
    (run.best_end, run.schedules)
}

/// The first schedules of a large instance: the best seed, or one sweep over time for each rule.
fn sweep_first<P: Profile>(
    run: &mut Run<'_, '_, P>,
    instance: &Instance,
    seeds: &[Schedule],
    population: &mut Population,
) {
    let problem = run.problem;
    let tasks = instance.tasks() as usize;
    let best = seeds
        .iter()
        .filter(|seed| seed.start.len() == tasks && seed.start.iter().all(|start| start.is_finite()))
        .min_by(|a, b| a.makespan.total_cmp(&b.makespan));
    if let Some(seed) = best {
        let mut start: Vec<i64> = problem
            .node_of
            .iter()
            .map(|node| seed.start.get(*node as usize).map_or(0, |at| problem.ticks(*at)))
            .collect();
        // Gathers are no tasks of a seed: each begins when it can.
        for node in 0..problem.nodes() {
            for parent in problem.before.row(node) {
                let parent = *parent as usize;
                start[node] = start[node].max(start[parent] + problem.duration[parent]);
            }
        }
        run.settle(&start);
    }
    for which in 0..RULES {
        if (run.best < i64::MAX || !run.must) && run.is_done() {
            break;
        }
        let keys = rule(problem, which);
        let is_first = run.must && run.best == i64::MAX;
        if let Some(start) = sweep(problem, &keys, &mut || !is_first && run.is_time_over()) {
            run.settle(&start);
        }
    }
    population.lists.push(Vec::new());
    population.makespans.push(run.best);
}

/// The seeds as lists by rising start.
fn lists_of(instance: &Instance, problem: &Problem, seeds: &[Schedule]) -> Vec<Vec<u32>> {
    let tasks = instance.tasks() as usize;
    seeds
        .iter()
        .filter(|seed| seed.start.len() == tasks && seed.start.iter().all(|start| start.is_finite()))
        .map(|seed| {
            let keys = problem
                .node_of
                .iter()
                .map(|node| seed.start.get(*node as usize).copied().unwrap_or(0.0))
                .collect();
            let mut list = Vec::new();
            super::lists::by_key(problem, keys, &mut list);
            list
        })
        .collect()
}
