//! From a user's graph on real machines to a planning instance.
//!
//! Per node the cores (in thousandths), the RAM (in bytes) and each named resource are resources, and per GPU
//! its share (in thousandths) and its memory. A node's cores are one device whose memory is the RAM, each GPU
//! is one with a memory of its own. A function's variants on all places that could hold them are the modes of
//! its instances; functions that are alike in that are one kind. Readers of all of a family wait for a gather.
//! An edge moves the declared sizes of the outputs that its reader reads; what is not declared counts nothing.
//!
//! What has ended is left out, and what runs is left out too: its readers may start when it is expected to
//! end. A task that no machine could hold is left out as if it had ended. `sequential` order and
//! `max_parallel` are resources of which each task takes 1. Hostile numbers are bounded; nothing overflows.

use super::machine::Machine;
use super::{Edge, Instance, Kind, Mode, Occupied, Rows};
use dunnage_core::PlanProblem;
use dunnage_model::{Arg, DeviceId, Graph, Need, Order};
use std::collections::BTreeMap;

/// No task is expected to run for longer than this.
const SECONDS_MAX: f64 = 1e12;

/// At most this many different sizes are read from one family; readers of more are taken to read the most.
const SIZES_MAX: usize = 4;

/// An instance and what its numbers mean.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The instance.
    pub instance: Instance,
    /// For each task of the instance the task of the graph.
    pub tasks: Vec<u32>,
    /// For each device of the instance the device of the machine.
    pub devices: Vec<DeviceId>,
    /// Seconds until the last running task of the graph is expected to end.
    pub busy_s: f64,
}

/// Makes an instance of a problem. Cost: linear in tasks, edges, and kinds times devices.
pub fn from_problem(problem: &PlanProblem) -> Planned {
    let graph = &*problem.graph;
    let mut machine = Machine::new(problem);
    let limits = Limits::new(graph, &mut machine);
    let (kinds, kind_of_function) = kinds(problem, &machine, &limits);

    // Tasks to plan are numbered anew; what runs has a time at which its readers may start.
    let mut number = vec![u32::MAX; graph.len() as usize];
    let mut tasks = Vec::with_capacity(graph.len() as usize);
    let mut kind_of = Vec::with_capacity(graph.len() as usize);
    for function in 0..graph.functions().len() as u32 {
        let Some(kind) = kind_of_function[function as usize] else { continue };
        for task in graph.instances(function) {
            if problem.settled.get(task as usize).is_some_and(|settled| *settled) {
                continue;
            }
            number[task as usize] = tasks.len() as u32;
            tasks.push(task);
            kind_of.push(kind);
        }
    }
    let mut running: BTreeMap<u32, f64> = BTreeMap::new();
    let mut occupied = Vec::new();
    for busy in &problem.busy {
        let until = if busy.left_s > 0.0 { busy.left_s.min(SECONDS_MAX) } else { 0.0 };
        let mut held = machine.held(&busy.placement);
        if let Some(task) = busy.task.filter(|task| *task < graph.len()) {
            running.insert(task, until);
            held.extend(limits.takes(graph.function_index(task)));
        }
        occupied.extend(held.into_iter().map(|(resource, amount)| Occupied { resource, amount, until }));
    }

    let sizes = FamilySizes::new(graph, &tasks);
    let mut gathers = Gathers::default();
    let mut earliest = vec![0.0_f64; tasks.len()];
    let mut parents: Rows<Edge> = Rows::default();
    let mut read = Vec::new();
    let mut row = Vec::new();
    for (at, task) in tasks.iter().enumerate() {
        sizes.read_by(graph, *task, &mut read);
        for need in graph.needs(*task) {
            match need {
                Need::Task(producer) => {
                    let size = size_of(&read, Read::Task(*producer));
                    let node = number[*producer as usize];
                    if node != u32::MAX {
                        row.push(Edge { node, size: size as f64 });
                    } else if let Some(until) = running.get(producer) {
                        earliest[at] = earliest[at].max(*until);
                    }
                }
                Need::Group(group) | Need::GroupEnd(group) => {
                    let size = sizes.rounded(*group, size_of(&read, Read::Group(*group)));
                    let ends = running.range(graph.members(*group)).map(|(_, until)| *until);
                    let until = gathers.running.entry(*group).or_insert_with(|| ends.fold(0.0, f64::max));
                    earliest[at] = earliest[at].max(*until);
                    row.push(Edge { node: tasks.len() as u32 + gathers.number(*group, size), size: 0.0 });
                }
            }
        }
        parents.push(row.drain(..));
    }
    for (group, size) in &gathers.list {
        let members = graph.members(*group).map(|member| number[member as usize]);
        parents.push(members.filter(|node| *node != u32::MAX).map(|node| Edge { node, size: *size as f64 }));
    }
    let nodes = tasks.len() + gathers.list.len();
    let instance = Instance {
        children: parents.reversed(nodes),
        parents,
        kinds,
        kind_of,
        gathers: gathers.list.len() as u32,
        transfers: machine.transfers(),
        earliest: if earliest.iter().all(|time| *time == 0.0) { Vec::new() } else { earliest },
        occupied,
        value_memory: Vec::new(),
        fragmenting: machine.shares(),
        devices: machine.devices,
        resources: machine.resources,
    };
    let busy_s = running.values().copied().fold(0.0, f64::max);
    Planned { instance, tasks, devices: machine.ids, busy_s }
}

