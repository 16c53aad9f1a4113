//! Samples of a figure, the floor that was measured beside them, and the table of both.

use crate::options::Options;
use serde_json::{Value, json};
use std::time::Duration;

/// What a figure should reach. It is printed beside the figure and never asserted.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Bar {
    /// The figure over its floor.
    RatioAtLeast(f64),
    /// The figure itself.
    AtLeast(f64),
    /// The figure itself.
    AtMost(f64),
    /// The figure less its floor.
    BeyondFloorAtMost(f64),
}

/// A line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    name: String,
    unit: &'static str,
    samples: Vec<f64>,
    floor: Vec<f64>,
    bar: Option<Bar>,
    shown: Shown,
}

/// Which number of the samples stands for them.
#[derive(Clone, Copy, Debug)]
enum Shown {
    Median,
    Percentile(f64),
}

impl Row {
    /// A figure, one sample a round.
    pub fn new(name: impl Into<String>, unit: &'static str, samples: Vec<f64>) -> Self {
        Self { name: name.into(), unit, samples, floor: Vec::new(), bar: None, shown: Shown::Median }
    }

    /// Times in milliseconds.
    pub fn times(name: impl Into<String>, samples: &[Duration]) -> Self {
        Self::new(name, "ms", samples.iter().map(|time| time.as_secs_f64() * 1e3).collect())
    }

    /// What was measured beside it in the same unit, one sample a round.
    pub fn floor(mut self, floor: &[f64]) -> Self {
        floor.clone_into(&mut self.floor);
        self
    }

    /// The same, as times in milliseconds.
    pub fn floor_times(self, floor: &[Duration]) -> Self {
        let floor: Vec<f64> = floor.iter().map(|time| time.as_secs_f64() * 1e3).collect();
        self.floor(&floor)
    }

    /// What it should reach.
    pub fn bar(mut self, bar: Bar) -> Self {
        self.bar = Some(bar);
        self
    }

    /// Shows this percentile instead of the median.
    pub fn percentile(mut self, part: f64) -> Self {
        self.shown = Shown::Percentile(part);
        self
    }

    fn value(&self) -> f64 {
        match self.shown {
            Shown::Median => median(&self.samples),
            Shown::Percentile(part) => percentile(&self.samples, part),
        }
    }

    /// The figure over its floor: round by round where both have a sample for each.
    fn ratio(&self) -> Option<f64> {
        if self.floor.is_empty() {
            return None;
        }
        if self.floor.len() == self.samples.len() && matches!(self.shown, Shown::Median) {
            let ratios: Vec<f64> =
                self.samples.iter().zip(&self.floor).map(|(ours, floor)| ours / floor).collect();
            return Some(median(&ratios));
        }
        Some(self.value() / median(&self.floor))
    }

    fn met(&self) -> Option<bool> {
        let beyond = || self.value() - median(&self.floor);
        Some(match self.bar? {
            Bar::RatioAtLeast(bar) => self.ratio()? >= bar,
            Bar::AtLeast(bar) => self.value() >= bar,
            Bar::AtMost(bar) => self.value() <= bar,
            Bar::BeyondFloorAtMost(bar) => beyond() <= bar,
        })
    }

    fn bar_text(&self) -> String {
        let number = |value: f64| short(value);
        match self.bar {
            None => String::new(),
            Some(Bar::RatioAtLeast(bar)) => format!("ratio >= {bar:.2}"),
            Some(Bar::AtLeast(bar)) => format!(">= {}", number(bar)),
            Some(Bar::AtMost(bar)) => format!("<= {}", number(bar)),
            Some(Bar::BeyondFloorAtMost(bar)) => format!("<= floor + {}", number(bar)),
        }
    }

    fn cells(&self) -> [String; 8] {
        let bound = |pick: fn(f64, f64) -> f64| self.samples.iter().copied().reduce(pick).unwrap_or(f64::NAN);
        [
            self.name.clone(),
            short(self.value()),
            self.unit.to_owned(),
            format!("{} .. {}", short(bound(f64::min)), short(bound(f64::max))),
            if self.floor.is_empty() { String::new() } else { short(median(&self.floor)) },
            self.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            self.bar_text(),
            self.met().map_or("", |met| if met { "yes" } else { "NO" }).to_owned(),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "unit": self.unit,
            "value": self.value(),
            "samples": self.samples,
            "floor": (!self.floor.is_empty()).then(|| median(&self.floor)),
            "floor_samples": self.floor,
            "ratio": self.ratio(),
            "bar": self.bar.map(|_| self.bar_text()),
            "met": self.met(),
        })
    }
}

/// Everything that a benchmark has to say.
#[derive(Clone, Debug)]
pub struct Report {
    bench: &'static str,
    load_before: String,
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Report {
    /// Begins one; notes how busy the machine is before anything was measured.
    pub fn new(bench: &'static str) -> Self {
        Self { bench, load_before: load(), rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a line.
    pub fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Adds a remark below the table.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Prints the table, or the JSON document.
    pub fn print(&self, options: &Options) {
        if options.json {
            let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
            let doc = json!({
                "bench": self.bench,
                "cores": cores(),
                "load_before": self.load_before,
                "load_after": load(),
                "rows": rows,
                "notes": self.notes,
            });
            println!("{doc}");
            return;
        }
        println!("{}: {} cores, load {} before, {} after", self.bench, cores(), self.load_before, load());
        let head = ["", "ours", "", "min .. max", "floor", "ratio", "bar", "met"].map(str::to_owned);
        let lines: Vec<[String; 8]> = std::iter::once(head).chain(self.rows.iter().map(Row::cells)).collect();
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..8).map(width).collect();
        for line in &lines {
            let mut text = String::new();
            for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                // Words begin at the left, numbers end at the right.
                let padded = match column {
                    0 | 2 | 6 | 7 => format!("{cell:<width$}  "),
                    _ => format!("{cell:>width$}  "),
                };
                text.push_str(&padded);
            }
            println!("{}", text.trim_end());
        }
        for note in &self.notes {
            println!("{note}");
        }
    }
}

/// The middle sample, or the mean of the two in the middle.
pub fn median(samples: &[f64]) -> f64 {
    let sorted = sorted(samples);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// The sample below which this part of them lies.
fn percentile(samples: &[f64], part: f64) -> f64 {
    let sorted = sorted(samples);
    let at = (sorted.len() as f64 * part) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// Three digits that mean something.
fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_round_by_round() {
        let row = Row::new("r", "/s", vec![50.0, 60.0, 10.0]).floor(&[100.0, 100.0, 10.0]);
        assert_eq!(row.ratio(), Some(0.6));
        assert_eq!(row.clone().bar(Bar::RatioAtLeast(0.6)).met(), Some(true));
        assert_eq!(row.bar(Bar::RatioAtLeast(0.61)).met(), Some(false));
    }

    #[test]
    fn what_lies_beyond_a_floor_is_the_difference_of_medians() {
        let row = Row::new("r", "ms", vec![5.0, 6.0, 90.0]).floor(&[4.0, 4.5]);
        assert_eq!(row.clone().bar(Bar::BeyondFloorAtMost(1.8)).met(), Some(true));
        assert_eq!(row.bar(Bar::BeyondFloorAtMost(1.7)).met(), Some(false));
    }

    #[test]
    fn percentiles_are_samples() {
        let samples: Vec<f64> = (0..100).map(f64::from).collect();
        assert_eq!(percentile(&samples, 0.99), 99.0);
        assert_eq!(percentile(&samples[..1], 0.99), 0.0);
        assert_eq!(median(&samples), 49.5);
    }
}
