//! `log_marginal_likelihood`: of a Gaussian process, from the forward solution and the
//! log-determinant (Rasmussen and Williams 2006, equation 2.30).

use serde_json::json;

use crate::call::Call;
use crate::error::KernelError;
use crate::kernel::{
    ArgShape, Arity, Kernel, KernelInfo, OutputInfo, OutputKind, Presence, Work, total_bytes,
};
use crate::params::Params;

pub(crate) struct LogMarginalLikelihood;

static INFO: KernelInfo = KernelInfo {
    name: "log_marginal_likelihood",
    summary: "`{\"log_marginal_likelihood\", \"data_fit\", \"log_determinant\", \"rows\"}`: \
              -\\|z\\|^2 / 2 - logdet / 2 - n log(2 pi) / 2 with z = L^-1 y",
    arity: Arity::at_least(2),
    args: "the output of `logdet`, then z, or its parts",
    families: true,
    outputs: &[OutputInfo { name: "likelihood", kinds: &[OutputKind::Json], presence: Presence::Required }],
    params: &[],
};

impl Kernel for LogMarginalLikelihood {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn cost(&self, args: &[ArgShape], _params: &Params<'_>) -> Option<Work> {
        let parts = args.iter().skip(1).flat_map(ArgShape::shapes);
        let items: f64 = parts.map(|shape| shape.items() as f64).sum();
        Some(Work::new(2.0 * items, total_bytes(args), 128))
    }

    fn run(&self, call: &mut Call<'_>) -> Result<(), KernelError> {
        let determinant = call.json(0)?;
        let field = |name: &str| {
            determinant[name]
                .as_f64()
                .ok_or_else(|| call.argument_error(0, format!("has no number `{name}`; `logdet` writes it")))
        };
        let log_determinant = field("log_determinant")?;
        let rows_wanted = field("rows")?;
        let mut squares = 0.0;
        let mut rows = 0;
        for part in call.arrays_from(1)? {
            part.precision()?;
            let items = part.array.to_f64().ok_or_else(|| part.error("its items cannot be read"))?;
            squares += items.iter().map(|z| z * z).sum::<f64>();
            rows += items.len();
        }
        if rows as f64 != rows_wanted {
            return Err(
                call.argument_error(1, format!("z has {rows} items and the matrix has {rows_wanted} rows"))
            );
        }
        let constant = rows as f64 * std::f64::consts::TAU.ln();
        let likelihood = -0.5 * (squares + log_determinant + constant);
        if !likelihood.is_finite() {
            return Err(call.numeric("the likelihood is not finite: z holds what is not a number"));
        }
        call.write_json(
            0,
            json!({
                "log_marginal_likelihood": likelihood,
                "data_fit": -0.5 * squares,
                "log_determinant": log_determinant,
                "rows": rows,
            }),
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::invoke::Argument;
    use crate::kernel::OutputKind;
    use crate::testing::Desk;
    use serde_json::json;

    #[test]
    fn one_normal_value_has_the_density_of_the_book() {
        let mut desk = Desk::new();
        // y = 3 with variance 4: L = 2, z = 1.5.
        let z = desk.array("z", &[1], &[1.5]);
        let logdet = json!({ "log_determinant": 4.0_f64.ln(), "rows": 1 });
        let logdet = desk.json("d", &logdet);
        let args = vec![Argument::One(logdet.clone()), Argument::Many(vec![z.clone()])];
        let found = desk.compute_json("log_marginal_likelihood", json!({}), args);
        let density = (-9.0_f64 / 8.0).exp() / (8.0 * std::f64::consts::PI).sqrt();
        let value = found["log_marginal_likelihood"].as_f64().expect("a number");
        assert!((value - density.ln()).abs() < 1e-14);
        assert_eq!(found["rows"], json!(1));

        let args = vec![Argument::One(logdet), Argument::Many(vec![z.clone(), z])];
        let out = [OutputKind::Json];
        let error = desk.fail("log_marginal_likelihood", json!({}), args, &out);
        assert!(error.to_string().contains("z has 2 items"), "{error}");
    }
}
