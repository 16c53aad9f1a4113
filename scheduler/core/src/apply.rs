//! How each fact changes the state. No strategy is asked in here, so a journal can be replayed through
//! it: what is not in the fact follows from the state by rule.

use crate::policy::{Policy, Size, share_held};
use crate::replan::Replan;
use crate::retry::{Verdict, judge};
use crate::rng::Rng;
use crate::run::{GraphRun, PlanState, Stop};
use crate::scheduler::Scheduler;
use crate::timers::Timer;
use dunnage_model::{
    AttemptId, Bytes, Cause, Decision, DeviceId, EndReason, Event, Failure, GpuRequest, GraphId, Health,
    Need, Order, Placement, Running, Span, Submission, TaskState, Usage,
};

/// At most this many quantities of one task are kept: their names come from the task itself.
const REPORTS_MAX: usize = 64;

/// How long a graph waits for its plan before it starts without one.
const PLAN_PATIENCE: Span = Span::secs(10);

impl Scheduler {
    pub(crate) fn apply(&mut self, event: Event, out: &mut Vec<Decision>) {
        match event {
            Event::Submitted(submission) => self.submitted(&submission, out),
            Event::Extended { graph, functions, sealed } => self.extended(graph, functions, sealed, out),
            Event::Placed { attempt, placement } => self.placed(attempt, *placement, out),
            Event::Started { attempt } => self.started(attempt),
            Event::Finished { attempt, usage } => self.finished(attempt, usage, out),
            Event::Failed { attempt, failure, usage } => self.failed(attempt, *failure, usage, out),
            Event::NeverStarted { attempt } => self.never_started(attempt, out),
            Event::ValueLost { task } => self.value_lost(task, out),
            Event::Cancelled { graph, task: None } => {
                self.stop_graph(graph, Stop::Cancelled, EndReason::Cancelled, out);
            }
            Event::Cancelled { graph, task: Some(task) } => self.cancel_task(graph, task, out),
            Event::HeldBack { graph } => {
                if let Some((run, mut parts)) = self.run_and_parts(graph, out)
                    && run.ended.is_none()
                    && !run.held
                {
                    run.dequeue_all(&mut parts);
                    run.held = true;
                }
            }
            Event::Released { graph } => {
                let Some(run) = self.graphs.get_mut(&graph) else { return };
                if std::mem::take(&mut run.held) {
                    // While its owner kept it back, it stood in no queue.
                    run.waits_all_anew(self.now);
                    self.want_plan(graph, out);
                }
            }
            Event::Retried { graph, task } => self.retried(graph, task, out),
            Event::NodeSeen(spec) => {
                let node = spec.id;
                self.ledger.add_node(spec);
                self.note_contact(node, false);
                self.devices_changed(out);
            }
            Event::DeviceSampled { sample, foreign } => {
                let device = sample.device;
                let lost = match &sample.health {
                    Health::Lost { .. } => true,
                    Health::Ok | Health::Unknown { .. } | Health::Drained => false,
                };
                if self.queue.looks_at_samples() {
                    // What was set aside for what the last one said is looked at again.
                    self.given_up += 1;
                }
                let health = sample.health.clone();
                let before = self.ledger.note_sample(self.now, *sample, foreign);
                if before.as_ref().is_some_and(|before| {
                    std::mem::discriminant(before) != std::mem::discriminant(&health)
                        && *before != Health::Drained
                }) {
                    self.devices_changed(out);
                }
                if lost && !matches!(before, Some(Health::Lost { .. })) {
                    self.device_lost(device, out);
                }
            }
            Event::MemoryUsed { device, by } => self.ledger.note_use(device, &by),
            Event::DeviceLost { device, why } => {
                self.ledger.set_health(device, Health::Lost { why });
                self.device_lost(device, out);
                self.devices_changed(out);
            }
            Event::NodeLost { node } => {
                self.ledger.set_up(node, false);
                self.note_contact(node, true);
                self.devices_changed(out);
            }
            Event::Planned { graph, revision, plan } => {
                let Some((run, mut parts)) = self.run_and_parts(graph, out) else { return };
                if run.revision != revision || run.ended.is_some() {
                    parts.totals.stale_plans += 1;
                    return;
                }
                // The queue is ordered by the plan: everything is taken out under the old order first.
                run.dequeue_all(&mut parts);
                run.replan.came(parts.now);
                run.plan = PlanState::Have(plan);
                run.enqueue_all(&mut parts);
            }
            Event::Reported { task, name, value } => {
                let Some(run) = self.graphs.get_mut(&task.graph) else { return };
                let Some(slot) = run.slots.get_mut(task.index as usize) else { return };
                let reports = &mut slot.record().reports;
                if let Some((_, last)) = reports.iter_mut().find(|(known, _)| *known == name) {
                    *last = value;
                } else if reports.len() < REPORTS_MAX {
                    reports.push((name, value));
                }
            }
            Event::TimerFired => {}
        }
    }

