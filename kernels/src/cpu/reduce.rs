//! `reduce`: sum, mean, largest or smallest, of everything or along an axis.

use serde_json::json;

use crate::call::{Call, Input};
use crate::error::KernelError;
use crate::kernel::{
    ArgShape, Arity, Kernel, KernelInfo, OutputInfo, OutputKind, ParamInfo, ParamKind, Presence, Work,
    total_bytes,
};
use crate::matrix::{Real, by_precision};
use crate::params::Params;

pub(crate) struct Reduce;

static INFO: KernelInfo = KernelInfo {
    name: "reduce",
    summary: "the sum, mean, largest or smallest item, of all or along one axis",
    arity: Arity::exactly(1),
    args: "array",
    families: false,
    outputs: &[OutputInfo {
        name: "result; as JSON `{\"value\"}`, without `axis` only",
        kinds: &[OutputKind::Npy, OutputKind::Json],
        presence: Presence::Required,
    }],
    params: &[
        ParamInfo {
            name: "op",
            kind: ParamKind::OneOf(&["sum", "mean", "max", "min"]),
            default: None,
            doc: "what to find",
        },
        ParamInfo {
            name: "axis",
            kind: ParamKind::Count,
            default: Some("-"),
            doc: "the axis that disappears; all items together without it",
        },
    ],
};

impl Kernel for Reduce {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn cost(&self, args: &[ArgShape], params: &Params<'_>) -> Option<Work> {
        let shape = args.first()?.one()?;
        let items = shape.items();
        let kept = match params.count_if_given("axis").ok()? {
            Some(axis) => items / (*shape.dims.get(axis)?).max(1),
            None => 1,
        };
        let written = kept.saturating_mul(shape.item_bytes);
        Some(Work::new(items as f64, total_bytes(args), written))
    }

    fn run(&self, call: &mut Call<'_>) -> Result<(), KernelError> {
        let x = call.array(0)?;
        by_precision!(x.precision()?, reduce(call, &x))
    }
}

fn reduce<T: Real>(call: &mut Call<'_>, x: &Input) -> Result<(), KernelError> {
    let params = call.params();
    let op = params.text("op")?;
    let axis = params.count_if_given("axis")?;
    let dims = x.dims();
    // Seen as outer x length x inner, of which the middle disappears.
    let (outer, length, inner, kept) = match axis {
        None => (1, x.array.items(), 1, Vec::new()),
        Some(axis) if axis < dims.len() => {
            let kept = [&dims[..axis], &dims[axis + 1..]].concat();
            let outer: usize = dims[..axis].iter().product();
            let inner: usize = dims[axis + 1..].iter().product();
            (outer, dims[axis], inner, kept)
        }
        Some(axis) => {
            let message = format!("{axis} is not below the number of axes, {}", dims.len());
            return Err(params.error("axis", message));
        }
    };
    if length == 0 && op != "sum" {
        return Err(x.error(format!("has no items along the axis, and `{op}` needs one")));
    }
    let items = x.rows::<T>()?;
    let mut results = Vec::with_capacity(outer * inner);
    for o in 0..outer {
        for i in 0..inner {
            let along = (0..length).map(|l| items[(o * length + l) * inner + i].get());
            results.push(match op.as_str() {
                "max" => {
                    along.fold(f64::NEG_INFINITY, |best, x| if best > x || best.is_nan() { best } else { x })
                }
                "min" => {
                    along.fold(f64::INFINITY, |best, x| if best < x || best.is_nan() { best } else { x })
                }
                "mean" => compensated_sum(along) / length as f64,
                _ => compensated_sum(along),
            });
        }
    }
    if call.output_kind(0) == OutputKind::Json {
        if axis.is_some() {
            let message = "along an axis the result is an array; declare the output as npy";
            return Err(params.error("axis", message));
        }
        return call.write_json(0, json!({ "value": results[0] }));
    }
    let mut out = call.create_rows::<T>(0, &kept)?;
    for (slot, result) in out.as_mut_slice().iter_mut().zip(results) {
        *slot = T::of(result);
    }
    call.finish(0, out)
}

/// A sum that carries what rounding lost (Neumaier 1974).
fn compensated_sum(items: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0_f64, 0.0);
    for item in items {
        let next = sum + item;
        lost += if sum.abs() >= item.abs() { (sum - next) + item } else { (item - next) + sum };
        sum = next;
    }
    // An infinite sum has lost what is not a number.
    if lost.is_finite() { sum + lost } else { sum }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invoke::Argument;
    use crate::testing::{Desk, assert_close};

    #[test]
    fn axes_disappear_in_both_orders() {
        let mut desk = Desk::new();
        let items: Vec<f64> = desk.random(6);
        for path in [desk.matrix("a", 2, 3, &items), desk.array("b", &[2, 3], &items)] {
            let (dims, found) = desk.compute("reduce", json!({ "op": "sum", "axis": 0 }), &[&path]);
            assert_eq!(dims, [3]);
            let expected: Vec<f64> = (0..3).map(|j| items[j] + items[3 + j]).collect();
            assert_close(&found, &expected, 1e-15);
            let (dims, found) = desk.compute("reduce", json!({ "op": "mean", "axis": 1 }), &[&path]);
            assert_eq!(dims, [2]);
            let expected: Vec<f64> = items.chunks(3).map(|r| r.iter().sum::<f64>() / 3.0).collect();
            assert_close(&found, &expected, 1e-15);
            let largest = items.iter().copied().fold(f64::MIN, f64::max);
            let found = desk.compute("reduce", json!({ "op": "max" }), &[&path]);
            assert_eq!(found, (vec![], vec![largest]));
            let smallest = items.iter().copied().fold(f64::MAX, f64::min);
            let args = vec![Argument::One(path)];
            let found = desk.compute_json("reduce", json!({ "op": "min" }), args);
            assert_eq!(found, json!({ "value": smallest }));
        }
        let cube: Vec<f64> = (0..24).map(f64::from).collect();
        let cube = desk.array("c", &[2, 3, 4], &cube);
        let (dims, found) = desk.compute("reduce", json!({ "op": "max", "axis": 1 }), &[&cube]);
        assert_eq!(dims, [2, 4]);
        assert_eq!(found, [8.0, 9.0, 10.0, 11.0, 20.0, 21.0, 22.0, 23.0]);
    }

    #[test]
    fn sums_carry_what_rounding_loses() {
        assert_eq!(compensated_sum([1.0, 1e100, 1.0, -1e100].into_iter()), 2.0);
        assert_eq!(compensated_sum([f64::INFINITY, 1.0].into_iter()), f64::INFINITY);
        assert!(compensated_sum([f64::NAN, 1.0].into_iter()).is_nan());
    }

    #[test]
    fn what_cannot_be_reduced_is_named() {
        let mut desk = Desk::new();
        let empty = desk.array("e", &[0], &[]);
        let out = [OutputKind::Npy];
        let args = || vec![Argument::One(empty.clone())];
        let error = desk.fail("reduce", json!({ "op": "max" }), args(), &out);
        assert!(error.to_string().contains("has no items"), "{error}");
        let error = desk.fail("reduce", json!({ "op": "sum", "axis": 1 }), args(), &out);
        assert!(error.to_string().contains("`axis`"), "{error}");
        assert_eq!(desk.compute("reduce", json!({ "op": "sum" }), &[&empty]).1, [0.0]);
        let params = json!({ "op": "sum", "axis": 0 });
        let error = desk.fail("reduce", params, args(), &[OutputKind::Json]);
        assert!(error.to_string().contains("declare the output as npy"), "{error}");
    }
}
