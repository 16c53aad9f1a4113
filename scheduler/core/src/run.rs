//! A submitted graph while it runs: where each of its tasks stands, and what follows when one ends.
//!
//! All changes of a task's state go through [`GraphRun::set_state`], which keeps the counters; all
//! consequences of an end go through `settle`.

use crate::estimate::Estimates;
use crate::policy::Size;
use crate::queue::{ClassId, ClassKey, Queue, QueueKey, rank_bits};
use crate::replan::{Band, Replan};
use crate::retry::Spent;
use crate::timers::Timers;
use dunnage_model::{
    Arg, Attempt, Cause, Decision, Failure, Graph, GraphId, GraphState, Need, Order, Owner, Placement, Plan,
    Request, Submission, TaskCounts, TaskState, Time, Tolerance, Totals, Usage,
};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The key in `parked` of tasks that wait for the graph's own limit.
const WHOLE_GRAPH: ClassCache = (u32::MAX, 0, None);

/// A function, a factor of memory as bits, and where the plan wants it.
type ClassCache = (u32, u64, Option<(u8, dunnage_model::DeviceId)>);

/// A graph while it runs.
#[derive(Debug)]
pub struct GraphRun {
    /// Its number.
    pub id: GraphId,
    /// Its functions.
    pub graph: Arc<Graph>,
    /// Who submitted it.
    pub owner: Owner,
    /// Where its random choices begin.
    pub seed: u64,
    /// Trace context of the submitter.
    pub trace: Option<Arc<str>>,
    /// When it was accepted.
    pub submitted_at: Time,
    /// When its first attempt was placed.
    pub started_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// How it ended.
    pub ended: Option<GraphState>,
    /// Whether its owner keeps it back.
    pub held: bool,
    /// Whether no more functions will be added.
    pub sealed: bool,
    pub(crate) strategy: usize,
    pub(crate) stop: Option<Stop>,
    pub(crate) slots: Vec<TaskSlot>,
    pub(crate) counts: TaskCounts,
    pub(crate) plan: PlanState,
    /// Counts the states for which a plan was asked.
    pub(crate) revision: u32,
    /// When its time is over.
    pub(crate) deadline: Option<Time>,
    group_unended: Vec<u32>,
    group_unsucceeded: Vec<u32>,
    /// Whether the readers of all of a group have been told that one of it did not succeed.
    group_told: Vec<bool>,
    /// For `pipeline`: how deep each task lies.
    depth: Vec<u32>,
    /// Running instances of functions that bound them.
    running_of: BTreeMap<u32, u32>,
    /// Ready tasks that wait for their function's own limit, by class, or under [`WHOLE_GRAPH`] for the graph's.
    parked: BTreeMap<ClassCache, BTreeSet<QueueKey>>,
    /// Under `sequential`: the one that is in the queue.
    admitted: Option<QueueKey>,
    /// How many wait after a failure.
    backing_off: u32,
    /// What it is predicted to need.
    pub(crate) size: Size,
    /// The same as it stands in the keys of the queue.
    pub(crate) size_key: u64,
    /// How much of its predicted work is not done.
    pub(crate) work_left: f64,
    /// For each request of its tasks how many that ask for it first are ready, and since when none of those
    /// has started.
    waits: BTreeMap<u32, (u32, Time)>,
    /// Of the making of its plans.
    pub(crate) replan: Replan,
    /// For each task how many that wait for it directly have not ended.
    open_readers: Vec<u32>,
    /// The same for each group.
    group_open_readers: Vec<u32>,
    classes: BTreeMap<ClassCache, ClassId>,
}

/// Why nothing new starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// More failed than its tolerance bears.
    Failed,
    /// Its time is over.
    Timeout,
    /// Its owner ended it.
    Cancelled,
}

/// The state of the plan.
#[derive(Clone, Debug)]
pub(crate) enum PlanState {
    /// None is needed, or none came in time.
    None,
    /// Asked for; nothing starts until it is there or overdue.
    Wanted,
    /// In force. A newer one may be wanted, see `replan.rs`.
    Have(Arc<Plan>),
}

/// A task: its state, and a record once anything has happened to it.
#[derive(Clone, Debug)]
pub struct TaskSlot {
    /// Where it stands.
    pub state: TaskState,
    /// How many of the things it waits for are not there yet.
    pub(crate) missing: u32,
    /// How many attempts were started.
    pub starts: u32,
    /// What has happened to it.
    pub record: Option<Box<Record>>,
}

