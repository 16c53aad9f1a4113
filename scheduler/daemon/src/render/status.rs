//! `status`: where a graph stands, function by function or family by family.

use super::failures::{self, Limits};
use super::family::{self, Family, families};
use super::format;
use super::page::{Line, Page};
use super::style::{Style, Tone};
use super::table::{Cell, Column, table};
use dunnage_wire::api::{FunctionDoc, StatusDoc};
use std::fmt::Write as _;

/// A graph with at most so many functions is shown one by one.
const WHOLE_MAX: usize = 20;
/// A family with more instances than this is one line.
const FAMILY_MAX: usize = 4;
/// Lines of the table and of the running functions, unless all is asked for.
const ROWS_MAX: usize = 200;
const RUNNING_MAX: usize = 8;

const LIMITS: Limits = Limits { kinds: 8, message_lines: 4, log_lines: 20 };
const LIMITS_ALL: Limits = Limits { kinds: usize::MAX, message_lines: usize::MAX, log_lines: usize::MAX };

/// The state of a graph. Families with many instances are one line each, unless `all`.
pub(crate) fn status(doc: &StatusDoc, all: bool, style: &Style) -> String {
    let mut page = Page::new(style);
    header(&mut page, doc);
    let whole = all || doc.functions.len() <= WHOLE_MAX;
    functions(&mut page, doc, whole, all);
    if !whole {
        running(&mut page, doc);
    }
    failures::failures(&mut page, doc, if all { LIMITS_ALL } else { LIMITS });
    page.finish()
}

/// Adds name, state, counters and strategy.
fn header(page: &mut Page<'_>, doc: &StatusDoc) {
    let mut line = Line::new().add(Tone::Strong, doc.graph.as_str()).plain("  ");
    line.push(Tone::of_state(&doc.state), doc.state.as_str());
    if let Some(makespan) = doc.makespan_s.filter(|makespan| makespan.is_finite()) {
        let word = if is_ended(&doc.state) { "in" } else { "for" };
        line.push(Tone::Plain, format!(" {word} {}", format::seconds(makespan)));
        if let Some(expected) = doc.predicted_makespan_s.filter(|expected| expected.is_finite()) {
            line.push(Tone::Dim, format!(", expected {}", format::seconds(expected)));
        }
    }
    line.push(Tone::Dim, format!("  (id {})", doc.id));
    page.line(&line);

    let mut line = Line::new().plain(format::counted(doc.functions.len() as u64, "function"));
    for (at, (number, word)) in counters(doc).into_iter().enumerate() {
        line.push(Tone::Plain, if at == 0 { ": " } else { ", " });
        line.push(Tone::of_state(word), format!("{} {word}", format::count(number)));
    }
    page.line(&line);

    let mut words = Vec::new();
    if !doc.strategy.is_empty() {
        let why = doc.strategy_why.as_deref().filter(|why| !why.is_empty());
        words.push(format!(
            "strategy {}{}",
            doc.strategy,
            why.map(|why| format!(" ({why})")).unwrap_or_default()
        ));
    }
    if let Some(waited) = doc.waited_s.filter(|waited| *waited >= 0.001) {
        words.push(format!("waited {}", format::seconds(waited)));
    }
    if doc.submitted_at > 0.0 {
        words.push(format!("submitted {}", format::date(doc.submitted_at)));
    }
    if !words.is_empty() {
        page.wrapped(0, Tone::Dim, &words.join(", "), 2);
    }
}

