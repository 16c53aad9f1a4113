//! A chain of processes, each after the one before: tasks a second over what a bare spawn-and-wait loop
//! reaches with one process at a time.

use dunnage_benches::daemon::Home;
use dunnage_benches::options::{Number, Options};
use dunnage_benches::report::Report;
use dunnage_benches::{Failure, graphs, spawned};

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
    let name = format!("chain of {count} processes, submission to whole status");
    spawned::measure(&mut report, &mut daemon, &name, &graph, (count, 1, rounds))?;
    report.print(&options);
    Ok(())
}
