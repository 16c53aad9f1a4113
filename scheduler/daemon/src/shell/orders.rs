//! Carrying out what the core has decided.

use super::Input;
use super::effects::Effects;
use super::owner::Shell;
use super::translate::NoStart;
use dunnage_core::Budget;
use dunnage_exec::AttemptSpec;
use dunnage_model::{AttemptId, Cause, Decision, Event, Failure, GraphId, Placement, TaskState, Usage};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a search for a better plan may go on while its graph waits.
const PLAN_TIME: Duration = Duration::from_millis(100);

/// The share of its predicted makespan that a graph may wait for a search, which shortens it by about as much.
const PLAN_SHARE: f64 = 0.02;

/// Ended graphs are kept in memory up to this many, and up to this many of their functions together.
const ENDED_MAX: usize = 256;
const ENDED_FUNCTIONS_MAX: u64 = 200_000;

impl Shell {
    pub(super) fn carry_out(&mut self, decisions: Vec<Decision>) {
        if self.broken.is_some() {
            return;
        }
        let mut starts = Vec::new();
        for decision in decisions {
            match decision {
                Decision::Start { attempt, placement } => match self.spec(attempt, &placement) {
                    Some(Ok(spec)) => starts.push(spec),
                    Some(Err(NoStart::Failed(why))) => {
                        let failure = Box::new(Failure::new(Cause::SpawnFailed, why));
                        self.handle(Event::Failed { attempt, failure, usage: Usage::default() });
                    }
                    Some(Err(NoStart::Lost(producers))) => {
                        // They are made again, and this attempt never began.
                        for producer in producers {
                            self.handle(Event::ValueLost { task: attempt.task.graph.task(producer) });
                        }
                        self.handle(Event::NeverStarted { attempt });
                    }
                    None => {}
                },
                Decision::Kill { attempt, .. } => {
                    // A start in the same batch must reach the engine before its end.
                    Effects::submit(&mut self.engine, std::mem::take(&mut starts));
                    Effects::kill(&mut self.engine, &self.core, attempt);
                }
                Decision::WakeAt(at) => self.wake = Some(self.wake.map_or(at, |wake| wake.min(at))),
                Decision::PlanWanted { graph, revision } => self.plan(graph, revision),
                Decision::FreeValues { task } => {
                    if let Some(run) = self.core.graph(task.graph) {
                        self.effects.free(run, task.index);
                    }
                }
                Decision::TaskEnded { .. } => {}
                Decision::GraphEnded { graph, .. } => {
                    for waiter in self.waiters.remove(&graph).unwrap_or_default() {
                        drop(waiter.send(Ok(())));
                    }
                    self.put_away();
                }
            }
        }
        Effects::submit(&mut self.engine, starts);
    }

    pub(super) fn spec(
        &mut self,
        attempt: AttemptId,
        placement: &Placement,
    ) -> Option<Result<AttemptSpec, NoStart>> {
        let run = self.core.graph(attempt.task.graph)?;
        if !run.slots().get(attempt.task.index as usize).is_some_and(
            |slot| matches!(&slot.state, TaskState::Running(running) if running.attempt == attempt.attempt),
        ) {
            return None;
        }
        let meta = self.metas.get(&attempt.task.graph)?;
        let node = self.core.ledger().node(placement.node)?;
        Some(self.effects.spec(run, meta, &node.spec, &self.options, &self.clock, attempt, placement))
    }

    pub(super) fn plan(&mut self, graph: GraphId, revision: u32) {
        let Some(problem) = self.core.plan_problem(graph) else { return };
        let Some(run) = self.core.graph(graph) else { return };
        let Some(planner) = dunnage_strategies::planner(self.core.strategy_of(run)) else { return };
        let sender = self.sender.clone();
        tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let limit = Cell::new(PLAN_TIME);
            let mut is_over = || began.elapsed() >= limit.get();
            let is_informed = !problem.has_unknown;
            let mut on_plan = |makespan_s: f64| {
                // Where times are guesses, a search would only sharpen what is not known.
                let worth = if is_informed { makespan_s * PLAN_SHARE } else { 0.0 };
                limit.set(Duration::try_from_secs_f64(worth).map_or(PLAN_TIME, |worth| worth.min(PLAN_TIME)));
            };
            let mut budget = Budget::with_clock(u64::MAX, &mut is_over).and_tell(&mut on_plan);
            let plan = Arc::new(planner.plan(&problem, &mut budget));
            drop(sender.send(Input::Planned { graph, revision, plan }));
        });
    }

    /// Forgets the oldest ended graphs; the journal has them.
    pub(super) fn put_away(&mut self) {
        let functions = |shell: &Self| -> u64 {
            shell
                .ended
                .iter()
                .filter_map(|id| shell.core.graph(*id))
                .map(|run| u64::from(run.graph.len()))
                .sum()
        };
        while self.ended.len() > 1 && (self.ended.len() > ENDED_MAX || functions(self) > ENDED_FUNCTIONS_MAX)
        {
            if let Some(id) = self.ended.pop_front()
                && self.core.graph(id).is_some_and(|run| run.ended.is_some())
            {
                self.core.forget(id);
                self.metas.remove(&id);
            }
        }
    }
}
