//! What an attempt is told about the devices it was given: environment variables and nearby cores.
//!
//! The variables are advice that every library obeys; the enforcement (control groups, affinity) is
//! the engine's.

use dunnage_model::{DeviceId, GpuSpec, MilliCores, NodeSpec};
use std::collections::BTreeSet;

/// How GPUs are named in `CUDA_VISIBLE_DEVICES`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum GpuEnv {
    /// By UUID: right whatever the order in which driver and CUDA count.
    #[default]
    Uuid,
    /// By the driver's index, for programs that parse numbers. MIG instances have none and keep
    /// their UUIDs.
    Index,
}

/// Variables by which thread pools size themselves. Without them every task on a machine starts as
/// many threads as the machine has cores.
const THREAD_COUNTS: &[&str] = &[
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "JULIA_NUM_THREADS",
    "GOMAXPROCS",
];

/// The variables of an attempt that was given these GPUs and cores of this node.
///
/// A GPU that the node does not have is left out: an unknown entry in `CUDA_VISIBLE_DEVICES` would
/// hide all entries behind it.
pub fn environment(
    node: &NodeSpec,
    gpus: &[DeviceId],
    cpu: MilliCores,
    gpu_env: GpuEnv,
) -> Vec<(String, String)> {
    let mut granted: Vec<&GpuSpec> = gpus.iter().filter_map(|device| node.gpu(*device)).collect();
    granted.sort_by_key(|gpu| gpu.device);
    granted.dedup_by_key(|gpu| gpu.device);
    let uuids = granted.iter().map(|gpu| gpu.uuid.clone()).collect::<Vec<_>>().join(",");
    let visible = match gpu_env {
        GpuEnv::Uuid => uuids.clone(),
        GpuEnv::Index => granted
            .iter()
            .map(|gpu| if gpu.mig_parent.is_some() { gpu.uuid.clone() } else { gpu.driver_index.to_string() })
            .collect::<Vec<_>>()
            .join(","),
    };
    // Read by the container runtime alone; `void` makes it inject nothing.
    let container = if uuids.is_empty() { "void".to_owned() } else { uuids };
    let mut variables = vec![
        // CUDA counts the fastest card first unless told otherwise; the driver counts by bus.
        ("CUDA_DEVICE_ORDER".to_owned(), "PCI_BUS_ID".to_owned()),
        ("CUDA_VISIBLE_DEVICES".to_owned(), visible),
        ("NVIDIA_VISIBLE_DEVICES".to_owned(), container),
    ];
    let threads = cpu.threads().to_string();
    variables.extend(THREAD_COUNTS.iter().map(|name| ((*name).to_owned(), threads.clone())));
    variables
}

