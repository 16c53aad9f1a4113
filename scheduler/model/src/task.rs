//! The life of a task: where it stands, where its attempt was placed, how it ended.

use crate::{Attempt, Bytes, DeviceId, MilliCores, MilliShare, NodeId, Span, Time};
use std::fmt;
use std::sync::Arc;

/// Where a task stands, with the data of that phase inside.
#[derive(Clone, PartialEq, Debug)]
pub enum TaskState {
    /// Some inputs are not there yet.
    Waiting,
    /// It could start now.
    Ready,
    /// It is kept back by its owner, or its graph is.
    Held,
    /// An attempt was placed, and perhaps started.
    Running(Box<Running>),
    /// It failed and will be started again.
    BackingOff {
        /// When it becomes ready.
        until: Time,
    },
    /// Done.
    Succeeded,
    /// Failed for good.
    Failed,
    /// Never finished, and never will.
    Cancelled {
        /// [`Cause::UpstreamFailed`], [`Cause::Cancelled`], or [`Cause::Timeout`] when it ran as its graph's
        /// time was over.
        cause: Cause,
    },
    /// It succeeded, and its work was undone afterwards.
    Compensated,
}

/// An attempt that holds its devices.
#[derive(Clone, PartialEq, Debug)]
pub struct Running {
    /// Which.
    pub attempt: Attempt,
    /// What it holds.
    pub placement: Placement,
    /// When it was placed.
    pub placed_at: Time,
    /// When its process or worker began, once that is known.
    pub started_at: Option<Time>,
    /// Set when it has been told to end.
    pub ending: Option<EndReason>,
    /// Set when its node is out of contact: it may still run there.
    pub out_of_contact: bool,
}

/// Why an attempt was told to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndReason {
    /// Its owner asked.
    Cancelled,
    /// Its time is over.
    Timeout,
    /// Its graph's time is over.
    GraphTimeout,
    /// Its device was lost.
    DeviceLost,
    /// It had to make room.
    Preempted,
}

/// What an attempt holds, and why it was put there. It is journalled before the attempt starts.
#[derive(Clone, PartialEq, Debug)]
pub struct Placement {
    /// Which of the function's variants.
    pub variant: u8,
    /// On which node.
    pub node: NodeId,
    /// Cores there.
    pub cpus: MilliCores,
    /// RAM reserved there.
    pub memory: Bytes,
    /// RAM it may not exceed, where declared.
    pub memory_limit: Option<Bytes>,
    /// GPUs there.
    pub gpus: Vec<GpuGrant>,
    /// Named resources there.
    pub custom: Vec<(Arc<str>, u64)>,
    /// How long it is expected to take, where anything is known.
    pub predicted: Option<Span>,
    /// On what the expectation rests.
    pub basis: Basis,
}

/// What an attempt holds of one GPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GpuGrant {
    /// Which.
    pub device: DeviceId,
    /// Its share; 1000 when held alone.
    pub share: MilliShare,
    /// Memory there.
    pub memory: Bytes,
    /// Whether nobody else may be placed there.
    pub exclusive: bool,
}

/// On what an expectation rests.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Basis {
    /// Earlier runs of the same function.
    History,
    /// What its author declared.
    Declaration,
    /// What the device was measured to do.
    Calibration,
    /// Nothing is known.
    #[default]
    None,
}

/// Why an attempt failed. The names are those of the API.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Cause {
    /// The function itself said so.
    User,
    /// It took longer than it may.
    Timeout,
    /// It asked for more memory than there is or than it may have.
    OutOfMemory,
    /// The process that carried it out died.
    WorkerDied,
    /// Its device is gone.
    DeviceLost,
    /// Its node is gone.
    NodeLost,
    /// An input is gone.
    ValueLost,
    /// It could not be started at all.
    SpawnFailed,
    /// It had to make room.
    Preempted,
    /// A task that it needs did not succeed.
    UpstreamFailed,
    /// Its owner, or the failure of its graph, ended it.
    Cancelled,
    /// No device of this machine could ever hold it.
    Refused,
}

