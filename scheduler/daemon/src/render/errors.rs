//! Errors for people: what is wrong, where, and how to mend it.
//!
//! Messages are wrapped at blanks, never cut: what is wrong must be readable whole, and a path must be
//! there to copy, even where it is wider than the terminal.

use super::format;
use super::page::{Line, Page};
use super::style::{Style, Tone};
use super::text;
use dunnage_wire::api::ProblemDoc;
use std::fmt::Write as _;

/// More problems than this are counted only.
const PROBLEMS_MAX: usize = 100;

/// All that is wrong with a file: `FILE: PLACE: MESSAGE: VALUE`, with a hint under each.
pub(crate) fn problems(file: &str, problems: &[ProblemDoc], style: &Style) -> String {
    let mut page = Page::new(style);
    for problem in problems.iter().take(PROBLEMS_MAX) {
        let ProblemDoc { place, function, value, message, hint } = problem;
        let mut words = String::new();
        for part in [file, place.as_str()].into_iter().filter(|part| !part.is_empty()) {
            let _ = write!(words, "{part}: ");
        }
        let at = words.len();
        words.push_str(message);
        if !value.is_empty() {
            let _ = write!(words, ": `{value}`");
        }
        // The place counts functions from 0; the id is what the reader looks for.
        if let Some(function) = function.as_deref().filter(|id| !id.is_empty() && !words.contains(*id)) {
            let _ = write!(words, " (in function `{function}`)");
        }
        wrapped(&mut page, Tone::Strong, &words[..at], &words[at..]);
        if !hint.is_empty() {
            wrapped(&mut page, Tone::Warn, "  hint: ", hint);
        }
    }
    let number = problems.len() as u64;
    if problems.len() > PROBLEMS_MAX {
        page.plain(format!("+{}", format::counted(number - PROBLEMS_MAX as u64, "more problem")));
    }
    let what = if file.is_empty() { String::new() } else { format!("{file}: ") };
    wrapped(&mut page, Tone::Bad, "error: ", &format!("{what}{}", format::counted(number, "problem")));
    page.finish()
}

/// An error with what to do about it.
pub(crate) fn error(message: &str, hint: Option<&str>, style: &Style) -> String {
    let mut page = Page::new(style);
    // Messages of several lines, such as a chain of causes, keep them.
    let mut lines = message.lines().filter(|line| !line.trim().is_empty());
    wrapped(&mut page, Tone::Bad, "error: ", lines.next().unwrap_or("unknown"));
    for line in lines {
        wrapped(&mut page, Tone::Plain, "  ", line);
    }
    if let Some(hint) = hint.filter(|hint| !hint.is_empty()) {
        wrapped(&mut page, Tone::Warn, "hint: ", hint);
    }
    page.finish()
}

/// Adds a label and a text; what does not fit goes on under it, indented.
fn wrapped(page: &mut Page<'_>, tone: Tone, label: &str, body: &str) {
    let style = *page.style;
    let label = text::clean(label, &style);
    let body = text::clean(body.trim_end(), &style);
    let indent = if label.starts_with(' ') { 4 } else { 2 };
    if text::width(&label) + text::width(&body) <= style.width {
        page.whole(&Line::new().add(tone, label).plain(body));
        return;
    }
    // The label is wrapped with the text, since it may hold a long path.
    let lead = label.len() - label.trim_start().len();
    let columns = style.layout_width().max(style.width).saturating_sub(indent).max(10);
    let mut left = text::width(label.trim());
    for (at, part) in text::wrap(&format!("{label}{body}"), columns, true).into_iter().enumerate() {
        let blanks = " ".repeat(if at == 0 { lead } else { indent });
        // The label may reach over several lines: as much of each as belongs to it gets its tone.
        let own = text::width(&part).min(left);
        left = left.saturating_sub(own + 1);
        let split = part
            .char_indices()
            .map(|(at, _)| at)
            .find(|at| text::width(&part[..*at]) >= own)
            .unwrap_or(part.len());
        page.whole(&Line::new().plain(blanks).add(tone, &part[..split]).plain(&part[split..]));
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{self, check_page};
    use super::*;

    fn problem(message: &str, value: &str, hint: &str) -> ProblemDoc {
        ProblemDoc {
            place: "function[3].cost.memory".to_owned(),
            function: Some("train".to_owned()),
            value: value.to_owned(),
            message: message.to_owned(),
            hint: hint.to_owned(),
        }
    }

    #[test]
    fn a_problem_names_place_value_and_fix() {
        let text = problems(
            "graph.toml",
            &[problem("unknown unit", "20 GBs", "write it like \"20GiB\""), problem("x", "", "")],
            &sample::plain(usize::MAX),
        );
        assert_eq!(
            text,
            "graph.toml: function[3].cost.memory: unknown unit: `20 GBs` (in function `train`)\n  \
             hint: write it like \"20GiB\"\n\
             graph.toml: function[3].cost.memory: x (in function `train`)\n\
             error: graph.toml: 2 problems\n"
        );
    }

    #[test]
    fn errors_come_with_hints() {
        assert_eq!(error("no such file: `a`", None, &sample::plain(80)), "error: no such file: `a`\n");
        assert_eq!(
            error("refused\ncause: 80 GiB", Some("ask for less"), &sample::plain(80)),
            "error: refused\n  cause: 80 GiB\nhint: ask for less\n"
        );
        assert_eq!(error("", None, &sample::plain(80)), "error: unknown\n");
    }

    #[test]
    fn long_text_is_wrapped_and_nothing_is_lost() {
        for style in sample::styles().into_iter().filter(|style| style.width >= 40) {
            let long = problem(&"bad word ".repeat(30), "日本\x1b[2J", &"do this ".repeat(40));
            let text = problems("dir/graph.toml", &vec![long; 3], &style);
            check_page(&text, &style);
            assert_eq!(text.matches("bad").count(), 90, "{text}");
            let text = error(&"not so ".repeat(50), Some(&"but so ".repeat(50)), &style);
            check_page(&text, &style);
            assert_eq!(text.matches("so").count(), 100, "{text}");
        }
    }

    #[test]
    fn a_path_stays_whole() {
        let path = format!("/very/{}/graph.toml", "deep/".repeat(30));
        let text = error(&format!("cannot open {path}"), None, &sample::plain(40));
        assert!(text.contains(&path), "{text}");
    }

    #[test]
    fn thousands_of_problems_are_counted() {
        let text = problems("g", &vec![problem("x", "", ""); 5000], &sample::plain(80));
        assert!(text.contains("+4900 more problems\n"), "{text}");
        assert!(text.ends_with("error: g: 5000 problems\n"), "{text}");
    }
}
