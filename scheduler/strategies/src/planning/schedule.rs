//! What a planner makes of an instance, and the port of the planners.

use super::Instance;
use dunnage_core::Budget;
use dunnage_model::Weights;

/// When and in which mode each task runs.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Schedule {
    /// For each task the index of its mode.
    pub mode: Vec<u16>,
    /// For each task its start in seconds.
    pub start: Vec<f64>,
    /// For each task its end.
    pub end: Vec<f64>,
    /// The last end.
    pub makespan: f64,
    /// Values that leave a memory before their last reader, where values cost memory.
    pub moved: Vec<Moved>,
    /// How many whole schedules were made to find it.
    pub schedules: u64,
    /// Why it is this one, for people; empty where there is nothing to say.
    pub why: String,
}

/// A value that leaves the memory where it was made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moved {
    /// The task that made it.
    pub task: u32,
    /// Where it goes; `None`: to files.
    pub to: Option<u32>,
    /// When that begins.
    pub from: f64,
    /// When it is there, and the memory is free.
    pub until: f64,
}

/// How the mean time of a transfer is taken where its ends are not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MeanComm {
    /// Over all pairs of different devices, as the papers have it.
    #[default]
    Pairs,
    /// Over all pairs, those of a device with itself among them, as the SAGA library has it.
    Saga,
}

/// What a planner is told besides the instance.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct PlanOptions {
    /// Where random choices begin.
    pub seed: u64,
    /// How means over transfers are taken.
    pub mean_comm: MeanComm,
    /// What is weighed against what; list rules look at time alone.
    pub weights: Weights,
}

/// Why there is no schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// The instance is not one; the sentence says where.
    Invalid(String),
}

impl std::fmt::Display for PlanError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Invalid(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for PlanError {}

/// Makes schedules. Same instance, options and number of schedules in the budget: same schedule.
pub trait SchedulePlanner: Send + Sync {
    /// The name of graph file and CLI.
    fn name(&self) -> &'static str;

    /// Makes a schedule of an instance that [`Instance::check`] finds nothing wrong with. List rules make
    /// one and do not look at the budget; searches stop when it is spent.
    fn schedule(&self, instance: &Instance, options: &PlanOptions, budget: &mut Budget<'_>) -> Schedule;
}
