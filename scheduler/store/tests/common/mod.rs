//! Records that several tests write.

use dunnage_model::{Attempt, Event, Fact, GraphId, GraphState, Owner, Time};
use dunnage_store::{Ended, GraphRow, SqliteJournal, StateDir, SystemClocks, Write};
use dunnage_wire::journal::encode_facts;
use std::path::Path;

/// The journal of a state directory.
pub(crate) fn opened(path: &Path) -> SqliteJournal {
    SqliteJournal::open(StateDir::open(path).unwrap(), Box::new(SystemClocks)).unwrap()
}

/// A graph with a value in every column.
pub(crate) fn graph(id: u64) -> Write {
    Write::Graph(Box::new(GraphRow {
        id: GraphId(id),
        owner: Owner(1000),
        name: format!("graph {id}"),
        dir: "/home/somebody".into(),
        environment: Some("e1".into()),
        strategy: "auto".into(),
        functions: 3,
        submitted_at: Time(id * 10),
        submitted_wall_us: 1_700_000_000_000_000,
        seed: u64::MAX - id,
        held: true,
        sealed: false,
        trace: Some("00-ab-cd-01".into()),
        extra: Some("{}".into()),
        spec: format!(r#"{{"graph":{{"name":"graph {id}"}}}}"#),
    }))
}

/// A record with one fact.
pub(crate) fn facts(graph: u64, seq: u64) -> Write {
    let attempt = GraphId(graph).task(0).attempt(Attempt::FIRST);
    let body = encode_facts(&[Fact { at: Time(seq), event: Event::Started { attempt } }]);
    Write::Facts { graph: GraphId(graph), seq, body }
}

/// A good end.
pub(crate) fn ended(graph: u64, at: u64) -> Write {
    let end = Ended { state: GraphState::Succeeded, at: Time(at), summary: "{}".into() };
    Write::Ended { graph: GraphId(graph), end }
}
