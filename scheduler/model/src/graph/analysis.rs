//! What the shape of a graph says about how it can run: levels, the critical path, slack, bottlenecks,
//! parallelism.
//!
//! Contract: one pass forwards and one backwards over tasks and dependencies, where all of a family is one
//! node to wait for, so that N readers of M instances cost N + M; the instances of a sweep are counted and
//! not named. Same graph and same seconds, same answer: where paths are equally long the lowest task wins.
//! The method is that of critical path planning (Kelley and Walker 1959): earliest ends forwards, longest
//! remainders backwards, and slack is what the longest path leaves over.

use super::fold::FunctionGraph;
use super::redundant::{Redundant, redundant};
use crate::{Graph, Need};
use petgraph::unionfind::UnionFind;

/// What [`Graph::analyse`] finds.
#[derive(Clone, PartialEq, Debug)]
pub struct Analysis {
    /// For each task the length of the longest way to it from a task without needs, in dependencies.
    pub depth: Vec<u32>,
    /// For each task how many seconds it may be late without making the whole late.
    pub slack_s: Vec<f64>,
    /// Tasks by depth; the first wait for nothing.
    pub levels: Vec<Level>,
    /// A longest path, from its first task to its last.
    pub critical_path: Vec<u32>,
    /// How long that takes: no schedule is shorter, however many devices there are.
    pub critical_path_s: f64,
    /// The seconds of all tasks together.
    pub work_s: f64,
    /// What each function adds up to, in the order of the file.
    pub functions: Vec<FunctionShare>,
    /// The graph with all instances of a function as one node.
    pub folded: FunctionGraph,
    /// Parts that have nothing to do with each other.
    pub components: u32,
    /// Tasks that wait for nothing.
    pub sources: u32,
    /// Tasks for which nothing waits.
    pub sinks: u32,
    /// Dependencies without a value that others imply already.
    pub redundant: Redundant,
}

/// All tasks of one depth.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Level {
    /// How many.
    pub tasks: u32,
    /// Their seconds together.
    pub seconds: f64,
    /// Which functions, each with how many of its instances, in the order of the file.
    pub functions: Vec<(u32, u32)>,
}

/// What a function adds up to.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct FunctionShare {
    /// How many instances it has.
    pub instances: u32,
    /// Their seconds together.
    pub seconds: f64,
    /// How many of them lie on the critical path.
    pub on_path: u32,
    /// The seconds of those.
    pub path_s: f64,
    /// How many have no slack: they lie on some longest path.
    pub critical: u32,
    /// The least slack of any; infinite where it has no instances.
    pub least_slack_s: f64,
}

impl Analysis {
    /// The mean number of tasks that can run at once: work over critical path. 1 is a chain.
    pub fn parallelism(&self) -> f64 {
        if self.critical_path_s > 0.0 { self.work_s / self.critical_path_s } else { 1.0 }
    }

    /// The level with most tasks, the first of them where there are several.
    pub fn widest(&self) -> Option<(usize, &Level)> {
        let level = self.levels.iter().enumerate();
        level.max_by_key(|(at, level)| (level.tasks, std::cmp::Reverse(*at)))
    }

    /// Functions that make the whole late when they are late: those on the critical path, by their seconds
    /// on it, the most first.
    pub fn bottlenecks(&self) -> Vec<u32> {
        let mut found: Vec<u32> = (0..self.functions.len() as u32)
            .filter(|function| self.functions[*function as usize].path_s > 0.0)
            .collect();
        let path = |function: &u32| self.functions[*function as usize].path_s;
        found.sort_by(|a, b| path(b).total_cmp(&path(a)).then(a.cmp(b)));
        found
    }

    /// Functions by their seconds in all, the most first.
    pub fn heaviest(&self) -> Vec<u32> {
        let mut all: Vec<u32> = (0..self.functions.len() as u32).collect();
        let seconds = |function: &u32| self.functions[*function as usize].seconds;
        all.sort_by(|a, b| seconds(b).total_cmp(&seconds(a)).then(a.cmp(b)));
        all
    }
}

/// Nothing before it.
const NONE: u32 = u32::MAX;

/// What the forward pass knows of a task, or of all of a group: its last member in time.
#[derive(Clone, Copy)]
struct Reached {
    end_s: f64,
    /// The task that ends then.
    by: u32,
    depth: u32,
}

