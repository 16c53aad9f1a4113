//! The scheduler as a value: its parts, and the two ways in, [`Scheduler::handle`] and
//! [`Scheduler::replay`].

use crate::apply::{ended_politely, settle_cause};
use crate::estimate::Estimates;
use crate::fair_share::FairShare;
use crate::ledger::Ledger;
use crate::policy::{Load, Policy};
use crate::queue::Queue;
use crate::reservation::Reservation;
use crate::run::{GraphRun, Parts, PlanState, Stop};
use crate::strategy::Strategy;
use crate::timers::{Timer, Timers};
use dunnage_model::{Cause, Decision, EndReason, Event, GraphId, TaskState, Time, Totals};
use std::collections::BTreeMap;
use std::fmt;

/// The state machine. All of its state changes only through [`Scheduler::handle`], [`Scheduler::replay`]
/// and [`Scheduler::resume`].
pub struct Scheduler {
    pub(crate) now: Time,
    pub(crate) strategies: Vec<Box<dyn Strategy>>,
    pub(crate) graphs: BTreeMap<GraphId, GraphRun>,
    pub(crate) ledger: Ledger,
    pub(crate) queue: Queue,
    pub(crate) timers: Timers,
    pub(crate) estimates: Estimates,
    pub(crate) totals: Totals,
    pub(crate) policy: Policy,
    pub(crate) fair: FairShare,
    pub(crate) load: Load,
    /// What is kept for a task that does not fit yet.
    pub(crate) reservation: Option<Reservation>,
    /// Counts the reservations that were given up: what they blocked is looked at again.
    pub(crate) given_up: u64,
    /// Where the last round among those that starve and cannot be helped has ended.
    pub(crate) helped: Option<crate::queue::Age>,
    /// When a look at the queue that was cut short goes on.
    pub(crate) looks_on_at: Option<Time>,
    /// Graphs set aside because of an impossible state, with the story.
    pub(crate) quarantined: Vec<(GraphId, String)>,
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler")
            .field("now", &self.now)
            .field("graphs", &self.graphs.len())
            .field("queued", &self.queue.len())
            .finish_non_exhaustive()
    }
}

impl Scheduler {
    /// A scheduler that knows these strategies and no machine yet. A graph that names a strategy which
    /// is not among them is placed by the first.
    pub fn new(strategies: Vec<Box<dyn Strategy>>) -> Self {
        assert!(!strategies.is_empty(), "a scheduler needs a strategy");
        Self {
            now: Time::ZERO,
            strategies,
            graphs: BTreeMap::new(),
            ledger: Ledger::default(),
            queue: Queue::default(),
            timers: Timers::default(),
            estimates: Estimates::default(),
            totals: Totals::default(),
            policy: Policy::default(),
            fair: FairShare::default(),
            load: Load::default(),
            reservation: None,
            given_up: 0,
            helped: None,
            looks_on_at: None,
            quarantined: Vec::new(),
        }
    }

    /// The same with another policy for the queue. To be said before anything is submitted.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// How the queue is ordered.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// For which task room is kept, and when it is predicted to start.
    pub fn reserved(&self) -> Option<(dunnage_model::TaskId, Time)> {
        self.reservation.as_ref().map(|reservation| (reservation.task(), reservation.at))
    }

    /// Takes in a fact and says what is to be done. Decisions are appended to `out` in order.
    pub fn handle(&mut self, now: Time, event: Event, out: &mut Vec<Decision>) {
        self.advance(now, out);
        self.totals.events += 1;
        self.apply(event, out);
        self.estimates.note_live(self.now);
        self.dispatch(out);
        if let Some(at) = self.timers.wish(self.now) {
            out.push(Decision::WakeAt(at));
        }
    }

    /// Takes in a fact of the journal. No strategy is asked, nothing is ordered. What follows from time
    /// alone (a timeout, the end of a wait) follows here as it did then, so it needs no facts of its own.
    pub fn replay(&mut self, at: Time, event: Event) {
        let mut dropped = Vec::new();
        // Not `advance`: graphs may be replayed one after another, each from its own beginning, so time may go
        // back here. What a timer brings about still bears the timer's own time.
        self.estimates.set_replaying(true);
        self.catch_up(at, &mut dropped);
        self.apply(event, &mut dropped);
        self.estimates.set_replaying(false);
    }

    /// Takes in facts of a graph that was forgotten after its end: what it did was counted when it happened, in
    /// totals, in the load, and in what its owner has used.
    pub fn replay_counted<T>(&mut self, replay: impl FnOnce(&mut Self) -> T) -> T {
        let now = self.now;
        let fair = std::mem::take(&mut self.fair);
        let load = std::mem::take(&mut self.load);
        let totals = std::mem::take(&mut self.totals);
        let replayed = replay(self);
        (self.fair, self.load, self.totals) = (fair, load, totals);
        self.now = now;
        replayed
    }

    fn catch_up(&mut self, at: Time, out: &mut Vec<Decision>) {
        while let Some((due, timer)) = self.timers.pop_due(at) {
            self.now = due;
            self.timer(due, timer, out);
        }
        self.now = at;
    }

