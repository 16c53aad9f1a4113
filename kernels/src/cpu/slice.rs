//! `slice`: a tile of an array.

use crate::call::{Call, Input};
use crate::error::KernelError;
use crate::kernel::{
    ArgShape, Arity, Kernel, KernelInfo, OutputInfo, OutputKind, ParamInfo, ParamKind, Presence, Work,
    matrix_at,
};
use crate::matrix::{Real, by_precision, tile_range, view_mut};
use crate::params::Params;

pub(crate) struct Slice;

static INFO: KernelInfo = KernelInfo {
    name: "slice",
    summary: "a tile of a matrix, or a part of a vector",
    arity: Arity::exactly(1),
    args: "A",
    families: false,
    outputs: &[OutputInfo { name: "tile", kinds: &[OutputKind::Npy], presence: Presence::Required }],
    params: &[
        ParamInfo {
            name: "tile",
            kind: ParamKind::Count,
            default: None,
            doc: "rows and columns of a tile; the last may be smaller",
        },
        ParamInfo {
            name: "row",
            kind: ParamKind::Count,
            default: Some("-"),
            doc: "index of the tile among the rows; all rows without it",
        },
        ParamInfo {
            name: "col",
            kind: ParamKind::Count,
            default: Some("-"),
            doc: "index of the tile among the columns; all columns without it",
        },
    ],
};

impl Kernel for Slice {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn cost(&self, args: &[ArgShape], params: &Params<'_>) -> Option<Work> {
        let (rows, cols) = matrix_at(args, 0)?;
        let rows = tile_range(params, "row", rows as usize).ok()?.len() as u64;
        let cols = tile_range(params, "col", cols as usize).ok()?.len() as u64;
        let bytes = rows.saturating_mul(cols).saturating_mul(args.first()?.one()?.item_bytes);
        Some(Work::new(0.0, bytes, bytes))
    }

    fn run(&self, call: &mut Call<'_>) -> Result<(), KernelError> {
        let a = call.array(0)?;
        by_precision!(a.precision()?, cut(call, &a))
    }
}

fn cut<T: Real>(call: &mut Call<'_>, a: &Input) -> Result<(), KernelError> {
    let params = call.params();
    let matrix = a.matrix::<T>()?;
    let rows = tile_range(&params, "row", matrix.nrows())?;
    let cols = tile_range(&params, "col", matrix.ncols())?;
    let dims = [rows.len(), cols.len()];
    let axes = a.dims().len().min(2);
    let mut out = call.create::<T>(0, if axes < 2 { &dims[..1] } else { &dims })?;
    let tile = matrix.submatrix(rows.start, cols.start, rows.len(), cols.len());
    view_mut(&mut out).copy_from(tile);
    call.finish(0, out)
}

#[cfg(test)]
mod tests {
    use crate::invoke::Argument;
    use crate::kernel::OutputKind;
    use crate::testing::Desk;
    use serde_json::json;

    #[test]
    fn tiles_are_cut_out_and_the_last_is_smaller() {
        let mut desk = Desk::new();
        let items: Vec<f64> = (0..15).map(f64::from).collect();
        let paths = [desk.matrix("a", 3, 5, &items), desk.array("b", &[3, 5], &items)];
        for path in &paths {
            let params = json!({ "tile": 2, "row": 1, "col": "2" });
            let found = desk.compute("slice", params, &[path]);
            assert_eq!(found, (vec![1, 1], vec![14.0]));
            let found = desk.compute("slice", json!({ "tile": 2, "col": 1 }), &[path]);
            assert_eq!(found, (vec![3, 2], vec![2.0, 3.0, 7.0, 8.0, 12.0, 13.0]));
        }
        let y = desk.array("y", &[5], &items[..5]);
        let found = desk.compute("slice", json!({ "tile": 3, "row": 1 }), &[&y]);
        assert_eq!(found, (vec![2], vec![3.0, 4.0]));
        let args = vec![Argument::One(y)];
        let params = json!({ "tile": 3, "row": 2 });
        let error = desk.fail("slice", params, args, &[OutputKind::Npy]);
        assert!(error.to_string().contains("the last tile is 1"), "{error}");
    }
}
