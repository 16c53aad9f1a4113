//! Breeding of lists: the activity-list genetic algorithm of Hartmann (1998) with two-point crossover,
//! each child justified (Valls, Ballestin and Quintanilla 2008).
//!
//! Steady state: two parents by tournament, one child, which takes the place of the worse of some where it
//! is better than that and not there yet. Good while few schedules can be made; later all are alike and
//! [`super::window`] goes on.

use super::decode::Profile;
use super::lists::{RULES, by_key, noisy, rule};
use super::run::Run;

/// Lists with their makespans.
#[derive(Debug, Default)]
pub(crate) struct Population {
    pub lists: Vec<Vec<u32>>,
    pub makespans: Vec<i64>,
    /// How many lists were tried to fill it.
    pub tried: usize,
}

impl Population {
    /// The place of the shortest, the first of equals.
    pub(crate) fn best(&self) -> Option<usize> {
        (0..self.makespans.len()).min_by_key(|at| (self.makespans[*at], *at))
    }

    fn holds(&self, makespan: i64, list: &[u32]) -> bool {
        self.makespans.iter().zip(&self.lists).any(|(other, twin)| *other == makespan && twin == list)
    }
}

/// Fills a population up to a size: from given lists, then from rules, then from rules with noise.
pub(crate) fn fill<P: Profile>(
    run: &mut Run<'_, '_, P>,
    population: &mut Population,
    given: &[Vec<u32>],
    size: usize,
    noise: f64,
) {
    let mut list = Vec::new();
    let keys: Vec<Vec<f64>> = (0..RULES).map(|which| rule(run.problem, which)).collect();
    // Twins are not kept, so the number of attempts is bounded apart.
    while population.lists.len() < size && population.tried < 4 * size + given.len() + RULES {
        if (run.best < i64::MAX || !run.must) && run.is_done() {
            break;
        }
        let tried = population.tried;
        population.tried += 1;
        if tried < given.len() {
            list.clone_from(&given[tried]);
        } else {
            let keys = &keys[(tried - given.len()) % RULES];
            let is_pure = tried < given.len() + RULES;
            let keys = if is_pure { keys.clone() } else { noisy(run.problem, keys, noise, &mut run.rng) };
            by_key(run.problem, keys, &mut list);
        }
        if let Some(makespan) = run.evaluate(&list, i64::MAX, i64::MAX) {
            run.decoder.list(&mut list);
            if !population.holds(makespan, &list) {
                population.lists.push(list.clone());
                population.makespans.push(makespan);
            }
        }
    }
}

/// Breeds until the run has made so many schedules or is done.
pub(crate) fn breed<P: Profile>(run: &mut Run<'_, '_, P>, population: &mut Population, until: u64) {
    let size = population.lists.len();
    if size < 3 {
        return;
    }
    let mut child = Vec::with_capacity(run.problem.nodes());
    let mut taken = vec![0_u32; run.problem.nodes()];
    let mut stamp = 0;
    while run.schedules < until && !run.is_done() {
        let mother = tournament(run, population);
        let mut father = tournament(run, population);
        if father == mother {
            father = (mother + 1 + run.rng.below(size - 1)) % size;
        }
        stamp += 1;
        cross(run, &population.lists[mother], &population.lists[father], &mut child, &mut taken, stamp);
        let worse = {
            let (a, b) = (run.rng.below(size), run.rng.below(size));
            let c = run.rng.below(size);
            [a, b, c].into_iter().max_by_key(|at| (population.makespans[*at], *at)).unwrap_or(a)
        };
        let Some(makespan) = run.evaluate(&child, i64::MAX, population.makespans[worse] + 1) else {
            continue;
        };
        run.decoder.list(&mut child);
        if !population.holds(makespan, &child) {
            std::mem::swap(&mut population.lists[worse], &mut child);
            population.makespans[worse] = makespan;
        }
    }
}

fn tournament<P: Profile>(run: &mut Run<'_, '_, P>, population: &Population) -> usize {
    let (a, b) = (run.rng.below(population.lists.len()), run.rng.below(population.lists.len()));
    if population.makespans[b] < population.makespans[a] { b } else { a }
}

/// The mother's list with a stretch in the father's order, and a few neighbours exchanged.
fn cross<P: Profile>(
    run: &mut Run<'_, '_, P>,
    mother: &[u32],
    father: &[u32],
    child: &mut Vec<u32>,
    taken: &mut [u32],
    stamp: u32,
) {
    let nodes = mother.len();
    let (mut from, mut to) = (run.rng.below(nodes + 1), run.rng.below(nodes + 1));
    if from > to {
        std::mem::swap(&mut from, &mut to);
    }
    child.clear();
    child.extend_from_slice(&mother[..from]);
    for node in &*child {
        taken[*node as usize] = stamp;
    }
    for node in father {
        if child.len() == to {
            break;
        }
        if taken[*node as usize] != stamp {
            taken[*node as usize] = stamp;
            child.push(*node);
        }
    }
    child.extend(mother[from..].iter().filter(|node| taken[**node as usize] != stamp));
    // One exchange of neighbours in about every second child.
    if nodes > 1 && run.rng.below(2) == 0 {
        let at = run.rng.below(nodes - 1);
        let (a, b) = (child[at], child[at + 1]);
        if !run.problem.before.row(b as usize).contains(&a) {
            child.swap(at, at + 1);
        }
    }
}
