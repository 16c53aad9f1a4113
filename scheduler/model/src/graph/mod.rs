//! Graphs: as given ([`GraphSpec`]), as checked ([`Graph`]), and the way from one to the other.

mod analysis;
mod build;
mod expand;
mod fold;
mod names;
mod problem;
mod redundant;
mod spec;
mod validated;

pub use analysis::*;
pub use build::Limits;
pub use expand::*;
pub use fold::*;
pub use names::*;
pub use problem::*;
pub use redundant::Redundant;
pub use spec::*;
pub use validated::*;
