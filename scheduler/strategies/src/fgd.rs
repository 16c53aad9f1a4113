//! `fgd`: where fragmentation grows least, that is where typical tasks can still use what is left.
//!
//! Source: Weng et al., "Beware of fragmentation: scheduling GPU-sharing workloads with fragmentation
//! gradient descent", USENIX ATC 2023. What is typical is learned from what was submitted, older tasks
//! counting less. Cost: one fragmentation for each option, O(typical shapes + GPUs) each. Bad before
//! anything was submitted, and blind to GPUs that are left without cores as long as the smallest typical
//! task would still find some.

use crate::packing::{Chosen, Fill, Shape, Workload};

/// From 0 to 100, more is better; `value` is that of the node before, see
/// [`Policy::value`](crate::packing::Policy::value).
pub(crate) fn score(fill: &Fill, shape: &Shape, chosen: Chosen, workload: &Workload, value: f64) -> i64 {
    let gain = -workload.fragmentation_after(fill, shape, chosen) - value;
    // The noise of adding in another order must not break ties.
    let gain = (gain * 1e6).round() / 1e6;
    (100.0 / (1.0 + (-gain / 1000.0).exp())) as i64
}
