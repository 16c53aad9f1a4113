//! A chain of processes, each after the one before: tasks a second over what a bare spawn-and-wait loop
//! reaches with one process at a time.

use dunnage_benches::cpu::{CpuTimes, told};
use dunnage_benches::daemon::Home;
use dunnage_benches::options::{Number, Options};
use dunnage_benches::report::{Bar, Report, Row};
use dunnage_benches::{Failure, floor, graphs};

fn main() -> Result<(), Failure> {
    let options = Options::read(
        "a chain of dependent /bin/true functions",
        &[
            Number { name: "tasks", default: 500, about: "length of the chain" },
            Number { name: "rounds", default: 7, about: "measured rounds, after one that is not" },
        ],
    )?;
    let (count, rounds) = (options.number("tasks"), options.number("rounds"));
    let mut report = Report::new("chain");
    let home = Home::new()?;
    let mut daemon = home.daemon()?;
    let graph = graphs::chain_of_commands(count);
    let (mut ours, mut inner, mut floors) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let before = floor::spawn_rate(count, 1)?;
        let launcher = daemon.launcher_pid();
        let cpu = CpuTimes::of(daemon.pid(), launcher);
        let ran = daemon.run(&graph, count)?;
        let launcher = daemon.launcher_pid();
        let spent = CpuTimes::of(daemon.pid(), launcher).since(&cpu, count);
        let after = floor::spawn_rate(count, 1)?;
        // The first round warms the machine up.
        if round == 0 {
            continue;
        }
        ours.push(count as f64 / ran.wall.as_secs_f64());
        inner.push(count as f64 / ran.makespan.as_secs_f64());
        floors.push(f64::midpoint(before, after));
        if round == rounds {
            report.note(told("a task, last round", &spent));
        }
    }
    let name = format!("chain of {count} processes, submission to whole status");
    report.row(Row::new(name, "/s", ours).floor(&floors).bar(Bar::RatioAtLeast(0.6)));
    report.row(Row::new("the same, first placement to last end", "/s", inner).floor(&floors));
    report.print(&options);
    Ok(())
}
