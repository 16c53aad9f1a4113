//! JSON as a stream: of `function` one element at a time becomes a tree and then a spec.

use super::assembly::Assembly;
use super::node::{KeySeed, NODES_MAX, Node, NodeSeed, TOO_MANY};
use super::report::syntax_problem;
use super::{Decoded, Limits, Places};
use dunnage_model::{GraphSpec, Problem};
use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use std::cell::Cell;
use std::fmt;
use std::io::{BufReader, Read};

/// Decodes a JSON document while it comes in. Reading stops at the first thing that makes the rest
/// not worth reading: bad syntax, too many functions, too many bytes.
///
/// # Errors
/// All problems at once, in the order of the document, at most `limits.problems` of them.
pub fn decode_json(reader: impl Read, limits: &Limits) -> Result<Decoded, Vec<Problem>> {
    let mut text = Vec::new();
    let beyond = Cell::new(false);
    let tee = Tee { reader, text: &mut text, left: limits.bytes, beyond: &beyond };
    let mut deserializer = serde_json::Deserializer::from_reader(BufReader::with_capacity(1 << 16, tee));
    let decoded = decode(&mut deserializer, limits);
    drop(deserializer);
    if beyond.get() {
        return Err(vec![too_long(limits)]);
    }
    let spec = decoded?;
    let json = String::from_utf8(text).map_err(|_| vec![Problem::new("", "the document is not UTF-8")])?;
    Ok(Decoded { spec, json, places: Places::none() })
}

/// Decodes a JSON document that lies in memory: faster than from a reader, and the text is kept.
///
/// # Errors
/// All problems at once, in the order of the document, at most `limits.problems` of them.
pub fn decode_json_text(text: String, limits: &Limits) -> Result<Decoded, Vec<Problem>> {
    if text.len() as u64 > limits.bytes {
        return Err(vec![too_long(limits)]);
    }
    let body = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let spec = decode(&mut serde_json::Deserializer::from_str(body), limits)?;
    Ok(Decoded { spec, json: text, places: Places::none() })
}

fn too_long(limits: &Limits) -> Problem {
    Problem::new("", "the document is too long").hint(format!("at most {} bytes are allowed", limits.bytes))
}

/// Keeps what it reads, up to a number of bytes.
struct Tee<'t, R> {
    reader: R,
    text: &'t mut Vec<u8>,
    left: u64,
    beyond: &'t Cell<bool>,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => {
                self.beyond.set(true);
                return Err(std::io::Error::other("the document is too long"));
            }
        }
        self.text.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

fn decode<'de, R: serde_json::de::Read<'de>>(
    deserializer: &mut serde_json::Deserializer<R>,
    limits: &Limits,
) -> Result<GraphSpec, Vec<Problem>> {
    let mut assembly = Assembly::new(limits);
    let mut fatal = None;
    let read = Document { assembly: &mut assembly, fatal: &mut fatal }
        .deserialize(&mut *deserializer)
        .and_then(|()| deserializer.end());
    match (fatal, read) {
        (Some(problem), _) => Err(vec![problem]),
        (None, Err(error)) => Err(vec![explain(&error)]),
        (None, Ok(())) => assembly.finish(),
    }
}

fn explain(error: &serde_json::Error) -> Problem {
    let full = error.to_string();
    let message = full.rsplit_once(" at line ").map_or(full.as_str(), |(message, _)| message);
    let (line, column) = (error.line().max(1), error.column().max(1));
    match error.classify() {
        Category::Io => Problem::new("", format!("the document cannot be read: {message}")),
        Category::Data if message.contains(TOO_MANY) => syntax_problem(
            error.line(),
            error.column(),
            TOO_MANY,
            &format!("at most {NODES_MAX} are allowed"),
        ),
        Category::Data if message.starts_with("invalid type") => {
            let hint = "the whole document is one object: {\"graph\": {..}, \"function\": [..]}";
            syntax_problem(line, column, "a graph must be an object", hint)
        }
        Category::Eof => syntax_problem(
            error.line(),
            error.column(),
            &format!("not JSON: {message}"),
            "the document is cut off",
        ),
        Category::Data | Category::Syntax => {
            let hint = match message {
                "recursion limit exceeded" => "tables and lists may lie 127 deep inside each other",
                "trailing comma" => "remove the comma before the bracket",
                "trailing characters" => "there is something after the end of the object",
                _ => "",
            };
            syntax_problem(line, column, &format!("not JSON: {message}"), hint)
        }
    }
}

/// The whole document.
struct Document<'s> {
    assembly: &'s mut Assembly,
    /// A problem after which reading stopped; the error that stopped it is only its carrier.
    fatal: &'s mut Option<Problem>,
}

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen: Vec<&'static str> = Vec::new();
        while let Some(key) = map.next_key_seed(KeySeed)? {
            let known = super::keys::TOP.keys.iter().find(|known| **known == key);
            if let Some(known) = known {
                if seen.contains(known) {
                    let problem = Problem::new(*known, "a key that is there twice");
                    self.assembly.report.add(problem.hint("remove one of them"));
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
                seen.push(known);
            }
            let budget = Cell::new(NODES_MAX);
            let seed = NodeSeed { budget: &budget };
            match key.as_ref() {
                "graph" => self.assembly.graph(&map.next_value_seed(seed)?),
                "defaults" => self.assembly.defaults(&map.next_value_seed(seed)?),
                "function" => map.next_value_seed(Functions {
                    assembly: &mut *self.assembly,
                    fatal: &mut *self.fatal,
                    budget: &budget,
                })?,
                other => {
                    if other != "$schema" {
                        self.assembly.unknown(other);
                    }
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// The value of `function`.
struct Functions<'s> {
    assembly: &'s mut Assembly,
    fatal: &'s mut Option<Problem>,
    budget: &'s Cell<usize>,
}

impl Functions<'_> {
    fn wrong(self, node: &Node<'_>) {
        self.assembly.functions_wrong(node);
    }
}

impl<'de> DeserializeSeed<'de> for Functions<'_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Functions<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of functions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        loop {
            self.budget.set(NODES_MAX);
            let Some(node) = seq.next_element_seed(NodeSeed { budget: self.budget })? else {
                return Ok(());
            };
            if let Err(problem) = self.assembly.function(&node) {
                *self.fatal = Some(problem);
                return Err(de::Error::custom("too many functions"));
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let node = NodeSeed { budget: self.budget }.visit_map(map)?;
        self.wrong(&node);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.wrong(&Node::Null);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.wrong(&Node::Bool(value));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.wrong(&Node::Int(value.into()));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.wrong(&Node::Int(value.into()));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.wrong(&Node::Float(value));
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.wrong(&Node::Text(value.into()));
        Ok(())
    }
}
