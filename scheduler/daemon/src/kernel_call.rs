//! What a kernel worker is told and what it answers: the payload that the engine does not look into.

use crate::accept::kernel_kind;
use dunnage_exec::{CallRequest, CallResult};
use dunnage_kernels::{Argument, Invocation, MapCache, OutputSlot, Written, invoke};
use dunnage_model::{Cause, OutputKind};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A call of a kernel, every value given as the path of its file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KernelCall {
    pub(crate) kernel: String,
    /// As JSON text: it has more kinds of numbers than the frame.
    pub(crate) params: String,
    pub(crate) args: Vec<CallArg>,
    pub(crate) outputs: Vec<(PathBuf, u8)>,
    pub(crate) threads: u32,
    pub(crate) donated: Vec<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum CallArg {
    One(PathBuf),
    Many(Vec<PathBuf>),
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum KernelAnswer {
    /// The length of each output.
    Done(Vec<u64>),
    /// Why it failed.
    Failed { cause: u8, message: String },
}

const CAUSE_USER: u8 = 0;
const CAUSE_MEMORY: u8 = 1;
const CAUSE_VALUE: u8 = 2;

impl KernelAnswer {
    /// The cause of a failure in the scheduler's words.
    pub(crate) const fn cause(code: u8) -> Cause {
        match code {
            CAUSE_MEMORY => Cause::OutOfMemory,
            CAUSE_VALUE => Cause::ValueLost,
            _ => Cause::User,
        }
    }
}

/// The number of a kind of output in a call.
pub(crate) const fn kind_code(kind: OutputKind) -> u8 {
    match kind {
        OutputKind::File => 0,
        OutputKind::Dir => 1,
        OutputKind::Npy => 2,
        OutputKind::Json => 3,
    }
}

fn kind_of(code: u8) -> OutputKind {
    match code {
        1 => OutputKind::Dir,
        2 => OutputKind::Npy,
        3 => OutputKind::Json,
        _ => OutputKind::File,
    }
}

/// Carries out one call in this process.
pub(crate) fn serve(request: &CallRequest, cache: &mut MapCache) -> CallResult {
    let answer = match rmp_serde::from_slice::<KernelCall>(&request.payload) {
        Ok(call) => run(call, cache),
        Err(error) => {
            KernelAnswer::Failed { cause: CAUSE_USER, message: format!("unreadable call: {error}") }
        }
    };
    let ok = matches!(answer, KernelAnswer::Done(_));
    CallResult { ok, payload: rmp_serde::to_vec(&answer).unwrap_or_default() }
}

fn run(call: KernelCall, cache: &mut MapCache) -> KernelAnswer {
    let params = match serde_json::from_str(&call.params) {
        Ok(params) => params,
        Err(error) => {
            return KernelAnswer::Failed {
                cause: CAUSE_USER,
                message: format!("unreadable parameters: {error}"),
            };
        }
    };
    let invocation = Invocation {
        kernel: call.kernel,
        params,
        args: call
            .args
            .into_iter()
            .map(|arg| match arg {
                CallArg::One(path) => Argument::One(path),
                CallArg::Many(paths) => Argument::Many(paths),
            })
            .collect(),
        outputs: call
            .outputs
            .into_iter()
            .map(|(path, kind)| OutputSlot { path, kind: kernel_kind(kind_of(kind)) })
            .collect(),
        threads: call.threads as usize,
        donated: call.donated.into_iter().map(|n| n as usize).collect(),
    };
    match invoke(&invocation, cache) {
        Ok(done) => KernelAnswer::Done(done.outputs.iter().map(|Written { bytes, .. }| *bytes).collect()),
        Err(error) => KernelAnswer::Failed {
            cause: match error.cause() {
                dunnage_kernels::Cause::User => CAUSE_USER,
                dunnage_kernels::Cause::OutOfMemory => CAUSE_MEMORY,
                dunnage_kernels::Cause::ValueLost => CAUSE_VALUE,
            },
            message: error.to_string(),
        },
    }
}
