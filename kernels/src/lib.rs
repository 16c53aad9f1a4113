//! Built-in functions ("kernels"): what a graph's `kernel = "name"` runs inside a worker process.
//!
//! A kernel is pure: it reads its arguments and parameters and writes its outputs, nothing else,
//! so that running it again is always allowed. Values travel as files: arrays as `.npy`, read by
//! mapping them; small results as JSON; other files as bytes.
//!
//! - before a graph is accepted: [`check_call`] (or [`check_params`] alone) lists every problem;
//! - to place a call: [`Kernel::cost`] says what it takes, from the shapes of its arguments;
//! - to carry it out: [`invoke`] with an [`Invocation`] and the worker's [`MapCache`].
//!
//! A new kernel is one file under `cpu/` and one line in `registry.rs`; see `docs/kernels.md`.

mod call;
mod check;
mod cpu;
mod error;
mod invoke;
mod kernel;
mod matrix;
mod npy;
mod params;
mod registry;
mod rng;
#[cfg(test)]
mod testing;

pub use call::Call;
pub use check::{Problem, check_call, check_params, nearest};
pub use error::{Cause, KernelError};
pub use invoke::{Argument, Done, Invocation, OutputSlot, Written, invoke};
pub use kernel::{
    ArgShape, Arity, Kernel, KernelInfo, OutputInfo, OutputKind, ParamInfo, ParamKind, Presence, Shape, Work,
};
pub use npy::{
    Array, DType, Element, Header, HeaderError, MapCache, MappedFile, Order, OutArray, shape_of, write_npy,
};
pub use params::Params;
pub use registry::{all, find, markdown_tables};
