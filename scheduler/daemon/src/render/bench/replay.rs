//! Reports of `bench replay`: rows for `--json`, a table, a page.

use super::page::{TAIL, escape, head};
use crate::render::format;
use crate::render::page::{Line, Page};
use crate::render::style::{Style, Tone};
use crate::render::table::{Cell, Column, table};
use dunnage_sim::{ReplayOptions, ReplayReport, Times};
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
    regret: f64,
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
                regret: row.regret,
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

fn regret(row: &ReplayRow) -> String {
    format!("{:+.1} %", 100.0 * row.regret)
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
                Cell::new(if at == 0 { Tone::Good } else { Tone::Plain }, format::seconds(row.mean_jct_s)),
                regret(row).into(),
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
        Column::right("MEAN TIME"),
        Column::right("TO SJF").expendable(1),
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
        "mean time: from submission to end; to sjf: over shortest job first with the true times",
    ));
    if let Some(left_out) = &doc.left_out {
        page.line(&Line::new().add(Tone::Warn, left_out.as_str()));
    }
    page.finish()
}

/// The page of `bench replay`.
pub(crate) fn html(doc: &ReplayDoc) -> String {
    let mut out = head("dunnage bench replay", "Policies of the queue compared", &format!("{}.", doc.lead));
    out.push_str(
        "<section><div class=\"scroll\"><table><thead><tr><th>policy</th><th class=\"bar\">mean time</th><th></th>\
         <th title=\"over shortest job first with the true times\">to sjf</th><th>median</th><th>longest</th><th>mean wait</th><th>max wait</th>\
         <th>makespan</th><th>in use</th><th>energy</th><th>succeeded</th></tr></thead><tbody>\n",
    );
    let most = doc.rows.iter().map(|row| row.mean_jct_s).fold(0.0, f64::max);
    for row in ordered(doc) {
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td class=\"bar\"><i style=\"width:{:.1}%\"></i></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{} kWh</td><td>{} of {}</td></tr>",
            escape(&row.policy),
            if most > 0.0 { (100.0 * row.mean_jct_s / most).clamp(0.5, 100.0) } else { 0.5 },
            format::seconds(row.mean_jct_s),
            regret(row),
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
    out.push_str(TAIL);
    out
}