    fn submitted(&mut self, submission: &Submission, out: &mut Vec<Decision>) {
        let id = submission.id;
        let wanted = &submission.graph.settings.strategy;
        let strategy = self.strategies.iter().position(|known| known.name() == wanted).unwrap_or(0);
        // A number is given once; a fact that is told twice changes nothing.
        if self.graphs.contains_key(&id) {
            return;
        }
        self.graphs.insert(id, GraphRun::new(submission, strategy, self.now));
        self.measure(id);
        self.count_work(id);
        self.set_deadline(id);
        self.want_plan(id, out);
    }

    /// Predicts anew what a graph needs. Its place in the queue goes by that, so nothing of it may be in there.
    fn measure(&mut self, id: GraphId) {
        let Some(run) = self.graphs.get_mut(&id) else { return };
        let size = Size::of(&run.graph, &self.ledger, &self.estimates, self.load.mean());
        let key = self.policy.size_key(size.length);
        run.set_size(size, key);
    }

    /// Counts anew how much of its work is left.
    fn count_work(&mut self, id: GraphId) {
        let Some(run) = self.graphs.get_mut(&id) else { return };
        let counts = run.counts;
        let left = match run.ended {
            None => run.size.work_per_task * (f64::from(counts.queued) + f64::from(counts.running)),
            Some(_) => 0.0,
        };
        let before = std::mem::replace(&mut run.work_left, left);
        self.load.add(self.now, left - before);
    }

    /// From now on the graph has as long as its author gave it.
    fn set_deadline(&mut self, id: GraphId) {
        let Some(run) = self.graphs.get_mut(&id) else { return };
        if let Some(before) = run.deadline.take() {
            self.timers.clear(before, Timer::GraphTimeout(id));
        }
        if let Some(timeout) = run.graph.settings.timeout {
            let at = self.now.after(timeout);
            run.deadline = Some(at);
            self.timers.set(at, Timer::GraphTimeout(id));
        }
    }

    /// Notes of the attempts on a node whether it is out of contact.
    fn note_contact(&mut self, node: dunnage_model::NodeId, lost: bool) {
        for attempt in self.ledger.holders_of(DeviceId::host(node)) {
            if let Some(run) = self.graphs.get_mut(&attempt.task.graph)
                && let Some(slot) = run.slots.get_mut(attempt.task.index as usize)
                && let TaskState::Running(running) = &mut slot.state
            {
                running.out_of_contact = lost;
            }
        }
    }

    /// Asks for a plan where the strategy wants one; else lets the tasks in at once.
    pub(crate) fn want_plan(&mut self, id: GraphId, out: &mut Vec<Decision>) {
        let now = self.now;
        let Some(run) = self.graphs.get_mut(&id) else { return };
        if run.ended.is_some() || run.held || run.stop.is_some() {
            return;
        }
        // A plan is an order of its own: it would keep tasks back that the others start.
        let by_plan = matches!(run.graph.settings.order, Order::Dag | Order::ResourceAware);
        let wants = by_plan && self.strategies[run.strategy].needs_plan(&run.graph) && run.plan().is_none();
        if wants {
            let Some((run, mut parts)) = self.run_and_parts(id, out) else { return };
            run.dequeue_all(&mut parts);
            run.revision += 1;
            run.replan.ask(now);
            run.plan = PlanState::Wanted;
            let revision = run.revision;
            out.push(Decision::PlanWanted { graph: id, revision });
            self.timers.set(now.after(PLAN_PATIENCE), Timer::PlanOverdue(id, revision));
            return;
        }
        let Some((run, mut parts)) = self.run_and_parts(id, out) else { return };
        run.enqueue_all(&mut parts);
    }

