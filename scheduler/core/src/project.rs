//! Projections of the state: the snapshot that exporters and the API see, and rows of one graph.

use crate::run::GraphRun;
use crate::scheduler::Scheduler;
use dunnage_model::{
    Attempt, DeviceId, DeviceRow, Failure, GraphRow, Health, MilliCores, Placement, RunningRow, Snapshot,
    TaskCounts, TaskState, Time, Usage,
};
use std::sync::Arc;

/// A task as a line in the status of its graph.
#[derive(Clone, PartialEq, Debug)]
pub struct TaskRow {
    /// Its index.
    pub index: u32,
    /// Its id in the graph file.
    pub name: String,
    /// Its state.
    pub state: TaskState,
    /// How many attempts were started.
    pub starts: u32,
    /// When its last attempt was placed.
    pub placed_at: Option<Time>,
    /// When it began.
    pub started_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// How its last attempt failed, if it did.
    pub failure: Option<Failure>,
    /// What its last attempt used.
    pub usage: Usage,
    /// What its last attempt held.
    pub placement: Option<Placement>,
    /// The attempt whose outputs are its values.
    pub winner: Option<Attempt>,
    /// Whether its passing values are gone.
    pub freed: bool,
}

impl GraphRun {
    /// A task as a row.
    pub fn row(&self, task: u32) -> TaskRow {
        let slot = &self.slots[task as usize];
        let record = slot.record.as_deref();
        TaskRow {
            index: task,
            name: self.graph.task_name(task),
            state: slot.state.clone(),
            starts: slot.starts,
            placed_at: record.and_then(|r| r.placed_at),
            started_at: record.and_then(|r| r.started_at),
            ended_at: record.and_then(|r| r.ended_at),
            failure: record.and_then(|r| r.failure.clone()),
            usage: record.map(|r| r.usage).unwrap_or_default(),
            placement: record.and_then(|r| r.placement.clone()),
            winner: record.and_then(|r| r.winner),
            freed: record.is_some_and(|r| r.freed),
        }
    }

    /// The graph as a line in a list.
    pub fn summary(&self, strategy: &str) -> GraphRow {
        GraphRow {
            id: self.id,
            name: self.graph.name.clone(),
            owner: self.owner,
            state: self.state(),
            strategy: strategy.to_owned(),
            tasks: self.counts,
            submitted_at: self.submitted_at,
            started_at: self.started_at,
            ended_at: self.ended_at,
            priority: self.graph.settings.priority,
        }
    }
}

impl Scheduler {
    /// Why a graph is placed as it is, for people: the reason of its plan, or of its strategy for having none.
    pub fn why_of(&self, run: &GraphRun) -> Option<String> {
        let unplanned = || self.strategies[run.strategy].why_unplanned(&run.graph).map(str::to_owned);
        run.plan().map(|plan| plan.why.clone()).or_else(unplanned)
    }

    /// The name of the strategy that places a graph.
    pub fn strategy_of(&self, run: &GraphRun) -> &'static str {
        self.strategies[run.strategy].name()
    }

    /// The state as others see it. Its cost grows with graphs, devices and running attempts, not with
    /// the queue.
    pub fn snapshot(&self) -> Snapshot {
        let mut tasks = TaskCounts::default();
        let graphs = self
            .graphs
            .values()
            .map(|run| {
                let TaskCounts { functions, queued, running, succeeded, failed, cancelled, compensated } =
                    run.counts;
                tasks.functions += functions;
                tasks.queued += queued;
                tasks.running += running;
                tasks.succeeded += succeeded;
                tasks.failed += failed;
                tasks.cancelled += cancelled;
                tasks.compensated += compensated;
                Arc::new(run.summary(self.strategy_of(run)))
            })
            .collect();
        Snapshot {
            at: self.now,
            nodes: self.ledger.nodes().map(|node| Arc::clone(&node.spec)).collect(),
            devices: self.device_rows(),
            graphs,
            running: self.running_rows(),
            totals: self.totals.clone(),
            estimates: self.estimates.summary(),
            tasks,
        }
    }

    fn device_rows(&self) -> Vec<DeviceRow> {
        let mut rows = Vec::new();
        for node in self.ledger.nodes() {
            rows.push(DeviceRow {
                device: DeviceId::host(node.spec.id),
                health: if node.up {
                    Health::Ok
                } else {
                    Health::Unknown { why: "out of contact".to_owned() }
                },
                cpus: MilliCores((i64::from(node.spec.cpu.capacity.0) - node.cpus_free).max(0) as u32),
                memory: dunnage_model::Bytes((node.spec.memory.0 as i64 - node.memory_free).max(0) as u64),
                share: 0,
                holders: node.holders,
                foreign: node.foreign,
                sample: node.sample.clone(),
            });
            for gpu in &node.gpus {
                rows.push(DeviceRow {
                    device: gpu.device,
                    health: gpu.health.clone(),
                    cpus: MilliCores(0),
                    memory: dunnage_model::Bytes(gpu.memory_held.max(0) as u64),
                    share: if gpu.exclusive { 1000 } else { gpu.share_held.clamp(0, 1000) as u16 },
                    holders: gpu.holders,
                    foreign: gpu.foreign,
                    sample: gpu.sample.clone(),
                });
            }
        }
        rows
    }

    fn running_rows(&self) -> Vec<RunningRow> {
        self.ledger
            .holdings()
            .filter_map(|(attempt, placement)| {
                let run = self.graphs.get(&attempt.task.graph)?;
                let slot = run.slots.get(attempt.task.index as usize)?;
                let TaskState::Running(running) = &slot.state else { return None };
                Some(RunningRow {
                    attempt: *attempt,
                    function: run.graph.task_name(attempt.task.index).into(),
                    family: run.graph.family(attempt.task.index).into(),
                    graph_name: run.graph.name.as_str().into(),
                    strategy: self.strategy_of(run).into(),
                    cpus: placement.cpus,
                    memory: placement.memory,
                    gpus: placement.gpus.clone(),
                    gpu_memory_used: Vec::new(),
                    placed_at: running.placed_at,
                    started_at: running.started_at,
                    predicted: placement.predicted,
                    basis: placement.basis,
                })
            })
            .collect()
    }
}
