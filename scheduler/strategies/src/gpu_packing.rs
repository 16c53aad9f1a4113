//! `gpu-packing`: GPUs that are in use before idle ones, nodes that are in use before idle ones, so that
//! whole GPUs and nodes stay free.
//!
//! Source: the packing policy of Weng et al., "MLaaS in the wild", USENIX NSDI 2022, as the artifact of
//! "Beware of fragmentation" scores it. Cost: linear in the GPUs of a node. Bad for tasks without GPUs,
//! which it does not rank, and where cores run out first, which it does not see.

use crate::packing::{Chosen, Fill, GPU_MILLI, Shape};

/// From 0 to 100, more is better: 50 and above on GPUs in use, from 33 on idle GPUs of a node in use, below
/// that on an idle node. 0 for tasks without GPU.
pub(crate) fn score(fill: &Fill, shape: &Shape, chosen: Chosen) -> i64 {
    if shape.count == 0 {
        return 0;
    }
    let idle = fill.gpus().iter().filter(|gpu| gpu.free == GPU_MILLI).count() as i64;
    if idle == fill.gpus().len() as i64 {
        return 33 - idle;
    }
    let (mut fresh, mut free) = (0, 0);
    for (_, gpu) in fill.gpus().iter().enumerate().filter(|(at, _)| chosen.has(*at)) {
        fresh += i64::from(gpu.free == GPU_MILLI);
        free += i64::from(gpu.free / 10);
    }
    if fresh > 0 { (50 - fresh).max(33) } else { (100 - free / 10).max(50) }
}