    fn extended(
        &mut self,
        id: GraphId,
        functions: std::sync::Arc<dunnage_model::Graph>,
        sealed: bool,
        out: &mut Vec<Decision>,
    ) {
        let Some((run, mut parts)) = self.run_and_parts(id, out) else { return };
        if run.ended.is_some() || run.sealed || functions.len() < run.graph.len() {
            return;
        }
        run.dequeue_all(&mut parts);
        run.forget_plan();
        let hopeless = run.extend(functions, sealed);
        self.measure(id);
        let Some((run, mut parts)) = self.run_and_parts(id, out) else { return };
        for (task, cause) in hopeless {
            run.settle(task, TaskState::Cancelled { cause }, &mut parts);
        }
        if sealed {
            for task in 0..run.graph.len() {
                run.free_if_unread(task, &mut parts);
            }
        }
        // Tasks that were ready may wait for more members of a family now.
        run.demote();
        self.count_work(id);
        self.want_plan(id, out);
        self.conclude(id, out);
    }

    /// A placement becomes true: the books are written and the task runs.
    pub(crate) fn placed(&mut self, id: AttemptId, placement: Placement, out: &mut Vec<Decision>) {
        let now = self.now;
        let Some((run, mut parts)) = self.run_and_parts(id.task.graph, out) else { return };
        let task = id.task.index;
        let Some(slot) = run.slots.get(task as usize) else { return };
        match slot.state {
            TaskState::Ready => run.dequeue(task, &mut parts),
            TaskState::Waiting | TaskState::BackingOff { .. } | TaskState::Held => {}
            TaskState::Running(_)
            | TaskState::Succeeded
            | TaskState::Failed
            | TaskState::Cancelled { .. }
            | TaskState::Compensated => {
                let story = format!("attempt {id} was placed while its task was {}", slot.state.word());
                return self.impossible(id.task.graph, story, out);
            }
        }
        let timeout = run.graph.function(task).timeout;
        run.set_state(
            task,
            TaskState::Running(Box::new(Running {
                attempt: id.attempt,
                placement: placement.clone(),
                placed_at: now,
                started_at: None,
                ending: None,
                out_of_contact: false,
            })),
        );
        let slot = &mut run.slots[task as usize];
        slot.starts += 1;
        let record = slot.record();
        record.last_attempt = id.attempt.0;
        record.placed_at = Some(now);
        record.band = None;
        record.started_at = None;
        record.ended_at = None;
        if run.started_at.is_none() {
            run.started_at = Some(now);
        }
        // Set from the placement, so that an attempt whose start is never heard of ends as well.
        if let Some(timeout) = timeout {
            parts.timers.set(now.after(timeout), Timer::TaskTimeout(id));
        }
        if self.ledger.reserve(id, &placement)
            && let Some(run) = self.graphs.get(&id.task.graph)
        {
            let Policy { half_life, gpu_weight, .. } = self.policy;
            self.fair.placed(run.owner, now, &placement, half_life, gpu_weight);
        }
        if let Some(run) = self.graphs.get_mut(&id.task.graph) {
            run.waits_anew(task, now);
            run.slots[task as usize].record().placement = Some(placement);
        }
    }

    fn started(&mut self, id: AttemptId) {
        let now = self.now;
        let Some(run) = self.graphs.get_mut(&id.task.graph) else { return };
        if !run.is_current(id.task.index, id.attempt) {
            self.totals.late_results += 1;
            return;
        }
        let slot = &mut run.slots[id.task.index as usize];
        if let TaskState::Running(running) = &mut slot.state {
            running.started_at.get_or_insert(now);
            running.out_of_contact = false;
        }
        slot.record().started_at.get_or_insert(now);
    }

