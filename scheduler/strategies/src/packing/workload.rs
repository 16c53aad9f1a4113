//! What tasks typically ask for: the distribution M of fragmentation, how many cores go with a GPU, and
//! how much the models of GPUs are in demand.
//!
//! Either given (the list of what will be submitted is known) or learned from what is submitted, with older
//! submissions counting less ([`History`]). Building it costs a sort of the distinct shapes.

use super::fill::{Fill, Frees};
use super::shape::{Models, Shape};
use super::waste::{GpuWaste, NodeWaste};
use std::collections::BTreeMap;

/// Typical shapes cover this much of what is submitted.
const COVER: f64 = 0.95;

/// What a set of nodes has when it is empty.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Capacity {
    /// Thousandths of cores.
    pub cpu: f64,
    /// Milli of GPUs, by model.
    pub gpu: Vec<f64>,
    /// The most that one node has: GPU milli and thousandths of cores.
    pub largest: (f64, f64),
}

impl Capacity {
    /// What these nodes have in sum; they must be empty.
    pub fn of<'a>(nodes: impl IntoIterator<Item = &'a Fill>) -> Self {
        let mut sum = Self::default();
        for node in nodes {
            sum.cpu += node.cpu as f64;
            sum.largest = (sum.largest.0.max(node.gpu_free() as f64), sum.largest.1.max(node.cpu as f64));
            for gpu in node.gpus() {
                let model = usize::from(gpu.model);
                if sum.gpu.len() <= model {
                    sum.gpu.resize(model + 1, 0.0);
                }
                sum.gpu[model] += f64::from(gpu.free);
            }
        }
        sum
    }

    /// Milli of all GPUs.
    pub fn gpu_total(&self) -> f64 {
        self.gpu.iter().sum()
    }
}

/// One of the shapes that are asked for most.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Typical {
    cpu: i64,
    milli: u16,
    count: u16,
    models: Models,
    /// Its part of the typical shapes.
    weight: f64,
}

/// Statistics of what is submitted.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Workload {
    /// The typical shapes that ask for GPUs, those that ask for most of one first.
    typical: Vec<Typical>,
    /// How many shapes are typical, those without GPU included.
    pub(crate) typical_count: usize,
    /// Thousandths of cores that tasks with GPUs ask for, for each GPU milli they ask for.
    pub(crate) cpu_per_gpu: f64,
    /// The same by eighths of the GPU milli asked for, those that ask for the fewest cores first.
    pub(crate) cpu_per_gpu_eighths: Vec<f64>,
    /// What will be left over of a GPU.
    pub(crate) gpu_waste: GpuWaste,
    /// What will be left over of the GPUs of a node.
    pub(crate) node_waste: NodeWaste,
    /// How much a model is in demand by tasks that will not do with any: their part of the demand over its
    /// part of the capacity.
    pub(crate) scarcity: Vec<f64>,
    /// The largest part of one GPU that anybody asks for.
    pub(crate) largest_milli: u16,
}

