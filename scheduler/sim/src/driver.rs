//! The agenda: events in order of virtual time, decisions carried out as soon as they are made.

use crate::workload::{AttemptEnd, Workload};
use dunnage_core::{Budget, Scheduler};
use dunnage_model::{
    AttemptId, Cause, Decision, DeviceId, EndReason, Event, Failure, GraphId, GraphState, Placement, Time,
    Usage,
};
use std::collections::{BTreeMap, BTreeSet};

/// How many schedules a search may make for one plan.
const SCHEDULES: u64 = 2_000;

/// A scheduler with an agenda.
#[derive(Debug)]
pub struct Simulation<W> {
    /// The scheduler; look, but hand events in through the simulation.
    pub scheduler: Scheduler,
    workload: W,
    agenda: BTreeMap<(Time, u64), Event>,
    next: u64,
    now: Time,
    running: BTreeMap<AttemptId, (Time, Box<Placement>)>,
    ended: BTreeSet<GraphId>,
    check: bool,
    report: Report,
}

/// What happened.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Report {
    /// Every attempt that ran, in order of its end.
    pub ran: Vec<Ran>,
    /// Every decision, in order: two runs of the same story have the same.
    pub decisions: Vec<Decision>,
    /// How each graph ended.
    pub graphs: BTreeMap<GraphId, GraphState>,
    /// Events handed in.
    pub events: u64,
}

/// An attempt that ran.
#[derive(Clone, PartialEq, Debug)]
pub struct Ran {
    /// Which.
    pub attempt: AttemptId,
    /// Where.
    pub device: DeviceId,
    /// What it held.
    pub placement: Box<Placement>,
    /// From when.
    pub start: Time,
    /// Until when.
    pub end: Time,
    /// Whether it succeeded.
    pub succeeded: bool,
}

impl<W: Workload> Simulation<W> {
    /// A simulation at time zero. With `check`, the invariants are checked after every event.
    pub fn new(scheduler: Scheduler, workload: W, check: bool) -> Self {
        Self {
            scheduler,
            workload,
            agenda: BTreeMap::new(),
            next: 0,
            now: Time::ZERO,
            running: BTreeMap::new(),
            ended: BTreeSet::new(),
            check,
            report: Report::default(),
        }
    }

    /// Puts an event on the agenda.
    pub fn at(&mut self, time: Time, event: Event) {
        self.agenda.insert((time, self.next), event);
        self.next += 1;
    }

    /// Virtual time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Runs until nothing is on the agenda.
    ///
    /// # Errors
    /// The first broken invariant.
    pub fn run(mut self) -> Result<(Report, Scheduler), String> {
        while self.step()? {}
        Ok((self.report, self.scheduler))
    }

    /// Takes the next event from the agenda; `false` where there is none.
    ///
    /// # Errors
    /// A broken invariant.
    pub fn step(&mut self) -> Result<bool, String> {
        let Some(((time, _), event)) = self.agenda.pop_first() else { return Ok(false) };
        self.now = self.now.max(time);
        if let Event::Finished { attempt, .. } | Event::Failed { attempt, .. } = &event {
            // One that was told to end in the meantime has reported already.
            let Some((start, placement)) = self.running.remove(attempt) else { return Ok(true) };
            let succeeded = matches!(event, Event::Finished { .. });
            let device = placement.main_device();
            self.report.ran.push(Ran {
                attempt: *attempt,
                device,
                placement,
                start,
                end: self.now,
                succeeded,
            });
        }
        self.report.events += 1;
        let mut decisions = Vec::new();
        self.scheduler.handle(self.now, event, &mut decisions);
        if self.check {
            self.scheduler.check_invariants()?;
        }
        for decision in decisions {
            self.carry_out(&decision);
            self.report.decisions.push(decision);
        }
        Ok(true)
    }

    fn carry_out(&mut self, decision: &Decision) {
        match decision {
            Decision::Start { attempt, placement } => {
                let Some(run) = self.scheduler.graph(attempt.task.graph) else { return };
                let (took, end) = self.workload.attempt(&run.graph, *attempt, placement);
                self.running.insert(*attempt, (self.now, placement.clone()));
                self.at(self.now, Event::Started { attempt: *attempt });
                let usage = Usage::default();
                let event = match end {
                    AttemptEnd::Succeeds => Event::Finished { attempt: *attempt, usage },
                    AttemptEnd::Fails(failure) => {
                        Event::Failed { attempt: *attempt, failure: Box::new(failure), usage }
                    }
                };
                self.at(self.now.after(took), event);
            }
            Decision::Kill { attempt, reason } => {
                if self.running.contains_key(attempt) {
                    let cause = match reason {
                        EndReason::Timeout => Cause::Timeout,
                        EndReason::DeviceLost => Cause::DeviceLost,
                        EndReason::Preempted => Cause::Preempted,
                        EndReason::Cancelled | EndReason::GraphTimeout => Cause::Cancelled,
                    };
                    let failure = Box::new(Failure::new(cause, "ended"));
                    self.at(self.now, Event::Failed { attempt: *attempt, failure, usage: Usage::default() });
                }
            }
            Decision::WakeAt(time) => self.at(*time, Event::TimerFired),
            Decision::PlanWanted { graph, revision } => {
                let Some(problem) = self.scheduler.plan_problem(*graph) else { return };
                let Some(run) = self.scheduler.graph(*graph) else { return };
                let name = self.scheduler.strategy_of(run);
                // No clock in here: virtual time stands still while a plan is made.
                let mut budget = Budget::of(SCHEDULES);
                if let Some(planner) = dunnage_strategies::planner(name) {
                    let plan = std::sync::Arc::new(planner.plan(&problem, &mut budget));
                    self.at(self.now, Event::Planned { graph: *graph, revision: *revision, plan });
                }
            }
            Decision::FreeValues { .. } | Decision::TaskEnded { .. } => {}
            Decision::GraphEnded { graph, state } => {
                self.ended.insert(*graph);
                self.report.graphs.insert(*graph, *state);
            }
        }
    }
}

impl Report {
    /// The time from the first start to the last end.
    pub fn makespan(&self) -> dunnage_model::Span {
        let start = self.ran.iter().map(|ran| ran.start).min().unwrap_or_default();
        let end = self.ran.iter().map(|ran| ran.end).max().unwrap_or_default();
        end.since(start)
    }
}
