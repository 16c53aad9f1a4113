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
    /// Whether anything here has asked for a GPU yet; a daemon takes them from the start.
    wanted: bool,
    held: BTreeMap<DeviceId, GpuLock>,
    /// Said once.
    unusable: bool,
}

impl DeviceLocks {
    pub(crate) fn new(enabled: bool, from_the_start: bool) -> Self {
        Self { enabled, wanted: from_the_start, ..Self::default() }
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
        for (device, uuid) in missing {
            match GpuLock::try_take(&shared_folder(), &uuid) {
                Ok(lock) => {
                    self.held.insert(device, lock);
                    core.set_held_elsewhere(device, None);
                }
                Err(error @ GpuLockError::Held { .. }) => {
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
}
