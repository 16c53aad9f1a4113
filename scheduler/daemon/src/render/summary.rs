//! The end of `run`: what came out, what was chosen, what ran where and how long, against what was expected.

use super::failures::{self, Limits};
use super::family::{Family, Times, families, family_of, took};
use super::format;
use super::page::{Line, Page};
use super::status::counters;
use super::style::{Style, Tone};
use super::table::{Cell, Column, table};
use super::text;
use dunnage_wire::api::{FunctionDoc, OutputDoc, StatusDoc};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;

/// Values shown as chosen: blocks, and keys in all.
const CHOSEN_MAX: usize = 3;
const KEYS_MAX: usize = 8;
/// Lines of the table of families where nothing else needs room.
const FAMILIES_MAX: usize = 10;
const DEVICES_MAX: usize = 8;
const BAR_CELLS: usize = 20;
/// A function that took within this much of what was expected was predicted well.
const NEAR: f64 = 0.2;
/// Paths of outputs that are named one by one.
const PATHS_MAX: usize = 3;

/// The summary of a graph that has ended, in some 35 lines however large it was; of a single function in
/// three at most.
pub(crate) fn summary(doc: &StatusDoc, style: &Style) -> String {
    let mut page = Page::new(style);
    if let [function] = doc.functions.as_slice() {
        single(&mut page, doc, function);
        return page.finish();
    }
    header(&mut page, doc);
    chosen(&mut page, doc);
    devices(&mut page, doc);
    let predicted = usize::from(predictions(&mut page, doc));
    let taken =
        predicted + doc.devices.len().min(DEVICES_MAX).saturating_sub(2) + if doc.failed > 0 { 6 } else { 0 };
    time(&mut page, doc, FAMILIES_MAX.saturating_sub(taken).max(3));
    critical_path(&mut page, doc);
    failures::failures(&mut page, doc, Limits { kinds: 3, message_lines: 2, log_lines: 4 });
    outputs(&mut page, doc);
    page.finish()
}

/// Adds what became of a single function.
fn single(page: &mut Page<'_>, doc: &StatusDoc, function: &FunctionDoc) {
    let name = if function.id.is_empty() { &doc.graph } else { &function.id };
    let mut line = Line::new().add(Tone::Strong, name.as_str()).plain(" ");
    line.push(Tone::of_state(&function.state), function.state.as_str());
    let time = took(function);
    if let Some(time) = time {
        line.push(Tone::Plain, format!(" in {}", format::seconds(time)));
    }
    if function.state == "failed" || function.cause.is_some() {
        line.push(Tone::Plain, format!(": {}", failures::outcome(function)));
    } else if let Some(device) = &function.device {
        line.push(Tone::Plain, format!(" on {device}"));
    }
    if let (Some(_), Some(expected)) =
        (time, function.predicted_s.filter(|time| time.is_finite() && *time > 0.0))
    {
        line.push(Tone::Dim, format!(", expected {}", format::seconds(expected)));
    }
    if let Some(memory) = function.peak_memory_bytes.filter(|memory| *memory > 0) {
        line.push(Tone::Dim, format!(", peak {}", format::bytes(memory)));
    }
    page.line(&line);
    if let Some(message) = function.message.as_deref().filter(|message| !message.is_empty()) {
        page.wrapped(2, Tone::Plain, message, 1);
        failures::log(page, function, 1);
        return;
    }
    if let Some(value) = function.outputs.iter().find_map(|output| output.value.as_ref()) {
        page.plain(format!("  {}", format::json(value)));
    }
    let paths: Vec<&str> = function.outputs.iter().filter_map(|output| output.path.as_deref()).collect();
    match paths.as_slice() {
        [] => {}
        [path] => page.whole(&Line::new().add(Tone::Dim, format!("  {path}"))),
        [_, _, ..] => {
            let files = format!("  {} files under {}", paths.len(), common(&paths));
            page.whole(&Line::new().add(Tone::Dim, files));
        }
    }
}