/// What has happened to a task.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The number of the last attempt; 0 before the first.
    pub last_attempt: u32,
    /// When the last attempt was placed.
    pub placed_at: Option<Time>,
    /// When it began.
    pub started_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// How the last failed attempt failed.
    pub failure: Option<Failure>,
    /// What the last ended attempt used.
    pub usage: Usage,
    /// What the last attempt held.
    pub placement: Option<Placement>,
    /// By how much memory reservations have grown; 0 stands for 1.
    pub(crate) memory_factor: f64,
    pub(crate) spent: Spent,
    /// What the last attempt may take by its plan.
    pub(crate) band: Option<Band>,
    /// Whether its values that were only passed on are gone.
    pub freed: bool,
    /// The attempt whose outputs are the task's values.
    pub winner: Option<Attempt>,
    /// What it last reported of itself, by name.
    pub reports: Vec<(String, f64)>,
    /// Its owner wants its end.
    pub(crate) cancel_wanted: bool,
}

/// The parts of the scheduler that a graph's own changes reach.
pub(crate) struct Parts<'a> {
    pub(crate) queue: &'a mut Queue,
    pub(crate) timers: &'a mut Timers,
    pub(crate) totals: &'a mut Totals,
    pub(crate) estimates: &'a Estimates,
    pub(crate) now: Time,
    pub(crate) out: &'a mut Vec<Decision>,
}

impl Default for TaskSlot {
    fn default() -> Self {
        Self { state: TaskState::Waiting, missing: 0, starts: 0, record: None }
    }
}

impl TaskSlot {
    pub(crate) fn record(&mut self) -> &mut Record {
        self.record.get_or_insert_with(Box::default)
    }

    pub(crate) fn memory_factor(&self) -> f64 {
        self.record
            .as_ref()
            .map_or(1.0, |record| if record.memory_factor == 0.0 { 1.0 } else { record.memory_factor })
    }
}

impl GraphRun {
    pub(crate) fn new(submission: &Submission, strategy: usize, at: Time) -> Self {
        let graph = Arc::clone(&submission.graph);
        let tasks = graph.len() as usize;
        let mut run = Self {
            id: submission.id,
            owner: submission.owner,
            seed: submission.seed,
            trace: submission.trace.clone(),
            submitted_at: at,
            started_at: None,
            ended_at: None,
            ended: None,
            held: submission.held,
            sealed: submission.sealed,
            strategy,
            stop: None,
            slots: vec![TaskSlot::default(); tasks],
            counts: TaskCounts { functions: tasks as u32, queued: tasks as u32, ..TaskCounts::default() },
            plan: PlanState::None,
            revision: 0,
            deadline: None,
            group_unended: Vec::new(),
            group_unsucceeded: Vec::new(),
            group_told: Vec::new(),
            depth: Vec::new(),
            running_of: BTreeMap::new(),
            parked: BTreeMap::new(),
            admitted: None,
            backing_off: 0,
            size: Size::default(),
            size_key: 0,
            work_left: 0.0,
            waits: BTreeMap::new(),
            replan: Replan::default(),
            open_readers: Vec::new(),
            group_open_readers: Vec::new(),
            classes: BTreeMap::new(),
            graph,
        };
        run.recount_depths();
        run.recount();
        run
    }

    /// For `pipeline`, how deep each task lies.
    pub(crate) fn recount_depths(&mut self) {
        if self.graph.settings.order == Order::Pipeline {
            self.depth = self.graph.depths();
        }
    }

    /// Its tasks.
    pub fn slots(&self) -> &[TaskSlot] {
        &self.slots
    }

    /// How many of its tasks stand where.
    pub fn counts(&self) -> TaskCounts {
        self.counts
    }

    /// The plan in force, if there is one.
    pub fn plan(&self) -> Option<&Arc<Plan>> {
        match &self.plan {
            PlanState::Have(plan) => Some(plan),
            PlanState::None | PlanState::Wanted => None,
        }
    }

    /// Whether it waits for its plan.
    pub fn is_planning(&self) -> bool {
        matches!(self.plan, PlanState::Wanted)
    }

    /// Where it stands.
    pub fn state(&self) -> GraphState {
        if let Some(state) = self.ended {
            state
        } else if self.counts.running > 0 || (self.started_at.is_some() && !self.held) {
            GraphState::Running
        } else if self.held {
            GraphState::Held
        } else {
            GraphState::Queued
        }
    }

