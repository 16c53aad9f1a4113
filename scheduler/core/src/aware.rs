//! The order `resource-aware`: a task starts where room for it is really free, and not only by our books.
//!
//! The books know what we gave away; the last sample of a device knows what is in use by anybody. Such a task
//! starts only where both have room: cores that nobody keeps busy, RAM that is available, a GPU that is idle
//! by as much as is asked of it. What was placed after a sample is not in it yet and is counted by what it
//! holds. A sample that is old, or that the device does not give, says nothing, and the books decide alone.
//!
//! A machine that others never let be would make it wait for ever, so where nothing of ours runs it waits for
//! [`PATIENCE`] at most, and beside others of ours no longer than the guard of the queue allows, see `policy.rs`.

use crate::ledger::NodeLedger;
use crate::run::GraphRun;
use crate::scheduler::Scheduler;
use crate::strategy::Proposal;
use dunnage_model::{DeviceId, GpuRequest, GraphId, Order, Request, Span, TaskState, Time};

/// A sample older than this says nothing.
const STALE: Span = Span::secs(30);

/// How long it waits for others on a machine where nothing of ours runs.
const PATIENCE: Span = Span::secs(60);

/// What may be in use of a GPU that is asked for as a whole: a desktop draws its windows.
const IDLE: f64 = 0.1;

/// By how much a core may be busier than it should: ticks are coarse.
const SLACK: f64 = 0.05;

/// Whether a graph asks for this.
pub(crate) fn is_aware(run: &GraphRun) -> bool {
    run.graph.settings.order == Order::ResourceAware
}

impl Scheduler {
    /// Keeps of the ways to place a task those with room that is really free.
    pub(crate) fn really_free(&self, graph: GraphId, task: u32, options: &mut Vec<Proposal>) {
        let Some(run) = self.graphs.get(&graph).filter(|run| is_aware(run)) else { return };
        let waited = self.now.since(run.waits_since(task));
        // Who starves takes what the books give.
        if self.policy.guard.is_some_and(|guard| waited > self.load.bound(guard, self.now)) {
            return;
        }
        options.retain(|option| {
            let Some(node) = self.ledger.node(option.node) else { return false };
            if node.holders == 0 && waited >= PATIENCE {
                return true;
            }
            let request = self.request_on(run, task, option.variant, option.node);
            self.host_is_free(node, &request)
                && option.gpus.iter().all(|gpu| self.gpu_is_free(*gpu, &request.gpu))
        });
    }

    fn host_is_free(&self, node: &NodeLedger, request: &Request) -> bool {
        let Some((at, sample)) = node.sample.as_ref().filter(|(at, _)| self.now.since(*at) <= STALE) else {
            return true;
        };
        let unseen = self.placed_after(*at, DeviceId::host(node.spec.id));
        let cores = f64::from(node.spec.cpu.capacity.0);
        let has_cores = sample.busy.is_none_or(|busy| {
            let free = cores * (1.0 - busy + SLACK) - unseen.0;
            f64::from(request.cpus.0) <= free.max(0.0) || request.cpus.0 == 0
        });
        let has_memory = sample.memory_used.is_none_or(|used| {
            let free = node.spec.memory.0 as f64 - used.0 as f64 - unseen.1;
            request.memory.0 as f64 <= free || request.memory.0 == 0
        });
        has_cores && has_memory
    }

    fn gpu_is_free(&self, device: DeviceId, request: &GpuRequest) -> bool {
        let Some((gpu, _)) = self.ledger.gpu(device) else { return false };
        let Some((at, sample)) = gpu.sample.as_ref().filter(|(at, _)| self.now.since(*at) <= STALE) else {
            return true;
        };
        let Some(busy) = sample.busy else { return true };
        match request {
            GpuRequest::None => true,
            GpuRequest::Whole { .. } => busy <= IDLE,
            GpuRequest::Part { share, .. } => {
                let unseen = self.placed_after(*at, device).2;
                f64::from(share.0) / 1000.0 <= 1.0 - busy + SLACK - unseen
            }
        }
    }

    /// What was placed on a device after its sample: thousandths of cores, bytes of RAM, share of the GPU.
    fn placed_after(&self, at: Time, device: DeviceId) -> (f64, f64, f64) {
        let mut sum = (0.0, 0.0, 0.0);
        for (attempt, held) in self.ledger.holdings() {
            let slot = self
                .graphs
                .get(&attempt.task.graph)
                .and_then(|run| run.slots.get(attempt.task.index as usize));
            let is_unseen = slot.is_some_and(
                |slot| matches!(&slot.state, TaskState::Running(running) if running.placed_at >= at),
            );
            if !is_unseen || held.node != device.node {
                continue;
            }
            sum.0 += f64::from(held.cpus.0);
            sum.1 += held.memory.0 as f64;
            let grants = held.gpus.iter().filter(|grant| grant.device == device);
            sum.2 += grants.map(|grant| f64::from(grant.share.0) / 1000.0).sum::<f64>();
        }
        sum
    }
}
