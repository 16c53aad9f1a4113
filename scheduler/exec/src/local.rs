//! The local engine, on the daemon's side: one task that owns the connection to the launcher.
//!
//! - Commands go to the launcher, kernels to the [`WorkerPool`].
//! - The launcher is found or started with the first command.
//! - When it is lost, what it had started lives on: each shim is watched by a pidfd and its exit
//!   record read from its claim; what had not started is fenced off and reported as never started.
//! - After a restart of the daemon, [`LocalEngine::recover`] says what became of every open attempt.

use crate::cgroup;
use crate::claims::{self, ClaimState, Claims, TokenState};
use crate::engine::{
    AttemptSpec, Ending, Engine, EngineCaps, EngineEvent, EnvRef, MemoryControl, Outcome, SpawnStage, Work,
};
use crate::frame::{self, Blob, FrameReader, MAX_FRAME};
use crate::proto::{
    self, BaseKey, EndItem, FromLauncher, LAUNCHER_BASES, LauncherEvent, RunBody, RunItem, ToLauncher,
};
use crate::workers::{Call, PoolConfig, WorkerPool};
use crate::{shim, sweep, sys};
use dunnage_model::AttemptId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};

/// How a local engine is set up.
#[derive(Clone, Debug)]
pub struct LocalConfig {
    /// The runtime directory, see [`crate::rundir`].
    pub rundir: PathBuf,
    /// The store's random token: letters and digits.
    pub token: String,
    /// The program whose `__launcher` and `__worker` are used: this one.
    pub exe: PathBuf,
    /// Put before the launcher's command line, for example `systemd-run --user --scope -p Delegate=yes`.
    pub launcher_wrap: Vec<String>,
    /// How many kernel workers for the cores at most.
    pub workers: usize,
    /// How long a worker without calls stays.
    pub worker_idle: Duration,
}

/// What became of an attempt while no daemon was looking.
#[derive(Clone, PartialEq, Debug)]
pub enum Recovered {
    /// It runs; its end will be an event.
    Running {
        /// The root of its tree.
        pid: u32,
    },
    /// It has ended. Its claim stays until [`Claims::remove`].
    Ended(Box<Outcome>),
    /// It never started, and is fenced off.
    NeverStarted,
    /// It started and its end was not recorded: its status is unknown, and nothing of it is left.
    Died,
}

/// The engine of this machine.
#[derive(Debug)]
pub struct LocalEngine {
    commands: mpsc::UnboundedSender<Order>,
    pool: WorkerPool,
    claims: Arc<Claims>,
    runtime_lost: bool,
    memory: MemoryControl,
}

enum Order {
    Submit(Vec<AttemptSpec>),
    Cancel { attempt: AttemptId, signal: i32, grace: Duration },
    Recover { open: Vec<AttemptId>, reply: oneshot::Sender<Vec<(AttemptId, Recovered)>> },
    LauncherPid { reply: oneshot::Sender<Option<u32>> },
    Goodbye { reply: oneshot::Sender<()> },
}

impl LocalEngine {
    /// Makes the engine; call it within a tokio runtime. Nothing is started yet.
    pub fn new(config: LocalConfig, events: mpsc::UnboundedSender<EngineEvent>) -> io::Result<Self> {
        let claims = Arc::new(Claims::open(&config.rundir)?);
        let runtime_lost = claims::token_state(&config.rundir, &config.token) == TokenState::RuntimeLost;
        if runtime_lost {
            // The token itself follows when `recover` has proven the old attempts dead.
            claims::mark_proving(&config.rundir, &config.token)?;
        } else {
            claims::write_token(&config.rundir, &config.token)?;
        }
        let pool = WorkerPool::new(
            PoolConfig {
                exe: config.exe.clone(),
                max_workers: config.workers.max(1),
                idle: config.worker_idle,
            },
            events.clone(),
        );
        let (commands, orders) = mpsc::unbounded_channel();
        let (heard, hearing) = mpsc::unbounded_channel();
        let keeper = Keeper {
            config,
            claims: Arc::clone(&claims),
            runtime_lost,
            events,
            launcher: None,
            generation: 0,
            open: BTreeMap::new(),
            heard,
        };
        tokio::spawn(keeper.run(orders, hearing));
        Ok(Self { commands, pool, claims, runtime_lost, memory: cgroup::probe() })
    }

