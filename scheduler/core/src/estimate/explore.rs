//! Forced exploration: a way to run a function that was never tried, or not for long, is tried now and then.
//!
//! Without it the first good enough way is kept for ever: a GPU variant that was slow once (its first run,
//! a busy moment) would never get another chance. Which placement tries is counted and begins at a number
//! that follows from the submission's seed: the same submission tries the same.
//!
//! Bounded: at most one placement of a function in [`ONE_IN`], never a way that is predicted to take more
//! than [`TIMES_SLOWER`] times as long as the best, and not one that was tried and has not ended yet.
//!
//! Source: epsilon-greedy with a fixed schedule (Sutton and Barto 2018, 2.7); calibration runs of
//! `StarPU`'s history models. Cost: one look per placement of a function that has several ways. Bad for
//! functions that run fewer than [`ONE_IN`] times in all: their other ways are not tried.

use super::{Estimates, signature};
use crate::rng::Rng;
use crate::strategy::Proposal;
use dunnage_model::{Basis, DeviceKind, Graph, NodeSpec};
use std::collections::BTreeMap;

/// One placement of a function in so many may try something.
pub(super) const ONE_IN: u64 = 16;

/// What is predicted to take this many times as long as the best is not tried.
const TIMES_SLOWER: f64 = 4.0;

/// After so many placements elsewhere, what is known of a way is old.
const OLD_AFTER: u64 = 512;

/// So many runs of the best way, before any other is tried.
const KNOWN_LEAST: u32 = 3;

/// At most this many functions are counted; further ones are not tried otherwise.
const COUNTED_MAX: usize = super::SIGNATURES_MAX;

/// Placements of functions that have several ways, by function.
#[derive(Debug, Default)]
pub(super) struct Tries {
    counted: BTreeMap<u64, Counted>,
    made: u64,
}

#[derive(Debug, Default)]
struct Counted {
    placements: u64,
    /// For each way when it was last chosen, as a number of placements.
    last: BTreeMap<(DeviceKind, u64), u64>,
}

impl Tries {
    pub(super) const fn made(&self) -> u64 {
        self.made
    }
}

/// A way to run a function: a kind and class of device.
pub(crate) type Way = (DeviceKind, u64);

impl Estimates {
    /// The way to run a task that is to be tried now, if one is. `options` are those that fit now.
    pub(crate) fn try_now(
        &self,
        seed: u64,
        graph: &Graph,
        task: u32,
        options: &[Proposal],
        way: &dyn Fn(&Proposal) -> Way,
    ) -> Option<Way> {
        if self.frozen || options.len() < 2 {
            return None;
        }
        let best = options
            .iter()
            .filter(|option| {
                option.estimate.basis == Basis::History && option.estimate.samples >= KNOWN_LEAST
            })
            .map(Proposal::seconds)
            .min_by(f64::total_cmp)?;
        let function = signature::function(graph, task);
        let counted = self.tries.counted.get(&function);
        if counted.is_none() && self.tries.counted.len() >= COUNTED_MAX {
            // Nobody counts its placements, so each would be the first.
            return None;
        }
        let placements = counted.map_or(0, |counted| counted.placements);
        let phase = Rng::of(seed, function).next();
        if !placements.wrapping_add(phase).is_multiple_of(ONE_IN) {
            return None;
        }
        options
            .iter()
            .filter(|option| option.estimate.duration.is_none() || option.seconds() <= TIMES_SLOWER * best)
            .filter_map(|option| {
                let way = way(option);
                let last = counted.and_then(|counted| counted.last.get(&way)).copied();
                let known =
                    option.estimate.basis == Basis::History && option.estimate.source == super::Source::Same;
                // One that was chosen a moment ago has not ended yet, or failed; it has its turn again later.
                let rested = last.is_none_or(|last| placements - last >= 4 * ONE_IN);
                let old = last.is_none_or(|last| placements - last >= OLD_AFTER) && placements >= OLD_AFTER;
                (rested && (!known || old)).then_some((last, way))
            })
            .min()
            .map(|(_, way)| way)
    }

    /// Notes that a task of a function with several ways was placed.
    pub(crate) fn note_choice(&mut self, graph: &Graph, task: u32, way: Way, tried: bool) {
        if self.frozen {
            return;
        }
        let function = signature::function(graph, task);
        self.tries.made += u64::from(tried);
        if !self.tries.counted.contains_key(&function) && self.tries.counted.len() >= COUNTED_MAX {
            return;
        }
        let counted = self.tries.counted.entry(function).or_default();
        counted.placements += 1;
        if counted.last.len() < 64 || counted.last.contains_key(&way) {
            counted.last.insert(way, counted.placements);
        }
    }
}

/// The way that a proposal stands for.
pub(crate) fn way_of(node: Option<&NodeSpec>, graph: &Graph, task: u32, proposal: &Proposal) -> Way {
    let class = node.map_or("", |node| node.class(proposal.main_device()));
    (graph.variant(task, proposal.variant).kind, signature::text(class))
}
