//! The read-only state that exporters, dashboards and the API see: counters, graph rows and running
//! tasks. Long lists are not in here; they are queries to the loop.

use crate::{
    AttemptId, Basis, Bytes, DeviceId, DeviceSample, GpuGrant, GraphId, GraphState, Health, MilliCores,
    NodeSpec, Owner, Span, Time,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The state of the scheduler at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// When it was taken.
    pub at: Time,
    /// The machines.
    pub nodes: Vec<Arc<NodeSpec>>,
    /// Every device with what is held and what is seen of it.
    pub devices: Vec<DeviceRow>,
    /// Every graph that has not been put away, by number.
    pub graphs: Vec<Arc<GraphRow>>,
    /// Every attempt that holds devices.
    pub running: Vec<RunningRow>,
    /// What has happened since the daemon began.
    pub totals: Totals,
    /// What is known of earlier runs, and how well predictions come true.
    pub estimates: crate::EstimateSummary,
    /// How many tasks stand where, over all graphs.
    pub tasks: TaskCounts,
}

/// A device: what the ledger has given away and what was last seen.
#[derive(Clone, Debug)]
pub struct DeviceRow {
    /// Which.
    pub device: DeviceId,
    /// How it is.
    pub health: Health,
    /// Cores given away; on a host.
    pub cpus: MilliCores,
    /// Memory given away.
    pub memory: Bytes,
    /// Share given away, in thousandths; 1000 when held alone.
    pub share: u16,
    /// How many attempts hold something of it.
    pub holders: u32,
    /// Memory that processes hold which are not ours.
    pub foreign: Bytes,
    /// What was last seen, and when.
    pub sample: Option<(Time, Arc<DeviceSample>)>,
}

/// A graph as a line in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphRow {
    /// Which.
    pub id: GraphId,
    /// Its name.
    pub name: String,
    /// Who submitted it.
    pub owner: Owner,
    /// Where it stands.
    pub state: GraphState,
    /// The strategy that places it.
    pub strategy: String,
    /// How many of its tasks stand where.
    pub tasks: TaskCounts,
    /// When it was accepted.
    pub submitted_at: Time,
    /// When its first attempt was placed.
    pub started_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// Its place in the queue: higher goes first.
    pub priority: i32,
}

/// How many tasks stand where.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TaskCounts {
    /// All.
    pub functions: u32,
    /// Waiting, ready, held or backing off.
    pub queued: u32,
    /// Placed.
    pub running: u32,
    /// Done.
    pub succeeded: u32,
    /// Failed for good.
    pub failed: u32,
    /// Cancelled.
    pub cancelled: u32,
    /// Undone.
    pub compensated: u32,
}

/// An attempt that holds devices.
#[derive(Clone, Debug)]
pub struct RunningRow {
    /// Which.
    pub attempt: AttemptId,
    /// The id of its function in the graph file.
    pub function: Arc<str>,
    /// The family that its function belongs to: what series of ended tasks are folded into.
    pub family: Arc<str>,
    /// The name of its graph.
    pub graph_name: Arc<str>,
    /// The strategy that placed it.
    pub strategy: Arc<str>,
    /// Cores it holds.
    pub cpus: MilliCores,
    /// RAM it holds.
    pub memory: Bytes,
    /// GPUs it holds.
    pub gpus: Vec<GpuGrant>,
    /// GPU memory its processes use, by device, where the driver tells.
    pub gpu_memory_used: Vec<(DeviceId, Bytes)>,
    /// When it was placed.
    pub placed_at: Time,
    /// When it began.
    pub started_at: Option<Time>,
    /// How long it is expected to take.
    pub predicted: Option<Span>,
    /// On what that rests.
    pub basis: Basis,
}

/// Counters since the daemon began.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Totals {
    /// Events handled.
    pub events: u64,
    /// Placements, by strategy.
    pub placements: BTreeMap<String, u64>,
    /// Tasks ended, by the word of their state.
    pub ended: BTreeMap<&'static str, u64>,
    /// Attempts that failed, by cause.
    pub failures: BTreeMap<&'static str, u64>,
    /// Attempts that followed a failed one, by its cause.
    pub retries: BTreeMap<&'static str, u64>,
    /// Results of attempts that were no longer current.
    pub late_results: u64,
    /// Plans that came too late.
    pub stale_plans: u64,
    /// Placements that a strategy proposed and the ledger refused.
    pub refused_proposals: u64,
    /// Graphs set aside because of an impossible state.
    pub quarantined_graphs: u64,
}
