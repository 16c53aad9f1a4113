//! Proving attempts dead when nobody watches them: by the marker in their processes' environments.
//!
//! Used when a shim was killed while no launcher lived, and when the runtime directory was lost. A
//! process that removed the marker from its environment is not found; while a launcher lives it is,
//! because orphans become the launcher's children.

use crate::shim::MARKER;
use crate::{identity, sys, tree};
use dunnage_model::AttemptId;
use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Kills every process that carries the marker of one of these attempts, until none is left or ten
/// seconds are over. Returns how many are left. Blocks; call it beside the loop.
pub fn sweep(token: &str, attempts: &BTreeSet<AttemptId>) -> u32 {
    let until = Instant::now() + Duration::from_secs(10);
    let mut bare = BTreeSet::new();
    loop {
        let mut left = 0;
        let mut new_to_us = false;
        for pid in tree::processes().filter(|pid| *pid != std::process::id()) {
            let environment = match fs::read(format!("/proc/{pid}/environ")) {
                // In the middle of its exec a process shows no environment: look again before it is
                // taken for one that has none. Kernel threads and zombies have no program.
                Ok(bytes) if bytes.is_empty() => {
                    new_to_us |= fs::read_link(format!("/proc/{pid}/exe")).is_ok() && bare.insert(pid);
                    continue;
                }
                Ok(bytes) => bytes,
                Err(_) => continue,
            };
            if !marked(&environment).is_some_and(|id| is_ours(&id, token, attempts)) {
                continue;
            }
            // Hold it first, then look whether it is still who we saw.
            let Ok(fd) = identity::open(pid) else { continue };
            let still = fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|bytes| marked(&bytes).is_some_and(|id| is_ours(&id, token, attempts)));
            if still && identity::stat(pid).is_some_and(|(state, ..)| !matches!(state, b'Z' | b'X')) {
                left += 1;
                let _ = sys::signal_pidfd(fd.as_fd(), libc::SIGKILL);
            }
        }
        if (left == 0 && !new_to_us) || Instant::now() > until {
            return left;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn marked(environment: &[u8]) -> Option<String> {
    let prefix = [MARKER.as_bytes(), b"="].concat();
    let value =
        environment.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(prefix.as_slice()))?;
    String::from_utf8(value.to_vec()).ok()
}

fn is_ours(marker: &str, token: &str, attempts: &BTreeSet<AttemptId>) -> bool {
    marker
        .strip_prefix(token)
        .and_then(|rest| rest.strip_prefix(':'))
        .and_then(|id| id.parse().ok())
        .is_some_and(|id| attempts.contains(&id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunnage_model::{Attempt, GraphId};
    use std::process::{Command, Stdio};

    #[test]
    fn only_processes_with_the_marker_of_these_attempts_are_killed() {
        let token = format!("sweep-test-{}", std::process::id());
        let id = |index| GraphId(1).task(index).attempt(Attempt::FIRST);
        let start = |index| {
            Command::new("sleep")
                .arg("30")
                .env(MARKER, format!("{token}:{}", id(index)))
                .stdin(Stdio::null())
                .spawn()
                .expect("sleep starts")
        };
        let (mut doomed, mut spared) = (start(1), start(2));
        assert_eq!(sweep(&token, &BTreeSet::from([id(1)])), 0);
        assert!(!doomed.wait().expect("ends").success());
        assert!(spared.try_wait().expect("lives").is_none());
        spared.kill().expect("ends");
        spared.wait().expect("ends");
    }
}
