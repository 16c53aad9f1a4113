//! Readers of single values: texts, words, numbers, sizes, times, lists of texts.
//!
//! Each gives `None` after it has reported what is wrong.

use super::keys::duplicates;
use super::node::{Node, Table};
use super::report::{Place, Report};
use dunnage_model::{BYTE_UNITS, Bytes, SPAN_UNITS, Span, UnitError, nearest};
use std::ops::RangeInclusive;

/// Whether a number without a unit may stand for a quantity: only inside `cost`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bare {
    Allowed,
    Refused,
}

/// The largest quantity in bytes or microseconds: sums of a few stay inside `u64`.
const QUANTITY_MAX: f64 = 9.2e18;

pub(crate) fn table<'n, 'a>(
    node: &'n Node<'a>,
    at: &Place<'_>,
    hint: &str,
    report: &mut Report,
) -> Option<&'n Table<'a>> {
    if let Node::Table(entries) = node {
        duplicates(entries, at, report);
        return Some(entries);
    }
    report.wrong_type(at, node, "a table", hint);
    None
}

pub(crate) fn text(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Option<String> {
    match node {
        Node::Text(text) if text.contains('\0') => {
            report.wrong(at, node, "a text with a NUL character, which no program can take", "remove it");
            None
        }
        Node::Text(text) => Some(text.clone().into_owned()),
        other => {
            let hint = other.scalar_text().map(|text| format!("write \"{text}\"")).unwrap_or_default();
            report.wrong_type(at, other, "text", hint);
            None
        }
    }
}

/// A text that says something.
pub(crate) fn name(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Option<String> {
    let text = text(node, at, report)?;
    if text.trim().is_empty() {
        report.wrong(at, node, "an empty text", "say something, or leave the key out");
        return None;
    }
    Some(text)
}

pub(crate) fn boolean(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Option<bool> {
    match node {
        Node::Bool(value) => Some(*value),
        other => {
            report.wrong_type(at, other, "true or false", "without quotes");
            None
        }
    }
}

/// One of some words.
pub(crate) fn word<T: Copy>(
    node: &Node<'_>,
    at: &Place<'_>,
    words: &[(&'static str, T)],
    report: &mut Report,
) -> Option<T> {
    let all = || words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    let Node::Text(text) = node else {
        report.wrong_type(at, node, "text", format!("one of {}", all()));
        return None;
    };
    if let Some((_, value)) = words.iter().find(|(word, _)| word == text) {
        return Some(*value);
    }
    let hint = match nearest(text, words.iter().map(|(word, _)| *word)) {
        Some(near) => format!("did you mean \"{near}\"? known: {}", all()),
        None => format!("one of {}", all()),
    };
    report.wrong(at, node, "unknown word", hint);
    None
}

/// A whole number inside a range.
pub(crate) fn whole(
    node: &Node<'_>,
    at: &Place<'_>,
    range: RangeInclusive<i64>,
    report: &mut Report,
) -> Option<i64> {
    let allowed = || format!("from {} to {}", range.start(), range.end());
    let value = match node {
        Node::Int(value) => i64::try_from(*value).ok(),
        // Some writers of JSON know no whole numbers and write 3.0.
        Node::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => Some(*value as i64),
        Node::Float(_) => {
            report.wrong(at, node, "must be a whole number", allowed());
            return None;
        }
        other => {
            report.wrong_type(at, other, "a whole number", allowed());
            return None;
        }
    };
    if let Some(value) = value.filter(|value| range.contains(value)) {
        return Some(value);
    }
    report.wrong(at, node, "a number out of range", allowed());
    None
}

/// A number inside a range; what is not finite is in none.
pub(crate) fn number(
    node: &Node<'_>,
    at: &Place<'_>,
    range: RangeInclusive<f64>,
    report: &mut Report,
) -> Option<f64> {
    let allowed = || {
        if *range.end() >= 1e18 {
            format!("{} or more, without a unit", range.start())
        } else {
            format!("from {} to {}", range.start(), range.end())
        }
    };
    let value = match node {
        Node::Int(value) => *value as f64,
        Node::Float(value) => *value,
        other => {
            report.wrong_type(at, other, "a number", allowed());
            return None;
        }
    };
    if range.contains(&value) {
        return Some(value);
    }
    report.wrong(at, node, "a number out of range", allowed());
    None
}

/// An amount of memory or data.
pub(crate) fn bytes(node: &Node<'_>, at: &Place<'_>, bare: Bare, report: &mut Report) -> Option<Bytes> {
    quantity(node, at, bare, &SIZE, report).map(Bytes)
}

/// A length of time.
pub(crate) fn span(node: &Node<'_>, at: &Place<'_>, bare: Bare, report: &mut Report) -> Option<Span> {
    quantity(node, at, bare, &TIME, report).map(Span)
}

/// A length of time that is more than none.
pub(crate) fn positive_span(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Option<Span> {
    let span = span(node, at, Bare::Refused, report)?;
    if span.0 == 0 {
        report.wrong(at, node, "must be more than nothing", "leave the key out where there is no limit");
        return None;
    }
    Some(span)
}

struct Quantity {
    what: &'static str,
    /// The unit to suggest, and how much of the base unit a bare number inside `cost` means.
    usual: &'static str,
    bare: f64,
    example: &'static str,
    units: &'static [(&'static str, u64)],
    parse: fn(&str) -> Result<u64, UnitError>,
}

const SIZE: Quantity = Quantity {
    what: "a size",
    usual: "MiB",
    bare: 1_048_576.0,
    example: "100MiB",
    units: BYTE_UNITS,
    parse: |text| Bytes::parse(text).map(|bytes| bytes.0),
};

const TIME: Quantity = Quantity {
    what: "a time",
    usual: "s",
    bare: 1000.0,
    example: "30s",
    units: SPAN_UNITS,
    parse: |text| Span::parse(text).map(|span| span.0),
};

fn quantity(
    node: &Node<'_>,
    at: &Place<'_>,
    bare: Bare,
    kind: &Quantity,
    report: &mut Report,
) -> Option<u64> {
    let like = || format!("write {} like \"{}\"", kind.what, kind.example);
    let number = match node {
        Node::Text(text) => return with_unit(node, text, at, kind, report),
        Node::Int(value) => *value as f64,
        Node::Float(value) => *value,
        other => {
            report.wrong_type(at, other, kind.what, like());
            return None;
        }
    };
    if !number.is_finite() || number < 0.0 {
        report.wrong(at, node, format!("{} must not be negative", kind.what), like());
    } else if bare == Bare::Refused {
        let hint = format!("\"{node}{}\"", kind.usual);
        report.wrong(at, node, format!("{} without a unit", kind.what), hint);
    } else if number * kind.bare >= QUANTITY_MAX {
        report.wrong(at, node, format!("{} that is too large", kind.what), like());
    } else {
        return Some((number * kind.bare).round() as u64);
    }
    None
}

fn with_unit(
    node: &Node<'_>,
    text: &str,
    at: &Place<'_>,
    kind: &Quantity,
    report: &mut Report,
) -> Option<u64> {
    let what = kind.what;
    let like = format!("write {what} like \"{}\"", kind.example);
    let (message, hint) = match (kind.parse)(text) {
        Ok(amount) => return Some(amount),
        Err(UnitError::TooLarge) => (format!("{what} that is too large"), like),
        Err(UnitError::NotANumber) if text.trim_start().starts_with('-') => {
            (format!("{what} must not be negative"), like)
        }
        Err(UnitError::NotANumber) => (format!("not {what}"), like),
        Err(UnitError::UnitMissing) => {
            (format!("{what} without a unit"), format!("\"{}{}\"", text.trim(), kind.usual))
        }
        Err(UnitError::UnknownUnit) => {
            let unit: String =
                text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == ' ').into();
            let names = || kind.units.iter().map(|(name, _)| *name);
            let known = names().collect::<Vec<_>>().join(" ");
            let hint = match nearest(unit.trim(), names()) {
                // Of a single letter everything short is near.
                Some(near) if unit.trim().len() > 1 => format!("did you mean `{near}`? units: {known}"),
                _ => format!("units: {known}"),
            };
            ("unknown unit".to_owned(), hint)
        }
    };
    report.wrong(at, node, message, hint);
    None
}

/// A list, whose entries the caller reads.
pub(crate) fn list<'n, 'a>(
    node: &'n Node<'a>,
    at: &Place<'_>,
    expected: &str,
    hint: &str,
    report: &mut Report,
) -> Option<&'n [Node<'a>]> {
    if let Node::List(items) = node {
        return Some(items);
    }
    report.wrong_type(at, node, expected, hint);
    None
}

/// A list of texts.
pub(crate) fn texts(node: &Node<'_>, at: &Place<'_>, hint: &str, report: &mut Report) -> Option<Vec<String>> {
    let items = list(node, at, "a list of texts", hint, report)?;
    let mut out = Vec::with_capacity(items.len());
    for (n, item) in items.iter().enumerate() {
        if let Some(text) = text(item, &at.index(n), report) {
            out.push(text);
        }
    }
    Some(out)
}

/// A command: a list of at least one word.
pub(crate) fn command(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Option<Vec<String>> {
    if let Node::Text(line) = node {
        let hint = match line.split_whitespace().collect::<Vec<_>>() {
            words if words.is_empty() => "[\"program\", \"argument\"]".to_owned(),
            words
                if line.contains(['|', '>', '<', '&', ';', '$', '*', '"', '\'', '`']) || words.len() > 12 =>
            {
                format!(
                    "for a line of shell: [\"sh\", \"-c\", \"...\"], else the words of `{}` one by one",
                    words[0]
                )
            }
            words => format!("{words:?}"),
        };
        report.wrong_type(at, node, "a list of words", hint);
        return None;
    }
    let mark = report.len();
    let words = texts(node, at, "[\"program\", \"argument\"]", report)?;
    if report.len() == mark && words.first().is_none_or(|program| program.trim().is_empty()) {
        report.wrong(at, node, "a command without a program", "[\"program\", \"argument\"]");
        return None;
    }
    Some(words)
}
