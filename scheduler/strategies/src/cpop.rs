//! `cpop` (critical path on a processor): ready tasks by falling length of the longest way through them;
//! those on the critical path go to the one device that does all of it fastest, the others to where they end
//! earliest, each in the first idle gap that holds it.
//!
//! Source: Topcuoglu, Hariri and Wu, "Performance-effective and low-complexity task scheduling for
//! heterogeneous computing", IEEE TPDS 13(3), 2002. The paper has one first task; with several the path
//! begins at the one with the highest priority. Where no device has a mode for every task of the path, the
//! one that has most of them is taken, and the rest of the path goes to where it ends earliest. Cost: as
//! `heft`, and a queue. Bad when several paths are about as long, for only one of them is looked after, and
//! when the path is wide enough that one device becomes the bottleneck.

use crate::planning::board::Board;
use crate::planning::ranks::{MeanTransfer, depth_first, downward, upward};
use crate::planning::table::{Table, Way};
use crate::planning::{Instance, PlanOptions, Schedule, SchedulePlanner};
use dunnage_core::Budget;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Cpop;

impl SchedulePlanner for Cpop {
    fn name(&self) -> &'static str {
        "cpop"
    }

    fn schedule(&self, instance: &Instance, options: &PlanOptions, _: &mut Budget<'_>) -> Schedule {
        let table = Table::new(instance);
        let topological = depth_first(instance);
        let mean = MeanTransfer::new(instance, options.mean_comm);
        let up = upward(instance, &table, mean, &topological);
        let down = downward(instance, &table, mean, &topological);
        let priority: Vec<f64> = up.iter().zip(&down).map(|(up, down)| up + down).collect();
        let path = critical_path(instance, mean, &up, &topological);
        let device = fastest(instance, &table, &path);
        let mut is_critical = vec![false; instance.nodes() as usize];
        for node in &path {
            is_critical[*node as usize] = true;
        }

        let mut board = Board::new(instance, &table);
        board.put_by_priority(
            &topological,
            |node| priority[node as usize],
            |board, node| {
                let (ways, _) = table.modes(instance.kind_of[node as usize]);
                let is_bound = is_critical[node as usize] && ways.iter().any(|way| way.device == device);
                let elsewhere = |way: Way| is_bound && way.device != device;
                board.best_with(node, |_, way| if elsewhere(way) { f64::INFINITY } else { 0.0 })
            },
        );
        board.finish("the critical path on one device, the rest where it ends earliest")
    }
}

/// The nodes of a longest way, from the first node with the highest rank on.
fn critical_path(instance: &Instance, mean: MeanTransfer, up: &[f64], topological: &[u32]) -> Vec<u32> {
    let first_of_largest = |nodes: &mut dyn Iterator<Item = (f64, u32)>| {
        let mut best: Option<(f64, u32)> = None;
        for (length, node) in nodes {
            if best.is_none_or(|(longest, _)| length > longest) {
                best = Some((length, node));
            }
        }
        best.map(|(_, node)| node)
    };
    let mut firsts = topological
        .iter()
        .filter(|node| instance.parents.row(**node).is_empty())
        .map(|node| (up[*node as usize], *node));
    let mut next = first_of_largest(&mut firsts);
    let mut path = Vec::new();
    while let Some(node) = next {
        path.push(node);
        let mut behind = instance.children.row(node).iter().map(|edge| {
            let moved = if node < instance.tasks() { mean.seconds(edge.size) } else { 0.0 };
            (moved + up[edge.node as usize], edge.node)
        });
        next = first_of_largest(&mut behind);
    }
    path
}

/// The device that can do most tasks of a path, and of these the one that does them fastest.
fn fastest(instance: &Instance, table: &Table, path: &[u32]) -> u32 {
    let mut able = vec![(0_u32, 0.0_f64); instance.devices.len()];
    // The modes of a kind come by device or not; the best on each is found in a pass over them.
    let mut best: Vec<Option<f64>> = vec![None; instance.devices.len()];
    for node in path.iter().filter(|node| **node < instance.tasks()) {
        let (ways, lengths) = table.modes(instance.kind_of[*node as usize]);
        for (way, seconds) in ways.iter().zip(lengths) {
            let best = &mut best[way.device as usize];
            *best = Some(best.map_or(*seconds, |known| known.min(*seconds)));
        }
        for way in ways {
            if let Some(seconds) = best[way.device as usize].take() {
                let able = &mut able[way.device as usize];
                *able = (able.0 + 1, able.1 + seconds);
            }
        }
    }
    let mut chosen = 0;
    for (device, (tasks, seconds)) in able.iter().enumerate() {
        let (most, least) = able[chosen];
        if *tasks > most || (*tasks == most && *seconds < least) {
            chosen = device;
        }
    }
    chosen as u32
}
