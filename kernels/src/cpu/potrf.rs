//! `potrf`: the Cholesky factor of a tile, A = L L^T.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{
    LltError, LltRegularization, cholesky_in_place, cholesky_in_place_scratch,
};
use faer::{Par, Spec};

use crate::call::{Call, Input};
use crate::error::KernelError;
use crate::kernel::{
    ArgShape, Arity, Kernel, KernelInfo, OutputInfo, OutputKind, Presence, Work, bytes_at, matrix_at,
};
use crate::matrix::{Real, by_precision, view_mut};
use crate::params::Params;

pub(crate) struct Potrf;

static INFO: KernelInfo = KernelInfo {
    name: "potrf",
    summary: "the lower triangle L with A = L L^T; of A only the lower triangle is read",
    arity: Arity::exactly(1),
    args: "A",
    families: false,
    outputs: &[OutputInfo { name: "L", kinds: &[OutputKind::Npy], presence: Presence::Required }],
    params: &[],
};

impl Kernel for Potrf {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn cost(&self, args: &[ArgShape], _params: &Params<'_>) -> Option<Work> {
        let (n, _) = matrix_at(args, 0)?;
        let bytes = bytes_at(args, 0);
        Some(Work::new(n * (n + 1.0) * (2.0 * n + 1.0) / 6.0, bytes, bytes))
    }

    fn run(&self, call: &mut Call<'_>) -> Result<(), KernelError> {
        let a = call.array(0)?;
        by_precision!(a.precision()?, factor(call, a))
    }
}

fn factor<T: Real>(call: &mut Call<'_>, a: Input) -> Result<(), KernelError> {
    let (n, cols) = a.matrix::<T>()?.shape();
    if n != cols {
        return Err(a.error(format!("is {n}x{cols}, and a square matrix is wanted")));
    }
    let mut out = call.begin_as::<T>(0, a)?;
    let mut l = view_mut(&mut out);
    let scratch = cholesky_in_place_scratch::<T>(n, Par::Seq, Spec::default());
    let mut memory = MemBuffer::try_new(scratch).map_err(|_| KernelError::OutOfMemory {
        bytes: scratch.unaligned_bytes_required() as u64,
        purpose: "scratch of a Cholesky factor".to_owned(),
    })?;
    cholesky_in_place(
        l.as_mut(),
        LltRegularization::default(),
        Par::Seq,
        MemStack::new(&mut memory),
        Spec::default(),
    )
    .map_err(|LltError::NonPositivePivot { index }| {
        call.numeric(format!(
            "the matrix is not positive definite: pivot {index} (from 0) of {n} is not above 0; \
             add noise (or more of it) to the diagonal"
        ))
    })?;
    for j in 1..n {
        l.as_mut().col_mut(j).subrows_mut(0, j).fill(T::of(0.0));
    }
    call.finish(0, out)
}

#[cfg(test)]
mod tests {
    use crate::invoke::Argument;
    use crate::kernel::OutputKind;
    use crate::testing::{Desk, assert_close, lower, product, transpose};
    use serde_json::json;

    #[test]
    fn the_factor_of_a_product_is_its_factor() {
        let mut desk = Desk::new();
        for n in [1, 2, 5, 33, 100] {
            let l = lower(&mut desk, n);
            let mut a = product(n, n, n, &l, &transpose(n, n, &l));
            // The upper triangle is not read.
            for i in 0..n {
                a[i * n + i + 1..(i + 1) * n].fill(f64::NAN);
            }
            let columns = desk.matrix("a", n, n, &a);
            let rows = desk.array("r", &[n, n], &a);
            for path in [columns, rows] {
                let (dims, found) = desk.compute("potrf", json!({}), &[&path]);
                assert_eq!(dims, [n, n]);
                assert_close(&found, &l, 1e-11);
            }
            let single = desk.matrix_f32("f", &[n, n], &a);
            let (_, found) = desk.compute("potrf", json!({}), &[&single]);
            assert_close(&found, &l, 2e-3);
        }
    }

    #[test]
    fn a_matrix_that_is_not_positive_definite_names_the_pivot() {
        let mut desk = Desk::new();
        let mut fail = |items: &[f64], rows, cols| {
            let path = desk.matrix("a", rows, cols, items);
            let args = vec![Argument::One(path)];
            desk.fail("potrf", json!({}), args, &[OutputKind::Npy]).to_string()
        };
        let error = fail(&[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0], 3, 3);
        assert!(error.contains("pivot 2 (from 0) of 3"), "{error}");
        let error = fail(&[1.0, f64::NAN, f64::NAN, 1.0], 2, 2);
        assert!(error.contains("pivot 1"), "{error}");
        let error = fail(&[1.0, 2.0], 1, 2);
        assert!(error.contains("is 1x2"), "{error}");
    }
}