/// The counters that are not nothing, with their words.
pub(super) fn counters(doc: &StatusDoc) -> Vec<(u64, &'static str)> {
    [
        (doc.succeeded, "succeeded"),
        (doc.running, "running"),
        (doc.queued, "queued"),
        (doc.failed, "failed"),
        (doc.cancelled, "cancelled"),
        (doc.compensated, "compensated"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .collect()
}

/// Whether nothing more will happen to it.
pub(super) fn is_ended(state: &str) -> bool {
    matches!(state, "succeeded" | "failed" | "cancelled")
}

fn functions(page: &mut Page<'_>, doc: &StatusDoc, whole: bool, all: bool) {
    if doc.functions.is_empty() {
        return;
    }
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    if whole {
        rows.extend(doc.functions.iter().map(|function| single(function, doc.makespan_s)));
    } else {
        for family in families(&doc.functions) {
            if family.members.len() > FAMILY_MAX {
                rows.push(folded(&family));
            } else {
                rows.extend(family.members.iter().map(|function| single(function, doc.makespan_s)));
            }
        }
    }
    let hidden = if all { 0 } else { rows.len().saturating_sub(ROWS_MAX) };
    rows.truncate(rows.len() - hidden);
    let columns = [
        Column::left("FUNCTION").shrinks(20),
        Column::left("STATE").shrinks(21),
        Column::right("STARTS").expendable(3),
        Column::left("DEVICE").shrinks(4).expendable(2),
        Column::right("TIME").expendable(1),
        Column::right("EXPECTED").expendable(4),
        Column::right("MEMORY").expendable(5),
    ];
    page.blank();
    table(page, 0, &columns, rows);
    if hidden > 0 {
        page.line(&Line::new().add(Tone::Dim, format!("+{}", format::counted(hidden as u64, "more line"))));
    }
}

/// How long a function has run: to its end, or to now.
fn time_so_far(function: &FunctionDoc, now_s: Option<f64>) -> Option<f64> {
    family::took(function)
        .or_else(|| (function.state == "running").then(|| Some((now_s? - function.start_s?).max(0.0)))?)
}

fn single(function: &FunctionDoc, now_s: Option<f64>) -> Vec<Cell> {
    let mut state = function.state.clone();
    if let Some(cause) = &function.cause {
        let _ = write!(state, " ({cause})");
    }
    vec![
        Cell::from(function.id.as_str()),
        Cell::new(Tone::of_state(&function.state), state),
        started(u64::from(function.attempts)),
        function.device.as_deref().unwrap_or_default().into(),
        time_so_far(function, now_s).map(format::seconds).unwrap_or_default().into(),
        Cell::new(Tone::Dim, function.predicted_s.map(format::seconds).unwrap_or_default()),
        Cell::new(Tone::Dim, function.peak_memory_bytes.map(format::bytes).unwrap_or_default()),
    ]
}

/// A number of starts; nothing for none.
fn started(starts: u64) -> Cell {
    if starts == 0 { "".into() } else { format::count(starts).into() }
}

fn folded(family: &Family<'_>) -> Vec<Cell> {
    const STATES: [&str; 7] =
        ["succeeded", "running", "queued", "held", "failed", "cancelled", "compensated"];
    let total = family.members.len();
    let parts: Vec<(usize, &str)> = STATES
        .into_iter()
        .map(|state| (family.members.iter().filter(|function| function.state == state).count(), state))
        .filter(|(number, _)| *number > 0)
        .collect();
    let worst = ["failed", "running", "cancelled", "queued"]
        .into_iter()
        .find(|state| parts.iter().any(|(_, word)| word == state))
        .unwrap_or("succeeded");
    let words = if parts.len() == 1 {
        parts[0].1.to_owned()
    } else {
        // What has succeeded of all, and what is worth a word besides; the rest waits.
        let succeeded = parts.iter().find(|(_, word)| *word == "succeeded").map_or(0, |(number, _)| *number);
        let others = parts.iter().filter(|(_, word)| !matches!(*word, "succeeded" | "queued"));
        let others = others.map(|(number, word)| format!("{number} {word}"));
        std::iter::once(format!("{succeeded}/{total} done")).chain(others).collect::<Vec<_>>().join(", ")
    };
    let starts = family.members.iter().map(|function| u64::from(function.attempts)).sum();
    let times = family.times();
    let memory = family.members.iter().filter_map(|function| function.peak_memory_bytes).max();
    vec![
        format!("{}[{total}]", family.name).into(),
        Cell::new(Tone::of_state(worst), words),
        started(starts),
        family.devices().join(" ").into(),
        times.mean().map(|mean| format!("~{}", format::seconds(mean))).unwrap_or_default().into(),
        Cell::new(
            Tone::Dim,
            times.mean_expected().map(|mean| format!("~{}", format::seconds(mean))).unwrap_or_default(),
        ),
        Cell::new(Tone::Dim, memory.map(|memory| format!("<={}", format::bytes(memory))).unwrap_or_default()),
    ]
}

/// The functions that run now, longest first, since their families' lines do not name them.
fn running(page: &mut Page<'_>, doc: &StatusDoc) {
    let mut running: Vec<(f64, &FunctionDoc)> = doc
        .functions
        .iter()
        .filter(|function| function.state == "running")
        .map(|function| (time_so_far(function, doc.makespan_s).unwrap_or(0.0), function))
        .collect();
    if running.is_empty() {
        return;
    }
    running.sort_by(|a, b| b.0.total_cmp(&a.0));
    page.heading("Running");
    let hidden = running.len().saturating_sub(RUNNING_MAX);
    for (time, function) in running.into_iter().take(RUNNING_MAX) {
        let mut line = Line::new().plain(format!("  {}", function.id));
        line.push(Tone::Dim, format!("  {}", format::seconds(time)));
        if let Some(expected) = function.predicted_s.filter(|expected| expected.is_finite()) {
            line.push(Tone::Dim, format!(" of {}", format::seconds(expected)));
        }
        if let Some(device) = &function.device {
            line.push(Tone::Dim, format!(" on {device}"));
        }
        page.line(&line);
    }
    if hidden > 0 {
        page.line(&Line::new().add(Tone::Dim, format!("  +{} more", format::count(hidden as u64))));
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{self, check_page};
    use super::*;

    #[test]
    fn a_graph_of_nothing_is_shown() {
        for style in sample::styles() {
            check_page(&status(&StatusDoc::default(), false, &style), &style);
        }
    }

    #[test]
    fn large_families_are_one_line() {
        let doc = sample::gp(true);
        let text = status(&doc, false, &sample::plain(80));
        assert!(text.contains("diag[54]"), "{text}");
        assert!(!text.contains("diag-0-1-0.5"), "{text}");
        assert!(text.lines().count() < 60, "{text}");
        let text = status(&doc, true, &sample::plain(80));
        assert!(text.contains("diag-0-1-0.5"), "{text}");
        assert!(text.lines().count() > doc.functions.len());
    }

    #[test]
    fn failures_come_with_cause_message_and_log() {
        let text = status(&sample::failing(), false, &sample::plain(80));
        for part in ["out_of_memory", "(gpu)", "CUDA error: out of memory", "line 12"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn every_width_holds() {
        for style in sample::styles() {
            for doc in [sample::gp(true), sample::gp(false), sample::failing(), sample::strange()] {
                for all in [false, true] {
                    check_page(&status(&doc, all, &style), &style);
                }
            }
        }
    }
}
