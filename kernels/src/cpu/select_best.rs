//! `select_best`: the object with the largest (or smallest) number under a key.

use serde_json::{Map, Value};

use crate::call::Call;
use crate::error::KernelError;
use crate::kernel::{
    ArgShape, Arity, Kernel, KernelInfo, OutputInfo, OutputKind, ParamInfo, ParamKind, Presence, Work,
    total_bytes,
};
use crate::params::Params;

pub(crate) struct SelectBest;

static INFO: KernelInfo = KernelInfo {
    name: "select_best",
    summary: "the object with the best number under a key; the first of equals",
    arity: Arity::at_least(1),
    args: "JSON objects, usually a family",
    families: true,
    outputs: &[OutputInfo { name: "best", kinds: &[OutputKind::Json], presence: Presence::Required }],
    params: &[
        ParamInfo {
            name: "key",
            kind: ParamKind::Text,
            default: None,
            doc: "the field to compare; objects where it is null are passed over",
        },
        ParamInfo {
            name: "goal",
            kind: ParamKind::OneOf(&["max", "min"]),
            default: Some("max"),
            doc: "whether the largest or the smallest is best",
        },
        ParamInfo {
            name: "fields",
            kind: ParamKind::Texts,
            default: Some("-"),
            doc: "the fields to keep; all without it",
        },
    ],
};

impl Kernel for SelectBest {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn cost(&self, args: &[ArgShape], _params: &Params<'_>) -> Option<Work> {
        Some(Work::new(0.0, total_bytes(args), 128))
    }

    fn run(&self, call: &mut Call<'_>) -> Result<(), KernelError> {
        let params = call.params();
        let key = params.text("key")?;
        let largest = params.text("goal")? == "max";
        let mut best: Option<(f64, Map<String, Value>)> = None;
        for (at, value) in call.jsons_from(0)?.into_iter().enumerate() {
            let Value::Object(object) = value else {
                return Err(call.argument_error(0, format!("value {at} is no JSON object")));
            };
            let number = match object.get(&key) {
                // JSON has no NaN: a score that is none is written as null.
                Some(Value::Null) => continue,
                Some(value) => value.as_f64(),
                None => None,
            };
            let Some(number) = number else {
                let fields: Vec<&str> = object.keys().map(String::as_str).collect();
                return Err(params.error(
                    "key",
                    format!("value {at} has no number under `{key}`; its fields are {}", fields.join(", ")),
                ));
            };
            let better = best.as_ref().is_none_or(
                |(leader, _)| {
                    if largest { number > *leader } else { number < *leader }
                },
            );
            if better {
                best = Some((number, object));
            }
        }
        let Some((_, mut object)) = best else {
            return Err(params.error("key", format!("no value has a number under `{key}`")));
        };
        if params.has("fields") {
            let fields = params.texts("fields")?;
            if let Some(missing) = fields.iter().find(|field| !object.contains_key(*field)) {
                return Err(params.error("fields", format!("the best has no field `{missing}`")));
            }
            object.retain(|field, _| fields.contains(field));
        }
        call.write_json(0, Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invoke::Argument;
    use crate::testing::Desk;
    use serde_json::json;

    #[test]
    fn the_first_of_the_best_is_chosen() {
        let mut desk = Desk::new();
        let values = [
            json!({ "id": 0, "score": 1.0 }),
            json!({ "id": 1, "score": null }),
            json!({ "id": 2, "score": 3 }),
            json!({ "id": 3, "score": 3.0 }),
            json!({ "id": 4, "score": -2.5 }),
        ];
        let paths: Vec<_> =
            values.iter().enumerate().map(|(at, value)| desk.json(&at.to_string(), value)).collect();
        let args = vec![Argument::Many(paths)];
        let found = desk.compute_json("select_best", json!({ "key": "score" }), args.clone());
        assert_eq!(found, json!({ "id": 2, "score": 3 }));
        let params = json!({ "key": "score", "goal": "min", "fields": ["id"] });
        let found = desk.compute_json("select_best", params, args.clone());
        assert_eq!(found, json!({ "id": 4 }));
        let out = [OutputKind::Json];
        let error = desk.fail("select_best", json!({ "key": "scores" }), args.clone(), &out);
        assert!(error.to_string().contains("its fields are id, score"), "{error}");
        let params = json!({ "key": "score", "fields": ["name"] });
        let error = desk.fail("select_best", params, args, &out);
        assert!(error.to_string().contains("no field `name`"), "{error}");
        let error = desk.fail("select_best", json!({ "key": "score" }), vec![Argument::Many(vec![])], &out);
        assert!(error.to_string().contains("no value has a number"), "{error}");
    }
}
