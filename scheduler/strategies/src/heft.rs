//! `heft`: tasks in descending order of their upward rank (the longest way to the end of the graph), each
//! on the variant and device where it ends earliest.
//!
//! Source: Topcuoglu, Hariri and Wu, "Performance-effective and low-complexity task scheduling for
//! heterogeneous computing", IEEE TPDS 13(3), 2002. Devices here hold several tasks at once, so a device
//! is a row of slots and a task takes as many as its largest fraction needs; a task is put after those
//! planned before it, without filling earlier gaps; moving values costs nothing yet. Cost: one sort, and for
//! each task one look at each device. Bad when estimates are wrong or missing: then all ranks are a
//! count of levels.

use crate::timeline::Timeline;
use dunnage_core::{Budget, Candidate, PlanProblem, Planner, Proposal, Rng, Strategy, View};
use dunnage_model::{
    Bytes, DeviceId, GpuRequest, GpuSpec, Graph, MilliShare, NodeSpec, Plan, PlannedPlace, Request,
};

/// Slots of a GPU: 5 % each.
const GPU_SLOTS: usize = 20;

/// Slots of a core.
const SLOTS_PER_CORE: usize = 4;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Heft;

impl Strategy for Heft {
    fn name(&self) -> &'static str {
        "heft"
    }

    fn needs_plan(&self, graph: &Graph) -> bool {
        graph.len() > 1
    }

    fn choose(
        &mut self,
        view: &View<'_>,
        task: &Candidate<'_>,
        options: &[Proposal],
        _: &mut Rng,
    ) -> Option<usize> {
        follow(view, task, options)
    }
}

/// Takes the place that the plan wants; waits for it while that device could take the task; without a plan,
/// or when it could not, takes the variant that is expected to end first.
pub(crate) fn follow(view: &View<'_>, task: &Candidate<'_>, options: &[Proposal]) -> Option<usize> {
    if let Some(place) = task.planned {
        let wanted = options
            .iter()
            .position(|option| option.variant == place.variant && option.main_device() == place.device)
            .or_else(|| {
                options
                    .iter()
                    .position(|option| option.variant == place.variant && option.gpus.contains(&place.device))
            });
        if wanted.is_some() {
            return wanted;
        }
        // Another device of the same kind that is free now is as good: a plan is made as if the machine were
        // empty, and holds nothing back from what is idle.
        let planned = place.end_s - place.start_s;
        let as_good =
            options.iter().position(|option| option.variant == place.variant || option.seconds() <= planned);
        if as_good.is_some() {
            return as_good;
        }
        // Where it could not go even if all of ours had ended (the device is not well, others use its memory,
        // the task has grown), waiting is in vain.
        let request = task.requests.get(usize::from(place.variant));
        if request.is_some_and(|request| view.ledger.could_take_when_idle(request, place.device)) {
            return None;
        }
    }
    let seconds = |(_, option): &(usize, &Proposal)| option.seconds();
    options.iter().enumerate().min_by(|a, b| seconds(a).total_cmp(&seconds(b))).map(|(at, _)| at)
}

impl Planner for Heft {
    fn name(&self) -> &'static str {
        "heft"
    }

    fn plan(&self, problem: &PlanProblem, _: &mut Budget<'_>) -> Plan {
        let topological = problem.graph.topological();
        let ranks = upward_ranks(problem, &topological);
        // A reader's rank is less than its producer's, except where a short time is lost in the sum with a
        // long one: sorted stably from a topological order, the producer still goes first.
        let mut order = topological;
        order.retain(|task| !problem.settled[*task as usize]);
        order.sort_by(|a, b| ranks[*b as usize].total_cmp(&ranks[*a as usize]));
        let mut plan = place_in_order(problem, &order, &ranks);
        "heft".clone_into(&mut plan.strategy);
        "longest way to the end first, each where it ends earliest".clone_into(&mut plan.why);
        plan
    }
}