/// Which memory was exhausted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum MemoryPlace {
    /// RAM.
    Host,
    /// A GPU's memory.
    Gpu,
}

/// How an attempt failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Why.
    pub cause: Cause,
    /// For out of memory: where.
    pub place: Option<MemoryPlace>,
    /// For people, one line or a few.
    pub message: String,
    /// The last lines of its log or its traceback.
    pub detail: String,
    /// What the process returned.
    pub exit_code: Option<i32>,
    /// What signal ended it.
    pub signal: Option<i32>,
}

/// What an attempt used, as far as it was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// CPU time of its whole tree.
    pub cpu_time: Option<Span>,
    /// The most RAM it held at once.
    pub peak_memory: Option<Bytes>,
    /// The most GPU memory it held at once.
    pub peak_gpu_memory: Option<Bytes>,
}

/// Where a graph stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum GraphState {
    /// Nothing of it has started.
    Queued,
    /// Something has.
    Running,
    /// Its owner keeps it back.
    Held,
    /// Ended well, perhaps with failures that its tolerance allows.
    Succeeded,
    /// Ended badly.
    Failed,
    /// Its owner ended it.
    Cancelled,
}

impl TaskState {
    /// Whether nothing more will happen to it.
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Cancelled { .. } | Self::Compensated => true,
            Self::Waiting | Self::Ready | Self::Held | Self::Running(_) | Self::BackingOff { .. } => false,
        }
    }

    /// The word of API and CLI.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Waiting | Self::Ready | Self::BackingOff { .. } => "queued",
            Self::Held => "held",
            Self::Running(_) => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled { .. } => "cancelled",
            Self::Compensated => "compensated",
        }
    }
}

impl GraphState {
    /// The word of API and CLI.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Held => "held",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it has ended.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Cancelled => true,
            Self::Queued | Self::Running | Self::Held => false,
        }
    }
}

impl Cause {
    /// Every cause, in the order of the API's documentation.
    pub const ALL: [Self; 12] = [
        Self::User,
        Self::Timeout,
        Self::OutOfMemory,
        Self::WorkerDied,
        Self::DeviceLost,
        Self::NodeLost,
        Self::ValueLost,
        Self::SpawnFailed,
        Self::Preempted,
        Self::UpstreamFailed,
        Self::Cancelled,
        Self::Refused,
    ];

    /// The word of API and CLI.
    pub const fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Timeout => "timeout",
            Self::OutOfMemory => "out_of_memory",
            Self::WorkerDied => "worker_died",
            Self::DeviceLost => "device_lost",
            Self::NodeLost => "node_lost",
            Self::ValueLost => "value_lost",
            Self::SpawnFailed => "spawn_failed",
            Self::Preempted => "preempted",
            Self::UpstreamFailed => "upstream_failed",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
        }
    }

    /// Whether the loss is not the function's fault, so that placing it anew spends no retry.
    pub const fn is_loss(self) -> bool {
        match self {
            Self::WorkerDied | Self::DeviceLost | Self::NodeLost | Self::ValueLost | Self::Preempted => true,
            Self::User
            | Self::Timeout
            | Self::OutOfMemory
            | Self::SpawnFailed
            | Self::UpstreamFailed
            | Self::Cancelled
            | Self::Refused => false,
        }
    }
}

impl MemoryPlace {
    /// The word of the API's `where`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Gpu => "gpu",
        }
    }
}

impl Basis {
    /// The word of API and CLI.
    pub const fn word(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::Declaration => "declaration",
            Self::Calibration => "calibration",
            Self::None => "none",
        }
    }
}

impl Failure {
    /// A failure with a cause and a message and nothing else.
    pub fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self {
            cause,
            place: None,
            message: message.into(),
            detail: String::new(),
            exit_code: None,
            signal: None,
        }
    }
}

impl Placement {
    /// The device that a person would name: its first GPU, else the cores.
    pub fn main_device(&self) -> DeviceId {
        self.gpus.first().map_or(DeviceId::host(self.node), |grant| grant.device)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
