//! The journal in memory does what the one in SQLite does.

mod common;

use common::{ended, facts, graph, opened};
use dunnage_model::{Attempt, GraphId, GraphState, Time};
use dunnage_store::{
    EndedFilter, History, Journal, LiveGraph, LogRow, MemoryDisk, MemoryJournal, Place, Write,
};

/// Everything that can be asked, as text.
fn told(journal: &mut dyn Journal) -> String {
    let loaded = journal.load().unwrap();
    let mut history: Box<dyn History> = journal.reader().unwrap();
    let live: Vec<&LiveGraph> = loaded.live.iter().collect();
    let graphs: Vec<_> = (1..9).map(|id| history.graph(GraphId(id)).unwrap()).collect();
    let facts: Vec<_> = (1..9).map(|id| history.facts_of(GraphId(id), 2).unwrap()).collect();
    let logs: Vec<_> = (1..9).map(|id| history.logs_of_graph(GraphId(id)).unwrap()).collect();
    let attempt = GraphId(1).task(1).attempt(Attempt::FIRST);
    let filters = [
        EndedFilter::default(),
        EndedFilter {
            state: Some(GraphState::Succeeded),
            ended_before: Some(Time(30)),
            ..EndedFilter::default()
        },
        EndedFilter { after: Some((Time(40), GraphId(4))), limit: 1, ..EndedFilter::default() },
    ];
    let lists: Vec<_> = filters.iter().map(|filter| history.ended(filter).unwrap()).collect();
    format!(
        "{:?} {:?}\n{live:#?}\n{graphs:#?}\n{facts:?}\n{logs:?}\n{lists:#?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}",
        loaded.next_graph,
        loaded.next_seq,
        history.facts_since(2, 3).unwrap(),
        history.spec_of(GraphId(3)).unwrap(),
        history.logs_of(attempt).unwrap(),
        history.segments_in_use().unwrap(),
        history.environments_in_use().unwrap(),
        history.documents("k").unwrap(),
        history.damaged().unwrap(),
    )
}

#[test]
fn both_journals_give_the_same_answers_after_every_change() {
    let dir = tempfile::tempdir().unwrap();
    let mut sqlite = opened(dir.path());
    let mut memory = MemoryJournal::open(MemoryDisk::new());
    let log = |task: u32, segment: u32| {
        Write::Log(LogRow {
            attempt: GraphId(1).task(task).attempt(Attempt::FIRST),
            stream: 0,
            place: Place { segment, offset: 1, length: 2, checksum: 3 },
            truncated: 0,
        })
    };
    let document =
        |key: &str, body: Option<Vec<u8>>| Write::Document { kind: "k".into(), key: key.into(), body };
    let aside = |graph, seq| Write::SetAside { graph: GraphId(graph), seq, reason: "why".into() };
    let changes = [
        vec![graph(1), graph(2), graph(3), graph(4), graph(5)],
        vec![facts(1, 1), facts(2, 2), facts(1, 3), facts(3, 4), facts(4, 5)],
        vec![ended(3, 30), ended(4, 40), ended(5, 30)],
        vec![log(1, 7), log(2, 8), log(1, 9)],
        vec![document("b", Some(vec![1])), document("a", Some(vec![2]))],
        vec![document("b", None), Write::Reopened { graph: GraphId(4) }],
        vec![aside(1, Some(3)), aside(2, None)],
        vec![graph(1), graph(3)],
        vec![Write::Forget { graph: GraphId(5) }, Write::Forget { graph: GraphId(2) }],
        vec![Write::Forget { graph: GraphId(1) }, Write::Forget { graph: GraphId(4) }],
    ];
    for change in changes {
        sqlite.commit(&change, false).unwrap();
        memory.commit(&change, false).unwrap();
        assert_eq!(told(&mut memory), told(&mut sqlite), "after {change:?}");
    }
}

#[test]
fn a_disk_that_loses_power_keeps_what_was_synced() {
    let disk = MemoryDisk::that_may_lose_power();
    let mut journal = MemoryJournal::open(disk.clone());
    journal.commit(&[graph(1), facts(1, 1)], true).unwrap();
    journal.commit(&[facts(1, 2)], false).unwrap();
    drop(journal);
    let load = || MemoryJournal::open(disk.clone()).load().unwrap();
    assert_eq!(load().live[0].facts.len(), 2, "the death of the process loses nothing");
    disk.lose_power();
    assert_eq!((load().live[0].facts.len(), load().next_seq), (1, 2));
}
