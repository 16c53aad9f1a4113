//! A planning problem in numbers.
//!
//! Tasks run once each, in one of the *modes* of their kind. A mode says on which device it runs, for how
//! many seconds, and how much it takes of which renewable *resources* during that time: the cores of a
//! node, its RAM, the share and the memory of each GPU, a licence. So a mode with two GPUs takes of both.
//! Edges carry a size; moving a value between the memories (*places*) of two devices takes time and no
//! resource. An edge from all of a family goes through a *gather*: a node without work that ends, as seen
//! from each place, when the last of its parents' values could be there. So N readers of M tasks cost
//! N + M edges.

/// A planning problem. Nodes are numbered: tasks first, then gathers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Instance {
    /// What modes run on, for reports and transfers.
    pub devices: Vec<Device>,
    /// What modes take, in whole units.
    pub resources: Vec<Resource>,
    /// Tasks of one kind have the same modes.
    pub kinds: Vec<Kind>,
    /// The kind of each task.
    pub kind_of: Vec<u32>,
    /// How many gathers there are.
    pub gathers: u32,
    /// For each node what it waits for. Acyclic.
    pub parents: Rows<Edge>,
    /// The same edges seen from the parents: `Edge::node` is the reader.
    pub children: Rows<Edge>,
    /// How long moving values takes.
    pub transfers: Transfers,
    /// For each task the earliest time it may start; empty where that is 0 for all.
    pub earliest: Vec<f64>,
    /// What others hold from time 0 on for a while.
    pub occupied: Vec<Occupied>,
    /// For each place the resource of which values are a part while they are there; `None`, or nothing at
    /// all, where they cost no memory because they are files. Such a resource counts the unit of the edges.
    pub value_memory: Vec<Option<u32>>,
    /// The resources whose idle part beside a used one is fragmentation: the shares of the GPUs.
    pub fragmenting: Vec<u32>,
}

/// What a mode runs on: a processor, a node's cores, a GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// As reports call it.
    pub name: String,
    /// The memory it works in, 0 to [`Transfers::places`].
    pub place: u32,
}

/// A renewable resource: what a task takes of it is free again at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// As reports call it.
    pub name: String,
    /// How much there is.
    pub capacity: u64,
}

/// Tasks that are alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Kind {
    /// The ways to run one; at least one, each within the capacities.
    pub modes: Vec<Mode>,
}

/// A way to run a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Mode {
    /// Which of the function's variants this is.
    pub variant: u8,
    /// On what it runs: an index into [`Instance::devices`]; the first where it takes several GPUs.
    pub device: u32,
    /// How long it takes, finite and not negative.
    pub seconds: f64,
    /// What it takes of which resource, each resource once, no zeros.
    pub takes: Box<[(u32, u64)]>,
    /// Money per run, for `cost-optimised`.
    pub price: f64,
    /// Joules per run, for `energy-optimised`.
    pub joules: f64,
}

/// An edge as seen from one of its ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Edge {
    /// The node at the other end.
    pub node: u32,
    /// How much is moved: bytes, or the unit of the data set.
    pub size: f64,
}

/// What others hold from time 0 until a while later.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Occupied {
    /// Of which resource.
    pub resource: u32,
    /// How much.
    pub amount: u64,
    /// Until when.
    pub until: f64,
}

/// How long moving takes between two places: `latency + size * per_unit`, 0 within one.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Transfers {
    places: usize,
    /// Row-major by (from, to): seconds for one unit, and seconds however little is moved.
    per_unit: Vec<f64>,
    latency: Vec<f64>,
}

impl Transfers {
    /// Among this many places, all at no cost.
    pub fn free(places: usize) -> Self {
        Self { places, per_unit: vec![0.0; places * places], latency: vec![0.0; places * places] }
    }

    /// Sets the cost of one direction between two different places.
    pub fn set(&mut self, from: usize, to: usize, per_unit: f64, latency: f64) {
        if from != to {
            self.per_unit[from * self.places + to] = per_unit;
            self.latency[from * self.places + to] = latency;
        }
    }

    /// How many places there are.
    pub fn places(&self) -> usize {
        self.places
    }

    /// Seconds that a value of this size takes from one place to another.
    pub fn seconds(&self, size: f64, from: u32, to: u32) -> f64 {
        if from == to || size <= 0.0 {
            return 0.0;
        }
        let at = from as usize * self.places + to as usize;
        self.latency[at] + size * self.per_unit[at]
    }

    /// The seconds that any value takes from one place to another, and those for each unit of its size.
    pub fn rate(&self, from: u32, to: u32) -> (f64, f64) {
        let at = from as usize * self.places + to as usize;
        if from == to || from.max(to) as usize >= self.places {
            return (0.0, 0.0);
        }
        (self.latency[at], self.per_unit[at])
    }

    /// What moving from one place costs, by the place it goes to: seconds for one unit, and seconds
    /// however little is moved.
    pub fn from(&self, place: u32) -> (&[f64], &[f64]) {
        let row = place as usize * self.places..(place as usize + 1) * self.places;
        (&self.per_unit[row.clone()], &self.latency[row])
    }

