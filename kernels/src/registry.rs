//! The list of all kernels, one line each, and the documentation made from it.

use std::fmt::Write as _;

use crate::check::kinds;
use crate::cpu;
use crate::kernel::{Kernel, Presence};
use crate::params::describe;

/// By name.
static KERNELS: &[&dyn Kernel] = &[
    &cpu::copy::Copy,
    &cpu::elementwise::Elementwise,
    &cpu::gemm::Gemm,
    &cpu::load_csv::LoadCsv,
    &cpu::log_marginal_likelihood::LogMarginalLikelihood,
    &cpu::logdet::LogDet,
    &cpu::noop::Noop,
    &cpu::potrf::Potrf,
    &cpu::random_fill::RandomFill,
    &cpu::rbf_covariance::RbfCovariance,
    &cpu::record::Record,
    &cpu::reduce::Reduce,
    &cpu::rmse::Rmse,
    &cpu::select_best::SelectBest,
    &cpu::sleep::Sleep,
    &cpu::slice::Slice,
    &cpu::softmax::Softmax,
    &cpu::syrk::Syrk,
    &cpu::transpose::Transpose,
    &cpu::trsm::Trsm,
    &cpu::trsv::Trsv,
];

/// All kernels, by name.
pub fn all() -> &'static [&'static dyn Kernel] {
    KERNELS
}

/// The kernel of this name.
pub fn find(name: &str) -> Option<&'static dyn Kernel> {
    KERNELS.iter().copied().find(|kernel| kernel.info().name == name)
}

/// The kernels and their parameters as Markdown, for the documentation.
pub fn markdown_tables() -> String {
    let mut text = String::from("| Kernel | Computes | Arguments | Outputs |\n|---|---|---|---|\n");
    for kernel in all() {
        let info = kernel.info();
        let outputs: Vec<String> = info
            .outputs
            .iter()
            .map(|output| {
                let presence = match output.presence {
                    Presence::Required => "",
                    Presence::Optional => ", optional",
                    Presence::Repeated => ", any number",
                };
                format!("{} ({}{presence})", output.name, kinds(output.kinds))
            })
            .collect();
        let _ =
            writeln!(text, "| `{}` | {} | {} | {} |", info.name, info.summary, info.args, outputs.join(", "));
    }
    text.push_str("\n| Kernel | Parameter | Value | Default | Meaning |\n|---|---|---|---|---|\n");
    for kernel in all() {
        let info = kernel.info();
        for param in info.params {
            let default = match param.default {
                None => "must be given".to_owned(),
                Some("-") => "none".to_owned(),
                Some(value) => format!("`{value}`"),
            };
            let _ = writeln!(
                text,
                "| `{}` | `{}` | {} | {default} | {} |",
                info.name,
                param.name,
                describe(param.kind),
                param.doc
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::mismatch;
    use serde_json::Value;

    #[test]
    fn names_are_sorted_and_found() {
        let names: Vec<&str> = all().iter().map(|kernel| kernel.info().name).collect();
        assert!(names.is_sorted(), "{names:?}");
        for name in names {
            assert_eq!(find(name).expect("found").info().name, name);
        }
        assert!(find("nothing").is_none());
    }

    #[test]
    fn defaults_fit_their_kinds() {
        for kernel in all() {
            for param in kernel.info().params {
                let Some(text) = param.default.filter(|text| *text != "-") else {
                    continue;
                };
                let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
                let name = kernel.info().name;
                assert_eq!(mismatch(param, &value), None, "{name}.{}", param.name);
            }
        }
    }

    #[test]
    fn repeated_outputs_come_last() {
        for kernel in all() {
            let outputs = kernel.info().outputs;
            let order: Vec<u8> = outputs.iter().map(|o| o.presence as u8).collect();
            assert!(order.is_sorted(), "{}", kernel.info().name);
        }
    }

    /// `docs/kernels.md` holds exactly the tables made from the registry. Run with
    /// `DUNNAGE_BLESS=1` to write them.
    #[test]
    fn the_documentation_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/kernels.md");
        let text = std::fs::read_to_string(path).expect("docs/kernels.md");
        let (begin, end) = ("<!-- tables: begin -->\n", "<!-- tables: end -->");
        let (head, rest) = text.split_once(begin).expect("the beginning mark");
        let (tables, tail) = rest.split_once(end).expect("the end mark");
        if std::env::var_os("DUNNAGE_BLESS").is_some() {
            let new = format!("{head}{begin}{}{end}{tail}", markdown_tables());
            std::fs::write(path, new).expect("written");
            return;
        }
        assert!(
            tables == markdown_tables(),
            "docs/kernels.md is out of date; run the test with DUNNAGE_BLESS=1"
        );
    }
}
