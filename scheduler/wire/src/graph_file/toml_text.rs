//! TOML: parsed to tables with spans, which give back the order of the document, and from there the
//! same trees as JSON.

use super::assembly::Assembly;
use super::node::{Node, Table};
use super::report::syntax_problem;
use super::{Decoded, Limits, Places};
use dunnage_model::Problem;
use std::borrow::Cow;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Decodes a TOML document.
///
/// # Errors
/// All problems at once, in the order of the document, at most `limits.problems` of them. Of a
/// document that is no TOML, the first place where it is none.
pub fn decode_toml(text: &str, limits: &Limits) -> Result<Decoded, Vec<Problem>> {
    if text.len() as u64 > limits.bytes {
        let hint = format!("at most {} bytes are allowed", limits.bytes);
        return Err(vec![Problem::new("", "the document is too long").hint(hint)]);
    }
    let document = DeTable::parse(text).map_err(|error| vec![explain(text, &error)])?;
    let document = table_node(document.get_ref());
    let mut assembly = Assembly::new(limits);
    for (key, node) in &document {
        match (key.as_ref(), node) {
            ("graph", node) => assembly.graph(node),
            ("defaults", node) => assembly.defaults(node),
            ("function", Node::List(functions)) => {
                for function in functions {
                    assembly.function(function).map_err(|problem| vec![problem])?;
                }
            }
            ("function", other) => assembly.functions_wrong(other),
            ("$schema", _) => {}
            (other, _) => assembly.unknown(other),
        }
    }
    let spec = assembly.finish()?;
    let json = serde_json::to_string(&Node::Table(document))
        .map_err(|error| vec![Problem::new("", format!("the graph cannot be said in JSON: {error}"))])?;
    Ok(Decoded { spec, json, places: Places::of_toml(text) })
}

fn table_node<'a>(table: &DeTable<'a>) -> Table<'a> {
    let mut entries: Vec<_> = table.iter().collect();
    // The table is sorted by name; the document is in the order of the keys' places.
    entries.sort_by_key(|(key, _)| key.span().start);
    entries.into_iter().map(|(key, value)| (key.get_ref().clone(), node(value))).collect()
}

fn node<'a>(value: &Spanned<DeValue<'a>>) -> Node<'a> {
    match value.get_ref() {
        DeValue::String(text) => Node::Text(text.clone()),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Node::Int(number),
            // Beyond 128 bits, where JSON goes over to floats too.
            Err(_) => Node::Float(number.as_str().parse().unwrap_or(f64::INFINITY)),
        },
        DeValue::Float(number) => Node::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(value) => Node::Bool(*value),
        DeValue::Datetime(date) => Node::Date(date.to_string()),
        DeValue::Array(items) => Node::List(items.iter().map(node).collect()),
        DeValue::Table(table) => Node::Table(table_node(table)),
    }
}

fn explain(text: &str, error: &toml::de::Error) -> Problem {
    let at = error.span().map_or(0, |span| span.start).min(text.len());
    let before: Cow<'_, str> = String::from_utf8_lossy(&text.as_bytes()[..at]);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let message = error.message().trim().replace('\n', ", ");
    syntax_problem(line, column, &format!("not TOML: {message}"), "")
}
