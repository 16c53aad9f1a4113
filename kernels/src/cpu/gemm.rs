//! `gemm`: alpha op(A) op(B) + beta C.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

use crate::call::{Call, Input};
use crate::error::KernelError;
use crate::kernel::{
    ArgShape, Arity, Kernel, KernelInfo, OutputInfo, OutputKind, ParamInfo, ParamKind, Presence, Work,
    matrix_at, total_bytes,
};
use crate::matrix::{Real, by_precision, view_mut};
use crate::params::Params;

/// Below this many operations a second thread costs more than it brings.
const FLOPS_PER_THREAD_MIN: f64 = 2e7;

pub(crate) struct Gemm;

static INFO: KernelInfo = KernelInfo {
    name: "gemm",
    summary: "alpha op(A) op(B) + beta C",
    arity: Arity::between(2, 3),
    args: "A, B, C (optional); vectors are columns",
    families: false,
    outputs: &[OutputInfo { name: "C", kinds: &[OutputKind::Npy], presence: Presence::Required }],
    params: &[
        ParamInfo {
            name: "alpha",
            kind: ParamKind::Number,
            default: Some("1"),
            doc: "factor of the product",
        },
        ParamInfo {
            name: "beta",
            kind: ParamKind::Number,
            default: Some("1"),
            doc: "factor of C; at 0 what C holds does not matter",
        },
        ParamInfo {
            name: "transpose_a",
            kind: ParamKind::Flag,
            default: Some("false"),
            doc: "whether op(A) is A^T",
        },
        ParamInfo {
            name: "transpose_b",
            kind: ParamKind::Flag,
            default: Some("false"),
            doc: "whether op(B) is B^T",
        },
    ],
};

impl Kernel for Gemm {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn cost(&self, args: &[ArgShape], params: &Params<'_>) -> Option<Work> {
        let (mut m, mut k) = matrix_at(args, 0)?;
        let (mut rows, mut n) = matrix_at(args, 1)?;
        if params.flag("transpose_a").ok()? {
            (m, k) = (k, m);
        }
        if params.flag("transpose_b").ok()? {
            (rows, n) = (n, rows);
        }
        if rows != k {
            return None;
        }
        let item_bytes = args.first()?.one()?.item_bytes;
        let written = (m * n) as u64 * item_bytes;
        Some(Work::new(2.0 * m * n * k, total_bytes(args), written))
    }

    fn run(&self, call: &mut Call<'_>) -> Result<(), KernelError> {
        let a = call.array(0)?;
        let b = call.array(1)?;
        let c = if call.args() > 2 { Some(call.array(2)?) } else { None };
        by_precision!(a.precision()?, multiply(call, &a, &b, c))
    }
}

fn multiply<T: Real>(call: &mut Call<'_>, a: &Input, b: &Input, c: Option<Input>) -> Result<(), KernelError> {
    let params = call.params();
    let alpha = T::of(params.number("alpha")?);
    let beta = T::of(params.number("beta")?);
    let mut left = a.matrix::<T>()?;
    let mut right = b.matrix::<T>()?;
    if params.flag("transpose_a")? {
        left = left.transpose();
    }
    if params.flag("transpose_b")? {
        right = right.transpose();
    }
    let (m, k, n) = (left.nrows(), left.ncols(), right.ncols());
    if right.nrows() != k {
        return Err(b.error(format!(
            "op(A) is {m}x{k} and op(B) is {}x{n}; the columns of the one must be as many as the \
             rows of the other",
            right.nrows()
        )));
    }
    let (accum, mut out) = match c {
        Some(c) => {
            let shape = c.matrix::<T>()?.shape();
            if shape != (m, n) {
                return Err(c.error(format!(
                    "is {}x{} and the product is {m}x{n}; they must be equal",
                    shape.0, shape.1
                )));
            }
            let mut out = call.begin_as::<T>(0, c)?;
            if beta != T::of(1.0) {
                scale(view_mut(&mut out), beta);
            }
            (Accum::Add, out)
        }
        None if n == 1 && b.dims().len() < 2 => (Accum::Replace, call.create::<T>(0, &[m])?),
        None => (Accum::Replace, call.create::<T>(0, &[m, n])?),
    };
    let flops = 2.0 * m as f64 * n as f64 * k as f64;
    let threads = call.threads().min((flops / FLOPS_PER_THREAD_MIN) as usize).clamp(1, n.max(1));
    product(view_mut(&mut out), accum, left, right, alpha, threads);
    call.finish(0, out)
}

/// The product by this many threads, each of which makes its own columns.
fn product<T: Real>(
    target: MatMut<'_, T>,
    accum: Accum,
    left: MatRef<'_, T>,
    right: MatRef<'_, T>,
    alpha: T,
    threads: usize,
) {
    if threads <= 1 {
        matmul(target, accum, left, right, alpha, Par::Seq);
        return;
    }
    std::thread::scope(|scope| {
        let (mut target, mut right) = (target, right);
        for remaining in (1..=threads).rev() {
            let cols = target.ncols() / remaining;
            let (target_part, target_rest) = target.split_at_col_mut(cols);
            let (right_part, right_rest) = right.split_at_col(cols);
            (target, right) = (target_rest, right_rest);
            let work = move || matmul(target_part, accum, left, right_part, alpha, Par::Seq);
            if remaining == 1 {
                work();
            } else {
                scope.spawn(work);
            }
        }
    });
}

