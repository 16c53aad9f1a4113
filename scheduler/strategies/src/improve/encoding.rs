//! An instance as the search reads it: all modes in one row, the resources that can
//! ever be short, and what is known before any schedule is made; and a solution, which is an order of all
//! nodes and a mode for each task.
//!
//! A resource is left out where it can never be short: when all tasks at once do not exceed it, or when
//! another one that the same modes take is always used to a larger fraction. Schedules are the same
//! without it, and a decoder looks at half as many.

use super::lifetimes::Values;
use crate::planning::{Edge, Instance, Schedule};

/// Above this many resources no pair of them is compared.
const MAX_COMPARED: usize = 64;

/// A mode.
#[derive(Clone, Debug)]
pub(crate) struct ModeRow {
    /// How long it takes.
    pub(crate) seconds: f64,
    /// Where its input must be.
    pub(crate) place: u32,
    /// Its row of [`Net::takes`].
    pub(crate) takes: (u32, u32),
    /// The first resource that it takes; it is the only one in a chain.
    pub(crate) line: u32,
    /// Joules per run.
    pub(crate) joules: f64,
    /// Its index among the modes of the kind.
    pub(crate) index: u16,
}

/// A resource that can be short.
#[derive(Clone, Debug)]
pub(crate) struct LineSpec {
    /// How much there is.
    pub(crate) capacity: i64,
    /// Whether one task at a time has all of it.
    pub(crate) is_unary: bool,
    /// What others hold from time 0: until when, how much.
    pub(crate) occupied: Vec<(f64, i64)>,
}

/// An instance compiled for many schedules.
#[derive(Debug)]
pub(crate) struct Net<'a> {
    /// What it was made of.
    pub(crate) instance: &'a Instance,
    /// How many tasks there are, before the gathers.
    pub(crate) tasks: u32,
    /// Tasks and gathers.
    pub(crate) nodes: u32,
    /// Memories.
    pub(crate) places: usize,
    /// Seconds between places by (from, to): latency, and for each unit; zeros from one to itself.
    pub(crate) transfer: Vec<(f64, f64)>,
    /// For each kind its first row of `modes`; one more at the end.
    pub(crate) kind_start: Vec<u32>,
    /// All modes by kind.
    pub(crate) modes: Vec<ModeRow>,
    /// What modes take of which line.
    pub(crate) takes: Vec<(u32, i64)>,
    /// The resources that can be short.
    pub(crate) lines: Vec<LineSpec>,
    /// Whether each mode takes one resource and has it for itself: then an order and modes are a schedule
    /// without looking for room.
    pub(crate) is_chain: bool,
    /// For each node the least seconds from its start to the end of the graph; for a gather from its end.
    pub(crate) tail: Vec<f64>,
    /// The same from a task's end.
    pub(crate) behind: Vec<f64>,
    /// Who reads what, where values cost memory.
    pub(crate) values: Option<Values>,
    /// All nodes, parents first.
    pub(crate) topological: Vec<u32>,
    /// For each node its position there.
    pub(crate) rank: Vec<u32>,
}

impl<'a> Net<'a> {
    /// Compiles.
    pub(crate) fn new(instance: &'a Instance) -> Self {
        let resources = instance.resources.len();
        let usage = Usage::of(instance);
        let is_chain = usage.one_unary_each && instance.tasks() > 0;
        let keep: Vec<bool> = if is_chain {
            usage.users.iter().map(|users| *users > 0).collect()
        } else {
            usage.scarce(instance)
        };
        let mut line_of = vec![u32::MAX; resources];
        let mut lines = Vec::new();
        for (resource, spec) in instance.resources.iter().enumerate() {
            if keep[resource] {
                line_of[resource] = lines.len() as u32;
                lines.push(LineSpec {
                    capacity: signed(spec.capacity),
                    is_unary: usage.unary[resource],
                    occupied: instance
                        .occupied
                        .iter()
                        .filter(|held| held.resource as usize == resource && held.until > 0.0)
                        .map(|held| (held.until, signed(held.amount)))
                        .collect(),
                });
            }
        }
        let mut net = Self {
            instance,
            tasks: instance.tasks(),
            nodes: instance.nodes(),
            places: instance
                .devices
                .iter()
                .map(|device| device.place as usize + 1)
                .fold(instance.transfers.places().max(1), usize::max),
            transfer: Vec::new(),
            kind_start: vec![0],
            modes: Vec::new(),
            takes: Vec::new(),
            lines,
            is_chain,
            tail: Vec::new(),
            behind: Vec::new(),
            values: None,
            topological: instance.topological(),
            rank: vec![0; instance.nodes() as usize],
        };
        for kind in &instance.kinds {
            for (index, mode) in kind.modes.iter().enumerate() {
                let first = net.takes.len() as u32;
                net.takes.extend(
                    mode.takes
                        .iter()
                        .filter(|(resource, _)| line_of[*resource as usize] != u32::MAX)
                        .map(|(resource, amount)| (line_of[*resource as usize], signed(*amount))),
                );
                net.modes.push(ModeRow {
                    seconds: mode.seconds,
                    place: instance.devices[mode.device as usize].place,
                    line: net.takes.get(first as usize).map_or(0, |take| take.0),
                    takes: (first, net.takes.len() as u32),
                    joules: mode.joules,
                    index: index as u16,
                });
            }
            net.kind_start.push(net.modes.len() as u32);
        }
        net.values = Values::of(instance, net.places, &line_of);
        net.measure();
        net
    }

