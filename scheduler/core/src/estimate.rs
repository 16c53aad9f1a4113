//! What a task is expected to take: from earlier runs, else what its author declared, else nothing.
//!
//! Kept by signature (graph name, family, kind of device) as an exponentially weighted mean, so that
//! the instances of a sweep inform each other.

use dunnage_model::{Basis, DeviceKind, Graph, Span};
use std::collections::BTreeMap;

/// The weight of the newest run in the mean.
const NEWEST: f64 = 0.3;

/// At most this many signatures are remembered; further ones are predicted from declarations.
const SIGNATURES_MAX: usize = 65_536;

/// An expectation, and on what it rests.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Estimate {
    /// Wall time, where anything is known.
    pub duration: Option<Span>,
    /// On what that rests.
    pub basis: Basis,
}

/// Everything that is remembered of earlier runs.
#[derive(Debug, Default)]
pub struct Estimates {
    seen: BTreeMap<(String, DeviceKind), Mean>,
}

#[derive(Clone, Copy, Debug)]
struct Mean {
    seconds: f64,
    runs: u64,
}

impl Estimates {
    /// What functions of this signature are called in here.
    pub fn signature(graph: &Graph, task: u32) -> String {
        format!("{}\u{1f}{}", graph.name, graph.family(task))
    }

    /// What a variant of a task is expected to take on a device of this class.
    pub fn predict(&self, graph: &Graph, task: u32, variant: u8, class: &str) -> Estimate {
        let _ = class;
        let variant = graph.variant(task, variant);
        if !self.seen.is_empty()
            && let Some(mean) = self.seen.get(&(Self::signature(graph, task), variant.kind))
        {
            return Estimate { duration: Some(Span::from_secs_f64(mean.seconds)), basis: Basis::History };
        }
        match variant.cost.declared_duration().or_else(|| variant.cost.roofline_duration(variant.kind)) {
            Some(duration) => Estimate { duration: Some(duration), basis: Basis::Declaration },
            None => Estimate::default(),
        }
    }

    /// How many runs a prediction rests on.
    pub fn runs(&self, graph: &Graph, task: u32, kind: DeviceKind) -> u64 {
        self.seen.get(&(Self::signature(graph, task), kind)).map_or(0, |mean| mean.runs)
    }

    /// Takes in how long a variant of a task took.
    pub(crate) fn observe(&mut self, graph: &Graph, task: u32, variant: u8, took: Span) {
        let key = (Self::signature(graph, task), graph.variant(task, variant).kind);
        let seconds = took.as_secs_f64();
        if let Some(mean) = self.seen.get_mut(&key) {
            mean.seconds += NEWEST * (seconds - mean.seconds);
            mean.runs += 1;
        } else if self.seen.len() < SIGNATURES_MAX {
            self.seen.insert(key, Mean { seconds, runs: 1 });
        }
    }
}
