//! What `auto` does where it packs: fragmentation, cores that go with GPUs, tight fits, scarce models.
//!
//! Idea: a node is worth less by what typical tasks cannot use of its GPUs (fragmentation F of FGD), and by
//! the GPU milli that will be left without cores: what is free beyond its free cores over the cores that
//! tasks with GPUs ask for on the mean. A placement is as good as the value it leaves less the value
//! there was, less what best-fit would hold against it, less a price for GPUs of models that other tasks
//! cannot do without. Own work; F is that of Weng et al., "Beware of fragmentation", USENIX ATC 2023.
//! Cost: one F for each GPU looked at, O(typical shapes + GPUs) each. Bad where the past says nothing of
//! what will be asked for.

use super::fill::{Chosen, Fill};
use super::shape::Shape;
use super::workload::Workload;
use super::{CPU_MAX, GPU_MAX};

/// How much each part counts, in GPU milli.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Weights {
    /// For a GPU milli without cores.
    pub stranded: f64,
    /// For what best-fit counts as left, from 0 to 1.
    pub fit: f64,
    /// For the scarcity of a model.
    pub scarcity: f64,
}

impl Weights {
    /// Those in use. Results hardly change with `stranded` from 1 to 10 and `scarcity` from 100 to 1000.
    pub const STANDARD: Self = Self { stranded: 3.0, fit: 100.0, scarcity: 300.0 };
}

/// GPU milli that will be left without cores.
fn stranded(cpu: i64, gpu: i64, workload: &Workload) -> f64 {
    if workload.cpu_per_gpu > 0.0 { (gpu as f64 - cpu as f64 / workload.cpu_per_gpu).max(0.0) } else { 0.0 }
}

/// What a node is worth as it is; never above 0.
pub(crate) fn value(fill: &Fill, workload: &Workload) -> f64 {
    -workload.fragmentation(fill) - Weights::STANDARD.stranded * stranded(fill.cpu, fill.gpu_free(), workload)
}

/// See [`Policy::score`](super::Policy::score): in thousandths of a GPU milli.
pub(crate) fn score(
    fill: &Fill,
    shape: &Shape,
    chosen: Chosen,
    workload: &Workload,
    value: f64,
    weights: &Weights,
) -> i64 {
    let cpu = fill.cpu - shape.cpu;
    let gpu = fill.gpu_free() - shape.gpu_milli();
    let after =
        -workload.fragmentation_after(fill, shape, chosen) - weights.stranded * stranded(cpu, gpu, workload);
    let left = 0.5 * cpu as f64 / CPU_MAX + 0.5 * gpu as f64 / GPU_MAX;
    let scarce = scarcity(fill, chosen, workload);
    let score = after - value - weights.fit * left - weights.scarcity * scarce;
    (score * 1000.0).round() as i64
}

/// How much the model of these GPUs is in demand; without GPUs, that of the node.
fn scarcity(fill: &Fill, chosen: Chosen, workload: &Workload) -> f64 {
    let of = |model: u8| workload.scarcity.get(usize::from(model)).copied().unwrap_or(0.0);
    if let Some(model) = fill.model() {
        return of(model);
    }
    let gpus = fill.gpus().iter().enumerate();
    let gpus = gpus.filter(|(at, _)| chosen.is_empty() || chosen.has(*at));
    gpus.map(|(_, gpu)| of(gpu.model)).fold(0.0, f64::max)
}