    /// Counts from the tasks' states what each waits for. Done at the start and after a retry.
    pub(crate) fn recount(&mut self) {
        let graph = Arc::clone(&self.graph);
        let groups = graph.groups().len() as u32;
        let open = |slots: &[TaskSlot], group: u32, wanted: fn(&TaskState) -> bool| {
            graph.members(group).filter(|task| !wanted(&slots[*task as usize].state)).count() as u32
        };
        self.group_unended = (0..groups).map(|group| open(&self.slots, group, TaskState::is_final)).collect();
        self.group_unsucceeded =
            (0..groups).map(|group| open(&self.slots, group, |s| *s == TaskState::Succeeded)).collect();
        self.group_told = vec![false; groups as usize];
        for task in 0..graph.len() {
            let missing = graph
                .needs(task)
                .iter()
                .filter(|need| match need {
                    Need::Task(producer) => self.slots[*producer as usize].state != TaskState::Succeeded,
                    Need::Group(group) => self.group_unsucceeded[*group as usize] > 0,
                    Need::GroupEnd(group) => self.group_unended[*group as usize] > 0,
                })
                .count() as u32;
            self.slots[task as usize].missing = missing;
        }
        let unended = |tasks: &[u32]| {
            tasks.iter().filter(|t| !self.slots[**t as usize].state.is_final()).count() as u32
        };
        self.open_readers = (0..graph.len()).map(|task| unended(graph.readers(task))).collect();
        self.group_open_readers = graph
            .groups()
            .iter()
            .map(|group| unended(&group.readers) + unended(&group.lenient_readers))
            .collect();
    }

    /// Lets every task that could start into the queue: after submission, release, plan or retry.
    pub(crate) fn enqueue_all(&mut self, parts: &mut Parts<'_>) {
        for task in 0..self.graph.len() {
            let slot = &self.slots[task as usize];
            match slot.state {
                TaskState::Waiting if slot.missing == 0 => self.make_ready(task, parts),
                TaskState::Ready => {
                    // It may be in the queue already, and may have to wait for a limit now.
                    self.dequeue(task, parts);
                    self.enqueue(task, parts);
                }
                TaskState::Held => {
                    self.set_state(task, TaskState::Waiting);
                    if self.slots[task as usize].missing == 0 {
                        self.make_ready(task, parts);
                    }
                }
                TaskState::Waiting
                | TaskState::Running(_)
                | TaskState::BackingOff { .. }
                | TaskState::Succeeded
                | TaskState::Failed
                | TaskState::Cancelled { .. }
                | TaskState::Compensated => {}
            }
        }
    }

    pub(crate) fn make_ready(&mut self, task: u32, parts: &mut Parts<'_>) {
        let wait = self.waits.entry(self.first_request(task)).or_insert((0, parts.now));
        if wait.0 == 0 {
            wait.1 = parts.now;
        }
        self.set_state(task, TaskState::Ready);
        self.enqueue(task, parts);
    }

    /// What its tasks are told apart by for how long they wait: what the first variant asks for.
    fn first_request(&self, task: u32) -> u32 {
        self.graph.function(task).variants.first().map_or(0, |variant| variant.request)
    }

    /// Takes a new prediction of what it needs. Nothing of it may be in the queue: its keys change.
    pub(crate) fn set_size(&mut self, size: Size, key: u64) {
        self.size = size;
        if self.size_key != key {
            self.size_key = key;
            self.classes.clear();
        }
    }

    /// Since when a task has waited for anything of its graph to start that asks for the same.
    pub(crate) fn waits_since(&self, task: u32) -> Time {
        self.waits.get(&self.first_request(task)).map_or(self.submitted_at, |(_, since)| *since)
    }

    /// One has started: those that ask for the same wait from now on.
    pub(crate) fn waits_anew(&mut self, task: u32, now: Time) {
        let request = self.first_request(task);
        self.waits.entry(request).or_insert((0, now)).1 = now;
    }

    /// All of it waits from now on.
    pub(crate) fn waits_all_anew(&mut self, now: Time) {
        for (_, since) in self.waits.values_mut() {
            *since = now;
        }
    }

    fn may_start(&self) -> bool {
        !self.held && self.stop.is_none() && self.ended.is_none() && !self.is_planning()
    }

    fn enqueue(&mut self, task: u32, parts: &mut Parts<'_>) {
        if !self.may_start() {
            return;
        }
        let key = self.queue_key(task);
        if self.is_sequential() {
            self.parked.entry(WHOLE_GRAPH).or_default().insert(key);
            return self.admit_first(parts);
        }
        if self.is_at_limit(task) {
            self.parked.entry(self.park_of(task)).or_default().insert(key);
            return;
        }
        let class = self.class_of(task, parts.queue, parts.estimates);
        parts.queue.insert(class, key);
    }

