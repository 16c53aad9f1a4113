//! The JSON Schema against the decoder: the same keys, and the same verdict on examples.

use dunnage_wire::graph_file::{KINDS, Limits, decode_json_text, decode_toml};
use dunnage_wire::schema::graph_schema;
use serde_json::Value;
use std::collections::BTreeSet;

fn schema() -> Value {
    serde_json::from_str(graph_schema()).unwrap()
}

#[test]
fn schema_and_decoder_have_the_same_keys() {
    let schema = schema();
    for kind in KINDS {
        let table = if kind.name == "document" { &schema } else { &schema["$defs"][kind.name] };
        let described: BTreeSet<&str> = table["properties"]
            .as_object()
            .unwrap_or_else(|| panic!("{}", kind.name))
            .keys()
            .map(String::as_str)
            .collect();
        let known: BTreeSet<&str> = kind.keys.iter().copied().collect();
        assert_eq!(described, known, "{}", kind.name);
        assert_eq!(table["additionalProperties"], false, "{}", kind.name);
        for (key, value) in table["properties"].as_object().unwrap() {
            let described = value["description"].is_string() || value["$ref"].is_string();
            assert!(described, "{}.{key} has no description", kind.name);
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &Value, root: &Value) {
        match value {
            Value::Object(entries) => {
                if let Some(Value::String(target)) = entries.get("$ref") {
                    assert!(root.pointer(&target[1..]).is_some(), "{target}");
                }
                entries.values().for_each(|value| walk(value, root));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, root)),
            _ => {}
        }
    }
    walk(&schema(), &schema());
}

#[test]
fn schema_and_decoder_judge_alike() {
    let schema = schema();
    let design = decode_toml(include_str!("graphs/design.toml"), &Limits::default()).unwrap().json;
    let function = |more: &str| format!("{{\"function\": [{{\"id\": \"f\", {more}}}]}}");
    let command = |more: &str| function(&format!("\"command\": [\"true\"], {more}"));
    let cases = [
        design,
        "{}".into(),
        "{\"$schema\": \"x\"}".into(),
        "{\"grpah\": {}}".into(),
        "{\"graph\": []}".into(),
        "{\"graph\": {\"order\": \"dag\", \"tolerance\": {\"min_success\": 0.5}}}".into(),
        "{\"graph\": {\"tolerance\": {\"min_success\": 1.5}}}".into(),
        "{\"graph\": {\"tolerance\": {}}}".into(),
        "{\"graph\": {\"tolerance\": \"stric\"}}".into(),
        "{\"graph\": {\"priority\": 1.5}}".into(),
        "{\"graph\": {\"weights\": {\"time\": 1, \"energy\": 0.2}}}".into(),
        "{\"graph\": {\"weights\": {\"energy\": -0.2}}}".into(),
        "{\"graph\": {\"weights\": {\"speed\": 1}}}".into(),
        "{\"graph\": {\"timeout\": 3}}".into(),
        "{\"graph\": {\"inputs\": {\"a\": 3}}}".into(),
        "{\"defaults\": {\"retry\": {\"max\": -1}}}".into(),
        "{\"defaults\": {\"command\": [\"x\"]}}".into(),
        "{\"function\": {}}".into(),
        "{\"function\": [{\"command\": [\"x\"]}]}".into(),
        "{\"function\": [{\"id\": \"x\"}]}".into(),
        function("\"command\": [\"x\"]"),
        function("\"command\": \"x\""),
        function("\"command\": []"),
        function("\"command\": [\"x\"], \"kernel\": \"x\""),
        function("\"kernel\": \"gemm\", \"params\": {\"a\": [1, {\"b\": null}]}"),
        function("\"python\": {\"call\": \"a:b\", \"pure\": true}"),
        function("\"python\": {\"pure\": true}"),
        command("\"args\": [[\"a\", 0], [\"b[*]\", 1, \"succeeded\"]]"),
        command("\"args\": [[\"a\"]]"),
        command("\"args\": [[\"a\", \"0\"]]"),
        command("\"args\": [[\"a\", 0, \"failed\"]]"),
        command("\"after\": \"a\""),
        command("\"foreach\": {\"x\": [1, \"a\", true]}"),
        command("\"foreach\": {\"x\": []}"),
        command("\"foreach\": {\"x\": 3}"),
        command("\"outputs\": [\"file\", {\"kind\": \"npy\", \"size\": \"1MiB\"}]"),
        command("\"outputs\": [{\"kind\": \"npy\", \"size\": 100}]"),
        command("\"outputs\": [\"fiel\"]"),
        command("\"env\": {\"A\": 1, \"B\": true, \"C\": \"x\"}"),
        command("\"env\": {\"A\": null}"),
        command("\"cost\": {\"cpus\": 0.5, \"memory\": 100, \"gpus\": 2, \"custom\": {\"x\": 1}}"),
        command("\"cost\": {\"gpu_share\": 0}"),
        command("\"cost\": {\"gpu_share\": 1}"),
        command("\"cost\": {\"memory\": -1}"),
        command("\"cost\": {\"compute_capability\": 8.6, \"flops\": \"1e9\"}"),
        command("\"variants\": [{\"device\": \"tpu\"}]"),
        command("\"retry\": 3"),
        command("\"retry\": {\"oom\": {\"factor\": 0.5}}"),
        command("\"signal\": 40"),
        command("\"signal\": \"INT\", \"grace\": \"1s\", \"node\": \"auto\", \"compensate\": [\"x\"]"),
    ];
    let mut refused = 0;
    for case in cases {
        let value: Value = serde_json::from_str(&case).unwrap();
        let by_decoder = decode_json_text(case.clone(), &Limits::default()).map(|_| ());
        assert_eq!(valid(&value, &schema, &schema), by_decoder.is_ok(), "{case}: {by_decoder:?}");
        refused += usize::from(by_decoder.is_err());
    }
    assert!(refused > 20, "{refused}");
}

