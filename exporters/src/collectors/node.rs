//! Cores and RAM of each node: what there is, what the ledger has given away, what is used.

use crate::collector::{CollectError, Collector, Input};
use crate::families::Families;
use crate::table::{
    CollectorName, NODE_CPU_ALLOCATED, NODE_CPU_BUSY, NODE_CPU_CORES, NODE_INFO, NODE_MEMORY_ALLOCATED,
    NODE_MEMORY_TOTAL, NODE_MEMORY_UNACCOUNTED, NODE_MEMORY_USED, NODE_UP,
};
use dunnage_model::{DeviceId, DeviceRow, Health, MilliCores, NodeSpec};

pub(crate) struct Nodes;

impl Collector for Nodes {
    fn name(&self) -> CollectorName {
        CollectorName::Node
    }

    fn collect(&self, input: Input<'_>, out: &mut Families) -> Result<(), CollectError> {
        for node in &input.snapshot.nodes {
            let host = DeviceId::host(node.id);
            let row = input.snapshot.devices.iter().find(|row| row.device == host);
            one(node, row, out);
        }
        Ok(())
    }
}

fn one(node: &NodeSpec, row: Option<&DeviceRow>, out: &mut Families) {
    let label = [node.name.as_str()];
    out.add(&NODE_INFO, [&node.name, &node.cpu.model, &node.cpu.numa_nodes.len().to_string()], 1.0);
    out.add(&NODE_CPU_CORES, label, cores(node.cpu.capacity));
    out.add(&NODE_MEMORY_TOTAL, label, node.memory.0 as f64);
    let Some(row) = row else { return };
    let up = match row.health {
        Health::Ok | Health::Drained => true,
        Health::Unknown { .. } | Health::Lost { .. } => false,
    };
    out.add(&NODE_UP, label, if up { 1.0 } else { 0.0 });
    out.add(&NODE_CPU_ALLOCATED, label, cores(row.cpus));
    out.add(&NODE_MEMORY_ALLOCATED, label, row.memory.0 as f64);
    // What was seen before the contact was lost says nothing of now.
    if let (true, Some((_, sample))) = (up, &row.sample) {
        out.add_known(&NODE_CPU_BUSY, label, sample.busy);
        out.add_known(&NODE_MEMORY_USED, label, sample.memory_used.map(|bytes| bytes.0 as f64));
        out.add_known(&NODE_MEMORY_UNACCOUNTED, label, sample.memory_used.map(|_| row.foreign.0 as f64));
    }
}

fn cores(cpus: MilliCores) -> f64 {
    f64::from(cpus.0) / 1000.0
}
