//! Allocation strategies, one file each with its source, its cost and when it is bad, behind one
//! [`registry`]. A strategy proposes; the core's ledger checks and reserves.

mod auto;
mod cost_optimised;
mod energy_optimised;
mod first_available;
mod heft;
mod improve;
mod load_balanced;
pub mod planning;
mod random;
mod registry;
mod time_optimised;
mod timeline;

pub use auto::Auto;
pub use cost_optimised::CostOptimised;
pub use energy_optimised::EnergyOptimised;
pub use first_available::FirstAvailable;
pub use heft::Heft;
pub use load_balanced::LoadBalanced;
pub use random::Random;
pub use registry::{Entry, NAMES_TO_COME, planner, registry, schedule_planner, strategies};
pub use time_optimised::TimeOptimised;