    /// Under `sequential`: the first of the ready tasks, and it alone, is in the queue, unless one runs.
    fn admit_first(&mut self, parts: &mut Parts<'_>) {
        let Some(first) = self.parked.get(&WHOLE_GRAPH).and_then(BTreeSet::first).copied() else { return };
        if self.is_at_limit(first.index) || self.admitted.is_some_and(|other| other < first) {
            return;
        }
        if let Some(other) = self.admitted {
            self.dequeue(other.index, parts);
            self.parked.entry(WHOLE_GRAPH).or_default().insert(other);
        }
        if let Some(parked) = self.parked.get_mut(&WHOLE_GRAPH) {
            parked.remove(&first);
        }
        self.admitted = Some(first);
        let class = self.class_of(first.index, parts.queue, parts.estimates);
        parts.queue.insert(class, first);
    }

    fn is_sequential(&self) -> bool {
        self.graph.settings.order == Order::Sequential
    }

    /// Whether its function or its graph already runs as many at once as it may. In a sequential graph, one
    /// that will be started again goes before those behind it.
    pub(crate) fn is_at_limit(&self, task: u32) -> bool {
        if self.is_sequential() && self.counts.running + self.backing_off > 0 {
            return true;
        }
        let function = self.graph.function(task);
        function.max_parallel.is_some_and(|max| {
            self.running_of.get(&self.graph.function_index(task)).copied().unwrap_or(0) >= max
        })
    }

    fn park_of(&self, task: u32) -> ClassCache {
        if self.is_sequential() { WHOLE_GRAPH } else { self.class_cache(task) }
    }

    /// Takes a ready task out of the queue until one of its kind has ended.
    pub(crate) fn park(&mut self, task: u32, parts: &mut Parts<'_>) {
        self.dequeue(task, parts);
        let key = self.queue_key(task);
        self.parked.entry(self.park_of(task)).or_default().insert(key);
    }

    /// After an attempt of this task has ended, lets in who waited for its limit: of each class the first,
    /// since one class may fit where another does not. `dispatch` sees to the limit.
    pub(crate) fn unpark(&mut self, task: u32, parts: &mut Parts<'_>) {
        if !self.may_start() || self.parked.is_empty() || self.is_at_limit(task) {
            return;
        }
        if self.is_sequential() {
            self.admit_first(parts);
            return;
        }
        let function = self.graph.function_index(task);
        let all = (function, 0, None)..(function + 1, 0, None);
        let first: Vec<QueueKey> =
            self.parked.range_mut(all).filter_map(|(_, parked)| parked.pop_first()).collect();
        for key in first {
            let class = self.class_of(key.index, parts.queue, parts.estimates);
            parts.queue.insert(class, key);
        }
        self.parked.retain(|_, parked| !parked.is_empty());
    }

    /// Takes a task out of the queue wherever it is in it.
    pub(crate) fn dequeue(&mut self, task: u32, parts: &mut Parts<'_>) {
        let key = self.queue_key(task);
        let park = self.park_of(task);
        if self.parked.get_mut(&park).is_some_and(|parked| parked.remove(&key)) {
            return;
        }
        if self.admitted == Some(key) {
            self.admitted = None;
        }
        // A class that is not known or no longer current is empty: then the task is in no queue.
        if let Some(class) = self.classes.get(&self.class_cache(task)).copied()
            && parts.queue.is_current(class)
        {
            parts.queue.remove(class, key);
        }
    }

    /// What tells the classes of this graph's tasks apart.
    fn class_cache(&self, task: u32) -> ClassCache {
        let planned = self.planned(task).map(|place| (place.variant, place.device));
        (self.graph.function_index(task), self.slots[task as usize].memory_factor().to_bits(), planned)
    }

    pub(crate) fn dequeue_all(&mut self, parts: &mut Parts<'_>) {
        for task in 0..self.graph.len() {
            if self.slots[task as usize].state == TaskState::Ready {
                self.dequeue(task, parts);
            }
        }
    }

