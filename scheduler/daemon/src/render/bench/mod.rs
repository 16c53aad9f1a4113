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
    pub(crate) fn begin(&mut self) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::style::Style;

    fn row(strategy: &str, makespan: f64) -> PlanRow {
        PlanRow {
            instance: "<b>dir/a.stg".to_owned(),
            format: "stg",
            strategy: strategy.to_owned(),
            tasks: 3,
            makespan: Amount::new(makespan, true),
            lower_bound: Amount::new(10.0, true),
            plan_ms: 0.5,
            schedules: 1,
            valid: makespan < 40.0,
            why: String::new(),
            invalid: (makespan >= 40.0).then(|| "two at once".to_owned()),
        }
    }

    fn bench() -> PlanBench {
        let mut bench = PlanBench::new(false);
        for makespans in [[10.0, 20.0, 40.0], [20.0, 10.0, 40.0], [10.0, 40.0, 20.0]] {
            bench.begin();
            bench.rows.extend([("a", 0), ("b", 1), ("random", 2)].map(|(name, at)| row(name, makespans[at])));
        }
        bench
    }

    #[test]
    fn standings_are_means_over_instances() {
        let all = standings(&bench());
        let names: Vec<&str> = all.iter().map(|standing| standing.strategy.as_str()).collect();
        assert_eq!(names, ["a", "b", "random"]);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} is not {b}");
        // The geometric mean of 1, 2 and 1, and of 1/4, 1/2 and 1/2.
        close(all[0].to_best, 2_f64.cbrt());
        close(all[0].to_random, (1.0_f64 / 16.0).cbrt());
        close(all[0].gap, 1.0 / 3.0);
        assert_eq!((all[0].wins, all[0].proved, all[0].invalid), (2, 2, 0));
        assert_eq!(
            (all[1].wins, all[1].invalid, all[2].invalid),
            (1, 1, 2),
            "what is not valid wins nothing"
        );
    }

    #[test]
    fn the_table_names_what_is_not_valid_and_no_line_is_too_wide() {
        let bench = bench();
        let wide = plan_text(&bench, &Style { colour: false, width: 160, unicode: true });
        assert!(wide.contains("NOT VALID: two at once") && wide.contains("over 3 instances"), "{wide}");
        assert!(wide.contains("optimal") && wide.contains("100.00 %"), "{wide}");
        let narrow = plan_text(&bench, &Style { colour: false, width: 50, unicode: false });
        assert!(narrow.lines().all(|line| line.chars().count() <= 50), "{narrow}");
    }

    #[test]
    fn the_page_holds_no_markup_of_others() {
        let page = plan_html(&bench());
        assert!(page.contains("&lt;b&gt;dir/a.stg") && !page.contains("<b>dir"));
        assert!(page.contains("not valid: two at once"));
    }

    #[test]
    fn whole_times_are_written_whole() {
        let text = |time, whole| serde_json::to_string(&Amount::new(time, whole)).expect("a number");
        assert_eq!(text(43.0, true), "43");
        assert_eq!(text(43.0, false), "43.0");
        assert_eq!(text(0.1, false), "0.1");
    }
}
