//! Who runs what when: lanes for each device, so that tasks beside each other do not cover each other.

use super::Colours;
use super::markup::{at, escape, short, ticks, width};
use crate::render::{format, lanes};
use dunnage_wire::api::{PlanDoc, PlanTaskDoc};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

/// The size of a chart in its own units, and of its parts. What lies under one axis has one scale.
pub(super) const WIDTH: f64 = 1120.0;
pub(super) const LABEL: f64 = 118.0;
pub(super) const RIGHT: f64 = 10.0;
const LANE: f64 = 19.0;
const LANE_MANY: f64 = 11.0;
const LANE_MOST: f64 = 7.0;
const DEVICE_GAP: f64 = 10.0;
const AXIS: f64 = 24.0;

/// Lanes in all and of one device, from how many on they are thinner, and devices; the rest is counted.
const LANES_IN_ALL: usize = 240;
const LANES_MAX: usize = 32;
const LANES_LEAST: usize = 5;
const LANES_MANY: usize = 10;
const LANES_MOST: usize = 18;
const DEVICES_MAX: usize = 24;

/// A frame around a narrower bar would hide it.
const FRAME_FROM: f64 = 4.0;

/// Kinds of families that are explained.
const LEGEND_MAX: usize = 8;

/// How wide a letter in a bar is, about.
const LETTER: f64 = 6.0;

/// A piece of a lane: one task, or many of one family that are too short to be told apart.
struct Bar<'d> {
    start: f64,
    end: f64,
    first: &'d PlanTaskDoc,
    tasks: u64,
    critical: bool,
}

/// Adds the chart.
pub(super) fn section(out: &mut String, doc: &PlanDoc, colours: &Colours<'_>) {
    out.push_str("<section><h2>What runs where</h2>\n");
    let span = doc.makespan_s;
    if !span.is_finite() || span <= 0.0 {
        out.push_str("<p>There is nothing to draw.</p></section>\n");
        return;
    }
    out.push_str("<p>A lane for each task that a device runs beside others; tasks of the critical path have a frame. Point at one for more.</p>\n<div class=\"pad card\">");
    legend(out, doc, colours);
    chart(out, doc, colours, span);
    out.push_str("</div></section>\n");
}

/// The devices in order, each with its tasks; a task with several GPUs is on each.
fn by_device(doc: &PlanDoc) -> Vec<(&str, Vec<&PlanTaskDoc>)> {
    let mut order: Vec<&str> = doc.machine.iter().map(|device| device.device.as_str()).collect();
    let mut tasks: HashMap<&str, Vec<&PlanTaskDoc>> = HashMap::new();
    for task in &doc.tasks {
        let several: Vec<&str> = match task.gpus.as_slice() {
            [] | [_] => vec![&task.device],
            gpus => gpus.iter().map(|gpu| gpu.device.as_str()).collect(),
        };
        for device in several {
            let there = tasks.entry(device).or_default();
            if there.is_empty() && !order.contains(&device) {
                order.push(device);
            }
            there.push(task);
        }
    }
    order.into_iter().map(|device| (device, tasks.remove(device).unwrap_or_default())).collect()
}

