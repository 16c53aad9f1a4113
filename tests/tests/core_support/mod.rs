//! What the tests of the core share: graphs in a few words, and a scenario that plays the driver in
//! virtual time. Every event is followed by a check of the invariants, and nothing ever sleeps.

#![allow(dead_code, unreachable_pub, clippy::allow_attributes, reason = "each test binary uses a part of it")]

use dunnage_core::{Scheduler, TaskRow};
use dunnage_model::{
    ArgSpec, Attempt, AttemptId, Axis, Bytes, Cause, Code, Cost, Decision, DeviceId, DeviceKind,
    DeviceSample, EndReason, Event, Failure, FunctionSpec, Graph, GraphId, GraphSpec, GraphState, Health,
    Limits, MilliCores, MilliShare, NodeId, NodeSpec, OutputKind, OutputSpec, Owner, Placement, Problem,
    Retry, Span, Submission, TaskState, Time, Tolerance, Usage, VariantSpec,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A function under construction: `f("b").after("a").retry(2)`.
#[derive(Clone, Debug)]
pub struct F(pub FunctionSpec);

pub fn f(id: &str) -> F {
    F(FunctionSpec {
        id: id.to_owned(),
        code: Code::Command(vec!["true".to_owned()]),
        ..FunctionSpec::default()
    })
}

impl F {
    pub fn with(mut self, change: impl FnOnce(&mut FunctionSpec)) -> Self {
        change(&mut self.0);
        self
    }

    pub fn after(self, id: &str) -> Self {
        self.with(|spec| spec.after.push(id.to_owned()))
    }

    pub fn arg(self, producer: &str, index: u16) -> Self {
        self.with(|spec| spec.args.push(ArgSpec { producer: producer.to_owned(), index, succeeded: false }))
    }

    /// All of a family that succeeded.
    pub fn arg_succeeded(self, producer: &str, index: u16) -> Self {
        self.with(|spec| spec.args.push(ArgSpec { producer: producer.to_owned(), index, succeeded: true }))
    }

    pub fn outputs(self, n: usize) -> Self {
        self.with(|spec| spec.outputs = vec![OutputSpec { kind: OutputKind::File, size: None }; n])
    }

    pub fn foreach(self, name: &str, values: &[&str]) -> Self {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        self.with(|spec| spec.foreach.push(Axis { name: name.to_owned(), values }))
    }

    /// `foreach` over 0 to n-1.
    pub fn times(self, name: &str, n: u32) -> Self {
        let values = (0..n).map(|n| n.to_string()).collect();
        self.with(|spec| spec.foreach.push(Axis { name: name.to_owned(), values }))
    }

    pub fn kernel(self) -> Self {
        self.with(|spec| spec.code = Code::Kernel { name: "noop".to_owned(), params: Vec::new() })
    }

    pub fn max_parallel(self, n: u32) -> Self {
        self.with(|spec| spec.max_parallel = Some(n))
    }

    /// Waits of a fixed second, without jitter.
    pub fn retry(self, max: u32) -> Self {
        self.with(|spec| {
            spec.retry = Some(Retry {
                max,
                backoff: dunnage_model::Backoff::Fixed,
                jitter: false,
                ..Retry::default()
            });
        })
    }

    pub fn timeout(self, span: Span) -> Self {
        self.with(|spec| spec.timeout = Some(span))
    }

    pub fn cost(self, change: impl FnOnce(&mut Cost)) -> Self {
        self.with(|spec| change(&mut spec.cost))
    }

    pub fn cpus(self, cores: u32) -> Self {
        self.cost(|cost| cost.cpus = Some(MilliCores::cores(cores)))
    }

    pub fn memory(self, memory: Bytes) -> Self {
        self.cost(|cost| cost.memory = Some(memory))
    }

    pub fn gpus(self, n: u16) -> Self {
        self.cost(|cost| {
            cost.cpus = Some(MilliCores(0));
            cost.gpus = Some(n);
        })
    }

    pub fn gpu_share(self, share: u16) -> Self {
        self.cost(|cost| {
            cost.cpus = Some(MilliCores(0));
            cost.gpu_share = Some(MilliShare(share));
        })
    }

    pub fn gpu_memory(self, memory: Bytes) -> Self {
        self.cost(|cost| {
            cost.cpus = Some(MilliCores(0));
            cost.gpu_memory = Some(memory);
        })
    }

    pub fn lasts(self, span: Span) -> Self {
        self.cost(|cost| cost.duration = Some(span))
    }

    pub fn variant(self, device: DeviceKind, change: impl FnOnce(&mut Cost)) -> Self {
        let mut cost = Cost::default();
        change(&mut cost);
        self.with(|spec| spec.variants.push(VariantSpec { device: Some(device), cost }))
    }
}

/// A graph as given; `first-available` where nothing else is said, so that no plan is waited for.
pub fn spec(functions: impl IntoIterator<Item = F>) -> GraphSpec {
    GraphSpec {
        name: Some("g".to_owned()),
        strategy: Some("first-available".to_owned()),
        functions: functions.into_iter().map(|f| f.0).collect(),
        ..GraphSpec::default()
    }
}

pub fn tolerant(functions: impl IntoIterator<Item = F>, tolerance: Tolerance) -> GraphSpec {
    GraphSpec { tolerance, ..spec(functions) }
}

pub fn build(spec: GraphSpec) -> Arc<Graph> {
    match Graph::build(spec, &Limits::default()) {
        Ok(graph) => Arc::new(graph),
        Err(problems) => panic!("{}", text(&problems)),
    }
}

/// All problems of a graph, one after another, as an author reads them.
pub fn problems(spec: GraphSpec) -> String {
    match Graph::build(spec, &Limits::default()) {
        Ok(_) => "no problem".to_owned(),
        Err(problems) => text(&problems),
    }
}

pub fn text(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

pub fn cores(n: u32) -> NodeSpec {
    NodeSpec::new(n, Bytes::gib(16))
}

/// Sixteen cores and these GPUs, by the memory of each in GiB.
pub fn gpus(memory: &[u64]) -> NodeSpec {
    memory.iter().fold(NodeSpec::new(16, Bytes::gib(64)), |node, gib| {
        let name = if *gib > 40 { "Big" } else { "Small" };
        node.with_gpu(name, Bytes::gib(*gib), if *gib > 40 { (9, 0) } else { (8, 6) })
    })
}

pub const fn gpu(n: u16) -> DeviceId {
    DeviceId { node: NodeId::LOCAL, local: n + 1 }
}

pub fn failure(cause: Cause) -> Failure {
    Failure::new(cause, "it said no")
}

/// The driver: hands events in, plays the engine, and remembers what was ordered.
pub struct Scenario {
    pub scheduler: Scheduler,
    pub now: Time,
    /// Orders since they were last taken out.
    pub orders: Vec<Decision>,
    /// Attempts that were started and have not ended.
    pub open: BTreeMap<AttemptId, Placement>,
    /// Attempts that were told to end.
    pub killed: BTreeMap<AttemptId, EndReason>,
    pub ended: BTreeMap<GraphId, GraphState>,
    pub freed: Vec<String>,
    next: u64,
}

pub fn scenario(node: NodeSpec) -> Scenario {
    let mut scenario = Scenario {
        scheduler: Scheduler::new(dunnage_strategies::strategies()),
        now: Time::ZERO,
        orders: Vec::new(),
        open: BTreeMap::new(),
        killed: BTreeMap::new(),
        ended: BTreeMap::new(),
        freed: Vec::new(),
        next: 1,
    };
    scenario.event(Event::NodeSeen(Arc::new(node)));
    scenario
}

impl Scenario {
    pub fn event(&mut self, event: Event) {
        let mut out = Vec::new();
        self.scheduler.handle(self.now, event, &mut out);
        if let Err(why) = self.scheduler.check_invariants() {
            panic!("at {:?}: {why}", self.now);
        }
        for decision in &out {
            match decision {
                Decision::Start { attempt, placement } => {
                    assert!(
                        self.open.insert(*attempt, (**placement).clone()).is_none(),
                        "{attempt} started twice"
                    );
                }
                Decision::Kill { attempt, reason } => {
                    self.killed.insert(*attempt, *reason);
                }
                Decision::GraphEnded { graph, state } => {
                    self.ended.insert(*graph, *state);
                }
                Decision::FreeValues { task } => {
                    let run =
                        self.scheduler.graph(task.graph).expect("a graph whose values are freed is known");
                    self.freed.push(run.graph.task_name(task.index));
                }
                Decision::WakeAt(_) | Decision::PlanWanted { .. } | Decision::TaskEnded { .. } => {}
            }
        }
        self.orders.extend(out);
    }

    pub fn submit(&mut self, graph: GraphSpec) -> GraphId {
        self.submit_as(graph, false, true)
    }

    pub fn submit_as(&mut self, graph: GraphSpec, held: bool, sealed: bool) -> GraphId {
        let id = GraphId(self.next);
        self.next += 1;
        let submission =
            Submission { id, graph: build(graph), owner: Owner(1000), seed: id.0, held, sealed, trace: None };
        self.event(Event::Submitted(Box::new(submission)));
        id
    }

    /// Moves time on, waking the core at each time it asked for.
    pub fn pass(&mut self, span: Span) {
        let until = self.now.after(span);
        loop {
            let wakes = self.orders.iter().filter_map(|order| match order {
                Decision::WakeAt(at) if *at > self.now && *at <= until => Some(*at),
                _ => None,
            });
            let Some(next) = wakes.min() else { break };
            self.now = next;
            self.event(Event::TimerFired);
        }
        self.now = until;
        self.event(Event::TimerFired);
    }

    pub fn row(&self, graph: GraphId, name: &str) -> TaskRow {
        let run = self.scheduler.graph(graph).expect("the graph is known");
        run.row(run.graph.find(name).unwrap_or_else(|| panic!("no task `{name}`")))
    }

    /// The word of a task's state, with the cause where there is one: `failed/user`.
    pub fn state(&self, graph: GraphId, name: &str) -> String {
        let row = self.row(graph, name);
        match &row.state {
            TaskState::Cancelled { cause } => format!("cancelled/{cause}"),
            TaskState::Failed => {
                format!("failed/{}", row.failure.map_or("?", |failure| failure.cause.word()))
            }
            TaskState::BackingOff { .. } => "waiting".to_owned(),
            other => other.word().to_owned(),
        }
    }

    pub fn states(&self, graph: GraphId, names: &[&str]) -> Vec<String> {
        names.iter().map(|name| self.state(graph, name)).collect()
    }

    pub fn graph_state(&self, graph: GraphId) -> GraphState {
        self.scheduler.graph(graph).expect("the graph is known").state()
    }

    /// The names of all tasks whose attempts run, over all graphs, sorted.
    pub fn running(&self) -> Vec<String> {
        let mut names: Vec<String> = self.open.keys().map(|attempt| self.name(*attempt)).collect();
        names.sort();
        names
    }

    fn name(&self, attempt: AttemptId) -> String {
        let run = self.scheduler.graph(attempt.task.graph).expect("the graph of an attempt is known");
        run.graph.task_name(attempt.task.index)
    }

    pub fn attempt(&self, name: &str) -> AttemptId {
        let found: Vec<AttemptId> = self.open.keys().copied().filter(|id| self.name(*id) == name).collect();
        assert_eq!(found.len(), 1, "`{name}` runs {} times; running: {:?}", found.len(), self.running());
        found[0]
    }

    pub fn placement(&self, name: &str) -> &Placement {
        &self.open[&self.attempt(name)]
    }

    pub fn ok(&mut self, name: &str) {
        let attempt = self.attempt(name);
        self.open.remove(&attempt);
        self.event(Event::Finished { attempt, usage: Usage::default() });
    }

    pub fn fail(&mut self, name: &str, cause: Cause) {
        let attempt = self.attempt(name);
        self.fail_attempt(attempt, cause);
    }

    pub fn fail_attempt(&mut self, attempt: AttemptId, cause: Cause) {
        self.open.remove(&attempt);
        self.event(Event::Failed { attempt, failure: Box::new(failure(cause)), usage: Usage::default() });
    }

    pub fn never_started(&mut self, name: &str) {
        let attempt = self.attempt(name);
        self.open.remove(&attempt);
        self.event(Event::NeverStarted { attempt });
    }

    /// The engine ends what it was told to end; processes die by the signal, of which they say `user`.
    pub fn carry_out_kills(&mut self) {
        for (attempt, _) in std::mem::take(&mut self.killed) {
            if self.open.contains_key(&attempt) {
                self.fail_attempt(attempt, Cause::User);
            }
        }
    }

    pub fn cancel(&mut self, graph: GraphId) {
        self.event(Event::Cancelled { graph, task: None });
    }

    pub fn task(&self, graph: GraphId, name: &str) -> u32 {
        self.scheduler.graph(graph).and_then(|run| run.graph.find(name)).expect("the task is known")
    }

    pub fn cancel_task(&mut self, graph: GraphId, name: &str) {
        let task = Some(self.task(graph, name));
        self.event(Event::Cancelled { graph, task });
    }

    pub fn retry(&mut self, graph: GraphId) {
        self.ended.remove(&graph);
        self.event(Event::Retried { graph, task: None });
    }

    pub fn sample(&mut self, device: DeviceId, health: Health, foreign: Bytes) {
        let mut sample = DeviceSample::health(device, health);
        sample.memory_used = Some(foreign);
        self.event(Event::DeviceSampled { sample: Box::new(sample), foreign });
    }

    /// Runs everything that is left to its good end.
    pub fn finish(&mut self) {
        for _ in 0..100_000 {
            let Some((attempt, _)) = self.open.pop_first() else { return };
            self.event(Event::Finished { attempt, usage: Usage::default() });
        }
        panic!("it does not end");
    }
}

pub const fn nth(attempt: AttemptId) -> u32 {
    let Attempt(n) = attempt.attempt;
    n
}
