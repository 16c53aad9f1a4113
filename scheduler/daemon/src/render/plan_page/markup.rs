//! Text and numbers as markup: nothing that a user wrote can become more than text.

use crate::render::style::Style;
use crate::render::text;

/// How text is cleaned before it is escaped: as for a terminal that can show everything.
const STYLE: Style = Style { colour: false, width: usize::MAX, unicode: true };

/// Text that cannot be markup, in an element or in a quoted attribute. Characters that steer a terminal or
/// the direction of reading, and those that XML does not have, are written out.
pub(super) fn escape(raw: &str) -> String {
    let clean = text::clean(raw, &STYLE);
    let mut out = String::with_capacity(clean.len());
    for c in clean.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// The beginning of a text that fits so many columns, escaped.
pub(super) fn short(raw: &str, columns: usize) -> String {
    escape(&text::cut(&text::clean(raw, &STYLE), columns, &STYLE))
}

/// How many columns a text takes.
pub(super) fn width(raw: &str) -> usize {
    text::width(&text::clean(raw, &STYLE))
}

/// A coordinate: one digit behind the point, none where it is whole.
pub(super) fn at(value: f64) -> String {
    if !value.is_finite() {
        return "0".to_owned();
    }
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

/// Round times from 0 to a span, at most so many.
pub(super) fn ticks(span: f64, most: f64) -> Vec<f64> {
    if !span.is_normal() || span <= 0.0 {
        return Vec::new();
    }
    let rough = span / most;
    let magnitude = 10_f64.powf(rough.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    let step = factors.into_iter().map(|factor| factor * magnitude).find(|step| *step >= rough);
    let step = step.unwrap_or(span);
    (0..=most as u32).map(|n| f64::from(n) * step).take_while(|tick| *tick <= span).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_markup() {
        assert_eq!(escape("<b a='\"&\u{1b}\u{202e}"), "&lt;b a=&#39;&quot;&amp;\\u{1b}\\u{202e}");
        assert_eq!(short("<<<<<<", 4), "&lt;&lt;&lt;…");
    }

    #[test]
    fn coordinates_are_short_and_finite() {
        assert_eq!([at(1.0), at(1.26), at(f64::NAN)], ["1", "1.3", "0"]);
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks(100.0, 8.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        for span in [1e-9, 0.3, 7.0, 43.0, 1e12] {
            assert!((3..=9).contains(&ticks(span, 8.0).len()), "{span}");
        }
        assert!(ticks(0.0, 8.0).is_empty() && ticks(f64::INFINITY, 8.0).is_empty());
    }
}
