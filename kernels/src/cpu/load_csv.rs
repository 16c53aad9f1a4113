//! `load_csv`: a table of numbers as training and held-out arrays, standardised.
//!
//! The first line names the columns and the last column is the target. Row `i` (from 0, without
//! the header) is held out where `i mod holdout_modulus = holdout_index`. Means and population
//! deviations are those of the training rows; a column that is constant there is only centred.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::call::Call;
use crate::error::KernelError;
use crate::kernel::{
    ArgShape, Arity, Kernel, KernelInfo, OutputInfo, OutputKind, ParamInfo, ParamKind, Presence,
    SPECIAL_FLOPS, Work,
};
use crate::matrix::Real;
use crate::params::Params;

pub(crate) struct LoadCsv;

const fn array(name: &'static str) -> OutputInfo {
    OutputInfo { name, kinds: &[OutputKind::Npy], presence: Presence::Required }
}

static INFO: KernelInfo = KernelInfo {
    name: "load_csv",
    summary: "a table of numbers as arrays for training and testing",
    arity: Arity::between(0, 1),
    args: "the file, unless `path` names it",
    families: false,
    outputs: &[
        array("X_train"),
        array("y_train"),
        array("X_test"),
        array("y_test"),
        OutputInfo { name: "scaling", kinds: &[OutputKind::Json], presence: Presence::Optional },
    ],
    params: &[
        ParamInfo {
            name: "path",
            kind: ParamKind::Text,
            default: Some("-"),
            doc: "the file, usually `{input.NAME}`",
        },
        ParamInfo {
            name: "delimiter",
            kind: ParamKind::Text,
            default: Some("\",\""),
            doc: "the character between fields",
        },
        ParamInfo {
            name: "holdout_modulus",
            kind: ParamKind::Count,
            default: Some("5"),
            doc: "one row in so many is held out; 0 for none",
        },
        ParamInfo {
            name: "holdout_index",
            kind: ParamKind::Count,
            default: Some("4"),
            doc: "which of them, from 0",
        },
        ParamInfo {
            name: "standardise",
            kind: ParamKind::Flag,
            default: Some("true"),
            doc: "centre and scale every column by mean and population deviation of the training \
                  rows",
        },
        ParamInfo {
            name: "dtype",
            kind: ParamKind::OneOf(&["float64", "float32"]),
            default: Some("float64"),
            doc: "the type of the arrays",
        },
    ],
};

impl Kernel for LoadCsv {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn cost(&self, args: &[ArgShape], _params: &Params<'_>) -> Option<Work> {
        let bytes = args.first()?.one()?.bytes();
        // About 6 bytes a field as text, 8 as a number; parsing costs like a special function.
        let fields = bytes as f64 / 6.0;
        Some(Work::new(fields * SPECIAL_FLOPS, bytes, bytes / 6 * 8))
    }

    fn run(&self, call: &mut Call<'_>) -> Result<(), KernelError> {
        let params = call.params();
        let (bytes, place) = source(call)?;
        let delimiter = params.text("delimiter")?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|error| place.error(call, &format!("it is not text: {error}")))?;
        let table = Table::parse(text, &delimiter).map_err(|message| place.error(call, &message))?;
        let modulus = params.count("holdout_modulus")?;
        let index = params.count("holdout_index")?;
        if modulus > 0 && index >= modulus {
            return Err(params.error(
                "holdout_index",
                format!("{index} is not below `holdout_modulus`, which is {modulus}"),
            ));
        }
        let is_test = |row: usize| modulus > 0 && row % modulus == index;
        let (test, train): (Vec<usize>, Vec<usize>) = (0..table.rows).partition(|r| is_test(*r));
        if train.is_empty() {
            return Err(place.error(call, "no row is left for training"));
        }
        let scaling = if params.flag("standardise")? {
            table.scaling(&train)
        } else {
            vec![(0.0, 1.0); table.columns.len()]
        };
        match params.text("dtype")?.as_str() {
            "float32" => write_arrays::<f32>(call, &table, &scaling, [&train, &test])?,
            _ => write_arrays::<f64>(call, &table, &scaling, [&train, &test])?,
        }
        if call.outputs() > 4 {
            let (target_center, target_scale) = scaling[table.columns.len() - 1];
            let features = &scaling[..table.columns.len() - 1];
            call.write_json(
                4,
                json!({
                    "columns": table.columns,
                    "center": features.iter().map(|(center, _)| center).collect::<Vec<_>>(),
                    "scale": features.iter().map(|(_, scale)| scale).collect::<Vec<_>>(),
                    "target_center": target_center,
                    "target_scale": target_scale,
                    "rows_train": train.len(),
                    "rows_test": test.len(),
                }),
            )?;
        }
        Ok(())
    }
}

