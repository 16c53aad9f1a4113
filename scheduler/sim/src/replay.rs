//! One trace, several runs: the same arrivals through different policies of the queue, in virtual time, with
//! the core that the daemon runs.
//!
//! What is reported is what a user waits for (job completion time: from submission to end) and what an
//! owner pays for. `to_sjf` compares the mean completion time with that of shortest-job-first which knows
//! the true times, and keeps what is long waiting for as long as something shorter comes. `regret` compares
//! it with the best of the rows when they are run with the true times: nobody can have those, so it says
//! what better knowledge and a better choice among the rows would be worth.

use crate::driver::Simulation;
use crate::traces::{Trace, Work};
use crate::workload::{AttemptEnd, Workload};
use dunnage_core::{Policy, Rng, Scheduler};
use dunnage_model::{
    AttemptId, Bytes, Code, Cost, Event, FunctionSpec, Graph, GraphId, GraphSpec, GraphState, Limits,
    MilliCores, NodeSpec, Owner, Placement, Span, Submission, Time,
};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The policies that can be compared, by the names of the command line.
pub const POLICIES: [&str; 5] = ["default", "fifo", "first-fit", "sjf", "easy"];

/// What the scheduler is told of how long jobs take.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Times {
    /// The truth.
    True,
    /// The truth times a lognormal factor with median 1: `exp(s x)`, x normal.
    Error {
        /// The standard deviation of the logarithm.
        s: f64,
    },
    /// Nothing; it learns from the jobs of the same kind that have ended.
    Learned,
    /// Nothing, and nothing can be learned.
    None,
}

/// How a trace is replayed.
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    /// The machine.
    pub node: NodeSpec,
    /// Arrivals are stretched so that the work that arrives is this share of what the GPUs can do; `None`
    /// leaves them as they are. It needs jobs that do not all arrive at once.
    pub load: Option<f64>,
    /// Which policies, see [`POLICIES`].
    pub policies: Vec<String>,
    /// What is known of times. Graphs of a journal bring what they declare, and history.
    pub times: Times,
    /// For the error.
    pub seed: u64,
    /// Who places within the policies. A graph of a journal brings its own.
    pub strategy: String,
    /// Who else is to place everything, graphs with a strategy of their own as well; each is a row of its
    /// own, under the policy `default`.
    pub strategies: Vec<String>,
    /// Whether the invariants are checked after every event.
    pub check: bool,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        Self {
            node: eight_gpus(),
            load: None,
            policies: POLICIES.iter().map(|name| (*name).to_owned()).collect(),
            times: Times::Error { s: 1.0 },
            seed: 0,
            strategy: "first-available".to_owned(),
            strategies: Vec::new(),
            check: false,
        }
    }
}

/// The machine of the traces: eight GPUs, and cores enough that they limit nothing.
pub fn eight_gpus() -> NodeSpec {
    (0..8).fold(NodeSpec::new(512, Bytes::gib(4096)), |node, _| {
        node.with_gpu("Tesla V100", Bytes::gib(32), (7, 0))
    })
}

/// All runs of a trace.
#[derive(Clone, PartialEq, Debug)]
pub struct ReplayReport {
    /// The trace.
    pub trace: String,
    /// How many jobs arrived.
    pub jobs: usize,
    /// How many lines of it say too little.
    pub left_out: usize,
    /// The share of the GPUs' time that the arriving work is, or of the cores' where no GPU is used;
    /// infinite where all arrives at once.
    pub load: f64,
    /// One row a policy, then one a strategy.
    pub rows: Vec<ReplayRow>,
}

/// A moment of a run: means over a part of its time.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Moment {
    /// When that part begins, in seconds after the first submission.
    pub at_s: f64,
    /// The share of GPUs (of cores where no GPU is used) that is given to jobs.
    pub used: f64,
    /// How many graphs wait for their first start.
    pub waiting: f64,
}

/// Into how many parts the time of a run is cut.
const MOMENTS: usize = 240;