/// Adds the result, the time it took and what was expected.
fn header(page: &mut Page<'_>, doc: &StatusDoc) {
    let mut line = Line::new().add(Tone::Strong, doc.graph.as_str()).plain(" ");
    line.push(Tone::of_state(&doc.state), doc.state.as_str());
    if doc.state == "succeeded" && doc.failed > 0 {
        line.push(Tone::Bad, format!(" with {} inside", format::counted(doc.failed, "failure")));
    }
    if let Some(makespan) = doc.makespan_s.filter(|makespan| makespan.is_finite()) {
        line.push(Tone::Plain, format!(" in {}", format::seconds(makespan)));
        let expected = doc.predicted_makespan_s.filter(|expected| expected.is_finite());
        if let Some(expected) = expected {
            let deviation = format::deviation(makespan, expected).map(|text| format!(", {text}"));
            let text = format!(" (expected {}{})", format::seconds(expected), deviation.unwrap_or_default());
            line.push(Tone::Dim, text);
        }
    }
    page.line(&line);

    let mut words = format::counted(doc.functions.len() as u64, "function");
    let counters = counters(doc);
    if counters.len() != 1 || doc.state != "succeeded" {
        let parts: Vec<String> =
            counters.into_iter().map(|(number, word)| format!("{} {word}", format::count(number))).collect();
        if !parts.is_empty() {
            let _ = write!(words, ": {}", parts.join(", "));
        }
    }
    let repeats: u64 =
        doc.functions.iter().map(|function| u64::from(function.attempts.saturating_sub(1))).sum();
    if repeats > 0 {
        let _ = write!(words, ", {} further starts", format::count(repeats));
    }
    if !doc.strategy.is_empty() {
        let _ = write!(words, ", strategy {}", doc.strategy);
        if let Some(why) = doc.strategy_why.as_deref().filter(|why| !why.is_empty()) {
            let _ = write!(words, " ({why})");
        }
    }
    page.wrapped(0, Tone::Dim, &words, 2);
}

/// Adds how well what was expected came true, where anything was, and says whether it did.
fn predictions(page: &mut Page<'_>, doc: &StatusDoc) -> bool {
    let mut errors: Vec<f64> = Vec::new();
    let mut bases: Vec<(&str, u64)> = Vec::new();
    for function in doc.functions.iter().filter(|function| function.state == "succeeded") {
        let (Some(took), Some(expected)) = (took(function), function.predicted_s) else { continue };
        let error = (took / expected - 1.0).abs();
        if !error.is_finite() {
            continue;
        }
        errors.push(error);
        let basis = function.basis.as_deref().unwrap_or("none");
        match bases.iter_mut().find(|(known, _)| *known == basis) {
            Some((_, count)) => *count += 1,
            None => bases.push((basis, 1)),
        }
    }
    if errors.is_empty() {
        return false;
    }
    errors.sort_by(f64::total_cmp);
    let median = f64::midpoint(errors[(errors.len() - 1) / 2], errors[errors.len() / 2]);
    let near = errors.iter().filter(|error| **error <= NEAR).count();
    bases.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let bases: Vec<String> =
        bases.iter().map(|(basis, count)| format!("{basis} {}", format::count(*count))).collect();
    let words = format!(
        "predictions: {} of {} within {:.0} %, median error {:.0} %, basis {}",
        format::count(near as u64),
        format::count(errors.len() as u64),
        NEAR * 100.0,
        (median * 100.0).min(9999.0),
        bases.join(" / ")
    );
    page.wrapped(0, Tone::Dim, &words, 2);
    true
}

