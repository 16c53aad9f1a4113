//! The port of the planners: a whole graph in, a plan out. They run beside the loop, never in it.

use crate::ledger::{GpuLedger, NodeLedger};
use crate::scheduler::Scheduler;
use dunnage_model::{
    Basis, Bytes, DeviceId, DeviceKind, Graph, GraphId, Health, NodeSpec, Placement, Plan, TaskState,
};
use std::sync::Arc;

/// What a task of unknown length is planned with.
const UNKNOWN_SECONDS: f64 = 1.0;

/// Makes a schedule for a whole graph. Pure: the same problem, seed and number of schedules give the same
/// plan.
pub trait Planner: Send + Sync {
    /// The name of graph file and CLI.
    fn name(&self) -> &'static str;

    /// Makes the plan, within a budget where it searches.
    fn plan(&self, problem: &PlanProblem, budget: &mut Budget<'_>) -> Plan;
}

/// How long a search may go on. It is counted in schedules, so that the same number gives the same plan
/// on any machine; a clock is only an upper bound that the caller brings.
pub struct Budget<'a> {
    /// At most this many whole schedules are made.
    pub schedules: u64,
    clock: Option<&'a mut dyn FnMut() -> bool>,
    on_plan: Option<&'a mut dyn FnMut(f64)>,
}

impl<'a> Budget<'a> {
    /// A budget of schedules alone.
    pub fn of(schedules: u64) -> Self {
        Self { schedules, clock: None, on_plan: None }
    }

    /// The same with an upper bound: `is_over` tells whether time is over. It is asked about once a
    /// schedule, so it must cost next to nothing.
    pub fn with_clock(schedules: u64, is_over: &'a mut dyn FnMut() -> bool) -> Self {
        Self { schedules, clock: Some(is_over), on_plan: None }
    }

    /// Has `on_plan` called with the makespan in seconds of the first plan that a search has: where a
    /// graph is short, its caller may stop the search earlier.
    #[must_use]
    pub fn and_tell(self, on_plan: &'a mut dyn FnMut(f64)) -> Self {
        Self { on_plan: Some(on_plan), ..self }
    }

    /// Told by a search as soon as it has a plan, with its makespan in seconds.
    pub fn has_plan(&mut self, makespan_s: f64) {
        if let Some(on_plan) = self.on_plan.take() {
            on_plan(makespan_s);
        }
    }

    /// Whether time is over.
    pub fn is_over(&mut self) -> bool {
        self.clock.as_mut().is_some_and(|is_over| is_over())
    }
}

impl std::fmt::Debug for Budget<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Budget").field("schedules", &self.schedules).finish_non_exhaustive()
    }
}

/// What a planner is given: a copy of what it needs, so that the loop goes on meanwhile.
#[derive(Clone, Debug)]
pub struct PlanProblem {
    /// The graph.
    pub graph: Arc<Graph>,
    /// The machines.
    pub nodes: Vec<Arc<NodeSpec>>,
    /// For each task whether it has ended or is running and is not to be planned.
    pub settled: Vec<bool>,
    /// What other tasks, of this graph or not, hold now and for how long yet.
    pub busy: Vec<Busy>,
    /// The classes of devices that the nodes have, see [`NodeSpec::class`].
    pub classes: Vec<String>,
    /// For each function, each of its variants and each class, the seconds that an instance is expected to
    /// take.
    pub seconds: Vec<Vec<Vec<f64>>>,
    /// On what these rest, at best.
    pub basis: Basis,
    /// Whether nothing at all is known of some of them.
    pub has_unknown: bool,
    /// For choices that are free.
    pub seed: u64,
}

/// A placement that is in force while a plan is made.
#[derive(Clone, PartialEq, Debug)]
pub struct Busy {
    /// The task, where it belongs to the graph that is planned.
    pub task: Option<u32>,
    /// What it holds.
    pub placement: Placement,
    /// Seconds from now until it is expected to end.
    pub left_s: f64,
}

impl PlanProblem {
    /// The index of a device's class in `classes`.
    pub fn class(&self, device: DeviceId) -> usize {
        let node = self.nodes.iter().find(|node| node.id == device.node);
        let class = node.map_or("", |node| node.class(device));
        self.classes.iter().position(|known| known == class).unwrap_or(0)
    }
}

