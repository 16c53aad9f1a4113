//! `first-available`: the first variant, in the order written, on the first device that fits.
//!
//! Source: first fit, as in every batch queue. Cost: constant. Bad when devices differ, since it never
//! asks which is faster, and when large tasks come late, since it fills devices one after another.

use dunnage_core::{Candidate, Proposal, Rng, Strategy, View};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct FirstAvailable;

impl Strategy for FirstAvailable {
    fn name(&self) -> &'static str {
        "first-available"
    }

    fn choose(&mut self, _: &View<'_>, _: &Candidate<'_>, _: &[Proposal], _: &mut Rng) -> Option<usize> {
        Some(0)
    }
}
