//! A piece of a document as a tree: what TOML and JSON have in common.
//!
//! Not `serde_json::Value`, because tables here keep the order of the document (the axes of a sweep
//! have one) and keys that are there twice (which are reported), and because texts are borrowed from
//! the document where it lies in memory.

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

/// A value of a document.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Node<'a> {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Cow<'a, str>),
    /// A date or time of TOML, which no key takes.
    Date(String),
    List(Vec<Self>),
    Table(Table<'a>),
}

/// The entries of a table in the order of the document.
pub(crate) type Table<'a> = Vec<(Cow<'a, str>, Node<'a>)>;

/// At most this many values in one function: far above any real one, and it bounds how much memory
/// a hostile document can take beyond its own length.
pub(crate) const NODES_MAX: usize = 8_000_000;

impl Node<'_> {
    /// What it is, to be put after "not".
    pub(crate) const fn type_words(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::Date(_) => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }

    /// A scalar as text: `0.1`, `true`, `adam`; `None` for everything that is no scalar.
    pub(crate) fn scalar_text(&self) -> Option<String> {
        match self {
            Self::Bool(value) => Some(value.to_string()),
            Self::Int(value) => Some(value.to_string()),
            // `Debug` keeps `1.0` and `1e-7` as people write them; `Display` would not.
            Self::Float(value) if value.is_finite() => Some(format!("{value:?}")),
            Self::Text(value) => Some(value.clone().into_owned()),
            Self::Float(_) | Self::Null | Self::Date(_) | Self::List(_) | Self::Table(_) => None,
        }
    }
}

/// As it would be written, shortened to about a hundred characters; a text without its quotes.
impl fmt::Display for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        match self {
            Self::Text(text) => out.extend(text.chars().take(ENOUGH)),
            other => write_short(other, &mut out),
        }
        f.write_str(&out)
    }
}

const ENOUGH: usize = 100;

fn write_short(node: &Node<'_>, out: &mut String) {
    use fmt::Write as _;
    if out.len() > ENOUGH {
        return;
    }
    // Writing to a `String` cannot fail.
    let _ = match node {
        Node::Null => write!(out, "null"),
        Node::Bool(value) => write!(out, "{value}"),
        Node::Int(value) => write!(out, "{value}"),
        Node::Float(value) => write!(out, "{value:?}"),
        Node::Date(value) => write!(out, "{value}"),
        Node::Text(text) => {
            out.push('"');
            out.extend(text.chars().take(ENOUGH));
            out.push('"');
            Ok(())
        }
        Node::List(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate().take(ENOUGH) {
                if n > 0 {
                    out.push_str(", ");
                }
                write_short(item, out);
            }
            out.push(']');
            Ok(())
        }
        Node::Table(entries) => {
            out.push_str("{ ");
            for (n, (key, item)) in entries.iter().enumerate().take(ENOUGH) {
                if n > 0 {
                    out.push_str(", ");
                }
                out.extend(key.chars().take(ENOUGH));
                out.push_str(" = ");
                write_short(item, out);
            }
            out.push_str(" }");
            Ok(())
        }
    };
}

/// As JSON. Numbers that JSON cannot say and dates never get here: they are problems before.
impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => match (i64::try_from(*value), u64::try_from(*value)) {
                (Ok(small), _) => serializer.serialize_i64(small),
                (_, Ok(large)) => serializer.serialize_u64(large),
                _ => serializer.serialize_f64(*value as f64),
            },
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Date(text) => serializer.serialize_str(text),
            Self::List(items) => serializer.collect_seq(items),
            Self::Table(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, item) in entries {
                    map.serialize_entry(key.as_ref(), item)?;
                }
                map.end()
            }
        }
    }
}

/// Reads one tree from a stream, and refuses one of more than the values left in `budget`.
#[derive(Clone, Copy)]
pub(crate) struct NodeSeed<'b> {
    pub(crate) budget: &'b Cell<usize>,
}

/// What the error of a tree that is too large says; the caller makes a problem of it.
pub(crate) const TOO_MANY: &str = "too many values in one table";

impl NodeSeed<'_> {
    fn spend<E: de::Error>(self) -> Result<(), E> {
        match self.budget.get().checked_sub(1) {
            Some(left) => {
                self.budget.set(left);
                Ok(())
            }
            None => Err(E::custom(TOO_MANY)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for NodeSeed<'_> {
    type Value = Node<'de>;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Node<'de>, D::Error> {
        self.spend()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NodeSeed<'_> {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node<'de>, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node<'de>, E> {
        Ok(Node::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node<'de>, E> {
        Ok(Node::Int(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node<'de>, E> {
        Ok(Node::Float(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_string<E>(self, value: String) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Owned(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node<'de>, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key_seed(KeySeed)? {
            entries.push((key, map.next_value_seed(self)?));
        }
        Ok(Node::Table(entries))
    }
}

/// Reads a key, borrowed where the document lies in memory.
pub(crate) struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Self::Value, E> {
        Ok(Cow::Owned(value))
    }
}
