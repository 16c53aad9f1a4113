//! `bench plan`: strategies over instances.

use super::super::context::Context;
use super::super::exit::{DONE, FAILED, Failure, USAGE};
use crate::accept::{self, Rejected};
use crate::render::bench::{self, Amount, PlanBench, PlanRow};
use clap::{Args, ValueEnum};
use dunnage_model::{GraphSpec, Limits as GraphLimits, NodeSpec};
use dunnage_sim::bench_plan::{self, Limits};
use dunnage_sim::formats::{self, Case, Format};
use dunnage_strategies::planning::{MeanComm, PlanOptions};
use dunnage_wire::graph_file;
use serde::Serialize;
use std::io::{BufWriter, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The budget of a search where none is given.
const DEFAULT_SECONDS: f64 = 0.1;

/// `bench plan`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PlanArgs {
    /// The format of the instances
    #[arg(long, value_enum)]
    format: FormatName,
    /// Instance files, plain or gzip; may be repeated
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    instance: Vec<PathBuf>,
    /// How many identical processors; for stg, which does not say
    #[arg(long, value_name = "M")]
    processors: Option<u64>,
    /// Strategies by name, or `all`; `random` is always shown beside them
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "all")]
    strategies: Vec<String>,
    /// A search ends after so many milliseconds of its thread's CPU time [default: 100, where no budget is
    /// given]
    #[arg(long, value_name = "N")]
    budget_ms: Option<f64>,
    /// A search ends after so many whole schedules: the same on any machine
    #[arg(long, value_name = "N")]
    budget_schedules: Option<u64>,
    /// Where random choices begin
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// The mean time of a transfer: over pairs of different devices, or as the SAGA library takes it
    #[arg(long, value_enum, default_value_t = MeanCommName::Pairs, value_name = "CONVENTION")]
    mean_comm: MeanCommName,
    /// Write every schedule to this file, one JSON line a task
    #[arg(long, value_name = "FILE")]
    schedules: Option<PathBuf>,
    /// Write a page with tables and Gantt charts to this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// A format as the command line calls it.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum FormatName {
    /// Graph files of this project
    Dunnage,
    /// Devices of different speed with links (JSON)
    HeteroJson,
    /// Traces of WfCommons (JSON)
    Wfformat,
    /// Standard Task Graph Set (.stg)
    Stg,
    /// PSPLIB single-mode projects (.sm)
    Psplib,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Dunnage => Self::Dunnage,
            FormatName::HeteroJson => Self::HeteroJson,
            FormatName::Wfformat => Self::WfFormat,
            FormatName::Stg => Self::Stg,
            FormatName::Psplib => Self::Psplib,
        }
    }
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum MeanCommName {
    /// Over pairs of different devices, as the papers have it
    Pairs,
    /// Over all pairs, those of a device with itself among them
    Saga,
}

pub(crate) fn plan(context: &Context, args: &PlanArgs) -> Result<i32, Failure> {
    let strategies = super::strategies(&args.strategies)?;
    let limits = limits(args)?;
    let format = Format::from(args.format);
    if args.processors.is_some() && format != Format::Stg {
        return Err(Failure::new(
            USAGE,
            format!("--processors is for stg; a file of {} says itself what it runs on", format.name()),
        ));
    }
    // All are read before anything is planned or printed.
    let node = if format == Format::Dunnage { Some(machine(context)?) } else { None };
    let mut cases = Vec::with_capacity(args.instance.len());
    for path in &args.instance {
        cases.push(match &node {
            Some(node) => graph(context, path, node, args.seed)?,
            None => formats::read(path, format, args.processors)?,
        });
    }
    let mut lines = match &args.schedules {
        Some(path) => Some((BufWriter::new(create(path)?), path)),
        None => None,
    };
    let mut bench = PlanBench::new(args.html.is_some());
    let mut progress = Progress::new(cases.len() * strategies.len());
    let mut invalid = None;
    for case in &cases {
        let lower_bound = dunnage_strategies::planning::lower_bound(&case.instance);
        bench.begin();
        for strategy in &strategies {
            progress.step(&case.name, strategy);
            let outcome =
                bench_plan::plan(case, strategy, &limits, &super::thread_seconds).map_err(|why| {
                    progress.end();
                    Failure::new(FAILED, format!("{}: {strategy}: {why}", case.name))
                })?;
            if let Err(why) = &outcome.verdict {
                invalid.get_or_insert_with(|| format!("{}: {strategy}: {why}", case.name));
            }
            if let Some((out, path)) = &mut lines {
                write_schedule(out, case, strategy, &outcome.rows)
                    .map_err(|error| cannot_write(path, &error))?;
            }
            bench.add(case, row(case, strategy, lower_bound, &outcome), &outcome.rows);
        }
    }
    progress.end();
    if let Some((mut out, path)) = lines {
        out.flush().map_err(|error| cannot_write(path, &error))?;
    }
    if let Some(path) = &args.html {
        let page = bench::plan_html(&bench);
        create(path)?.write_all(page.as_bytes()).map_err(|error| cannot_write(path, &error))?;
    }
    context.print(&bench.rows, |style| bench::plan_text(&bench, style));
    match invalid {
        None => Ok(DONE),
        // The document says it by itself: `valid` is false.
        Some(_) if context.common.json => Ok(FAILED),
        Some(why) => Err(Failure::new(FAILED, format!("a schedule is not valid: {why}"))),
    }
}

