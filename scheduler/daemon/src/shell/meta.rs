//! What the shell keeps of a graph besides the core's state: where it is from and as whom it runs.

use dunnage_exec::{EnvBase, RunAs};
use std::path::PathBuf;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    /// What relative paths are relative to.
    pub(crate) dir: PathBuf,
    /// The submitter's environment, shared by all attempts.
    pub(crate) base: EnvBase,
    /// As whom its commands run, where that is not who we are.
    pub(crate) user: Option<RunAs>,
    /// W3C trace context of the submitter.
    pub(crate) trace: Option<String>,
}