    /// Whether the runtime directory is not the one that the store knows: then nothing was known of
    /// what runs, and `recover` proves everything dead.
    pub const fn runtime_lost(&self) -> bool {
        self.runtime_lost
    }

    /// The claims, to be removed one by one as the facts about them are on disk.
    pub fn claims(&self) -> &Arc<Claims> {
        &self.claims
    }

    /// The workers for kernels.
    pub const fn pool(&self) -> &WorkerPool {
        &self.pool
    }

    /// What became of these attempts, which the store holds as placed and not ended. To be called once,
    /// before the first `submit`, also with none: a lost runtime directory counts as lost until then.
    /// Kernel calls among them are reported as never started.
    pub async fn recover(&self, open: Vec<AttemptId>) -> Vec<(AttemptId, Recovered)> {
        let (reply, answer) = oneshot::channel();
        let _ = self.commands.send(Order::Recover { open, reply });
        answer.await.unwrap_or_default()
    }

    /// The launcher's process id, while one is connected.
    pub fn launcher_pid(&self) -> impl Future<Output = Option<u32>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        let _ = self.commands.send(Order::LauncherPid { reply });
        async move { answer.await.ok().flatten() }
    }

    /// Tells the launcher to leave as soon as nothing lives. Without it, the launcher waits a few
    /// seconds for the next daemon.
    pub async fn goodbye(&self) {
        let (reply, answer) = oneshot::channel();
        let _ = self.commands.send(Order::Goodbye { reply });
        let _ = answer.await;
    }
}

impl Engine for LocalEngine {
    fn caps(&self) -> EngineCaps {
        EngineCaps {
            reattach: true,
            switch_user: rustix::process::geteuid().is_root(),
            memory: self.memory,
            fetch: false,
            scale: false,
        }
    }

    fn submit(&mut self, batch: Vec<AttemptSpec>) {
        let mut commands = Vec::with_capacity(batch.len());
        let mut calls = Vec::new();
        for spec in batch {
            match spec.work {
                Work::Command { .. } => commands.push(spec),
                Work::Kernel { payload, worker } => {
                    calls.push(Call { id: spec.id, payload, worker, alone: spec.cores.0 >= 1000 });
                }
            }
        }
        if !calls.is_empty() {
            self.pool.submit(calls);
        }
        if !commands.is_empty() {
            let _ = self.commands.send(Order::Submit(commands));
        }
    }

    fn cancel(&mut self, attempt: AttemptId, signal: i32, grace: Duration) {
        // Whoever does not know it ignores it.
        self.pool.cancel(attempt);
        let _ = self.commands.send(Order::Cancel { attempt, signal, grace });
    }
}

/// Who tells us the end of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Informer {
    Launcher,
    Pidfd,
}

enum Heard {
    Launcher { generation: u64, message: FromLauncher },
    LauncherGone { generation: u64 },
    ShimGone { attempt: AttemptId },
}

struct Launcher {
    pid: u32,
    writer: OwnedWriteHalf,
    bases: VecDeque<BaseKey>,
    out: Vec<u8>,
}

struct Keeper {
    config: LocalConfig,
    claims: Arc<Claims>,
    runtime_lost: bool,
    events: mpsc::UnboundedSender<EngineEvent>,
    launcher: Option<Launcher>,
    generation: u64,
    open: BTreeMap<AttemptId, Informer>,
    heard: mpsc::UnboundedSender<Heard>,
}

