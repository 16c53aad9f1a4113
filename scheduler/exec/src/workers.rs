//! The pool of kernel workers: long-lived processes that save a process start for each small call.
//!
//! - Calls of a core or more go one at a time to a worker that does nothing else.
//! - Calls of no core go in batches to any worker, up to [`WINDOW`] under way in each.
//! - Workers are started on demand and end after a while without calls.
//! - A running call is cancelled by killing its worker. Kernels are pure: the other calls of that worker
//!   are reported as lost and run again.
//! - When a worker dies by itself, the oldest open call is the one that it was running and is reported
//!   as [`Ending::WorkerDied`]; the others are lost.

use crate::engine::{Ending, EngineEvent, Outcome, WorkerKey};
use crate::frame::{self, Blob, FrameReader, MAX_FRAME};
use crate::shim::micros;
use dunnage_model::AttemptId;
use rustix::time::ClockId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

/// How many small calls may be under way in one worker: enough to hide the round trip, few enough that
/// another worker gets its share and that little is lost with one.
pub const WINDOW: usize = 256;

#[derive(Serialize, Deserialize)]
pub(crate) struct WireCall {
    #[serde(rename = "n")]
    pub(crate) number: u64,
    #[serde(rename = "p")]
    pub(crate) payload: Blob,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct WireResult {
    #[serde(rename = "n")]
    pub(crate) number: u64,
    #[serde(rename = "o")]
    pub(crate) ok: bool,
    #[serde(rename = "p")]
    pub(crate) payload: Blob,
    #[serde(rename = "c")]
    pub(crate) cpu_us: u64,
}

/// How a pool is set up.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// The program whose `__worker` is started.
    pub exe: PathBuf,
    /// Workers for the cores at most; small calls may have one more.
    pub max_workers: usize,
    /// How long a worker without calls stays.
    pub idle: Duration,
}

/// A kernel call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which attempt.
    pub id: AttemptId,
    /// What the worker is told.
    pub payload: Vec<u8>,
    /// Which workers may take it.
    pub worker: WorkerKey,
    /// Whether its worker must do nothing else meanwhile.
    pub alone: bool,
}

/// The pool. Events go where those of the engine go.
#[derive(Clone, Debug)]
pub struct WorkerPool {
    orders: mpsc::UnboundedSender<Order>,
}

#[derive(Debug)]
enum Order {
    Submit(Vec<Call>),
    Cancel(AttemptId),
    Pids(tokio::sync::oneshot::Sender<Vec<u32>>),
}

impl WorkerPool {
    /// Makes a pool; call it within a tokio runtime. Workers are started when there is work.
    pub fn new(config: PoolConfig, events: mpsc::UnboundedSender<EngineEvent>) -> Self {
        let (orders, receiver) = mpsc::unbounded_channel();
        let (heard, hearing) = mpsc::unbounded_channel();
        let keeper = Keeper {
            config,
            events,
            heard,
            groups: BTreeMap::new(),
            workers: HashMap::new(),
            places: HashMap::new(),
            next_worker: 0,
            next_call: 0,
        };
        tokio::spawn(keeper.run(receiver, hearing));
        Self { orders }
    }

    /// Runs these calls.
    pub fn submit(&self, calls: Vec<Call>) {
        let _ = self.orders.send(Order::Submit(calls));
    }

    /// Ends a call if it is here.
    pub fn cancel(&self, attempt: AttemptId) {
        let _ = self.orders.send(Order::Cancel(attempt));
    }

    /// The process ids of the workers that live now.
    pub async fn pids(&self) -> Vec<u32> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        let _ = self.orders.send(Order::Pids(reply));
        answer.await.unwrap_or_default()
    }
}

#[derive(Default)]
struct Group {
    alone: VecDeque<Call>,
    small: VecDeque<Call>,
    workers: Vec<u64>,
}

struct Worker {
    key: WorkerKey,
    child: Child,
    outgoing: mpsc::UnboundedSender<Vec<u8>>,
    /// By number, so that the first is the oldest: the one that runs.
    calls: BTreeMap<u64, Open>,
    alone: bool,
    idle_since: Instant,
}

struct Open {
    id: AttemptId,
    since_boot_us: u64,
    since_wall_us: u64,
}

#[derive(Clone, Copy)]
enum Place {
    Queued,
    In(u64, u64),
}

