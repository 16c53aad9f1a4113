//! The launcher: a tiny process with one thread that forks shims and says what became of them.
//!
//! `dunnage __launcher RUNDIR`. It detaches itself, listens on a socket in RUNDIR, and outlives
//! the daemon; a later daemon connects to the same socket and is told what lives. It leaves when no
//! attempt lives and its daemon has said goodbye, or has been gone for some seconds.
//!
//! It exists so that forking is cheap (little memory, one thread) and so that attempts do not depend
//! on the daemon. It knows nothing of what it starts: the order for a shim is handed on as bytes.

use crate::claims::{ClaimState, Claims};
use crate::engine::{Ending, Outcome, SpawnStage};
use crate::frame::{self, Blob, FrameReader};
use crate::proto::{
    self, BaseKey, EndItem, FromLauncher, FromShim, LAUNCHER_BASES, LauncherEvent, RunItem, SHIM_BASES,
    ToLauncher, ToShim, WireId,
};
use crate::shim::{self, CLAIMS_FD, LOGS_FD, SOCKET_FD, ShimSetup};
use crate::sys::{self, Forked, SignalSet};
use crate::{cgroup::Cgroups, identity, tree};
use rustix::event::epoll;
use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use rustix::net::{RecvFlags, SendFlags};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a launcher without daemon and without attempts stays.
const ALONE: Duration = Duration::from_secs(5);
/// How long shims without work stay.
const IDLE: Duration = Duration::from_secs(2);
/// How many of them stay at most.
const IDLE_SHIMS: usize = 32;
/// How long a start may wait to be told together with others, or with its own end. Telling it at once
/// would cost a short command another change of process.
const START_NEWS: Duration = Duration::from_millis(2);
/// Events in one frame at most: far below the limit of a frame.
const EVENTS: usize = 2000;

const LISTENER: u64 = 0;
const DAEMON: u64 = 1;
const SIGNALS: u64 = 2;
const FIRST_SHIM: u64 = 16;

/// The launcher's `main`, called before anything else of the program is set up. `args` is what
/// follows `__launcher`: the runtime directory. Returns to the caller's process as soon as the
/// launcher can be connected to (exit code 0) or cannot be started (1, with a line on stderr).
pub fn launcher_main(args: &[OsString]) -> ! {
    let code = match args {
        [rundir] => match start(Path::new(rundir)) {
            Ok(()) => 0,
            Err(error) => {
                let _ =
                    writeln!(io::stderr(), "cannot start the launcher in `{}`: {error}", rundir.display());
                1
            }
        },
        _ => {
            let _ = writeln!(io::stderr(), "usage: __launcher RUNDIR");
            2
        }
    };
    sys::exit_now(code)
}

fn start(rundir: &Path) -> io::Result<()> {
    sys::default_signals();
    sys::close_from(3);
    let rundir = rundir.canonicalize()?;
    // The numbers that shims find things at are kept free for that.
    let null = File::open("/dev/null")?;
    for number in [CLAIMS_FD, LOGS_FD, SOCKET_FD] {
        sys::place_fd(null.as_fd(), number)?;
    }
    std::mem::forget(null);
    let (mut waiting, mut ready) = io::pipe()?;
    if let Forked::Parent(_) = sys::fork()? {
        drop(ready);
        let mut answer = String::new();
        waiting.read_to_string(&mut answer)?;
        return if answer == "ready" { Ok(()) } else { Err(io::Error::other(answer)) };
    }
    drop(waiting);
    match Launcher::new(&rundir) {
        Ok(Some(mut launcher)) => {
            ready.write_all(b"ready")?;
            drop(ready);
            let done = launcher.serve();
            launcher.leave();
            if let Err(error) = done {
                // The log file in the runtime directory.
                let _ = writeln!(io::stderr(), "launcher: {error}");
                sys::exit_now(1);
            }
        }
        // Another one lives: the daemon may connect to that.
        Ok(None) => ready.write_all(b"ready")?,
        Err(error) => write!(ready, "{error}")?,
    }
    sys::exit_now(0)
}

