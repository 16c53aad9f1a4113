//! The shim: one process for each attempt that runs, parent of its whole tree.
//!
//! ```text
//! take claim -> log file -> memory leaf -> exec -> wait -> kill what is left -> exit record -> report
//! ```
//!
//! It is forked from the launcher without exec, is a session of its own and a subreaper, so that it
//! outlives launcher and daemon and nothing escapes it. The command dies with it (PDEATHSIG). While
//! its launcher lives, a shim takes one attempt after another, because a fork for each would cost a
//! tenth of the whole; when the launcher is gone it ends with the attempt it has.

use crate::cgroup::{Cgroups, Leaf};
use crate::claims::{ClaimHead, Claims};
use crate::engine::{Ending, Outcome, SpawnStage};
use crate::frame::{self, FrameReader};
use crate::identity::ProcessIdentity;
use crate::proto::{self, BaseKey, FromShim, RunBody, SHIM_BASES, ToShim};
use crate::sys::{self, ExecPlan, Nursery, SignalSet, Status, Waited, step};
use crate::tree;
use dunnage_model::AttemptId;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::time::{ClockId, clock_gettime};
use std::cell::OnceCell;
use std::collections::VecDeque;
use std::ffi::{CString, c_char};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::time::{Duration, Instant};

/// Where launcher and shim keep what they share.
pub(crate) const CLAIMS_FD: RawFd = 3;
pub(crate) const LOGS_FD: RawFd = 4;
pub(crate) const SOCKET_FD: RawFd = 5;

/// The variable by which a process of an attempt is known even when nothing else of it is.
pub const MARKER: &str = "DUNNAGE_ATTEMPT_ID";

/// How often memory is looked at where the kernel does not hold the limit.
const WATCH: Duration = Duration::from_millis(200);

/// The kernel adds resident pages up in batches, so that two looks at the same memory differ a little.
const INEXACT: u64 = 512 << 10;

/// How long processes that refuse to be killed are tried before the attempt is ended without them.
const STUBBORN: Duration = Duration::from_secs(10);

/// The queued signal that ends an attempt; its value says how. Unlike SIGTERM it is never merged with
/// one that is still pending.
pub(crate) fn end_signal() -> i32 {
    libc::SIGRTMIN()
}

/// What shims inherit from their launcher.
#[derive(Clone)]
pub(crate) struct ShimSetup {
    pub(crate) token: String,
    pub(crate) files: Option<libc::rlimit>,
    pub(crate) group: String,
}

struct Shim {
    socket: UnixStream,
    setup: ShimSetup,
    claims: Claims,
    logs: OwnedFd,
    me: ProcessIdentity,
    bases: VecDeque<(BaseKey, Vec<Variable>)>,
    nursery: Nursery,
    /// Looked for when first needed.
    groups: OnceCell<Option<Cgroups>>,
    child_or_end: SignalSet,
    runs: u16,
    scratch: Vec<u8>,
}

struct Variable {
    name: usize,
    text: CString,
}

/// The running attempt, as far as ending it is concerned.
struct Order {
    signal: i32,
    deadline: Instant,
    sent: bool,
}

/// Runs in the child of the launcher's fork; never returns.
pub(crate) fn shim_main(setup: ShimSetup) -> ! {
    let code = match Shim::new(setup).and_then(|mut shim| shim.serve()) {
        Ok(()) => 0,
        Err(_) => 1,
    };
    sys::exit_now(code)
}

impl Shim {
    fn new(setup: ShimSetup) -> io::Result<Self> {
        rustix::process::setsid()?;
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        let child_or_end = SignalSet::of(&[libc::SIGCHLD, libc::SIGTERM, end_signal()]);
        sys::set_blocked(&SignalSet::of(&[
            libc::SIGCHLD,
            libc::SIGTERM,
            libc::SIGINT,
            libc::SIGHUP,
            libc::SIGPIPE,
            end_signal(),
        ]));
        Ok(Self {
            socket: UnixStream::from(sys::own_fd(SOCKET_FD)),
            setup,
            claims: Claims::from_fd(sys::own_fd(CLAIMS_FD)),
            logs: sys::own_fd(LOGS_FD),
            me: ProcessIdentity::of_self(),
            bases: VecDeque::new(),
            nursery: Nursery::new()?,
            groups: OnceCell::new(),
            child_or_end,
            runs: 0,
            scratch: Vec::new(),
        })
    }