    /// The sums over ordered pairs of different places of `per_unit` and `latency`, for means.
    pub fn sums(&self) -> (f64, f64) {
        (self.per_unit.iter().sum(), self.latency.iter().sum())
    }

    /// Whether moving anything anywhere costs nothing.
    pub fn is_free(&self) -> bool {
        self.per_unit.iter().chain(&self.latency).all(|cost| *cost == 0.0)
    }
}

/// Rows of different lengths in one block of memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows<T> {
    start: Vec<u32>,
    items: Vec<T>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { start: vec![0], items: Vec::new() }
    }
}

impl<T: Copy> Rows<T> {
    /// Appends a row.
    pub fn push(&mut self, row: impl IntoIterator<Item = T>) {
        self.items.extend(row);
        self.start.push(self.items.len() as u32);
    }

    /// A row.
    pub fn row(&self, at: u32) -> &[T] {
        &self.items[self.start[at as usize] as usize..self.start[at as usize + 1] as usize]
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.start.len() - 1
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many items all rows have.
    pub fn items(&self) -> usize {
        self.items.len()
    }
}

impl Rows<Edge> {
    /// The same edges seen from their other ends, over this many nodes; by rising node within a row.
    #[must_use]
    pub fn reversed(&self, nodes: usize) -> Self {
        let mut start = vec![0_u32; nodes + 1];
        for edge in &self.items {
            start[edge.node as usize + 1] += 1;
        }
        for node in 0..nodes {
            start[node + 1] += start[node];
        }
        let mut next = start.clone();
        let mut items = vec![Edge { node: 0, size: 0.0 }; self.items.len()];
        for node in 0..self.len() as u32 {
            for edge in self.row(node) {
                let at = &mut next[edge.node as usize];
                items[*at as usize] = Edge { node, size: edge.size };
                *at += 1;
            }
        }
        Self { start, items }
    }
}

impl Instance {
    /// How many tasks there are.
    pub fn tasks(&self) -> u32 {
        self.kind_of.len() as u32
    }

    /// How many nodes there are: tasks and gathers.
    pub fn nodes(&self) -> u32 {
        self.tasks() + self.gathers
    }

    /// The ways to run a task.
    pub fn modes(&self, task: u32) -> &[Mode] {
        &self.kinds[self.kind_of[task as usize] as usize].modes
    }

    /// The earliest time a task may start.
    pub fn earliest(&self, task: u32) -> f64 {
        self.earliest.get(task as usize).copied().unwrap_or(0.0)
    }

    /// Whether each task has one way to run.
    pub fn is_single_mode(&self) -> bool {
        self.kinds.iter().all(|kind| kind.modes.len() == 1)
    }

    /// All nodes, parents before children, in a stable order; fewer than there are where edges make a cycle.
    pub fn topological(&self) -> Vec<u32> {
        let nodes = self.nodes();
        let mut missing: Vec<u32> = (0..nodes).map(|node| self.parents.row(node).len() as u32).collect();
        let mut order: Vec<u32> = Vec::with_capacity(nodes as usize);
        order.extend((0..nodes).filter(|node| missing[*node as usize] == 0));
        let mut next = 0;
        while let Some(node) = order.get(next).copied() {
            next += 1;
            for edge in self.children.row(node) {
                let count = &mut missing[edge.node as usize];
                *count -= 1;
                if *count == 0 {
                    order.push(edge.node);
                }
            }
        }
        order
    }

    /// What is wrong with it, if anything: the first thing that a planner could not work with.
    ///
    /// # Errors
    /// A sentence that names the task or resource.
    pub fn check(&self) -> Result<(), String> {
        let nodes = self.nodes() as usize;
        if self.parents.len() != nodes || self.children.len() != nodes {
            return Err(format!("{nodes} nodes and {} rows of edges", self.parents.len()));
        }
        if self.kind_of.iter().any(|kind| *kind as usize >= self.kinds.len()) {
            return Err("a task is of a kind that does not exist".to_owned());
        }
        for task in 0..self.tasks() {
            let modes = self.modes(task);
            if modes.is_empty() {
                return Err(format!("task {task} can run nowhere"));
            }
            for mode in modes {
                if !mode.seconds.is_finite() || mode.seconds < 0.0 {
                    return Err(format!("task {task} takes {} s", mode.seconds));
                }
                if mode.device as usize >= self.devices.len() {
                    return Err(format!("task {task} runs on device {}, which does not exist", mode.device));
                }
                for (resource, amount) in &mode.takes {
                    let Some(has) = self.resources.get(*resource as usize) else {
                        return Err(format!(
                            "task {task} takes of resource {resource}, which does not exist"
                        ));
                    };
                    if *amount > has.capacity {
                        return Err(format!(
                            "task {task} takes {amount} of `{}`, of which there are {}",
                            has.name, has.capacity
                        ));
                    }
                }
            }
        }
        let sizes_are_numbers = (0..self.nodes())
            .flat_map(|node| self.parents.row(node))
            .all(|edge| edge.size.is_finite() && edge.size >= 0.0 && (edge.node as usize) < nodes);
        if !sizes_are_numbers {
            return Err("an edge has no finite size, or leads nowhere".to_owned());
        }
        if self.topological().len() != nodes {
            return Err("the edges make a cycle".to_owned());
        }
        Ok(())
    }
}