/// A policy and a strategy on a trace. Times in seconds.
#[derive(Clone, PartialEq, Debug)]
pub struct ReplayRow {
    /// The policy's name.
    pub policy: String,
    /// Who placed.
    pub strategy: String,
    /// Jobs that succeeded.
    pub succeeded: usize,
    /// Mean job completion time, from submission to end.
    pub mean_jct_s: f64,
    /// The median of it.
    pub median_jct_s: f64,
    /// The largest.
    pub max_jct_s: f64,
    /// Mean time from submission to the first start.
    pub mean_wait_s: f64,
    /// The largest.
    pub max_wait_s: f64,
    /// From the first submission to the last end.
    pub makespan_s: f64,
    /// The share of GPU time (of core time where no GPU is used) that was given to jobs until then.
    pub utilisation: f64,
    /// What devices at work drew above idling, by the machine's tariff, in joules.
    pub energy_j: f64,
    /// By what share its mean completion time is above that of shortest-job-first with the true times.
    pub to_sjf: f64,
    /// By what share its mean completion time is above that of the best row with the true times.
    pub regret: f64,
    /// How it went, in equal parts of the makespan.
    pub moments: Vec<Moment>,
}

/// Why a trace cannot be replayed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplayError(pub String);

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ReplayError {}

/// A policy by its name.
pub fn policy(name: &str) -> Option<Policy> {
    Some(match name {
        "default" => Policy::default(),
        "fifo" => Policy::fifo(),
        "first-fit" => Policy::first_fit(),
        "sjf" => Policy::shortest(),
        "easy" => Policy::easy(),
        _ => return None,
    })
}

/// What is said of the strategy where each graph brings its own.
pub const AS_SUBMITTED: &str = "as submitted";

/// Loads that mean something; beyond these, times would run out of range.
const LOADS: std::ops::RangeInclusive<f64> = 0.01..=100.0;

/// Replays a trace through each policy, and through each of the strategies under the default policy.
///
/// # Errors
/// An unknown policy, a job that the machine can never run, or a broken invariant.
pub fn replay(trace: &Trace, options: &ReplayOptions) -> Result<ReplayReport, ReplayError> {
    let mut policies = Vec::new();
    for name in &options.policies {
        let Some(policy) = policy(name) else {
            let known = POLICIES.join(", ");
            return Err(ReplayError(format!("there is no policy `{name}`, only {known}")));
        };
        policies.push((name.as_str(), policy));
    }
    replay_policies(trace, options, &policies)
}

/// Replays a trace through policies that need no name among [`POLICIES`].
///
/// # Errors
/// As [`replay`].
pub fn replay_policies(
    trace: &Trace,
    options: &ReplayOptions,
    policies: &[(&str, Policy)],
) -> Result<ReplayReport, ReplayError> {
    let stretch = stretch(trace, options)?;
    let has_graphs = trace.arrivals.iter().any(|arrival| matches!(arrival.work, Work::Graph(..)));
    let told = |times, placer: Option<&str>| Story::of(trace, options, times, stretch, placer);
    // Each story once for all policies that share it.
    let mut stories: Vec<Placed<'_>> = vec![(None, policies.to_vec())];
    stories.extend(
        options.strategies.iter().map(|name| (Some(name.as_str()), vec![("default", Policy::default())])),
    );
    let truth = told(Times::True, None)?;
    let sjf = truth.run(options, "sjf", Policy::shortest())?.mean_jct_s;
    let (mut best, mut rows) = (sjf, Vec::new());
    for (placer, policies) in stories {
        let (story, truth) = (told(options.times, placer)?, told(Times::True, placer)?);
        for (name, policy) in policies {
            let mut row = story.run(options, name, policy)?;
            let known = if options.times == Times::True {
                row.mean_jct_s
            } else {
                truth.run(options, name, policy)?.mean_jct_s
            };
            best = best.min(known);
            placer
                .unwrap_or(if has_graphs { AS_SUBMITTED } else { &options.strategy })
                .clone_into(&mut row.strategy);
            rows.push(row);
        }
    }
    for row in &mut rows {
        let above = |base: f64| if base > 0.0 { row.mean_jct_s / base - 1.0 } else { 0.0 };
        (row.to_sjf, row.regret) = (above(sjf), above(best));
    }
    Ok(ReplayReport {
        trace: trace.name.clone(),
        jobs: trace.arrivals.len(),
        left_out: trace.left_out,
        load: offered(trace, &options.node) / stretch,
        rows,
    })
}

