//! The one thread that writes the journal.
//!
//! Batches are committed in the order they were sent, and each is answered once, in the same order:
//!
//! - a **request** is answered when it is synced: it then survives the loss of power;
//! - **facts** are answered when they are committed: they then survive the death of this process. They
//!   are synced with the next request, or within 50 ms, and [`Notice::Synced`] tells.
//!
//! Whatever waits is taken into one transaction (group commit): while one is on its way to the disk,
//! the next gathers. After a failure nothing more is taken: what was not answered yet, and everything
//! sent later, is answered with the failure.

use crate::{Journal, StoreError, Write};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long facts may stay unsynced; the rest of the promised 50 ms is for the sync itself.
const SYNC_WITHIN: Duration = Duration::from_millis(40);
/// A transaction takes no more batches once it has this many bytes, so that the first of them are not
/// kept waiting for the last.
const GROUP_BYTES: usize = 8 << 20;

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

/// What the writer tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// The answer to a batch.
    Committed {
        /// Which.
        number: u64,
        /// Whether it survives the loss of power already; always so for a request.
        synced: bool,
    },
    /// Every batch up to this one survives the loss of power.
    Synced {
        /// The last of them.
        up_to: u64,
    },
    /// The answer to a batch that may not be relied on. There will be no others from now on.
    Failed {
        /// Which.
        number: u64,
        /// The first failure.
        error: Arc<str>,
    },
    /// Batches answered as committed could not be synced. Told once, before anything is answered as
    /// failed; nothing more is taken from now on.
    SyncFailed {
        /// The last batch that survives the loss of power; 0 for none.
        synced: u64,
        /// The failure.
        error: Arc<str>,
    },
}

/// The thread, as its owner holds it. Dropping it commits and syncs what was sent.
pub struct Writer {
    sender: Option<Sender<Batch>>,
    thread: Option<JoinHandle<Box<dyn Journal>>>,
}

impl Writer {
    /// Starts the thread. It calls `notify` itself, so that should be quick.
    ///
    /// # Panics
    ///
    /// When the system gives no thread.
    pub fn spawn(journal: Box<dyn Journal>, notify: Box<dyn FnMut(Notice) + Send>) -> Self {
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                Loop { journal, notify, committed: 0, synced: 0, unsynced_since: None, failed: None }
                    .run(receiver)
            })
            .expect("a thread for the journal");
        Self { sender: Some(sender), thread: Some(thread) }
    }

    /// Sends a batch.
    ///
    /// # Errors
    ///
    /// When a record cannot hold it, or when the thread is gone. It is not answered then.
    pub fn send(&self, batch: Batch) -> Result<(), StoreError> {
        for write in &batch.writes {
            write.check()?;
        }
        let gone = || StoreError::Stopped { first: "the thread that writes the journal is gone".to_owned() };
        self.sender.as_ref().ok_or_else(gone)?.send(batch).map_err(|_| gone())
    }

    /// Commits and syncs what was sent, and gives the journal back; none if the thread panicked.
    pub fn stop(mut self) -> Option<Box<dyn Journal>> {
        self.sender = None;
        self.thread.take()?.join().ok()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

struct Loop {
    journal: Box<dyn Journal>,
    notify: Box<dyn FnMut(Notice) + Send>,
    /// The last batch that was committed.
    committed: u64,
    /// The last batch that was synced.
    synced: u64,
    /// When the first commit after the last sync was made.
    unsynced_since: Option<Instant>,
    failed: Option<Arc<str>>,
}

impl Loop {
    fn run(mut self, receiver: Receiver<Batch>) -> Box<dyn Journal> {
        loop {
            let first = match self.unsynced_since {
                None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(since) => receiver.recv_timeout(SYNC_WITHIN.saturating_sub(since.elapsed())),
            };
            match first {
                Ok(first) => self.take(gather(first, &receiver)),
                Err(RecvTimeoutError::Timeout) => self.sync(),
                Err(RecvTimeoutError::Disconnected) => {
                    self.sync();
                    return self.journal;
                }
            }
            if self.unsynced_since.is_some_and(|since| since.elapsed() >= SYNC_WITHIN) {
                self.sync();
            }
        }
    }

    /// Commits a group and answers each of it in order.
    fn take(&mut self, group: VecDeque<Batch>) {
        let mut writes = Vec::new();
        let mut answers = VecDeque::new();
        for Batch { number, writes: more, class } in group {
            writes.extend(more);
            answers.push_back((number, class));
        }
        if self.failed.is_none() {
            match self.journal.commit(&writes, false) {
                Ok(()) => {
                    self.committed = answers.back().map_or(self.committed, |(number, _)| *number);
                    self.unsynced_since.get_or_insert_with(Instant::now);
                }
                Err(error) => self.fail(&error),
            }
        }
        if self.failed.is_none() {
            // Facts before the first request need not wait for the disk.
            while let Some((number, Class::Fact)) = answers.front().copied() {
                answers.pop_front();
                (self.notify)(Notice::Committed { number, synced: false });
            }
            if !answers.is_empty() {
                self.sync_quietly();
            }
        }
        let synced = !answers.is_empty() && self.failed.is_none();
        for (number, _) in answers {
            (self.notify)(match &self.failed {
                None => Notice::Committed { number, synced: true },
                Some(error) => Notice::Failed { number, error: Arc::clone(error) },
            });
        }
        if synced {
            (self.notify)(Notice::Synced { up_to: self.synced });
        }
    }

    /// Syncs and tells.
    fn sync(&mut self) {
        if self.unsynced_since.is_some() && self.failed.is_none() {
            self.sync_quietly();
            if self.failed.is_none() {
                (self.notify)(Notice::Synced { up_to: self.synced });
            }
        }
    }

    fn sync_quietly(&mut self) {
        match self.journal.sync() {
            Ok(()) => {
                self.synced = self.committed;
                self.unsynced_since = None;
            }
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&mut self, error: &StoreError) {
        let error: Arc<str> = error.in_full().into();
        self.failed = Some(Arc::clone(&error));
        // Nobody syncs it any more, so nobody needs to be woken for it.
        if self.unsynced_since.take().is_some() {
            (self.notify)(Notice::SyncFailed { synced: self.synced, error });
        }
    }
}

/// The first batch and everything that waits behind it.
fn gather(first: Batch, receiver: &Receiver<Batch>) -> VecDeque<Batch> {
    let size = |batch: &Batch| batch.writes.iter().map(Write::bytes).sum::<usize>();
    let mut bytes = size(&first);
    let mut group = VecDeque::from([first]);
    while bytes < GROUP_BYTES {
        match receiver.try_recv() {
            Ok(batch) => {
                bytes += size(&batch);
                group.push_back(batch);
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
        }
    }
    group
}
