//! A journal that fails by script, around one that works: what every caller of a journal is tested with.

use crate::{History, Journal, Loaded, StoreError, Syncer, Write};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// When a fault strikes. Calls are counted from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// At this commit, before anything of it is written.
    Commit(u64),
    /// At this sync, be it of a commit or on its own. What was to be synced is committed.
    Sync(u64),
}

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The disk reports an error, and so does every later call.
    Eio,
    /// The disk is full, and stays so.
    Enospc,
    /// Only so many changes of the batch are written; then as [`Fault::Eio`]. SQLite never does this;
    /// a caller that bears it bears every journal.
    Torn(usize),
    /// The call takes this much longer, and works.
    Slow(Duration),
}

/// The wrapped journal.
#[derive(Debug)]
pub struct Faulty<J> {
    inner: J,
    script: Vec<(When, Fault)>,
    commits: u64,
    syncs: u64,
    failed: Option<String>,
}

impl<J: Journal> Faulty<J> {
    /// A journal with a script of faults.
    pub fn new(inner: J, script: impl IntoIterator<Item = (When, Fault)>) -> Self {
        Self { inner, script: script.into_iter().collect(), commits: 0, syncs: 0, failed: None }
    }

    /// The journal that works.
    pub fn into_inner(self) -> J {
        self.inner
    }

    fn strike(&mut self, now: When, batch: &[Write]) -> Result<(), StoreError> {
        let Some((_, fault)) = self.script.iter().find(|(when, _)| *when == now) else { return Ok(()) };
        let code = match *fault {
            Fault::Slow(wait) => {
                std::thread::sleep(wait);
                return Ok(());
            }
            Fault::Torn(written) => {
                self.inner.commit(batch.get(..written).unwrap_or(batch), false)?;
                rustix::io::Errno::IO
            }
            Fault::Eio => rustix::io::Errno::IO,
            Fault::Enospc => rustix::io::Errno::NOSPC,
        };
        let error = StoreError::io("write", &PathBuf::from("faulty"), io::Error::from(code));
        self.failed = Some(error.in_full());
        Err(error)
    }

    fn refuse(&self) -> Result<(), StoreError> {
        match &self.failed {
            Some(first) => Err(StoreError::Stopped { first: first.clone() }),
            None => Ok(()),
        }
    }
}

impl<J: Journal> Journal for Faulty<J> {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        self.inner.load()
    }

    fn commit(&mut self, batch: &[Write], sync: bool) -> Result<(), StoreError> {
        self.refuse()?;
        self.commits += 1;
        self.strike(When::Commit(self.commits), batch)?;
        self.inner.commit(batch, false)?;
        if sync { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.refuse()?;
        self.syncs += 1;
        self.strike(When::Sync(self.syncs), &[])?;
        self.inner.sync()
    }

    fn syncer(&self) -> Result<Box<dyn Syncer>, StoreError> {
        let script = self.script.iter().filter(|(when, _)| matches!(when, When::Sync(_))).copied().collect();
        Ok(Box::new(FaultySyncer { inner: self.inner.syncer()?, script, syncs: self.syncs }))
    }

    fn reader(&self) -> Result<Box<dyn History>, StoreError> {
        self.inner.reader()
    }
}

/// The same script for syncs that another thread makes; it counts on from those made so far.
struct FaultySyncer {
    inner: Box<dyn Syncer>,
    script: Vec<(When, Fault)>,
    syncs: u64,
}

impl Syncer for FaultySyncer {
    fn sync(&mut self) -> Result<(), StoreError> {
        self.syncs += 1;
        let now = When::Sync(self.syncs);
        let code = match self.script.iter().find(|(when, _)| *when == now) {
            None => return self.inner.sync(),
            Some((_, Fault::Slow(wait))) => {
                std::thread::sleep(*wait);
                return self.inner.sync();
            }
            Some((_, Fault::Enospc)) => rustix::io::Errno::NOSPC,
            Some((_, Fault::Eio | Fault::Torn(_))) => rustix::io::Errno::IO,
        };
        Err(StoreError::io("write", &PathBuf::from("faulty"), io::Error::from(code)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Faulty, When};
    use crate::{Journal, MemoryDisk, MemoryJournal, StoreError, Write};
    use dunnage_model::GraphId;

    fn facts(seq: u64) -> Write {
        Write::Facts { graph: GraphId(1), seq, body: vec![1] }
    }

    fn committed(disk: &MemoryDisk) -> usize {
        MemoryJournal::open(disk.clone()).reader().unwrap().facts_since(0, 100).unwrap().len()
    }

    #[test]
    fn fails_at_the_scripted_commit_and_ever_after() {
        let disk = MemoryDisk::new();
        let mut journal = Faulty::new(MemoryJournal::open(disk.clone()), [(When::Commit(2), Fault::Enospc)]);
        journal.commit(&[facts(1)], true).unwrap();
        assert!(matches!(journal.commit(&[facts(2)], true), Err(StoreError::Full { .. })));
        assert!(matches!(journal.commit(&[facts(3)], true), Err(StoreError::Stopped { .. })));
        assert!(matches!(journal.sync(), Err(StoreError::Stopped { .. })));
        assert_eq!(committed(&disk), 1);
    }

    #[test]
    fn a_failed_sync_leaves_the_commit_but_not_on_disk() {
        let disk = MemoryDisk::that_may_lose_power();
        let mut journal = Faulty::new(MemoryJournal::open(disk.clone()), [(When::Sync(2), Fault::Eio)]);
        journal.commit(&[facts(1)], true).unwrap();
        assert!(matches!(journal.commit(&[facts(2)], true), Err(StoreError::Io { .. })));
        assert_eq!(committed(&disk), 2);
        disk.lose_power();
        assert_eq!(committed(&disk), 1);
    }

    #[test]
    fn a_torn_commit_leaves_its_beginning() {
        let disk = MemoryDisk::new();
        let mut journal = Faulty::new(MemoryJournal::open(disk.clone()), [(When::Commit(1), Fault::Torn(2))]);
        assert!(journal.commit(&[facts(1), facts(2), facts(3)], false).is_err());
        assert_eq!(committed(&disk), 2);
    }
}
