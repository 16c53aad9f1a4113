//! The owner of the state: takes one input at a time, lets the core decide, writes the facts, and
//! carries the decisions out once they are committed.
//!
//! Every batch of facts is committed by this very thread, which takes microseconds, and its decisions
//! follow at once. Only the answer to a request waits for the disk, which another thread syncs. So a task may start before its submission is on disk, but nobody was
//! told that it was accepted.

use super::effects::Effects;
use super::input::{Command, Input, NewGraph, Refused, Reply};
use super::sampler::Sampler;
use super::{DeviceLocks, Meta, views};
use dunnage_core::{GraphRun, Scheduler};
use dunnage_devices::GpuEnv;
use dunnage_exec::{EngineEvent, EnvBase, LocalEngine};
use dunnage_model::{
    AttemptId, Bytes, Cause, Code, Decision, DeviceId, Event, Fact, Failure, GraphId, Owner, ProcessUse,
    Submission, TaskState, Time, Usage,
};
use dunnage_store::{
    Batch, Class, Committer, Ended, EndedFilter, EnvStore, GraphRow, History, Notice, StoreClock, Write,
};
use dunnage_wire::journal::encode_facts;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};

/// Ended graphs are kept in memory up to this many, and up to this many of their functions together.
const ENDED_MAX: usize = 256;
const ENDED_FUNCTIONS_MAX: u64 = 200_000;

/// At most this many inputs are taken before what they led to is written.
const BATCH_MAX: usize = 512;

/// How often devices are looked at while there are GPUs.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// A log is read in pieces of at most this many bytes.
const LOG_CHUNK: usize = 256 << 10;

/// How often the logs of commands that have run for a while are copied to disk.
const LOGS_EVERY: Duration = Duration::from_secs(1);

/// How a shell is set up.
#[derive(Clone, Debug)]
pub(crate) struct ShellOptions {
    /// Memory of strangers on a GPU below this much is let be.
    pub(crate) ignore_foreign_below: Bytes,
    /// How a task is told its GPUs.
    pub(crate) gpu_env: GpuEnv,
    /// Remarks of the device source.
    pub(crate) notes: Vec<String>,
    /// The store's file, for readers beside the loop.
    pub(crate) journal: PathBuf,
    /// The store's token, by which processes of ours are known.
    pub(crate) token: String,
}

/// How the loop ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stopped {
    /// Whether the journal failed.
    pub(crate) broken: bool,
    /// Whether nothing runs any more.
    pub(crate) idle: bool,
}

/// A claim that may go when the fact of its attempt's end is on disk, and whether a log lies beside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claimed {
    pub(crate) attempt: AttemptId,
    pub(crate) has_log: bool,
}

pub(crate) type Answer = Box<dyn FnOnce(Result<(), Refused>) + Send>;

/// See the module.
pub(crate) struct Shell {
    pub(crate) core: Scheduler,
    pub(crate) clock: StoreClock,
    pub(crate) history: Box<dyn History>,
    pub(crate) environments: Arc<EnvStore>,
    pub(crate) engine: LocalEngine,
    pub(crate) effects: Effects,
    pub(crate) metas: BTreeMap<GraphId, Meta>,
    pub(crate) options: ShellOptions,
    pub(crate) sender: mpsc::UnboundedSender<Input>,
    pub(crate) inputs: mpsc::UnboundedReceiver<Input>,
    pub(crate) sampler: Option<Sampler>,
    pub(crate) locks: DeviceLocks,
    pub(crate) journal: Committer,
    pub(crate) next_graph: u64,
    pub(crate) next_seq: u64,
    pub(crate) next_batch: u64,
    facts: BTreeMap<GraphId, Vec<Fact>>,
    writes: Vec<Write>,
    decisions: Vec<Decision>,
    answers: Vec<Answer>,
    held_answers: VecDeque<(u64, Vec<Answer>)>,
    /// Claims that may go once the batch with this number is synced.
    claims: VecDeque<(u64, Claimed)>,
    pub(crate) claims_now: Vec<Claimed>,
    waiters: BTreeMap<GraphId, Vec<Reply<()>>>,
    ended: VecDeque<GraphId>,
    wake: Option<Time>,
    /// The first failure of the journal: nothing is accepted any more.
    pub(crate) broken: Option<Arc<str>>,
    /// The root of each running attempt's process tree.
    pub(crate) pids: BTreeMap<AttemptId, u32>,
    /// What each running attempt's processes use of GPUs.
    pub(crate) gpu_used: BTreeMap<AttemptId, Vec<(DeviceId, Bytes)>>,
    stopping: Option<bool>,
    /// Tells of attempts that have ended, for those who follow their logs.
    pub(crate) ended_attempts: broadcast::Sender<AttemptId>,
}

