//! Checks of a call before anything runs, so that a graph is refused with all its mistakes at once.

use serde_json::{Map, Value};

use crate::kernel::{KernelInfo, OutputKind, ParamKind, Presence};
use crate::params::{describe, mismatch};
use crate::registry::{all, find};

/// One thing that is wrong with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: `kernel`, `args`, `outputs.1`, `params.alpha`.
    pub place: String,
    /// The wrong value as written; empty where something is missing.
    pub value: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
}

/// Everything that is wrong with a call: arguments (true for a family), outputs and parameters.
pub fn check_call(
    name: &str,
    args: &[bool],
    outputs: &[OutputKind],
    params: &Map<String, Value>,
) -> Vec<Problem> {
    let Some(kernel) = find(name) else {
        return vec![unknown_kernel(name)];
    };
    let info = kernel.info();
    let mut problems = check_args(info, args);
    problems.extend(check_outputs(info, outputs));
    problems.extend(check_params(name, params));
    problems
}

/// Everything that is wrong with the parameters of a call (or with the kernel's name).
pub fn check_params(name: &str, params: &Map<String, Value>) -> Vec<Problem> {
    let Some(kernel) = find(name) else {
        return vec![unknown_kernel(name)];
    };
    let info = kernel.info();
    let mut problems = Vec::new();
    for (key, value) in params {
        let Some(param) = info.params.iter().find(|param| param.name == key) else {
            let known = || info.params.iter().map(|param| param.name);
            problems.push(Problem {
                place: format!("params.{key}"),
                value: value.to_string(),
                message: format!("kernel `{name}` has no parameter `{key}`"),
                hint: Some(match nearest(key, known()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if info.params.is_empty() => "it takes no parameters".to_owned(),
                    None => format!("its parameters are {}", known().collect::<Vec<_>>().join(", ")),
                }),
            });
            continue;
        };
        if value.is_null() {
            continue;
        }
        if let Some(message) = mismatch(param, value) {
            let near = match (param.kind, value.as_str()) {
                (ParamKind::OneOf(words), Some(word)) => nearest(word, words.iter().copied()),
                _ => None,
            };
            problems.push(Problem {
                place: format!("params.{key}"),
                value: value.to_string(),
                message,
                hint: near.map_or_else(
                    || Some(format!("`{key}`: {}", param.doc)),
                    |near| Some(format!("did you mean `{near}`?")),
                ),
            });
        }
    }
    for param in info.params {
        let given = params.get(param.name).is_some_and(|v| !v.is_null());
        if param.default.is_none() && !given {
            problems.push(Problem {
                place: format!("params.{}", param.name),
                value: String::new(),
                message: format!("kernel `{name}` needs the parameter `{}`", param.name),
                hint: Some(format!("give {}: {}", describe(param.kind), param.doc)),
            });
        }
    }
    problems
}

