//! Allocation strategies, one file each with its source, its cost and when it is bad, behind one
//! [`registry`]. A strategy proposes; the core's ledger checks and reserves.

mod auto;
mod best_fit;
mod cost_optimised;
mod cpop;
mod dot_product;
mod energy_optimised;
mod fgd;
mod first_available;
mod follow;
mod gpu_clustering;
mod gpu_packing;
mod heft;
mod improve;
mod load_balanced;
mod max_min;
mod mct;
mod min_min;
pub mod packing;
mod peft;
pub mod planning;
mod random;
mod registry;
pub mod search;
mod sufferage;
mod time_optimised;

pub use auto::Auto;
pub use cost_optimised::CostOptimised;
pub use cpop::Cpop;
pub use energy_optimised::EnergyOptimised;
pub use first_available::FirstAvailable;
pub use follow::Follow;
pub use heft::Heft;
pub use load_balanced::LoadBalanced;
pub use max_min::MaxMin;
pub use mct::Mct;
pub use min_min::MinMin;
pub use peft::Peft;
pub use random::Random;
pub use registry::{Entry, planner, registry, schedule_planner, strategies};
pub use sufferage::Sufferage;
pub use time_optimised::TimeOptimised;
