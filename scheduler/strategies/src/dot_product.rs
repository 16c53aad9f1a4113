//! `dot-product`: the node whose free cores and GPUs point least along what the task asks for, so that
//! a task that asks for much of both does not take the room where both are free; on it the tightest GPU.
//!
//! Source: the dot-product greedy of vector bin packing (Panigrahy et al., "Heuristics for vector bin
//! packing", 2011), in the form of the artifact of Weng et al., USENIX ATC 2023. Cost: constant for each
//! option. Bad for tasks that ask for little: all products are alike, and the order of the nodes decides.

use crate::packing::{CPU_MAX, Fill, GPU_MAX, Shape};

/// From 0 to 100, more is better.
pub(crate) fn score(fill: &Fill, shape: &Shape) -> i64 {
    let cpu = (fill.cpu as f64 / CPU_MAX) * (shape.cpu as f64 / CPU_MAX);
    let gpu = (fill.gpu_free() as f64 / GPU_MAX) * (shape.gpu_milli() as f64 / GPU_MAX);
    (100.0 * (1.0 - 0.5 * (cpu + gpu))) as i64
}
