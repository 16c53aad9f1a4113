//! The journal in SQLite: one file with a write-ahead log, one connection that writes.
//!
//! **Durability.** Commits are made with `synchronous = NORMAL`: the changed pages are appended to the
//! write-ahead log without a sync, which survives the death of this process because the bytes are in
//! the kernel. To sync is to `fdatasync` that log, through a descriptor of our own: this is exactly
//! what `synchronous = FULL` would do at the end of each commit (all frames committed before lie
//! earlier in the same file, so one call covers them), but it can also be done without a transaction,
//! 50 ms after the last request, and once for a whole group. Closing a descriptor of the log file is
//! harmless: SQLite's own locks are on the database and on the shared-memory file.
//!
//! **A failed sync is final.** The kernel may have dropped the pages it could not write, and a second
//! call would report success. So the first failure is kept and everything after it is refused.
//!
//! **The write-ahead log is bounded** by [`checkpoint`].

mod checkpoint;
mod reader;
mod rows;
mod schema;

pub use reader::Reader;

use crate::checksum::Crc;
use crate::clock::ClockMark;
use crate::{
    Clocks, Damage, FactRow, History, Journal, LiveGraph, Loaded, StateDir, StoreClock, StoreError, Syncer,
    Write,
};
use checkpoint::Checkpointer;
use dunnage_model::GraphId;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long to wait for somebody who looks into the file with other tools.
const BUSY: Duration = Duration::from_secs(5);

/// The journal in a state directory, which it holds.
#[derive(Debug)]
pub struct SqliteJournal {
    // Closed in this order: the checkpointer's connection first, so that the last one to close is the
    // one that empties the write-ahead log, and the lock of the directory at the very end.
    checkpointer: Checkpointer,
    db: Connection,
    wal: File,
    wal_pages: Arc<AtomicUsize>,
    path: PathBuf,
    clock: StoreClock,
    /// Whether something was committed since the last sync.
    unsynced: bool,
    /// The next numbers of graphs and of facts; see [`rows::expected`].
    next: (u64, u64),
    /// The first failure.
    failed: Option<String>,
    dir: StateDir,
}

impl SqliteJournal {
    /// Opens the journal of a state directory, and makes it if the directory is new.
    ///
    /// # Errors
    ///
    /// When the file is missing, damaged, of a newer version, or cannot be written. Nothing is ever
    /// begun empty where something was before.
    pub fn open(mut dir: StateDir, clocks: Box<dyn Clocks>) -> Result<Self, StoreError> {
        let path = dir.journal();
        check_file(&path, dir.is_marked())?;
        let sql = |doing| {
            let path = path.clone();
            move |source| StoreError::sql(doing, &path, source)
        };
        let mut db = connect(&path).map_err(sql("open the journal"))?;
        schema::migrate(&mut db, &path, dir.is_marked())?;

        let mark = rows::meta(&db, "clock").map_err(sql("read the clock"))?;
        let mark = mark.map(|text| {
            ClockMark::from_text(&text).ok_or_else(|| StoreError::Damaged {
                path: path.clone(),
                detail: format!("its clock `{text}` cannot be read"),
            })
        });
        let clock = StoreClock::resume(mark.transpose()?.as_ref(), clocks);
        let begin = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql("begin"))?;
        begin
            .execute(
                "INSERT INTO meta(key, value) VALUES ('token', ?1), ('created_wall_us', ?2) ON CONFLICT DO NOTHING",
                params![random_token(), clock.wall_us().to_string()],
            )
            .and_then(|_| rows::set_meta(&begin, "clock", &clock.mark().to_text()))
            .and_then(|()| begin.commit())
            .map_err(sql("write the clock"))?;

        let wal_path = PathBuf::from(format!("{}-wal", path.display()));
        let wal = File::open(&wal_path).map_err(|source| StoreError::io("open", &wal_path, source))?;
        let durable = wal.sync_data().and_then(|()| File::open(&path)?.sync_data());
        durable
            .and_then(|()| crate::dir::sync_dir(dir.path()))
            .map_err(|source| StoreError::io("sync", &path, source))?;
        dir.mark()?;

