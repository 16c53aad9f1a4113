//! What reaches the loop.

use crate::tree::TreeUse;
use dunnage_exec::EngineEvent;
use dunnage_exec::logs::LogChunk;
use dunnage_model::{AttemptId, DeviceSample, Event, Graph, GraphId, NodeSpec, Owner, Plan, Snapshot};
use dunnage_store::Notice;
use dunnage_wire::api::{DevicesDoc, ExplainDoc, ProgressDoc, QueueRow, StatusDoc};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::oneshot;

/// One thing that happened outside. The channel has no bound of its own: engine events are bounded by
/// the number of running attempts, requests by the number of connections.
pub(crate) enum Input {
    /// A client wants something.
    Command(Command),
    /// The engine has learned something.
    Engine(EngineEvent),
    /// An ended attempt's outputs were looked at and synced: this is what became of it.
    Judged { attempt: AttemptId, event: Box<Event>, lost: Vec<u32>, has_log: bool },
    /// The journal has written something.
    Notice(Notice),
    /// A planner is done.
    Planned { graph: GraphId, revision: u32, plan: Arc<Plan> },
    /// Devices were looked at.
    Sampled { samples: Vec<DeviceSample>, node: Option<NodeSpec>, trees: Box<TreeUse> },
    /// The daemon is to end; `kill` ends the tasks first.
    Stop { kill: bool },
}

/// Why a request was not carried out.
#[derive(Clone, Debug)]
pub(crate) enum Refused {
    /// There is no such graph or function.
    NotFound(String),
    /// It belongs to somebody else.
    Forbidden(String),
    /// It makes no sense in this state.
    Conflict(String),
    /// No machine here can ever run it.
    Impossible(Vec<dunnage_model::Problem>),
    /// The journal cannot be written.
    Broken(String),
}

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Refused>>;

/// A graph to be accepted.
pub(crate) struct NewGraph {
    pub(crate) graph: Arc<Graph>,
    /// Its text, for the journal.
    pub(crate) json: String,
    /// What its relative paths are relative to.
    pub(crate) dir: PathBuf,
    /// The submitter's environment, by its name in the store of environments.
    pub(crate) environment: Option<String>,
    pub(crate) owner: Owner,
    pub(crate) held: bool,
    pub(crate) trace: Option<String>,
    /// The number it must have; in local runs the number of the run.
    pub(crate) id: Option<u64>,
}

/// Where to read a log.
#[derive(Clone, Debug)]
pub(crate) struct LogPart {
    pub(crate) function: String,
    pub(crate) attempt: AttemptId,
    /// Whether the attempt still runs.
    pub(crate) running: bool,
}

/// What a client may want. `by` is who wants it.
pub(crate) enum Command {
    Submit {
        new: Box<NewGraph>,
        reply: Reply<GraphId>,
    },
    Queue {
        reply: Reply<Vec<QueueRow>>,
    },
    /// A copy to look ahead with, beside the loop.
    Outlook {
        reply: Reply<Box<(dunnage_core::Outlook, dunnage_model::Time)>>,
    },
    Status {
        id: GraphId,
        reply: Reply<Box<StatusDoc>>,
    },
    /// Answered when the graph has ended.
    Wait {
        id: GraphId,
        reply: Reply<()>,
    },
    Cancel {
        id: GraphId,
        function: Option<String>,
        by: Owner,
        reply: Reply<()>,
    },
    Hold {
        id: GraphId,
        by: Owner,
        reply: Reply<()>,
    },
    Release {
        id: GraphId,
        by: Owner,
        reply: Reply<()>,
    },
    Retry {
        id: GraphId,
        function: Option<String>,
        by: Owner,
        reply: Reply<()>,
    },
    Explain {
        id: GraphId,
        function: String,
        reply: Reply<Box<ExplainDoc>>,
    },
    Log {
        id: GraphId,
        function: Option<String>,
        attempt: Option<u32>,
        by: Owner,
        reply: Reply<Vec<LogPart>>,
    },
    /// A piece of an attempt's log, from memory, from disk or from the segments.
    LogChunk {
        attempt: AttemptId,
        offset: u64,
        reply: Reply<LogChunk>,
    },
    Progress {
        id: GraphId,
        reply: Reply<Box<ProgressDoc>>,
    },
    Devices {
        reply: Reply<Box<DevicesDoc>>,
    },
    Drain {
        device: String,
        drain: bool,
        reply: Reply<()>,
    },
    Snapshot {
        reply: Reply<Arc<Snapshot>>,
    },
    LauncherPid {
        reply: Reply<Option<u32>>,
    },
}
