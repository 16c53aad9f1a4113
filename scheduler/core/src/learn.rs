//! Where the scheduler and its estimates meet: what ended attempts teach, what a task is given to reserve,
//! when something is tried for the sake of knowing.

use crate::estimate::{Learned, Observed, explore};
use crate::ledger::NodeLedger;
use crate::run::GraphRun;
use crate::scheduler::Scheduler;
use crate::strategy::Proposal;
use dunnage_model::{
    AttemptId, Bytes, Failure, GpuRequest, Graph, GraphId, NodeId, Placement, Request, Running, Span, Usage,
};

impl Scheduler {
    /// Takes in an attempt that has ended, with its failure if it failed.
    pub(crate) fn learn(
        &mut self,
        id: AttemptId,
        running: &Running,
        failure: Option<&Failure>,
        usage: &Usage,
    ) {
        let Some(run) = self.graphs.get(&id.task.graph) else { return };
        let placement = &running.placement;
        let node = self.ledger.node(placement.node);
        let took: Span = self.now.since(running.started_at.unwrap_or(running.placed_at));
        let observed = Observed {
            graph: &run.graph,
            task: id.task.index,
            placement,
            class: node.map_or("", |node| node.spec.class(placement.main_device())),
            took,
            usage,
        };
        match failure {
            None => self.estimates.observe(self.now, &observed),
            Some(failure) => self.estimates.observe_failure(self.now, &observed, failure),
        }
    }

    /// Among the options for a task those that are to be tried now, if any are: a strategy then chooses
    /// among these alone.
    pub(crate) fn to_try(&self, graph: GraphId, task: u32, options: &[Proposal]) -> Option<Vec<Proposal>> {
        let run = self.graphs.get(&graph)?;
        let way = |proposal: &Proposal| self.way(&run.graph, task, proposal);
        let tried = self.estimates.try_now(run.seed, &run.graph, task, options, &way)?;
        Some(options.iter().filter(|option| way(option) == tried).cloned().collect())
    }

    /// Notes which of several ways a task was placed in.
    pub(crate) fn note_way(
        &mut self,
        graph: GraphId,
        task: u32,
        options: &[Proposal],
        chosen: &Proposal,
        tried: bool,
    ) {
        let Some(run) = self.graphs.get(&graph) else { return };
        let way = self.way(&run.graph, task, chosen);
        if tried || options.iter().any(|option| self.way(&run.graph, task, option) != way) {
            let graph = std::sync::Arc::clone(&run.graph);
            self.estimates.note_choice(&graph, task, way, tried);
        }
    }

    fn way(&self, graph: &Graph, task: u32, proposal: &Proposal) -> explore::Way {
        let node = self.ledger.node(proposal.node);
        explore::way_of(node.map(|node| &*node.spec), graph, task, proposal)
    }

    /// What a variant of a task asks of this node: as declared, grown after out-of-memory as far as the node
    /// reaches; what earlier runs have used where nothing was declared, or less than that.
    pub(crate) fn request_on(&self, run: &GraphRun, task: u32, variant: u8, node: NodeId) -> Request {
        let mut request = run.request(task, variant);
        let factor = run.slots()[task as usize].memory_factor();
        if factor > 1.0 {
            request = self.ledger.cut(request, run.graph.request(task, variant), node);
        }
        if factor <= 1.0 {
            reserve_less(&mut request, &self.estimates.instead_of_declared(&run.graph, task, variant));
        }
        let learned = self.learned(run, task, variant, &request);
        let Some(node) = self.ledger.node(node) else { return request };
        reserve_learned(request, &learned, factor, node)
    }

    /// What was learned of the memory of a task, as far as it was not declared.
    fn learned(&self, run: &GraphRun, task: u32, variant: u8, request: &Request) -> Learned {
        learned_of(&self.estimates, run, task, variant, request)
    }