/// Multiplies every item by `factor`; 0 clears them, also what is not a number.
pub(super) fn scale<T: Real>(mut matrix: MatMut<'_, T>, factor: T) {
    if factor == T::of(0.0) {
        matrix.fill(factor);
    } else if factor != T::of(1.0) {
        for column in matrix.col_iter_mut() {
            for item in column.iter_mut() {
                *item *= factor;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invoke::Argument;
    use crate::testing::{Desk, assert_close, product as naive, transpose};
    use serde_json::json;

    #[test]
    fn products_are_those_of_the_definition() {
        let mut desk = Desk::new();
        for (m, k, n) in [(1, 1, 1), (3, 5, 2), (33, 17, 40), (70, 64, 65)] {
            let a = desk.random(m * k);
            let b = desk.random(k * n);
            let c = desk.random(m * n);
            let ab = naive(m, k, n, &a, &b);
            let a_path = desk.matrix("a", m, k, &a);
            let b_path = desk.array("b", &[k, n], &b);
            let (dims, found) = desk.compute("gemm", json!({}), &[&a_path, &b_path]);
            assert_eq!(dims, [m, n]);
            assert_close(&found, &ab, 1e-12);

            let c_path = desk.matrix("c", m, n, &c);
            let expected: Vec<f64> = ab.iter().zip(&c).map(|(p, c)| -2.0 * p + 0.5 * c).collect();
            let params = json!({ "alpha": -2, "beta": "0.5" });
            let (_, found) = desk.compute("gemm", params, &[&a_path, &b_path, &c_path]);
            assert_close(&found, &expected, 1e-12);

            let a_path = desk.matrix("at", k, m, &transpose(m, k, &a));
            let b_path = desk.matrix("bt", n, k, &transpose(k, n, &b));
            let params = json!({ "transpose_a": true, "transpose_b": true });
            let (_, found) = desk.compute("gemm", params, &[&a_path, &b_path]);
            assert_close(&found, &ab, 1e-12);

            let a_path = desk.matrix_f32("af", &[m, k], &a);
            let b_path = desk.matrix_f32("bf", &[k, n], &b);
            let (_, found) = desk.compute("gemm", json!({}), &[&a_path, &b_path]);
            assert_close(&found, &ab, 1e-4);
        }
    }

    #[test]
    fn vectors_stay_vectors() {
        let mut desk = Desk::new();
        let a = desk.matrix("a", 2, 3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let x = desk.array("x", &[3], &[1.0, 0.0, -1.0]);
        let y = desk.array("y", &[2], &[10.0, 20.0]);
        assert_eq!(desk.compute("gemm", json!({}), &[&a, &x]), (vec![2], vec![-2.0, -2.0]));
        let params = json!({ "alpha": -1 });
        assert_eq!(desk.compute("gemm", params, &[&a, &x, &y]), (vec![2], vec![12.0, 22.0]));
    }

    #[test]
    fn beta_zero_ignores_what_c_holds() {
        let mut desk = Desk::new();
        let one = desk.matrix("a", 1, 1, &[2.0]);
        let c = desk.matrix("c", 1, 1, &[f64::NAN]);
        let (_, found) = desk.compute("gemm", json!({ "beta": 0 }), &[&one, &one, &c]);
        assert_eq!(found, [4.0]);
    }

    #[test]
    fn threads_make_the_same_product() {
        let mut desk = Desk::new();
        let (m, k, n) = (13, 9, 11);
        let (a, b) = (desk.random(m * k), desk.random(k * n));
        let expected = naive(m, k, n, &a, &b);
        for threads in [1, 2, 3, 11] {
            let mut c = vec![f64::NAN; m * n];
            product(
                MatMut::from_row_major_slice_mut(&mut c, m, n),
                Accum::Replace,
                MatRef::from_row_major_slice(&a, m, k),
                MatRef::from_row_major_slice(&b, k, n),
                1.0,
                threads,
            );
            assert_close(&c, &expected, 1e-13);
        }
    }

    #[test]
    fn shapes_must_agree() {
        let mut desk = Desk::new();
        let a = desk.matrix("a", 2, 3, &[0.0; 6]);
        let c = desk.matrix("c", 3, 3, &[0.0; 9]);
        let mut fail = |args: &[&std::path::PathBuf]| {
            let args = args.iter().map(|path| Argument::One((*path).clone())).collect();
            desk.fail("gemm", json!({}), args, &[OutputKind::Npy]).to_string()
        };
        let error = fail(&[&a, &a]);
        assert!(error.contains("op(A) is 2x3 and op(B) is 2x3"), "{error}");
        let error = fail(&[&a, &c, &c]);
        assert!(error.contains("is 3x3 and the product is 2x3"), "{error}");
    }

    #[test]
    fn the_cost_counts_both_operations() {
        let shape = |dims: &[u64]| ArgShape::One(crate::kernel::Shape { dims: dims.to_vec(), item_bytes: 8 });
        let given = json!({ "transpose_b": true });
        let given = given.as_object().expect("a table");
        let params = Params::new(&INFO, given);
        let work = Gemm.cost(&[shape(&[2, 3]), shape(&[4, 3])], &params).expect("known");
        assert_eq!(work.flops, 48.0);
        assert_eq!((work.bytes_read, work.bytes_written), (144.0, 64.0));
        assert_eq!(Gemm.cost(&[shape(&[2, 3]), shape(&[3, 4])], &params), None);
    }
}