/// Where the table came from, for errors.
enum Place {
    Argument(PathBuf),
    Path(PathBuf),
}

impl Place {
    fn error(&self, call: &Call<'_>, message: &str) -> KernelError {
        match self {
            Self::Argument(path) => call.argument_error(0, format!("`{}`: {message}", path.display())),
            Self::Path(path) => call.params().error("path", format!("`{}`: {message}", path.display())),
        }
    }
}

fn source(call: &mut Call<'_>) -> Result<(Vec<u8>, Place), KernelError> {
    let params = call.params();
    match (call.args(), params.has("path")) {
        (1, false) => {
            let bytes = call.bytes(0)?.bytes().to_vec();
            Ok((bytes, Place::Argument(call.single(0)?.to_owned())))
        }
        (0, true) => {
            let path = PathBuf::from(params.text("path")?);
            let bytes = read(&path)
                .map_err(|error| params.error("path", format!("`{}`: {error}", path.display())))?;
            Ok((bytes, Place::Path(path)))
        }
        (_, true) => Err(params.error("path", "the file is given twice, here and as argument 0")),
        (_, false) => Err(params.error("path", "missing; name the file here or as argument 0")),
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    std::fs::read(path)
}

/// A table of finite numbers, row after row.
#[derive(Debug)]
struct Table {
    columns: Vec<String>,
    rows: usize,
    items: Vec<f64>,
}

impl Table {
    fn parse(text: &str, delimiter: &str) -> Result<Self, String> {
        let mut characters = delimiter.chars();
        let (Some(delimiter), None) = (characters.next(), characters.next()) else {
            return Err(format!("the delimiter `{delimiter}` is not one character"));
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line.trim_end_matches('\r')))
            .filter(|(_, line)| !line.trim().is_empty());
        let Some((_, header)) = lines.next() else {
            return Err("it is empty; a line of column names is wanted first".to_owned());
        };
        let columns: Vec<String> =
            header.split(delimiter).map(|name| name.trim().trim_matches('"').to_owned()).collect();
        if columns.len() < 2 {
            return Err(format!(
                "it has one column, `{}`; features and a target, divided by `{delimiter}`, are \
                 wanted",
                columns[0]
            ));
        }
        if columns.iter().all(|name| name.parse::<f64>().is_ok()) {
            return Err("line 1 holds numbers; a line of column names is wanted first".to_owned());
        }
        let mut items = Vec::new();
        let mut rows = 0;
        for (line_number, line) in lines {
            let before = items.len();
            for (column, field) in line.split(delimiter).enumerate() {
                let name = columns
                    .get(column)
                    .ok_or_else(|| format!("line {line_number} has more than {} fields", columns.len()))?;
                let number: f64 =
                    field.trim().parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(|| {
                        format!(
                            "line {line_number}, column `{name}`: `{}` is not a finite number",
                            field.trim().chars().take(40).collect::<String>()
                        )
                    })?;
                items.push(number);
            }
            if items.len() - before < columns.len() {
                return Err(format!(
                    "line {line_number} has {} fields and line 1 has {}",
                    items.len() - before,
                    columns.len()
                ));
            }
            rows += 1;
        }
        if rows == 0 {
            return Err("it has no rows below the column names".to_owned());
        }
        Ok(Self { columns, rows, items })
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        self.items[row * self.columns.len() + column]
    }

    /// Mean and population deviation of every column over these rows.
    fn scaling(&self, rows: &[usize]) -> Vec<(f64, f64)> {
        let n = rows.len() as f64;
        (0..self.columns.len())
            .map(|column| {
                let values = || rows.iter().map(|row| self.at(*row, column));
                let mean = values().sum::<f64>() / n;
                let variance = values().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
                let deviation = variance.sqrt();
                (mean, if deviation > 0.0 { deviation } else { 1.0 })
            })
            .collect()
    }
}

