//! How long the list rules plan: `heft` on layered instances with eight processors, each size against its
//! bar; the other rules on ten thousand tasks; and whole graphs of users on a machine with cores, RAM and
//! eight shared GPUs, the making of the instance counted in. Time is what the one thread had of a core.

use dunnage_benches::report::{Bar, Report, Row};
use dunnage_benches::{Failure, cpu, layered, options};
use dunnage_core::Budget;
use dunnage_strategies::planning::{PlanOptions, from_problem};
use std::time::Duration;

/// Tasks, and the milliseconds in which they are to be planned.
const BARS: [(usize, f64); 4] = [(1_000, 1.0), (10_000, 15.0), (100_000, 250.0), (1_000_000, 4_000.0)];

fn main() -> Result<(), Failure> {
    let options = options::Options::read(
        "plans of list rules",
        &[
            options::Number { name: "tasks", default: 1_000_000, about: "the largest graph" },
            options::Number { name: "rounds", default: 5, about: "measured rounds, after one that is not" },
        ],
    )?;
    let (largest, rounds) = (options.number("tasks"), options.number("rounds"));
    let mut report = Report::new("plan_time");
    let name = |size: usize, what: &str| format!("{what}, {size} tasks");

    for (size, bar) in BARS.into_iter().filter(|(size, _)| *size <= largest) {
        let instance = layered::on_processors(size, 8, 1);
        let taken = planned("heft", rounds, &instance)?;
        report.row(Row::times(name(size, "heft"), &taken).floor(&[bar]).bar(Bar::AtMost(bar)));
    }
    let size = largest.min(10_000);
    let instance = layered::on_processors(size, 8, 1);
    for rule in ["cpop", "peft", "min-min", "max-min", "sufferage", "mct"] {
        report.row(Row::times(name(size, rule), &planned(rule, rounds, &instance)?));
    }
    for size in [1_000, 10_000, 100_000].into_iter().filter(|size| *size <= largest) {
        let problem = layered::of_a_user(size).map_err(|problems| format!("{problems:?}"))?;
        let taken = measured(rounds, || from_problem(&problem).instance.tasks());
        report.row(Row::times(name(size, "instance of a user's graph"), &taken));
        let instance = from_problem(&problem).instance;
        for rule in ["heft", "cpop", "peft", "mct"] {
            let taken = planned(rule, rounds, &instance)?;
            report.row(Row::times(name(size, &format!("{rule} of a user's graph")), &taken));
        }
    }
    report.note("The floor of `heft` is its bar, so that the ratio says how much of it is used.");
    report.print(&options);
    Ok(())
}

fn planned(
    rule: &str,
    rounds: usize,
    instance: &dunnage_strategies::planning::Instance,
) -> Result<Vec<Duration>, Failure> {
    let planner = dunnage_strategies::schedule_planner(rule).ok_or_else(|| format!("no planner `{rule}`"))?;
    Ok(measured(rounds, || planner.schedule(instance, &PlanOptions::default(), &mut Budget::of(1)).makespan))
}

fn measured<T>(rounds: usize, mut work: impl FnMut() -> T) -> Vec<Duration> {
    let mut once = || {
        let before = cpu::of_this_thread();
        std::hint::black_box(work());
        cpu::of_this_thread().saturating_sub(before)
    };
    once();
    (0..rounds).map(|_| once()).collect()
}
