//! The laboratory's tables for a terminal.

use super::summary::{best, meets, random, ratio};
use super::{Amount, PlanBench, PlanRow, Standing, standings};
use crate::render::format;
use crate::render::page::{Line, Page};
use crate::render::style::{Style, Tone};
use crate::render::table::{Cell, Column, table};

/// With more instances than this, only the first ones are listed one by one.
const LISTED: usize = 24;

/// The report of `bench plan`.
pub(crate) fn plan(bench: &PlanBench, style: &Style) -> String {
    let mut page = Page::new(style);
    let instances = bench.begins.len();
    let several = instances > 1;
    for (at, rows) in bench.instances().take(LISTED).enumerate() {
        if at > 0 {
            page.blank();
        }
        instance(&mut page, rows);
    }
    if instances > LISTED {
        page.blank();
        let more = (instances - LISTED) as u64;
        page.line(&Line::new().add(
            Tone::Dim,
            format!("+{}; --json and --html have them all", format::counted(more, "more instance")),
        ));
    }
    if several {
        page.heading(format!("over {}", format::counted(instances as u64, "instance")));
        overall(&mut page, &standings(bench));
    }
    page.finish()
}

fn instance(page: &mut Page<'_>, rows: &[PlanRow]) {
    let Some(first) = rows.first() else { return };
    page.line(
        &Line::new()
            .add(Tone::Strong, first.instance.as_str())
            .plain(format!(": {}", format::counted(first.tasks.into(), "task")))
            .add(
                Tone::Dim,
                format!(", {}, no schedule is shorter than {}", first.format, time(first.lower_bound)),
            ),
    );
    let (best, random) = (best(rows), random(rows));
    let mut order: Vec<&PlanRow> = rows.iter().collect();
    order.sort_by(|a, b| {
        let worse = |row: &PlanRow| (!row.valid, row.strategy == "random");
        let (bad, good) = (worse(a), worse(b));
        bad.0
            .cmp(&good.0)
            .then(a.makespan.time.total_cmp(&b.makespan.time))
            .then(bad.1.cmp(&good.1))
            .then(a.plan_ms.total_cmp(&b.plan_ms))
    });
    let lines = order
        .into_iter()
        .map(|row| {
            let makespan = row.makespan.time;
            let is_best = row.valid && meets(makespan, best);
            let tone = if is_best { Tone::Good } else { Tone::Plain };
            let optimal = row.valid && meets(makespan, row.lower_bound.time);
            vec![
                Cell::new(
                    if row.strategy == "random" { Tone::Dim } else { Tone::Plain },
                    row.strategy.clone(),
                ),
                Cell::new(tone, time(row.makespan)),
                if optimal {
                    Cell::new(Tone::Good, "optimal")
                } else {
                    percentage(ratio(makespan, row.lower_bound.time) - 1.0).into()
                },
                if is_best {
                    Cell::new(Tone::Good, "best")
                } else {
                    percentage(ratio(makespan, best) - 1.0).into()
                },
                random.map_or_else(String::new, |random| format!("{:.3}", ratio(makespan, random))).into(),
                format::seconds(row.plan_ms / 1e3).into(),
                format::count(row.schedules).into(),
                match &row.invalid {
                    None => Cell::from(""),
                    Some(why) => Cell::new(Tone::Bad, format!("NOT VALID: {why}")),
                },
            ]
        })
        .collect();
    let columns = [
        Column::left("STRATEGY").shrinks(8),
        Column::right("MAKESPAN"),
        Column::right("OVER BOUND"),
        Column::right("OVER BEST").expendable(2),
        Column::right("TO RANDOM").expendable(3),
        Column::right("PLANNED IN").expendable(4),
        Column::right("SCHEDULES").expendable(5),
        Column::left("").shrinks(12),
    ];
    table(page, 2, &columns, lines);
}

fn overall(page: &mut Page<'_>, standings: &[Standing]) {
    let invalid = standings.iter().any(|standing| standing.invalid > 0);
    let lines = standings
        .iter()
        .enumerate()
        .map(|(at, standing)| {
            vec![
                Cell::new(
                    if at == 0 {
                        Tone::Strong
                    } else if standing.strategy == "random" {
                        Tone::Dim
                    } else {
                        Tone::Plain
                    },
                    standing.strategy.clone(),
                ),
                Cell::new(if at == 0 { Tone::Good } else { Tone::Plain }, format!("{:.4}", standing.to_best)),
                format!("{} of {}", standing.wins, standing.instances).into(),
                percentage(standing.gap).into(),
                format!("{}", standing.proved).into(),
                format!("{:.3}", standing.to_random).into(),
                format::seconds(standing.plan_ms / 1e3).into(),
                if invalid { Cell::new(Tone::Bad, format!("{}", standing.invalid)) } else { Cell::from("") },
            ]
        })
        .collect();
    let columns = [
        Column::left("STRATEGY").shrinks(8),
        Column::right("TO BEST"),
        Column::right("BEST ON"),
        Column::right("OVER BOUND"),
        Column::right("PROVED OPTIMAL").expendable(2),
        Column::right("TO RANDOM").expendable(3),
        Column::right("PLANNED IN").expendable(4),
        Column::right("NOT VALID"),
    ];
    table(page, 2, &columns, lines);
    page.line(&Line::new().add(
        Tone::Dim,
        "to best, to random: geometric means of makespans over those; over bound: mean; planned in: mean CPU time",
    ));
}

/// A time in the file's own unit.
pub(super) fn time(amount: Amount) -> String {
    if amount.time.fract() == 0.0 && amount.time.abs() < 1e15 {
        format!("{:.0}", amount.time)
    } else {
        format::significant(amount.time, 6)
    }
}

/// A share as a percentage with two decimals.
pub(super) fn percentage(share: f64) -> String {
    if share.is_finite() { format!("{:.2} %", 100.0 * share) } else { format::NONE.to_owned() }
}
