//! Online strategies on an [`Instance`], in virtual time: the strategy objects of the daemon, shown a ledger
//! that is built from the instance's machine.
//!
//! A task is offered to the strategy as soon as its parents have ended, first come first served; one that
//! does not fit is passed over by those that do. For `random` alone what is ready is taken in random order:
//! where a task can run in one way only, the order is all that there is to choose, and a baseline that came
//! first and was served first would not be random. A device is held from the decision on, while the values are
//! still on their way, as it is in the daemon. Cost: for each task one look at each of its modes, and for
//! each end one look at each group of tasks that ask for the same.

use crate::validate::OrderedTime;
use dunnage_core::{Candidate, Estimate, Estimates, Ledger, Proposal, Rng, Strategy, View};
use dunnage_model::{
    Attempt, AttemptId, Basis, Bytes, Cost, CpuSpec, DeviceId, GpuRequest, GraphId, MilliCores, NodeId,
    NodeSpec, Request, Span, TaskId, Time, Weights,
};
use dunnage_strategies::planning::{Instance, Mode, Schedule};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

/// An instance's machine as nodes, and each group of like tasks' ways to ask for it.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// The nodes.
    pub nodes: Vec<Arc<NodeSpec>>,
    /// What tasks ask for, each kind of asking once.
    pub shapes: Vec<Shape>,
    /// For each kind of the instance its shape.
    pub shape_of_kind: Vec<u32>,
}

/// What like tasks ask for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Shape {
    /// For each mode the request, the node and the GPUs.
    pub ways: Vec<Way>,
    /// For each variant what it asks for.
    pub requests: Vec<Request>,
}

/// A mode as the ledger knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Way {
    /// What it asks for.
    pub request: Request,
    /// On which node.
    pub node: NodeId,
    /// On which GPUs there.
    pub gpus: Vec<DeviceId>,
}

/// A variant and what a mode of it takes.
type Asks = (u8, Box<[(u32, u64)]>);

/// More cores than this are not counted in thousandths.
const CORES_MAX: u64 = 4_000_000;

impl Site {
    /// The machine of an instance: devices that share a resource are one node; its first resource counts as
    /// cores, the second as RAM, further ones by name.
    ///
    /// # Errors
    /// There are more devices than the ledger has numbers for.
    pub fn of(instance: &Instance) -> Result<Self, String> {
        let node_of = components(instance);
        let nodes_count = node_of.iter().copied().max().map_or(0, |last| last + 1);
        if nodes_count > usize::from(u16::MAX) {
            return Err(format!(
                "there are {nodes_count} devices that share nothing, more than can be told apart"
            ));
        }
        // For each resource its rank on its node.
        let mut seen = vec![0_usize; nodes_count];
        let rank: Vec<usize> = node_of
            .iter()
            .map(|node| {
                seen[*node] += 1;
                seen[*node] - 1
            })
            .collect();
        let mut nodes: Vec<NodeSpec> = (0..nodes_count)
            .map(|node| NodeSpec {
                id: NodeId(node as u16),
                name: format!("n{node}"),
                cpu: CpuSpec { capacity: MilliCores(0), model: "unit".to_owned(), numa_nodes: Vec::new() },
                ..NodeSpec::new(0, Bytes::ZERO)
            })
            .collect();
        let usage = |at: usize| match rank[at] {
            0 if instance.resources[at].capacity <= CORES_MAX => Usage::Cores,
            1 => Usage::Memory,
            _ => Usage::Custom,
        };
        for (at, resource) in instance.resources.iter().enumerate() {
            let node = &mut nodes[node_of[at]];
            match usage(at) {
                Usage::Cores => node.cpu.capacity = MilliCores::cores(resource.capacity as u32),
                Usage::Memory => node.memory = Bytes(resource.capacity),
                Usage::Custom => {
                    node.custom.insert(format!("r{at}"), resource.capacity);
                }
            }
        }
        if nodes.is_empty() {
            nodes.push(NodeSpec::new(1, Bytes::ZERO));
        }
        let names: Vec<Arc<str>> = (0..instance.resources.len()).map(|at| format!("r{at}").into()).collect();
        let mut site = Self { nodes: nodes.into_iter().map(Arc::new).collect(), ..Self::default() };
        let mut known: BTreeMap<Vec<Asks>, u32> = BTreeMap::new();
        for kind in &instance.kinds {
            let key: Vec<Asks> = kind.modes.iter().map(|mode| (mode.variant, mode.takes.clone())).collect();
            let next = site.shapes.len() as u32;
            let shape = *known.entry(key).or_insert(next);
            if shape == next {
                site.shapes.push(Shape::new(&kind.modes, |mode| {
                    let node = mode.takes.first().map_or(0, |(resource, _)| node_of[*resource as usize]);
                    let mut request = Request {
                        cpus: MilliCores(0),
                        memory: Bytes::ZERO,
                        gpu: GpuRequest::None,
                        custom: Box::default(),
                    };
                    let mut custom = Vec::new();
                    for (resource, amount) in &mode.takes {
                        match usage(*resource as usize) {
                            Usage::Cores => request.cpus = MilliCores::cores(*amount as u32),
                            Usage::Memory => request.memory = Bytes(*amount),
                            Usage::Custom => custom.push((Arc::clone(&names[*resource as usize]), *amount)),
                        }
                    }
                    custom.sort();
                    request.custom = custom.into();
                    Way { request, node: NodeId(node as u16), gpus: Vec::new() }
                }));
            }
            site.shape_of_kind.push(shape);
        }
        Ok(site)
    }
}

