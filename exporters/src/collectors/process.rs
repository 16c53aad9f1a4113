//! The daemon's own process, under the names that every Prometheus client library uses.

use crate::collector::{CollectError, Collector, Input};
use crate::families::Families;
use crate::process_info::ProcessInfo;
use crate::table::{CollectorName, PROCESS_CPU, PROCESS_FDS, PROCESS_MEMORY, PROCESS_START};

pub(crate) struct Process;

impl Collector for Process {
    fn name(&self) -> CollectorName {
        CollectorName::Process
    }

    fn collect(&self, input: Input<'_>, out: &mut Families) -> Result<(), CollectError> {
        let ProcessInfo { now: _, start_time_seconds, resident_memory_bytes, cpu_seconds, open_fds } =
            *input.process;
        out.add_known(&PROCESS_CPU, [], cpu_seconds);
        out.add_known(&PROCESS_MEMORY, [], resident_memory_bytes.map(|n| n as f64));
        out.add_known(&PROCESS_FDS, [], open_fds.map(|n| n as f64));
        out.add_known(&PROCESS_START, [], start_time_seconds);
        Ok(())
    }
}
