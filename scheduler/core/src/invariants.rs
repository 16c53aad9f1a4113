//! What must be true after every event. Checked in tests and simulation.

use crate::scheduler::Scheduler;
use dunnage_model::{Need, TaskCounts, TaskState};

impl Scheduler {
    /// Looks for a contradiction in the whole state. Its cost grows with everything there is.
    ///
    /// # Errors
    /// The first contradiction, as a sentence.
    pub fn check_invariants(&self) -> Result<(), String> {
        if !self.ledger.is_over_committed() {
            self.ledger.audit()?;
        }
        self.queue.audit()?;
        let mut running = 0;
        let mut queued = 0;
        for run in self.graphs.values() {
            let id = run.id;
            let mut counts = TaskCounts { functions: run.graph.len(), ..TaskCounts::default() };
            for task in 0..run.graph.len() {
                let slot = &run.slots[task as usize];
                let name = || format!("task {id}.{task} (`{}`)", run.graph.task_name(task));
                match &slot.state {
                    TaskState::Waiting | TaskState::Held | TaskState::BackingOff { .. } => counts.queued += 1,
                    TaskState::Ready => {
                        counts.queued += 1;
                        if slot.missing > 0 {
                            return Err(format!("{} is ready and misses {} inputs", name(), slot.missing));
                        }
                    }
                    TaskState::Running(state) => {
                        counts.running += 1;
                        running += 1;
                        let attempt = id.task(task).attempt(state.attempt);
                        if self.ledger.holding(attempt) != Some(&state.placement) {
                            return Err(format!("{} runs and the ledger does not know", name()));
                        }
                    }
                    TaskState::Succeeded => counts.succeeded += 1,
                    TaskState::Failed => counts.failed += 1,
                    TaskState::Cancelled { .. } => counts.cancelled += 1,
                    TaskState::Compensated => counts.compensated += 1,
                }
                // One that runs may have lost an input since: it is judged by its result.
                if slot.state == TaskState::Ready && !needs_are_met(run, task) {
                    return Err(format!("{} may start before what it needs", name()));
                }
                if run.ended.is_some() && !slot.state.is_final() {
                    return Err(format!("{} is open and its graph has ended", name()));
                }
                if let Some(max) = run.graph.function(task).max_parallel {
                    let function = run.graph.function_index(task);
                    let at_once = run
                        .graph
                        .instances(function)
                        .filter(|t| matches!(run.slots[*t as usize].state, TaskState::Running(_)))
                        .count();
                    if at_once > max as usize {
                        return Err(format!("{at_once} instances of {} run and {max} may", name()));
                    }
                }
            }
            queued += run.check_queue(&self.queue)?;
            run.check_counters()?;
            if counts != run.counts {
                return Err(format!("graph {id}: counted {counts:?}, kept {:?}", run.counts));
            }
            if run.ended.is_none() && run.verdict().is_some() {
                return Err(format!("graph {id} is over and was not ended"));
            }
        }
        if queued != self.queue.len() {
            return Err(format!("{queued} tasks are to be in the queue and {} are", self.queue.len()));
        }
        // Attempts of forgotten graphs and attempts that were overtaken hold nothing.
        if self.ledger.holdings().len() != running {
            let idle = self.ledger.holdings().map(|(attempt, _)| *attempt).find(|attempt| {
                let run = self.graphs.get(&attempt.task.graph);
                run.is_none_or(|run| !run.is_current(attempt.task.index, attempt.attempt))
            });
            return Err(format!(
                "{running} tasks run and {} attempts hold devices, {idle:?} without running",
                self.ledger.holdings().len()
            ));
        }
        Ok(())
    }
}

fn needs_are_met(run: &crate::run::GraphRun, task: u32) -> bool {
    let done = |task: u32| run.slots[task as usize].state == TaskState::Succeeded;
    run.graph.needs(task).iter().all(|need| match need {
        Need::Task(producer) => done(*producer),
        Need::Group(group) => run.graph.members(*group).all(done),
        Need::GroupEnd(group) => run.graph.members(*group).all(|t| run.slots[t as usize].state.is_final()),
    })
}
