//! What the laboratory's pages share: head and tail, escaping, axes.

use std::fmt::Write as _;

const STYLE: &str = include_str!("page.css");

/// The beginning of a page.
pub(super) fn head(title: &str, heading: &str, lead: &str) -> String {
    let mut out = String::with_capacity(64 * 1024);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>{STYLE}</style></head>\n<body><main>\n\
         <h1>{}</h1>\n<p class=\"lead\">{}</p>\n",
        escape(title),
        escape(heading),
        escape(lead)
    );
    out
}

/// The end of a page.
pub(super) const TAIL: &str = "</main></body></html>\n";

/// Five to ten round values from 0 to a span.
pub(super) fn ticks(span: f64) -> Vec<f64> {
    if !span.is_normal() || span <= 0.0 {
        return Vec::new();
    }
    let rough = span / 8.0;
    let magnitude = 10_f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|f| f * magnitude).find(|step| *step >= rough).unwrap_or(span);
    (0..=10).map(|at| f64::from(at) * step).filter(|tick| *tick <= span).collect()
}

/// Text that cannot be markup.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_markup() {
        assert_eq!(escape("<b a='\"&\u{1b}"), "&lt;b a=&#39;&quot;&amp;\u{fffd}");
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks(100.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        for span in [1e-9, 0.3, 7.0, 43.0, 1e12] {
            let ticks = ticks(span);
            assert!((4..=11).contains(&ticks.len()), "{span}: {ticks:?}");
        }
        assert!(ticks(0.0).is_empty() && ticks(f64::NAN).is_empty());
    }
}
