//! The scheduler in virtual time: the same core and strategies, driven by an agenda instead of a machine.
//!
//! [`Simulation`] hands events to the core in order of virtual time and plays the engine: each started
//! attempt ends after the time that its [`Workload`] says, or fails, or is lost. Same seed, same run.
//!
//! Beside it the laboratory: readers of public [`formats`], online strategies on their instances
//! ([`online`]), an independent judge of schedules ([`validate`]), and the run of all strategies over all
//! instances ([`bench_plan`]).

pub mod bench_plan;
mod driver;
pub mod formats;
pub mod online;
pub mod openb;
mod replay;
mod traces;
pub mod validate;
mod validate_graph;
mod workload;

pub use driver::{Ran, Report, Simulation};
pub use replay::{
    AS_SUBMITTED, Moment, POLICIES, ReplayError, ReplayOptions, ReplayReport, ReplayRow, Times, eight_gpus,
    policy, replay, replay_policies,
};
pub use traces::{
    Arrival, JOBS_MAX, Job, Recorded, Throughputs, Trace, TraceError, Work, read_gavel, read_journal,
    read_tiresias,
};
pub use workload::{AttemptEnd, Declared, Workload};
