//! One `[[function]]`.

use super::cost;
use super::keys::{FUNCTION, OUTPUT, PYTHON, duplicates, unknown_key};
use super::node::Node;
use super::report::{Place, Report};
use super::retry::{RetryDraft, retry};
use super::scalar::{self, Bare};
use super::sweep::{Budget, foreach};
use dunnage_model::{ArgSpec, Code, FunctionSpec, Literal, OutputKind, OutputSpec, Problem, nearest};

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
                let params = table.iter().find(|(key, _)| key == "params");
                let params = params.map(|(key, node)| params_table(node, &at.key(key), report));
                spec.code = Code::Kernel { name, params: params.unwrap_or_default() };
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

fn args(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Vec<ArgSpec> {
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

fn python(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Code {
    let mut call = String::new();
    let mut pure = false;
    if let Some(table) = scalar::table(node, at, "python = { call = \"module:function\" }", report) {
        for (key, node) in table {
            let here = at.key(key);
            match key.as_ref() {
                "call" => call = call_name(node, &here, report).unwrap_or_default(),
                "pure" => pure = scalar::boolean(node, &here, report).unwrap_or_default(),
                other => unknown_key(report, &PYTHON, other, at),
            }
        }
        if !table.iter().any(|(key, _)| key == "call") {
            let problem = Problem::new(at.key("call").to_string(), "does not say what to call");
            report.add(problem.hint("python = { call = \"module:function\" }"));
        }
    }
    Code::Python { call, pure }
}

/// `package.module:function`, where the function may be inside a class.
fn call_name(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Option<String> {
    let call = scalar::text(node, at, report)?;
    let dotted = |part: &str| {
        part.split('.').all(|name| {
            name.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_alphanumeric() || c == '_')
        })
    };
    if call.split_once(':').is_some_and(|(module, function)| dotted(module) && dotted(function)) {
        return Some(call);
    }
    report.wrong(at, node, "not the name of a Python function", "write it like \"module:function\"");
    None
}

fn outputs(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Vec<OutputSpec> {
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

/// The numbers of Linux on x86-64 and arm64, for which they are the same.
const SIGNALS: [(&str, i32); 31] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

fn signal(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Option<i32> {
    let Node::Text(text) = node else {
        return scalar::whole(node, at, 1..=31, report).map(|number| number as i32);
    };
    let name = text.strip_prefix("SIG").unwrap_or(text);
    if let Some((_, number)) = SIGNALS.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    let hint = match nearest(name, SIGNALS.iter().map(|(known, _)| *known)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "a name like \"TERM\", \"INT\" or \"USR1\", or a number from 1 to 31".to_owned(),
    };
    report.wrong(at, node, "unknown signal", hint);
    None
}

fn params_table(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Vec<(String, Literal)> {
    let Some(table) = scalar::table(node, at, "params = { alpha = 1.0 }", report) else {
        return Vec::new();
    };
    table.iter().map(|(key, node)| (key.clone().into_owned(), literal(node, &at.key(key), report))).collect()
}

fn literal(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Literal {
    match node {
        Node::Null => Literal::Null,
        Node::Bool(value) => Literal::Bool(*value),
        Node::Int(value) => match i64::try_from(*value) {
            Ok(value) => Literal::Int(value),
            Err(_) => {
                let hint = format!("from {} to {}, or with a point", i64::MIN, i64::MAX);
                report.wrong(at, node, "a number out of range", hint);
                Literal::Null
            }
        },
        Node::Float(value) if value.is_finite() => Literal::Float(*value),
        Node::Float(_) => {
            report.wrong(at, node, "a number out of range", "a parameter must be finite");
            Literal::Null
        }
        Node::Text(text) => Literal::Text(text.clone().into_owned()),
        Node::Date(_) => {
            report.wrong_type(at, node, "a value that JSON can say", "");
            Literal::Null
        }
        Node::List(items) => Literal::List(
            items.iter().enumerate().map(|(n, item)| literal(item, &at.index(n), report)).collect(),
        ),
        Node::Table(entries) => {
            duplicates(entries, at, report);
            let entry = |(key, node): &(std::borrow::Cow<'_, str>, Node<'_>)| {
                (key.clone().into_owned(), literal(node, &at.key(key), report))
            };
            Literal::Table(entries.iter().map(entry).collect())
        }
    }
}
