//! What failed, with cause, message and the end of the log; like failures are told once.

use super::format;
use super::page::{Line, Page};
use super::style::Tone;
use dunnage_wire::api::{FunctionDoc, StatusDoc};
use std::collections::HashMap;
use std::fmt::Write as _;

/// How much of the failures to show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Kinds of failures.
    pub(crate) kinds: usize,
    /// Lines of each message.
    pub(crate) message_lines: usize,
    /// Lines of logs, the last ones; shared by the kinds that are shown.
    pub(crate) log_lines: usize,
}

/// Failures with one cause and one message.
#[derive(Debug)]
struct Kind<'d> {
    first: &'d FunctionDoc,
    count: u64,
}

/// Adds a section with the failed functions of a graph; nothing where there are none.
pub(crate) fn failures(page: &mut Page<'_>, doc: &StatusDoc, limits: Limits) {
    let kinds = kinds(&doc.functions);
    if kinds.is_empty() {
        return;
    }
    page.heading("Failures");
    let log_lines = (limits.log_lines / kinds.len().min(limits.kinds).max(1)).max(1);
    for Kind { first, count } in kinds.iter().take(limits.kinds) {
        let mut line = Line::new().plain("  ").add(Tone::Bad, first.id.as_str());
        if *count > 1 {
            line.push(Tone::Bad, format!(" and {} like it", format::count(*count - 1)));
        }
        page.line(&line.plain(format!("  {}", outcome(first))));
        if let Some(message) = first.message.as_deref().filter(|message| !message.is_empty()) {
            page.wrapped(4, Tone::Plain, message, limits.message_lines);
        }
        log(page, first, log_lines);
    }
    let rest: u64 = kinds.iter().skip(limits.kinds).map(|kind| kind.count).sum();
    if rest > 0 {
        page.line(&Line::new().add(Tone::Dim, format!("  +{}", format::counted(rest, "more failure"))));
    }
}

/// Adds the last lines of the log of an attempt.
pub(crate) fn log(page: &mut Page<'_>, function: &FunctionDoc, lines_max: usize) {
    let Some(detail) = &function.detail else { return };
    let lines: Vec<&str> = detail.lines().filter(|line| !line.trim().is_empty()).collect();
    let bar = page.style.pick("│", "|");
    for line in &lines[lines.len().saturating_sub(lines_max)..] {
        let text = line.trim_end().replace('\t', "    ");
        page.line(&Line::new().add(Tone::Dim, format!("    {bar} ")).plain(text));
    }
}

/// How an attempt ended, in a few words: `out_of_memory (gpu), on gpu0 after 3 starts`.
pub(crate) fn outcome(function: &FunctionDoc) -> String {
    let mut words = function.cause.clone().unwrap_or_else(|| function.state.clone());
    if let Some(place) = &function.place {
        let _ = write!(words, " ({place})");
    }
    // Where the scheduler knows better why it ended, its code says nothing more.
    let tells = matches!(function.cause.as_deref(), None | Some("user" | "worker_died" | "spawn_failed"));
    match (function.exit_code.filter(|_| tells), function.signal.filter(|_| tells)) {
        (_, Some(signal)) => {
            let _ = write!(words, ", signal {signal}");
        }
        (Some(code), None) => {
            let _ = write!(words, ", exit code {code}");
        }
        (None, None) => {}
    }
    if let Some(device) = &function.device {
        let _ = write!(words, ", on {device}");
    }
    if function.attempts > 1 {
        let _ = write!(words, " after {} starts", function.attempts);
    }
    words
}

fn kinds(functions: &[FunctionDoc]) -> Vec<Kind<'_>> {
    let mut places = HashMap::new();
    let mut kinds: Vec<Kind<'_>> = Vec::new();
    for function in functions.iter().filter(|function| function.state == "failed") {
        let FunctionDoc { cause, place, message, exit_code, signal, .. } = function;
        let at = *places.entry((cause, place, message, exit_code, signal)).or_insert_with(|| {
            kinds.push(Kind { first: function, count: 0 });
            kinds.len() - 1
        });
        kinds[at].count += 1;
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::super::sample::{self, check_page};
    use super::*;

    fn failed(id: &str, message: &str) -> FunctionDoc {
        FunctionDoc {
            id: id.to_owned(),
            state: "failed".to_owned(),
            attempts: 3,
            cause: Some("user".to_owned()),
            message: Some(message.to_owned()),
            exit_code: Some(1),
            device: Some("gpu0".to_owned()),
            detail: Some("one\n\ntwo\nthree\x1b[0m\n".to_owned()),
            ..FunctionDoc::default()
        }
    }

    const LIMITS: Limits = Limits { kinds: 2, message_lines: 2, log_lines: 4 };

    #[test]
    fn like_failures_are_told_once() {
        let doc = StatusDoc {
            functions: vec![
                failed("a", "no data"),
                failed("b", "no data"),
                failed("c", "x"),
                failed("d", "y"),
            ],
            ..StatusDoc::default()
        };
        let style = sample::plain(80);
        let mut page = Page::new(&style);
        failures(&mut page, &doc, LIMITS);
        let text = page.finish();
        assert!(
            text.contains("  a and 1 like it  user, exit code 1, on gpu0 after 3 starts\n    no data\n"),
            "{text}"
        );
        assert!(text.contains("    │ two\n    │ three\\u{1b}[0m\n"), "{text}");
        assert!(text.ends_with("  +1 more failure\n"), "{text}");
    }

    #[test]
    fn long_messages_fit() {
        let doc = StatusDoc {
            functions: vec![failed(&"名".repeat(200), &"long ".repeat(200))],
            ..StatusDoc::default()
        };
        for style in sample::styles() {
            let mut page = Page::new(&style);
            failures(&mut page, &doc, LIMITS);
            check_page(&page.finish(), &style);
        }
    }
}