    fn queue_key(&self, task: u32) -> QueueKey {
        let rank = match (&self.plan, self.graph.settings.order) {
            (PlanState::Have(plan), Order::Dag | Order::ResourceAware) => {
                plan.priority.get(task as usize).copied().unwrap_or(0.0)
            }
            (_, Order::Pipeline) => f64::from(self.depth.get(task as usize).copied().unwrap_or(0)),
            (_, Order::Sequential | Order::Parallel | Order::Dag | Order::ResourceAware) => 0.0,
        };
        QueueKey {
            priority: Reverse(self.graph.settings.priority),
            size: self.size_key,
            graph: self.id,
            rank: Reverse(rank_bits(rank)),
            index: task,
        }
    }

    /// Where the plan wants a task, if there is a plan that says so.
    pub(crate) fn planned(&self, task: u32) -> Option<dunnage_model::PlannedPlace> {
        match &self.plan {
            PlanState::Have(plan) => plan.place.get(task as usize).copied().flatten(),
            PlanState::None | PlanState::Wanted => None,
        }
    }

    /// What a variant of a task asks of the ledger, grown after out-of-memory.
    pub(crate) fn request(&self, task: u32, variant: u8) -> Request {
        let mut request = self.graph.request(task, variant).clone();
        let factor = self.slots[task as usize].memory_factor();
        if factor > 1.0 {
            request.memory = request.memory.scaled(factor);
            match &mut request.gpu {
                dunnage_model::GpuRequest::None => {}
                dunnage_model::GpuRequest::Whole { memory, .. } => *memory = memory.scaled(factor),
                dunnage_model::GpuRequest::Part { memory, .. } => *memory = memory.map(|m| m.scaled(factor)),
            }
        }
        request
    }

    pub(crate) fn class_of(&mut self, task: u32, queue: &mut Queue, estimates: &Estimates) -> ClassId {
        let cache = self.class_cache(task);
        if let Some(id) = self.classes.get(&cache)
            && queue.is_current(*id)
        {
            return *id;
        }
        let variants = self.graph.function(task).variants.len() as u8;
        let id = queue.class(ClassKey {
            owner: self.owner,
            strategy: self.strategy,
            priority: Reverse(self.graph.settings.priority),
            size: self.size_key,
            // With what was learned of its memory, as it is known when the class is made: tasks that turn out
            // to need much more are set apart with the next ones.
            requests: (0..variants)
                .map(|variant| crate::learn::class_request(estimates, self, task, variant))
                .collect(),
            node: self.graph.function(task).extras.as_ref().and_then(|extras| extras.node.clone()),
            planned: cache.2,
            is_aware: crate::aware::is_aware(self),
        });
        self.classes.insert(cache, id);
        id
    }

    /// Changes a task's state and the counters with it.
    pub(crate) fn set_state(&mut self, task: u32, state: TaskState) -> TaskState {
        *counter(&mut self.counts, &state) += 1;
        let is = matches!(state, TaskState::Running(_));
        self.backing_off += u32::from(matches!(state, TaskState::BackingOff { .. }));
        let is_ready = state == TaskState::Ready;
        let old = std::mem::replace(&mut self.slots[task as usize].state, state);
        *counter(&mut self.counts, &old) -= 1;
        self.backing_off -= u32::from(matches!(old, TaskState::BackingOff { .. }));
        if is_ready != (old == TaskState::Ready)
            && let Some((ready, _)) = self.waits.get_mut(&self.first_request(task))
        {
            *ready = if is_ready { *ready + 1 } else { ready.saturating_sub(1) };
        }
        let was = matches!(old, TaskState::Running(_));
        if was != is && self.graph.function(task).max_parallel.is_some() {
            let running = self.running_of.entry(self.graph.function_index(task)).or_insert(0);
            if is {
                *running += 1;
            } else {
                *running = running.saturating_sub(1);
            }
        }
        old
    }

