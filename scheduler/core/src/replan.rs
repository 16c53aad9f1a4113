//! Making a plan again when reality has left it.
//!
//! A plan rests on predicted times and on the devices that there were. Where a planned task takes far longer
//! or shorter than predicted, a device is lost or comes back, or a failure changes what is left, the part that
//! has not started is planned anew beside the loop. Until the new plan is there the old one stays in force.
//! How often is bounded by what planning costs: at most once a second, and at most a tenth of the time goes
//! into planning; and not at all once too little is left for a plan to matter.
//!
//! Nothing of this is journalled: after a restart graphs are planned anew in any case.

use crate::estimate::Estimate;
use crate::run::{GraphRun, PlanState};
use crate::scheduler::Scheduler;
use crate::timers::Timer;
use dunnage_model::{AttemptId, Decision, GraphId, Span, Time};

/// Where history has no band: a task that ends before this part of its predicted time has left it.
const EARLY: f64 = 0.5;

/// So has one that runs beyond this multiple of it.
const LATE: f64 = 1.5;

/// Times that are off by less than this do not matter to a plan.
const SLACK: Span = Span::millis(100);

/// The least time between two plans.
const PAUSE: Span = Span::secs(1);

/// The time between two plans is at least so many times what the last one took.
const SHARE: u64 = 10;

/// A plan that did not come after this time is not waited for any more.
const PATIENCE: Span = Span::secs(600);

/// A plan is made again only while at least this part of the tasks has not started.
const LEFT: f64 = 0.1;

/// What is remembered of a graph's planning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Replan {
    /// Since when a plan is being made.
    asked: Option<Time>,
    /// When the plan in force came.
    planned_at: Time,
    /// How long it took.
    took: Span,
    /// When another is to be asked for.
    due: Option<Time>,
}

impl Replan {
    /// A plan is asked for.
    pub(crate) fn ask(&mut self, now: Time) {
        self.asked = Some(now);
        self.due = None;
    }

    /// It came.
    pub(crate) fn came(&mut self, now: Time) {
        self.took = self.asked.take().map_or(Span::default(), |asked| now.since(asked));
        self.planned_at = now;
    }

    fn earliest(&self) -> Time {
        self.planned_at.after(PAUSE.max(Span(self.took.0.saturating_mul(SHARE))))
    }
}

impl GraphRun {
    fn has_enough_left(&self) -> bool {
        let left = self.counts.queued;
        left >= 2 && f64::from(left) >= LEFT * f64::from(self.counts.functions)
    }
}

impl Scheduler {
    /// A running attempt should have ended long ago.
    pub(crate) fn overran(&mut self, id: AttemptId, out: &mut Vec<Decision>) {
        if self.graphs.get(&id.task.graph).is_some_and(|run| run.is_current(id.task.index, id.attempt)) {
            self.want_newer_plan(id.task.graph, out);
        }
    }

    /// What devices there are has changed: every plan rests on that.
    pub(crate) fn devices_changed(&mut self, out: &mut Vec<Decision>) {
        let planned: Vec<GraphId> =
            self.graphs.values().filter(|run| run.plan().is_some()).map(|run| run.id).collect();
        for id in planned {
            self.want_newer_plan(id, out);
        }
    }

    /// The same with the next event.
    pub(crate) fn replan_soon(&mut self, id: GraphId) {
        let now = self.now;
        let Some(run) = self.graphs.get_mut(&id) else { return };
        if run.replan.due.is_none() {
            run.replan.due = Some(now);
            self.timers.set(now, Timer::ReplanDue(id));
        }
    }

    /// Asks for a new plan of what has not started, now or when it may be asked for. The one in force stays
    /// until the new one comes.
    pub(crate) fn want_newer_plan(&mut self, id: GraphId, out: &mut Vec<Decision>) {
        let now = self.now;
        let Some(run) = self.graphs.get_mut(&id) else { return };
        if !self.policy.replans
            || run.ended.is_some()
            || run.stop.is_some()
            || run.held
            || !matches!(run.plan, PlanState::Have(_))
            || !run.has_enough_left()
            || run.replan.asked.is_some_and(|asked| now.since(asked) < PATIENCE)
        {
            return;
        }
        let earliest = run.replan.earliest();
        if now < earliest {
            if run.replan.due.is_none() {
                run.replan.due = Some(earliest);
                self.timers.set(earliest, Timer::ReplanDue(id));
            }
            return;
        }
        run.replan.ask(now);
        run.revision += 1;
        out.push(Decision::PlanWanted { graph: id, revision: run.revision });
    }

    /// The time has come to ask for a plan that was wanted earlier.
    pub(crate) fn replan_due(&mut self, at: Time, id: GraphId, out: &mut Vec<Decision>) {
        let Some(run) = self.graphs.get_mut(&id) else { return };
        if run.replan.due == Some(at) {
            run.replan.due = None;
            self.want_newer_plan(id, out);
        }
    }

    /// Remembers the band of an attempt that was just placed, where its graph has a plan, and sets the alarm
    /// for its far end.
    pub(crate) fn watch_band(&mut self, id: AttemptId, estimate: &Estimate) {
        let now = self.now;
        let Some(run) = self.graphs.get_mut(&id.task.graph) else { return };
        if run.plan().is_none() {
            return;
        }
        let band = estimate.duration.map(|duration| Band::of(duration, estimate));
        if let Some(slot) = run.slots.get_mut(id.task.index as usize) {
            slot.record().band = Some(band.unwrap_or(Band::NEWS));
        }
        if let Some(band) = band {
            self.timers.set(now.after(band.high), Timer::Overrun(id));
        }
    }
}

/// What a planned attempt may take without the plan being left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Band {
    low: Span,
    pub(crate) high: Span,
}

impl Band {
    /// Of an attempt of which nothing was known: however long it takes, the plan did not know.
    const NEWS: Self = Self { low: Span(u64::MAX), high: Span(u64::MAX) };

    fn of(duration: Span, estimate: &Estimate) -> Self {
        let seconds = duration.as_secs_f64();
        let low = estimate.low.unwrap_or(Span::from_secs_f64(seconds * EARLY));
        let high = estimate.high.unwrap_or(Span::from_secs_f64(seconds * LATE)).max(duration);
        Self { low: Span(low.0.saturating_sub(SLACK.0)), high: Span(high.0.saturating_add(SLACK.0)) }
    }

    pub(crate) fn holds(&self, took: Span) -> bool {
        (self.low..=self.high).contains(&took)
    }
}
