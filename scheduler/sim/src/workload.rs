//! How attempts end in a simulation.

use dunnage_model::{AttemptId, Failure, Graph, Placement, Span};

/// Says of each attempt how long it runs and how it ends.
pub trait Workload {
    /// The end of this attempt with this placement.
    fn attempt(&mut self, graph: &Graph, attempt: AttemptId, placement: &Placement) -> (Span, AttemptEnd);
}

/// How an attempt ends.
#[derive(Clone, PartialEq, Debug)]
pub enum AttemptEnd {
    /// Well.
    Succeeds,
    /// With this failure.
    Fails(Failure),
}

/// Everything takes as long as is expected, or a second where nothing is, and succeeds.
#[derive(Clone, Copy, Debug)]
pub struct Declared;

impl Workload for Declared {
    fn attempt(&mut self, _: &Graph, _: AttemptId, placement: &Placement) -> (Span, AttemptEnd) {
        (placement.predicted.unwrap_or(Span::secs(1)), AttemptEnd::Succeeds)
    }
}