/// Adds the json values that the graph ends with. A family of many instances has no single answer, so
/// only small ones count, the last ones in the file first to be kept.
fn chosen(page: &mut Page<'_>, doc: &StatusDoc) {
    let mut blocks: Vec<(&FunctionDoc, &Value)> = Vec::new();
    for family in families(&doc.functions).iter().rev().filter(|family| family.members.len() <= CHOSEN_MAX) {
        let values = |function: &&FunctionDoc| function.outputs.iter().any(is_result);
        for function in family.members.iter().rev().copied().filter(values) {
            let value = function
                .outputs
                .iter()
                .filter(|output| is_result(output))
                .find_map(|output| output.value.as_ref());
            blocks.extend(value.map(|value| (function, value)));
        }
    }
    blocks.truncate(CHOSEN_MAX);
    blocks.reverse();
    if blocks.is_empty() {
        return;
    }
    page.heading("Chosen");
    let style = *page.style;
    let name_width =
        blocks.iter().map(|(f, _)| text::width(&text::clean(&f.id, &style))).max().unwrap_or(0).min(24);
    let mut left = KEYS_MAX;
    for (function, value) in blocks {
        let name = text::cut(&text::clean(&function.id, &style), name_width, &style);
        let name = text::pad(&name, name_width, false);
        match value {
            Value::Object(map) if !map.is_empty() => {
                let shown = left.min(map.len()).max(1);
                let key_width = map
                    .keys()
                    .take(shown)
                    .map(|key| text::width(&text::clean(key, &style)))
                    .max()
                    .unwrap_or(0)
                    .min(32);
                for (at, (key, value)) in map.iter().take(shown).enumerate() {
                    let first = if at == 0 { name.clone() } else { " ".repeat(name_width) };
                    let key = text::cut(&text::clean(key, &style), key_width, &style);
                    let line = Line::new().plain(format!("  {first}  "));
                    let line = line.add(Tone::Dim, text::pad(&key, key_width, false));
                    page.line(&line.plain("  ").add(Tone::Strong, format::json(value)));
                }
                if map.len() > shown {
                    let text = format!("  {}  +{} more", " ".repeat(name_width), map.len() - shown);
                    page.line(&Line::new().add(Tone::Dim, text));
                }
                left = left.saturating_sub(shown);
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => {
                page.line(&Line::new().plain(format!("  {name}  ")).add(Tone::Strong, format::json(value)));
                left = left.saturating_sub(1);
            }
        }
    }
}

fn is_result(output: &OutputDoc) -> bool {
    output.kind == "json" && output.value.is_some() && output.path.is_some()
}

/// Adds what ran where, and how much of each device that took.
fn devices(page: &mut Page<'_>, doc: &StatusDoc) {
    if doc.devices.is_empty() {
        return;
    }
    page.heading("Devices");
    let style = *page.style;
    let columns = [
        Column::left("DEVICE").shrinks(6),
        Column::right("RAN"),
        Column::right("GIVEN"),
        Column::right("BUSY"),
        Column::left("").expendable(2),
        Column::left("").shrinks(8).expendable(3),
    ];
    let rows = doc
        .devices
        .iter()
        .take(DEVICES_MAX)
        .map(|device| {
            let share = device.busy_ratio.unwrap_or(device.allocated_ratio);
            vec![
                Cell::from(device.device.as_str()),
                format::count(device.attempts).into(),
                format::percent(device.allocated_ratio).into(),
                device.busy_ratio.map(format::percent).unwrap_or_default().into(),
                Cell::new(Tone::Good, format::bar(share, BAR_CELLS, &style)),
                Cell::new(Tone::Dim, device.name.as_str()),
            ]
        })
        .collect();
    table(page, 2, &columns, rows);
    if doc.devices.len() > DEVICES_MAX {
        page.line(&Line::new().add(Tone::Dim, format!("  +{} more", doc.devices.len() - DEVICES_MAX)));
    }
}

/// Adds where the time went: the families that took most of it, and predicted against actual.
fn time(page: &mut Page<'_>, doc: &StatusDoc, families_max: usize) {
    let mut families: Vec<(Family<'_>, Times)> = families(&doc.functions)
        .into_iter()
        .map(|family| {
            let times = family.times();
            (family, times)
        })
        .filter(|(_, times)| times.ended > 0)
        .collect();
    if families.is_empty() {
        return;
    }
    families.sort_by(|(_, a), (_, b)| b.total.total_cmp(&a.total));
    let whole: f64 = families.iter().map(|(_, times)| times.total).sum();
    let mut all = Times::default();
    for (_, times) in &families {
        all.ended += times.ended;
        all.max = all.max.max(times.max);
        all.total += times.total;
        all.expected += times.expected;
        all.expected_total += times.expected_total;
        all.expected_took += times.expected_took;
    }
    page.heading("Time, predicted against actual");
    let columns = [
        Column::left("FUNCTIONS").shrinks(10),
        Column::right("COUNT"),
        Column::left("ON").shrinks(4).expendable(3),
        Column::right("SHARE").expendable(4),
        Column::right("MAX").expendable(2),
        Column::right("MEAN"),
        Column::right("PREDICTED"),
        Column::right("RATIO"),
    ];
    let hidden = families.len().saturating_sub(families_max);
    let shown = &families[..families.len() - hidden];
    let mut rows: Vec<Vec<Cell>> = shown
        .iter()
        .map(|(family, times)| {
            let members = family.members.len() as u64;
            let count = if members == times.ended {
                format::count(members)
            } else {
                format!("{}/{}", format::count(times.ended), format::count(members))
            };
            row(family.name.to_owned(), count, family.devices().join(" "), *times, whole)
        })
        .collect();
    if hidden > 0 {
        let mut rest = Times::default();
        for (_, times) in &families[shown.len()..] {
            rest.ended += times.ended;
            rest.max = rest.max.max(times.max);
            rest.total += times.total;
            rest.expected += times.expected;
            rest.expected_total += times.expected_total;
            rest.expected_took += times.expected_took;
        }
        rows.push(row(format!("{hidden} others"), format::count(rest.ended), String::new(), rest, whole));
    }
    if families.len() > 1 {
        rows.push(row("all".to_owned(), format::count(all.ended), String::new(), all, whole));
    }
    table(page, 2, &columns, rows);
}

fn row(name: String, count: String, on: String, times: Times, whole: f64) -> Vec<Cell> {
    let share = if whole > 0.0 { format::percent(times.total / whole) } else { String::new() };
    let (expected, ratio) = match times.mean_expected() {
        Some(mean) => (format::seconds(mean), format::times(times.expected_took, times.expected_total)),
        None => (String::new(), String::new()),
    };
    vec![
        name.into(),
        count.into(),
        Cell::new(Tone::Dim, on),
        share.into(),
        format::seconds(times.max).into(),
        format::maybe_seconds(times.mean()).into(),
        Cell::new(Tone::Dim, expected),
        ratio.into(),
    ]
}

/// Adds the longest chain, with its middle left out where it is long.
fn critical_path(page: &mut Page<'_>, doc: &StatusDoc) {
    let path = &doc.critical_path;
    if path.is_empty() {
        return;
    }
    let style = *page.style;
    let mut line = Line::new().add(Tone::Strong, "Critical path");
    line.push(Tone::Plain, format!("  {}", format::counted(path.len() as u64, "function")));
    if let Some(spent) = doc.critical_path_s.filter(|spent| spent.is_finite()) {
        line.push(Tone::Plain, format!(", {}", format::seconds(spent)));
        if let Some(makespan) = doc.makespan_s.filter(|makespan| *makespan > 0.0) {
            line.push(Tone::Plain, format!(", {} of the makespan", format::percent(spent / makespan)));
        }
    }
    page.blank();
    page.line(&line);

    let arrow = style.pick(" → ", " > ");
    let names: Vec<String> = path.iter().map(|name| text::clean(name, &style)).collect();
    let columns = style.layout_width() - 2;
    let mut keep = names.len().min(24);
    let chain = loop {
        let chain = if keep >= names.len() {
            names.join(arrow)
        } else {
            let head = keep.div_ceil(2);
            let tail = keep - head;
            let mut parts = names[..head].to_vec();
            parts.push(style.pick("…", "..").to_owned());
            parts.extend_from_slice(&names[names.len() - tail..]);
            parts.join(arrow)
        };
        if keep <= 2 || text::wrap(&chain, columns, false).len() <= 2 {
            break chain;
        }
        keep -= 1;
    };
    page.wrapped(2, Tone::Dim, &chain, 2);
}

/// Adds where the values lie that are kept.
fn outputs(page: &mut Page<'_>, doc: &StatusDoc) {
    let kept: Vec<(&FunctionDoc, usize, &str)> = doc
        .functions
        .iter()
        .flat_map(|function| {
            function
                .outputs
                .iter()
                .enumerate()
                .filter_map(move |(index, output)| Some((function, index, output.path.as_deref()?)))
        })
        .collect();
    if kept.is_empty() {
        return;
    }
    page.blank();
    let title = Line::new().add(Tone::Strong, "Outputs");
    if kept.len() <= PATHS_MAX {
        page.line(&title);
        for (function, index, path) in kept {
            let style = *page.style;
            let name = text::clean(&format!("{}.{index}", function.id), &style);
            let name = text::cut(&name, style.layout_width() / 2, &style);
            page.whole(&Line::new().add(Tone::Dim, format!("  {name}  ")).plain(path));
        }
        return;
    }
    let paths: Vec<&str> = kept.iter().map(|(_, _, path)| *path).collect();
    let mut makers: Vec<&str> = kept.iter().map(|(function, _, _)| family_of(function)).collect();
    makers.dedup();
    makers.sort_unstable();
    makers.dedup();
    let of = if makers.len() <= 3 { format!(" of {}", makers.join(", ")) } else { String::new() };
    page.line(&title.plain(format!("  {}{of}", format::counted(paths.len() as u64, "file"))));
    let folder = common(&paths);
    if !folder.is_empty() {
        page.whole(&Line::new().plain(format!("  {folder}")));
    }
}

/// The deepest folder that holds all of these.
fn common(paths: &[&str]) -> String {
    let Some(first) = paths.first().and_then(|path| Path::new(path).parent()) else { return String::new() };
    let holds_all = |folder: &&Path| paths.iter().all(|path| Path::new(path).starts_with(folder));
    first.ancestors().find(holds_all).map(|folder| folder.display().to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::sample::{self, check_page};
    use super::*;
    use dunnage_wire::api::DeviceUseDoc;

    #[test]
    fn a_large_graph_takes_a_screen_and_a_half() {
        let doc = sample::gp(false);
        assert!(doc.functions.len() > 600);
        let text = summary(&doc, &sample::plain(80));
        assert!(text.lines().count() <= 37, "{}\n{text}", text.lines().count());
        for part in [
            "gp-regression succeeded in",
            "length_scale",
            "-387.123",
            "cpu",
            "RATIO",
            "Critical path",
            "of the makespan",
            "best.0",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn one_function_takes_three_lines_at_most() {
        let one = |function: FunctionDoc| StatusDoc { functions: vec![function], ..StatusDoc::default() };
        for doc in [sample::gp(false), sample::failing(), sample::strange()] {
            for function in doc.functions {
                let text = summary(&one(function), &sample::plain(80));
                assert!((1..=3).contains(&text.lines().count()), "{text}");
            }
        }
        let done = FunctionDoc {
            id: "train".to_owned(),
            state: "succeeded".to_owned(),
            attempts: 1,
            device: Some("gpu0".to_owned()),
            start_s: Some(0.0),
            end_s: Some(1.2),
            ..FunctionDoc::default()
        };
        assert_eq!(summary(&one(done), &sample::plain(80)), "train succeeded in 1.20 s on gpu0\n");
    }

    #[test]
    fn failures_inside_a_success_are_told() {
        let doc = StatusDoc { state: "succeeded".to_owned(), ..sample::failing() };
        let text = summary(&doc, &sample::plain(80));
        assert!(text.contains("succeeded with 2 failures inside"), "{text}");
        assert!(text.contains("out_of_memory (gpu)"), "{text}");
        assert!(text.lines().count() <= 37, "{text}");
    }

    #[test]
    fn eight_gpus_and_failures_still_fit() {
        let mut doc = sample::gp(false);
        doc.devices = (0..40)
            .map(|gpu| DeviceUseDoc { device: format!("gpu{gpu}"), ..DeviceUseDoc::default() })
            .collect();
        for (index, function) in doc.functions.iter_mut().enumerate().take(99) {
            "failed".clone_into(&mut function.state);
            function.message = Some(format!("reason {index}"));
            function.detail = Some("line\n".repeat(50));
        }
        (doc.failed, doc.succeeded) = (99, doc.succeeded - 99);
        let text = summary(&doc, &sample::plain(80));
        assert!(text.lines().count() <= 49, "{}\n{text}", text.lines().count());
    }

    #[test]
    fn outputs_lie_under_one_folder() {
        assert_eq!(common(&["/s/v/1/a/0", "/s/v/1/b/0", "/s/v/1/a/1"]), "/s/v/1");
        assert_eq!(common(&["/s/a", "/t/a"]), "/");
        assert_eq!(common(&["a", "b"]), "");
        assert_eq!(common(&[]), "");
    }

    #[test]
    fn every_width_holds() {
        for style in sample::styles().into_iter().filter(|style| style.width >= 20) {
            for mut doc in [sample::gp(false), sample::failing(), sample::strange(), StatusDoc::default()] {
                // Paths are written whole, so that they can be copied.
                for output in doc.functions.iter_mut().flat_map(|function| &mut function.outputs) {
                    output.path = output.path.as_ref().map(|_| "v".to_owned());
                }
                check_page(&summary(&doc, &style), &style);
            }
        }
    }
}
