//! The port: what the scheduler needs from devices, and no more.

use crate::profile::ProfileProblem;
use dunnage_model::{DeviceSample, NodeSpec};
use std::path::PathBuf;

/// Where the scheduler learns of a machine's devices.
///
/// A device keeps its id for the life of its source, even when it goes away: then it is sampled as
/// lost. A sample of a device that the last inventory did not list means that one came: take the
/// inventory again.
pub trait DeviceSource: Send {
    /// What the machine has. May take as long as a driver takes to start.
    ///
    /// # Errors
    /// Nothing can be said of the machine.
    fn inventory(&mut self) -> Result<NodeSpec, SourceError>;

    /// How every device is at this moment, the node's cores and RAM first. Never blocks longer than
    /// the deadline the source was opened with; what does not answer in time is
    /// [`Health::Unknown`](dunnage_model::Health::Unknown).
    fn sample(&mut self) -> Vec<DeviceSample>;
}

/// Why a source could not be opened or asked.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The host's own files could not be read: this is no Linux machine that we know.
    #[error("cannot read the host's {what}: {why}")]
    Host {
        /// Cores, memory ...
        what: &'static str,
        /// What was seen.
        why: String,
    },
    /// NVML was asked for and cannot be used here.
    #[error("cannot use NVML{}: {why}; hint: pass `--devices host` to run without GPUs, `--devices mock:2x24g` to try with made-up ones", library.as_ref().map(|path| format!(" from `{}`", path.display())).unwrap_or_default())]
    Nvml {
        /// The library, where one was named.
        library: Option<PathBuf>,
        /// What was seen.
        why: String,
    },
    /// A profile file that was named is not there or not readable.
    #[error("cannot read device profile `{}`: {source}", path.display())]
    ProfileFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A profile says something that cannot be.
    #[error("device profile `{name}` is not valid:{}", list(problems))]
    Profile {
        /// Its file or name.
        name: String,
        /// All that is wrong with it.
        problems: Vec<ProfileProblem>,
    },
}

fn list(problems: &[ProfileProblem]) -> String {
    let lines: Vec<String> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
    lines.concat()
}
