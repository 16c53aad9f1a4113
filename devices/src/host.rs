//! The machine itself: cores this process may run on, NUMA nodes, RAM, and how busy they are.
//!
//! What may be handed out is the least of what the machine has, what this process's affinity allows
//! and what its control groups allow: inside a container or a batch job the machine's own numbers
//! would over-commit.

mod cgroup;
mod cpus;

use crate::source::{DeviceSource, SourceError};
pub(crate) use cgroup::Groups;
use cpus::CpuTimes;
pub(crate) use cpus::{numa_node_of, parse_cpu_list};
use dunnage_model::{Bytes, CpuSpec, DeviceId, DeviceSample, Health, MilliCores, NodeId, NodeSpec};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// The source that knows cores and RAM and no GPU.
#[derive(Debug)]
pub struct HostSource {
    custom: BTreeMap<String, u64>,
    groups: Groups,
    system: Option<System>,
    allowed: BTreeSet<u32>,
    before: Option<CpuTimes>,
}

impl HostSource {
    /// A source for this machine, with the resources its owner declared.
    pub fn new(custom: BTreeMap<String, u64>) -> Self {
        let kinds = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
        Self {
            custom,
            groups: Groups::of_this_process(),
            system: System::new_with_specifics(kinds).ok(),
            allowed: cpus::allowed(),
            // The first sample would otherwise have nothing to compare with.
            before: CpuTimes::read(&cpus::allowed()),
        }
    }

    /// The cores of each NUMA node that this process may run on.
    pub(crate) fn numa_nodes(&self) -> Vec<Vec<u32>> {
        cpus::numa_nodes(Path::new("/sys/devices/system/node"), &self.allowed)
    }

    /// All RAM of the machine, whatever of it we may use.
    pub(crate) fn total_memory(&self) -> Bytes {
        Bytes(self.system.as_ref().map_or(0, System::total_memory))
    }

    /// How cores and RAM are.
    pub(crate) fn host_sample(&mut self) -> DeviceSample {
        let now = CpuTimes::read(&self.allowed);
        let busy = now.as_ref().zip(self.before.as_ref()).and_then(|(now, before)| now.busy_since(before));
        // Two samples within one tick of the kernel's clock tell nothing: keep the older one.
        if busy.is_some() || self.before.is_none() {
            self.before = now;
        }
        DeviceSample {
            memory_used: self.memory_used(),
            busy,
            ..DeviceSample::health(DeviceId::host(NodeId::LOCAL), Health::Ok)
        }
    }

    fn memory_used(&mut self) -> Option<Bytes> {
        let system = self.system.as_mut()?;
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let (total, available) = (Bytes(system.total_memory()), Bytes(system.available_memory()));
        let Some(limit) = self.groups.memory_limit(total) else {
            return Some(total.saturating_sub(available));
        };
        // The group's own limit may leave more than the machine still has.
        let left = limit.saturating_sub(self.groups.memory_used().unwrap_or_default()).min(available);
        Some(limit.saturating_sub(left))
    }
}

impl DeviceSource for HostSource {
    fn inventory(&mut self) -> Result<NodeSpec, SourceError> {
        if self.allowed.is_empty() {
            let why = "sched_getaffinity and /proc/cpuinfo name none".to_owned();
            return Err(SourceError::Host { what: "cores", why });
        }
        let numa_nodes = self.numa_nodes();
        let system = self.system.as_mut().ok_or_else(|| SourceError::Host {
            what: "memory",
            why: "/proc/meminfo cannot be read".to_owned(),
        })?;
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        system.refresh_cpu_list(CpuRefreshKind::nothing());
        let total = Bytes(system.total_memory());
        if total == Bytes::ZERO {
            return Err(SourceError::Host { what: "memory", why: "/proc/meminfo tells none".to_owned() });
        }
        let brand = system.cpus().first().map_or("", |cpu| cpu.brand()).trim();
        let model = if brand.is_empty() { "unknown" } else { brand }.to_owned();
        let cores = MilliCores::cores(self.allowed.len() as u32);
        Ok(NodeSpec {
            id: NodeId::LOCAL,
            name: name(),
            cpu: CpuSpec {
                capacity: self.groups.cpu_limit().map_or(cores, |limit| limit.min(cores)),
                model,
                numa_nodes,
            },
            memory: self.groups.memory_limit(total).unwrap_or(total),
            gpus: Vec::new(),
            custom: self.custom.clone(),
            tariff: dunnage_model::Tariff::default(),
        })
    }

    fn sample(&mut self) -> Vec<DeviceSample> {
        vec![self.host_sample()]
    }
}

/// The machine's name.
pub(crate) fn name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "local".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_cores_and_memory() {
        let node = HostSource::new(BTreeMap::new()).inventory().expect("a Linux machine");
        assert!(node.cpu.capacity > MilliCores(0));
        assert!(node.memory > Bytes::mib(1));
        let listed: usize = node.cpu.numa_nodes.iter().map(Vec::len).sum();
        assert!(listed as u32 * 1000 >= node.cpu.capacity.0, "no more than the cores that are listed");
    }

    #[test]
    fn a_sample_stays_within_the_inventory() {
        let mut source = HostSource::new(BTreeMap::new());
        let node = source.inventory().expect("a Linux machine");
        let sample = source.host_sample();
        assert!(sample.memory_used.is_some_and(|used| used <= node.memory));
        assert!(sample.busy.is_none_or(|busy| (0.0..=1.0).contains(&busy)));
    }
}
