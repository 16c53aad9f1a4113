//! The ready tasks, in order, without a cost that grows with their number.
//!
//! Tasks of one owner that ask for the same thing in the same way form a *class*: if its first does not fit
//! now, none of it does, so the class is set aside as blocked until something is released. Only the heads of
//! the classes are compared. The classes of one owner form a *lane*; which lane goes first is asked anew at
//! each choice, so the order of users may change (`fair_share.rs`) and no task is touched by it.
//!
//! After a release the first [`FIRST`] blocked classes are looked at again, in order, and [`NEXT`] more from
//! where the last such look ended: the first bounds the work of an event, as `bf_max_job_test` does in
//! Slurm, the second gives those behind them their turn. Lanes share these numbers.

use dunnage_model::{DeviceId, GraphId, Owner, Request, TaskId, Time};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// How many blocked classes at the head are looked at again after a release.
const FIRST: usize = 96;

/// How many are looked at besides, going round.
const NEXT: usize = 32;

/// The place of a task among the ready ones of its owner: the smaller goes first, and no two are equal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct QueueKey {
    pub(crate) priority: Reverse<i32>,
    /// The predicted size of its graph, see `Policy::size_key`.
    pub(crate) size: u64,
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

/// What makes tasks alike for placement and for the order of the queue: in a class they differ by graph,
/// rank and index alone, so its head is of its oldest graph.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ClassKey {
    pub(crate) owner: Owner,
    pub(crate) strategy: usize,
    pub(crate) priority: Reverse<i32>,
    pub(crate) size: u64,
    pub(crate) requests: Vec<Request>,
    pub(crate) node: Option<String>,
    pub(crate) planned: Option<(u8, DeviceId)>,
    /// Whether samples of devices count, see `aware.rs`.
    pub(crate) is_aware: bool,
}

/// The place of a class among all by since when its oldest graph waits.
pub(crate) type Age = (Time, u32);

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
    /// Under what time it stands in `ages`: its oldest graph waits since then or later.
    since: Time,
}

/// The classes of one owner.
#[derive(Debug, Default)]
struct Lane {
    open: BTreeSet<(QueueKey, u32)>,
    blocked: BTreeSet<(QueueKey, u32)>,
    /// Where the last look at blocked classes beyond the first ones ended; `None` once all had their turn.
    cursor: Option<(QueueKey, u32)>,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    classes: Vec<Class>,
    vacant: Vec<u32>,
    index: BTreeMap<ClassKey, u32>,
    lanes: BTreeMap<Owner, Lane>,
    /// The classes by the time since which the oldest graph of each waits, or an earlier time.
    ages: BTreeSet<(Time, u32)>,
    /// The ledger's generation at the last look at the blocked ones.
    generation: u64,
    len: usize,
    /// How many classes look at samples.
    aware: usize,
}

impl Lane {
    fn set(&mut self, blocked: bool) -> &mut BTreeSet<(QueueKey, u32)> {
        if blocked { &mut self.blocked } else { &mut self.open }
    }
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether somebody in it waits for what samples say.
    pub(crate) fn looks_at_samples(&self) -> bool {
        self.aware > 0
    }

