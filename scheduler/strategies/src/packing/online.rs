//! The packing policies on the ledger of a real machine: what is free as a [`Fill`], what a task asks for as
//! a [`Shape`], and the best of the options.
//!
//! A GPU's free milli are the lesser of its free share and its free fraction of memory, so a request for
//! memory alone counts as its fraction of the memory. What is typical is learned from the tasks that were
//! to be placed. Cost of a choice: one score for each option, plus O(GPUs) for each node with an option.

use super::fill::{Chosen, Fill, GPU_MILLI, GPUS_MAX, Gpu};
use super::policy::Policy;
use super::shape::{Models, Shape};
use super::workload::{Capacity, History, Workload};
use super::{CPU_MAX, GPU_MAX};
use dunnage_core::{Candidate, Ledger, NodeLedger, Proposal, View};
use dunnage_model::{Bytes, DeviceId, GpuFit, GpuRequest, GpuSpec, Health, NodeId, Request};

/// What a strategy that packs remembers from task to task.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    models: Catalogue,
    history: History,
    workload: Workload,
}

/// The models of GPUs that were seen, by number.
#[derive(Debug, Default)]
struct Catalogue(Vec<Model>);

#[derive(PartialEq, Eq, Debug)]
struct Model {
    /// In lower case.
    name: String,
    compute_capability: Option<(u16, u16)>,
}

impl Catalogue {
    /// The number of a GPU's model; from the 128th on all have the last number.
    fn number(&mut self, spec: &GpuSpec) -> u8 {
        let is_it = |model: &Model| {
            model.compute_capability == spec.compute_capability && model.name.eq_ignore_ascii_case(&spec.name)
        };
        let known = self.0.iter().position(is_it);
        let at = known.unwrap_or_else(|| {
            if self.0.len() < Models::MAX {
                let name = spec.name.to_ascii_lowercase();
                self.0.push(Model { name, compute_capability: spec.compute_capability });
            }
            self.0.len() - 1
        });
        at as u8
    }

    /// Which of the models seen so far will do.
    fn fitting(&self, fit: &GpuFit) -> Models {
        if fit.model.is_none() && fit.compute_capability.is_none() {
            return Models::ANY;
        }
        let mut models = Models::NONE;
        for (at, model) in self.0.iter().enumerate() {
            let able = fit.compute_capability.is_none_or(|least| model.compute_capability >= Some(least));
            if able && fit.model.as_ref().is_none_or(|part| model.name.contains(&**part)) {
                models = models.with(at as u8);
            }
        }
        models
    }
}

/// A node as packing sees it.
struct Seen<'a> {
    node: NodeId,
    fill: Fill,
    value: f64,
    ledger: &'a NodeLedger,
}

impl Packer {
    /// The best of the options by a policy: the variant that is expected to end first, then the score, then
    /// the tightest GPU, few NUMA nodes, the GPU with the least memory, the tightest node, the first.
    pub(crate) fn choose(
        &mut self,
        policy: Policy,
        view: &View<'_>,
        task: &Candidate<'_>,
        options: &[Proposal],
    ) -> Option<usize> {
        let variant = soonest(options)?;
        let request = task.requests.get(usize::from(variant))?;
        if policy.uses_workload() {
            self.learn(view.ledger, request, variant, options);
        }
        if options.len() == 1 {
            return Some(0);
        }
        let mut seen: Option<Seen<'_>> = None;
        let mut best: Option<([i64; 5], usize)> = None;
        for (at, option) in options.iter().enumerate().filter(|(_, option)| option.variant == variant) {
            if seen.as_ref().is_none_or(|seen| seen.node != option.node) {
                seen = self.look(policy, view.ledger, option.node);
            }
            let Some(seen) = &seen else { continue };
            let key = self.rate(policy, seen, request, option);
            if best.is_none_or(|(most, _)| key > most) {
                best = Some((key, at));
            }
        }
        // A node that left meanwhile has no fill: any option is as good then.
        best.map(|(_, at)| at).or_else(|| options.iter().position(|option| option.variant == variant))
    }

    /// What an option is worth, the most important first; more is better.
    fn rate(&self, policy: Policy, seen: &Seen<'_>, request: &Request, option: &Proposal) -> [i64; 5] {
        let fill = &seen.fill;
        let mut chosen = Chosen::NONE;
        for device in &option.gpus {
            chosen.0 |= position(seen.ledger, *device).map_or(0, |at| Chosen::one(at).0);
        }
        let spec = option.gpus.first().and_then(|device| seen.ledger.spec.gpu(*device));
        let shape = self.shape(request, spec);
        let score = policy.score(fill, &shape, chosen, &self.workload, seen.value);
        let gpus = || fill.gpus().iter().enumerate().filter(|(at, _)| chosen.has(*at)).map(|(_, gpu)| gpu);
        let free = gpus().map(|gpu| i64::from(gpu.free)).sum::<i64>();
        // Where nobody asks for a whole GPU, no room has to be kept: tasks that share slow each other down.
        let spread = policy == Policy::Auto && self.workload.largest_milli < GPU_MILLI;
        let specs = || option.gpus.iter().filter_map(|device| seen.ledger.spec.gpu(*device));
        let memory: u64 = specs().fold(0, |sum, spec| sum.saturating_add(spec.memory.0));
        let left = fill.cpu as f64 / CPU_MAX + fill.gpu_free() as f64 / GPU_MAX;
        let numa = numa_nodes(specs());
        [
            score,
            if spread { free } else { -free },
            -numa,
            -(memory.min(1 << 62) as i64),
            -((left * 1e6) as i64),
        ]
    }

