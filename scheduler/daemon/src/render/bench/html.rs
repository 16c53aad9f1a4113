//! The laboratory's page: one file without anything from elsewhere, for light and dark screens.
//!
//! Standings, then a matrix of instances and strategies, then Gantt charts of the first instances, each
//! chart of an instance on the same axis. Texts come from files of others, so every one is escaped.

use super::page::{TAIL, escape, head, ticks};
use super::summary::{best, ratio};
use super::text::{percentage, time};
use super::{Chart, PlanBench, PlanRow, standings};
use crate::render::format;
use std::fmt::Write as _;

/// More instances than this are in the standings alone.
const LISTED: usize = 2_000;

/// Lanes of a chart; more are counted.
const LANES_MAX: usize = 64;

/// The size of a chart, in its own units.
const WIDTH: f64 = 1000.0;
const LANE: f64 = 18.0;
const AXIS: f64 = 22.0;

/// The report of `bench plan`.
pub(crate) fn plan(bench: &PlanBench) -> String {
    let instances = bench.begins.len() as u64;
    let format = bench.rows.first().map_or("", |row| row.format);
    let lead = format!(
        "{} of the format {format}, each schedule judged by a checker that knows the file alone.",
        format::counted(instances, "instance")
    );
    let mut out = head("dunnage bench plan", "Strategies compared", &lead);
    standing_table(&mut out, bench);
    matrix(&mut out, bench);
    charts(&mut out, bench);
    out.push_str(TAIL);
    out
}

fn standing_table(out: &mut String, bench: &PlanBench) {
    let all = standings(bench);
    let worst = all.iter().map(|standing| standing.to_best).filter(|r| r.is_finite()).fold(1.0, f64::max);
    out.push_str(
        "<section><h2>Standings</h2><div class=\"scroll\"><table><thead><tr><th>strategy</th>\
         <th class=\"bar\" title=\"geometric mean of the makespan over the least of all strategies\">to best</th><th></th>\
         <th title=\"on how many instances nobody was better\">best on</th>\
         <th title=\"mean distance to the lower bound\">over bound</th>\
         <th title=\"met the lower bound, so no schedule is shorter\">proved optimal</th>\
         <th title=\"geometric mean of the makespan over that of random\">to random</th>\
         <th title=\"mean CPU time of planning\">planned in</th><th>valid</th></tr></thead><tbody>\n",
    );
    for standing in &all {
        let part = if worst > 1.0 { (standing.to_best - 1.0) / (worst - 1.0) } else { 0.0 };
        let class = if standing.strategy == "random" { " class=\"base\"" } else { "" };
        let _ = writeln!(
            out,
            "<tr{class}><th scope=\"row\">{}</th><td class=\"bar\"><i style=\"width:{:.1}%\"></i></td>\
             <td>{:.4}</td><td>{} of {}</td><td>{}</td><td>{}</td><td>{:.3}</td><td>{}</td><td>{}</td></tr>",
            escape(&standing.strategy),
            (100.0 * part).clamp(0.5, 100.0),
            standing.to_best,
            standing.wins,
            standing.instances,
            percentage(standing.gap),
            standing.proved,
            standing.to_random,
            format::seconds(standing.plan_ms / 1e3),
            if standing.invalid == 0 {
                "all".to_owned()
            } else {
                format!("<b class=\"bad\">{} not</b>", standing.invalid)
            }
        );
    }
    out.push_str("</tbody></table></div></section>\n");
}

