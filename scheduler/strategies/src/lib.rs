//! Allocation strategies, one file each with its source, its cost and when it is bad, behind one
//! [`registry`]. A strategy proposes; the core's ledger checks and reserves.

mod auto;
mod best_fit;
mod cpop;
mod dot_product;
mod fgd;
mod first_available;
mod follow;
mod gpu_clustering;
mod gpu_packing;
mod heft;
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

pub use auto::Auto;
pub use best_fit::BestFit;
pub use cpop::Cpop;
pub use dot_product::DotProduct;
pub use fgd::Fgd;
pub use first_available::FirstAvailable;
pub use follow::Follow;
pub use gpu_clustering::GpuClustering;
pub use gpu_packing::GpuPacking;
pub use heft::Heft;
pub use load_balanced::LoadBalanced;
pub use max_min::MaxMin;
pub use mct::Mct;
pub use min_min::MinMin;
pub use peft::Peft;
pub use random::Random;
pub use registry::{Entry, NAMES_TO_COME, planner, registry, schedule_planner, strategies};
pub use sufferage::Sufferage;
