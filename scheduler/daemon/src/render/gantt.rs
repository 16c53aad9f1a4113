//! Schedules as text: lanes a device, a letter a family, an axis of time.

use super::family::{family_of, took};
use super::format;
use super::lanes;
use super::page::{Line, Page};
use super::style::{Style, Tone};
use super::text;
use dunnage_wire::api::{DeviceUseDoc, PlanDoc, StatusDoc};
use std::collections::HashMap;
use std::fmt::Write as _;

/// Lanes in all, and of one device.
const LANES_MAX: usize = 24;
const LANES_OF_DEVICE_MAX: usize = 8;
const LABEL_MAX: usize = 12;
const LEGEND_LINES_MAX: usize = 4;
/// Ticks of the axis are at least so many cells apart.
const TICK_CELLS: usize = 12;
/// Below this part of its time a cell of a crowded lane counts as idle.
const BUSY_FROM: f64 = 0.3;
/// Marks of families; `x` is for what failed.
const MARKS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwyz0123456789";
const FAILED: char = 'x';
const OTHERS: char = '*';

/// A stretch of time on a device.
struct Bar<'d> {
    family: &'d str,
    device: &'d str,
    start_us: u64,
    end_us: u64,
    failed: bool,
}

/// A family in the chart.
struct Entry<'d> {
    name: &'d str,
    mark: char,
    count: u64,
}

/// A lane as drawn: its tasks in order, each with its family's place and whether it failed.
type Lane = Vec<(u64, u64, usize, bool)>;

/// The plan of a graph.
pub(crate) fn plan(doc: &PlanDoc, style: &Style) -> String {
    let mut page = Page::new(style);
    let line = Line::new().add(Tone::Strong, doc.graph.as_str()).plain(format!(
        ": {}, expected makespan {}",
        format::counted(doc.functions, "function"),
        format::seconds(doc.makespan_s)
    ));
    page.line(&line);
    let mut words = format!("strategy {}", doc.strategy);
    if !doc.why.is_empty() {
        let _ = write!(words, " ({})", doc.why);
    }
    if doc.lower_bound_s.is_finite() && doc.lower_bound_s > 0.0 {
        let _ = write!(words, ", no plan can be shorter than {}", format::seconds(doc.lower_bound_s));
    }
    match doc.basis.as_str() {
        "" => {}
        "none" => words.push_str(", expectations rest on nothing known: declare costs or let it run once"),
        basis => {
            let _ = write!(words, ", expectations rest on {basis}");
        }
    }
    page.wrapped(0, Tone::Dim, &words, 3);
    let bars: Vec<Bar<'_>> = doc
        .tasks
        .iter()
        .filter_map(|task| {
            let start_us = lanes::micros(task.start_s)?;
            let end_us = lanes::micros(task.end_s)?.max(start_us);
            let family = if task.family.is_empty() { &task.id } else { &task.family };
            Some(Bar { family, device: &task.device, start_us, end_us, failed: false })
        })
        .collect();
    chart(&mut page, &bars, &doc.devices);
    page.finish()
}

/// What really ran, from the last attempt of each function.
pub(crate) fn actual(doc: &StatusDoc, style: &Style) -> String {
    let mut page = Page::new(style);
    let mut line = Line::new().add(Tone::Strong, doc.graph.as_str()).plain(" ");
    line.push(Tone::of_state(&doc.state), doc.state.as_str());
    if let Some(makespan) = doc.makespan_s.filter(|makespan| makespan.is_finite()) {
        line.push(Tone::Plain, format!(", makespan {}", format::seconds(makespan)));
    }
    if let Some(expected) = doc.predicted_makespan_s.filter(|expected| expected.is_finite()) {
        line.push(Tone::Dim, format!(", expected {}", format::seconds(expected)));
    }
    page.line(&line);
    let bars: Vec<Bar<'_>> = doc
        .functions
        .iter()
        .filter_map(|function| {
            let start = function.start_s?;
            let start_us = lanes::micros(start)?;
            let end = match took(function) {
                Some(took) => start + took,
                None => doc.makespan_s?,
            };
            Some(Bar {
                family: family_of(function),
                device: function.device.as_deref().unwrap_or("?"),
                start_us,
                end_us: lanes::micros(end)?.max(start_us),
                failed: function.state == "failed",
            })
        })
        .collect();
    chart(&mut page, &bars, &doc.devices);
    page.finish()
}

