//! Which attempt a process belongs to: the one whose root it descends from.

use dunnage_model::AttemptId;
use std::collections::BTreeMap;

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
}
