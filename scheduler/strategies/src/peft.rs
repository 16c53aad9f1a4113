//! `peft` (predict earliest finish time): for each task and device the *optimistic cost* is the least time
//! from its end there to the end of the graph, were no device ever busy; ready tasks go by their mean optimistic
//! cost, each to where its end plus its optimistic cost is least, in the first idle gap that holds it.
//!
//! Source: Arabnejad and Barbosa, "List scheduling algorithm for heterogeneous systems by an optimistic cost
//! table", IEEE TPDS 25(3), 2014. Devices on which every task takes the same time and which have a memory of
//! their own are one column of the table. Cost: for each edge a look at each column, then as `heft`. Bad
//! when devices are crowded, for it predicts as if they were idle: it keeps tasks away from a device that is
//! slow now in favour of ones that will be busy later.

use crate::planning::board::Board;
use crate::planning::ranks::{MeanTransfer, depth_first};
use crate::planning::table::{Table, Way};
use crate::planning::{Instance, PlanOptions, Schedule, SchedulePlanner};
use dunnage_core::Budget;
use std::collections::BTreeMap;

/// At most this many columns: classes of devices beyond share columns with others.
const COLUMNS_MAX: u32 = 32;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Peft;

impl SchedulePlanner for Peft {
    fn name(&self) -> &'static str {
        "peft"
    }

    fn schedule(&self, instance: &Instance, options: &PlanOptions, _: &mut Budget<'_>) -> Schedule {
        let table = Table::new(instance);
        let topological = depth_first(instance);
        let mean = MeanTransfer::new(instance, options.mean_comm);
        let costs = Optimistic::new(instance, &table, mean, &topological);
        let mut board = Board::new(instance, &table);
        board.put_by_priority(
            &topological,
            |node| match instance.kind_of.get(node as usize) {
                Some(kind) => costs.rank(node, table.modes(*kind).0),
                None => f64::INFINITY,
            },
            |board, node| board.best_with(node, |_, way| costs.of(node, way)),
        );
        board.finish("what has most behind it first, each where it and what is behind it end earliest")
    }
}

/// The optimistic cost table.
struct Optimistic {
    columns: usize,
    /// For each device its column.
    column_of: Vec<u32>,
    /// Row-major by node.
    cost: Vec<f64>,
}

impl Optimistic {
    fn new(instance: &Instance, table: &Table, mean: MeanTransfer, topological: &[u32]) -> Self {
        let (column_of, memory_of) = columns(instance, table);
        let columns = memory_of.len();
        let tasks = instance.tasks();
        let mut cost = vec![0.0_f64; instance.nodes() as usize * columns];
        // What is left from the start of a reader on, by the column it runs in.
        let mut left = vec![0.0_f64; columns];
        let mut largest = vec![0.0_f64; columns];
        for node in topological.iter().rev() {
            largest.fill(0.0);
            // The values of a family are alike: how large those are that come into a gather is one size.
            let into = if *node >= tasks {
                instance.parents.row(*node).iter().map(|edge| edge.size).fold(0.0, f64::max)
            } else {
                0.0
            };
            for edge in instance.children.row(*node) {
                let reader = edge.node as usize;
                let behind = &cost[reader * columns..(reader + 1) * columns];
                if edge.node >= tasks {
                    for (largest, behind) in largest.iter_mut().zip(behind) {
                        *largest = largest.max(*behind);
                    }
                    continue;
                }
                let (ways, lengths) = table.modes(instance.kind_of[reader]);
                left.fill(f64::INFINITY);
                let mut least = f64::INFINITY;
                for (way, seconds) in ways.iter().zip(lengths) {
                    let column = column_of[way.device as usize] as usize;
                    let here = behind[column] + seconds;
                    // Nothing is moved to any device of the same memory.
                    for (left, memory) in left.iter_mut().zip(&memory_of) {
                        if *memory == memory_of[column] {
                            *left = left.min(here);
                        }
                    }
                    least = least.min(here);
                }
                let elsewhere = least + mean.seconds(if *node >= tasks { into } else { edge.size });
                for (largest, left) in largest.iter_mut().zip(&left) {
                    *largest = largest.max(left.min(elsewhere));
                }
            }
            cost[*node as usize * columns..(*node as usize + 1) * columns].copy_from_slice(&largest);
        }
        Self { columns, column_of, cost }
    }

    fn of(&self, node: u32, way: Way) -> f64 {
        self.cost[node as usize * self.columns + self.column_of[way.device as usize] as usize]
    }

    /// The mean over its modes.
    fn rank(&self, node: u32, ways: &[Way]) -> f64 {
        ways.iter().map(|way| self.of(node, *way)).sum::<f64>() / ways.len().max(1) as f64
    }
}

/// For each device its column, and for each column a number that columns of one memory share.
fn columns(instance: &Instance, table: &Table) -> (Vec<u32>, Vec<u32>) {
    let mut on: Vec<u32> = vec![0; instance.transfers.places().max(1)];
    for device in &instance.devices {
        if let Some(count) = on.get_mut(device.place as usize) {
            *count += 1;
        }
    }
    // What tells a device from others: all the times on it, as a hash of 128 bits.
    let mut times = vec![0_u128; instance.devices.len()];
    for kind in 0..instance.kinds.len() as u32 {
        let (ways, lengths) = table.modes(kind);
        for (way, seconds) in ways.iter().zip(lengths) {
            let known = &mut times[way.device as usize];
            let mixed = *known ^ u128::from(kind) << 64 ^ u128::from(seconds.to_bits());
            *known = mixed.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b).rotate_left(61);
        }
    }
    let mut known: BTreeMap<(u128, Option<u32>), u32> = BTreeMap::new();
    let mut memory_of: Vec<u32> = Vec::new();
    let places = on.len() as u32;
    let column_of = instance
        .devices
        .iter()
        .zip(times)
        .map(|(device, times)| {
            let shared =
                on.get(device.place as usize).is_some_and(|count| *count > 1).then_some(device.place);
            let next = memory_of.len() as u32;
            let column = *known.entry((times, shared)).or_insert(next % COLUMNS_MAX);
            if column == next {
                memory_of.push(shared.unwrap_or(places + next));
            }
            column
        })
        .collect();
    if memory_of.is_empty() {
        memory_of.push(0);
    }
    (column_of, memory_of)
}
