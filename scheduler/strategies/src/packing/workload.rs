//! What tasks typically ask for: the distribution M of fragmentation, how many cores go with a GPU, and
//! how much the models of GPUs are in demand.
//!
//! Either given (the list of what will be submitted is known) or learned from what is submitted, with older
//! submissions counting less ([`History`]). Building it costs a sort of the distinct shapes.

use super::fill::{Fill, Frees};
use super::shape::{Models, Shape};
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
}

impl Capacity {
    /// What these nodes have in sum; they must be empty.
    pub fn of<'a>(nodes: impl IntoIterator<Item = &'a Fill>) -> Self {
        let mut sum = Self::default();
        for node in nodes {
            sum.cpu += node.cpu as f64;
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

        let mut cpu = 0.0;
        let mut demand = 0.0;
        let mut wanted = vec![0.0; capacity.gpu.len()];
        let mut largest_milli = 0;
        for ((shape_cpu, milli, count, models), weight) in &rows {
            if *count == 0 {
                continue;
            }
            let gpu = weight * f64::from(*count) * f64::from(*milli);
            cpu += weight * *shape_cpu as f64;
            demand += gpu;
            largest_milli = largest_milli.max(*milli);
            if models.is_any() {
                continue;
            }
            let able = || (0..capacity.gpu.len()).filter(|model| models.has(*model as u8));
            let sum: f64 = able().map(|model| capacity.gpu[model]).sum();
            for model in able().filter(|_| sum > 0.0) {
                wanted[model] += gpu * capacity.gpu[model] / sum;
            }
        }
        let gpus = capacity.gpu_total();
        let scarcity = wanted.iter().zip(&capacity.gpu).map(|(wanted, has)| {
            if demand > 0.0 && *has > 0.0 { (wanted / demand) / (has / gpus) } else { 0.0 }
        });
        let scarcity = scarcity.collect();
        let cpu_per_gpu = if demand > 0.0 {
            cpu / demand
        } else if gpus > 0.0 {
            capacity.cpu / gpus
        } else {
            0.0
        };
        Self { typical, typical_count, cpu_per_gpu, scarcity, largest_milli }
    }

    /// How many shapes make up the distribution M.
    pub fn typical_shapes(&self) -> usize {
        self.typical_count
    }

    /// Fragmentation F of FGD: the GPU milli of a node that a task drawn from M cannot be expected to use.
    pub fn fragmentation(&self, fill: &Fill) -> f64 {
        self.fragmentation_after(fill, &NOTHING, super::Chosen::NONE)
    }

    /// The same once a task of this shape is on these GPUs.
    pub fn fragmentation_after(&self, fill: &Fill, shape: &Shape, chosen: super::Chosen) -> f64 {
        let cpu = fill.cpu - shape.cpu;
        let Some(model) = fill.model() else {
            return self.fragmentation_mixed(fill, shape, chosen);
        };
        let frees = fill.frees_after(shape, chosen);
        self.fragmentation_of(cpu, model, &frees)
    }

    fn fragmentation_of(&self, cpu: i64, model: u8, frees: &Frees) -> f64 {
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
    fn fragmentation_mixed(&self, fill: &Fill, task: &Shape, chosen: super::Chosen) -> f64 {
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

const NOTHING: Shape = Shape { cpu: 0, memory: 0, count: 0, milli: 0, models: Models::ANY };

/// At most this many shapes are remembered; the rarest are forgotten first.
const SHAPES_MAX: usize = 2048;

/// After this many submissions a shape counts half.
const HALF_LIFE: f64 = 4096.0;

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
    /// Takes in that this was submitted. Whether the statistics should be made again: after 1, 2, 4 ... 512
    /// submissions and then every 512.
    pub fn submit(&mut self, shape: Shape) -> bool {
        *self.seen.entry(shape).or_default() += self.unit;
        self.unit *= (std::f64::consts::LN_2 / HALF_LIFE).exp();
        self.submitted += 1;
        if self.seen.len() > SHAPES_MAX {
            self.forget();
        }
        if self.unit > 1e60 {
            let unit = self.unit;
            self.seen.values_mut().for_each(|weight| *weight /= unit);
            self.unit = 1.0;
        }
        if self.submitted < self.next {
            return false;
        }
        self.next = self.submitted + self.submitted.min(512);
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
