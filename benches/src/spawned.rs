//! A graph of short processes against a bare spawn-and-wait loop, measured round by round: what
//! `process_tasks` and `chain` have in common.

use crate::cpu::{CpuTimes, told};
use crate::daemon::Daemon;
use crate::report::{Bar, Report, Row};
use crate::{Failure, floor};

/// Runs `graph` of `count` processes `rounds` times, after one round that warms the machine up, and puts
/// tasks a second over the floor into `report`. The floor starts as many processes, `at_once` of them at a
/// time, before and after each round.
///
/// # Errors
/// Where the daemon or the floor fails.
pub fn measure(
    report: &mut Report,
    daemon: &mut Daemon<'_>,
    name: &str,
    graph: &str,
    (count, at_once, rounds): (usize, usize, usize),
) -> Result<(), Failure> {
    let (mut ours, mut inner, mut floors) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let before = floor::spawn_rate(count, at_once)?;
        let launcher = daemon.launcher_pid();
        let cpu = CpuTimes::of(daemon.pid(), launcher);
        let ran = daemon.run(graph, count)?;
        let launcher = daemon.launcher_pid();
        let spent = CpuTimes::of(daemon.pid(), launcher).since(&cpu, count);
        let after = floor::spawn_rate(count, at_once)?;
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
    report.row(Row::new(name, "/s", ours).floor(&floors).bar(Bar::RatioAtLeast(0.6)));
    report.row(Row::new("the same, first placement to last end", "/s", inner).floor(&floors));
    Ok(())
}
