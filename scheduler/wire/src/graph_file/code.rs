//! What a function runs, where that is not a command: `python`, and the `params` of a kernel.

use super::keys::{PYTHON, duplicates, unknown_key};
use super::node::Node;
use super::report::{Place, Report};
use super::scalar;
use dunnage_model::{Code, Literal, Problem};
use std::borrow::Cow;

/// The `python` table.
pub(crate) fn python(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Code {
    let mut call = String::new();
    let mut pure = false;
    if let Some(table) = scalar::table(node, at, "python = { call = \"module:function\" }", report) {
        for (key, node) in table {
            let here = at.key(key);
            match key.as_ref() {
                "call" => call = call_name(node, &here, report).unwrap_or_default(),
                "pure" => pure = scalar::boolean(node, &here, report).unwrap_or_default(),
                other => unknown_key(report, &PYTHON, other, at),
            }
        }
        if !table.iter().any(|(key, _)| key == "call") {
            let problem = Problem::new(at.key("call").to_string(), "does not say what to call");
            report.add(problem.hint("python = { call = \"module:function\" }"));
        }
    }
    Code::Python { call, pure }
}

/// `package.module:function`, where the function may be inside a class.
fn call_name(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Option<String> {
    let call = scalar::text(node, at, report)?;
    let dotted = |part: &str| {
        part.split('.').all(|name| {
            name.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_alphanumeric() || c == '_')
        })
    };
    if call.split_once(':').is_some_and(|(module, function)| dotted(module) && dotted(function)) {
        return Some(call);
    }
    report.wrong(at, node, "not the name of a Python function", "write it like \"module:function\"");
    None
}

/// The parameters of a kernel: whatever JSON can say.
pub(crate) fn params(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Vec<(String, Literal)> {
    let Some(table) = scalar::table(node, at, "params = { alpha = 1.0 }", report) else {
        return Vec::new();
    };
    table.iter().map(|(key, node)| (key.clone().into_owned(), literal(node, &at.key(key), report))).collect()
}

fn literal(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Literal {
    match node {
        Node::Null => Literal::Null,
        Node::Bool(value) => Literal::Bool(*value),
        Node::Int(value) => match i64::try_from(*value) {
            Ok(value) => Literal::Int(value),
            Err(_) => {
                let hint = format!("from {} to {}, or with a point", i64::MIN, i64::MAX);
                report.wrong(at, node, "a number out of range", hint);
                Literal::Null
            }
        },
        Node::Float(value) if value.is_finite() => Literal::Float(*value),
        Node::Float(_) => {
            report.wrong(at, node, "a number out of range", "a parameter must be finite");
            Literal::Null
        }
        Node::Text(text) => Literal::Text(text.clone().into_owned()),
        Node::Date(_) => {
            report.wrong_type(at, node, "a value that JSON can say", "");
            Literal::Null
        }
        Node::List(items) => Literal::List(
            items.iter().enumerate().map(|(n, item)| literal(item, &at.index(n), report)).collect(),
        ),
        Node::Table(entries) => {
            duplicates(entries, at, report);
            let entry = |(key, node): &(Cow<'_, str>, Node<'_>)| {
                (key.clone().into_owned(), literal(node, &at.key(key), report))
            };
            Literal::Table(entries.iter().map(entry).collect())
        }
    }
}