    /// Takes an attempt's result in hand: its books are closed, and its state is given back if it was
    /// the current one.
    fn take_result(&mut self, id: AttemptId, usage: Usage) -> Option<Box<Running>> {
        let now = self.now;
        self.ledger.release(id);
        if let Some(run) = self.graphs.get(&id.task.graph)
            && run.is_current(id.task.index, id.attempt)
            && let Some(timeout) = run.graph.function(id.task.index).timeout
            && let TaskState::Running(running) = &run.slots[id.task.index as usize].state
        {
            self.timers.clear(running.placed_at.after(timeout), Timer::TaskTimeout(id));
        }
        let Some(run) = self.graphs.get_mut(&id.task.graph) else {
            self.totals.late_results += 1;
            return None;
        };
        if !run.is_current(id.task.index, id.attempt) {
            self.totals.late_results += 1;
            return None;
        }
        let slot = &mut run.slots[id.task.index as usize];
        let record = slot.record();
        record.usage = usage;
        record.ended_at = Some(now);
        if let (Some(band), Some(placed)) = (record.band, record.placed_at) {
            self.timers.clear(placed.after(band.high), Timer::Overrun(id));
        }
        match &slot.state {
            TaskState::Running(running) => {
                let Policy { half_life, gpu_weight, .. } = self.policy;
                let held = &running.placement;
                self.fair.ended(run.owner, (running.placed_at, now), held, half_life, gpu_weight);
                Some(running.clone())
            }
            TaskState::Waiting
            | TaskState::Ready
            | TaskState::Held
            | TaskState::BackingOff { .. }
            | TaskState::Succeeded
            | TaskState::Failed
            | TaskState::Cancelled { .. }
            | TaskState::Compensated => None,
        }
    }

    fn finished(&mut self, id: AttemptId, usage: Usage, out: &mut Vec<Decision>) {
        if let Some(failure) = ended_politely(self.ending_of(id)) {
            return self.failed(id, failure, usage, out);
        }
        let Some(running) = self.take_result(id, usage) else { return };
        self.learn(id, &running, None, &usage);
        let took = self.now.since(running.started_at.unwrap_or(running.placed_at));
        let share = share_held(&running.placement, &self.ledger);
        let predicted = running.placement.predicted.map(|span| span.as_secs_f64());
        self.load.ended(took.as_secs_f64(), predicted, share);
        if let Some(run) = self.graphs.get_mut(&id.task.graph) {
            let done = run.size.work_per_task.min(run.work_left);
            run.work_left -= done;
            self.load.add(self.now, -done);
        }
        let Some((run, mut parts)) = self.run_and_parts(id.task.graph, out) else { return };
        let record = run.slots[id.task.index as usize].record();
        record.winner = Some(id.attempt);
        record.failure = None;
        record.spent.losses_in_a_row = 0;
        run.settle(id.task.index, TaskState::Succeeded, &mut parts);
        run.unpark(id.task.index, &mut parts);
        let took = parts.now.since(running.placed_at);
        let band = run.slots[id.task.index as usize].record.as_ref().and_then(|record| record.band);
        if band.is_some_and(|band| !band.holds(took)) {
            self.want_newer_plan(id.task.graph, out);
        }
        self.conclude(id.task.graph, out);
    }

    /// What the current attempt of a task was told to end for, if this is the one and it was.
    pub(crate) fn ending_of(&self, id: AttemptId) -> Option<EndReason> {
        let run = self.graphs.get(&id.task.graph)?;
        match &run.slots.get(id.task.index as usize)?.state {
            TaskState::Running(running) if running.attempt == id.attempt => running.ending,
            _ => None,
        }
    }