    /// Where RAM is what a task waits for: how much, how that is known, and how much there is.
    pub(crate) fn memory_story(
        &self,
        run: &GraphRun,
        task: u32,
        variant: u8,
        request: &Request,
        node: &NodeLedger,
    ) -> Option<String> {
        if !node.lacks_memory(request) {
            return None;
        }
        let learned = self.learned(run, task, variant, &run.request(task, variant));
        let declared = run.request(task, variant).memory;
        let less = self.estimates.instead_of_declared(&run.graph, task, variant).memory;
        let known = match learned.memory {
            None => match less.filter(|_| request.memory < declared) {
                Some((_, runs)) => format!("learned from {runs} runs; {declared} declared"),
                None => "declared".to_owned(),
            },
            Some((_, 0)) => "learned from a run that did not have enough".to_owned(),
            Some((_, 1)) => "learned from one run".to_owned(),
            Some((_, runs)) => format!("learned from {runs} runs"),
        };
        let mut story =
            format!("waits for memory: needs {} ({known}), {}", request.memory, node.memory_in_words());
        if node.is_beyond_others(request) {
            story += "; it starts where nothing of ours has run for a minute, since it fits the machine";
        }
        Some(story)
    }

    /// What is expected of tasks, to be given a history or asked for changes of it.
    pub fn estimates_mut(&mut self) -> &mut crate::estimate::Estimates {
        &mut self.estimates
    }
}

/// What was learned of the memory of a task, as far as it was not declared.
fn learned_of(
    estimates: &crate::estimate::Estimates,
    run: &GraphRun,
    task: u32,
    variant: u8,
    request: &Request,
) -> Learned {
    let undeclared = run.graph.variant(task, variant).cost.memory.is_none();
    let by_share = matches!(request.gpu, GpuRequest::Part { memory: None, .. });
    if !undeclared && !by_share {
        return Learned::default();
    }
    let learned = estimates.learned_memory(&run.graph, task, variant);
    Learned {
        memory: learned.memory.filter(|_| undeclared),
        gpu_memory: learned.gpu_memory.filter(|_| by_share),
    }
}

/// A request by which tasks are told apart in the queue: with what was learned, whatever node it may be for.
pub(crate) fn class_request(
    estimates: &crate::estimate::Estimates,
    run: &GraphRun,
    task: u32,
    variant: u8,
) -> Request {
    let mut request = run.request(task, variant);
    if run.slots()[task as usize].memory_factor() <= 1.0 {
        reserve_less(&mut request, &estimates.instead_of_declared(&run.graph, task, variant));
    }
    let learned = learned_of(estimates, run, task, variant, &request);
    if let Some((memory, _)) = learned.memory {
        request.memory = request.memory.max(memory);
    }
    if let (Some((learned, _)), GpuRequest::Part { memory, .. }) = (learned.gpu_memory, &mut request.gpu) {
        memory.get_or_insert(learned);
    }
    request
}

/// Puts what was learned in the place of a declaration that is larger.
fn reserve_less(request: &mut Request, learned: &Learned) {
    if let Some((memory, _)) = learned.memory {
        request.memory = request.memory.min(memory);
    }
    if let (Some((learned, _)), GpuRequest::Part { memory: Some(memory), .. }) =
        (learned.gpu_memory, &mut request.gpu)
    {
        *memory = learned.min(*memory);
    }
}

/// A request with what was learned put in where nothing was declared. What the node could not give if it were
/// idle is not asked for, since that would be waited for without end.
fn reserve_learned(mut request: Request, learned: &Learned, factor: f64, node: &NodeLedger) -> Request {
    if let Some((memory, _)) = learned.memory {
        request.memory = request.memory.max(memory.scaled(factor).min(node.memory_when_idle()));
    }
    let (Some((wanted, _)), GpuRequest::Part { share, memory: memory @ None, fit }) =
        (learned.gpu_memory, &mut request.gpu)
    else {
        return request;
    };
    // Of the GPUs that would do alone: what another kind has used is no reason to wait for it.
    let wanted = wanted.scaled(factor).min(node.gpu_memory_when_idle(fit).unwrap_or_default());
    // A share stands for the same share of the memory; only more than that is asked for besides.
    let by_share = node.able_gpus(fit).map(|(_, spec)| spec.memory.scaled(f64::from(share.0) / 1000.0)).max();
    if wanted > by_share.unwrap_or(Bytes::ZERO) {
        *memory = Some(wanted);
    }
    request
}

/// Whether a placement reserves what was learned rather than what was declared.
pub(crate) fn is_learned(graph: &Graph, task: u32, placement: &Placement) -> bool {
    let declared = graph.variant(task, placement.variant).cost.memory;
    declared.is_none_or(|declared| placement.memory < declared) && placement.memory > Bytes::ZERO
}
