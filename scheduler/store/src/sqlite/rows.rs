//! Rows of the tables, to and from the types of the port.
//!
//! SQLite's integers are signed; our numbers go in and out by their bits.

use super::{CheckedFact, fact_checksum, one};
use crate::checksum::Crc;
use crate::{Damage, Ended, FactRow, GraphRow, LogRow, Place, Write};
use dunnage_model::{Attempt, GraphId, GraphState, Owner, Time};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// The columns that [`graph`] reads, in its order.
pub(super) const GRAPH_COLUMNS: &str = "id, owner, name, dir, environment, strategy, functions, submitted_at, \
     submitted_wall_us, seed, held, sealed, trace, extra, state, ended_at, summary";
/// How many those are.
pub(super) const GRAPH_WIDTH: usize = 17;

const ENDED: [GraphState; 3] = [GraphState::Succeeded, GraphState::Failed, GraphState::Cancelled];

/// Carries out one change within a transaction.
pub(super) fn apply(db: &Connection, write: &Write, wall_us: u64) -> rusqlite::Result<()> {
    match write {
        Write::Graph(row) => changing_loaded(db, row.id, || put_graph(db, row)),
        Write::Facts { graph, seq, body } => put_facts(db, *graph, *seq, body),
        Write::Ended { graph, end: Ended { state, at, summary } } => changing_loaded(db, *graph, || {
            db.prepare_cached("UPDATE graph SET state = ?2, ended_at = ?3, summary = ?4 WHERE id = ?1")?
                .execute(params![signed(graph.0), state.word(), signed(at.0), summary])
        }),
        Write::Reopened { graph } => changing_loaded(db, *graph, || {
            db.prepare_cached("UPDATE graph SET state = NULL, ended_at = NULL, summary = NULL WHERE id = ?1")?
                .execute([signed(graph.0)])
        }),
        Write::Log(row) => put_log(db, row),
        Write::Document { kind, key, body: Some(body) } => db
            .prepare_cached("INSERT OR REPLACE INTO document(kind, key, body) VALUES (?1, ?2, ?3)")?
            .execute(params![kind, key, body])
            .map(drop),
        Write::Document { kind, key, body: None } => db
            .prepare_cached("DELETE FROM document WHERE kind = ?1 AND key = ?2")?
            .execute(params![kind, key])
            .map(drop),
        Write::SetAside { graph, seq, reason } => set_aside(db, *graph, *seq, reason, wall_us),
        Write::Forget { graph } => forget(db, *graph),
    }
}

fn put_facts(db: &Connection, graph: GraphId, seq: u64, body: &[u8]) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO fact(seq, graph, crc, body) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![signed(seq), signed(graph.0), fact_checksum(seq, graph, body), body])?;
    // A late fact about a graph that has ended.
    if is_loaded(db, graph)? == Some(true) { Ok(()) } else { count(db, "unloaded_facts", 1) }
}

fn put_graph(db: &Connection, row: &GraphRow) -> rusqlite::Result<usize> {
    let GraphRow {
        id,
        owner,
        name,
        dir,
        environment,
        strategy,
        functions,
        submitted_at,
        submitted_wall_us,
        seed,
        held,
        sealed,
        trace,
        extra,
        spec,
    } = row;
    // An extended graph is written over its earlier row; how it ended is not touched.
    db.prepare_cached(
        "INSERT INTO graph(id, owner, name, dir, environment, strategy, functions, submitted_at, submitted_wall_us,
                           seed, held, sealed, trace, extra)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
         ON CONFLICT (id) DO UPDATE SET owner = ?2, name = ?3, dir = ?4, environment = ?5, strategy = ?6,
             functions = ?7, submitted_at = ?8, submitted_wall_us = ?9, seed = ?10, held = ?11, sealed = ?12,
             trace = ?13, extra = ?14",
    )?
    .execute(params![
        signed(id.0),
        owner.0,
        name,
        dir.as_os_str().as_bytes(),
        environment,
        strategy,
        signed(*functions),
        signed(submitted_at.0),
        signed(*submitted_wall_us),
        signed(*seed),
        held,
        sealed,
        trace,
        extra
    ])?;
    db.prepare_cached("INSERT OR REPLACE INTO spec(graph, crc, text) VALUES (?1, ?2, ?3)")?.execute(params![
        signed(id.0),
        graph_checksum(row),
        spec
    ])
}

fn put_log(db: &Connection, row: &LogRow) -> rusqlite::Result<()> {
    let LogRow { attempt, stream, place: Place { segment, offset, length, checksum }, truncated } = row;
    db.prepare_cached(
        "INSERT OR REPLACE INTO log(graph, task, attempt, stream, segment, offset, length, crc, truncated)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        signed(attempt.task.graph.0),
        attempt.task.index,
        attempt.attempt.0,
        stream,
        segment,
        signed(*offset),
        signed(*length),
        checksum,
        signed(*truncated)
    ])
    .map(drop)
}

