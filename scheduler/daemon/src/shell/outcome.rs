//! From what the engine saw to what is true of the attempt: success with its outputs in place, or a
//! failure with its cause, told in words.

use crate::kernel_call::KernelAnswer;
use crate::untrusted;
use dunnage_exec::values::{Located, Medium, ValueStore};
use dunnage_exec::{Ending, Outcome, SpawnStage};
use dunnage_model::{AttemptId, Cause, Event, Failure, MemoryPlace, OutputKind};
use std::path::PathBuf;

/// How much of the end of a log is kept with a failure.
pub(crate) const TAIL_BYTES: usize = 4096;
const TAIL_LINES: usize = 20;

/// What is to be looked at when an attempt has ended.
#[derive(Clone, Debug)]
pub(crate) struct Inspection {
    pub(crate) attempt: AttemptId,
    /// Where its outputs should be, and whether each must be on disk.
    pub(crate) outputs: Vec<(PathBuf, OutputKind, bool)>,
    /// Where its inputs are, with the task that made each: for those that are gone.
    pub(crate) inputs: Vec<(PathBuf, u32)>,
    /// The end of its log.
    pub(crate) tail: Vec<u8>,
    /// What it was to run and where, of a command.
    pub(crate) command: Option<(String, PathBuf)>,
}

/// Judges an ended attempt: the event to hand to the core, and producers whose values are gone.
pub(crate) fn judge(inspection: &Inspection, outcome: &Outcome) -> (Event, Vec<u32>) {
    let usage = outcome.usage();
    let attempt = inspection.attempt;
    let mut lost = Vec::new();
    let failure = match &outcome.ending {
        Ending::Exited { code: 0 } => None,
        Ending::Exited { code } => {
            let mut failure = Failure::new(Cause::User, format!("exited with code {code}"));
            failure.exit_code = Some(*code);
            Some(with_tail(failure, &inspection.tail))
        }
        Ending::Signalled { signal } => {
            let mut failure =
                Failure::new(Cause::User, format!("ended by signal {signal} ({})", signal_name(*signal)));
            failure.signal = Some(*signal);
            Some(with_tail(failure, &inspection.tail))
        }
        Ending::SpawnFailed { stage, errno } => {
            Some(Failure::new(Cause::SpawnFailed, spawn_message(inspection, *stage, *errno)))
        }
        Ending::OutOfMemory { .. } => {
            let mut failure = Failure::new(Cause::OutOfMemory, outcome.ending.to_string());
            failure.place = Some(MemoryPlace::Host);
            Some(with_tail(failure, &inspection.tail))
        }
        Ending::ShimDied => Some(Failure::new(Cause::WorkerDied, outcome.ending.to_string())),
        Ending::WorkerDied { signal, .. } => {
            let mut failure = Failure::new(Cause::WorkerDied, outcome.ending.to_string());
            failure.signal = *signal;
            Some(failure)
        }
        Ending::Returned { payload, .. } => match rmp_serde::from_slice::<KernelAnswer>(&payload.0) {
            Ok(KernelAnswer::Done(_)) => None,
            Ok(KernelAnswer::Failed { cause, message }) => {
                let mut failure = Failure::new(KernelAnswer::cause(cause), message);
                match failure.cause {
                    Cause::OutOfMemory => failure.place = Some(MemoryPlace::Host),
                    Cause::ValueLost => {
                        lost.extend(
                            inspection
                                .inputs
                                .iter()
                                .filter(|(path, _)| !path.exists())
                                .map(|(_, task)| *task),
                        );
                        if lost.is_empty() {
                            // It is there and cannot be read: making it again is the way out.
                            lost.extend(inspection.inputs.iter().map(|(_, task)| *task));
                        }
                        lost.sort_unstable();
                        lost.dedup();
                    }
                    _ => {}
                }
                Some(failure)
            }
            Err(error) => {
                Some(Failure::new(Cause::WorkerDied, format!("its worker answered nonsense: {error}")))
            }
        },
    };
    let failure = failure.or_else(|| settle_outputs(inspection).err());
    let event = match failure {
        None => Event::Finished { attempt, usage },
        Some(failure) => Event::Failed { attempt, failure: Box::new(failure), usage },
    };
    (event, lost)
}

