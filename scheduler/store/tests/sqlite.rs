//! The journal in SQLite: what comes back after restarts, what is set aside, what is refused.

mod common;

use common::{ended, facts, graph, opened};
use dunnage_model::{Attempt, AttemptId, Event, Fact, GraphId, GraphState, Owner, Time, Usage};
use dunnage_store::{
    Damage, EndedFilter, Journal, LogRow, Place, Reader, SqliteJournal, StateDir, StoreError, SystemClocks,
    Write,
};
use dunnage_wire::journal::{decode_facts, encode_facts};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc::channel;

#[test]
fn everything_comes_back_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = opened(dir.path());
    let first = journal.load().unwrap();
    assert_eq!((first.next_graph, first.next_seq, first.live.len()), (GraphId(1), 1, 0));
    journal.commit(&[graph(1), graph(2), facts(1, 1)], true).unwrap();
    journal.commit(&[facts(2, 2), facts(1, 3)], false).unwrap();
    drop(journal);
    let again = opened(dir.path()).load().unwrap();
    assert_eq!(again.token, first.token);
    assert_eq!((again.next_graph, again.next_seq), (GraphId(3), 4));
    let Write::Graph(row) = graph(1) else { unreachable!() };
    assert_eq!(again.live[0].row, *row);
    let seqs: Vec<Vec<u64>> =
        again.live.iter().map(|graph| graph.facts.iter().map(|fact| fact.seq).collect()).collect();
    assert_eq!(seqs, [vec![1, 3], vec![2]]);
    assert!(again.damaged.is_empty() && !again.live[0].damaged);
}

#[test]
fn commits_that_were_never_synced_survive_a_death_without_goodbye() {
    let dir = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let mut journal = opened(dir.path());
    journal.commit(&[graph(1)], true).unwrap();
    for seq in 1..=50 {
        journal.commit(&[facts(1, seq)], false).unwrap();
    }
    // The files as a killed process leaves them: no checkpoint, no close.
    for name in ["VERSION", "journal.db", "journal.db-wal"] {
        fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    let loaded = opened(copy.path()).load().unwrap();
    assert_eq!(loaded.live[0].facts.len(), 50);
    assert_eq!(loaded.next_seq, 51);
}

#[test]
fn ended_graphs_are_not_loaded_and_reopened_ones_are() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = opened(dir.path());
    journal
        .commit(&[graph(1), graph(2), facts(1, 1), facts(2, 2), ended(1, 10), ended(2, 20)], true)
        .unwrap();
    assert!(journal.load().unwrap().live.is_empty());
    let mut history = journal.reader().unwrap();
    assert_eq!(history.ended(&EndedFilter::default()).unwrap().len(), 2);
    journal.commit(&[Write::Reopened { graph: GraphId(1) }], true).unwrap();
    let live = journal.load().unwrap().live;
    assert_eq!((live.len(), live[0].row.id, live[0].facts.len()), (1, GraphId(1), 1));
    assert_eq!(history.ended(&EndedFilter::default()).unwrap().len(), 1);
}

#[test]
fn an_extended_graph_is_written_over_its_earlier_row() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = opened(dir.path());
    let Write::Graph(mut row) = graph(1) else { unreachable!() };
    journal.commit(&[Write::Graph(row.clone()), facts(1, 1)], true).unwrap();
    row.spec = r#"{"function":[1,2]}"#.to_owned();
    row.sealed = true;
    journal.commit(&[Write::Graph(row.clone())], true).unwrap();
    let live = journal.load().unwrap().live;
    assert_eq!((live.len(), live[0].facts.len()), (1, 1));
    assert_eq!(live[0].row, *row);
}

