//! One no-op, then ten thousand, then one that needs all of them: functions a second. The floor passes
//! bare frames to a thread.

use dunnage_benches::daemon::Home;
use dunnage_benches::options::{Number, Options};
use dunnage_benches::report::{Bar, Report, Row};
use dunnage_benches::{Failure, floor, graphs};

fn main() -> Result<(), Failure> {
    let options = Options::read(
        "1 -> N -> 1 no-op kernels",
        &[
            Number { name: "tasks", default: 10_000, about: "functions in the middle" },
            Number { name: "rounds", default: 5, about: "measured rounds, after one that is not" },
        ],
    )?;
    let (count, rounds) = (options.number("tasks"), options.number("rounds"));
    let all = count + 2;
    let mut report = Report::new("fan");
    let home = Home::new()?;
    let mut daemon = home.daemon()?;
    for (name, values) in [("order only", false), ("with a value on each edge", true)] {
        let graph = graphs::fan(count, values);
        let (mut ours, mut inner, mut floors) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=rounds {
            let frames = floor::frame_rate(all)?;
            let ran = daemon.run(&graph, all)?;
            // The first round also starts the workers.
            if round > 0 {
                ours.push(all as f64 / ran.wall.as_secs_f64());
                inner.push(all as f64 / ran.makespan.as_secs_f64());
                floors.push(frames);
            }
        }
        let row = Row::new(format!("1 -> {count} -> 1, {name}, submission to whole status"), "/s", ours);
        let row = row.floor(&floors);
        report.row(if values { row } else { row.bar(Bar::AtLeast(8000.0)) });
        report.row(Row::new("the same, first placement to last end", "/s", inner).floor(&floors));
    }
    report.print(&options);
    Ok(())
}
