//! From the place of a problem to its line in a TOML file.
//!
//! Spans are not kept while a document is decoded: nearly all of them have no problem. The text is,
//! and it is parsed once more when lines are asked for.

use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Finds the lines of places in the document they are about; knows none for JSON.
#[derive(Clone, Debug, Default)]
pub struct Places {
    text: Option<Arc<str>>,
}

impl Places {
    /// Knows no lines.
    pub const fn none() -> Self {
        Self { text: None }
    }

    /// Finds lines in this TOML text.
    pub fn of_toml(text: impl Into<Arc<str>>) -> Self {
        Self { text: Some(text.into()) }
    }

    /// The line of a place, from 1; of the nearest table around it where it names what is missing.
    pub fn line(&self, place: &str) -> Option<usize> {
        self.lines([place]).into_iter().next().flatten()
    }

    /// The lines of several places, for one parse of the text.
    pub fn lines<'p>(&self, places: impl IntoIterator<Item = &'p str>) -> Vec<Option<usize>> {
        let document = self.text.as_deref().and_then(|text| Some((text, DeTable::parse(text).ok()?)));
        let Some((text, document)) = document else {
            return places.into_iter().map(|_| None).collect();
        };
        let starts: Vec<usize> =
            text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1).collect();
        places
            .into_iter()
            .map(|place| {
                let at = find(document.get_ref(), &steps(place)?)?;
                Some(starts.partition_point(|start| *start <= at) + 1)
            })
            .collect()
    }
}

enum Step {
    Key(String),
    Index(usize),
}

/// Takes `function[3].env."a b"` apart; `None` for what is no place.
fn steps(place: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = place;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (index, later) = inside.split_once(']')?;
            steps.push(Step::Index(index.parse().ok()?));
            rest = later;
        } else if rest.strip_prefix('.').unwrap_or(rest).starts_with('"') {
            let quoted = rest.strip_prefix('.').unwrap_or(rest);
            let end = quoted[1..].find('"').map(|at| at + 2)?;
            steps.push(Step::Key(quoted[1..end - 1].to_owned()));
            rest = &quoted[end..];
        } else {
            let plain = rest.strip_prefix('.').unwrap_or(rest);
            let end = plain.find(['.', '[']).unwrap_or(plain.len());
            if end == 0 {
                return None;
            }
            steps.push(Step::Key(plain[..end].to_owned()));
            rest = &plain[end..];
        }
    }
    Some(steps)
}

fn find(table: &DeTable<'_>, steps: &[Step]) -> Option<usize> {
    let (Step::Key(first), rest) = steps.split_first()? else {
        return None;
    };
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == first)?;
    Some(find_in(value, rest).unwrap_or_else(|| key.span().start))
}

fn find_in(value: &Spanned<DeValue<'_>>, steps: &[Step]) -> Option<usize> {
    match (value.get_ref(), steps.split_first()?) {
        (DeValue::Table(table), _) => find(table, steps),
        (DeValue::Array(items), (Step::Index(index), rest)) => {
            let item = items.get(*index)?;
            Some(find_in(item, rest).unwrap_or_else(|| item.span().start))
        }
        _ => None,
    }
}