    /// One order after another, until the launcher is gone or has no more use for us.
    fn serve(&mut self) -> io::Result<()> {
        let mut reader = FrameReader::default();
        let mut out = Vec::new();
        loop {
            while let Some(order) = reader.next_message::<ToShim>().map_err(io::Error::other)? {
                match order {
                    ToShim::Base { key, vars } => {
                        let vars: Vec<(String, String)> =
                            rmp_serde::from_slice(&vars.0).map_err(io::Error::other)?;
                        let vars =
                            vars.iter().filter_map(|(name, value)| Variable::new(name, value)).collect();
                        if self.bases.len() == SHIM_BASES {
                            self.bases.pop_front();
                        }
                        self.bases.push_back((key, vars));
                    }
                    ToShim::Run { body } => {
                        let body: RunBody = rmp_serde::from_slice(&body.0).map_err(io::Error::other)?;
                        self.runs = proto::next_run(self.runs);
                        let report = match self.attempt(&body) {
                            Some(outcome) => FromShim::Ended { id: body.id, outcome: Box::new(outcome) },
                            None => FromShim::Fenced { id: body.id },
                        };
                        out.clear();
                        frame::encode(&report, &mut out).map_err(io::Error::other)?;
                        self.socket.write_all(&out)?;
                    }
                }
            }
            if reader.fill(&mut self.socket)? == 0 {
                return Ok(());
            }
        }
    }

    /// Carries one attempt out. `None`: somebody else has its claim.
    fn attempt(&mut self, body: &RunBody) -> Option<Outcome> {
        let id = AttemptId::from(body.id);
        let name = id.to_string();
        // A stray SIGTERM that came while nothing ran is not meant for this attempt.
        sys::wait_signal(&SignalSet::of(&[libc::SIGTERM]), Some(Duration::ZERO));
        let head =
            ClaimHead { id: body.id, holder: self.me.clone(), token: self.setup.token.clone(), fence: false };
        let mut claim = match self.claims.take(&head, &mut self.scratch) {
            Ok(claim) => claim,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return None,
            Err(error) => return Some(failed(SpawnStage::Claim, error.raw_os_error().unwrap_or(libc::EIO))),
        };
        let (started_boot_us, started_wall_us) = (micros(ClockId::Boottime), micros(ClockId::Realtime));
        let mut outcome = self.carry_out(body, &name);
        outcome.started_boot_us = started_boot_us;
        outcome.started_wall_us = started_wall_us;
        outcome.ended_boot_us = micros(ClockId::Boottime);
        self.scratch.clear();
        if frame::encode(&outcome, &mut self.scratch).is_ok() {
            // It fits into the page that the claim has already, so that a full tmpfs cannot stop it.
            let _ = claim.write_all(&self.scratch);
        }
        Some(outcome)
    }

    fn carry_out(&mut self, body: &RunBody, name: &str) -> Outcome {
        let log = match self.open_log(body, name) {
            Ok(log) => log,
            Err(error) => return failed(SpawnStage::Log, error.raw_os_error().unwrap_or(libc::EIO)),
        };
        let leaf = match body.memory_limit.map(|limit| self.leaf(name, limit)) {
            Some(Err(error)) => return failed(SpawnStage::Cgroup, error.raw_os_error().unwrap_or(libc::EIO)),
            Some(Ok(leaf)) => leaf,
            None => None,
        };
        let mut outcome = match self.spawn(body, name, log.as_ref(), leaf.as_ref()) {
            Ok(pid) => self.watch(pid, body, leaf.as_ref()),
            Err(outcome) => outcome,
        };
        if let Some(leaf) = leaf {
            outcome.peak_memory = leaf.peak().max(outcome.peak_memory);
            leaf.remove();
        }
        if let Some(log) = log {
            outcome.log_bytes = log.metadata().map_or(0, |metadata| metadata.len());
            if outcome.log_bytes == 0 {
                let _ = rustix::fs::unlinkat(&self.logs, name, AtFlags::empty());
            }
        }
        outcome
    }

