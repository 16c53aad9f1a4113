//! Parameters of kernels as JSON, placeholders replaced.

use dunnage_model::{Literal, expand};
use serde_json::{Map, Value};

/// All parameters of a call. A text that is one placeholder and nothing else becomes a number where its
/// value is one.
pub(crate) fn params(
    params: &[(String, Literal)],
    value: &dyn Fn(&str) -> Option<String>,
) -> Map<String, Value> {
    params.iter().map(|(name, literal)| (name.clone(), json(literal, value))).collect()
}

fn json(literal: &Literal, value: &dyn Fn(&str) -> Option<String>) -> Value {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(bool) => Value::Bool(*bool),
        Literal::Int(n) => Value::from(*n),
        Literal::Float(x) => serde_json::Number::from_f64(*x).map_or(Value::Null, Value::Number),
        Literal::Text(text) => {
            let whole = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).and_then(value);
            if let Some(number) = whole.and_then(|bound| bound.parse::<serde_json::Number>().ok()) {
                return Value::Number(number);
            }
            Value::String(expand(text, value))
        }
        Literal::List(items) => Value::Array(items.iter().map(|item| json(item, value)).collect()),
        Literal::Table(items) => {
            Value::Object(items.iter().map(|(name, item)| (name.clone(), json(item, value))).collect())
        }
    }
}
