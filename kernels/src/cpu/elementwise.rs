//! `elementwise`: arithmetic item by item, over one array or several of one shape.

use crate::call::{Call, Input};
use crate::error::KernelError;
use crate::kernel::{
    ArgShape, Arity, Kernel, KernelInfo, OutputInfo, OutputKind, ParamInfo, ParamKind, Presence,
    SPECIAL_FLOPS, Work, bytes_at, total_bytes,
};
use crate::matrix::{Precision, Real, by_precision};
use crate::npy::Array;
use crate::params::Params;

pub(crate) struct Elementwise;

static INFO: KernelInfo = KernelInfo {
    name: "elementwise",
    summary: "arithmetic item by item; `add`, `sub`, `mul`, `div`, `max` and `min` go through \
              their arguments from left to right, the others take one",
    arity: Arity::at_least(1),
    args: "arrays of one shape and type; of more than one, a single item stands for all",
    families: true,
    outputs: &[OutputInfo { name: "array", kinds: &[OutputKind::Npy], presence: Presence::Required }],
    params: &[
        ParamInfo {
            name: "op",
            kind: ParamKind::OneOf(&[
                "add", "sub", "mul", "div", "max", "min", "scale", "exp", "log", "sqrt", "square", "abs",
                "neg", "relu", "tanh", "sigmoid", "cast",
            ]),
            default: None,
            doc: "what to do; `scale` is alpha x + beta; `cast` turns any type of number into \
                  `dtype`",
        },
        ParamInfo { name: "alpha", kind: ParamKind::Number, default: Some("1"), doc: "factor, of `scale`" },
        ParamInfo { name: "beta", kind: ParamKind::Number, default: Some("0"), doc: "summand, of `scale`" },
        ParamInfo {
            name: "dtype",
            kind: ParamKind::OneOf(&["float64", "float32"]),
            default: Some("float64"),
            doc: "the type to convert to, of `cast`",
        },
    ],
};

/// What an operation does, and what it counts as.
enum Op {
    /// Through the arguments from left to right.
    Fold(fn(f64, f64) -> f64),
    /// On each item of one array.
    Map(fn(f64) -> f64, f64),
    /// alpha x + beta.
    Scale,
    /// To another type.
    Cast,
}

impl Op {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "add" => Self::Fold(|x, y| x + y),
            "sub" => Self::Fold(|x, y| x - y),
            "mul" => Self::Fold(|x, y| x * y),
            "div" => Self::Fold(|x, y| x / y),
            // What is not a number stays so, as in numpy.
            "max" => Self::Fold(|x, y| if x > y || x.is_nan() { x } else { y }),
            "min" => Self::Fold(|x, y| if x < y || x.is_nan() { x } else { y }),
            "scale" => Self::Scale,
            "exp" => Self::Map(f64::exp, SPECIAL_FLOPS),
            "log" => Self::Map(f64::ln, SPECIAL_FLOPS),
            "sqrt" => Self::Map(f64::sqrt, SPECIAL_FLOPS),
            "square" => Self::Map(|x| x * x, 1.0),
            "abs" => Self::Map(f64::abs, 1.0),
            "neg" => Self::Map(|x| -x, 1.0),
            "relu" => Self::Map(|x| if x < 0.0 { 0.0 } else { x }, 1.0),
            "tanh" => Self::Map(f64::tanh, SPECIAL_FLOPS),
            "sigmoid" => Self::Map(|x| 1.0 / (1.0 + (-x).exp()), SPECIAL_FLOPS + 2.0),
            "cast" => Self::Cast,
            _ => return None,
        })
    }
}

impl Kernel for Elementwise {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn cost(&self, args: &[ArgShape], params: &Params<'_>) -> Option<Work> {
        let items = args.first()?.shapes().first()?.items() as f64;
        let arrays = args.iter().map(|arg| arg.shapes().len()).sum::<usize>() as f64;
        let flops = match Op::named(&params.text("op").ok()?)? {
            Op::Fold(_) => arrays - 1.0,
            Op::Map(_, flops) => flops,
            Op::Scale => 2.0,
            Op::Cast => 0.0,
        };
        Some(Work::new(items * flops.max(0.0), total_bytes(args), bytes_at(args, 0)))
    }

