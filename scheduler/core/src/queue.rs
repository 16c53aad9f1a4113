//! The ready tasks, in order, without a cost that grows with their number.
//!
//! Tasks that ask for the same thing in the same way form a *class*: if its first does not fit now, none
//! of it does, so the class is set aside as blocked until something is released. Only the heads of the
//! classes are compared. After a release the first [`WINDOW`] blocked classes are looked at again, in
//! order; that bounds the work of an event, as `bf_max_job_test` does in Slurm.

use dunnage_model::{DeviceId, GraphId, Request, TaskId};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// How many blocked classes are looked at again after a release.
const WINDOW: usize = 256;

/// The place of a task among the ready ones: the smaller goes first, and no two are equal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct QueueKey {
    pub(crate) priority: Reverse<i32>,
    pub(crate) graph: GraphId,
    /// Higher goes first; a priority of the plan as ordered bits.
    pub(crate) rank: Reverse<u64>,
    pub(crate) index: u32,
}

impl QueueKey {
    pub(crate) const fn task(self) -> TaskId {
        self.graph.task(self.index)
    }
}

/// A number of a plan as bits that sort like it.
pub(crate) fn rank_bits(rank: f64) -> u64 {
    let bits = if rank.is_nan() { 0 } else { rank.to_bits() };
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

/// What makes tasks alike for placement.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ClassKey {
    pub(crate) strategy: usize,
    pub(crate) requests: Vec<Request>,
    pub(crate) node: Option<String>,
    pub(crate) planned: Option<(u8, DeviceId)>,
}

/// A class by its slot, with the number of its use: slots are used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ClassId {
    slot: u32,
    used: u32,
}

#[derive(Debug)]
struct Class {
    key: ClassKey,
    tasks: BTreeSet<QueueKey>,
    blocked: bool,
    used: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    classes: Vec<Class>,
    vacant: Vec<u32>,
    index: BTreeMap<ClassKey, u32>,
    open: BTreeSet<(QueueKey, u32)>,
    blocked: BTreeSet<(QueueKey, u32)>,
    /// The ledger's generation at the last look at the blocked ones.
    generation: u64,
    len: usize,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The class with this key, new or old.
    pub(crate) fn class(&mut self, key: ClassKey) -> ClassId {
        if let Some(slot) = self.index.get(&key) {
            return ClassId { slot: *slot, used: self.classes[*slot as usize].used };
        }
        let slot = if let Some(slot) = self.vacant.pop() {
            let class = &mut self.classes[slot as usize];
            class.key = key.clone();
            class.used += 1;
            class.blocked = false;
            slot
        } else {
            self.classes.push(Class { key: key.clone(), tasks: BTreeSet::new(), blocked: false, used: 0 });
            self.classes.len() as u32 - 1
        };
        self.index.insert(key, slot);
        ClassId { slot, used: self.classes[slot as usize].used }
    }

    /// Whether a class that was looked up earlier still is that class.
    pub(crate) fn is_current(&self, id: ClassId) -> bool {
        let class = &self.classes[id.slot as usize];
        class.used == id.used && self.index.get(&class.key) == Some(&id.slot)
    }

    pub(crate) fn insert(&mut self, id: ClassId, key: QueueKey) {
        let class = &mut self.classes[id.slot as usize];
        let head = class.tasks.first().copied();
        if !class.tasks.insert(key) {
            return;
        }
        self.len += 1;
        if head.is_none_or(|head| key < head) {
            let set = if class.blocked { &mut self.blocked } else { &mut self.open };
            if let Some(head) = head {
                set.remove(&(head, id.slot));
            }
            set.insert((key, id.slot));
        }
    }

    pub(crate) fn remove(&mut self, id: ClassId, key: QueueKey) -> bool {
        let class = &mut self.classes[id.slot as usize];
        let was_head = class.tasks.first() == Some(&key);
        if !class.tasks.remove(&key) {
            return false;
        }
        self.len -= 1;
        if was_head {
            let set = if class.blocked { &mut self.blocked } else { &mut self.open };
            set.remove(&(key, id.slot));
            if let Some(next) = class.tasks.first() {
                set.insert((*next, id.slot));
            } else {
                self.index.remove(&class.key);
                class.blocked = false;
                self.vacant.push(id.slot);
            }
        }
        true
    }

    /// The first task of a class that may fit.
    pub(crate) fn first_open(&self) -> Option<(QueueKey, ClassId)> {
        let (key, slot) = *self.open.first()?;
        Some((key, ClassId { slot, used: self.classes[slot as usize].used }))
    }

    /// Sets a class aside until something is released.
    pub(crate) fn block(&mut self, id: ClassId) {
        let class = &mut self.classes[id.slot as usize];
        if let Some(head) = class.tasks.first()
            && !class.blocked
        {
            self.open.remove(&(*head, id.slot));
            self.blocked.insert((*head, id.slot));
            class.blocked = true;
        }
    }

    /// Looks again at blocked classes if the ledger has changed for the better since the last look.
    pub(crate) fn reopen(&mut self, generation: u64) {
        if self.generation == generation {
            return;
        }
        self.generation = generation;
        for _ in 0..WINDOW {
            let Some((key, slot)) = self.blocked.pop_first() else { break };
            self.classes[slot as usize].blocked = false;
            self.open.insert((key, slot));
        }
    }

    #[cfg(test)]
    pub(crate) fn check(&self) {
        let heads = self.classes.iter().filter(|class| !class.tasks.is_empty()).count();
        assert_eq!(heads, self.open.len() + self.blocked.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(graph: u64, rank: f64, index: u32) -> QueueKey {
        QueueKey { priority: Reverse(0), graph: GraphId(graph), rank: Reverse(rank_bits(rank)), index }
    }

    fn class(strategy: usize) -> ClassKey {
        ClassKey { strategy, requests: Vec::new(), node: None, planned: None }
    }

    #[test]
    fn the_highest_rank_of_the_oldest_graph_goes_first() {
        let mut queue = Queue::default();
        let id = queue.class(class(0));
        for k in [key(2, 9.0, 0), key(1, -1.0, 0), key(1, 2.5, 1), key(1, 2.5, 2)] {
            queue.insert(id, k);
        }
        let mut order = Vec::new();
        while let Some((key, id)) = queue.first_open() {
            order.push((key.graph.0, key.index));
            queue.remove(id, key);
            queue.check();
        }
        assert_eq!(order, [(1, 1), (1, 2), (1, 0), (2, 0)]);
    }

    #[test]
    fn a_blocked_class_comes_back_only_after_a_release() {
        let mut queue = Queue::default();
        let id = queue.class(class(0));
        queue.insert(id, key(1, 0.0, 0));
        queue.block(id);
        queue.reopen(0);
        assert!(queue.first_open().is_none());
        queue.insert(id, key(1, 5.0, 1));
        assert!(queue.first_open().is_none(), "a new head of a blocked class is blocked too");
        queue.reopen(1);
        assert_eq!(queue.first_open().unwrap().0.index, 1);
    }

    #[test]
    fn the_slot_of_an_empty_class_is_used_again_and_old_ids_know_it() {
        let mut queue = Queue::default();
        let old = queue.class(class(0));
        queue.insert(old, key(1, 0.0, 0));
        queue.remove(old, key(1, 0.0, 0));
        let new = queue.class(class(1));
        assert!(!queue.is_current(old));
        assert!(queue.is_current(new));
    }
}