fn chart(out: &mut String, doc: &PlanDoc, colours: &Colours<'_>, span: f64) {
    let scale = (WIDTH - LABEL - RIGHT) / span;
    let critical: HashSet<&str> = doc.analysis.critical_path.iter().map(|step| step.id.as_str()).collect();
    let devices = by_device(doc);
    let mut body = String::new();
    let mut y = 4.0;
    let (busy, idle): (Vec<_>, Vec<_>) = devices.iter().partition(|(_, tasks)| !tasks.is_empty());
    let lanes_max = (LANES_IN_ALL / busy.len().max(1)).clamp(LANES_LEAST, LANES_MAX);
    for (device, tasks) in busy.iter().take(DEVICES_MAX) {
        let name = doc.machine.iter().find(|known| known.device == *device).map_or("", |known| &known.name);
        let name = name.strip_prefix("NVIDIA ").unwrap_or(name);
        let (lanes, hidden) = lanes_of(tasks, &critical, scale, lanes_max);
        let tall = match lanes.len() {
            0..=LANES_MANY => LANE,
            n if n <= LANES_MOST => LANE_MANY,
            _ => LANE_MOST,
        };
        let height = (lanes.len().max(1) as f64 * tall).max(2.0 * 13.0);
        let _ = write!(
            body,
            "<rect class=\"band\" x=\"{LABEL}\" y=\"{0}\" width=\"{1}\" height=\"{2}\"/>\
             <text class=\"device\" x=\"0\" y=\"{3}\">{4}</text><text class=\"tick left\" x=\"0\" y=\"{5}\">{6}</text>",
            at(y),
            at(WIDTH - LABEL - RIGHT),
            at(height),
            at(y + 11.0),
            short(device, 14),
            at(y + 24.0),
            short(if name == "unknown" { "" } else { name }, 18)
        );
        for (at, lane) in lanes.iter().enumerate() {
            for bar in lane {
                draw(&mut body, bar, y + at as f64 * tall, tall, scale, colours);
            }
        }
        y += height;
        if hidden > 0 {
            let _ = write!(
                body,
                "<text class=\"tick left\" x=\"{LABEL}\" y=\"{}\">+{} on further lanes</text>",
                at(y + 11.0),
                escape(&format::counted(hidden, "task"))
            );
            y += 14.0;
        }
        y += DEVICE_GAP;
    }
    let plot = y - DEVICE_GAP + 4.0;
    let mut axis = String::new();
    for tick in ticks(span, 10.0) {
        let x = LABEL + tick * scale;
        let _ = write!(
            axis,
            "<path class=\"grid\" d=\"M{0} 0V{1}\"/><text class=\"tick\" x=\"{0}\" y=\"{2}\">{3}</text>",
            at(x),
            at(plot),
            at(plot + 15.0),
            escape(&format::seconds(tick))
        );
    }
    let _ = write!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"Gantt chart\">{axis}{body}</svg>",
        at(plot + AXIS)
    );
    let hidden = busy.len().saturating_sub(DEVICES_MAX);
    if hidden > 0 {
        let _ = write!(out, "<p>+{}</p>", escape(&format::counted(hidden as u64, "more device")));
    }
    if !idle.is_empty() {
        let names: Vec<&str> = idle.iter().take(DEVICES_MAX).map(|(device, _)| *device).collect();
        let more = idle.len().saturating_sub(names.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let _ = write!(out, "<p class=\"idle\">Idle throughout: {}{more}.</p>", escape(&names.join(", ")));
    }
}

/// The lanes of a device, and how many tasks lie in those that are not shown. On a lane tasks of one family
/// that are too near to be told apart become one bar.
fn lanes_of<'d>(
    tasks: &[&'d PlanTaskDoc],
    critical: &HashSet<&str>,
    scale: f64,
    lanes_max: usize,
) -> (Vec<Vec<Bar<'d>>>, u64) {
    let mut sorted: Vec<(u64, u64, &PlanTaskDoc)> = tasks
        .iter()
        .filter_map(|task| {
            let start = lanes::micros(task.start_s)?;
            Some((start, lanes::micros(task.end_s)?.max(start), *task))
        })
        .collect();
    sorted.sort_by(|a, b| (a.0, a.1, &a.2.id).cmp(&(b.0, b.1, &b.2.id)));
    let intervals: Vec<(u64, u64)> = sorted.iter().map(|(start, end, _)| (*start, *end)).collect();
    let packed = lanes::pack(&intervals);
    let opened = packed.iter().max().map_or(0, |lane| lane + 1);
    let mut shown: Vec<Vec<Bar<'_>>> = (0..opened.min(lanes_max)).map(|_| Vec::new()).collect();
    let mut hidden = 0;
    for ((start, end, task), lane) in sorted.into_iter().zip(packed) {
        let Some(lane) = shown.get_mut(lane) else {
            hidden += 1;
            continue;
        };
        let (start, end) = (start as f64 / 1e6, end as f64 / 1e6);
        let critical = critical.contains(task.id.as_str());
        match lane.last_mut() {
            Some(last)
                if last.first.family == task.family
                    && last.critical == critical
                    && (start - last.end) * scale < 0.4
                    && (end - start) * scale < 1.5 =>
            {
                last.end = end;
                last.tasks += 1;
            }
            Some(_) | None => lane.push(Bar { start, end, first: task, tasks: 1, critical }),
        }
    }
    (shown, hidden)
}

