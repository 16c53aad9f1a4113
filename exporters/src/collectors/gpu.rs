//! Each GPU: what it is, how it is, what of it was given away and what is really used.
//!
//! Series carry the GPU's UUID alone; everything else that names it stands in `dunnage_gpu_info`. A
//! reading that the driver does not give is absent, and so are all readings of a GPU that is lost.

use crate::collector::{CollectError, Collector, Input};
use crate::families::Families;
use crate::table::{
    CollectorName, GPU_ENERGY, GPU_HEALTH, GPU_INFO, GPU_KERNEL_ACTIVE, GPU_MEMORY_ACTIVE,
    GPU_MEMORY_ALLOCATED, GPU_MEMORY_TOTAL, GPU_MEMORY_UNACCOUNTED, GPU_MEMORY_USED, GPU_POWER,
    GPU_SAMPLE_AGE, GPU_SLOTS, GPU_SLOTS_ALLOCATED, GPU_TASKS, GPU_TEMPERATURE,
};
use dunnage_model::{Bytes, DeviceId, DeviceRow, GpuSpec, Health, Time};
use std::collections::BTreeMap;

/// The words of [`Health`]: the state set has a series for each.
const STATES: [&str; 4] = ["ok", "unknown", "lost", "drained"];

pub(crate) struct Gpus;

impl Collector for Gpus {
    fn name(&self) -> CollectorName {
        CollectorName::Gpu
    }

    fn collect(&self, input: Input<'_>, out: &mut Families) -> Result<(), CollectError> {
        let rows: BTreeMap<DeviceId, &DeviceRow> =
            input.snapshot.devices.iter().map(|row| (row.device, row)).collect();
        let now = input.process.now.unwrap_or(input.snapshot.at);
        for node in &input.snapshot.nodes {
            for gpu in &node.gpus {
                info(&node.name, gpu, out);
                if let Some(row) = rows.get(&gpu.device) {
                    ledger(&gpu.uuid, row, out);
                    readings(&gpu.uuid, row, now, out);
                }
            }
        }
        Ok(())
    }
}

fn info(node: &str, gpu: &GpuSpec, out: &mut Families) {
    let index = gpu.driver_index.to_string();
    let capability =
        gpu.compute_capability.map(|(major, minor)| format!("{major}.{minor}")).unwrap_or_default();
    let numa_node = gpu.numa_node.map(|n| n.to_string()).unwrap_or_default();
    let mig_parent = gpu.mig_parent.as_deref().unwrap_or_default();
    let labels = [&gpu.uuid, node, &index, &gpu.name, &gpu.pci_bus_id, &capability, &numa_node, mig_parent];
    out.add(&GPU_INFO, labels, 1.0);
    // A driver that does not tell the size gives nothing; no GPU has no memory.
    let total = (gpu.memory > Bytes::ZERO).then_some(gpu.memory.0 as f64);
    out.add_known(&GPU_MEMORY_TOTAL, [&gpu.uuid], total);
    out.add(&GPU_SLOTS, [&gpu.uuid], if gpu.allocatable { 1.0 } else { 0.0 });
}

fn ledger(uuid: &str, row: &DeviceRow, out: &mut Families) {
    for state in STATES {
        out.add(&GPU_HEALTH, [uuid, state], if row.health.word() == state { 1.0 } else { 0.0 });
    }
    out.add(&GPU_MEMORY_ALLOCATED, [uuid], row.memory.0 as f64);
    out.add(&GPU_SLOTS_ALLOCATED, [uuid], f64::from(row.share) / 1000.0);
    out.add(&GPU_TASKS, [uuid], f64::from(row.holders));
}

fn readings(uuid: &str, row: &DeviceRow, now: Time, out: &mut Families) {
    let Some((seen, sample)) = &row.sample else { return };
    out.add(&GPU_SAMPLE_AGE, [uuid], now.since(*seen).as_secs_f64());
    if matches!(row.health, Health::Lost { .. }) {
        return;
    }
    let label = [uuid];
    out.add_known(&GPU_MEMORY_USED, label, sample.memory_used.map(|bytes| bytes.0 as f64));
    // The ledger works out what is foreign from what is used; without that its 0 means nothing.
    out.add_known(&GPU_MEMORY_UNACCOUNTED, label, sample.memory_used.map(|_| row.foreign.0 as f64));
    out.add_known(&GPU_KERNEL_ACTIVE, label, sample.busy);
    out.add_known(&GPU_MEMORY_ACTIVE, label, sample.memory_busy);
    out.add_known(&GPU_ENERGY, label, sample.energy_joules);
    out.add_known(&GPU_POWER, label, sample.power_watts);
    out.add_known(&GPU_TEMPERATURE, label, sample.temperature_celsius);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_health_has_its_state() {
        let why = String::new;
        for health in
            [Health::Ok, Health::Unknown { why: why() }, Health::Lost { why: why() }, Health::Drained]
        {
            assert!(STATES.contains(&health.word()), "{}", health.word());
        }
    }
}
