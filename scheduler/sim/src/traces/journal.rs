//! Our own journal as a trace: what was submitted when, and how long each task took where it succeeded.

use super::{Arrival, Trace, Work};
use dunnage_model::{Event, Fact, Graph, Owner, Time};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A graph of a journal with its facts.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// As it was accepted.
    pub graph: Arc<Graph>,
    /// Whose it is.
    pub owner: Owner,
    /// When it was accepted.
    pub at: Time,
    /// What happened to it, in order.
    pub facts: Vec<Fact>,
}

/// Makes a trace of what a journal holds. A task took as long as its attempt that succeeded; of others it is
/// not known, and they are taken to last as long as they are predicted to.
pub fn read_journal(name: &str, mut recorded: Vec<Recorded>) -> Trace {
    recorded.sort_by_key(|one| one.at);
    let start = recorded.first().map_or(Time::ZERO, |one| one.at);
    let arrivals = recorded
        .into_iter()
        .map(|one| {
            let mut took: Vec<Option<f64>> = vec![None; one.graph.len() as usize];
            let mut began: BTreeMap<_, Time> = BTreeMap::new();
            for fact in &one.facts {
                match &fact.event {
                    Event::Placed { attempt, .. } | Event::Started { attempt } => {
                        began.insert(*attempt, fact.at);
                    }
                    Event::Finished { attempt, .. } => {
                        if let Some(began) = began.remove(attempt)
                            && let Some(slot) = took.get_mut(attempt.task.index as usize)
                        {
                            *slot = Some(fact.at.since(began).as_secs_f64());
                        }
                    }
                    _ => {}
                }
            }
            Arrival {
                at_s: one.at.since(start).as_secs_f64(),
                owner: one.owner,
                work: Work::Graph(one.graph, took),
            }
        })
        .collect();
    Trace { name: name.to_owned(), arrivals, left_out: 0, why: None }
}
