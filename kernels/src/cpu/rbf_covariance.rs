//! `rbf_covariance`: a tile of the matrix k(x, x') = exp(-|x - x'|^2 / (2 l^2)).
//!
//! Distances are sums of squared differences and not an expansion by a matrix product: near
//! neighbours keep all their digits, and the features are few.

use crate::call::{Call, Input};
use crate::error::KernelError;
use crate::kernel::{
    ArgShape, Arity, Kernel, KernelInfo, OutputInfo, OutputKind, ParamInfo, ParamKind, Presence,
    SPECIAL_FLOPS, Work, matrix_at, total_bytes,
};
use crate::matrix::{Real, by_precision, matrix_dims, tile_range};
use crate::params::Params;

pub(crate) struct RbfCovariance;

static INFO: KernelInfo = KernelInfo {
    name: "rbf_covariance",
    summary: "exp(-\\|x - z\\|^2 / (2 l^2)) for rows x of X and z of Z (of X itself without Z), \
              plus noise^2 on the diagonal without Z",
    arity: Arity::between(1, 2),
    args: "X, Z (optional)",
    families: false,
    outputs: &[OutputInfo { name: "K", kinds: &[OutputKind::Npy], presence: Presence::Required }],
    params: &[
        ParamInfo { name: "length_scale", kind: ParamKind::Positive, default: None, doc: "l" },
        ParamInfo {
            name: "noise",
            kind: ParamKind::NonNegative,
            default: Some("0"),
            doc: "its square is added on the diagonal of the whole matrix",
        },
        ParamInfo {
            name: "tile",
            kind: ParamKind::Count,
            default: Some("0"),
            doc: "rows and columns of a tile",
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

impl Kernel for RbfCovariance {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn cost(&self, args: &[ArgShape], params: &Params<'_>) -> Option<Work> {
        let (rows, features) = matrix_at(args, 0)?;
        let (cols, _) = matrix_at(args, args.len() - 1)?;
        let rows = tile_range(params, "row", rows as usize).ok()?.len() as u64;
        let cols = tile_range(params, "col", cols as usize).ok()?.len() as u64;
        let items = rows.saturating_mul(cols);
        let item_bytes = args.first()?.one()?.item_bytes;
        Some(Work::new(
            items as f64 * (3.0 * features + SPECIAL_FLOPS + 1.0),
            total_bytes(args),
            items.saturating_mul(item_bytes),
        ))
    }

    fn run(&self, call: &mut Call<'_>) -> Result<(), KernelError> {
        let x = call.array(0)?;
        by_precision!(x.precision()?, covariance(call, &x))
    }
}

fn covariance<T: Real>(call: &mut Call<'_>, x: &Input) -> Result<(), KernelError> {
    let params = call.params();
    let other = if call.args() > 1 { Some(call.array(1)?) } else { None };
    let z = other.as_ref().unwrap_or(x);
    let (Some((x_rows, features)), Some((z_rows, z_features))) =
        (matrix_dims(x.dims()), matrix_dims(z.dims()))
    else {
        return Err(x.error("X and Z must have one or two axes: rows and features"));
    };
    if features != z_features {
        return Err(z.error(format!("has {z_features} features and X has {features}; they must be as many")));
    }
    let (x_items, z_items) = (x.rows::<T>()?, z.rows::<T>()?);
    let rows = tile_range(&params, "row", x_rows)?;
    let cols = tile_range(&params, "col", z_rows)?;
    let length_scale = params.number("length_scale")?;
    let factor = T::of(-0.5 / (length_scale * length_scale));
    let noise = params.number("noise")?;
    let diagonal = T::of(noise * noise);
    let mut out = call.create::<T>(0, &[rows.len(), cols.len()])?;
    let mut slots = out.as_mut_slice().iter_mut();
    for j in cols {
        let b = &z_items[j * features..(j + 1) * features];
        for i in rows.clone() {
            let a = &x_items[i * features..(i + 1) * features];
            let squares = a.iter().zip(b).fold(T::of(0.0), |sum, (p, q)| {
                let difference = *p - *q;
                sum + difference * difference
            });
            let mut value = (squares * factor).exponential();
            if other.is_none() && i == j {
                value += diagonal;
            }
            if let Some(slot) = slots.next() {
                *slot = value;
            }
        }
    }
    call.finish(0, out)
}

#[cfg(test)]
mod tests {
    use crate::invoke::Argument;
    use crate::kernel::OutputKind;
    use crate::testing::{Desk, assert_close};
    use serde_json::json;

    fn dense(x: &[f64], z: &[f64], features: usize, l: f64) -> Vec<f64> {
        let mut k = Vec::new();
        for a in x.chunks(features) {
            for b in z.chunks(features) {
                let d: f64 = a.iter().zip(b).map(|(p, q)| (p - q).powi(2)).sum();
                k.push((-d / (2.0 * l * l)).exp());
            }
        }
        k
    }

    #[test]
    fn tiles_make_up_the_matrix() {
        let mut desk = Desk::new();
        let (n, features, tile) = (7, 3, 3);
        let items = desk.random(n * features);
        let x = desk.array("x", &[n, features], &items);
        let mut expected = dense(&items, &items, features, 0.8);
        for i in 0..n {
            expected[i * n + i] += 0.25;
        }
        for (row, col) in [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (0, 2)] {
            let params = json!({
                "length_scale": "0.8", "noise": 0.5, "tile": tile, "row": row, "col": col
            });
            let (dims, found) = desk.compute("rbf_covariance", params, &[&x]);
            let rows = row * tile..n.min((row + 1) * tile);
            let cols = col * tile..n.min((col + 1) * tile);
            assert_eq!(dims, [rows.len(), cols.len()]);
            let block: Vec<f64> = rows
                .flat_map(|i| cols.clone().map(move |j| (i, j)))
                .map(|(i, j)| expected[i * n + j])
                .collect();
            assert_close(&found, &block, 1e-14);
        }
    }

    #[test]
    fn two_sets_have_no_noise_between_them() {
        let mut desk = Desk::new();
        let (a, b) = (desk.random(8), desk.random(8));
        let x = desk.array("x", &[4, 2], &a);
        let z = desk.array("z", &[4, 2], &b);
        let params = json!({ "length_scale": 2, "noise": 9 });
        let (_, found) = desk.compute("rbf_covariance", params, &[&x, &z]);
        assert_close(&found, &dense(&a, &b, 2, 2.0), 1e-14);
        let single = desk.matrix_f32("f", &[4, 2], &a);
        let (_, found) = desk.compute("rbf_covariance", json!({ "length_scale": 2 }), &[&single]);
        assert_close(&found, &dense(&a, &a, 2, 2.0), 1e-6);
    }

    #[test]
    fn wrong_calls_are_named() {
        let mut desk = Desk::new();
        let x = desk.array("x", &[4, 2], &[0.0; 8]);
        let z = desk.array("z", &[2, 4], &[0.0; 8]);
        let args = || vec![Argument::One(x.clone())];
        let out = [OutputKind::Npy];
        let params = json!({ "length_scale": 1, "tile": 2, "row": 2, "col": 0 });
        let error = desk.fail("rbf_covariance", params, args(), &out);
        assert!(error.to_string().contains("the last tile is 1"), "{error}");
        let error = desk.fail("rbf_covariance", json!({ "length_scale": 0 }), args(), &out);
        assert!(error.to_string().contains("above 0"), "{error}");
        let params = json!({ "length_scale": 1, "row": 0 });
        let error = desk.fail("rbf_covariance", params, args(), &out);
        assert!(error.to_string().contains("`tile`"), "{error}");
        let both = vec![Argument::One(x.clone()), Argument::One(z)];
        let error = desk.fail("rbf_covariance", json!({ "length_scale": 1 }), both, &out);
        assert!(error.to_string().contains("4 features and X has 2"), "{error}");
    }
}
