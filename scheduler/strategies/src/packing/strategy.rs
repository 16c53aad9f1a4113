//! The policies of this module as strategies: each places by its own score, in its own file.

use super::Policy;
use super::online::Packer;
use dunnage_core::{Candidate, Proposal, Rng, Strategy, View};

/// A strategy that places where its policy scores best.
#[derive(Debug)]
pub struct Packing {
    policy: Policy,
    packer: Packer,
}

impl Packing {
    /// The strategy of a policy, with its name.
    pub fn new(policy: Policy) -> Self {
        Self { policy, packer: Packer::default() }
    }
}

impl Strategy for Packing {
    fn name(&self) -> &'static str {
        self.policy.name()
    }

    fn choose(
        &mut self,
        view: &View<'_>,
        task: &Candidate<'_>,
        options: &[Proposal],
        _: &mut Rng,
    ) -> Option<usize> {
        self.packer.choose(self.policy, view, task, options)
    }
}
