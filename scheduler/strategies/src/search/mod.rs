//! The search engine for tasks that have one way to run: the resource-constrained project scheduling
//! problem (RCPSP), with release times and with resources that others hold for a while.
//!
//! [`solve`] turns an instance into integer ticks (`problem`), makes schedules from lists of tasks with
//! a serial schedule generation (`decode`, over one of two profiles), improves them by double
//! justification, breeds them (`genetic`), and then re-orders windows of the best (`window`) until
//! the budget is spent or a lower bound (`bounds`) is met. Large instances get sweeps over time (`sweep`)
//! instead of breeding, and windows after that.

mod bounds;
mod decode;
mod genetic;
mod lists;
mod packed;
mod problem;
mod retime;
mod run;
mod sgs_events;
mod sgs_slots;
mod solve;
mod sweep;
#[cfg(test)]
mod tests;
mod window;

pub(crate) use bounds::{cheap, destructive};
pub(crate) use problem::Problem;
pub use solve::solve;
