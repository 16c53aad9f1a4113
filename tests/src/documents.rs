//! Looking into the documents that `--json` prints.

use serde_json::Value;

/// A function of a graph's document.
///
/// # Panics
/// There is none of that name.
pub fn function<'a>(doc: &'a Value, id: &str) -> &'a Value {
    let functions = doc["functions"].as_array().unwrap_or_else(|| panic!("no functions: {doc}"));
    let found = functions.iter().find(|function| function["id"] == id);
    found.unwrap_or_else(|| panic!("no function `{id}`: {doc}"))
}

/// The states of some functions.
pub fn states<'a>(doc: &'a Value, ids: &[&str]) -> Vec<&'a str> {
    ids.iter().map(|id| function(doc, id)["state"].as_str().unwrap_or("no state")).collect()
}

/// The types that a key may have; `?` stands for null.
fn fits(value: &Value, types: &str) -> bool {
    types.split('|').any(|kind| match kind {
        "string" => value.is_string(),
        "count" => value.is_u64(),
        "number" => value.is_number(),
        "bool" => value.is_boolean(),
        "list" => value.is_array(),
        "table" => value.is_object(),
        "?" => value.is_null(),
        "any" => true,
        _ => false,
    })
}

/// Makes sure that a document has these keys with these types: `"id:string pid:count|?"`.
///
/// # Panics
/// One is missing or is of another type.
pub fn has_keys(doc: &Value, keys: &str) {
    let table = doc.as_object().unwrap_or_else(|| panic!("not a table: {doc}"));
    for key in keys.split_whitespace() {
        let (name, types) = key.split_once(':').unwrap_or((key, "any"));
        let value = table.get(name).unwrap_or_else(|| panic!("no key `{name}`: {doc}"));
        assert!(fits(value, types), "`{name}` should be {types} and is {value}");
    }
}

/// Makes sure that the document of `run`, `status` or `wait` is as others rely on it.
///
/// # Panics
/// It is not.
pub fn is_status(doc: &Value) {
    has_keys(doc, "id:string graph:string state:string makespan_s:number|? functions:list");
    has_keys(doc, "succeeded:count failed:count cancelled:count");
    for function in doc["functions"].as_array().into_iter().flatten() {
        has_keys(function, "id:string state:string attempts:count cause:string|? where:string|?");
        has_keys(function, "message:string|? exit_code:number|? signal:number|? device:string|?");
        has_keys(function, "start_s:number|? end_s:number|? predicted_s:number|?");
        has_keys(function, "peak_memory_bytes:count|? outputs:list");
        for output in function["outputs"].as_array().into_iter().flatten() {
            has_keys(output, "kind:string path:string|? value:any");
        }
    }
}
