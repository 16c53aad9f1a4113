//! A reservation: what is kept for a task that does not fit yet, so that others do not overtake it for ever.
//!
//! It is made from what runs and until when that is predicted to run: the earliest time at which the task
//! would fit, and what would be free beside it then. Others may start meanwhile if they are predicted to be
//! gone by that time, or fit beside it. This is EASY backfill (Lifka 1995; Mu'alem and Feitelson 2001) over
//! a vector of resources and several GPUs. Predictions may be wrong, so a task that was found to starve is
//! kept its room without looking at them: then it waits for what runs now and for nothing that starts later.
//!
//! Cost: attempts that run x GPUs, once after each release while something is reserved, whatever the length
//! of the queue.

use crate::ledger::Ledger;
use crate::queue::{ClassId, QueueKey};
use crate::scheduler::Scheduler;
use crate::strategy::Proposal;
use dunnage_model::{DeviceId, GraphId, Placement, PlannedPlace, Request, Span, TaskId, TaskState, Time};

/// What a running attempt of unknown length is expected to need yet, where nothing at all is known.
const UNKNOWN_SECONDS: f64 = 60.0;

/// For so many it is tried for one event, beside those that would not fit on an empty machine.
const TRIES_MAX: u32 = 3;

/// For whom room is kept: its place, its class, and whether it starves.
pub(crate) type Kept = (QueueKey, ClassId, bool);

/// What one look at the queue has done.
#[derive(Debug)]
pub(crate) struct Turn {
    /// For whom room was kept before it.
    pub(crate) kept: Option<Kept>,
    /// How many offers were made.
    pub(crate) offers: usize,
    tries: u32,
    /// The machine as if everybody had ended.
    emptied: Option<Ledger>,
}

impl Turn {
    pub(crate) const fn new() -> Self {
        Self { kept: None, offers: 0, tries: TRIES_MAX, emptied: None }
    }
}

/// What is kept for a task.
#[derive(Debug)]
pub(crate) struct Reservation {
    pub(crate) key: QueueKey,
    pub(crate) class: ClassId,
    /// Whether it starves: then predictions of others do not count.
    pub(crate) is_strict: bool,
    /// When it is predicted to start.
    pub(crate) at: Time,
    /// What will be free then beside it.
    beside: Ledger,
}

impl Reservation {
    pub(crate) const fn task(&self) -> TaskId {
        self.key.task()
    }

    /// Whether another may take this now and hold it for so long.
    pub(crate) fn allows(&self, now: Time, held: &Placement, takes: Option<Span>) -> bool {
        self.is_gone_by_then(now, takes) || self.beside.has_room(held)
    }

    /// Another takes this.
    pub(crate) fn note(&mut self, now: Time, held: &Placement, takes: Option<Span>) {
        if !self.is_gone_by_then(now, takes) {
            self.beside.take(held);
        }
    }

    fn is_gone_by_then(&self, now: Time, takes: Option<Span>) -> bool {
        !self.is_strict && takes.is_some_and(|takes| now.after(takes) <= self.at)
    }
}

impl Scheduler {
    /// Keeps room for a task that does not fit now, or not where its plan wants it. `false` where it would not
    /// fit if everybody had ended either: a device may be lost, and nobody is to wait for that. Also once too
    /// many were tried for one event.
    pub(crate) fn reserve_for(
        &mut self,
        (key, class, is_strict): Kept,
        wanted: Option<PlannedPlace>,
        turn: &mut Turn,
    ) -> bool {
        let id = key.task();
        let Some(run) = self.graphs.get(&id.graph) else { return false };
        let pinned = run.graph.function(id.index).extras.as_ref().and_then(|extras| extras.node.as_deref());
        let requests: Vec<(Request, dunnage_model::NodeId)> = (0
            ..run.graph.function(id.index).variants.len() as u8)
            .filter(|variant| wanted.is_none_or(|place| place.variant == *variant))
            .flat_map(|variant| {
                self.ledger
                    .nodes()
                    .filter(|node| pinned.is_none_or(|name| name == node.spec.name))
                    .map(move |node| (variant, node.spec.id))
            })
            .map(|(variant, node)| (self.request_on(run, id.index, variant, node), node))
            .collect();
        let place = |ledger: &Ledger, freed: &[DeviceId]| {
            requests.iter().find_map(|(request, node)| {
                let Some(wanted) = wanted.map(|place| place.device) else {
                    return ledger.pick_last(request, *node, freed);
                };
                let last: Vec<DeviceId> = freed.iter().copied().chain([wanted]).collect();
                ledger.pick_last(request, *node, &last).filter(|held| {
                    held.main_device() == wanted || held.gpus.iter().any(|grant| grant.device == wanted)
                })
            })
        };
        if turn.tries == 0 {
            return false;
        }
        let emptied = turn.emptied.get_or_insert_with(|| {
            let mut emptied = self.ledger.without_holders();
            for (attempt, held) in self.ledger.holdings() {
                emptied.give_back(&self.ledger.held_or_used(*attempt, held));
            }
            emptied
        });
        if place(emptied, &[]).is_none() {
            return false;
        }
        turn.tries -= 1;
        let mut ends: Vec<(Time, Placement)> = self
            .ledger
            .holdings()
            .map(|(attempt, held)| {
                (self.predicted_end(attempt.task, held), self.ledger.held_or_used(*attempt, held))
            })
            .collect();
        ends.sort_by_key(|(at, _)| *at);
        let mut beside = self.ledger.without_holders();
        // Of the GPUs that would do, those that come free last are kept, so that others can use the rest.
        let mut freed: Vec<DeviceId> = Vec::new();
        for (at, held) in ends {
            beside.give_back(&held);
            freed.extend(held.gpus.iter().map(|grant| grant.device));
            let Some(kept) = place(&beside, &freed) else { continue };
            beside.take(&kept);
            self.reservation = Some(Reservation { key, class, is_strict, at, beside });
            return true;
        }
        false
    }

    /// When an attempt is predicted to end; one that is overdue is expected to take a tenth more.
    pub(crate) fn predicted_end(&self, task: TaskId, held: &Placement) -> Time {
        let slot = self.graphs.get(&task.graph).and_then(|run| run.slots.get(task.index as usize));
        let began = slot.and_then(|slot| match &slot.state {
            TaskState::Running(running) => Some(running.started_at.unwrap_or(running.placed_at)),
            _ => None,
        });
        let ran = began.map_or(0, |began| self.now.since(began).0);
        let unknown = || Span::from_secs_f64(self.load.mean().unwrap_or(UNKNOWN_SECONDS));
        let whole = held.predicted.unwrap_or_else(unknown).0;
        self.now.after(Span(whole.saturating_sub(ran).max(if ran > whole { ran / 10 } else { 0 })))
    }

    /// The ways to place a task that leave alone what is kept for another.
    pub(crate) fn beside_reservation(&self, graph: GraphId, task: u32, options: &mut Vec<Proposal>) {
        let Some(reservation) = &self.reservation else { return };
        if reservation.task() == graph.task(task) {
            return;
        }
        let Some(run) = self.graphs.get(&graph) else { return };
        options.retain(|option| {
            let request = self.request_on(run, task, option.variant, option.node);
            let cost = &run.graph.variant(task, option.variant).cost;
            self.ledger.fit(&request, cost, option.variant, option.node, &option.gpus).is_ok_and(|held| {
                let takes = option.estimate.high.or(option.estimate.duration);
                reservation.allows(self.now, &held, takes)
            })
        });
    }
}
