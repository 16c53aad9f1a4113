//! The records of format 1, each as an array of plain numbers and strings, and their conversion to
//! and from the model. Conversions take every field by name, so that a new field of the model cannot
//! be forgotten here.

use dunnage_model::{
    Attempt, AttemptId, Basis, Bytes, Cause, DeviceId, Failure, GpuGrant, GraphId, MemoryPlace, MilliCores,
    MilliShare, NodeId, Placement, Span, TaskId, Usage,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A number that stands for nothing that this version knows.
#[derive(Debug)]
pub(super) struct UnknownCode {
    what: &'static str,
    code: u8,
}

/// An attempt was placed.
#[derive(Serialize, Deserialize)]
pub(super) struct PlacedRecord {
    wait: i64,
    graph: u64,
    index: u32,
    attempt: u32,
    variant: u8,
    node: u16,
    cpus: u32,
    memory: u64,
    memory_limit: Option<u64>,
    gpus: Vec<GrantRecord>,
    custom: Vec<(String, u64)>,
    predicted: Option<u64>,
    basis: u8,
}

/// What a placement holds of one GPU.
#[derive(Serialize, Deserialize)]
struct GrantRecord {
    node: u16,
    local: u16,
    share: u16,
    memory: u64,
    exclusive: bool,
}

/// An attempt began, or was proven never to have begun.
#[derive(Serialize, Deserialize)]
pub(super) struct StartedRecord {
    wait: i64,
    graph: u64,
    index: u32,
    attempt: u32,
}

/// An attempt succeeded.
#[derive(Serialize, Deserialize)]
pub(super) struct FinishedRecord {
    wait: i64,
    graph: u64,
    index: u32,
    attempt: u32,
    cpu_time: Option<u64>,
    peak_memory: Option<u64>,
    peak_gpu_memory: Option<u64>,
}

/// An attempt failed.
#[derive(Serialize, Deserialize)]
pub(super) struct FailedRecord {
    wait: i64,
    graph: u64,
    index: u32,
    attempt: u32,
    cpu_time: Option<u64>,
    peak_memory: Option<u64>,
    peak_gpu_memory: Option<u64>,
    cause: u8,
    place: Option<u8>,
    message: String,
    detail: String,
    exit_code: Option<i32>,
    signal: Option<i32>,
}

/// A value of a task is gone.
#[derive(Serialize, Deserialize)]
pub(super) struct ValueLostRecord {
    wait: i64,
    graph: u64,
    index: u32,
}

/// A request about a graph.
#[derive(Serialize, Deserialize)]
pub(super) struct GraphRecord {
    wait: i64,
    graph: u64,
}

/// A request about a graph or one task of it.
#[derive(Serialize, Deserialize)]
pub(super) struct GraphTaskRecord {
    wait: i64,
    graph: u64,
    task: Option<u32>,
}

impl PlacedRecord {
    pub(super) fn of(wait: i64, attempt: AttemptId, placement: &Placement) -> Self {
        let AttemptId { task: TaskId { graph: GraphId(graph), index }, attempt: Attempt(attempt) } = attempt;
        let Placement { variant, node, cpus, memory, memory_limit, gpus, custom, predicted, basis } =
            placement;
        Self {
            wait,
            graph,
            index,
            attempt,
            variant: *variant,
            node: node.0,
            cpus: cpus.0,
            memory: memory.0,
            memory_limit: memory_limit.map(|bytes| bytes.0),
            gpus: gpus.iter().map(GrantRecord::of).collect(),
            custom: custom.iter().map(|(name, amount)| (name.to_string(), *amount)).collect(),
            predicted: predicted.map(|span| span.0),
            basis: basis_code(*basis),
        }
    }

    pub(super) fn into_model(self) -> Result<(i64, AttemptId, Placement), UnknownCode> {
        let Self {
            wait,
            graph,
            index,
            attempt,
            variant,
            node,
            cpus,
            memory,
            memory_limit,
            gpus,
            custom,
            predicted,
            basis,
        } = self;
        let placement = Placement {
            variant,
            node: NodeId(node),
            cpus: MilliCores(cpus),
            memory: Bytes(memory),
            memory_limit: memory_limit.map(Bytes),
            gpus: gpus.into_iter().map(GrantRecord::into_model).collect(),
            custom: custom.into_iter().map(|(name, amount)| (Arc::from(name), amount)).collect(),
            predicted: predicted.map(Span),
            basis: basis_of(basis)?,
        };
        Ok((wait, attempt_id(graph, index, attempt), placement))
    }
}

impl GrantRecord {
    fn of(grant: &GpuGrant) -> Self {
        let GpuGrant { device: DeviceId { node: NodeId(node), local }, share, memory, exclusive } = *grant;
        Self { node, local, share: share.0, memory: memory.0, exclusive }
    }

    fn into_model(self) -> GpuGrant {
        let Self { node, local, share, memory, exclusive } = self;
        GpuGrant {
            device: DeviceId { node: NodeId(node), local },
            share: MilliShare(share),
            memory: Bytes(memory),
            exclusive,
        }
    }
}

impl StartedRecord {
    pub(super) fn of(wait: i64, attempt: AttemptId) -> Self {
        let AttemptId { task: TaskId { graph: GraphId(graph), index }, attempt: Attempt(attempt) } = attempt;
        Self { wait, graph, index, attempt }
    }

    pub(super) fn into_model(self) -> (i64, AttemptId) {
        let Self { wait, graph, index, attempt } = self;
        (wait, attempt_id(graph, index, attempt))
    }
}

impl FinishedRecord {
    pub(super) fn of(wait: i64, attempt: AttemptId, usage: Usage) -> Self {
        let AttemptId { task: TaskId { graph: GraphId(graph), index }, attempt: Attempt(attempt) } = attempt;
        let Usage { cpu_time, peak_memory, peak_gpu_memory } = usage;
        Self {
            wait,
            graph,
            index,
            attempt,
            cpu_time: cpu_time.map(|span| span.0),
            peak_memory: peak_memory.map(|bytes| bytes.0),
            peak_gpu_memory: peak_gpu_memory.map(|bytes| bytes.0),
        }
    }

    pub(super) fn into_model(self) -> (i64, AttemptId, Usage) {
        let Self { wait, graph, index, attempt, cpu_time, peak_memory, peak_gpu_memory } = self;
        (wait, attempt_id(graph, index, attempt), usage(cpu_time, peak_memory, peak_gpu_memory))
    }
}

impl FailedRecord {
    pub(super) fn of(wait: i64, attempt: AttemptId, failure: &Failure, usage: Usage) -> Self {
        let AttemptId { task: TaskId { graph: GraphId(graph), index }, attempt: Attempt(attempt) } = attempt;
        let Failure { cause, place, message, detail, exit_code, signal } = failure;
        let Usage { cpu_time, peak_memory, peak_gpu_memory } = usage;
        Self {
            wait,
            graph,
            index,
            attempt,
            cpu_time: cpu_time.map(|span| span.0),
            peak_memory: peak_memory.map(|bytes| bytes.0),
            peak_gpu_memory: peak_gpu_memory.map(|bytes| bytes.0),
            cause: cause_code(*cause),
            place: place.map(place_code),
            message: message.clone(),
            detail: detail.clone(),
            exit_code: *exit_code,
            signal: *signal,
        }
    }

    pub(super) fn into_model(self) -> Result<(i64, AttemptId, Failure, Usage), UnknownCode> {
        let Self {
            wait,
            graph,
            index,
            attempt,
            cpu_time,
            peak_memory,
            peak_gpu_memory,
            cause,
            place,
            message,
            detail,
            exit_code,
            signal,
        } = self;
        let failure = Failure {
            cause: cause_of(cause)?,
            place: place.map(place_of).transpose()?,
            message,
            detail,
            exit_code,
            signal,
        };
        let usage = usage(cpu_time, peak_memory, peak_gpu_memory);
        Ok((wait, attempt_id(graph, index, attempt), failure, usage))
    }
}

impl ValueLostRecord {
    pub(super) fn of(wait: i64, task: TaskId) -> Self {
        let TaskId { graph: GraphId(graph), index } = task;
        Self { wait, graph, index }
    }

    pub(super) fn into_model(self) -> (i64, TaskId) {
        let Self { wait, graph, index } = self;
        (wait, GraphId(graph).task(index))
    }
}

impl GraphRecord {
    pub(super) fn of(wait: i64, graph: GraphId) -> Self {
        Self { wait, graph: graph.0 }
    }

    pub(super) fn into_model(self) -> (i64, GraphId) {
        let Self { wait, graph } = self;
        (wait, GraphId(graph))
    }
}

impl GraphTaskRecord {
    pub(super) fn of(wait: i64, graph: GraphId, task: Option<u32>) -> Self {
        Self { wait, graph: graph.0, task }
    }

    pub(super) fn into_model(self) -> (i64, GraphId, Option<u32>) {
        let Self { wait, graph, task } = self;
        (wait, GraphId(graph), task)
    }
}

fn attempt_id(graph: u64, index: u32, attempt: u32) -> AttemptId {
    GraphId(graph).task(index).attempt(Attempt(attempt))
}

fn usage(cpu_time: Option<u64>, peak_memory: Option<u64>, peak_gpu_memory: Option<u64>) -> Usage {
    Usage {
        cpu_time: cpu_time.map(Span),
        peak_memory: peak_memory.map(Bytes),
        peak_gpu_memory: peak_gpu_memory.map(Bytes),
    }
}

/// The numbers of format 1. They are never given a new meaning.
fn cause_code(cause: Cause) -> u8 {
    match cause {
        Cause::User => 1,
        Cause::Timeout => 2,
        Cause::OutOfMemory => 3,
        Cause::WorkerDied => 4,
        Cause::DeviceLost => 5,
        Cause::NodeLost => 6,
        Cause::ValueLost => 7,
        Cause::SpawnFailed => 8,
        Cause::Preempted => 9,
        Cause::UpstreamFailed => 10,
        Cause::Cancelled => 11,
        Cause::Refused => 12,
    }
}

fn cause_of(code: u8) -> Result<Cause, UnknownCode> {
    Cause::ALL.into_iter().find(|cause| cause_code(*cause) == code).ok_or(UnknownCode { what: "cause", code })
}

fn place_code(place: MemoryPlace) -> u8 {
    match place {
        MemoryPlace::Host => 1,
        MemoryPlace::Gpu => 2,
    }
}

fn place_of(code: u8) -> Result<MemoryPlace, UnknownCode> {
    match code {
        1 => Ok(MemoryPlace::Host),
        2 => Ok(MemoryPlace::Gpu),
        code => Err(UnknownCode { what: "kind of memory", code }),
    }
}

fn basis_code(basis: Basis) -> u8 {
    match basis {
        Basis::None => 0,
        Basis::History => 1,
        Basis::Declaration => 2,
        Basis::Calibration => 3,
    }
}

fn basis_of(code: u8) -> Result<Basis, UnknownCode> {
    match code {
        0 => Ok(Basis::None),
        1 => Ok(Basis::History),
        2 => Ok(Basis::Declaration),
        3 => Ok(Basis::Calibration),
        code => Err(UnknownCode { what: "basis of an estimate", code }),
    }
}

impl fmt::Display for UnknownCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its {} has the unknown number {}", self.what, self.code)
    }
}
