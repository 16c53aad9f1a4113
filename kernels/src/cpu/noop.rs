//! `noop`: does nothing. It measures what a call costs by itself, and joins others in a graph.

use serde_json::Value;

use crate::call::Call;
use crate::error::KernelError;
use crate::kernel::{ArgShape, Arity, Kernel, KernelInfo, OutputInfo, OutputKind, Presence, Work};
use crate::params::Params;

pub(crate) struct Noop;

static INFO: KernelInfo = KernelInfo {
    name: "noop",
    summary: "nothing; its outputs are empty",
    arity: Arity::at_least(0),
    args: "any, which are not read",
    families: true,
    outputs: &BLANK,
    params: &[],
};

/// Outputs of a kernel that has nothing to say.
pub(super) static BLANK: [OutputInfo; 1] = [OutputInfo {
    name: "empty",
    kinds: &[OutputKind::Json, OutputKind::Npy, OutputKind::File],
    presence: Presence::Repeated,
}];

impl Kernel for Noop {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn cost(&self, _args: &[ArgShape], _params: &Params<'_>) -> Option<Work> {
        Some(Work::default())
    }

    fn run(&self, call: &mut Call<'_>) -> Result<(), KernelError> {
        write_blank(call)
    }
}

/// Writes every output empty: `null`, an array without items, a file without bytes.
pub(super) fn write_blank(call: &mut Call<'_>) -> Result<(), KernelError> {
    for index in 0..call.outputs() {
        match call.output_kind(index) {
            OutputKind::Json => call.write_json(index, Value::Null)?,
            OutputKind::Npy => {
                let array = call.create_rows::<f64>(index, &[0])?;
                call.finish(index, array)?;
            }
            OutputKind::File | OutputKind::Dir => call.write_bytes(index, b"")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invoke::Argument;
    use crate::testing::Desk;
    use serde_json::json;

    #[test]
    fn it_writes_empty_outputs_and_reads_nothing() {
        let mut desk = Desk::new();
        let args = vec![Argument::One(desk.path("not-there")), Argument::Many(vec![desk.path("nor-there")])];
        let kinds = [OutputKind::Json, OutputKind::Npy, OutputKind::File];
        let out = desk.run("noop", json!({}), args, &kinds);
        assert_eq!(std::fs::read(&out[0]).expect("json"), b"null");
        assert_eq!(desk.read(&out[1]), (vec![0], vec![]));
        assert_eq!(std::fs::read(&out[2]).expect("file"), b"");
        assert_eq!(desk.run("noop", json!({}), vec![], &[]), Vec::<std::path::PathBuf>::new());
    }
}