/// The candidate nearest to `word`, if one is near enough to have been meant.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1) + 1;
    candidates
        .map(|candidate| (edit_distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

fn unknown_kernel(name: &str) -> Problem {
    let hint = nearest(name, all().iter().map(|kernel| kernel.info().name)).map_or_else(
        || "the kernels are listed in docs/kernels.md".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    Problem {
        place: "kernel".to_owned(),
        value: name.to_owned(),
        message: format!("there is no kernel `{name}`"),
        hint: Some(hint),
    }
}

pub(crate) fn check_args(info: &KernelInfo, args: &[bool]) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !info.arity.allows(args.len()) {
        problems.push(Problem {
            place: "args".to_owned(),
            value: args.len().to_string(),
            message: format!(
                "kernel `{}` takes {} arguments and was given {}",
                info.name,
                info.arity,
                args.len()
            ),
            hint: Some(format!("its arguments: {}", info.args)),
        });
    }
    if !info.families {
        for (index, _) in args.iter().enumerate().filter(|(_, family)| **family) {
            problems.push(Problem {
                place: format!("args.{index}"),
                value: String::new(),
                message: format!(
                    "argument {index} of kernel `{}` must be one value and is a family",
                    info.name
                ),
                hint: Some("name a single instance instead of `[*]`".to_owned()),
            });
        }
    }
    problems
}

pub(crate) fn check_outputs(info: &KernelInfo, outputs: &[OutputKind]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let required = info.outputs.iter().filter(|output| output.presence == Presence::Required).count();
    let repeats = info.outputs.last().is_some_and(|output| output.presence == Presence::Repeated);
    if outputs.len() < required || (!repeats && outputs.len() > info.outputs.len()) {
        let names: Vec<String> =
            info.outputs.iter().map(|output| format!("{} ({})", output.name, kinds(output.kinds))).collect();
        problems.push(Problem {
            place: "outputs".to_owned(),
            value: outputs.len().to_string(),
            message: format!("kernel `{}` cannot write {} outputs", info.name, outputs.len()),
            hint: Some(if names.is_empty() {
                "it has none".to_owned()
            } else {
                format!("its outputs: {}", names.join(", "))
            }),
        });
    }
    for (index, kind) in outputs.iter().enumerate() {
        let Some(output) = info.outputs.get(index).or_else(|| info.outputs.last().filter(|_| repeats)) else {
            continue;
        };
        if !output.kinds.contains(kind) {
            problems.push(Problem {
                place: format!("outputs.{index}"),
                value: kind.to_string(),
                message: format!(
                    "kernel `{}` cannot write output {index} ({}) as {kind}",
                    info.name, output.name
                ),
                hint: Some(format!("declare it as {}", kinds(output.kinds))),
            });
        }
    }
    problems
}

pub(crate) fn kinds(kinds: &[OutputKind]) -> String {
    let words: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    words.join(" or ")
}

/// Insertions, deletions and replacements that turn one word into the other.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn params(value: Value) -> Map<String, Value> {
        value.as_object().cloned().expect("a table")
    }

    #[test]
    fn an_unknown_kernel_names_the_nearest() {
        let problems = check_params("potrv", &Map::new());
        assert_eq!(problems[0].place, "kernel");
        assert_eq!(problems[0].hint.as_deref(), Some("did you mean `potrf`?"));
    }

    #[test]
    fn all_parameter_mistakes_are_reported_together() {
        let given = params(json!({ "lenght_scale": 2, "noise": "much", "tile": -3 }));
        let problems = check_params("rbf_covariance", &given);
        let places: Vec<&str> = problems.iter().map(|p| p.place.as_str()).collect();
        assert_eq!(places, ["params.lenght_scale", "params.noise", "params.tile", "params.length_scale"]);
        assert_eq!(problems[0].hint.as_deref(), Some("did you mean `length_scale`?"));
        assert!(problems[1].message.contains("\"much\""));
    }

    #[test]
    fn numbers_may_come_as_text() {
        let given = params(json!({ "length_scale": "2.5", "noise": "0.5" }));
        assert_eq!(check_params("rbf_covariance", &given), []);
    }

    #[test]
    fn arguments_and_outputs_are_checked_too() {
        let problems = check_call("gemm", &[false, true, false, false], &[OutputKind::Json], &Map::new());
        let places: Vec<&str> = problems.iter().map(|p| p.place.as_str()).collect();
        assert_eq!(places, ["args", "args.1", "outputs.0"]);
        let problems = check_call("gemm", &[false, false], &[], &Map::new());
        assert_eq!(problems[0].place, "outputs");
        assert_eq!(check_call("noop", &[true], &[OutputKind::Json; 3], &Map::new()), []);
    }

    #[test]
    fn a_wrong_word_names_the_nearest() {
        let given = params(json!({ "op": "summ" }));
        let problems = check_params("reduce", &given);
        assert_eq!(problems[0].hint.as_deref(), Some("did you mean `sum`?"));
    }
}
