//! What a schedule is judged by: its makespan, or a weighted sum of parts, each divided by what the best
//! list rule comes to.
//!
//! The parts: the makespan in seconds; the seconds that values are moved for, once for each edge between
//! different memories, and once for each value and memory behind a gather; the joules of the modes; and
//! the fragmentation: for each resource of [`crate::planning::Instance::fragmenting`] (the shares of the
//! GPUs) the part of it that is idle while another part is used, times the seconds, in GPU-seconds. A GPU
//! that nobody uses at all is not fragmented.

use super::encoding::{List, Net};
use crate::planning::{Instance, Kind, Mode, Schedule};
use dunnage_model::Weights;
use std::cmp::Ordering;

/// More money or joules than the least, as a fraction, for which time may be won.
const TOLERANCE: f64 = 0.01;

/// What a search is after.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    /// The least makespan, or the least weighted sum.
    Time(Weights),
    /// The least money, then the least makespan.
    Money,
    /// The least joules, then the least makespan.
    Energy,
}

/// An instance with some of the modes of another.
#[derive(Debug)]
pub(crate) struct Restricted {
    pub(crate) instance: Instance,
    /// For each kind the indices that its modes have in the other one.
    index: Vec<Vec<u16>>,
}

impl Goal {
    /// The instance with those modes alone that this goal allows. Money and joules are sums over tasks, so
    /// that the least of each task is the least of all: what costs more than that by more than one in a
    /// hundred is not used, and among the rest time decides. `None` where that is every mode.
    pub(crate) fn restricted(self, instance: &Instance) -> Option<Restricted> {
        let cost: fn(&Mode) -> f64 = match self {
            Self::Time(_) => return None,
            Self::Money => |mode| mode.price,
            Self::Energy => |mode| mode.joules,
        };
        let kept = |kind: &Kind| -> Vec<u16> {
            let least = kind.modes.iter().map(cost).fold(f64::INFINITY, f64::min);
            // What is not a number is never more.
            let most = least + least.abs() * TOLERANCE;
            let is_kept = |mode: &Mode| cost(mode).partial_cmp(&most) != Some(Ordering::Greater);
            let kept = kind.modes.iter().enumerate().filter(|(_, mode)| is_kept(mode));
            kept.map(|(at, _)| at as u16).collect()
        };
        let index: Vec<Vec<u16>> = instance.kinds.iter().map(kept).collect();
        if index.iter().zip(&instance.kinds).all(|(kept, kind)| kept.len() == kind.modes.len()) {
            return None;
        }
        let of_kind = |(kept, kind): (&Vec<u16>, &Kind)| Kind {
            modes: kept.iter().map(|at| kind.modes[usize::from(*at)].clone()).collect(),
        };
        let kinds = index.iter().zip(&instance.kinds).map(of_kind).collect();
        let instance = Instance {
            devices: instance.devices.clone(),
            resources: instance.resources.clone(),
            kinds,
            kind_of: instance.kind_of.clone(),
            gathers: instance.gathers,
            parents: instance.parents.clone(),
            children: instance.children.clone(),
            transfers: instance.transfers.clone(),
            earliest: instance.earliest.clone(),
            occupied: instance.occupied.clone(),
            value_memory: instance.value_memory.clone(),
            fragmenting: instance.fragmenting.clone(),
        };
        Some(Restricted { instance, index })
    }
}

impl Restricted {
    /// The schedule with the modes of the other instance.
    pub(crate) fn translate(&self, mut schedule: Schedule) -> Schedule {
        for (mode, kind) in schedule.mode.iter_mut().zip(&self.instance.kind_of) {
            *mode = self.index[*kind as usize][usize::from(*mode)];
        }
        schedule
    }
}

/// The parts of a schedule's cost.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub(crate) struct Parts {
    pub(crate) makespan: f64,
    pub(crate) transfer: f64,
    pub(crate) joules: f64,
    pub(crate) fragmentation: f64,
}

