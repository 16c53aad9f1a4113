//! One command through the CLI and a running daemon, beside the disk's own sync in the same minute:
//! what a person waits for. The program's start alone, and the request without the CLI, say where it goes.

use dunnage_benches::daemon::Home;
use dunnage_benches::floor::Disk;
use dunnage_benches::options::{Number, Options};
use dunnage_benches::report::{Bar, Report, Row};
use dunnage_benches::{Failure, graphs};
use std::time::Instant;

/// About what the journal appends for a small request.
const BLOCK: usize = 4096;

fn main() -> Result<(), Failure> {
    let options = Options::read(
        "latency of one job",
        &[Number { name: "rounds", default: 200, about: "jobs of each kind" }],
    )?;
    let rounds = options.number("rounds");
    let mut report = Report::new("one_job");
    let home = Home::new()?;
    let mut disk = Disk::new(home.folder())?;
    let mut daemon = home.daemon()?;
    let graph = graphs::sweep(1, &["/bin/true"]);
    let (mut syncs, mut starts, mut submits, mut waits) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut requests, mut ends, mut processes) = (Vec::new(), Vec::new(), Vec::new());
    // The first ones warm the machine up.
    let warm = 10;
    for round in 0..rounds + warm {
        let sync = disk.sync(BLOCK)?;
        let start = home.timed("--version")?;
        let begin = Instant::now();
        dunnage_benches::floor::spawn_rate(1, 1)?;
        let process = begin.elapsed();
        let submit = home.timed("submit -- /bin/true")?;
        settle(&mut daemon)?;
        let wait = home.timed("submit --wait -- /bin/true")?;
        let begin = Instant::now();
        let id = daemon.submit(&graph, false)?;
        let request = begin.elapsed();
        daemon.wait(&id)?;
        let end = begin.elapsed();
        if round >= warm {
            syncs.push(sync);
            starts.push(start);
            processes.push(process);
            submits.push(submit);
            waits.push(wait);
            requests.push(request);
            ends.push(end);
        }
    }
    report.row(Row::times("the disk's own sync, p50 (the floor)", &syncs));
    report.row(Row::times("submit, p50", &submits).floor_times(&syncs).bar(Bar::BeyondFloorAtMost(2.0)));
    report.row(Row::times("submit, p99", &submits).floor_times(&syncs).percentile(0.99));
    report.row(Row::times("submit --wait, p50", &waits).floor_times(&syncs).bar(Bar::BeyondFloorAtMost(4.0)));
    report.row(Row::times("submit --wait, p99", &waits).floor_times(&syncs).percentile(0.99));
    report.row(Row::times("without the CLI: request to answer, p50", &requests).floor_times(&syncs));
    report.row(Row::times("without the CLI: request to end, p50", &ends).floor_times(&syncs));
    report.row(Row::times("the program's start and end alone, p50", &starts));
    report.row(Row::times("a bare /bin/true, p50", &processes));
    report.print(&options);
    Ok(())
}

/// Waits until the newest graph has ended.
fn settle(daemon: &mut dunnage_benches::daemon::Daemon<'_>) -> Result<(), Failure> {
    let queue = daemon.client.json("GET", "/v1/graphs", "")?;
    let newest = queue
        .as_array()
        .and_then(|rows| rows.iter().filter_map(|row| row["id"].as_str()?.parse::<u64>().ok()).max());
    if let Some(id) = newest {
        daemon.wait(&id.to_string())?;
    }
    Ok(())
}
