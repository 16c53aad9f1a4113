//! The scheduler in virtual time: the same core and strategies, driven by an agenda instead of a machine.
//!
//! [`Simulation`] hands events to the core in order of virtual time and plays the engine: each started
//! attempt ends after the time that its [`Workload`] says, or fails, or is lost. Same seed, same run.

mod driver;
pub mod openb;
mod workload;

pub use driver::{Ran, Report, Simulation};
pub use workload::{AttemptEnd, Declared, Workload};