/// The parts of a solution whose times are known.
pub(crate) fn parts(net: &Net<'_>, list: &List, start: &[f64], end: &[f64]) -> Parts {
    let place = |task: u32| net.modes[list.mode[task as usize] as usize].place;
    let mut behind = vec![false; (net.nodes - net.tasks) as usize * net.places];
    for node in net.topological.iter().rev().filter(|node| **node >= net.tasks) {
        let row = (*node - net.tasks) as usize * net.places;
        for edge in net.children(*node) {
            if edge.node < net.tasks {
                behind[row + place(edge.node) as usize] = true;
            } else {
                let other = (edge.node - net.tasks) as usize * net.places;
                for at in 0..net.places {
                    behind[row + at] |= behind[other + at];
                }
            }
        }
    }
    let mut all = Parts::default();
    for task in 0..net.tasks {
        all.makespan = all.makespan.max(end[task as usize]);
        all.joules += net.modes[list.mode[task as usize] as usize].joules;
        for edge in net.children(task) {
            if edge.node < net.tasks {
                all.transfer += net.moving(edge.size, place(task), place(edge.node));
            } else {
                let row = (edge.node - net.tasks) as usize * net.places;
                for to in (0..net.places).filter(|to| behind[row + to]) {
                    all.transfer += net.moving(edge.size, place(task), to as u32);
                }
            }
        }
    }
    all.fragmentation = fragmentation(net, list, start, end);
    all
}

/// GPU-seconds that stay idle beside something that runs.
fn fragmentation(net: &Net<'_>, list: &List, start: &[f64], end: &[f64]) -> f64 {
    let instance = net.instance;
    if instance.fragmenting.is_empty() {
        return 0.0;
    }
    let mut steps: Vec<Vec<(f64, i128)>> = vec![Vec::new(); instance.resources.len()];
    let mut hold = |resource: u32, from: f64, to: f64, amount: u64| {
        if instance.fragmenting.contains(&resource) && to > from {
            let row = &mut steps[resource as usize];
            row.push((from, i128::from(amount)));
            row.push((to, -i128::from(amount)));
        }
    };
    for held in &instance.occupied {
        hold(held.resource, 0.0, held.until, held.amount);
    }
    for task in 0..net.tasks as usize {
        let kind = &instance.kinds[instance.kind_of[task] as usize];
        let mode = &kind.modes[usize::from(net.modes[list.mode[task] as usize].index)];
        for (resource, amount) in &mode.takes {
            hold(*resource, start[task], end[task], *amount);
        }
    }
    let mut idle = 0.0;
    for (row, resource) in steps.iter_mut().zip(&instance.resources) {
        row.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let (mut used, mut before) = (0_i128, 0.0);
        for (at, amount) in row.iter() {
            if used > 0 {
                let left = 1.0 - used as f64 / resource.capacity.max(1) as f64;
                idle += left.max(0.0) * (at - before);
            }
            before = *at;
            used += amount;
        }
    }
    idle
}

/// How solutions are compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Objective {
    /// For makespan, transfer, joules and fragmentation; `None` where the makespan alone counts.
    factors: Option<[f64; 4]>,
}

impl Objective {
    /// Weights over parts of the best rule.
    pub(crate) fn new(weights: &Weights, reference: &Parts) -> Self {
        if weights.transfer == 0.0 && weights.energy == 0.0 && weights.fragmentation == 0.0 {
            return Self { factors: None };
        }
        // Where the rule comes to nothing, a second counts as one of its makespan, and a joule as one of
        // its watt for that long.
        let unit = if reference.makespan > 0.0 { reference.makespan } else { 1.0 };
        let over = |weight: f64, part: f64| weight / if part > 0.0 { part } else { unit };
        Self {
            factors: Some([
                over(weights.time, reference.makespan),
                over(weights.transfer, reference.transfer),
                over(weights.energy, reference.joules),
                over(weights.fragmentation, reference.fragmentation),
            ]),
        }
    }

    /// Whether the makespan alone counts.
    pub(crate) fn is_time(&self) -> bool {
        self.factors.is_none()
    }

    /// The value of a solution whose times are known; less is better.
    pub(crate) fn value(&self, net: &Net<'_>, list: &List, start: &[f64], end: &[f64]) -> f64 {
        match self.factors {
            None => end.iter().copied().fold(0.0, f64::max),
            Some(factors) => weighted(factors, &parts(net, list, start, end)),
        }
    }
}

fn weighted(factors: [f64; 4], parts: &Parts) -> f64 {
    factors[0] * parts.makespan
        + factors[1] * parts.transfer
        + factors[2] * parts.joules
        + factors[3] * parts.fragmentation
}