/// Instances by strategies, each cell the makespan, shaded by its distance to the best of its row.
fn matrix(out: &mut String, bench: &PlanBench) {
    let order: Vec<String> = standings(bench).into_iter().map(|standing| standing.strategy).collect();
    out.push_str(
        "<section><h2>Makespans</h2><p>The stronger the colour, the further from the best of the row; a dot \
         marks the best, a ring what meets the lower bound.</p><div class=\"scroll tall\"><table class=\"matrix\"><thead><tr><th>instance</th>\
         <th>tasks</th><th>bound</th>",
    );
    for strategy in &order {
        let _ = write!(out, "<th>{}</th>", escape(strategy));
    }
    out.push_str("</tr></thead><tbody>\n");
    for rows in bench.instances().take(LISTED) {
        let Some(first) = rows.first() else { continue };
        let least = best(rows);
        let _ = write!(
            out,
            "<tr><th scope=\"row\" title=\"{}\">{}</th><td>{}</td><td>{}</td>",
            escape(&first.instance),
            escape(short(&first.instance)),
            first.tasks,
            escape(&time(first.lower_bound))
        );
        for strategy in &order {
            match rows.iter().find(|row| row.strategy == *strategy) {
                Some(row) => cell(out, row, least),
                None => out.push_str("<td></td>"),
            }
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>");
    let hidden = bench.begins.len().saturating_sub(LISTED);
    if hidden > 0 {
        let _ = write!(out, "<p>+{hidden} more instances.</p>");
    }
    out.push_str("</section>\n");
}

fn cell(out: &mut String, row: &PlanRow, least: f64) {
    let over = ratio(row.makespan.time, least) - 1.0;
    // 0 to 5: by how much it is over the best, 1 % to 100 %.
    let shade = [0.000_001, 0.01, 0.05, 0.2, 0.5].iter().filter(|limit| over > **limit).count();
    let optimal = row.makespan.time <= row.lower_bound.time * (1.0 + 1e-9);
    let mark = if optimal {
        "<i>◦</i>"
    } else if shade == 0 {
        "<i>•</i>"
    } else {
        ""
    };
    let title = match &row.invalid {
        Some(why) => format!("not valid: {why}"),
        None => format!(
            "{} over the best, {} over the bound, planned in {}, {}{}{}",
            percentage(over),
            percentage(ratio(row.makespan.time, row.lower_bound.time) - 1.0),
            format::seconds(row.plan_ms / 1e3),
            format::counted(row.schedules, "schedule"),
            if row.why.is_empty() { "" } else { ": " },
            row.why
        ),
    };
    let class = if row.valid { format!("h{shade}") } else { "bad".to_owned() };
    let _ = write!(
        out,
        "<td class=\"{class}\" title=\"{}\">{mark}{}</td>",
        escape(&title),
        escape(&time(row.makespan))
    );
}

fn charts(out: &mut String, bench: &PlanBench) {
    if bench.charts.is_empty() {
        return;
    }
    out.push_str("<section><h2>Schedules</h2>\n");
    let mut drawn = 0;
    for (at, begin) in bench.begins.iter().enumerate() {
        let end = bench.begins.get(at + 1).copied().unwrap_or(bench.rows.len());
        let mut here: Vec<&Chart> =
            bench.charts.iter().filter(|chart| (*begin..end).contains(&chart.row)).collect();
        if here.is_empty() {
            continue;
        }
        drawn += 1;
        here.sort_by(|a, b| {
            bench.rows[a.row]
                .makespan
                .time
                .total_cmp(&bench.rows[b.row].makespan.time)
                .then(a.row.cmp(&b.row))
        });
        let span = here.iter().map(|chart| bench.rows[chart.row].makespan.time).fold(0.0, f64::max);
        let bound = bench.rows[*begin].lower_bound.time;
        let _ = writeln!(
            out,
            "<details{}><summary>{} <span>{}</span></summary>",
            if drawn <= 2 { " open" } else { "" },
            escape(short(&bench.rows[*begin].instance)),
            escape(&format::counted(bench.rows[*begin].tasks.into(), "task"))
        );
        // Schedules that are the same are drawn once.
        let mut groups: Vec<(&Chart, Vec<&str>)> = Vec::new();
        for chart in here {
            let strategy = bench.rows[chart.row].strategy.as_str();
            match groups.iter_mut().find(|(known, _)| known.bars == chart.bars) {
                Some((_, strategies)) => strategies.push(strategy),
                None => groups.push((chart, vec![strategy])),
            }
        }
        for (chart, strategies) in groups {
            let row = &bench.rows[chart.row];
            let _ = writeln!(
                out,
                "<figure><figcaption><b>{}</b> makespan {}{}</figcaption>",
                escape(&strategies.join(", ")),
                escape(&time(row.makespan)),
                if row.valid { "" } else { " <b class=\"bad\">not valid</b>" }
            );
            gantt(out, chart, span, bound);
            out.push_str("</figure>\n");
        }
        out.push_str("</details>\n");
    }
    if drawn < bench.begins.len() {
        let _ = write!(out, "<p>The other {} instances are not drawn.</p>", bench.begins.len() - drawn);
    }
    out.push_str("</section>\n");
}

fn gantt(out: &mut String, chart: &Chart, span: f64, bound: f64) {
    let lanes = chart.lanes.len().clamp(1, LANES_MAX);
    let height = lanes as f64 * LANE + AXIS;
    let label = if chart.lanes.iter().all(String::is_empty) { 8.0 } else { 92.0 };
    let scale = if span > 0.0 { (WIDTH - label - 8.0) / span } else { 0.0 };
    let _ = write!(out, "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Gantt chart\">");
    let plot = lanes as f64 * LANE;
    for tick in ticks(span) {
        let x = label + tick * scale;
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{x:.1} 0V{plot}\"/><text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
            plot + 15.0,
            escape(&format::significant(tick, 6))
        );
    }
    for (at, name) in chart.lanes.iter().take(lanes).enumerate() {
        let y = at as f64 * LANE;
        let _ = write!(
            out,
            "<path class=\"lane\" d=\"M{label} {:.1}H{WIDTH}\"/><text class=\"name\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            y + LANE,
            label - 8.0,
            y + LANE - 5.0,
            escape(name)
        );
    }
    let mut hidden = 0;
    for (lane, start, end, task) in &chart.bars {
        if *lane as usize >= lanes {
            hidden += 1;
            continue;
        }
        let (x, wide) = (label + start * scale, ((end - start) * scale).max(0.4));
        let y = f64::from(*lane) * LANE + 2.0;
        let _ = write!(
            out,
            "<rect class=\"c{}\" x=\"{x:.2}\" y=\"{y}\" width=\"{wide:.2}\" height=\"{}\"><title>{}: {} to {}</title></rect>",
            colour(task),
            LANE - 4.0,
            escape(task),
            escape(&format::significant(*start, 6)),
            escape(&format::significant(*end, 6))
        );
        let letters = task.chars().count() as f64;
        if wide > 7.0 * letters + 4.0 {
            let _ = write!(
                out,
                "<text class=\"task\" x=\"{:.2}\" y=\"{:.1}\">{}</text>",
                x + wide / 2.0,
                y + 10.5,
                escape(task)
            );
        }
    }
    let x = label + bound * scale;
    let _ = write!(
        out,
        "<path class=\"bound\" d=\"M{x:.1} 0V{plot}\"><title>no schedule is shorter than this</title></path></svg>"
    );
    if hidden > 0 {
        let _ = write!(out, "<p>+{hidden} tasks on further lanes</p>");
    }
}

/// One of eight colours: tasks of one family, such as `blast_3` and `blast_4`, have the same.
fn colour(task: &str) -> u32 {
    let family = task.trim_end_matches(|c: char| c.is_ascii_digit() || "_-.".contains(c));
    let family = family.strip_suffix("_ID").unwrap_or(family);
    let named = if family.is_empty() { task } else { family };
    named.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 8
}

/// The file's name without its folders.
fn short(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}