    /// Ends a task in this state and draws the consequences: readers become ready or are cancelled,
    /// values are freed, the tolerance is looked at.
    pub(crate) fn settle(&mut self, task: u32, state: TaskState, parts: &mut Parts<'_>) {
        // A list instead of recursion: a chain may be a million long.
        let first = task;
        let mut ends: Vec<(u32, TaskState)> = vec![(task, state)];
        while let Some((task, state)) = ends.pop() {
            let old = &self.slots[task as usize].state;
            // A reader that runs although its producer is made again has its inputs: its own result counts.
            let runs_on = task != first && matches!(old, TaskState::Running(_));
            if old.is_final() || runs_on {
                continue;
            }
            let was_ready = *old == TaskState::Ready;
            let backed_off = matches!(old, TaskState::BackingOff { .. });
            if was_ready {
                self.dequeue(task, parts);
            }
            let word = state.word();
            let succeeded = state == TaskState::Succeeded;
            let failed = state == TaskState::Failed;
            // Whoever needs a task that was stopped was stopped with it; whoever needs one that failed, or
            // that its owner cancelled alone, is cancelled for that.
            let upstream = match state {
                TaskState::Cancelled { cause: Cause::Cancelled } if self.stop.is_some() => Cause::Cancelled,
                _ => Cause::UpstreamFailed,
            };
            self.set_state(task, state);
            if was_ready || backed_off {
                // It may have been the one that was let in for its limit.
                self.unpark(task, parts);
            }
            let slot = &mut self.slots[task as usize];
            if slot.record.is_some() {
                slot.record().ended_at = Some(parts.now);
            }
            *parts.totals.ended.entry(word).or_insert(0) += 1;
            parts.out.push(Decision::TaskEnded { task: self.id.task(task) });
            self.tell_readers(task, (!succeeded).then_some(upstream), &mut ends, parts);
            self.free_inputs(task, parts);
            if succeeded {
                // All its readers may have been cancelled while it ran.
                self.free_if_unread(task, parts);
            }
            if failed && self.stop.is_none() && self.is_beyond_tolerance() {
                self.stop = Some(Stop::Failed);
                self.cancel_rest(Cause::Cancelled, &mut ends);
            }
        }
    }

    fn tell_readers(
        &mut self,
        task: u32,
        lost: Option<Cause>,
        ends: &mut Vec<(u32, TaskState)>,
        parts: &mut Parts<'_>,
    ) {
        let graph = Arc::clone(&self.graph);
        for reader in graph.readers(task) {
            match lost {
                None => self.one_less(*reader, parts),
                Some(cause) => ends.push((*reader, TaskState::Cancelled { cause })),
            }
        }
        let Some(group) = graph.group_of(task) else { return };
        self.group_unended[group as usize] -= 1;
        match lost {
            None => {
                self.group_unsucceeded[group as usize] -= 1;
                if self.group_unsucceeded[group as usize] == 0 {
                    for reader in &graph.groups()[group as usize].readers {
                        self.one_less(*reader, parts);
                    }
                }
            }
            // The first one is enough: telling each reader of each would be quadratic.
            Some(cause) if !std::mem::replace(&mut self.group_told[group as usize], true) => {
                let readers = graph.groups()[group as usize].readers.iter();
                ends.extend(readers.map(|reader| (*reader, TaskState::Cancelled { cause })));
            }
            Some(_) => {}
        }
        if self.group_unended[group as usize] == 0 {
            for reader in &graph.groups()[group as usize].lenient_readers {
                self.one_less(*reader, parts);
            }
        }
    }

    fn one_less(&mut self, reader: u32, parts: &mut Parts<'_>) {
        let slot = &mut self.slots[reader as usize];
        slot.missing = slot.missing.saturating_sub(1);
        if slot.missing == 0 && slot.state == TaskState::Waiting {
            if self.stop.is_some() {
                return;
            }
            self.make_ready(reader, parts);
        }
    }

    /// Frees the passing values of those producers of which this task was the last reader.
    fn free_inputs(&mut self, task: u32, parts: &mut Parts<'_>) {
        let graph = Arc::clone(&self.graph);
        for need in graph.needs(task) {
            match need {
                Need::Task(producer) => {
                    let open = &mut self.open_readers[*producer as usize];
                    *open = open.saturating_sub(1);
                    self.free_if_unread(*producer, parts);
                }
                Need::Group(group) | Need::GroupEnd(group) => {
                    let open = &mut self.group_open_readers[*group as usize];
                    *open = open.saturating_sub(1);
                    if *open == 0 {
                        for member in graph.members(*group) {
                            self.free_if_unread(member, parts);
                        }
                    }
                }
            }
        }
    }

    pub(crate) fn free_if_unread(&mut self, producer: u32, parts: &mut Parts<'_>) {
        // As long as functions may be added, one of them may read it.
        let read = !self.sealed
            || self.open_readers[producer as usize] > 0
            || self.graph.group_of(producer).is_some_and(|group| self.group_open_readers[group as usize] > 0);
        if read
            || self.slots[producer as usize].state != TaskState::Succeeded
            || !self.graph.has_passing_outputs(producer)
        {
            return;
        }
        let record = self.slots[producer as usize].record();
        if !record.freed {
            record.freed = true;
            parts.out.push(Decision::FreeValues { task: self.id.task(producer) });
        }
    }

