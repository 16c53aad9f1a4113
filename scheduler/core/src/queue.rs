//! The ready tasks, in order, without a cost that grows with their number.
//!
//! Tasks that ask for the same thing in the same way form a *class*: if its first does not fit now, none
//! of it does, so the class is set aside as blocked until something is released. Only the heads of the
//! classes are compared. After a release the first [`FIRST`] blocked classes are looked at again, in order,
//! and [`NEXT`] more from where the last such look ended: the first bounds the work of an event, as
//! `bf_max_job_test` does in Slurm, the second gives those behind them their turn.

use dunnage_model::{DeviceId, GraphId, Request, TaskId};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// How many blocked classes at the head are looked at again after a release.
const FIRST: usize = 96;

/// How many are looked at besides, going round.
const NEXT: usize = 32;

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
    /// Where the last look at blocked classes beyond the first ones ended; `None` once all had their turn.
    cursor: Option<(QueueKey, u32)>,
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

    /// Looks again at blocked classes if the ledger has changed since the last look, or goes on with a look
    /// that was not over.
    pub(crate) fn reopen(&mut self, generation: u64) {
        if self.generation == generation {
            self.reopen_more();
            return;
        }
        self.generation = generation;
        let behind = self.blocked.iter().nth(FIRST - 1).copied();
        while let Some(first) = self.blocked.first().copied() {
            if behind.is_some_and(|behind| first > behind) {
                break;
            }
            self.open_again(first);
        }
        if self.cursor.is_none_or(|cursor| behind.is_none_or(|behind| cursor < behind)) {
            self.cursor = behind;
        }
        self.reopen_more();
    }

    /// Looks again at the next few blocked classes; `false` once all had their turn since the last release.
    pub(crate) fn reopen_more(&mut self) -> bool {
        let Some(cursor) = self.cursor else { return false };
        let after = (Bound::Excluded(cursor), Bound::Unbounded);
        let next: Vec<(QueueKey, u32)> = self.blocked.range(after).take(NEXT).copied().collect();
        self.cursor = if next.len() == NEXT { next.last().copied() } else { None };
        for entry in &next {
            self.open_again(*entry);
        }
        !next.is_empty()
    }

    fn open_again(&mut self, entry: (QueueKey, u32)) {
        self.blocked.remove(&entry);
        self.classes[entry.1 as usize].blocked = false;
        self.open.insert(entry);
    }

    /// Whether a task is in it.
    pub(crate) fn contains(&self, id: ClassId, key: QueueKey) -> bool {
        self.classes[id.slot as usize].tasks.contains(&key)
    }

    /// Whether the heads are those of the classes.
    pub(crate) fn audit(&self) -> Result<(), String> {
        let mut len = 0;
        for (slot, class) in self.classes.iter().enumerate() {
            len += class.tasks.len();
            let Some(head) = class.tasks.first() else { continue };
            let (here, there) =
                if class.blocked { (&self.blocked, &self.open) } else { (&self.open, &self.blocked) };
            let entry = (*head, slot as u32);
            if !here.contains(&entry) || there.contains(&entry) {
                return Err(format!("the head of class {slot} is not where it belongs"));
            }
            if self.index.get(&class.key) != Some(&(slot as u32)) {
                return Err(format!("class {slot} is not found by its key"));
            }
        }
        let heads = self.classes.iter().filter(|class| !class.tasks.is_empty()).count();
        if heads != self.open.len() + self.blocked.len() || len != self.len {
            return Err(format!(
                "{heads} classes and {len} tasks are in the queue and it counts {}",
                self.len
            ));
        }
        Ok(())
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
            queue.audit().unwrap();
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