    fn open_log(&self, body: &RunBody, name: &str) -> io::Result<Option<File>> {
        if !body.log {
            return Ok(None);
        }
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = File::from(rustix::fs::openat(&self.logs, name, flags, Mode::RUSR | Mode::WUSR)?);
        if let Some(user) = &body.user {
            std::os::unix::fs::fchown(&file, Some(user.uid), Some(user.gid))?;
        }
        Ok(Some(file))
    }

    fn leaf(&self, name: &str, limit: u64) -> io::Result<Option<Leaf>> {
        let groups = self.groups.get_or_init(|| Cgroups::find(&self.setup.group));
        groups.as_ref().map(|groups| groups.leaf(name, limit)).transpose()
    }

    fn spawn(
        &mut self,
        body: &RunBody,
        name: &str,
        log: Option<&File>,
        leaf: Option<&Leaf>,
    ) -> Result<i32, Outcome> {
        let bad = |_| failed(SpawnStage::Argument, libc::EINVAL);
        let argv: Vec<CString> = body
            .argv
            .iter()
            .map(|word| CString::new(word.as_str()))
            .collect::<Result<_, _>>()
            .map_err(bad)?;
        if argv.first().is_none_or(|program| program.is_empty()) {
            return Err(failed(SpawnStage::Argument, libc::ENOENT));
        }
        let dir = CString::new(body.dir.0.as_slice()).map_err(bad)?;
        let marker = Variable::new(MARKER, &format!("{}:{name}", self.setup.token));
        let mut own = Vec::with_capacity(body.overrides.len() + 1);
        for (name, value) in &body.overrides {
            match Variable::new(name, value) {
                Some(variable) => add(&mut own, variable),
                None => return Err(failed(SpawnStage::Argument, libc::EINVAL)),
            }
        }
        // Whoever gave one before us, a sweep looks for ours.
        if let Some(marker) = marker {
            add(&mut own, marker);
        }
        let base =
            self.bases.iter().find(|(key, _)| *key == body.base).map_or(&[][..], |(_, vars)| vars.as_slice());
        let replaced = |variable: &Variable| own.iter().any(|other| other.name() == variable.name());
        let env: Vec<&CString> = base
            .iter()
            .filter(|variable| !replaced(variable))
            .chain(&own)
            .map(|variable| &variable.text)
            .collect();
        let programs = candidates(&argv[0], &env);
        let end = || std::iter::once(ptr::null::<c_char>());
        let argv_pointers: Vec<*const c_char> = argv.iter().map(|word| word.as_ptr()).chain(end()).collect();
        let mut shell_argv: Vec<*const c_char> = [c"sh".as_ptr(), ptr::null()]
            .into_iter()
            .chain(argv[1..].iter().map(|word| word.as_ptr()))
            .chain(end())
            .collect();
        let envp: Vec<*const c_char> = env.iter().map(|variable| variable.as_ptr()).chain(end()).collect();
        let cpus = body.affinity.as_deref().and_then(sys::cpu_set);
        let procs: Vec<RawFd> = leaf.iter().map(|leaf| leaf.procs.as_raw_fd()).collect();
        let mut plan = ExecPlan {
            programs: &programs,
            argv: &argv_pointers,
            shell_argv: &mut shell_argv,
            envp: &envp,
            dir: &dir,
            // Descriptor 0 is /dev/null for reading and writing.
            output: log.map_or(0, |log| log.as_raw_fd()),
            cgroup_procs: &procs,
            cpus: cpus.as_ref(),
            files: self.setup.files,
            user: body.user.as_ref().map(|user| (user.uid, user.gid, user.groups.as_slice())),
        };
        self.nursery.spawn(&mut plan).map_err(|(failed_step, errno)| {
            let stage = match failed_step {
                step::CGROUP => SpawnStage::Cgroup,
                step::USER => SpawnStage::User,
                step::DIRECTORY => SpawnStage::Directory,
                step::PROGRAM => SpawnStage::Program,
                _ => SpawnStage::Process,
            };
            failed(stage, errno)
        })
    }

