//! `queue`: a line a graph.

use super::format;
use super::page::{Line, Page};
use super::style::{Style, Tone};
use super::table::{Cell, Column, table};
use dunnage_wire::api::QueueRow;

/// From this width on, progress is drawn beside the numbers.
const BAR_FROM: usize = 100;
const BAR_CELLS: usize = 10;

/// The graphs in the order given. `now_s` is the wall clock, in seconds since 1970. With `ahead` there are
/// columns for the predicted start and end of what lives.
pub(crate) fn queue(rows: &[QueueRow], now_s: f64, ahead: bool, style: &Style) -> String {
    let mut page = Page::new(style);
    if rows.is_empty() {
        page.line(&Line::new().add(Tone::Dim, "no graphs"));
        return page.finish();
    }
    let mut columns = vec![
        Column::right("ID"),
        Column::left("NAME").shrinks(8),
        Column::left("STATE"),
        Column::right("DONE").expendable(1),
        Column::left("").expendable(6),
        Column::right("RUN").expendable(3),
        Column::right("FAIL").expendable(2),
        Column::right("AGE").expendable(4),
    ];
    if ahead {
        columns.push(Column::right("STARTS IN"));
        columns.push(Column::right("ENDS IN"));
    }
    columns.push(Column::left("REASON").shrinks(10).expendable(5));
    let cells = rows
        .iter()
        .map(|row| {
            let done = done(row);
            let share = if row.functions == 0 { 1.0 } else { done as f64 / row.functions as f64 };
            let bar =
                if style.width >= BAR_FROM { format::bar(share, BAR_CELLS, style) } else { String::new() };
            let mut cells = vec![
                Cell::from(row.id.as_str()),
                Cell::from(row.name.as_str()),
                Cell::new(Tone::of_state(&row.state), row.state.as_str()),
                format!("{}/{}", format::count(done), format::count(row.functions)).into(),
                Cell::new(Tone::Dim, bar),
                Cell::new(if row.running > 0 { Tone::Warn } else { Tone::Dim }, format::count(row.running)),
                Cell::new(if row.failed > 0 { Tone::Bad } else { Tone::Dim }, format::count(row.failed)),
                format::age(now_s - row.submitted_at).into(),
            ];
            if ahead {
                for seconds in [row.start_s, row.end_s] {
                    cells.push(seconds.map(format::age).unwrap_or_default().into());
                }
            }
            cells.push(Cell::new(Tone::Dim, row.reason.as_deref().unwrap_or_default()));
            cells
        })
        .collect();
    table(&mut page, 0, &columns, cells);
    page.finish()
}

/// How many functions will not run any more.
fn done(row: &QueueRow) -> u64 {
    row.succeeded.saturating_add(row.failed).saturating_add(row.cancelled).saturating_add(row.compensated)
}

#[cfg(test)]
mod tests {
    use super::super::sample::{self, check_page};
    use super::*;

    #[test]
    fn an_empty_queue_says_so() {
        assert_eq!(queue(&[], 0.0, false, &sample::plain(80)), "no graphs\n");
    }

    #[test]
    fn a_row_shows_what_is_asked_first() {
        let row = QueueRow { reason: Some("waits for a GPU".to_owned()), ..sample::queue_row() };
        let text = queue(&[row], 160.0, false, &sample::plain(80));
        assert_eq!(
            text,
            "ID  NAME   STATE      DONE  RUN  FAIL  AGE  REASON\n \
             3  sweep  running  42/617    4     1  60s  waits for a GPU\n"
        );
    }

    #[test]
    fn predictions_have_columns_of_their_own() {
        let row = QueueRow { start_s: Some(90.0), end_s: Some(3700.0), ..sample::queue_row() };
        let text = queue(&[row], 160.0, true, &sample::plain(90));
        assert!(text.contains("STARTS IN") && text.contains("ENDS IN"), "{text}");
        assert!(text.contains("1m30s") || text.contains("90s") || text.contains("1m"), "{text}");
    }

    #[test]
    fn huge_and_strange_rows_fit() {
        let row = QueueRow {
            id: "18446744073709551615".to_owned(),
            name: "日本\x1b[31m語".repeat(40),
            functions: u64::MAX,
            queued: u64::MAX,
            succeeded: u64::MAX,
            failed: u64::MAX,
            submitted_at: f64::NAN,
            reason: Some("a\nb ".repeat(100)),
            ..sample::queue_row()
        };
        let rows = vec![row, sample::queue_row()];
        for style in sample::styles() {
            check_page(&queue(&rows, 5.0, false, &style), &style);
            check_page(&queue(&rows, 5.0, true, &style), &style);
        }
    }
}
