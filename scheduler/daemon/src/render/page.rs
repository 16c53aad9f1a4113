//! A page of lines: the one place where text is escaped, cut to the width and coloured.

use super::style::{Style, Tone};
use super::text;

/// A line in pieces.
#[derive(Clone, Default, Debug)]
pub(crate) struct Line {
    pieces: Vec<(Tone, String)>,
}

impl Line {
    /// An empty line.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// With one more piece.
    pub(crate) fn add(mut self, tone: Tone, piece: impl Into<String>) -> Self {
        self.push(tone, piece);
        self
    }

    /// With one more ordinary piece.
    pub(crate) fn plain(self, piece: impl Into<String>) -> Self {
        self.add(Tone::Plain, piece)
    }

    /// Adds a piece.
    pub(crate) fn push(&mut self, tone: Tone, piece: impl Into<String>) {
        let piece = piece.into();
        match self.pieces.last_mut() {
            // One escape for a run of pieces: a chart has a piece a cell.
            Some((last, text)) if *last == tone => text.push_str(&piece),
            Some(_) | None => self.pieces.push((tone, piece)),
        }
    }

    /// The line as it is written, at most so many columns wide, with the columns that it takes.
    pub(crate) fn render(&self, columns: usize, style: &Style) -> (String, usize) {
        let pieces: Vec<(Tone, String)> =
            self.pieces.iter().map(|(tone, piece)| (*tone, text::clean(piece, style))).collect();
        let whole: usize = pieces.iter().map(|(_, piece)| text::width(piece)).sum();
        let mut left = columns;
        let mut shown: Vec<(Tone, String)> = Vec::with_capacity(pieces.len());
        for (tone, piece) in pieces {
            let wide = text::width(&piece);
            // The mark of a cut needs a column, so a piece is whole only if something is left for it.
            let fits = wide < left || (whole <= columns && wide <= left);
            if fits {
                left -= wide;
                shown.push((tone, piece));
            } else {
                let rest = piece + if wide <= left { style.ellipsis() } else { "" };
                let end = text::cut(&rest, left, style);
                shown.push((tone, end));
                break;
            }
        }
        while let Some((_, last)) = shown.last_mut() {
            last.truncate(last.trim_end_matches(' ').len());
            if !last.is_empty() {
                break;
            }
            shown.pop();
        }
        let used = shown.iter().map(|(_, piece)| text::width(piece)).sum();
        let mut out = String::new();
        for (tone, piece) in shown {
            let code = tone.code();
            if style.colour && !code.is_empty() && !piece.is_empty() {
                out.push_str("\x1b[");
                out.push_str(code);
                out.push('m');
                out.push_str(&piece);
                out.push_str("\x1b[0m");
            } else {
                out.push_str(&piece);
            }
        }
        (out, used)
    }
}

/// Lines one under another.
#[derive(Debug)]
pub(crate) struct Page<'s> {
    pub(crate) style: &'s Style,
    out: String,
}

impl<'s> Page<'s> {
    /// An empty page.
    pub(crate) fn new(style: &'s Style) -> Self {
        Self { style, out: String::new() }
    }

    /// Adds a line, cut to the width.
    pub(crate) fn line(&mut self, line: &Line) {
        let (text, _) = line.render(self.style.width, self.style);
        self.out.push_str(&text);
        self.out.push('\n');
    }

    /// Adds an ordinary line.
    pub(crate) fn plain(&mut self, text: impl Into<String>) {
        self.line(&Line::new().plain(text));
    }

    /// Adds a heading after an empty line.
    pub(crate) fn heading(&mut self, text: impl Into<String>) {
        self.blank();
        self.line(&Line::new().add(Tone::Strong, text));
    }

    /// Adds an empty line, unless the page is empty or ends with one.
    pub(crate) fn blank(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }

    /// Adds text over as many lines as it takes, at most so many, all indented.
    pub(crate) fn wrapped(&mut self, indent: usize, tone: Tone, text: &str, lines_max: usize) {
        let columns = self.style.width.saturating_sub(indent).max(1);
        let blanks = " ".repeat(indent);
        let text = text::clean(text, self.style);
        let mut lines = text::wrap(&text, columns, false);
        if lines.len() > lines_max {
            lines.truncate(lines_max);
            if let Some(last) = lines.last_mut() {
                last.push_str(self.style.ellipsis());
                *last = text::cut(last, columns, self.style);
            }
        }
        for line in lines {
            self.line(&Line::new().plain(blanks.as_str()).add(tone, line));
        }
    }

    /// Adds a line as it is, although it may be wider than the page. For what must be copied whole.
    pub(crate) fn whole(&mut self, line: &Line) {
        let (text, _) = line.render(usize::MAX, self.style);
        self.out.push_str(&text);
        self.out.push('\n');
    }

    /// The page as text.
    pub(crate) fn finish(self) -> String {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLOUR: Style = Style { colour: true, width: 10, unicode: true };

    #[test]
    fn a_line_is_cut_over_its_pieces() {
        let line = Line::new().add(Tone::Good, "abcd").plain(" efgh ").add(Tone::Bad, "ijkl");
        assert_eq!(line.render(14, &COLOUR).0, "\x1b[32mabcd\x1b[0m efgh \x1b[31mijkl\x1b[0m");
        assert_eq!(line.render(7, &Style { colour: false, ..COLOUR }), ("abcd e…".to_owned(), 7));
        assert_eq!(line.render(4, &Style { colour: false, ..COLOUR }), ("abc…".to_owned(), 4));
        assert_eq!(line.render(0, &COLOUR), (String::new(), 0));
    }

    #[test]
    fn no_piece_smuggles_an_escape() {
        let line = Line::new().plain("\x1b[2Jx\ny");
        let (text, _) = line.render(80, &COLOUR);
        assert!(!text.contains('\x1b') && !text.contains('\n'), "{text:?}");
    }

    #[test]
    fn long_text_is_bounded() {
        let mut page = Page::new(&COLOUR);
        page.wrapped(2, Tone::Plain, &"word ".repeat(100), 3);
        let text = page.finish();
        assert_eq!(text.lines().count(), 3);
        assert!(text.ends_with("…\n"), "{text}");
    }
}
