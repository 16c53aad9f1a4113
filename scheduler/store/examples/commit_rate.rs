//! How fast this disk takes facts and requests: `cargo run --release -p dunnage-store --example
//! commit_rate [DIR]`. Prints rates; holds nothing against them.

use dunnage_model::{
    Attempt, Basis, Bytes, Event, Fact, GraphId, MilliCores, NodeId, Owner, Placement, Time, Usage,
};
use dunnage_store::{
    Batch, Class, Committer, GraphRow, Journal, Notice, SqliteJournal, StateDir, StoreError, SystemClocks,
    Write,
};
use dunnage_wire::journal::{decode_facts, encode_facts};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

const PLAIN_COMMITS: u64 = 20_000;
const SYNCED_COMMITS: u64 = 300;

fn main() -> Result<(), StoreError> {
    let parent = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, Into::into);
    let path = parent.join(format!("commit_rate-{}", std::process::id()));
    let result = measure(&path);
    // Left-overs of a failed run are of no use to anybody.
    drop(std::fs::remove_dir_all(&path));
    result
}

fn measure(path: &std::path::Path) -> Result<(), StoreError> {
    let mut journal = SqliteJournal::open(StateDir::open(path)?, Box::new(SystemClocks))?;
    journal.commit(&[graph(1)], true)?;
    let mut seq = 0;
    let mut next = || {
        seq += 1;
        seq
    };

    let mut waits = Vec::new();
    for _ in 0..PLAIN_COMMITS {
        let begin = Instant::now();
        journal.commit(&[record(next(), 1)], false)?;
        waits.push(begin.elapsed());
    }
    report("one task per commit, not synced", 1, &mut waits);
    for _ in 0..SYNCED_COMMITS {
        let begin = Instant::now();
        journal.commit(&[record(next(), 1)], true)?;
        waits.push(begin.elapsed());
    }
    report("one task per commit, synced", 1, &mut waits);
    for _ in 0..SYNCED_COMMITS {
        let begin = Instant::now();
        journal.commit(&[record(next(), 100)], true)?;
        waits.push(begin.elapsed());
    }
    report("100 tasks per commit, synced", 100, &mut waits);

    let (tell, told) = channel();
    let mut owner = Committer::new(Box::new(journal), Box::new(move |notice| drop(tell.send(notice))))?;
    for number in 1..=PLAIN_COMMITS {
        let writes = vec![record(next(), 1)];
        let begin = Instant::now();
        owner.commit(&Batch { number, writes, class: Class::Fact })?;
        waits.push(begin.elapsed());
    }
    report("committer: facts", 1, &mut waits);
    for number in PLAIN_COMMITS + 1..=PLAIN_COMMITS + SYNCED_COMMITS {
        let begin = Instant::now();
        owner.commit(&Batch { number, writes: vec![graph(1 + number)], class: Class::Request })?;
        for notice in &told {
            if notice == (Notice::Committed { number }) {
                break;
            }
        }
        waits.push(begin.elapsed());
    }
    report("committer: requests, one in flight", 1, &mut waits);
    let mut journal = owner.stop()?;

    let begin = Instant::now();
    let loaded = journal.load()?;
    let read = begin.elapsed();
    let mut facts = 0u64;
    for record in loaded.live.iter().flat_map(|graph| &graph.facts) {
        // What was just written can be read.
        drop(decode_facts(&record.body, &mut |_| facts += 1));
    }
    println!("load: {facts} facts in {read:?}, decoded in {:?}", begin.elapsed().saturating_sub(read));
    let log = std::fs::metadata(path.join("journal.db-wal")).map_or(0, |file| file.len());
    let file = std::fs::metadata(path.join("journal.db")).map_or(0, |file| file.len());
    println!("journal {} KiB, write-ahead log {} KiB", file >> 10, log >> 10);
    Ok(())
}

fn report(what: &str, tasks: u64, waits: &mut Vec<Duration>) {
    waits.sort_unstable();
    let total: Duration = waits.iter().sum();
    let at = |share: usize| waits.get(waits.len() * share / 1000).copied().unwrap_or_default();
    println!(
        "{what}: {:.0} tasks/s; p50 {:?}, p99 {:?}, p99.9 {:?}, worst {:?}",
        (waits.len() as u64 * tasks) as f64 / total.as_secs_f64(),
        at(500),
        at(990),
        at(999),
        waits.last().copied().unwrap_or_default()
    );
    waits.clear();
}

/// The three facts of each of so many tasks.
fn record(seq: u64, tasks: u32) -> Write {
    let facts: Vec<Fact> = (0..tasks)
        .flat_map(|index| {
            let attempt = GraphId(1).task(index).attempt(Attempt::FIRST);
            let placement = Placement {
                variant: 0,
                node: NodeId::LOCAL,
                cpus: MilliCores::cores(1),
                memory: Bytes::gib(2),
                memory_limit: None,
                gpus: Vec::new(),
                custom: Vec::new(),
                predicted: None,
                basis: Basis::Declaration,
            };
            let usage = Usage { peak_memory: Some(Bytes::mib(40)), ..Usage::default() };
            [
                Event::Placed { attempt, placement: Box::new(placement) },
                Event::Started { attempt },
                Event::Finished { attempt, usage },
            ]
        })
        .map(|event| Fact { at: Time(seq * 1000), event })
        .collect();
    Write::Facts { graph: GraphId(1), seq, body: encode_facts(&facts) }
}

fn graph(id: u64) -> Write {
    Write::Graph(Box::new(GraphRow {
        id: GraphId(id),
        owner: Owner(0),
        name: "rate".into(),
        dir: "/".into(),
        environment: None,
        strategy: "auto".into(),
        functions: 1,
        submitted_at: Time(0),
        submitted_wall_us: 0,
        seed: 1,
        held: false,
        sealed: true,
        trace: None,
        extra: None,
        spec: r#"{"graph":{"name":"rate"},"function":[{"id":"a","command":["true"]}]}"#.into(),
    }))
}
