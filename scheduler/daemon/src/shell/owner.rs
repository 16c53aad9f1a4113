//! The owner of the state: takes one input at a time, lets the core decide, writes the facts, and
//! carries the decisions out once they are committed.
//!
//! Every batch of facts is committed by this very thread, which takes microseconds, and its decisions
//! follow at once. Only the answer to a request waits for the disk, which another thread syncs. So a task may start before its submission is on disk, but nobody was
//! told that it was accepted.

use super::effects::Effects;
use super::input::{Input, Refused, Reply};
use super::sampler::Sampler;
use super::{DeviceLocks, Keeper, Meta, views};
use dunnage_core::Scheduler;
use dunnage_devices::GpuEnv;
use dunnage_exec::LocalEngine;
use dunnage_model::{AttemptId, Bytes, Decision, DeviceId, Event, Fact, GraphId, Time};
use dunnage_store::{Batch, Class, Committer, Ended, EnvStore, History, Notice, StoreClock, Write};
use dunnage_wire::journal::encode_facts;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};

/// At most this many inputs are taken before what they led to is written.
const BATCH_MAX: usize = 512;

/// How often the logs of commands that have run for a while are copied to disk.
pub(super) const LOGS_EVERY: Duration = Duration::from_secs(1);

/// How often what was learned is written down.
const KEEP_EVERY: Duration = Duration::from_secs(3);

/// How a shell is set up.
#[derive(Clone, Debug)]
pub(crate) struct ShellOptions {
    /// Memory of strangers on a GPU below this much is let be.
    pub(crate) ignore_foreign_below: Bytes,
    /// How a task is told its GPUs.
    pub(crate) gpu_env: GpuEnv,
    /// Remarks of the device source.
    pub(crate) notes: Vec<String>,
    /// How often devices are looked at while there are GPUs.
    pub(crate) sample_every: Duration,
    /// The store's file, for readers beside the loop.
    pub(crate) journal: PathBuf,
    /// The store's token, by which processes of ours are known.
    pub(crate) token: String,
    /// Whether the devices are made up: then nothing real says how much RAM is free.
    pub(crate) made_up: bool,
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
    pub(super) facts: BTreeMap<GraphId, Vec<Fact>>,
    pub(super) writes: Vec<Write>,
    pub(super) decisions: Vec<Decision>,
    pub(super) answers: Vec<Answer>,
    pub(super) held_answers: VecDeque<(u64, Vec<Answer>)>,
    /// Claims that may go once the batch with this number is synced.
    pub(super) claims: VecDeque<(u64, Claimed)>,
    pub(crate) claims_now: Vec<Claimed>,
    pub(super) waiters: BTreeMap<GraphId, Vec<Reply<()>>>,
    pub(super) ended: VecDeque<GraphId>,
    pub(super) wake: Option<Time>,
    /// The first failure of the journal: nothing is accepted any more.
    pub(crate) broken: Option<Arc<str>>,
    /// The root of each running attempt's process tree.
    pub(crate) pids: BTreeMap<AttemptId, u32>,
    /// What each running attempt's processes use of GPUs.
    pub(crate) gpu_used: BTreeMap<AttemptId, Vec<(DeviceId, Bytes)>>,
    /// The most that each has used of one GPU.
    pub(super) gpu_peaks: BTreeMap<AttemptId, Bytes>,
    /// Keeps what is learned.
    pub(crate) keeper: Keeper,
    pub(super) stopping: Option<bool>,
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
    pub(crate) keeper: Keeper,
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
            keeper,
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
            gpu_peaks: BTreeMap::new(),
            keeper,
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
        let has_gpus = self.core.ledger().nodes().any(|node| !node.gpus.is_empty());
        let watch = self.sampler.is_some() && (has_gpus || !self.options.made_up);
        let mut tick = tokio::time::interval(self.options.sample_every.max(Duration::from_millis(10)));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut log_tick = tokio::time::interval(LOGS_EVERY);
        log_tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut keep_tick = tokio::time::interval(KEEP_EVERY);
        keep_tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
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
                _ = keep_tick.tick(), if self.core.estimates().has_changes() => {
                    self.keep_estimates();
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
                self.keep_estimates();
                self.engine.goodbye().await;
                let Self { broken, journal, engine, claims, effects, core, keeper, .. } = self;
                keeper.close();
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

    pub(super) fn is_done(&self) -> bool {
        let Some(kill) = self.stopping else { return false };
        let running = kill && self.core.ledger().holdings().len() > 0 && self.broken.is_none();
        !running && self.held_answers.is_empty() && !self.effects.is_busy()
    }

    pub(super) fn take(&mut self, input: Input) {
        match input {
            Input::Command(command) => self.command(command),
            Input::Engine(event) => self.engine_event(event),
            Input::Judged { attempt, event, lost, has_log } => self.judged(attempt, *event, &lost, has_log),
            Input::Notice(notice) => self.notice(notice),
            Input::Planned { graph, revision, plan } => self.handle(Event::Planned { graph, revision, plan }),
            Input::Sampled { samples, node, trees } => self.sampled(samples, node, &trees),
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

    pub(super) fn handle_at(&mut self, at: Time, event: Event) {
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
    pub(super) fn flush(&mut self) {
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
    pub(super) fn commit(&mut self, writes: Vec<Write>, class: Class) -> Option<u64> {
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

    pub(super) fn notice(&mut self, notice: Notice) {
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
    pub(super) fn journal_failed(&mut self, error: Arc<str>) {
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

    pub(super) fn refuse(&self, answers: Vec<Answer>) {
        let why = self.broken.as_ref().map_or_else(String::new, ToString::to_string);
        for answer in answers {
            answer(Err(Refused::Broken(why.clone())));
        }
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
