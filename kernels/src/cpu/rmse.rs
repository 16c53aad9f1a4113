//! `rmse`: the error of a prediction, in units of the target.

use serde_json::json;

use crate::call::Call;
use crate::error::KernelError;
use crate::kernel::{
    ArgShape, Arity, Kernel, KernelInfo, OutputInfo, OutputKind, Presence, Work, total_bytes,
};
use crate::params::Params;

pub(crate) struct Rmse;

static INFO: KernelInfo = KernelInfo {
    name: "rmse",
    summary: "`{\"rmse\"}`: the root of the mean squared difference, in units of the target where \
              its scaling is given",
    arity: Arity::between(2, 3),
    args: "prediction, truth, the scaling that `load_csv` writes (optional)",
    families: false,
    outputs: &[OutputInfo { name: "error", kinds: &[OutputKind::Json], presence: Presence::Required }],
    params: &[],
};

impl Kernel for Rmse {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn cost(&self, args: &[ArgShape], _params: &Params<'_>) -> Option<Work> {
        let items = args.first()?.one()?.items();
        Some(Work::new(3.0 * items as f64, total_bytes(args), 64))
    }

    fn run(&self, call: &mut Call<'_>) -> Result<(), KernelError> {
        let mut numbers = Vec::new();
        for index in 0..2 {
            let input = call.array(index)?;
            input.precision()?;
            let items = input.array.to_f64().ok_or_else(|| input.error("its items cannot be read"))?;
            numbers.push(items);
        }
        let (prediction, truth) = (&numbers[0], &numbers[1]);
        if prediction.len() != truth.len() || truth.is_empty() {
            return Err(call.argument_error(
                1,
                format!(
                    "holds {} items and the prediction {}; they must be as many and at least one",
                    truth.len(),
                    prediction.len()
                ),
            ));
        }
        let scale = if call.args() > 2 {
            let scaling = call.json(2)?;
            scaling["target_scale"]
                .as_f64()
                .ok_or_else(|| call.argument_error(2, "has no number `target_scale`; `load_csv` writes it"))?
        } else {
            1.0
        };
        let squares: f64 = prediction.iter().zip(truth).map(|(p, t)| (p - t) * (p - t)).sum();
        let error = (squares / truth.len() as f64).sqrt() * scale;
        if !error.is_finite() {
            return Err(call.numeric("the error is not finite: an argument holds what is no number"));
        }
        call.write_json(0, json!({ "rmse": error }))
    }
}

#[cfg(test)]
mod tests {
    use crate::invoke::Argument;
    use crate::kernel::OutputKind;
    use crate::testing::Desk;
    use serde_json::json;

    #[test]
    fn it_is_in_units_of_the_target() {
        let mut desk = Desk::new();
        let p = desk.array("p", &[2], &[1.0, 5.0]);
        let t = desk.array("t", &[2], &[4.0, 1.0]);
        let scaling = desk.json("s", &json!({ "target_scale": 10.0 }));
        let one = |path: &std::path::PathBuf| Argument::One(path.clone());
        let found = desk.compute_json("rmse", json!({}), vec![one(&p), one(&t)]);
        assert_eq!(found, json!({ "rmse": 12.5_f64.sqrt() }));
        let args = vec![one(&p), one(&t), one(&scaling)];
        let found = desk.compute_json("rmse", json!({}), args);
        assert_eq!(found, json!({ "rmse": 12.5_f64.sqrt() * 10.0 }));
        let short = desk.array("q", &[1], &[1.0]);
        let error = desk.fail("rmse", json!({}), vec![one(&p), one(&short)], &[OutputKind::Json]);
        assert!(error.to_string().contains("holds 1 items and the prediction 2"), "{error}");
    }
}