    fn measure(&mut self) {
        let places = self.places;
        self.transfer = (0..places * places)
            .map(|at| {
                let (from, to) = ((at / places) as u32, (at % places) as u32);
                self.instance.transfers.rate(from, to)
            })
            .collect();
        for (at, node) in self.topological.iter().enumerate() {
            self.rank[*node as usize] = at as u32;
        }
        let mut tail = vec![0.0_f64; self.nodes as usize];
        let mut behinds = vec![0.0_f64; self.nodes as usize];
        for node in self.topological.iter().rev() {
            let behind = self
                .instance
                .children
                .row(*node)
                .iter()
                .map(|edge| tail[edge.node as usize])
                .fold(0.0, f64::max);
            behinds[*node as usize] = behind;
            tail[*node as usize] = behind + self.least_seconds(*node);
        }
        self.tail = tail;
        self.behind = behinds;
    }

    /// The least time a node takes.
    pub(crate) fn least_seconds(&self, node: u32) -> f64 {
        if node >= self.tasks {
            return 0.0;
        }
        self.modes[self.modes_of(node)].iter().map(|mode| mode.seconds).fold(f64::INFINITY, f64::min)
    }

    /// The rows of a task's modes.
    pub(crate) fn modes_of(&self, task: u32) -> std::ops::Range<usize> {
        let kind = self.instance.kind_of[task as usize] as usize;
        self.kind_start[kind] as usize..self.kind_start[kind + 1] as usize
    }

    /// What a mode takes.
    pub(crate) fn takes_of(&self, mode: &ModeRow) -> &[(u32, i64)] {
        &self.takes[mode.takes.0 as usize..mode.takes.1 as usize]
    }

    /// Edges into a node.
    pub(crate) fn parents(&self, node: u32) -> &[Edge] {
        self.instance.parents.row(node)
    }

    /// Edges out of a node.
    pub(crate) fn children(&self, node: u32) -> &[Edge] {
        self.instance.children.row(node)
    }

    /// Seconds that a value takes from one place to another.
    pub(crate) fn moving(&self, size: f64, from: u32, to: u32) -> f64 {
        if size <= 0.0 || from == to {
            return 0.0;
        }
        let (latency, unit) = self.transfer[from as usize * self.places + to as usize];
        latency + size * unit
    }

    /// The solution of a schedule: nodes by their start, gathers before their first reader. `None` where it
    /// is not one of this instance.
    pub(crate) fn list_of(&self, schedule: &Schedule) -> Option<List> {
        let mode = (0..self.tasks)
            .map(|task| {
                let rows = self.modes_of(task);
                let first = rows.start;
                let index = *schedule.mode.get(task as usize)?;
                self.modes[rows].iter().position(|row| row.index == index).map(|at| (first + at) as u32)
            })
            .collect::<Option<Vec<u32>>>()?;
        let mut list = List { order: Vec::new(), mode };
        self.sort_by_start(&mut list, &schedule.start);
        Some(list)
    }

    /// Puts the nodes in the order of their starts. Parents stay before children: a child starts after its
    /// parent ends, and where both times are one the topological order decides.
    pub(crate) fn sort_by_start(&self, list: &mut List, start: &[f64]) {
        let mut key = vec![0.0_f64; self.nodes as usize];
        key[..self.tasks as usize].copy_from_slice(&start[..self.tasks as usize]);
        // A gather goes right before its first reader, so that its parents can move up to there.
        for node in self.topological.iter().rev().filter(|node| **node >= self.tasks) {
            key[*node as usize] =
                self.children(*node).iter().map(|edge| key[edge.node as usize]).fold(f64::INFINITY, f64::min);
        }
        list.order.clear();
        list.order.extend_from_slice(&self.topological);
        list.order.sort_by(|a, b| {
            let (a, b) = (*a as usize, *b as usize);
            key[a].total_cmp(&key[b]).then(self.rank[a].cmp(&self.rank[b]))
        });
    }