    /// Waits until the whole tree is gone.
    fn watch(&self, main: i32, body: &RunBody, leaf: Option<&Leaf>) -> Outcome {
        let mut outcome = Outcome::bare(Ending::ShimDied);
        // The kernel counts as the main process's peak also what it held before its exec, and that was
        // our own memory: borrowed, or a copy of it. What is not above that says nothing of the program,
        // and is not reported. What its children held is compared too, since it comes in the same number.
        let inherited = sys::own_peak_rss() + INEXACT;
        let (mut cpu_us, mut peak) = (0_u64, 0_u64);
        let mut ended: Option<Status> = None;
        let mut order: Option<Order> = None;
        let mut too_large = false;
        let mut stubborn_since: Option<Instant> = None;
        let watched = if leaf.is_none() { body.memory_limit } else { None };
        let mut next_look = Instant::now() + WATCH;
        'alive: loop {
            loop {
                match sys::wait_child(-1, false) {
                    Waited::Reaped(reaped) => {
                        cpu_us += reaped.cpu_us;
                        if reaped.pid == main {
                            ended = Some(reaped.status);
                        }
                        if reaped.pid != main || reaped.peak_rss > inherited {
                            peak = peak.max(reaped.peak_rss);
                        }
                    }
                    Waited::NoneYet => break,
                    Waited::NoChild => break 'alive,
                }
            }
            let now = Instant::now();
            let over = order.as_ref().is_some_and(|order| now >= order.deadline);
            let mut timeout = None;
            // What a task leaves behind goes at once; what was told to end has its grace.
            if (ended.is_some() && order.is_none()) || too_large || over {
                if let Some(leaf) = leaf {
                    leaf.kill();
                }
                let round = tree::signal_all(self.me.pid, libc::SIGKILL);
                if round.refused == round.found {
                    // Dying, or not ours to kill.
                    let since = *stubborn_since.get_or_insert(now);
                    if round.refused > 0 && now.duration_since(since) > STUBBORN {
                        outcome.survivors = round.refused;
                        break 'alive;
                    }
                } else {
                    stubborn_since = None;
                }
                timeout = Some(Duration::from_millis(5));
            } else {
                if let Some(order) = &mut order {
                    if !order.sent {
                        order.sent = true;
                        tree::signal_all(self.me.pid, order.signal);
                    }
                    timeout = Some(order.deadline.duration_since(now));
                }
                if let Some(limit) = watched {
                    if now >= next_look {
                        next_look = now + WATCH;
                        let held = tree::resident(self.me.pid);
                        peak = peak.max(held);
                        too_large = held > limit;
                    }
                    let look = if too_large { Duration::ZERO } else { next_look.duration_since(now) };
                    timeout = Some(timeout.map_or(look, |other| other.min(look)));
                }
            }
            match sys::wait_signal(&self.child_or_end, timeout) {
                Some(arrived) if arrived.signal == libc::SIGCHLD => {}
                Some(arrived) => {
                    let (signal, grace_ms) = match arrived.value {
                        Some(value) if arrived.signal == end_signal() => {
                            let (run, signal, grace_ms) = proto::unpack_end(value);
                            if run != proto::ANY_RUN && run != self.runs {
                                // Meant for the attempt before this one.
                                continue;
                            }
                            (signal, grace_ms)
                        }
                        _ => (body.signal, body.grace_ms),
                    };
                    if ended.is_some() && order.is_none() {
                        continue;
                    }
                    outcome.cancelled = true;
                    let deadline = Instant::now() + Duration::from_millis(grace_ms);
                    // A second order may shorten the first.
                    let deadline = order.as_ref().map_or(deadline, |order| order.deadline.min(deadline));
                    order = Some(Order { signal, deadline, sent: false });
                }
                None => {}
            }
        }
        let exhausted = too_large || leaf.is_some_and(|leaf| leaf.oom_kills() > 0);
        outcome.ending = match (ended, body.memory_limit) {
            // A task that survived the loss of a process and still succeeded has succeeded.
            (Some(Status::Exited(0)), _) if !too_large => Ending::Exited { code: 0 },
            (Some(_), Some(limit)) if exhausted => Ending::OutOfMemory { limit },
            (Some(Status::Exited(code)), _) => Ending::Exited { code },
            (Some(Status::Signalled(signal)), _) => Ending::Signalled { signal },
            // Only when the main process itself could not be killed.
            (None, _) => Ending::Signalled { signal: libc::SIGKILL },
        };
        outcome.cpu_us = Some(cpu_us);
        outcome.peak_memory = (peak > 0).then_some(peak);
        outcome
    }
}