fn limits(args: &PlanArgs) -> Result<Limits, Failure> {
    if let Some(budget) = args.budget_ms.filter(|budget| !budget.is_finite() || *budget <= 0.0) {
        return Err(Failure::new(USAGE, format!("--budget-ms must be above 0, not {budget}")));
    }
    if args.budget_schedules == Some(0) {
        return Err(Failure::new(USAGE, "--budget-schedules must be 1 or more"));
    }
    let seconds = match (args.budget_ms, args.budget_schedules) {
        (Some(budget), _) => Some(budget / 1e3),
        (None, Some(_)) => None,
        (None, None) => Some(DEFAULT_SECONDS),
    };
    let mean_comm = match args.mean_comm {
        MeanCommName::Pairs => MeanComm::Pairs,
        MeanCommName::Saga => MeanComm::Saga,
    };
    Ok(Limits {
        seconds,
        schedules: args.budget_schedules,
        options: PlanOptions { seed: args.seed, mean_comm, ..PlanOptions::default() },
    })
}

fn row(case: &Case, strategy: &str, lower_bound: f64, outcome: &bench_plan::Outcome) -> PlanRow {
    let amount = |time| Amount::new(time, case.facts.is_integral());
    PlanRow {
        instance: case.name.clone(),
        format: case.format.name(),
        strategy: strategy.to_owned(),
        tasks: case.facts.names.count(),
        makespan: amount(outcome.makespan),
        lower_bound: amount(lower_bound),
        plan_ms: outcome.seconds * 1e3,
        schedules: outcome.schedules,
        valid: outcome.verdict.is_ok(),
        why: outcome.why.clone(),
        invalid: outcome.verdict.clone().err(),
    }
}

/// The machine that graph files are planned for.
fn machine(context: &Context) -> Result<Arc<NodeSpec>, Failure> {
    let look = crate::setup::look(&context.selection()?, &context.config)
        .map_err(|error| Failure::new(USAGE, error.to_string()))?;
    Ok(Arc::new(look.node))
}

/// A graph file, read and checked as `plan` does it.
fn graph(context: &Context, path: &Path, node: &Arc<NodeSpec>, seed: u64) -> Result<Case, Failure> {
    let limits = super::super::run::limits(context);
    let decoded = if is_gzip(path) { unpacked(path, &limits)? } else { graph_file::read(path, &limits)? };
    let (mut spec, places): (GraphSpec, _) = (decoded.spec, decoded.places);
    let file = path.display().to_string();
    spec.name.get_or_insert_with(|| super::super::run::name_of(path));
    let limits = GraphLimits { functions: context.config.functions_max, ..GraphLimits::default() };
    let rejected = |rejected: Rejected| Failure::rejected(&file, &rejected, &places);
    let graph = Arc::new(accept::build(spec, &limits).map_err(rejected)?);
    let mut core = dunnage_core::Scheduler::new(dunnage_strategies::strategies());
    core.replay(dunnage_model::Time::ZERO, dunnage_model::Event::NodeSeen(Arc::clone(node)));
    accept::check_machine(&graph, core.ledger()).map_err(rejected)?;
    Ok(formats::graph(&file, graph, Arc::clone(node), seed)?)
}

