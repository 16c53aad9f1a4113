//! Who a process is: boot id, pid namespace, pid and start time together. A pid alone is reused.

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

/// A process, for good.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Its number.
    pub pid: u32,
    /// Clock ticks from boot to its start.
    pub start_time: u64,
    /// Which boot.
    pub boot_id: String,
    /// Which pid namespace, by inode; 0 where unknown.
    pub pid_namespace: u64,
}

/// What became of a process.
#[derive(Debug)]
pub enum Presence {
    /// It runs; signals and its end go through the descriptor.
    Alive(OwnedFd),
    /// It ended, or is a zombie, or was in an earlier boot.
    Ended,
    /// It was in another pid namespace, where it cannot be seen.
    OutOfSight,
}

/// The id of this boot of the machine.
pub fn boot_id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| {
        fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map(|id| id.trim().to_owned())
            .unwrap_or_default()
    })
}

/// The inode of our pid namespace; 0 where unknown.
pub fn pid_namespace() -> u64 {
    static INODE: OnceLock<u64> = OnceLock::new();
    *INODE.get_or_init(|| {
        use std::os::unix::fs::MetadataExt;
        fs::metadata("/proc/self/ns/pid").map_or(0, |metadata| metadata.ino())
    })
}

/// State letter, parent and start time from `/proc/PID/stat`.
pub(crate) fn stat(pid: u32) -> Option<(u8, u32, u64)> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, also parentheses.
    let rest = &text[text.iter().rposition(|byte| *byte == b')')? + 1..];
    let mut fields = rest.split(|byte| *byte == b' ').filter(|field| !field.is_empty());
    let state = *fields.next()?.first()?;
    let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse::<u64>().ok();
    let parent = number(fields.next()?)?;
    // Start time is field 22 of the line; state was field 3, parent 4.
    let start = number(fields.nth(17)?)?;
    Some((state, parent as u32, start))
}

impl ProcessIdentity {
    /// This process.
    pub fn of_self() -> Self {
        let pid = std::process::id();
        Self {
            pid,
            start_time: stat(pid).map_or(0, |(_, _, start)| start),
            boot_id: boot_id().to_owned(),
            pid_namespace: pid_namespace(),
        }
    }

    /// Whether it still runs.
    pub fn presence(&self) -> Presence {
        if self.boot_id != boot_id() {
            return Presence::Ended;
        }
        if self.pid_namespace != pid_namespace() {
            return Presence::OutOfSight;
        }
        match open(self.pid) {
            // Open first, look second: what we then hold cannot become another process.
            Ok(fd) => match stat(self.pid) {
                Some((state, _, start)) if start == self.start_time && !matches!(state, b'Z' | b'X') => {
                    Presence::Alive(fd)
                }
                _ => Presence::Ended,
            },
            Err(_) => Presence::Ended,
        }
    }
}

/// A descriptor for a process.
pub(crate) fn open(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_are_alive_and_another_of_our_number_is_not() {
        let me = ProcessIdentity::of_self();
        assert!(me.start_time > 0);
        assert!(matches!(me.presence(), Presence::Alive(_)));
        let earlier = ProcessIdentity { start_time: me.start_time - 1, ..me.clone() };
        assert!(matches!(earlier.presence(), Presence::Ended));
        let last_boot = ProcessIdentity { boot_id: "another".into(), ..me.clone() };
        assert!(matches!(last_boot.presence(), Presence::Ended));
        let elsewhere = ProcessIdentity { pid_namespace: 1, ..me };
        assert!(matches!(elsewhere.presence(), Presence::OutOfSight));
    }
}
