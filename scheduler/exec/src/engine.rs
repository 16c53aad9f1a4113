//! The port that every engine stands behind: batches of attempts in, facts about them out.
//!
//! An engine never decides anything: it is told what to start and what to end, and says what became
//! of it. Calls return at once; everything learned arrives as an [`EngineEvent`] on the channel given
//! when the engine was made. For every attempt submitted there is exactly one of `Ended`,
//! `NeverStarted` and `Lost`, unless the daemon dies first (then see `LocalEngine::recover`).

use crate::frame::Blob;
use dunnage_model::{AttemptId, Bytes, MilliCores, Span, Usage, ValueId};
use serde::{Deserialize, Serialize};
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What carries attempts out.
pub trait Engine: Send {
    /// What it can do here.
    fn caps(&self) -> EngineCaps;

    /// Starts these attempts. Their placements are journalled already.
    fn submit(&mut self, batch: Vec<AttemptSpec>);

    /// Ends an attempt: `signal` to its whole tree, `SIGKILL` after `grace`. Unknown attempts are
    /// ignored: their end is on its way.
    fn cancel(&mut self, attempt: AttemptId, signal: i32, grace: Duration);

    /// Brings a value that the engine holds into a local file.
    fn fetch(&mut self, value: ValueId) -> Result<(), Unsupported> {
        let _ = value;
        Err(Unsupported)
    }

    /// The engine may forget these values. Engines that hold none have nothing to do.
    fn free(&mut self, values: &[ValueId]) {
        let _ = values;
    }

    /// Asks for this many workers or nodes.
    fn scale(&mut self, workers: u32) -> Result<(), Unsupported> {
        let _ = workers;
        Err(Unsupported)
    }
}

/// The engine does not do this. The caller does without.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("this engine does not support the request")]
pub struct Unsupported;

/// What an engine can do on this machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EngineCaps {
    /// Whether a running attempt outlives the daemon and is found again.
    pub reattach: bool,
    /// Whether it can run commands as another user.
    pub switch_user: bool,
    /// How a memory limit is held.
    pub memory: MemoryControl,
    /// Whether `fetch` does anything.
    pub fetch: bool,
    /// Whether `scale` does anything.
    pub scale: bool,
}

/// How a memory limit is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemoryControl {
    /// By the kernel, control groups version 2.
    CgroupV2,
    /// By the kernel, control groups version 1.
    CgroupV1,
    /// The tree is looked at a few times a second and killed when it is above.
    Watched,
}

/// One attempt, with everything needed to carry it out.
#[derive(Clone, Debug)]
pub struct AttemptSpec {
    /// Which.
    pub id: AttemptId,
    /// What to do.
    pub work: Work,
    /// Whether its output is kept; otherwise it goes nowhere. Kernels have none.
    pub log: bool,
    /// Cores it was given. Kernel calls of less than one core share a worker.
    pub cores: MilliCores,
    /// The cores it may run on; `None` for all.
    pub affinity: Option<Vec<u32>>,
    /// RAM that its tree may not exceed, in bytes.
    pub memory_limit: Option<u64>,
    /// As whom it runs, where that is not who we are.
    pub user: Option<RunAs>,
    /// The signal that asks it to end, should somebody signal its shim rather than call `cancel`.
    pub signal: i32,
    /// How long it then has.
    pub grace: Duration,
}

/// What an attempt does.
#[derive(Clone, Debug)]
pub enum Work {
    /// A program.
    Command {
        /// Program and arguments. A name without a slash is looked up in the `PATH` of `env`.
        argv: Vec<String>,
        /// Where it runs.
        dir: PathBuf,
        /// Its environment.
        env: EnvRef,
    },
    /// A call of a built-in function in a worker.
    Kernel {
        /// What the worker is told; the engine does not look inside.
        payload: Vec<u8>,
        /// Which kind of worker.
        worker: WorkerKey,
    },
}

/// Which workers may take a kernel call: those started with the same key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct WorkerKey {
    /// The GPU it holds, by UUID; `None` for the cores. There is one worker a GPU.
    pub device: Option<String>,
    /// Added to the worker's environment when it is started.
    pub env: Vec<(String, String)>,
}

