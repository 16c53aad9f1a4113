//! Replays a public trace through the policies of the queue, over several seeds of the error of its times.
//!
//! `cargo run --release -p dunnage-sim --example replay -- gavel TRACE THROUGHPUTS.json | tiresias TRACE`
//! followed by `--load L`, `--seeds N`, `--first N`, `--times true|none|learned|S`.

use dunnage_sim::{ReplayOptions, Throughputs, Times, Trace, read_gavel, read_tiresias, replay};

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
    for seed in 0..seeds {
        let options = ReplayOptions { load, times, seed, ..ReplayOptions::default() };
        let report = replay(&trace, &options)?;
        println!("seed {seed}: {} jobs, {} left out, load {:.2}", report.jobs, report.left_out, report.load);
        let fifo = report.rows.iter().find(|row| row.policy == "fifo").cloned();
        for row in &report.rows {
            println!(
                "  {:<10} jct {:>11.0} (sjf true {:+.3}) max wait {:>11.0} ({:.2} x fifo) makespan {:>11.0} use {:.3}",
                row.policy,
                row.mean_jct_s,
                row.regret,
                row.max_wait_s,
                row.max_wait_s / fifo.as_ref().map_or(f64::NAN, |fifo| fifo.max_wait_s),
                row.makespan_s,
                row.utilisation
            );
        }
    }
    Ok(())
}