struct Launcher {
    socket: PathBuf,
    _lock: File,
    listener: UnixListener,
    epoll: OwnedFd,
    signals: OwnedFd,
    claims: Claims,
    setup: ShimSetup,
    daemon: Option<Daemon>,
    alone_since: Instant,
    goodbye: bool,
    bases: VecDeque<(BaseKey, Blob)>,
    shims: HashMap<u64, ShimRow>,
    idle: Vec<u64>,
    idle_since: Instant,
    running: BTreeMap<WireId, u64>,
    next: u64,
    events: Vec<LauncherEvent>,
    /// When starts that nobody has been told of yet are told.
    starts_due: Option<Instant>,
    scratch: Vec<u8>,
}

struct Daemon {
    stream: UnixStream,
    reader: FrameReader,
    out: Vec<u8>,
    greeted: bool,
    writable_wanted: bool,
}

struct ShimRow {
    pid: i32,
    stream: UnixStream,
    reader: FrameReader,
    bases: VecDeque<BaseKey>,
    runs: u16,
    current: Option<WireId>,
}

/// Reads without blocking from a descriptor whose writes may block.
struct Now<'a>(&'a UnixStream);

impl Read for Now<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::net::recv(self.0, buffer, RecvFlags::DONTWAIT)?.0)
    }
}

impl Launcher {
    /// `None` when another launcher lives there.
    fn new(rundir: &Path) -> io::Result<Option<Self>> {
        rustix::process::setsid()?;
        rustix::process::chdir("/")?;
        let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
        let log = fs::OpenOptions::new().append(true).create(true).open(rundir.join("launcher.log"))?;
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&null)?;
        rustix::stdio::dup2_stderr(&log)?;
        drop((null, log));
        // A POSIX lock, since those are not inherited by shims.
        let lock = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(proto::launcher_lock(rundir))?;
        match rustix::fs::fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let claims = Claims::open(rundir)?;
        let logs_path = rundir.join("logs");
        match fs::create_dir(&logs_path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let logs = rustix::fs::openat(
            CWD,
            &logs_path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        sys::place_fd(claims.fd().as_fd(), CLAIMS_FD)?;
        sys::place_fd(logs.as_fd(), LOGS_FD)?;
        drop(logs);
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        let blocked =
            SignalSet::of(&[libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGPIPE]);
        sys::set_blocked(&blocked);
        let signals = sys::signal_fd(&SignalSet::of(&[libc::SIGCHLD, libc::SIGTERM]))?;
        let socket = proto::launcher_socket(rundir);
        match fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&socket)?;
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
        epoll::add(&epoll, &signals, epoll::EventData::new_u64(SIGNALS), epoll::EventFlags::IN)?;
        let mut hasher = DefaultHasher::new();
        rundir.as_os_str().as_bytes().hash(&mut hasher);
        // A launcher of another version removes its own group when it leaves, not ours.
        proto::VERSION.hash(&mut hasher);
        let group = format!("dunnage-{:08x}", hasher.finish() as u32);
        Ok(Some(Self {
            socket,
            _lock: lock,
            listener,
            epoll,
            signals,
            claims,
            setup: ShimSetup { token: String::new(), files: sys::raise_file_limit(), group },
            daemon: None,
            alone_since: Instant::now(),
            goodbye: false,
            bases: VecDeque::new(),
            shims: HashMap::new(),
            idle: Vec::new(),
            idle_since: Instant::now(),
            running: BTreeMap::new(),
            next: FIRST_SHIM,
            events: Vec::new(),
            starts_due: None,
            scratch: Vec::new(),
        }))
    }

