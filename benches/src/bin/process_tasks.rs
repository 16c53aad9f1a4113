//! Short processes, as many at once as there are cores, journal and logs on: tasks a second over what a
//! bare spawn-and-wait loop reaches at the same concurrency.

use dunnage_benches::cpu::{CpuTimes, told};
use dunnage_benches::daemon::Home;
use dunnage_benches::options::{Number, Options};
use dunnage_benches::report::{Bar, Report, Row};
use dunnage_benches::{Failure, floor, graphs};

fn main() -> Result<(), Failure> {
    let options = Options::read(
        "independent /bin/true functions as one graph",
        &[
            Number { name: "tasks", default: 3000, about: "functions of the graph" },
            Number { name: "rounds", default: 5, about: "measured rounds, after one that is not" },
        ],
    )?;
    let (count, rounds) = (options.number("tasks"), options.number("rounds"));
    let mut report = Report::new("process_tasks");
    let home = Home::new()?;
    let mut daemon = home.daemon()?;
    let cores = daemon.cores()?;
    let graph = graphs::sweep(count, &["/bin/true"]);
    let (mut ours, mut inner, mut floors) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let before = floor::spawn_rate(count, cores)?;
        let launcher = daemon.launcher_pid();
        let cpu = CpuTimes::of(daemon.pid(), launcher);
        let ran = daemon.run(&graph, count)?;
        let launcher = daemon.launcher_pid();
        let spent = CpuTimes::of(daemon.pid(), launcher).since(&cpu, count);
        let after = floor::spawn_rate(count, cores)?;
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
    let name = format!("{count} processes, {cores} at once, submission to whole status");
    report.row(Row::new(name, "/s", ours).floor(&floors).bar(Bar::RatioAtLeast(0.6)));
    report.row(Row::new("the same, first placement to last end", "/s", inner).floor(&floors));
    report.print(&options);
    Ok(())
}
