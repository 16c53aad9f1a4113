//! The example `examples/gp-regression` from end to end through [`invoke`], without a scheduler:
//! its graph file is expanded and run function by function, in one thread, and the numbers are
//! compared with those of a program that shares no code with this one.
//!
//! The expansion here is the least that this file needs; it is not the parser of the graph format.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use dunnage_kernels::{
    ArgShape, Argument, Invocation, MapCache, OutputKind, OutputSlot, Params, check_call, find, invoke,
    shape_of,
};
use serde_json::{Map, Value};

/// Length scale, noise, log marginal likelihood and root mean squared error in units of the
/// target, as printed by `examples/gp-regression/check.py` (numpy and scipy, dense).
#[expect(clippy::unreadable_literal, reason = "as the other program prints them")]
const KNOWN: [(f64, f64, f64, f64); 18] = [
    (1.0, 0.5, -461.105843988046, 65.512641067617),
    (1.0, 0.7, -476.266009173843, 64.948424854133),
    (1.0, 0.9, -497.646257209105, 64.893118391432),
    (2.0, 0.5, -426.692913430481, 62.832509301633),
    (2.0, 0.7, -421.723848966955, 60.390175622289),
    (2.0, 0.9, -445.215970876314, 59.181214079855),
    (3.0, 0.5, -424.397995661519, 58.244760970073),
    (3.0, 0.7, -400.790967374708, 57.337657989745),
    (3.0, 0.9, -423.474010837328, 57.020236900891),
    (4.0, 0.5, -422.188219972852, 56.921189031947),
    (4.0, 0.7, -391.906884446310, 56.760634770465),
    (4.0, 0.9, -414.600157662527, 56.747941636526),
    (6.0, 0.5, -424.322704929207, 56.773884045834),
    (6.0, 0.7, -388.047677846545, 56.828767218623),
    (6.0, 0.9, -410.094426814545, 56.917678515287),
    (8.0, 0.5, -430.293370007096, 56.903050868570),
    (8.0, 0.7, -390.078941011782, 57.042250380114),
    (8.0, 0.9, -411.084076827921, 57.208861252527),
];

const BEST: (f64, f64, f64, f64) = KNOWN[13];

#[test]
fn the_example_finds_the_known_numbers() {
    let folder = tempfile::tempdir().expect("a folder");
    let example = example();
    let text = std::fs::read_to_string(example.join("graph.toml")).expect("the graph");
    let graph: toml::Table = text.parse().expect("TOML");
    let functions = expand(&graph, &example.join("diabetes.csv"), folder.path());
    assert_eq!(functions.len(), 617, "as the example's README says");

    let mut cache = MapCache::default();
    let mut outputs: BTreeMap<&str, Vec<PathBuf>> = BTreeMap::new();
    for function in &functions {
        let families: Vec<bool> = function.args.iter().map(|arg| arg.family).collect();
        let kinds: Vec<OutputKind> = function.outputs.iter().map(|slot| slot.kind).collect();
        let problems = check_call(&function.kernel, &families, &kinds, &function.params);
        assert_eq!(problems, [], "{}", function.id);

        let args: Vec<Argument> = function.args.iter().map(|arg| arg.resolve(&outputs)).collect();
        if let Some(declared) = function.flops {
            let counted = counted_flops(function, &args);
            assert_eq!(declared, counted, "flops of {}", function.id);
        }
        let invocation = Invocation {
            kernel: function.kernel.clone(),
            params: function.params.clone(),
            args,
            outputs: function.outputs.clone(),
            threads: 1,
            donated: Vec::new(),
        };
        invoke(&invocation, &mut cache).unwrap_or_else(|error| panic!("{}: {error}", function.id));
        let paths = function.outputs.iter().map(|slot| slot.path.clone()).collect();
        outputs.insert(&function.id, paths);
    }

    for (l, s, likelihood, rmse) in KNOWN {
        let score = read_json(&outputs[format!("score-{l}-{s}").as_str()][0]);
        assert_score(&score, (l, s, likelihood, rmse));
    }
    let best = read_json(&outputs["best"][0]);
    assert_score(&best, BEST);
    let keys: Vec<&str> = best.as_object().expect("object").keys().map(String::as_str).collect();
    assert_eq!(keys, ["length_scale", "log_marginal_likelihood", "noise", "rmse"]);
    let largest = KNOWN.iter().map(|row| row.2).fold(f64::MIN, f64::max);
    assert_eq!(BEST.2, largest);
}

