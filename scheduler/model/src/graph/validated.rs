//! A graph that has been checked: acyclic, every reference resolved, every request an entry of a table.
//!
//! It is made to be held a million functions long: instances of a sweep are not stored but counted
//! (the instances of one function follow each other), edges are in compressed rows, and an edge from
//! all of a family goes through a *group*, so that N readers of M instances cost N + M and not N * M.

use crate::{
    Axis, Code, Cost, DeviceKind, OnFailure, Order, OutputSpec, Request, Retry, Span, Tolerance, expand,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A checked graph. Tasks are addressed by index, 0 to [`Graph::len`].
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// Its name.
    pub name: String,
    /// What was said of the whole graph.
    pub settings: Settings,
    /// Whose earlier runs tell what its functions take: graphs with different numbers share no history. 0
    /// where there is one user alone.
    pub history: u64,
    /// The user's files by name.
    pub inputs: BTreeMap<String, String>,
    pub(crate) functions: Vec<Function>,
    /// For each function the index of its first instance, and the number of all tasks at the end.
    pub(crate) first: Vec<u32>,
    pub(crate) families: Vec<Family>,
    pub(crate) requests: Vec<Request>,
    pub(crate) groups: Vec<Group>,
    /// What each task waits for, without repetition.
    pub(crate) needs: Rows<Need>,
    /// Tasks that wait for each task directly.
    pub(crate) readers: Rows<u32>,
    /// The values each task reads, in the order of its arguments.
    pub(crate) args: Rows<Arg>,
    /// For each task a bit for each output that is kept after the last reader has ended.
    pub(crate) kept: Vec<u64>,
    /// Task indices in order of a hash of their ids, for look-up by id.
    pub(crate) by_id: Vec<(u64, u32)>,
}

/// What was said of a whole graph.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// Name of the strategy.
    pub strategy: String,
    /// In what order ready functions run.
    pub order: Order,
    /// How many failures it bears.
    pub tolerance: Tolerance,
    /// What to do when it fails.
    pub on_failure: OnFailure,
    /// How long it may take in all.
    pub timeout: Option<Span>,
    /// Its place in the queue: higher goes first.
    pub priority: i32,
    /// What is weighed against what.
    pub weights: crate::Weights,
}

/// A function, or a family of them.
#[derive(Clone, PartialEq, Debug)]
pub struct Function {
    /// Its id, with placeholders where it is a family.
    pub id: String,
    /// The axes of its sweep; none for a single function.
    pub axes: Vec<Axis>,
    /// What it runs.
    pub code: Code,
    /// What it makes.
    pub outputs: Vec<OutputSpec>,
    /// The ways to run it; at least one.
    pub variants: Vec<Variant>,
    /// When it is started again; without it, it is started once.
    pub retry: Option<Box<Retry>>,
    /// How long an attempt may take.
    pub timeout: Option<Span>,
    /// At most this many instances at once.
    pub max_parallel: Option<u32>,
    /// What few functions have.
    pub extras: Option<Box<Extras>>,
}

/// What few functions have, kept apart so that the others stay small.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Extras {
    /// Words appended to the command.
    pub extra_args: Vec<String>,
    /// Variables of its environment.
    pub env: Vec<(String, String)>,
    /// Its working directory, relative to the graph file.
    pub dir: Option<String>,
    /// The signal that asks it to end.
    pub signal: Option<i32>,
    /// How long it has after that signal.
    pub grace: Option<Span>,
    /// The node it must run on.
    pub node: Option<String>,
    /// The command that undoes it.
    pub compensate: Vec<String>,
}

/// A way to run a function.
#[derive(Clone, PartialEq, Debug)]
pub struct Variant {
    /// On cores or on a GPU.
    pub kind: DeviceKind,
    /// What it asks of the ledger: an index into [`Graph::requests`].
    pub request: u32,
    /// What was declared.
    pub cost: Arc<Cost>,
}

/// A family: all instances of one function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Family {
    /// Its name.
    pub name: String,
    /// The group of its instances, if anything reads all of them.
    pub group: Option<u32>,
}

/// All instances of a function as one thing to wait for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// The function.
    pub function: u32,
    /// Tasks that wait for all of it to succeed.
    pub readers: Vec<u32>,
    /// Tasks that wait for all of it to end, and take those that succeeded.
    pub lenient_readers: Vec<u32>,
}

/// What a task waits for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Need {
    /// That this task succeeds.
    Task(u32),
    /// That all of this group succeeds.
    Group(u32),
    /// That all of this group ends.
    GroupEnd(u32),
}