#[test]
fn ended_graphs_are_listed_newest_first_by_pages_and_filters() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = opened(dir.path());
    for id in 1..=10 {
        let Write::Graph(mut row) = graph(id) else { unreachable!() };
        row.owner = Owner((id % 2) as u32);
        row.name = format!("n{}", id % 3);
        // Pairs end at the same time.
        journal.commit(&[Write::Graph(row), ended(id, id / 2)], false).unwrap();
    }
    let mut history = journal.reader().unwrap();
    let mut ids = |filter: EndedFilter| -> Vec<u64> {
        history.ended(&filter).unwrap().iter().map(|row| row.id.0).collect()
    };
    assert_eq!(ids(EndedFilter::default()), [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
    let page = EndedFilter { limit: 4, ..EndedFilter::default() };
    assert_eq!(ids(page.clone()), [10, 9, 8, 7]);
    assert_eq!(ids(EndedFilter { after: Some((Time(3), GraphId(7))), ..page }), [6, 5, 4, 3]);
    assert_eq!(ids(EndedFilter { owner: Some(Owner(1)), ..EndedFilter::default() }), [9, 7, 5, 3, 1]);
    assert_eq!(ids(EndedFilter { name: Some("n1".into()), ..EndedFilter::default() }), [10, 7, 4, 1]);
    assert_eq!(ids(EndedFilter { ended_before: Some(Time(2)), ..EndedFilter::default() }), [3, 2, 1]);
    assert_eq!(
        ids(EndedFilter { state: Some(GraphState::Failed), ..EndedFilter::default() }),
        [] as [u64; 0]
    );
}

#[test]
fn a_forgotten_graph_is_gone_and_its_numbers_never_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = opened(dir.path());
    let log = LogRow {
        attempt: attempt(2, 0),
        stream: 0,
        place: Place { segment: 3, offset: 4, length: 5, checksum: 6 },
        truncated: 7,
    };
    journal.commit(&[graph(1), graph(2), facts(2, 1), Write::Log(log), ended(2, 5)], true).unwrap();
    let mut history = journal.reader().unwrap();
    assert_eq!(history.logs_of(attempt(2, 0)).unwrap(), [log]);
    assert_eq!(history.logs_of_graph(GraphId(2)).unwrap(), [log]);
    assert_eq!(history.segments_in_use().unwrap(), [3]);
    journal.commit(&[Write::Forget { graph: GraphId(2) }], true).unwrap();
    assert_eq!(history.graph(GraphId(2)).unwrap(), None);
    assert_eq!(history.spec_of(GraphId(2)).unwrap(), None);
    assert!(history.facts_of(GraphId(2), 0).unwrap().is_empty());
    assert!(history.logs_of_graph(GraphId(2)).unwrap().is_empty());
    assert!(history.segments_in_use().unwrap().is_empty());
    let loaded = journal.load().unwrap();
    assert_eq!((loaded.next_graph, loaded.next_seq), (GraphId(3), 2));
}

#[test]
fn documents_and_environments_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = opened(dir.path());
    let document = |key: &str, body: Option<&[u8]>| Write::Document {
        kind: "estimate".into(),
        key: key.into(),
        body: body.map(<[u8]>::to_vec),
    };
    journal.commit(&[graph(1), document("b", Some(b"1")), document("a", Some(b"2"))], false).unwrap();
    journal.commit(&[document("b", Some(b"3")), document("a", None)], false).unwrap();
    let mut history = journal.reader().unwrap();
    assert_eq!(history.documents("estimate").unwrap(), [("b".to_owned(), b"3".to_vec())]);
    assert!(history.documents("other").unwrap().is_empty());
    assert_eq!(history.environments_in_use().unwrap(), ["e1"]);
}

#[test]
fn a_damaged_record_is_named_and_set_aside_and_the_rest_loads() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = opened(dir.path());
    journal.commit(&[graph(1), graph(2), graph(3), facts(1, 1), facts(2, 2), facts(1, 3)], true).unwrap();
    drop(journal);
    let file = rusqlite::Connection::open(dir.path().join("journal.db")).unwrap();
    file.execute("UPDATE fact SET body = x'00' WHERE seq = 1", []).unwrap();
    file.execute("UPDATE spec SET text = '{\"evil\":1}' WHERE graph = 3", []).unwrap();
    drop(file);
    let mut journal = opened(dir.path());
    let loaded = journal.load().unwrap();
    let told: Vec<String> = loaded.damaged.iter().map(Damage::to_string).collect();
    assert_eq!(
        told,
        [
            "graph 3 was set aside: its checksum is wrong",
            "record 1 of graph 1 was set aside: its checksum is wrong"
        ]
    );
    let live: Vec<(u64, usize, bool)> =
        loaded.live.iter().map(|graph| (graph.row.id.0, graph.facts.len(), graph.damaged)).collect();
    assert_eq!(live, [(1, 1, true), (2, 1, false)]);
    drop(journal);
    // The next start does not find them again, but still knows.
    let mut journal = opened(dir.path());
    let again = journal.load().unwrap();
    assert!(again.damaged.is_empty());
    assert_eq!((again.live.len(), again.live[0].damaged, again.next_seq), (2, true, 4));
    assert_eq!(journal.reader().unwrap().damaged().unwrap().len(), 2);
}

