//! Offers ready tasks to their strategies, in order, and writes down what the ledger accepts.

use crate::estimate::Estimate;
use crate::queue::{ClassId, QueueKey};
use crate::rng::Rng;
use crate::scheduler::Scheduler;
use crate::strategy::{Candidate, Proposal, View};
use dunnage_model::{Attempt, Decision, DeviceId, GraphId, NodeId, Placement, Request};

/// At most this many attempts are placed at once, whatever they ask for: functions that need no core
/// would otherwise all be handed to the engine together.
const RUNNING_MAX: usize = 1024;

impl Scheduler {
    pub(crate) fn dispatch(&mut self, out: &mut Vec<Decision>) {
        self.queue.reopen(self.ledger.generation);
        loop {
            while self.ledger.holdings().len() < RUNNING_MAX {
                let Some((key, class)) = self.queue.first_open() else { break };
                self.offer(key, class, out);
            }
            // Where nothing runs, no release will come that gives those further behind their turn.
            if self.ledger.holdings().len() > 0 || !self.queue.reopen_more() {
                return;
            }
        }
    }

    /// One task is placed, or its class is set aside, or it is taken out of the queue: each makes the
    /// list of open classes shorter, so `dispatch` ends.
    fn offer(&mut self, key: QueueKey, class: ClassId, out: &mut Vec<Decision>) {
        let id = key.task();
        let Some((run, mut parts)) = self.run_and_parts(id.graph, out) else {
            self.queue.remove(class, key);
            return;
        };
        if run.is_at_limit(id.index) {
            run.park(id.index, &mut parts);
            return;
        }
        let Some(placement) = self.propose(id.graph, id.index) else {
            self.queue.block(class);
            return;
        };
        let Some(run) = self.graphs.get_mut(&id.graph) else { return };
        let strategy = self.strategies[run.strategy].name();
        match self.totals.placements.get_mut(strategy) {
            Some(count) => *count += 1,
            None => {
                self.totals.placements.insert(strategy.to_owned(), 1);
            }
        }
        let last = run.slots[id.index as usize].record.as_ref().map_or(0, |record| record.last_attempt);
        let attempt = id.attempt(Attempt(last).next());
        self.placed(attempt, placement.clone(), out);
        out.push(Decision::Start { attempt, placement: Box::new(placement) });
    }

    /// The placement that the graph's strategy wants for a task now and the ledger agrees to.
    fn propose(&mut self, graph: GraphId, task: u32) -> Option<Placement> {
        let run = self.graphs.get(&graph)?;
        let options = self.options(graph, task);
        if options.is_empty() {
            return None;
        }
        let tries = self.to_try(graph, task, &options);
        let variants = run.graph.function(task).variants.len() as u8;
        let requests: Vec<Request> = (0..variants)
            .map(|variant| {
                let node = run.planned(task).map_or(NodeId::LOCAL, |place| place.device.node);
                self.request_on(run, task, variant, node)
            })
            .collect();
        let candidate = Candidate { task, planned: run.planned(task), requests: &requests };
        let view = View { now: self.now, ledger: &self.ledger, estimates: &self.estimates };
        let mut rng = Rng::of(run.seed, u64::from(task));
        let strategy = &mut self.strategies[run.strategy];
        let to_try = tries.as_deref().and_then(|tries| {
            let chosen = strategy.choose(&view, &candidate, tries, &mut rng)?;
            tries.get(chosen).cloned()
        });
        let tried = to_try.is_some();
        let proposal = match to_try {
            Some(proposal) => proposal,
            None => options.get(strategy.choose(&view, &candidate, &options, &mut rng)?)?.clone(),
        };
        let request = self.request_on(run, task, proposal.variant, proposal.node);
        let cost = &run.graph.variant(task, proposal.variant).cost;
        match self.ledger.fit(&request, cost, proposal.variant, proposal.node, &proposal.gpus) {
            Ok(mut placement) => {
                placement.predicted = proposal.estimate.duration;
                placement.basis = proposal.estimate.basis;
                self.note_way(graph, task, &options, &proposal, tried);
                Some(placement)
            }
            Err(_) => {
                self.totals.refused_proposals += 1;
                None
            }
        }
    }

    /// The ways to place a task that fit now, by variant, node and device.
    pub(crate) fn options(&self, graph: GraphId, task: u32) -> Vec<Proposal> {
        let Some(run) = self.graphs.get(&graph) else { return Vec::new() };
        let function = run.graph.function(task);
        let pinned = function.extras.as_ref().and_then(|extras| extras.node.as_deref());
        let mut options = Vec::new();
        for variant in 0..function.variants.len() as u8 {
            for node in self.ledger.nodes() {
                let request = self.request_on(run, task, variant, node.spec.id);
                if pinned.is_some_and(|name| name != node.spec.name) {
                    continue;
                }
                // Devices of one class follow each other, and what is expected is the same on all of them.
                let mut known: Option<(&str, Estimate)> = None;
                for gpus in self.ledger.options(&request, node.spec.id) {
                    let device = gpus.first().copied().unwrap_or(DeviceId::host(node.spec.id));
                    let class = node.spec.class(device);
                    let estimate = match known {
                        Some((same, estimate)) if same == class => estimate,
                        _ => self.estimates.predict(&run.graph, task, variant, class),
                    };
                    known = Some((class, estimate));
                    options.push(Proposal { variant, node: node.spec.id, gpus, estimate, transfer_s: 0.0 });
                }
            }
        }
        options
    }
}
