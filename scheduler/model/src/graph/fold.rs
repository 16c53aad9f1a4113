//! A graph with all instances of a function as one node: what a drawing shows.
//!
//! Instances of two functions may wait for each other in turn, so the folded graph may have cycles although
//! the graph has none; [`FunctionGraph::layers`] puts such a knot into one layer.

use crate::{Arg, Graph, Need};
use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

/// Which functions wait for which.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct FunctionGraph {
    /// How many functions there are.
    pub functions: u32,
    /// Each pair once, in order of the reader and then as found.
    pub edges: Vec<FunctionEdge>,
}

/// That instances of a function wait for instances of another, or of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FunctionEdge {
    /// The function that is waited for.
    pub from: u32,
    /// The one that waits.
    pub to: u32,
    /// Whether a value is passed.
    pub value: bool,
    /// Whether an instance waits for all of the other function.
    pub all: bool,
}

impl FunctionGraph {
    /// Folds a graph, given the function of each task.
    pub(super) fn of(graph: &Graph, function_of: &[u32]) -> Self {
        let functions = graph.functions().len();
        let mut edges: Vec<FunctionEdge> = Vec::new();
        // For each producer the last reader that was seen, and its edge.
        let mut seen: Vec<(u32, u32)> = vec![(u32::MAX, 0); functions];
        for task in 0..graph.len() {
            let to = function_of[task as usize];
            let mut add = |from: u32, value: bool, all: bool| {
                let known = &mut seen[from as usize];
                if known.0 != to {
                    *known = (to, edges.len() as u32);
                    edges.push(FunctionEdge { from, to, value: false, all: false });
                }
                let edge = &mut edges[known.1 as usize];
                edge.value |= value;
                edge.all |= all;
            };
            for need in graph.needs(task) {
                match need {
                    Need::Task(producer) => add(function_of[*producer as usize], false, false),
                    Need::Group(group) | Need::GroupEnd(group) => {
                        add(graph.groups()[*group as usize].function, false, true);
                    }
                }
            }
            for arg in graph.args(task) {
                match arg {
                    Arg::Value { task, .. } => add(function_of[*task as usize], true, false),
                    Arg::Family { group, .. } => add(graph.groups()[*group as usize].function, true, true),
                }
            }
        }
        Self { functions: functions as u32, edges }
    }

    /// For each function its layer: one more than the deepest of those it waits for; functions that wait for
    /// each other share one. Linear in functions and edges.
    pub fn layers(&self) -> Vec<u32> {
        let mut graph: DiGraph<(), (), u32> =
            DiGraph::with_capacity(self.functions as usize, self.edges.len());
        for _ in 0..self.functions {
            graph.add_node(());
        }
        for edge in self.edges.iter().filter(|edge| edge.from != edge.to) {
            // From the reader, so that knots come out producers first.
            graph.add_edge(NodeIndex::new(edge.to as usize), NodeIndex::new(edge.from as usize), ());
        }
        let mut layer = vec![0_u32; self.functions as usize];
        // Tarjan's knots come in reverse topological order: here each after everything it waits for.
        let mut knot_of = vec![u32::MAX; self.functions as usize];
        for (knot, members) in (0_u32..).zip(tarjan_scc(&graph)) {
            for member in &members {
                knot_of[member.index()] = knot;
            }
            let deepest = members
                .iter()
                .flat_map(|member| graph.neighbors(*member))
                .filter(|producer| knot_of[producer.index()] != knot)
                .map(|producer| layer[producer.index()] + 1)
                .max()
                .unwrap_or(0);
            for member in &members {
                layer[member.index()] = deepest;
            }
        }
        layer
    }
}
