//! `load-balanced`: the device of which the least is in use, counting memory and share of a GPU, cores
//! and RAM of a node, by the largest of these fractions; ties go to the first.
//!
//! Source: worst fit on the dominant resource. Cost: linear in the options. Bad when whole devices will
//! be asked for later, since it leaves a little of everything in use.

use dunnage_core::{Candidate, Ledger, Proposal, Rng, Strategy, View};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct LoadBalanced;

impl Strategy for LoadBalanced {
    fn name(&self) -> &'static str {
        "load-balanced"
    }

    fn choose(
        &mut self,
        view: &View<'_>,
        _: &Candidate<'_>,
        options: &[Proposal],
        _: &mut Rng,
    ) -> Option<usize> {
        let mut best: Option<(f64, usize)> = None;
        for (at, option) in options.iter().enumerate() {
            let load = load(view.ledger, option);
            if best.is_none_or(|(least, _)| load < least) {
                best = Some((load, at));
            }
        }
        best.map(|(_, at)| at)
    }
}

/// The largest fraction in use of what an option would use, before it is placed.
pub(crate) fn load(ledger: &Ledger, option: &Proposal) -> f64 {
    let Some(node) = ledger.node(option.node) else { return f64::INFINITY };
    let cpus = f64::from(node.spec.cpu.capacity.0.max(1));
    let cores = 1.0 - node.cpus_free as f64 / cpus;
    if option.gpus.is_empty() {
        let memory = 1.0 - node.memory_free as f64 / (node.spec.memory.0.max(1) as f64);
        return cores.max(memory);
    }
    option
        .gpus
        .iter()
        .filter_map(|device| ledger.gpu(*device))
        .map(|(gpu, spec)| {
            let memory = (gpu.memory_held + gpu.foreign.0 as i64) as f64 / (spec.memory.0.max(1) as f64);
            let share = gpu.share_held as f64 / 1000.0;
            // Where only memory is asked for, the number of holders tells who shares the cores.
            memory.max(share).max(f64::from(gpu.holders) / 1000.0)
        })
        .fold(0.0, f64::max)
}