/// The parts that a shell is made of.
pub(crate) struct Parts {
    pub(crate) core: Scheduler,
    pub(crate) clock: StoreClock,
    pub(crate) history: Box<dyn History>,
    pub(crate) environments: Arc<EnvStore>,
    pub(crate) engine: LocalEngine,
    pub(crate) effects: Effects,
    pub(crate) options: ShellOptions,
    pub(crate) sender: mpsc::UnboundedSender<Input>,
    pub(crate) inputs: mpsc::UnboundedReceiver<Input>,
    pub(crate) sampler: Option<Sampler>,
    pub(crate) locks: DeviceLocks,
    pub(crate) journal: Committer,
    pub(crate) next_graph: u64,
    pub(crate) next_seq: u64,
}

impl Shell {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts {
            core,
            clock,
            history,
            environments,
            engine,
            effects,
            options,
            sender,
            inputs,
            sampler,
            locks,
            journal,
            next_graph,
            next_seq,
        } = parts;
        Self {
            core,
            clock,
            history,
            environments,
            engine,
            effects,
            metas: BTreeMap::new(),
            options,
            sender,
            inputs,
            sampler,
            locks,
            journal,
            next_graph,
            next_seq,
            next_batch: 1,
            facts: BTreeMap::new(),
            writes: Vec::new(),
            decisions: Vec::new(),
            answers: Vec::new(),
            held_answers: VecDeque::new(),
            claims: VecDeque::new(),
            claims_now: Vec::new(),
            waiters: BTreeMap::new(),
            ended: VecDeque::new(),
            wake: None,
            broken: None,
            pids: BTreeMap::new(),
            gpu_used: BTreeMap::new(),
            stopping: None,
            ended_attempts: broadcast::channel(1024).0,
        }
    }

    /// The store's file.
    pub(crate) fn journal_file(&self) -> PathBuf {
        self.options.journal.clone()
    }

    /// Runs until it is told to stop.
    pub(crate) async fn run(mut self) -> Stopped {
        let watch = self.sampler.is_some() && self.core.ledger().nodes().any(|node| !node.gpus.is_empty());
        let mut tick = tokio::time::interval(SAMPLE_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut log_tick = tokio::time::interval(LOGS_EVERY);
        log_tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.flush();
        loop {
            let pause = self.wake.map(|at| at.since(self.clock.now()).to_std());
            let input = tokio::select! {
                biased;
                input = self.inputs.recv() => input,
                () = sleep(pause), if pause.is_some() => None,
                _ = tick.tick(), if watch => {
                    self.look();
                    continue;
                }
                _ = log_tick.tick(), if !self.pids.is_empty() => {
                    self.keep_logs();
                    continue;
                }
            };
            match input {
                Some(input) => self.take(input),
                None => {
                    self.wake = None;
                    self.handle(Event::TimerFired);
                }
            }
            for _ in 1..BATCH_MAX {
                match self.inputs.try_recv() {
                    Ok(input) => self.take(input),
                    Err(_) => break,
                }
            }
            self.flush();
            if self.is_done() {
                self.engine.goodbye().await;
                let Self { broken, journal, engine, claims, effects, core, .. } = self;
                // Everything is synced when the journal has stopped: claims and logs in memory may go.
                if journal.stop().is_ok() && broken.is_none() {
                    for (_, claimed) in claims {
                        remove_claim(&engine, &effects, claimed);
                    }
                }
                return Stopped { broken: broken.is_some(), idle: core.ledger().holdings().len() == 0 };
            }
        }
    }

    fn is_done(&self) -> bool {
        let Some(kill) = self.stopping else { return false };
        let running = kill && self.core.ledger().holdings().len() > 0 && self.broken.is_none();
        !running && self.held_answers.is_empty() && !self.effects.is_busy()
    }

    /// Asks for a look at the devices.
    pub(crate) fn look(&mut self) {
        let before = self.core.ledger().generation();
        self.locks.keep(&mut self.core);
        if self.core.ledger().generation() != before {
            self.handle(Event::TimerFired);
            self.flush();
        }
        let Some(sampler) = &self.sampler else { return };
        let mut load: BTreeMap<DeviceId, Vec<ProcessUse>> = BTreeMap::new();
        for node in self.core.ledger().nodes() {
            for gpu in &node.gpus {
                load.insert(gpu.device, Vec::new());
            }
        }
        for (attempt, placement) in self.core.ledger().holdings() {
            let Some(pid) = self.pids.get(attempt) else { continue };
            for grant in &placement.gpus {
                // A task that was given memory alone is taken to use a tenth of the cores.
                let share = if grant.share.0 == 0 { 0.1 } else { f64::from(grant.share.0) / 1000.0 };
                load.entry(grant.device).or_default().push(ProcessUse {
                    pid: *pid,
                    memory: Some(grant.memory),
                    sm_share: Some(share),
                });
            }
        }
        sampler.ask(load.into_iter().collect());
    }

    fn keep_logs(&mut self) {
        let now = self.clock.now();
        let core = &self.core;
        let old = self.pids.keys().copied().filter(|attempt| {
            core.graph(attempt.task.graph).is_some_and(|run| {
                let task = attempt.task.index;
                let begun = run.slots()[task as usize].record.as_ref().and_then(|record| record.placed_at);
                matches!(run.graph.function(task).code, Code::Command(_))
                    && begun.is_some_and(|at| now.since(at).to_std() >= LOGS_EVERY)
            })
        });
        self.effects.keep_logs(old);
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Command(command) => self.command(command),
            Input::Engine(event) => self.engine_event(event),
            Input::Judged { attempt, event, lost, has_log } => self.judged(attempt, *event, &lost, has_log),
            Input::Notice(notice) => self.notice(notice),
            Input::Planned { graph, revision, plan } => self.handle(Event::Planned { graph, revision, plan }),
            Input::Sampled { samples, node } => self.sampled(samples, node),
            Input::Stop { kill } => {
                self.stopping = Some(kill || self.stopping == Some(true));
                if kill {
                    let live: Vec<GraphId> =
                        self.core.graphs().filter(|run| run.ended.is_none()).map(|run| run.id).collect();
                    for graph in live {
                        self.handle(Event::Cancelled { graph, task: None });
                    }
                }
            }
        }
    }

    /// Hands a fact to the core and gathers what is to be written and done.
    pub(crate) fn handle(&mut self, event: Event) {
        let at = self.clock.now();
        self.handle_at(at, event);
    }

    fn handle_at(&mut self, at: Time, event: Event) {
        let event = self.core.as_fact(event);
        if event.is_journalled()
            && let Some(graph) = event.graph()
        {
            self.facts.entry(graph).or_default().push(Fact { at, event: event.clone() });
        }
        let mut decisions = Vec::new();
        self.core.handle(at, event, &mut decisions);
        self.gather(at, decisions);
    }

    /// Notes what decisions add to the journal.
    pub(crate) fn gather(&mut self, at: Time, decisions: Vec<Decision>) {
        for decision in &decisions {
            match decision {
                Decision::Start { attempt, placement } => {
                    let event = Event::Placed { attempt: *attempt, placement: placement.clone() };
                    self.facts.entry(attempt.task.graph).or_default().push(Fact { at, event });
                }
                Decision::GraphEnded { graph, .. } => self.note_end(*graph),
                Decision::Kill { .. }
                | Decision::WakeAt(_)
                | Decision::PlanWanted { .. }
                | Decision::FreeValues { .. }
                | Decision::TaskEnded { .. } => {}
            }
        }
        self.decisions.extend(decisions);
        for (graph, story) in self.core.take_quarantined() {
            eprintln!("dunnage: graph {graph} was set aside because of an impossible state: {story}");
        }
    }

    /// A fact learned in recovery: journalled and applied, while nothing is placed yet.
    pub(crate) fn handle_quietly(&mut self, event: Event) {
        let at = self.clock.now();
        let event = self.core.as_fact(event);
        if event.is_journalled()
            && let Some(graph) = event.graph()
        {
            self.facts.entry(graph).or_default().push(Fact { at, event: event.clone() });
        }
        self.core.replay(at, event);
    }

    /// What an attempt left behind that ended while nobody looked.
    pub(crate) fn inspect_recovered(&mut self, attempt: AttemptId, outcome: dunnage_exec::Outcome) {
        let Some(run) = self.core.graph(attempt.task.graph) else { return };
        let inspection = self.effects.inspection(run, self.metas.get(&attempt.task.graph), attempt, &outcome);
        let (event, lost) = super::outcome::judge(&inspection, &outcome);
        for task in lost {
            self.handle_quietly(Event::ValueLost { task: attempt.task.graph.task(task) });
        }
        self.handle_quietly(event);
        self.claims_now.push(Claimed { attempt, has_log: true });
        let rows = self.effects.pack_log(attempt);
        self.writes.extend(rows.into_iter().map(Write::Log));
    }

    /// Adds a change to the next batch.
    pub(crate) fn write(&mut self, write: Write) {
        self.writes.push(write);
    }

    /// Writes down that a graph has ended, where the last daemon did not come to it.
    pub(crate) fn note_end(&mut self, graph: GraphId) {
        let Some(run) = self.core.graph(graph) else { return };
        let Some(state) = run.ended else { return };
        let row = views::queue_row(run, self.core.strategy_of(run), &self.clock);
        let summary = serde_json::to_string(&row).unwrap_or_default();
        let end = Ended { state, at: run.ended_at.unwrap_or_default(), summary };
        self.writes.push(Write::Ended { graph, end });
        self.ended.push_back(graph);
    }

    /// Sends what was gathered to the journal.
    fn flush(&mut self) {
        let decisions = std::mem::take(&mut self.decisions);
        if self.facts.is_empty() && self.writes.is_empty() {
            if !decisions.is_empty() {
                self.carry_out(decisions);
            }
        } else {
            // Rows of graphs come before the facts about them, and ends after.
            let (before, after): (Vec<Write>, Vec<Write>) = std::mem::take(&mut self.writes)
                .into_iter()
                .partition(|write| matches!(write, Write::Graph(_)));
            let mut writes = before;
            for (graph, facts) in std::mem::take(&mut self.facts) {
                let body = encode_facts(&facts);
                if facts.iter().all(|fact| matches!(fact.event, Event::Submitted(_))) {
                    continue;
                }
                writes.push(Write::Facts { graph, seq: self.next_seq, body });
                self.next_seq += 1;
            }
            writes.extend(after);
            let Some(number) = self.commit(writes, Class::Fact) else { return };
            self.claims
                .extend(std::mem::take(&mut self.claims_now).into_iter().map(|claimed| (number, claimed)));
            self.carry_out(decisions);
        }
        if !self.answers.is_empty() {
            let answers = std::mem::take(&mut self.answers);
            if let Some(number) = self.commit(Vec::new(), Class::Request) {
                self.held_answers.push_back((number, answers));
            } else {
                self.refuse(answers);
            }
        }
    }

    /// Commits a batch; the number by which its sync is told. None when the journal failed.
    fn commit(&mut self, writes: Vec<Write>, class: Class) -> Option<u64> {
        let number = self.next_batch;
        self.next_batch += 1;
        match self.journal.commit(&Batch { number, writes, class }) {
            Ok(()) => Some(number),
            Err(error) => {
                self.journal_failed(error.in_full().into());
                None
            }
        }
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Committed { number } => {
                while self.held_answers.front().is_some_and(|(held, _)| *held <= number) {
                    for answer in
                        self.held_answers.pop_front().map(|(_, answers)| answers).unwrap_or_default()
                    {
                        answer(Ok(()));
                    }
                }
            }
            Notice::Synced { up_to } => {
                while self.claims.front().is_some_and(|(number, _)| *number <= up_to) {
                    if let Some((_, claimed)) = self.claims.pop_front() {
                        remove_claim(&self.engine, &self.effects, claimed);
                    }
                }
            }
            Notice::Failed { error, .. } | Notice::SyncFailed { error, .. } => self.journal_failed(error),
        }
    }

    /// Nothing is accepted and nothing starts any more; what runs goes on, and its exit records stay for
    /// the next start.
    fn journal_failed(&mut self, error: Arc<str>) {
        if self.broken.is_none() {
            eprintln!("dunnage: the journal cannot be written, nothing more is accepted: {error}");
            self.broken = Some(Arc::clone(&error));
        }
        for (_, answers) in std::mem::take(&mut self.held_answers) {
            self.refuse(answers);
        }
        let answers = std::mem::take(&mut self.answers);
        self.refuse(answers);
        for (_, waiters) in std::mem::take(&mut self.waiters) {
            for waiter in waiters {
                drop(waiter.send(Err(Refused::Broken(error.to_string()))));
            }
        }
    }

    fn refuse(&self, answers: Vec<Answer>) {
        let why = self.broken.as_ref().map_or_else(String::new, ToString::to_string);
        for answer in answers {
            answer(Err(Refused::Broken(why.clone())));
        }
    }

    fn carry_out(&mut self, decisions: Vec<Decision>) {
        if self.broken.is_some() {
            return;
        }
        let mut starts = Vec::new();
        for decision in decisions {
            match decision {
                Decision::Start { attempt, placement } => match self.spec(attempt, &placement) {
                    Some(Ok(spec)) => starts.push(spec),
                    Some(Err(why)) => {
                        let failure = Box::new(Failure::new(Cause::SpawnFailed, why));
                        self.handle(Event::Failed { attempt, failure, usage: Usage::default() });
                    }
                    None => {}
                },
                Decision::Kill { attempt, .. } => {
                    // A start in the same batch must reach the engine before its end.
                    self.effects.submit(&mut self.engine, std::mem::take(&mut starts));
                    self.effects.kill(&mut self.engine, &self.core, attempt);
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
        self.effects.submit(&mut self.engine, starts);
    }

    /// Forgets the oldest ended graphs; the journal has them.
    fn put_away(&mut self) {
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

    fn plan(&mut self, graph: GraphId, revision: u32) {
        let Some(problem) = self.core.plan_problem(graph) else { return };
        let Some(run) = self.core.graph(graph) else { return };
        let Some(planner) = dunnage_strategies::planner(self.core.strategy_of(run)) else { return };
        let sender = self.sender.clone();
        tokio::task::spawn_blocking(move || {
            let plan = Arc::new(planner.plan(&problem));
            drop(sender.send(Input::Planned { graph, revision, plan }));
        });
    }

    fn engine_event(&mut self, event: EngineEvent) {
        match event {
            EngineEvent::Started { attempt, pid } => {
                self.pids.insert(attempt, pid);
                let at = self.clock.now();
                let is_kernel = self.core.graph(attempt.task.graph).is_some_and(|run| {
                    matches!(run.graph.function(attempt.task.index).code, Code::Kernel { .. })
                });
                if is_kernel {
                    // Kernels do not outlive the daemon, so nobody asks later when they began.
                    let mut decisions = Vec::new();
                    self.core.handle(at, Event::Started { attempt }, &mut decisions);
                    self.gather(at, decisions);
                } else {
                    self.handle_at(at, Event::Started { attempt });
                }
            }
            EngineEvent::Ended { attempt, outcome } => self.inspect(attempt, *outcome),
            EngineEvent::NeverStarted { attempt } => {
                self.forget_attempt(attempt);
                // The claim that fenced it off has done its work once the fact is on disk.
                self.claims_now.push(Claimed { attempt, has_log: false });
                self.handle(Event::NeverStarted { attempt });
            }
            EngineEvent::Lost { attempt } => {
                self.forget_attempt(attempt);
                let failure =
                    Box::new(Failure::new(Cause::WorkerDied, "its worker was ended with another call"));
                self.handle(Event::Failed { attempt, failure, usage: Usage::default() });
            }
            EngineEvent::LauncherLost { pid } => {
                eprintln!("dunnage: the launcher (process {pid}) is gone; what it had started is watched");
            }
            EngineEvent::LauncherUnavailable { why } => {
                eprintln!("dunnage: no launcher can be started, so no command can: {why}");
            }
        }
    }

    /// Looks at what an ended attempt left behind: at once where that is quick, beside the loop where
    /// something must be synced to disk.
    fn inspect(&mut self, attempt: AttemptId, outcome: dunnage_exec::Outcome) {
        let Some(run) = self.core.graph(attempt.task.graph) else {
            // Of a graph that was put away: nothing depends on it any more.
            drop(self.engine.claims().remove(attempt));
            return;
        };
        let inspection = self.effects.inspection(run, self.metas.get(&attempt.task.graph), attempt, &outcome);
        // A log of nothing was removed by its shim; of one that died nothing is known.
        let has_log = outcome.log_bytes > 0 || matches!(outcome.ending, dunnage_exec::Ending::ShimDied);
        if inspection.outputs.iter().any(|(_, _, durable)| *durable) && outcome.is_success() {
            self.effects.inspecting += 1;
            let sender = self.sender.clone();
            tokio::task::spawn_blocking(move || {
                let (event, lost) = super::outcome::judge(&inspection, &outcome);
                drop(sender.send(Input::Judged { attempt, event: Box::new(event), lost, has_log }));
            });
        } else {
            self.effects.inspecting += 1;
            let (event, lost) = super::outcome::judge(&inspection, &outcome);
            self.judged(attempt, event, &lost, has_log);
        }
    }

    fn judged(&mut self, attempt: AttemptId, event: Event, lost: &[u32], has_log: bool) {
        self.effects.inspecting = self.effects.inspecting.saturating_sub(1);
        for task in lost {
            self.handle(Event::ValueLost { task: attempt.task.graph.task(*task) });
        }
        for (name, value) in self.effects.reports(attempt) {
            self.handle(Event::Reported { task: attempt.task, name, value });
        }
        self.forget_attempt(attempt);
        self.handle(event);
        let is_command = self
            .core
            .graph(attempt.task.graph)
            .is_some_and(|run| matches!(run.graph.function(attempt.task.index).code, Code::Command(_)));
        if is_command {
            self.claims_now.push(Claimed { attempt, has_log });
            if has_log {
                let rows = self.effects.pack_log(attempt);
                self.writes.extend(rows.into_iter().map(Write::Log));
            }
        }
    }

    fn forget_attempt(&mut self, attempt: AttemptId) {
        // Nobody listening is fine.
        let _ = self.ended_attempts.send(attempt);
        self.pids.remove(&attempt);
        self.gpu_used.remove(&attempt);
    }

    fn sampled(&mut self, samples: Vec<dunnage_model::DeviceSample>, node: Option<dunnage_model::NodeSpec>) {
        if let Some(node) = node {
            self.handle(Event::NodeSeen(Arc::new(node)));
        }
        let roots: BTreeMap<u32, AttemptId> =
            self.pids.iter().map(|(attempt, pid)| (*pid, *attempt)).collect();
        let mut used: BTreeMap<AttemptId, Vec<(DeviceId, Bytes)>> = BTreeMap::new();
        for sample in samples {
            let reserved = self
                .core
                .ledger()
                .gpu(sample.device)
                .map_or(Bytes::ZERO, |(gpu, _)| Bytes(gpu.memory_held.max(0) as u64));
            for process in &sample.processes {
                if let Some(attempt) = crate::tree::owner_of(process.pid, &roots)
                    && let Some(memory) = process.memory
                {
                    let list = used.entry(attempt).or_default();
                    match list.iter_mut().find(|(device, _)| *device == sample.device) {
                        Some((_, sum)) => *sum = sum.saturating_add(memory),
                        None => list.push((sample.device, memory)),
                    }
                }
            }
            let own = std::process::id();
            let ours = |pid: u32| pid == own || crate::tree::owner_of(pid, &roots).is_some();
            let foreign =
                dunnage_devices::foreign_memory(&sample, &ours, reserved, self.options.ignore_foreign_below)
                    .unwrap_or_default();
            self.handle(Event::DeviceSampled { sample: Box::new(sample), foreign });
        }
        self.gpu_used = used;
    }

    fn spec(
        &mut self,
        attempt: AttemptId,
        placement: &dunnage_model::Placement,
    ) -> Option<Result<dunnage_exec::AttemptSpec, String>> {
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

    fn command(&mut self, command: Command) {
        match command {
            Command::Submit { new, reply } => self.submit(*new, reply),
            Command::Queue { reply } => {
                let rows = self.queue_rows();
                drop(reply.send(rows));
            }
            Command::Status { id, reply } => {
                let doc = self.with_run(id, |shell, run| {
                    Box::new(views::status(run, &shell.core, &shell.effects.values, &shell.clock))
                });
                drop(reply.send(doc));
            }
            Command::Wait { id, reply } => match self.core.graph(id) {
                Some(run) if run.ended.is_none() => self.waiters.entry(id).or_default().push(reply),
                Some(_) => drop(reply.send(Ok(()))),
                None => {
                    let known = self.history.graph(id).ok().flatten().is_some();
                    drop(reply.send(if known { Ok(()) } else { Err(no_graph(id)) }));
                }
            },
            Command::Cancel { id, function, by, reply } => {
                self.change(id, by, reply, |shell| {
                    let task = shell.task_of(id, function.as_deref())?;
                    shell.handle(Event::Cancelled { graph: id, task });
                    Ok(())
                });
            }
            Command::Hold { id, by, reply } => self.change(id, by, reply, |shell| {
                shell.handle(Event::HeldBack { graph: id });
                Ok(())
            }),
            Command::Release { id, by, reply } => self.change(id, by, reply, |shell| {
                shell.handle(Event::Released { graph: id });
                Ok(())
            }),
            Command::Retry { id, function, by, reply } => {
                if let Err(refused) = self.reload(id) {
                    drop(reply.send(Err(refused)));
                    return;
                }
                self.change(id, by, reply, |shell| {
                    let task = shell.task_of(id, function.as_deref())?;
                    let was_ended = shell.core.graph(id).is_some_and(|run| run.ended.is_some());
                    if was_ended {
                        shell.writes.push(Write::Reopened { graph: id });
                    }
                    shell.handle(Event::Retried { graph: id, task });
                    Ok(())
                });
            }
            Command::Explain { id, function, reply } => {
                let doc = self.explain(id, &function);
                drop(reply.send(doc));
            }
            Command::Log { id, function, attempt, by, reply } => {
                let parts = self.log_parts(id, function.as_deref(), attempt, by);
                drop(reply.send(parts));
            }
            Command::LogChunk { attempt, offset, reply } => {
                let chunk = self.log_chunk(attempt, offset);
                drop(reply.send(chunk));
            }
            Command::Progress { id, reply } => {
                let doc = self.with_run(id, |shell, run| {
                    let mut doc = views::progress(run, &shell.core, &shell.clock);
                    doc.reason = shell.reason(run);
                    Box::new(doc)
                });
                drop(reply.send(doc));
            }
            Command::Devices { reply } => {
                let doc = views::devices(self.core.ledger(), &self.options.notes);
                drop(reply.send(Ok(Box::new(doc))));
            }
            Command::Drain { device, drain, reply } => {
                let found = self.core.ledger().nodes().flat_map(|node| &node.spec.gpus).find(|gpu| {
                    gpu.device.to_string() == device
                        || gpu.uuid == device
                        || gpu.driver_index.to_string() == device
                });
                let answer = match found.map(|gpu| gpu.device) {
                    None => {
                        Err(Refused::NotFound(format!("there is no GPU `{device}`: see `dunnage devices`")))
                    }
                    Some(device) => {
                        self.core.set_drained(device, drain);
                        self.handle(Event::TimerFired);
                        Ok(())
                    }
                };
                drop(reply.send(answer));
            }
            Command::Snapshot { reply } => {
                if self.core.ledger().nodes().all(|node| node.gpus.is_empty()) {
                    self.look();
                }
                let mut snapshot = self.core.snapshot();
                for row in &mut snapshot.running {
                    row.gpu_memory_used = self.gpu_used.get(&row.attempt).cloned().unwrap_or_default();
                }
                drop(reply.send(Ok(Arc::new(snapshot))));
            }
            Command::LauncherPid { reply } => {
                let ask = self.engine.launcher_pid();
                tokio::spawn(async move { drop(reply.send(Ok(ask.await))) });
            }
        }
    }

    /// A change of a graph by its owner, answered when it is synced.
    fn change(
        &mut self,
        id: GraphId,
        by: Owner,
        reply: Reply<()>,
        change: impl FnOnce(&mut Self) -> Result<(), Refused>,
    ) {
        let allowed = self.may_change(id, by);
        match allowed.and_then(|()| change(self)) {
            Ok(()) => self.answers.push(Box::new(move |result| drop(reply.send(result)))),
            Err(refused) => drop(reply.send(Err(refused))),
        }
    }

    fn may_change(&self, id: GraphId, by: Owner) -> Result<(), Refused> {
        if let Some(broken) = &self.broken {
            return Err(Refused::Broken(broken.to_string()));
        }
        let run = self.core.graph(id).ok_or_else(|| no_graph(id))?;
        let ours = Owner(rustix::process::geteuid().as_raw());
        if by == run.owner || by == Owner(0) || by == ours {
            Ok(())
        } else {
            Err(Refused::Forbidden(format!("graph {id} belongs to user {}", run.owner.0)))
        }
    }

    fn task_of(&self, id: GraphId, function: Option<&str>) -> Result<Option<u32>, Refused> {
        let Some(name) = function else { return Ok(None) };
        let run = self.core.graph(id).ok_or_else(|| no_graph(id))?;
        run.graph.find(name).map(Some).ok_or_else(|| no_function(run, name))
    }

    fn submit(&mut self, new: NewGraph, reply: Reply<GraphId>) {
        if let Some(broken) = &self.broken {
            drop(reply.send(Err(Refused::Broken(broken.to_string()))));
            return;
        }
        if let Err(crate::accept::Rejected::Refused(problems) | crate::accept::Rejected::Invalid(problems)) =
            crate::accept::check_machine(&new.graph, self.core.ledger())
        {
            drop(reply.send(Err(Refused::Impossible(problems))));
            return;
        }
        let id = GraphId(new.id.unwrap_or(self.next_graph));
        self.next_graph = self.next_graph.max(id.0) + 1;
        let wall = self.clock.wall_us();
        let row = GraphRow {
            id,
            owner: new.owner,
            name: new.graph.name.clone(),
            dir: new.dir,
            environment: new.environment,
            strategy: new.graph.settings.strategy.clone(),
            functions: u64::from(new.graph.len()),
            submitted_at: self.clock.now(),
            submitted_wall_us: wall,
            seed: seed(id, &self.options.token),
            held: new.held,
            sealed: true,
            trace: new.trace,
            extra: None,
            spec: new.json,
        };
        match self.meta(&row) {
            Ok(meta) => self.metas.insert(id, meta),
            Err(refused) => {
                drop(reply.send(Err(refused)));
                return;
            }
        };
        self.locks.want(&new.graph);
        self.locks.keep(&mut self.core);
        let submission = submission(&row, new.graph);
        let at = row.submitted_at;
        self.writes.push(Write::Graph(Box::new(row)));
        self.handle_at(at, Event::Submitted(Box::new(submission)));
        self.prepare(id);
        self.answers.push(Box::new(move |result| drop(reply.send(result.map(|()| id)))));
    }

    /// Makes the folders for a graph's values. Where that fails, its attempts fail and say so.
    pub(crate) fn prepare(&self, id: GraphId) {
        if let (Some(run), Some(meta)) = (self.core.graph(id), self.metas.get(&id))
            && let Err(why) = self.effects.prepare(run, meta)
        {
            eprintln!("dunnage: {why}");
        }
    }

    /// What the shell keeps of a graph.
    pub(crate) fn meta(&mut self, row: &GraphRow) -> Result<Meta, Refused> {
        let vars = match &row.environment {
            None => Vec::new(),
            Some(name) => match self.environments.get(name) {
                Ok(Some(vars)) => vars,
                Ok(None) => {
                    return Err(Refused::Conflict(format!(
                        "the environment `{name}` is not known: send it first"
                    )));
                }
                Err(error) => return Err(Refused::Broken(error.in_full())),
            },
        };
        let me = rustix::process::geteuid().as_raw();
        let user = if row.owner.0 == me {
            None
        } else {
            let user = dunnage_exec::user::lookup(row.owner.0);
            if user.is_none() {
                return Err(Refused::Forbidden(format!("there is no user {} on this machine", row.owner.0)));
            }
            user
        };
        Ok(Meta { dir: row.dir.clone(), base: EnvBase::new(vars), user, trace: row.trace.clone() })
    }

    fn queue_rows(&mut self) -> Result<Vec<dunnage_wire::api::QueueRow>, Refused> {
        let mut rows: BTreeMap<GraphId, dunnage_wire::api::QueueRow> = BTreeMap::new();
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
    fn reason(&self, run: &GraphRun) -> Option<String> {
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
    fn reload(&mut self, id: GraphId) -> Result<(), Refused> {
        // Replaying sets the core's time back; the next event sets it right again.
        if self.core.graph(id).is_some() {
            return Ok(());
        }
        let broken = |error: dunnage_store::StoreError| Refused::Broken(error.in_full());
        let (row, _) = self.history.graph(id).map_err(broken)?.ok_or_else(|| no_graph(id))?;
        let facts = self.history.facts_of(id, 0).map_err(broken)?;
        let meta = self.meta(&row)?;
        super::recovery::replay(&mut self.core, row, &facts).map_err(Refused::Conflict)?;
        self.metas.insert(id, meta);
        self.ended.push_back(id);
        Ok(())
    }

    fn explain(
        &mut self,
        id: GraphId,
        function: &str,
    ) -> Result<Box<dunnage_wire::api::ExplainDoc>, Refused> {
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
    fn past(&mut self, id: GraphId) -> Result<Scheduler, Refused> {
        let broken = |error: dunnage_store::StoreError| Refused::Broken(error.in_full());
        let (row, _) = self.history.graph(id).map_err(broken)?.ok_or_else(|| no_graph(id))?;
        let facts = self.history.facts_of(id, 0).map_err(broken)?;
        let mut past = Scheduler::new(dunnage_strategies::strategies());
        super::recovery::replay(&mut past, row, &facts).map_err(Refused::Conflict)?;
        Ok(past)
    }

    /// A piece of a log: of one that still grows, else of one that was packed.
    fn log_chunk(
        &mut self,
        attempt: AttemptId,
        offset: u64,
    ) -> Result<dunnage_exec::logs::LogChunk, Refused> {
        let broken = |error: dunnage_store::StoreError| Refused::Broken(error.in_full());
        let rows = self.history.logs_of(attempt).map_err(broken)?;
        if rows.is_empty() {
            return self
                .effects
                .logs
                .read(attempt, offset, LOG_CHUNK)
                .map_err(|error| Refused::Broken(format!("cannot read the log of {attempt}: {error}")));
        }
        let cut = rows.first().map_or(0, |row| row.truncated);
        let total = cut + rows.iter().map(|row| u64::from(row.place.length)).sum::<u64>();
        let offset = offset.clamp(cut, total);
        let mut begin = cut;
        for row in rows {
            let length = u64::from(row.place.length);
            if offset < begin + length {
                let mut bytes = self.effects.segments.read(row.place).map_err(broken)?;
                bytes.drain(..((offset - begin) as usize).min(bytes.len()));
                bytes.truncate(LOG_CHUNK);
                return Ok(dunnage_exec::logs::LogChunk { offset, bytes, total, cut });
            }
            begin += length;
        }
        Ok(dunnage_exec::logs::LogChunk { offset, bytes: Vec::new(), total, cut })
    }

    fn log_parts(
        &mut self,
        id: GraphId,
        function: Option<&str>,
        attempt: Option<u32>,
        by: Owner,
    ) -> Result<Vec<super::LogPart>, Refused> {
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
                    (number > 0 && number <= last).then(|| super::LogPart {
                        function: run.graph.task_name(task),
                        attempt: id.task(task).attempt(dunnage_model::Attempt(number)),
                        running: number == last && matches!(slot.state, TaskState::Running(_)),
                    })
                })
                .collect())
        })?
    }
}

fn remove_claim(engine: &LocalEngine, effects: &Effects, claimed: Claimed) {
    drop(engine.claims().remove(claimed.attempt));
    if claimed.has_log {
        // It lies in a segment now.
        drop(std::fs::remove_file(effects.log_path(claimed.attempt)));
    }
}

async fn sleep(pause: Option<Duration>) {
    if let Some(pause) = pause {
        tokio::time::sleep(pause).await;
    }
}

/// A graph as it was accepted, as an event.
pub(crate) fn submission(row: &GraphRow, graph: Arc<dunnage_model::Graph>) -> Submission {
    Submission {
        id: row.id,
        graph,
        owner: row.owner,
        seed: row.seed,
        held: row.held,
        sealed: row.sealed,
        trace: row.trace.as_deref().map(Into::into),
    }
}

pub(crate) fn no_graph(id: GraphId) -> Refused {
    Refused::NotFound(format!("there is no graph {id}: `dunnage queue` lists them"))
}

fn no_function(run: &GraphRun, name: &str) -> Refused {
    let near =
        dunnage_model::nearest(name, run.graph.functions().iter().map(|function| function.id.as_str()));
    Refused::NotFound(match near {
        Some(near) => format!("graph {} has no function `{name}`: did you mean `{near}`?", run.id),
        None => format!("graph {} has no function `{name}`: `dunnage status {}` lists them", run.id, run.id),
    })
}

/// Where the random choices of a graph begin: the same for a graph of the same store, and written down
/// with it.
fn seed(id: GraphId, token: &str) -> u64 {
    token.bytes().fold(id.0 ^ 0x9e37_79b9_7f4a_7c15, |seed, byte| {
        (seed ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
