//! Carrying decisions out: the engine, the files of values, the logs.

use super::outcome::{Inspection, TAIL_BYTES};
use super::translate::{self, Context, NoStart};
use super::{Meta, ShellOptions};
use dunnage_core::{GraphRun, Scheduler};
use dunnage_exec::logs::{EndedLog, LogKeeper};
use dunnage_exec::values::ValueStore;
use dunnage_exec::{AttemptSpec, Engine, LocalEngine, MemoryControl, Outcome};
use dunnage_model::{Arg, AttemptId, Code, NodeSpec, Placement, TaskState, ValueId};
use dunnage_store::{LogRow, Segments, StoreClock};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A log is cut into parts of this many bytes, each with its own checksum; there may be 256.
const LOG_PART: usize = 4 << 20;

/// At most this much of a report is read.
const REPORT_MAX: u64 = 64 << 10;

/// What the loop carries decisions out with.
pub(crate) struct Effects {
    pub(crate) values: ValueStore,
    pub(crate) logs: LogKeeper,
    /// Where running attempts write their outputs.
    pub(crate) outputs: BTreeMap<AttemptId, Vec<PathBuf>>,
    pub(crate) segments: Segments,
    /// Where lists of arguments and reports of attempts lie while they run.
    pub(crate) scratch: PathBuf,
    pub(crate) rundir: PathBuf,
    /// How much of a log is kept.
    pub(crate) log_max: u64,
    /// Ended attempts whose outputs are being looked at.
    pub(crate) inspecting: usize,
    pub(crate) memory: MemoryControl,
    /// Attempts that were given files in `scratch`.
    pub(crate) with_files: BTreeSet<AttemptId>,
    /// Attempts whose logs are copied to disk as they grow.
    pub(crate) kept_logs: BTreeSet<AttemptId>,
}

impl Effects {
    pub(crate) fn is_busy(&self) -> bool {
        self.inspecting > 0
    }

