//! Snapshots to make pages from.

use dunnage_exporters::{BuildInfo, Exporter, ProcessInfo};
use dunnage_model::{
    Attempt, Basis, Bytes, DeviceId, DeviceRow, DeviceSample, EstimateSummary, GpuGrant, GraphId, GraphRow,
    GraphState, Health, MilliCores, MilliShare, NodeId, NodeSpec, Owner, PredictionRow, RunningRow, Snapshot,
    TaskCounts, Time, Totals,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// GPU `n` of this machine, counted from 0.
pub(crate) const fn gpu(n: u16) -> DeviceId {
    DeviceId { node: NodeId::LOCAL, local: n + 1 }
}

/// An attempt that holds these amounts of these GPUs.
pub(crate) fn running(
    graph: u64,
    index: u32,
    attempt: u32,
    function: &str,
    gpus: &[(DeviceId, Bytes)],
) -> RunningRow {
    let grant = |&(device, memory): &(DeviceId, Bytes)| GpuGrant {
        device,
        share: MilliShare(500),
        memory,
        exclusive: false,
    };
    RunningRow {
        attempt: GraphId(graph).task(index).attempt(Attempt(attempt)),
        function: function.into(),
        family: "train".into(),
        graph_name: "sweep".into(),
        strategy: "heft".into(),
        cpus: MilliCores::cores(2),
        memory: Bytes::gib(4),
        gpus: gpus.iter().map(grant).collect(),
        gpu_memory_used: Vec::new(),
        placed_at: Time(1_000_000),
        started_at: Some(Time(1_100_000)),
        predicted: None,
        basis: Basis::Declaration,
    }
}

/// A machine with two GPUs: the first shared by two tasks and fully seen, the second lost while a task
/// held it. One task's use is known to the driver, the others' is not.
pub(crate) fn two_gpus() -> Snapshot {
    let mut node = NodeSpec::new(16, Bytes::gib(64)).with_gpu("NVIDIA A10", Bytes::gib(24), (8, 6)).with_gpu(
        "NVIDIA A10",
        Bytes::gib(24),
        (8, 6),
    );
    node.gpus[1].compute_capability = None;
    node.gpus[1].numa_node = None;
    let host = DeviceId::host(node.id);
    let row = |device, health: Health| DeviceRow {
        device,
        health,
        cpus: MilliCores(0),
        memory: Bytes::ZERO,
        share: 0,
        holders: 0,
        foreign: Bytes::ZERO,
        sample: None,
    };
    let mut on_host = row(host, Health::Ok);
    on_host.cpus = MilliCores(4500);
    on_host.memory = Bytes::gib(12);
    on_host.holders = 3;
    let mut sample = DeviceSample::health(host, Health::Ok);
    sample.memory_used = Some(Bytes::gib(20));
    sample.busy = Some(0.375);
    on_host.sample = Some((Time(9_000_000), Arc::new(sample)));

    let mut first = row(gpu(0), Health::Ok);
    first.memory = Bytes::gib(16);
    first.share = 1000;
    first.holders = 2;
    first.foreign = Bytes::mib(256);
    let mut sample = DeviceSample::health(gpu(0), Health::Ok);
    sample.memory_used = Some(Bytes::gib(11));
    sample.busy = Some(0.92);
    sample.energy_joules = Some(123_456.789);
    sample.power_watts = Some(148.5);
    first.sample = Some((Time(9_500_000), Arc::new(sample)));

    let mut second = row(gpu(1), Health::Lost { why: "XID 79".to_owned() });
    second.memory = Bytes::gib(8);
    second.share = 500;
    second.holders = 1;
    let mut sample = DeviceSample::health(gpu(1), Health::Ok);
    sample.memory_used = Some(Bytes::gib(8));
    sample.temperature_celsius = Some(60.0);
    second.sample = Some((Time(4_000_000), Arc::new(sample)));

    let mut seen = running(7, 0, 1, "train-0.1-0", &[(gpu(0), Bytes::gib(8))]);
    seen.gpu_memory_used = vec![(gpu(0), Bytes::gib(6))];
    let graph = |id, state, tasks| {
        Arc::new(GraphRow {
            id: GraphId(id),
            name: "sweep".to_owned(),
            owner: Owner(1000),
            state,
            strategy: "heft".to_owned(),
            tasks,
            submitted_at: Time(0),
            started_at: None,
            ended_at: None,
            priority: 0,
        })
    };
    let open = TaskCounts {
        functions: 20,
        queued: 10,
        running: 3,
        succeeded: 6,
        failed: 1,
        ..TaskCounts::default()
    };
    let held = TaskCounts { functions: 5, queued: 5, ..TaskCounts::default() };
    Snapshot {
        at: Time(10_000_000),
        nodes: vec![Arc::new(node)],
        devices: vec![on_host, first, second],
        graphs: vec![graph(7, GraphState::Running, open), graph(8, GraphState::Held, held)],
        running: vec![
            seen,
            running(7, 1, 2, "say \"hi\" \\ there", &[(gpu(0), Bytes::gib(8))]),
            running(7, 2, 1, "train-0.1-2", &[(gpu(1), Bytes::gib(8))]),
            running(7, 3, 1, "no-gpu", &[]),
        ],
        totals: Totals {
            events: 420,
            placements: BTreeMap::from([("heft".to_owned(), 11), ("random".to_owned(), 2)]),
            ended: BTreeMap::from([("succeeded", 6), ("failed", 1)]),
            failures: BTreeMap::from([("out_of_memory", 2), ("user", 1)]),
            retries: BTreeMap::from([("out_of_memory", 2)]),
            late_results: 1,
            stale_plans: 2,
            refused_proposals: 0,
            quarantined_graphs: 0,
        },
        estimates: EstimateSummary {
            signatures: 3,
            predictions: vec![
                PredictionRow { basis: "history", ended: 10, near: 9, median_error: Some(0.0625) },
                PredictionRow { basis: "declaration", ended: 4, near: 1, median_error: None },
            ],
            explorations: 1,
            drifts: 2,
            memory_underestimates: 1,
            refused_samples: 0,
        },
        tasks: TaskCounts {
            functions: 25,
            queued: 15,
            running: 3,
            succeeded: 6,
            failed: 1,
            ..TaskCounts::default()
        },
    }
}

/// A process of which everything is known.
pub(crate) fn process() -> ProcessInfo {
    ProcessInfo {
        now: Some(Time(10_250_000)),
        start_time_seconds: Some(1_700_000_000.0),
        resident_memory_bytes: Some(12 << 20),
        cpu_seconds: Some(1.25),
        open_fds: Some(17),
    }
}

/// An exporter of a fixed version.
pub(crate) fn exporter() -> Exporter {
    Exporter::new(BuildInfo { version: "0.1.0".to_owned() })
}