/// A value that a task reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arg {
    /// One value.
    Value {
        /// Its producer.
        task: u32,
        /// Which output.
        index: u16,
    },
    /// The same output of each instance of a family.
    Family {
        /// The group.
        group: u32,
        /// Which output.
        index: u16,
        /// Only of those that succeeded.
        succeeded: bool,
    },
}

/// Rows of different lengths in one block of memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Rows<T> {
    start: Vec<u32>,
    items: Vec<T>,
}

impl<T> Rows<T> {
    pub(crate) fn with_capacity(rows: usize) -> Self {
        let mut start = Vec::with_capacity(rows + 1);
        start.push(0);
        Self { start, items: Vec::new() }
    }

    pub(crate) fn push_row(&mut self, row: impl IntoIterator<Item = T>) {
        self.items.extend(row);
        self.start.push(self.items.len() as u32);
    }

    pub(crate) fn row(&self, row: u32) -> &[T] {
        let row = row as usize;
        &self.items[self.start[row] as usize..self.start[row + 1] as usize]
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }
}

impl Rows<u32> {
    /// From pairs of a row and an item: a counting sort, stable within a row.
    pub(crate) fn from_pairs(rows: usize, pairs: impl Iterator<Item = (u32, u32)> + Clone) -> Self {
        let mut start = vec![0_u32; rows + 1];
        for (row, _) in pairs.clone() {
            start[row as usize + 1] += 1;
        }
        for row in 0..rows {
            start[row + 1] += start[row];
        }
        let mut next = start.clone();
        let mut items = vec![0_u32; start[rows] as usize];
        for (row, item) in pairs {
            let at = &mut next[row as usize];
            items[*at as usize] = item;
            *at += 1;
        }
        Self { start, items }
    }
}

impl Graph {
    /// How many tasks it has.
    pub fn len(&self) -> u32 {
        self.first.last().copied().unwrap_or(0)
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All its functions, as written.
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// All requests that its variants make.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// All its groups.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// How many dependencies it has; one through a group counts once for each side.
    pub fn edges(&self) -> usize {
        self.needs.len()
    }

    /// The number of the function that a task is an instance of.
    pub fn function_index(&self, task: u32) -> u32 {
        // The last start that is not beyond the task; empty families share a start with the next.
        self.first.partition_point(|first| *first <= task) as u32 - 1
    }

    /// The function that a task is an instance of.
    pub fn function(&self, task: u32) -> &Function {
        &self.functions[self.function_index(task) as usize]
    }

    /// The name of the family that a task belongs to.
    pub fn family(&self, task: u32) -> &str {
        &self.families[self.function_index(task) as usize].name
    }

    /// The name of the family of a function.
    pub fn family_name(&self, function: u32) -> &str {
        &self.families[function as usize].name
    }

    /// The instances of a function.
    pub fn instances(&self, function: u32) -> std::ops::Range<u32> {
        self.first[function as usize]..self.first[function as usize + 1]
    }

    /// The instances of a group.
    pub fn members(&self, group: u32) -> std::ops::Range<u32> {
        self.instances(self.groups[group as usize].function)
    }

    /// The group that a task is a member of, if anything reads all of its family.
    pub fn group_of(&self, task: u32) -> Option<u32> {
        self.families[self.function_index(task) as usize].group
    }

    /// What a task waits for, without repetition.
    pub fn needs(&self, task: u32) -> &[Need] {
        self.needs.row(task)
    }

    /// The tasks that wait for a task directly, not through a group.
    pub fn readers(&self, task: u32) -> &[u32] {
        self.readers.row(task)
    }

    /// The values that a task reads, in the order of its arguments.
    pub fn args(&self, task: u32) -> &[Arg] {
        self.args.row(task)
    }

    /// Whether an output outlives its readers: nobody reads it, or its author wants it kept.
    pub fn is_kept(&self, task: u32, output: u16) -> bool {
        output >= 64 || self.kept[task as usize] & (1 << output) != 0
    }

    /// Whether any output of a task may go when its last reader has ended.
    pub fn has_passing_outputs(&self, task: u32) -> bool {
        let outputs = self.function(task).outputs.len() as u16;
        (0..outputs).any(|output| !self.is_kept(task, output))
    }

    /// The values of a task's `foreach` names, in the order of the axes.
    pub fn bindings(&self, task: u32) -> Vec<(&str, &str)> {
        let function = self.function_index(task);
        bindings(&self.functions[function as usize].axes, task - self.first[function as usize])
    }

    /// The id of a task, placeholders replaced.
    pub fn task_name(&self, task: u32) -> String {
        let function = self.function_index(task);
        let function_ref = &self.functions[function as usize];
        if function_ref.axes.is_empty() {
            return function_ref.id.clone();
        }
        instance_id(function_ref, task - self.first[function as usize])
    }

    /// The task with this id.
    pub fn find(&self, id: &str) -> Option<u32> {
        let hash = hash_id(id);
        let from = self.by_id.partition_point(|(known, _)| *known < hash);
        self.by_id[from..]
            .iter()
            .take_while(|(known, _)| *known == hash)
            .map(|(_, task)| *task)
            .find(|task| self.task_name(*task) == id)
    }

    /// The way to run a task that has this number; the first where there is none such.
    pub fn variant(&self, task: u32, variant: u8) -> &Variant {
        let variants = &self.function(task).variants;
        variants.get(usize::from(variant)).unwrap_or(&variants[0])
    }

    /// What a variant of a task asks of the ledger.
    pub fn request(&self, task: u32, variant: u8) -> &Request {
        &self.requests[self.variant(task, variant).request as usize]
    }
}

impl Function {
    /// Whether it may simply be run again.
    pub const fn is_pure(&self) -> bool {
        match &self.code {
            Code::Command(_) => false,
            Code::Kernel { .. } => true,
            Code::Python { pure, .. } => *pure,
        }
    }
}

/// The bindings of one instance, the last axis turning fastest.
pub(crate) fn bindings(axes: &[Axis], instance: u32) -> Vec<(&str, &str)> {
    let mut rest = instance as usize;
    let mut bound: Vec<(&str, &str)> = axes
        .iter()
        .rev()
        .map(|axis| {
            let value = &axis.values[rest % axis.values.len()];
            rest /= axis.values.len();
            (axis.name.as_str(), value.as_str())
        })
        .collect();
    bound.reverse();
    bound
}

/// The id of one instance.
pub(crate) fn instance_id(function: &Function, instance: u32) -> String {
    let bound = bindings(&function.axes, instance);
    expand(&function.id, |name| bound.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned()))
}

