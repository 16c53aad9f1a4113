//! `foreach`: the axes of a sweep, from lists of scalars and from ranges.

use super::node::Node;
use super::report::{Place, Report};
use super::scalar;
use dunnage_model::Axis;

/// How many values the sweeps of the document may still have. The product of one function's axes is
/// the model's to judge; this bounds what is written out before that.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) left: u64,
    pub(crate) max: u64,
}

const EXAMPLE: &str = "foreach = { lr = [0.1, 0.01], seed = \"0-7\" }";

/// The axes in the order of the document.
pub(crate) fn foreach(
    node: &Node<'_>,
    at: &Place<'_>,
    budget: &mut Budget,
    report: &mut Report,
) -> Vec<Axis> {
    let Some(table) = scalar::table(node, at, EXAMPLE, report) else {
        return Vec::new();
    };
    let mut axes = Vec::with_capacity(table.len());
    for (name, node) in table {
        if let Some(values) = values(node, &at.key(name), budget, report) {
            axes.push(Axis { name: name.clone().into_owned(), values });
        }
    }
    axes
}

fn values(node: &Node<'_>, at: &Place<'_>, budget: &mut Budget, report: &mut Report) -> Option<Vec<String>> {
    let items = match node {
        Node::Text(text) => return range_values(node, text, at, budget, report),
        Node::List(items) => items,
        other => {
            report.wrong_type(at, other, "a list or a range", EXAMPLE);
            return None;
        }
    };
    if items.is_empty() {
        report.wrong(at, node, "a sweep over no values", "give at least one value, or remove the name");
        return None;
    }
    spend(items.len() as u64, node, at, budget, report)?;
    let mut values = Vec::with_capacity(items.len());
    for (n, item) in items.iter().enumerate() {
        let at = at.index(n);
        match item.scalar_text() {
            Some(text) if text.contains('\0') => {
                report.wrong(
                    &at,
                    item,
                    "a text with a NUL character, which no program can take",
                    "remove it",
                );
            }
            Some(text) => values.push(text),
            None => report.wrong_type(&at, item, "text, a finite number, true or false", EXAMPLE),
        }
    }
    Some(values)
}

fn range_values(
    node: &Node<'_>,
    text: &str,
    at: &Place<'_>,
    budget: &mut Budget,
    report: &mut Report,
) -> Option<Vec<String>> {
    let Some((first, last, step)) = parse_range(text) else {
        let hint = format!("a range is \"0-7\" or \"0-100:10\"; one value is [{text:?}]");
        report.wrong(at, node, "not a range of whole numbers", hint);
        return None;
    };
    if first > last {
        report.wrong(at, node, "a range that runs backwards", format!("\"{last}-{first}\""));
        return None;
    }
    if step == 0 {
        report.wrong(at, node, "a range without a step", format!("\"{first}-{last}:1\""));
        return None;
    }
    // A step of 1 over all of u64 would overflow the count.
    spend(((last - first) / step).saturating_add(1), node, at, budget, report)?;
    let mut values = Vec::new();
    let mut next = Some(first);
    while let Some(value) = next.filter(|value| *value <= last) {
        values.push(value.to_string());
        next = value.checked_add(step);
    }
    Some(values)
}

/// `A-B` or `A-B:STEP`.
fn parse_range(text: &str) -> Option<(u64, u64, u64)> {
    // `parse` alone would take a sign.
    let number = |part: &str| {
        let part = part.trim();
        if part.bytes().all(|byte| byte.is_ascii_digit()) { part.parse().ok() } else { None }
    };
    let (range, step) = match text.split_once(':') {
        Some((range, step)) => (range, number(step)?),
        None => (text, 1),
    };
    let (first, last) = range.split_once('-')?;
    Some((number(first)?, number(last)?, step))
}

fn spend(
    count: u64,
    node: &Node<'_>,
    at: &Place<'_>,
    budget: &mut Budget,
    report: &mut Report,
) -> Option<()> {
    // A single value makes no further instance. Of axes with two or more values the sum is at most
    // the product, so that no graph is refused here that the model would have taken.
    let charge = if count == 1 { 0 } else { count };
    if let Some(left) = budget.left.checked_sub(charge) {
        budget.left = left;
        return Some(());
    }
    let hint = format!("the sweeps of a graph have at most {} values together", budget.max);
    report.wrong(at, node, format!("a sweep over too many values ({count})"), hint);
    None
}