impl Shape {
    /// The shape of modes.
    pub fn new(modes: &[Mode], way: impl Fn(&Mode) -> Way) -> Self {
        let ways: Vec<Way> = modes.iter().map(way).collect();
        let variants = modes.iter().map(|mode| mode.variant).max().map_or(0, |last| u16::from(last) + 1);
        let requests = (0..variants)
            .map(|variant| {
                let at = modes.iter().position(|mode| u16::from(mode.variant) == variant).unwrap_or(0);
                ways[at].request.clone()
            })
            .collect();
        Self { ways, requests }
    }
}

/// As what a resource counts.
enum Usage {
    Cores,
    Memory,
    Custom,
}

/// For each resource its node: resources that a mode takes together are on one.
fn components(instance: &Instance) -> Vec<usize> {
    let mut root: Vec<u32> = (0..instance.resources.len() as u32).collect();
    fn find(root: &mut [u32], mut at: u32) -> u32 {
        while root[at as usize] != at {
            root[at as usize] = root[root[at as usize] as usize];
            at = root[at as usize];
        }
        at
    }
    for mode in instance.kinds.iter().flat_map(|kind| &kind.modes) {
        for pair in mode.takes.windows(2) {
            let (a, b) = (find(&mut root, pair[0].0), find(&mut root, pair[1].0));
            root[a.max(b) as usize] = a.min(b);
        }
    }
    let mut number: BTreeMap<u32, usize> = BTreeMap::new();
    (0..root.len() as u32)
        .map(|at| {
            let found = find(&mut root, at);
            let next = number.len();
            *number.entry(found).or_insert(next)
        })
        .collect()
}

/// What happens next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Happens {
    /// What others held is free.
    Freed(u32),
    /// A task ends.
    Ends(u32),
    /// A task may start.
    Due(u32),
}

/// Runs a strategy over an instance that [`Instance::check`] finds nothing wrong with.
///
/// # Errors
/// A task that the strategy never places.
pub fn run(
    instance: &Instance,
    site: &Site,
    strategy: &mut dyn Strategy,
    seed: u64,
) -> Result<Schedule, String> {
    Run::new(instance, site).run(strategy, seed)
}

struct Run<'a> {
    instance: &'a Instance,
    site: &'a Site,
    ledger: Ledger,
    estimates: Estimates,
    free: Vec<u64>,
    /// For each node how many parents have not ended.
    missing: Vec<u32>,
    /// Row-major by gather and place: when the last of its values could be there.
    gathered: Vec<f64>,
    agenda: BinaryHeap<Reverse<(OrderedTime, Happens)>>,
    /// By shape, in order of readiness.
    waiting: Vec<BinaryHeap<Reverse<(u64, u32)>>>,
    next: u64,
    /// Where order is random, by what.
    shuffle: Option<Rng>,
    now: f64,
    schedule: Schedule,
    placed: u32,
}

impl<'a> Run<'a> {
    fn new(instance: &'a Instance, site: &'a Site) -> Self {
        let tasks = instance.tasks() as usize;
        let mut ledger = Ledger::default();
        for node in &site.nodes {
            ledger.add_node(Arc::clone(node));
        }
        Self {
            instance,
            site,
            ledger,
            estimates: Estimates::default(),
            free: instance.resources.iter().map(|resource| resource.capacity).collect(),
            missing: (0..instance.nodes()).map(|node| instance.parents.row(node).len() as u32).collect(),
            gathered: vec![0.0; instance.gathers as usize * instance.transfers.places()],
            agenda: BinaryHeap::new(),
            waiting: vec![BinaryHeap::new(); site.shapes.len()],
            next: 0,
            shuffle: None,
            now: 0.0,
            schedule: Schedule {
                mode: vec![0; tasks],
                start: vec![0.0; tasks],
                end: vec![0.0; tasks],
                schedules: 1,
                ..Schedule::default()
            },
            placed: 0,
        }
    }

