//! Which attempt a process belongs to: the one whose root it descends from.

use dunnage_model::AttemptId;
use dunnage_model::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// At most this many parents are followed.
const DEPTH_MAX: usize = 64;

/// The attempt among `roots` (by the process at the root of its tree) that a process belongs to.
pub(crate) fn owner_of(pid: u32, roots: &BTreeMap<u32, AttemptId>) -> Option<AttemptId> {
    if roots.is_empty() {
        return None;
    }
    let mut at = pid;
    for _ in 0..DEPTH_MAX {
        if let Some(attempt) = roots.get(&at) {
            return Some(*attempt);
        }
        at = parent(at)?;
        if at <= 1 {
            return None;
        }
    }
    None
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything; the fields after the last one are numbers.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// At most this many processes are looked at.
const PROCESSES_MAX: usize = 65_536;

/// RAM that our processes use.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct TreeUse {
    /// This process and everything below it that belongs to no root.
    pub(crate) own: Bytes,
    /// Each root with everything below it, as far as it is not another root's.
    pub(crate) by_root: BTreeMap<u32, Bytes>,
}

/// What the trees below these processes use: resident pages, those shared between processes counted for each.
pub(crate) fn memory_of(roots: &[u32]) -> TreeUse {
    let own = std::process::id();
    if roots.is_empty() {
        return TreeUse { own: process(own).map_or(Bytes::ZERO, |(_, bytes)| bytes), ..TreeUse::default() };
    }
    let all: BTreeMap<u32, (u32, Bytes)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .take(PROCESSES_MAX)
        .filter_map(|pid| Some((pid, process(pid)?)))
        .collect();
    let roots: BTreeSet<u32> = roots.iter().copied().collect();
    let mut used = TreeUse::default();
    for (pid, (_, bytes)) in &all {
        let mut at = *pid;
        for _ in 0..DEPTH_MAX {
            if roots.contains(&at) {
                let sum = used.by_root.entry(at).or_default();
                *sum = sum.saturating_add(*bytes);
                break;
            }
            if at == own {
                used.own = used.own.saturating_add(*bytes);
                break;
            }
            match all.get(&at) {
                Some((above, _)) if *above > 1 => at = *above,
                _ => break,
            }
        }
    }
    used
}

/// A process's parent and the RAM that it uses.
fn process(pid: u32) -> Option<(u32, Bytes)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    // The 24th field of all, in pages.
    let pages: u64 = fields.nth(19)?.parse().ok()?;
    Some((parent, Bytes(pages.saturating_mul(rustix::param::page_size() as u64))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunnage_model::{Attempt, GraphId};

    #[test]
    fn a_process_belongs_to_the_root_above_it() {
        let attempt = GraphId(1).task(0).attempt(Attempt(1));
        let me = std::process::id();
        let above = parent(me).unwrap();
        assert_eq!(owner_of(me, &BTreeMap::from([(above, attempt)])), Some(attempt));
        assert_eq!(owner_of(me, &BTreeMap::from([(u32::MAX, attempt)])), None);
    }

    #[test]
    fn the_memory_of_a_tree_is_that_of_its_processes() {
        let me = std::process::id();
        let alone = memory_of(&[]);
        assert!(alone.own > Bytes(1 << 16) && alone.by_root.is_empty(), "{alone:?}");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let trees = memory_of(&[child.id(), u32::MAX]);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(trees.own > Bytes(1 << 16), "{trees:?}");
        assert_eq!(trees.by_root.keys().copied().collect::<Vec<u32>>(), [child.id()], "{me}");
    }
}
