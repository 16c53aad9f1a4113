//! Orders to begin with that need no list rule from elsewhere: nodes by the longest way to the end, with
//! times taken as means or as the least, plus or minus the longest way from the beginning.

use super::encoding::{List, Net};
use dunnage_core::Rng;

/// What the time of a task is taken as where its mode is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    Mean,
    Least,
    Most,
}

/// The longest ways to the end, each task's own time among them; parents have no less than children.
pub(crate) fn upward(net: &Net<'_>, length: Length, moving: f64) -> Vec<f64> {
    let (sum_unit, sum_latency) =
        net.transfer.iter().fold((0.0, 0.0), |sum, (latency, unit)| (sum.0 + unit, sum.1 + latency));
    let pairs = (net.places * net.places.saturating_sub(1)).max(1) as f64;
    let (unit, latency) = (moving * sum_unit / pairs, moving * sum_latency / pairs);
    let own: Vec<f64> = net.kind_start.windows(2).map(|rows| own(net, rows, length)).collect();
    let mut rank = vec![0.0_f64; net.nodes as usize];
    for node in net.topological.iter().rev() {
        let mut behind = 0.0_f64;
        for edge in net.children(*node) {
            let way = if edge.size > 0.0 { latency + edge.size * unit } else { 0.0 };
            behind = behind.max(way + rank[edge.node as usize]);
        }
        rank[*node as usize] = behind + seconds(net, &own, *node);
    }
    rank
}

/// The longest ways from the beginning, without the task's own time.
pub(crate) fn downward(net: &Net<'_>, length: Length) -> Vec<f64> {
    let own: Vec<f64> = net.kind_start.windows(2).map(|rows| own(net, rows, length)).collect();
    let mut rank = vec![0.0_f64; net.nodes as usize];
    for node in &net.topological {
        for edge in net.parents(*node) {
            let way = rank[edge.node as usize] + seconds(net, &own, edge.node);
            rank[*node as usize] = rank[*node as usize].max(way);
        }
    }
    rank
}

fn own(net: &Net<'_>, rows: &[u32], length: Length) -> f64 {
    let row = net.modes[rows[0] as usize..rows[1] as usize].iter().map(|mode| mode.seconds);
    let count = f64::from((rows[1] - rows[0]).max(1));
    match length {
        Length::Mean => row.sum::<f64>() / count,
        Length::Least => row.fold(f64::INFINITY, f64::min),
        Length::Most => row.fold(0.0, f64::max),
    }
}

fn seconds(net: &Net<'_>, own: &[f64], node: u32) -> f64 {
    if node >= net.tasks { 0.0 } else { own[net.instance.kind_of[node as usize] as usize] }
}

/// The list by falling rank, parents first whatever the ranks; each task in its first mode.
pub(crate) fn by_rank(net: &Net<'_>, rank: &[f64], noise: f64, rng: &mut Rng) -> List {
    let mut key: Vec<f64> = rank.to_vec();
    for node in &net.topological {
        let least =
            net.parents(*node).iter().map(|edge| key[edge.node as usize]).fold(f64::INFINITY, f64::min);
        let own = &mut key[*node as usize];
        if noise > 0.0 {
            *own *= 1.0 + noise * (rng.unit() - 0.5);
        }
        *own = own.min(least);
    }
    let mut order = net.topological.clone();
    order.sort_by(|a, b| {
        key[*b as usize].total_cmp(&key[*a as usize]).then(net.rank[*a as usize].cmp(&net.rank[*b as usize]))
    });
    let mode = (0..net.tasks).map(|task| net.modes_of(task).start as u32).collect();
    List { order, mode }
}