    /// The fact as the journal is to hold it: an attempt that was told to end has failed for that reason,
    /// whatever its process says of itself. Orders to end an attempt are not journalled (the loss of a
    /// device is not a fact of this store), so without this a replay could judge its failure otherwise.
    /// Ask before the event is handed to [`Scheduler::handle`].
    pub fn as_fact(&self, event: Event) -> Event {
        match event {
            Event::Failed { attempt, mut failure, usage } => {
                settle_cause(&mut failure, self.ending_of(attempt));
                Event::Failed { attempt, failure, usage }
            }
            Event::Finished { attempt, usage } => match ended_politely(self.ending_of(attempt)) {
                Some(failure) => Event::Failed { attempt, failure: Box::new(failure), usage },
                None => Event::Finished { attempt, usage },
            },
            other => other,
        }
    }

    /// After the last replayed fact: asks for plans, repeats orders to end attempts, and places what is
    /// ready.
    pub fn resume(&mut self, now: Time, out: &mut Vec<Decision>) {
        let now = self.now.max(now);
        let ids: Vec<GraphId> = self.graphs.keys().copied().collect();
        for id in &ids {
            out.extend(self.orders_to_repeat(*id));
        }
        self.catch_up(now, out);
        for id in ids {
            self.want_plan(id, out);
            self.conclude(id, out);
        }
        self.dispatch(out);
        if let Some(at) = self.timers.wish(self.now) {
            out.push(Decision::WakeAt(at));
        }
    }

    fn orders_to_repeat(&self, id: GraphId) -> Vec<Decision> {
        let Some(run) = self.graphs.get(&id) else { return Vec::new() };
        (0..run.graph.len())
            .filter_map(|task| match &run.slots[task as usize].state {
                TaskState::Running(running) => running
                    .ending
                    .map(|reason| Decision::Kill { attempt: id.task(task).attempt(running.attempt), reason }),
                TaskState::Waiting
                | TaskState::Ready
                | TaskState::Held
                | TaskState::BackingOff { .. }
                | TaskState::Succeeded
                | TaskState::Failed
                | TaskState::Cancelled { .. }
                | TaskState::Compensated => None,
            })
            .collect()
    }

    /// Moves time on and looks at the timers that are due, each at its own time: what follows from it
    /// bears that time and not the later one at which something else happened.
    fn advance(&mut self, now: Time, out: &mut Vec<Decision>) {
        while let Some((at, timer)) = self.timers.pop_due(self.now.max(now)) {
            self.now = self.now.max(at);
            self.timer(at, timer, out);
        }
        self.now = self.now.max(now);
    }

    fn timer(&mut self, at: Time, timer: Timer, out: &mut Vec<Decision>) {
        match timer {
            Timer::GraphTimeout(id) => {
                // One that was retried has a later deadline.
                if self.graphs.get(&id).is_some_and(|run| run.deadline == Some(at)) {
                    self.stop_graph(id, Stop::Timeout, EndReason::GraphTimeout, out);
                }
            }
            Timer::TaskTimeout(attempt) => self.end_attempt(attempt, EndReason::Timeout, out),
            Timer::BackoffOver(task) => {
                let Some((run, mut parts)) = self.run_and_parts(task.graph, out) else { return };
                if matches!(run.slots[task.index as usize].state, TaskState::BackingOff { until } if until <= parts.now)
                {
                    run.start_over(task.index, &mut parts);
                    run.unpark(task.index, &mut parts);
                    self.conclude(task.graph, out);
                }
            }
            Timer::Overrun(attempt) => self.overran(attempt, out),
            Timer::ReplanDue(id) => self.replan_due(at, id, out),
            Timer::LookOn => self.looks_on_at = None,
            Timer::PlanOverdue(id, revision) => {
                let Some((run, mut parts)) = self.run_and_parts(id, out) else { return };
                if run.is_planning() && run.revision == revision {
                    run.plan = PlanState::None;
                    run.enqueue_all(&mut parts);
                }
            }
        }
    }