/// Adds the chart.
fn chart(page: &mut Page<'_>, bars: &[Bar<'_>], uses: &[DeviceUseDoc]) {
    let span_us = bars.iter().map(|bar| bar.end_us).max().unwrap_or(0);
    if span_us == 0 {
        page.line(&Line::new().add(Tone::Dim, "nothing to draw"));
        return;
    }
    let style = *page.style;
    let entries = entries(bars);
    let places: HashMap<&str, usize> =
        entries.iter().enumerate().map(|(at, entry)| (entry.name, at)).collect();

    let mut devices: Vec<&str> = uses.iter().map(|device| device.device.as_str()).collect();
    let mut by_device: HashMap<&str, Vec<&Bar<'_>>> = HashMap::new();
    for bar in bars {
        let bars_there = by_device.entry(bar.device).or_default();
        if bars_there.is_empty() && !devices.contains(&bar.device) {
            devices.push(bar.device);
        }
        bars_there.push(bar);
    }
    let lanes_max = (LANES_MAX / devices.len().max(1)).clamp(1, LANES_OF_DEVICE_MAX);
    let hidden_devices = devices.len().saturating_sub(LANES_MAX);
    devices.truncate(LANES_MAX);

    let labels: Vec<String> =
        devices.iter().map(|device| text::cut(&text::clean(device, &style), LABEL_MAX, &style)).collect();
    let label_width = labels.iter().map(|label| text::width(label)).max().unwrap_or(0);
    let cells = style.layout_width().saturating_sub(label_width + 2).max(4);

    page.blank();
    for (device, label) in devices.iter().zip(&labels) {
        let there = by_device.get(device).map_or(&[][..], Vec::as_slice);
        let (mut lanes, hidden_lanes, hidden_tasks) = lanes_of(there, &places, lanes_max);
        if lanes.is_empty() {
            lanes.push(Lane::new());
        }
        for (at, lane) in lanes.iter().enumerate() {
            let label = if at == 0 { label.as_str() } else { "" };
            let head = Line::new().add(Tone::Strong, text::pad(label, label_width, false)).plain("  ");
            page.line(&draw(head, lane, span_us, cells, &entries, &style));
        }
        if hidden_lanes > 0 {
            let blanks = " ".repeat(label_width + 2);
            let noun = format::counted(hidden_lanes as u64, "more lane");
            let line = format!("{blanks}+{noun} with {}", format::counted(hidden_tasks as u64, "task"));
            page.line(&Line::new().add(Tone::Dim, line));
        }
    }
    if hidden_devices > 0 {
        page.line(
            &Line::new()
                .add(Tone::Dim, format!("+{}", format::counted(hidden_devices as u64, "more device"))),
        );
    }
    axis(page, label_width + 2, cells, span_us as f64 / 1e6);
    legend(page, &entries, bars.iter().any(|bar| bar.failed));
    usage(page, uses);
}

/// The families, those that take most time first to get the mark of their own name.
fn entries<'d>(bars: &[Bar<'d>]) -> Vec<Entry<'d>> {
    let mut totals: HashMap<&str, (u128, u64, usize)> = HashMap::new();
    for (at, bar) in bars.iter().enumerate() {
        let total = totals.entry(bar.family).or_insert((0, 0, at));
        total.0 += u128::from(bar.end_us - bar.start_us);
        total.1 += 1;
    }
    let mut order: Vec<(&str, (u128, u64, usize))> = totals.into_iter().collect();
    order.sort_by_key(|(_, (time, _, first))| (std::cmp::Reverse(*time), *first));
    let mut free: Vec<char> = MARKS.chars().collect();
    let mut entries = Vec::with_capacity(order.len());
    for (name, (_, count, _)) in order {
        let own = name.chars().filter(char::is_ascii_alphabetic).find_map(|c| {
            let upper = c.to_ascii_uppercase();
            free.iter().position(|mark| *mark == upper)
        });
        let mark = match own {
            Some(at) => free.remove(at),
            None if !free.is_empty() => free.remove(0),
            None => OTHERS,
        };
        entries.push(Entry { name, mark, count });
    }
    entries
}

