//! The documents of the API and of every `--json`, as plain types.
//!
//! Names and types of keys are a contract: keys may be added, none may change. Ids are strings
//! everywhere. Times of a graph's tasks are seconds since its first attempt was placed; points in time
//! for people are seconds since 1970.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The answer to a submission.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SubmittedDoc {
    /// The graph's id.
    pub id: String,
}

/// A graph as a line of `queue`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct QueueRow {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `queued`, `running`, `succeeded`, `failed`, `cancelled` or `held`.
    pub state: String,
    /// How many functions it has.
    pub functions: u64,
    /// How many of them wait.
    pub queued: u64,
    /// How many run.
    pub running: u64,
    /// How many succeeded.
    pub succeeded: u64,
    /// How many failed.
    pub failed: u64,
    /// How many were cancelled.
    pub cancelled: u64,
    /// How many were undone.
    #[serde(default)]
    pub compensated: u64,
    /// When it was accepted.
    pub submitted_at: f64,
    /// When its first attempt was placed.
    #[serde(default)]
    pub started_at: Option<f64>,
    /// When it ended.
    #[serde(default)]
    pub ended_at: Option<f64>,
    /// The strategy that places it.
    #[serde(default)]
    pub strategy: String,
    /// Its place in the queue: higher goes first.
    #[serde(default)]
    pub priority: i32,
    /// The user id of who submitted it.
    #[serde(default)]
    pub owner: u32,
    /// Why it waits, if it does.
    #[serde(default)]
    pub reason: Option<String>,
    /// Where it was asked for: in how many seconds its first function is predicted to start. Absent once it
    /// has started, and where nothing can be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_s: Option<f64>,
    /// The same of the end of its last function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_s: Option<f64>,
}

/// A graph with all its functions: `run`, `status` and `wait`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct StatusDoc {
    /// Its id.
    pub id: String,
    /// Its name.
    pub graph: String,
    /// Where it stands.
    pub state: String,
    /// From its first placement to its last end, or to now.
    pub makespan_s: Option<f64>,
    /// How many functions succeeded.
    pub succeeded: u64,
    /// How many failed.
    pub failed: u64,
    /// How many were cancelled.
    pub cancelled: u64,
    /// How many wait.
    #[serde(default)]
    pub queued: u64,
    /// How many run.
    #[serde(default)]
    pub running: u64,
    /// How many were undone.
    #[serde(default)]
    pub compensated: u64,
    /// The strategy that places it.
    #[serde(default)]
    pub strategy: String,
    /// Why that strategy, where it was chosen automatically.
    #[serde(default)]
    pub strategy_why: Option<String>,
    /// What the plan expected the makespan to be.
    #[serde(default)]
    pub predicted_makespan_s: Option<f64>,
    /// When it was accepted.
    #[serde(default)]
    pub submitted_at: f64,
    /// How long it waited for its first placement.
    #[serde(default)]
    pub waited_s: Option<f64>,
    /// The user id of who submitted it.
    #[serde(default)]
    pub owner: u32,
    /// The functions of the longest chain that led to the end, first to last, once it has ended.
    #[serde(default)]
    pub critical_path: Vec<String>,
    /// The time spent on that chain.
    #[serde(default)]
    pub critical_path_s: Option<f64>,
    /// What each device was used for, over the makespan.
    #[serde(default)]
    pub devices: Vec<DeviceUseDoc>,
    /// Its functions, in the order of the graph file.
    pub functions: Vec<FunctionDoc>,
}

/// What a device did for a graph.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct DeviceUseDoc {
    /// `cpu`, `gpu0`, ...
    pub device: String,
    /// Its name, where it has one.
    pub name: String,
    /// How many attempts it ran.
    pub attempts: u64,
    /// Seconds of the capacity given to this graph: core-seconds, or GPU-seconds by share.
    pub allocated_s: f64,
    /// Of the capacity over the makespan, the part given to this graph, 0 to 1.
    pub allocated_ratio: f64,
    /// Of the capacity over the makespan, the part in which processes of this graph used a core; absent for
    /// GPUs.
    pub busy_ratio: Option<f64>,
}

