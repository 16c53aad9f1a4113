//! The processes below one: finding them, signalling them, and what memory they hold.
//!
//! The root is always the calling process, a subreaper: whatever a task leaves behind, by double fork
//! or by a session of its own, becomes its child.

use crate::{identity, sys};
use std::collections::{HashMap, HashSet};
use std::fs;

/// All processes below `root`, each with its parent, parents before children.
pub(crate) fn descendants(root: u32) -> Vec<(u32, u32)> {
    let mut found = Vec::new();
    let mut seen = HashSet::from([root]);
    let mut queue = vec![root];
    let mut all: Option<HashMap<u32, Vec<u32>>> = None;
    while let Some(parent) = queue.pop() {
        let children = match children(parent) {
            Some(children) => children,
            // A kernel without CONFIG_PROC_CHILDREN: look at every process once.
            None => all.get_or_insert_with(by_parent).get(&parent).cloned().unwrap_or_default(),
        };
        for child in children {
            if seen.insert(child) {
                found.push((child, parent));
                queue.push(child);
            }
        }
    }
    found
}

/// `None` where the kernel does not list children. A process that is gone has none.
fn children(pid: u32) -> Option<Vec<u32>> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Some(Vec::new()) };
    let mut children = Vec::new();
    for thread in threads.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(text) => {
                children.extend(text.split_ascii_whitespace().filter_map(|word| word.parse::<u32>().ok()));
            }
            Err(_) if !thread.path().join("stat").exists() => {}
            Err(_) => return None,
        }
    }
    Some(children)
}

fn by_parent() -> HashMap<u32, Vec<u32>> {
    let mut map: HashMap<u32, Vec<u32>> = HashMap::new();
    for pid in processes() {
        if let Some((_, parent, _)) = identity::stat(pid) {
            map.entry(parent).or_default().push(pid);
        }
    }
    map
}

/// Every process that can be seen.
pub(crate) fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// What a round of signals did.
#[derive(Default, Clone, Copy)]
pub(crate) struct Round {
    pub(crate) found: u32,
    pub(crate) refused: u32,
}

/// Sends `signal` to everything below this process, once each.
pub(crate) fn signal_all(root: u32, signal: i32) -> Round {
    let mut round = Round::default();
    for (pid, parent) in descendants(root) {
        // Hold it first, then see whether it is still who we found: its parent or, since its parent
        // died, ourselves.
        let Ok(fd) = identity::open(pid) else { continue };
        match identity::stat(pid) {
            Some((b'Z' | b'X', ..)) | None => continue,
            Some((_, now, _)) if now == parent || now == root => {}
            Some(_) => continue,
        }
        round.found += 1;
        if let Err(error) = sys::signal_pidfd(std::os::fd::AsFd::as_fd(&fd), signal)
            && error.raw_os_error() == Some(libc::EPERM)
        {
            round.refused += 1;
        }
    }
    round
}

/// Bytes of RAM that the processes below `root` hold together; shared pages count for each.
pub(crate) fn resident(root: u32) -> u64 {
    let page = rustix::param::page_size() as u64;
    descendants(root)
        .into_iter()
        .filter_map(|(pid, _)| {
            let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
            let mut fields =
                text.split_ascii_whitespace().skip(1).map(|word| word.parse::<u64>().unwrap_or(0));
            let (resident, shared) = (fields.next()?, fields.next()?);
            // Mapped files are the page cache's; what the task itself holds is the rest.
            Some(resident.saturating_sub(shared) * page)
        })
        .sum()
}