/// The same setting as in `BEST` by the plainest program: a dense matrix, textbook loops.
#[test]
fn a_dense_solution_agrees() {
    let text = std::fs::read_to_string(example().join("diabetes.csv")).expect("the data");
    let table: Vec<Vec<f64>> = text
        .lines()
        .skip(1)
        .map(|line| line.split(',').map(|field| field.parse().expect("a number")).collect())
        .collect();
    assert_eq!((table.len(), table[0].len()), (442, 11));
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for (row, values) in table.into_iter().enumerate() {
        if row % 5 == 4 { test.push(values) } else { train.push(values) }
    }
    let n = train.len();
    let mut target_scale = 0.0;
    for column in 0..11 {
        let mean = train.iter().map(|row| row[column]).sum::<f64>() / n as f64;
        let squares = train.iter().map(|row| (row[column] - mean).powi(2)).sum::<f64>();
        let deviation = (squares / n as f64).sqrt();
        for row in train.iter_mut().chain(&mut test) {
            row[column] = (row[column] - mean) / deviation;
        }
        target_scale = deviation;
    }
    let (l, s, likelihood, rmse) = BEST;
    let kernel = |a: &[f64], b: &[f64]| {
        let squares: f64 = a[..10].iter().zip(&b[..10]).map(|(p, q)| (p - q).powi(2)).sum();
        (-squares / (2.0 * l * l)).exp()
    };
    // Cholesky, row after row.
    let mut factor = vec![vec![0.0; n]; n];
    for i in 0..n {
        for j in 0..=i {
            let noise = if i == j { s * s } else { 0.0 };
            let sum: f64 = (0..j).map(|k| factor[i][k] * factor[j][k]).sum();
            let rest = kernel(&train[i], &train[j]) + noise - sum;
            factor[i][j] = if i == j { rest.sqrt() } else { rest / factor[j][j] };
        }
    }
    let mut z = vec![0.0; n];
    for i in 0..n {
        let sum: f64 = (0..i).map(|k| factor[i][k] * z[k]).sum();
        z[i] = (train[i][10] - sum) / factor[i][i];
    }
    let mut alpha = vec![0.0; n];
    for i in (0..n).rev() {
        let sum: f64 = (i + 1..n).map(|k| factor[k][i] * alpha[k]).sum();
        alpha[i] = (z[i] - sum) / factor[i][i];
    }
    let log_determinant: f64 = (0..n).map(|i| 2.0 * factor[i][i].ln()).sum();
    let squares: f64 = z.iter().map(|x| x * x).sum();
    let constant = n as f64 * (2.0 * std::f64::consts::PI).ln();
    let found_likelihood = -0.5 * (squares + log_determinant + constant);
    let error: f64 = test
        .iter()
        .map(|row| {
            let mean: f64 = train.iter().zip(&alpha).map(|(x, a)| kernel(row, x) * a).sum();
            (mean - row[10]).powi(2)
        })
        .sum();
    let found_rmse = (error / test.len() as f64).sqrt() * target_scale;
    assert!((found_likelihood - likelihood).abs() < 1e-9, "{found_likelihood}");
    assert!((found_rmse - rmse).abs() < 1e-9, "{found_rmse}");
}

/// One function of the graph, after the sweep.
struct Function {
    id: String,
    kernel: String,
    params: Map<String, Value>,
    args: Vec<Reference>,
    outputs: Vec<OutputSlot>,
    flops: Option<f64>,
}

/// `(producer, index)`, or every instance of a family.
struct Reference {
    producers: Vec<String>,
    index: usize,
    family: bool,
}

impl Reference {
    fn resolve(&self, outputs: &BTreeMap<&str, Vec<PathBuf>>) -> Argument {
        // Functions stand in the file after those that they read.
        let path = |id: &String| outputs[id.as_str()][self.index].clone();
        if self.family {
            Argument::Many(self.producers.iter().map(path).collect())
        } else {
            Argument::One(path(&self.producers[0]))
        }
    }
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/gp-regression")
}