    /// How many users have tasks in it.
    pub(crate) fn users(&self) -> usize {
        self.lanes.len()
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
            self.classes.push(Class {
                key: key.clone(),
                tasks: BTreeSet::new(),
                blocked: false,
                used: 0,
                since: Time::ZERO,
            });
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
        self.aware += usize::from(class.key.is_aware && head.is_none());
        if head.is_none_or(|head| key < head) {
            let lane = self.lanes.entry(class.key.owner).or_default().set(class.blocked);
            if let Some(head) = head {
                lane.remove(&(head, id.slot));
            }
            lane.insert((key, id.slot));
            self.rest_age(id.slot, head.map(|head| head.graph), Some(key.graph));
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
            let owner = class.key.owner;
            let next = class.tasks.first().copied();
            self.aware -= usize::from(class.key.is_aware && next.is_none());
            if let Some(lane) = self.lanes.get_mut(&owner) {
                let set = lane.set(class.blocked);
                set.remove(&(key, id.slot));
                if let Some(next) = next {
                    set.insert((next, id.slot));
                } else if lane.open.is_empty() && lane.blocked.is_empty() {
                    self.lanes.remove(&owner);
                }
            }
            self.rest_age(id.slot, Some(key.graph), next.map(|next| next.graph));
            if next.is_none() {
                let class = &mut self.classes[id.slot as usize];
                self.index.remove(&class.key);
                class.blocked = false;
                self.vacant.push(id.slot);
            }
        }
        true
    }

    /// Another graph heads a class: since when it waits is looked up when it matters.
    fn rest_age(&mut self, slot: u32, before: Option<GraphId>, after: Option<GraphId>) {
        if before == after {
            return;
        }
        let class = &mut self.classes[slot as usize];
        if before.is_some() {
            self.ages.remove(&(class.since, slot));
        }
        if after.is_some() {
            class.since = Time::ZERO;
            self.ages.insert((Time::ZERO, slot));
        }
    }

    /// The first graphs in the order of the queue, about so many. Cost: the number asked for and that of the
    /// classes, whatever the number of tasks.
    pub(crate) fn first_graphs(&self, about: usize, used: impl Fn(Owner) -> f64) -> Vec<GraphId> {
        let heads: Vec<(f64, u32)> = self
            .lanes
            .iter()
            .flat_map(|(owner, lane)| {
                let used = used(*owner);
                let heads = lane.open.iter().take(about).chain(lane.blocked.iter().take(about));
                heads.map(move |(_, slot)| (used, *slot))
            })
            .collect();
        let each = (about / heads.len().max(1)).max(16);
        let mut found = Vec::new();
        for (used, slot) in heads {
            let tasks = &self.classes[slot as usize].tasks;
            let mut next = tasks.first().copied();
            for _ in 0..each {
                let Some(key) = next else { break };
                found.push((key.priority, rank_bits(used), key.size, key.graph));
                let behind = QueueKey { rank: Reverse(0), index: u32::MAX, ..key };
                next = tasks.range((Bound::Excluded(behind), Bound::Unbounded)).next().copied();
            }
        }
        found.sort_unstable();
        found.dedup();
        found.truncate(about);
        found.into_iter().map(|(.., graph)| graph).collect()
    }

    /// The head of the class whose oldest graph has waited longest, if it waits since before a time, given
    /// since when a task waits; of those behind a place in that order, which is given with the head.
    pub(crate) fn oldest(
        &mut self,
        behind: Option<Age>,
        before: Time,
        waits_since: impl Fn(TaskId) -> Time,
    ) -> Option<(Age, QueueKey, ClassId)> {
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        loop {
            let (since, slot) = *self.ages.range((from, Bound::Unbounded)).next()?;
            // What is kept is never later than what is true, so the first that is true is the oldest.
            if since >= before {
                return None;
            }
            let class = &mut self.classes[slot as usize];
            let head = *class.tasks.first()?;
            let truly = waits_since(head.task()).max(since);
            if truly == since {
                return Some(((since, slot), head, ClassId { slot, used: class.used }));
            }
            class.since = truly;
            self.ages.remove(&(since, slot));
            self.ages.insert((truly, slot));
        }
    }