impl Keeper {
    async fn run(
        mut self,
        mut orders: mpsc::UnboundedReceiver<Order>,
        mut hearing: mpsc::UnboundedReceiver<Heard>,
    ) {
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(order).await,
                    // The engine was dropped: attempts live on, and the connection ends with us.
                    None => return,
                },
                Some(heard) = hearing.recv() => self.hear(heard).await,
            }
        }
    }

    fn tell(&self, event: EngineEvent) {
        // Nobody listens any more only when the daemon is about to end.
        let _ = self.events.send(event);
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Submit(batch) => self.submit(batch).await,
            Order::Cancel { attempt, signal, grace } => self.cancel(attempt, signal, grace).await,
            Order::Recover { open, reply } => {
                let found = self.recover(open).await;
                let _ = reply.send(found);
            }
            Order::LauncherPid { reply } => {
                let _ = reply.send(self.launcher.as_ref().map(|launcher| launcher.pid));
            }
            Order::Goodbye { reply } => {
                if let Some(launcher) = &mut self.launcher
                    && frame::encode(&ToLauncher::Goodbye {}, &mut launcher.out).is_ok()
                {
                    self.flush().await;
                }
                let _ = reply.send(());
            }
        }
    }

    async fn submit(&mut self, batch: Vec<AttemptSpec>) {
        let why = match self.ensure_launcher().await {
            Ok(_) => None,
            Err(error) => Some((error.raw_os_error().unwrap_or(libc::EIO), error.to_string())),
        };
        if let Some((errno, why)) = why {
            self.tell(EngineEvent::LauncherUnavailable { why });
            for spec in batch {
                let outcome = Outcome::bare(Ending::SpawnFailed { stage: SpawnStage::Launcher, errno });
                self.tell(EngineEvent::Ended { attempt: spec.id, outcome: Box::new(outcome) });
            }
            return;
        }
        let mut items = Vec::new();
        let mut size = 0;
        for spec in batch {
            let attempt = spec.id;
            let Work::Command { argv, dir, env } = spec.work else { continue };
            let body = RunBody {
                id: attempt.into(),
                argv,
                dir: Blob(dir.as_os_str().as_bytes().to_vec()),
                base: env.base.key(),
                overrides: env.overrides.clone(),
                log: spec.log,
                affinity: spec.affinity,
                memory_limit: spec.memory_limit,
                user: spec.user,
                signal: spec.signal,
                grace_ms: u64::try_from(spec.grace.as_millis()).unwrap_or(u64::MAX),
            };
            let body = rmp_serde::to_vec_named(&body).unwrap_or_default();
            // Room for the ids around it, and one more wrapping on the way to the shim.
            if body.is_empty()
                || body.len() > MAX_FRAME - 4096
                || !self.send_base(&env, &mut items, &mut size)
            {
                let ending = Ending::SpawnFailed { stage: SpawnStage::TooLarge, errno: libc::E2BIG };
                self.tell(EngineEvent::Ended { attempt, outcome: Box::new(Outcome::bare(ending)) });
                continue;
            }
            if size + body.len() > MAX_FRAME / 2 {
                self.send_items(&mut items, &mut size);
            }
            size += body.len() + 64;
            items.push(RunItem { id: attempt.into(), base: env.base.key(), body: Blob(body) });
            self.open.insert(attempt, Informer::Launcher);
        }
        self.send_items(&mut items, &mut size);
        self.flush().await;
    }

    fn send_items(&mut self, items: &mut Vec<RunItem>, size: &mut usize) {
        *size = 0;
        let items = std::mem::take(items);
        if let Some(launcher) = &mut self.launcher
            && !items.is_empty()
        {
            // Sizes were kept below the limit above.
            let _ = frame::encode(&ToLauncher::Run { items }, &mut launcher.out);
        }
    }

    /// Sends a base environment that the launcher does not have. `false` when it is too large.
    fn send_base(&mut self, env: &EnvRef, items: &mut Vec<RunItem>, size: &mut usize) -> bool {
        let key = env.base.key();
        if self.launcher.as_ref().is_none_or(|launcher| launcher.bases.contains(&key)) {
            return true;
        }
        // The launcher may forget its oldest base now, which what is collected may still need.
        self.send_items(items, size);
        let Some(launcher) = &mut self.launcher else { return true };
        let Ok(vars) = rmp_serde::to_vec(env.base.vars()) else { return false };
        if vars.len() > MAX_FRAME - 4096
            || frame::encode(&ToLauncher::Base { key, vars: Blob(vars) }, &mut launcher.out).is_err()
        {
            return false;
        }
        if launcher.bases.len() == LAUNCHER_BASES {
            launcher.bases.pop_front();
        }
        launcher.bases.push_back(key);
        true
    }

    async fn flush(&mut self) {
        let Some(launcher) = &mut self.launcher else { return };
        let out = std::mem::take(&mut launcher.out);
        let written = launcher.writer.write_all(&out).await;
        if written.is_err() {
            self.launcher_lost().await;
        } else {
            // Keep the memory of ordinary batches.
            let mut out = out;
            out.clear();
            if out.capacity() <= 1 << 20 {
                launcher.out = out;
            }
        }
    }

    async fn cancel(&mut self, attempt: AttemptId, signal: i32, grace: Duration) {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        match self.open.get(&attempt) {
            None => {}
            Some(Informer::Launcher) => {
                if let Some(launcher) = &mut self.launcher {
                    let items = vec![EndItem { id: attempt.into(), signal, grace_ms }];
                    let _ = frame::encode(&ToLauncher::End { items }, &mut launcher.out);
                    self.flush().await;
                }
            }
            Some(Informer::Pidfd) => {
                if let Ok(ClaimState::Live { pidfd, .. }) = self.claims.inspect(attempt) {
                    let value = proto::pack_end(proto::ANY_RUN, signal, grace_ms);
                    if sys::queue_to_pidfd(pidfd.as_fd(), shim::end_signal(), value).is_err() {
                        let _ = sys::signal_pidfd(pidfd.as_fd(), libc::SIGTERM);
                    }
                }
            }
        }
    }

    async fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Launcher { generation, message } => {
                if generation != self.generation {
                    return;
                }
                match message {
                    FromLauncher::Hello { .. } => {}
                    FromLauncher::Events { events } => {
                        for event in events {
                            self.pass_on(event);
                        }
                    }
                }
            }
            Heard::LauncherGone { generation } if generation == self.generation => self.launcher_lost().await,
            Heard::LauncherGone { .. } => {}
            Heard::ShimGone { attempt } => {
                if self.open.contains_key(&attempt) {
                    self.settle(vec![attempt]).await;
                }
            }
        }
    }

    fn pass_on(&mut self, event: LauncherEvent) {
        match event {
            LauncherEvent::Started { id, pid } => {
                let attempt = id.into();
                if self.open.contains_key(&attempt) {
                    self.tell(EngineEvent::Started { attempt, pid });
                }
            }
            LauncherEvent::Ended { id, outcome } => self.end(id.into(), outcome),
            LauncherEvent::NeverStarted { id } => self.never(id.into()),
        }
    }

    fn end(&mut self, attempt: AttemptId, outcome: Box<Outcome>) {
        if self.open.remove(&attempt).is_some() {
            self.tell(EngineEvent::Ended { attempt, outcome });
        }
    }

    fn never(&mut self, attempt: AttemptId) {
        if self.open.remove(&attempt).is_some() {
            self.tell(EngineEvent::NeverStarted { attempt });
        }
    }

    /// Connects to the launcher, starting one if none lives. Returns what lives there.
    async fn ensure_launcher(&mut self) -> io::Result<BTreeSet<AttemptId>> {
        if self.launcher.is_some() {
            return Ok(BTreeSet::new());
        }
        let mut last = io::Error::other("no try was made");
        for attempt in 0..5_u32 {
            match self.connect().await {
                Ok(live) => return Ok(live),
                Err(error) => last = error,
            }
            if attempt > 0 {
                // The former launcher is leaving.
                tokio::time::sleep(Duration::from_millis(20) * attempt).await;
            }
            self.start_launcher().await?;
        }
        Err(last)
    }

    async fn start_launcher(&self) -> io::Result<()> {
        let mut words: Vec<std::ffi::OsString> = self.config.launcher_wrap.iter().map(Into::into).collect();
        words.push(self.config.exe.clone().into_os_string());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg("__launcher").arg(&self.config.rundir);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // It returns as soon as the launcher has detached itself.
        let output = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn()?;
            let status = child.wait()?;
            let mut message = String::new();
            if !status.success()
                && let Some(mut stderr) = child.stderr.take()
            {
                let _ = io::Read::read_to_string(&mut stderr, &mut message);
            }
            Ok::<_, io::Error>((status, message))
        })
        .await
        .map_err(io::Error::other)??;
        match output {
            (status, _) if status.success() => Ok(()),
            (status, message) => Err(io::Error::other(format!("the launcher {status}: {}", message.trim()))),
        }
    }

    async fn connect(&mut self) -> io::Result<BTreeSet<AttemptId>> {
        let mut stream = UnixStream::connect(proto::launcher_socket(&self.config.rundir)).await?;
        let mut hello = Vec::new();
        let greeting = ToLauncher::Hello { version: proto::VERSION, token: self.config.token.clone() };
        frame::encode(&greeting, &mut hello).map_err(io::Error::other)?;
        stream.write_all(&hello).await?;
        let mut reader = FrameReader::default();
        let greeted = tokio::time::timeout(Duration::from_secs(10), async {
            loop {
                if let Some(message) = reader.next_message::<FromLauncher>().map_err(io::Error::other)? {
                    return Ok::<_, io::Error>(message);
                }
                let mut bytes = [0; 4096];
                let count = stream.read(&mut bytes).await?;
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                reader.push(&bytes[..count]);
            }
        });
        let FromLauncher::Hello { version, pid, live } =
            greeted.await.map_err(|_| io::ErrorKind::TimedOut)??
        else {
            return Err(io::Error::other("the launcher did not say hello"));
        };
        if version != proto::VERSION {
            // As good as absent: what it started is watched by pidfd, and it leaves when that is over.
            return Err(io::Error::other(format!(
                "the launcher (process {pid}) speaks version {version} and this program {}: \
                 it leaves when what it started has ended",
                proto::VERSION
            )));
        }
        let (incoming, writer) = stream.into_split();
        self.generation += 1;
        tokio::spawn(listen(incoming, reader, self.generation, self.heard.clone()));
        self.launcher = Some(Launcher { pid, writer, bases: VecDeque::new(), out: Vec::new() });
        Ok(live.into_iter().map(AttemptId::from).collect())
    }

    async fn launcher_lost(&mut self) {
        let Some(launcher) = self.launcher.take() else { return };
        // Whatever its reader still says is of the past.
        self.generation += 1;
        self.tell(EngineEvent::LauncherLost { pid: launcher.pid });
        let orphans: Vec<AttemptId> = self
            .open
            .iter()
            .filter(|(_, informer)| **informer == Informer::Launcher)
            .map(|(attempt, _)| *attempt)
            .collect();
        // Perhaps only the connection is gone. A launcher that was killed refuses at once.
        let live = self.connect().await.unwrap_or_default();
        self.settle_with(orphans, &live).await;
    }

    /// Finds out from the claims what became of open attempts, and tells.
    async fn settle(&mut self, attempts: Vec<AttemptId>) {
        self.settle_with(attempts, &BTreeSet::new()).await;
    }

    async fn settle_with(&mut self, attempts: Vec<AttemptId>, live: &BTreeSet<AttemptId>) {
        for (attempt, state) in self.classify(attempts, live).await {
            match state {
                Recovered::Running { .. } => {}
                Recovered::Ended(outcome) => self.end(attempt, outcome),
                Recovered::NeverStarted => self.never(attempt),
                Recovered::Died => self.end(attempt, Box::new(Outcome::bare(Ending::ShimDied))),
            }
        }
    }

    async fn recover(&mut self, open: Vec<AttemptId>) -> Vec<(AttemptId, Recovered)> {
        if self.runtime_lost {
            self.prove_dead(open.iter().copied().collect()).await;
            self.runtime_lost = false;
            return open.into_iter().map(|attempt| (attempt, Recovered::Died)).collect();
        }
        // Only one that lives already: nothing is started for the sake of recovery.
        let live = self.connect().await.unwrap_or_default();
        self.classify(open, &live).await
    }

    /// Makes sure that nothing of these attempts runs or ever will. The token is written after that:
    /// where this is cut short, the next daemon does it again.
    async fn prove_dead(&self, attempts: BTreeSet<AttemptId>) {
        let (claims, config) = (Arc::clone(&self.claims), self.config.clone());
        let proven = tokio::task::spawn_blocking(move || {
            let token = &config.token;
            // Whatever fails, the rest is done as well; only the token is not written then.
            let mut done = claims.remove_foreign(token);
            // First of all: an order that is still on its way to some shim must not be carried out while
            // we look for what runs. A fence would say later that these had never started.
            let mut taken = Vec::new();
            for attempt in &attempts {
                match claims.bury(*attempt, token) {
                    Ok(true) => {}
                    Ok(false) => taken.push(*attempt),
                    Err(error) => done = Err(error),
                }
            }
            // A shim that has its claim may be just before its exec, where no marker is to be seen yet:
            // it goes first, and its command with it.
            for pidfd in taken.iter().filter_map(|attempt| claims.living_shim(*attempt, token)) {
                let _ = sys::signal_pidfd(pidfd.as_fd(), libc::SIGKILL);
                sys::wait_gone(pidfd.as_fd(), Duration::from_secs(10));
            }
            if !attempts.is_empty() {
                sweep::sweep(token, &attempts);
            }
            done.and_then(|()| claims::write_token(&config.rundir, token))
        });
        if let Err(error) = proven.await.map_err(io::Error::other).and_then(|done| done) {
            let folder = self.config.rundir.display();
            let _ = writeln!(
                io::stderr(),
                "dunnage: the old attempts in `{folder}` are not proven dead: {error}; the next daemon tries again"
            );
        }
    }

    /// Looks at claims, fences what has not started, watches what lives (unless the launcher does).
    async fn classify(
        &mut self,
        attempts: Vec<AttemptId>,
        launcher_has: &BTreeSet<AttemptId>,
    ) -> Vec<(AttemptId, Recovered)> {
        let mut found = Vec::with_capacity(attempts.len());
        let mut died = BTreeSet::new();
        for attempt in attempts {
            let recovered = loop {
                break match self.claims.inspect(attempt) {
                    Ok(ClaimState::None) => match self.claims.fence(attempt, &self.config.token) {
                        Ok(true) => Recovered::NeverStarted,
                        // Somebody was quicker: look again.
                        Ok(false) => continue,
                        Err(_) => Recovered::Died,
                    },
                    Ok(ClaimState::Fenced) => Recovered::NeverStarted,
                    Ok(ClaimState::Live { shim, pidfd }) => {
                        let informer = if launcher_has.contains(&attempt) {
                            Informer::Launcher
                        } else {
                            tokio::spawn(watch(attempt, pidfd, self.heard.clone()));
                            Informer::Pidfd
                        };
                        self.open.insert(attempt, informer);
                        Recovered::Running { pid: shim.pid }
                    }
                    Ok(ClaimState::Ended(outcome)) => Recovered::Ended(outcome),
                    // An unreadable claim says no more than one without a record.
                    Ok(ClaimState::ShimDied) | Err(_) => Recovered::Died,
                };
            };
            if recovered == Recovered::Died {
                died.insert(attempt);
            }
            found.push((attempt, recovered));
        }
        if !died.is_empty() {
            self.sweep(died).await;
        }
        found
    }

    async fn sweep(&self, attempts: BTreeSet<AttemptId>) {
        let token = self.config.token.clone();
        let _ = tokio::task::spawn_blocking(move || sweep::sweep(&token, &attempts)).await;
    }
}

