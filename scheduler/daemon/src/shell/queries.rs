//! What clients may look at: lists, logs, explanations, and graphs of the past made again from their facts.

use super::owner::Shell;
use super::{LogPart, Refused, views};
use dunnage_core::{GraphRun, Scheduler};
use dunnage_exec::logs::LogChunk;
use dunnage_model::{AttemptId, GraphId, Owner, TaskState};
use dunnage_store::{EndedFilter, StoreError};
use dunnage_wire::api::{ExplainDoc, QueueRow};
use std::collections::BTreeMap;

/// A log is read in pieces of at most this many bytes.
const LOG_CHUNK: usize = 256 << 10;

impl Shell {
    pub(super) fn queue_rows(&mut self) -> Result<Vec<QueueRow>, Refused> {
        let mut rows: BTreeMap<GraphId, QueueRow> = BTreeMap::new();
        match self.history.ended(&EndedFilter::default()) {
            Ok(ended) => {
                for row in ended {
                    if let Ok(doc) = serde_json::from_str(&row.end.summary) {
                        rows.insert(row.id, doc);
                    }
                }
            }
            Err(error) => return Err(Refused::Broken(error.in_full())),
        }
        for run in self.core.graphs() {
            let mut row = views::queue_row(run, self.core.strategy_of(run), &self.clock);
            row.reason = self.reason(run);
            rows.insert(run.id, row);
        }
        Ok(rows.into_values().collect())
    }

    /// Why a queued graph waits: what is in the way of its first ready task.
    pub(super) fn reason(&self, run: &GraphRun) -> Option<String> {
        if run.ended.is_some() || run.counts().running > 0 {
            return None;
        }
        if run.held {
            return Some("held by its owner".to_owned());
        }
        let task = (0..run.graph.len()).take(1000).find(|task| {
            matches!(run.slots()[*task as usize].state, TaskState::Ready | TaskState::BackingOff { .. })
        })?;
        self.core.explain(run.id.task(task)).map(|explanation| explanation.why.text)
    }

    /// A graph that lives, or one of the past made again from its facts.
    pub(crate) fn with_run<T>(
        &mut self,
        id: GraphId,
        view: impl FnOnce(&Self, &GraphRun) -> T,
    ) -> Result<T, Refused> {
        if let Some(run) = self.core.graph(id) {
            return Ok(view(self, run));
        }
        let past = self.past(id)?;
        let run = past.graph(id).ok_or_else(|| no_graph(id))?;
        Ok(view(self, run))
    }

    /// Brings an ended graph that was put away back among the living.
    pub(super) fn reload(&mut self, id: GraphId) -> Result<(), Refused> {
        if self.core.graph(id).is_some() {
            return Ok(());
        }
        let broken = |error: StoreError| Refused::Broken(error.in_full());
        let (row, _) = self.history.graph(id).map_err(broken)?.ok_or_else(|| no_graph(id))?;
        let facts = self.history.facts_of(id, 0).map_err(broken)?;
        let meta = self.meta(&row)?;
        self.core
            .replay_counted(|core| super::recovery::replay(core, row, &facts))
            .map_err(Refused::Conflict)?;
        self.metas.insert(id, meta);
        self.ended.push_back(id);
        Ok(())
    }

    pub(super) fn explain(&mut self, id: GraphId, function: &str) -> Result<Box<ExplainDoc>, Refused> {
        let story = self.history.facts_of(id, 0).map_err(|error| Refused::Broken(error.in_full()))?;
        let memory = self.effects.memory_control();
        if self.core.graph(id).is_some() {
            let run = self.core.graph(id).ok_or_else(|| no_graph(id))?;
            let task = run.graph.find(function).ok_or_else(|| no_function(run, function))?;
            return Ok(Box::new(views::explain(&self.core, run, task, &story, memory, &self.clock)));
        }
        let past = self.past(id)?;
        let run = past.graph(id).ok_or_else(|| no_graph(id))?;
        let task = run.graph.find(function).ok_or_else(|| no_function(run, function))?;
        Ok(Box::new(views::explain(&past, run, task, &story, memory, &self.clock)))
    }

