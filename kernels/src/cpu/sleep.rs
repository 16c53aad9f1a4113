//! `sleep`: takes time and nothing else, for trying out schedules.

use std::time::Duration;

use super::noop::{BLANK, write_blank};
use crate::call::Call;
use crate::error::KernelError;
use crate::kernel::{ArgShape, Arity, Kernel, KernelInfo, ParamInfo, ParamKind, Work};
use crate::params::Params;

pub(crate) struct Sleep;

static INFO: KernelInfo = KernelInfo {
    name: "sleep",
    summary: "nothing, for a while; its outputs are empty",
    arity: Arity::at_least(0),
    args: "any, which are not read",
    families: true,
    outputs: &BLANK,
    params: &[ParamInfo { name: "seconds", kind: ParamKind::NonNegative, default: None, doc: "how long" }],
};

impl Kernel for Sleep {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn cost(&self, _args: &[ArgShape], _params: &Params<'_>) -> Option<Work> {
        // Its time is no work; declare `duration` instead.
        None
    }

    fn run(&self, call: &mut Call<'_>) -> Result<(), KernelError> {
        let params = call.params();
        let seconds = params.number("seconds")?;
        let duration = Duration::try_from_secs_f64(seconds)
            .map_err(|error| params.error("seconds", format!("`{seconds}`: {error}")))?;
        std::thread::sleep(duration);
        write_blank(call)
    }
}

#[cfg(test)]
mod tests {
    use crate::kernel::OutputKind;
    use crate::testing::Desk;
    use serde_json::json;
    use std::time::{Duration, Instant};

    #[test]
    fn it_takes_at_least_its_time() {
        let mut desk = Desk::new();
        let start = Instant::now();
        desk.run("sleep", json!({ "seconds": 0.002 }), vec![], &[OutputKind::Json]);
        assert!(start.elapsed() >= Duration::from_millis(2));
        let error = desk.fail("sleep", json!({ "seconds": 1e300 }), vec![], &[]);
        assert!(error.to_string().contains("`seconds`"), "{error}");
    }
}