    /// Whether something that a task needs has ended without success.
    pub(crate) fn is_hopeless(&self, task: u32) -> bool {
        let lost = |task: u32| {
            let state = &self.slots[task as usize].state;
            state.is_final() && *state != TaskState::Succeeded
        };
        self.graph.needs(task).iter().any(|need| match need {
            Need::Task(producer) => lost(*producer),
            Need::Group(group) => self.graph.members(*group).any(lost),
            Need::GroupEnd(_) => false,
        })
    }

    /// Whether anybody still reads a task's values, or may later.
    pub(crate) fn is_needed(&self, task: u32) -> bool {
        let outputs = self.graph.function(task).outputs.len() as u16;
        self.open_readers[task as usize] > 0
            || self.graph.group_of(task).is_some_and(|group| self.group_open_readers[group as usize] > 0)
            || (0..outputs).any(|output| self.graph.is_kept(task, output))
    }

    fn is_beyond_tolerance(&self) -> bool {
        match self.graph.settings.tolerance {
            Tolerance::Strict => self.counts.failed > 0,
            Tolerance::MaxFailures(max) => self.counts.failed > max,
            Tolerance::Tolerant | Tolerance::MinSuccess(_) => false,
        }
    }

    /// Cancels everything that has not started.
    pub(crate) fn cancel_rest(&self, cause: Cause, ends: &mut Vec<(u32, TaskState)>) {
        // Dependants of failed tasks are already in the list with their own cause and are taken first.
        let rest = (0..self.graph.len()).rev().filter(|task| {
            let state = &self.slots[*task as usize].state;
            !state.is_final() && !matches!(state, TaskState::Running(_))
        });
        let rest: Vec<(u32, TaskState)> = rest.map(|task| (task, TaskState::Cancelled { cause })).collect();
        ends.splice(0..0, rest);
    }

    /// The state in which it ends, once nothing of it can happen any more.
    pub(crate) fn verdict(&self) -> Option<GraphState> {
        let TaskCounts { functions, queued, running, succeeded, failed, cancelled, compensated: _ } =
            self.counts;
        if self.ended.is_some() || queued > 0 || running > 0 || !(self.sealed || self.stop.is_some()) {
            return None;
        }
        Some(match self.stop {
            Some(Stop::Cancelled) => GraphState::Cancelled,
            Some(Stop::Failed | Stop::Timeout) => GraphState::Failed,
            None => match self.graph.settings.tolerance {
                Tolerance::Strict if failed > 0 => GraphState::Failed,
                // Its owner cancelled single tasks of it.
                Tolerance::Strict if cancelled > 0 => GraphState::Cancelled,
                Tolerance::MinSuccess(share)
                    if f64::from(succeeded) < share * f64::from(functions) - 1e-9 =>
                {
                    GraphState::Failed
                }
                Tolerance::Strict
                | Tolerance::Tolerant
                | Tolerance::MaxFailures(_)
                | Tolerance::MinSuccess(_) => GraphState::Succeeded,
            },
        })
    }

    /// Makes succeeded producers run again whose values are gone but needed by a task that is to run.
    /// `wanted` holds tasks that are to run. Returns how many producers were taken back.
    pub(crate) fn take_back_lost(&mut self, wanted: Vec<u32>) -> usize {
        let graph = Arc::clone(&self.graph);
        let mut list = wanted;
        let mut taken = 0;
        while let Some(task) = list.pop() {
            for arg in graph.args(task) {
                let producers = match arg {
                    Arg::Value { task, .. } => *task..*task + 1,
                    Arg::Family { group, .. } => graph.members(*group),
                };
                for producer in producers {
                    let slot = &self.slots[producer as usize];
                    let gone = slot.record.as_ref().is_some_and(|record| record.freed);
                    if slot.state == TaskState::Succeeded && gone {
                        self.reset(producer);
                        taken += 1;
                        list.push(producer);
                    }
                }
            }
        }
        taken
    }

    /// Puts an ended task back to the start, its attempt numbers kept.
    pub(crate) fn reset(&mut self, task: u32) {
        self.set_state(task, TaskState::Waiting);
        let record = self.slots[task as usize].record();
        record.freed = false;
        record.winner = None;
        record.cancel_wanted = false;
        record.spent = Spent { losses_in_a_row: record.spent.losses_in_a_row, ..Spent::default() };
        record.ended_at = None;
    }

