//! Reports of the laboratory: rows for `--json`, tables for people, a page with charts.

mod html;
mod pack;
mod page;
mod replay;
mod summary;
mod text;

pub(crate) use html::plan as plan_html;
pub(crate) use pack::{PackRow, html as pack_html, text as pack_text};
pub(crate) use replay::{ReplayDoc, html as replay_html, text as replay_text};
use summary::{Standing, standings};
pub(crate) use text::plan as plan_text;

use dunnage_sim::formats::{Case, Machine};
use dunnage_sim::validate::Row;
use serde::{Serialize, Serializer};

/// A time in a file's own unit: whole where the file has whole times.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Amount {
    pub(crate) time: f64,
    whole: bool,
}

impl Amount {
    /// A time of a file.
    pub(crate) fn new(time: f64, whole: bool) -> Self {
        Self { time, whole: whole && time.fract() == 0.0 && (0.0..9e15).contains(&time) }
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.whole {
            serializer.serialize_u64(self.time as u64)
        } else {
            serializer.serialize_f64(self.time)
        }
    }
}

/// What `bench plan --json` says of a strategy on an instance.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PlanRow {
    pub(crate) instance: String,
    pub(crate) format: &'static str,
    pub(crate) strategy: String,
    pub(crate) tasks: u32,
    pub(crate) makespan: Amount,
    pub(crate) lower_bound: Amount,
    pub(crate) plan_ms: f64,
    pub(crate) schedules: u64,
    pub(crate) valid: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) invalid: Option<String>,
}

/// All rows, and the schedules that are drawn.
#[derive(Debug)]
pub(crate) struct PlanBench {
    pub(crate) rows: Vec<PlanRow>,
    /// For each instance where its rows begin.
    pub(crate) begins: Vec<usize>,
    pub(crate) charts: Vec<Chart>,
    draws: bool,
    bars: usize,
}

/// A schedule that is drawn.
#[derive(Debug)]
pub(crate) struct Chart {
    /// The row it belongs to.
    pub(crate) row: usize,
    /// What the lanes are called; empty where they are numbered as needed.
    pub(crate) lanes: Vec<String>,
    /// Lane, start, end and task.
    pub(crate) bars: Vec<(u32, f64, f64, String)>,
}

/// Instances are drawn until so many bars were drawn, and only those with at most so many tasks.
const BARS_MAX: usize = 20_000;
const TASKS_MAX: u32 = 2_000;

impl PlanBench {
    /// Nothing yet; with `draws`, schedules are kept for charts.
    pub(crate) fn new(draws: bool) -> Self {
        Self { rows: Vec::new(), begins: Vec::new(), charts: Vec::new(), draws, bars: 0 }
    }

    /// The rows of another instance follow.
    pub(crate) fn begin(&mut self, _: &Case) {
        self.begins.push(self.rows.len());
    }

    /// Takes in a row and its schedule.
    pub(crate) fn add(&mut self, case: &Case, row: PlanRow, schedule: &[Row]) {
        let drawn = self.draws && row.tasks <= TASKS_MAX && self.bars + schedule.len() <= BARS_MAX;
        if drawn {
            self.bars += schedule.len();
            self.charts.push(chart(case, self.rows.len(), schedule));
        }
        self.rows.push(row);
    }

    /// The rows of each instance.
    pub(crate) fn instances(&self) -> impl Iterator<Item = &[PlanRow]> {
        let ends = self.begins.iter().skip(1).copied().chain([self.rows.len()]);
        self.begins.iter().zip(ends).map(|(begin, end)| &self.rows[*begin..end])
    }
}

/// Gives bars of one device that overlap lanes of their own, as many as it takes; returns what the lanes are
/// called, the first of a device by its name.
fn side_by_side(bars: &mut [(u32, f64, f64, String)], devices: &[String]) -> Vec<String> {
    let mut lanes = Vec::new();
    let mut lane_of = vec![0_u32; bars.len()];
    for (device, name) in devices.iter().enumerate() {
        let first = lanes.len();
        let mut ends: Vec<f64> = Vec::new();
        for (bar, slot) in bars.iter().zip(&mut lane_of) {
            if devices.len() > 1 && bar.0 as usize != device {
                continue;
            }
            let lane = ends.iter().position(|end| *end <= bar.1).unwrap_or(ends.len());
            if lane == ends.len() {
                ends.push(0.0);
                lanes.push(if lane == 0 { name.clone() } else { String::new() });
            }
            ends[lane] = bar.2;
            *slot = (first + lane) as u32;
        }
        if ends.is_empty() {
            lanes.push(name.clone());
        }
    }
    for (bar, lane) in bars.iter_mut().zip(lane_of) {
        bar.0 = lane;
    }
    lanes
}

fn chart(case: &Case, row: usize, schedule: &[Row]) -> Chart {
    let mut bars: Vec<(u32, f64, f64, String)> = schedule
        .iter()
        .filter(|row| row.end > row.start)
        .map(|row| {
            (row.device.unwrap_or(0), row.start, row.end, case.facts.name(row.task).unwrap_or_default())
        })
        .collect();
    bars.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.2.total_cmp(&b.2)));
    let lanes = match &case.facts.machine {
        Machine::Related { speeds, .. } => {
            speeds.iter().enumerate().map(|(at, speed)| format!("p{at} ({speed:.2})")).collect()
        }
        Machine::Vector { processors: true, .. } => {
            let used = bars.iter().map(|bar| bar.0 + 1).max().unwrap_or(0);
            (0..used).map(|at| format!("p{at}")).collect()
        }
        Machine::Vector { .. } => side_by_side(&mut bars, &[String::new()]),
        Machine::Graph => {
            let devices: Vec<String> =
                case.instance.devices.iter().map(|device| device.name.clone()).collect();
            side_by_side(&mut bars, &devices)
        }
    };
    Chart { row, lanes, bars }
}