        let wal_pages = Arc::new(AtomicUsize::new(0));
        let pages = Arc::clone(&wal_pages);
        // It also takes the place of SQLite's own automatic checkpoint, which would stall a commit.
        db.wal_hook(Some(move |_: &mut _, length| {
            pages.store(usize::try_from(length).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))
        .map_err(sql("watch the write-ahead log"))?;
        let next = rows::next_numbers(&db).map_err(sql("read the last numbers"))?;
        let checkpointer = Checkpointer::spawn(&path)?;
        Ok(Self { checkpointer, db, wal, wal_pages, path, clock, unsynced: false, next, failed: None, dir })
    }

    /// The store's time.
    pub fn clock(&self) -> StoreClock {
        self.clock.clone()
    }

    /// The directory that it lies in.
    pub fn dir(&self) -> &StateDir {
        &self.dir
    }

    fn sql(&self, doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError + use<> {
        let path = self.path.clone();
        move |source| StoreError::sql(doing, &path, source)
    }

    /// Does a step unless one has failed before, and remembers the first failure.
    fn guarded<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if let Some(first) = &self.failed {
            return Err(StoreError::Stopped { first: first.clone() });
        }
        let result = step(self);
        if let Err(error) = &result {
            self.failed = Some(error.in_full());
        }
        result
    }

    fn write_all(
        db: &Connection,
        clock: &StoreClock,
        batch: &[Write],
        next: &mut (u64, u64),
    ) -> rusqlite::Result<()> {
        if let Some(mark) = clock.mark_due() {
            rows::set_meta(db, "clock", &mark.to_text())?;
        }
        for write in batch {
            let (number, next, key) = match write {
                Write::Graph(row) => (row.id.0, &mut next.0, "removed_graphs"),
                Write::Facts { seq, .. } => (*seq, &mut next.1, "removed_facts"),
                Write::Ended { .. }
                | Write::Reopened { .. }
                | Write::Log(_)
                | Write::Document { .. }
                | Write::SetAside { .. }
                | Write::Forget { .. } => {
                    rows::apply(db, write, clock.wall_us())?;
                    continue;
                }
            };
            if number >= *next {
                rows::count(db, key, (number - *next).cast_signed())?;
                *next = number.saturating_add(1);
            }
            rows::apply(db, write, clock.wall_us())?;
        }
        Ok(())
    }

    fn write(&mut self, batch: &[Write]) -> Result<(), StoreError> {
        let sql = self.sql("commit to the journal");
        // Prepared once: `Transaction` would have SQLite parse both words at every commit.
        let word = |word: &str| self.db.prepare_cached(word)?.execute([]);
        word("BEGIN IMMEDIATE").map_err(&sql)?;
        let mut next = self.next;
        let written = Self::write_all(&self.db, &self.clock, batch, &mut next);
        if let Err(error) = written.and_then(|()| word("COMMIT").map(drop)) {
            // Nothing of it stays; should this fail as well, the connection is given up with the journal.
            let _ = word("ROLLBACK");
            return Err(sql(error));
        }
        self.next = next;
        self.unsynced = true;
        self.checkpointer.after_commit(&self.db, self.wal_pages.load(Ordering::Relaxed))
    }

    fn sync_wal(&mut self) -> Result<(), StoreError> {
        if self.unsynced {
            self.wal.sync_data().map_err(|source| StoreError::io("sync", &self.path, source))?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Reads what has not ended, and refuses a file that has lost rows. Where only an index has, it is
    /// made again.
    fn read_live(&mut self) -> Result<(Vec<LiveGraph>, Vec<Damage>), StoreError> {
        let sql = self.sql("load the journal");
        let (live, damaged, missing) = read_live(&self.db).map_err(&sql)?;
        if missing.is_none() {
            return Ok((live, damaged));
        }
        let repair = self.db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&sql)?;
        repair.execute_batch("REINDEX").map_err(&sql)?;
        let (live, damaged, missing) = read_live(&repair).map_err(&sql)?;
        match missing {
            None => repair.commit().map_err(&sql).map(|()| (live, damaged)),
            // Rolled back: what is there is left as evidence.
            Some(detail) => Err(StoreError::Damaged { path: self.path.clone(), detail }),
        }
    }

    /// Moves records that failed their checksum to where they are kept, but not loaded again.
    fn set_aside(&mut self, damaged: &[Damage]) -> Result<(), StoreError> {
        let writes: Vec<Write> = damaged
            .iter()
            .map(|Damage { graph, seq, reason }| Write::SetAside {
                graph: *graph,
                seq: *seq,
                reason: reason.clone(),
            })
            .collect();
        if writes.is_empty() { Ok(()) } else { self.commit(&writes, true) }
    }
}

impl Journal for SqliteJournal {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        let (mut live, damaged) = self.read_live()?;
        let sql = self.sql("load the journal");
        let meta = |key: &str| -> Result<String, StoreError> {
            rows::meta(&self.db, key).map_err(&sql)?.ok_or_else(|| StoreError::Damaged {
                path: self.path.clone(),
                detail: format!("its `{key}` is missing"),
            })
        };
        let token = meta("token")?;
        let created_wall_us = meta("created_wall_us")?.parse().unwrap_or(0);
        let (next_graph, next_seq) = rows::next_numbers(&self.db).map_err(&sql)?;
        self.set_aside(&damaged)?;
        // Also what was set aside at an earlier start leaves its graph incomplete.
        let incomplete: BTreeSet<GraphId> =
            reader::damaged(&self.db).map_err(&sql)?.into_iter().map(|damage| damage.graph).collect();
        for graph in &mut live {
            graph.damaged = incomplete.contains(&graph.row.id);
        }
        let clock = self.clock.clone();
        Ok(Loaded { token, created_wall_us, next_graph: GraphId(next_graph), next_seq, clock, live, damaged })
    }

    fn commit(&mut self, batch: &[Write], sync: bool) -> Result<(), StoreError> {
        self.guarded(|journal| {
            if !batch.is_empty() {
                journal.write(batch)?;
            }
            if sync { journal.sync_wal() } else { Ok(()) }
        })
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.guarded(Self::sync_wal)
    }

    fn syncer(&self) -> Result<Box<dyn Syncer>, StoreError> {
        let wal =
            self.wal.try_clone().map_err(|source| StoreError::io("open the log of", &self.path, source))?;
        Ok(Box::new(WalSyncer { wal, path: self.path.clone() }))
    }

    fn reader(&self) -> Result<Box<dyn History>, StoreError> {
        Ok(Box::new(Reader::open(&self.path)?))
    }
}

/// Syncs the write-ahead log through a descriptor of its own: all that a commit without a sync has written
/// is in there, or was brought to the database and synced by a checkpoint.
struct WalSyncer {
    wal: File,
    path: PathBuf,
}

impl Syncer for WalSyncer {
    fn sync(&mut self) -> Result<(), StoreError> {
        self.wal.sync_data().map_err(|source| StoreError::io("sync", &self.path, source))
    }
}

/// Refuses what is no journal, before SQLite would take an empty file for a new database.
fn check_file(path: &Path, expected: bool) -> Result<(), StoreError> {
    let mut head = Vec::new();
    match File::open(path) {
        Ok(file) => {
            file.take(100).read_to_end(&mut head).map_err(|source| StoreError::io("read", path, source))?;
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if expected {
                return Err(StoreError::Missing { path: path.to_owned() });
            }
        }
        Err(source) => return Err(StoreError::io("open", path, source)),
    }
    let detail = match head.len() {
        0 if !expected => return Ok(()),
        0 => "it is empty".to_owned(),
        _ if head.starts_with(b"SQLite format 3\0") => return Ok(()),
        _ => "it does not begin as a database".to_owned(),
    };
    Err(StoreError::Damaged { path: path.to_owned(), detail })
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // Made here and not by SQLite, so that nobody else can read it; its companions get the same rights.
    let made = std::fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    drop(made.map_err(|error| {
        rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN),
            Some(error.to_string()),
        )
    })?);
    let db = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    db.busy_timeout(BUSY)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "NORMAL")?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

