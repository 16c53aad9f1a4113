//! Large neighbourhood search over lists: the tasks of a window of the list are put in another order, the
//! list is scheduled and justified, and kept where it is not longer than the current one, or hardly
//! (after Palpant, Artigues and Michelon 2004, with a random order instead of an exact sub-solver).
//!
//! The best phase once some thousand schedules are made; bad as a start, which it improves slowly.

use super::decode::{LARGE, Profile};
use super::genetic::Population;
use super::run::Run;

/// How wide windows are and what is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    /// At least this many nodes, at most 64.
    pub least: usize,
    pub most: usize,
    /// Longer by this share of the makespan is still kept.
    pub threshold: f64,
    /// After so many schedules without a new best of this walk, another begins.
    pub patience: u64,
    /// The first pass is given up where it is this share longer than what would be kept.
    pub rough: f64,
    /// The share of lists that are laid from the end back.
    pub back: f64,
}

/// Scratch for [`shuffle`].
#[derive(Debug, Default)]
pub(crate) struct Shuffle {
    place: Vec<u8>,
    waits: Vec<u64>,
    frees: Vec<u64>,
    old: Vec<u32>,
}

/// Walks from lists of the population until the run has made so many schedules or is done.
pub(crate) fn search<P: Profile>(
    run: &mut Run<'_, '_, P>,
    population: &mut Population,
    windows: Windows,
    until: u64,
) {
    let nodes = run.problem.nodes();
    if nodes < 2 || population.lists.is_empty() {
        return;
    }
    let most = windows.most.min(nodes).min(64);
    let least = windows.least.min(most);
    let mut shuffle = Shuffle::default();
    let mut next = Vec::with_capacity(nodes);
    let mut end = Vec::new();
    let mut from = population.best().unwrap_or(0);
    while run.schedules < until && !run.is_done() {
        let mut current = population.lists[from].clone();
        let mut by_end = current.clone();
        let mut length = population.makespans[from];
        let mut shortest = length;
        let mut since = run.schedules;
        if nodes >= LARGE {
            // There is one list, that of the best.
            run.decoder.end.clone_from(&run.best_end);
            run.decoder.list(&mut current);
            run.decoder.list_by_end(&mut by_end);
            end.clone_from(&run.best_end);
        }
        while !run.is_done() && run.schedules - since < windows.patience {
            let width = least + run.rng.below(most - least + 1);
            let at = run.rng.below(nodes - width + 1);
            let slack = (shortest as f64 * windows.threshold) as i64;
            let limit = (shortest + slack).max(length) + 1;
            let rough = limit + (limit as f64 * windows.rough) as i64;
            let is_back = run.rng.unit() < windows.back;
            next.clone_from(if is_back { &by_end } else { &current });
            shuffle.window(run, &mut next, at, width);
            if nodes >= LARGE {
                run.decoder.remember_ends(&end);
            }
            let made = if is_back {
                next.reverse();
                run.evaluate_back(&next, length, rough, limit)
            } else {
                run.evaluate(&next, rough, limit)
            };
            let Some(makespan) = made else {
                continue;
            };
            length = makespan;
            run.decoder.list(&mut current);
            run.decoder.list_by_end(&mut by_end);
            if nodes >= LARGE {
                end.clone_from(&run.decoder.end);
            }
            if makespan < shortest {
                shortest = makespan;
                since = run.schedules;
                population.lists[from].clone_from(&current);
                population.makespans[from] = makespan;
            }
        }
        population.lists[from].clone_from(&current);
        population.makespans[from] = length;
        let (a, b) = (run.rng.below(population.lists.len()), run.rng.below(population.lists.len()));
        from = if population.makespans[b] < population.makespans[a] { b } else { a };
    }
}

impl Shuffle {
    /// Puts the nodes of a window in a random order that respects the edges.
    pub(crate) fn window<P>(&mut self, run: &mut Run<'_, '_, P>, list: &mut [u32], at: usize, width: usize) {
        const OUTSIDE: u8 = u8::MAX;
        self.place.resize(list.len(), OUTSIDE);
        self.old.clear();
        self.old.extend_from_slice(&list[at..at + width]);
        for (place, node) in self.old.iter().enumerate() {
            self.place[*node as usize] = place as u8;
        }
        self.waits.clear();
        self.frees.clear();
        self.frees.resize(width, 0);
        let mut ready = 0_u64;
        for (place, node) in self.old.iter().enumerate() {
            let mut waits = 0_u64;
            for parent in run.problem.before.row(*node as usize) {
                let parent = self.place[*parent as usize];
                if parent != OUTSIDE {
                    waits |= 1 << parent;
                    self.frees[parent as usize] |= 1 << place;
                }
            }
            self.waits.push(waits);
            ready |= u64::from(waits == 0) << place;
        }
        for slot in &mut list[at..at + width] {
            let mut choice = ready;
            for _ in 0..run.rng.below(ready.count_ones() as usize) {
                choice &= choice - 1;
            }
            let place = choice.trailing_zeros();
            ready &= !(1 << place);
            *slot = self.old[place as usize];
            let mut frees = self.frees[place as usize];
            while frees != 0 {
                let child = frees.trailing_zeros();
                frees &= frees - 1;
                self.waits[child as usize] &= !(1 << place);
                ready |= u64::from(self.waits[child as usize] == 0) << child;
            }
        }
        for node in &self.old {
            self.place[*node as usize] = OUTSIDE;
        }
    }
}
