//! The modes of an instance laid out for the inner loops of planners.
//!
//! A planner asks for the modes of tasks in an order that has nothing to do with how they lie in memory.
//! Here the seconds of a kind's modes follow each other, and what they take is shared with the kind before
//! where it is the same, as it is for all on plain processors.

use super::Instance;

/// What modes take and where they run, apart from how long.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// For each kind where its seconds begin, and their number at the end.
    first: Vec<usize>,
    seconds: Vec<f64>,
    /// For each kind the mean and the least of its seconds.
    mean: Vec<f64>,
    least: Vec<f64>,
    /// For each kind where its ways begin; they are as many as its seconds.
    ways_from: Vec<usize>,
    ways: Vec<Way>,
    takes: Vec<(u32, u64)>,
    /// Places, or 1 where moving costs nothing.
    places: usize,
    /// The least that any mode takes of each resource, `u64::MAX` where none does.
    least_taken: Vec<u64>,
}

/// A mode without its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// On what it runs.
    pub(crate) device: u32,
    /// The memory it works in; 0 where moving costs nothing.
    pub(crate) place: u32,
    /// What it takes: so many from here on.
    from: u32,
    takes: u32,
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
            ways_from: Vec::with_capacity(kinds),
            ways: Vec::new(),
            takes: Vec::new(),
            places: if is_free { 1 } else { instance.transfers.places().max(1) },
            least_taken: vec![u64::MAX; instance.resources.len()],
        };
        let mut last = 0_usize..0;
        for kind in &instance.kinds {
            table.first.push(table.seconds.len());
            table.seconds.extend(kind.modes.iter().map(|mode| mode.seconds));
            table.mean.push(
                kind.modes.iter().map(|mode| mode.seconds).sum::<f64>() / kind.modes.len().max(1) as f64,
            );
            table.least.push(kind.modes.iter().map(|mode| mode.seconds).fold(f64::INFINITY, f64::min));
            let is_like_last = last.len() == kind.modes.len()
                && table.ways[last.clone()]
                    .iter()
                    .zip(&kind.modes)
                    .all(|(way, mode)| way.device == mode.device && *table.takes(*way) == *mode.takes);
            if !is_like_last {
                last = table.ways.len()..table.ways.len() + kind.modes.len();
                for mode in &kind.modes {
                    let place = if is_free { 0 } else { instance.devices[mode.device as usize].place };
                    let (from, takes) = (table.takes.len() as u32, mode.takes.len() as u32);
                    table.takes.extend(&mode.takes);
                    table.ways.push(Way { device: mode.device, place, from, takes });
                    for (resource, amount) in &mode.takes {
                        let least = &mut table.least_taken[*resource as usize];
                        *least = (*least).min(*amount);
                    }
                }
            }
            table.ways_from.push(last.start);
        }
        table.first.push(table.seconds.len());
        table
    }

    /// The modes of a kind: where, and how long.
    pub(crate) fn modes(&self, kind: u32) -> (&[Way], &[f64]) {
        let kind = kind as usize;
        let seconds = &self.seconds[self.first[kind]..self.first[kind + 1]];
        let from = self.ways_from[kind];
        (&self.ways[from..from + seconds.len()], seconds)
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
        &self.takes[way.from as usize..(way.from + way.takes) as usize]
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
