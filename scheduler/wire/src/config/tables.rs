//! Readers of the tables that say what using a machine costs: `prices` and `watts` by the names of devices,
//! and `links` between memories.
//!
//! In a file they are tables; in the environment and as flags `NAME=VALUE,NAME=VALUE`. All that is wrong
//! with one table is said at once.

use super::given::{Given, Wrong};
use dunnage_model::{BYTE_UNITS, Bytes, Links, Span, nearest};
use serde_json::{Value as Json, json};
use toml::Value;

/// Names of one table, and characters of one name.
const NAMES_MAX: usize = 1000;
const NAME_MAX: usize = 100;

/// The longest time that starting a move may take, in seconds.
const LATENCY_MAX: f64 = 3600.0;

/// A key of `links`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Link {
    HostGpu,
    GpuGpu,
    NodeNode,
    Latency,
}

impl Link {
    pub(super) const ALL: [Self; 4] = [Self::HostGpu, Self::GpuGpu, Self::NodeNode, Self::Latency];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::HostGpu => "host_gpu",
            Self::GpuGpu => "gpu_gpu",
            Self::NodeNode => "node_node",
            Self::Latency => "latency",
        }
    }

    pub(super) fn of_mut(self, links: &mut Links) -> &mut f64 {
        match self {
            Self::HostGpu => &mut links.host_gpu,
            Self::GpuGpu => &mut links.gpu_gpu,
            Self::NodeNode => &mut links.node_node,
            Self::Latency => &mut links.latency,
        }
    }

    /// Its value as a file would have it.
    pub(super) fn shown(self, links: &Links) -> Json {
        let mut copy = *links;
        let value = *self.of_mut(&mut copy);
        match self {
            Self::Latency => json!(format!("{}us", (value * 1e6).round())),
            Self::HostGpu | Self::GpuGpu | Self::NodeNode => {
                let bytes = value as u64;
                // In the unit that takes the fewest digits, of those that lose nothing.
                let units = BYTE_UNITS
                    .iter()
                    .filter(|(name, size)| (*name == "B" || name.len() > 1) && bytes.is_multiple_of(*size));
                let (name, size) = units.min_by_key(|(_, size)| bytes / size).copied().unwrap_or(("B", 1));
                json!(format!("{}{name}/s", bytes / size))
            }
        }
    }

    fn read(self, text: &str) -> Result<f64, String> {
        let word = self.word();
        if self == Self::Latency {
            return match Span::parse(text) {
                Ok(span) if span.as_secs_f64() <= LATENCY_MAX => Ok(span.as_secs_f64()),
                Ok(_) => Err(format!("`{word}` of more than an hour")),
                Err(_) => Err(format!("`{word}` is not a time with its unit")),
            };
        }
        let size = text.trim().strip_suffix("/s").unwrap_or(text).trim();
        match Bytes::parse(size) {
            Ok(Bytes(0)) => Err(format!("over `{word}` nothing would ever move")),
            Ok(bytes) => Ok(bytes.0 as f64),
            Err(_) => Err(format!("`{word}` is not a size for each second with its unit")),
        }
    }
}

/// A value of a table: a number of a file, or a word.
enum Cell {
    Number(f64),
    Word(String),
    Other,
}

impl Given<'_> {
    /// Names and values, as many as there are.
    fn cells(self, example: &str) -> Result<Vec<(String, Cell)>, Wrong> {
        let cells: Vec<(String, Cell)> = match self {
            Self::File(Value::Table(table), _) => table
                .iter()
                .map(|(name, value)| {
                    let cell = match value {
                        Value::Integer(number) => Cell::Number(*number as f64),
                        Value::Float(number) => Cell::Number(*number),
                        Value::String(text) => Cell::Word(text.clone()),
                        _ => Cell::Other,
                    };
                    (name.trim().to_lowercase(), cell)
                })
                .collect(),
            Self::File(..) => return Err(("must be a table".to_owned(), example.to_owned())),
            Self::Word(word) => word
                .split(',')
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (name.trim().to_lowercase(), Cell::Word(value.trim().to_owned()))
                })
                .collect(),
        };
        if cells.len() > NAMES_MAX {
            return Err(("too many names".to_owned(), format!("at most {NAMES_MAX}")));
        }
        Ok(cells)
    }

    /// A table of numbers from 0 to `max` by the names of devices.
    pub(super) fn rates(self, what: &str, max: f64, usual: &str) -> Result<Vec<(String, f64)>, Wrong> {
        let example =
            || format!("{{ {} }} in a file, {usual} elsewhere", usual.replace('=', " = ").replace(',', ", "));
        let in_a_file = matches!(self, Self::File(..));
        let mut wrong = Vec::new();
        let mut rates = Vec::new();
        for (name, cell) in self.cells(&example())? {
            if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
                wrong.push("a name must be `cpu` or a part of a GPU's name".to_owned());
                continue;
            }
            let number = match cell {
                Cell::Number(number) => Some(number),
                // In a file a number is written without quotes.
                Cell::Word(word) if !in_a_file => word.parse().ok(),
                Cell::Word(_) | Cell::Other => None,
            };
            match number.filter(|number: &f64| (0.0..=max).contains(number)) {
                Some(number) => rates.push((name, number)),
                None => wrong.push(format!("`{}` is not {what}", name.escape_debug())),
            }
        }
        finish(rates, &wrong, || format!("a number from 0 to {max}: {}", example()))
    }

    /// Bandwidths and a latency.
    pub(super) fn links(self) -> Result<Vec<(Link, f64)>, Wrong> {
        const EXAMPLE: &str = "{ host_gpu = \"25GiB/s\", latency = \"10us\" } in a file, host_gpu=25GiB/s,latency=10us elsewhere";
        let mut wrong = Vec::new();
        let mut links = Vec::new();
        for (name, cell) in self.cells(EXAMPLE)? {
            let Some(link) = Link::ALL.into_iter().find(|link| link.word() == name) else {
                let near = nearest(&name, Link::ALL.map(Link::word));
                let hint = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
                wrong.push(format!("there is no link `{}`{hint}", name.escape_debug()));
                continue;
            };
            let read = match cell {
                Cell::Word(word) => link.read(&word),
                Cell::Number(_) => Err(format!("`{name}` has no unit")),
                Cell::Other => Err(format!("`{name}` must be text")),
            };
            match read {
                Ok(value) => links.push((link, value)),
                Err(message) => wrong.push(message),
            }
        }
        let known = Link::ALL.map(Link::word).join(", ");
        finish(links, &wrong, || format!("{known}: {EXAMPLE}"))
    }
}

fn finish<T>(read: Vec<T>, wrong: &[String], hint: impl Fn() -> String) -> Result<Vec<T>, Wrong> {
    if wrong.is_empty() { Ok(read) } else { Err((wrong.join("; "), hint())) }
}