fn set_aside(
    db: &Connection,
    graph: GraphId,
    seq: Option<u64>,
    reason: &str,
    wall_us: u64,
) -> rusqlite::Result<()> {
    let id = signed(graph.0);
    if let Some(seq) = seq.map(signed) {
        // The sequence goes on above the record, also after it was moved.
        keep_numbers(db)?;
        db.execute(
            "INSERT INTO damaged(graph, seq, reason, found_wall_us, body)
             VALUES (?1, ?2, ?3, ?4, (SELECT body FROM fact WHERE seq = ?2))",
            params![id, seq, reason, signed(wall_us)],
        )?;
        let moved = db.execute("DELETE FROM fact WHERE seq = ?1", [seq])? as i64;
        count(db, "removed_facts", moved)?;
        if is_loaded(db, graph)? != Some(true) {
            count(db, "unloaded_facts", -moved)?;
        }
    } else {
        db.execute(
            "INSERT INTO damaged(graph, seq, reason, found_wall_us) VALUES (?1, NULL, ?2, ?3)",
            params![id, reason, signed(wall_us)],
        )?;
        changing_loaded(db, graph, || {
            db.execute("UPDATE graph SET set_aside = ?2 WHERE id = ?1", params![id, reason])
        })?;
    }
    Ok(())
}

fn forget(db: &Connection, graph: GraphId) -> rusqlite::Result<()> {
    keep_numbers(db)?;
    let delete = |query: &str| db.prepare_cached(query)?.execute([signed(graph.0)]);
    changing_loaded(db, graph, || {
        let graphs = delete("DELETE FROM graph WHERE id = ?1")?;
        count(db, "removed_graphs", graphs as i64)?;
        Ok(graphs)
    })?;
    // Without a row of their graph they count as not loaded by now.
    let facts = delete("DELETE FROM fact WHERE graph = ?1")? as i64;
    count(db, "unloaded_facts", -facts)?;
    count(db, "removed_facts", facts)?;
    delete("DELETE FROM spec WHERE graph = ?1")?;
    delete("DELETE FROM log WHERE graph = ?1")?;
    delete("DELETE FROM damaged WHERE graph = ?1").map(drop)
}

/// Remembers the next numbers before rows with the highest ones are deleted: numbers never come again.
fn keep_numbers(db: &Connection) -> rusqlite::Result<()> {
    let (graph, seq) = next_numbers(db)?;
    set_meta(db, "next_graph", &graph.to_string())?;
    set_meta(db, "next_seq", &seq.to_string())
}

/// Adds to one of the numbers that [`expected`] reckons with.
pub(super) fn count(db: &Connection, key: &str, step: i64) -> rusqlite::Result<()> {
    if step == 0 {
        return Ok(());
    }
    set_meta(db, key, &counted(db, key)?.saturating_add_signed(step).to_string())
}

