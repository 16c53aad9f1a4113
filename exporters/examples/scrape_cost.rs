//! What a page costs: 8 GPUs with 200 running tasks, and with 2,000.
//!
//! ```text
//! cargo run --release -p dunnage-exporters --example scrape_cost
//! ```

use dunnage_exporters::{BuildInfo, Exporter, ProcessInfo};
use dunnage_model::{
    Attempt, Basis, Bytes, DeviceId, DeviceRow, DeviceSample, GpuGrant, GraphId, Health, MilliCores,
    MilliShare, NodeId, NodeSpec, RunningRow, Snapshot, Time,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

const GPUS: u16 = 8;
const PAGES: usize = 200;

fn main() {
    let exporter = Exporter::new(BuildInfo { version: "0.1.0".to_owned() });
    for tasks in [200, 2000] {
        let snapshot = snapshot(tasks);
        let mut times: Vec<Duration> = Vec::with_capacity(PAGES);
        let mut page = String::new();
        for _ in 0..PAGES {
            let begun = Instant::now();
            page = exporter.render(&snapshot, &ProcessInfo::of_this_process());
            times.push(begun.elapsed());
        }
        times.sort();
        let series = page.lines().filter(|line| !line.starts_with('#')).count();
        println!(
            "{GPUS} GPUs, {tasks} running tasks: {series} series, {} KiB, p50 {:.3} ms, p99 {:.3} ms",
            page.len() / 1024,
            times[PAGES / 2].as_secs_f64() * 1e3,
            times[PAGES * 99 / 100].as_secs_f64() * 1e3,
        );
    }
}

fn snapshot(tasks: u32) -> Snapshot {
    let mut node = NodeSpec::new(128, Bytes::gib(1024));
    for _ in 0..GPUS {
        node = node.with_gpu("NVIDIA H100 80GB HBM3", Bytes::gib(80), (9, 0));
    }
    let devices = (0..=GPUS).map(|local| device(DeviceId { node: NodeId::LOCAL, local })).collect();
    Snapshot {
        at: Time(2_000_000),
        nodes: vec![Arc::new(node)],
        devices,
        running: (0..tasks).map(running).collect(),
        ..Snapshot::default()
    }
}

fn device(device: DeviceId) -> DeviceRow {
    let mut sample = DeviceSample::health(device, Health::Ok);
    sample.memory_used = Some(Bytes::gib(60));
    sample.busy = Some(0.9);
    sample.memory_busy = Some(0.4);
    sample.energy_joules = Some(123_456_789.125);
    sample.power_watts = Some(612.5);
    sample.temperature_celsius = Some(61.0);
    DeviceRow {
        device,
        health: Health::Ok,
        cpus: MilliCores(0),
        memory: Bytes::gib(64),
        share: 800,
        holders: 25,
        foreign: Bytes::mib(300),
        sample: Some((Time(1_500_000), Arc::new(sample))),
    }
}

fn running(n: u32) -> RunningRow {
    let device = DeviceId { node: NodeId::LOCAL, local: (n % u32::from(GPUS)) as u16 + 1 };
    let function = format!("train-0.{n:04}-{n}");
    RunningRow {
        attempt: GraphId(12).task(n).attempt(Attempt::FIRST),
        function: function.into(),
        family: "train".into(),
        graph_name: "sweep over learning rates".into(),
        strategy: "time-optimised".into(),
        cpus: MilliCores(500),
        memory: Bytes::gib(2),
        gpus: vec![GpuGrant { device, share: MilliShare(40), memory: Bytes::gib(2), exclusive: false }],
        gpu_memory_used: vec![(device, Bytes::mib(1500))],
        placed_at: Time(1_000_000),
        started_at: Some(Time(1_000_500)),
        predicted: None,
        basis: Basis::History,
    }
}