/// Who places everything, where it is one for all, and the policies that this is replayed through.
type Placed<'a> = (Option<&'a str>, Vec<(&'a str, Policy)>);

/// The work of a trace over what the machine can do while it arrives; infinite where all arrives at once.
fn offered(trace: &Trace, node: &NodeSpec) -> f64 {
    let gpus = node.gpus.len() as f64;
    let cores = f64::from(node.cpu.capacity.0) / 1000.0;
    let (mut gpu_work, mut core_work) = (0.0, 0.0);
    for arrival in &trace.arrivals {
        match &arrival.work {
            Work::Job(job) => gpu_work += f64::from(job.gpus) * job.seconds,
            Work::Graph(graph, took) => {
                for (task, took) in took.iter().enumerate() {
                    let request = graph.request(task as u32, 0);
                    let seconds = took.unwrap_or(0.0);
                    core_work += f64::from(request.cpus.0) / 1000.0 * seconds;
                    gpu_work += match &request.gpu {
                        dunnage_model::GpuRequest::None => 0.0,
                        dunnage_model::GpuRequest::Whole { count, .. } => f64::from(*count) * seconds,
                        dunnage_model::GpuRequest::Part { share, .. } => {
                            f64::from(share.0) / 1000.0 * seconds
                        }
                    };
                }
            }
        }
    }
    let span = trace.arrivals.iter().map(|arrival| arrival.at_s).fold(0.0, f64::max);
    let work = if gpus > 0.0 { gpu_work / gpus } else { 0.0 };
    work.max(if cores > 0.0 { core_work / cores } else { 0.0 }) / span
}

/// By what arrivals are stretched.
fn stretch(trace: &Trace, options: &ReplayOptions) -> Result<f64, ReplayError> {
    let Some(load) = options.load else { return Ok(1.0) };
    if !LOADS.contains(&load) {
        let (least, most) = (LOADS.start(), LOADS.end());
        return Err(ReplayError(format!("a load of {load} makes no sense: it is to be {least} to {most}")));
    }
    let offered = offered(trace, &options.node);
    Ok(if offered.is_finite() && offered > 0.0 { offered / load } else { 1.0 })
}

/// What happens in a run, whatever the policy.
struct Story {
    /// When it arrives, whose it is, and what.
    arrivals: Vec<(Time, Owner, Arc<Graph>)>,
    /// For each arrival, how long each task takes.
    took: BTreeMap<GraphId, Vec<Option<Span>>>,
}

/// Each task takes as long as it took.
struct AsItWas<'a>(&'a BTreeMap<GraphId, Vec<Option<Span>>>);

impl Workload for AsItWas<'_> {
    fn attempt(&mut self, _: &Graph, attempt: AttemptId, placement: &Placement) -> (Span, AttemptEnd) {
        let known = self.0.get(&attempt.task.graph).and_then(|took| took.get(attempt.task.index as usize));
        let took = known.copied().flatten().or(placement.predicted).unwrap_or(Span::secs(1));
        (took, AttemptEnd::Succeeds)
    }
}

/// At least a microsecond, so that everything takes time.
fn span(seconds: f64) -> Span {
    Span::from_secs_f64(seconds.clamp(1e-6, 1e11))
}

