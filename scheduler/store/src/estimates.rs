//! What earlier runs have taught, in a file of its own beside the journal.
//!
//! One file serves a daemon and all local runs of a state directory at the same time: what is written is
//! what was added, merged with what is there in one transaction. It is worth less than a journal and is
//! treated so: it is not synced, a row that is damaged is set aside, a file that is damaged is put away and
//! begun anew, and no failure in here is a failure of a run.
//!
//! Beside the rows stands for each journal, by its token, until when its facts are in them, so that a replay does
//! not count them twice.

use crate::StoreError;
use crate::checksum::Crc;
use dunnage_model::{DeviceKind, HISTORY_SAMPLES_MAX, HistoryKey, HistoryRow, Time};
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Says in the file's head that it is ours: "DUNH".
const APPLICATION_ID: i64 = 0x4455_4e48;

/// A migration that was released is never edited; a change is a new one at the end.
const MIGRATIONS: &[&str] = &["
CREATE TABLE run (
    function INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    class INTEGER NOT NULL,
    size INTEGER NOT NULL,
    label TEXT NOT NULL,
    class_name TEXT NOT NULL,
    crc INTEGER NOT NULL,
    body BLOB NOT NULL,
    used INTEGER NOT NULL,
    PRIMARY KEY (function, kind, class, size)
) WITHOUT ROWID;
CREATE INDEX run_used ON run (used);
CREATE TABLE learned (token TEXT PRIMARY KEY, until INTEGER NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE aside (id INTEGER PRIMARY KEY, label TEXT, reason TEXT NOT NULL, body BLOB);
"];

/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(2);

/// At most this many rows are kept, and loaded: the latest used.
const ROWS_MAX: u32 = 4096;

/// After so many rows that were added, the file is pruned.
const PRUNE_EVERY: usize = 1024;

/// At most this many journals are remembered.
const TOKENS_MAX: u32 = 1024;

/// At most this many damaged rows are kept to be looked at.
const ASIDE_MAX: u32 = 256;

/// The most bytes of a row: two numbers and four lists.
const BODY_MAX: usize = 12 + 4 * (1 + 4 * HISTORY_SAMPLES_MAX);

/// The file of a state directory.
#[derive(Debug)]
pub struct EstimateStore {
    db: Connection,
    path: PathBuf,
    /// Rows that were added since the last pruning.
    added: usize,
}

/// What was found in it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct LoadedEstimates {
    /// The rows, the least used first.
    pub rows: Vec<HistoryRow>,
    /// Until when the facts of the journal with this token are in them.
    pub learned_until: Option<Time>,
    /// How many rows were damaged and set aside.
    pub damaged: usize,
}

impl EstimateStore {
    /// The name of the file in a state directory.
    pub const FILE: &str = "history.db";

    /// Opens the file, and makes it where there is none. One that is damaged is put away; the sentence
    /// that says so is the second part of the answer.
    ///
    /// # Errors
    ///
    /// When it cannot be read or written, is somebody else's or of a newer version.
    pub fn open(path: &Path) -> Result<(Self, Option<String>), StoreError> {
        match Self::open_as_it_is(path) {
            Err(StoreError::Damaged { detail, .. }) => {
                let away = path.with_extension("damaged");
                std::fs::rename(path, &away).map_err(|source| StoreError::io("put away", path, source))?;
                for end in ["-wal", "-shm"] {
                    drop(std::fs::remove_file(with_end(path, end)));
                }
                let told = format!(
                    "the history of earlier runs `{}` was damaged ({detail}) and is begun anew; it was put away as `{}`",
                    path.display(),
                    away.display()
                );
                Ok((Self::open_as_it_is(path)?, Some(told)))
            }
            other => Ok((other?, None)),
        }
    }

    fn open_as_it_is(path: &Path) -> Result<Self, StoreError> {
        // Made before the database, so that it is ours alone: it names programs of users.
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|source| StoreError::io("open", path, source))?;
        let sql = |doing| move |source| damaged_or(doing, path, source);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut db = Connection::open_with_flags(path, flags).map_err(sql("open the history"))?;
        db.busy_timeout(BUSY).map_err(sql("open the history"))?;
        // It is worth no sync; the other setting changes the file, so it waits until the file is known as ours.
        db.pragma_update(None, "synchronous", "OFF").map_err(sql("open the history"))?;
        migrate(&mut db, path)?;
        db.pragma_update(None, "journal_mode", "WAL").map_err(sql("open the history"))?;
        Ok(Self { db, path: path.to_owned(), added: 0 })
    }

    /// Reads what is there, for the journal with this token. Rows that are damaged are set aside.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn load(&mut self, token: &str) -> Result<LoadedEstimates, StoreError> {
        let path = self.path.clone();
        let sql = |source| StoreError::sql("read the history", &path, source);
        let mut loaded = LoadedEstimates::default();
        let until: Option<i64> = self
            .db
            .query_row("SELECT until FROM learned WHERE token = ?1", [token], |row| row.get(0))
            .optional()
            .map_err(sql)?;
        loaded.learned_until = until.map(|until| Time(until as u64));
        let mut bad = Vec::new();
        let mut used: Vec<(i64, HistoryRow)> = Vec::new();
        let mut query = self
            .db
            .prepare(
                "SELECT function, kind, class, size, label, class_name, crc, body, used FROM run
                 ORDER BY used DESC, function, kind, class, size LIMIT ?1",
            )
            .map_err(sql)?;
        let mut rows = query.query([ROWS_MAX]).map_err(sql)?;
        while let Some(row) = rows.next().map_err(sql)? {
            let stored: Stored = (
                row.get(0).map_err(sql)?,
                row.get(1).map_err(sql)?,
                row.get(2).map_err(sql)?,
                row.get(3).map_err(sql)?,
            );
            match read(row, stored) {
                Some(found) => used.push((row.get::<_, i64>(8).unwrap_or(0), found)),
                None => bad.push(stored),
            }
        }
        drop(rows);
        drop(query);
        used.sort_by_key(|(used, row)| (*used, row.key));
        loaded.rows = used.into_iter().map(|(_, row)| row).collect();
        loaded.damaged = bad.len();
        for (function, kind, class, size) in bad {
            let key = params![function, kind, class, size];
            let of = "WHERE function = ?1 AND kind = ?2 AND class = ?3 AND size = ?4";
            self.db
                .execute(
                    &format!(
                        "INSERT INTO aside(label, reason, body) SELECT label, 'its checksum does not match', body FROM run {of}"
                    ),
                    key,
                )
                .and_then(|_| self.db.execute(&format!("DELETE FROM run {of}"), key))
                .map_err(sql)?;
        }
        Ok(loaded)
    }

    /// Adds what was learned to what is there, and notes until when the facts of the journal with this token
    /// are in it.
    ///
    /// # Errors
    ///
    /// The file cannot be written; then nothing of it is.
    pub fn add(
        &mut self,
        token: &str,
        learned_until: Time,
        changes: &[HistoryRow],
        wall_s: u64,
    ) -> Result<(), StoreError> {
        let sql = |source| StoreError::sql("write the history", &self.path, source);
        let now = wall_s as i64;
        let change = self.db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
        for row in changes {
            put(&change, row, now).map_err(sql)?;
        }
        change
            .execute(
                "INSERT INTO learned(token, until, used) VALUES (?1, ?2, ?3)
                 ON CONFLICT (token) DO UPDATE SET until = max(until, ?2), used = ?3",
                params![token, learned_until.0 as i64, now],
            )
            .map_err(sql)?;
        change.commit().map_err(sql)?;
        self.added += changes.len();
        if self.added < PRUNE_EVERY {
            return Ok(());
        }
        // What was added is kept, so a failure of this is none of the addition.
        drop(self.prune());
        Ok(())
    }

    /// Removes what is over the bounds, the least used first. It counts all rows: called at the start, at the
    /// end, and after every so many rows that are added, so that a crash leaves little over.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn prune(&mut self) -> Result<(), StoreError> {
        self.added = 0;
        let sql = |source| StoreError::sql("prune the history", &self.path, source);
        let limit = |table: &str, key: &str, order: &str, most: u32| {
            format!(
                "DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} ORDER BY {order} DESC LIMIT -1 OFFSET {most});"
            )
        };
        let all = limit("run", "function, kind, class, size", "used", ROWS_MAX)
            + &limit("learned", "token", "used", TOKENS_MAX)
            + &limit("aside", "id", "id", ASIDE_MAX);
        self.db.execute_batch(&all).map_err(sql)
    }
}

