//! Reports of `bench pack`: rows for `--json`, a table of means, a page with curves.

use super::page::{TAIL, escape, head, ticks};
use crate::render::format;
use crate::render::page::{Line, Page};
use crate::render::style::{Style, Tone};
use crate::render::table::{Cell, Column, table};
use dunnage_sim::openb::{Bin, PackReport};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What `bench pack --json` says of a policy and a seed; parts of a whole in percent.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PackRow {
    pub(crate) policy: &'static str,
    pub(crate) tie: &'static str,
    pub(crate) seed: u64,
    pub(crate) alloc_100: Option<f64>,
    pub(crate) alloc_130: f64,
    pub(crate) frag_130: f64,
    pub(crate) placements: u64,
    pub(crate) median_place_us: f64,
    node_order: String,
    arrivals: u64,
    failures: FailuresDoc,
    #[serde(skip)]
    bins: Vec<Bin>,
    /// Whether the user asked for this policy.
    #[serde(skip)]
    pub(crate) asked: bool,
}

/// Pods that fitted nowhere, by class.
#[derive(Clone, Copy, Debug, Serialize)]
struct FailuresDoc {
    cpu_only: u64,
    shared: u64,
    whole: u64,
    multi: u64,
    /// Of these, pods that would fit no node if it were empty.
    hopeless: u64,
}

impl PackRow {
    pub(crate) fn new(report: PackReport, asked: bool) -> Self {
        Self {
            policy: report.policy.name(),
            tie: report.tie.name(),
            seed: report.seed,
            alloc_100: report.alloc_100,
            alloc_130: report.alloc_130,
            frag_130: report.frag_130,
            placements: report.placements,
            median_place_us: report.median_place_us,
            node_order: report.node_order.to_string(),
            arrivals: report.arrivals,
            failures: FailuresDoc {
                cpu_only: report.failures.cpu_only,
                shared: report.failures.shared,
                whole: report.failures.whole,
                multi: report.failures.multi,
                hopeless: report.hopeless,
            },
            bins: report.bins,
            asked,
        }
    }
}

/// A policy over all seeds.
struct Mean<'r> {
    policy: &'static str,
    rows: Vec<&'r PackRow>,
}

impl Mean<'_> {
    fn of(&self, value: impl Fn(&PackRow) -> f64) -> f64 {
        self.rows.iter().map(|row| value(row)).sum::<f64>() / self.rows.len().max(1) as f64
    }

    /// The standard deviation of a sample.
    fn deviation(&self) -> Option<f64> {
        let mean = self.of(|row| row.alloc_130);
        let squares: f64 = self.rows.iter().map(|row| (row.alloc_130 - mean).powi(2)).sum();
        (self.rows.len() > 1).then(|| (squares / (self.rows.len() - 1) as f64).sqrt())
    }
}

/// By policy, the best first.
fn means(rows: &[PackRow]) -> Vec<Mean<'_>> {
    let mut all: Vec<Mean<'_>> = Vec::new();
    for row in rows {
        match all.iter_mut().find(|mean| mean.policy == row.policy) {
            Some(mean) => mean.rows.push(row),
            None => all.push(Mean { policy: row.policy, rows: vec![row] }),
        }
    }
    all.sort_by(|a, b| b.of(|row| row.alloc_130).total_cmp(&a.of(|row| row.alloc_130)));
    all
}

/// What was replayed, in a sentence.
fn lead(rows: &[PackRow]) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let seeds = rows.iter().filter(|row| row.policy == first.policy).count() as u64;
    format!(
        "{} from seed {}, ties by {}, nodes in order {}, about {} pods each",
        format::counted(seeds, "replay"),
        first.seed,
        first.tie,
        first.node_order,
        format::count(first.arrivals)
    )
}

/// The report of `bench pack`.
pub(crate) fn text(rows: &[PackRow], style: &Style) -> String {
    let mut page = Page::new(style);
    page.line(&Line::new().add(Tone::Strong, "GPU share allocated").plain(format!(": {}", lead(rows))));
    let lines = means(rows)
        .iter()
        .enumerate()
        .map(|(at, mean)| {
            let base = mean.policy == "random";
            let at_100 = mean.rows.iter().all(|row| row.alloc_100.is_some());
            vec![
                Cell::new(
                    if at == 0 {
                        Tone::Strong
                    } else if base {
                        Tone::Dim
                    } else {
                        Tone::Plain
                    },
                    mean.policy,
                ),
                if at_100 {
                    percent(mean.of(|row| row.alloc_100.unwrap_or(0.0))).into()
                } else {
                    Cell::from("")
                },
                Cell::new(
                    if at == 0 { Tone::Good } else { Tone::Plain },
                    percent(mean.of(|row| row.alloc_130)),
                ),
                mean.deviation().map_or_else(String::new, |deviation| format!("{deviation:.2}")).into(),
                percent(mean.of(|row| row.frag_130)).into(),
                count(mean.of(|row| row.placements as f64)).into(),
                count(mean.of(|row| row.failures.cpu_only as f64)).into(),
                count(mean.of(|row| row.failures.shared as f64)).into(),
                count(mean.of(|row| row.failures.whole as f64)).into(),
                count(mean.of(|row| row.failures.multi as f64)).into(),
                format!("{:.2} us", mean.of(|row| row.median_place_us)).into(),
            ]
        })
        .collect();
    let columns = [
        Column::left("POLICY").shrinks(8),
        Column::right("AT 100 %").expendable(4),
        Column::right("AT TARGET"),
        Column::right("SD").expendable(5),
        Column::right("FRAGMENTED").expendable(3),
        Column::right("PLACED").expendable(2),
        Column::right("FAILED CPU").expendable(1),
        Column::right("SHARED").expendable(1),
        Column::right("1 GPU").expendable(1),
        Column::right("MORE").expendable(1),
        Column::right("MEDIAN TIME").expendable(6),
    ];
    table(&mut page, 2, &columns, lines);
    let hopeless = rows.iter().map(|row| row.failures.hopeless).max().unwrap_or(0);
    if hopeless > 0 {
        let line = format!("{} would fit no node even if it were empty", format::counted(hopeless, "pod"));
        page.line(&Line::new().add(Tone::Warn, line));
    }
    page.finish()
}

