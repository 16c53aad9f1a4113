//! `copy`: the bytes of a value, whatever they are.

use crate::call::Call;
use crate::error::KernelError;
use crate::kernel::{
    ArgShape, Arity, Kernel, KernelInfo, OutputInfo, OutputKind, Presence, Work, total_bytes,
};
use crate::params::Params;

pub(crate) struct Copy;

static INFO: KernelInfo = KernelInfo {
    name: "copy",
    summary: "a copy of its argument",
    arity: Arity::exactly(1),
    args: "value",
    families: false,
    outputs: &[OutputInfo {
        name: "copy",
        kinds: &[OutputKind::File, OutputKind::Npy, OutputKind::Json],
        presence: Presence::Required,
    }],
    params: &[],
};

impl Kernel for Copy {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn cost(&self, args: &[ArgShape], _params: &Params<'_>) -> Option<Work> {
        let bytes = total_bytes(args);
        Some(Work::new(0.0, bytes, bytes))
    }

    fn run(&self, call: &mut Call<'_>) -> Result<(), KernelError> {
        // The kind is checked where it says something about the bytes.
        match call.output_kind(0) {
            OutputKind::Json => {
                let value = call.json(0)?;
                call.write_json(0, value)
            }
            OutputKind::Npy => {
                call.array(0)?;
                let file = call.bytes(0)?;
                call.write_bytes(0, file.bytes())
            }
            OutputKind::File | OutputKind::Dir => {
                let file = call.bytes(0)?;
                call.write_bytes(0, file.bytes())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invoke::Argument;
    use crate::testing::Desk;
    use serde_json::json;

    #[test]
    fn bytes_arrays_and_json_are_copied() {
        let mut desk = Desk::new();
        let text = desk.path("t");
        std::fs::write(&text, b"\x00any\xff").expect("written");
        let out = desk.run("copy", json!({}), vec![Argument::One(text.clone())], &[OutputKind::File]);
        assert_eq!(std::fs::read(&out[0]).expect("read"), b"\x00any\xff");
        let items = desk.random(6);
        let array = desk.array("a", &[2, 3], &items);
        assert_eq!(desk.compute("copy", json!({}), &[&array]), (vec![2, 3], items));
        for kind in [OutputKind::Npy, OutputKind::Json] {
            let error = desk.fail("copy", json!({}), vec![Argument::One(text.clone())], &[kind]);
            assert!(error.to_string().starts_with("argument 0 of `copy`"), "{error}");
        }
    }
}
