//! What outlives the daemon: the journal of facts, the graphs it is about, captured environments and
//! packed logs, in one state directory.
//!
//! [`StateDir`] makes, checks and locks the directory. [`Journal`] is the port to what is written and
//! [`History`] the one to what is read beside it; [`SqliteJournal`] is the real adapter,
//! [`MemoryJournal`] and [`Faulty`] serve tests and simulations. [`Writer`] is the one thread that
//! writes: it groups what waits, and tells what is committed and what is synced.
//!
//! The journal is partitioned by graph and needs no checkpoint of the whole state: the facts of a
//! graph that has ended are not read at the start.
//!
//! ```no_run
//! use dunnage_store::{Batch, Class, Journal, SqliteJournal, StateDir, SystemClocks, Write, Writer};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dir = StateDir::open("/var/lib/dunnage".as_ref())?;
//! let mut journal = SqliteJournal::open(dir, Box::new(SystemClocks))?;
//! let loaded = journal.load()?;
//! let history = journal.reader()?;
//! let writer = Writer::spawn(Box::new(journal), Box::new(|notice| println!("{notice:?}")));
//! writer.send(Batch { number: 1, writes: Vec::new(), class: Class::Request })?;
//! # Ok(()) }
//! ```

mod checksum;
mod clock;
mod dir;
mod env;
mod error;
mod faulty;
mod memory;
mod port;
mod segments;
mod sqlite;
mod writer;

pub use clock::{ClockMark, Clocks, StoreClock, SystemClocks};
pub use dir::StateDir;
pub use env::EnvStore;
pub use error::StoreError;
pub use faulty::{Fault, Faulty, When};
pub use memory::{MemoryDisk, MemoryJournal};
pub use port::{
    Damage, Ended, EndedFilter, EndedRow, FactRow, GraphRow, History, Journal, LiveGraph, Loaded, LogRow,
    SPEC_MAX, Write,
};
pub use segments::{Place, Segments};
pub use sqlite::{Reader, SqliteJournal};
pub use writer::{Batch, Class, Notice, Writer};
