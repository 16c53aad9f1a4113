//! `transpose`: rows become columns.

use crate::call::{Call, Input};
use crate::error::KernelError;
use crate::kernel::{
    ArgShape, Arity, Kernel, KernelInfo, OutputInfo, OutputKind, Presence, Work, total_bytes,
};
use crate::matrix::{Real, by_precision, view_mut};
use crate::params::Params;

pub(crate) struct Transpose;

static INFO: KernelInfo = KernelInfo {
    name: "transpose",
    summary: "the transpose of a matrix; a vector becomes one row",
    arity: Arity::exactly(1),
    args: "A",
    families: false,
    outputs: &[OutputInfo { name: "transpose", kinds: &[OutputKind::Npy], presence: Presence::Required }],
    params: &[],
};

impl Kernel for Transpose {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn cost(&self, args: &[ArgShape], _params: &Params<'_>) -> Option<Work> {
        let bytes = total_bytes(args);
        Some(Work::new(0.0, bytes, bytes))
    }

    fn run(&self, call: &mut Call<'_>) -> Result<(), KernelError> {
        let a = call.array(0)?;
        by_precision!(a.precision()?, transpose(call, &a))
    }
}

fn transpose<T: Real>(call: &mut Call<'_>, a: &Input) -> Result<(), KernelError> {
    let matrix = a.matrix::<T>()?;
    let mut out = call.create::<T>(0, &[matrix.ncols(), matrix.nrows()])?;
    view_mut(&mut out).copy_from(matrix.transpose());
    call.finish(0, out)
}

#[cfg(test)]
mod tests {
    use crate::testing::{Desk, transpose};
    use serde_json::json;

    #[test]
    fn rows_become_columns_in_both_orders() {
        let mut desk = Desk::new();
        let items = desk.random(5 * 9);
        let expected = transpose(5, 9, &items);
        for path in [desk.matrix("a", 5, 9, &items), desk.array("b", &[5, 9], &items)] {
            let found = desk.compute("transpose", json!({}), &[&path]);
            assert_eq!(found, (vec![9, 5], expected.clone()));
        }
        let vector = desk.array("v", &[3], &[1.0, 2.0, 3.0]);
        let found = desk.compute("transpose", json!({}), &[&vector]);
        assert_eq!(found, (vec![1, 3], vec![1.0, 2.0, 3.0]));
    }
}