    fn failed(&mut self, id: AttemptId, mut failure: Failure, usage: Usage, out: &mut Vec<Decision>) {
        let Some(running) = self.take_result(id, usage) else { return };
        let task = id.task.index;
        settle_cause(&mut failure, running.ending);
        self.learn(id, &running, Some(&failure), &usage);
        let cause = failure.cause;
        *self.totals.failures.entry(cause.word()).or_insert(0) += 1;
        let seed = self.graphs.get(&id.task.graph).map_or(0, |run| run.seed);
        let mut rng = Rng::of(seed, u64::from(task) << 32 | u64::from(id.attempt.0));
        let Some((run, mut parts)) = self.run_and_parts(id.task.graph, out) else { return };
        let graph = std::sync::Arc::clone(&run.graph);
        let slot = &mut run.slots[task as usize];
        let record = slot.record();
        record.failure = Some(failure);
        let by_graph = cause == Cause::Timeout && running.ending == Some(EndReason::GraphTimeout);
        if cause == Cause::Cancelled || by_graph {
            run.settle(task, TaskState::Cancelled { cause }, &mut parts);
        } else {
            let verdict = if record.cancel_wanted || run.stop.is_some() {
                Verdict::Final
            } else if cause == Cause::OutOfMemory && run.had_all_there_is(task) {
                if let Some(failure) = &mut run.slots[task as usize].record().failure {
                    failure
                        .message
                        .push_str("; not tried with more, because it had all the memory of its device");
                }
                Verdict::Final
            } else {
                judge(graph.function(task), cause, &mut run.slots[task as usize].record().spent, &mut rng)
            };
            if verdict != Verdict::Final {
                *parts.totals.retries.entry(cause.word()).or_insert(0) += 1;
            }
            match verdict {
                Verdict::Final => run.settle(task, TaskState::Failed, &mut parts),
                Verdict::Anew => run.start_over(task, &mut parts),
                Verdict::WithMoreMemory(factor) => {
                    let grown = run.slots[task as usize].memory_factor() * factor;
                    run.slots[task as usize].record().memory_factor = grown;
                    run.start_over(task, &mut parts);
                }
                Verdict::After(wait) => {
                    let until = parts.now.after(wait);
                    run.set_state(task, TaskState::BackingOff { until });
                    parts.timers.set(until, Timer::BackoffOver(id.task));
                }
            }
        }
        run.unpark(task, &mut parts);
        self.want_newer_plan(id.task.graph, out);
        self.conclude(id.task.graph, out);
    }

    fn never_started(&mut self, id: AttemptId, out: &mut Vec<Decision>) {
        let Some(running) = self.take_result(id, Usage::default()) else { return };
        let Some((run, mut parts)) = self.run_and_parts(id.task.graph, out) else { return };
        let slot = &mut run.slots[id.task.index as usize];
        slot.starts = slot.starts.saturating_sub(1);
        slot.record().ended_at = None;
        match running.ending {
            Some(EndReason::Cancelled | EndReason::GraphTimeout) => {
                run.settle(id.task.index, TaskState::Cancelled { cause: Cause::Cancelled }, &mut parts);
            }
            Some(EndReason::Timeout | EndReason::DeviceLost | EndReason::Preempted) | None => {
                run.start_over(id.task.index, &mut parts);
            }
        }
        run.unpark(id.task.index, &mut parts);
        self.conclude(id.task.graph, out);
    }

    /// Makes a value again that is gone: its producer runs once more, and its own producers where their
    /// values went with their last reader.
    fn value_lost(&mut self, task: dunnage_model::TaskId, out: &mut Vec<Decision>) {
        let Some((run, mut parts)) = self.run_and_parts(task.graph, out) else { return };
        let index = task.index;
        if run.ended.is_some()
            || run.stop.is_some()
            || run.slots.get(index as usize).is_none_or(|slot| slot.state != TaskState::Succeeded)
            || !run.is_needed(index)
        {
            return;
        }
        run.dequeue_all(&mut parts);
        run.reset(index);
        run.take_back_lost(vec![index]);
        run.rewind(&mut parts);
        run.enqueue_all(&mut parts);
        self.conclude(task.graph, out);
    }

    fn cancel_task(&mut self, graph: GraphId, task: u32, out: &mut Vec<Decision>) {
        let Some((run, mut parts)) = self.run_and_parts(graph, out) else { return };
        let Some(slot) = run.slots.get_mut(task as usize) else { return };
        match &slot.state {
            TaskState::Running(running) => {
                let attempt = graph.task(task).attempt(running.attempt);
                slot.record().cancel_wanted = true;
                self.end_attempt(attempt, EndReason::Cancelled, out);
            }
            TaskState::Waiting | TaskState::Ready | TaskState::Held | TaskState::BackingOff { .. } => {
                run.settle(task, TaskState::Cancelled { cause: Cause::Cancelled }, &mut parts);
            }
            TaskState::Succeeded
            | TaskState::Failed
            | TaskState::Cancelled { .. }
            | TaskState::Compensated => {}
        }
        self.conclude(graph, out);
    }

