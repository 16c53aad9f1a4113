//! How many no-op kernel calls a second the worker pool carries, and the round trip of a single one:
//! `cargo run --release --example worker_rate [CALLS] [WORKERS]`.

use dunnage_exec::workers::{Call, PoolConfig, WorkerPool};
use dunnage_exec::{CallResult, EngineEvent, WorkerKey, worker_main};
use dunnage_model::{Attempt, GraphId};
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|word| word == "__worker") {
        worker_main(&mut |call| CallResult { ok: true, payload: call.payload.clone() });
    }
    let number =
        |index: usize, default: u32| args.get(index).and_then(|word| word.parse().ok()).unwrap_or(default);
    let (count, workers) = (number(0, 100_000), number(1, 1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (events, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let exe = std::env::current_exe()?;
        let idle = Duration::from_secs(5);
        let pool = WorkerPool::new(PoolConfig { exe, max_workers: workers as usize, idle }, events);
        let call = |index: u32| Call {
            id: GraphId(1).task(index).attempt(Attempt::FIRST),
            payload: vec![0; 64],
            worker: WorkerKey::default(),
            alone: false,
        };
        let mut done = 0;
        // One call after the other first: it also starts the worker.
        let mut trips = Vec::new();
        for index in 0..1000 {
            let start = Instant::now();
            pool.submit(vec![call(index)]);
            while !matches!(heard.recv().await, Some(EngineEvent::Ended { .. }) | None) {}
            trips.push(start.elapsed());
        }
        trips.sort_unstable();
        let start = Instant::now();
        pool.submit((0..count).map(|index| call(1000 + index)).collect());
        while done < count {
            match heard.recv().await {
                Some(EngineEvent::Ended { .. }) => done += 1,
                Some(EngineEvent::Started { .. }) => {}
                other => return Err(format!("unexpected: {other:?}").into()),
            }
        }
        let rate = f64::from(count) / start.elapsed().as_secs_f64();
        println!("{rate:.0} no-op calls/s batched; one at a time p50 {:?}, p99 {:?}", trips[500], trips[990]);
        Ok(())
    })
}
