//! `config show`.

use super::context::Context;
use super::exit::{DONE, Failure};
use serde_json::json;
use std::fmt::Write;

pub(crate) fn show(context: &Context) -> Result<i32, Failure> {
    let entries = context.config.entries();
    let doc: Vec<_> = entries
        .iter()
        .map(|entry| json!({ "key": entry.key, "value": entry.value, "origin": entry.origin.to_string(), "about": entry.about }))
        .collect();
    context.print(&doc, |_| {
        let width = entries.iter().map(|entry| entry.key.len()).max().unwrap_or(0);
        let mut text = String::new();
        for entry in &entries {
            // A value that nobody gave and that has no default shows what it means alone.
            let _ = match &entry.value {
                serde_json::Value::Null => writeln!(text, "# {:width$}   ({})", entry.key, entry.about),
                value => writeln!(text, "{:width$} = {value}   # {}", entry.key, entry.origin),
            };
        }
        for warning in &context.config.warnings {
            let _ = writeln!(text, "# warning: {warning}");
        }
        text
    });
    Ok(DONE)
}