    fn run(&self, call: &mut Call<'_>) -> Result<(), KernelError> {
        let params = call.params();
        let name = params.text("op")?;
        let op = Op::named(&name).ok_or_else(|| params.error("op", format!("`{name}` is unknown")))?;
        let inputs = call.arrays_from(0)?;
        let Some(first) = inputs.first() else {
            return Err(call.argument_error(0, "is a family without instances"));
        };
        if inputs.len() > 1 && !matches!(op, Op::Fold(_)) {
            let message = format!("`{name}` takes one array and was given {}", inputs.len());
            return Err(params.error("op", message));
        }
        match op {
            Op::Fold(f) => by_precision!(first.precision()?, fold(call, &inputs, f)),
            Op::Map(f, _) => by_precision!(first.precision()?, map(call, first, f)),
            Op::Scale => {
                let (alpha, beta) = (params.number("alpha")?, params.number("beta")?);
                let f = |x: f64| alpha * x + beta;
                by_precision!(first.precision()?, map(call, first, f))
            }
            Op::Cast => {
                let precision =
                    if params.text("dtype")? == "float32" { Precision::Single } else { Precision::Double };
                by_precision!(precision, cast(call, first))
            }
        }
    }
}

fn map<T: Real>(call: &mut Call<'_>, x: &Input, f: impl Fn(f64) -> f64) -> Result<(), KernelError> {
    let items = x.rows::<T>()?;
    let mut out = call.create_rows::<T>(0, x.dims())?;
    for (slot, item) in out.as_mut_slice().iter_mut().zip(items.iter()) {
        *slot = T::of(f(item.get()));
    }
    call.finish(0, out)
}

fn fold<T: Real>(call: &mut Call<'_>, inputs: &[Input], f: fn(f64, f64) -> f64) -> Result<(), KernelError> {
    // The first array that is more than one item gives the shape.
    let shape = inputs
        .iter()
        .find(|input| input.array.items() != 1)
        .or_else(|| inputs.first())
        .map(|input| input.dims().to_vec())
        .unwrap_or_default();
    let mut out = call.create_rows::<T>(0, &shape)?;
    for (at, input) in inputs.iter().enumerate() {
        let items = input.rows::<T>()?;
        let single = items.len() == 1;
        if !single && input.dims() != shape {
            let words: Vec<String> = shape.iter().map(ToString::to_string).collect();
            return Err(input.error(format!(
                "is {} and another is {}; arrays must have one shape",
                input.array.describe(),
                words.join("x")
            )));
        }
        for (slot, position) in out.as_mut_slice().iter_mut().zip(0..) {
            let item = items[if single { 0 } else { position }];
            *slot = if at == 0 { item } else { T::of(f(slot.get(), item.get())) };
        }
    }
    call.finish(0, out)
}

fn cast<T: Real>(call: &mut Call<'_>, x: &Input) -> Result<(), KernelError> {
    let items = Array::to_f64(&x.array)
        .ok_or_else(|| x.error(format!("is {}, which is not read here", x.array.dtype())))?;
    let mut out = call.create_rows::<T>(0, x.dims())?;
    for (slot, item) in out.as_mut_slice().iter_mut().zip(items) {
        *slot = T::of(item);
    }
    call.finish(0, out)
}

#[cfg(test)]
mod tests {
    use crate::invoke::Argument;
    use crate::kernel::OutputKind;
    use crate::npy::{Order, write_npy};
    use crate::testing::{Desk, assert_close};
    use serde_json::json;