#[test]
fn a_graph_set_aside_by_its_user_is_kept_but_not_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = opened(dir.path());
    journal.commit(&[graph(1), graph(2), facts(1, 1)], true).unwrap();
    let reason = "an impossible state".to_owned();
    journal
        .commit(&[Write::SetAside { graph: GraphId(1), seq: None, reason: reason.clone() }], true)
        .unwrap();
    let live = journal.load().unwrap().live;
    assert_eq!((live.len(), live[0].row.id), (1, GraphId(2)));
    let mut history = journal.reader().unwrap();
    assert_eq!(history.damaged().unwrap(), [Damage { graph: GraphId(1), seq: None, reason }]);
    assert_eq!(history.facts_of(GraphId(1), 0).unwrap().len(), 1);
}

#[test]
fn a_second_daemon_on_the_same_state_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let journal = opened(dir.path());
    assert!(matches!(StateDir::open(dir.path()), Err(StoreError::Locked { .. })));
    drop(journal);
    opened(dir.path());
}

fn open_error(path: &Path) -> StoreError {
    let dir = StateDir::open(path).unwrap();
    SqliteJournal::open(dir, Box::new(SystemClocks)).and_then(|mut journal| journal.load()).unwrap_err()
}

#[test]
fn a_store_is_never_silently_begun_empty() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = opened(dir.path());
    journal.commit(&[graph(1)], true).unwrap();
    drop(journal);
    let file = dir.path().join("journal.db");
    let whole = fs::read(&file).unwrap();

    fs::remove_file(&file).unwrap();
    let error = open_error(dir.path());
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
    assert!(!file.exists());

    for damaged in
        [Vec::new(), vec![0; whole.len()], b"not a database at all".to_vec(), whole[..100].to_vec()]
    {
        fs::write(&file, &damaged).unwrap();
        let error = open_error(dir.path());
        assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
        assert!(error.to_string().contains("journal.db"), "{error}");
        assert_eq!(fs::read(&file).unwrap(), damaged, "evidence is left as it is");
    }
}

/// Cuts and changes the file in many ways: each start either loads all, names what is missing, or is
/// refused. None panics, and none begins empty.
#[test]
fn no_corruption_of_the_file_is_fatal_and_silent() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = opened(dir.path());
    let writes: Vec<Write> = (1..=20).flat_map(|id| [graph(id), facts(id, id)]).collect();
    journal.commit(&writes, true).unwrap();
    drop(journal);
    let file = dir.path().join("journal.db");
    let whole = fs::read(&file).unwrap();
    let (mut refused, mut named, mut fine) = (0, 0, 0);
    let mut random = 1u64;
    for round in 0..150 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let place = (random >> 20) as usize % whole.len();
        let mut bytes = whole.clone();
        match round % 3 {
            0 => bytes[place] ^= 1 << (random >> 61),
            1 => bytes[place..].iter_mut().take(700).for_each(|byte| *byte = 0),
            _ => bytes.truncate(place),
        }
        fs::write(&file, &bytes).unwrap();
        for beside in ["journal.db-wal", "journal.db-shm"] {
            drop(fs::remove_file(dir.path().join(beside)));
        }
        let dir = StateDir::open(dir.path()).unwrap();
        match SqliteJournal::open(dir, Box::new(SystemClocks)).and_then(|mut journal| journal.load()) {
            Err(_) => refused += 1,
            Ok(loaded) => {
                let facts: usize = loaded.live.iter().map(|graph| graph.facts.len()).sum();
                if loaded.damaged.is_empty() {
                    // A changed bit may lie in a column that no checksum covers, or in free space.
                    assert_eq!(
                        (loaded.live.len(), facts),
                        (20, 20),
                        "something is missing and nobody says so"
                    );
                    fine += 1;
                } else {
                    assert!(loaded.live.len() + loaded.damaged.len() >= 20);
                    named += 1;
                }
            }
        }
    }
    assert!(refused > 0 && named > 0 && fine > 0, "{refused} refused, {named} named, {fine} fine");
}

#[test]
fn a_cut_write_ahead_log_loses_its_tail_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let mut journal = opened(dir.path());
    journal.commit(&[graph(1)], true).unwrap();
    for seq in 1..=20 {
        journal.commit(&[facts(1, seq)], false).unwrap();
    }
    let log = fs::read(dir.path().join("journal.db-wal")).unwrap();
    let mut before = usize::MAX;
    for cut in (0..=log.len()).rev().step_by(20_011) {
        for beside in ["journal.db-shm", "lock"] {
            drop(fs::remove_file(copy.path().join(beside)));
        }
        fs::copy(dir.path().join("VERSION"), copy.path().join("VERSION")).unwrap();
        fs::copy(dir.path().join("journal.db"), copy.path().join("journal.db")).unwrap();
        fs::write(copy.path().join("journal.db-wal"), &log[..cut]).unwrap();
        let dir = StateDir::open(copy.path()).unwrap();
        match SqliteJournal::open(dir, Box::new(SystemClocks)).and_then(|mut journal| journal.load()) {
            Ok(loaded) => {
                let facts = loaded.live.first().map_or(0, |graph| graph.facts.len());
                assert!(facts <= before);
                before = facts;
            }
            // So little is left that not even the tables are there: refused, and not begun empty.
            Err(error) => assert!(matches!(error, StoreError::Damaged { .. }), "{error}"),
        }
    }
}

