//! The `[graph]` table.

use super::keys::{GRAPH, TOLERANCE, WEIGHTS, unknown_key};
use super::node::Node;
use super::report::{Place, Report};
use super::scalar;
use dunnage_model::{GraphSpec, OnFailure, Order, Problem, Tolerance, Weights, nearest};
use std::collections::BTreeMap;

const PRIORITY_MAX: i64 = 1_000_000;

/// Beyond this a weight would drown the others in rounding.
const WEIGHT_MAX: f64 = 1e6;

/// Reads the table into a spec.
pub(crate) fn graph(node: &Node<'_>, at: &Place<'_>, spec: &mut GraphSpec, report: &mut Report) {
    const ON_FAILURE: [(&str, OnFailure); 2] =
        [("compensate", OnFailure::Compensate), ("keep", OnFailure::Keep)];
    let hint = "write `[graph]` on a line of its own, and the keys below it";
    let Some(table) = scalar::table(node, at, hint, report) else {
        return;
    };
    for (key, node) in table {
        let here = at.key(key);
        match key.as_ref() {
            "name" => spec.name = scalar::name(node, &here, report),
            "strategy" => spec.strategy = strategy(node, &here, report),
            "order" => spec.order = scalar::word(node, &here, &Order::NAMES, report).unwrap_or_default(),
            "tolerance" => spec.tolerance = tolerance(node, &here, report).unwrap_or_default(),
            "on_failure" => spec.on_failure = scalar::word(node, &here, &ON_FAILURE, report),
            "timeout" => spec.timeout = scalar::positive_span(node, &here, report),
            "priority" => {
                let priority = scalar::whole(node, &here, -PRIORITY_MAX..=PRIORITY_MAX, report);
                spec.priority = priority.unwrap_or_default() as i32;
            }
            "keep" => spec.keep = scalar::texts(node, &here, "[\"score.0\"]", report).unwrap_or_default(),
            "inputs" => spec.inputs = inputs(node, &here, report),
            "weights" => spec.weights = weights(node, &here, report),
            other => unknown_key(report, &GRAPH, other, at),
        }
    }
}

fn tolerance(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Option<Tolerance> {
    const WORDS: [(&str, Tolerance); 2] = [("strict", Tolerance::Strict), ("tolerant", Tolerance::Tolerant)];
    const HINT: &str = "\"strict\", \"tolerant\", { max_failures = 5 } or { min_success = 0.95 }";
    let table = match node {
        Node::Text(_) => return scalar::word(node, at, &WORDS, report),
        Node::Table(_) => scalar::table(node, at, HINT, report)?,
        other => {
            report.wrong_type(at, other, "a word or a table", HINT);
            return None;
        }
    };
    let mut tolerance = None;
    for (key, node) in table {
        let here = at.key(key);
        match key.as_ref() {
            "max_failures" => {
                let max = scalar::whole(node, &here, 0..=i64::from(u32::MAX), report);
                tolerance = max.map(|max| Tolerance::MaxFailures(max as u32)).or(tolerance);
            }
            "min_success" => {
                let min = scalar::number(node, &here, 0.0..=1.0, report);
                tolerance = min.map(Tolerance::MinSuccess).or(tolerance);
            }
            other => unknown_key(report, &TOLERANCE, other, at),
        }
    }
    if table.len() != 1 {
        report.wrong(at, node, "a tolerance says exactly one thing", HINT);
        return None;
    }
    tolerance
}

/// What is not named keeps its default: time counts, the rest does not.
fn weights(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Option<Weights> {
    const HINT: &str = "weights = { time = 1, energy = 0.2 }";
    let table = scalar::table(node, at, HINT, report)?;
    let mark = report.len();
    let mut weights = Weights::default();
    for (key, node) in table {
        let here = at.key(key);
        let weight = match key.as_ref() {
            "time" => &mut weights.time,
            "transfer" => &mut weights.transfer,
            "energy" => &mut weights.energy,
            "fragmentation" => &mut weights.fragmentation,
            other => {
                unknown_key(report, &WEIGHTS, other, at);
                continue;
            }
        };
        if let Some(value) = scalar::number(node, &here, 0.0..=WEIGHT_MAX, report) {
            *weight = value;
        }
    }
    let Weights { time, transfer, energy, fragmentation } = weights;
    if report.len() == mark && [time, transfer, energy, fragmentation].iter().all(|weight| *weight == 0.0) {
        report.wrong(at, node, "nothing counts", "give at least one weight that is more than 0");
        return None;
    }
    Some(weights)
}

fn inputs(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> BTreeMap<String, String> {
    let Some(table) = scalar::table(node, at, "inputs = { data = \"data.csv\" }", report) else {
        return BTreeMap::new();
    };
    let mut inputs = BTreeMap::new();
    for (name, node) in table {
        if let Some(path) = scalar::name(node, &at.key(name), report) {
            inputs.insert(name.clone().into_owned(), path);
        }
    }
    inputs
}

/// Every strategy that the format knows; a version may not have all of them yet.
const STRATEGIES: [&str; 19] = [
    "auto",
    "best-fit",
    "cost-optimised",
    "cpop",
    "dot-product",
    "energy-optimised",
    "fgd",
    "first-available",
    "gpu-clustering",
    "gpu-packing",
    "heft",
    "load-balanced",
    "max-min",
    "mct",
    "min-min",
    "peft",
    "random",
    "sufferage",
    "time-optimised",
];

fn strategy(node: &Node<'_>, place: &Place<'_>, report: &mut Report) -> Option<String> {
    let name = scalar::name(node, place, report)?;
    if !STRATEGIES.contains(&name.as_str()) {
        let problem = Problem::new(place.to_string(), "no strategy has this name").value(&name);
        report.add(problem.hint(match nearest(&name, STRATEGIES) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", STRATEGIES.join(", ")),
        }));
    }
    Some(name)
}
