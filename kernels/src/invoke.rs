//! Carrying out one call: check it, run the kernel's body, and say what was written.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::call::Call;
use crate::check::{Problem, check_args, check_outputs, check_params, nearest};
use crate::error::KernelError;
use crate::kernel::OutputKind;
use crate::npy::MapCache;
use crate::registry::{all, find};

/// One call, with every placeholder expanded and every value given as the path of its file.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The kernel's name.
    pub kernel: String,
    /// Its parameters.
    pub params: Map<String, Value>,
    /// Its arguments, in order.
    pub args: Vec<Argument>,
    /// Where its outputs go, in order.
    pub outputs: Vec<OutputSlot>,
    /// How many threads it was granted.
    pub threads: usize,
    /// Arguments whose only reader this call is: a kernel that changes one in place takes its
    /// file over instead of copying it. The file is gone then, also if the call fails later.
    pub donated: Vec<usize>,
}

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// One value.
    One(PathBuf),
    /// The values of a family, in order.
    Many(Vec<PathBuf>),
}

impl Argument {
    /// All files of it.
    pub fn paths(&self) -> &[PathBuf] {
        match self {
            Self::One(path) => std::slice::from_ref(path),
            Self::Many(paths) => paths,
        }
    }
}

/// Where an output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputSlot {
    /// The file to write.
    pub path: PathBuf,
    /// As what.
    pub kind: OutputKind,
}

/// A finished call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Done {
    /// The outputs, in order.
    pub outputs: Vec<Written>,
}

/// A written output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// The length of its file.
    pub bytes: u64,
    /// The value itself, of a JSON output of at most 64 KiB.
    pub json: Option<Value>,
}

/// Carries out a call in this thread. Outputs appear by renaming, each whole; a panic of the
/// kernel is an error of the call and not of the worker.
pub fn invoke(invocation: &Invocation, cache: &mut MapCache) -> Result<Done, KernelError> {
    let Some(kernel) = find(&invocation.kernel) else {
        let names = all().iter().map(|kernel| kernel.info().name);
        return Err(KernelError::UnknownKernel {
            name: invocation.kernel.clone(),
            nearest: nearest(&invocation.kernel, names).map(str::to_owned),
        });
    };
    let info = kernel.info();
    let families: Vec<bool> = invocation.args.iter().map(|arg| matches!(arg, Argument::Many(_))).collect();
    let kinds: Vec<OutputKind> = invocation.outputs.iter().map(|slot| slot.kind).collect();
    let problem = check_args(info, &families)
        .into_iter()
        .chain(check_outputs(info, &kinds))
        .chain(check_params(info.name, &invocation.params))
        .next();
    if let Some(problem) = problem {
        return Err(as_error(info.name, problem));
    }
    let mut call = Call::new(info, invocation, cache);
    // The cache is only ever between two whole changes when a kernel's body runs, and every other
    // thing that the body touches is dropped with it.
    match catch_unwind(AssertUnwindSafe(|| kernel.run(&mut call))) {
        Ok(result) => result?,
        Err(panic) => {
            return Err(KernelError::Bug {
                kernel: info.name.to_owned(),
                message: panic_message(panic.as_ref()),
            });
        }
    }
    Ok(Done { outputs: call.into_written()? })
}

