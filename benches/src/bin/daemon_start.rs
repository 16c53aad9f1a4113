//! From exec until `/readyz` answers, with nothing and with many queued tasks in the journal; and what
//! the daemon holds in memory, idle and for each of them. The floor is the program's own start and end.

use dunnage_benches::daemon::Home;
use dunnage_benches::options::{Number, Options};
use dunnage_benches::report::{Bar, Report, Row};
use dunnage_benches::{Failure, graphs};
use std::time::Duration;

const MIB: f64 = 1024.0 * 1024.0;

fn main() -> Result<(), Failure> {
    let options = Options::read(
        "start and memory of the daemon",
        &[
            Number { name: "tasks", default: 100_000, about: "queued tasks" },
            Number {
                name: "graphs",
                default: 100,
                about: "held graphs that they make up in the first shape",
            },
            Number { name: "rounds", default: 7, about: "starts of each kind" },
        ],
    )?;
    let (count, parts, rounds) =
        (options.number("tasks"), options.number("graphs"), options.number("rounds"));
    let mut report = Report::new("daemon_start");
    let empty = Home::new()?;
    let (mut starts, mut floors, mut idle, mut own) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        floors.push(empty.timed("--version")?);
        let daemon = empty.daemon()?;
        starts.push(daemon.ready_after);
        let memory = daemon.memory()?;
        idle.push(memory.all as f64 / MIB);
        own.push(memory.anonymous as f64 / MIB);
        daemon.stop()?;
    }
    report.row(Row::times("start, empty", &starts).floor_times(&floors).bar(Bar::AtMost(50.0)));
    report.row(Row::new("memory, idle", "MiB", idle).bar(Bar::AtMost(15.0)));
    report.row(Row::new("of that its own (not the program's pages)", "MiB", own));

    let each = count / parts;
    for (shape, graphs_of, document) in [
        (format!("{parts} graphs of {each}"), parts, graphs::separate(each)),
        (format!("one graph of {count}"), 1, graphs::separate(count)),
    ] {
        loaded(&mut report, rounds.min(5), &shape, graphs_of, &document, count)?;
    }
    report.print(&options);
    Ok(())
}

fn loaded(
    report: &mut Report,
    rounds: usize,
    shape: &str,
    graphs_of: usize,
    document: &str,
    count: usize,
) -> Result<(), Failure> {
    let text = graphs::separate_text(count) as f64;
    let home = Home::new()?;
    let mut daemon = home.daemon()?;
    let idle = daemon.memory()?.all as f64;
    for _ in 0..graphs_of {
        daemon.submit(document, true)?;
    }
    let held = (daemon.memory()?.all as f64 - idle - text) / count as f64;
    daemon.stop()?;
    let (mut after_stop, mut after_crash) = (Vec::new(), Vec::new());
    let (mut floors, mut again): (Vec<Duration>, Vec<f64>) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        floors.push(home.timed("--version")?);
        let daemon = home.daemon()?;
        after_stop.push(daemon.ready_after);
        again.push((daemon.memory()?.all as f64 - idle - text) / count as f64);
        daemon.crash()?;
        let daemon = home.daemon()?;
        after_crash.push(daemon.ready_after);
        daemon.stop()?;
    }
    let bar = Bar::AtMost(1000.0 * count as f64 / 100_000.0);
    report
        .row(Row::times(format!("start, {shape}, after a stop"), &after_stop).floor_times(&floors).bar(bar));
    report.row(
        Row::times(format!("start, {shape}, after kill -9"), &after_crash).floor_times(&floors).bar(bar),
    );
    let bar = Bar::AtMost(1024.0);
    report.row(Row::new(format!("memory a task, {shape}, when submitted"), "B", vec![held]).bar(bar));
    report.row(Row::new(format!("memory a task, {shape}, when loaded"), "B", again).bar(bar));
    Ok(())
}
