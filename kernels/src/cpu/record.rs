//! `record`: one JSON object from several, with fields of the caller's.

use serde_json::{Map, Value};

use crate::call::Call;
use crate::error::KernelError;
use crate::kernel::{
    ArgShape, Arity, Kernel, KernelInfo, OutputInfo, OutputKind, ParamInfo, ParamKind, Presence, Work,
    total_bytes,
};
use crate::params::Params;

pub(crate) struct Record;

static INFO: KernelInfo = KernelInfo {
    name: "record",
    summary: "one JSON object with the fields of all its arguments and those given",
    arity: Arity::at_least(0),
    args: "JSON objects",
    families: true,
    outputs: &[OutputInfo { name: "record", kinds: &[OutputKind::Json], presence: Presence::Required }],
    params: &[ParamInfo {
        name: "fields",
        kind: ParamKind::Table,
        default: Some("{}"),
        doc: "fields to add; a text that reads as a number becomes one",
    }],
};

impl Kernel for Record {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn cost(&self, args: &[ArgShape], _params: &Params<'_>) -> Option<Work> {
        let bytes = total_bytes(args);
        Some(Work::new(0.0, bytes, bytes))
    }

    fn run(&self, call: &mut Call<'_>) -> Result<(), KernelError> {
        let params = call.params();
        let mut record = Map::new();
        for value in call.jsons_from(0)? {
            let Value::Object(object) = value else {
                return Err(call.argument_error(0, "a value among the arguments is no JSON object"));
            };
            for (key, value) in object {
                if record.contains_key(&key) {
                    let message = format!("the field `{key}` is in two of the arguments");
                    return Err(call.argument_error(0, message));
                }
                record.insert(key, value);
            }
        }
        for (key, value) in params.table("fields")? {
            if record.contains_key(&key) {
                let message = format!("the field `{key}` is in an argument already");
                return Err(params.error("fields", message));
            }
            record.insert(key, numeric(value));
        }
        call.write_json(0, Value::Object(record))
    }
}

/// A number where the value is a text that reads as one, else the value.
fn numeric(value: Value) -> Value {
    let Some(text) = value.as_str().map(str::trim) else {
        return value;
    };
    if let Ok(whole) = text.parse::<i64>() {
        return Value::from(whole);
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Value::from(number),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use crate::invoke::Argument;
    use crate::kernel::OutputKind;
    use crate::testing::Desk;
    use serde_json::json;

    #[test]
    fn fields_are_joined_and_read_as_numbers() {
        let mut desk = Desk::new();
        let a = Argument::One(desk.json("a", &json!({ "x": 1.5 })));
        let b = Argument::Many(vec![desk.json("b", &json!({ "y": [1] }))]);
        let fields = json!({ "fields": { "l": "6", "s": "0.5", "name": "run-1", "n": 3 } });
        let found = desk.compute_json("record", fields, vec![a.clone(), b]);
        let expected = json!({ "x": 1.5, "y": [1], "l": 6, "s": 0.5, "name": "run-1", "n": 3 });
        assert_eq!(found, expected);
        let error =
            desk.fail("record", json!({ "fields": { "x": 1 } }), vec![a.clone()], &[OutputKind::Json]);
        assert!(error.to_string().contains("`x`"), "{error}");
        let error = desk.fail("record", json!({}), vec![a.clone(), a], &[OutputKind::Json]);
        assert!(error.to_string().contains("in two of the arguments"), "{error}");
    }
}
