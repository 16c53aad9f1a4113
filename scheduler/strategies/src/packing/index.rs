//! The best of thousands of nodes for a task: scores are kept for each shape and node, and only the nodes
//! that changed since a shape was last asked for are looked at again.
//!
//! Cost of a question: for each node that changed since, one score and O(log nodes); the first question of
//! a shape scores all nodes. Memory: about 40 bytes for each shape and node. Bad where every task has
//! a shape of its own.

use super::fill::{Chosen, Fill};
use super::policy::{Policy, Tie};
use super::shape::Shape;
use super::tree::Tree;
use super::workload::Workload;
use dunnage_core::Rng;
use std::collections::BTreeMap;

/// Where a task was placed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placed {
    /// Which node, by its place in the list.
    pub node: usize,
    /// On which of its GPUs.
    pub gpus: Chosen,
}

/// At most this many scores are kept; then those of the shapes asked for longest ago are dropped.
const SCORES_MAX: usize = 1 << 26;

/// See the module.
#[derive(Clone, Debug)]
pub struct Index {
    policy: Policy,
    tie: Tie,
    nodes: Vec<Fill>,
    /// [`Policy::value`] of each node.
    values: Vec<f64>,
    workload: Workload,
    /// Nodes in the order in which they changed.
    changed: Vec<u32>,
    /// For each node: when it changed last, as the length of `changed` after it.
    changed_at: Vec<usize>,
    shapes: BTreeMap<Shape, Scores>,
    /// Counts the changes of the workload.
    epoch: u64,
}

/// The scores of all nodes for one shape.
#[derive(Clone, Debug)]
struct Scores {
    tree: Tree,
    chosen: Vec<Chosen>,
    /// How much of `changed` was taken in.
    seen: usize,
    epoch: u64,
}

impl Index {
    /// These nodes, in the order in which ties by name go.
    pub fn new(nodes: Vec<Fill>, policy: Policy, tie: Tie, workload: Workload) -> Self {
        let values = nodes.iter().map(|node| policy.value(node, &workload)).collect();
        let changed_at = vec![0; nodes.len()];
        Self {
            policy,
            tie,
            nodes,
            values,
            workload,
            changed: Vec::new(),
            changed_at,
            shapes: BTreeMap::new(),
            epoch: 0,
        }
    }

    /// The nodes as they are.
    pub fn nodes(&self) -> &[Fill] {
        &self.nodes
    }

    /// The statistics that scores are made with.
    pub fn workload(&self) -> &Workload {
        &self.workload
    }

    /// Takes other statistics: all scores are made again when they are next asked for.
    pub fn set_workload(&mut self, workload: Workload) {
        self.workload = workload;
        self.epoch += 1;
        for (node, value) in self.nodes.iter().zip(&mut self.values) {
            *value = self.policy.value(node, &self.workload);
        }
    }

    /// Where the policy wants a task of this shape now; `None` where it fits nowhere.
    pub fn find(&mut self, shape: &Shape, rng: &mut Rng) -> Option<Placed> {
        if self.shapes.len().saturating_mul(self.nodes.len()) > SCORES_MAX {
            let seen = self.changed.len().saturating_sub(self.nodes.len());
            self.shapes.retain(|_, scores| scores.seen > seen);
            if self.shapes.len().saturating_mul(self.nodes.len()) > SCORES_MAX {
                self.shapes.clear();
            }
        }
        let scores = self.shapes.entry(*shape).or_insert_with(|| Scores {
            tree: Tree::new(self.nodes.len()),
            chosen: vec![Chosen::NONE; self.nodes.len()],
            seen: 0,
            epoch: u64::MAX,
        });
        let rate = |at: usize, chosen: &mut [Chosen]| {
            let best = self.policy.best(&self.nodes[at], shape, &self.workload, self.values[at], self.tie)?;
            chosen[at] = best.chosen;
            Some((best.score, best.tie))
        };
        let news = &self.changed[scores.seen..];
        if scores.epoch != self.epoch || news.len() > 2 * self.nodes.len() {
            for at in 0..self.nodes.len() {
                if scores.epoch != self.epoch || self.changed_at[at] > scores.seen {
                    let key = rate(at, &mut scores.chosen);
                    scores.tree.put(at, key);
                }
            }
            scores.tree.rebuild();
        } else {
            for (behind, at) in news.iter().enumerate() {
                let at = *at as usize;
                // Only at its last change.
                if self.changed_at[at] == scores.seen + behind + 1 {
                    let key = rate(at, &mut scores.chosen);
                    scores.tree.set(at, key);
                }
            }
        }
        scores.seen = self.changed.len();
        scores.epoch = self.epoch;

        // `random` is at random by name, too: to it all nodes are equal. By fit it takes the tightest.
        let any = self.tie == Tie::Random || self.policy == Policy::Random && self.tie == Tie::Name;
        let first = scores.tree.first()?;
        let node = if any { scores.tree.nth(rng.below(scores.tree.ties())).unwrap_or(first) } else { first };
        let mut gpus = scores.chosen[node];
        if self.policy == Policy::Random && shape.is_shared() {
            gpus = any_gpu(&self.nodes[node], shape, rng);
        }
        Some(Placed { node, gpus })
    }

    /// Writes down that a task of this shape was placed there.
    pub fn place(&mut self, shape: &Shape, placed: Placed) {
        let Some(node) = self.nodes.get_mut(placed.node) else { return };
        node.take(shape, placed.gpus);
        self.values[placed.node] = self.policy.value(node, &self.workload);
        self.changed.push(placed.node as u32);
        self.changed_at[placed.node] = self.changed.len();
    }
}

/// Any GPU that takes a shared task, each as likely.
fn any_gpu(fill: &Fill, shape: &Shape, rng: &mut Rng) -> Chosen {
    let able = || {
        let gpus = fill.gpus().iter().enumerate();
        gpus.filter(|(_, gpu)| gpu.takes(shape)).map(|(at, _)| at)
    };
    let n = rng.below(able().count());
    able().nth(n).map_or(Chosen::NONE, Chosen::one)
}