#[test]
fn nobody_else_can_read_the_files() {
    let parent = tempfile::tempdir().unwrap();
    // A directory that was there already, open to everybody.
    fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut journal = opened(parent.path());
    journal.commit(&[graph(1)], true).unwrap();
    for entry in fs::read_dir(parent.path()).unwrap().map(Result::unwrap) {
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
}

#[test]
fn readers_see_what_was_committed_while_the_writer_works() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = opened(dir.path());
    let path = dir.path().join("journal.db");
    journal.commit(&[graph(1)], true).unwrap();
    let (tell, told) = channel();
    let reading = std::thread::spawn(move || {
        let mut reader = Reader::open(&path).unwrap();
        for number in told {
            let history: &mut dyn dunnage_store::History = &mut reader;
            let newest = history.facts_of(GraphId(1), 0).unwrap().last().map_or(1, |fact| fact.seq);
            assert!(newest >= number, "batch {number} was committed, and {newest} is the last seen");
        }
    });
    for number in 2..=300 {
        journal.commit(&[facts(1, number)], number % 50 == 0).unwrap();
        tell.send(number).unwrap();
    }
    drop(tell);
    reading.join().unwrap();
}

#[test]
fn the_write_ahead_log_stays_short_under_steady_writing() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = opened(dir.path());
    journal.commit(&[graph(1)], true).unwrap();
    let body = vec![7; 20_000];
    for seq in 1..=1_000 {
        journal.commit(&[Write::Facts { graph: GraphId(1), seq, body: body.clone() }], false).unwrap();
    }
    let length = fs::metadata(dir.path().join("journal.db-wal")).unwrap().len();
    assert!(length < 100 << 20, "{length} bytes of log for 20 MB of facts");
    assert_eq!(journal.load().unwrap().live[0].facts.len(), 1_000);
}

#[test]
fn time_goes_on_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let journal = opened(dir.path());
    let before = journal.clock().now();
    drop(journal);
    let mut journal = opened(dir.path());
    let loaded = journal.load().unwrap();
    assert!(loaded.clock.now() >= before);
    assert!(loaded.clock.now() < Time(600_000_000), "and it did not jump");
}

#[test]
fn a_record_of_facts_is_never_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = opened(dir.path());
    journal.commit(&[graph(1), facts(1, 1)], true).unwrap();
    assert!(journal.commit(&[facts(1, 2), facts(1, 1)], true).is_err());
    assert!(matches!(journal.commit(&[facts(1, 3)], true), Err(StoreError::Stopped { .. })));
    drop(journal);
    assert_eq!(opened(dir.path()).load().unwrap().live[0].facts.len(), 1, "all of a batch or nothing");
}

#[test]
fn the_facts_of_a_hundred_thousand_tasks_load() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = opened(dir.path());
    journal.commit(&[graph(1)], true).unwrap();
    let mut expected = 0;
    for (seq, tasks) in (1..).zip((0..100_000u32).step_by(500)) {
        let batch: Vec<Fact> = (tasks..tasks + 500)
            .flat_map(|index| {
                let attempt = GraphId(1).task(index).attempt(Attempt::FIRST);
                [Event::Started { attempt }, Event::Finished { attempt, usage: Usage::default() }]
            })
            .map(|event| Fact { at: Time(u64::from(tasks)), event })
            .collect();
        expected += batch.len();
        journal
            .commit(&[Write::Facts { graph: GraphId(1), seq, body: encode_facts(&batch) }], false)
            .unwrap();
    }
    let loaded = journal.load().unwrap();
    let mut decoded = 0;
    for record in &loaded.live[0].facts {
        decode_facts(&record.body, &mut |_| decoded += 1).unwrap();
    }
    assert_eq!(decoded, expected);
}

fn attempt(graph: u64, task: u32) -> AttemptId {
    GraphId(graph).task(task).attempt(Attempt::FIRST)
}
