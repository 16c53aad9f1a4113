//! What is held of each device over time, against what there is: cores, RAM, and each GPU's share and memory.

use super::markup::{at, escape, short, ticks};
use super::schedule::{LABEL, RIGHT, WIDTH};
use crate::render::format;
use dunnage_wire::api::{PlanDoc, PlanTaskDoc};
use std::fmt::Write as _;

/// Height of a chart, and between two.
const HEIGHT: f64 = 46.0;
const GAP: f64 = 12.0;
const AXIS: f64 = 24.0;

/// Charts; more are counted.
const CHARTS_MAX: usize = 24;

/// Steps of one chart: more than that nobody sees, so the highest of those that fall together is drawn.
const STEPS_MAX: usize = 1_000;

/// A chart.
struct Chart {
    device: String,
    what: &'static str,
    /// Time and what is held from then on; begins with 0.
    steps: Vec<(f64, f64)>,
    capacity: f64,
    show: fn(f64) -> String,
}

/// Adds the charts.
pub(super) fn section(out: &mut String, doc: &PlanDoc) {
    let span = doc.makespan_s;
    let all = charts(doc);
    if all.is_empty() || !span.is_finite() || span <= 0.0 {
        return;
    }
    out.push_str("<section><h2>Memory and cores over time</h2>\n<p>What tasks hold, under a line at what there is. Memory is what functions declare.</p>\n<div class=\"pad card\">");
    let shown = all.len().min(CHARTS_MAX);
    let plot = shown as f64 * (HEIGHT + GAP);
    let scale = (WIDTH - LABEL - RIGHT) / span;
    let _ = write!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"Memory and cores over time\">",
        at(plot + AXIS)
    );
    for tick in ticks(span, 10.0) {
        let x = at(LABEL + tick * scale);
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{x} 0V{}\"/><text class=\"tick\" x=\"{x}\" y=\"{}\">{}</text>",
            at(plot),
            at(plot + 15.0),
            escape(&format::seconds(tick))
        );
    }
    for (place, chart) in all.iter().take(shown).enumerate() {
        draw(out, chart, place as f64 * (HEIGHT + GAP) + GAP / 2.0, span, scale);
    }
    out.push_str("</svg>");
    if all.len() > shown {
        let _ = write!(out, "<p>+{}</p>", escape(&format::counted((all.len() - shown) as u64, "more chart")));
    }
    out.push_str("</div></section>\n");
}

fn charts(doc: &PlanDoc) -> Vec<Chart> {
    let mut charts = Vec::new();
    for device in &doc.machine {
        let mut add = |what, capacity: f64, show, held: &dyn Fn(&PlanTaskDoc) -> f64| {
            let steps = steps(&doc.tasks, held);
            if steps.iter().any(|(_, held)| *held > 0.0) {
                charts.push(Chart { device: device.device.clone(), what, steps, capacity, show });
            }
        };
        let memory = device.memory_bytes as f64;
        if device.cores > 0.0 {
            add("cores", device.cores, format::amount, &|task| task.cpus);
            add("RAM", memory, bytes, &|task| task.memory_bytes as f64);
        } else {
            let grant =
                |task: &PlanTaskDoc| task.gpus.iter().find(|gpu| gpu.device == device.device).cloned();
            add("memory", memory, bytes, &|task| grant(task).map_or(0.0, |gpu| gpu.memory_bytes as f64));
            add("share", 1.0, format::percent, &|task| grant(task).map_or(0.0, |gpu| gpu.share));
        }
    }
    charts
}

fn bytes(amount: f64) -> String {
    format::bytes(amount as u64)
}

/// What all tasks together hold, as steps.
fn steps(tasks: &[PlanTaskDoc], held: &dyn Fn(&PlanTaskDoc) -> f64) -> Vec<(f64, f64)> {
    let mut changes: Vec<(f64, f64)> = Vec::new();
    for task in tasks {
        let amount = held(task);
        if amount > 0.0 && task.start_s.is_finite() && task.end_s.is_finite() && task.end_s > task.start_s {
            changes.push((task.start_s, amount));
            changes.push((task.end_s, -amount));
        }
    }
    // What ends at a moment is free for what begins then.
    changes.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let most: f64 = changes.iter().map(|(_, amount)| amount.abs()).fold(0.0, f64::max);
    let mut steps: Vec<(f64, f64)> = vec![(0.0, 0.0)];
    let mut now = 0.0;
    for (time, amount) in changes {
        now += amount;
        // Sums of fractions leave crumbs.
        let held = if now < most * 1e-9 { 0.0 } else { now };
        match steps.last_mut() {
            Some(last) if last.0 == time => last.1 = held,
            Some(_) | None => steps.push((time, held)),
        }
    }
    steps
}