    /// How memory limits are held, for people.
    pub(crate) const fn memory_control(&self) -> &'static str {
        match self.memory {
            MemoryControl::CgroupV2 => "cgroup v2",
            MemoryControl::CgroupV1 => "cgroup v1",
            MemoryControl::Watched => "watched",
        }
    }

    pub(crate) fn submit(engine: &mut LocalEngine, batch: Vec<AttemptSpec>) {
        if !batch.is_empty() {
            engine.submit(batch);
        }
    }

    pub(crate) fn kill(engine: &mut LocalEngine, core: &Scheduler, attempt: AttemptId) {
        if let Some(run) = core.graph(attempt.task.graph) {
            let (signal, grace) = translate::ending(&run.graph, attempt.task.index);
            engine.cancel(attempt, signal, grace);
        }
    }

    /// What the engine is told to start.
    pub(crate) fn spec(
        &mut self,
        run: &GraphRun,
        meta: &Meta,
        node: &NodeSpec,
        options: &ShellOptions,
        clock: &StoreClock,
        attempt: AttemptId,
        placement: &Placement,
    ) -> Result<AttemptSpec, NoStart> {
        let function = run.graph.function(attempt.task.index);
        let deadline = function.timeout.map(|timeout| clock.wall_us() as f64 / 1e6 + timeout.as_secs_f64());
        let reads_family =
            run.graph.args(attempt.task.index).iter().any(|arg| matches!(arg, Arg::Family { .. }));
        if matches!(function.code, Code::Command(_)) && reads_family {
            self.with_files.insert(attempt);
        }
        let outputs = translate::choose_outputs(&mut self.values, &run.graph, attempt);
        let context = Context {
            run,
            meta,
            node,
            values: &self.values,
            outputs: &outputs,
            gpu_env: options.gpu_env,
            token: &options.token,
            deadline,
            scratch: &self.scratch,
        };
        let spec = translate::attempt_spec(&context, attempt, placement)?;
        if !outputs.is_empty() {
            self.outputs.insert(attempt, outputs);
        }
        Ok(spec)
    }

    /// Makes the folders for the values of a graph, if it has any.
    pub(crate) fn prepare(&self, run: &GraphRun, meta: &Meta) -> Result<(), String> {
        if run.graph.functions().iter().all(|function| function.outputs.is_empty()) {
            return Ok(());
        }
        self.values
            .prepare(run.id, meta.user.as_ref())
            .map_err(|error| format!("cannot make the folder for the values of graph {}: {error}", run.id))
    }

    /// What is to be looked at when an attempt has ended.
    pub(crate) fn inspection(
        &mut self,
        run: &GraphRun,
        meta: Option<&Meta>,
        attempt: AttemptId,
        outcome: &Outcome,
    ) -> Inspection {
        let task = attempt.task.index;
        let function = run.graph.function(task);
        let outputs = self
            .outputs
            .remove(&attempt)
            .unwrap_or_else(|| translate::find_outputs(&self.values, &run.graph, attempt))
            .into_iter()
            .zip(&function.outputs)
            .enumerate()
            .map(|(index, (path, output))| (path, output.kind, run.graph.is_kept(task, index as u16)))
            .collect();
        let mut inputs = Vec::new();
        if !outcome.is_success() && matches!(function.code, Code::Kernel { .. }) {
            for arg in run.graph.args(task) {
                match arg {
                    Arg::Value { task, index } => {
                        inputs.extend(
                            translate::value_path(&self.values, run, *task, *index).map(|path| (path, *task)),
                        );
                    }
                    Arg::Family { group, index, .. } => {
                        for member in run.graph.members(*group) {
                            if run.slots()[member as usize].state == TaskState::Succeeded {
                                inputs.extend(
                                    translate::value_path(&self.values, run, member, *index)
                                        .map(|path| (path, member)),
                                );
                            }
                        }
                    }
                }
            }
        }
        let tail = if outcome.is_success() {
            Vec::new()
        } else {
            self.logs.tail(attempt, TAIL_BYTES).map(|chunk| chunk.bytes).unwrap_or_default()
        };
        let command = match &function.code {
            Code::Command(words) => words.first().map(|program| {
                let dir =
                    function.extras.as_deref().and_then(|extras| extras.dir.as_deref()).unwrap_or_default();
                (program.clone(), meta.map_or_else(PathBuf::new, |meta| meta.dir.join(dir)))
            }),
            Code::Kernel { .. } | Code::Python { .. } => None,
        };
        Inspection { attempt, outputs, inputs, tail, command }
    }

    pub(crate) fn log_path(&self, attempt: AttemptId) -> PathBuf {
        dunnage_exec::local::log_path(&self.rundir, attempt)
    }

    /// What a task reported of itself: lines of a name and a number.
    pub(crate) fn reports(&mut self, attempt: AttemptId) -> Vec<(String, f64)> {
        if self.with_files.remove(&attempt) {
            for index in 0..64 {
                let file = self.scratch.join(format!("{attempt}.arg{index}.json"));
                drop(std::fs::remove_file(file));
            }
        }
        let file = self.scratch.join(format!("{attempt}.report"));
        let opened = crate::untrusted::open_file(&file);
        let Ok(open) = opened else {
            // What is there and is no report goes as well.
            if file.symlink_metadata().is_ok() {
                drop(std::fs::remove_file(&file));
            }
            return Vec::new();
        };
        let mut text = String::new();
        let read = open.take(REPORT_MAX).read_to_string(&mut text);
        drop(std::fs::remove_file(&file));
        if read.is_err() {
            return Vec::new();
        }
        text.lines()
            .filter_map(|line| {
                let (name, value) = line.trim().rsplit_once([' ', '='])?;
                Some((name.trim().to_owned(), value.trim().parse().ok()?))
            })
            .collect()
    }

    /// Brings the log of an ended attempt to disk. What lies in memory is removed later, when its place is
    /// written down.
    pub(crate) fn pack_log(&mut self, attempt: AttemptId) -> Vec<LogRow> {
        let packed =
            if self.kept_logs.remove(&attempt) { self.pack_long(attempt) } else { self.pack_short(attempt) };
        packed.unwrap_or_else(|error| {
            eprintln!("dunnage: the log of attempt {attempt} stays where it is: {error}");
            Vec::new()
        })
    }

    fn pack_short(&mut self, attempt: AttemptId) -> Result<Vec<LogRow>, String> {
        let path = self.log_path(attempt);
        let read = || -> std::io::Result<(Vec<u8>, u64)> {
            let mut file = std::fs::File::open(&path)?;
            // Of a log that is too long the end is kept.
            let cut = file.metadata()?.len().saturating_sub(self.log_max);
            file.seek(SeekFrom::Start(cut))?;
            let mut bytes = Vec::new();
            file.take(self.log_max).read_to_end(&mut bytes)?;
            Ok((bytes, cut))
        };
        let (bytes, cut) = match read() {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(format!("cannot read `{}`: {error}", path.display())),
        };
        self.append(attempt, &bytes, cut)
    }

    fn pack_long(&mut self, attempt: AttemptId) -> Result<Vec<LogRow>, String> {
        let mut log = EndedLog::Bytes(Vec::new());
        self.logs
            .ended(attempt, |_, ended| {
                log = ended;
                Ok(())
            })
            .map_err(|error| error.to_string())?;
        match log {
            EndedLog::Bytes(bytes) => self.append(attempt, &bytes, 0),
            EndedLog::Files { paths, cut, .. } => {
                let mut bytes = Vec::new();
                for path in &paths {
                    let part =
                        std::fs::read(path).map_err(|error| format!("`{}`: {error}", path.display()))?;
                    bytes.extend(part);
                }
                let rows = self.append(attempt, &bytes, cut)?;
                LogKeeper::discard(&paths).map_err(|error| error.to_string())?;
                Ok(rows)
            }
        }
    }

    fn append(&mut self, attempt: AttemptId, bytes: &[u8], truncated: u64) -> Result<Vec<LogRow>, String> {
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        let parts: Vec<&[u8]> = bytes.chunks(LOG_PART).collect();
        let places = self.segments.append(&parts).map_err(|error| error.in_full())?;
        // The parts of a log are told apart by their numbers, which the index calls streams.
        Ok((0_u8..).zip(places).map(|(stream, place)| LogRow { attempt, stream, place, truncated }).collect())
    }

    /// Copies the logs of attempts that have lived for a while to disk.
    pub(crate) fn keep_logs(&mut self, old: impl Iterator<Item = AttemptId>) {
        let now = Instant::now();
        for attempt in old {
            if self.kept_logs.insert(attempt) {
                self.logs.started(attempt, now.checked_sub(Duration::from_secs(1)).unwrap_or(now));
            }
        }
        if let (_, Err(error)) = self.logs.tick(now) {
            eprintln!("dunnage: cannot copy logs to disk: {error}");
        }
    }

    /// Removes the values of a task that nobody reads any more.
    pub(crate) fn free(&mut self, run: &GraphRun, task: u32) {
        let Some(winner) = run.slots()[task as usize].record.as_ref().and_then(|record| record.winner) else {
            return;
        };
        for (index, output) in (0_u16..).zip(&run.graph.function(task).outputs) {
            if run.graph.is_kept(task, index) {
                continue;
            }
            let value = ValueId { producer: run.id.task(task), index };
            if let Err(error) = self.values.free(value, winner, output.kind) {
                eprintln!("dunnage: cannot remove the value {value}: {error}");
            }
        }
    }
}