/// A function of a graph.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct FunctionDoc {
    /// Its id in the graph file.
    pub id: String,
    /// `queued`, `held`, `running`, `succeeded`, `failed`, `cancelled` or `compensated`.
    pub state: String,
    /// How many times it was started.
    pub attempts: u32,
    /// Why it did not succeed.
    pub cause: Option<String>,
    /// For `out_of_memory`: `host` or `gpu`.
    #[serde(rename = "where")]
    pub place: Option<String>,
    /// What happened, for people.
    pub message: Option<String>,
    /// What its process returned.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Where its last attempt ran.
    pub device: Option<String>,
    /// When its last attempt began.
    pub start_s: Option<f64>,
    /// When it ended.
    pub end_s: Option<f64>,
    /// How long it was expected to take.
    pub predicted_s: Option<f64>,
    /// On what that rests: `history`, `declaration`, `calibration` or `none`.
    #[serde(default)]
    pub basis: Option<String>,
    /// The most RAM it held at once.
    pub peak_memory_bytes: Option<u64>,
    /// CPU time of its whole tree.
    #[serde(default)]
    pub cpu_s: Option<f64>,
    /// Cores it was given.
    #[serde(default)]
    pub cpus: Option<f64>,
    /// The family it belongs to.
    #[serde(default)]
    pub family: String,
    /// Which of its variants ran, from 0.
    #[serde(default)]
    pub variant: Option<u8>,
    /// The last lines of the log of a failed attempt, or its traceback.
    #[serde(default)]
    pub detail: Option<String>,
    /// Its values.
    pub outputs: Vec<OutputDoc>,
}

/// A value of a function.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct OutputDoc {
    /// `file`, `dir`, `npy` or `json`.
    pub kind: String,
    /// Where it is; absent when it is not there (yet, or any more).
    pub path: Option<String>,
    /// A json output of at most 64 KiB.
    pub value: Option<serde_json::Value>,
}

/// The machine: `devices`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct DevicesDoc {
    /// Its name.
    pub node: String,
    /// Its cores.
    pub cpu: CpuDoc,
    /// Its RAM.
    pub memory_bytes: u64,
    /// RAM that is in use.
    #[serde(default)]
    pub memory_used_bytes: Option<u64>,
    /// Its GPUs.
    pub gpus: Vec<GpuDoc>,
    /// Resources that its owner declared.
    pub custom: BTreeMap<String, u64>,
    /// Remarks, for example why there are no GPUs.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// The cores of a machine.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct CpuDoc {
    /// How many may be used.
    pub cores: f64,
    /// As the vendor calls them.
    pub model: String,
    /// How many NUMA nodes.
    pub numa_nodes: u64,
    /// Cores given away.
    #[serde(default)]
    pub allocated: f64,
}

/// A GPU of a machine.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct GpuDoc {
    /// Its name here: `gpu0`.
    #[serde(default)]
    pub id: String,
    /// Its name for CUDA.
    pub uuid: String,
    /// As the vendor calls it.
    pub name: String,
    /// All of its memory.
    pub memory_bytes: u64,
    /// Memory in use by anybody; absent where the driver does not tell.
    pub memory_used_bytes: Option<u64>,
    /// Memory given away.
    #[serde(default)]
    pub memory_allocated_bytes: u64,
    /// Memory used by processes that are not ours.
    #[serde(default)]
    pub memory_foreign_bytes: u64,
    /// Share given away, 0 to 1.
    #[serde(default)]
    pub share_allocated: f64,
    /// Its place on the bus.
    pub pci_bus_id: String,
    /// `9.0`.
    pub compute_capability: Option<String>,
    /// Its MIG instances.
    pub mig: Vec<MigDoc>,
    /// `ok`, `unknown`, `lost` or `drained`.
    pub health: String,
    /// Why, where it is not `ok`.
    #[serde(default)]
    pub health_why: Option<String>,
    /// Share of the time in which a kernel ran.
    #[serde(default)]
    pub busy_ratio: Option<f64>,
    /// Degrees Celsius.
    #[serde(default)]
    pub temperature_celsius: Option<f64>,
    /// Watts.
    #[serde(default)]
    pub power_watts: Option<f64>,
}

/// A MIG instance of a GPU.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct MigDoc {
    /// Its name here: `gpu1`.
    pub id: String,
    /// Its name for CUDA.
    pub uuid: String,
    /// Its profile.
    pub name: String,
    /// All of its memory.
    pub memory_bytes: u64,
    /// How it is.
    pub health: String,
}

/// Why a task is where it is: `explain`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ExplainDoc {
    /// The graph's id.
    pub id: String,
    /// The function's id.
    pub function: String,
    /// Its state.
    pub state: String,
    /// A code for programs: `dependency`, `resources`, `held`, `backoff`, `planning`, `limit`,
    /// `priority`, `running`, `ended`.
    pub reason: String,
    /// The reason for people.
    pub message: String,
    /// The strategy of its graph.
    pub strategy: String,
    /// Where its last attempt was placed.
    pub device: Option<String>,
    /// How long that was expected to take.
    pub predicted_s: Option<f64>,
    /// On what that rests.
    pub basis: Option<String>,
    /// How its memory limit is held: `cgroup v2`, `cgroup v1`, `watched` or `none`.
    pub memory_control: Option<String>,
    /// Every variant on every device.
    pub options: Vec<ExplainOptionDoc>,
    /// What happened to it, oldest first.
    pub story: Vec<StoryDoc>,
}