    #[test]
    fn arrays_of_both_orders_are_folded() {
        let mut desk = Desk::new();
        let (x, y, z) = (desk.random(6), desk.random(6), desk.random(6));
        let a = desk.matrix("a", 2, 3, &x);
        let b = desk.array("b", &[2, 3], &y);
        let c = desk.array("c", &[2, 3], &z);
        type Fold = fn(f64, f64) -> f64;
        let cases: [(&str, Fold); 6] = [
            ("add", |p, q| p + q),
            ("sub", |p, q| p - q),
            ("mul", |p, q| p * q),
            ("div", |p, q| p / q),
            ("max", f64::max),
            ("min", f64::min),
        ];
        for (op, f) in cases {
            let expected: Vec<f64> = (0..6).map(|i| f(f(x[i], y[i]), z[i])).collect();
            let args = vec![Argument::One(a.clone()), Argument::Many(vec![b.clone(), c.clone()])];
            let out = desk.run("elementwise", json!({ "op": op }), args, &[OutputKind::Npy]);
            let (dims, found) = desk.read(&out[0]);
            assert_eq!(dims, [2, 3]);
            assert_close(&found, &expected, 1e-15);
        }
        let one = desk.array("one", &[], &[10.0]);
        let (dims, found) = desk.compute("elementwise", json!({ "op": "sub" }), &[&one, &b]);
        assert_eq!(dims, [2, 3]);
        let expected: Vec<f64> = y.iter().map(|q| 10.0 - q).collect();
        assert_close(&found, &expected, 1e-15);
    }

    #[test]
    fn single_arrays_are_mapped() {
        let mut desk = Desk::new();
        let x: Vec<f64> = desk.random(7);
        let path = desk.array("x", &[7], &x);
        type Map = fn(f64) -> f64;
        let cases: [(&str, Map); 8] = [
            ("exp", f64::exp),
            ("square", |v| v * v),
            ("abs", f64::abs),
            ("neg", |v| -v),
            ("relu", |v| v.max(0.0)),
            ("tanh", f64::tanh),
            ("sigmoid", |v| v.exp() / (1.0 + v.exp())),
            ("scale", |v| 3.0 * v - 1.0),
        ];
        let single = desk.matrix_f32("f", &[7], &x);
        for (op, f) in cases {
            let expected: Vec<f64> = x.iter().map(|v| f(*v)).collect();
            let params = json!({ "op": op, "alpha": 3, "beta": -1 });
            let (_, found) = desk.compute("elementwise", params.clone(), &[&path]);
            assert_close(&found, &expected, 1e-14);
            let (_, found) = desk.compute("elementwise", params, &[&single]);
            assert_close(&found, &expected, 1e-6);
        }
        let squares = desk.array("s", &[2], &[4.0, 9.0]);
        let (_, found) = desk.compute("elementwise", json!({ "op": "sqrt" }), &[&squares]);
        assert_eq!(found, [2.0, 3.0]);
        let (_, found) = desk.compute("elementwise", json!({ "op": "log" }), &[&squares]);
        assert_close(&found, &[4.0_f64.ln(), 9.0_f64.ln()], 1e-15);
    }

    #[test]
    fn other_types_are_converted_first() {
        let mut desk = Desk::new();
        let path = desk.path("i.npy");
        write_npy(&path, &[3], Order::RowMajor, &[1_i64, -2, 3]).expect("written");
        let args = vec![Argument::One(path.clone())];
        let out = [OutputKind::Npy];
        let error = desk.fail("elementwise", json!({ "op": "neg" }), args, &out);
        assert!(error.to_string().contains("int64") && error.to_string().contains("cast"));
        let params = json!({ "op": "cast", "dtype": "float32" });
        assert_eq!(desk.compute("elementwise", params, &[&path]).1, [1.0, -2.0, 3.0]);
    }

    #[test]
    fn wrong_shapes_and_numbers_of_arrays_are_named() {
        let mut desk = Desk::new();
        let a = desk.array("a", &[2], &[0.0; 2]);
        let b = desk.array("b", &[3], &[0.0; 3]);
        let both = || vec![Argument::One(a.clone()), Argument::One(b.clone())];
        let out = [OutputKind::Npy];
        let error = desk.fail("elementwise", json!({ "op": "add" }), both(), &out);
        assert!(error.to_string().contains("is 3 float64 and another is 2"), "{error}");
        let error = desk.fail("elementwise", json!({ "op": "exp" }), both(), &out);
        assert!(error.to_string().contains("takes one array"), "{error}");
    }
}
