//! Traces of Tiresias (Gu et al., NSDI 2019): a csv with a header, of which `num_gpu`, `submit_time` and
//! `duration` are needed and `model_name` is the kind. Where there is a `job_id`, no two jobs may have the same.

use super::{JOBS_MAX, Job, SECONDS_MAX, Trace, TraceError, number};
use std::collections::BTreeMap;

/// Reads a trace.
pub fn read_tiresias(name: &str, text: &str) -> Result<Trace, TraceError> {
    let mut lines = text.lines().enumerate().map(|(n, row)| (n + 1, row.trim_end_matches('\r')));
    let Some((_, header)) = lines.next() else {
        return Err(TraceError { line: 0, field: "", what: "the trace is empty".to_owned() });
    };
    let columns: Vec<&str> = header.split(',').map(str::trim).collect();
    let column = |field: &'static str| {
        columns.iter().position(|known| *known == field).ok_or_else(|| TraceError {
            line: 1,
            field,
            what: format!("there is no such column, only {}", columns.join(", ")),
        })
    };
    let (gpus_at, arrival_at, seconds_at) = (column("num_gpu")?, column("submit_time")?, column("duration")?);
    let kind_at = columns.iter().position(|known| *known == "model_name");
    let id_at = columns.iter().position(|known| *known == "job_id");
    let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
    let mut jobs = Vec::new();
    for (line, row) in lines {
        if row.trim().is_empty() {
            continue;
        }
        let cells: Vec<&str> = row.split(',').collect();
        if cells.len() != columns.len() {
            let what = format!("{} cells, where the header has {}", cells.len(), columns.len());
            return Err(TraceError { line, field: "", what });
        }
        let id = id_at.map_or("", |at| cells[at].trim());
        if !id.is_empty()
            && let Some(known) = ids.insert(id, line)
        {
            let what = format!("job `{id}` is on line {known} before; give each job an id of its own");
            return Err(TraceError { line, field: "job_id", what });
        }
        let gpus = number(line, "num_gpu", cells[gpus_at], 1.0, 4096.0)?;
        if gpus.fract() != 0.0 {
            let what = format!("{gpus} GPUs are no whole number");
            return Err(TraceError { line, field: "num_gpu", what });
        }
        let at = number(line, "submit_time", cells[arrival_at], 0.0, SECONDS_MAX)?;
        let seconds = number(line, "duration", cells[seconds_at], 0.0, SECONDS_MAX)?;
        if jobs.len() >= JOBS_MAX {
            return Err(TraceError { line, field: "", what: format!("more than {JOBS_MAX} jobs") });
        }
        let kind = kind_at.map_or("job", |at| cells[at]);
        jobs.push((at, Job { line, kind: format!("{kind} x{gpus}"), gpus: gpus as u16, seconds }));
    }
    Ok(Trace::of_jobs(name, jobs))
}
