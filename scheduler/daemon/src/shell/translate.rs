//! From a decision to start to what the engine is told: words expanded, paths chosen, environment made.

use super::Meta;
use crate::kernel_call::{CallArg, KernelCall, kind_code};
use crate::literal;
use dunnage_core::GraphRun;
use dunnage_devices::{GpuEnv, cpus_near, environment};
use dunnage_exec::values::{Medium, ValueStore};
use dunnage_exec::{AttemptSpec, EnvRef, Work, WorkerKey};
use dunnage_model::{
    Arg, AttemptId, Code, Extras, Graph, NodeSpec, OutputKind, Placement, Span, TaskState, ValueId, expand,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a task has after its signal where nothing else was said.
const GRACE: Span = Span::secs(5);

/// What a json output of a kernel is promised of the memory for values.
const SMALL: u64 = 16 << 10;

/// SIGTERM.
const SIGNAL: i32 = 15;

/// What a translation may look at.
pub(crate) struct Context<'a> {
    pub(crate) run: &'a GraphRun,
    pub(crate) meta: &'a Meta,
    pub(crate) node: &'a NodeSpec,
    pub(crate) values: &'a ValueStore,
    /// Where this attempt writes its outputs.
    pub(crate) outputs: &'a [PathBuf],
    pub(crate) gpu_env: GpuEnv,
    pub(crate) token: &'a str,
    /// When the attempt's time is over, in seconds since 1970.
    pub(crate) deadline: Option<f64>,
    pub(crate) scratch: &'a Path,
}

/// Why an attempt cannot be started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum NoStart {
    /// Values that it reads are gone; these tasks make them.
    Lost(Vec<u32>),
    /// Something else, in words.
    Failed(String),
}

