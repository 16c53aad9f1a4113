//! Offers ready tasks to their strategies, in order, and writes down what the ledger accepts.

use crate::estimate::Estimate;
use crate::queue::{Age, ClassId, QueueKey};
use crate::reservation::Turn;
use crate::rng::Rng;
use crate::scheduler::Scheduler;
use crate::strategy::{Candidate, Proposal, View};
use crate::timers::Timer;
use dunnage_model::{
    Attempt, Decision, DeviceId, GraphId, NodeId, Placement, PlannedPlace, Request, Span, TaskId, Time,
};

/// At most this many attempts are placed at once, whatever they ask for: functions that need no core
/// would otherwise all be handed to the engine together.
const RUNNING_MAX: usize = 1024;

/// At most so many that starve are looked at for one event.
const HELPED_MAX: usize = 32;

/// So many of them in the order in which they began to wait, the rest going round.
const HELPED_FIRST: usize = 16;

/// Where nothing runs, at most about so many offers are made for one event.
const OFFERS_MAX: usize = 512;

/// When a look that was cut short goes on.
const LOOK_ON_AFTER: Span = Span::millis(50);

/// What became of an offer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Offer {
    /// The task left the queue.
    Taken,
    /// It fits, and its strategy waits for something better, or what is free is kept for another.
    WantsAnother,
    /// It fits nowhere now.
    DoesNotFit,
}

impl Scheduler {
    pub(crate) fn dispatch(&mut self, out: &mut Vec<Decision>) {
        // Room is kept for one that is in the queue no more: those it blocked get another chance.
        if self.reservation.as_ref().is_some_and(|kept| !self.queue.contains(kept.class, kept.key)) {
            self.reservation = None;
            self.given_up += 1;
        }
        // What was kept stays kept, and its task is looked at before those that what came free would let
        // overtake it.
        let mut turn = Turn::new();
        if self.queue.reopen(self.ledger.generation + self.given_up) {
            turn.kept = self.reservation.take().map(|kept| (kept.key, kept.class, kept.is_strict));
            if turn.kept.is_some_and(|(key, _, is_strict)| is_strict || !self.is_outranked(key)) {
                self.keep_on(&mut turn, false, out);
            }
            self.help_the_starving(&mut turn, out);
        }
        loop {
            while self.ledger.holdings().len() < RUNNING_MAX {
                if turn.kept.is_some_and(|(key, ..)| !self.is_outranked(key)) {
                    self.keep_on(&mut turn, false, out);
                    continue;
                }
                let Some((key, class)) = self.queue.first_open(|owner| self.fair.used(owner)) else { break };
                turn.offers += 1;
                match self.offer(key, class, out) {
                    Offer::Taken => {}
                    Offer::WantsAnother => self.queue.block(class),
                    Offer::DoesNotFit => {
                        if !self.policy.skips {
                            return;
                        }
                        self.queue.block(class);
                        if self.reservation.is_none() && self.is_patience_over(key) {
                            self.reserve_for((key, class, false), None, &mut turn);
                        }
                    }
                }
            }
            // Where nothing runs, no release will come that gives those further behind their turn.
            if self.ledger.holdings().len() > 0 {
                return;
            }
            if turn.offers >= OFFERS_MAX {
                return self.look_on_later();
            }
            if !self.queue.reopen_more() {
                return;
            }
        }
    }

    /// The rest of the queue is looked at a little later: other events have their turn before.
    fn look_on_later(&mut self) {
        if self.queue.has_more() && self.looks_on_at.is_none_or(|at| at <= self.now) {
            let at = self.now.after(LOOK_ON_AFTER);
            self.looks_on_at = Some(at);
            self.timers.set(at, Timer::LookOn);
        }
    }

    /// Whether somebody of a higher priority may be looked at before a task for which room is kept.
    fn is_outranked(&self, kept: QueueKey) -> bool {
        let first = self.queue.first_open(|owner| self.fair.used(owner));
        first.is_some_and(|(key, _)| key.priority < kept.priority)
    }

    /// Starts the task for which room was kept, or keeps room for it again: what has started meanwhile was
    /// to be gone in time or to run beside it, so while predictions hold it is not later than before.
    fn keep_on(&mut self, turn: &mut Turn, is_strict: bool, out: &mut Vec<Decision>) {
        let Some((key, class, was_strict)) = turn.kept.take() else { return };
        // A starving one or one of a higher priority took its place.
        if self.reservation.is_some() || !self.queue.contains(class, key) {
            return;
        }
        let wanted = match self.offer(key, class, out) {
            Offer::Taken => return,
            Offer::DoesNotFit => None,
            Offer::WantsAnother => {
                self.queue.block(class);
                let wanted = self.waits_for(key).filter(|_| was_strict);
                if wanted.is_none() {
                    return;
                }
                wanted
            }
        };
        self.queue.block(class);
        self.reserve_for((key, class, is_strict || was_strict), wanted, turn);
    }

