//! `trsv`: forward and backward substitution with a triangular tile.

use super::trsm::{solve_in_place, triangle};
use crate::call::{Call, Input};
use crate::error::KernelError;
use crate::kernel::{
    ArgShape, Arity, Kernel, KernelInfo, OutputInfo, OutputKind, ParamInfo, ParamKind, Presence, Work,
    bytes_at, matrix_at, total_bytes,
};
use crate::matrix::{Real, by_precision, view_mut};
use crate::params::Params;

pub(crate) struct Trsv;

static INFO: KernelInfo = KernelInfo {
    name: "trsv",
    summary: "x with L x = b (forward) or L^T x = b (backward), for a lower triangle L and a \
              vector (or several, as columns) b",
    arity: Arity::exactly(2),
    args: "L, b",
    families: false,
    outputs: &[OutputInfo { name: "x", kinds: &[OutputKind::Npy], presence: Presence::Required }],
    params: &[ParamInfo {
        name: "transpose",
        kind: ParamKind::Flag,
        default: Some("false"),
        doc: "whether to solve with L^T",
    }],
};

impl Kernel for Trsv {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn cost(&self, args: &[ArgShape], _params: &Params<'_>) -> Option<Work> {
        let (n, _) = matrix_at(args, 0)?;
        let (_, sides) = matrix_at(args, 1)?;
        Some(Work::new(n * n * sides, total_bytes(args), bytes_at(args, 1)))
    }

    fn run(&self, call: &mut Call<'_>) -> Result<(), KernelError> {
        let l = call.array(0)?;
        let b = call.array(1)?;
        by_precision!(l.precision()?, substitute(call, &l, b))
    }
}

fn substitute<T: Real>(call: &mut Call<'_>, l: &Input, b: Input) -> Result<(), KernelError> {
    let transposed = call.params().flag("transpose")?;
    let triangle = triangle::<T>(l)?;
    let rows = b.matrix::<T>()?.nrows();
    if rows != triangle.nrows() {
        return Err(b.error(format!("has {rows} rows and L has {}; they must be as many", triangle.nrows())));
    }
    let mut out = call.begin_as::<T>(0, b)?;
    solve_in_place(triangle, transposed, view_mut(&mut out));
    call.finish(0, out)
}

#[cfg(test)]
mod tests {
    use crate::invoke::Argument;
    use crate::kernel::OutputKind;
    use crate::testing::{Desk, assert_close, lower, product, transpose};
    use serde_json::json;

    #[test]
    fn forward_and_backward_solutions_solve() {
        let mut desk = Desk::new();
        for n in [1, 3, 50] {
            let l = lower(&mut desk, n);
            let triangle = desk.matrix("l", n, n, &l);
            let x = desk.random(n);
            for transposed in [false, true] {
                let op = if transposed { transpose(n, n, &l) } else { l.clone() };
                let b = desk.array("b", &[n], &product(n, n, 1, &op, &x));
                let params = json!({ "transpose": transposed });
                let (dims, found) = desk.compute("trsv", params, &[&triangle, &b]);
                assert_eq!(dims, [n], "a vector stays a vector");
                assert_close(&found, &x, 1e-11);
            }
        }
    }

    #[test]
    fn lengths_must_agree() {
        let mut desk = Desk::new();
        let l = desk.matrix("l", 2, 2, &[1.0, 0.0, 1.0, 1.0]);
        let b = desk.array("b", &[3], &[0.0; 3]);
        let args = vec![Argument::One(l), Argument::One(b)];
        let error = desk.fail("trsv", json!({}), args, &[OutputKind::Npy]);
        assert!(error.to_string().contains("has 3 rows and L has 2"), "{error}");
    }
}