impl Variable {
    /// `None` where it holds a NUL byte or has no proper name.
    fn new(name: &str, value: &str) -> Option<Self> {
        if name.is_empty() || name.contains('=') {
            return None;
        }
        let mut text = String::with_capacity(name.len() + value.len() + 2);
        text.push_str(name);
        text.push('=');
        text.push_str(value);
        Some(Self { name: name.len(), text: CString::new(text).ok()? })
    }

    fn name(&self) -> &[u8] {
        &self.text.as_bytes()[..self.name]
    }
}

/// Adds a variable; of two with one name the last one stays.
fn add(variables: &mut Vec<Variable>, variable: Variable) {
    variables.retain(|other| other.name() != variable.name());
    variables.push(variable);
}

/// The files that a program's name may mean, in the order of the task's own `PATH`.
fn candidates(program: &CString, env: &[&CString]) -> Vec<CString> {
    let name = program.as_bytes();
    if name.contains(&b'/') {
        return vec![program.clone()];
    }
    let path = env
        .iter()
        .rev()
        .find_map(|variable| variable.as_bytes().strip_prefix(b"PATH="))
        .unwrap_or(b"/usr/local/bin:/usr/bin:/bin");
    path.split(|byte| *byte == b':')
        .filter_map(|folder| {
            // An empty entry means the working directory.
            let folder = if folder.is_empty() { b"." } else { folder };
            CString::new([folder, b"/", name].concat()).ok()
        })
        .collect()
}

fn failed(stage: SpawnStage, errno: i32) -> Outcome {
    Outcome::bare(Ending::SpawnFailed { stage, errno })
}

/// A clock in microseconds.
pub(crate) fn micros(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_in_the_path_of_the_task() {
        let path = CString::new("PATH=/a::/b").expect("no NUL");
        let found = candidates(&CString::new("x").expect("no NUL"), &[&path]);
        assert_eq!(found, [c"/a/x".to_owned(), c"./x".to_owned(), c"/b/x".to_owned()]);
        let found = candidates(&CString::new("./x").expect("no NUL"), &[&path]);
        assert_eq!(found, [c"./x".to_owned()]);
    }

    #[test]
    fn variables_with_nul_or_odd_names_are_refused() {
        assert!(Variable::new("A", "b\0c").is_none());
        assert!(Variable::new("", "x").is_none());
        assert!(Variable::new("A=B", "x").is_none());
        assert_eq!(Variable::new("A", "b=c").map(|v| v.name().to_vec()), Some(b"A".to_vec()));
    }
}