    /// A scheduler that knows nothing but one graph of the past.
    pub(super) fn past(&mut self, id: GraphId) -> Result<Scheduler, Refused> {
        let broken = |error: StoreError| Refused::Broken(error.in_full());
        let (row, _) = self.history.graph(id).map_err(broken)?.ok_or_else(|| no_graph(id))?;
        let facts = self.history.facts_of(id, 0).map_err(broken)?;
        let mut past = Scheduler::new(dunnage_strategies::strategies());
        super::recovery::replay(&mut past, row, &facts).map_err(Refused::Conflict)?;
        Ok(past)
    }

    /// A piece of a log: of one that still grows, else of one that was packed.
    pub(super) fn log_chunk(&mut self, attempt: AttemptId, offset: u64) -> Result<LogChunk, Refused> {
        let broken = |error: StoreError| Refused::Broken(error.in_full());
        let rows = self.history.logs_of(attempt).map_err(broken)?;
        if rows.is_empty() {
            return self
                .effects
                .logs
                .read(attempt, offset, LOG_CHUNK)
                .map_err(|error| Refused::Broken(format!("cannot read the log of {attempt}: {error}")));
        }
        let cut = rows.first().map_or(0, |row| row.truncated);
        let total = cut + rows.iter().map(|row| row.place.length).sum::<u64>();
        let offset = offset.clamp(cut, total);
        let mut begin = cut;
        for row in rows {
            let length = row.place.length;
            if offset < begin + length {
                let mut bytes = self.effects.segments.read(row.place).map_err(broken)?;
                bytes.drain(..((offset - begin) as usize).min(bytes.len()));
                bytes.truncate(LOG_CHUNK);
                return Ok(LogChunk { offset, bytes, total, cut });
            }
            begin += length;
        }
        Ok(LogChunk { offset, bytes: Vec::new(), total, cut })
    }

    pub(super) fn log_parts(
        &mut self,
        id: GraphId,
        function: Option<&str>,
        attempt: Option<u32>,
        by: Owner,
    ) -> Result<Vec<LogPart>, Refused> {
        let ours = Owner(rustix::process::geteuid().as_raw());
        self.with_run(id, |_, run| {
            if by != run.owner && by != Owner(0) && by != ours {
                return Err(Refused::Forbidden(format!("graph {id} belongs to user {}", run.owner.0)));
            }
            let tasks: Vec<u32> = match function {
                Some(name) => vec![run.graph.find(name).ok_or_else(|| no_function(run, name))?],
                None => (0..run.graph.len()).filter(|task| run.slots()[*task as usize].starts > 0).collect(),
            };
            Ok(tasks
                .into_iter()
                .filter_map(|task| {
                    let slot = &run.slots()[task as usize];
                    let last = slot.record.as_ref().map_or(0, |record| record.last_attempt);
                    let number = attempt.unwrap_or(last);
                    (number > 0 && number <= last).then(|| LogPart {
                        function: run.graph.task_name(task),
                        attempt: id.task(task).attempt(dunnage_model::Attempt(number)),
                        running: number == last && matches!(slot.state, TaskState::Running(_)),
                    })
                })
                .collect())
        })?
    }
}

/// There is no such graph.
pub(super) fn no_graph(id: GraphId) -> Refused {
    Refused::NotFound(format!("there is no graph {id}: `dunnage queue` lists them"))
}

/// There is no such function.
pub(super) fn no_function(run: &GraphRun, name: &str) -> Refused {
    let near =
        dunnage_model::nearest(name, run.graph.functions().iter().map(|function| function.id.as_str()));
    Refused::NotFound(match near {
        Some(near) => format!("graph {} has no function `{name}`: did you mean `{near}`?", run.id),
        None => format!("graph {} has no function `{name}`: `dunnage status {}` lists them", run.id, run.id),
    })
}