    /// A graph beside the parts that its changes reach.
    pub(crate) fn run_and_parts<'a>(
        &'a mut self,
        id: GraphId,
        out: &'a mut Vec<Decision>,
    ) -> Option<(&'a mut GraphRun, Parts<'a>)> {
        let Self { now, graphs, queue, timers, totals, estimates, .. } = self;
        let run = graphs.get_mut(&id)?;
        Some((run, Parts { queue, timers, totals, estimates, now: *now, out }))
    }

    /// Stops a graph: nothing new starts, what runs is told to end.
    pub(crate) fn stop_graph(&mut self, id: GraphId, stop: Stop, reason: EndReason, out: &mut Vec<Decision>) {
        let Some((run, mut parts)) = self.run_and_parts(id, out) else { return };
        if run.ended.is_some() {
            return;
        }
        if run.stop != Some(Stop::Cancelled) {
            run.stop = Some(stop);
        }
        let mut ends = Vec::new();
        run.cancel_rest(Cause::Cancelled, &mut ends);
        for (task, state) in ends.into_iter().rev() {
            run.settle(task, state, &mut parts);
        }
        let mut running = Vec::new();
        for task in 0..run.graph.len() {
            if let TaskState::Running(state) = &run.slots[task as usize].state {
                running.push(id.task(task).attempt(state.attempt));
            }
        }
        for attempt in running {
            self.end_attempt(attempt, reason, out);
        }
        self.conclude(id, out);
    }

    /// Tells an attempt to end, once, and again where a weightier reason comes.
    pub(crate) fn end_attempt(
        &mut self,
        attempt: dunnage_model::AttemptId,
        reason: EndReason,
        out: &mut Vec<Decision>,
    ) {
        let Some(run) = self.graphs.get_mut(&attempt.task.graph) else { return };
        let Some(slot) = run.slots.get_mut(attempt.task.index as usize) else { return };
        if let TaskState::Running(running) = &mut slot.state
            && running.attempt == attempt.attempt
            && running.ending.is_none_or(|before| weight(before) < weight(reason))
        {
            running.ending = Some(reason);
            out.push(Decision::Kill { attempt, reason });
        }
    }

    /// Ends a graph of which nothing can happen any more.
    pub(crate) fn conclude(&mut self, id: GraphId, out: &mut Vec<Decision>) {
        let now = self.now;
        let Some(run) = self.graphs.get_mut(&id) else { return };
        if let Some(state) = run.verdict() {
            run.ended = Some(state);
            run.ended_at = Some(now);
            let left = std::mem::take(&mut run.work_left);
            self.load.add(now, -left);
            out.push(Decision::GraphEnded { graph: id, state });
        }
    }

    /// A state that cannot be: sets this graph aside and goes on with the others.
    pub(crate) fn impossible(&mut self, id: GraphId, story: String, out: &mut Vec<Decision>) {
        debug_assert!(false, "graph {id}: {story}");
        self.totals.quarantined_graphs += 1;
        self.quarantined.push((id, story));
        self.stop_graph(id, Stop::Failed, EndReason::Cancelled, out);
    }

    /// Graphs set aside because of an impossible state, with the story of each; taken out.
    pub fn take_quarantined(&mut self) -> Vec<(GraphId, String)> {
        std::mem::take(&mut self.quarantined)
    }

    /// Forgets an ended graph; its facts are in the journal.
    pub fn forget(&mut self, id: GraphId) -> Option<GraphRun> {
        if self.graphs.get(&id)?.ended.is_some() { self.graphs.remove(&id) } else { None }
    }

    /// Drops a graph that could not be made again from its facts, with everything it holds.
    pub fn remove(&mut self, id: GraphId) {
        let held: Vec<_> = self
            .ledger
            .holdings()
            .map(|(attempt, _)| *attempt)
            .filter(|attempt| attempt.task.graph == id)
            .collect();
        for attempt in held {
            self.ledger.release(attempt);
        }
        if let Some(run) = self.graphs.remove(&id) {
            self.load.add(self.now, -run.work_left);
        }
    }

    /// Takes a GPU out of service, or puts it back. What runs there goes on.
    ///
    /// Plans that rest on it are asked for anew when the next event is handled, which is to follow.
    pub fn set_drained(&mut self, device: dunnage_model::DeviceId, drained: bool) {
        self.ledger.set_drained(device, drained);
        let planned: Vec<GraphId> =
            self.graphs.values().filter(|run| run.plan().is_some()).map(|run| run.id).collect();
        for id in planned {
            self.replan_soon(id);
        }
    }

    /// Notes that somebody else uses a GPU, or does so no more.
    pub fn set_held_elsewhere(&mut self, device: dunnage_model::DeviceId, who: Option<String>) {
        self.ledger.set_held_elsewhere(device, who);
    }

    /// All graphs that were not forgotten, by number.
    pub fn graphs(&self) -> impl Iterator<Item = &GraphRun> {
        self.graphs.values()
    }

    /// A graph.
    pub fn graph(&self, id: GraphId) -> Option<&GraphRun> {
        self.graphs.get(&id)
    }

    /// Who holds how much of which device.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What tasks are expected to take.
    pub fn estimates(&self) -> &Estimates {
        &self.estimates
    }

    /// The names of the strategies it knows.
    pub fn strategy_names(&self) -> Vec<&'static str> {
        self.strategies.iter().map(|strategy| strategy.name()).collect()
    }

    /// The latest time it has heard of.
    pub fn now(&self) -> Time {
        self.now
    }
}

/// Which of two reasons for an end stands. What follows from facts of the journal and from time stands
/// before what does not, so that a replay, which knows only the former, judges alike.
const fn weight(reason: EndReason) -> u8 {
    match reason {
        EndReason::DeviceLost | EndReason::Preempted => 0,
        EndReason::Timeout => 1,
        EndReason::GraphTimeout => 2,
        EndReason::Cancelled => 3,
    }
}