impl Graph {
    /// Takes the graph apart, given how long each task takes; what is no time counts as 0.
    ///
    /// Cost: linear in tasks, dependencies and groups.
    pub fn analyse(&self, seconds: impl Fn(u32) -> f64) -> Analysis {
        let total = self.len() as usize;
        let function_of = self.function_table();
        let seconds: Vec<f64> = (0..self.len())
            .map(|task| Some(seconds(task)).filter(|s| s.is_finite() && *s > 0.0).unwrap_or(0.0))
            .collect();
        let order = self.any_topological(&function_of);
        let Forward { start_s, before, depth, last, group_depth } =
            self.forward(&order, &function_of, &seconds);
        let critical_path_s = last.end_s.max(0.0);
        let after = self.backward(&order, &function_of, &seconds);
        // Sums of the same seconds in another order differ in their last bits.
        let noise =
            critical_path_s * 4.0 * f64::EPSILON * f64::from(depth.iter().max().copied().unwrap_or(0) + 1);
        let slack_s: Vec<f64> = (0..total)
            .map(|task| critical_path_s - (start_s[task] + seconds[task] + after[task]))
            .map(|slack| if slack <= noise { 0.0 } else { slack })
            .collect();
        let mut critical_path = Vec::new();
        let mut at = last.by;
        while at != NONE {
            critical_path.push(at);
            at = before[at as usize];
        }
        critical_path.reverse();
        let functions = self.shares(&seconds, &slack_s, &critical_path, &function_of);
        let (components, sources, sinks) = self.ends(&function_of);
        Analysis {
            levels: levels(&depth, &seconds, &function_of),
            critical_path,
            critical_path_s,
            work_s: seconds.iter().sum(),
            functions,
            folded: FunctionGraph::of(self, &function_of),
            components,
            sources,
            sinks,
            redundant: redundant(self, &depth, &group_depth),
            depth,
            slack_s,
        }
    }

    /// The function of each task.
    pub(super) fn function_table(&self) -> Vec<u32> {
        let mut table = Vec::with_capacity(self.len() as usize);
        for function in 0..self.functions.len() as u32 {
            table.resize(self.first[function as usize + 1] as usize, function);
        }
        table
    }

    /// All tasks, each after everything it needs: as the file has them where that is such an order, else by
    /// Kahn's method.
    fn any_topological(&self, function_of: &[u32]) -> Vec<u32> {
        let total = self.len();
        let in_order = (0..total).all(|task| {
            self.needs(task).iter().all(|need| match need {
                Need::Task(producer) => *producer < task,
                Need::Group(group) | Need::GroupEnd(group) => self.members(*group).end <= task,
            })
        });
        if in_order {
            return (0..total).collect();
        }
        let mut missing: Vec<u32> = (0..total).map(|task| self.needs(task).len() as u32).collect();
        let mut group_missing: Vec<u32> =
            (0..self.groups.len() as u32).map(|group| self.members(group).len() as u32).collect();
        let mut order: Vec<u32> = (0..total).filter(|task| missing[*task as usize] == 0).collect();
        let mut at = 0;
        while at < order.len() {
            let task = order[at];
            at += 1;
            let mut release = |reader: &u32| {
                missing[*reader as usize] -= 1;
                if missing[*reader as usize] == 0 {
                    order.push(*reader);
                }
            };
            self.readers(task).iter().for_each(&mut release);
            if let Some(group) = self.families[function_of[task as usize] as usize].group {
                group_missing[group as usize] -= 1;
                if group_missing[group as usize] == 0 {
                    let group = &self.groups[group as usize];
                    group.readers.iter().chain(&group.lenient_readers).for_each(&mut release);
                }
            }
        }
        order
    }

    fn forward(&self, order: &[u32], function_of: &[u32], seconds: &[f64]) -> Forward {
        let total = self.len() as usize;
        let nothing = Reached { end_s: -1.0, by: NONE, depth: 0 };
        let mut groups = vec![nothing; self.groups.len()];
        let mut start_s = vec![0.0_f64; total];
        let mut before = vec![NONE; total];
        let mut depth = vec![0_u32; total];
        let mut last = nothing;
        let later = |a: Reached, b: Reached| {
            let depth = a.depth.max(b.depth);
            let ahead = b.end_s > a.end_s || (b.end_s == a.end_s && b.by < a.by);
            Reached { depth, ..if ahead { b } else { a } }
        };
        for task in order {
            let at = *task as usize;
            let mut reached = nothing;
            for need in self.needs(*task) {
                reached = later(
                    reached,
                    match need {
                        Need::Task(producer) => {
                            let p = *producer as usize;
                            Reached { end_s: start_s[p] + seconds[p], by: *producer, depth: depth[p] + 1 }
                        }
                        Need::Group(group) | Need::GroupEnd(group) => groups[*group as usize],
                    },
                );
            }
            start_s[at] = reached.end_s.max(0.0);
            before[at] = reached.by;
            depth[at] = reached.depth;
            let here = Reached { end_s: start_s[at] + seconds[at], by: *task, depth: depth[at] + 1 };
            last = later(last, here);
            if let Some(group) = self.families[function_of[at] as usize].group {
                let group = &mut groups[group as usize];
                *group = later(*group, here);
            }
        }
        let group_depth = groups.iter().map(|group| group.depth).collect();
        Forward { start_s, before, depth, last, group_depth }
    }

