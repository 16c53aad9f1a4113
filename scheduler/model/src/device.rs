//! What a machine has, and what is seen of it while it works.
//!
//! An inventory ([`NodeSpec`]) is taken once and again after a device came or went; a [`DeviceSample`]
//! is taken every second or so. What a driver does not tell is `None`, never 0.

use crate::{Bytes, DeviceId, MilliCores, NodeId, Tariff};
use std::collections::BTreeMap;

/// A machine: its cores, its RAM, its GPUs and the resources that its owner declared.
#[derive(Clone, PartialEq, Debug)]
pub struct NodeSpec {
    /// Its number.
    pub id: NodeId,
    /// Its host name.
    pub name: String,
    /// Its cores.
    pub cpu: CpuSpec,
    /// Its RAM.
    pub memory: Bytes,
    /// GPUs and MIG instances, `device.local` counted from 1 in this order.
    pub gpus: Vec<GpuSpec>,
    /// Named resources of the configuration, `licence = 3`.
    pub custom: BTreeMap<String, u64>,
    /// What using it costs, by the configuration.
    pub tariff: Tariff,
}

/// The cores of a node.
#[derive(Clone, PartialEq, Debug)]
pub struct CpuSpec {
    /// How much may be handed out; the cores this process may run on.
    pub capacity: MilliCores,
    /// As the vendor calls it.
    pub model: String,
    /// The cores of each NUMA node, by their numbers; one entry on an ordinary machine.
    pub numa_nodes: Vec<Vec<u32>>,
}

/// A GPU, or a MIG instance of one.
#[derive(Clone, PartialEq, Debug)]
pub struct GpuSpec {
    /// Its id in the ledger.
    pub device: DeviceId,
    /// `GPU-...` or `MIG-...`, the name that confinement uses.
    pub uuid: String,
    /// As the vendor calls it.
    pub name: String,
    /// All of its memory.
    pub memory: Bytes,
    /// `00000000:65:00.0`.
    pub pci_bus_id: String,
    /// Major and minor, where the driver tells.
    pub compute_capability: Option<(u16, u16)>,
    /// The NUMA node it hangs on.
    pub numa_node: Option<u16>,
    /// The cores near it, where the driver tells.
    pub near_cpus: Vec<u32>,
    /// The index the driver gives it; not stable across boots.
    pub driver_index: u32,
    /// For a MIG instance: the GPU it is cut from.
    pub mig_parent: Option<String>,
    /// Whether work may be placed on it; not on a GPU that is cut into MIG instances.
    pub allocatable: bool,
}

/// How a device is. Only [`Health::Ok`] takes new work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Health {
    /// It answers and reports no fault.
    Ok,
    /// It does not answer in time; nothing is known of it for now.
    Unknown {
        /// What was tried.
        why: String,
    },
    /// It is gone or faulty: fallen off the bus, a fatal XID, double-bit ECC errors.
    Lost {
        /// What was seen.
        why: String,
    },
    /// Its owner took it out of service.
    Drained,
}

impl Health {
    /// One word for it: `ok`, `unknown`, `lost`, `drained`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown { .. } => "unknown",
            Self::Lost { .. } => "lost",
            Self::Drained => "drained",
        }
    }
}

/// What was seen of a device at one moment.
#[derive(Clone, PartialEq, Debug)]
pub struct DeviceSample {
    /// The device.
    pub device: DeviceId,
    /// How it is.
    pub health: Health,
    /// Memory in use by anybody; on the host, RAM that is not available.
    pub memory_used: Option<Bytes>,
    /// Share of the time in which a kernel ran, or in which cores were busy, 0 to 1.
    pub busy: Option<f64>,
    /// Share of the time in which the memory controller was busy, 0 to 1.
    pub memory_busy: Option<f64>,
    /// Joules since the driver was loaded.
    pub energy_joules: Option<f64>,
    /// Watts at this moment.
    pub power_watts: Option<f64>,
    /// Degrees Celsius.
    pub temperature_celsius: Option<f64>,
    /// Who uses it, where the driver tells.
    pub processes: Vec<ProcessUse>,
}

/// What one process uses of a GPU.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ProcessUse {
    /// Its process id.
    pub pid: u32,
    /// Its memory there.
    pub memory: Option<Bytes>,
    /// Its share of the multiprocessors, 0 to 1.
    pub sm_share: Option<f64>,
}

impl NodeSpec {
    /// A machine of this many cores and this much memory, without GPUs: what tests start from.
    pub fn new(cores: u32, memory: Bytes) -> Self {
        Self {
            id: NodeId::LOCAL,
            name: "local".to_owned(),
            cpu: CpuSpec {
                capacity: MilliCores::cores(cores),
                model: "unknown".to_owned(),
                numa_nodes: vec![(0..cores).collect()],
            },
            memory,
            gpus: Vec::new(),
            custom: BTreeMap::new(),
            tariff: Tariff::default(),
        }
    }

    /// The class of a device: what its GPU's vendor, or that of the cores, calls it. Times are remembered
    /// by class, since they are alike on devices of one class.
    pub fn class(&self, device: DeviceId) -> &str {
        self.gpu(device).map_or(self.cpu.model.as_str(), |gpu| gpu.name.as_str())
    }

    /// Adds a GPU with this name and this much memory.
    #[must_use]
    pub fn with_gpu(mut self, name: &str, memory: Bytes, compute_capability: (u16, u16)) -> Self {
        let local = self.gpus.len() as u16 + 1;
        self.gpus.push(GpuSpec {
            device: DeviceId { node: self.id, local },
            uuid: format!("GPU-00000000-0000-0000-0000-{local:012}"),
            name: name.to_owned(),
            memory,
            pci_bus_id: format!("00000000:{local:02X}:00.0"),
            compute_capability: Some(compute_capability),
            numa_node: Some(0),
            near_cpus: Vec::new(),
            driver_index: u32::from(local - 1),
            mig_parent: None,
            allocatable: true,
        });
        self
    }

    /// The GPU with this id.
    pub fn gpu(&self, device: DeviceId) -> Option<&GpuSpec> {
        if device.node != self.id || device.is_host() {
            return None;
        }
        self.gpus.get(usize::from(device.local) - 1)
    }
}

impl DeviceSample {
    /// A sample that says no more than how the device is.
    pub const fn health(device: DeviceId, health: Health) -> Self {
        Self {
            device,
            health,
            memory_used: None,
            busy: None,
            memory_busy: None,
            energy_joules: None,
            power_watts: None,
            temperature_celsius: None,
            processes: Vec::new(),
        }
    }
}