impl Story {
    fn of(
        trace: &Trace,
        options: &ReplayOptions,
        times: Times,
        stretch: f64,
        placer: Option<&str>,
    ) -> Result<Self, ReplayError> {
        let mut story = Self { arrivals: Vec::new(), took: BTreeMap::new() };
        let mut rng = Rng::of(options.seed, 0);
        for (n, arrival) in trace.arrivals.iter().enumerate() {
            let id = GraphId(n as u64 + 1);
            let at = Time::ZERO.after(Span::from_secs_f64((arrival.at_s * stretch).clamp(0.0, 1e11)));
            let (graph, took) = match &arrival.work {
                Work::Graph(graph, took) => {
                    let mut graph = Arc::clone(graph);
                    if let Some(placer) = placer {
                        placer.clone_into(&mut Arc::make_mut(&mut graph).settings.strategy);
                    }
                    (graph, took.iter().map(|seconds| seconds.map(span)).collect())
                }
                Work::Job(job) => {
                    if usize::from(job.gpus) > options.node.gpus.len() {
                        return Err(ReplayError(format!(
                            "line {}: the job asks for {} GPUs and the machine has {}",
                            job.line,
                            job.gpus,
                            options.node.gpus.len()
                        )));
                    }
                    // Drawn for every job, so that the same seed errs alike whatever is known.
                    let error = normal(&mut rng);
                    let told = match times {
                        Times::True => Some(job.seconds),
                        Times::Error { s } => Some(job.seconds * (s * error).exp()),
                        Times::Learned | Times::None => None,
                    };
                    let name = match times {
                        Times::Learned => job.kind.clone(),
                        // Each its own, so that what was told of it stands.
                        Times::True | Times::Error { .. } | Times::None => format!("{} {}", job.kind, n + 1),
                    };
                    let cost = Cost {
                        cpus: Some(MilliCores(0)),
                        gpus: Some(job.gpus),
                        duration: told.map(span),
                        ..Cost::default()
                    };
                    (
                        one_function(name, cost, placer.unwrap_or(&options.strategy))?,
                        vec![Some(span(job.seconds))],
                    )
                }
            };
            story.arrivals.push((at, arrival.owner, graph));
            story.took.insert(id, took);
        }
        Ok(story)
    }

    fn run(&self, options: &ReplayOptions, name: &str, policy: Policy) -> Result<ReplayRow, ReplayError> {
        let scheduler = Scheduler::new(dunnage_strategies::strategies()).with_policy(policy);
        let mut simulation = Simulation::new(scheduler, AsItWas(&self.took), options.check);
        simulation.at(Time::ZERO, Event::NodeSeen(Arc::new(options.node.clone())));
        for (n, (at, owner, graph)) in self.arrivals.iter().enumerate() {
            let submission = Submission {
                id: GraphId(n as u64 + 1),
                graph: Arc::clone(graph),
                owner: *owner,
                seed: options.seed,
                held: false,
                sealed: true,
                trace: None,
            };
            simulation.at(*at, Event::Submitted(Box::new(submission)));
        }
        let (report, scheduler) = simulation.run().map_err(ReplayError)?;
        let mut jct = Vec::with_capacity(self.arrivals.len());
        let mut waits = Vec::with_capacity(self.arrivals.len());
        let mut waited = Vec::with_capacity(self.arrivals.len());
        let mut succeeded = 0;
        let mut end = Time::ZERO;
        for (n, (at, _, graph)) in self.arrivals.iter().enumerate() {
            let run = scheduler.graph(GraphId(n as u64 + 1));
            let Some((run, ended)) = run.and_then(|run| Some((run, run.ended_at?))) else {
                return Err(ReplayError(format!(
                    "`{}`, number {}, never ended: it asks for what the machine does not have",
                    graph.name,
                    n + 1
                )));
            };
            succeeded += usize::from(run.ended == Some(GraphState::Succeeded));
            end = end.max(ended);
            jct.push(ended.since(*at).as_secs_f64());
            let began = run.started_at.unwrap_or(ended);
            waits.push(began.since(*at).as_secs_f64());
            waited.push((*at, began));
        }
        jct.sort_by(f64::total_cmp);
        waits.sort_by(f64::total_cmp);
        let mean = |list: &[f64]| list.iter().sum::<f64>() / (list.len() as f64).max(1.0);
        let start = self.arrivals.first().map_or(Time::ZERO, |(at, _, _)| *at);
        let makespan = end.since(start).as_secs_f64();
        let (mut gpu_time, mut core_time, mut energy) = (0.0, 0.0, 0.0);
        let tariff = &options.node.tariff;
        for ran in &report.ran {
            let seconds = ran.end.since(ran.start).as_secs_f64();
            let cores = f64::from(ran.placement.cpus.0) / 1000.0;
            core_time += cores * seconds;
            energy += cores * tariff.power(None) * seconds;
            for grant in &ran.placement.gpus {
                let share = f64::from(grant.share.0) / 1000.0;
                gpu_time += share * seconds;
                let name = options.node.gpu(grant.device).map(|gpu| gpu.name.as_str());
                energy += share * tariff.power(name.or(Some(""))) * seconds;
            }
        }
        let gpus = options.node.gpus.len() as f64;
        let cores = f64::from(options.node.cpu.capacity.0) / 1000.0;
        let on_gpus = gpu_time > 0.0;
        let mut used = Curve::new(makespan);
        for ran in &report.ran {
            let share = if on_gpus {
                ran.placement.gpus.iter().map(|grant| f64::from(grant.share.0) / 1000.0).sum::<f64>() / gpus
            } else {
                f64::from(ran.placement.cpus.0) / 1000.0 / cores.max(1e-9)
            };
            used.add(ran.start.since(start).as_secs_f64(), ran.end.since(start).as_secs_f64(), share);
        }
        let mut waiting = Curve::new(makespan);
        for (from, until) in waited {
            waiting.add(from.since(start).as_secs_f64(), until.since(start).as_secs_f64(), 1.0);
        }
        let moments = used.means().zip(waiting.means());
        let part = makespan / MOMENTS as f64;
        let given = if gpu_time > 0.0 { gpu_time / gpus } else { core_time / cores.max(1e-9) };
        Ok(ReplayRow {
            policy: name.to_owned(),
            strategy: String::new(),
            succeeded,
            mean_jct_s: mean(&jct),
            median_jct_s: median(&jct),
            max_jct_s: jct.last().copied().unwrap_or(0.0),
            mean_wait_s: mean(&waits),
            max_wait_s: waits.last().copied().unwrap_or(0.0),
            makespan_s: makespan,
            utilisation: if makespan > 0.0 { given / makespan } else { 0.0 },
            energy_j: energy,
            to_sjf: 0.0,
            regret: 0.0,
            moments: moments
                .enumerate()
                .map(|(at, (used, waiting))| Moment { at_s: at as f64 * part, used, waiting })
                .collect(),
        })
    }
}