/// For each task the seconds from its start to the end of the graph along the longest way, with the mean
/// time over its variants.
pub(crate) fn upward_ranks(problem: &PlanProblem, topological: &[u32]) -> Vec<f64> {
    let graph = &problem.graph;
    let mut ranks = vec![0.0_f64; graph.len() as usize];
    let mut behind_group = vec![0.0_f64; graph.groups().len()];
    let means: Vec<f64> = problem
        .seconds
        .iter()
        .map(|variants| {
            variants.iter().flatten().sum::<f64>() / variants.iter().flatten().count().max(1) as f64
        })
        .collect();
    for task in topological.iter().rev().copied() {
        let mut behind = graph.readers(task).iter().map(|reader| ranks[*reader as usize]).fold(0.0, f64::max);
        if let Some(group) = graph.group_of(task) {
            behind = behind.max(behind_group[group as usize]);
        }
        let rank = means[graph.function_index(task) as usize] + behind;
        ranks[task as usize] = rank;
        for need in graph.needs(task) {
            if let dunnage_model::Need::Group(group) | dunnage_model::Need::GroupEnd(group) = need {
                behind_group[*group as usize] = behind_group[*group as usize].max(rank);
            }
        }
    }
    ranks
}

/// Plans tasks one after another, each where it ends earliest; ties go to the first variant and device.
fn place_in_order(problem: &PlanProblem, order: &[u32], ranks: &[f64]) -> Plan {
    let graph = &problem.graph;
    let mut machine = Machine::new(&problem.nodes);
    // What each function may choose from does not depend on the instance.
    let mut choices: Vec<Option<Vec<Choice>>> = vec![None; graph.functions().len()];
    let mut ends = vec![0.0_f64; graph.len() as usize];
    let mut group_ends: Vec<Option<f64>> = vec![None; graph.groups().len()];
    let mut place = vec![None; graph.len() as usize];
    let mut makespan = 0.0_f64;
    for task in order {
        let mut ready = 0.0_f64;
        for need in graph.needs(*task) {
            ready = ready.max(match need {
                dunnage_model::Need::Task(producer) => ends[*producer as usize],
                dunnage_model::Need::Group(group) | dunnage_model::Need::GroupEnd(group) => {
                    *group_ends[*group as usize].get_or_insert_with(|| {
                        graph.members(*group).map(|member| ends[member as usize]).fold(0.0, f64::max)
                    })
                }
            });
        }
        let function = graph.function_index(*task) as usize;
        let choices = choices[function].get_or_insert_with(|| machine.choices(problem, *task));
        let mut best: Option<(f64, f64, &Choice)> = None;
        for choice in choices.iter() {
            let start = machine.start(ready, choice);
            let end =
                start + problem.seconds[function][usize::from(choice.variant)][problem.class(choice.device)];
            if best.is_none_or(|(least, ..)| end < least) {
                best = Some((end, start, choice));
            }
        }
        let Some((end, start, choice)) = best else { continue };
        machine.take(choice, start, end);
        ends[*task as usize] = end;
        makespan = makespan.max(end);
        place[*task as usize] =
            Some(PlannedPlace { variant: choice.variant, device: choice.device, start_s: start, end_s: end });
    }
    Plan {
        priority: ranks.to_vec(),
        place,
        makespan_s: makespan,
        is_informed: !problem.has_unknown,
        strategy: String::new(),
        why: String::new(),
        schedules: 1,
    }
}

/// The fraction of a GPU that a request takes; `None` where that GPU will not do.
type Fraction<'a> = dyn Fn(&GpuSpec) -> Option<f64> + 'a;

/// A way to place any instance of a function, in slots.
#[derive(Clone, Debug)]
struct Choice {
    variant: u8,
    device: DeviceId,
    /// Timelines by index, and how many slots of each.
    takes: Vec<(usize, usize)>,
}

/// All devices of all nodes as timelines.
struct Machine<'a> {
    nodes: &'a [std::sync::Arc<NodeSpec>],
    /// For each node the timelines of its cores, its memory and, in order, its GPUs.
    first: Vec<usize>,
    lines: Vec<Timeline>,
}

