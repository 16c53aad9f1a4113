//! `random`: any variant on any device that fits, each as likely. The baseline that every report shows.
//!
//! Source: "surprisingly competitive" where the runtime's overhead dominates (Böhm and Beránek 2020,
//! arXiv 2010.11105). Cost: constant. Bad whenever it matters where something runs.

use dunnage_core::{Candidate, Proposal, Rng, Strategy, View};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Random;

impl Strategy for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn choose(
        &mut self,
        _: &View<'_>,
        _: &Candidate<'_>,
        options: &[Proposal],
        rng: &mut Rng,
    ) -> Option<usize> {
        Some(rng.below(options.len()))
    }
}
