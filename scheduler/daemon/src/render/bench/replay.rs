//! Reports of `bench replay`: rows for `--json`, a table, a page.

use super::page::{TAIL, escape, head, ticks};
use crate::render::format;
use crate::render::page::{Line, Page};
use crate::render::style::{Style, Tone};
use crate::render::table::{Cell, Column, table};
use dunnage_sim::{Moment, ReplayOptions, ReplayReport, Times};
use serde::Serialize;
use std::fmt::Write as _;

/// What `bench replay` found.
#[derive(Clone, Debug)]
pub(crate) struct ReplayDoc {
    /// What was replayed, in a sentence.
    pub(crate) lead: String,
    /// What was left out of the trace, in a sentence.
    left_out: Option<String>,
    pub(crate) rows: Vec<ReplayRow>,
}

/// What `bench replay --json` says of a policy; times in seconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ReplayRow {
    trace: String,
    policy: String,
    strategy: String,
    jobs: usize,
    left_out: usize,
    /// The work that arrives over what the machine can do; none where all arrives at once.
    load: Option<f64>,
    succeeded: usize,
    mean_jct_s: f64,
    median_jct_s: f64,
    max_jct_s: f64,
    mean_wait_s: f64,
    max_wait_s: f64,
    makespan_s: f64,
    utilisation: f64,
    energy_j: f64,
    /// Over shortest-job-first with the true times.
    to_sjf: f64,
    /// Over the best row with the true times.
    regret: f64,
    #[serde(skip)]
    moments: Vec<Moment>,
}

impl ReplayDoc {
    pub(crate) fn new(report: &ReplayReport, options: &ReplayOptions, why: Option<&str>) -> Self {
        let times = match options.times {
            Times::True => "true times known".to_owned(),
            Times::Error { s } => format!("times known with a lognormal error of {s}"),
            Times::Learned => "times learned from jobs that have ended".to_owned(),
            Times::None => "times unknown".to_owned(),
        };
        let load = report.load.is_finite().then_some(report.load);
        let lead = format!(
            "{}: {}, {}, {} on {}",
            report.trace,
            format::counted(report.jobs as u64, "job"),
            load.map_or_else(|| "all at once".to_owned(), |load| format!("load {load:.2}")),
            times,
            match options.node.gpus.len() as u64 {
                0 => format!("{} cores", options.node.cpu.capacity),
                gpus => format::counted(gpus, "GPU"),
            }
        );
        let left_out = (report.left_out > 0).then(|| {
            format!(
                "{} left out{}",
                format::counted(report.left_out as u64, "line"),
                why.map(|why| format!(": {why}")).unwrap_or_default()
            )
        });
        let rows = report
            .rows
            .iter()
            .map(|row| ReplayRow {
                trace: report.trace.clone(),
                policy: row.policy.clone(),
                strategy: row.strategy.clone(),
                jobs: report.jobs,
                left_out: report.left_out,
                load,
                succeeded: row.succeeded,
                mean_jct_s: row.mean_jct_s,
                median_jct_s: row.median_jct_s,
                max_jct_s: row.max_jct_s,
                mean_wait_s: row.mean_wait_s,
                max_wait_s: row.max_wait_s,
                makespan_s: row.makespan_s,
                utilisation: row.utilisation,
                energy_j: row.energy_j,
                to_sjf: row.to_sjf,
                regret: row.regret,
                moments: row.moments.clone(),
            })
            .collect();
        Self { lead, left_out, rows }
    }
}

/// The best mean completion time first.
fn ordered(doc: &ReplayDoc) -> Vec<&ReplayRow> {
    let mut rows: Vec<&ReplayRow> = doc.rows.iter().collect();
    rows.sort_by(|a, b| a.mean_jct_s.total_cmp(&b.mean_jct_s));
    rows
}

/// A share above or below something else. What rounds to nothing has no sign but the plus.
fn signed(share: f64) -> String {
    let tenths = (1000.0 * share).round() / 10.0 + 0.0;
    format!("{tenths:+.1} %")
}

/// The report of `bench replay`.
pub(crate) fn text(doc: &ReplayDoc, style: &Style) -> String {
    let mut page = Page::new(style);
    page.line(&Line::new().add(Tone::Strong, doc.lead.as_str()));
    let lines = ordered(doc)
        .into_iter()
        .enumerate()
        .map(|(at, row)| {
            vec![
                Cell::new(if at == 0 { Tone::Strong } else { Tone::Plain }, row.policy.clone()),
                Cell::new(
                    if row.strategy == "random" { Tone::Dim } else { Tone::Plain },
                    row.strategy.clone(),
                ),
                Cell::new(if at == 0 { Tone::Good } else { Tone::Plain }, format::seconds(row.mean_jct_s)),
                signed(row.regret).into(),
                signed(row.to_sjf).into(),
                format::seconds(row.median_jct_s).into(),
                format::seconds(row.max_jct_s).into(),
                format::seconds(row.mean_wait_s).into(),
                format::seconds(row.max_wait_s).into(),
                format::seconds(row.makespan_s).into(),
                format::percent(row.utilisation).into(),
                format!("{} kWh", format::significant(row.energy_j / 3.6e6, 4)).into(),
                if row.succeeded == row.jobs {
                    Cell::from("")
                } else {
                    Cell::new(Tone::Bad, format!("{} of {}", row.succeeded, row.jobs))
                },
            ]
        })
        .collect();
    let columns = [
        Column::left("POLICY").shrinks(8),
        Column::left("STRATEGY").shrinks(8),
        Column::right("MEAN TIME"),
        Column::right("REGRET").expendable(1),
        Column::right("TO SJF").expendable(3),
        Column::right("MEDIAN").expendable(4),
        Column::right("LONGEST").expendable(5),
        Column::right("MEAN WAIT").expendable(2),
        Column::right("MAX WAIT"),
        Column::right("MAKESPAN").expendable(3),
        Column::right("IN USE").expendable(6),
        Column::right("ENERGY").expendable(7),
        Column::right("SUCCEEDED"),
    ];
    table(&mut page, 2, &columns, lines);
    page.line(&Line::new().add(
        Tone::Dim,
        "mean time: from submission to end; regret, to sjf: over the best row, and over shortest job first, with the true times",
    ));
    if let Some(left_out) = &doc.left_out {
        page.line(&Line::new().add(Tone::Warn, left_out.as_str()));
    }
    page.finish()
}