/// FNV-1a: small, and the same on every machine and in every version.
pub(crate) fn hash_id(id: &str) -> u64 {
    id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

impl Graph {
    /// For each task the length of the longest way to it from a task without needs.
    pub fn depths(&self) -> Vec<u32> {
        let mut depth = vec![0_u32; self.len() as usize];
        // How deep the readers of each group lie, so that its members are looked at once.
        let mut below = vec![0_u32; self.groups.len()];
        for task in self.topological() {
            let deepest = self
                .needs(task)
                .iter()
                .map(|need| match need {
                    Need::Task(producer) => depth[*producer as usize] + 1,
                    Need::Group(group) | Need::GroupEnd(group) => below[*group as usize],
                })
                .max()
                .unwrap_or(0);
            depth[task as usize] = deepest;
            if let Some(group) = self.group_of(task) {
                below[group as usize] = below[group as usize].max(deepest + 1);
            }
        }
        depth
    }

    /// All tasks, each after everything it needs; among equals the lower index first.
    pub fn topological(&self) -> Vec<u32> {
        use std::cmp::Reverse;
        use std::collections::BinaryHeap;
        let total = self.len();
        let mut missing: Vec<u32> = (0..total).map(|task| self.needs(task).len() as u32).collect();
        let mut group_missing: Vec<u32> =
            (0..self.groups.len() as u32).map(|group| self.members(group).len() as u32).collect();
        let mut ready: BinaryHeap<Reverse<u32>> =
            (0..total).filter(|task| missing[*task as usize] == 0).map(Reverse).collect();
        let mut order = Vec::with_capacity(total as usize);
        while let Some(Reverse(task)) = ready.pop() {
            order.push(task);
            let mut release = |reader: &u32| {
                missing[*reader as usize] -= 1;
                if missing[*reader as usize] == 0 {
                    ready.push(Reverse(*reader));
                }
            };
            self.readers(task).iter().for_each(&mut release);
            if let Some(group) = self.group_of(task) {
                group_missing[group as usize] -= 1;
                if group_missing[group as usize] == 0 {
                    let group = &self.groups[group as usize];
                    group.readers.iter().chain(&group.lenient_readers).for_each(&mut release);
                }
            }
        }
        order
    }
}
