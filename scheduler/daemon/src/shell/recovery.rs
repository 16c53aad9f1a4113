//! From what the store holds to a running shell: graphs are built from their texts, facts replayed, and
//! what became of open attempts is learned from their claims.

use super::commands::submission;
use super::input::Refused;
use super::owner::Shell;
use crate::accept;
use dunnage_core::Scheduler;
use dunnage_exec::{Engine, Recovered};
use dunnage_model::{AttemptId, Code, DeviceSample, Event, Graph, GraphId, Limits, TaskState};
use dunnage_store::{FactRow, GraphRow, LiveGraph, Write};
use dunnage_wire::graph_file;
use dunnage_wire::journal::decode_facts;
use std::sync::Arc;
use std::time::Duration;

/// SIGKILL.
const KILL: i32 = 9;

/// What was found when the daemon came back.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Found {
    /// Graphs that go on.
    pub(crate) graphs: usize,
    /// Attempts that still run.
    pub(crate) running: usize,
    /// Attempts that ended meanwhile.
    pub(crate) ended: usize,
    /// Attempts that never started, and are placed anew.
    pub(crate) never_started: usize,
    /// Attempts of which nothing is left and nothing is known.
    pub(crate) died: usize,
}

/// The graph of a row, built again. What was once accepted is not refused for its size.
pub(crate) fn graph_of(row: &GraphRow) -> Result<Graph, String> {
    let limits = graph_file::Limits { functions: u32::MAX, bytes: u64::MAX, problems: 3 };
    let told = |problems: Vec<dunnage_model::Problem>| {
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let decoded = graph_file::decode_json_text(row.spec.clone(), &limits).map_err(told)?;
    let limits = Limits { functions: u32::MAX, edges: usize::MAX, problems: 3 };
    let mut spec = decoded.spec;
    // The name may come from the file's name, which is not part of its text.
    spec.name = Some(row.name.clone());
    let mut graph = accept::build(spec, &limits).map_err(|rejected| match rejected {
        accept::Rejected::Invalid(problems) | accept::Rejected::Refused(problems) => told(problems),
    })?;
    graph.history = accept::history_of(row.owner);
    Ok(graph)
}

/// Replays a graph's facts into a scheduler.
pub(crate) fn replay(core: &mut Scheduler, row: GraphRow, facts: &[FactRow]) -> Result<(), String> {
    let graph = Arc::new(graph_of(&row)?);
    core.replay(row.submitted_at, Event::Submitted(Box::new(submission(&row, graph))));
    for record in facts {
        decode_facts(&record.body, &mut |fact| core.replay(fact.at, fact.event))
            .map_err(|error| format!("record {} of graph {}: {error}", record.seq, row.id))?;
    }
    Ok(())
}

impl Shell {
    /// Takes in what lived when the last daemon ended. Facts of different graphs are replayed one graph
    /// after another: they meet only in the ledger, and there only sums matter. `samples` are what was seen
    /// of the devices a moment ago: without them the first placements would take all memory for free.
    pub(crate) async fn recover(
        &mut self,
        live: Vec<LiveGraph>,
        samples: Vec<DeviceSample>,
    ) -> Result<Found, String> {
        let mut found = Found::default();
        let mut aside = Vec::new();
        for LiveGraph { row, facts, damaged } in live {
            let id = row.id;
            let meta = self.meta(&row).map_err(|refused| match refused {
                Refused::NotFound(text)
                | Refused::Forbidden(text)
                | Refused::Conflict(text)
                | Refused::Broken(text) => text,
                Refused::Impossible(_) => String::new(),
            });
            let replayed = if damaged {
                Err("some of its facts are damaged, so what it has started is not known".to_owned())
            } else {
                meta.and_then(|meta| replay(&mut self.core, row, &facts).map(|()| meta))
            };
            match replayed {
                Ok(meta) => {
                    self.metas.insert(id, meta);
                    self.prepare(id);
                    found.graphs += 1;
                }
                Err(reason) => {
                    eprintln!("dunnage: graph {id} was set aside: {reason}");
                    self.core.remove(id);
                    aside.push(id);
                    self.write(Write::SetAside { graph: id, seq: None, reason });
                }
            }
        }
        for run in self.core.graphs() {
            self.locks.want(&run.graph);
        }
        self.locks.keep(&mut self.core);
        if self.engine.runtime_lost() {
            self.clear_logs();
        }
        self.learn_of_open_attempts(&mut found, &aside).await;
        self.first_look(samples);
        let mut decisions = Vec::new();
        let now = self.clock.now();
        self.core.resume(now, &mut decisions);
        self.gather(now, decisions);
        let over: Vec<GraphId> =
            self.core.graphs().filter(|run| run.ended.is_some()).map(|run| run.id).collect();
        for id in over {
            self.note_end(id);
        }
        Ok(found)
    }

    /// Removes the logs that another store, or an earlier life of the runtime directory, has left: they carry
    /// the same names as ours. Its claims are the engine's affair.
    fn clear_logs(&self) {
        let logs = self.effects.rundir.join("logs");
        for entry in std::fs::read_dir(logs).into_iter().flatten().flatten() {
            drop(std::fs::remove_file(entry.path()));
        }
    }

    async fn learn_of_open_attempts(&mut self, found: &mut Found, aside: &[GraphId]) {
        let mut commands: Vec<AttemptId> = Vec::new();
        let mut calls: Vec<AttemptId> = Vec::new();
        for run in self.core.graphs() {
            for task in 0..run.graph.len() {
                if let TaskState::Running(running) = &run.slots()[task as usize].state {
                    let attempt = run.id.task(task).attempt(running.attempt);
                    match run.graph.function(task).code {
                        Code::Command(_) => commands.push(attempt),
                        Code::Kernel { .. } | Code::Python { .. } => calls.push(attempt),
                    }
                }
            }
        }
        // Workers end with their daemon, and what they ran is pure.
        for attempt in calls {
            found.never_started += 1;
            self.handle_quietly(Event::NeverStarted { attempt });
        }
        // Nobody knows what graphs that were set aside hold: what still runs of them is ended.
        let claims = self.engine.claims().list().unwrap_or_default();
        commands.extend(claims.into_iter().filter(|attempt| aside.contains(&attempt.task.graph)));
        for (attempt, what) in self.engine.recover(commands).await {
            if aside.contains(&attempt.task.graph) {
                if matches!(what, Recovered::Running { .. }) {
                    self.engine.cancel(attempt, KILL, Duration::ZERO);
                }
                continue;
            }
            match what {
                Recovered::Running { pid } => {
                    found.running += 1;
                    self.pids.insert(attempt, pid);
                    self.handle_quietly(Event::Started { attempt });
                }
                Recovered::Ended(outcome) => {
                    found.ended += 1;
                    self.inspect_recovered(attempt, *outcome);
                }
                Recovered::NeverStarted => {
                    found.never_started += 1;
                    self.claims_now.push(super::owner::Claimed { attempt, has_log: false });
                    self.handle_quietly(Event::NeverStarted { attempt });
                }
                Recovered::Died => {
                    found.died += 1;
                    let outcome = dunnage_exec::Outcome::bare(dunnage_exec::Ending::ShimDied);
                    self.inspect_recovered(attempt, outcome);
                }
            }
        }
    }
}
