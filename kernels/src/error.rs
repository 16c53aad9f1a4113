//! Why a call failed, in words for a person and as a cause for the scheduler.

use std::io;
use std::path::PathBuf;

/// What the scheduler does about a failure; the names are those of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Running it again would fail again: a wrong argument, parameter or datum.
    User,
    /// The host had not enough memory (or room on a memory file system).
    OutOfMemory,
    /// The file of an argument is missing or cut short: its producer has to make it again.
    ValueLost,
}

/// A failed call. Every message names the place, the value and, where there is one, the fix.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// No kernel has this name.
    #[error("there is no kernel `{name}`{}", did_you_mean(nearest.as_deref()))]
    UnknownKernel {
        /// The name as given.
        name: String,
        /// The kernel whose name is nearest.
        nearest: Option<String>,
    },
    /// An argument is of the wrong kind, type or shape, or holds what the kernel cannot use.
    #[error("argument {index} of `{kernel}`: {message}")]
    Argument {
        /// The kernel called.
        kernel: String,
        /// Which argument, from 0.
        index: usize,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A parameter is missing, unknown, of the wrong type or out of range.
    #[error("parameter `{name}` of `{kernel}`: {message}")]
    Param {
        /// The kernel called.
        kernel: String,
        /// The parameter.
        name: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// The call as a whole does not fit the kernel: the number of arguments or outputs.
    #[error("call of `{kernel}`: {message}")]
    Call {
        /// The kernel called.
        kernel: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// The numbers do not allow the computation, as when a matrix is not positive definite.
    #[error("`{kernel}`: {message}")]
    Numeric {
        /// The kernel called.
        kernel: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// Memory could not be had.
    #[error("not enough memory for {bytes} bytes ({purpose})")]
    OutOfMemory {
        /// How much was asked for.
        bytes: u64,
        /// What it was for.
        purpose: String,
    },
    /// The file of an argument is missing or shorter than its header says.
    #[error("value `{}` is lost: {message}", path.display())]
    ValueLost {
        /// The file.
        path: PathBuf,
        /// What was found.
        message: String,
    },
    /// A file could not be read or written for a reason of the machine's.
    #[error("cannot {doing} `{}`: {source}", path.display())]
    Io {
        /// What was being done: `read`, `create` ...
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel itself is wrong.
    #[error("`{kernel}` panicked, which is a bug in it: {message}")]
    Bug {
        /// The kernel called.
        kernel: String,
        /// The message of the panic.
        message: String,
    },
}

impl KernelError {
    /// What the scheduler has to do about it.
    pub fn cause(&self) -> Cause {
        match self {
            Self::OutOfMemory { .. } => Cause::OutOfMemory,
            Self::ValueLost { .. } => Cause::ValueLost,
            Self::Io { source, .. } if source.kind() == io::ErrorKind::OutOfMemory => Cause::OutOfMemory,
            Self::UnknownKernel { .. }
            | Self::Argument { .. }
            | Self::Param { .. }
            | Self::Call { .. }
            | Self::Numeric { .. }
            | Self::Io { .. }
            | Self::Bug { .. } => Cause::User,
        }
    }
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_follow_the_contract() {
        let user = KernelError::UnknownKernel { name: "gem".into(), nearest: Some("gemm".into()) };
        assert_eq!(user.cause(), Cause::User);
        assert_eq!(user.to_string(), "there is no kernel `gem`; did you mean `gemm`?");
        let memory = KernelError::Io {
            doing: "map",
            path: "x".into(),
            source: io::Error::from(io::ErrorKind::OutOfMemory),
        };
        assert_eq!(memory.cause(), Cause::OutOfMemory);
        let lost = KernelError::ValueLost { path: "x".into(), message: "missing".into() };
        assert_eq!(lost.cause(), Cause::ValueLost);
    }
}