/// What could not be started, by name.
fn spawn_message(inspection: &Inspection, stage: SpawnStage, errno: i32) -> String {
    let error = std::io::Error::from_raw_os_error(errno);
    let missing = error.kind() == std::io::ErrorKind::NotFound;
    match (&inspection.command, stage) {
        (Some((program, _)), SpawnStage::Program) if missing && !program.contains('/') => {
            format!("cannot execute `{program}`: there is no such program on its PATH")
        }
        (Some((program, _)), SpawnStage::Program) => format!("cannot execute `{program}`: {error}"),
        (Some((_, dir)), SpawnStage::Directory) => {
            format!("cannot enter the working directory `{}`: {error}", dir.display())
        }
        _ => format!("{}: {error}", stage.sentence()),
    }
}

/// A json output up to this size is read to see whether it is one.
const JSON_CHECKED: u64 = 1 << 20;

/// Every output must be there; those that are kept are synced to the disk.
fn settle_outputs(inspection: &Inspection) -> Result<(), Failure> {
    let mut kept = Vec::new();
    for (index, (path, kind, durable)) in inspection.outputs.iter().enumerate() {
        let wrong = |what: String| {
            let mut failure = Failure::new(
                Cause::User,
                format!("{what}: write it to the path given by `{{out.{index}}}` or DUNNAGE_OUT_{index}"),
            );
            failure.exit_code = Some(0);
            failure
        };
        // Not through a link: it could point to what only we may read, and its reader would refuse it.
        let meta = std::fs::symlink_metadata(path)
            .map_err(|_| wrong(format!("ended well without its output {index} (`{}`)", kind.word())))?;
        let is_right = if *kind == OutputKind::Dir { meta.is_dir() } else { meta.is_file() };
        if !is_right {
            let what = if *kind == OutputKind::Dir { "directory" } else { "regular file" };
            return Err(wrong(format!("its output {index} is not a {what}")));
        }
        if *kind == OutputKind::Json
            && let Ok(Some(text)) = untrusted::read_small(path, JSON_CHECKED)
            && let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&text)
        {
            return Err(wrong(format!("its output {index} is not JSON ({error})")));
        }
        if *durable {
            kept.push(Located { path: path.clone(), size: meta.len(), medium: Medium::Disk });
        }
    }
    ValueStore::sync(&kept)
        .map_err(|error| Failure::new(Cause::User, format!("cannot sync its outputs to the disk: {error}")))
}
fn with_tail(mut failure: Failure, tail: &[u8]) -> Failure {
    let text = String::from_utf8_lossy(tail);
    let lines: Vec<&str> = text.lines().collect();
    failure.detail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
    if failure.cause == Cause::User && tells_of_gpu_memory(&failure.detail) {
        failure.cause = Cause::OutOfMemory;
        failure.place = Some(MemoryPlace::Gpu);
        failure.message = format!("out of GPU memory; {}", failure.message);
    }
    failure
}

/// What frameworks write when a GPU's memory is exhausted.
fn tells_of_gpu_memory(text: &str) -> bool {
    ["CUDA out of memory", "CUDA_ERROR_OUT_OF_MEMORY", "cudaErrorMemoryAllocation", "HIP out of memory"]
        .iter()
        .any(|words| text.contains(words))
}

/// The name of a signal, for people.
pub(crate) fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => "another signal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunnage_model::{Attempt, GraphId};

    fn inspection(tail: &str) -> Inspection {
        Inspection {
            attempt: GraphId(1).task(0).attempt(Attempt(1)),
            outputs: Vec::new(),
            inputs: Vec::new(),
            tail: tail.as_bytes().to_vec(),
            command: None,
        }
    }

    fn failure(inspection: &Inspection, ending: Ending) -> Failure {
        match judge(inspection, &Outcome::bare(ending)).0 {
            Event::Failed { failure, .. } => *failure,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_exhausted_gpu_is_told_from_the_log() {
        let found =
            failure(&inspection("torch.OutOfMemoryError: CUDA out of memory."), Ending::Exited { code: 1 });
        assert_eq!((found.cause, found.place), (Cause::OutOfMemory, Some(MemoryPlace::Gpu)));
        assert_eq!(failure(&inspection("boom"), Ending::Exited { code: 3 }).cause, Cause::User);
    }

    #[test]
    fn success_without_the_declared_output_is_a_failure() {
        let mut inspection = inspection("");
        inspection.outputs.push(("/nonexistent/value.json".into(), OutputKind::Json, false));
        let found = failure(&inspection, Ending::Exited { code: 0 });
        assert!(found.message.contains("without its output 0"), "{}", found.message);
    }
}
