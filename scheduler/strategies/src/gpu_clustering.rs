//! `gpu-clustering`: tasks that ask for the same number of GPUs together, those that share one together, so
//! that kinds do not get into each other's way.
//!
//! Source: Gandiva (Xiao et al., USENIX OSDI 2018), as the artifact of Weng et al., "Beware of
//! fragmentation", USENIX ATC 2023, scores it. Cost: constant for each option, and one look at everybody who
//! holds something. Bad for tasks without GPUs, which it does not rank, and with few nodes: there is
//! nothing to keep apart.

use crate::packing::{Fill, GPU_MAX, Shape};

/// From 0 to 100, more is better: 75 where only this kind is, 50 where it is among others, 25 where nothing
/// is, 0 where only others are; and up to 25 for what is in use. 0 for tasks without GPU.
pub(crate) fn score(fill: &Fill, shape: &Shape) -> i64 {
    if shape.count == 0 {
        return 0;
    }
    let kinds = fill.kinds();
    let base = match (kinds.count_ones(), kinds & (1 << shape.kind()) != 0) {
        (1, true) => 75,
        (_, true) => 50,
        (0, false) => 25,
        (_, false) => 0,
    };
    base + (25.0 * (GPU_MAX - fill.gpu_free() as f64) / GPU_MAX) as i64
}