/// At most so many steps, the highest of those that fall into one part of the time.
fn thinned(steps: &[(f64, f64)], span: f64) -> Vec<(f64, f64)> {
    if steps.len() <= STEPS_MAX {
        return steps.to_vec();
    }
    let part = span / STEPS_MAX as f64;
    let mut out: Vec<(f64, f64)> = Vec::with_capacity(STEPS_MAX + 1);
    let mut before = 0.0;
    for (time, held) in steps {
        let place = (time / part).floor() * part;
        match out.last_mut() {
            Some(last) if last.0 == place => last.1 = last.1.max(*held),
            // What was held when the part began is held in it.
            Some(_) | None => out.push((place, f64::max(before, *held))),
        }
        before = *held;
    }
    out.push((span, before));
    out
}

fn draw(out: &mut String, chart: &Chart, y: f64, span: f64, scale: f64) {
    let peak = chart.steps.iter().map(|(_, held)| *held).fold(0.0, f64::max);
    let top = chart.capacity.max(peak).max(f64::MIN_POSITIVE);
    let height = |held: f64| y + HEIGHT - held / top * HEIGHT;
    let mut path = format!("M{LABEL} {}", at(y + HEIGHT));
    for (time, held) in thinned(&chart.steps, span) {
        let _ = write!(path, "H{}V{}", at(LABEL + time.min(span) * scale), at(height(held)));
    }
    let right = WIDTH - RIGHT;
    let _ = write!(path, "H{}V{}Z", at(right), at(y + HEIGHT));
    let share = if chart.capacity > 0.0 && chart.what != "share" {
        format!(" of {} ({})", (chart.show)(chart.capacity), format::percent(peak / chart.capacity))
    } else {
        String::new()
    };
    let said = format!("{} {}: at most {}{share}", chart.device, chart.what, (chart.show)(peak));
    let _ = write!(
        out,
        "<g><title>{title}</title><rect class=\"band\" x=\"{LABEL}\" y=\"{top}\" width=\"{wide}\" height=\"{HEIGHT}\"/>\
         <path class=\"area{over}\" d=\"{path}\"/><path class=\"capacity\" d=\"M{LABEL} {capacity}H{right}\"/>\
         <text class=\"device\" x=\"0\" y=\"{first}\">{device}</text>\
         <text class=\"tick left\" x=\"0\" y=\"{second}\">peak {peak}</text>\
         <text class=\"tick left\" x=\"0\" y=\"{third}\">{of}</text></g>",
        title = escape(&said),
        top = at(y),
        wide = at(right - LABEL),
        over = if peak > chart.capacity * (1.0 + 1e-9) { " over" } else { "" },
        capacity = at(height(chart.capacity)),
        first = at(y + 14.0),
        device = short(&format!("{} {}", chart.device, chart.what), 16),
        second = at(y + 28.0),
        peak = escape(&(chart.show)(peak)),
        third = at(y + 41.0),
        // Everybody knows of how much a share is one.
        of = match chart.what {
            "share" => String::new(),
            _ => escape(&format!("of {}", (chart.show)(chart.capacity))),
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(start_s: f64, end_s: f64, cpus: f64) -> PlanTaskDoc {
        PlanTaskDoc { start_s, end_s, cpus, ..PlanTaskDoc::default() }
    }

    #[test]
    fn what_ends_is_free_for_what_begins() {
        let tasks = [task(0.0, 1.0, 2.0), task(1.0, 3.0, 2.0), task(2.0, 3.0, 0.5), task(2.0, 2.0, 9.0)];
        let steps = steps(&tasks, &|task| task.cpus);
        assert_eq!(steps, [(0.0, 2.0), (1.0, 2.0), (2.0, 2.5), (3.0, 0.0)]);
    }

    #[test]
    fn thinning_keeps_the_peaks() {
        let steps: Vec<(f64, f64)> = (0..50_000)
            .map(|n| (f64::from(n) / 1e3, if n == 777 { 9.0 } else { f64::from(n % 2) }))
            .collect();
        let thin = thinned(&steps, 50.0);
        assert!(thin.len() <= STEPS_MAX + 2);
        assert_eq!(thin.iter().map(|(_, held)| *held).fold(0.0, f64::max), 9.0);
    }
}
