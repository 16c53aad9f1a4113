//! What a machine has and what is seen of it: the port [`DeviceSource`] and its three adapters.
//!
//! | Source | File | What it reads |
//! |---|---|---|
//! | host | `host` | /proc, /sys, control groups, sysinfo |
//! | nvml | `nvml`, with `probe` in a process of its own | the NVIDIA driver's library |
//! | mock | `mock` | a TOML profile, and what it is told that runs |
//!
//! [`open`] makes the one that a [`Selection`] (`--devices`) asks for. Beside the sources stand the
//! pure parts that belong to devices: [`foreign_memory`], [`environment`] and [`cpus_near`] for
//! confinement, and [`checks`] for `doctor`.
//!
//! NVML is never loaded into the process that uses this crate: a vendor library may hang or end its
//! process, so it lives in a probe process, which [`probe_main`] is.

mod capabilities;
mod confine;
mod foreign;
mod host;
mod mock;
mod nvml;
mod open;
mod probe;
mod profile;
mod select;
mod source;

pub use capabilities::{Check, checks};
pub use confine::{GpuEnv, cpus_near, environment};
pub use foreign::foreign_memory;
pub use host::HostSource;
pub use mock::{Clock, MockLoad, MockSource};
pub use nvml::NvmlSource;
pub use open::{OpenOptions, Opened, open};
pub use probe::probe_main;
pub use profile::{PROFILES, Profile, ProfileProblem};
pub use select::{MockSelection, Selection, SelectionError};
pub use source::{DeviceSource, SourceError};
