//! Kernel calls that do nothing, through the whole daemon: how many a second when all may run at once,
//! and how long one takes when each waits for the one before. The floor passes bare frames to a thread.

use dunnage_benches::cpu::{CpuTimes, told};
use dunnage_benches::daemon::Home;
use dunnage_benches::options::{Number, Options};
use dunnage_benches::report::{Bar, Report, Row};
use dunnage_benches::{Failure, floor, graphs};

fn main() -> Result<(), Failure> {
    let options = Options::read(
        "no-op kernels",
        &[
            Number { name: "tasks", default: 50_000, about: "no-ops of the graph" },
            Number { name: "chain", default: 2000, about: "no-ops of the chain" },
            Number { name: "rounds", default: 5, about: "measured rounds, after one that is not" },
        ],
    )?;
    let (count, length, rounds) =
        (options.number("tasks"), options.number("chain"), options.number("rounds"));
    let mut report = Report::new("workers");
    let home = Home::new()?;
    let mut daemon = home.daemon()?;
    let (all, chain) = (graphs::noops(count), graphs::chain_of_noops(length));
    let (mut ours, mut inner, mut floors) = (Vec::new(), Vec::new(), Vec::new());
    let (mut trips, mut trip_floors) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let frames = floor::frame_rate(count)?;
        let cpu = CpuTimes::of(daemon.pid(), None);
        let batched = daemon.run(&all, count)?;
        let spent = CpuTimes::of(daemon.pid(), None).since(&cpu, count);
        let trip = floor::frame_trips(length)?;
        let cpu = CpuTimes::of(daemon.pid(), None);
        let single = daemon.run(&chain, length)?;
        let spent_single = CpuTimes::of(daemon.pid(), None).since(&cpu, length);
        // The first round also starts the workers.
        if round == 0 {
            continue;
        }
        ours.push(count as f64 / batched.wall.as_secs_f64());
        inner.push(count as f64 / batched.makespan.as_secs_f64());
        floors.push(frames);
        trips.push(single.makespan / length as u32);
        trip_floors.push(trip);
        if round == rounds {
            report.note(told("a no-op, batched, last round", &spent));
            report.note(told("a no-op of the chain, last round", &spent_single));
            report.note(format!(
                "batched, last round: acknowledged after {:.0} ms",
                batched.accepted.as_secs_f64() * 1e3
            ));
        }
    }
    let name = format!("{count} no-ops, submission to whole status");
    report.row(Row::new(name, "/s", ours).floor(&floors).bar(Bar::AtLeast(20_000.0)));
    report.row(Row::new("the same, first placement to last end", "/s", inner).floor(&floors));
    let name = format!("round trip in a chain of {length}");
    report.row(Row::times(name, &trips).floor_times(&trip_floors).bar(Bar::AtMost(0.3)));
    report.print(&options);
    Ok(())
}