async fn listen(
    mut incoming: OwnedReadHalf,
    mut reader: FrameReader,
    generation: u64,
    heard: mpsc::UnboundedSender<Heard>,
) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        loop {
            match reader.next_message() {
                Ok(Some(message)) => {
                    if heard.send(Heard::Launcher { generation, message }).is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(_) => {
                    let _ = heard.send(Heard::LauncherGone { generation });
                    return;
                }
            }
        }
        match incoming.read(&mut bytes).await {
            Ok(0) | Err(_) => {
                let _ = heard.send(Heard::LauncherGone { generation });
                return;
            }
            Ok(count) => reader.push(&bytes[..count]),
        }
    }
}

async fn watch(attempt: AttemptId, pidfd: OwnedFd, heard: mpsc::UnboundedSender<Heard>) {
    if sys::readable(pidfd).await.is_err() {
        // No more watches can be had: looking once a second is better than not at all.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let _ = heard.send(Heard::ShimGone { attempt });
}

/// Where the output of an attempt is while it is on tmpfs.
pub fn log_path(rundir: &Path, attempt: AttemptId) -> PathBuf {
    rundir.join("logs").join(attempt.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::ClaimHead;
    use crate::identity::ProcessIdentity;
    use dunnage_model::{Attempt, GraphId};

    #[tokio::test]
    async fn a_launcher_of_another_version_is_as_good_as_absent() {
        let folder = tempfile::tempdir().expect("a folder");
        let rundir = folder.path().to_owned();
        claims::write_token(&rundir, "t").expect("writes");
        let attempt = GraphId(1).task(1).attempt(Attempt::FIRST);
        let mut shim = Command::new("sleep").arg("60").spawn().expect("starts");
        let stat = crate::identity::stat(shim.id()).expect("it lives");
        let holder = ProcessIdentity { pid: shim.id(), start_time: stat.2, ..ProcessIdentity::of_self() };
        let head = ClaimHead { id: attempt.into(), holder, token: "t".into(), fence: false };
        Claims::open(&rundir).expect("opens").take(&head, &mut Vec::new()).expect("takes");
        let listener = tokio::net::UnixListener::bind(proto::launcher_socket(&rundir)).expect("binds");
        // It answers and stays, so that whoever believed it would wait for its news for ever.
        let stranger = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("somebody comes");
            let live = vec![attempt.into()];
            let mut hello = Vec::new();
            let greeting = FromLauncher::Hello { version: proto::VERSION + 1, pid: 1, live };
            frame::encode(&greeting, &mut hello).expect("encodes");
            stream.write_all(&hello).await.expect("writes");
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).await.expect("reads");
            (heard, listener)
        });
        let (sender, mut events) = mpsc::unbounded_channel();
        let config = LocalConfig {
            rundir,
            token: "t".into(),
            exe: "/nonexistent".into(),
            launcher_wrap: Vec::new(),
            workers: 1,
            worker_idle: Duration::from_secs(1),
        };
        let engine = LocalEngine::new(config, sender).expect("an engine");
        assert!(!engine.runtime_lost());
        assert_eq!(
            engine.recover(vec![attempt]).await,
            [(attempt, Recovered::Running { pid: shim.id() })],
            "its claim says so"
        );
        assert_eq!(engine.launcher_pid().await, None);
        let (heard, _listener) = stranger.await.expect("hung up on");
        let mut reader = FrameReader::default();
        reader.push(&heard);
        assert!(matches!(reader.next_message(), Ok(Some(ToLauncher::Hello { .. }))));
        assert!(matches!(reader.next_frame(), Ok(None)), "nothing but a greeting was sent");
        shim.kill().expect("ends");
        shim.wait().expect("ends");
        let event =
            tokio::time::timeout(Duration::from_mins(1), events.recv()).await.expect("its end is told");
        let outcome = Box::new(Outcome::bare(Ending::ShimDied));
        assert_eq!(event, Some(EngineEvent::Ended { attempt, outcome }));
    }
}
