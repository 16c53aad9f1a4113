//! `best-fit`: the node with the least left once the task is there, cores and GPUs added up as fractions of
//! a large node; on it the tightest GPU.
//!
//! Source: best fit of bin packing, for vectors by the weighted sum; the weights and the scale are those of
//! the artifact of Weng et al., "Beware of fragmentation", USENIX ATC 2023, where it is the best of the
//! classical rules. Cost: constant for each option. Bad when a node runs out of cores before GPUs or the
//! other way about: the sum does not see that what is left is useless.

use crate::packing::{CPU_MAX, Fill, GPU_MAX, Shape};

/// From 0 to 100, more is better.
pub(crate) fn score(fill: &Fill, shape: &Shape) -> i64 {
    let cpu = (fill.cpu - shape.cpu) as f64;
    let gpu = (fill.gpu_free() - shape.gpu_milli()) as f64;
    let rest = 0.5 * cpu / CPU_MAX + 0.5 * gpu / GPU_MAX;
    (100.0 * (1.0 - rest)) as i64
}