    /// The place in words of a running attempt, if it is the current one of its task.
    pub(crate) fn is_current(&self, task: u32, attempt: Attempt) -> bool {
        self.slots.get(task as usize).is_some_and(|slot| match &slot.state {
            TaskState::Running(running) => running.attempt == attempt,
            TaskState::Waiting
            | TaskState::Ready
            | TaskState::Held
            | TaskState::BackingOff { .. }
            | TaskState::Succeeded
            | TaskState::Failed
            | TaskState::Cancelled { .. }
            | TaskState::Compensated => false,
        })
    }
}

impl GraphRun {
    /// Every ready task of a graph that may start is in the queue or waits for a limit, and whoever waits for
    /// a limit will be let in by somebody. Returns how many are in the queue.
    pub(crate) fn check_queue(&self, queue: &Queue) -> Result<usize, String> {
        let mut inside = 0;
        let mut parked = 0;
        // Of which classes one is in the queue.
        let mut admitted: BTreeSet<ClassCache> = BTreeSet::new();
        for task in 0..self.graph.len() {
            if self.slots[task as usize].state != TaskState::Ready {
                continue;
            }
            let key = self.queue_key(task);
            let class = self.classes.get(&self.class_cache(task)).filter(|class| queue.is_current(**class));
            let queued = class.is_some_and(|class| queue.contains(*class, key));
            let waits = self.parked.get(&self.park_of(task)).is_some_and(|parked| parked.contains(&key));
            if queued == waits && (queued || self.may_start()) {
                return Err(format!(
                    "task {}.{task}: in the queue {queued}, waits for a limit {waits}",
                    self.id
                ));
            }
            if queued {
                inside += 1;
                admitted.insert(self.park_of(task));
            }
            parked += usize::from(waits);
        }
        for (park, tasks) in &self.parked {
            let Some(first) = tasks.first() else { continue };
            if !admitted.contains(park) && !self.is_at_limit(first.index) {
                return Err(format!(
                    "graph {}: {} tasks wait for a limit that nobody holds",
                    self.id,
                    tasks.len()
                ));
            }
        }
        if self.is_sequential() && inside != usize::from(self.admitted.is_some()) {
            return Err(format!("graph {}: {inside} tasks of a sequential graph are in the queue", self.id));
        }
        if parked != self.parked.values().map(BTreeSet::len).sum::<usize>() {
            return Err(format!("graph {}: tasks wait for a limit that are not ready", self.id));
        }
        Ok(inside)
    }

    /// The counters are those that counting anew gives.
    pub(crate) fn check_counters(&self) -> Result<(), String> {
        let mut anew = Self {
            slots: self.slots.clone(),
            graph: Arc::clone(&self.graph),
            trace: None,
            plan: PlanState::None,
            group_unended: Vec::new(),
            group_unsucceeded: Vec::new(),
            group_told: Vec::new(),
            depth: Vec::new(),
            running_of: BTreeMap::new(),
            parked: BTreeMap::new(),
            waits: BTreeMap::new(),
            open_readers: Vec::new(),
            group_open_readers: Vec::new(),
            classes: BTreeMap::new(),
            ..*self
        };
        anew.recount();
        for (task, (kept, counted)) in self.slots.iter().zip(&anew.slots).enumerate() {
            if kept.missing != counted.missing {
                return Err(format!(
                    "task {}.{task} misses {} and {} is kept",
                    self.id, counted.missing, kept.missing
                ));
            }
        }
        if self.group_unended != anew.group_unended || self.group_unsucceeded != anew.group_unsucceeded {
            return Err(format!("graph {}: the counts of its groups are wrong", self.id));
        }
        if self.open_readers != anew.open_readers || self.group_open_readers != anew.group_open_readers {
            return Err(format!("graph {}: the counts of open readers are wrong", self.id));
        }
        for task in 0..self.graph.len() {
            let slot = &self.slots[task as usize];
            let blocked = slot.missing > 0 || self.stop.is_some() || self.ended.is_some();
            if slot.state == TaskState::Waiting && !blocked && self.may_start() {
                return Err(format!("task {}.{task} waits for nothing", self.id));
            }
        }
        Ok(())
    }
}

fn counter<'a>(counts: &'a mut TaskCounts, state: &TaskState) -> &'a mut u32 {
    match state {
        TaskState::Waiting | TaskState::Ready | TaskState::Held | TaskState::BackingOff { .. } => {
            &mut counts.queued
        }
        TaskState::Running(_) => &mut counts.running,
        TaskState::Succeeded => &mut counts.succeeded,
        TaskState::Failed => &mut counts.failed,
        TaskState::Cancelled { .. } => &mut counts.cancelled,
        TaskState::Compensated => &mut counts.compensated,
    }
}