fn expand(graph: &toml::Table, data: &Path, folder: &Path) -> Vec<Function> {
    let mut families: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut functions = Vec::new();
    for entry in graph["function"].as_array().expect("functions") {
        let entry = serde_json::to_value(entry).expect("plain data");
        let pattern = entry["id"].as_str().expect("an id");
        let family = pattern.split('{').next().unwrap_or(pattern);
        let family = family.trim_end_matches(['-', '_', '.']);
        assert!(!families.contains_key(family), "family {family} is not unique");
        let mut ids = Vec::new();
        for names in combinations(&entry["foreach"]) {
            let fill = |text: &str| {
                let text = text.replace("{input.data}", &data.display().to_string());
                names.iter().fold(text, |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
            };
            let id = fill(pattern);
            let args = entry["args"].as_array().into_iter().flatten().map(|arg| {
                let producer = fill(arg[0].as_str().expect("a producer"));
                let index = arg[1].as_u64().expect("an index") as usize;
                match producer.strip_suffix("[*]") {
                    Some(family) => Reference { producers: families[family].clone(), index, family: true },
                    None => Reference { producers: vec![producer], index, family: false },
                }
            });
            let mut outputs = Vec::new();
            for kind in entry["outputs"].as_array().expect("outputs") {
                let kind = kind.as_str().expect("a word").parse().expect("a kind");
                let path = folder.join(format!("{id}.{}", outputs.len()));
                outputs.push(OutputSlot { path, kind });
            }
            functions.push(Function {
                kernel: entry["kernel"].as_str().expect("a kernel").to_owned(),
                params: fill_value(&entry["params"], &fill).as_object().cloned().unwrap_or_default(),
                args: args.collect(),
                outputs,
                flops: entry["cost"]["flops"].as_f64(),
                id: id.clone(),
            });
            ids.push(id);
        }
        families.insert(family.to_owned(), ids);
    }
    functions
}

/// Every combination of a sweep's values, as texts.
fn combinations(sweep: &Value) -> Vec<Vec<(String, String)>> {
    let mut all = vec![Vec::new()];
    for (name, values) in sweep.as_object().into_iter().flatten() {
        let values: Vec<String> = match values {
            Value::String(range) => {
                let (first, last) = range.split_once('-').expect("a range");
                let (first, last): (u32, u32) =
                    (first.parse().expect("a number"), last.parse().expect("a number"));
                (first..=last).map(|value| value.to_string()).collect()
            }
            list => list.as_array().expect("a list").iter().map(ToString::to_string).collect(),
        };
        all = all
            .into_iter()
            .flat_map(|names: Vec<(String, String)>| {
                values.iter().map(move |value| {
                    let mut names = names.clone();
                    names.push((name.clone(), value.clone()));
                    names
                })
            })
            .collect();
    }
    all
}

fn fill_value(value: &Value, fill: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(fill(text)),
        Value::Array(list) => list.iter().map(|item| fill_value(item, fill)).collect(),
        Value::Object(table) => {
            table.iter().map(|(key, item)| (key.clone(), fill_value(item, fill))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn counted_flops(function: &Function, args: &[Argument]) -> f64 {
    let kernel = find(&function.kernel).expect("known");
    let shapes: Vec<ArgShape> = args
        .iter()
        .map(|arg| match arg {
            Argument::One(path) => ArgShape::One(shape_of(path).expect("readable")),
            Argument::Many(paths) => {
                ArgShape::Many(paths.iter().map(|path| shape_of(path).expect("readable")).collect())
            }
        })
        .collect();
    let params = Params::new(kernel.info(), &function.params);
    kernel.cost(&shapes, &params).map_or(0.0, |work| work.flops)
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("readable")).expect("JSON")
}

#[track_caller]
fn assert_score(found: &Value, expected: (f64, f64, f64, f64)) {
    let (l, s, likelihood, rmse) = expected;
    let mut wrong = String::new();
    for (key, wanted, tolerance) in [
        ("length_scale", l, 0.0),
        ("noise", s, 0.0),
        ("log_marginal_likelihood", likelihood, 1e-9),
        ("rmse", rmse, 1e-9),
    ] {
        let number = found[key].as_f64().unwrap_or(f64::NAN);
        if number.is_nan() || (number - wanted).abs() > tolerance {
            let _ = writeln!(wrong, "{key} is {number} and should be {wanted}");
        }
    }
    assert!(wrong.is_empty(), "l = {l}, s = {s}:\n{wrong}");
}
