//! Graphs: as given ([`GraphSpec`]), as checked ([`Graph`]), and the way from one to the other.

mod build;
mod expand;
mod names;
mod problem;
mod spec;
mod validated;

pub use build::Limits;
pub use expand::*;
pub use names::*;
pub use problem::*;
pub use spec::*;
pub use validated::*;