fn percent(value: f64) -> String {
    format!("{value:.2} %")
}

fn count(value: f64) -> String {
    format!("{value:.0}")
}

/// The size of the chart.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 52.0;

/// The page of `bench pack`.
pub(crate) fn html(rows: &[PackRow]) -> String {
    let mut out = head("dunnage bench pack", "Packing policies compared", &format!("{}.", lead(rows)));
    out.push_str(
        "<section><div class=\"scroll\"><table><thead><tr><th>policy</th><th>at 100 %</th><th>at target</th>\
         <th title=\"standard deviation over the seeds\">sd</th><th title=\"of what is free, the part that no typical pod can use\">fragmented</th>\
         <th>placed</th><th>failed: CPU only</th><th>shared</th><th>one GPU</th><th>more</th><th>median time</th></tr></thead><tbody>\n",
    );
    let means = means(rows);
    for (at, mean) in means.iter().enumerate() {
        let _ = writeln!(
            out,
            "<tr{}><th scope=\"row\"><i class=\"dot c{}\"></i>{}</th><td>{}</td><td><b>{}</b></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.2} us</td></tr>",
            if mean.policy == "random" { " class=\"base\"" } else { "" },
            at % 8,
            escape(mean.policy),
            if mean.rows.iter().all(|row| row.alloc_100.is_some()) {
                percent(mean.of(|row| row.alloc_100.unwrap_or(0.0)))
            } else {
                String::new()
            },
            percent(mean.of(|row| row.alloc_130)),
            mean.deviation().map_or_else(String::new, |deviation| format!("{deviation:.2}")),
            percent(mean.of(|row| row.frag_130)),
            count(mean.of(|row| row.placements as f64)),
            count(mean.of(|row| row.failures.cpu_only as f64)),
            count(mean.of(|row| row.failures.shared as f64)),
            count(mean.of(|row| row.failures.whole as f64)),
            count(mean.of(|row| row.failures.multi as f64)),
            mean.of(|row| row.median_place_us)
        );
    }
    out.push_str("</tbody></table></div></section>\n");
    for (title, value) in [
        ("Allocated, by what has arrived (% of the GPUs)", (|bin: &Bin| bin.alloc) as fn(&Bin) -> f64),
        ("Fragmented, by what has arrived (% of what is free)", |bin| bin.frag),
    ] {
        let _ = writeln!(out, "<section><h2>{title}</h2>");
        curves(&mut out, &means, value);
        out.push_str("</section>\n");
    }
    out.push_str(TAIL);
    out
}

fn curves(out: &mut String, means: &[Mean<'_>], value: fn(&Bin) -> f64) {
    let last =
        means.iter().flat_map(|mean| &mean.rows).flat_map(|row| &row.bins).map(|bin| bin.arrived).max();
    let Some(last) = last.filter(|last| *last > 0) else { return };
    let x = |arrived: f64| LEFT + arrived / f64::from(last) * (WIDTH - LEFT - 10.0);
    let y = |part: f64| (HEIGHT - 24.0) * (1.0 - part.clamp(0.0, 100.0) / 100.0) + 4.0;
    let _ = write!(out, "<svg class=\"plot\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">");
    for tick in ticks(f64::from(last)) {
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{0:.1} {1:.1}V{2:.1}\"/><text class=\"tick\" x=\"{0:.1}\" y=\"{3:.1}\">{tick}</text>",
            x(tick),
            y(100.0),
            y(0.0),
            HEIGHT - 4.0
        );
    }
    for part in [0.0, 20.0, 40.0, 60.0, 80.0, 100.0] {
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{LEFT} {0:.1}H{WIDTH}\"/><text class=\"name\" x=\"{1:.1}\" y=\"{2:.1}\">{part}</text>",
            y(part),
            LEFT - 8.0,
            y(part) + 4.0
        );
    }
    for (at, mean) in means.iter().enumerate() {
        let mut bins: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
        for bin in mean.rows.iter().flat_map(|row| &row.bins) {
            let sum = bins.entry(bin.arrived).or_default();
            *sum = (sum.0 + value(bin), sum.1 + 1.0);
        }
        let points: Vec<String> = bins
            .iter()
            .filter(|(_, (sum, _))| sum.is_finite())
            .map(|(arrived, (sum, n))| format!("{:.1},{:.1}", x(f64::from(*arrived)), y(sum / n)))
            .collect();
        let _ = write!(
            out,
            "<polyline class=\"s{}\" points=\"{}\"><title>{}</title></polyline>",
            at % 8,
            points.join(" "),
            escape(mean.policy)
        );
    }
    out.push_str("</svg>\n");
}