/// A way to place a task.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ExplainOptionDoc {
    /// Which variant, from 0.
    pub variant: u8,
    /// Which device.
    pub device: String,
    /// How long it is expected to take there.
    pub predicted_s: Option<f64>,
    /// On what that rests.
    pub basis: String,
    /// On how many earlier runs.
    #[serde(default)]
    pub samples: u64,
    /// What nine of ten runs are expected to take at least.
    #[serde(default)]
    pub low_s: Option<f64>,
    /// What nine of ten runs are expected to take at most.
    #[serde(default)]
    pub high_s: Option<f64>,
    /// What is known of earlier runs, for people: what they took, how far off predictions were, whether
    /// their times have changed.
    #[serde(default)]
    pub remarks: Vec<String>,
    /// Why it does not fit there now; absent where it does.
    pub obstacle: Option<String>,
}

/// Something that happened to a task.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct StoryDoc {
    /// When, in seconds since 1970.
    pub at: f64,
    /// What, for people.
    pub what: String,
}

/// A plan: `plan`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct PlanDoc {
    /// The graph's name.
    pub graph: String,
    /// How many functions it has.
    pub functions: u64,
    /// The strategy that made the plan.
    pub strategy: String,
    /// Why that one.
    pub why: String,
    /// How long the whole is expected to take.
    pub makespan_s: f64,
    /// The least it can take, by critical path and by work.
    pub lower_bound_s: f64,
    /// On what the expectations rest, at best.
    pub basis: String,
    /// The devices with how much of each is used.
    pub devices: Vec<DeviceUseDoc>,
    /// Every task in order of its start.
    pub tasks: Vec<PlanTaskDoc>,
    /// What it costs by the prices of the configuration; a GPU-second is 1 where nothing is said.
    #[serde(default)]
    pub money: f64,
    /// Joules above idling by the watts of the configuration.
    #[serde(default)]
    pub joules: f64,
    /// Every device of the machine with what it has, used or not.
    #[serde(default)]
    pub machine: Vec<PlanDeviceDoc>,
    /// What the shape of the graph says, with the times of this plan.
    #[serde(default)]
    pub analysis: AnalysisDoc,
    /// The same graph under other strategies, where that was asked for.
    #[serde(default)]
    pub strategies: Vec<PlanStrategyDoc>,
}

/// A device in a plan.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct PlanDeviceDoc {
    /// `cpu`, `gpu0`, ...
    pub device: String,
    /// Its name.
    pub name: String,
    /// Its cores; 0 for a GPU.
    pub cores: f64,
    /// Its memory.
    pub memory_bytes: u64,
}

/// What the shape of a graph says about how it can run.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct AnalysisDoc {
    /// How many dependencies it has; one on all of a family counts once for each side.
    pub dependencies: u64,
    /// Parts that have nothing to do with each other.
    pub components: u32,
    /// Tasks that wait for nothing.
    pub sources: u32,
    /// Tasks for which nothing waits.
    pub sinks: u32,
    /// The seconds of all tasks together.
    pub work_s: f64,
    /// How long the longest path takes: no plan with these times is shorter.
    pub critical_path_s: f64,
    /// Work over critical path: how many tasks can run at once on average.
    pub parallelism: f64,
    /// The level with most tasks.
    pub widest_level: u32,
    /// Tasks by how many others come before them.
    pub levels: Vec<LevelDoc>,
    /// A longest path, from its first task to its last.
    pub critical_path: Vec<PathStepDoc>,
    /// Families on the critical path, those with most seconds on it first.
    pub bottlenecks: Vec<String>,
    /// Every function in the order of the file.
    pub functions: Vec<PlanFunctionDoc>,
    /// What functions wait for although something else that they wait for implies it.
    pub redundant: Vec<RedundantDoc>,
}

/// All tasks of one depth.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct LevelDoc {
    /// How many.
    pub tasks: u32,
    /// Their seconds together.
    pub seconds: f64,
    /// Which functions, by their numbers in the list of functions, each with how many of its instances.
    pub functions: Vec<(u32, u32)>,
}

/// A task on the critical path.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct PathStepDoc {
    /// Its id.
    pub id: String,
    /// Its family.
    pub family: String,
    /// How long it takes.
    pub seconds: f64,
}

/// A function in a plan.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct PlanFunctionDoc {
    /// Its id, with placeholders where it is a family.
    pub id: String,
    /// The name of its family.
    pub family: String,
    /// How many instances it has.
    pub instances: u32,
    /// Its column in a drawing: one more than the last of those it waits for.
    pub layer: u32,
    /// The seconds of all instances.
    pub seconds: f64,
    /// How many instances lie on the critical path.
    pub on_path: u32,
    /// The seconds of those.
    pub path_s: f64,
    /// The least time by which an instance may be late without making the whole late.
    pub slack_s: f64,
    /// The functions it waits for, by their numbers in this list.
    pub after: Vec<u32>,
}

