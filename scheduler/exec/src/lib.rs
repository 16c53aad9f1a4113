//! Carrying out attempts: the [`Engine`] port and the local engine behind it.
//!
//! ```text
//! daemon ── LocalEngine ──socket── launcher ──socketpair── shim ── command and its whole tree
//!       └── WorkerPool ──socketpair── worker (kernels)
//! ```
//!
//! The daemon may die at any time, and so may the launcher: a shim finishes what it watches, leaves
//! the exit record in its claim, and the next daemon reads it there. See [`claims`] for why no
//! attempt starts twice, [`launcher`] and [`shim`] for the processes, [`local`] for the daemon's side.

pub mod cgroup;
pub mod claims;
pub mod engine;
pub mod fake;
pub mod frame;
pub mod gpu_lock;
pub mod identity;
pub mod launcher;
pub mod local;
pub mod logs;
mod proto;
pub mod rundir;
pub mod shim;
pub mod sweep;
mod sys;
mod tree;
pub mod user;
pub mod values;
mod worker_main;
pub mod workers;

pub use engine::{
    AttemptSpec, Ending, Engine, EngineCaps, EngineEvent, EnvBase, EnvRef, MemoryControl, Outcome, RunAs,
    SpawnStage, Unsupported, Work, WorkerKey,
};
pub use launcher::launcher_main;
pub use local::{LocalConfig, LocalEngine, Recovered};
pub use worker_main::{CallRequest, CallResult, worker_main};