/// A key as it is stored.
type Stored = (i64, i64, i64, i64);

fn stored(key: &HistoryKey) -> Stored {
    let kind = match key.kind {
        DeviceKind::Cpu => 0,
        DeviceKind::Gpu => 1,
    };
    (key.function as i64, kind, key.class as i64, i64::from(key.size))
}

fn key((function, kind, class, size): Stored) -> Option<HistoryKey> {
    let kind = match kind {
        0 => DeviceKind::Cpu,
        1 => DeviceKind::Gpu,
        _ => return None,
    };
    Some(HistoryKey { function: function as u64, kind, class: class as u64, size: u16::try_from(size).ok()? })
}

/// A row, unless it is damaged.
fn read(row: &rusqlite::Row<'_>, stored: Stored) -> Option<HistoryRow> {
    let (label, class): (String, String) = (row.get(4).ok()?, row.get(5).ok()?);
    let crc: i64 = row.get(6).ok()?;
    let body = row.get_ref(7).ok()?.as_blob().ok()?;
    if body.len() > BODY_MAX || crc != i64::from(checksum(stored, body)) {
        return None;
    }
    decode(key(stored)?, &label, &class, body)
}

fn put(db: &Connection, change: &HistoryRow, now: i64) -> rusqlite::Result<()> {
    let id = stored(&change.key);
    let mut known = db.prepare_cached(
        "SELECT function, kind, class, size, label, class_name, crc, body FROM run
         WHERE function = ?1 AND kind = ?2 AND class = ?3 AND size = ?4",
    )?;
    let (function, kind, class, size) = id;
    let before =
        known.query_row(params![function, kind, class, size], |row| Ok(read(row, id))).optional()?.flatten();
    let mut row = before.unwrap_or_else(|| HistoryRow::new(change.key, &change.label, &change.class));
    row.add(change);
    let body = encode(&row);
    db.prepare_cached(
        "INSERT OR REPLACE INTO run(function, kind, class, size, label, class_name, crc, body, used)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![function, kind, class, size, row.label, row.class, checksum(id, &body), body, now])
    .map(drop)
}

fn checksum((function, kind, class, size): Stored, body: &[u8]) -> u32 {
    let mut crc = Crc::new();
    for number in [function, kind, class, size] {
        crc = crc.with(&number.to_le_bytes());
    }
    crc.with(body).value()
}

/// Two numbers, then four lists, each with its length before it; all little-endian.
fn encode(row: &HistoryRow) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BODY_MAX);
    bytes.extend(row.runs.to_le_bytes());
    bytes.extend(row.drifts.to_le_bytes());
    for list in [&row.seconds, &row.memory, &row.gpu_memory, &row.errors] {
        let latest = &list[list.len().saturating_sub(HISTORY_SAMPLES_MAX)..];
        bytes.push(latest.len() as u8);
        for value in latest {
            bytes.extend(value.to_le_bytes());
        }
    }
    bytes
}