    fn look<'a>(&mut self, policy: Policy, ledger: &'a Ledger, node: NodeId) -> Option<Seen<'a>> {
        let books = ledger.node(node)?;
        let mut fill = self.fill(books);
        if policy == Policy::GpuClustering {
            for (_, held) in ledger.holdings().filter(|(_, held)| held.node == node) {
                if let Some(grant) = held.gpus.first() {
                    let shared = held.gpus.len() == 1 && !grant.exclusive;
                    fill.note_kind(if shared { 0 } else { held.gpus.len().min(31) as u32 });
                }
            }
        }
        let value = policy.value(&fill, &self.workload);
        Some(Seen { node, fill, value, ledger: books })
    }

    /// What a node has free.
    fn fill(&mut self, books: &NodeLedger) -> Fill {
        let mut gpus = Vec::with_capacity(books.gpus.len().min(GPUS_MAX));
        for (gpu, spec) in books.gpus.iter().zip(&books.spec.gpus) {
            if !spec.allocatable {
                continue;
            }
            let open = gpu.health == Health::Ok && gpu.held_elsewhere.is_none() && !gpu.exclusive;
            let share = 1000 - gpu.share_held;
            // A driver or a display that holds a little of a GPU does not make it less than whole.
            let little = gpu.memory_held == 0 && gpu.foreign.0 <= spec.memory.0 / 50;
            let memory = if little {
                1000
            } else {
                (i128::from(gpu.memory_free(spec)) * 1000 / i128::from(spec.memory.0.max(1))) as i64
            };
            let free = if open { share.min(memory).clamp(0, 1000) as u16 } else { 0 };
            gpus.push(Gpu { free, model: self.models.number(spec) });
        }
        Fill::new(books.cpus_free, books.memory_free, gpus)
    }

    /// What a request comes to on a GPU like this.
    fn shape(&self, request: &Request, spec: Option<&GpuSpec>) -> Shape {
        let (count, milli, fit) = match &request.gpu {
            GpuRequest::None => (0, 0, None),
            GpuRequest::Whole { count, fit, .. } => (*count, GPU_MILLI, Some(fit)),
            GpuRequest::Part { share, memory, fit } => {
                (1, share.0.max(part(spec, *memory)).clamp(1, 1000), Some(fit))
            }
        };
        Shape {
            cpu: i64::from(request.cpus.0),
            memory: request.memory.0.min(1 << 62) as i64,
            count,
            milli,
            models: fit.map_or(Models::ANY, |fit| self.models.fitting(fit)),
        }
    }

    fn learn(&mut self, ledger: &Ledger, request: &Request, variant: u8, options: &[Proposal]) {
        let option = options.iter().find(|option| option.variant == variant);
        let device = option.and_then(|option| option.gpus.first());
        let spec = device.and_then(|device| ledger.gpu(*device)).map(|(_, spec)| spec);
        let shape = self.shape(request, spec);
        if self.history.submit(shape) {
            let empty = ledger.nodes().map(|node| self.empty(node)).collect::<Vec<Fill>>();
            self.workload = self.history.workload(&Capacity::of(&empty));
        }
    }

    /// What a node has when nothing runs.
    fn empty(&mut self, books: &NodeLedger) -> Fill {
        let able = books.spec.gpus.iter().filter(|spec| spec.allocatable);
        let gpus = able.map(|spec| Gpu { free: GPU_MILLI, model: self.models.number(spec) }).collect();
        Fill::new(i64::from(books.spec.cpu.capacity.0), books.spec.memory.0.min(1 << 62) as i64, gpus)
    }
}

/// The variant that is expected to end first; where nothing is known of any, the first.
fn soonest(options: &[Proposal]) -> Option<u8> {
    let ends = |option: &&Proposal| option.seconds();
    options.iter().min_by(|a, b| ends(a).total_cmp(&ends(b))).map(|option| option.variant)
}

/// Where a device is in the node's [`Fill`].
fn position(books: &NodeLedger, device: DeviceId) -> Option<usize> {
    let at = usize::from(device.local).checked_sub(1)?;
    let before = books.spec.gpus.get(..at)?.iter().filter(|spec| spec.allocatable).count();
    (before < GPUS_MAX).then_some(before)
}

/// The thousandths of a GPU's memory that this is, rounded up.
fn part(spec: Option<&GpuSpec>, memory: Option<Bytes>) -> u16 {
    let (Some(spec), Some(memory)) = (spec, memory) else { return 0 };
    let milli = (u128::from(memory.0) * 1000).div_ceil(u128::from(spec.memory.0.max(1)));
    milli.min(1000) as u16
}

/// On how many NUMA nodes these GPUs are; those whose node is not known count as on one.
fn numa_nodes<'a>(specs: impl Iterator<Item = &'a GpuSpec>) -> i64 {
    let mut nodes: Vec<Option<u16>> = specs.map(|spec| spec.numa_node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes.len() as i64
}
