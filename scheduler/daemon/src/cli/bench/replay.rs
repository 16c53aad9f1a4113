//! `bench replay`: traces of jobs through policies of the queue and strategies.

use super::super::context::Context;
use super::super::exit::{DONE, Failure, USAGE};
use crate::render::bench::{ReplayDoc, replay_html, replay_text};
use crate::shell::graph_of;
use clap::{Args, ValueEnum};
use dunnage_model::{GraphId, Owner};
use dunnage_sim::formats::read_bytes;
use dunnage_sim::{
    JOBS_MAX, POLICIES, Recorded, ReplayOptions, Throughputs, Times, Trace, TraceError, eight_gpus,
    read_gavel, read_journal, read_tiresias, replay,
};
use dunnage_store::{History, Reader};
use dunnage_wire::journal::decode_facts;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// `bench replay`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReplayArgs {
    /// The trace, plain or gzip; for journal a state directory or the journal in it
    #[arg(long, value_name = "FILE")]
    trace: PathBuf,
    /// The format of the trace
    #[arg(long, value_enum)]
    format: TraceFormat,
    /// For gavel: the table of throughputs (JSON), which says how fast each kind of job is
    #[arg(long, value_name = "FILE")]
    throughputs: Option<PathBuf>,
    /// For gavel: which kind of GPU of the table the machine has
    #[arg(long, value_name = "KIND", default_value = "v100")]
    gpu: String,
    /// Stretch arrivals so that the work is this share of what the machine can do
    #[arg(long, value_name = "SHARE")]
    load: Option<f64>,
    /// What is told of times: the truth times a lognormal factor with this deviation of its logarithm; 0 is
    /// the truth
    #[arg(long, value_name = "S", default_value_t = 1.0, conflicts_with = "times")]
    error: f64,
    /// What is told of times instead
    #[arg(long, value_enum, value_name = "WHAT")]
    times: Option<TimesName>,
    /// Policies by name, or `all`, the default where no strategies are named
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    policies: Vec<String>,
    /// Strategies by name, or `all`, each under the policy `default`; `random` is always shown beside them
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    strategies: Vec<String>,
    /// Who places within a policy; a graph of a journal brings its own
    #[arg(long, value_name = "NAME", default_value = "first-available")]
    strategy: String,
    /// Of the errors
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Write a page with tables and curves to this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum TraceFormat {
    /// A trace of Gavel
    Gavel,
    /// A trace of Tiresias (csv)
    Tiresias,
    /// The journal of a daemon
    Journal,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum TimesName {
    /// The truth
    True,
    /// Nothing; it learns from jobs of the same kind that have ended
    Learned,
    /// Nothing, and nothing is learned
    None,
}

pub(crate) fn run(context: &Context, args: &ReplayArgs) -> Result<i32, Failure> {
    let policies = policies(args)?;
    let chosen = super::strategies(&args.strategies)?;
    let strategies: Vec<&str> = dunnage_strategies::registry().iter().map(|entry| entry.name).collect();
    if !strategies.contains(&args.strategy.as_str()) {
        return Err(super::unknown("strategy", &args.strategy, &strategies));
    }
    if !args.error.is_finite() || !(0.0..=10.0).contains(&args.error) {
        return Err(Failure::new(USAGE, format!("--error must be 0 to 10, not {}", args.error)));
    }
    if let Some(load) = args.load.filter(|load| !(0.01..=100.0).contains(load)) {
        return Err(Failure::new(USAGE, format!("--load must be 0.01 to 100, not {load}"))
            .hint("0.8 is 80 % of what the machine can do"));
    }
    let times = match args.times {
        Some(TimesName::True) => Times::True,
        Some(TimesName::Learned) => Times::Learned,
        Some(TimesName::None) => Times::None,
        None if args.error == 0.0 => Times::True,
        None => Times::Error { s: args.error },
    };
    let trace = read(args)?;
    if trace.arrivals.is_empty() {
        let file = args.trace.display().to_string();
        let Some(why) = &trace.why else {
            return Err(super::bad_file(
                file,
                "",
                "there is no job to replay".to_owned(),
                "is this the right file?",
            ));
        };
        let message = format!(
            "there is no job to replay: all {} are left out, the first for this: {why}",
            trace.left_out
        );
        let hint = "--throughputs names the table that belongs to the trace, --gpu the kind of GPU in it";
        return Err(super::bad_file(file, "", message, hint));
    }
    let node = if context.common.devices.is_some() { machine(context)? } else { eight_gpus() };
    let options = ReplayOptions {
        node,
        load: args.load,
        policies,
        times,
        seed: args.seed,
        strategy: args.strategy.clone(),
        strategies: chosen.into_iter().map(str::to_owned).collect(),
        check: false,
    };
    let report = replay(&trace, &options).map_err(|error| {
        let hint = "--devices names another machine; or leave the job out";
        super::bad_file(args.trace.display().to_string(), "", error.0, hint)
    })?;
    let doc = ReplayDoc::new(&report, &options, trace.why.as_deref());
    if let Some(path) = &args.html {
        super::write(path, &replay_html(&doc))?;
    }
    context.print(&doc.rows, |style| replay_text(&doc, style));
    Ok(DONE)
}

/// The policies that were asked for, each once; where nothing at all was asked for, every one.
fn policies(args: &ReplayArgs) -> Result<Vec<String>, Failure> {
    let every = args.policies.is_empty() && args.strategies.is_empty();
    let mut policies: Vec<String> = Vec::new();
    let asked = args.policies.iter().map(String::as_str).chain(every.then_some("all"));
    for name in asked {
        if name == "all" {
            policies.extend(POLICIES.iter().map(|name| (*name).to_owned()));
        } else if POLICIES.contains(&name) {
            policies.push(name.to_owned());
        } else {
            return Err(super::unknown("policy", name, &POLICIES));
        }
    }
    let mut seen: Vec<String> = Vec::new();
    policies.retain(|name| {
        let is_new = !seen.contains(name);
        seen.push(name.clone());
        is_new
    });
    Ok(policies)
}

fn machine(context: &Context) -> Result<dunnage_model::NodeSpec, Failure> {
    crate::setup::look(&context.selection()?, &context.config)
        .map(|look| look.node)
        .map_err(|error| Failure::new(USAGE, error.to_string()))
}

fn read(args: &ReplayArgs) -> Result<Trace, Failure> {
    let name = args.trace.display().to_string();
    if args.throughputs.is_some() && args.format != TraceFormat::Gavel {
        return Err(Failure::new(USAGE, "--throughputs is for gavel"));
    }
    match args.format {
        TraceFormat::Tiresias => {
            read_tiresias(&name, &text(&args.trace)?).map_err(|error| wrong(&args.trace, error))
        }
        TraceFormat::Gavel => {
            let Some(table) = &args.throughputs else {
                return Err(Failure::new(
                    USAGE,
                    "a trace of Gavel says how many steps a job has, not how long it takes",
                )
                .hint("add `--throughputs FILE`, Gavel's table of steps per second"));
            };
            let speeds = Throughputs::read(&text(table)?, &args.gpu).map_err(|error| wrong(table, error))?;
            read_gavel(&name, &text(&args.trace)?, &speeds).map_err(|error| wrong(&args.trace, error))
        }
        TraceFormat::Journal => journal(&name, &args.trace),
    }
}

fn text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read_bytes(path)?)
        .map_err(|_| Failure::new(USAGE, format!("{}: this is not text (UTF-8)", path.display())))
}