    fn run(mut self, strategy: &mut dyn Strategy, seed: u64) -> Result<Schedule, String> {
        self.shuffle = (strategy.name() == "random").then(|| Rng::of(seed, u64::MAX));
        for (at, held) in self.instance.occupied.iter().enumerate() {
            let free = &mut self.free[held.resource as usize];
            *free = free.saturating_sub(held.amount);
            self.agenda.push(Reverse((OrderedTime(held.until), Happens::Freed(at as u32))));
        }
        let mut ready: Vec<u32> = Vec::new();
        for node in 0..self.instance.nodes() {
            if self.instance.parents.row(node).is_empty() {
                self.settle(node, &mut ready);
            }
        }
        loop {
            self.take_in(&mut ready);
            self.place_what_fits(strategy, seed, false);
            if self.agenda.is_empty() && self.placed < self.instance.tasks() {
                // It waits, and nothing that it could wait for is left.
                self.place_what_fits(strategy, seed, true);
            }
            let Some(Reverse((time, _))) = self.agenda.peek().copied() else { break };
            self.now = self.now.max(time.0);
            while let Some(Reverse((time, what))) = self.agenda.peek().copied() {
                if time.0 > self.now {
                    break;
                }
                self.agenda.pop();
                match what {
                    Happens::Freed(at) => {
                        let held = &self.instance.occupied[at as usize];
                        let resource = held.resource as usize;
                        let capacity = self.instance.resources[resource].capacity;
                        self.free[resource] = (self.free[resource] + held.amount).min(capacity);
                    }
                    Happens::Ends(task) => self.end(task, &mut ready),
                    Happens::Due(task) => ready.push(task),
                }
            }
        }
        if self.placed < self.instance.tasks() {
            return Err(format!("{} of {} tasks were placed", self.placed, self.instance.tasks()));
        }
        self.schedule.makespan = self.schedule.end.iter().copied().fold(0.0, f64::max);
        Ok(self.schedule)
    }

    /// Takes in tasks whose parents have ended, by number within one moment.
    fn take_in(&mut self, ready: &mut Vec<u32>) {
        ready.sort_unstable();
        for task in ready.drain(..) {
            let kind = self.instance.kind_of[task as usize] as usize;
            let shape = self.site.shape_of_kind[kind] as usize;
            self.next += 1;
            let order = self.shuffle.as_mut().map_or(self.next, |rng| rng.next() >> 1);
            self.waiting[shape].push(Reverse((order, task)));
        }
    }

    fn end(&mut self, task: u32, ready: &mut Vec<u32>) {
        let mode = &self.instance.modes(task)[usize::from(self.schedule.mode[task as usize])];
        for (resource, amount) in &mode.takes {
            self.free[*resource as usize] += amount;
        }
        self.ledger.release(attempt(task));
        self.pass_on(task, ready);
    }

    /// One that waits for nothing any more: a task is ready at its earliest time, a gather passes on.
    fn settle(&mut self, node: u32, ready: &mut Vec<u32>) {
        if node >= self.instance.tasks() {
            self.pass_on(node, ready);
        } else if self.instance.earliest(node) > self.now {
            let due = OrderedTime(self.instance.earliest(node));
            self.agenda.push(Reverse((due, Happens::Due(node))));
        } else {
            ready.push(node);
        }
    }

    /// Tells the children of a node that has ended. Gathers have no cycles, so this ends; their chains are
    /// walked without recursion, since they may be long.
    fn pass_on(&mut self, node: u32, ready: &mut Vec<u32>) {
        let mut ended = vec![node];
        while let Some(node) = ended.pop() {
            for edge in self.instance.children.row(node) {
                let child = edge.node;
                self.missing[child as usize] -= 1;
                let is_gather = child >= self.instance.tasks();
                if is_gather {
                    let places = self.instance.transfers.places();
                    let first = (child - self.instance.tasks()) as usize * places;
                    for place in 0..places {
                        let there = self.there(node, edge.size, place as u32);
                        let known = &mut self.gathered[first + place];
                        *known = known.max(there);
                    }
                }
                if self.missing[child as usize] == 0 {
                    if is_gather {
                        ended.push(child);
                    } else {
                        self.settle(child, ready);
                    }
                }
            }
        }
    }

    /// When a value of a node that has ended could be at a place.
    fn there(&self, node: u32, size: f64, place: u32) -> f64 {
        let tasks = self.instance.tasks();
        if node >= tasks {
            let places = self.instance.transfers.places();
            return self.gathered[(node - tasks) as usize * places + place as usize];
        }
        let mode = &self.instance.modes(node)[usize::from(self.schedule.mode[node as usize])];
        let from = self.instance.devices[mode.device as usize].place;
        self.schedule.end[node as usize] + self.instance.transfers.seconds(size, from, place)
    }

