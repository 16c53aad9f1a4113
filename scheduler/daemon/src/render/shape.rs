//! The shape of a graph as text: levels, critical path, bottlenecks, parallelism; and strategies compared.

use super::format;
use super::page::{Line, Page};
use super::style::{Style, Tone};
use super::table::{Cell, Column, table};
use super::text;
use dunnage_wire::api::{AnalysisDoc, LevelDoc, PlanDoc};

/// Levels that are shown: so many first ones, and the last.
const LEVELS_MAX: usize = 16;
/// Functions that are named for a level.
const NAMES_MAX: usize = 12;
/// Steps of the critical path that are shown.
const STEPS_MAX: usize = 9;
const BOTTLENECKS_MAX: usize = 4;
const REDUNDANT_MAX: usize = 3;
/// Cells of the bar of a level.
const BAR: usize = 12;
/// Below this part of the critical path a family is no bottleneck.
const BOTTLENECK_FROM: f64 = 0.05;

/// What the shape of a graph says; nothing where it has no levels.
pub(crate) fn shape(doc: &PlanDoc, style: &Style) -> String {
    let mut page = Page::new(style);
    let analysis = &doc.analysis;
    if analysis.levels.is_empty() {
        return page.finish();
    }
    page.heading("Shape");
    page.wrapped(0, Tone::Plain, &numbers(doc), 3);
    levels(&mut page, analysis);
    page.wrapped(0, Tone::Plain, &path(analysis, style), 4);
    let bottlenecks = bottlenecks(analysis);
    if !bottlenecks.is_empty() {
        page.wrapped(0, Tone::Plain, &format!("held up by {}", bottlenecks.join(", ")), 2);
    }
    for redundant in analysis.redundant.iter().take(REDUNDANT_MAX) {
        let line = format!(
            "`{}` need not wait for `{}`: what else it waits for comes after that",
            redundant.function, redundant.after
        );
        page.wrapped(0, Tone::Dim, &line, 2);
    }
    let more = analysis.redundant.len().saturating_sub(REDUNDANT_MAX);
    if more > 0 {
        let noun = if more == 1 { "dependency" } else { "dependencies" };
        page.line(&Line::new().add(Tone::Dim, format!("+{more} more {noun} that need not be said")));
    }
    "\n".to_owned() + &page.finish()
}

/// How large it is, and how much of it can run at once.
fn numbers(doc: &PlanDoc) -> String {
    let analysis = &doc.analysis;
    let dependencies = match analysis.dependencies {
        1 => "1 dependency".to_owned(),
        n => format!("{} dependencies", format::count(n)),
    };
    let parts = match analysis.components {
        0 | 1 => String::new(),
        n => format!(", {n} parts that have nothing to do with each other"),
    };
    let widest = analysis.levels.get(analysis.widest_level as usize).map_or(0, |level| level.tasks);
    format!(
        "{} of {} in {}, {dependencies}{parts}; {} at once on average ({} of work over a critical path of {}), {} in the widest level",
        format::counted(doc.functions, "task"),
        format::counted(analysis.functions.len() as u64, "function"),
        format::counted(analysis.levels.len() as u64, "level"),
        format::amount((analysis.parallelism * 10.0).round() / 10.0),
        format::seconds(analysis.work_s),
        format::seconds(analysis.critical_path_s),
        format::count(widest.into()),
    )
}

fn levels(page: &mut Page<'_>, analysis: &AnalysisDoc) {
    let style = *page.style;
    let levels = &analysis.levels;
    let widest = levels.iter().map(|level| level.tasks).max().unwrap_or(1).max(1);
    let digits = format::count(levels.len() as u64).len();
    let counts = format::count(widest.into()).len();
    let hidden = levels.len().saturating_sub(LEVELS_MAX);
    page.blank();
    for (at, level) in levels.iter().enumerate() {
        if hidden > 0 && at >= LEVELS_MAX - 1 && at + 1 < levels.len() {
            if at == LEVELS_MAX - 1 {
                let line = format!("+{}", format::counted(hidden as u64, "more level"));
                page.line(&Line::new().add(Tone::Dim, " ".repeat(digits + 2) + &line));
            }
            continue;
        }
        let share = f64::from(level.tasks) / f64::from(widest);
        let mut line = Line::new().add(Tone::Dim, text::pad(&at.to_string(), digits, true)).plain("  ");
        line.push(Tone::Plain, format::bar(share, BAR, &style));
        line.push(Tone::Plain, format!(" {}  ", text::pad(&level.tasks.to_string(), counts, true)));
        line.push(Tone::Plain, names(level, analysis));
        page.line(&line);
    }
    page.blank();
}

