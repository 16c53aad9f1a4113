//! `run`: a graph or one command, to its end, in this process or through a reachable daemon.

use super::args::RunArgs;
use super::context::{Context, print};
use super::exit::{DONE, FAILED, Failure, INTERRUPTED, REFUSED, USAGE};
use super::{job, logs, queries};
use crate::client::Client;
use crate::front::Front;
use crate::link::{Link, Outgoing};
use crate::render::progress::{Progress, ProgressState};
use crate::render::{summary, trace};
use crate::shell::Input;
use dunnage_wire::api::{FunctionDoc, ProgressDoc, StatusDoc};
use dunnage_wire::graph_file::{self, Decoded, Limits};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Ended local runs beyond this many are removed, the oldest first.
const RUNS_KEPT: usize = 50;

/// How long a cancellation is waited for.
const CANCEL_WITHIN: Duration = Duration::from_secs(10);

/// The file in a run's folder that says that it has ended.
const ENDED: &str = "ended";

/// Seconds since 1970.
pub(crate) fn now_s() -> f64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

pub(crate) async fn run(context: &Context, args: RunArgs) -> Result<i32, Failure> {
    let attached = !args.command.is_empty();
    if attached && args.graph.is_some() {
        return Err(
            Failure::new(USAGE, "a graph and a command cannot both be run").hint("leave one of them out")
        );
    }
    if let Some(path) = &args.trace {
        // Better known before the work than after it.
        std::fs::File::create(path).map_err(|error| {
            Failure::new(USAGE, format!("--trace: cannot write `{}`: {error}", path.display()))
        })?;
    }
    if let Some(id) = args.resume {
        return resume(context, id, args.trace.as_deref()).await;
    }
    let out = outgoing(context, &args)?;
    if !args.local && !context.wants_local() {
        match Client::connect(&context.config.socket).await {
            Ok(client) => {
                let mut link = Link::Remote(client);
                // Before anything is begun that a Ctrl-C is to end.
                let signals = Interrupts::new()?;
                let id = link.submit(out).await?;
                return finish(context, link, &id, attached, args.trace.as_deref(), signals).await;
            }
            Err(failure) if failure.code == REFUSED => return Err(failure),
            Err(_) => {}
        }
    }
    let (number, dir) = new_run(&runs_folder(context)?)?;
    let result = local(context, out, number, &dir, attached, args.trace.as_deref()).await;
    if let Err(failure) = &result
        && matches!(failure.code, USAGE | REFUSED)
    {
        // Nothing was accepted: nothing is left behind.
        drop(std::fs::remove_dir_all(&dir));
    }
    result
}

/// What is to be run, from the file or the command line.
fn outgoing(context: &Context, args: &RunArgs) -> Result<Outgoing, Failure> {
    let environment = job::environment(&args.request)?;
    let here = std::env::current_dir()
        .map_err(|error| Failure::new(FAILED, format!("the working directory is gone: {error}")))?;
    match &args.graph {
        None if args.command.is_empty() => Err(Failure::new(USAGE, "nothing to run")
            .hint("give a graph file, or a command after `--`: dunnage run -- echo hello")),
        None => {
            let json = job::graph_json(&args.request, &args.command)?;
            let decoded = decode(json, "the command line")?;
            Ok(Outgoing {
                decoded,
                file: "the command line".to_owned(),
                name: String::new(),
                dir: here,
                environment,
                held: false,
                id: None,
            })
        }
        Some(path) => graph_file_outgoing(context, path, environment, false),
    }
}