/// What has not ended, what of it is damaged, and what is missing.
fn read_live(db: &Connection) -> rusqlite::Result<(Vec<LiveGraph>, Vec<Damage>, Option<String>)> {
    let mut damaged = Vec::new();
    let mut live = load_graphs(db, &mut damaged)?;
    let graphs = (live.len() + damaged.len()) as u64;
    let facts = load_facts(db, &mut live, &mut damaged)?;
    let (graphs_expected, facts_expected) = rows::expected(db)?;
    let (graphs, facts) = (graphs_expected.saturating_sub(graphs), facts_expected.saturating_sub(facts));
    let missing = ((graphs, facts) != (0, 0))
        .then(|| format!("{graphs} graphs and {facts} records of facts are missing"));
    Ok((live, damaged, missing))
}

fn load_graphs(db: &Connection, damaged: &mut Vec<Damage>) -> rusqlite::Result<Vec<LiveGraph>> {
    let mut live = Vec::new();
    let mut found = db.prepare(&format!(
        "SELECT {}, crc, text FROM graph LEFT JOIN spec ON spec.graph = id
         WHERE state IS NULL AND set_aside IS NULL ORDER BY id",
        rows::GRAPH_COLUMNS
    ))?;
    let mut found = found.query([])?;
    while let Some(row) = found.next()? {
        let graph = GraphId(rows::number(row, 0)?);
        match rows::checked_graph(row) {
            Ok(row) => live.push(LiveGraph { row, facts: Vec::new(), damaged: false }),
            Err(reason) => damaged.push(Damage { graph, seq: None, reason }),
        }
    }
    Ok(live)
}