    /// The schedule of a solution with its times.
    pub(crate) fn schedule(&self, list: &List, start: &[f64], end: &[f64]) -> Schedule {
        let tasks = self.tasks as usize;
        let mut schedule = Schedule::default();
        schedule.mode = list.mode.iter().map(|mode| self.modes[*mode as usize].index).collect();
        schedule.start = start[..tasks].to_vec();
        schedule.end = end[..tasks].to_vec();
        schedule.makespan = schedule.end.iter().copied().fold(0.0, f64::max);
        schedule
    }
}

/// A solution: the order in which tasks get their place, gathers among them, and the mode row of each task.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    /// All nodes, parents before children.
    pub(crate) order: Vec<u32>,
    /// For each task a row of [`Net::modes`].
    pub(crate) mode: Vec<u32>,
}

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

/// How modes use resources.
struct Usage {
    /// Whether each mode takes one resource, all of it.
    one_unary_each: bool,
    /// For each resource whether who takes of it takes all.
    unary: Vec<bool>,
    /// For each resource how many modes take of it.
    users: Vec<usize>,
    /// What all tasks at once could take of it.
    most: Vec<u128>,
    /// For each pair of resources whether no mode takes a larger fraction of the first; empty where there
    /// are too many.
    below: Vec<bool>,
}

impl Usage {
    fn of(instance: &Instance) -> Self {
        let resources = instance.resources.len();
        let compares = resources <= MAX_COMPARED;
        let mut usage = Self {
            one_unary_each: true,
            unary: vec![true; resources],
            users: vec![0; resources],
            most: vec![0; resources],
            below: vec![true; if compares { resources * resources } else { 0 }],
        };
        let mut tasks = vec![0_u128; instance.kinds.len()];
        for kind in &instance.kind_of {
            tasks[*kind as usize] += 1;
        }
        let mut row = vec![0.0; resources];
        let mut alone = vec![false; resources];
        let mut most = vec![0_u64; resources];
        for (at, kind) in instance.kinds.iter().enumerate() {
            if tasks[at] == 0 {
                continue;
            }
            most.fill(0);
            for mode in &kind.modes {
                usage.one_unary_each &= mode.takes.len() == 1;
                for (resource, amount) in &mode.takes {
                    let resource = *resource as usize;
                    let capacity = instance.resources[resource].capacity;
                    usage.users[resource] += 1;
                    usage.unary[resource] &= *amount == capacity;
                    most[resource] = most[resource].max(*amount);
                    row[resource] = *amount as f64 / capacity.max(1) as f64;
                }
                // Most often modes take one resource, and then it is below no other.
                if let [(resource, _)] = *mode.takes {
                    alone[resource as usize] = true;
                } else if compares {
                    for (resource, _) in &mode.takes {
                        let own = *resource as usize;
                        for other in 0..resources {
                            usage.below[own * resources + other] &= row[own] <= row[other];
                        }
                    }
                }
                for (resource, _) in &mode.takes {
                    row[*resource as usize] = 0.0;
                }
            }
            for (resource, most) in most.iter().enumerate() {
                usage.most[resource] += u128::from(*most) * tasks[at];
            }
        }
        for (own, _) in alone.iter().enumerate().filter(|(_, alone)| compares && **alone) {
            for other in 0..resources {
                usage.below[own * resources + other] &= other == own;
            }
        }
        // A memory of values is held by many at once, and for longer than any mode says.
        for memory in instance.value_memory.iter().flatten() {
            usage.one_unary_each = false;
            usage.unary[*memory as usize] = false;
        }
        usage.one_unary_each &= (0..resources).all(|at| usage.users[at] == 0 || usage.unary[at]);
        usage
    }

    /// Which resources can be short.
    fn scarce(&self, instance: &Instance) -> Vec<bool> {
        let resources = instance.resources.len();
        let is_held: Vec<bool> = (0..resources)
            .map(|at| instance.occupied.iter().any(|held| held.resource as usize == at))
            .collect();
        let mut keep: Vec<bool> = (0..resources)
            .map(|at| {
                self.users[at] > 0
                    && (is_held[at] || self.most[at] > u128::from(instance.resources[at].capacity))
            })
            .collect();
        for memory in instance.value_memory.iter().flatten() {
            keep[*memory as usize] = true;
        }
        if self.below.is_empty() {
            return keep;
        }
        for at in 0..resources {
            if !keep[at] || is_held[at] || instance.value_memory.contains(&Some(at as u32)) {
                continue;
            }
            let is_below = |other: usize| self.below[at * resources + other];
            if (0..resources).any(|other| other != at && keep[other] && is_below(other)) {
                keep[at] = false;
            }
        }
        keep
    }
}