/// Resources that stand for how many tasks may run at once.
struct Limits {
    sequential: Option<u32>,
    /// For each function with a `max_parallel` its resource.
    of_function: BTreeMap<u32, u32>,
}

impl Limits {
    fn new(graph: &Graph, machine: &mut Machine<'_>) -> Self {
        let sequential = (graph.settings.order == Order::Sequential)
            .then(|| machine.resource("one after another".to_owned(), 1));
        let mut of_function = BTreeMap::new();
        for (at, function) in graph.functions().iter().enumerate() {
            let instances = graph.instances(at as u32).len();
            if let Some(max) = function.max_parallel
                && (max.max(1) as usize) < instances
            {
                let name = format!("{} at once", graph.family(graph.instances(at as u32).start));
                of_function.insert(at as u32, machine.resource(name, u64::from(max.max(1))));
            }
        }
        Self { sequential, of_function }
    }

    fn takes(&self, function: u32) -> impl Iterator<Item = (u32, u64)> {
        self.sequential.iter().chain(self.of_function.get(&function)).map(|resource| (*resource, 1))
    }
}

/// The kinds of a graph's tasks, and for each function its kind; none where nothing could hold it.
fn kinds(problem: &PlanProblem, machine: &Machine<'_>, limits: &Limits) -> (Vec<Kind>, Vec<Option<u32>>) {
    let graph = &*problem.graph;
    /// What functions that are one kind have in common: requests, seconds as bits, node, limit.
    type Alike<'a> = (Vec<u32>, Vec<u64>, Option<&'a str>, Option<u32>);
    let mut known: BTreeMap<Alike<'_>, Option<u32>> = BTreeMap::new();
    let mut kinds: Vec<Kind> = Vec::new();
    let mut of_function = Vec::with_capacity(graph.functions().len());
    for (at, function) in graph.functions().iter().enumerate() {
        let at = at as u32;
        if graph.instances(at).is_empty() {
            of_function.push(None);
            continue;
        }
        let pinned = function.extras.as_ref().and_then(|extras| extras.node.as_deref());
        let requests = function.variants.iter().map(|variant| variant.request).collect();
        let seconds = problem.seconds.get(at as usize).into_iter().flatten();
        let seconds = seconds.flat_map(|classes| classes.iter().map(|seconds| seconds.to_bits())).collect();
        let alike = (requests, seconds, pinned, limits.of_function.get(&at).copied());
        let kind = *known.entry(alike).or_insert_with(|| {
            let mut modes: Vec<Mode> = Vec::new();
            for (variant, asked) in function.variants.iter().enumerate().take(usize::from(u8::MAX) + 1) {
                let request = &graph.requests()[asked.request as usize];
                machine.modes(at, variant as u8, request, pinned, &mut modes);
            }
            // A schedule counts modes in 16 bits.
            modes.truncate(usize::from(u16::MAX));
            for mode in modes.iter_mut().filter(|_| limits.takes(at).next().is_some()) {
                mode.takes = mode.takes.iter().copied().chain(limits.takes(at)).collect();
            }
            if modes.is_empty() {
                return None;
            }
            kinds.push(Kind { modes });
            Some(kinds.len() as u32 - 1)
        });
        of_function.push(kind);
    }
    (kinds, of_function)
}