/// Gives each live graph its facts, and says how many records there were.
fn load_facts(db: &Connection, live: &mut [LiveGraph], damaged: &mut Vec<Damage>) -> rusqlite::Result<u64> {
    // The cross join makes SQLite go through the graphs in order and look up each one's facts, so that
    // the facts of ended graphs are never touched.
    let mut found = db.prepare(
        "SELECT fact.graph, fact.seq, fact.crc, fact.body FROM graph CROSS JOIN fact ON fact.graph = graph.id
         WHERE graph.state IS NULL AND graph.set_aside IS NULL ORDER BY graph.id, fact.seq",
    )?;
    let mut found = found.query([])?;
    let (mut at, mut records) = (0, 0);
    while let Some(row) = found.next()? {
        records += 1;
        match rows::checked_fact(row)? {
            Ok(fact) => {
                while live.get(at).is_some_and(|graph| graph.row.id < fact.graph) {
                    at += 1;
                }
                // A graph that was itself set aside just now is not in the list.
                if let Some(graph) = live.get_mut(at).filter(|graph| graph.row.id == fact.graph) {
                    graph.facts.push(fact);
                }
            }
            Err(damage) => damaged.push(damage),
        }
    }
    Ok(records)
}

/// The checksum of a record of facts; its place and its graph go in, so that a record in the wrong
/// place is found as well.
fn fact_checksum(seq: u64, graph: GraphId, body: &[u8]) -> u32 {
    Crc::new().with_number(seq).with_number(graph.0).with(body).value()
}

fn random_token() -> String {
    let mut bytes = [0u8; 16];
    // The kernel gives sixteen bytes at once or none; with none, an address and the time will do.
    if rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) != Ok(16) {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |now| now.as_nanos());
        bytes = (now ^ u128::from(std::process::id()) << 96).to_le_bytes();
    }
    format!("{:032x}", u128::from_be_bytes(bytes))
}

/// A query that gives one row or none.
fn one<T>(
    db: &Connection,
    query: &str,
    with: impl rusqlite::Params,
    read: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    db.prepare_cached(query)?.query_row(with, read).optional()
}

/// A record of facts whose checksum was compared.
type CheckedFact = Result<FactRow, Damage>;
