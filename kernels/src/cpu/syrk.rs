//! `syrk`: a symmetric tile minus (or plus) a matrix times its own transpose.

use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::{Accum, Par};

use super::gemm::scale;
use crate::call::{Call, Input};
use crate::error::KernelError;
use crate::kernel::{
    ArgShape, Arity, Kernel, KernelInfo, OutputInfo, OutputKind, ParamInfo, ParamKind, Presence, Work,
    bytes_at, matrix_at, total_bytes,
};
use crate::matrix::{Real, by_precision, view_mut};
use crate::params::Params;

pub(crate) struct Syrk;

static INFO: KernelInfo = KernelInfo {
    name: "syrk",
    summary: "alpha A A^T + beta C in the lower triangle, as BLAS does it; above the diagonal it \
              keeps C",
    arity: Arity::exactly(2),
    args: "A, C",
    families: false,
    outputs: &[OutputInfo { name: "C", kinds: &[OutputKind::Npy], presence: Presence::Required }],
    params: &[
        ParamInfo {
            name: "alpha",
            kind: ParamKind::Number,
            default: Some("1"),
            doc: "factor of the product; -1 in tiled Cholesky",
        },
        ParamInfo { name: "beta", kind: ParamKind::Number, default: Some("1"), doc: "factor of C" },
    ],
};

impl Kernel for Syrk {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn cost(&self, args: &[ArgShape], _params: &Params<'_>) -> Option<Work> {
        let (n, k) = matrix_at(args, 0)?;
        Some(Work::new(n * (n + 1.0) * k, total_bytes(args), bytes_at(args, 1)))
    }

    fn run(&self, call: &mut Call<'_>) -> Result<(), KernelError> {
        let a = call.array(0)?;
        let c = call.array(1)?;
        by_precision!(a.precision()?, update(call, &a, c))
    }
}

fn update<T: Real>(call: &mut Call<'_>, a: &Input, c: Input) -> Result<(), KernelError> {
    let params = call.params();
    let alpha = T::of(params.number("alpha")?);
    let beta = T::of(params.number("beta")?);
    let factor = a.matrix::<T>()?;
    let n = factor.nrows();
    let shape = c.matrix::<T>()?.shape();
    if shape != (n, n) {
        return Err(c.error(format!("is {}x{} and A has {n} rows; C must be {n}x{n}", shape.0, shape.1)));
    }
    let mut out = call.begin_as::<T>(0, c)?;
    let mut target = view_mut(&mut out);
    for j in 0..n {
        scale(target.as_mut().subcols_mut(j, 1).subrows_mut(j, n - j), beta);
    }
    matmul(
        target,
        BlockStructure::TriangularLower,
        Accum::Add,
        factor,
        BlockStructure::Rectangular,
        factor.transpose(),
        BlockStructure::Rectangular,
        alpha,
        Par::Seq,
    );
    call.finish(0, out)
}

#[cfg(test)]
mod tests {
    use crate::invoke::Argument;
    use crate::kernel::OutputKind;
    use crate::testing::{Desk, assert_close, product, transpose};
    use serde_json::json;

    #[test]
    fn the_lower_triangle_is_updated_and_the_rest_kept() {
        let mut desk = Desk::new();
        for (n, k) in [(1, 1), (3, 8), (40, 5), (65, 64)] {
            let a = desk.random(n * k);
            let c = desk.random(n * n);
            let square = product(n, k, n, &a, &transpose(n, k, &a));
            for (alpha, beta) in [(-1.0, 1.0), (2.0, -0.5), (1.0, 0.0)] {
                let expected: Vec<f64> = (0..n * n)
                    .map(|at| if at % n > at / n { c[at] } else { alpha * square[at] + beta * c[at] })
                    .collect();
                let left = desk.matrix("a", n, k, &a);
                let right = desk.matrix("c", n, n, &c);
                let params = json!({ "alpha": alpha, "beta": beta });
                let (dims, found) = desk.compute("syrk", params, &[&left, &right]);
                assert_eq!(dims, [n, n]);
                assert_close(&found, &expected, 1e-12);
            }
        }
    }

    #[test]
    fn beta_zero_ignores_what_c_holds() {
        let mut desk = Desk::new();
        let a = desk.matrix("a", 2, 1, &[1.0, 2.0]);
        let c = desk.matrix("c", 2, 2, &[f64::NAN, 7.0, f64::NAN, f64::NAN]);
        let (_, found) = desk.compute("syrk", json!({ "beta": 0 }), &[&a, &c]);
        assert_eq!(found, [1.0, 7.0, 2.0, 4.0]);
    }

    #[test]
    fn shapes_must_agree() {
        let mut desk = Desk::new();
        let a = desk.matrix("a", 2, 3, &[0.0; 6]);
        let c = desk.matrix("c", 3, 3, &[0.0; 9]);
        let args = vec![Argument::One(a), Argument::One(c)];
        let error = desk.fail("syrk", json!({}), args, &[OutputKind::Npy]);
        assert!(error.to_string().contains("C must be 2x2"), "{error}");
    }
}