impl From<String> for NoStart {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// What the engine is told to start.
pub(crate) fn attempt_spec(
    context: &Context<'_>,
    id: AttemptId,
    placement: &Placement,
) -> Result<AttemptSpec, NoStart> {
    let graph = &context.run.graph;
    let task = id.task.index;
    let function = graph.function(task);
    let none = Extras::default();
    let extras = function.extras.as_deref().unwrap_or(&none);
    let args = arguments(context, task)?;
    let outputs = context.outputs;
    let gpus: Vec<_> = placement.gpus.iter().map(|grant| grant.device).collect();
    let (signal, grace) = ending(graph, task);
    let work = match &function.code {
        Code::Kernel { name, params } => {
            let value = |word: &str| context.value(word, id, placement, &args, outputs, &mut None);
            let params = serde_json::Value::Object(literal::params(params, &value));
            let call = KernelCall {
                kernel: name.clone(),
                params: params.to_string(),
                args: args.into_iter().map(Argument::into_call).collect(),
                outputs: outputs
                    .iter()
                    .zip(&function.outputs)
                    .map(|(path, output)| (path.clone(), kind_code(output.kind)))
                    .collect(),
                threads: placement.cpus.threads(),
                donated: Vec::new(),
            };
            let payload =
                rmp_serde::to_vec(&call).map_err(|error| format!("cannot encode the call: {error}"))?;
            Work::Kernel { payload, worker: WorkerKey::default() }
        }
        Code::Command(words) => command(context, id, placement, extras, words, &args, outputs)?,
        Code::Python { .. } => {
            return Err(NoStart::Failed("Python functions are not run by this version".to_owned()));
        }
    };
    let affinity = if gpus.is_empty() { None } else { cpus_near(context.node, &gpus, placement.cpus) };
    Ok(AttemptSpec {
        id,
        work,
        log: true,
        cores: placement.cpus,
        affinity,
        memory_limit: placement.memory_limit.map(|limit| limit.0),
        user: context.meta.user.clone(),
        signal,
        grace,
    })
}

/// The signal that asks a task to end, and how long it then has.
pub(crate) fn ending(graph: &Graph, task: u32) -> (i32, Duration) {
    let extras = graph.function(task).extras.as_deref();
    let signal = extras.and_then(|extras| extras.signal).unwrap_or(SIGNAL);
    let grace = extras.and_then(|extras| extras.grace).unwrap_or(GRACE);
    (signal, grace.to_std())
}

/// Chooses where an attempt writes each of its outputs. Only what nobody needs after the graph may lie in
/// memory, and only where its size was declared.
pub(crate) fn choose_outputs(values: &mut ValueStore, graph: &Graph, id: AttemptId) -> Vec<PathBuf> {
    let function = graph.function(id.task.index);
    let kernel = matches!(function.code, Code::Kernel { .. });
    (0_u16..)
        .zip(&function.outputs)
        .map(|(index, output)| {
            let value = ValueId { producer: id.task, index };
            let durable = graph.is_kept(id.task.index, index);
            // A document of a kernel is small enough to be taken as of known size.
            let small = kernel && output.kind == OutputKind::Json;
            let size = output.size.map(|size| size.0).or(small.then_some(SMALL));
            let medium = values.choose(value, size, durable);
            values.path(value, id.attempt, output.kind, medium)
        })
        .collect()
}

/// Where an attempt has written each of its outputs, or would have: after a restart.
pub(crate) fn find_outputs(values: &ValueStore, graph: &Graph, id: AttemptId) -> Vec<PathBuf> {
    let function = graph.function(id.task.index);
    (0_u16..)
        .zip(&function.outputs)
        .map(|(index, output)| {
            let value = ValueId { producer: id.task, index };
            let found = values.locate(value, id.attempt, output.kind).ok().flatten();
            found
                .map_or_else(|| values.path(value, id.attempt, output.kind, Medium::Disk), |found| found.path)
        })
        .collect()
}

fn command(
    context: &Context<'_>,
    id: AttemptId,
    placement: &Placement,
    extras: &Extras,
    words: &[String],
    args: &[Argument],
    outputs: &[PathBuf],
) -> Result<Work, String> {
    let mut port = None;
    let mut argv = Vec::with_capacity(words.len() + extras.extra_args.len());
    for word in words.iter().chain(&extras.extra_args) {
        // A word that is all of a family becomes one word an instance.
        let family = word
            .strip_prefix("{arg.")
            .and_then(|rest| rest.strip_suffix('}'))
            .and_then(|n| n.parse::<usize>().ok())
            .and_then(|n| args.get(n));
        if let Some(Argument::Many(paths)) = family {
            argv.extend(paths.iter().map(|path| path.display().to_string()));
            continue;
        }
        argv.push(expand_word(context, word, id, placement, args, outputs, &mut port));
    }
    let own =
        |text: &str, port: &mut Option<u16>| expand_word(context, text, id, placement, args, outputs, port);
    let mut overrides = variables(context, id, placement, args, outputs)?;
    for (name, value) in &extras.env {
        let value = own(value, &mut port);
        overrides.push((name.clone(), value));
    }
    let dir = match &extras.dir {
        Some(dir) => context.meta.dir.join(own(dir, &mut port)),
        None => context.meta.dir.clone(),
    };
    Ok(Work::Command { argv, dir, env: EnvRef { base: context.meta.base.clone(), overrides } })
}

fn expand_word(
    context: &Context<'_>,
    word: &str,
    id: AttemptId,
    placement: &Placement,
    args: &[Argument],
    outputs: &[PathBuf],
    port: &mut Option<u16>,
) -> String {
    if !word.contains('{') {
        return word.to_owned();
    }
    if word.contains("{port}") && port.is_none() {
        *port = free_port();
    }
    let port = *port;
    expand(word, |name| context.value(name, id, placement, args, outputs, &mut port.clone()))
}

/// The variables that every command gets, besides those of the submitter and of the function.
fn variables(
    context: &Context<'_>,
    id: AttemptId,
    placement: &Placement,
    args: &[Argument],
    outputs: &[PathBuf],
) -> Result<Vec<(String, String)>, String> {
    let gpus: Vec<_> = placement.gpus.iter().map(|grant| grant.device).collect();
    let mut vars = environment(context.node, &gpus, placement.cpus, context.gpu_env);
    let mut set = |name: &str, value: String| vars.push((name.to_owned(), value));
    set("DUNNAGE_GRAPH", id.task.graph.to_string());
    set("DUNNAGE_GRAPH_NAME", context.run.graph.name.clone());
    set("DUNNAGE_FUNCTION", context.run.graph.task_name(id.task.index));
    set("DUNNAGE_ATTEMPT", id.attempt.0.to_string());
    set("DUNNAGE_ATTEMPT_ID", format!("{}:{id}", context.token));
    set("DUNNAGE_REPORT", context.scratch.join(format!("{id}.report")).display().to_string());
    if let Some(deadline) = context.deadline {
        set("DUNNAGE_DEADLINE", format!("{deadline:.3}"));
    }
    if let Some(trace) = &context.meta.trace {
        set("TRACEPARENT", trace.clone());
    }
    for (index, arg) in args.iter().enumerate() {
        let value = match arg {
            Argument::One(path) => path.display().to_string(),
            Argument::Many(paths) => {
                // A list may be longer than an environment: it goes through a file.
                let file = context.scratch.join(format!("{id}.arg{index}.json"));
                let list: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
                let text = serde_json::to_string(&list).map_err(|error| error.to_string())?;
                std::fs::write(&file, text)
                    .map_err(|error| format!("cannot write `{}`: {error}", file.display()))?;
                file.display().to_string()
            }
        };
        set(&format!("DUNNAGE_ARG_{index}"), value);
    }
    for (index, path) in outputs.iter().enumerate() {
        set(&format!("DUNNAGE_OUT_{index}"), path.display().to_string());
    }
    Ok(vars)
}

/// A value, or those of a family, as paths.
#[derive(Clone, Debug)]
pub(crate) enum Argument {
    One(PathBuf),
    Many(Vec<PathBuf>),
}

impl Argument {
    fn into_call(self) -> CallArg {
        match self {
            Self::One(path) => CallArg::One(path),
            Self::Many(paths) => CallArg::Many(paths),
        }
    }
}

/// The paths of the values that a task reads, or the tasks whose values are gone.
fn arguments(context: &Context<'_>, task: u32) -> Result<Vec<Argument>, NoStart> {
    let graph = &context.run.graph;
    let mut lost = Vec::new();
    let mut path = |producer: u32, index: u16| {
        let found = value_path(context.values, context.run, producer, index);
        if found.is_none() {
            lost.push(producer);
        }
        found
    };
    let arguments: Vec<Argument> = graph
        .args(task)
        .iter()
        .filter_map(|arg| match arg {
            Arg::Value { task, index } => path(*task, *index).map(Argument::One),
            Arg::Family { group, index, succeeded } => Some(Argument::Many(
                graph
                    .members(*group)
                    .filter(|member| {
                        !succeeded || context.run.slots()[*member as usize].state == TaskState::Succeeded
                    })
                    .filter_map(|member| path(member, *index))
                    .collect(),
            )),
        })
        .collect();
    lost.sort_unstable();
    lost.dedup();
    if lost.is_empty() { Ok(arguments) } else { Err(NoStart::Lost(lost)) }
}

/// Where a value of a task that succeeded lies.
pub(crate) fn value_path(values: &ValueStore, run: &GraphRun, task: u32, index: u16) -> Option<PathBuf> {
    let slot = run.slots().get(task as usize)?;
    let winner = slot.record.as_ref()?.winner?;
    let kind = run.graph.function(task).outputs.get(usize::from(index))?.kind;
    let value = ValueId { producer: run.id.task(task), index };
    values.locate(value, winner, kind).ok().flatten().map(|found| found.path)
}

impl Context<'_> {
    /// The value of a placeholder.
    fn value(
        &self,
        name: &str,
        id: AttemptId,
        placement: &Placement,
        args: &[Argument],
        outputs: &[PathBuf],
        port: &mut Option<u16>,
    ) -> Option<String> {
        let nth = |number: &str| number.parse::<usize>().ok();
        match name {
            "graph" => return Some(id.task.graph.to_string()),
            "id" => return Some(self.run.graph.task_name(id.task.index)),
            "attempt" => return Some(id.attempt.0.to_string()),
            "gpus" => return Some(placement.gpus.len().to_string()),
            "cpus" => return Some(placement.cpus.threads().to_string()),
            "port" => return port.or_else(free_port).map(|port| port.to_string()),
            _ => {}
        }
        if let Some(number) = name.strip_prefix("arg.") {
            return match args.get(nth(number)?)? {
                Argument::One(path) => Some(path.display().to_string()),
                Argument::Many(_) => None,
            };
        }
        if let Some(number) = name.strip_prefix("out.") {
            return Some(outputs.get(nth(number)?)?.display().to_string());
        }
        if let Some(input) = name.strip_prefix("input.") {
            let path = self.run.graph.inputs.get(input)?;
            return Some(self.meta.dir.join(path).display().to_string());
        }
        self.run
            .graph
            .bindings(id.task.index)
            .into_iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.to_owned())
    }
}

/// A port that nobody listens on at this moment.
fn free_port() -> Option<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).ok()?;
    Some(listener.local_addr().ok()?.port())
}

/// The inputs of a graph that are not there, by name: known before anything starts.
pub(crate) fn missing_inputs(graph: &Graph, dir: &Path) -> BTreeMap<String, PathBuf> {
    graph
        .inputs
        .iter()
        .map(|(name, path)| (name.clone(), dir.join(path)))
        .filter(|(_, path)| !path.exists())
        .collect()
}
