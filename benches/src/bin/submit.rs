//! Batches of functions handed in and kept back, until they are acknowledged (and so on the disk), while
//! more and more are queued: the cost of a function must not grow with the queue. The floor is the disk's
//! own time for the bytes of the document.

use dunnage_benches::daemon::Home;
use dunnage_benches::floor::Disk;
use dunnage_benches::options::{Number, Options};
use dunnage_benches::report::{Bar, Report, Row, median};
use dunnage_benches::{Failure, graphs};
use std::time::Instant;

/// What was handed in before, in batches.
const DEPTHS: [usize; 4] = [0, 1, 5, 10];

fn main() -> Result<(), Failure> {
    let options = Options::read(
        "batch submission at growing depth of the queue",
        &[
            Number { name: "functions", default: 10_000, about: "functions of a batch" },
            Number { name: "rounds", default: 3, about: "daemons, each filled from empty" },
        ],
    )?;
    let (count, rounds) = (options.number("functions"), options.number("rounds"));
    let mut report = Report::new("submit");
    for (shape, document) in
        [("separate", graphs::separate(count)), ("sweep", graphs::sweep(count, &["/bin/echo", "{n}"]))]
    {
        let mut times = vec![Vec::new(); DEPTHS.len()];
        let mut floors = vec![Vec::new(); DEPTHS.len()];
        let mut through_cli = Vec::new();
        for _ in 0..rounds {
            let home = Home::new()?;
            std::fs::write(home.path("batch.json"), &document)?;
            let mut disk = Disk::new(home.folder())?;
            let mut daemon = home.daemon()?;
            let mut queued = 0;
            for (at, depth) in DEPTHS.into_iter().enumerate() {
                while queued < depth {
                    daemon.submit(&document, true)?;
                    queued += 1;
                }
                floors[at].push(disk.sync(document.len())?.as_secs_f64() * 1e3);
                let begin = Instant::now();
                daemon.submit(&document, true)?;
                times[at].push(begin.elapsed().as_secs_f64() * 1e3);
                queued += 1;
            }
            through_cli.push(home.timed("submit --hold batch.json")?);
        }
        for (at, depth) in DEPTHS.into_iter().enumerate() {
            let name = format!("{count} {shape}, {} queued", depth * count);
            let row = Row::new(name, "ms", times[at].clone()).floor(&floors[at]);
            report.row(row.bar(Bar::AtMost(100.0 * count as f64 / 10_000.0)));
        }
        report.row(Row::times(format!("{count} {shape}, through the CLI, full queue"), &through_cli));
        let growth = median(&times[DEPTHS.len() - 1]) / median(&times[0]);
        report.note(format!("{shape}: the last depth costs {growth:.2} of the first"));
    }
    report.print(&options);
    Ok(())
}
