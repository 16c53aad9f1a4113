//! The tables, and how older ones become the newest.
//!
//! A migration that was released is never edited; a change is a new one at the end. Their number is
//! the version of the schema, kept in the file's `user_version`.

use crate::StoreError;
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;

/// Says in the file's head that it is ours: "DUNN".
const APPLICATION_ID: i64 = 0x4455_4e4e;

/// Facts have the store-wide sequence as their key, so that every commit appends at the end of one
/// tree, and any reader can go on from the last number it saw; the index finds those of one graph. The
/// texts of graphs have their own table, because a graph's row is written again when it ends.
const MIGRATIONS: &[&str] = &["
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE graph (
    id INTEGER PRIMARY KEY,
    owner INTEGER NOT NULL,
    name TEXT NOT NULL,
    dir BLOB NOT NULL,
    environment TEXT,
    strategy TEXT NOT NULL,
    functions INTEGER NOT NULL,
    submitted_at INTEGER NOT NULL,
    submitted_wall_us INTEGER NOT NULL,
    seed INTEGER NOT NULL,
    held INTEGER NOT NULL,
    sealed INTEGER NOT NULL,
    trace TEXT,
    extra TEXT,
    state TEXT,
    ended_at INTEGER,
    summary TEXT,
    set_aside TEXT
);
CREATE INDEX graph_live ON graph (id) WHERE state IS NULL;
CREATE INDEX graph_ended ON graph (ended_at, id) WHERE state IS NOT NULL;
CREATE TABLE spec (graph INTEGER PRIMARY KEY, crc INTEGER NOT NULL, text TEXT NOT NULL);
CREATE TABLE fact (
    seq INTEGER PRIMARY KEY,
    graph INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX fact_graph ON fact (graph);
CREATE TABLE log (
    graph INTEGER NOT NULL,
    task INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    stream INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    length INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    truncated INTEGER NOT NULL,
    PRIMARY KEY (graph, task, attempt, stream)
) WITHOUT ROWID;
CREATE TABLE document (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE TABLE damaged (
    id INTEGER PRIMARY KEY,
    graph INTEGER NOT NULL,
    seq INTEGER,
    reason TEXT NOT NULL,
    found_wall_us INTEGER NOT NULL,
    body BLOB
);
"];

/// Brings a file to the newest schema.
///
/// # Errors
///
/// When it is somebody else's, of a newer version, or, where one was `expected`, without any tables.
pub(super) fn migrate(db: &mut Connection, path: &Path, expected: bool) -> Result<(), StoreError> {
    let sql = |doing| move |source| StoreError::sql(doing, path, source);
    let number = |db: &Connection, name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let id = number(db, "application_id").map_err(sql("open the journal"))?;
    let version = number(db, "user_version").map_err(sql("open the journal"))?;
    let tables: i64 = db
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(sql("open the journal"))?;
    if id != APPLICATION_ID && (id, version, tables) != (0, 0, 0) {
        let found = "it is a database of another program".to_owned();
        return Err(StoreError::NotOurs { path: path.to_owned(), found });
    }
    if tables == 0 && expected {
        return Err(StoreError::Damaged { path: path.to_owned(), detail: "it has no tables".to_owned() });
    }
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    let Some(wanted) = MIGRATIONS.get(done..) else {
        let (found, known) = (done as u64, MIGRATIONS.len() as u64);
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    };
    if wanted.is_empty() {
        return Ok(());
    }
    // One transaction: a start that is interrupted finds the old schema, whole.
    let change =
        db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql("migrate the journal"))?;
    for migration in wanted {
        change.execute_batch(migration).map_err(sql("migrate the journal"))?;
    }
    change
        .pragma_update(None, "application_id", APPLICATION_ID)
        .and_then(|()| change.pragma_update(None, "user_version", MIGRATIONS.len() as i64))
        .and_then(|()| change.commit())
        .map_err(sql("migrate the journal"))
}

#[cfg(test)]
mod tests {
    use super::{MIGRATIONS, migrate};
    use crate::StoreError;
    use crate::checksum::Crc;
    use rusqlite::Connection;
    use std::path::Path;

    fn migrated() -> Connection {
        let mut db = Connection::open_in_memory().unwrap();
        migrate(&mut db, Path::new("x"), false).unwrap();
        db
    }

    #[test]
    fn released_migrations_are_never_edited() {
        let sums: Vec<u32> = MIGRATIONS.iter().map(|text| Crc::new().with(text.as_bytes()).value()).collect();
        assert_eq!(sums, [677_362_801]);
    }

    #[test]
    fn migrating_twice_changes_nothing() {
        let mut db = migrated();
        migrate(&mut db, Path::new("x"), true).unwrap();
    }

    #[test]
    fn newer_and_foreign_files_are_refused() {
        let mut db = migrated();
        db.pragma_update(None, "user_version", 99).unwrap();
        let error = migrate(&mut db, Path::new("x"), true).unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 99, known: 1, .. }), "{error}");

        let mut db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE theirs (x)").unwrap();
        let error = migrate(&mut db, Path::new("x"), false).unwrap_err();
        assert!(matches!(error, StoreError::NotOurs { .. }), "{error}");

        let mut db = Connection::open_in_memory().unwrap();
        let error = migrate(&mut db, Path::new("x"), true).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }

    #[test]
    fn the_facts_of_ended_graphs_are_not_touched_at_the_start() {
        let plan: Vec<String> = migrated()
            .prepare(
                "EXPLAIN QUERY PLAN SELECT fact.graph, fact.seq, fact.crc, fact.body
                 FROM graph CROSS JOIN fact ON fact.graph = graph.id
                 WHERE graph.state IS NULL AND graph.set_aside IS NULL ORDER BY graph.id, fact.seq",
            )
            .unwrap()
            .query_map([], |row| row.get(3))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(
            plan,
            ["SCAN graph USING INDEX graph_live", "SEARCH fact USING INDEX fact_graph (graph=?)"]
        );
    }
}
