//! GPUs that are shared with other schedulers of this machine: a lock a device, so that a local run beside
//! a daemon, or beside another run, never over-commits one.

use dunnage_core::Scheduler;
use dunnage_exec::gpu_lock::{GpuLock, GpuLockError, shared_folder};
use dunnage_model::{DeviceId, GpuRequest, Graph};
use std::collections::BTreeMap;

/// The locks of this process.
#[derive(Debug, Default)]
pub(crate) struct DeviceLocks {
    /// Made-up devices need none.
    enabled: bool,
    /// Whether anything here asks for a GPU.
    wanted: bool,
    held: BTreeMap<DeviceId, GpuLock>,
    /// Whether some are held by others.
    incomplete: bool,
    /// Said once.
    unusable: bool,
}

impl DeviceLocks {
    pub(crate) fn new(enabled: bool) -> Self {
        Self { enabled, ..Self::default() }
    }

    /// A graph that may need GPUs was accepted.
    pub(crate) fn want(&mut self, graph: &Graph) {
        self.wanted |= graph.requests().iter().any(|request| request.gpu != GpuRequest::None);
    }

    /// Tries to take what is not ours yet, and tells the scheduler what it may use.
    pub(crate) fn keep(&mut self, core: &mut Scheduler) {
        if !self.enabled || !self.wanted {
            return;
        }
        let missing: Vec<(DeviceId, String)> = core
            .ledger()
            .nodes()
            .flat_map(|node| &node.spec.gpus)
            .filter(|gpu| gpu.allocatable && !self.held.contains_key(&gpu.device))
            .map(|gpu| (gpu.device, gpu.uuid.clone()))
            .collect();
        self.incomplete = false;
        for (device, uuid) in missing {
            match GpuLock::try_take(&shared_folder(), &uuid) {
                Ok(lock) => {
                    self.held.insert(device, lock);
                    core.set_held_elsewhere(device, None);
                }
                Err(error @ GpuLockError::Held { .. }) => {
                    self.incomplete = true;
                    core.set_held_elsewhere(device, Some(error.to_string()));
                }
                Err(error @ GpuLockError::Io { .. }) => {
                    // Without locks we are no worse off than programs that know nothing of them.
                    if !self.unusable {
                        eprintln!("dunnage: GPUs are used without locks: {error}");
                        self.unusable = true;
                    }
                }
            }
        }
    }

    /// Gives back what nothing of ours runs on: where others hold the rest, so that two schedulers that
    /// each hold half of what they need do not wait for each other for ever; and where nothing here wants a
    /// GPU any more.
    pub(crate) fn give_back(&mut self, core: &mut Scheduler) {
        if !self.enabled || self.held.is_empty() {
            return;
        }
        let wanted = core.graphs().any(|run| {
            run.ended.is_none() && run.graph.requests().iter().any(|request| request.gpu != GpuRequest::None)
        });
        if wanted && !self.incomplete {
            return;
        }
        self.wanted = wanted;
        let idle: Vec<DeviceId> = self
            .held
            .keys()
            .copied()
            .filter(|device| core.ledger().gpu(*device).is_none_or(|(gpu, _)| gpu.holders == 0))
            .collect();
        for device in idle {
            self.held.remove(&device);
            core.set_held_elsewhere(device, Some("others may use it until a task here can start".to_owned()));
        }
    }
}
