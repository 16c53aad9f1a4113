//! What `auto` does where it packs: fragmentation, what will be left over, cores that go with GPUs, tight
//! fits, scarce models.
//!
//! Idea: a node is worth less by
//! - what a typical task cannot use of its GPUs (fragmentation F of FGD),
//! - what will be left over of each GPU and of all together in the end (see [`waste`](super::waste)),
//! - the GPU milli that will be left without cores: what is free beyond its free cores over the cores that
//!   tasks with GPUs ask for, on the mean and, less, by eighths of them.
//!
//! A placement is as good as the value it leaves less the value there was, less what best-fit would hold
//! against it, less a price for a GPU of a model that other tasks cannot do without. Nothing that fits is ever
//! refused. Own work; F is that of Weng et al., "Beware of fragmentation", USENIX ATC 2023. Cost: one F
//! for each GPU looked at, O(typical shapes + GPUs) each. Bad where the past says nothing of what will be
//! asked for.

use super::fill::{Chosen, Fill, Frees};
use super::shape::Shape;
use super::workload::Workload;
use super::{CPU_MAX, GPU_MAX};

/// How much each part counts, in GPU milli. Chosen on lists of the openb trace; with any of them halved or
/// doubled results change by a tenth of a point, but on lists that ask for more cores than there are,
/// where `node_waste` trades GPUs of one class of tasks against another's.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Weights {
    /// For a GPU milli left over of a GPU in the end.
    pub gpu_waste: f64,
    /// For a GPU milli left over of a node in the end.
    pub node_waste: f64,
    /// For a GPU milli without cores, by the mean of tasks.
    pub stranded: f64,
    /// The same by eighths of tasks.
    pub stranded_eighths: f64,
    /// For what best-fit counts as left, from 0 to 1.
    pub fit: f64,
    /// For the scarcity of a model.
    pub scarcity: f64,
}

impl Weights {
    /// Those in use.
    pub const STANDARD: Self = Self {
        gpu_waste: 3.0,
        node_waste: 0.5,
        stranded: 2.1,
        stranded_eighths: 0.9,
        fit: 100.0,
        scarcity: 1000.0,
    };
}

/// What a node is worth with this much free; never above 0.
fn worth(
    cpu: i64,
    gpu: i64,
    frees: &Frees,
    fragmentation: f64,
    workload: &Workload,
    weights: &Weights,
) -> f64 {
    let stranded = |ratio: f64| if ratio > 0.0 { (gpu as f64 - cpu as f64 / ratio).max(0.0) } else { 0.0 };
    let eighths = &workload.cpu_per_gpu_eighths;
    let by_eighths = eighths.iter().map(|ratio| stranded(*ratio)).sum::<f64>() / eighths.len().max(1) as f64;
    let left: f64 = frees.as_slice().iter().map(|free| workload.gpu_waste.of(*free)).sum();
    -fragmentation
        - weights.gpu_waste * left
        - weights.node_waste * workload.node_waste.of(gpu, cpu)
        - weights.stranded * stranded(workload.cpu_per_gpu)
        - weights.stranded_eighths * by_eighths
}

/// What a node is worth once a task is on these GPUs.
fn after(fill: &Fill, shape: &Shape, chosen: Chosen, workload: &Workload, weights: &Weights) -> f64 {
    let (cpu, gpu) = (fill.cpu - shape.cpu, fill.gpu_free() - shape.gpu_milli());
    let frees = fill.frees_after(shape, chosen);
    let fragmentation = match fill.model() {
        Some(model) => workload.fragmentation_of(cpu, model, &frees),
        None => workload.fragmentation_mixed(fill, shape, chosen),
    };
    worth(cpu, gpu, &frees, fragmentation, workload, weights)
}

/// What a node is worth as it is.
pub(crate) fn value(fill: &Fill, workload: &Workload, weights: &Weights) -> f64 {
    after(fill, &Shape::NOTHING, Chosen::NONE, workload, weights)
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
    let cpu = (fill.cpu - shape.cpu) as f64;
    let gpu = (fill.gpu_free() - shape.gpu_milli()) as f64;
    let left = 0.5 * cpu / CPU_MAX + 0.5 * gpu / GPU_MAX;
    let gain = after(fill, shape, chosen, workload, weights) - value;
    let score = gain - weights.fit * left - weights.scarcity * scarcity(fill, chosen, workload);
    // Coarse enough that the noise of adding in another order breaks no ties.
    (score * 1000.0).round() as i64
}

/// How much the model of these GPUs is in demand; 0 for tasks without GPUs, which take none from anybody.
fn scarcity(fill: &Fill, chosen: Chosen, workload: &Workload) -> f64 {
    let gpus = fill.gpus().iter().enumerate().filter(|(at, _)| chosen.has(*at));
    let of = |model: u8| workload.scarcity.get(usize::from(model)).copied().unwrap_or(0.0);
    gpus.map(|(_, gpu)| of(gpu.model)).fold(0.0, f64::max)
}