/// An environment: a base that many attempts share, and what differs.
#[derive(Clone, Debug)]
pub struct EnvRef {
    /// Shared by all attempts of a submission.
    pub base: EnvBase,
    /// Set after the base, for this attempt.
    pub overrides: Vec<(String, String)>,
}

/// A shared environment with a key by which it is known after it has been sent once.
#[derive(Clone)]
pub struct EnvBase {
    key: [u64; 2],
    vars: Arc<Vec<(String, String)>>,
}

/// As whom an attempt runs. Made by [`crate::user::lookup`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RunAs {
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// All groups.
    pub groups: Vec<u32>,
}

/// What an engine has learned.
#[derive(Clone, PartialEq, Debug)]
pub enum EngineEvent {
    /// A process was made for the attempt.
    Started {
        /// Which.
        attempt: AttemptId,
        /// The root of its process tree (its shim, or its worker): every process of the attempt is
        /// below this one.
        pid: u32,
    },
    /// It is over, and nothing of its tree is left.
    Ended {
        /// Which.
        attempt: AttemptId,
        /// How.
        outcome: Box<Outcome>,
    },
    /// It is proven that it did not start and never will.
    NeverStarted {
        /// Which.
        attempt: AttemptId,
    },
    /// A pure call was lost through no fault of its own (its worker was killed because of another
    /// call). It may simply be run again.
    Lost {
        /// Which.
        attempt: AttemptId,
    },
    /// The launcher is gone. What it had started lives on and is watched; this is for the operator.
    LauncherLost {
        /// Its process id.
        pid: u32,
    },
    /// No launcher can be started, so no command can. The attempts concerned get their own events.
    LauncherUnavailable {
        /// Why, for people.
        why: String,
    },
}

/// How an attempt ended, and what it used.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// How.
    pub ending: Ending,
    /// CPU time of the tree, in microseconds.
    #[serde(default)]
    pub cpu_us: Option<u64>,
    /// The most memory one process of the tree (or its control group) held, in bytes. Unknown where it
    /// was too little to be told apart from what the shim itself holds.
    #[serde(default)]
    pub peak_memory: Option<u64>,
    /// When it started, on the boot clock, in microseconds; 0 where unknown.
    #[serde(default)]
    pub started_boot_us: u64,
    /// When it ended, on the boot clock, in microseconds; 0 where unknown.
    #[serde(default)]
    pub ended_boot_us: u64,
    /// When it started, in microseconds since 1970, for people; 0 where unknown.
    #[serde(default)]
    pub started_wall_us: u64,
    /// Bytes of output. A log of 0 bytes is removed already.
    #[serde(default)]
    pub log_bytes: u64,
    /// Whether it was told to end before it ended.
    #[serde(default)]
    pub cancelled: bool,
    /// Processes of the tree that could not be killed.
    #[serde(default)]
    pub survivors: u32,
}

/// How an attempt ended.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Ending {
    /// Its main process ended by itself.
    Exited {
        /// What it returned.
        code: i32,
    },
    /// Its main process was ended by a signal.
    Signalled {
        /// Which.
        signal: i32,
    },
    /// It could not be started.
    SpawnFailed {
        /// At which step.
        stage: SpawnStage,
        /// The system's error number.
        errno: i32,
    },
    /// It needed more RAM than its limit.
    OutOfMemory {
        /// The limit in bytes.
        limit: u64,
    },
    /// The process that watched it died: its status is unknown, and its tree was swept.
    ShimDied,
    /// The worker that ran the call died.
    WorkerDied {
        /// The signal that ended the worker, where known.
        signal: Option<i32>,
        /// Its exit code, where known.
        code: Option<i32>,
    },
    /// A kernel call came back.
    Returned {
        /// Whether the kernel says that it succeeded.
        ok: bool,
        /// What it said.
        payload: Blob,
    },
}

/// The step of starting a command that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SpawnStage {
    /// An argument or variable holds a NUL byte, or there is no program.
    Argument,
    /// The claim could not be written.
    Claim,
    /// The log file could not be made.
    Log,
    /// The process could not be made.
    Process,
    /// The control group could not be entered.
    Cgroup,
    /// The user could not be switched.
    User,
    /// The working directory could not be entered.
    Directory,
    /// The program could not be executed.
    Program,
    /// No launcher could be started.
    Launcher,
    /// The attempt is too large for one message to the launcher.
    TooLarge,
}

