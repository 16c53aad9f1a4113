//! Replays a public trace through the policies of the queue, over several seeds of the error of its times.
//!
//! `cargo run --release -p dunnage-sim --example replay -- gavel TRACE THROUGHPUTS.json | tiresias TRACE`
//! followed by `--load L`, `--seeds N`, `--first N`, `--times true|none|learned|S`.

use dunnage_core::{Guard, Policy};
use dunnage_sim::{
    POLICIES, ReplayOptions, Throughputs, Times, Trace, policy, read_gavel, read_tiresias, replay_policies,
};
use std::collections::BTreeMap;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |flag: &str| {
        args.iter().position(|arg| arg == flag).and_then(|at| args.get(at + 1)).map(String::as_str)
    };
    let mut trace: Trace = match args.first().map(String::as_str) {
        Some("gavel") => {
            let speeds = Throughputs::read(&std::fs::read_to_string(&args[2])?, "v100")?;
            read_gavel(&args[1], &std::fs::read_to_string(&args[1])?, &speeds)?
        }
        Some("tiresias") => read_tiresias(&args[1], &std::fs::read_to_string(&args[1])?)?,
        _ => return Err("gavel or tiresias".into()),
    };
    if let Some(first) = value("--first") {
        trace.arrivals.truncate(first.parse()?);
    }
    let times = match value("--times").unwrap_or("1") {
        "true" => Times::True,
        "none" => Times::None,
        "learned" => Times::Learned,
        s => Times::Error { s: s.parse()? },
    };
    let seeds: u64 = value("--seeds").unwrap_or("1").parse()?;
    let load = value("--load").map(str::parse).transpose()?;
    let mut policies: Vec<(&str, Policy)> =
        POLICIES.iter().filter_map(|name| Some((*name, policy(name)?))).collect();
    let guard = Policy::default().guard.ok_or("the default has a guard")?;
    let own = |flag: &str, usual: f64| value(flag).map_or(Ok(usual), str::parse);
    let tried = Policy {
        patience: Some(own("--patience", Policy::default().patience.unwrap_or(0.0))?),
        guard: Some(Guard {
            backlog: own("--backlog", guard.backlog)?,
            means: own("--means", guard.means)?,
            ..guard
        }),
        ..Policy::default()
    };
    policies.push(("tried", tried));
    let mut all: BTreeMap<String, Vec<(f64, f64, f64, f64)>> = BTreeMap::new();
    for seed in 0..seeds {
        let options = ReplayOptions { load, times, seed, ..ReplayOptions::default() };
        let report = replay_policies(&trace, &options, &policies)?;
        if seed == 0 {
            println!("{} jobs, {} left out, load {:.2}", report.jobs, report.left_out, report.load);
        }
        let of = |name: &str| report.rows.iter().find(|row| row.policy == name);
        let (Some(fifo), Some(first_fit)) = (of("fifo"), of("first-fit")) else { continue };
        for row in &report.rows {
            all.entry(row.policy.clone()).or_default().push((
                row.to_sjf,
                row.mean_jct_s / first_fit.mean_jct_s,
                row.max_wait_s / fifo.max_wait_s,
                row.mean_jct_s,
            ));
        }
    }
    println!(
        "{:<10} {:>12} mean jct over sjf with true times, over first fit; max wait over fifo",
        "", "jct s"
    );
    for (name, rows) in &all {
        let n = rows.len() as f64;
        let mean = |pick: fn(&(f64, f64, f64, f64)) -> f64| rows.iter().map(pick).sum::<f64>() / n;
        let worst = |pick: fn(&(f64, f64, f64, f64)) -> f64| rows.iter().map(pick).fold(f64::MIN, f64::max);
        println!(
            "{name:<10} {:>12.0} {:+.3} (worst {:+.3}) {:.3} (worst {:.3}) {:.2} (worst {:.2})",
            mean(|row| row.3),
            mean(|row| row.0),
            worst(|row| row.0),
            mean(|row| row.1),
            worst(|row| row.1),
            mean(|row| row.2),
            worst(|row| row.2),
        );
    }
    Ok(())
}