enum Heard {
    Results(u64, Vec<WireResult>),
    Gone(u64),
}

struct Keeper {
    config: PoolConfig,
    events: mpsc::UnboundedSender<EngineEvent>,
    heard: mpsc::UnboundedSender<Heard>,
    groups: BTreeMap<WorkerKey, Group>,
    workers: HashMap<u64, Worker>,
    places: HashMap<AttemptId, Place>,
    next_worker: u64,
    next_call: u64,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It ends by itself when its socket closes; this is for one that is stuck in a kernel.
        let _ = self.child.kill();
        let _ = self.child.try_wait();
    }
}

impl Keeper {
    async fn run(
        mut self,
        mut orders: mpsc::UnboundedReceiver<Order>,
        mut hearing: mpsc::UnboundedReceiver<Heard>,
    ) {
        loop {
            let deadline = self.next_idle_end();
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(order),
                    // The pool was dropped: workers end with their sockets.
                    None => return,
                },
                Some(heard) = hearing.recv() => self.hear(heard),
                () = sleep_until(deadline), if deadline.is_some() => self.end_idle(),
            }
        }
    }

    fn tell(&self, event: EngineEvent) {
        let _ = self.events.send(event);
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Submit(calls) => {
                let mut touched: Vec<WorkerKey> = Vec::new();
                for call in calls {
                    self.places.insert(call.id, Place::Queued);
                    if touched.last() != Some(&call.worker) {
                        touched.push(call.worker.clone());
                    }
                    let group = self.groups.entry(call.worker.clone()).or_default();
                    if call.alone { group.alone.push_back(call) } else { group.small.push_back(call) }
                }
                touched.sort_unstable();
                touched.dedup();
                for key in touched {
                    self.dispatch(&key);
                }
            }
            Order::Cancel(attempt) => self.cancel(attempt),
            Order::Pids(reply) => {
                let mut pids: Vec<u32> = self.workers.values().map(|worker| worker.child.id()).collect();
                pids.sort_unstable();
                let _ = reply.send(pids);
            }
        }
    }

    fn cancel(&mut self, attempt: AttemptId) {
        let Some(place) = self.places.remove(&attempt) else { return };
        let mut outcome = Outcome::bare(Ending::Signalled { signal: libc::SIGKILL });
        outcome.cancelled = true;
        match place {
            Place::Queued => {
                for group in self.groups.values_mut() {
                    group.alone.retain(|call| call.id != attempt);
                    group.small.retain(|call| call.id != attempt);
                }
            }
            Place::In(worker, number) => {
                if let Some(row) = self.workers.get_mut(&worker)
                    && let Some(open) = row.calls.remove(&number)
                {
                    outcome.started_boot_us = open.since_boot_us;
                    outcome.started_wall_us = open.since_wall_us;
                    outcome.ended_boot_us = micros(ClockId::Boottime);
                    let _ = row.child.kill();
                    self.bury(worker, false);
                }
            }
        }
        self.tell(EngineEvent::Ended { attempt, outcome: Box::new(outcome) });
    }

    /// Sends out what can be sent out.
    fn dispatch(&mut self, key: &WorkerKey) {
        let most = if key.device.is_some() { 1 } else { self.config.max_workers };
        loop {
            let Some(group) = self.groups.get_mut(key) else { return };
            if group.alone.is_empty() {
                break;
            }
            let free = group
                .workers
                .iter()
                .copied()
                .find(|n| self.workers.get(n).is_some_and(|w| w.calls.is_empty()));
            let worker = match free {
                Some(worker) => worker,
                None if group.workers.len() < most => match self.start(key) {
                    Some(worker) => worker,
                    None => return,
                },
                None => break,
            };
            let Some(call) = self.groups.get_mut(key).and_then(|group| group.alone.pop_front()) else {
                break;
            };
            if let Some(row) = self.workers.get_mut(&worker) {
                row.alone = true;
            }
            self.send(worker, vec![call]);
        }
        loop {
            let Some(group) = self.groups.get_mut(key) else { return };
            if group.small.is_empty() {
                return;
            }
            let room = |n: &u64| {
                self.workers.get(n).filter(|w| !w.alone).map_or(0, |w| WINDOW - w.calls.len().min(WINDOW))
            };
            let best = group.workers.iter().copied().max_by_key(|n| room(n)).filter(|n| room(n) > 0);
            let spare = if key.device.is_some() { most } else { most + 1 };
            // A second worker only when the first has its hands full: starting one costs more than many calls.
            let worker = match best {
                Some(worker) => worker,
                None if group.workers.len() < spare => match self.start(key) {
                    Some(worker) => worker,
                    None => return,
                },
                None => return,
            };
            let mut count = WINDOW - self.workers.get(&worker).map_or(WINDOW, |w| w.calls.len().min(WINDOW));
            let Some(group) = self.groups.get_mut(key) else { return };
            let mut batch = Vec::new();
            let mut size = 0;
            while count > 0
                && let Some(call) = group.small.front()
                && (batch.is_empty() || size + call.payload.len() < MAX_FRAME / 4)
            {
                size += call.payload.len() + 32;
                count -= 1;
                batch.extend(group.small.pop_front());
            }
            if batch.is_empty() {
                return;
            }
            self.send(worker, batch);
        }
    }

    fn send(&mut self, worker: u64, batch: Vec<Call>) {
        let (since_boot_us, since_wall_us) = (micros(ClockId::Boottime), micros(ClockId::Realtime));
        let Some(row) = self.workers.get_mut(&worker) else { return };
        let pid = row.child.id();
        let mut wire = Vec::with_capacity(batch.len());
        let mut ids = Vec::with_capacity(batch.len());
        for call in batch {
            self.next_call += 1;
            row.calls.insert(self.next_call, Open { id: call.id, since_boot_us, since_wall_us });
            self.places.insert(call.id, Place::In(worker, self.next_call));
            wire.push(WireCall { number: self.next_call, payload: Blob(call.payload) });
            ids.push(call.id);
        }
        let mut out = Vec::new();
        if frame::encode(&wire, &mut out).is_err() {
            // Only a single call can be too large: a batch is kept far below the limit.
            for (call, attempt) in wire.iter().zip(ids) {
                if let Some(row) = self.workers.get_mut(&worker) {
                    row.calls.remove(&call.number);
                    row.alone = false;
                }
                self.places.remove(&attempt);
                let ending =
                    Ending::SpawnFailed { stage: crate::engine::SpawnStage::TooLarge, errno: libc::E2BIG };
                self.tell(EngineEvent::Ended { attempt, outcome: Box::new(Outcome::bare(ending)) });
            }
            return;
        }
        let _ = row.outgoing.send(out);
        for attempt in ids {
            self.tell(EngineEvent::Started { attempt, pid });
        }
    }

    /// Starts a worker. When that fails, everything queued for it has failed.
    fn start(&mut self, key: &WorkerKey) -> Option<u64> {
        let number = self.next_worker;
        self.next_worker += 1;
        match self.spawn(key, number) {
            Ok(worker) => {
                self.workers.insert(number, worker);
                self.groups.entry(key.clone()).or_default().workers.push(number);
                Some(number)
            }
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                let group = self.groups.get_mut(key)?;
                // With others alive the calls can wait for them.
                if group.workers.is_empty() {
                    for call in group.alone.drain(..).chain(group.small.drain(..)).collect::<Vec<_>>() {
                        self.places.remove(&call.id);
                        let ending = Ending::SpawnFailed { stage: crate::engine::SpawnStage::Process, errno };
                        self.tell(EngineEvent::Ended {
                            attempt: call.id,
                            outcome: Box::new(Outcome::bare(ending)),
                        });
                    }
                }
                None
            }
        }
    }

    fn spawn(&self, key: &WorkerKey, number: u64) -> io::Result<Worker> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let (incoming, writer) = UnixStream::from_std(ours)?.into_split();
        let child = Command::new(&self.config.exe)
            .arg("__worker")
            .envs(key.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()?;
        let (outgoing, waiting) = mpsc::unbounded_channel();
        tokio::spawn(listen(incoming, number, self.heard.clone()));
        tokio::spawn(speak(writer, waiting));
        Ok(Worker {
            key: key.clone(),
            child,
            outgoing,
            calls: BTreeMap::new(),
            alone: false,
            idle_since: Instant::now(),
        })
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Results(number, results) => {
                let ended_boot_us = micros(ClockId::Boottime);
                for WireResult { number: call, ok, payload, cpu_us } in results {
                    let Some(row) = self.workers.get_mut(&number) else { return };
                    let Some(open) = row.calls.remove(&call) else { continue };
                    if row.calls.is_empty() {
                        row.alone = false;
                        row.idle_since = Instant::now();
                    }
                    self.places.remove(&open.id);
                    let mut outcome = Outcome::bare(Ending::Returned { ok, payload });
                    outcome.cpu_us = Some(cpu_us);
                    outcome.started_boot_us = open.since_boot_us;
                    outcome.started_wall_us = open.since_wall_us;
                    outcome.ended_boot_us = ended_boot_us;
                    self.tell(EngineEvent::Ended { attempt: open.id, outcome: Box::new(outcome) });
                }
                if let Some(key) = self.workers.get(&number).map(|row| row.key.clone()) {
                    self.dispatch(&key);
                }
            }
            Heard::Gone(number) => self.bury(number, true),
        }
    }

    /// A worker is gone. `by_itself`: then its oldest call is to blame.
    fn bury(&mut self, number: u64, by_itself: bool) {
        let Some(mut row) = self.workers.remove(&number) else { return };
        if let Some(group) = self.groups.get_mut(&row.key) {
            group.workers.retain(|worker| *worker != number);
        }
        let status = end_of(&mut row.child);
        let calls = std::mem::take(&mut row.calls);
        for (index, open) in calls.into_values().enumerate() {
            self.places.remove(&open.id);
            if index == 0 && by_itself {
                use std::os::unix::process::ExitStatusExt;
                let mut outcome = Outcome::bare(Ending::WorkerDied {
                    signal: status.and_then(|status| status.signal()),
                    code: status.and_then(|status| status.code()),
                });
                outcome.started_boot_us = open.since_boot_us;
                outcome.started_wall_us = open.since_wall_us;
                outcome.ended_boot_us = micros(ClockId::Boottime);
                self.tell(EngineEvent::Ended { attempt: open.id, outcome: Box::new(outcome) });
            } else {
                self.tell(EngineEvent::Lost { attempt: open.id });
            }
        }
        self.dispatch(&row.key.clone());
    }

    fn next_idle_end(&self) -> Option<Instant> {
        self.workers
            .values()
            .filter(|row| row.calls.is_empty())
            .map(|row| row.idle_since + self.config.idle)
            .min()
    }

    fn end_idle(&mut self) {
        let now = Instant::now();
        let idle: Vec<u64> = self
            .workers
            .iter()
            .filter(|(_, row)| row.calls.is_empty() && row.idle_since + self.config.idle <= now)
            .map(|(number, _)| *number)
            .collect();
        for number in idle {
            if let Some(mut row) = self.workers.remove(&number) {
                if let Some(group) = self.groups.get_mut(&row.key) {
                    group.workers.retain(|worker| *worker != number);
                }
                let _ = row.child.kill();
                end_of(&mut row.child);
            }
        }
        self.groups.retain(|_, group| {
            !(group.workers.is_empty() && group.alone.is_empty() && group.small.is_empty())
        });
    }
}

