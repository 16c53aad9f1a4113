//! Dependencies that others imply already: what an author may leave out without changing anything.
//!
//! Only those without a value count, since a value has to be named to be read. Of the instances of a sweep
//! the first stands for all. The search walks backwards within a budget and says when that was spent.

use crate::{Arg, Graph, Need};

/// Nodes that all searches together may look at.
const VISITS_MAX: usize = 50_000;

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Redundant {
    /// The function, and what it need not say that it waits for.
    pub found: Vec<(u32, Need)>,
    /// Whether everything was looked at.
    pub complete: bool,
}

/// Looks for them, given the depth of each task and how deep the readers of each group lie at least.
pub(super) fn redundant(graph: &Graph, depth: &[u32], group_depth: &[u32]) -> Redundant {
    let mut search = Search {
        graph,
        // Between tasks lie groups: even and odd.
        depth: depth
            .iter()
            .map(|depth| depth * 2)
            .chain(group_depth.iter().map(|d| (d * 2).saturating_sub(1)))
            .collect(),
        seen: Vec::new(),
        round: 0,
        visits: 0,
    };
    let mut found = Redundant { found: Vec::new(), complete: true };
    for function in 0..graph.functions().len() as u32 {
        let Some(task) = graph.instances(function).next() else { continue };
        let needs = graph.needs(task);
        if needs.len() < 2 {
            continue;
        }
        for need in needs {
            let Some(goal) = search.node(*need) else { continue };
            let read = graph.args(task).iter().any(|arg| match (arg, need) {
                (Arg::Value { task, .. }, Need::Task(producer)) => task == producer,
                (Arg::Family { group, .. }, Need::Group(known)) => group == known,
                _ => false,
            });
            if read {
                continue;
            }
            let others = needs.iter().filter(|other| *other != need).filter_map(|other| search.node(*other));
            let others: Vec<u32> = others.collect();
            match search.leads(others, goal) {
                Some(true) => found.found.push((function, *need)),
                Some(false) => {}
                None => return Redundant { complete: false, ..found },
            }
        }
    }
    found
}

struct Search<'g> {
    graph: &'g Graph,
    /// Of tasks, then of groups.
    depth: Vec<u32>,
    /// For each node the round in which it was seen last.
    seen: Vec<u32>,
    round: u32,
    visits: usize,
}

impl Search<'_> {
    /// The node whose success a need asks for; to have ended is less.
    fn node(&self, need: Need) -> Option<u32> {
        match need {
            Need::Task(task) => Some(task),
            Need::Group(group) => Some(self.graph.len() + group),
            Need::GroupEnd(_) => None,
        }
    }

    /// Whether the success of any of these implies that of `goal`; `None` where the budget is spent.
    fn leads(&mut self, from: Vec<u32>, goal: u32) -> Option<bool> {
        if self.seen.is_empty() {
            self.seen = vec![0; self.depth.len()];
        }
        self.round += 1;
        let floor = self.depth[goal as usize];
        let mut open = from;
        while let Some(node) = open.pop() {
            if node == goal {
                return Some(true);
            }
            if self.depth[node as usize] <= floor
                || std::mem::replace(&mut self.seen[node as usize], self.round) == self.round
            {
                continue;
            }
            self.visits += 1;
            let tasks = self.graph.len();
            if node >= tasks {
                let members = self.graph.members(node - tasks);
                if members.contains(&goal) {
                    return Some(true);
                }
                self.visits += members.len();
                open.extend(members);
            } else {
                open.extend(self.graph.needs(node).iter().filter_map(|need| self.node(*need)));
            }
            if self.visits > VISITS_MAX {
                return None;
            }
        }
        Some(false)
    }
}
