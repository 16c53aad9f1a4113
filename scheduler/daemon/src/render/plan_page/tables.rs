//! Tables of the page: strategies compared, levels, functions, and dependencies that need not be said.

use super::Colours;
use super::markup::{at, escape, short};
use crate::render::{format, shape};
use dunnage_wire::api::{PlanDoc, PlanStrategyDoc};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Rows of the table of functions, and of that of dependencies.
const FUNCTIONS_MAX: usize = 300;
const REDUNDANT_MAX: usize = 20;

/// Bars of the chart of levels: more fall together.
const LEVELS_MAX: usize = 200;

/// Adds strategies beside each other, where they were compared.
pub(super) fn strategies(out: &mut String, doc: &PlanDoc) {
    if doc.strategies.is_empty() {
        return;
    }
    let mut all: Vec<&PlanStrategyDoc> = doc.strategies.iter().collect();
    all.sort_by(|a, b| a.makespan_s.total_cmp(&b.makespan_s).then_with(|| a.strategy.cmp(&b.strategy)));
    let longest = all.iter().map(|one| one.makespan_s).fold(f64::MIN_POSITIVE, f64::max);
    out.push_str(
        "<section><h2>Strategies compared</h2><div class=\"scroll\"><table><thead><tr><th>strategy</th>\
         <th class=\"bar\">makespan</th><th></th><th title=\"over what no plan can be shorter than\">over bound</th>\
         <th>cost</th><th>energy</th><th>GPUs given</th><th>cores given</th></tr></thead><tbody>\n",
    );
    for one in all {
        let class = if one.strategy == "random" { " class=\"base\"" } else { "" };
        let over = one.makespan_s / doc.lower_bound_s - 1.0;
        let _ = writeln!(
            out,
            "<tr{class}><th scope=\"row\">{}</th><td class=\"bar\"><i style=\"width:{}%\"></i></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&one.strategy),
            at((100.0 * one.makespan_s / longest).clamp(0.5, 100.0)),
            escape(&format::seconds(one.makespan_s)),
            escape(&format::percent(over.max(0.0))),
            escape(&shape::money(one.money)),
            escape(&shape::joules(one.joules)),
            escape(&one.gpu_ratio.map_or_else(|| format::NONE.to_owned(), format::percent)),
            escape(&format::percent(one.cpu_ratio))
        );
    }
    out.push_str("</tbody></table></div></section>\n");
}

/// Adds how many tasks each level has.
pub(super) fn levels(out: &mut String, doc: &PlanDoc) {
    const WIDTH: f64 = 1120.0;
    const HEIGHT: f64 = 90.0;
    let levels = &doc.analysis.levels;
    if levels.len() < 2 {
        return;
    }
    let together = levels.len().div_ceil(LEVELS_MAX);
    let bars: Vec<(usize, u32, f64)> = levels
        .chunks(together)
        .enumerate()
        .map(|(at, levels)| {
            let most = levels.iter().map(|level| level.tasks).max().unwrap_or(0);
            (at * together, most, levels.iter().map(|level| level.seconds).sum())
        })
        .collect();
    let widest = bars.iter().map(|(_, tasks, _)| *tasks).max().unwrap_or(1).max(1);
    let wide = WIDTH / bars.len() as f64;
    let thick = (wide * 0.72).clamp(1.0, 46.0);
    let _ = write!(
        out,
        "<section><h2>Levels</h2>\n<p>Tasks by how many others come before them: {}, {} in the widest. With {} at once on average, more devices than that help less and less.</p>\n<div class=\"pad card\"><svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"Tasks by level\">",
        escape(&format::counted(levels.len() as u64, "level")),
        escape(&format::counted(widest.into(), "task")),
        escape(&format::amount((doc.analysis.parallelism * 10.0).round() / 10.0)),
        at(HEIGHT + 34.0)
    );
    for (place, (level, tasks, seconds)) in bars.iter().enumerate() {
        let tall = (f64::from(*tasks) / f64::from(widest) * HEIGHT).max(1.5);
        let middle = (place as f64 + 0.5) * wide;
        let name = if together > 1 {
            format!("levels {level} to {}", level + together - 1)
        } else {
            format!("level {level}")
        };
        let title =
            format!("{name}: {}, {}", format::counted((*tasks).into(), "task"), format::seconds(*seconds));
        let _ = write!(
            out,
            "<rect class=\"level\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{}</title></rect>",
            at(middle - thick / 2.0),
            at(16.0 + HEIGHT - tall),
            at(thick),
            at(tall),
            escape(&title)
        );
        // Numbers where there is room for them.
        if wide >= 26.0 {
            let _ = write!(
                out,
                "<text class=\"tick\" x=\"{0}\" y=\"{1}\">{tasks}</text><text class=\"tick\" x=\"{0}\" y=\"{2}\">{level}</text>",
                at(middle),
                at(11.0 + HEIGHT - tall),
                at(HEIGHT + 30.0)
            );
        }
    }
    out.push_str("</svg></div></section>\n");
}