    /// The first task of a class that may fit: the highest priority, then the owner that has used least.
    pub(crate) fn first_open(&self, used: impl Fn(Owner) -> f64) -> Option<(QueueKey, ClassId)> {
        let mut best: Option<(f64, QueueKey, u32)> = None;
        let alone = self.lanes.len() == 1;
        for (owner, lane) in &self.lanes {
            let Some((key, slot)) = lane.open.first() else { continue };
            let used = if alone { 0.0 } else { used(*owner) };
            let goes_first = best.as_ref().is_none_or(|(least, first, _)| {
                key.priority.cmp(&first.priority).then(used.total_cmp(least)).then(key.cmp(first)).is_lt()
            });
            if goes_first {
                best = Some((used, *key, *slot));
            }
        }
        best.map(|(_, key, slot)| (key, ClassId { slot, used: self.classes[slot as usize].used }))
    }

    /// Sets a class aside until something is released.
    pub(crate) fn block(&mut self, id: ClassId) {
        let class = &mut self.classes[id.slot as usize];
        if let Some(head) = class.tasks.first()
            && !class.blocked
            && let Some(lane) = self.lanes.get_mut(&class.key.owner)
        {
            lane.open.remove(&(*head, id.slot));
            lane.blocked.insert((*head, id.slot));
            class.blocked = true;
        }
    }

    /// Looks again at blocked classes if the ledger has changed since the last look, or goes on with a look
    /// that was not over. Returns whether it has changed.
    pub(crate) fn reopen(&mut self, generation: u64) -> bool {
        if self.generation == generation {
            self.reopen_more();
            return false;
        }
        self.generation = generation;
        let each = (FIRST / self.lanes.len().max(1)).max(4);
        for lane in self.lanes.values_mut() {
            let behind = lane.blocked.iter().nth(each - 1).copied();
            while let Some(first) = lane.blocked.first().copied() {
                if behind.is_some_and(|behind| first > behind) {
                    break;
                }
                open_again(lane, &mut self.classes, first);
            }
            if lane.cursor.is_none_or(|cursor| behind.is_none_or(|behind| cursor < behind)) {
                lane.cursor = behind;
            }
        }
        self.reopen_more();
        true
    }

    /// Looks again at the next few blocked classes; `false` once all had their turn since the last release.
    pub(crate) fn reopen_more(&mut self) -> bool {
        let each = (NEXT / self.lanes.len().max(1)).max(2);
        let mut any = false;
        for lane in self.lanes.values_mut() {
            let Some(cursor) = lane.cursor else { continue };
            let after = (Bound::Excluded(cursor), Bound::Unbounded);
            let next: Vec<(QueueKey, u32)> = lane.blocked.range(after).take(each).copied().collect();
            lane.cursor = if next.len() == each { next.last().copied() } else { None };
            for entry in &next {
                open_again(lane, &mut self.classes, *entry);
            }
            any |= !next.is_empty();
        }
        any
    }

    /// Whether a look at the blocked classes is not over.
    pub(crate) fn has_more(&self) -> bool {
        self.lanes.values().any(|lane| lane.cursor.is_some())
    }

    /// Whether a task is in it.
    pub(crate) fn contains(&self, id: ClassId, key: QueueKey) -> bool {
        self.is_current(id) && self.classes[id.slot as usize].tasks.contains(&key)
    }

    /// Whether the heads are those of the classes.
    pub(crate) fn audit(&self) -> Result<(), String> {
        let mut len = 0;
        for (slot, class) in self.classes.iter().enumerate() {
            len += class.tasks.len();
            let Some(head) = class.tasks.first() else { continue };
            let entry = (*head, slot as u32);
            let is_where_it_belongs = self.lanes.get(&class.key.owner).is_some_and(|lane| {
                lane.blocked.contains(&entry) == class.blocked && lane.open.contains(&entry) != class.blocked
            });
            if !is_where_it_belongs {
                return Err(format!("the head of class {slot} is not where it belongs"));
            }
            if self.index.get(&class.key) != Some(&(slot as u32)) {
                return Err(format!("class {slot} is not found by its key"));
            }
            if !self.ages.contains(&(class.since, slot as u32)) {
                return Err(format!("class {slot} has no age"));
            }
        }
        let heads = self.classes.iter().filter(|class| !class.tasks.is_empty()).count();
        let listed: usize = self.lanes.values().map(|lane| lane.open.len() + lane.blocked.len()).sum();
        if heads != listed || heads != self.ages.len() || len != self.len {
            return Err(format!(
                "{heads} classes and {len} tasks are in the queue and it counts {}",
                self.len
            ));
        }
        Ok(())
    }
}

