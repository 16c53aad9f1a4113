//! The keys of every table of the graph file, and what to say about one that is not known.
//!
//! The JSON Schema is compared with these tables by a test, so that neither can forget a key.

use super::node::Table;
use super::report::{Place, Report};
use dunnage_model::{Problem, nearest};

/// A kind of table in the graph file.
#[derive(Debug)]
pub struct Kind {
    /// Its name: the key it stands under, and the name of its definition in the JSON Schema.
    pub name: &'static str,
    /// The keys it may have.
    pub keys: &'static [&'static str],
}

pub(crate) const TOP: Kind = Kind { name: "document", keys: &["$schema", "graph", "defaults", "function"] };

pub(crate) const GRAPH: Kind = Kind {
    name: "graph",
    keys: &[
        "name",
        "strategy",
        "order",
        "tolerance",
        "on_failure",
        "timeout",
        "priority",
        "keep",
        "inputs",
        "weights",
    ],
};

pub(crate) const WEIGHTS: Kind =
    Kind { name: "weights", keys: &["time", "transfer", "energy", "fragmentation"] };

pub(crate) const TOLERANCE: Kind = Kind { name: "tolerance", keys: &["max_failures", "min_success"] };

/// What a function says of itself alone never has a default.
pub(crate) const DEFAULTS: Kind = Kind {
    name: "defaults",
    keys: &[
        "max_parallel",
        "outputs",
        "env",
        "dir",
        "cost",
        "variants",
        "retry",
        "timeout",
        "signal",
        "grace",
        "node",
        "compensate",
    ],
};

pub(crate) const FUNCTION: Kind = Kind {
    name: "function",
    keys: &[
        "id",
        "family",
        "foreach",
        "max_parallel",
        "args",
        "after",
        "command",
        "extra_args",
        "kernel",
        "params",
        "python",
        "outputs",
        "env",
        "dir",
        "cost",
        "variants",
        "retry",
        "timeout",
        "signal",
        "grace",
        "node",
        "compensate",
    ],
};

pub(crate) const PYTHON: Kind = Kind { name: "python", keys: &["call", "pure"] };

pub(crate) const OUTPUT: Kind = Kind { name: "output", keys: &["kind", "size"] };

pub(crate) const COST: Kind = Kind {
    name: "cost",
    keys: &[
        "cpus",
        "memory",
        "gpus",
        "gpu_share",
        "gpu_memory",
        "has_cuda_requirement",
        "compute_capability",
        "gpu_model",
        "cpu_time",
        "duration",
        "flops",
        "bytes",
        "custom",
    ],
};

pub(crate) const VARIANT: Kind = Kind { name: "variant", keys: &["device", "cost"] };

pub(crate) const RETRY: Kind =
    Kind { name: "retry", keys: &["max", "backoff", "base", "cap", "jitter", "oom"] };

pub(crate) const OOM: Kind = Kind { name: "oom", keys: &["max", "factor"] };

/// Every kind of table.
pub const KINDS: [&Kind; 12] = [
    &TOP, &GRAPH, &WEIGHTS, &TOLERANCE, &DEFAULTS, &FUNCTION, &PYTHON, &OUTPUT, &COST, &VARIANT, &RETRY, &OOM,
];

