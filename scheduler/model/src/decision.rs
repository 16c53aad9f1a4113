//! What is to be done: orders complete enough that carrying them out needs no further choice.

use crate::{AttemptId, DeviceId, EndReason, GraphId, GraphState, Placement, TaskId, Time};

/// An order.
#[derive(Clone, PartialEq, Debug)]
pub enum Decision {
    /// Start this attempt with what it was given. The placement is journalled before.
    Start {
        /// Which.
        attempt: AttemptId,
        /// What it holds.
        placement: Box<Placement>,
    },
    /// End this attempt: its signal, its grace, then its whole tree.
    Kill {
        /// Which.
        attempt: AttemptId,
        /// Why.
        reason: EndReason,
    },
    /// Tell me when this time has come.
    WakeAt(Time),
    /// Make a plan for this graph, beside the loop, and bring it back with this revision.
    PlanWanted {
        /// Which.
        graph: GraphId,
        /// Of what state of it.
        revision: u32,
    },
    /// The last reader of these values has ended.
    FreeValues {
        /// Their producer.
        task: TaskId,
    },
    /// A task reached the end of its story.
    TaskEnded {
        /// Which.
        task: TaskId,
    },
    /// A graph reached the end of its story.
    GraphEnded {
        /// Which.
        graph: GraphId,
        /// How.
        state: GraphState,
    },
}

/// A whole-graph schedule, as far as the dispatcher follows it: in what order, and where.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Plan {
    /// For each task by index: the higher, the earlier.
    pub priority: Vec<f64>,
    /// For each task by index: the variant and device it was planned for; `None` leaves it open.
    pub place: Vec<Option<PlannedPlace>>,
    /// Predicted makespan in seconds, from the start of the plan.
    pub makespan_s: f64,
    /// Whether something was known of every task; else the makespan means nothing.
    pub is_informed: bool,
    /// The strategy that made it.
    pub strategy: String,
    /// Why it was chosen, for people.
    pub why: String,
    /// How many whole schedules were made to find it.
    pub schedules: u64,
}

/// Where a task was planned to run.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PlannedPlace {
    /// Which variant.
    pub variant: u8,
    /// Which device: a GPU, or the node's cores.
    pub device: DeviceId,
    /// Planned start in seconds from the start of the plan.
    pub start_s: f64,
    /// Planned end in seconds from the start of the plan.
    pub end_s: f64,
}