/// A dependency that others imply.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct RedundantDoc {
    /// The function that says it.
    pub function: String,
    /// What it need not wait for.
    pub after: String,
}

/// A strategy's plan beside those of others.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct PlanStrategyDoc {
    /// Its name.
    pub strategy: String,
    /// How long the whole is expected to take.
    pub makespan_s: f64,
    /// What it costs.
    pub money: f64,
    /// Joules above idling.
    pub joules: f64,
    /// The part of the GPUs' time over the makespan that is given to tasks, 0 to 1; absent without GPUs.
    pub gpu_ratio: Option<f64>,
    /// The same of the cores.
    pub cpu_ratio: f64,
}

/// A task of a plan.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct PlanTaskDoc {
    /// Its id.
    pub id: String,
    /// Its family.
    pub family: String,
    /// Where.
    pub device: String,
    /// From when.
    pub start_s: f64,
    /// Until when.
    pub end_s: f64,
    /// Which variant.
    pub variant: u8,
    /// Cores that it holds.
    #[serde(default)]
    pub cpus: f64,
    /// RAM that it holds.
    #[serde(default)]
    pub memory_bytes: u64,
    /// GPUs that it holds.
    #[serde(default)]
    pub gpus: Vec<PlanGpuDoc>,
}

/// What a task holds of a GPU.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct PlanGpuDoc {
    /// `gpu0`, ...
    pub device: String,
    /// Its share, 0 to 1; 1 where it is held alone.
    pub share: f64,
    /// Memory there.
    pub memory_bytes: u64,
}

/// What works on this machine: `doctor`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct DoctorDoc {
    /// The checks.
    pub checks: Vec<CheckDoc>,
    /// The daemon, if one is reachable.
    pub daemon: Option<DaemonDoc>,
}

/// One check.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct CheckDoc {
    /// What was checked.
    pub name: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What to do about it.
    pub fix: Option<String>,
}

/// A running daemon.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DaemonDoc {
    /// Its process.
    pub pid: u32,
    /// The process that starts its commands; null while none lives.
    pub launcher_pid: Option<u32>,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// Its state directory.
    #[serde(default)]
    pub state_dir: String,
    /// Seconds since it became ready.
    #[serde(default)]
    pub up_s: u64,
}

/// How far a graph is: what a progress display shows.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ProgressDoc {
    /// The graph's name.
    pub name: String,
    /// Where it stands.
    pub state: String,
    /// All its functions.
    pub functions: u64,
    /// How many wait.
    pub queued: u64,
    /// How many run.
    pub running: u64,
    /// How many succeeded.
    pub succeeded: u64,
    /// How many failed.
    pub failed: u64,
    /// How many were cancelled.
    pub cancelled: u64,
    /// Since its first placement.
    pub elapsed_s: f64,
    /// What the plan expects in all.
    pub predicted_s: Option<f64>,
    /// Some of what runs.
    pub running_names: Vec<String>,
    /// Each device with the part of it that is given away, 0 to 1.
    pub devices: Vec<(String, f64)>,
    /// Why nothing of it runs, if nothing does.
    pub reason: Option<String>,
}

/// A part of a log.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LogDoc {
    /// The function's id.
    pub function: String,
    /// Which attempt.
    pub attempt: u32,
    /// The text; bytes that are not UTF-8 are replaced.
    pub text: String,
    /// Where the next part begins.
    pub next: u64,
    /// Whether no more will come.
    pub ended: bool,
    /// How many bytes at its beginning were cut away.
    pub truncated: u64,
}

/// An error answer of the API.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ErrorDoc {
    /// What is wrong, for people.
    pub error: String,
    /// `invalid`, `refused`, `not_found`, `forbidden`, `conflict` or `internal`.
    pub code: String,
    /// Everything that is wrong, where it is a list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<ProblemDoc>,
}

/// One thing wrong with an input.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ProblemDoc {
    /// Where.
    pub place: String,
    /// In which function.
    pub function: Option<String>,
    /// The value as written.
    pub value: String,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub hint: String,
}

impl From<&dunnage_model::Problem> for ProblemDoc {
    fn from(problem: &dunnage_model::Problem) -> Self {
        let dunnage_model::Problem { place, function, value, message, hint } = problem.clone();
        Self { place, function, value, message, hint }
    }
}

impl From<ProblemDoc> for dunnage_model::Problem {
    fn from(doc: ProblemDoc) -> Self {
        let ProblemDoc { place, function, value, message, hint } = doc;
        Self { place, function, value, message, hint }
    }
}