/// The cores on which an attempt with these GPUs should run: those near the GPUs. `None` where there
/// is no reason to restrict it: no GPU, nothing known, all cores near, or fewer cores near than it
/// was given.
pub fn cpus_near(node: &NodeSpec, gpus: &[DeviceId], cpu: MilliCores) -> Option<Vec<u32>> {
    let all: BTreeSet<u32> = node.cpu.numa_nodes.iter().flatten().copied().collect();
    let mut near = BTreeSet::new();
    for gpu in gpus.iter().filter_map(|device| node.gpu(*device)) {
        let numa = gpu.numa_node.and_then(|numa| node.cpu.numa_nodes.get(usize::from(numa)));
        let cores = if gpu.near_cpus.is_empty() { numa? } else { &gpu.near_cpus };
        near.extend(cores.iter().copied().filter(|core| all.contains(core)));
    }
    let enough = near.len() as u64 * 1000 >= u64::from(cpu.0);
    (!near.is_empty() && enough && near != all).then(|| near.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunnage_model::{Bytes, NodeId};

    fn node() -> NodeSpec {
        let mut node = NodeSpec::new(8, Bytes::gib(32)).with_gpu("a", Bytes::gib(24), (8, 6)).with_gpu(
            "b",
            Bytes::gib(24),
            (8, 6),
        );
        node.cpu.numa_nodes = vec![vec![0, 1, 2, 3], vec![4, 5, 6, 7]];
        node.gpus[1].numa_node = Some(1);
        node.gpus[0].uuid = "GPU-a".to_owned();
        node.gpus[1].uuid = "GPU-b".to_owned();
        node
    }

    const fn gpu(local: u16) -> DeviceId {
        DeviceId { node: NodeId::LOCAL, local }
    }

    fn value(node: &NodeSpec, gpus: &[DeviceId], cpu: u32, how: GpuEnv, name: &str) -> String {
        let variables = environment(node, gpus, MilliCores(cpu), how);
        let found: Vec<_> = variables.iter().filter(|(key, _)| key == name).collect();
        assert_eq!(found.len(), 1, "{name} once");
        found[0].1.clone()
    }

    #[test]
    fn gpus_are_named_by_uuid_in_order_and_once() {
        let gpus = [gpu(2), gpu(1), gpu(2)];
        assert_eq!(value(&node(), &gpus, 1000, GpuEnv::Uuid, "CUDA_VISIBLE_DEVICES"), "GPU-a,GPU-b");
        assert_eq!(value(&node(), &gpus, 1000, GpuEnv::Uuid, "NVIDIA_VISIBLE_DEVICES"), "GPU-a,GPU-b");
        assert_eq!(value(&node(), &gpus, 1000, GpuEnv::Uuid, "CUDA_DEVICE_ORDER"), "PCI_BUS_ID");
    }

    #[test]
    fn a_task_without_a_gpu_sees_none() {
        assert_eq!(value(&node(), &[], 1000, GpuEnv::Uuid, "CUDA_VISIBLE_DEVICES"), "");
        assert_eq!(value(&node(), &[], 1000, GpuEnv::Uuid, "NVIDIA_VISIBLE_DEVICES"), "void");
        let host = [DeviceId::host(NodeId::LOCAL)];
        assert_eq!(value(&node(), &host, 1000, GpuEnv::Uuid, "CUDA_VISIBLE_DEVICES"), "");
    }

    #[test]
    fn an_unknown_gpu_does_not_hide_the_others() {
        assert_eq!(value(&node(), &[gpu(9), gpu(2)], 1000, GpuEnv::Uuid, "CUDA_VISIBLE_DEVICES"), "GPU-b");
    }

    #[test]
    fn indices_are_given_on_request_but_not_for_mig() {
        let mut node = node();
        assert_eq!(value(&node, &[gpu(1), gpu(2)], 1000, GpuEnv::Index, "CUDA_VISIBLE_DEVICES"), "0,1");
        node.gpus[1].mig_parent = Some("GPU-a".to_owned());
        node.gpus[1].uuid = "MIG-1".to_owned();
        assert_eq!(value(&node, &[gpu(2)], 1000, GpuEnv::Index, "CUDA_VISIBLE_DEVICES"), "MIG-1");
    }

    #[test]
    fn thread_pools_get_whole_threads_and_at_least_one() {
        assert_eq!(value(&node(), &[], 4000, GpuEnv::Uuid, "OMP_NUM_THREADS"), "4");
        assert_eq!(value(&node(), &[], 2500, GpuEnv::Uuid, "RAYON_NUM_THREADS"), "2");
        assert_eq!(value(&node(), &[], 0, GpuEnv::Uuid, "MKL_NUM_THREADS"), "1");
    }

    #[test]
    fn cores_near_the_gpus() {
        assert_eq!(cpus_near(&node(), &[gpu(2)], MilliCores::cores(2)), Some(vec![4, 5, 6, 7]));
        assert_eq!(cpus_near(&node(), &[gpu(1), gpu(2)], MilliCores::cores(2)), None, "all cores are near");
        assert_eq!(cpus_near(&node(), &[], MilliCores::cores(2)), None, "no GPU");
        assert_eq!(cpus_near(&node(), &[gpu(2)], MilliCores::cores(5)), None, "too few near");
        let mut node = node();
        node.gpus[0].near_cpus = vec![1, 2, 99];
        assert_eq!(
            cpus_near(&node, &[gpu(1)], MilliCores(500)),
            Some(vec![1, 2]),
            "only cores we may run on"
        );
        node.gpus[0].near_cpus.clear();
        node.gpus[0].numa_node = None;
        assert_eq!(cpus_near(&node, &[gpu(1)], MilliCores(500)), None, "nothing known");
    }
}
