//! What waits and what runs.

use crate::collector::{CollectError, Collector, Input};
use crate::families::Families;
use crate::table::{CollectorName, GRAPHS, QUEUE_DEPTH};
use dunnage_model::GraphState;

const STATES: [GraphState; 6] = [
    GraphState::Queued,
    GraphState::Running,
    GraphState::Held,
    GraphState::Succeeded,
    GraphState::Failed,
    GraphState::Cancelled,
];

pub(crate) struct Queue;

impl Collector for Queue {
    fn name(&self) -> CollectorName {
        CollectorName::Queue
    }

    fn collect(&self, input: Input<'_>, out: &mut Families) -> Result<(), CollectError> {
        let snapshot = input.snapshot;
        let of_held_graphs = snapshot.graphs.iter().filter(|graph| graph.state == GraphState::Held);
        let held: u64 = of_held_graphs.map(|graph| u64::from(graph.tasks.queued)).sum();
        let queued = u64::from(snapshot.tasks.queued).saturating_sub(held);
        out.add(&QUEUE_DEPTH, [GraphState::Queued.word()], queued as f64);
        out.add(&QUEUE_DEPTH, [GraphState::Running.word()], f64::from(snapshot.tasks.running));
        out.add(&QUEUE_DEPTH, [GraphState::Held.word()], held as f64);
        let mut graphs = [0_u32; STATES.len()];
        for graph in &snapshot.graphs {
            for (count, _) in graphs.iter_mut().zip(STATES).filter(|(_, state)| *state == graph.state) {
                *count += 1;
            }
        }
        for (count, state) in graphs.into_iter().zip(STATES) {
            out.add(&GRAPHS, [state.word()], f64::from(count));
        }
        Ok(())
    }
}