impl Scheduler {
    /// What a planner needs to know of a graph.
    pub fn plan_problem(&self, id: GraphId) -> Option<PlanProblem> {
        let run = self.graphs.get(&id)?;
        let graph = Arc::clone(&run.graph);
        let nodes: Vec<Arc<NodeSpec>> = self.ledger.nodes().filter(|node| node.up).map(as_it_is).collect();
        let mut classes: Vec<String> = Vec::new();
        for node in &nodes {
            let devices =
                std::iter::once(DeviceId::host(node.id)).chain(node.gpus.iter().map(|gpu| gpu.device));
            for device in devices {
                let class = node.class(device);
                if !classes.iter().any(|known| known == class) {
                    classes.push(class.to_owned());
                }
            }
        }
        let kinds: Vec<(bool, bool)> = classes.iter().map(|class| kinds_of(&nodes, class)).collect();
        let mut best = Basis::None;
        let mut has_unknown = false;
        let seconds = (0..graph.functions().len() as u32)
            .map(|function| {
                let mut times = self.times(&graph, function, &classes, &kinds, &mut best);
                has_unknown |= fill_unknown(&mut times) && !graph.instances(function).is_empty();
                times
            })
            .collect();
        Some(PlanProblem {
            nodes,
            settled: run
                .slots
                .iter()
                .map(|slot| slot.state.is_final() || matches!(slot.state, TaskState::Running(_)))
                .collect(),
            busy: self.busy(id),
            classes,
            seconds,
            basis: best,
            has_unknown,
            seed: run.seed,
            graph,
        })
    }

    /// For each variant of a function and each class the predicted seconds; infinite where nothing is known,
    /// and zero where devices of the class do not run such variants.
    fn times(
        &self,
        graph: &Graph,
        function: u32,
        classes: &[String],
        kinds: &[(bool, bool)],
        best: &mut Basis,
    ) -> Vec<Vec<f64>> {
        let instances = graph.instances(function);
        let variants = &graph.functions()[function as usize].variants;
        let mut time = |variant: u8, kind: DeviceKind, at: usize| {
            let runs_there = if kind == DeviceKind::Cpu { kinds[at].0 } else { kinds[at].1 };
            if instances.is_empty() || !runs_there {
                return 0.0;
            }
            let estimate = self.estimates.predict(graph, instances.start, variant, &classes[at]);
            *best = (*best).min(estimate.basis);
            estimate.duration.map_or(f64::INFINITY, |span| span.as_secs_f64().max(1e-6))
        };
        (0_u8..)
            .zip(variants)
            .map(|(at, variant)| (0..classes.len()).map(|class| time(at, variant.kind, class)).collect())
            .collect()
    }

    /// Who holds what, and how long yet: what is overdue is expected to end soon.
    fn busy(&self, id: GraphId) -> Vec<Busy> {
        self.ledger
            .holdings()
            .map(|(attempt, placement)| {
                let slot = self
                    .graphs
                    .get(&attempt.task.graph)
                    .and_then(|run| run.slots.get(attempt.task.index as usize));
                let began = slot.and_then(|slot| match &slot.state {
                    TaskState::Running(running) => Some(running.started_at.unwrap_or(running.placed_at)),
                    _ => None,
                });
                let ran = began.map_or(0.0, |began| self.now.since(began).as_secs_f64());
                let predicted = placement.predicted.map_or(UNKNOWN_SECONDS, |span| span.as_secs_f64());
                Busy {
                    task: (attempt.task.graph == id).then_some(attempt.task.index),
                    placement: placement.clone(),
                    left_s: (predicted - ran).max(0.1 * predicted),
                }
            })
            .collect()
    }
}

/// Whether a class is that of some node's cores, and that of some GPU.
fn kinds_of(nodes: &[Arc<NodeSpec>], class: &str) -> (bool, bool) {
    let cores = nodes.iter().any(|node| node.cpu.model == class);
    let gpus = nodes.iter().flat_map(|node| &node.gpus).any(|gpu| gpu.name == class);
    (cores, gpus)
}

/// Gives the ways to run a function of which nothing is known the longest time that is known of another, so
/// that a plan does not prefer them for that: trying them is for exploration. Where nothing is known at all,
/// all are alike. Returns whether that is so.
fn fill_unknown(times: &mut [Vec<f64>]) -> bool {
    let known = times.iter().flatten().copied().filter(|time| time.is_finite()).fold(0.0, f64::max);
    for time in times.iter_mut().flatten().filter(|time| !time.is_finite()) {
        *time = if known > 0.0 { known } else { UNKNOWN_SECONDS };
    }
    known == 0.0
}

/// A node as plans see it now: a GPU that takes no work is not there for them, and memory that strangers
/// hold is not either.
fn as_it_is(node: &NodeLedger) -> Arc<NodeSpec> {
    let is_free = |gpu: &GpuLedger| {
        gpu.health == Health::Ok && gpu.held_elsewhere.is_none() && gpu.foreign == Bytes::ZERO
    };
    if node.foreign == Bytes::ZERO && node.gpus.iter().all(is_free) {
        return Arc::clone(&node.spec);
    }
    let mut spec = NodeSpec::clone(&node.spec);
    spec.memory = spec.memory.saturating_sub(node.foreign);
    for (gpu, seen) in node.gpus.iter().zip(&mut spec.gpus) {
        seen.allocatable &= gpu.health == Health::Ok && gpu.held_elsewhere.is_none();
        seen.memory = seen.memory.saturating_sub(gpu.foreign);
    }
    Arc::new(spec)
}
