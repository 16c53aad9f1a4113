//! `bench`: the laboratory. Public data sets through the same strategies and planners as the daemon's, in
//! virtual time; anybody can check what comes out.

mod pack;
mod plan;
mod replay;

use super::context::Context;
use super::exit::{Failure, USAGE};
use clap::Subcommand;
use dunnage_sim::formats::FormatError;
use dunnage_wire::api::ProblemDoc;

/// What is measured.
#[derive(Subcommand, Debug)]
pub(crate) enum BenchVerb {
    /// Makespans of strategies on instances of a public format, each schedule judged independently
    #[command(
        after_help = "Examples:\n  dunnage bench plan --format stg --processors 4 --instance rand*.stg --strategies all\n  dunnage bench plan --format psplib --instance j30*.sm --strategies heft,time-optimised --budget-ms 10\n  dunnage bench plan --format hetero-json --instance layered.json.gz --strategies heft --mean-comm saga\n  dunnage bench plan --format dunnage --devices mock:8xh100 --instance graph.toml --html report.html\n\nExit codes: 0 all schedules are valid, 1 one is not, 2 bad usage or a file that is wrong."
    )]
    Plan(plan::PlanArgs),
    /// Packing policies on a trace of pods and GPU nodes (openb)
    #[command(
        after_help = "Examples:\n  dunnage bench pack --nodes nodes.csv.gz --pods pods.csv.gz --policy fgd,auto --seeds 42-51\n  dunnage bench pack --nodes nodes.csv --pods pods.csv --policy auto --tie fit --node-order random:1 --target 1.3"
    )]
    Pack(pack::PackArgs),
    /// Policies of the queue and strategies on a trace of jobs
    #[command(
        after_help = "Examples:\n  dunnage bench replay --format tiresias --trace jobs.csv --load 0.6 --error 1.0\n  dunnage bench replay --format gavel --trace jobs.trace --throughputs table.json.gz --load 0.8 --policies default,sjf\n  dunnage bench replay --format tiresias --trace jobs.csv --strategies all --html report.html\n  dunnage bench replay --format journal --trace ~/.local/state/dunnage --times learned"
    )]
    Replay(replay::ReplayArgs),
}

pub(crate) fn bench(context: &Context, what: BenchVerb) -> Result<i32, Failure> {
    match what {
        BenchVerb::Plan(args) => plan::plan(context, &args),
        BenchVerb::Pack(args) => pack::pack(context, &args),
        BenchVerb::Replay(args) => replay::run(context, &args),
    }
}

/// Writes a file that the user named.
fn write(path: &std::path::Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::new(USAGE, format!("cannot write `{}`: {error}", path.display())))
}

/// CPU seconds of this thread.
pub(super) fn thread_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The strategies that a list names, in the order of the list; `all` is every one. `random` is always there.
pub(super) fn strategies(list: &[String]) -> Result<Vec<&'static str>, Failure> {
    let known: Vec<&'static str> = dunnage_strategies::registry().iter().map(|entry| entry.name).collect();
    let mut chosen: Vec<&'static str> = Vec::new();
    for name in list {
        if name == "all" {
            chosen.extend(&known);
        } else {
            match known.iter().find(|known| *known == name) {
                Some(found) => chosen.push(found),
                None => return Err(unknown("strategy", name, &known)),
            }
        }
    }
    chosen.push("random");
    let mut seen = Vec::with_capacity(chosen.len());
    chosen.retain(|name| {
        let is_new = !seen.contains(name);
        seen.push(*name);
        is_new
    });
    Ok(chosen)
}

/// A name that there is not.
pub(super) fn unknown(what: &str, name: &str, known: &[&str]) -> Failure {
    let failure = Failure::new(USAGE, format!("there is no {what} `{name}`"));
    match dunnage_model::nearest(name, known.iter().copied()) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint(format!("there are {}", known.join(", "))),
    }
}

/// A file that is wrong in one place; the fix stands with the problem, so that a document has it too.
pub(super) fn bad_file(file: String, place: &str, message: String, hint: &str) -> Failure {
    let what = if file.is_empty() { "this cannot be run" } else { "the file cannot be used" };
    let mut failure = Failure::new(USAGE, what);
    failure.file = file;
    failure.problems = vec![ProblemDoc {
        place: place.to_owned(),
        function: None,
        value: String::new(),
        message,
        hint: hint.to_owned(),
    }];
    failure
}

impl From<FormatError> for Failure {
    fn from(error: FormatError) -> Self {
        let place = error.whereabouts();
        let mut failure = Self::new(USAGE, "the file cannot be used");
        failure.file = error.file;
        failure.problems = vec![ProblemDoc {
            place,
            function: None,
            value: error.value,
            message: error.message,
            hint: error.hint,
        }];
        failure
    }
}
