//! Traces of Gavel (Narayanan et al., OSDI 2020): jobs by type and number of steps, and a table of how many
//! steps a second each type makes.
//!
//! A line is separated by tabs, in one of two forms: `type, command, flag of steps, needs data, steps,
//! arrival, GPUs` or `type, command, folder, flag of steps, needs data, steps, GPUs, weight, limit,
//! arrival`. The table is JSON: kind of GPU -> `"('type', GPUs)"` -> `"null"` -> steps a second alone.

use super::{JOBS_MAX, Job, SECONDS_MAX, Trace, TraceError, number};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Steps a second by type and number of GPUs, on one kind of GPU.
#[derive(Clone, Debug, Default)]
pub struct Throughputs(BTreeMap<(String, u16), f64>);

#[derive(Deserialize)]
struct Entry {
    /// Beside nobody; the other entries are of pairs on one GPU.
    #[serde(rename = "null")]
    alone: f64,
}

impl Throughputs {
    /// Reads the table for one kind of GPU, such as `v100`.
    pub fn read(json: &str, gpu: &str) -> Result<Self, TraceError> {
        let whole = |what: String| TraceError { line: 0, field: "", what };
        let mut table: BTreeMap<String, BTreeMap<String, Entry>> = serde_json::from_str(json)
            .map_err(|error| whole(format!("the table of throughputs cannot be read: {error}")))?;
        let Some(of_gpu) = table.remove(gpu) else {
            let known: Vec<&str> = table.keys().map(String::as_str).collect();
            return Err(whole(format!(
                "the table of throughputs knows no `{gpu}`, only {}",
                known.join(", ")
            )));
        };
        let mut read = BTreeMap::new();
        for (key, entry) in of_gpu {
            let parts = key
                .strip_prefix("('")
                .and_then(|rest| rest.strip_suffix(')'))
                .and_then(|rest| rest.split_once("', "))
                .and_then(|(kind, gpus)| Some((kind.to_owned(), gpus.parse::<u16>().ok()?)));
            let Some(parts) = parts else {
                return Err(whole(format!("`{key}` in the table of throughputs is not `('type', GPUs)`")));
            };
            // Zero says that the type does not fit there.
            if entry.alone > 0.0 && entry.alone.is_finite() {
                read.insert(parts, entry.alone);
            }
        }
        Ok(Self(read))
    }
}

/// Reads a trace. Jobs of a type and number of GPUs that the table does not know are left out and counted.
pub fn read_gavel(name: &str, text: &str, speeds: &Throughputs) -> Result<Trace, TraceError> {
    let mut jobs = Vec::new();
    let (mut left_out, mut why) = (0, None);
    for (line, row) in text.lines().enumerate().map(|(n, row)| (n + 1, row)) {
        if row.trim().is_empty() {
            continue;
        }
        let cells: Vec<&str> = row.split('\t').collect();
        let (steps, gpus, arrival) = match cells.len() {
            7 => (cells[4], cells[6], cells[5]),
            10 => (cells[5], cells[6], cells[9]),
            n => {
                let what = format!("{n} cells separated by tabs, where a job has 7 or 10");
                return Err(TraceError { line, field: "", what });
            }
        };
        let steps = number(line, "steps", steps, 0.0, 1e15)?;
        let gpus = number(line, "scale factor", gpus, 1.0, 4096.0)?;
        let at = number(line, "arrival", arrival, 0.0, SECONDS_MAX)?;
        if gpus.fract() != 0.0 {
            let what = format!("{gpus} GPUs are no whole number");
            return Err(TraceError { line, field: "scale factor", what });
        }
        let gpus = gpus as u16;
        let Some(speed) = speeds.0.get(&(cells[0].to_owned(), gpus)) else {
            left_out += 1;
            why.get_or_insert_with(|| {
                format!("line {line}: no throughput of `{}` on {gpus} GPUs is known", cells[0])
            });
            continue;
        };
        let seconds = (steps / speed).min(SECONDS_MAX);
        if jobs.len() >= JOBS_MAX {
            return Err(TraceError { line, field: "", what: format!("more than {JOBS_MAX} jobs") });
        }
        jobs.push((at, Job { line, kind: format!("{} x{gpus}", cells[0]), gpus, seconds }));
    }
    Ok(Trace { left_out, why, ..Trace::of_jobs(name, jobs) })
}
