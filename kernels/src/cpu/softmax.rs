//! `softmax`: along the last axis, without overflow.

use crate::call::{Call, Input};
use crate::error::KernelError;
use crate::kernel::{
    ArgShape, Arity, Kernel, KernelInfo, OutputInfo, OutputKind, ParamInfo, ParamKind, Presence,
    SPECIAL_FLOPS, Work, total_bytes,
};
use crate::matrix::{Real, by_precision};
use crate::params::Params;

pub(crate) struct Softmax;

static INFO: KernelInfo = KernelInfo {
    name: "softmax",
    summary: "exp(x / t) divided by its sum along the last axis",
    arity: Arity::exactly(1),
    args: "x",
    families: false,
    outputs: &[OutputInfo { name: "softmax", kinds: &[OutputKind::Npy], presence: Presence::Required }],
    params: &[ParamInfo { name: "temperature", kind: ParamKind::Positive, default: Some("1"), doc: "t" }],
};

impl Kernel for Softmax {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn cost(&self, args: &[ArgShape], _params: &Params<'_>) -> Option<Work> {
        let shape = args.first()?.one()?;
        let bytes = total_bytes(args);
        let flops = shape.items() as f64 * (SPECIAL_FLOPS + 5.0);
        Some(Work::new(flops, bytes, bytes))
    }

    fn run(&self, call: &mut Call<'_>) -> Result<(), KernelError> {
        let x = call.array(0)?;
        by_precision!(x.precision()?, softmax(call, &x))
    }
}

fn softmax<T: Real>(call: &mut Call<'_>, x: &Input) -> Result<(), KernelError> {
    let temperature = T::of(call.params().number("temperature")?);
    let items = x.rows::<T>()?;
    let row = x.dims().last().copied().unwrap_or(1).max(1);
    let mut out = call.create_rows::<T>(0, x.dims())?;
    let rows = items.chunks_exact(row);
    for (slots, values) in out.as_mut_slice().chunks_exact_mut(row).zip(rows) {
        // The largest is taken off first: no power is above 1.
        let largest = values.iter().fold(values[0], |best, x| if *x > best { *x } else { best });
        let mut sum = T::of(0.0);
        for (slot, value) in slots.iter_mut().zip(values) {
            *slot = ((*value - largest) / temperature).exponential();
            sum += *slot;
        }
        for slot in slots {
            *slot /= sum;
        }
    }
    call.finish(0, out)
}

#[cfg(test)]
mod tests {
    use crate::testing::{Desk, assert_close};
    use serde_json::json;

    #[test]
    fn rows_are_shares_that_add_up() {
        let mut desk = Desk::new();
        let items = desk.random(12);
        let expected: Vec<f64> = items
            .chunks(4)
            .flat_map(|row| {
                let sum: f64 = row.iter().map(|x| (x / 0.5).exp()).sum();
                row.iter().map(move |x| (x / 0.5).exp() / sum)
            })
            .collect();
        let params = json!({ "temperature": 0.5 });
        let x = desk.matrix("x", 3, 4, &items);
        let (dims, found) = desk.compute("softmax", params.clone(), &[&x]);
        assert_eq!(dims, [3, 4]);
        assert_close(&found, &expected, 1e-14);
        let single = desk.matrix_f32("f", &[3, 4], &items);
        let (_, found) = desk.compute("softmax", params, &[&single]);
        assert_close(&found, &expected, 1e-6);
    }

    #[test]
    fn large_values_do_not_overflow() {
        let mut desk = Desk::new();
        let x = desk.array("x", &[2], &[1e308, 1e308]);
        assert_eq!(desk.compute("softmax", json!({}), &[&x]).1, [0.5, 0.5]);
        let empty = desk.array("e", &[3, 0], &[]);
        assert_eq!(desk.compute("softmax", json!({}), &[&empty]), (vec![3, 0], vec![]));
    }
}
