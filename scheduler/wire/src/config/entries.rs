//! The configuration as `config show` lists it.

use super::tables::Link;
use super::{Config, KEYS, Origin};
use dunnage_model::{Bytes, Span};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A value and where it came from.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// Its key; of a table each name for itself: `resources.NAME`.
    pub key: String,
    /// The value, written as a configuration file would have it; null where there is none.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
    /// What it means.
    pub about: &'static str,
}

impl Config {
    /// Every value in the order of [`KEYS`].
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(KEYS.len());
        for key in KEYS {
            if key.kind.is_table() {
                let names = self.table(key.name);
                entries.extend(names.into_iter().map(|(name, value)| {
                    let origin = self.origin(&format!("{}.{name}", key.name)).clone();
                    Entry {
                        key: format!("{}.{}", key.name, bare_or_quoted(&name)),
                        value,
                        origin,
                        about: key.about,
                    }
                }));
                continue;
            }
            entries.push(Entry {
                key: key.name.to_owned(),
                value: self.value(key.name),
                origin: self.origin(key.name).clone(),
                about: key.about,
            });
        }
        entries
    }

    /// The names and values of a table.
    fn table(&self, key: &str) -> Vec<(String, Value)> {
        let rates = |rates: &BTreeMap<String, f64>| {
            rates.iter().map(|(name, rate)| (name.clone(), json!(rate))).collect()
        };
        match key {
            "resources" => {
                self.resources.iter().map(|(name, amount)| (name.clone(), json!(amount))).collect()
            }
            "prices" => rates(&self.prices),
            "watts" => rates(&self.watts),
            "links" => {
                Link::ALL.iter().map(|link| (link.word().to_owned(), link.shown(&self.links))).collect()
            }
            _ => Vec::new(),
        }
    }

    fn value(&self, key: &str) -> Value {
        match key {
            "state_dir" => json!(self.state_dir.display().to_string()),
            "socket" => json!(self.socket.display().to_string()),
            "devices" => json!(self.devices),
            "strategy" => json!(self.strategy),
            "listen_metrics" => json!(self.listen_metrics.map(|address| address.to_string())),
            "ignore_foreign_below" => size(self.ignore_foreign_below),
            "gpu_env" => json!(self.gpu_env.word()),
            "log_max" => size(self.log_max),
            "keep_logs" => time(self.keep_logs),
            "keep_values" => time(self.keep_values),
            "keep_history" => time(self.keep_history),
            "workers" => json!(self.workers),
            "values_tmpfs" => size(self.values_tmpfs),
            "functions_max" => json!(self.functions_max),
            "graph_bytes_max" => size(self.graph_bytes_max),
            "sample_interval" => time(self.sample_interval),
            "probe_timeout" => time(self.probe_timeout),
            _ => Value::Null,
        }
    }
}

/// A name as TOML takes it for a key.
fn bare_or_quoted(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if bare { name.to_owned() } else { json!(name).to_string() }
}

/// Exactly, in the largest unit that divides it: what is shown can be written into a file.
fn exactly(amount: u64, units: &[(&str, u64)]) -> Value {
    let unit = units.iter().find(|(_, size)| amount != 0 && amount.is_multiple_of(*size));
    let (name, size) = unit.or(units.last()).copied().unwrap_or(("", 1));
    json!(format!("{}{name}", amount / size))
}

fn size(bytes: Bytes) -> Value {
    exactly(bytes.0, &[("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)])
}

fn time(span: Span) -> Value {
    let units = [
        ("d", 86_400_000_000),
        ("h", 3_600_000_000),
        ("m", 60_000_000),
        ("s", 1_000_000),
        ("ms", 1000),
        ("us", 1),
    ];
    exactly(span.0, &units)
}
