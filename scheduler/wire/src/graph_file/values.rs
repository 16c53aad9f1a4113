//! The values a function reads (`args`) and makes (`outputs`).

use super::keys::{OUTPUT, unknown_key};
use super::node::Node;
use super::report::{Place, Report};
use super::scalar::{self, Bare};
use dunnage_model::{ArgSpec, OutputKind, OutputSpec, Problem};

/// The list of (producer id, index).
pub(crate) fn args(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Vec<ArgSpec> {
    const EXAMPLE: &str = "args = [[\"prepare\", 0]]";
    let items = scalar::list(node, at, "a list of (producer id, index)", EXAMPLE, report).unwrap_or_default();
    // `args = ["prepare", 0]` is one pair without the list around it.
    if let [Node::Text(_), Node::Int(_)] = items {
        report.wrong(at, node, "must be a list of (producer id, index)", format!("args = [{node}]"));
        return Vec::new();
    }
    let mut args = Vec::with_capacity(items.len());
    for (n, item) in items.iter().enumerate() {
        if let Some(arg) = arg(item, &at.index(n), report) {
            args.push(arg);
        }
    }
    args
}

fn arg(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Option<ArgSpec> {
    const EXAMPLE: &str = "[\"prepare\", 0], or [\"train[*]\", 0, \"succeeded\"]";
    let hint = match node {
        Node::Text(id) => format!("[{id:?}, 0] reads its first output; `after` only waits for it"),
        _ => EXAMPLE.to_owned(),
    };
    let items = scalar::list(node, at, "(producer id, index)", &hint, report)?;
    if !(2..=3).contains(&items.len()) {
        report.wrong(at, node, "must be (producer id, index)", EXAMPLE);
        return None;
    }
    let producer = scalar::name(&items[0], &at.index(0), report);
    let index = scalar::whole(&items[1], &at.index(1), 0..=i64::from(u16::MAX), report);
    let succeeded = match items.get(2) {
        Some(third) => scalar::word(third, &at.index(2), &[("succeeded", true)], report)?,
        None => false,
    };
    Some(ArgSpec { producer: producer?, index: index? as u16, succeeded })
}

/// The list of kinds.
pub(crate) fn outputs(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Vec<OutputSpec> {
    let hint = "outputs = [\"file\"], with kinds file, dir, npy, json";
    let items = scalar::list(node, at, "a list of kinds", hint, report).unwrap_or_default();
    let mut outputs = Vec::with_capacity(items.len().min(64));
    if items.len() > 64 {
        let count = Node::Int(items.len() as i128);
        report.wrong(at, &count, "too many outputs", "at most 64; a `dir` holds any number of files");
        return outputs;
    }
    for (n, item) in items.iter().enumerate() {
        if let Some(output) = output(item, &at.index(n), report) {
            outputs.push(output);
        }
    }
    outputs
}

fn output(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Option<OutputSpec> {
    if let Node::Text(_) = node {
        let kind = scalar::word(node, at, &OutputKind::NAMES, report)?;
        return Some(OutputSpec { kind, size: None });
    }
    let table = scalar::table(node, at, "\"file\", or { kind = \"file\", size = \"100MiB\" }", report)?;
    let mut kind = None;
    let mut size = None;
    for (key, node) in table {
        let here = at.key(key);
        match key.as_ref() {
            "kind" => kind = scalar::word(node, &here, &OutputKind::NAMES, report),
            "size" => size = scalar::bytes(node, &here, Bare::Refused, report),
            other => unknown_key(report, &OUTPUT, other, at),
        }
    }
    if !table.iter().any(|(key, _)| key == "kind") {
        let problem = Problem::new(at.key("kind").to_string(), "an output without a kind");
        report.add(problem.hint("kind = \"file\", or dir, npy, json"));
    }
    Some(OutputSpec { kind: kind?, size })
}