    /// For each task the longest way from its end to the end of all.
    fn backward(&self, order: &[u32], function_of: &[u32], seconds: &[f64]) -> Vec<f64> {
        let mut after = vec![0.0_f64; self.len() as usize];
        let mut group_after = vec![0.0_f64; self.groups.len()];
        for task in order.iter().rev() {
            let at = *task as usize;
            if let Some(group) = self.families[function_of[at] as usize].group {
                after[at] = after[at].max(group_after[group as usize]);
            }
            let from_start = after[at] + seconds[at];
            for need in self.needs(*task) {
                let known = match need {
                    Need::Task(producer) => &mut after[*producer as usize],
                    Need::Group(group) | Need::GroupEnd(group) => &mut group_after[*group as usize],
                };
                *known = known.max(from_start);
            }
        }
        after
    }

    fn shares(
        &self,
        seconds: &[f64],
        slack_s: &[f64],
        path: &[u32],
        function_of: &[u32],
    ) -> Vec<FunctionShare> {
        let none = FunctionShare {
            instances: 0,
            seconds: 0.0,
            on_path: 0,
            path_s: 0.0,
            critical: 0,
            least_slack_s: f64::INFINITY,
        };
        let mut shares = vec![none; self.functions.len()];
        for (task, function) in function_of.iter().enumerate() {
            let share = &mut shares[*function as usize];
            share.instances += 1;
            share.seconds += seconds[task];
            share.critical += u32::from(slack_s[task] == 0.0);
            share.least_slack_s = share.least_slack_s.min(slack_s[task]);
        }
        for task in path {
            let share = &mut shares[function_of[*task as usize] as usize];
            share.on_path += 1;
            share.path_s += seconds[*task as usize];
        }
        shares
    }

    /// Components, sources and sinks.
    fn ends(&self, function_of: &[u32]) -> (u32, u32, u32) {
        let total = self.len();
        // Groups are nodes after the tasks.
        let mut parts: UnionFind<u32> = UnionFind::new(total as usize + self.groups.len());
        // Each group has a member, so none of them stays a part of its own.
        let mut components = total + self.groups.len() as u32;
        let (mut sources, mut sinks) = (0, 0);
        for task in 0..total {
            let needs = self.needs(task);
            sources += u32::from(needs.is_empty());
            for need in needs {
                let other = match need {
                    Need::Task(producer) => *producer,
                    Need::Group(group) | Need::GroupEnd(group) => total + group,
                };
                components -= u32::from(parts.union(other, task));
            }
            let group = self.families[function_of[task as usize] as usize].group;
            sinks += u32::from(self.readers(task).is_empty() && group.is_none());
        }
        for (group, node) in self.groups.iter().zip(total..) {
            for member in self.instances(group.function) {
                components -= u32::from(parts.union(node, member));
            }
        }
        (components, sources, sinks)
    }
}

fn levels(depth: &[u32], seconds: &[f64], function_of: &[u32]) -> Vec<Level> {
    let count = depth.iter().max().map_or(0, |deepest| *deepest as usize + 1);
    let mut levels = vec![Level::default(); count];
    // Tasks come function by function, so the functions of a level come in order.
    for (task, depth) in depth.iter().enumerate() {
        let level = &mut levels[*depth as usize];
        level.tasks += 1;
        level.seconds += seconds[task];
        match level.functions.last_mut() {
            Some((function, instances)) if *function == function_of[task] => *instances += 1,
            Some(_) | None => level.functions.push((function_of[task], 1)),
        }
    }
    levels
}

/// What the forward pass finds.
struct Forward {
    start_s: Vec<f64>,
    /// The task that each waits for longest.
    before: Vec<u32>,
    depth: Vec<u32>,
    /// What ends last.
    last: Reached,
    /// How deep the readers of each group lie at least.
    group_depth: Vec<u32>,
}

#[cfg(test)]
#[path = "analysis_tests.rs"]
mod tests;
