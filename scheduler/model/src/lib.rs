//! The words of the scheduler as types: ids, units, graphs, devices, tasks, events and decisions.
//!
//! Nothing in here does I/O, reads a clock or knows a file format. A graph as its author wrote it is
//! a [`GraphSpec`]; once [`Graph::build`] has validated it, it is a [`Graph`], and everything below
//! the border takes only that. The scheduler's mind (`dunnage-core`) takes an [`Event`], which is a
//! fact already true, and answers with [`Decision`]s, which are orders that need no further choice.

mod cost;
mod decision;
mod device;
mod event;
mod graph;
mod history;
mod id;
mod snapshot;
mod tariff;
mod task;
mod units;
mod weights;

pub use cost::*;
pub use decision::*;
pub use device::*;
pub use event::*;
pub use graph::*;
pub use history::*;
pub use id::*;
pub use snapshot::*;
pub use tariff::*;
pub use task::*;
pub use units::*;
pub use weights::*;