    /// Where a task's plan wants it, if that is not free.
    fn waits_for(&self, key: QueueKey) -> Option<PlannedPlace> {
        let run = self.graphs.get(&key.graph)?;
        let place = run.planned(key.index)?;
        let is_free = self.options(key.graph, key.index).iter().any(|option| {
            option.variant == place.variant
                && option.node == place.device.node
                && (place.device.is_host() || option.gpus.contains(&place.device))
        });
        (!is_free).then_some(place)
    }

    /// Those that have waited too long go before all others, in the order in which they began to wait. For
    /// the first that does not fit, room is kept. Who cannot be helped keeps its age and its place, so
    /// after [`HELPED_FIRST`] in vain the look goes on where the last one ended, going round.
    fn help_the_starving(&mut self, turn: &mut Turn, out: &mut Vec<Decision>) {
        let Some(guard) = self.policy.guard else { return };
        let bound = self.load.bound(guard, self.now);
        // Since when the starving wait.
        let Some(before) = self.now.0.checked_sub(bound.0).map(Time) else { return };
        // Behind whom the next is looked for.
        let mut last: Option<Age> = None;
        let mut in_vain = 0;
        for _ in 0..HELPED_MAX {
            if self.ledger.holdings().len() >= RUNNING_MAX {
                return;
            }
            if in_vain == HELPED_FIRST {
                last = last.max(self.helped);
            }
            let graphs = &self.graphs;
            let since =
                |task: TaskId| graphs.get(&task.graph).map_or(Time::ZERO, |run| run.waits_since(task.index));
            let Some((age, key, class)) = self.queue.oldest(last, before, since) else {
                self.helped = None;
                return;
            };
            // What was promised to another is kept; but from now on nothing more overtakes that one.
            self.keep_on(turn, true, out);
            if let Some(kept) = self.reservation.as_mut().filter(|kept| kept.key == key) {
                kept.is_strict = true;
                return;
            }
            if !self.queue.contains(class, key) {
                continue;
            }
            let offer = self.offer(key, class, out);
            if offer == Offer::Taken {
                continue;
            }
            if let Some(kept) = &mut self.reservation {
                kept.is_strict = true;
                return;
            }
            let wanted = if offer == Offer::WantsAnother { self.waits_for(key) } else { None };
            let may_be_kept = offer == Offer::DoesNotFit || wanted.is_some();
            if may_be_kept && self.reserve_for((key, class, true), wanted, turn) {
                return self.queue.block(class);
            }
            last = Some(age);
            in_vain += 1;
            if in_vain > HELPED_FIRST {
                self.helped = last;
            }
        }
    }

    /// Whether a task that does not fit has waited long enough for others to make way.
    fn is_patience_over(&self, key: QueueKey) -> bool {
        let (Some(patience), Some(run)) = (self.policy.patience, self.graphs.get(&key.graph)) else {
            return false;
        };
        // Among several users a turn is a turn: who used least does not stand back for smaller tasks.
        if self.queue.users() > 1 {
            return true;
        }
        let often = 1.0 / run.size.share.clamp(1e-3, 1.0);
        run.size.is_known
            && self.now.since(run.waits_since(key.index)).as_secs_f64()
                >= patience * often.powi(3) * run.size.length
    }

    /// One task is placed, or taken out of the queue until its limit lets it in again, or stays where it is,
    /// which the caller is to set aside: so the list of open classes grows shorter, and `dispatch` ends.
    fn offer(&mut self, key: QueueKey, class: ClassId, out: &mut Vec<Decision>) -> Offer {
        let id = key.task();
        let Some((run, mut parts)) = self.run_and_parts(id.graph, out) else {
            self.queue.remove(class, key);
            return Offer::Taken;
        };
        if run.is_at_limit(id.index) {
            run.park(id.index, &mut parts);
            return Offer::Taken;
        }
        let mut options = self.options(id.graph, id.index);
        if options.is_empty() {
            return Offer::DoesNotFit;
        }
        self.really_free(id.graph, id.index, &mut options);
        self.beside_reservation(id.graph, id.index, &mut options);
        let Some(placement) = self.propose(id.graph, id.index, &options) else {
            return Offer::WantsAnother;
        };
        let estimate = options.iter().find(|option| {
            option.variant == placement.variant
                && option.node == placement.node
                && option.gpus.iter().eq(placement.gpus.iter().map(|grant| &grant.device))
        });
        let estimate = estimate.map(|option| option.estimate).unwrap_or_default();
        if let Some(kept) = &mut self.reservation {
            if kept.task() == id {
                self.reservation = None;
                self.given_up += 1;
            } else {
                kept.note(self.now, &placement, estimate.high.or(estimate.duration));
            }
        }
        let Some(run) = self.graphs.get_mut(&id.graph) else { return Offer::Taken };
        let strategy = self.strategies[run.strategy].name();
        match self.totals.placements.get_mut(strategy) {
            Some(count) => *count += 1,
            None => {
                self.totals.placements.insert(strategy.to_owned(), 1);
            }
        }
        let last = run.slots[id.index as usize].record.as_ref().map_or(0, |record| record.last_attempt);
        let attempt = id.attempt(Attempt(last).next());
        self.placed(attempt, placement.clone(), out);
        self.watch_band(attempt, &estimate);
        out.push(Decision::Start { attempt, placement: Box::new(placement) });
        Offer::Taken
    }