impl EnvBase {
    /// An environment to share. Its key cannot be guessed, so that nobody can make an environment that
    /// is taken for another's.
    pub fn new(vars: Vec<(String, String)>) -> Self {
        static KEYS: OnceLock<(RandomState, RandomState)> = OnceLock::new();
        let (first, second) = KEYS.get_or_init(|| (RandomState::new(), RandomState::new()));
        let hash = |state: &RandomState| {
            let mut hasher = state.build_hasher();
            for (name, value) in &vars {
                hasher.write_usize(name.len());
                hasher.write(name.as_bytes());
                hasher.write_usize(value.len());
                hasher.write(value.as_bytes());
            }
            hasher.finish()
        };
        let key = [hash(first), hash(second)];
        Self { key, vars: Arc::new(vars) }
    }

    /// Its key within this process.
    pub const fn key(&self) -> [u64; 2] {
        self.key
    }

    /// Names and values.
    pub fn vars(&self) -> &[(String, String)] {
        &self.vars
    }
}

/// Environments hold secrets: values are never printed.
impl fmt::Debug for EnvBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnvBase({} variables)", self.vars.len())
    }
}

impl EngineEvent {
    /// The attempt it is about, if it is about one.
    pub const fn attempt(&self) -> Option<AttemptId> {
        match self {
            Self::Started { attempt, .. }
            | Self::Ended { attempt, .. }
            | Self::NeverStarted { attempt }
            | Self::Lost { attempt } => Some(*attempt),
            Self::LauncherLost { .. } | Self::LauncherUnavailable { .. } => None,
        }
    }
}

impl Outcome {
    /// An outcome of which only the ending is known.
    pub const fn bare(ending: Ending) -> Self {
        Self {
            ending,
            cpu_us: None,
            peak_memory: None,
            started_boot_us: 0,
            ended_boot_us: 0,
            started_wall_us: 0,
            log_bytes: 0,
            cancelled: false,
            survivors: 0,
        }
    }

    /// Whether the work was done.
    pub const fn is_success(&self) -> bool {
        matches!(self.ending, Ending::Exited { code: 0 } | Ending::Returned { ok: true, .. })
    }

    /// What it used, in the scheduler's words.
    pub fn usage(&self) -> Usage {
        Usage {
            cpu_time: self.cpu_us.map(Span),
            peak_memory: self.peak_memory.map(Bytes),
            peak_gpu_memory: None,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited { code } => write!(f, "exited with code {code}"),
            Self::Signalled { signal } => write!(f, "ended by signal {signal}"),
            Self::SpawnFailed { stage, errno } => {
                let error = std::io::Error::from_raw_os_error(*errno);
                write!(f, "{}: {error}", stage.sentence())
            }
            Self::OutOfMemory { limit } => {
                write!(f, "needed more memory than its limit of {}", Bytes(*limit))
            }
            Self::ShimDied => {
                f.write_str("the process that watched it was killed; its own status is unknown")
            }
            Self::WorkerDied { signal: Some(signal), .. } => {
                write!(f, "its worker was ended by signal {signal}")
            }
            Self::WorkerDied { code: Some(code), .. } => write!(f, "its worker exited with code {code}"),
            Self::WorkerDied { .. } => f.write_str("its worker died"),
            Self::Returned { ok: true, .. } => f.write_str("returned"),
            Self::Returned { ok: false, .. } => f.write_str("the kernel failed"),
        }
    }
}

impl SpawnStage {
    /// What failed, for people.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Argument => "cannot use the command line or environment",
            Self::Claim => "cannot write the claim in the runtime directory",
            Self::Log => "cannot make the log file in the runtime directory",
            Self::Process => "cannot make a process",
            Self::Cgroup => "cannot enter the control group that holds the memory limit",
            Self::User => "cannot become the submitting user",
            Self::Directory => "cannot enter the working directory",
            Self::Program => "cannot execute the program",
            Self::Launcher => "cannot start the launcher",
            Self::TooLarge => "the command line and environment are too large",
        }
    }
}
