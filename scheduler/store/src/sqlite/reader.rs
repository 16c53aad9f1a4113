//! Questions to the journal from other threads, through a connection that cannot write.

use super::{BUSY, one, rows};
use crate::{Damage, Ended, EndedFilter, EndedRow, FactRow, GraphRow, History, LogRow, StoreError};
use dunnage_model::{AttemptId, GraphId};
use rusqlite::{Connection, OpenFlags, Row, params};
use std::path::{Path, PathBuf};

/// A read-only connection. It works while the journal is written, and also without anybody writing.
#[derive(Debug)]
pub struct Reader {
    db: Connection,
    path: PathBuf,
}

const LOG_COLUMNS: &str = "graph, task, attempt, stream, segment, offset, length, crc, truncated";

impl Reader {
    /// Opens a journal file: [`StateDir::journal`](crate::StateDir::journal).
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let open = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let db = Connection::open_with_flags(path, flags)?;
            db.busy_timeout(BUSY)?;
            db.set_prepared_statement_cache_capacity(32);
            Ok(db)
        };
        let db = open().map_err(|source| StoreError::sql("open the journal", path, source))?;
        Ok(Self { db, path: path.to_owned() })
    }

    fn error(&self) -> impl Fn(rusqlite::Error) -> StoreError + use<> {
        let path = self.path.clone();
        move |source| StoreError::sql("read the journal", &path, source)
    }

    fn all<T>(
        &self,
        query: &str,
        with: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        all(&self.db, query, with, read).map_err(self.error())
    }

    /// Damaged records are left out: [`History::damaged`] names them from the next start on.
    fn facts(&self, query: &str, with: impl rusqlite::Params) -> Result<Vec<FactRow>, StoreError> {
        Ok(self.all(query, with, rows::checked_fact)?.into_iter().filter_map(Result::ok).collect())
    }
}

impl History for Reader {
    fn facts_of(&mut self, graph: GraphId, after: u64) -> Result<Vec<FactRow>, StoreError> {
        self.facts(
            "SELECT graph, seq, crc, body FROM fact WHERE graph = ?1 AND seq > ?2 ORDER BY seq",
            params![rows::signed(graph.0), rows::signed(after)],
        )
    }

    fn facts_since(&mut self, after: u64, limit: usize) -> Result<Vec<FactRow>, StoreError> {
        self.facts(
            "SELECT graph, seq, crc, body FROM fact WHERE seq > ?1 ORDER BY seq LIMIT ?2",
            params![rows::signed(after), limit_of(limit)],
        )
    }

    fn graph(&mut self, graph: GraphId) -> Result<Option<(GraphRow, Option<Ended>)>, StoreError> {
        let query = format!(
            "SELECT {}, crc, text FROM graph LEFT JOIN spec ON spec.graph = id WHERE id = ?1",
            rows::GRAPH_COLUMNS
        );
        one(&self.db, &query, [rows::signed(graph.0)], |row| {
            let spec: Option<String> = row.get(rows::GRAPH_WIDTH + 1)?;
            rows::graph(row, spec.unwrap_or_default())
        })
        .map_err(self.error())
    }

    fn spec_of(&mut self, graph: GraphId) -> Result<Option<String>, StoreError> {
        one(&self.db, "SELECT text FROM spec WHERE graph = ?1", [rows::signed(graph.0)], |row| row.get(0))
            .map_err(self.error())
    }

    fn ended(&mut self, filter: &EndedFilter) -> Result<Vec<EndedRow>, StoreError> {
        let EndedFilter { state, owner, name, ended_before, after, limit } = filter;
        let query = format!(
            "SELECT {} FROM graph WHERE state IS NOT NULL
               AND (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR owner = ?2) AND (?3 IS NULL OR name = ?3)
               AND (?4 IS NULL OR ended_at < ?4) AND (?5 IS NULL OR (ended_at, id) < (?5, ?6))
             ORDER BY ended_at DESC, id DESC LIMIT ?7",
            rows::GRAPH_COLUMNS
        );
        let found = self.all(
            &query,
            params![
                state.map(|state| state.word()),
                owner.map(|owner| owner.0),
                name,
                ended_before.map(|time| rows::signed(time.0)),
                after.map(|(time, _)| rows::signed(time.0)),
                after.map(|(_, graph)| rows::signed(graph.0)),
                limit_of(*limit)
            ],
            |row| rows::graph(row, String::new()),
        )?;
        Ok(found
            .into_iter()
            .filter_map(|(row, end)| {
                let GraphRow { id, owner, name, functions, submitted_at, submitted_wall_us, .. } = row;
                Some(EndedRow { id, owner, name, functions, submitted_at, submitted_wall_us, end: end? })
            })
            .collect())
    }

    fn logs_of(&mut self, attempt: AttemptId) -> Result<Vec<LogRow>, StoreError> {
        self.all(
            &format!("SELECT {LOG_COLUMNS} FROM log WHERE graph = ?1 AND task = ?2 AND attempt = ?3 ORDER BY stream"),
            params![rows::signed(attempt.task.graph.0), attempt.task.index, attempt.attempt.0],
            rows::log,
        )
    }

    fn logs_of_graph(&mut self, graph: GraphId) -> Result<Vec<LogRow>, StoreError> {
        self.all(
            &format!("SELECT {LOG_COLUMNS} FROM log WHERE graph = ?1 ORDER BY task, attempt, stream"),
            [rows::signed(graph.0)],
            rows::log,
        )
    }

    fn segments_in_use(&mut self) -> Result<Vec<u32>, StoreError> {
        self.all("SELECT DISTINCT segment FROM log ORDER BY segment", [], |row| row.get(0))
    }

    fn environments_in_use(&mut self) -> Result<Vec<String>, StoreError> {
        self.all(
            "SELECT DISTINCT environment FROM graph WHERE environment IS NOT NULL ORDER BY environment",
            [],
            |row| row.get(0),
        )
    }

    fn documents(&mut self, kind: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.all("SELECT key, body FROM document WHERE kind = ?1 ORDER BY key", [kind], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
    }

    fn damaged(&mut self) -> Result<Vec<Damage>, StoreError> {
        damaged(&self.db).map_err(self.error())
    }
}

/// What was ever set aside, by graph and sequence.
pub(super) fn damaged(db: &Connection) -> rusqlite::Result<Vec<Damage>> {
    all(db, "SELECT graph, seq, reason FROM damaged ORDER BY graph, seq", [], |row| {
        Ok(Damage {
            graph: GraphId(rows::number(row, 0)?),
            seq: row.get::<_, Option<i64>>(1)?.map(i64::cast_unsigned),
            reason: row.get(2)?,
        })
    })
}

fn all<T>(
    db: &Connection,
    query: &str,
    with: impl rusqlite::Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    db.prepare_cached(query)?.query_map(with, read)?.collect()
}

fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