/// The lanes of a device, how many are not shown, and how many tasks lie in those.
fn lanes_of(bars: &[&Bar<'_>], places: &HashMap<&str, usize>, lanes_max: usize) -> (Vec<Lane>, usize, usize) {
    let intervals: Vec<(u64, u64)> = bars.iter().map(|bar| (bar.start_us, bar.end_us)).collect();
    let packed = lanes::pack(&intervals);
    let opened = packed.iter().max().map_or(0, |lane| lane + 1);
    let mut shown: Vec<Lane> = vec![Lane::new(); opened.min(lanes_max)];
    let mut hidden_tasks = 0;
    for (bar, lane) in bars.iter().zip(packed) {
        match shown.get_mut(lane) {
            Some(lane) => {
                let place = places.get(bar.family).copied().unwrap_or(0);
                lane.push((bar.start_us, bar.end_us, place, bar.failed));
            }
            None => hidden_tasks += 1,
        }
    }
    for lane in &mut shown {
        lane.sort_unstable();
    }
    (shown, opened.saturating_sub(lanes_max), hidden_tasks)
}

/// A lane as a line: in each cell the family that took most of its time.
fn draw(
    mut line: Line,
    lane: &Lane,
    span_us: u64,
    cells: usize,
    entries: &[Entry<'_>],
    style: &Style,
) -> Line {
    let cell_us = span_us as f64 / cells as f64;
    // What each cell holds: family, whether it failed, and how much of the cell that takes.
    let mut content: Vec<Vec<(usize, bool, f64)>> = vec![Vec::new(); cells];
    let mut seams = vec![false; cells];
    for (at, (start, end, place, failed)) in lane.iter().enumerate() {
        let (from, to) = (*start as f64 / cell_us, *end as f64 / cell_us);
        let first = (from as usize).min(cells - 1);
        let last = (to.ceil() as usize).clamp(first + 1, cells);
        for (cell, held) in content.iter_mut().enumerate().take(last).skip(first) {
            let part = to.min(cell as f64 + 1.0) - from.max(cell as f64);
            match held.iter_mut().find(|(family, bad, _)| (family, bad) == (place, failed)) {
                Some((_, _, sum)) => *sum += part,
                None => held.push((*place, *failed, part)),
            }
        }
        // Two long bars of one family side by side would look like one.
        let next = lane.get(at + 1).filter(|next| next.2 == *place && (next.0 as f64 / cell_us) - to < 0.5);
        if next.is_some() && last - first >= 3 {
            seams[last - 1] = true;
        }
    }
    let least = if lane.len() > cells / 2 { BUSY_FROM } else { 0.0 };
    let idle = style.pick("·", ".");
    let seam = style.pick("│", "|");
    for (held, seam_here) in content.iter().zip(seams) {
        let busy: f64 = held.iter().map(|(_, _, part)| part).sum();
        let most = held.iter().max_by(|a, b| a.2.total_cmp(&b.2));
        match most {
            Some((place, failed, _)) if busy >= least => {
                let tone = if *failed { Tone::Bad } else { Tone::Family(*place) };
                if seam_here {
                    line.push(tone, seam);
                } else {
                    line.push(tone, if *failed { FAILED } else { entries[*place].mark }.to_string());
                }
            }
            Some(_) | None => line.push(Tone::Dim, idle),
        }
    }
    line
}

/// Adds the axis under the lanes.
fn axis(page: &mut Page<'_>, indent: usize, cells: usize, span_s: f64) {
    let style = *page.style;
    let per_cell = span_s / cells as f64;
    let least = per_cell * TICK_CELLS as f64;
    let magnitude = 10_f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * magnitude).find(|step| *step >= least);
    let step = step.unwrap_or(span_s);
    let mut ruler: Vec<&str> = vec![style.pick("─", "-"); cells];
    let mut labels = String::new();
    for tick in 0..=cells {
        let at = tick as f64 * step;
        let cell = (at / per_cell).round() as usize;
        if cell >= cells {
            break;
        }
        ruler[cell] = style.pick("┴", "+");
        let label = format::seconds(at);
        if cell + label.len() <= cells {
            labels = text::pad(&labels, cell, false) + &label;
        }
    }
    let blanks = " ".repeat(indent);
    page.line(&Line::new().add(Tone::Dim, blanks.clone() + &ruler.concat()));
    page.line(&Line::new().add(Tone::Dim, blanks + &labels));
}

/// Adds what the marks mean, as many as fit.
fn legend(page: &mut Page<'_>, entries: &[Entry<'_>], any_failed: bool) {
    let style = *page.style;
    let columns = style.layout_width();
    let mut items: Vec<(Tone, String, String)> = entries
        .iter()
        .enumerate()
        .take(LEGEND_LINES_MAX * columns)
        .filter(|(_, entry)| entry.mark != OTHERS)
        .map(|(place, entry)| {
            let name = text::cut(&text::clean(entry.name, &style), 24, &style);
            let count =
                if entry.count > 1 { format!(" {}", format::count(entry.count)) } else { String::new() };
            (Tone::Family(place), entry.mark.to_string(), format!(" {name}{count}"))
        })
        .collect();
    if any_failed {
        items.insert(0, (Tone::Bad, FAILED.to_string(), " failed".to_owned()));
    }
    page.blank();
    let mut line = Line::new();
    let (mut used, mut lines, mut shown) = (0, 1, 0);
    for (tone, mark, words) in &items {
        let wide = mark.len() + text::width(words);
        if used > 0 && used + 3 + wide > columns {
            if lines == LEGEND_LINES_MAX {
                break;
            }
            page.line(&line);
            line = Line::new();
            (used, lines) = (0, lines + 1);
        }
        if used > 0 {
            line.push(Tone::Plain, "   ");
            used += 3;
        }
        line.push(*tone, mark.as_str());
        line.push(Tone::Plain, words.as_str());
        used += wide;
        shown += 1;
    }
    page.line(&line);
    let hidden = entries.len() + usize::from(any_failed) - shown;
    if hidden > 0 {
        page.line(&Line::new().add(Tone::Dim, format!("+{} more", format::count(hidden as u64))));
    }
}

