//! One `[[function]]`.

use super::code::{params, python};
use super::cost;
use super::keys::{FUNCTION, unknown_key};
use super::node::Node;
use super::report::{Place, Report};
use super::retry::{RetryDraft, retry};
use super::scalar::{self, Bare};
use super::signal::signal;
use super::sweep::{Budget, foreach};
use super::values::{args, outputs};
use dunnage_model::{Code, FunctionSpec, Problem};

/// What of a function cannot be said in its spec before the defaults are known.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// The retry table, where there is one.
    pub(crate) retry: Option<Box<RetryDraft>>,
    /// `has_cuda_requirement`, where it is given.
    pub(crate) cuda: Option<bool>,
    pub(crate) node: bool,
    pub(crate) outputs: bool,
    pub(crate) variants: bool,
    pub(crate) compensate: bool,
}

/// Reads a function.
pub(crate) fn function(
    node: &Node<'_>,
    at: &Place<'_>,
    budget: &mut Budget,
    report: &mut Report,
) -> (FunctionSpec, Said) {
    let mut spec = FunctionSpec::default();
    let mut said = Said::default();
    let mark = report.len();
    let hint = "a function has an `id` and a `command`, a `kernel` or `python`";
    let Some(table) = scalar::table(node, at, hint, report) else {
        return (spec, said);
    };
    let has = |name: &str| table.iter().any(|(key, _)| key == name);
    let mut codes: Vec<&str> = Vec::new();
    for (key, node) in table {
        let here = at.key(key);
        match key.as_ref() {
            "id" => spec.id = scalar::name(node, &here, report).unwrap_or_default(),
            "family" => spec.family = scalar::name(node, &here, report),
            "foreach" => spec.foreach = foreach(node, &here, budget, report),
            "args" => spec.args = args(node, &here, report),
            "after" => {
                let hint = "after = [\"prepare\"]";
                spec.after = scalar::texts(node, &here, hint, report).unwrap_or_default();
            }
            "command" => {
                codes.push("command");
                spec.code = Code::Command(scalar::command(node, &here, report).unwrap_or_default());
            }
            "extra_args" => {
                let hint = "extra_args = [\"--epochs\", \"3\"]";
                spec.extra_args = scalar::texts(node, &here, hint, report).unwrap_or_default();
            }
            "kernel" => {
                codes.push("kernel");
                let name = scalar::name(node, &here, report).unwrap_or_default();
                let given = table.iter().find(|(key, _)| key == "params");
                let given = given.map(|(key, node)| params(node, &at.key(key), report));
                spec.code = Code::Kernel { name, params: given.unwrap_or_default() };
            }
            "params" if has("kernel") => {}
            "params" => report.add(
                Problem::new(here.to_string(), "parameters without a kernel")
                    .hint("a command takes them as words, in `command` or `extra_args`"),
            ),
            "python" => {
                codes.push("python");
                spec.code = python(node, &here, report);
            }
            other if shared(other, node, &here, &mut spec, &mut said, report) => {}
            other => unknown_key(report, &FUNCTION, other, at),
        }
    }
    if !has("id") {
        report.add(Problem::new(at.key("id").to_string(), "a function without an id").hint("id = \"train\""));
    }
    match codes.as_slice() {
        [_] => {}
        [] => report.add(
            Problem::new(at.to_string(), "a function with nothing to run")
                .hint("give it a `command`, a `kernel` or `python`"),
        ),
        [first, second, ..] if first != second => report.add(
            Problem::new(at.to_string(), "a function with more than one thing to run")
                .value(codes.join(", "))
                .hint("keep one of `command`, `kernel` and `python`"),
        ),
        // The same key twice is reported as such.
        [..] => {}
    }
    if report.len() > mark {
        let id = table.iter().find(|(key, _)| key == "id").and_then(|(_, id)| id.scalar_text());
        if let Some(id) = id.filter(|id| !id.is_empty()) {
            report.name_function(mark, &id);
        }
    }
    (spec, said)
}

/// Reads a key that functions and their defaults share; false where it is none.
pub(crate) fn shared(
    key: &str,
    node: &Node<'_>,
    at: &Place<'_>,
    spec: &mut FunctionSpec,
    said: &mut Said,
    report: &mut Report,
) -> bool {
    match key {
        "max_parallel" => {
            let max = scalar::whole(node, at, 1..=i64::from(u32::MAX), report);
            spec.max_parallel = max.map(|max| max as u32);
        }
        "outputs" => {
            said.outputs = true;
            spec.outputs = outputs(node, at, report);
        }
        "env" => spec.env = env(node, at, report),
        "dir" => spec.dir = scalar::name(node, at, report),
        "cost" => (spec.cost, said.cuda) = cost::cost(node, at, report),
        "variants" => {
            said.variants = true;
            spec.variants = cost::variants(node, at, report);
        }
        "retry" => said.retry = Some(Box::new(retry(node, at, report))),
        "timeout" => spec.timeout = scalar::positive_span(node, at, report),
        "signal" => spec.signal = signal(node, at, report),
        "grace" => spec.grace = scalar::span(node, at, Bare::Refused, report),
        "node" => {
            said.node = true;
            spec.node = scalar::name(node, at, report).filter(|name| name != "auto");
        }
        "compensate" => {
            said.compensate = true;
            // An empty list undoes a default.
            if !matches!(node, Node::List(words) if words.is_empty()) {
                spec.compensate = scalar::command(node, at, report).unwrap_or_default();
            }
        }
        _ => return false,
    }
    true
}

fn env(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Vec<(String, String)> {
    const EXAMPLE: &str = "env = { WANDB_MODE = \"offline\" }";
    let Some(table) = scalar::table(node, at, EXAMPLE, report) else {
        return Vec::new();
    };
    let mut env = Vec::with_capacity(table.len());
    for (name, node) in table {
        let at = at.key(name);
        if name.is_empty() || name.contains(['=', '\0']) {
            report.wrong(&at, node, "not a name that a variable may have", "without `=` and not empty");
            continue;
        }
        match node.scalar_text() {
            Some(text) if text.contains('\0') => {
                report.wrong(
                    &at,
                    node,
                    "a text with a NUL character, which no program can take",
                    "remove it",
                );
            }
            Some(text) => env.push((name.clone().into_owned(), text)),
            None => report.wrong_type(&at, node, "text, a finite number, true or false", EXAMPLE),
        }
    }
    env
}
