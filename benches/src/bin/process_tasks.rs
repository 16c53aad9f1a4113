//! Short processes, as many at once as there are cores, journal and logs on: tasks a second over what a
//! bare spawn-and-wait loop reaches at the same concurrency.

use dunnage_benches::daemon::Home;
use dunnage_benches::options::{Number, Options};
use dunnage_benches::report::Report;
use dunnage_benches::{Failure, graphs, spawned};

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
    let name = format!("{count} processes, {cores} at once, submission to whole status");
    spawned::measure(&mut report, &mut daemon, &name, &graph, (count, cores, rounds))?;
    report.print(&options);
    Ok(())
}
