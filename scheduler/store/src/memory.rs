//! The journal in memory, for tests and simulations: it behaves as the real one, and its "disk" can
//! lose its power.

use crate::{
    Damage, Ended, EndedFilter, EndedRow, FactRow, GraphRow, History, Journal, LiveGraph, Loaded, LogRow,
    StoreClock, StoreError, Syncer, Write,
};
use dunnage_model::{AttemptId, GraphId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

/// What outlives a [`MemoryJournal`]. Copies are the same disk.
#[derive(Clone, Debug)]
pub struct MemoryDisk(Arc<Mutex<Disk>>);

/// The journal in memory.
#[derive(Clone, Debug)]
pub struct MemoryJournal {
    disk: MemoryDisk,
    clock: StoreClock,
}

#[derive(Debug, Default)]
struct Disk {
    /// What was committed.
    tables: Tables,
    /// What was synced, and what has been committed since; only where power may be lost.
    synced: Option<(Tables, Vec<Write>)>,
}

#[derive(Clone, Debug, Default)]
struct Tables {
    graphs: BTreeMap<GraphId, (GraphRow, Option<Ended>)>,
    set_aside: BTreeSet<GraphId>,
    facts: BTreeMap<u64, (GraphId, Vec<u8>)>,
    facts_by_graph: BTreeMap<GraphId, BTreeSet<u64>>,
    logs: BTreeMap<(AttemptId, u8), LogRow>,
    documents: BTreeMap<(String, String), Vec<u8>>,
    damaged: Vec<Damage>,
    last_graph: u64,
    last_seq: u64,
}

impl Default for MemoryDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl Syncer for MemoryDisk {
    fn sync(&mut self) -> Result<(), StoreError> {
        Self::sync(self);
        Ok(())
    }
}

impl MemoryDisk {
    fn sync(&self) {
        if let Some((tables, unsynced)) = &mut self.lock().synced {
            for write in unsynced.drain(..) {
                tables.apply(&write);
            }
        }
    }

    /// An empty disk that never loses its power.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Disk::default())))
    }

    /// An empty disk that can lose its power; it holds everything twice.
    pub fn that_may_lose_power() -> Self {
        Self(Arc::new(Mutex::new(Disk { synced: Some(Default::default()), ..Disk::default() })))
    }

    /// Forgets what was committed and not synced. A disk made by [`Self::new`] forgets nothing.
    pub fn lose_power(&self) {
        let mut disk = self.lock();
        if let Some((tables, unsynced)) = &mut disk.synced {
            unsynced.clear();
            disk.tables = tables.clone();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        // Every change is whole before anything in it can panic.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl MemoryJournal {
    /// A journal on a disk, with time that begins anew.
    pub fn open(disk: MemoryDisk) -> Self {
        Self::with_clock(disk, StoreClock::starting_now())
    }

    /// A journal on a disk, with somebody's time.
    pub fn with_clock(disk: MemoryDisk, clock: StoreClock) -> Self {
        Self { disk, clock }
    }
}

impl Journal for MemoryJournal {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        let disk = self.disk.lock();
        let tables = &disk.tables;
        let live = tables
            .graphs
            .iter()
            .filter(|(id, (_, end))| end.is_none() && !tables.set_aside.contains(id))
            .map(|(id, (row, _))| LiveGraph {
                row: row.clone(),
                facts: tables.facts_of(*id, 0),
                damaged: tables.damaged.iter().any(|damage| damage.graph == *id),
            })
            .collect();
        Ok(Loaded {
            token: "memory".to_owned(),
            created_wall_us: 0,
            next_graph: GraphId(tables.last_graph + 1),
            next_seq: tables.last_seq + 1,
            clock: self.clock.clone(),
            live,
            damaged: Vec::new(),
        })
    }

    fn commit(&mut self, batch: &[Write], sync: bool) -> Result<(), StoreError> {
        let mut disk = self.disk.lock();
        for write in batch {
            if let Write::Facts { seq, .. } = write
                && disk.tables.facts.contains_key(seq)
            {
                let why = "this place in the sequence is taken";
                return Err(StoreError::BadValue {
                    what: "the record of facts",
                    value: seq.to_string(),
                    why,
                });
            }
        }
        for write in batch {
            disk.tables.apply(write);
        }
        if let Some((_, unsynced)) = &mut disk.synced {
            unsynced.extend_from_slice(batch);
        }
        drop(disk);
        if sync { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.disk.sync();
        Ok(())
    }

    fn syncer(&self) -> Result<Box<dyn Syncer>, StoreError> {
        Ok(Box::new(self.disk.clone()))
    }

    fn reader(&self) -> Result<Box<dyn History>, StoreError> {
        Ok(Box::new(self.disk.clone()))
    }
}

impl Tables {
    fn apply(&mut self, write: &Write) {
        match write {
            Write::Graph(row) => {
                self.last_graph = self.last_graph.max(row.id.0);
                let end = self.graphs.remove(&row.id).and_then(|(_, end)| end);
                self.graphs.insert(row.id, ((**row).clone(), end));
            }
            Write::Facts { graph, seq, body } => {
                self.last_seq = self.last_seq.max(*seq);
                self.facts.insert(*seq, (*graph, body.clone()));
                self.facts_by_graph.entry(*graph).or_default().insert(*seq);
            }
            Write::Ended { graph, end } => self.set_end(*graph, Some(end.clone())),
            Write::Reopened { graph } => self.set_end(*graph, None),
            Write::Log(row) => drop(self.logs.insert((row.attempt, row.stream), *row)),
            Write::Document { kind, key, body: Some(body) } => {
                self.documents.insert((kind.clone(), key.clone()), body.clone());
            }
            Write::Document { kind, key, body: None } => {
                self.documents.remove(&(kind.clone(), key.clone()));
            }
            Write::SetAside { graph, seq, reason } => {
                self.damaged.push(Damage { graph: *graph, seq: *seq, reason: reason.clone() });
                if let Some(seq) = seq {
                    self.facts.remove(seq);
                    self.facts_by_graph.entry(*graph).or_default().remove(seq);
                } else {
                    self.set_aside.insert(*graph);
                }
            }
            Write::Forget { graph } => {
                self.graphs.remove(graph);
                self.set_aside.remove(graph);
                for seq in self.facts_by_graph.remove(graph).unwrap_or_default() {
                    self.facts.remove(&seq);
                }
                self.logs.retain(|(attempt, _), _| attempt.task.graph != *graph);
                self.damaged.retain(|damage| damage.graph != *graph);
            }
        }
    }

    fn set_end(&mut self, graph: GraphId, to: Option<Ended>) {
        if let Some((_, end)) = self.graphs.get_mut(&graph) {
            *end = to;
        }
    }

    fn facts_of(&self, graph: GraphId, after: u64) -> Vec<FactRow> {
        let records = self.facts_by_graph.get(&graph).into_iter().flatten().filter(|seq| **seq > after);
        records
            .filter_map(|seq| {
                self.facts.get(seq).map(|(_, body)| FactRow { seq: *seq, graph, body: body.clone() })
            })
            .collect()
    }
}

impl History for MemoryDisk {
    fn facts_of(&mut self, graph: GraphId, after: u64) -> Result<Vec<FactRow>, StoreError> {
        Ok(self.lock().tables.facts_of(graph, after))
    }

    fn facts_since(&mut self, after: u64, limit: usize) -> Result<Vec<FactRow>, StoreError> {
        let disk = self.lock();
        let records = disk.tables.facts.range(after.saturating_add(1)..).take(limit);
        Ok(records
            .map(|(seq, (graph, body))| FactRow { seq: *seq, graph: *graph, body: body.clone() })
            .collect())
    }

    fn graph(&mut self, graph: GraphId) -> Result<Option<(GraphRow, Option<Ended>)>, StoreError> {
        Ok(self.lock().tables.graphs.get(&graph).cloned())
    }

    fn spec_of(&mut self, graph: GraphId) -> Result<Option<String>, StoreError> {
        Ok(self.lock().tables.graphs.get(&graph).map(|(row, _)| row.spec.clone()))
    }

    fn ended(&mut self, filter: &EndedFilter) -> Result<Vec<EndedRow>, StoreError> {
        let EndedFilter { state, owner, name, ended_before, after, limit } = filter;
        let disk = self.lock();
        let mut found: Vec<EndedRow> = disk
            .tables
            .graphs
            .values()
            .filter_map(|(row, end)| {
                let end = end.clone()?;
                let GraphRow { id, owner, name, functions, submitted_at, submitted_wall_us, .. } =
                    row.clone();
                Some(EndedRow { id, owner, name, functions, submitted_at, submitted_wall_us, end })
            })
            .filter(|row| {
                state.is_none_or(|state| row.end.state == state)
                    && owner.is_none_or(|owner| row.owner == owner)
                    && name.as_ref().is_none_or(|name| row.name == *name)
                    && ended_before.is_none_or(|time| row.end.at < time)
                    && after.is_none_or(|after| (row.end.at, row.id) < after)
            })
            .collect();
        found.sort_by_key(|row| std::cmp::Reverse((row.end.at, row.id)));
        found.truncate(*limit);
        Ok(found)
    }

    fn logs_of(&mut self, attempt: AttemptId) -> Result<Vec<LogRow>, StoreError> {
        Ok(self.lock().tables.logs.range((attempt, 0)..=(attempt, u8::MAX)).map(|(_, row)| *row).collect())
    }

    fn logs_of_graph(&mut self, graph: GraphId) -> Result<Vec<LogRow>, StoreError> {
        let disk = self.lock();
        Ok(disk.tables.logs.values().filter(|row| row.attempt.task.graph == graph).copied().collect())
    }

    fn segments_in_use(&mut self) -> Result<Vec<u32>, StoreError> {
        let segments: BTreeSet<u32> = self.lock().tables.logs.values().map(|row| row.place.segment).collect();
        Ok(segments.into_iter().collect())
    }

    fn environments_in_use(&mut self) -> Result<Vec<String>, StoreError> {
        let disk = self.lock();
        let names: BTreeSet<String> =
            disk.tables.graphs.values().filter_map(|(row, _)| row.environment.clone()).collect();
        Ok(names.into_iter().collect())
    }

    fn documents(&mut self, kind: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let disk = self.lock();
        let of_kind = disk.tables.documents.iter().filter(|((found, _), _)| found == kind);
        Ok(of_kind.map(|((_, key), body)| (key.clone(), body.clone())).collect())
    }

    fn damaged(&mut self) -> Result<Vec<Damage>, StoreError> {
        let mut damaged = self.lock().tables.damaged.clone();
        damaged.sort_by_key(|damage| (damage.graph, damage.seq));
        Ok(damaged)
    }
}
