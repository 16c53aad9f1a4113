//! `bench pack`: packing policies on the openb cluster trace.

use super::super::context::Context;
use super::super::exit::{DONE, Failure, USAGE};
use crate::render::bench::{PackRow, pack_html, pack_text};
use clap::{Args, ValueEnum};
use dunnage_sim::openb::{
    Knowledge, NodeOrder, PackError, PackOptions, ReadError, read_nodes, read_pods, replay,
};
use dunnage_strategies::packing::{Policy, Tie};
use std::path::PathBuf;

/// `bench pack`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PackArgs {
    /// The list of nodes, plain or gzip
    #[arg(long, value_name = "CSV")]
    nodes: PathBuf,
    /// The list of pods, plain or gzip
    #[arg(long, value_name = "CSV")]
    pods: PathBuf,
    /// Policies by name, or `all`; the report shows `random` beside them
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "all")]
    policy: Vec<String>,
    /// One seed, or the first and the last: 42-51
    #[arg(long, value_name = "A-B", default_value = "42")]
    seeds: String,
    /// Among nodes with the same score
    #[arg(long, value_enum, value_name = "RULE", default_value_t = TieName::Name)]
    tie: TieName,
    /// The order of the nodes: name, reversed, random:S or gpus (most first)
    #[arg(long, value_name = "ORDER", default_value = "name")]
    node_order: String,
    /// GPU share that arrives, as a multiple of the capacity
    #[arg(long, value_name = "RATIO", default_value_t = 1.3)]
    target: f64,
    /// What `fgd` and `auto` know of the pods before they arrive
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = KnowledgeName::List)]
    knowledge: KnowledgeName,
    /// Write a page with tables and curves to this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum TieName {
    /// The first in the order of the nodes
    Name,
    /// Any
    Random,
    /// The tightest
    Fit,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum KnowledgeName {
    /// The list, as in the paper; not the order of arrival
    List,
    /// Nothing: they learn from what arrives
    Learned,
}

/// More seeds than this are a mistake.
const SEEDS_MAX: u64 = 10_000;

pub(crate) fn pack(context: &Context, args: &PackArgs) -> Result<i32, Failure> {
    let asked = policies(&args.policy)?;
    let seeds = seeds(&args.seeds)?;
    let node_order = NodeOrder::named(&args.node_order).ok_or_else(|| {
        Failure::new(USAGE, format!("--node-order: there is no order `{}`", args.node_order))
            .hint("name, reversed, random:S or gpus")
    })?;
    let tie = match args.tie {
        TieName::Name => Tie::Name,
        TieName::Random => Tie::Random,
        TieName::Fit => Tie::Fit,
    };
    let knowledge = match args.knowledge {
        KnowledgeName::List => Knowledge::List,
        KnowledgeName::Learned => Knowledge::Learned,
    };
    let nodes = read_nodes(&args.nodes)?;
    let pods = read_pods(&args.pods)?;
    // A report for people has the baseline; a document has what was asked for.
    let mut policies = asked.clone();
    let for_people = !context.common.json || args.html.is_some();
    if for_people && !policies.contains(&Policy::Random) {
        policies.push(Policy::Random);
    }
    let mut rows = Vec::new();
    for policy in policies {
        // A baseline that takes the tightest of all nodes would be none.
        let tie = if asked.contains(&policy) { tie } else { Tie::Random };
        for seed in seeds.clone() {
            let options = PackOptions { policy, tie, seed, node_order, target: args.target, knowledge };
            let report =
                replay(&nodes, &pods, &options, &mut nanoseconds).map_err(|error| refused(args, &error))?;
            rows.push(PackRow::new(report, asked.contains(&policy)));
        }
    }
    if let Some(path) = &args.html {
        super::write(path, &pack_html(&rows))?;
    }
    let document: Vec<&PackRow> = rows.iter().filter(|row| row.asked).collect();
    context.print(&document, |style| pack_text(&rows, style));
    Ok(DONE)
}

/// Why there is no replay, with the file that it is about and a way out.
fn refused(args: &PackArgs, error: &PackError) -> Failure {
    let (nodes, pods) = (args.nodes.display().to_string(), args.pods.display().to_string());
    let (file, place, hint) = match error {
        PackError::NoGpus => (nodes, "gpu", "name a list with a node whose `gpu` is above 0"),
        PackError::NoDemand => (pods, "num_gpu", "name a list with a pod whose `num_gpu` is above 0"),
        PackError::NothingFits(_) => {
            (pods, "", "do the two lists belong together? See `model` and `gpu_spec`")
        }
        PackError::Target(_) => (String::new(), "--target", "--target 1.3 is 130 %"),
        PackError::TooManyArrivals => (pods, "gpu_milli", "give a smaller --target"),
    };
    super::bad_file(file, place, error.to_string(), hint)
}

fn policies(list: &[String]) -> Result<Vec<Policy>, Failure> {
    let names: Vec<&str> = Policy::ALL.iter().map(|policy| policy.name()).collect();
    let mut chosen: Vec<Policy> = Vec::new();
    for name in list {
        if name == "all" {
            chosen.extend(Policy::ALL);
        } else {
            chosen.push(Policy::named(name).ok_or_else(|| super::unknown("packing policy", name, &names))?);
        }
    }
    let mut seen = Vec::new();
    chosen.retain(|policy| {
        let is_new = !seen.contains(policy);
        seen.push(*policy);
        is_new
    });
    Ok(chosen)
}

fn seeds(text: &str) -> Result<std::ops::RangeInclusive<u64>, Failure> {
    let wrong = |why: &str| Failure::new(USAGE, format!("--seeds: {why}: `{text}`")).hint("42, or 42-51");
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |part: &str| part.parse::<u64>().map_err(|_| wrong("not a number or two with a dash"));
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(wrong("the first is above the last"));
    }
    if last - first >= SEEDS_MAX {
        return Err(wrong(&format!("more than {SEEDS_MAX} seeds")));
    }
    Ok(first..=last)
}

/// Nanoseconds, for the time of single placements: this clock is read without a call of the system.
fn nanoseconds() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    (time.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(time.tv_nsec as u64)
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let place = if error.line == 0 { String::new() } else { format!("line {}", error.line) };
        super::bad_file(error.file, &place, error.text, "")
    }
}