    fn serve(&mut self) -> io::Result<()> {
        let mut ready: Vec<epoll::Event> = Vec::with_capacity(64);
        loop {
            let now = Instant::now();
            let unused = self.running.is_empty() && self.daemon.is_none();
            if unused && (self.goodbye || now.duration_since(self.alone_since) >= ALONE) {
                return Ok(());
            }
            let timeout = self.next_deadline().map(|deadline| {
                let left = deadline.saturating_duration_since(now);
                rustix::event::Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() }
            });
            ready.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut ready), timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &ready {
                match event.data.u64() {
                    LISTENER => self.accept(),
                    DAEMON => self.hear_daemon(),
                    SIGNALS => self.hear_signals(),
                    shim => self.hear_shim(shim),
                }
            }
            if !self.idle.is_empty() && self.idle_since.elapsed() >= IDLE {
                for key in std::mem::take(&mut self.idle) {
                    self.dismiss(key);
                }
            }
            self.tell_daemon();
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let idle = (!self.idle.is_empty()).then(|| self.idle_since + IDLE);
        let alone = (self.running.is_empty() && self.daemon.is_none()).then(|| self.alone_since + ALONE);
        idle.into_iter().chain(alone).chain(self.starts_due).min()
    }

    /// Gone for good: the socket first, so that nobody connects to one who leaves.
    fn leave(&mut self) {
        let _ = fs::remove_file(&self.socket);
        if let Some(groups) = Cgroups::existing(&self.setup.group) {
            groups.remove();
        }
    }

    fn accept(&mut self) {
        let Ok((stream, _)) = self.listener.accept() else { return };
        let ours = rustix::process::geteuid();
        let allowed = rustix::net::sockopt::socket_peercred(&stream)
            .is_ok_and(|peer| peer.uid == ours || peer.uid.is_root());
        if !allowed || stream.set_nonblocking(true).is_err() {
            return;
        }
        // The newest daemon is the daemon.
        self.lose_daemon();
        let data = epoll::EventData::new_u64(DAEMON);
        if epoll::add(&self.epoll, &stream, data, epoll::EventFlags::IN).is_err() {
            return;
        }
        self.goodbye = false;
        self.daemon = Some(Daemon {
            stream,
            reader: FrameReader::default(),
            out: Vec::new(),
            greeted: false,
            writable_wanted: false,
        });
    }

    fn lose_daemon(&mut self) {
        // Nobody will refer to these again: bases are sent anew on every connection.
        self.bases.clear();
        self.daemon = None;
        self.alone_since = Instant::now();
        self.events.clear();
        self.starts_due = None;
    }

    fn hear_daemon(&mut self) {
        loop {
            let Some(daemon) = &mut self.daemon else { return };
            let read = daemon.reader.fill(&mut Now(&daemon.stream));
            // Whatever has arrived is carried out, even when it is followed by the end of the stream:
            // the daemon may have died right after sending it. The claim decides who was first.
            loop {
                let Some(daemon) = &mut self.daemon else { return };
                match daemon.reader.next_message::<ToLauncher>() {
                    Ok(Some(message)) => self.obey(message),
                    Ok(None) => break,
                    Err(error) => {
                        let _ = writeln!(io::stderr(), "launcher: the daemon's message is refused: {error}");
                        return self.lose_daemon();
                    }
                }
            }
            match read {
                Ok(0) => return self.lose_daemon(),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.lose_daemon(),
            }
        }
    }

    fn obey(&mut self, message: ToLauncher) {
        match message {
            ToLauncher::Hello { version, .. } if version != proto::VERSION => {
                // Neither would understand the other: it is told so, finds out from the claims what
                // lives, and has a launcher of its own. Ours is done when nothing lives any more.
                self.say(&FromLauncher::Hello {
                    version: proto::VERSION,
                    pid: std::process::id(),
                    live: Vec::new(),
                });
                self.tell_daemon();
                self.lose_daemon();
                self.goodbye = true;
            }
            ToLauncher::Hello { version: _, token } => {
                if self.setup.token != token {
                    self.setup.token = token;
                    // Shims have the old one.
                    for key in std::mem::take(&mut self.idle) {
                        self.dismiss(key);
                    }
                }
                let live = self.running.keys().copied().collect();
                self.say(&FromLauncher::Hello { version: proto::VERSION, pid: std::process::id(), live });
                if let Some(daemon) = &mut self.daemon {
                    daemon.greeted = true;
                }
            }
            ToLauncher::Base { key, vars } => {
                if self.bases.len() == LAUNCHER_BASES {
                    self.bases.pop_front();
                }
                self.bases.push_back((key, vars));
            }
            ToLauncher::Run { items } => {
                for item in items {
                    self.run(item);
                }
            }
            ToLauncher::End { items } => {
                for item in items {
                    self.end(item);
                }
            }
            ToLauncher::Goodbye {} => self.goodbye = true,
        }
    }

    fn run(&mut self, item: RunItem) {
        if self.running.contains_key(&item.id) {
            return;
        }
        let RunItem { id, base, body } = item;
        // A shim that was killed while idle is noticed when it is written to: take another, twice at most.
        for _ in 0..3 {
            let key = match self.idle.pop() {
                Some(key) => key,
                None => match self.fork_shim() {
                    Ok(key) => key,
                    Err(error) => {
                        let errno = error.raw_os_error().unwrap_or(libc::EAGAIN);
                        let outcome = Box::new(Outcome::bare(Ending::SpawnFailed {
                            stage: SpawnStage::Process,
                            errno,
                        }));
                        self.events.push(LauncherEvent::Ended { id, outcome });
                        return;
                    }
                },
            };
            let Some(row) = self.shims.get_mut(&key) else { continue };
            self.scratch.clear();
            let mut encoded = Ok(());
            if !row.bases.contains(&base)
                && let Some((_, vars)) = self.bases.iter().find(|(known, _)| *known == base)
            {
                if row.bases.len() == SHIM_BASES {
                    row.bases.pop_front();
                }
                row.bases.push_back(base);
                encoded = frame::encode(&ToShim::Base { key: base, vars: vars.clone() }, &mut self.scratch);
            }
            let order = ToShim::Run { body: body.clone() };
            if encoded.and_then(|()| frame::encode(&order, &mut self.scratch)).is_err() {
                let ending = Ending::SpawnFailed { stage: SpawnStage::TooLarge, errno: libc::E2BIG };
                self.events.push(LauncherEvent::Ended { id, outcome: Box::new(Outcome::bare(ending)) });
                self.dismiss(key);
                return;
            }
            match send_all(&row.stream, &self.scratch) {
                Ok(()) => {}
                // It cannot know of this attempt: another shim may have it.
                Err(0) => {
                    self.shim_gone(key);
                    continue;
                }
                // It may have read the order; the fence decides.
                Err(_) => {
                    row.current = Some(id);
                    self.shim_gone(key);
                    return;
                }
            }
            row.runs = proto::next_run(row.runs);
            row.current = Some(id);
            let pid = row.pid as u32;
            self.running.insert(id, key);
            self.events.push(LauncherEvent::Started { id, pid });
            return;
        }
        self.events.push(LauncherEvent::NeverStarted { id });
    }

    fn end(&self, item: EndItem) {
        let Some(row) = self.running.get(&item.id).and_then(|key| self.shims.get(key)) else { return };
        let value = proto::pack_end(row.runs, item.signal, item.grace_ms);
        // The pid is our child's, which has not been reaped.
        if sys::queue_to_child(row.pid, shim::end_signal(), value).is_err() {
            // The queue of signals is full: the attempt's own signal and grace will do.
            let _ = sys::queue_to_child(row.pid, libc::SIGTERM, value);
        }
    }

    fn fork_shim(&mut self) -> io::Result<u64> {
        let (ours, theirs) = UnixStream::pair()?;
        // A stopped shim must not stop us for ever.
        ours.set_write_timeout(Some(Duration::from_secs(5)))?;
        let key = self.next;
        match sys::fork()? {
            Forked::Child => {
                // From here on everything of the launcher is only memory: nothing of it is dropped.
                let placed = sys::place_fd(theirs.as_fd(), SOCKET_FD);
                sys::close_from(SOCKET_FD + 1);
                if placed.is_err() {
                    sys::exit_now(1);
                }
                shim::shim_main(self.setup.clone())
            }
            Forked::Parent(pid) => {
                epoll::add(&self.epoll, &ours, epoll::EventData::new_u64(key), epoll::EventFlags::IN)?;
                self.next += 1;
                self.shims.insert(
                    key,
                    ShimRow {
                        pid,
                        stream: ours,
                        reader: FrameReader::default(),
                        bases: VecDeque::new(),
                        runs: 0,
                        current: None,
                    },
                );
                Ok(key)
            }
        }
    }

    /// Lets an idle shim go: it leaves when its socket closes, and SIGCHLD has it reaped.
    fn dismiss(&mut self, key: u64) {
        self.shims.remove(&key);
    }

    fn hear_shim(&mut self, key: u64) {
        let Some(row) = self.shims.get_mut(&key) else { return };
        let gone = match row.reader.fill(&mut Now(&row.stream)) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        };
        loop {
            let Some(row) = self.shims.get_mut(&key) else { return };
            let (id, event) = match row.reader.next_message::<FromShim>() {
                Ok(Some(FromShim::Ended { id, outcome })) => (id, LauncherEvent::Ended { id, outcome }),
                Ok(Some(FromShim::Fenced { id })) => (id, LauncherEvent::NeverStarted { id }),
                Ok(None) => break,
                Err(_) => return self.shim_gone(key),
            };
            row.current = None;
            self.running.remove(&id);
            self.events.push(event);
            if !gone {
                if self.idle.len() < IDLE_SHIMS {
                    self.idle.push(key);
                    self.idle_since = Instant::now();
                } else {
                    self.dismiss(key);
                }
            }
        }
        if gone {
            self.shim_gone(key);
        }
    }

    /// A shim ended although it should not have: its tree is swept, and its claim says what it did.
    fn shim_gone(&mut self, key: u64) {
        self.idle.retain(|idle| *idle != key);
        let Some(row) = self.shims.remove(&key) else { return };
        // Its socket is closed, so it ended or is of no use any more; it is our own child.
        let _ = sys::queue_to_child(row.pid, libc::SIGKILL, 0);
        sys::wait_child(row.pid, true);
        self.sweep_orphans();
        let Some(id) = row.current else { return };
        self.running.remove(&id);
        let fenced = self.claims.fence(id.into(), &self.setup.token);
        let event = match fenced {
            Ok(true) => LauncherEvent::NeverStarted { id },
            _ => match self.claims.inspect(id.into()) {
                Ok(ClaimState::Ended(outcome)) => LauncherEvent::Ended { id, outcome },
                Ok(ClaimState::Fenced) => LauncherEvent::NeverStarted { id },
                _ => LauncherEvent::Ended { id, outcome: Box::new(Outcome::bare(Ending::ShimDied)) },
            },
        };
        self.events.push(event);
    }

    /// Kills what dead shims left behind: it has become our child, and is not one of our shims.
    fn sweep_orphans(&mut self) {
        let me = std::process::id();
        let until = Instant::now() + Duration::from_secs(2);
        loop {
            self.reap();
            let shims: HashSet<u32> = self.shims.values().map(|row| row.pid as u32).collect();
            let below = tree::descendants(me);
            let mut doomed: HashSet<u32> = HashSet::new();
            let mut left = false;
            for (pid, parent) in below {
                let orphan = if parent == me { !shims.contains(&pid) } else { doomed.contains(&parent) };
                if orphan {
                    doomed.insert(pid);
                    if let Ok(fd) = identity::open(pid)
                        && identity::stat(pid).is_some_and(|(state, now, _)| state != b'Z' && now == parent)
                    {
                        left = true;
                        let _ = sys::signal_pidfd(fd.as_fd(), libc::SIGKILL);
                    }
                }
            }
            if !left || Instant::now() > until {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn hear_signals(&mut self) {
        let mut buffer = [0_u8; 128 * 8];
        let mut chosen = false;
        while let Ok(count) = rustix::io::read(&self.signals, &mut buffer[..]) {
            for info in buffer[..count].chunks_exact(128) {
                let signal = u32::from_ne_bytes([info[0], info[1], info[2], info[3]]);
                chosen |= signal == libc::SIGTERM as u32;
            }
            if count < buffer.len() {
                break;
            }
        }
        // The end of a session: leave as soon as nothing lives.
        self.goodbye |= chosen;
        self.reap();
    }

    /// Reaps children that nobody waits for: dismissed shims, and orphans.
    fn reap(&mut self) {
        let shims: HashSet<i32> = self.shims.values().map(|row| row.pid).collect();
        let Ok(children) = zombies(std::process::id()) else { return };
        for pid in children {
            if !shims.contains(&pid) {
                sys::wait_child(pid, false);
            }
        }
    }

    fn say(&mut self, message: &FromLauncher) {
        let Some(daemon) = &mut self.daemon else { return };
        if frame::encode(message, &mut daemon.out).is_err() {
            self.lose_daemon();
        }
    }

    fn news_is_due(&mut self) -> bool {
        if self.events.iter().any(|event| !matches!(event, LauncherEvent::Started { .. })) {
            return true;
        }
        if self.events.is_empty() {
            return false;
        }
        let now = Instant::now();
        *self.starts_due.get_or_insert(now + START_NEWS) <= now
    }

    fn tell_daemon(&mut self) {
        if self.daemon.as_ref().is_some_and(|daemon| daemon.greeted) && self.news_is_due() {
            self.starts_due = None;
            while !self.events.is_empty() {
                let rest = self.events.split_off(self.events.len().min(EVENTS));
                let events = std::mem::replace(&mut self.events, rest);
                self.say(&FromLauncher::Events { events });
            }
        } else if self.daemon.is_none() {
            self.events.clear();
            self.starts_due = None;
        }
        let Some(daemon) = &mut self.daemon else { return };
        let mut sent = 0;
        let mut lost = false;
        while sent < daemon.out.len() {
            match rustix::net::send(
                &daemon.stream,
                &daemon.out[sent..],
                SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
            ) {
                Ok(count) => sent += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => break,
                Err(_) => {
                    lost = true;
                    break;
                }
            }
        }
        daemon.out.drain(..sent);
        let wanted = !daemon.out.is_empty();
        if wanted != daemon.writable_wanted {
            daemon.writable_wanted = wanted;
            let flags =
                if wanted { epoll::EventFlags::IN | epoll::EventFlags::OUT } else { epoll::EventFlags::IN };
            lost |=
                epoll::modify(&self.epoll, &daemon.stream, epoll::EventData::new_u64(DAEMON), flags).is_err();
        }
        if lost {
            self.lose_daemon();
        }
    }
}

/// Ended children of a process that have not been reaped.
fn zombies(parent: u32) -> io::Result<Vec<i32>> {
    let text = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    let children: Vec<u32> = match text {
        Ok(text) => text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect(),
        Err(_) => {
            tree::descendants(parent).into_iter().filter(|(_, p)| *p == parent).map(|(pid, _)| pid).collect()
        }
    };
    Ok(children
        .into_iter()
        .filter(|pid| identity::stat(*pid).is_some_and(|(state, ..)| state == b'Z'))
        .map(|pid| pid as i32)
        .collect())
}

/// On failure: how many bytes had gone before it.
fn send_all(stream: &UnixStream, bytes: &[u8]) -> Result<(), usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match rustix::net::send(stream, &bytes[sent..], SendFlags::NOSIGNAL) {
            Ok(count) => sent += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return Err(sent),
        }
    }
    Ok(())
}