/// From whom something is read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Read {
    Task(u32),
    Group(u32),
}

/// The bytes read from one producer, in a list sorted by producer.
fn size_of(read: &[(Read, u64)], from: Read) -> u64 {
    read.binary_search_by_key(&from, |(known, _)| *known).map_or(0, |at| read[at].1)
}

/// The declared sizes of outputs, and how many different amounts are read from each family.
struct FamilySizes {
    /// For each group the amounts read from each of its members, ascending; the largest alone where there are
    /// too many.
    of_group: BTreeMap<u32, Vec<u64>>,
    is_known: bool,
}

impl FamilySizes {
    fn new(graph: &Graph, tasks: &[u32]) -> Self {
        let is_known = graph
            .functions()
            .iter()
            .flat_map(|function| &function.outputs)
            .any(|output| output.size.is_some());
        let mut sizes = Self { of_group: BTreeMap::new(), is_known };
        if !is_known || graph.groups().is_empty() {
            return sizes;
        }
        let mut read = Vec::new();
        for task in tasks {
            sizes.read_by(graph, *task, &mut read);
            for (from, size) in &read {
                let Read::Group(group) = from else { continue };
                let known = sizes.of_group.entry(*group).or_default();
                if let Err(at) = known.binary_search(size) {
                    known.insert(at, *size);
                }
                if known.len() > SIZES_MAX {
                    known.drain(..known.len() - 1);
                }
            }
        }
        sizes
    }

    /// The least amount in the list that is no less than this.
    fn rounded(&self, group: u32, size: u64) -> u64 {
        if size == 0 {
            return 0;
        }
        self.of_group.get(&group).map_or(size, |known| {
            let at = known.partition_point(|known| *known < size);
            known.get(at).copied().unwrap_or(size)
        })
    }

    /// What a task reads from whom, in bytes; each value once.
    fn read_by(&self, graph: &Graph, task: u32, out: &mut Vec<(Read, u64)>) {
        out.clear();
        if !self.is_known {
            return;
        }
        let mut values: Vec<(Read, u16)> = graph
            .args(task)
            .iter()
            .map(|arg| match arg {
                Arg::Value { task, index } => (Read::Task(*task), *index),
                Arg::Family { group, index, .. } => (Read::Group(*group), *index),
            })
            .collect();
        values.sort_unstable();
        values.dedup();
        for (from, index) in values {
            let function = match from {
                Read::Task(producer) => graph.function(producer),
                Read::Group(group) => &graph.functions()[graph.groups()[group as usize].function as usize],
            };
            let size = function.outputs.get(usize::from(index)).and_then(|output| output.size);
            let size = size.map_or(0, |size| size.0);
            match out.last_mut() {
                Some((known, sum)) if *known == from => *sum = sum.saturating_add(size),
                _ => out.push((from, size)),
            }
        }
    }
}

/// The gathers: one for each family and amount read from each of its members.
#[derive(Default)]
struct Gathers {
    list: Vec<(u32, u64)>,
    known: BTreeMap<(u32, u64), u32>,
    /// For each group the time at which those of it that run now are expected to have ended.
    running: BTreeMap<u32, f64>,
}

impl Gathers {
    fn number(&mut self, group: u32, size: u64) -> u32 {
        *self.known.entry((group, size)).or_insert_with(|| {
            self.list.push((group, size));
            self.list.len() as u32 - 1
        })
    }
}