/// The page of `bench replay`.
pub(crate) fn html(doc: &ReplayDoc) -> String {
    let mut out = head("dunnage bench replay", "Policies and strategies compared", &format!("{}.", doc.lead));
    out.push_str(
        "<section><div class=\"scroll\"><table><thead><tr><th>policy</th><th>strategy</th><th class=\"bar\">mean time</th><th></th>\
         <th title=\"over the best row with the true times\">regret</th><th title=\"over shortest job first with the true times\">to sjf</th><th>median</th><th>longest</th><th>mean wait</th><th>max wait</th>\
         <th>makespan</th><th>in use</th><th>energy</th><th>succeeded</th></tr></thead><tbody>\n",
    );
    let most = doc.rows.iter().map(|row| row.mean_jct_s).fold(0.0, f64::max);
    for (at, row) in ordered(doc).into_iter().enumerate() {
        let _ = writeln!(
            out,
            "<tr{}><th scope=\"row\"><i class=\"dot c{}\"></i>{}</th><td>{}</td><td class=\"bar\"><i style=\"width:{:.1}%\"></i></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{} kWh</td><td>{} of {}</td></tr>",
            if row.strategy == "random" { " class=\"base\"" } else { "" },
            at % 8,
            escape(&row.policy),
            escape(&row.strategy),
            if most > 0.0 { (100.0 * row.mean_jct_s / most).clamp(0.5, 100.0) } else { 0.5 },
            format::seconds(row.mean_jct_s),
            signed(row.regret),
            signed(row.to_sjf),
            format::seconds(row.median_jct_s),
            format::seconds(row.max_jct_s),
            format::seconds(row.mean_wait_s),
            format::seconds(row.max_wait_s),
            format::seconds(row.makespan_s),
            format::percent(row.utilisation),
            format::significant(row.energy_j / 3.6e6, 4),
            row.succeeded,
            row.jobs
        );
    }
    out.push_str("</tbody></table></div>");
    if let Some(left_out) = &doc.left_out {
        let _ = write!(out, "<p>{}.</p>", escape(left_out));
    }
    out.push_str("</section>\n");
    curves(&mut out, doc, "In use over time (% of the machine)", Some(100.0), |moment| 100.0 * moment.used);
    curves(&mut out, doc, "Waiting for their first start over time", None, |moment| moment.waiting);
    out.push_str(TAIL);
    out
}

/// The size of a chart.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 64.0;

/// One line a row, all on the same axes. `top` is the end of the upright axis, where it does not go by the
/// values.
fn curves(out: &mut String, doc: &ReplayDoc, title: &str, top: Option<f64>, value: fn(&Moment) -> f64) {
    let rows = ordered(doc);
    let span = rows.iter().map(|row| row.makespan_s).fold(0.0, f64::max);
    let values = || rows.iter().flat_map(|row| &row.moments).map(value);
    let top = top.unwrap_or_else(|| values().fold(1.0, f64::max));
    if span <= 0.0 {
        return;
    }
    let x = |at: f64| LEFT + at / span * (WIDTH - LEFT - 10.0);
    let y = |part: f64| (HEIGHT - 24.0) * (1.0 - (part / top).clamp(0.0, 1.0)) + 4.0;
    let _ = write!(
        out,
        "<section><h2>{0}</h2>\n<svg class=\"plot\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{0}\">",
        escape(title)
    );
    for tick in ticks(span) {
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{0:.1} {1:.1}V{2:.1}\"/><text class=\"tick\" x=\"{0:.1}\" y=\"{3:.1}\">{4}</text>",
            x(tick),
            y(top),
            y(0.0),
            HEIGHT - 4.0,
            escape(&format::seconds(tick))
        );
    }
    for part in ticks(top) {
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{LEFT} {0:.1}H{WIDTH}\"/><text class=\"name\" x=\"{1:.1}\" y=\"{2:.1}\">{3}</text>",
            y(part),
            LEFT - 8.0,
            y(part) + 4.0,
            escape(&format::significant(part, 4))
        );
    }
    for (at, row) in rows.iter().enumerate() {
        let mut points = String::new();
        for (n, moment) in row.moments.iter().enumerate() {
            let until = row.moments.get(n + 1).map_or(row.makespan_s, |next| next.at_s);
            let height = y(value(moment));
            let _ = write!(points, "{:.1},{height:.1} {:.1},{height:.1} ", x(moment.at_s), x(until));
        }
        let _ = write!(
            out,
            "<polyline class=\"s{}\" points=\"{}\"><title>{}, {}</title></polyline>",
            at % 8,
            points.trim_end(),
            escape(&row.policy),
            escape(&row.strategy)
        );
    }
    out.push_str("</svg></section>\n");
}