fn counted(db: &Connection, key: &str) -> rusqlite::Result<u64> {
    Ok(meta(db, key)?.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// How many graphs and records of facts a start must find. A damaged page may lose rows, or entries of
/// an index, without SQLite noticing; but numbers are given one after another, and those that have no
/// row any more, or belong to what is not loaded, are counted when that happens.
pub(super) fn expected(db: &Connection) -> rusqlite::Result<(u64, u64)> {
    let (next_graph, next_seq) = next_numbers(db)?;
    let left = |next: u64, gone: [&str; 2]| -> rusqlite::Result<u64> {
        let gone = counted(db, gone[0])?.saturating_add(counted(db, gone[1])?);
        Ok(next.saturating_sub(1).saturating_sub(gone))
    };
    Ok((
        left(next_graph, ["removed_graphs", "unloaded_graphs"])?,
        left(next_seq, ["removed_facts", "unloaded_facts"])?,
    ))
}

/// Whether a start loads this graph; none if there is no such graph.
fn is_loaded(db: &Connection, graph: GraphId) -> rusqlite::Result<Option<bool>> {
    let query = "SELECT state IS NULL AND set_aside IS NULL FROM graph WHERE id = ?1";
    one(db, query, [signed(graph.0)], |row| row.get(0))
}

/// Makes a change that may decide whether a graph is loaded, and counts accordingly.
fn changing_loaded(
    db: &Connection,
    graph: GraphId,
    change: impl FnOnce() -> rusqlite::Result<usize>,
) -> rusqlite::Result<()> {
    let before = is_loaded(db, graph)?;
    change()?;
    let after = is_loaded(db, graph)?;
    if before != after {
        let query = "SELECT count(*) FROM fact WHERE graph = ?1";
        let facts = one(db, query, [signed(graph.0)], |row| row.get::<_, i64>(0))?.unwrap_or(0);
        let unloaded = |loaded: Option<bool>| i64::from(loaded == Some(false));
        let step = unloaded(after) - unloaded(before);
        count(db, "unloaded_graphs", step)?;
        // The facts of a graph without a row are not loaded either.
        let idle = |loaded: Option<bool>| i64::from(loaded != Some(true));
        count(db, "unloaded_facts", (idle(after) - idle(before)) * facts)?;
    }
    Ok(())
}

/// The next number of a graph and of a record of facts.
pub(super) fn next_numbers(db: &Connection) -> rusqlite::Result<(u64, u64)> {
    let next = |key: &str, query: &str| -> rusqlite::Result<u64> {
        let kept = meta(db, key)?.and_then(|text| text.parse().ok()).unwrap_or(1);
        let highest = one(db, query, [], |row| row.get::<_, Option<i64>>(0))?.flatten();
        Ok(highest.map_or(kept, |highest| kept.max(highest.cast_unsigned().saturating_add(1))))
    };
    Ok((next("next_graph", "SELECT max(id) FROM graph")?, next("next_seq", "SELECT max(seq) FROM fact")?))
}

/// What is known of the store itself.
pub(super) fn meta(db: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    one(db, "SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))
}

pub(super) fn set_meta(db: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO meta(key, value) VALUES (?1, ?2)")?
        .execute([key, value])
        .map(drop)
}

/// A graph from [`GRAPH_COLUMNS`], with its text from elsewhere.
pub(super) fn graph(row: &Row<'_>, spec: String) -> rusqlite::Result<(GraphRow, Option<Ended>)> {
    let dir = match row.get_ref(3)? {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) => PathBuf::from(OsStr::from_bytes(bytes)),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => PathBuf::new(),
    };
    let found = GraphRow {
        id: GraphId(number(row, 0)?),
        owner: Owner(row.get(1)?),
        name: row.get(2)?,
        dir,
        environment: row.get(4)?,
        strategy: row.get(5)?,
        functions: number(row, 6)?,
        submitted_at: Time(number(row, 7)?),
        submitted_wall_us: number(row, 8)?,
        seed: number(row, 9)?,
        held: row.get(10)?,
        sealed: row.get(11)?,
        trace: row.get(12)?,
        extra: row.get(13)?,
        spec,
    };
    let state: Option<String> = row.get(14)?;
    let end = match state.and_then(|word| state_of(&word)) {
        Some(state) => Some(Ended {
            state,
            at: Time(row.get::<_, Option<i64>>(15)?.unwrap_or(0).cast_unsigned()),
            summary: row.get::<_, Option<String>>(16)?.unwrap_or_default(),
        }),
        None => None,
    };
    Ok((found, end))
}

/// A live graph from [`GRAPH_COLUMNS`], checksum and text, or what is wrong with it.
pub(super) fn checked_graph(row: &Row<'_>) -> Result<GraphRow, String> {
    let unreadable = |error: rusqlite::Error| format!("its row cannot be read: {error}");
    let expected: Option<u32> = row.get(GRAPH_WIDTH).map_err(unreadable)?;
    let spec: Option<String> = row.get(GRAPH_WIDTH + 1).map_err(unreadable)?;
    let (Some(expected), Some(spec)) = (expected, spec) else { return Err("its text is missing".to_owned()) };
    let (found, end) = graph(row, spec).map_err(unreadable)?;
    if end.is_some() {
        return Err("it has ended, and the index says that it has not".to_owned());
    }
    if graph_checksum(&found) == expected { Ok(found) } else { Err("its checksum is wrong".to_owned()) }
}

/// A record of facts from `graph, seq, crc, body`, or what is wrong with it.
pub(super) fn checked_fact(row: &Row<'_>) -> rusqlite::Result<CheckedFact> {
    let (graph, seq) = (GraphId(number(row, 0)?), number(row, 1)?);
    let damage = |reason: &str| Damage { graph, seq: Some(seq), reason: reason.to_owned() };
    let (Ok(expected), Ok(body)) = (row.get::<_, u32>(2), row.get::<_, Vec<u8>>(3)) else {
        return Ok(Err(damage("its row cannot be read")));
    };
    if fact_checksum(seq, graph, &body) == expected {
        Ok(Ok(FactRow { seq, graph, body }))
    } else {
        Ok(Err(damage("its checksum is wrong")))
    }
}

/// A log from `graph, task, attempt, stream, segment, offset, length, crc, truncated`.
pub(super) fn log(row: &Row<'_>) -> rusqlite::Result<LogRow> {
    Ok(LogRow {
        attempt: GraphId(number(row, 0)?).task(row.get(1)?).attempt(Attempt(row.get(2)?)),
        stream: row.get(3)?,
        place: Place {
            segment: row.get(4)?,
            offset: number(row, 5)?,
            length: number(row, 6)?,
            checksum: row.get(7)?,
        },
        truncated: number(row, 8)?,
    })
}

/// The last state of a graph by its word.
pub(super) fn state_of(word: &str) -> Option<GraphState> {
    ENDED.into_iter().find(|state| state.word() == word)
}

/// One of our numbers from a column.
pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

/// One of our numbers for a column.
pub(super) fn signed(number: u64) -> i64 {
    number.cast_signed()
}

/// Covers whatever decides what is run, as whom and where.
fn graph_checksum(row: &GraphRow) -> u32 {
    Crc::new()
        .with_number(row.id.0)
        .with_number(u64::from(row.owner.0))
        .with_number(row.seed)
        .with_piece(row.dir.as_os_str().as_bytes())
        .with_piece(row.environment.as_deref().unwrap_or("").as_bytes())
        .with_piece(row.extra.as_deref().unwrap_or("").as_bytes())
        .with(row.spec.as_bytes())
        .value()
}
