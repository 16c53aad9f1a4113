//! How many commands a second the local engine carries out, as a ratio to bare spawn-and-wait loops at
//! the same concurrency in the same run: `cargo run --release --example spawn_rate [COMMANDS] [ROUNDS] [IN_FLIGHT]`.

use dunnage_exec::{
    AttemptSpec, Engine, EngineEvent, EnvBase, EnvRef, LocalConfig, LocalEngine, Work, launcher_main,
};
use dunnage_model::{Attempt, GraphId, MilliCores};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    if args.first().is_some_and(|word| word == "__launcher") {
        launcher_main(&args[1..]);
    }
    let number = |index: usize, default: usize| {
        args.get(index).and_then(|word| word.to_str()?.parse().ok()).unwrap_or(default)
    };
    let (count, rounds, only) = (number(0, 1000), number(1, 5), number(2, 0));
    let loads = if only == 0 { vec![1, 2] } else { vec![only] };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let parent = if std::path::Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
    let rundir = format!("{parent}/dunnage-spawn-rate-{}", std::process::id());
    std::fs::create_dir_all(&rundir)?;
    let result = runtime.block_on(measure(&rundir, count, rounds, &loads));
    std::fs::remove_dir_all(&rundir)?;
    result
}

async fn measure(
    rundir: &str,
    count: usize,
    rounds: usize,
    loads: &[usize],
) -> Result<(), Box<dyn std::error::Error>> {
    let (events, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let mut engine = LocalEngine::new(
        LocalConfig {
            rundir: rundir.into(),
            token: "measure".into(),
            exe: std::env::current_exe()?,
            launcher_wrap: Vec::new(),
            workers: 1,
            worker_idle: Duration::from_secs(1),
        },
        events,
    )?;
    let base = EnvBase::new(std::env::vars().collect());
    let mut graph = 0;
    for &in_flight in loads {
        let mut ratios = Vec::new();
        for round in 0..=rounds {
            let before = floor(count, in_flight);
            graph += 1;
            let spec = |index: usize| AttemptSpec {
                id: GraphId(graph).task(index as u32).attempt(Attempt::FIRST),
                work: Work::Command {
                    argv: vec!["/bin/true".into()],
                    dir: "/tmp".into(),
                    env: EnvRef {
                        base: base.clone(),
                        overrides: vec![("DUNNAGE_FUNCTION".into(), "f".into())],
                    },
                },
                log: true,
                cores: MilliCores::cores(1),
                affinity: None,
                memory_limit: None,
                user: None,
                signal: 15,
                grace: Duration::from_secs(5),
            };
            let start = Instant::now();
            engine.submit((0..in_flight).map(spec).collect());
            let (mut next, mut done) = (in_flight, 0);
            while done < count {
                match heard.recv().await {
                    Some(EngineEvent::Ended { attempt, outcome }) => {
                        assert!(outcome.is_success(), "{attempt}: {}", outcome.ending);
                        engine.claims().remove(attempt)?;
                        done += 1;
                        if next < count {
                            engine.submit(vec![spec(next)]);
                            next += 1;
                        }
                    }
                    Some(EngineEvent::Started { .. }) => {}
                    other => return Err(format!("unexpected: {other:?}").into()),
                }
            }
            let ours = count as f64 / start.elapsed().as_secs_f64();
            let after = floor(count, in_flight);
            let floor = f64::midpoint(before, after);
            // The first round warms the machine up.
            if round > 0 {
                println!(
                    "{in_flight} in flight: {ours:6.0}/s, floor {floor:6.0}/s, ratio {:.2}",
                    ours / floor
                );
                ratios.push(ours / floor);
            }
        }
        ratios.sort_by(f64::total_cmp);
        println!("{in_flight} in flight: median ratio {:.2}", ratios[ratios.len() / 2]);
    }
    engine.goodbye().await;
    Ok(())
}

/// Spawn `/bin/true` and wait, in as many threads; no logs, no engine.
fn floor(count: usize, threads: usize) -> f64 {
    let left = AtomicUsize::new(count);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                    .is_ok()
                {
                    let status = Command::new("/bin/true")
                        .stdin(Stdio::null())
                        .stdout(Stdio::null())
                        .stderr(Stdio::null())
                        .status();
                    assert!(status.is_ok_and(|status| status.success()));
                }
            });
        }
    });
    count as f64 / start.elapsed().as_secs_f64()
}
