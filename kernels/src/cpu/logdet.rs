//! `logdet`: the log-determinant of a matrix from the diagonal tiles of its Cholesky factor.

use serde_json::json;

use crate::call::{Call, Input};
use crate::error::KernelError;
use crate::kernel::{
    ArgShape, Arity, Kernel, KernelInfo, OutputInfo, OutputKind, Presence, SPECIAL_FLOPS, Work,
};
use crate::matrix::{Real, by_precision};
use crate::params::Params;

pub(crate) struct LogDet;

static INFO: KernelInfo = KernelInfo {
    name: "logdet",
    summary: "`{\"log_determinant\", \"rows\"}`: 2 sum log diag over the diagonal tiles of a \
              Cholesky factor",
    arity: Arity::at_least(1),
    args: "L, or its diagonal tiles",
    families: true,
    outputs: &[OutputInfo {
        name: "log-determinant",
        kinds: &[OutputKind::Json],
        presence: Presence::Required,
    }],
    params: &[],
};

impl Kernel for LogDet {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn cost(&self, args: &[ArgShape], _params: &Params<'_>) -> Option<Work> {
        let mut rows = 0;
        for shape in args.iter().flat_map(ArgShape::shapes) {
            rows += shape.matrix()?.0;
        }
        // A diagonal touches one cache line an item.
        let flops = rows as f64 * (SPECIAL_FLOPS + 1.0);
        Some(Work::new(flops, rows.saturating_mul(64), 64))
    }

    fn run(&self, call: &mut Call<'_>) -> Result<(), KernelError> {
        let mut sum = 0.0;
        let mut rows = 0;
        for tile in call.arrays_from(0)? {
            sum += by_precision!(tile.precision()?, diagonal_logs(&tile, rows))?;
            rows += tile.dims().first().copied().unwrap_or(1);
        }
        call.write_json(0, json!({ "log_determinant": 2.0 * sum, "rows": rows }))
    }
}

fn diagonal_logs<T: Real>(tile: &Input, rows_before: usize) -> Result<f64, KernelError> {
    let matrix = tile.matrix::<T>()?;
    let (n, cols) = matrix.shape();
    if n != cols {
        return Err(tile.error(format!("is {n}x{cols}, and square tiles are wanted")));
    }
    let mut sum = 0.0;
    for i in 0..n {
        let item = matrix.get(i, i).get();
        if item <= 0.0 || !item.is_finite() {
            return Err(tile.error(format!(
                "item {} (from 0) of the diagonal is {item}; a Cholesky factor's are above 0",
                rows_before + i
            )));
        }
        sum += item.ln();
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use crate::invoke::Argument;
    use crate::kernel::OutputKind;
    use crate::testing::{Desk, lower};
    use serde_json::json;

    #[test]
    fn tiles_add_up_from_families_and_single_values() {
        let mut desk = Desk::new();
        let mut expected = 0.0;
        let mut paths = Vec::new();
        for (at, n) in [3, 4, 2].into_iter().enumerate() {
            let l = lower(&mut desk, n);
            expected += (0..n).map(|i| 2.0 * l[i * n + i].ln()).sum::<f64>();
            paths.push(desk.matrix(&format!("l{at}"), n, n, &l));
        }
        let last = paths.pop().expect("three");
        let args = vec![Argument::Many(paths), Argument::One(last)];
        let found = desk.compute_json("logdet", json!({}), args);
        let value = found["log_determinant"].as_f64().expect("a number");
        assert!((value - expected).abs() < 1e-12, "{value} {expected}");
        assert_eq!(found["rows"], json!(9));
    }

    #[test]
    fn a_diagonal_that_is_not_positive_is_named() {
        let mut desk = Desk::new();
        let good = desk.matrix("g", 1, 1, &[2.0]);
        let bad = desk.matrix("b", 2, 2, &[1.0, 0.0, 0.0, -3.0]);
        let args = vec![Argument::Many(vec![good, bad])];
        let error = desk.fail("logdet", json!({}), args, &[OutputKind::Json]);
        assert!(error.to_string().contains("item 2 (from 0) of the diagonal is -3"), "{error}");
    }
}