/// An amount over time, as its integral over each of [`MOMENTS`] parts. Adding costs the same however long
/// it lasts: what covers whole parts is kept as differences.
struct Curve {
    part: f64,
    /// The parts that are covered in part.
    edges: Vec<f64>,
    /// By how much more whole parts from here on are covered than before.
    steps: Vec<f64>,
}

impl Curve {
    fn new(span: f64) -> Self {
        Self { part: span / MOMENTS as f64, edges: vec![0.0; MOMENTS], steps: vec![0.0; MOMENTS + 1] }
    }

    fn add(&mut self, from: f64, until: f64, amount: f64) {
        if self.part.is_nan() || self.part <= 0.0 || until <= from {
            return;
        }
        let place = |time: f64| (time / self.part).clamp(0.0, MOMENTS as f64);
        let (from, until) = (place(from), place(until));
        let (first, last) = ((from as usize).min(MOMENTS - 1), (until as usize).min(MOMENTS - 1));
        if first == last {
            self.edges[first] += amount * (until - from);
            return;
        }
        self.edges[first] += amount * ((first + 1) as f64 - from);
        self.edges[last] += amount * (until - last as f64);
        self.steps[first + 1] += amount;
        self.steps[last] -= amount;
    }

    fn means(&self) -> impl Iterator<Item = f64> {
        let mut whole = 0.0;
        self.edges.iter().zip(&self.steps).map(move |(edge, step)| {
            whole += step;
            (edge + whole).max(0.0)
        })
    }
}

/// A number with a normal distribution (Box and Muller 1958).
fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.unit()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.unit()).cos()
}

fn median(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

fn one_function(name: String, cost: Cost, strategy: &str) -> Result<Arc<Graph>, ReplayError> {
    // History goes by what a function runs: the words of its command. Braces would be placeholders.
    let word = name.replace(['{', '}'], "_");
    let function = FunctionSpec {
        id: "job".to_owned(),
        code: Code::Command(vec![word]),
        cost,
        ..FunctionSpec::default()
    };
    let spec = GraphSpec {
        name: Some(name),
        strategy: Some(strategy.to_owned()),
        functions: vec![function],
        ..GraphSpec::default()
    };
    Graph::build(spec, &Limits::default()).map(Arc::new).map_err(|problems| {
        ReplayError(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })
}
