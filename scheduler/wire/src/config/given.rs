//! Readers of single values of the configuration.

use super::GpuEnv;
use dunnage_model::{Bytes, Span, UnitError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use toml::Value;

/// What is wrong, and a hint.
pub(crate) type Wrong = (String, String);

/// A value as given: of a file with its type, or a word of the environment or command line.
#[derive(Clone, Copy)]
pub(crate) enum Given<'a> {
    /// With the directory of the file, to which paths are relative.
    File(&'a Value, &'a Path),
    Word(&'a str),
}

fn wrong<T>(message: impl Into<String>, hint: impl Into<String>) -> Result<T, Wrong> {
    Err((message.into(), hint.into()))
}

impl Given<'_> {
    pub(crate) fn shown(self) -> String {
        let shown = match self {
            Self::File(Value::String(text), _) => text.clone(),
            Self::File(value, _) => value.to_string(),
            Self::Word(word) => word.to_owned(),
        };
        shown.escape_debug().to_string().replace("\\\"", "\"")
    }

    pub(crate) fn text(self) -> Result<String, Wrong> {
        match self {
            Self::File(Value::String(text), _) if !text.is_empty() => Ok(text.clone()),
            Self::Word(word) if !word.is_empty() => Ok(word.to_owned()),
            Self::File(Value::String(_), _) | Self::Word(_) => wrong("an empty text", "leave the key out"),
            Self::File(..) => wrong("must be text", "in quotes"),
        }
    }

    pub(crate) fn path(self) -> Result<PathBuf, Wrong> {
        let text = self.text()?;
        if text.contains('\0') {
            return wrong("a path with a NUL character", "remove it");
        }
        Ok(match self {
            Self::File(_, base) => base.join(text),
            Self::Word(_) => PathBuf::from(text),
        })
    }

    pub(crate) fn address(self) -> Result<Option<SocketAddr>, Wrong> {
        let text = self.text()?;
        if text == "none" {
            return Ok(None);
        }
        // A port alone is a loopback one, so that nothing is opened to the world by accident.
        let full = if let Some(port) = text.strip_prefix(':') { format!("127.0.0.1:{port}") } else { text };
        match full.replace("localhost:", "127.0.0.1:").parse() {
            Ok(address) => Ok(Some(address)),
            Err(_) => wrong("not an address", "write it like \"127.0.0.1:9750\", \"[::1]:9750\" or \"none\""),
        }
    }

    pub(crate) fn size(self) -> Result<Bytes, Wrong> {
        self.quantity("a size", "100MiB")
            .and_then(|text| Bytes::parse(&text).map_err(|e| unit(e, "a size", "100MiB")))
    }

    pub(crate) fn time(self) -> Result<Span, Wrong> {
        let span = self
            .quantity("a time", "30s")
            .and_then(|text| Span::parse(&text).map_err(|e| unit(e, "a time", "30s")))?;
        if span.0 == 0 { wrong("must be more than nothing", "write a time like \"30s\"") } else { Ok(span) }
    }

    fn quantity(self, what: &str, example: &str) -> Result<String, Wrong> {
        match self {
            Self::File(Value::Integer(_) | Value::Float(_), _) => {
                wrong(format!("{what} without a unit"), format!("write it like \"{example}\""))
            }
            _ => self.text(),
        }
    }

    pub(crate) fn count(self, max: u32) -> Result<u32, Wrong> {
        let number = match self {
            Self::File(Value::Integer(number), _) => Some(*number),
            Self::File(..) => None,
            Self::Word(word) => word.parse().ok(),
        };
        match number.and_then(|number| u32::try_from(number).ok()).filter(|n| (1..=max).contains(n)) {
            Some(number) => Ok(number),
            None => wrong("not a whole number in its range", format!("from 1 to {max}")),
        }
    }

    pub(crate) fn gpu_env(self) -> Result<GpuEnv, Wrong> {
        match self.text()?.as_str() {
            "uuid" => Ok(GpuEnv::Uuid),
            "index" => Ok(GpuEnv::Index),
            _ => wrong("unknown word", "\"uuid\" or \"index\""),
        }
    }

    /// A table in a file; `licence=3,seats=2` elsewhere.
    pub(crate) fn resources(self) -> Result<Vec<(String, u64)>, Wrong> {
        const MAX: u64 = 1 << 40;
        let pairs: Vec<(String, Option<u64>)> = match self {
            Self::File(Value::Table(table), _) => table
                .iter()
                .map(|(name, value)| (name.clone(), value.as_integer().and_then(|n| u64::try_from(n).ok())))
                .collect(),
            Self::File(..) => return wrong("must be a table", "resources = { licence = 3 }"),
            Self::Word(word) => word
                .split(',')
                .map(|pair| {
                    let (name, amount) = pair.split_once('=').unwrap_or((pair, ""));
                    (name.trim().to_owned(), amount.trim().parse().ok())
                })
                .collect(),
        };
        pairs
            .into_iter()
            .map(|(name, amount)| match amount {
                Some(amount) if amount <= MAX && !name.is_empty() => Ok((name, amount)),
                _ => wrong(
                    format!("`{}` is not an amount of a named resource", name.escape_debug()),
                    format!("a whole number from 0 to {MAX}: `licence = 3` in a file, `licence=3` elsewhere"),
                ),
            })
            .collect()
    }
}

fn unit(error: UnitError, what: &str, example: &str) -> Wrong {
    let message = match error {
        UnitError::NotANumber => format!("not {what}"),
        UnitError::UnitMissing => format!("{what} without a unit"),
        UnitError::UnknownUnit => "unknown unit".to_owned(),
        UnitError::TooLarge => format!("{what} that is too large"),
    };
    (message, format!("write it like \"{example}\""))
}
