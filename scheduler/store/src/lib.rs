//! What outlives the daemon: the journal of facts, the graphs it is about, captured environments and
//! packed logs, in one state directory.
//!
//! [`StateDir`] makes, checks and locks the directory. [`Journal`] is the port to what is written and
//! [`History`] the one to what is read beside it; [`SqliteJournal`] is the real adapter,
//! [`MemoryJournal`] and [`Faulty`] serve tests and simulations. [`Committer`] is the
//! journal in the hands of its owner: it commits at once and syncs in a thread of its own.
//!
//! The journal is partitioned by graph and needs no checkpoint of the whole state: the facts of a
//! graph that has ended are not read at the start.
//!
//! ```no_run
//! use dunnage_store::{Batch, Class, Journal, SqliteJournal, StateDir, SystemClocks, Write, Committer};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dir = StateDir::open("/var/lib/dunnage".as_ref())?;
//! let mut journal = SqliteJournal::open(dir, Box::new(SystemClocks))?;
//! let loaded = journal.load()?;
//! let history = journal.reader()?;
//! let mut journal = Committer::new(Box::new(journal), Box::new(|notice| println!("{notice:?}")))?;
//! journal.commit(&Batch { number: 1, writes: Vec::new(), class: Class::Request })?;
//! # Ok(()) }
//! ```

mod checksum;
mod clock;
mod committer;
mod dir;
mod env;
mod error;
mod estimates;
mod faulty;
mod memory;
mod port;
mod segments;
mod sqlite;

pub use clock::{ClockMark, Clocks, StoreClock, SystemClocks};
pub use committer::{Batch, Class, Committer, Notice, Syncer};
pub use dir::{JOURNAL, StateDir};
pub use env::EnvStore;
pub use error::StoreError;
pub use estimates::{EstimateStore, LoadedEstimates};
pub use faulty::{Fault, Faulty, When};
pub use memory::{MemoryDisk, MemoryJournal};
pub use port::{
    Damage, Ended, EndedFilter, EndedRow, FactRow, GraphRow, History, Journal, LiveGraph, Loaded, LogRow,
    SPEC_MAX, Write,
};
pub use segments::{Place, Segments};
pub use sqlite::{Reader, SqliteJournal};