    /// The placement that the graph's strategy wants for a task now and the ledger agrees to.
    fn propose(&mut self, graph: GraphId, task: u32, options: &[Proposal]) -> Option<Placement> {
        let run = self.graphs.get(&graph)?;
        if options.is_empty() {
            return None;
        }
        let tries = self.to_try(graph, task, options);
        let variants = run.graph.function(task).variants.len() as u8;
        let requests: Vec<Request> = (0..variants)
            .map(|variant| {
                let node = run.planned(task).map_or(NodeId::LOCAL, |place| place.device.node);
                self.request_on(run, task, variant, node)
            })
            .collect();
        let candidate = Candidate {
            task,
            planned: run.planned(task),
            weights: run.graph.settings.weights,
            requests: &requests,
        };
        let view = View { now: self.now, ledger: &self.ledger, estimates: &self.estimates };
        let mut rng = Rng::of(run.seed, u64::from(task));
        let strategy = &mut self.strategies[run.strategy];
        let to_try = tries.as_deref().and_then(|tries| {
            // A plan knows nothing of trying, and would wait for the place that it has chosen.
            let free = Candidate { planned: None, ..candidate };
            match strategy.choose(&view, &free, tries, &mut rng) {
                Some(chosen) => tries.get(chosen),
                None => tries.iter().min_by(|a, b| a.seconds().total_cmp(&b.seconds())),
            }
            .cloned()
        });
        let tried = to_try.is_some();
        let proposal = match to_try {
            Some(proposal) => proposal,
            None => options.get(strategy.choose(&view, &candidate, options, &mut rng)?)?.clone(),
        };
        let request = self.request_on(run, task, proposal.variant, proposal.node);
        let cost = &run.graph.variant(task, proposal.variant).cost;
        match self.ledger.fit(&request, cost, proposal.variant, proposal.node, &proposal.gpus) {
            Ok(mut placement) => {
                placement.predicted = proposal.estimate.duration;
                placement.basis = proposal.estimate.basis;
                self.note_way(graph, task, options, &proposal, tried);
                Some(placement)
            }
            Err(_) => {
                self.totals.refused_proposals += 1;
                None
            }
        }
    }

    /// The ways to place a task that fit now, by variant, node and device.
    pub(crate) fn options(&self, graph: GraphId, task: u32) -> Vec<Proposal> {
        let Some(run) = self.graphs.get(&graph) else { return Vec::new() };
        let function = run.graph.function(task);
        let pinned = function.extras.as_ref().and_then(|extras| extras.node.as_deref());
        let inputs = crate::transfer::inputs(run, task);
        let mut options = Vec::new();
        for variant in 0..function.variants.len() as u8 {
            for node in self.ledger.nodes() {
                let request = self.request_on(run, task, variant, node.spec.id);
                if pinned.is_some_and(|name| name != node.spec.name) {
                    continue;
                }
                // Devices of one class follow each other, and what is expected is the same on all of them.
                let mut known: Option<(&str, Estimate)> = None;
                for gpus in self.ledger.options(&request, node.spec.id) {
                    let device = gpus.first().copied().unwrap_or(DeviceId::host(node.spec.id));
                    let class = node.spec.class(device);
                    let estimate = match known {
                        Some((same, estimate)) if same == class => estimate,
                        _ => self.estimates.predict(&run.graph, task, variant, class),
                    };
                    known = Some((class, estimate));
                    let transfer_s = crate::transfer::seconds(inputs, &node.spec, !gpus.is_empty());
                    options.push(Proposal { variant, node: node.spec.id, gpus, estimate, transfer_s });
                }
            }
        }
        options
    }
}