/// A graph file on its way.
pub(crate) fn graph_file_outgoing(
    context: &Context,
    path: &Path,
    environment: Vec<(String, String)>,
    held: bool,
) -> Result<Outgoing, Failure> {
    let decoded = graph_file::read(path, &limits(context))?;
    if decoded.spec.functions.iter().any(|function| !function.compensate.is_empty()) {
        // Better said now than missed when something has failed.
        eprintln!("dunnage: note: `compensate` commands are checked, and not yet run by this version");
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let dir = folder
        .canonicalize()
        .map_err(|error| Failure::new(USAGE, format!("cannot find `{}`: {error}", folder.display())))?;
    Ok(Outgoing {
        decoded,
        file: path.display().to_string(),
        name: name_of(path),
        dir,
        environment,
        held,
        id: None,
    })
}

/// The name of a graph that has none: that of its file.
pub(crate) fn name_of(path: &Path) -> String {
    path.file_stem().map_or_else(|| "graph".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// Reads a graph that was made here.
pub(crate) fn decode(json: String, file: &str) -> Result<Decoded, Failure> {
    graph_file::decode_text(json, "json", &Limits::default()).map_err(|(problems, places)| {
        Failure::rejected(file, &crate::accept::Rejected::Invalid(problems), &places)
    })
}

pub(crate) fn limits(context: &Context) -> Limits {
    crate::front::limits(context.config.functions_max, context.config.graph_bytes_max.0)
}

/// The folder of local runs, within a state directory of ours.
fn runs_folder(context: &Context) -> Result<PathBuf, Failure> {
    let base = &context.config.state_dir;
    let runs = base.join("runs");
    if !runs.is_dir() && !crate::setup::is_state_dir(base) {
        // Made if it is not there, and refused if it is somebody else's.
        match dunnage_store::StateDir::open(base) {
            // Another process makes it ours at this moment.
            Ok(_) | Err(dunnage_store::StoreError::Locked { .. }) => {}
            Err(error) => return Err(crate::setup::store_failure(&error)),
        }
    }
    std::fs::create_dir_all(&runs)
        .map_err(|error| Failure::new(USAGE, format!("cannot make `{}`: {error}", runs.display())))?;
    Ok(runs)
}

fn numbers(runs: &Path) -> Vec<u64> {
    let mut numbers: Vec<u64> = std::fs::read_dir(runs)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}

/// Makes the folder of a new run; its number is the id of the graph.
fn new_run(runs: &Path) -> Result<(u64, PathBuf), Failure> {
    let known = numbers(runs);
    let ended: Vec<u64> =
        known.iter().copied().filter(|n| runs.join(n.to_string()).join(ENDED).exists()).collect();
    for old in ended.iter().take(ended.len().saturating_sub(RUNS_KEPT)) {
        drop(std::fs::remove_dir_all(runs.join(old.to_string())));
    }
    let mut next = known.last().copied().unwrap_or(0) + 1;
    loop {
        let dir = runs.join(next.to_string());
        match std::fs::create_dir(&dir) {
            Ok(()) => return Ok((next, dir)),
            // Another run took the number at the same time.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => next += 1,
            Err(error) => {
                return Err(Failure::new(USAGE, format!("cannot make `{}`: {error}", dir.display()))
                    .hint("give a directory that you may write to with --state-dir"));
            }
        }
    }
}

/// A shell in this process.
struct Embedded {
    front: Front,
    rundir: PathBuf,
    task: tokio::task::JoinHandle<crate::shell::Stopped>,
}

async fn embedded(context: &Context, dir: &Path) -> Result<Embedded, Failure> {
    let setup = context.setup(dir.to_owned())?;
    let ready = crate::setup::prepare(&setup).await?;
    let front = Front {
        inputs: ready.sender,
        environments: ready.environments,
        ended_attempts: ready.shell.ended_attempts.clone(),
        rundir: ready.rundir.clone(),
        strategy: context.config.strategy.clone(),
        functions_max: context.config.functions_max,
    };
    Ok(Embedded { front, rundir: ready.rundir, task: tokio::spawn(ready.shell.run()) })
}

async fn local(
    context: &Context,
    mut out: Outgoing,
    number: u64,
    dir: &Path,
    attached: bool,
    trace: Option<&Path>,
) -> Result<i32, Failure> {
    let embedded = embedded(context, dir).await?;
    let inputs = embedded.front.inputs.clone();
    out.id = Some(number);
    let mut link = Link::Local(Box::new(embedded.front));
    let result = match Interrupts::new() {
        Ok(signals) => match link.submit(out).await {
            Ok(id) => finish(context, link, &id, attached, trace, signals).await,
            Err(failure) => Err(failure),
        },
        Err(failure) => Err(failure),
    };
    close(inputs, embedded.task, &embedded.rundir, dir).await;
    result
}

/// Ends the shell. When all has ended, nothing of the run stays in memory.
async fn close(
    inputs: tokio::sync::mpsc::UnboundedSender<Input>,
    task: tokio::task::JoinHandle<crate::shell::Stopped>,
    rundir: &Path,
    dir: &Path,
) {
    drop(inputs.send(Input::Stop { kill: false }));
    if let Ok(stopped) = task.await
        && stopped.idle
    {
        drop(std::fs::remove_dir_all(rundir));
        drop(std::fs::write(dir.join(ENDED), b""));
    }
}

/// Goes on with a run of which the process was killed, or that was interrupted or failed.
async fn resume(context: &Context, number: u64, trace: Option<&Path>) -> Result<i32, Failure> {
    let runs = runs_folder(context)?;
    let dir = runs.join(number.to_string());
    if !dir.is_dir() {
        let known: Vec<String> = numbers(&runs).iter().map(ToString::to_string).collect();
        return Err(Failure::new(USAGE, format!("there is no local run {number} in `{}`", runs.display()))
            .hint(if known.is_empty() {
                "there are none".to_owned()
            } else {
                format!("there are {}", known.join(", "))
            }));
    }
    drop(std::fs::remove_file(dir.join(ENDED)));
    let embedded = embedded(context, &dir).await?;
    let inputs = embedded.front.inputs.clone();
    let mut link = Link::Local(Box::new(embedded.front));
    let id = number.to_string();
    let state = link.status(&id).await.map(|doc| doc.state);
    let result = match state {
        Ok(state) => {
            if matches!(state.as_str(), "failed" | "cancelled")
                && let Link::Local(front) = &link
            {
                let by = dunnage_model::Owner(rustix::process::geteuid().as_raw());
                let id = dunnage_model::GraphId(number);
                front.ask(|reply| crate::shell::Command::Retry { id, function: None, by, reply }).await?;
            }
            finish(context, link, &id, false, trace, Interrupts::new()?).await
        }
        Err(failure) => Err(failure),
    };
    close(inputs, embedded.task, &embedded.rundir, &dir).await;
    result
}

/// Waits for the end and tells of it.
async fn finish(
    context: &Context,
    mut link: Link,
    id: &str,
    attached: bool,
    trace: Option<&Path>,
    signals: Interrupts,
) -> Result<i32, Failure> {
    let interrupted = if attached {
        attach(context, &mut link, id, signals).await?
    } else {
        watch(context, &mut link, id, true, signals).await?
    };
    let doc = link.status(id).await?;
    if let Some(path) = trace {
        write_trace(&doc, path)?;
    }
    if attached {
        let code = doc.functions.first().map_or(FAILED, command_code);
        if context.common.json {
            context.print(&doc, |_| String::new());
        } else if let Some(function) = doc.functions.first()
            && let Some(cause) = function.cause.as_deref()
            && !(cause == "user" || (cause == "cancelled" && interrupted))
            && let Some(message) = &function.message
        {
            let style = context.style_of(std::io::stderr().is_terminal());
            let what = if cause == "timeout" { "its time limit was over" } else { message.as_str() };
            let text = crate::render::errors::error(what, None, &style);
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
        }
        return Ok(if interrupted && code == DONE { INTERRUPTED } else { code });
    }
    context.print(&doc, |style| summary::summary(&doc, style));
    Ok(if interrupted { INTERRUPTED } else { queries::code_of(&doc) })
}

/// The exit code of an attached command: its own, or 128 and its signal.
fn command_code(function: &FunctionDoc) -> i32 {
    match (function.exit_code, function.signal, function.cause.as_deref()) {
        (Some(code), ..) => code,
        (None, Some(signal), _) => 128 + signal,
        // As a shell says that there is no such program, or that it may not be executed.
        (None, None, Some("spawn_failed")) => {
            if function.message.as_deref().is_some_and(|message| message.contains("Permission denied")) {
                126
            } else {
                127
            }
        }
        (None, None, _) if function.state == "succeeded" => DONE,
        (None, None, _) => FAILED,
    }
}

/// Says aloud that what is piped to us goes nowhere.
fn note_input() {
    let Ok(stat) = rustix::fs::fstat(std::io::stdin()) else { return };
    let kind = rustix::fs::FileType::from_raw_mode(stat.st_mode);
    let is_empty_file = kind == rustix::fs::FileType::RegularFile && stat.st_size == 0;
    if matches!(kind, rustix::fs::FileType::Fifo | rustix::fs::FileType::RegularFile) && !is_empty_file {
        eprintln!("dunnage: note: standard input is not passed on to the command; give it a file to read");
    }
}

/// Passes on what the command writes until it has ended. Returns whether it was interrupted.
async fn attach(
    context: &Context,
    link: &mut Link,
    id: &str,
    mut signals: Interrupts,
) -> Result<bool, Failure> {
    let json = context.common.json;
    note_input();
    let mut waiter = second(link, &context.config.socket).await?;
    let mut talker = second(link, &context.config.socket).await?;
    let follow = async {
        // The log is there as soon as the command was started.
        let mut told = false;
        let mut waited = 0;
        loop {
            let progress = talker.progress(id).await?;
            if progress.queued == 0 {
                break;
            }
            if waited >= 10 && !told {
                told = true;
                let reason = progress.reason.unwrap_or_else(|| "others go before it".to_owned());
                let _ = writeln!(std::io::stderr(), "dunnage: waits for its turn: {reason}");
            }
            waited += 1;
            tokio::time::sleep(Duration::from_millis(if waited < 10 { 5 } else { 100 })).await;
        }
        let streamed = logs::stream(&mut talker, id, "job", None, true, &mut |piece| {
            if json {
                let _ = std::io::stderr().lock().write_all(piece.as_bytes());
            } else {
                print(piece);
            }
        })
        .await;
        // A command that never started has no log.
        match streamed {
            Err(failure) if failure.code != USAGE => Err(failure),
            _ => Ok(()),
        }
    };
    let wait = waiter.wait(id);
    tokio::pin!(follow, wait);
    let mut interrupted = false;
    let mut followed = false;
    loop {
        tokio::select! {
            result = &mut follow, if !followed => {
                result?;
                followed = true;
            }
            result = &mut wait => {
                result?;
                if !followed {
                    // What was written last is still on its way.
                    drop(tokio::time::timeout(Duration::from_secs(5), &mut follow).await);
                }
                return Ok(interrupted);
            }
            () = signals.next() => {
                if interrupted {
                    return Ok(true);
                }
                interrupted = true;
                if let Ok(result) = tokio::time::timeout(CANCEL_WITHIN, link.cancel(id)).await {
                    result?;
                }
            }
        }
    }
}

/// Another way to the same place: a connection serves one question at a time.
async fn second(link: &Link, socket: &Path) -> Result<Link, Failure> {
    Ok(match link {
        Link::Local(front) => Link::Local(front.clone()),
        Link::Remote(_) => Link::Remote(Client::connect(socket).await?),
    })
}

/// Shows progress until a graph has ended. Returns whether it was interrupted. Who `owns` the graph, having
/// begun it in the foreground, cancels it with an interrupt and waits for its end; who only waits, leaves.
pub(crate) async fn watch(
    context: &Context,
    link: &mut Link,
    id: &str,
    owns: bool,
    mut signals: Interrupts,
) -> Result<bool, Failure> {
    let socket = &context.config.socket;
    let interactive = std::io::stderr().is_terminal() && !context.common.json;
    let mut waiter = second(link, socket).await?;
    let wait = waiter.wait(id);
    tokio::pin!(wait);
    let mut progress = Progress::new(context.style_of(std::io::stderr().is_terminal()), interactive);
    let mut tick = tokio::time::interval(Duration::from_millis(if interactive { 100 } else { 1000 }));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut interrupted = 0;
    let result = loop {
        tokio::select! {
            biased;
            result = &mut wait => break result,
            () = signals.next() => {
                interrupted += 1;
                progress.finish(&mut std::io::stderr());
                if !owns {
                    return Ok(true);
                }
                if interrupted == 1 {
                    let _ = writeln!(std::io::stderr(), "dunnage: ending the tasks of graph {id} (again to leave at once)");
                    // A daemon that does not answer must not keep us.
                    match tokio::time::timeout(CANCEL_WITHIN, link.cancel(id)).await {
                        Ok(result) => result?,
                        Err(_) => return Ok(true),
                    }
                } else {
                    return Ok(true);
                }
            }
            _ = tick.tick(), if !context.common.json => {
                if let Ok(doc) = link.progress(id).await {
                    progress.update(&state_of(doc), &mut std::io::stderr());
                }
            }
        }
    };
    progress.finish(&mut std::io::stderr());
    result?;
    Ok(interrupted > 0)
}

fn state_of(doc: ProgressDoc) -> ProgressState {
    ProgressState {
        name: doc.name,
        total: doc.functions,
        queued: doc.queued,
        running: doc.running,
        succeeded: doc.succeeded,
        failed: doc.failed,
        cancelled: doc.cancelled,
        elapsed_s: doc.elapsed_s,
        predicted_s: doc.predicted_s,
        running_names: doc.running_names,
        devices: doc.devices,
    }
}

/// Ctrl-C and its like.
pub(crate) struct Interrupts {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Interrupts {
    pub(crate) fn new() -> Result<Self, Failure> {
        let failed =
            |error: std::io::Error| Failure::new(FAILED, format!("cannot listen for signals: {error}"));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            hangup: signal(SignalKind::hangup()).map_err(failed)?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

/// Writes a trace for Chrome's and Perfetto's viewers.
pub(crate) fn write_trace(doc: &StatusDoc, path: &Path) -> Result<(), Failure> {
    let write = || -> std::io::Result<()> {
        let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
        trace::write(doc, &mut file)?;
        file.flush()
    };
    write().map_err(|error| {
        Failure::new(FAILED, format!("cannot write the trace `{}`: {error}", path.display()))
    })
}
