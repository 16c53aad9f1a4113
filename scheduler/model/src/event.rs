//! What has happened: facts that the scheduler is told, each already true.

use crate::{
    AttemptId, DeviceId, DeviceSample, Failure, Graph, GraphId, NodeId, NodeSpec, Owner, Placement, Plan,
    TaskId, Time, Usage,
};
use std::sync::Arc;

/// A fact. See [`Event::is_journalled`] for which of them outlive the daemon.
#[derive(Clone, Debug)]
pub enum Event {
    /// A graph was accepted.
    Submitted(Box<Submission>),
    /// Functions were added to a graph that was not sealed yet: the whole graph as it is now, in which
    /// every earlier function has its earlier index.
    Extended {
        /// Which.
        graph: GraphId,
        /// Old functions first.
        functions: Arc<Graph>,
        /// Whether it is the last extension.
        sealed: bool,
    },
    /// An attempt was given its devices. Made by the scheduler itself, and told to it only in recovery.
    Placed {
        /// Which.
        attempt: AttemptId,
        /// What it holds.
        placement: Box<Placement>,
    },
    /// An attempt's process or worker began.
    Started {
        /// Which.
        attempt: AttemptId,
    },
    /// An attempt succeeded.
    Finished {
        /// Which.
        attempt: AttemptId,
        /// What it used.
        usage: Usage,
    },
    /// An attempt failed.
    Failed {
        /// Which.
        attempt: AttemptId,
        /// How.
        failure: Box<Failure>,
        /// What it used.
        usage: Usage,
    },
    /// An attempt was proven never to have started: it is placed anew and nothing is counted.
    NeverStarted {
        /// Which.
        attempt: AttemptId,
    },
    /// A value is gone although it is still needed.
    ValueLost {
        /// Its producer.
        task: TaskId,
    },
    /// The owner asked for the end of a graph, or of one task of it.
    Cancelled {
        /// Which graph.
        graph: GraphId,
        /// One task, or all.
        task: Option<u32>,
    },
    /// The owner keeps a graph back.
    HeldBack {
        /// Which.
        graph: GraphId,
    },
    /// The owner lets it go.
    Released {
        /// Which.
        graph: GraphId,
    },
    /// The owner wants what did not succeed to be tried again.
    Retried {
        /// Which graph.
        graph: GraphId,
        /// One task, or all that did not succeed.
        task: Option<u32>,
    },
    /// A node was inventoried, for the first time or again.
    NodeSeen(Arc<NodeSpec>),
    /// A device was looked at.
    DeviceSampled {
        /// What was seen.
        sample: Box<DeviceSample>,
        /// The part of its memory that processes hold which are not ours; of a node its RAM.
        foreign: crate::Bytes,
    },
    /// The memory of a device that attempts were seen to use: all that were seen, those left out use an
    /// unknown amount. It comes before the sample of the same look.
    MemoryUsed {
        /// Which device.
        device: DeviceId,
        /// How much by whom.
        by: Vec<(AttemptId, crate::Bytes)>,
    },
    /// A device is gone; what ran there is told to end and placed anew.
    DeviceLost {
        /// Which.
        device: DeviceId,
        /// What was seen.
        why: String,
    },
    /// A node is gone.
    NodeLost {
        /// Which.
        node: NodeId,
    },
    /// A planner has made its plan.
    Planned {
        /// For which graph.
        graph: GraphId,
        /// The revision it was asked for; an older one is dropped.
        revision: u32,
        /// The plan.
        plan: Arc<Plan>,
    },
    /// A running task said something of itself: progress, a score, a heartbeat.
    Reported {
        /// Which.
        task: TaskId,
        /// What it calls the quantity.
        name: String,
        /// How much.
        value: f64,
    },
    /// The time asked for by a `WakeAt` has come.
    TimerFired,
}

/// A graph as it was accepted.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Its number.
    pub id: GraphId,
    /// Its functions.
    pub graph: Arc<Graph>,
    /// Who submitted it.
    pub owner: Owner,
    /// Where every random choice for it begins.
    pub seed: u64,
    /// Whether it is kept back from the start.
    pub held: bool,
    /// Whether no more functions will be added.
    pub sealed: bool,
    /// W3C trace context of the submitter, passed on to its tasks.
    pub trace: Option<Arc<str>>,
}

impl Event {
    /// Whether the fact is written to the journal. Samples, plans and timers are not: after a restart
    /// they are taken, made and set anew.
    pub const fn is_journalled(&self) -> bool {
        match self {
            Self::Submitted(_)
            | Self::Extended { .. }
            | Self::Placed { .. }
            | Self::Started { .. }
            | Self::Finished { .. }
            | Self::Failed { .. }
            | Self::NeverStarted { .. }
            | Self::ValueLost { .. }
            | Self::Cancelled { .. }
            | Self::HeldBack { .. }
            | Self::Released { .. }
            | Self::Retried { .. } => true,
            Self::NodeSeen(_)
            | Self::DeviceSampled { .. }
            | Self::MemoryUsed { .. }
            | Self::DeviceLost { .. }
            | Self::NodeLost { .. }
            | Self::Planned { .. }
            | Self::Reported { .. }
            | Self::TimerFired => false,
        }
    }

    /// The graph it is about, if it is about one.
    pub fn graph(&self) -> Option<GraphId> {
        match self {
            Self::Submitted(submission) => Some(submission.id),
            Self::Placed { attempt, .. }
            | Self::Started { attempt }
            | Self::Finished { attempt, .. }
            | Self::Failed { attempt, .. }
            | Self::NeverStarted { attempt } => Some(attempt.task.graph),
            Self::ValueLost { task } | Self::Reported { task, .. } => Some(task.graph),
            Self::Extended { graph, .. }
            | Self::Cancelled { graph, .. }
            | Self::HeldBack { graph }
            | Self::Released { graph }
            | Self::Retried { graph, .. }
            | Self::Planned { graph, .. } => Some(*graph),
            Self::NodeSeen(_)
            | Self::DeviceSampled { .. }
            | Self::MemoryUsed { .. }
            | Self::DeviceLost { .. }
            | Self::NodeLost { .. }
            | Self::TimerFired => None,
        }
    }
}

/// A fact with the time at which it became true: what a journal holds.
#[derive(Clone, Debug)]
pub struct Fact {
    /// When.
    pub at: Time,
    /// What.
    pub event: Event,
}