/// As much of JSON Schema as the schema uses, without `pattern`.
fn valid(value: &Value, schema: &Value, root: &Value) -> bool {
    let Some(rules) = schema.as_object() else {
        return schema != &Value::Bool(false);
    };
    let all = |list: &Value| -> Vec<bool> {
        list.as_array().into_iter().flatten().map(|schema| valid(value, schema, root)).collect()
    };
    rules.iter().all(|(rule, with)| match rule.as_str() {
        "$ref" => valid(value, root.pointer(&with.as_str().unwrap()[1..]).unwrap(), root),
        "type" => match with {
            Value::Array(names) => names.iter().any(|name| has_type(value, name.as_str().unwrap())),
            name => has_type(value, name.as_str().unwrap()),
        },
        "enum" => with.as_array().unwrap().contains(value),
        "const" => with == value,
        "anyOf" => all(with).contains(&true),
        "oneOf" => all(with).iter().filter(|valid| **valid).count() == 1,
        "minimum" => value.as_f64().is_none_or(|n| n >= with.as_f64().unwrap()),
        "exclusiveMinimum" => value.as_f64().is_none_or(|n| n > with.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|n| n <= with.as_f64().unwrap()),
        "minLength" => value.as_str().is_none_or(|text| text.len() as u64 >= with.as_u64().unwrap()),
        "maxLength" => value.as_str().is_none_or(|text| text.len() as u64 <= with.as_u64().unwrap()),
        "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= with.as_u64().unwrap()),
        "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= with.as_u64().unwrap()),
        "minProperties" => value.as_object().is_none_or(|table| table.len() as u64 >= with.as_u64().unwrap()),
        "maxProperties" => value.as_object().is_none_or(|table| table.len() as u64 <= with.as_u64().unwrap()),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| valid(item, with, root))),
        "prefixItems" => value.as_array().is_none_or(|items| {
            items.iter().zip(with.as_array().unwrap()).all(|(item, schema)| valid(item, schema, root))
        }),
        "required" => value.as_object().is_none_or(|table| {
            with.as_array().unwrap().iter().all(|key| table.contains_key(key.as_str().unwrap()))
        }),
        "properties" => value.as_object().is_none_or(|table| {
            table.iter().all(|(key, value)| with.get(key).is_none_or(|schema| valid(value, schema, root)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|table| {
            let known = rules.get("properties");
            table
                .iter()
                .filter(|(key, _)| known.is_none_or(|known| known.get(key).is_none()))
                .all(|(_, value)| valid(value, with, root))
        }),
        "description" | "title" | "default" | "$schema" | "$defs" | "pattern" => true,
        other => panic!("the schema uses `{other}`, which this test does not know"),
    })
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|n| n.fract() == 0.0),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other}"),
    }
}
