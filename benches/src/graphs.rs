//! The graphs that are measured, as JSON documents.

use serde_json::{Value, json};

fn graph(functions: Vec<Value>) -> String {
    json!({ "graph": { "name": "b" }, "function": functions }).to_string()
}

/// `count` instances of one command.
pub fn sweep(count: usize, command: &[&str]) -> String {
    graph(vec![json!({ "id": "t-{n}", "foreach": { "n": range(count) }, "command": command })])
}

/// `count` commands, each a function of its own with a command of its own.
pub fn separate(count: usize) -> String {
    let function =
        |n: usize| json!({ "id": format!("f{n:06}"), "command": ["/bin/echo", format!("{n:06}")] });
    graph((0..count).map(function).collect())
}

/// The bytes of all words of the commands of [`separate`].
pub fn separate_text(count: usize) -> usize {
    count * ("/bin/echo".len() + 6)
}

/// Each `/bin/true` after the one before.
pub fn chain_of_commands(count: usize) -> String {
    chain(count, &json!({ "command": ["/bin/true"] }))
}

/// Each no-op after the one before.
pub fn chain_of_noops(count: usize) -> String {
    chain(count, &noop())
}

fn chain(count: usize, body: &Value) -> String {
    let link = |n: usize| {
        let mut function = body.clone();
        function["id"] = json!(format!("c{n}"));
        if n > 0 {
            function["after"] = json!([format!("c{}", n - 1)]);
        }
        function
    };
    graph((0..count).map(link).collect())
}

fn noop() -> Value {
    json!({ "kernel": "noop", "cost": { "cpus": 0 } })
}

/// `count` no-ops that may all run at once.
pub fn noops(count: usize) -> String {
    let mut function = noop();
    function["id"] = json!("n-{n}");
    function["foreach"] = json!({ "n": range(count) });
    graph(vec![function])
}

/// One no-op, then `count`, then one that comes after all of them. With `values`, each also passes an
/// (empty) value on to the next.
pub fn fan(count: usize, values: bool) -> String {
    let (mut first, mut middle, mut last) = (noop(), noop(), noop());
    first["id"] = json!("first");
    middle["id"] = json!("middle-{n}");
    middle["foreach"] = json!({ "n": range(count) });
    last["id"] = json!("last");
    if values {
        first["outputs"] = json!(["json"]);
        middle["outputs"] = json!(["json"]);
        middle["args"] = json!([["first", 0]]);
        last["args"] = json!([["middle[*]", 0]]);
    } else {
        middle["after"] = json!(["first"]);
        last["after"] = json!(["middle[*]"]);
    }
    graph(vec![first, middle, last])
}

fn range(count: usize) -> String {
    format!("0-{}", count.saturating_sub(1))
}
