//! Keeps the write-ahead log short without stalling commits.
//!
//! A checkpoint copies pages from the log to the database and syncs both. Done within a commit, as
//! SQLite does by itself, it stalls that commit for as long as the disk takes. Here a thread of its own
//! does it, which commits do not wait for. But under steady load the log has grown again by the time it
//! is done, and SQLite begins the log anew only when nothing in it is left to copy. So after such a pass
//! the writer copies the little that came meanwhile, which is a short stall, and the next commit
//! begins at the front of the log.

use crate::StoreError;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// From this length of the log on, the thread is woken: 4 MiB.
const SOFT_PAGES: usize = 1_000;
/// A log of this length is copied by the writer itself, whatever it stalls: 256 MiB. It comes to that
/// when a reader sits on an old state, or the disk is slower than the writer.
const HARD_PAGES: usize = 64_000;

/// The thread, and what it is doing.
#[derive(Debug)]
pub(super) struct Checkpointer {
    wake: Option<SyncSender<()>>,
    done: Receiver<rusqlite::Result<()>>,
    busy: bool,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
    /// From this length on the writer copies by itself.
    hard_pages: usize,
}

impl Checkpointer {
    /// Starts the thread with a connection of its own.
    pub(super) fn spawn(path: &Path) -> Result<Self, StoreError> {
        let db = super::connect(path).map_err(|source| StoreError::sql("open the journal", path, source))?;
        let (wake, woken) = sync_channel::<()>(1);
        let (tell, done) = sync_channel(1);
        let work = move || {
            while woken.recv().is_ok() {
                if tell.send(pass(&db).map(drop)).is_err() {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(work)
            .map_err(|source| StoreError::io("start a thread for", path, source))?;
        Ok(Self {
            wake: Some(wake),
            done,
            busy: false,
            thread: Some(thread),
            path: path.to_owned(),
            hard_pages: HARD_PAGES,
        })
    }

    /// Looks after the log, which a commit has just brought to this many pages.
    ///
    /// # Errors
    ///
    /// When a checkpoint failed: its sync may have, so this is as final as a failed sync of a commit.
    pub(super) fn after_commit(&mut self, db: &Connection, pages: usize) -> Result<(), StoreError> {
        let failed = |source| StoreError::sql("checkpoint the journal", &self.path, source);
        if self.busy {
            if let Ok(result) = self.done.try_recv() {
                self.busy = false;
                result.map_err(failed)?;
                pass(db).map_err(failed)?;
            } else if pages >= self.hard_pages {
                // The next time is after the log has grown by as much again: where a reader is what
                // holds it, copying at every commit would help nobody.
                self.hard_pages = pages + HARD_PAGES;
                pass(db).map_err(failed)?;
            }
        } else if pages >= SOFT_PAGES
            && let Some(wake) = &self.wake
        {
            self.busy = wake.try_send(()).is_ok();
        }
        if pages < SOFT_PAGES {
            self.hard_pages = HARD_PAGES;
        }
        Ok(())
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.wake = None;
        // The thread may be waiting to tell of its last pass.
        drop(self.done.try_recv());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Copies what can be copied without waiting for anybody.
fn pass(db: &Connection) -> rusqlite::Result<(i64, i64)> {
    match db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?))) {
        // Somebody else is at it.
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => Ok((0, 0)),
        result => result,
    }
}
