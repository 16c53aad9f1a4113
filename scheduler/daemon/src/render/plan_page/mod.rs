//! A plan as a page: one file without anything from elsewhere and without scripts, for light and dark
//! screens, and for paper.
//!
//! The graph as a layered drawing, who runs what when, memory and cores over time, and tables. Everything is
//! drawn from the [`PlanDoc`] alone. A page stays bearable whatever the size of the graph: boxes, lanes, bars
//! and rows are folded or counted beyond a bound, and the page says so. Texts of the user are escaped
//! ([`markup`]), every one.

mod drawing;
mod fold;
mod layout;
mod markup;
mod schedule;
mod tables;
mod usage;

use super::format;
use super::shape;
use dunnage_wire::api::PlanDoc;
use markup::escape;
use std::collections::HashMap;
use std::fmt::Write as _;

/// The style of the laboratory's page, and what this one has besides.
const STYLE: &str = concat!(include_str!("../bench/page.css"), include_str!("page.css"));

/// Colours of kinds of families; those beyond share one.
const COLOURS: usize = 8;

/// The class of colour of each kind of family: those that take most time have one of their own.
struct Colours<'d> {
    ranks: HashMap<&'d str, usize>,
}

/// Families whose names differ in the numbers at their end alone are of one kind: `syrk` of `syrk-1-2`.
fn kind(family: &str) -> &str {
    let kind = family.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '-' | '_' | '.'));
    if kind.is_empty() { family } else { kind }
}

impl<'d> Colours<'d> {
    fn new(doc: &'d PlanDoc) -> Self {
        let mut seconds: HashMap<&str, f64> = HashMap::new();
        for task in &doc.tasks {
            *seconds.entry(kind(&task.family)).or_default() += task.end_s - task.start_s;
        }
        let mut kinds: Vec<(&str, f64)> = seconds.into_iter().collect();
        kinds.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
        Self { ranks: kinds.into_iter().enumerate().map(|(rank, (kind, _))| (kind, rank)).collect() }
    }

    /// The class of a family.
    fn class(&self, family: &str) -> String {
        match self.ranks.get(kind(family)) {
            Some(rank) if *rank < COLOURS => format!("c{rank}"),
            Some(_) | None => "cx".to_owned(),
        }
    }
}

/// The whole page.
pub(crate) fn page(doc: &PlanDoc) -> String {
    let colours = Colours::new(doc);
    let mut out = String::with_capacity(64 * 1024);
    let name = escape(&doc.graph);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{name}: plan</title>\n<style>{STYLE}</style></head>\n<body><main>\n\
         <h1>{name}</h1>\n<p class=\"lead\">{}</p>\n",
        escape(&lead(doc))
    );
    tiles(&mut out, doc);
    out.push_str("<section><h2>The graph</h2>\n");
    let drawing = drawing::drawing(doc, &colours);
    let _ = writeln!(out, "<p>{}</p>", escape(&about_drawing(doc, drawing.note.as_deref())));
    let _ = writeln!(out, "<div class=\"scroll pad\">{}</div></section>", drawing.inline());
    schedule::section(&mut out, doc, &colours);
    usage::section(&mut out, doc);
    tables::strategies(&mut out, doc);
    tables::levels(&mut out, doc);
    tables::functions(&mut out, doc, &colours);
    tables::redundant(&mut out, doc);
    out.push_str("</main></body></html>\n");
    out
}

/// The graph alone, as a file.
pub(crate) fn drawing(doc: &PlanDoc) -> String {
    drawing::drawing(doc, &Colours::new(doc)).standalone(&doc.graph)
}

fn lead(doc: &PlanDoc) -> String {
    let mut text = format!(
        "{} of {}, planned by {}",
        format::counted(doc.functions, "task"),
        format::counted(doc.analysis.functions.len() as u64, "function"),
        doc.strategy
    );
    if !doc.why.is_empty() {
        let _ = write!(text, " ({})", doc.why);
    }
    match doc.basis.as_str() {
        "" => {}
        "none" => {
            text.push_str("; nothing is known of how long anything takes: declare costs, or let it run once");
        }
        basis => {
            let _ = write!(text, "; expectations rest on {basis}");
        }
    }
    text.push('.');
    text
}

fn about_drawing(doc: &PlanDoc, note: Option<&str>) -> String {
    let mut text =
        "From left to right: what waits for what. A stack is a family, all its instances in one box; the strong line is the critical path."
            .to_owned();
    let held_up = shape::bottlenecks(&doc.analysis);
    if !held_up.is_empty() {
        let _ = write!(text, " The whole is held up by {}.", held_up.join(", "));
    }
    if let Some(note) = note {
        let _ = write!(text, " {note}");
    }
    text
}

fn tiles(out: &mut String, doc: &PlanDoc) {
    let analysis = &doc.analysis;
    let over = doc.makespan_s / doc.lower_bound_s - 1.0;
    let bound = if over.is_finite() && over > 0.000_5 {
        format!("{} over what is possible at best", format::percent(over))
    } else {
        "no plan can be shorter".to_owned()
    };
    let given: Vec<String> = doc
        .devices
        .iter()
        .take(3)
        .map(|device| format!("{} {}", device.device, format::percent(device.allocated_ratio)))
        .collect();
    let tiles = [
        ("makespan", format::seconds(doc.makespan_s), bound),
        (
            "critical path",
            format::seconds(analysis.critical_path_s),
            format::counted(analysis.critical_path.len() as u64, "task"),
        ),
        (
            "parallelism",
            format::amount((analysis.parallelism * 10.0).round() / 10.0),
            format!("{} of work", format::seconds(analysis.work_s)),
        ),
        (
            "devices used",
            format!("{} of {}", doc.devices.len(), doc.machine.len().max(doc.devices.len())),
            given.join(", "),
        ),
        ("cost", shape::money(doc.money), "by the prices of the configuration".to_owned()),
        ("energy", shape::joules(doc.joules), "above idling".to_owned()),
    ];
    out.push_str("<div class=\"tiles\">");
    for (name, value, more) in tiles {
        let _ = write!(
            out,
            "<div><span>{name}</span><b>{}</b><small>{}</small></div>",
            escape(&value),
            escape(&more)
        );
    }
    out.push_str("</div>\n");
}

#[cfg(test)]
mod tests;