    /// Offers what waits to the strategy, first come first served.
    fn place_what_fits(&mut self, strategy: &mut dyn Strategy, seed: u64, force: bool) {
        let mut heads: BTreeSet<(u64, usize)> = BTreeSet::new();
        for (shape, waiting) in self.waiting.iter().enumerate() {
            heads.extend(waiting.peek().map(|Reverse((order, _))| (*order, shape)));
        }
        // Where a strategy would rather wait, its task is set aside, and the next of its shape is asked.
        let mut aside: Vec<(usize, u64, u32)> = Vec::new();
        while let Some((order, shape)) = heads.pop_first() {
            let Some(Reverse((_, task))) = self.waiting[shape].peek().copied() else { continue };
            let (modes, options) = self.options(task, shape);
            // Others of this shape do not fit either.
            if options.is_empty() {
                continue;
            }
            self.waiting[shape].pop();
            let candidate = Candidate {
                task,
                planned: None,
                weights: Weights::default(),
                requests: &self.site.shapes[shape].requests,
            };
            let view = View { now: instant(self.now), ledger: &self.ledger, estimates: &self.estimates };
            let mut rng = Rng::of(seed, u64::from(task));
            let chosen = strategy
                .choose(&view, &candidate, &options, &mut rng)
                .filter(|at| *at < options.len())
                .or_else(|| force.then_some(0));
            match chosen {
                Some(at) => self.place(task, shape, modes[at]),
                None => aside.push((shape, order, task)),
            }
            heads.extend(self.waiting[shape].peek().map(|Reverse((order, _))| (*order, shape)));
        }
        for (shape, order, task) in aside {
            self.waiting[shape].push(Reverse((order, task)));
        }
    }

    /// The modes of a task that fit now, and the same as proposals.
    fn options(&self, task: u32, shape: usize) -> (Vec<usize>, Vec<Proposal>) {
        let mut fitting = Vec::new();
        let mut proposals = Vec::new();
        let ways = &self.site.shapes[shape].ways;
        for (at, (mode, way)) in self.instance.modes(task).iter().zip(ways).enumerate() {
            let fits = mode.takes.iter().all(|(resource, amount)| *amount <= self.free[*resource as usize]);
            if !fits || self.placement(mode, way).is_none() {
                continue;
            }
            let place = self.instance.devices[mode.device as usize].place;
            fitting.push(at);
            proposals.push(Proposal {
                variant: mode.variant,
                node: way.node,
                gpus: way.gpus.clone(),
                estimate: known(Estimate::default(), mode.seconds),
                transfer_s: (self.arrival(task, place) - self.now).max(0.0),
            });
        }
        (fitting, proposals)
    }

    fn placement(&self, mode: &Mode, way: &Way) -> Option<dunnage_model::Placement> {
        self.ledger.fit(&way.request, &Cost::default(), mode.variant, way.node, &way.gpus).ok()
    }

    /// When all that a task reads could be at a place.
    fn arrival(&self, task: u32, place: u32) -> f64 {
        let parents = self.instance.parents.row(task);
        parents.iter().map(|edge| self.there(edge.node, edge.size, place)).fold(0.0, f64::max)
    }

    fn place(&mut self, task: u32, shape: usize, at: usize) {
        let mode = &self.instance.modes(task)[at];
        if let Some(placement) = self.placement(mode, &self.site.shapes[shape].ways[at]) {
            self.ledger.reserve(attempt(task), &placement);
        }
        for (resource, amount) in &mode.takes {
            self.free[*resource as usize] -= amount;
        }
        let place = self.instance.devices[mode.device as usize].place;
        let start = self.now.max(self.arrival(task, place));
        let end = start + mode.seconds;
        self.schedule.mode[task as usize] = at as u16;
        self.schedule.start[task as usize] = start;
        self.schedule.end[task as usize] = end;
        self.agenda.push(Reverse((OrderedTime(end), Happens::Ends(task))));
        self.placed += 1;
    }
}

/// A task's only attempt.
fn attempt(task: u32) -> AttemptId {
    AttemptId { task: TaskId { graph: GraphId(1), index: task }, attempt: Attempt::FIRST }
}

/// An estimate that is known for sure.
fn known(mut estimate: Estimate, seconds: f64) -> Estimate {
    estimate.duration = Some(Span::from_secs_f64(seconds));
    estimate.basis = Basis::Declaration;
    estimate
}

fn instant(seconds: f64) -> Time {
    Time::ZERO.after(Span::from_secs_f64(seconds))
}
