//! Memory that is really free: what is there, less what was reserved or is used by our tasks, whichever is
//! more for each, less what others use.
//!
//! A task that has just started uses little yet. Its reservation counts in full until its own use has
//! grown to it, so that nothing else is placed into memory that it will want in a moment; from then on its
//! use counts, also beyond the reservation. What others use is what is used in all less what our tasks were
//! seen to use, so a young task is neither taken for a stranger nor counted twice.
//!
//! RAM is not exclusive as the memory of a GPU is: much of what others use can be reclaimed or swapped. So
//! others are never waited for without end: where nothing of ours has run for [`PATIENCE`], a declaration that
//! fits the machine starts although it does not fit beside them. What was learned, or has grown after
//! out-of-memory, is cut to what they leave.
//!
//! Cost of a look: linear in the attempts that were seen. Nothing in here is journalled: after a restart it
//! is seen again.

use super::{GpuLedger, Ledger, NodeLedger};
use dunnage_model::{AttemptId, Bytes, DeviceId, GpuFit, GpuSpec, Health, Request, Span, Time};
use std::collections::BTreeMap;

/// What is used beyond reservations, by device and attempt.
pub(super) type Beyond = BTreeMap<(DeviceId, AttemptId), i64>;

/// Smaller changes of what others use of a node's RAM are no reason to look at everything again.
const STEP: u64 = 64 << 20;

/// How long others are waited for where nothing of ours runs.
const PATIENCE: Span = Span::secs(60);

impl NodeLedger {
    /// Notes at a sample whether nothing of ours has run for long. Returns whether that lets something start.
    pub(super) fn note_alone(&mut self, at: Time) -> bool {
        if self.holders > 0 {
            return false;
        }
        let since = *self.alone_since.get_or_insert(at);
        let over = at.since(since) >= PATIENCE;
        over && !std::mem::replace(&mut self.overlooks_others, over)
    }

    /// Something of ours runs, or did.
    pub(super) const fn note_not_alone(&mut self) {
        self.alone_since = None;
        self.overlooks_others = false;
    }

    /// Bytes of RAM that nobody holds or uses, ours or not.
    pub fn memory_really_free(&self) -> i64 {
        self.memory_free - self.memory_beyond - self.foreign.0 as i64
    }

    /// The most RAM that could be free if nothing of ours ran.
    pub(crate) fn memory_when_idle(&self) -> Bytes {
        self.spec.memory.saturating_sub(self.foreign)
    }

    /// The most memory of one GPU that would do, if nothing of ours ran; none where no GPU would do.
    pub(crate) fn gpu_memory_when_idle(&self, fit: &GpuFit) -> Option<Bytes> {
        self.able_gpus(fit).map(|(gpu, spec)| spec.memory.saturating_sub(gpu.foreign)).max()
    }

    /// GPUs that are well and of the kind that is asked for.
    pub(crate) fn able_gpus(&self, fit: &GpuFit) -> impl Iterator<Item = (&GpuLedger, &GpuSpec)> {
        let all = self.gpus.iter().zip(&self.spec.gpus);
        all.filter(move |(gpu, spec)| {
            spec.allocatable && gpu.health == Health::Ok && super::fits(spec, fit).is_ok()
        })
    }

    /// Whether RAM is what a request waits for.
    pub(crate) fn lacks_memory(&self, request: &Request) -> bool {
        request.memory > Bytes::ZERO
            && request.memory <= self.spec.memory
            && i64::try_from(request.memory.0).is_ok_and(|wanted| wanted > self.memory_really_free())
            && !(self.overlooks_others && self.holders == 0)
    }

    /// Whether a request will not fit as long as others use what they use, though it fits the machine.
    pub(crate) fn is_beyond_others(&self, request: &Request) -> bool {
        request.memory <= self.spec.memory && request.memory > self.memory_when_idle()
    }

    /// Whether a request would fit if it asked for no RAM.
    pub(crate) fn only_lacks_memory(&self, request: &Request) -> bool {
        self.check(&Request { memory: Bytes::ZERO, ..request.clone() }).is_ok()
    }