/// Adds how much of each device is used.
fn usage(page: &mut Page<'_>, uses: &[DeviceUseDoc]) {
    if uses.is_empty() {
        return;
    }
    let words: Vec<String> = uses
        .iter()
        .take(LANES_MAX)
        .map(|device| {
            let busy = device.busy_ratio.map(|busy| format!(", busy {}", format::percent(busy)));
            format!(
                "{} given {}{}",
                device.device,
                format::percent(device.allocated_ratio),
                busy.unwrap_or_default()
            )
        })
        .collect();
    page.wrapped(0, Tone::Dim, &words.join("; "), 3);
}

#[cfg(test)]
mod tests {
    use super::super::sample::{self, check_page};
    use super::*;
    use dunnage_wire::api::PlanTaskDoc;

    fn task(id: &str, device: &str, start_s: f64, end_s: f64) -> PlanTaskDoc {
        PlanTaskDoc {
            id: id.to_owned(),
            family: id.to_owned(),
            device: device.to_owned(),
            start_s,
            end_s,
            ..PlanTaskDoc::default()
        }
    }

    fn small() -> PlanDoc {
        PlanDoc {
            graph: "g".to_owned(),
            functions: 4,
            strategy: "heft".to_owned(),
            makespan_s: 4.0,
            lower_bound_s: 3.0,
            basis: "declaration".to_owned(),
            tasks: vec![
                task("load", "cpu", 0.0, 1.0),
                task("train", "gpu0", 1.0, 3.0),
                task("check", "cpu", 1.0, 2.0),
                task("score", "cpu", 3.0, 4.0),
            ],
            ..PlanDoc::default()
        }
    }

    #[test]
    fn a_plan_is_drawn_to_scale() {
        let style = Style { colour: false, width: 26, unicode: false };
        let text = plan(&small(), &style);
        let lanes: Vec<&str> =
            text.lines().filter(|line| line.starts_with("cpu") || line.starts_with("gpu")).collect();
        assert_eq!(lanes, ["cpu   LLLLLCCCCC.....SSSSS", "gpu0  .....TTTTTTTTTT....."], "{text}");
        for part in ["T train", "L load", "C check", "S score"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn lanes_are_bounded() {
        let tasks =
            (0..300).map(|index| task(&format!("t{index}"), "cpu", 0.0, 1.0 + f64::from(index))).collect();
        let text = plan(&PlanDoc { tasks, functions: 300, ..small() }, &sample::plain(80));
        assert!(text.contains("+292 more lanes with 292 tasks"), "{text}");
        assert!(text.lines().count() < 25, "{text}");
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert!(plan(&PlanDoc::default(), &sample::plain(80)).ends_with("nothing to draw\n"));
        assert!(actual(&StatusDoc::default(), &sample::plain(80)).ends_with("nothing to draw\n"));
    }

    #[test]
    fn failed_tasks_stand_out_without_colour() {
        let text = actual(&sample::failing(), &sample::plain(80));
        assert!(text.contains("x failed") && text.contains("xxx"), "{text}");
    }

    #[test]
    fn every_width_holds() {
        for style in sample::styles() {
            let many = (0..200)
                .map(|index| task(&"名\x1b".repeat(index), &format!("gpu{index}"), 0.0, 1.0))
                .collect();
            let odd =
                vec![task("a", "", f64::NAN, 1.0), task("b", "\n", 1.0, 1.0), task("c", "d", 5.0, 1e300)];
            for tasks in [many, odd, small().tasks] {
                check_page(&plan(&PlanDoc { tasks, ..small() }, &style), &style);
            }
            for doc in [sample::gp(true), sample::gp(false), sample::failing(), sample::strange()] {
                check_page(&actual(&doc, &style), &style);
            }
        }
    }
}