fn wrong(path: &Path, error: TraceError) -> Failure {
    let place = match (error.line, error.field) {
        (0, _) => String::new(),
        (line, "") => format!("line {line}"),
        (line, field) => format!("line {line}, {field}"),
    };
    super::bad_file(path.display().to_string(), &place, error.what, "")
}

/// So many records of a journal are read at a time.
const RECORDS: usize = 4096;

/// The graphs of a journal. A daemon may be writing it meanwhile.
fn journal(name: &str, path: &Path) -> Result<Trace, Failure> {
    let file = if path.is_dir() { path.join(dunnage_store::JOURNAL) } else { path.to_owned() };
    if !file.exists() {
        return Err(Failure::new(USAGE, format!("{}: there is no journal", path.display()))
            .hint("name a state directory; `dunnage config show` says which one is yours"));
    }
    let broken = |why: String| Failure::new(USAGE, format!("{}: {why}", path.display()));
    let stored = |error: dunnage_store::StoreError| broken(error.in_full());
    let mut reader = Reader::open(&file).map_err(stored)?;
    let mut of_graph: BTreeMap<GraphId, Vec<dunnage_model::Fact>> = BTreeMap::new();
    let mut after = 0;
    loop {
        let records = reader.facts_since(after, RECORDS).map_err(stored)?;
        let Some(last) = records.last() else { break };
        after = last.seq;
        for record in &records {
            let facts = of_graph.entry(record.graph).or_default();
            decode_facts(&record.body, &mut |fact| facts.push(fact)).map_err(|error| {
                broken(format!("record {} of graph {}: {error}", record.seq, record.graph))
            })?;
        }
        if of_graph.len() > JOBS_MAX {
            return Err(broken(format!("there are more than {JOBS_MAX} graphs")));
        }
    }
    let mut recorded = Vec::with_capacity(of_graph.len());
    let mut left_out = 0;
    for (id, facts) in of_graph {
        let Some((row, _)) = reader.graph(id).map_err(stored)? else { continue };
        match graph_of(&row) {
            Ok(graph) => recorded.push(Recorded {
                graph: Arc::new(graph),
                owner: Owner(row.owner.0),
                at: row.submitted_at,
                facts,
            }),
            // What an older version accepted, this one may not know.
            Err(_) => left_out += 1,
        }
    }
    let mut trace = read_journal(name, recorded);
    trace.left_out += left_out;
    Ok(trace)
}