/// Kills and reaps; the process has closed its socket or does nothing that is missed.
fn end_of(child: &mut Child) -> Option<ExitStatus> {
    // One that has ended already keeps its own status.
    if let Ok(Some(status)) = child.try_wait() {
        return Some(status);
    }
    let until = Instant::now() + Duration::from_millis(20);
    let mut killed = false;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Err(_) => return None,
            Ok(None) if !killed && Instant::now() >= until => {
                killed = true;
                let _ = child.kill();
            }
            Ok(None) if killed && Instant::now() >= until + Duration::from_millis(200) => return None,
            Ok(None) => std::thread::sleep(Duration::from_micros(200)),
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

async fn listen(mut incoming: OwnedReadHalf, worker: u64, heard: mpsc::UnboundedSender<Heard>) {
    let mut reader = FrameReader::default();
    let mut bytes = vec![0; 64 << 10];
    loop {
        match reader.next_message::<Vec<WireResult>>() {
            Ok(Some(results)) => {
                if heard.send(Heard::Results(worker, results)).is_err() {
                    return;
                }
                continue;
            }
            Ok(None) => {}
            Err(_) => break,
        }
        match incoming.read(&mut bytes).await {
            Ok(0) | Err(_) => break,
            Ok(count) => reader.push(&bytes[..count]),
        }
    }
    let _ = heard.send(Heard::Gone(worker));
}

/// A worker that has stopped reading must not stop the pool.
async fn speak(mut writer: OwnedWriteHalf, mut waiting: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(bytes) = waiting.recv().await {
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
