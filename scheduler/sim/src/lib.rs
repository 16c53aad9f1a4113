//! The scheduler in virtual time: the same core and strategies, driven by an agenda instead of a machine.
//!
//! [`Simulation`] hands events to the core in order of virtual time and plays the engine: each started
//! attempt ends after the time that its [`Workload`] says, or fails, or is lost. Same seed, same run.

mod driver;
mod replay;
mod traces;
mod workload;

pub use driver::{Ran, Report, Simulation};
pub use replay::{
    POLICIES, ReplayError, ReplayOptions, ReplayReport, ReplayRow, Times, eight_gpus, policy, replay,
    replay_policies,
};
pub use traces::{
    Arrival, JOBS_MAX, Job, Recorded, Throughputs, Trace, TraceError, Work, read_gavel, read_journal,
    read_tiresias,
};
pub use workload::{AttemptEnd, Declared, Workload};
