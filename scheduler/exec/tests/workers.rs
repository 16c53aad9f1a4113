//! Kernel calls through the pool of workers.

mod common;

use common::{Site, id, kill, until};
use dunnage_exec::fake::{Act, FakeEngine};
use dunnage_exec::{AttemptSpec, Ending, Engine, EngineEvent, Work, WorkerKey};
use dunnage_model::MilliCores;
use std::collections::BTreeSet;
use std::time::Duration;

fn call(task: u32, text: &str, cores: u32) -> AttemptSpec {
    AttemptSpec {
        id: id(task),
        work: Work::Kernel { payload: text.as_bytes().to_vec(), worker: WorkerKey::default() },
        log: false,
        cores: MilliCores(cores),
        affinity: None,
        memory_limit: None,
        user: None,
        signal: 15,
        grace: Duration::ZERO,
    }
}

#[tokio::test]
async fn calls_come_back_with_what_they_were_given() {
    let site = Site::new();
    let mut run = site.engine();
    run.engine.submit((0..1000).map(|n| call(n, &format!("echo:{n}"), 0)).collect());
    let mut seen = BTreeSet::new();
    while seen.len() < 1000 {
        if let EngineEvent::Ended { attempt, outcome } = run.next().await {
            let Ending::Returned { ok: true, payload } = outcome.ending else { panic!("{outcome:?}") };
            assert_eq!(String::from_utf8(payload.0), Ok(attempt.task.index.to_string()));
            assert!(seen.insert(attempt), "one answer each");
        }
    }
    let Ending::Returned { ok, payload } = run.run_ending(call(2000, "fail:why", 1000)).await else {
        panic!("returns")
    };
    assert_eq!((ok, payload.0.as_slice()), (false, &b"why"[..]));
}

#[tokio::test]
async fn a_worker_that_dies_is_the_fault_of_the_call_it_ran() {
    let site = Site::new();
    let mut run = site.engine();
    run.engine.submit(vec![call(1, "die", 0), call(2, "echo:x", 0)]);
    let (mut died, mut lost) = (false, false);
    while !(died && lost) {
        match run.next().await {
            EngineEvent::Ended { attempt, outcome } => {
                assert_eq!(attempt, id(1));
                assert_eq!(outcome.ending, Ending::WorkerDied { signal: None, code: Some(7) });
                died = true;
            }
            EngineEvent::Lost { attempt } => {
                assert_eq!(attempt, id(2));
                lost = true;
            }
            _ => {}
        }
    }
    let ending = run.run_ending(call(3, "echo:x", 0)).await;
    assert!(matches!(ending, Ending::Returned { ok: true, .. }), "another worker takes over: {ending}");
}

#[tokio::test]
async fn a_running_call_and_a_waiting_one_can_be_cancelled() {
    let site = Site::new();
    let mut run = site.engine();
    // Two workers; the third call waits.
    run.engine.submit(vec![call(1, "sleep", 1000), call(2, "sleep", 1000), call(3, "sleep", 1000)]);
    let mut started = BTreeSet::new();
    while started.len() < 2 {
        if let EngineEvent::Started { attempt, .. } = run.next().await {
            started.insert(attempt.task.index);
        }
    }
    assert_eq!(started, BTreeSet::from([1, 2]), "one call a worker");
    for task in [3, 1, 2] {
        run.engine.cancel(id(task), 15, Duration::ZERO);
        let outcome = run.end(id(task)).await;
        assert_eq!((outcome.ending, outcome.cancelled), (Ending::Signalled { signal: 9 }, true));
    }
    let ending = run.run_ending(call(4, "echo:x", 1000)).await;
    assert!(matches!(ending, Ending::Returned { ok: true, .. }));
}

#[tokio::test]
async fn a_killed_worker_is_noticed_and_workers_end_with_their_pool() {
    let site = Site::new();
    let mut run = site.engine();
    run.engine.submit(vec![call(1, "sleep", 1000)]);
    let EngineEvent::Started { pid, .. } = run.next().await else { panic!("it starts") };
    kill(pid);
    assert_eq!(run.end(id(1)).await.ending, Ending::WorkerDied { signal: Some(9), code: None });
    run.engine.submit(vec![call(2, "sleep", 1000)]);
    let EngineEvent::Started { pid, .. } = run.next().await else { panic!("it starts") };
    assert_eq!(run.engine.pool().pids().await, [pid]);
    drop(run);
    until(|| (!common::lives(pid)).then_some(())).await;
}

#[tokio::test]
async fn the_fake_does_as_it_was_told() {
    let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
    let mut fake = FakeEngine::new(sender)
        .script(id(1).task, [Act::fail(3), Act::NeverStart])
        .script(id(2).task, [Act::Hang]);
    fake.submit(vec![call(1, "", 0), call(1, "", 0), call(2, "", 0), call(3, "", 0)]);
    fake.step();
    fake.cancel(id(2), 15, Duration::ZERO);
    drop(fake);
    let mut told = Vec::new();
    while let Some(event) = events.recv().await {
        told.push(match event {
            EngineEvent::Started { attempt, .. } => format!("{} started", attempt.task.index),
            EngineEvent::Ended { attempt, outcome } => format!("{} {}", attempt.task.index, outcome.ending),
            EngineEvent::NeverStarted { attempt } => format!("{} never", attempt.task.index),
            other => format!("{other:?}"),
        });
    }
    assert_eq!(
        told,
        [
            "1 started",
            "1 never",
            "2 started",
            "3 started",
            "1 exited with code 3",
            "3 exited with code 0",
            "2 ended by signal 15",
        ]
    );
}