fn as_error(kernel: &str, problem: Problem) -> KernelError {
    let message = match problem.hint {
        Some(hint) => format!("{}; {hint}", problem.message),
        None => problem.message,
    };
    let kernel = kernel.to_owned();
    match problem.place.strip_prefix("params.") {
        Some(name) => KernelError::Param { kernel, name: name.to_owned(), message },
        None => KernelError::Call { kernel, message },
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Cause;
    use crate::testing::Desk;
    use serde_json::json;

    #[test]
    fn an_unknown_kernel_is_a_users_error() {
        let mut desk = Desk::new();
        let error = desk.fail("gemn", json!({}), vec![], &[]);
        assert_eq!(error.cause(), Cause::User);
        assert_eq!(error.to_string(), "there is no kernel `gemn`; did you mean `gemm`?");
    }

    #[test]
    fn wrong_calls_name_the_place() {
        let mut desk = Desk::new();
        let a = desk.matrix("a", 2, 2, &[1.0, 2.0, 3.0, 4.0]);
        let one = || Argument::One(a.clone());
        let error = desk.fail("gemm", json!({}), vec![one()], &[OutputKind::Npy]);
        assert!(error.to_string().contains("takes 2 to 3 arguments"), "{error}");
        let error = desk.fail("gemm", json!({ "alpha": [1] }), vec![one(), one()], &[OutputKind::Npy]);
        assert!(error.to_string().starts_with("parameter `alpha` of `gemm`"), "{error}");
    }

    #[test]
    fn lost_and_wrong_values_differ_in_cause() {
        let mut desk = Desk::new();
        let a = desk.matrix("a", 2, 2, &[1.0, 2.0, 3.0, 4.0]);
        let gone = Argument::One(desk.path("gone.npy"));
        let args = vec![Argument::One(a.clone()), gone];
        let error = desk.fail("gemm", json!({}), args, &[OutputKind::Npy]);
        assert_eq!(error.cause(), Cause::ValueLost);
        // Cut short, it has to be made again; a text never was an array.
        let torn = desk.path("torn.npy");
        let bytes = std::fs::read(&a).expect("read");
        std::fs::write(&torn, &bytes[..bytes.len() - 1]).expect("written");
        let args = vec![Argument::One(a.clone()), Argument::One(torn)];
        let error = desk.fail("gemm", json!({}), args, &[OutputKind::Npy]);
        assert_eq!(error.cause(), Cause::ValueLost);
        let text = desk.path("text.npy");
        std::fs::write(&text, "not an array").expect("written");
        let args = vec![Argument::One(a), Argument::One(text)];
        let error = desk.fail("gemm", json!({}), args, &[OutputKind::Npy]);
        assert_eq!(error.cause(), Cause::User);
        assert!(error.to_string().starts_with("argument 1 of `gemm`"), "{error}");
    }

    #[test]
    fn a_donated_file_is_taken_over_and_a_shared_one_is_not() {
        let mut desk = Desk::new();
        let a = desk.matrix("a", 2, 1, &[1.0, 2.0]);
        let b = desk.matrix("b", 1, 2, &[3.0, 4.0]);
        let c = desk.matrix("c", 2, 2, &[10.0, 20.0, 30.0, 40.0]);
        let expected = [13.0, 24.0, 36.0, 48.0];
        for (donated, kept) in [(vec![], true), (vec![2], false)] {
            let out = desk.run_donating(
                "gemm",
                json!({}),
                vec![Argument::One(a.clone()), Argument::One(b.clone()), Argument::One(c.clone())],
                &[OutputKind::Npy],
                &donated,
            );
            assert_eq!(desk.read(&out[0]).1, expected);
            assert_eq!(c.exists(), kept);
        }
        // Nor is a file with a second name, which somebody keeps.
        let kept = desk.matrix("k", 2, 2, &[1.0, 2.0, 3.0, 4.0]);
        std::fs::hard_link(&kept, desk.path("second")).expect("linked");
        let args = [&a, &b, &kept].map(|path| Argument::One(path.clone()));
        desk.run_donating("gemm", json!({}), args.to_vec(), &[OutputKind::Npy], &[2]);
        assert_eq!(desk.read(&kept).1, [1.0, 2.0, 3.0, 4.0]);
        // The same file twice is never taken over.
        let square = desk.matrix("s", 2, 2, &[1.0, 0.0, 0.0, 1.0]);
        let one = || Argument::One(square.clone());
        let out = desk.run_donating("gemm", json!({}), vec![one(), one(), one()], &[OutputKind::Npy], &[2]);
        assert_eq!(desk.read(&out[0]).1, [2.0, 0.0, 0.0, 2.0]);
        assert!(square.exists());
    }
}
