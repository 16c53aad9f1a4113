//! Columns that fit a width: the flexible ones shrink first, then the least important ones go.

use super::page::{Line, Page};
use super::style::Tone;
use super::text;

/// Between two columns.
const GAP: usize = 2;

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    head: &'static str,
    right: bool,
    /// To what width it may shrink; `None`: it keeps its own.
    shrink_to: Option<usize>,
    /// The column with the highest goes first where there is no room; 0 stays.
    expendable: u8,
}

impl Column {
    /// A column for words.
    pub(crate) fn left(head: &'static str) -> Self {
        Self { head, right: false, shrink_to: None, expendable: 0 }
    }

    /// A column for numbers.
    pub(crate) fn right(head: &'static str) -> Self {
        Self { head, right: true, shrink_to: None, expendable: 0 }
    }

    /// May shrink to this width.
    pub(crate) fn shrinks(mut self, columns: usize) -> Self {
        self.shrink_to = Some(columns);
        self
    }

    /// May be left out; the highest goes first.
    pub(crate) fn expendable(mut self, rank: u8) -> Self {
        self.expendable = rank;
        self
    }
}

/// A cell: its text and its tone.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    tone: Tone,
    text: String,
}

impl Cell {
    /// A cell with a tone.
    pub(crate) fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { tone, text: text.into() }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(Tone::Plain, text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(Tone::Plain, text)
    }
}

/// Adds a table to a page, indented. Columns in which every cell is empty are left out.
pub(crate) fn table(page: &mut Page<'_>, indent: usize, columns: &[Column], mut rows: Vec<Vec<Cell>>) {
    let style = page.style;
    for cell in rows.iter_mut().flatten() {
        cell.text = text::clean(&cell.text, style);
    }
    let mut shown: Vec<(usize, usize)> = columns
        .iter()
        .enumerate()
        .filter_map(|(index, column)| {
            let widest = rows
                .iter()
                .filter_map(|row| row.get(index))
                .map(|cell| text::width(&cell.text))
                .max()
                .unwrap_or(0);
            (widest > 0).then_some((index, widest.max(column.head.len())))
        })
        .collect();
    fit(&mut shown, columns, style.width.saturating_sub(indent));

    let blanks = " ".repeat(indent);
    let mut head = Line::new().plain(blanks.as_str());
    for (at, (index, wide)) in shown.iter().enumerate() {
        let column = &columns[*index];
        let gap = " ".repeat(if at == 0 { 0 } else { GAP });
        let title = text::cut(column.head, *wide, style);
        head.push(Tone::Dim, gap + &text::pad(&title, *wide, column.right));
    }
    page.line(&head);
    for row in &rows {
        let mut line = Line::new().plain(blanks.as_str());
        for (at, (index, wide)) in shown.iter().enumerate() {
            if at > 0 {
                line.push(Tone::Plain, " ".repeat(GAP));
            }
            let Some(cell) = row.get(*index) else { continue };
            let text = text::cut(&cell.text, *wide, style);
            line.push(cell.tone, text::pad(&text, *wide, columns[*index].right));
        }
        page.line(&line);
    }
}

/// Shrinks and drops columns until the table fits, as far as it can.
fn fit(shown: &mut Vec<(usize, usize)>, columns: &[Column], room: usize) {
    loop {
        let total: usize =
            shown.iter().map(|(_, wide)| wide).sum::<usize>() + GAP * shown.len().saturating_sub(1);
        let Some(mut excess) = total.checked_sub(room).filter(|excess| *excess > 0) else { return };
        let slack: usize = shown
            .iter()
            .map(|(index, wide)| columns[*index].shrink_to.map_or(0, |least| wide.saturating_sub(least)))
            .sum();
        if slack >= excess {
            // The widest gives first, so that short columns stay whole.
            while excess > 0 {
                let widest = shown
                    .iter_mut()
                    .filter(|(index, wide)| columns[*index].shrink_to.is_some_and(|least| *wide > least))
                    .max_by_key(|(_, wide)| *wide);
                let Some((_, wide)) = widest else { return };
                *wide -= 1;
                excess -= 1;
            }
            return;
        }
        let drop = shown
            .iter()
            .enumerate()
            .filter(|(_, (index, _))| columns[*index].expendable > 0)
            .max_by_key(|(_, (index, _))| columns[*index].expendable)
            .map(|(at, _)| at);
        match drop {
            Some(at) => {
                shown.remove(at);
            }
            None => {
                for (index, wide) in shown.iter_mut() {
                    if let Some(least) = columns[*index].shrink_to {
                        *wide = (*wide).min(least);
                    }
                }
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::style::Style;
    use super::*;

    fn draw(width: usize) -> String {
        let style = Style { colour: false, width, unicode: true };
        let mut page = Page::new(&style);
        let columns = [
            Column::left("NAME").shrinks(4),
            Column::right("COUNT"),
            Column::left("EMPTY"),
            Column::left("WHY").shrinks(4).expendable(1),
        ];
        let rows = vec![
            vec!["training".into(), "1".into(), "".into(), "waits for cores".into()],
            vec!["日本語".into(), "200".into(), "".into()],
        ];
        table(&mut page, 0, &columns, rows);
        page.finish()
    }

    #[test]
    fn a_table_with_room_is_whole() {
        assert_eq!(draw(80), "NAME      COUNT  WHY\ntraining      1  waits for cores\n日本語      200\n");
    }

    #[test]
    fn the_widest_column_shrinks_first() {
        assert_eq!(draw(25), "NAME      COUNT  WHY\ntraining      1  waits f…\n日本語      200\n");
    }

    #[test]
    fn an_expendable_column_goes() {
        assert_eq!(draw(16), "NAME      COUNT\ntraining      1\n日本語      200\n");
        for width in 0..40 {
            assert!(draw(width).lines().all(|line| text::width(line) <= width), "{width}");
        }
    }
}
