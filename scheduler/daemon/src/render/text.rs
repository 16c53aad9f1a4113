//! Text made safe and made to fit: escaping, display width, cutting, wrapping.

use super::style::Style;

/// Ranges of characters that take no column: combining marks, joiners, variation selectors.
const ZERO_WIDTH: [(u32, u32); 16] = [
    (0x0300, 0x036f),
    (0x0483, 0x0489),
    (0x0591, 0x05bd),
    (0x0610, 0x061a),
    (0x064b, 0x065f),
    (0x06d6, 0x06dc),
    (0x0e34, 0x0e3a),
    (0x0e47, 0x0e4e),
    (0x1ab0, 0x1aff),
    (0x1dc0, 0x1dff),
    (0x200b, 0x200d),
    (0x2060, 0x2060),
    (0x20d0, 0x20ff),
    (0xfe00, 0xfe0f),
    (0xfe20, 0xfe2f),
    (0xe0100, 0xe01ef),
];

/// Ranges of characters that take two columns: East Asian scripts, emoji.
const DOUBLE_WIDTH: [(u32, u32); 16] = [
    (0x1100, 0x115f),
    (0x231a, 0x231b),
    (0x23e9, 0x23f3),
    (0x25fd, 0x25fe),
    (0x2614, 0x2615),
    (0x2648, 0x2653),
    (0x26a1, 0x26ce),
    (0x2705, 0x2757),
    (0x2e80, 0xa4cf),
    (0xa960, 0xa97f),
    (0xac00, 0xd7a3),
    (0xf900, 0xfaff),
    (0xfe30, 0xfe6f),
    (0xff00, 0xff60),
    (0x1f000, 0x1faff),
    (0x20000, 0x3fffd),
];

/// How many columns a character takes. Errs towards too many: a line may then be short, never too long.
fn char_width(c: char) -> usize {
    let code = u32::from(c);
    let within = |ranges: &[(u32, u32)]| ranges.iter().any(|(from, to)| (*from..=*to).contains(&code));
    if code < 0x300 {
        1
    } else if within(&ZERO_WIDTH) {
        0
    } else if within(&DOUBLE_WIDTH) {
        2
    } else {
        1
    }
}

/// How many columns a clean text takes.
pub(crate) fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(char_width).sum() }
}

/// Characters that move the cursor or turn the reading direction, so that text could pose as other text.
fn is_treacherous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The text with everything escaped that the terminal must not get: control characters, and without
/// Unicode all that is not ASCII. Cleaning twice changes nothing more.
pub(crate) fn clean(text: &str, style: &Style) -> String {
    let bad = |c: char| is_treacherous(c) || (!style.unicode && !c.is_ascii());
    if !text.chars().any(bad) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if bad(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// The beginning of a clean text, at most so many columns wide, with a mark where something was cut away.
pub(crate) fn cut(text: &str, columns: usize, style: &Style) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    if columns == 0 {
        return String::new();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let next = used + char_width(c);
        if next > columns - 1 {
            break;
        }
        out.push(c);
        used = next;
    }
    out.push_str(style.ellipsis());
    out
}

/// The text with blanks behind it, or before it, up to so many columns.
pub(crate) fn pad(text: &str, columns: usize, right: bool) -> String {
    let blanks = " ".repeat(columns.saturating_sub(width(text)));
    if right { blanks + text } else { text.to_owned() + &blanks }
}

/// Breaks text into lines of at most so many columns, at blanks. A word that is longer than a line stays
/// whole where `keep_words` (so that a path can be copied), and is broken otherwise.
pub(crate) fn wrap(text: &str, columns: usize, keep_words: bool) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let long = width(word);
        if used > 0 && used + 1 + long > columns {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        if long <= columns || keep_words {
            line.push_str(word);
            used += long;
            continue;
        }
        for c in word.chars() {
            let wide = char_width(c);
            if used + wide > columns && used > 0 {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push(c);
            used += wide;
        }
    }
    if used > 0 || lines.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNICODE: Style = Style { colour: false, width: 80, unicode: true };
    const ASCII: Style = Style { colour: false, width: 80, unicode: false };

    #[test]
    fn control_characters_are_escaped_and_stay_so() {
        let once = clean("a\x1b[31m\n\u{202e}é\u{7f}", &UNICODE);
        assert_eq!(once, "a\\u{1b}[31m\\n\\u{202e}é\\u{7f}");
        assert_eq!(clean(&once, &UNICODE), once);
        assert_eq!(clean("é", &ASCII), "\\u{e9}");
    }

    #[test]
    fn widths_count_columns() {
        assert_eq!(width("train"), 5);
        assert_eq!(width("日本"), 4);
        assert_eq!(width("e\u{301}"), 1);
        assert_eq!(width("🚀"), 2);
    }

    #[test]
    fn cutting_never_exceeds() {
        assert_eq!(cut("abcdef", 6, &UNICODE), "abcdef");
        assert_eq!(cut("abcdef", 5, &UNICODE), "abcd…");
        assert_eq!(cut("abcdef", 5, &ASCII), "abcd~");
        assert_eq!(cut("日本語", 4, &UNICODE), "日…");
        assert_eq!(cut("日本語", 1, &UNICODE), "…");
        assert_eq!(cut("abc", 0, &UNICODE), "");
    }

    #[test]
    fn wrapping_breaks_at_blanks() {
        assert_eq!(wrap("one two three", 7, false), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh i", 3, false), ["abc", "def", "gh", "i"]);
        assert_eq!(wrap("see /a/long/path now", 6, true), ["see", "/a/long/path", "now"]);
        assert_eq!(wrap("", 6, true), [""]);
    }
}
