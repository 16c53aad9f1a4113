//! Messages between daemon and launcher, and between launcher and shim.
//!
//! Fields are only ever added, with a default: a launcher of an older version may still live when a
//! newer daemon connects to it.

use crate::engine::{Outcome, RunAs};
use crate::frame::Blob;
use dunnage_model::{Attempt, AttemptId, GraphId};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Raised when neighbours no longer understand each other. A greeting never changes, so that each side
/// can see the other's version and keep away; nothing else is understood across versions.
pub(crate) const VERSION: u32 = 1;

/// Where a launcher of this version listens. One of another version has a name of its own, so that both
/// can live at once: the other ends what it has started, and is not connected to.
pub(crate) fn launcher_socket(rundir: &Path) -> PathBuf {
    rundir.join(format!("launcher{VERSION}.sock"))
}

/// What the one launcher of this version holds locked.
pub(crate) fn launcher_lock(rundir: &Path) -> PathBuf {
    rundir.join(format!("launcher{VERSION}.lock"))
}

/// How many base environments a launcher keeps, first in first out; the daemon counts along.
pub(crate) const LAUNCHER_BASES: usize = 64;

/// How many of them a shim keeps; the launcher counts along.
pub(crate) const SHIM_BASES: usize = 4;

/// An attempt's id as numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct WireId(pub(crate) u64, pub(crate) u32, pub(crate) u32);

impl From<AttemptId> for WireId {
    fn from(id: AttemptId) -> Self {
        Self(id.task.graph.0, id.task.index, id.attempt.0)
    }
}

impl From<WireId> for AttemptId {
    fn from(id: WireId) -> Self {
        GraphId(id.0).task(id.1).attempt(Attempt(id.2))
    }
}

/// The key of a base environment.
pub(crate) type BaseKey = [u64; 2];

/// From the daemon to the launcher.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum ToLauncher {
    /// First on every connection.
    Hello { version: u32, token: String },
    /// A base environment: an encoded list of pairs.
    Base { key: BaseKey, vars: Blob },
    /// Start these.
    Run { items: Vec<RunItem> },
    /// End these.
    End { items: Vec<EndItem> },
    /// Leave when nothing lives any more.
    Goodbye {},
}

/// One attempt to start. The launcher hands `body` on without looking inside.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct RunItem {
    pub(crate) id: WireId,
    pub(crate) base: BaseKey,
    /// An encoded [`RunBody`].
    pub(crate) body: Blob,
}

/// One attempt to end.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct EndItem {
    pub(crate) id: WireId,
    pub(crate) signal: i32,
    pub(crate) grace_ms: u64,
}

/// What a shim needs to know of an attempt.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct RunBody {
    pub(crate) id: WireId,
    pub(crate) argv: Vec<String>,
    pub(crate) dir: Blob,
    pub(crate) base: BaseKey,
    pub(crate) overrides: Vec<(String, String)>,
    pub(crate) log: bool,
    #[serde(default)]
    pub(crate) affinity: Option<Vec<u32>>,
    #[serde(default)]
    pub(crate) memory_limit: Option<u64>,
    #[serde(default)]
    pub(crate) user: Option<RunAs>,
    pub(crate) signal: i32,
    pub(crate) grace_ms: u64,
}

/// From the launcher to the daemon.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum FromLauncher {
    /// First on every connection.
    Hello { version: u32, pid: u32, live: Vec<WireId> },
    /// What has happened since.
    Events { events: Vec<LauncherEvent> },
}

/// What has happened to an attempt.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum LauncherEvent {
    /// A shim has been told to start it.
    Started { id: WireId, pid: u32 },
    /// Over.
    Ended { id: WireId, outcome: Box<Outcome> },
    /// Its claim was taken by a recovery, or it never reached a shim.
    NeverStarted { id: WireId },
}

/// From the launcher to a shim.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum ToShim {
    Base { key: BaseKey, vars: Blob },
    Run { body: Blob },
}

/// From a shim to the launcher.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum FromShim {
    Ended { id: WireId, outcome: Box<Outcome> },
    Fenced { id: WireId },
}

/// Meant for whatever attempt the shim runs: from a daemon whose launcher is gone.
pub(crate) const ANY_RUN: u16 = u16::MAX;

/// The number of a shim's next attempt.
pub(crate) const fn next_run(run: u16) -> u16 {
    if run + 1 == ANY_RUN { 0 } else { run + 1 }
}

/// An order to end an attempt, as the value that travels with a queued signal. `run` counts the
/// attempts of that shim, so that an order that comes late does not hit the next one.
pub(crate) const fn pack_end(run: u16, signal: i32, grace_ms: u64) -> u64 {
    let grace = if grace_ms > u32::MAX as u64 { u32::MAX as u64 } else { grace_ms };
    ((run as u64) << 40) | ((signal as u64 & 0xff) << 32) | grace
}

/// The reverse of [`pack_end`].
pub(crate) const fn unpack_end(value: u64) -> (u16, i32, u64) {
    ((value >> 40) as u16, ((value >> 32) & 0xff) as i32, value & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_to_end_fits_into_a_signal() {
        assert_eq!(unpack_end(pack_end(7, 15, 5000)), (7, 15, 5000));
        assert_eq!(unpack_end(pack_end(ANY_RUN, 64, u64::MAX)), (ANY_RUN, 64, u64::from(u32::MAX)));
    }
}