/// Whether a file begins as gzip does. What cannot be read is told by who reads it as it stands; a pipe is not
/// looked into, since its beginning would then be gone.
fn is_gzip(path: &Path) -> bool {
    let mut head = [0; 2];
    path.is_file()
        && std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok()
        && head == [0x1f, 0x8b]
}

/// A compressed graph file; what counts for its limits is what it holds.
fn unpacked(path: &Path, limits: &graph_file::Limits) -> Result<graph_file::Decoded, Failure> {
    let bytes = formats::read_bytes(path)?;
    if bytes.len() as u64 > limits.bytes {
        return Err(graph_file::FileError::TooLarge { path: path.to_owned(), max: limits.bytes }.into());
    }
    let file = path.display().to_string();
    let text = String::from_utf8(bytes)
        .map_err(|_| formats::FormatError::new(&file, "", "what is compressed is not text (UTF-8)"))?;
    let plain = if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz")) {
        path.with_extension("")
    } else {
        path.to_owned()
    };
    let extension = plain.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    graph_file::decode_text(text, extension, limits)
        .map_err(|(problems, places)| Failure::rejected(&file, &Rejected::Invalid(problems), &places))
}

fn create(path: &Path) -> Result<std::fs::File, Failure> {
    std::fs::File::create(path)
        .map_err(|error| Failure::new(USAGE, format!("cannot write `{}`: {error}", path.display())))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(FAILED, format!("cannot write `{}`: {error}", path.display()))
}

/// A line of `--schedules`.
#[derive(Serialize)]
struct Line<'a> {
    instance: &'a str,
    strategy: &'a str,
    task: TaskName,
    device: Option<u32>,
    start: Amount,
    end: Amount,
}

/// A task by its number or its name in the file.
#[derive(Serialize)]
#[serde(untagged)]
enum TaskName {
    Number(u64),
    Name(String),
}

fn write_schedule(
    out: &mut impl Write,
    case: &Case,
    strategy: &str,
    rows: &[dunnage_sim::validate::Row],
) -> std::io::Result<()> {
    let amount = |time| Amount::new(time, case.facts.is_integral());
    for row in rows {
        let task = match &case.facts.names {
            formats::TaskNames::Numbers { first, count } if row.task < *count => {
                TaskName::Number(first + u64::from(row.task))
            }
            formats::TaskNames::Names(names) => match names.get(row.task as usize) {
                Some(name) => TaskName::Name(name.clone()),
                None => continue,
            },
            formats::TaskNames::Numbers { .. } => continue,
        };
        let line = Line {
            instance: &case.name,
            strategy,
            task,
            device: row.device,
            start: amount(row.start),
            end: amount(row.end),
        };
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// How far it is, on a terminal, where it takes long.
struct Progress {
    shown: bool,
    terminal: bool,
    done: usize,
    all: usize,
    begin: std::time::Instant,
    last: std::time::Instant,
}

/// Nothing is said of what is over sooner, and not more often than this.
const QUIET: std::time::Duration = std::time::Duration::from_millis(500);
const EVERY: std::time::Duration = std::time::Duration::from_millis(100);

impl Progress {
    fn new(all: usize) -> Self {
        let now = std::time::Instant::now();
        let terminal = std::io::stderr().is_terminal();
        Self { shown: false, terminal, done: 0, all, begin: now, last: now }
    }

    fn step(&mut self, instance: &str, strategy: &str) {
        self.done += 1;
        let now = std::time::Instant::now();
        if !self.terminal || now - self.begin < QUIET || now - self.last < EVERY {
            return;
        }
        (self.last, self.shown) = (now, true);
        let name: String = instance
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .chars()
            .filter(|c| !c.is_control())
            .take(30)
            .collect();
        let _ = write!(std::io::stderr(), "\r\x1b[K{} of {}: {name}, {strategy}", self.done, self.all);
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