    /// `12 GiB free of 24 GiB (9 GiB used by processes that are not ours)`.
    pub(crate) fn memory_in_words(&self) -> String {
        let free = Bytes(self.memory_really_free().max(0) as u64);
        let mut words = format!("{free} free of {}", self.spec.memory);
        if self.foreign > Bytes::ZERO {
            words += &format!(" ({} used by processes that are not ours)", self.foreign);
        }
        words
    }
}

impl GpuLedger {
    /// Bytes that our tasks hold, or use where that is more.
    pub const fn memory_ours(&self) -> i64 {
        self.memory_held + self.memory_beyond
    }
}

impl Ledger {
    /// Notes what attempts were seen to use of a device: all of them that were seen, none left out.
    pub(crate) fn note_use(&mut self, device: DeviceId, seen: &[(AttemptId, Bytes)]) {
        let mut changed = false;
        let every = (device, FIRST_ATTEMPT)..=(device, LAST_ATTEMPT);
        let before: Vec<(DeviceId, AttemptId)> = self.beyond.range(every).map(|(key, _)| *key).collect();
        for key in before {
            changed |= self.beyond.remove(&key).is_some();
        }
        for (attempt, used) in seen {
            let Some(holding) = self.holdings.get(attempt) else { continue };
            let held = if device.is_host() {
                if holding.node != device.node {
                    continue;
                }
                holding.memory
            } else {
                let Some(grant) = holding.gpus.iter().find(|grant| grant.device == device) else { continue };
                grant.memory
            };
            let beyond = used.saturating_sub(held).0.min(i64::MAX as u64 >> 8) as i64;
            if beyond > 0 {
                self.beyond.insert((device, *attempt), beyond);
                changed = true;
            }
        }
        if changed {
            self.sum_beyond(device);
            self.generation += 1;
        }
    }

    /// Forgets what was seen of an attempt that holds nothing any more.
    pub(super) fn forget_use(&mut self, attempt: AttemptId, devices: impl Iterator<Item = DeviceId>) {
        if self.beyond.is_empty() {
            return;
        }
        for device in devices {
            if self.beyond.remove(&(device, attempt)).is_some() {
                self.sum_beyond(device);
            }
        }
    }

    /// Forgets what was seen on a node whose devices may have got other numbers.
    pub(super) fn forget_node_use(&mut self, node: dunnage_model::NodeId) {
        self.beyond.retain(|(device, _), _| device.node != node);
    }

    fn sum_beyond(&mut self, device: DeviceId) {
        let sum = self.beyond_of(device);
        let Some(node) = self.nodes.get_mut(&device.node) else { return };
        if device.is_host() {
            node.memory_beyond = sum;
        } else if let Some(gpu) = node.gpus.iter_mut().find(|gpu| gpu.device == device) {
            gpu.memory_beyond = sum;
        }
    }

    pub(super) fn beyond_of(&self, device: DeviceId) -> i64 {
        self.beyond.range((device, FIRST_ATTEMPT)..=(device, LAST_ATTEMPT)).map(|(_, bytes)| *bytes).sum()
    }

    /// Notes what others use of a node's RAM. Returns whether that has changed by more than a little.
    pub(super) fn note_host_foreign(node: &mut NodeLedger, foreign: Bytes) -> bool {
        let foreign = foreign.min(node.spec.memory);
        let moved = foreign.0.abs_diff(node.foreign.0) >= STEP
            || (foreign == Bytes::ZERO) != (node.foreign == Bytes::ZERO);
        if moved {
            node.foreign = foreign;
        }
        moved
    }
}

const FIRST_ATTEMPT: AttemptId = dunnage_model::GraphId(0).task(0).attempt(dunnage_model::Attempt(0));
const LAST_ATTEMPT: AttemptId =
    dunnage_model::GraphId(u64::MAX).task(u32::MAX).attempt(dunnage_model::Attempt(u32::MAX));