    fn retried(&mut self, graph: GraphId, task: Option<u32>, out: &mut Vec<Decision>) {
        let Some((run, mut parts)) = self.run_and_parts(graph, out) else { return };
        let again = |state: &TaskState| match state {
            TaskState::Failed | TaskState::Cancelled { .. } | TaskState::Compensated => true,
            TaskState::Waiting
            | TaskState::Ready
            | TaskState::Held
            | TaskState::Running(_)
            | TaskState::BackingOff { .. }
            | TaskState::Succeeded => false,
        };
        let tasks: Vec<u32> = match task {
            Some(task) if run.slots.get(task as usize).is_some_and(|slot| again(&slot.state)) => {
                run.upstream_and_downstream(task)
            }
            Some(_) => return,
            None => (0..run.graph.len()).filter(|task| again(&run.slots[*task as usize].state)).collect(),
        };
        if tasks.is_empty() {
            return;
        }
        run.dequeue_all(&mut parts);
        self.measure(graph);
        let Some((run, mut parts)) = self.run_and_parts(graph, out) else { return };
        run.ended = None;
        run.ended_at = None;
        run.stop = None;
        for task in &tasks {
            run.reset(*task);
        }
        run.take_back_lost(tasks);
        run.forget_plan();
        run.rewind(&mut parts);
        self.count_work(graph);
        self.set_deadline(graph);
        self.want_plan(graph, out);
        self.conclude(graph, out);
    }

    fn device_lost(&mut self, device: DeviceId, out: &mut Vec<Decision>) {
        for attempt in self.ledger.holders_of(device) {
            self.end_attempt(attempt, EndReason::DeviceLost, out);
        }
    }
}

impl GraphRun {
    /// Makes a task whose attempt or wait has just ended ready again, if its inputs are still there. In a
    /// graph in which nothing new starts, it is over.
    pub(crate) fn start_over(&mut self, task: u32, parts: &mut crate::run::Parts<'_>) {
        if self.stop.is_some() {
            return self.settle(task, TaskState::Cancelled { cause: Cause::Cancelled }, parts);
        }
        self.set_state(task, TaskState::Waiting);
        if self.slots[task as usize].missing == 0 {
            self.make_ready(task, parts);
        } else if self.is_hopeless(task) {
            // Its producer was made again while it ran, and failed.
            self.settle(task, TaskState::Cancelled { cause: Cause::UpstreamFailed }, parts);
        }
    }

    /// After tasks were put back to the start and counted anew: what was ready and misses something again
    /// waits. Nothing of the graph may be in the queue.
    fn demote(&mut self) {
        for task in 0..self.graph.len() {
            let slot = &self.slots[task as usize];
            if slot.state == TaskState::Ready && slot.missing > 0 {
                self.set_state(task, TaskState::Waiting);
            }
        }
    }

    /// A plan that was made for another state of the graph is worth nothing, nor is one under way.
    fn forget_plan(&mut self) {
        self.plan = PlanState::None;
        self.replan = Replan::default();
        self.revision += 1;
    }

    /// Whether the last attempt held all the memory that its devices could give, so that more cannot be
    /// had: its reservation was cut to that (see `Ledger::cut`).
    fn had_all_there_is(&self, task: u32) -> bool {
        let slot = &self.slots[task as usize];
        let Some(placement) = slot.record.as_ref().and_then(|record| record.placement.as_ref()) else {
            return false;
        };
        if slot.memory_factor() <= 1.0 {
            // Nothing was cut; where less than was declared was held, that was learned.
            return false;
        }
        let wanted = self.request(task, placement.variant);
        let gpu = match wanted.gpu {
            GpuRequest::None => Bytes::ZERO,
            GpuRequest::Whole { memory, .. } => memory,
            GpuRequest::Part { memory, .. } => memory.unwrap_or_default(),
        };
        placement.memory < wanted.memory || placement.gpus.iter().any(|grant| grant.memory < gpu)
    }

    /// A task with everything that failed or was cancelled before it and because of it.
    fn upstream_and_downstream(&self, task: u32) -> Vec<u32> {
        let graph = &self.graph;
        let mut marked = std::collections::BTreeSet::from([task]);
        let mut list = vec![task];
        while let Some(task) = list.pop() {
            let mut near: Vec<u32> = graph.readers(task).to_vec();
            if let Some(group) = graph.group_of(task) {
                near.extend(&graph.groups()[group as usize].readers);
                near.extend(&graph.groups()[group as usize].lenient_readers);
            }
            for need in graph.needs(task) {
                match need {
                    Need::Task(producer) => near.push(*producer),
                    Need::Group(group) => near.extend(graph.members(*group)),
                    Need::GroupEnd(_) => {}
                }
            }
            for other in near {
                let stuck = matches!(
                    self.slots[other as usize].state,
                    TaskState::Failed | TaskState::Cancelled { .. } | TaskState::Compensated
                );
                if stuck && marked.insert(other) {
                    list.push(other);
                }
            }
        }
        marked.into_iter().collect()
    }