fn decode(key: HistoryKey, label: &str, class: &str, bytes: &[u8]) -> Option<HistoryRow> {
    let mut row = HistoryRow::new(key, label, class);
    let (runs, rest) = bytes.split_first_chunk::<8>()?;
    let (drifts, mut rest) = rest.split_first_chunk::<4>()?;
    (row.runs, row.drifts) = (u64::from_le_bytes(*runs), u32::from_le_bytes(*drifts));
    for list in [&mut row.seconds, &mut row.memory, &mut row.gpu_memory, &mut row.errors] {
        let (length, after) = rest.split_first()?;
        let length = usize::from(*length);
        if length > HISTORY_SAMPLES_MAX || after.len() < 4 * length {
            return None;
        }
        let (values, after) = after.split_at(4 * length);
        list.extend(values.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        rest = after;
    }
    rest.is_empty().then_some(row)
}

fn migrate(db: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let sql = |source| damaged_or("open the history", path, source);
    let number = |db: &Connection, name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    // Another process may make the file at this moment: it is looked at within the transaction.
    let change = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
    let (id, version) =
        (number(&change, "application_id").map_err(sql)?, number(&change, "user_version").map_err(sql)?);
    let tables: i64 =
        change.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(sql)?;
    if id != APPLICATION_ID && (id, version, tables) != (0, 0, 0) {
        let found = "it is a database of another program".to_owned();
        return Err(StoreError::NotOurs { path: path.to_owned(), found });
    }
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    let Some(wanted) = MIGRATIONS.get(done..) else {
        let (found, known) = (done as u64, MIGRATIONS.len() as u64);
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    };
    if wanted.is_empty() {
        return Ok(());
    }
    for migration in wanted {
        change.execute_batch(migration).map_err(sql)?;
    }
    change
        .pragma_update(None, "application_id", APPLICATION_ID)
        .and_then(|()| change.pragma_update(None, "user_version", MIGRATIONS.len() as i64))
        .and_then(|()| change.commit())
        .map_err(sql)
}

fn damaged_or(doing: &'static str, path: &Path, source: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match source.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => {
            StoreError::Damaged { path: path.to_owned(), detail: source.to_string() }
        }
        _ => StoreError::sql(doing, path, source),
    }
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(function: u64, seconds: &[f32]) -> HistoryRow {
        let key = HistoryKey { function, kind: DeviceKind::Gpu, class: u64::MAX, size: 0x0a03 };
        HistoryRow {
            runs: seconds.len() as u64,
            seconds: seconds.to_vec(),
            memory: vec![1e9],
            errors: vec![0.25],
            ..HistoryRow::new(key, "train: python3 train.py", "a GPU")
        }
    }

    fn open(path: &Path) -> EstimateStore {
        let (store, told) = EstimateStore::open(path).unwrap();
        assert_eq!(told, None);
        store
    }

    #[test]
    fn what_is_added_is_found_again_by_another_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(EstimateStore::FILE);
        let (mut one, mut other) = (open(&path), open(&path));
        one.add("a", Time(7), &[row(u64::MAX, &[1.0, 2.0])], 10).unwrap();
        other.add("b", Time(9), &[row(u64::MAX, &[3.0]), row(5, &[4.0])], 11).unwrap();
        drop((one, other));
        let loaded = open(&path).load("a").unwrap();
        assert_eq!((loaded.learned_until, loaded.damaged), (Some(Time(7)), 0));
        let [first, second] = loaded.rows.as_slice() else { panic!("{loaded:?}") };
        let (large, small) = if first.key.function == 5 { (second, first) } else { (first, second) };
        assert_eq!((large.seconds.as_slice(), large.runs), (&[1.0, 2.0, 3.0][..], 3));
        assert_eq!((large.memory.len(), large.errors.len(), small.seconds.as_slice()), (2, 2, &[4.0][..]));
        assert_eq!((small.label.as_str(), small.class.as_str()), ("train: python3 train.py", "a GPU"));
        assert_eq!(open(&path).load("new").unwrap().learned_until, None);
    }

    #[test]
    fn a_damaged_row_is_set_aside_and_the_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(EstimateStore::FILE);
        let mut store = open(&path);
        store.add("a", Time(1), &[row(1, &[1.0]), row(2, &[2.0]), row(3, &[3.0])], 1).unwrap();
        store.db.execute("UPDATE run SET body = x'0102' WHERE function = 1", []).unwrap();
        store.db.execute("UPDATE run SET kind = 7 WHERE function = 2", []).unwrap();
        let loaded = store.load("a").unwrap();
        assert_eq!((loaded.rows.len(), loaded.damaged), (1, 2));
        let aside: i64 = store.db.query_row("SELECT count(*) FROM aside", [], |row| row.get(0)).unwrap();
        assert_eq!(aside, 2);
        assert_eq!(store.load("a").unwrap().damaged, 0, "told once");
    }

    #[test]
    fn a_file_that_is_no_database_is_put_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(EstimateStore::FILE);
        std::fs::write(&path, "no database at all ".repeat(100)).unwrap();
        let (mut store, told) = EstimateStore::open(&path).unwrap();
        assert!(told.unwrap().contains("begun anew"));
        assert_eq!(store.load("a").unwrap(), LoadedEstimates::default());
        assert!(path.with_extension("damaged").exists());
    }

    #[test]
    fn a_newer_file_and_one_of_another_program_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(EstimateStore::FILE);
        let store = open(&path);
        store.db.pragma_update(None, "user_version", 99).unwrap();
        drop(store);
        assert!(matches!(EstimateStore::open(&path), Err(StoreError::Newer { found: 99, .. })));
        let theirs = dir.path().join("theirs.db");
        Connection::open(&theirs).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
        assert!(matches!(EstimateStore::open(&theirs), Err(StoreError::NotOurs { .. })));
    }

    #[test]
    fn the_least_used_rows_go() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(&dir.path().join(EstimateStore::FILE));
        let rows: Vec<HistoryRow> = (0..u64::from(ROWS_MAX)).map(|n| row(n, &[1.0])).collect();
        store.add("a", Time(1), &rows[..10], 1).unwrap();
        store.add("a", Time(2), &rows[10..], 2).unwrap();
        store.add("a", Time(3), &[row(u64::MAX, &[1.0])], 3).unwrap();
        store.prune().unwrap();
        let loaded = store.load("a").unwrap().rows;
        assert_eq!(loaded.len(), ROWS_MAX as usize);
        assert_eq!(loaded.iter().filter(|row| row.key.function < 10).count(), 9);
        assert_eq!(loaded.last().unwrap().key.function, u64::MAX);
    }

    #[test]
    fn a_process_that_never_ends_well_keeps_the_file_small_and_the_latest_are_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(EstimateStore::FILE);
        let mut store = open(&path);
        let most = u64::from(ROWS_MAX);
        for part in 0..24 {
            // The latest have the smallest keys and the largest in turn.
            let key = |n: u64| if n.is_multiple_of(2) { 1 << 40 | n } else { (1 << 40) - n };
            let rows: Vec<HistoryRow> = (512 * part..512 * (part + 1)).map(|n| row(key(n), &[1.0])).collect();
            store.add("a", Time(part), &rows, part).unwrap();
        }
        let rows: i64 = store.db.query_row("SELECT count(*) FROM run", [], |row| row.get(0)).unwrap();
        assert!((most as i64..most as i64 + PRUNE_EVERY as i64).contains(&rows), "{rows}");
        let loaded = store.load("a").unwrap().rows;
        assert_eq!(loaded.len(), ROWS_MAX as usize);
        let of_part = |function: u64| function.abs_diff(1 << 40) / 512;
        assert!(loaded.iter().all(|row| of_part(row.key.function) >= 16));
        assert_eq!(of_part(loaded.last().unwrap().key.function), 23, "the latest used is the last");
    }

    #[test]
    fn bodies_that_claim_more_than_they_hold_are_refused() {
        let good = encode(&row(1, &[1.0, 2.0]));
        let key = row(1, &[]).key;
        assert!(decode(key, "", "", &good).is_some());
        for cut in 0..good.len() {
            assert!(decode(key, "", "", &good[..cut]).is_none());
        }
        let mut long = good.clone();
        long[12] = 255;
        assert!(decode(key, "", "", &long).is_none());
    }
}