impl<'a> Machine<'a> {
    fn new(nodes: &'a [std::sync::Arc<NodeSpec>]) -> Self {
        let mut first = Vec::new();
        let mut lines = Vec::new();
        for node in nodes {
            first.push(lines.len());
            let cores = (node.cpu.capacity.0 as usize).div_ceil(1000);
            lines.push(Timeline::new((cores * SLOTS_PER_CORE).min(1024)));
            lines.push(Timeline::new(256));
            lines.extend(node.gpus.iter().map(|_| Timeline::new(GPU_SLOTS)));
        }
        Self { nodes, first, lines }
    }

    fn choices(&self, problem: &PlanProblem, task: u32) -> Vec<Choice> {
        let graph = &problem.graph;
        let mut choices = Vec::new();
        for variant in 0..graph.function(task).variants.len() as u8 {
            let request = graph.request(task, variant);
            for (at, node) in self.nodes.iter().enumerate() {
                self.choices_on(node, self.first[at], variant, request, &mut choices);
            }
        }
        choices
    }

    fn choices_on(
        &self,
        node: &NodeSpec,
        first: usize,
        variant: u8,
        request: &Request,
        out: &mut Vec<Choice>,
    ) {
        if request.cpus > node.cpu.capacity || request.memory > node.memory {
            return;
        }
        if request.custom.iter().any(|(name, amount)| node.custom.get(&**name).is_none_or(|has| has < amount))
        {
            return;
        }
        let cpu = f64::from(request.cpus.0) / f64::from(node.cpu.capacity.0.max(1));
        let memory = request.memory.0 as f64 / node.memory.0.max(1) as f64;
        let host = vec![
            (first, self.lines[first].slots_for(cpu)),
            (first + 1, self.lines[first + 1].slots_for(memory)),
        ];
        let (count, fraction): (usize, Box<Fraction<'_>>) = match &request.gpu {
            GpuRequest::None => {
                out.push(Choice { variant, device: DeviceId::host(node.id), takes: host });
                return;
            }
            GpuRequest::Whole { count, memory, fit } => (
                usize::from(*count),
                Box::new(move |gpu| (fits(gpu, fit) && *memory <= gpu.memory).then_some(1.0)),
            ),
            GpuRequest::Part { share, memory, fit } => (
                1,
                Box::new(move |gpu| {
                    let part = part(gpu, *share, *memory);
                    (fits(gpu, fit) && part <= 1.0).then_some(part)
                }),
            ),
        };
        let able: Vec<(usize, f64)> =
            node.gpus.iter().enumerate().filter_map(|(at, gpu)| Some((at, fraction(gpu)?))).collect();
        if able.len() < count {
            return;
        }
        // For several GPUs: each run of neighbours.
        for window in able.windows(count) {
            let mut takes = host.clone();
            takes.extend(
                window
                    .iter()
                    .map(|(at, part)| (first + 2 + at, self.lines[first + 2 + at].slots_for(*part).max(1))),
            );
            out.push(Choice { variant, device: node.gpus[window[0].0].device, takes });
        }
    }

    fn start(&self, ready: f64, choice: &Choice) -> f64 {
        choice.takes.iter().fold(ready, |at, (line, slots)| self.lines[*line].start(at, *slots))
    }

    fn take(&mut self, choice: &Choice, start: f64, end: f64) {
        for (line, slots) in &choice.takes {
            self.lines[*line].take(*slots, start, end);
        }
    }
}

fn fits(gpu: &GpuSpec, fit: &dunnage_model::GpuFit) -> bool {
    gpu.allocatable
        && fit.compute_capability.is_none_or(|least| gpu.compute_capability.is_some_and(|has| has >= least))
        && fit.model.as_ref().is_none_or(|model| gpu.name.to_lowercase().contains(&**model))
}

/// The larger of the fractions of memory and share.
fn part(gpu: &GpuSpec, share: MilliShare, memory: Option<Bytes>) -> f64 {
    let share = f64::from(share.0) / 1000.0;
    memory.map_or(share, |memory| share.max(memory.0 as f64 / gpu.memory.0.max(1) as f64))
}