impl Workload {
    /// The statistics of these shapes, each with how often it is asked for, on nodes with this capacity.
    pub fn given(shapes: &[(Shape, f64)], capacity: &Capacity) -> Self {
        let mut by_shape: BTreeMap<(i64, u16, u16, Models), f64> = BTreeMap::new();
        let mut total = 0.0;
        for (shape, weight) in shapes {
            let models = if shape.count == 0 { Models::ANY } else { shape.models };
            *by_shape.entry((shape.cpu, shape.milli, shape.count, models)).or_default() += weight;
            total += weight;
        }
        let mut rows: Vec<_> = by_shape.into_iter().collect();
        // Most frequent first; of equally frequent ones the larger shape.
        rows.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| b.0.cmp(&a.0)));
        let mut covered = 0.0;
        let mut typical = Vec::new();
        let mut typical_count = 0;
        for ((cpu, milli, count, models), weight) in &rows {
            if covered >= COVER * total {
                break;
            }
            covered += weight;
            typical_count += 1;
            if *count > 0 {
                typical.push(Typical {
                    cpu: *cpu,
                    milli: *milli,
                    count: *count,
                    models: *models,
                    weight: *weight,
                });
            }
        }
        for shape in &mut typical {
            shape.weight /= covered;
        }
        typical.sort_by(|a, b| b.milli.cmp(&a.milli).then(a.cpu.cmp(&b.cpu)).then(a.count.cmp(&b.count)));

        let mut parts: BTreeMap<u16, f64> = BTreeMap::new();
        let mut on_gpus: Vec<(f64, f64, f64)> = Vec::new();
        let mut wanted = vec![0.0; capacity.gpu.len()];
        for ((cpu, milli, count, models), weight) in rows.iter().filter(|row| row.0.2 > 0) {
            *parts.entry(*milli).or_default() += weight * f64::from(*count);
            let gpu = f64::from(*count) * f64::from(*milli);
            on_gpus.push((gpu, *cpu as f64, *weight));
            if !models.is_any() {
                spread(&mut wanted, weight * gpu, *models, capacity);
            }
        }
        let demand: f64 = on_gpus.iter().map(|(gpu, _, weight)| gpu * weight).sum();
        let gpus = capacity.gpu_total();
        let scarcity = wanted.iter().zip(&capacity.gpu).map(|(wanted, has)| {
            if demand > 0.0 && *has > 0.0 { (wanted / demand) / (has / gpus) } else { 0.0 }
        });
        let parts: Vec<(u16, f64)> = parts.into_iter().collect();
        Self {
            typical,
            typical_count,
            cpu_per_gpu: on_gpus.iter().map(|(_, cpu, weight)| cpu * weight).sum::<f64>() / demand.max(1.0),
            cpu_per_gpu_eighths: eighths(&on_gpus),
            gpu_waste: GpuWaste::new(&parts),
            node_waste: NodeWaste::new(&on_gpus, capacity.largest),
            scarcity: scarcity.collect(),
            largest_milli: parts.last().map_or(0, |(milli, _)| *milli),
        }
    }

    /// How many shapes make up the distribution M.
    pub fn typical_shapes(&self) -> usize {
        self.typical_count
    }

    /// Fragmentation F of FGD: the GPU milli of a node that a task drawn from M cannot be expected to use.
    pub fn fragmentation(&self, fill: &Fill) -> f64 {
        self.fragmentation_after(fill, &Shape::NOTHING, super::Chosen::NONE)
    }

    /// The same once a task of this shape is on these GPUs.
    pub fn fragmentation_after(&self, fill: &Fill, shape: &Shape, chosen: super::Chosen) -> f64 {
        let cpu = fill.cpu - shape.cpu;
        let frees = fill.frees_after(shape, chosen);
        match fill.model() {
            Some(model) => self.fragmentation_of(cpu, model, &frees),
            None => self.fragmentation_mixed(fill, shape, chosen),
        }
    }

    /// The same for a node with GPUs of one model, of which this is free.
    pub(crate) fn fragmentation_of(&self, cpu: i64, model: u8, frees: &Frees) -> f64 {
        let frees = frees.as_slice();
        let total: i64 = frees.iter().map(|free| i64::from(*free)).sum();
        let mut usable = 0.0;
        // Both are sorted, the most first: one pass over both.
        let (mut able, mut able_milli) = (0, 0_i64);
        for shape in &self.typical {
            while able < frees.len() && frees[able] >= shape.milli {
                able_milli += i64::from(frees[able]);
                able += 1;
            }
            if shape.cpu <= cpu && usize::from(shape.count) <= able && shape.models.has(model) {
                usable += shape.weight * able_milli as f64;
            }
        }
        total as f64 - usable
    }

    /// For nodes with GPUs of several models.
    pub(crate) fn fragmentation_mixed(&self, fill: &Fill, task: &Shape, chosen: super::Chosen) -> f64 {
        let cpu = fill.cpu - task.cpu;
        let free = |(at, gpu): (usize, &super::Gpu)| {
            (gpu.free.saturating_sub(if chosen.has(at) { task.milli } else { 0 }), gpu.model)
        };
        let mut total = 0.0;
        for gpu in fill.gpus().iter().enumerate() {
            total += f64::from(free(gpu).0);
        }
        let mut usable = 0.0;
        for shape in self.typical.iter().filter(|shape| shape.cpu <= cpu) {
            let (mut able, mut able_milli) = (0_usize, 0_i64);
            for gpu in fill.gpus().iter().enumerate() {
                let (free, model) = free(gpu);
                if free >= shape.milli && shape.models.has(model) {
                    able += 1;
                    able_milli += i64::from(free);
                }
            }
            if usize::from(shape.count) <= able {
                usable += shape.weight * able_milli as f64;
            }
        }
        total - usable
    }
}