/// The functions of a level, those with several instances there with their number.
fn names(level: &LevelDoc, analysis: &AnalysisDoc) -> String {
    let mut names: Vec<String> = Vec::new();
    for (function, instances) in level.functions.iter().take(NAMES_MAX) {
        let Some(function) = analysis.functions.get(*function as usize) else { continue };
        let name = function.family.as_str();
        names.push(if *instances > 1 { format!("{name} x{instances}") } else { name.to_owned() });
    }
    let hidden = level.functions.len().saturating_sub(NAMES_MAX);
    if hidden > 0 {
        names.push(format!("+{hidden}"));
    }
    names.join(", ")
}

fn path(analysis: &AnalysisDoc, style: &Style) -> String {
    let steps = &analysis.critical_path;
    let arrow = style.pick(" → ", " -> ");
    let shown = |step: &dunnage_wire::api::PathStepDoc| {
        format!("{} ({})", text::clean(&step.id, style), format::seconds(step.seconds))
    };
    let mut words: Vec<String> = steps.iter().take(STEPS_MAX - 1).map(shown).collect();
    let hidden = steps.len().saturating_sub(STEPS_MAX);
    if hidden > 0 {
        words.push(format!("{} more", format::count(hidden as u64)));
    }
    words.extend(steps.iter().skip(STEPS_MAX - 1).last().map(shown));
    format!("critical path: {}", words.join(arrow))
}

/// The families that make the whole late, with the part of the critical path that is theirs.
pub(super) fn bottlenecks(analysis: &AnalysisDoc) -> Vec<String> {
    let mut found = Vec::new();
    for name in &analysis.bottlenecks {
        let Some(function) = analysis.functions.iter().find(|function| function.family == *name) else {
            continue;
        };
        let share = function.path_s / analysis.critical_path_s;
        if share.is_nan() || share < BOTTLENECK_FROM || found.len() == BOTTLENECKS_MAX {
            break;
        }
        found.push(format!("{name} ({} of the critical path)", format::percent(share)));
    }
    found
}

/// Strategies beside each other, the shortest first.
pub(crate) fn strategies(doc: &PlanDoc, style: &Style) -> String {
    let mut page = Page::new(style);
    if doc.strategies.is_empty() {
        return page.finish();
    }
    page.heading("Strategies");
    let mut all: Vec<&dunnage_wire::api::PlanStrategyDoc> = doc.strategies.iter().collect();
    all.sort_by(|a, b| a.makespan_s.total_cmp(&b.makespan_s).then_with(|| a.strategy.cmp(&b.strategy)));
    let least = all.first().map_or(0.0, |first| first.makespan_s);
    let rows: Vec<Vec<Cell>> = all
        .iter()
        .map(|one| {
            let tone = if one.makespan_s <= least { Tone::Good } else { Tone::Plain };
            let tone = if one.strategy == "random" { Tone::Dim } else { tone };
            vec![
                Cell::new(tone, one.strategy.as_str()),
                Cell::new(tone, format::seconds(one.makespan_s)),
                format::times(one.makespan_s, doc.lower_bound_s).into(),
                money(one.money).into(),
                joules(one.joules).into(),
                one.gpu_ratio.map(format::percent).unwrap_or_default().into(),
                format::percent(one.cpu_ratio).into(),
            ]
        })
        .collect();
    let columns = [
        Column::left("strategy"),
        Column::right("makespan"),
        Column::right("of bound"),
        Column::right("cost").expendable(1),
        Column::right("energy").expendable(2),
        Column::right("GPUs given").expendable(4),
        Column::right("cores given").expendable(3),
    ];
    table(&mut page, 0, &columns, rows);
    "\n".to_owned() + &page.finish()
}

/// An amount of money, whatever the currency.
pub(super) fn money(amount: f64) -> String {
    format::significant(amount, 4)
}

/// An energy in the unit that fits.
pub(super) fn joules(amount: f64) -> String {
    match amount {
        large if large >= 3.6e6 => format!("{} kWh", format::significant(large / 3.6e6, 3)),
        middle if middle >= 1e4 => format!("{} kJ", format::significant(middle / 1e3, 3)),
        small => format!("{} J", format::significant(small, 3)),
    }
}
