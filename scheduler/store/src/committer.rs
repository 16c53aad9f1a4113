//! Commits in the caller's thread, syncs in another.
//!
//! A commit that is not synced takes some ten microseconds: less than waking a thread to do it, which a
//! thread that writes would cost each fact twice. So the owner of the state commits by itself and
//! goes on at once, and only the disk is waited for elsewhere:
//!
//! - a **request** is answered by [`Notice::Committed`] when everything up to it is synced;
//! - **facts** are committed when the call returns, and synced with the next request or within 50 ms;
//!   [`Notice::Synced`] tells.
//!
//! After a failure nothing more is taken, and the failure is not tried away.

use crate::{Journal, StoreError, Write};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long facts may stay unsynced; the rest of the promised 50 ms is for the sync itself.
const SYNC_WITHIN: Duration = Duration::from_millis(40);

/// What is committed together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// By which it is answered. Numbers rise.
    pub number: u64,
    /// The changes. None at all is fine: the answer then comes after all earlier ones.
    pub writes: Vec<Write>,
    /// What is promised.
    pub class: Class,
}

/// What an answer to a batch promises.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Synced when it is answered.
    Request,
    /// Committed when it is answered, synced soon.
    Fact,
}

/// What is told of syncs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// The answer to a request: it survives the loss of power.
    Committed {
        /// Which batch.
        number: u64,
    },
    /// Every batch up to this one survives the loss of power.
    Synced {
        /// The last of them.
        up_to: u64,
    },
    /// The answer to a request that may not be relied on.
    Failed {
        /// Which batch.
        number: u64,
        /// The failure.
        error: Arc<str>,
    },
    /// What was committed could not be synced. Told once, before any request is answered as failed;
    /// nothing more is taken from now on.
    SyncFailed {
        /// The last batch that survives the loss of power; 0 for none.
        synced: u64,
        /// The failure.
        error: Arc<str>,
    },
}

/// Brings what a journal has committed to the disk, from another thread than the one that commits.
pub trait Syncer: Send {
    /// Makes everything that was committed before the call survive the loss of power.
    fn sync(&mut self) -> Result<(), StoreError>;
}

/// The journal in the hands of its owner.
pub struct Committer {
    /// Given back by `stop`.
    journal: Option<Box<dyn Journal>>,
    shared: Arc<Shared>,
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// The last batch that was committed.
    committed: AtomicU64,
    /// Not 0 while the thread knows of unsynced facts and will come to them.
    known: AtomicU64,
    /// The first failure.
    failed: OnceLock<Arc<str>>,
}

enum Order {
    /// There are facts to be synced in a while.
    Soon,
    /// This batch is a request: sync now.
    Now(u64),
}

impl Committer {
    /// Takes a journal over. `notify` is called by the thread that syncs.
    ///
    /// # Errors
    ///
    /// When the journal cannot be synced from another thread, or the system gives no thread.
    pub fn new(journal: Box<dyn Journal>, notify: Box<dyn FnMut(Notice) + Send>) -> Result<Self, StoreError> {
        let syncer = journal.syncer()?;
        let shared = Arc::new(Shared::default());
        let (orders, receiver) = channel();
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("sync".to_owned())
            .spawn(move || Loop { syncer, notify, shared: theirs, synced: 0 }.run(&receiver))
            .map_err(|source| {
                StoreError::io("start a thread for", std::path::Path::new("the journal"), source)
            })?;
        Ok(Self { journal: Some(journal), shared, orders: Some(orders), thread: Some(thread) })
    }

    /// Commits a batch. When the call returns, it survives the death of this process.
    ///
    /// # Errors
    ///
    /// The journal cannot be written: nothing more is taken from now on.
    pub fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if let Some(first) = self.shared.failed.get() {
            return Err(StoreError::Stopped { first: first.to_string() });
        }
        for write in &batch.writes {
            write.check()?;
        }
        if !batch.writes.is_empty()
            && let Some(journal) = &mut self.journal
            && let Err(error) = journal.commit(&batch.writes, false)
        {
            let _ = self.shared.failed.set(error.in_full().into());
            return Err(error);
        }
        self.shared.committed.store(batch.number, Ordering::Release);
        let order = match batch.class {
            Class::Request => Order::Now(batch.number),
            // The thread that already waits to sync will come to this batch as well.
            Class::Fact if self.shared.known.swap(batch.number, Ordering::AcqRel) == 0 => Order::Soon,
            Class::Fact => return Ok(()),
        };
        let gone = || StoreError::Stopped { first: "the thread that syncs the journal is gone".to_owned() };
        self.orders.as_ref().ok_or_else(gone)?.send(order).map_err(|_| gone())
    }

    /// Syncs what was committed, and gives the journal back.
    ///
    /// # Errors
    ///
    /// The last sync, or an earlier one, failed.
    pub fn stop(mut self) -> Result<Box<dyn Journal>, StoreError> {
        self.end();
        let stopped = |first: String| StoreError::Stopped { first };
        if let Some(first) = self.shared.failed.get() {
            return Err(stopped(first.to_string()));
        }
        let mut journal = self.journal.take().ok_or_else(|| stopped("it was stopped before".to_owned()))?;
        journal.sync()?;
        Ok(journal)
    }

    fn end(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Committer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Committer").finish_non_exhaustive()
    }
}

struct Loop {
    syncer: Box<dyn Syncer>,
    notify: Box<dyn FnMut(Notice) + Send>,
    shared: Arc<Shared>,
    synced: u64,
}

impl Loop {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut due: Option<Instant> = None;
        loop {
            let order = match due {
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => orders.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            let mut requests = Vec::new();
            let mut over = false;
            match order {
                Ok(Order::Soon) => {
                    due.get_or_insert_with(|| Instant::now() + SYNC_WITHIN);
                    continue;
                }
                Ok(Order::Now(number)) => requests.push(number),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) if due.is_none() => return,
                Err(RecvTimeoutError::Disconnected) => over = true,
            }
            // One sync serves all that wait.
            for order in orders.try_iter() {
                if let Order::Now(number) = order {
                    requests.push(number);
                }
            }
            due = None;
            if !self.sync(requests) || over {
                return;
            }
        }
    }

    /// Syncs and answers; `false` after a failure.
    fn sync(&mut self, requests: Vec<u64>) -> bool {
        // From here on a commit asks for another sync.
        self.shared.known.store(0, Ordering::Release);
        let up_to = self.shared.committed.load(Ordering::Acquire);
        if let Err(error) = self.syncer.sync() {
            let error: Arc<str> = error.in_full().into();
            let _ = self.shared.failed.set(Arc::clone(&error));
            (self.notify)(Notice::SyncFailed { synced: self.synced, error: Arc::clone(&error) });
            for number in requests {
                (self.notify)(Notice::Failed { number, error: Arc::clone(&error) });
            }
            return false;
        }
        self.synced = up_to;
        for number in requests {
            (self.notify)(Notice::Committed { number });
        }
        (self.notify)(Notice::Synced { up_to });
        true
    }
}