    /// Takes in a longer graph in which every earlier function has its earlier index. Returns the new tasks
    /// that can never start, with the cause.
    fn extend(&mut self, functions: std::sync::Arc<dunnage_model::Graph>, sealed: bool) -> Vec<(u32, Cause)> {
        let before = self.graph.len();
        let more = functions.len() - before;
        self.graph = functions;
        self.sealed = sealed;
        self.slots.extend(std::iter::repeat_n(crate::run::TaskSlot::default(), more as usize));
        self.counts.functions += more;
        self.counts.queued += more;
        self.recount_depths();
        self.recount();
        let hopeless = self.hopeless(before);
        match self.stop {
            None => hopeless.into_iter().map(|task| (task, Cause::UpstreamFailed)).collect(),
            Some(_) => {
                let upstream = hopeless.into_iter().map(|task| (task, Cause::UpstreamFailed));
                // The first word about a task stands.
                upstream.chain((before..self.graph.len()).map(|task| (task, Cause::Cancelled))).collect()
            }
        }
    }

    /// The tasks from this one on that wait for something that has ended without success.
    fn hopeless(&self, from: u32) -> Vec<u32> {
        let lost = |task: u32| {
            let state = &self.slots[task as usize].state;
            state.is_final() && *state != TaskState::Succeeded
        };
        let groups = self.graph.groups().len() as u32;
        let group_lost: Vec<bool> = (0..groups).map(|group| self.graph.members(group).any(lost)).collect();
        let waits_in_vain = |task: &u32| {
            let slot = &self.slots[*task as usize];
            slot.state == TaskState::Waiting
                && slot.missing > 0
                && self.graph.needs(*task).iter().any(|need| match need {
                    Need::Task(producer) => lost(*producer),
                    Need::Group(group) => group_lost[*group as usize],
                    Need::GroupEnd(_) => false,
                })
        };
        (from..self.graph.len()).filter(waits_in_vain).collect()
    }

    /// After tasks were put back to the start: counts anew, takes back what is ready no more, and ends what
    /// needs something that will not be tried again. Nothing of the graph may be in the queue.
    fn rewind(&mut self, parts: &mut crate::run::Parts<'_>) {
        self.recount();
        self.demote();
        for task in self.hopeless(0) {
            self.settle(task, TaskState::Cancelled { cause: Cause::UpstreamFailed }, parts);
        }
    }
}

/// What an attempt was told to end for is the cause of its failure, whatever its process says of itself.
pub(crate) fn settle_cause(failure: &mut Failure, ending: Option<EndReason>) {
    let cause = match ending {
        None => return,
        Some(EndReason::Cancelled) => Cause::Cancelled,
        Some(EndReason::Timeout) => Cause::Timeout,
        Some(EndReason::GraphTimeout) => {
            "the time limit of its graph was over".clone_into(&mut failure.message);
            Cause::Timeout
        }
        Some(EndReason::DeviceLost) => Cause::DeviceLost,
        Some(EndReason::Preempted) => Cause::Preempted,
    };
    failure.cause = cause;
    failure.place = None;
}

/// An attempt that was told to end and then says that it succeeded has only ended politely: what it was
/// told to end for still holds. One that had to make room may as well be done.
pub(crate) fn ended_politely(ending: Option<EndReason>) -> Option<Failure> {
    let (cause, message) = match ending? {
        EndReason::Cancelled => (Cause::Cancelled, "ended when it was cancelled"),
        EndReason::Timeout => (Cause::Timeout, "ended when its time limit was over"),
        EndReason::GraphTimeout => (Cause::Timeout, "the time limit of its graph was over"),
        EndReason::DeviceLost | EndReason::Preempted => return None,
    };
    let mut failure = Failure::new(cause, message);
    failure.exit_code = Some(0);
    Some(failure)
}
