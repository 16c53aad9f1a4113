//! Whole-graph planning in numbers: the problem, its schedules, and what the planners share.
//!
//! A planner's work is the same whether the graph is a user's or comes from a public data set, so both
//! are turned into an [`Instance`] first, and every planner makes a [`Schedule`] of that.

mod bounds;
mod instance;
mod schedule;

pub use bounds::lower_bound;
pub use instance::{Device, Edge, Instance, Kind, Mode, Occupied, Resource, Rows, Transfers};
pub use schedule::{MeanComm, PlanError, PlanOptions, Schedule, SchedulePlanner};
