//! `trsm`: solves with a triangular tile for a matrix of right-hand sides.

use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::{MatMut, MatRef, Par};

use crate::call::{Call, Input};
use crate::error::KernelError;
use crate::kernel::{
    ArgShape, Arity, Kernel, KernelInfo, OutputInfo, OutputKind, ParamInfo, ParamKind, Presence, Work,
    bytes_at, matrix_at, total_bytes,
};
use crate::matrix::{Real, by_precision, view_mut};
use crate::params::Params;

pub(crate) struct Trsm;

static INFO: KernelInfo = KernelInfo {
    name: "trsm",
    summary: "X with X op(L) = B (side right) or op(L) X = B (side left), for a lower triangle L; \
              of L only the lower triangle is read",
    arity: Arity::exactly(2),
    args: "L, B",
    families: false,
    outputs: &[OutputInfo { name: "X", kinds: &[OutputKind::Npy], presence: Presence::Required }],
    params: &[
        ParamInfo {
            name: "side",
            kind: ParamKind::OneOf(&["right", "left"]),
            default: Some("right"),
            doc: "where the triangle stands; tiled Cholesky wants the right",
        },
        ParamInfo {
            name: "transpose",
            kind: ParamKind::Flag,
            default: Some("true"),
            doc: "whether op(L) is L^T or L",
        },
    ],
};

impl Kernel for Trsm {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn cost(&self, args: &[ArgShape], _params: &Params<'_>) -> Option<Work> {
        let (n, _) = matrix_at(args, 0)?;
        let (rows, cols) = matrix_at(args, 1)?;
        Some(Work::new(n * rows * cols, total_bytes(args), bytes_at(args, 1)))
    }

    fn run(&self, call: &mut Call<'_>) -> Result<(), KernelError> {
        let l = call.array(0)?;
        let b = call.array(1)?;
        by_precision!(l.precision()?, solve(call, &l, b))
    }
}

fn solve<T: Real>(call: &mut Call<'_>, l: &Input, b: Input) -> Result<(), KernelError> {
    let params = call.params();
    let right = params.text("side")? == "right";
    let transposed = params.flag("transpose")?;
    let triangle = triangle::<T>(l)?;
    let (rows, cols) = b.matrix::<T>()?.shape();
    let length = if right { cols } else { rows };
    if length != triangle.nrows() {
        return Err(b.error(format!(
            "is {rows}x{cols} and L has {} rows; with L on the {} side it needs as many {}",
            triangle.nrows(),
            if right { "right" } else { "left" },
            if right { "columns" } else { "rows" },
        )));
    }
    let mut out = call.begin_as::<T>(0, b)?;
    let x = view_mut(&mut out);
    if right {
        // X op(L) = B is op(L)^T X^T = B^T.
        solve_in_place(triangle, !transposed, x.transpose_mut());
    } else {
        solve_in_place(triangle, transposed, x);
    }
    call.finish(0, out)
}

/// Argument `l` as a triangle with which one can solve: square, without a zero on the diagonal.
pub(super) fn triangle<T: Real>(l: &Input) -> Result<MatRef<'_, T>, KernelError> {
    let matrix = l.matrix::<T>()?;
    let (n, cols) = matrix.shape();
    if n != cols {
        return Err(l.error(format!("is {n}x{cols}, and a square triangle is wanted")));
    }
    if let Some(at) = (0..n).find(|i| *matrix.get(*i, *i) == T::of(0.0)) {
        return Err(l.error(format!("is singular: item {at} (from 0) of its diagonal is 0")));
    }
    Ok(matrix)
}

/// Replaces `x` by the solution of op(L) X = x.
pub(super) fn solve_in_place<T: Real>(l: MatRef<'_, T>, transposed: bool, x: MatMut<'_, T>) {
    if transposed {
        solve_upper_triangular_in_place(l.transpose(), x, Par::Seq);
    } else {
        solve_lower_triangular_in_place(l, x, Par::Seq);
    }
}

#[cfg(test)]
mod tests {
    use crate::invoke::Argument;
    use crate::kernel::OutputKind;
    use crate::testing::{Desk, assert_close, lower, product, transpose};
    use serde_json::json;

    #[test]
    fn solutions_solve() {
        let mut desk = Desk::new();
        for (n, m) in [(1, 1), (4, 7), (40, 3), (64, 65)] {
            let l = lower(&mut desk, n);
            let lt = transpose(n, n, &l);
            let triangle = {
                // The upper triangle is not read.
                let mut items = l.clone();
                for i in 0..n {
                    items[i * n + i + 1..(i + 1) * n].fill(f64::NAN);
                }
                desk.matrix("l", n, n, &items)
            };
            let x = desk.random(m * n);
            for transposed in [true, false] {
                let op = if transposed { &lt } else { &l };
                let b = desk.matrix("b", m, n, &product(m, n, n, &x, op));
                let params = json!({ "transpose": transposed });
                let (dims, found) = desk.compute("trsm", params, &[&triangle, &b]);
                assert_eq!(dims, [m, n]);
                assert_close(&found, &x, 1e-10);
                let b = desk.array("c", &[n, m], &product(n, n, m, op, &x));
                let params = json!({ "side": "left", "transpose": transposed });
                let (dims, found) = desk.compute("trsm", params, &[&triangle, &b]);
                assert_eq!(dims, [n, m]);
                assert_close(&found, &x, 1e-10);
            }
        }
    }

    #[test]
    fn shapes_and_singular_triangles_are_named() {
        let mut desk = Desk::new();
        let l = desk.matrix("l", 2, 2, &[1.0, 0.0, 5.0, 0.0]);
        let b = desk.matrix("b", 3, 2, &[0.0; 6]);
        let good = desk.matrix("g", 2, 2, &[1.0, 0.0, 5.0, 2.0]);
        let single = desk.matrix_f32("f", &[3, 2], &[0.0; 6]);
        let mut fail = |params, l: &std::path::PathBuf, b: &std::path::PathBuf| {
            let args = vec![Argument::One(l.clone()), Argument::One(b.clone())];
            desk.fail("trsm", params, args, &[OutputKind::Npy]).to_string()
        };
        let error = fail(json!({}), &l, &b);
        assert!(error.contains("item 1 (from 0) of its diagonal is 0"), "{error}");
        let error = fail(json!({ "side": "left" }), &good, &b);
        assert!(error.contains("is 3x2 and L has 2 rows"), "{error}");
        let error = fail(json!({}), &good, &single);
        assert!(error.contains("argument 1") && error.contains("float64"), "{error}");
    }
}