fn draw(body: &mut String, bar: &Bar<'_>, y: f64, tall: f64, scale: f64, colours: &Colours<'_>) {
    let (x, wide) = (LABEL + bar.start * scale, ((bar.end - bar.start) * scale).max(0.8));
    let task = bar.first;
    let times = format!("{} to {}", format::seconds(bar.start), format::seconds(bar.end));
    let title = if bar.tasks > 1 {
        format!("{} of {}: {times}", format::counted(bar.tasks, "task"), task.family)
    } else {
        let mut title = format!("{}: {times} ({})", task.id, format::seconds(bar.end - bar.start));
        let _ = write!(title, ", {} cores", format::amount(task.cpus));
        if task.memory_bytes > 0 {
            let _ = write!(title, ", {}", format::bytes(task.memory_bytes));
        }
        for gpu in &task.gpus {
            let _ = write!(title, ", {}", gpu.device);
            if gpu.memory_bytes > 0 {
                let _ = write!(title, " {}", format::bytes(gpu.memory_bytes));
            }
        }
        title
    };
    let _ = write!(
        body,
        "<rect class=\"{}{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{}</title></rect>",
        colours.class(&task.family),
        if bar.critical && wide >= FRAME_FROM { " crit" } else { "" },
        at(x),
        at(y + 1.0),
        at(wide),
        at(tall - 2.0),
        escape(&title)
    );
    let letters = (wide - 6.0) / LETTER;
    // Half a name says something, three letters do not.
    let wanted = width(&task.id).min(6) as f64;
    if tall >= LANE && bar.tasks == 1 && letters >= wanted.max(1.0) {
        let _ = write!(
            body,
            "<text class=\"task\" x=\"{}\" y=\"{}\">{}</text>",
            at(x + 4.0),
            at(y + tall / 2.0 + 3.4),
            short(&task.id, letters as usize)
        );
    }
}

/// Adds what the colours mean.
fn legend(out: &mut String, doc: &PlanDoc, colours: &Colours<'_>) {
    let mut counts: BTreeMap<(usize, &str), u64> = BTreeMap::new();
    for task in &doc.tasks {
        let kind = super::kind(&task.family);
        let rank = colours.ranks.get(kind).copied().unwrap_or(usize::MAX);
        *counts.entry((rank, kind)).or_default() += 1;
    }
    const KEY: &str = "<svg class=\"key\" viewBox=\"0 0 10 10\"><rect class=\"";
    const REST: &str = "\" width=\"10\" height=\"10\"/></svg>";
    out.push_str("<p class=\"legend\">");
    for ((_, kind), count) in counts.iter().take(LEGEND_MAX) {
        let count = if *count > 1 { format!(" {}", format::count(*count)) } else { String::new() };
        let (class, kind, count) = (colours.class(kind), short(kind, 32), escape(&count));
        let _ = write!(out, "<span>{KEY}{class}{REST}{kind}<small>{count}</small></span>");
    }
    let hidden = counts.len().saturating_sub(LEGEND_MAX);
    if hidden > 0 {
        let _ = write!(out, "<span>{KEY}cx{REST}{} more</span>", format::count(hidden as u64));
    }
    out.push_str("</p>");
}
