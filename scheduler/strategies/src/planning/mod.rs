//! Whole-graph planning in numbers: the problem, its schedules, and what the planners share.
//!
//! A planner's work is the same whether the graph is a user's or comes from a public data set, so both
//! are turned into an [`Instance`] first, and every planner makes a [`Schedule`] of that.

pub(crate) mod batch;
pub(crate) mod board;
mod bounds;
mod from_problem;
mod gaps;
mod instance;
mod machine;
mod profile;
pub(crate) mod ranks;
#[cfg(test)]
mod reference;
mod schedule;
pub(crate) mod table;
mod tails;
#[cfg(test)]
mod tests;
pub(crate) mod timeline;
mod to_plan;

pub use bounds::lower_bound;
pub(crate) use bounds::steps_of_bound;
pub use from_problem::{Planned, from_problem};
pub use instance::{Device, Edge, Instance, Kind, Mode, Occupied, Resource, Rows, Transfers};
pub use schedule::{MeanComm, Moved, PlanError, PlanOptions, Schedule, SchedulePlanner};
pub use to_plan::{GraphPlanner, to_plan};
