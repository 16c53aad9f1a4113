//! What once arrived at a machine and how long it took: public traces, and our own journal.
//!
//! A trace is a list of arrivals. Each is a graph with the time that each of its tasks really takes; what
//! the scheduler is told of those times is a matter of the replay (`replay.rs`).

mod gavel;
mod journal;
mod tiresias;

pub use gavel::{Throughputs, read_gavel};
pub use journal::{Recorded, read_journal};
pub use tiresias::read_tiresias;

use dunnage_model::{Graph, Owner};
use std::fmt;
use std::sync::Arc;

/// At most this many jobs are read from a trace.
pub const JOBS_MAX: usize = 1_000_000;

/// A trace that was read.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Its name, for reports.
    pub name: String,
    /// What arrived, by time.
    pub arrivals: Vec<Arrival>,
    /// How many of its lines say too little to be replayed.
    pub left_out: usize,
    /// Why, of the first of them.
    pub why: Option<String>,
}

/// Something that arrived.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Seconds after the start of the trace.
    pub at_s: f64,
    /// Whose it is.
    pub owner: Owner,
    /// What arrived.
    pub work: Work,
}

/// What arrived.
#[derive(Clone, Debug)]
pub enum Work {
    /// One job on whole GPUs.
    Job(Job),
    /// A graph of our own, with the seconds that each of its tasks took; `None` where it is not known.
    Graph(Arc<Graph>, Vec<Option<f64>>),
}

/// One job of a public trace.
#[derive(Clone, PartialEq, Debug)]
pub struct Job {
    /// On which line of the trace it stands, counted from 1.
    pub line: usize,
    /// What it is, as the trace says: jobs of one kind may be expected to be alike.
    pub kind: String,
    /// How many whole GPUs it holds.
    pub gpus: u16,
    /// How many seconds it really takes.
    pub seconds: f64,
}

/// What is wrong with a trace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TraceError {
    /// The line, counted from 1; 0 where it is the file as a whole.
    pub line: usize,
    /// The column by name, where it is one.
    pub field: &'static str,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.field) {
            (0, _) => f.write_str(&self.what),
            (line, "") => write!(f, "line {line}: {}", self.what),
            (line, field) => write!(f, "line {line}, `{field}`: {}", self.what),
        }
    }
}

impl std::error::Error for TraceError {}

/// A cell of a line as a number in a range.
fn number(line: usize, field: &'static str, text: &str, least: f64, most: f64) -> Result<f64, TraceError> {
    match text.trim().parse::<f64>() {
        Ok(value) if value >= least && value <= most => Ok(value),
        Ok(value) => {
            Err(TraceError { line, field, what: format!("{value} is not between {least} and {most}") })
        }
        Err(_) => Err(TraceError { line, field, what: format!("`{text}` is not a number") }),
    }
}

/// Beyond this no time of a trace makes sense, in seconds: 3,000 years.
const SECONDS_MAX: f64 = 1e11;

impl Trace {
    /// A trace of jobs: in order of arrival, the first at zero.
    fn of_jobs(name: &str, mut jobs: Vec<(f64, Job)>) -> Self {
        jobs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let start = jobs.first().map_or(0.0, |(at, _)| *at);
        let arrivals = jobs
            .into_iter()
            .map(|(at, job)| Arrival { at_s: at - start, owner: Owner(1000), work: Work::Job(job) })
            .collect();
        Self { name: name.to_owned(), arrivals, left_out: 0, why: None }
    }
}