/// Words of other tools, and ours for the same thing: kind, their word, ours.
const ALIASES: &[(&str, &str, &str)] = &[
    ("document", "functions", "function"),
    ("document", "tasks", "function"),
    ("document", "task", "function"),
    ("document", "jobs", "function"),
    ("document", "steps", "function"),
    ("graph", "keep_values", "keep"),
    ("function", "name", "id"),
    ("function", "cmd", "command"),
    ("function", "run", "command"),
    ("function", "argv", "command"),
    ("function", "depends_on", "after"),
    ("function", "depends", "after"),
    ("function", "needs", "after"),
    ("function", "requires", "after"),
    ("function", "dependencies", "after"),
    ("function", "inputs", "args"),
    ("function", "matrix", "foreach"),
    ("function", "sweep", "foreach"),
    ("function", "retries", "retry"),
    ("function", "time_limit", "timeout"),
    ("function", "cwd", "dir"),
    ("function", "workdir", "dir"),
    ("function", "environment", "env"),
    ("function", "resources", "cost"),
    ("defaults", "retries", "retry"),
    ("defaults", "cwd", "dir"),
    ("defaults", "resources", "cost"),
    ("cost", "cores", "cpus"),
    ("cost", "mem", "memory"),
    ("cost", "ram", "memory"),
    ("cost", "vram", "gpu_memory"),
    ("cost", "gpu_mem", "gpu_memory"),
    ("cost", "cuda", "has_cuda_requirement"),
    ("cost", "requires_cuda", "has_cuda_requirement"),
    ("cost", "time", "duration"),
    ("retry", "count", "max"),
    ("retry", "attempts", "max"),
    ("retry", "delay", "base"),
    ("oom", "multiplier", "factor"),
];

/// Reports a key that this kind of table does not have.
pub(crate) fn unknown_key(report: &mut Report, kind: &Kind, key: &str, at: &Place<'_>) {
    let has = |other: &Kind| other.keys.contains(&key);
    let alias = ALIASES.iter().find(|(of, theirs, _)| *of == kind.name && *theirs == key);
    let of_function = matches!(kind.name, "function" | "defaults");
    let (message, hint) = if kind.name == DEFAULTS.name && has(&FUNCTION) {
        ("a key that has no defaults", "write it in each function that needs it".to_owned())
    } else if let Some((_, _, ours)) = alias {
        ("unknown key", format!("it is called `{ours}` here"))
    } else if of_function && has(&COST) {
        ("a key of `cost`", format!("write `cost = {{ {key} = ... }}`"))
    } else if of_function && has(&RETRY) {
        ("a key of `retry`", format!("write `retry = {{ {key} = ... }}`"))
    } else if kind.name == COST.name && has(&FUNCTION) {
        ("a key of the function itself", format!("write `{key}` outside `cost`"))
    } else if kind.name != GRAPH.name && has(&GRAPH) && nearest(key, kind.keys.iter().copied()).is_none() {
        ("a key of `[graph]`", format!("write `{key}` below `[graph]`"))
    } else if matches!(kind.name, "document" | "graph") && has(&FUNCTION) {
        ("a key of a function", format!("write `{key}` below `[[function]]`"))
    } else if kind.name == RETRY.name && has(&OOM) {
        ("a key of `oom`", format!("write `oom = {{ {key} = ... }}`"))
    } else if let Some(near) = nearest(key, kind.keys.iter().copied()) {
        ("unknown key", format!("did you mean `{near}`?"))
    } else {
        let known: Vec<&str> = kind.keys.iter().copied().filter(|key| !key.starts_with('$')).collect();
        ("unknown key", format!("the keys here are {}", known.join(", ")))
    };
    report.add(Problem::new(at.key(key).to_string(), message).value(key.escape_debug()).hint(hint));
}

/// Reports keys that stand twice in one table: JSON allows it, and one of them would be lost.
pub(crate) fn duplicates(table: &Table<'_>, at: &Place<'_>, report: &mut Report) {
    let twice = |report: &mut Report, key: &str| {
        report.add(
            Problem::new(at.key(key).to_string(), "a key that is there twice").hint("remove one of them"),
        );
    };
    if table.len() <= 16 {
        for (n, (key, _)) in table.iter().enumerate() {
            if table[..n].iter().any(|(before, _)| before == key) {
                twice(report, key);
            }
        }
    } else {
        let mut keys: Vec<&str> = table.iter().map(|(key, _)| key.as_ref()).collect();
        keys.sort_unstable();
        for pair in keys.windows(2).filter(|pair| pair[0] == pair[1]) {
            twice(report, pair[1]);
        }
    }
}