fn write_arrays<T: Real>(
    call: &mut Call<'_>,
    table: &Table,
    scaling: &[(f64, f64)],
    parts: [&[usize]; 2],
) -> Result<(), KernelError> {
    let features = table.columns.len() - 1;
    for (part, rows) in parts.into_iter().enumerate() {
        let scaled = |row: usize, column: usize| {
            let (center, scale) = scaling[column];
            T::of((table.at(row, column) - center) / scale)
        };
        let mut x = call.create_rows::<T>(2 * part, &[rows.len(), features])?;
        for (slots, row) in x.as_mut_slice().chunks_exact_mut(features).zip(rows) {
            for (column, slot) in slots.iter_mut().enumerate() {
                *slot = scaled(*row, column);
            }
        }
        call.finish(2 * part, x)?;
        let mut y = call.create_rows::<T>(2 * part + 1, &[rows.len()])?;
        for (slot, row) in y.as_mut_slice().iter_mut().zip(rows) {
            *slot = scaled(*row, features);
        }
        call.finish(2 * part + 1, y)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invoke::Argument;
    use crate::testing::{Desk, assert_close};

    const OUT: [OutputKind; 5] =
        [OutputKind::Npy, OutputKind::Npy, OutputKind::Npy, OutputKind::Npy, OutputKind::Json];

    #[test]
    fn rows_are_split_and_scaled_by_the_training_rows() {
        let mut desk = Desk::new();
        let path = desk.path("t.csv");
        std::fs::write(&path, "\u{feff}a,b,y\r\n1,7,10\r\n2,7,20\n9,9,90\n3,7,60\n\n").expect("csv");
        let params = json!({ "path": path, "holdout_modulus": 3, "holdout_index": 2 });
        let out = desk.run("load_csv", params, vec![], &OUT);
        let deviation = (2.0_f64 / 3.0).sqrt();
        let (dims, x) = desk.read(&out[0]);
        assert_eq!(dims, [3, 2]);
        let scaled = [-1.0 / deviation, 0.0, 0.0, 0.0, 1.0 / deviation, 0.0];
        assert_close(&x, &scaled, 1e-15);
        let y_deviation = ((400.0_f64 + 100.0 + 900.0) / 3.0).sqrt();
        let (_, y) = desk.read(&out[1]);
        assert_close(&y, &[-20.0, -10.0, 30.0].map(|d| d / y_deviation), 1e-15);
        let (dims, x) = desk.read(&out[2]);
        assert_eq!(dims, [1, 2]);
        assert_close(&x, &[7.0 / deviation, 2.0], 1e-15);
        let (_, y) = desk.read(&out[3]);
        assert_close(&y, &[60.0 / y_deviation], 1e-15);
        let scaling: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&out[4]).expect("read")).expect("JSON");
        assert_eq!(scaling["columns"], json!(["a", "b", "y"]));
        assert_eq!(scaling["scale"][1], json!(1.0));
        assert_eq!(scaling["target_center"], json!(30.0));
        assert_eq!((&scaling["rows_train"], &scaling["rows_test"]), (&json!(3), &json!(1)));
    }

    #[test]
    fn nothing_held_out_and_single_precision() {
        let mut desk = Desk::new();
        let path = desk.path("t.csv");
        std::fs::write(&path, "a;y\n1.5;2\n2.5;3\n").expect("csv");
        let params = json!({
            "holdout_modulus": 0, "standardise": false, "dtype": "float32", "delimiter": ";"
        });
        let out = desk.run("load_csv", params, vec![Argument::One(path)], &OUT[..4]);
        assert_eq!(desk.read(&out[0]), (vec![2, 1], vec![1.5, 2.5]));
        assert_eq!(desk.read(&out[2]), (vec![0, 1], vec![]));
        assert_eq!(desk.read(&out[3]), (vec![0], vec![]));
    }

    #[test]
    fn wrong_tables_name_line_and_column() {
        for (text, wanted) in [
            ("", "it is empty"),
            ("a,y\n", "no rows"),
            ("a\n1\n", "one column"),
            ("1,2\n3,4\n", "line 1 holds numbers"),
            ("a,y\n1,2\n1\n", "line 3 has 1 fields and line 1 has 2"),
            ("a,y\n1,2,3\n", "line 2 has more than 2 fields"),
            ("a,y\n1,x\n", "line 2, column `y`: `x` is not a finite number"),
            ("a,y\n1,inf\n", "`inf` is not a finite number"),
        ] {
            let error = Table::parse(text, ",").expect_err(text);
            assert!(error.contains(wanted), "{text:?}: {error}");
        }
        assert!(Table::parse("a,y\n1,2\n", "--").is_err());
    }

    #[test]
    fn a_missing_file_is_named() {
        let mut desk = Desk::new();
        let error = desk.fail("load_csv", json!({ "path": "/no/such.csv" }), vec![], &OUT);
        assert!(error.to_string().contains("`/no/such.csv`"), "{error}");
        let error = desk.fail("load_csv", json!({}), vec![], &OUT);
        assert!(error.to_string().contains("missing"), "{error}");
    }
}
