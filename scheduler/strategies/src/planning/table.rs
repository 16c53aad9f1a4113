//! The modes of an instance laid out for the inner loops of planners.
//!
//! A planner asks for the modes of tasks in an order that has nothing to do with how they lie in memory.
//! Here the seconds of a kind's modes follow each other, and what they take is shared by all kinds that
//! are alike in that, which is all of them on plain processors.

use super::Instance;
use std::collections::BTreeMap;

/// What modes take and where they run, apart from how long.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// For each kind where its seconds begin, and their number at the end.
    first: Vec<usize>,
    seconds: Vec<f64>,
    /// For each kind the mean and the least of its seconds.
    mean: Vec<f64>,
    least: Vec<f64>,
    shape_of: Vec<u32>,
    shapes: Vec<Box<[Way]>>,
    demands: Vec<Box<[(u32, u64)]>>,
    /// Places, or 1 where moving costs nothing.
    places: usize,
    /// The least that any mode takes of each resource, `u64::MAX` where none does.
    least_taken: Vec<u64>,
}

/// A mode without its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Way {
    /// On what it runs.
    pub(crate) device: u32,
    /// The memory it works in; 0 where moving costs nothing.
    pub(crate) place: u32,
    demand: u32,
}

impl Table {
    pub(crate) fn new(instance: &Instance) -> Self {
        let is_free = instance.transfers.is_free();
        let modes = instance.kinds.iter().map(|kind| kind.modes.len()).sum();
        let kinds = instance.kinds.len();
        let mut table = Self {
            first: Vec::with_capacity(kinds + 1),
            seconds: Vec::with_capacity(modes),
            mean: Vec::with_capacity(kinds),
            least: Vec::with_capacity(kinds),
            shape_of: Vec::with_capacity(kinds),
            shapes: Vec::new(),
            demands: Vec::new(),
            places: if is_free { 1 } else { instance.transfers.places().max(1) },
            least_taken: vec![u64::MAX; instance.resources.len()],
        };
        let mut known_demands: BTreeMap<&[(u32, u64)], u32> = BTreeMap::new();
        let mut known_shapes: BTreeMap<Vec<Way>, u32> = BTreeMap::new();
        let mut last = 0_usize;
        for kind in &instance.kinds {
            table.first.push(table.seconds.len());
            table.seconds.extend(kind.modes.iter().map(|mode| mode.seconds));
            table.mean.push(
                kind.modes.iter().map(|mode| mode.seconds).sum::<f64>() / kind.modes.len().max(1) as f64,
            );
            table.least.push(kind.modes.iter().map(|mode| mode.seconds).fold(f64::INFINITY, f64::min));
            // Most kinds are like the one before.
            let is_like_last = table.shapes.get(last).is_some_and(|shape| {
                shape.len() == kind.modes.len()
                    && shape.iter().zip(&kind.modes).all(|(way, mode)| {
                        way.device == mode.device && *table.demands[way.demand as usize] == *mode.takes
                    })
            });
            if !is_like_last {
                let mut shape = Vec::with_capacity(kind.modes.len());
                for mode in &kind.modes {
                    let demand = *known_demands.entry(&mode.takes).or_insert_with(|| {
                        table.demands.push(mode.takes.clone());
                        table.demands.len() as u32 - 1
                    });
                    let place = if is_free { 0 } else { instance.devices[mode.device as usize].place };
                    shape.push(Way { device: mode.device, place, demand });
                }
                last = match known_shapes.get(&shape) {
                    Some(known) => *known as usize,
                    None => {
                        table.shapes.push(shape.clone().into_boxed_slice());
                        known_shapes.insert(shape, table.shapes.len() as u32 - 1);
                        table.shapes.len() - 1
                    }
                };
            }
            table.shape_of.push(last as u32);
        }
        table.first.push(table.seconds.len());
        for (resource, amount) in table.demands.iter().flatten() {
            let least = &mut table.least_taken[*resource as usize];
            *least = (*least).min(*amount);
        }
        table
    }

    /// The modes of a kind: where, and how long.
    pub(crate) fn modes(&self, kind: u32) -> (&[Way], &[f64]) {
        let kind = kind as usize;
        (&self.shapes[self.shape_of[kind] as usize], &self.seconds[self.first[kind]..self.first[kind + 1]])
    }

    /// Where the modes of a kind begin among those of all kinds.
    pub(crate) fn first(&self, kind: u32) -> usize {
        self.first[kind as usize]
    }

    /// How many modes all kinds have.
    pub(crate) fn all_modes(&self) -> usize {
        self.seconds.len()
    }

    /// The mean over the modes of a kind of their seconds.
    pub(crate) fn mean(&self, kind: u32) -> f64 {
        self.mean[kind as usize]
    }

    /// The seconds of a kind's shortest mode.
    pub(crate) fn least(&self, kind: u32) -> f64 {
        self.least[kind as usize]
    }

    /// What a mode takes.
    pub(crate) fn takes(&self, way: Way) -> &[(u32, u64)] {
        &self.demands[way.demand as usize]
    }

    /// How many memories there are to tell apart.
    pub(crate) fn places(&self) -> usize {
        self.places
    }

    /// The least that any mode takes of each resource.
    pub(crate) fn least_taken(&self) -> &[u64] {
        &self.least_taken
    }
}
