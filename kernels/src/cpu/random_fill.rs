//! `random_fill`: an array of seeded random numbers, the same on every machine.

use crate::call::Call;
use crate::error::KernelError;
use crate::kernel::{
    ArgShape, Arity, Kernel, KernelInfo, OutputInfo, OutputKind, ParamInfo, ParamKind, Presence,
    SPECIAL_FLOPS, Work,
};
use crate::matrix::Real;
use crate::params::Params;
use crate::rng::Rng;

pub(crate) struct RandomFill;

static INFO: KernelInfo = KernelInfo {
    name: "random_fill",
    summary: "an array of random numbers, the same for the same seed",
    arity: Arity::exactly(0),
    args: "none",
    families: false,
    outputs: &[OutputInfo { name: "array", kinds: &[OutputKind::Npy], presence: Presence::Required }],
    params: &[
        ParamInfo { name: "shape", kind: ParamKind::Counts, default: None, doc: "length along each axis" },
        ParamInfo {
            name: "seed",
            kind: ParamKind::Count,
            default: Some("0"),
            doc: "another seed, other numbers",
        },
        ParamInfo {
            name: "distribution",
            kind: ParamKind::OneOf(&["uniform", "normal"]),
            default: Some("uniform"),
            doc: "even from `low` to `high`, or normal with `mean` and `deviation`",
        },
        ParamInfo { name: "low", kind: ParamKind::Number, default: Some("0"), doc: "lower end, included" },
        ParamInfo {
            name: "high",
            kind: ParamKind::Number,
            default: Some("1"),
            doc: "upper end, not included",
        },
        ParamInfo {
            name: "mean",
            kind: ParamKind::Number,
            default: Some("0"),
            doc: "centre of the normal distribution",
        },
        ParamInfo {
            name: "deviation",
            kind: ParamKind::NonNegative,
            default: Some("1"),
            doc: "its deviation",
        },
        ParamInfo {
            name: "dtype",
            kind: ParamKind::OneOf(&["float64", "float32"]),
            default: Some("float64"),
            doc: "the type of the array",
        },
    ],
};

impl Kernel for RandomFill {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn cost(&self, _args: &[ArgShape], params: &Params<'_>) -> Option<Work> {
        let shape = params.counts("shape").ok()?;
        let items = shape.iter().fold(1_u64, |n, d| n.saturating_mul(*d as u64));
        let normal = params.text("distribution").ok()? == "normal";
        let flops = if normal { 3.0 * SPECIAL_FLOPS } else { 2.0 };
        let item_bytes = if params.text("dtype").ok()? == "float32" { 4 } else { 8 };
        Some(Work::new(items as f64 * flops, 0, items.saturating_mul(item_bytes)))
    }

    fn run(&self, call: &mut Call<'_>) -> Result<(), KernelError> {
        match call.params().text("dtype")?.as_str() {
            "float32" => fill::<f32>(call),
            _ => fill::<f64>(call),
        }
    }
}

fn fill<T: Real>(call: &mut Call<'_>) -> Result<(), KernelError> {
    let params = call.params();
    let shape = params.counts("shape")?;
    if shape.len() > 32 {
        return Err(params.error("shape", format!("{} axes are more than 32", shape.len())));
    }
    let mut rng = Rng::new(params.count("seed")? as u64);
    let (low, high) = (params.number("low")?, params.number("high")?);
    let (mean, deviation) = (params.number("mean")?, params.number("deviation")?);
    let normal = params.text("distribution")? == "normal";
    if !normal && low > high {
        return Err(params.error("low", format!("{low} is above `high`, which is {high}")));
    }
    let mut out = call.create_rows::<T>(0, &shape)?;
    for slot in out.as_mut_slice() {
        *slot =
            T::of(if normal { mean + deviation * rng.normal() } else { low + (high - low) * rng.uniform() });
    }
    call.finish(0, out)
}

#[cfg(test)]
mod tests {
    use crate::error::Cause;
    use crate::kernel::OutputKind;
    use crate::testing::Desk;
    use serde_json::json;

    #[test]
    fn the_seed_decides() {
        let mut desk = Desk::new();
        let mut fill = |params| desk.compute("random_fill", params, &[]);
        let (dims, a) = fill(json!({ "shape": [3, 4], "seed": 5, "low": -2, "high": 3 }));
        assert_eq!(dims, [3, 4]);
        assert!(a.iter().all(|x| (-2.0..3.0).contains(x)), "{a:?}");
        let (_, b) = fill(json!({ "shape": [3, 4], "seed": 5, "low": -2, "high": 3 }));
        assert_eq!(a, b);
        let (_, c) = fill(json!({ "shape": [3, 4], "seed": 6, "low": -2, "high": 3 }));
        assert_ne!(a, c);
        let params = json!({ "shape": [500], "distribution": "normal", "mean": 4,
            "deviation": "0.5", "dtype": "float32" });
        let (_, n) = fill(params);
        let mean = n.iter().sum::<f64>() / 500.0;
        assert!((mean - 4.0).abs() < 0.1, "{mean}");
        assert_eq!(fill(json!({ "shape": [] })).1.len(), 1);
    }

    #[test]
    fn impossible_shapes_are_errors() {
        let mut desk = Desk::new();
        let mut fail = |params| desk.fail("random_fill", params, vec![], &[OutputKind::Npy]);
        let error = fail(json!({ "shape": [1_u64 << 40, 1_u64 << 40] }));
        assert_eq!(error.cause(), Cause::OutOfMemory);
        let error = fail(json!({ "shape": vec![1; 33] }));
        assert!(error.to_string().contains("more than 32"), "{error}");
        let error = fail(json!({ "shape": [1], "low": 2 }));
        assert!(error.to_string().contains("above `high`"), "{error}");
    }
}