/// Adds what each function adds up to, the heaviest first.
pub(super) fn functions(out: &mut String, doc: &PlanDoc, colours: &Colours<'_>) {
    let analysis = &doc.analysis;
    if analysis.functions.is_empty() {
        return;
    }
    let mut devices: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for task in &doc.tasks {
        devices.entry(&task.family).or_default().insert(&task.device);
    }
    let mut order: Vec<usize> = (0..analysis.functions.len()).collect();
    let seconds = |at: &usize| analysis.functions[*at].seconds;
    order.sort_by(|a, b| seconds(b).total_cmp(&seconds(a)).then(a.cmp(b)));
    let heaviest = order.first().map_or(0.0, seconds).max(f64::MIN_POSITIVE);
    out.push_str(
        "<section><h2>Functions</h2><div class=\"scroll tall\"><table><thead><tr><th>function</th><th>tasks</th>\
         <th class=\"bar\">time in all</th><th></th><th>each</th>\
         <th title=\"its part of the critical path\">critical path</th>\
         <th title=\"how late one may be without making the whole late\">slack</th><th>runs on</th></tr></thead><tbody>\n",
    );
    for at_function in order.iter().take(FUNCTIONS_MAX) {
        let function = &analysis.functions[*at_function];
        let share = function.path_s / analysis.critical_path_s;
        let on = devices.get(function.family.as_str());
        let names: Vec<&str> = on.into_iter().flatten().copied().collect();
        let runs_on = match names.as_slice() {
            [] => format::NONE.to_owned(),
            few if few.len() <= 4 => few.join(" "),
            many => format!("{} devices", many.len()),
        };
        let slack =
            if function.on_path > 0 { format::NONE.to_owned() } else { format::seconds(function.slack_s) };
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\" title=\"{}\"><svg class=\"key\" viewBox=\"0 0 10 10\"><rect class=\"{}\" width=\"10\" height=\"10\"/></svg>{}</th><td>{}</td><td class=\"bar\"><i style=\"width:{}%\"></i></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&function.id),
            colours.class(&function.family),
            short(&function.id, 44),
            format::count(function.instances.into()),
            at((100.0 * function.seconds / heaviest).clamp(0.0, 100.0)),
            escape(&format::seconds(function.seconds)),
            escape(&format::seconds(function.seconds / f64::from(function.instances.max(1)))),
            if function.on_path > 0 { escape(&format::percent(share)) } else { String::new() },
            escape(&slack),
            escape(&runs_on)
        );
    }
    out.push_str("</tbody></table></div>");
    let hidden = order.len().saturating_sub(FUNCTIONS_MAX);
    if hidden > 0 {
        let _ = write!(out, "<p>+{} more, each with less time.</p>", format::count(hidden as u64));
    }
    out.push_str("</section>\n");
}

/// Adds what a graph file need not say.
pub(super) fn redundant(out: &mut String, doc: &PlanDoc) {
    let redundant = &doc.analysis.redundant;
    if redundant.is_empty() {
        return;
    }
    out.push_str("<section><h2>What need not be said</h2>\n<p>These dependencies pass no value, and others imply them.</p>\n<ul>");
    for one in redundant.iter().take(REDUNDANT_MAX) {
        let _ = write!(
            out,
            "<li><b>{}</b> after <b>{}</b></li>",
            short(&one.function, 80),
            short(&one.after, 80)
        );
    }
    let hidden = redundant.len().saturating_sub(REDUNDANT_MAX);
    if hidden > 0 {
        let _ = write!(out, "<li>+{hidden} more</li>");
    }
    out.push_str("</ul></section>\n");
}
