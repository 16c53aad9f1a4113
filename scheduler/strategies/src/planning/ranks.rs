//! How far a task is from the beginning and the end of its graph, by mean times.

use super::table::Table;
use super::{Instance, MeanComm};

/// The mean time of moving values between devices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MeanTransfer {
    per_unit: f64,
    latency: f64,
}

impl MeanTransfer {
    pub(crate) fn new(instance: &Instance, mean: MeanComm) -> Self {
        let transfers = &instance.transfers;
        let mut on = vec![0.0_f64; transfers.places()];
        for device in &instance.devices {
            if let Some(count) = on.get_mut(device.place as usize) {
                *count += 1.0;
            }
        }
        let (mut per_unit, mut latency) = (0.0, 0.0);
        for (from, here) in on.iter().enumerate().filter(|(_, here)| **here > 0.0) {
            let (units, latencies) = transfers.from(from as u32);
            for ((there, unit), least) in on.iter().zip(units).zip(latencies) {
                per_unit += here * there * unit;
                latency += here * there * least;
            }
        }
        let devices = instance.devices.len() as f64;
        let pairs = match mean {
            MeanComm::Pairs => devices * (devices - 1.0),
            // Each device with itself counts as often as a pair, which has two directions here.
            MeanComm::Saga => devices * (devices + 1.0),
        };
        if pairs <= 0.0 {
            return Self { per_unit: 0.0, latency: 0.0 };
        }
        Self { per_unit: per_unit / pairs, latency: latency / pairs }
    }

    pub(crate) fn seconds(&self, size: f64) -> f64 {
        if size > 0.0 { self.latency + size * self.per_unit } else { 0.0 }
    }
}

/// All nodes, parents before children, depth first; among equals the lower index first. Ties of rank go by
/// this order.
pub(crate) fn depth_first(instance: &Instance) -> Vec<u32> {
    let nodes = instance.nodes();
    let mut missing: Vec<u32> = (0..nodes).map(|node| instance.parents.row(node).len() as u32).collect();
    let mut stack: Vec<u32> = (0..nodes).rev().filter(|node| missing[*node as usize] == 0).collect();
    let mut order = Vec::with_capacity(nodes as usize);
    while let Some(node) = stack.pop() {
        order.push(node);
        for edge in instance.children.row(node).iter().rev() {
            let count = &mut missing[edge.node as usize];
            *count -= 1;
            if *count == 0 {
                stack.push(edge.node);
            }
        }
    }
    order
}

/// The mean seconds of a node's work; a gather has none.
pub(crate) fn mean_seconds(instance: &Instance, table: &Table, node: u32) -> f64 {
    instance.kind_of.get(node as usize).map_or(0.0, |kind| table.mean(*kind))
}

/// What is moved along an edge that leaves a node: what a gather passes on is there already.
fn moved(instance: &Instance, mean: MeanTransfer, from: u32, size: f64) -> f64 {
    if from < instance.tasks() { mean.seconds(size) } else { 0.0 }
}

/// For each node the seconds from its start to the end of the graph along the longest way.
pub(crate) fn upward(
    instance: &Instance,
    table: &Table,
    mean: MeanTransfer,
    topological: &[u32],
) -> Vec<f64> {
    let mut rank = vec![0.0_f64; instance.nodes() as usize];
    for node in topological.iter().rev() {
        let mut behind = 0.0_f64;
        for edge in instance.children.row(*node) {
            behind = behind.max(moved(instance, mean, *node, edge.size) + rank[edge.node as usize]);
        }
        rank[*node as usize] = mean_seconds(instance, table, *node) + behind;
    }
    rank
}

/// For each node the seconds from the beginning of the graph to its start along the longest way.
pub(crate) fn downward(
    instance: &Instance,
    table: &Table,
    mean: MeanTransfer,
    topological: &[u32],
) -> Vec<f64> {
    let mut rank = vec![0.0_f64; instance.nodes() as usize];
    for node in topological {
        let before = instance.parents.row(*node).iter().map(|edge| {
            rank[edge.node as usize]
                + mean_seconds(instance, table, edge.node)
                + moved(instance, mean, edge.node, edge.size)
        });
        rank[*node as usize] = before.fold(0.0, f64::max);
    }
    rank
}

/// The nodes by falling rank; of equals that which comes first in the given order.
pub(crate) fn by_falling(rank: &[f64], order: &[u32]) -> Vec<u32> {
    // Ranks are not negative, so their bits sort as they do.
    let mut keys: Vec<(u64, u32)> = order
        .iter()
        .enumerate()
        .map(|(at, node)| (!(rank[*node as usize] + 0.0).to_bits(), at as u32))
        .collect();
    keys.sort_unstable();
    keys.into_iter().map(|(_, at)| order[at as usize]).collect()
}