/// Adds a demand that some models meet to them, by their capacity.
fn spread(wanted: &mut [f64], gpu: f64, models: Models, capacity: &Capacity) {
    let able = || capacity.gpu.iter().enumerate().filter(|(model, _)| models.has(*model as u8));
    let sum: f64 = able().map(|(_, has)| has).sum();
    for (model, has) in able().filter(|_| sum > 0.0) {
        wanted[model] += gpu * has / sum;
    }
}

/// Cores over GPU milli in each eighth of the GPU milli asked for, sorted by this ratio; a shape is not cut in
/// two and counts where it ends. `shapes`: GPU milli, thousandths of cores, how often.
fn eighths(shapes: &[(f64, f64, f64)]) -> Vec<f64> {
    let mut ratios: Vec<(f64, f64)> =
        shapes.iter().map(|(gpu, cpu, weight)| (cpu / gpu.max(1.0), gpu * weight)).collect();
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = ratios.iter().map(|(_, gpu)| gpu).sum();
    let mut means = Vec::with_capacity(8);
    let (mut at, mut done) = (0, 0.0);
    for eighth in 1..=8 {
        let end = total * f64::from(eighth) / 8.0;
        let (mut cores, before) = (0.0, done);
        while let Some((ratio, gpu)) = ratios.get(at).filter(|(_, gpu)| done + gpu <= end) {
            cores += ratio * gpu;
            done += gpu;
            at += 1;
        }
        if done > before {
            means.push(cores / (done - before));
        } else if let Some((ratio, _)) = ratios.get(at) {
            // A shape that is more than an eighth.
            means.push(*ratio);
        }
    }
    means
}

/// At most this many shapes are remembered; the rarest are forgotten first.
const SHAPES_MAX: usize = 512;

/// What a submission counts more than the one before: after 4096 of them, one counts half.
const DECAY: f64 = 1.000_169_239_705_302_2;

/// At most this many submissions until the statistics are made again.
const REFRESH_MAX: u64 = 4096;

/// What was submitted, older submissions counting less.
#[derive(Clone, PartialEq, Debug)]
pub struct History {
    seen: BTreeMap<Shape, f64>,
    /// What the next submission counts; grows instead of letting all others shrink.
    unit: f64,
    submitted: u64,
    next: u64,
}

impl Default for History {
    fn default() -> Self {
        Self { seen: BTreeMap::new(), unit: 1.0, submitted: 0, next: 1 }
    }
}

impl History {
    /// Takes in that this was submitted. Whether the statistics should be made again: after 1, 2, 4 ... and, from
    /// some point on, every so many submissions.
    pub fn submit(&mut self, shape: Shape) -> bool {
        *self.seen.entry(shape).or_default() += self.unit;
        self.unit *= DECAY;
        self.submitted += 1;
        if self.seen.len() > SHAPES_MAX {
            self.forget();
        }
        if self.unit > 1e60 {
            let unit = self.unit;
            for weight in self.seen.values_mut() {
                *weight /= unit;
            }
            self.unit = 1.0;
        }
        if self.submitted < self.next {
            return false;
        }
        self.next = self.submitted + self.submitted.min(REFRESH_MAX);
        true
    }

    /// Drops the rarer half.
    fn forget(&mut self) {
        let mut weights: Vec<f64> = self.seen.values().copied().collect();
        weights.sort_by(f64::total_cmp);
        let least = weights[weights.len() / 2];
        self.seen.retain(|_, weight| *weight >= least);
        // Where all are equally rare, nobody was dropped.
        while self.seen.len() > SHAPES_MAX {
            self.seen.pop_first();
        }
    }

    /// The statistics of what was submitted so far.
    pub fn workload(&self, capacity: &Capacity) -> Workload {
        let shapes: Vec<(Shape, f64)> = self.seen.iter().map(|(shape, weight)| (*shape, *weight)).collect();
        Workload::given(&shapes, capacity)
    }
}