fn open_again(lane: &mut Lane, classes: &mut [Class], entry: (QueueKey, u32)) {
    lane.blocked.remove(&entry);
    classes[entry.1 as usize].blocked = false;
    lane.open.insert(entry);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(graph: u64, rank: f64, index: u32) -> QueueKey {
        QueueKey {
            priority: Reverse(0),
            size: 0,
            graph: GraphId(graph),
            rank: Reverse(rank_bits(rank)),
            index,
        }
    }

    fn class(strategy: usize) -> ClassKey {
        class_of(Owner(0), strategy)
    }

    fn class_of(owner: Owner, strategy: usize) -> ClassKey {
        ClassKey {
            owner,
            strategy,
            priority: Reverse(0),
            size: 0,
            requests: Vec::new(),
            node: None,
            planned: None,
            is_aware: false,
        }
    }

    #[test]
    fn the_owner_who_used_least_goes_first_within_a_priority() {
        let mut queue = Queue::default();
        let (a, b) = (queue.class(class_of(Owner(1), 0)), queue.class(class_of(Owner(2), 0)));
        queue.insert(a, key(1, 0.0, 0));
        queue.insert(b, key(2, 0.0, 0));
        let first = |queue: &Queue, used: [f64; 2]| {
            queue.first_open(|owner| used[owner.0 as usize - 1]).unwrap().0.graph.0
        };
        assert_eq!(first(&queue, [5.0, 1.0]), 2);
        assert_eq!(first(&queue, [1.0, 5.0]), 1);
        queue.insert(a, QueueKey { priority: Reverse(1), ..key(3, 0.0, 0) });
        assert_eq!(first(&queue, [5.0, 1.0]), 3);
        queue.audit().unwrap();
    }

    #[test]
    fn the_oldest_is_found_although_ages_are_looked_up_late() {
        let mut queue = Queue::default();
        let (a, b) = (queue.class(class(0)), queue.class(class(1)));
        queue.insert(a, key(1, 0.0, 0));
        queue.insert(a, key(3, 0.0, 0));
        queue.insert(b, key(2, 0.0, 0));
        let since = |task: TaskId| Time([0, 50, 20, 10][task.graph.0 as usize]);
        let (age, first, _) = queue.oldest(None, Time(100), since).unwrap();
        assert_eq!(first.graph.0, 2);
        assert_eq!(queue.oldest(Some(age), Time(100), since).unwrap().1.graph.0, 1);
        assert!(queue.oldest(None, Time(20), since).is_none(), "not yet");
        queue.remove(a, key(1, 0.0, 0));
        assert_eq!(queue.oldest(None, Time(100), since).unwrap().1.graph.0, 3);
        queue.audit().unwrap();
    }

    #[test]
    fn the_highest_rank_of_the_oldest_graph_goes_first() {
        let mut queue = Queue::default();
        let id = queue.class(class(0));
        for k in [key(2, 9.0, 0), key(1, -1.0, 0), key(1, 2.5, 1), key(1, 2.5, 2)] {
            queue.insert(id, k);
        }
        let mut order = Vec::new();
        while let Some((key, id)) = queue.first_open(|_| 0.0) {
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
        assert!(queue.first_open(|_| 0.0).is_none());
        queue.insert(id, key(1, 5.0, 1));
        assert!(queue.first_open(|_| 0.0).is_none(), "a new head of a blocked class is blocked too");
        queue.reopen(1);
        assert_eq!(queue.first_open(|_| 0.0).unwrap().0.index, 1);
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
