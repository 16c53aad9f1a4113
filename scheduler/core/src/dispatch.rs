//! Offers ready tasks to their strategies, in order, and writes down what the ledger accepts.

use crate::estimate::Estimate;
use crate::plan::PlanProblem;
use crate::queue::{ClassId, QueueKey};
use crate::rng::Rng;
use crate::scheduler::Scheduler;
use crate::strategy::{Candidate, Proposal, View};
use dunnage_model::{Attempt, Basis, Decision, GraphId, Placement};
use std::sync::Arc;

/// At most this many attempts are placed at once, whatever they ask for: functions that need no core
/// would otherwise all be handed to the engine together.
const RUNNING_MAX: usize = 1024;

/// What a task of unknown length is planned with.
const UNKNOWN_SECONDS: f64 = 1.0;

impl Scheduler {
    pub(crate) fn dispatch(&mut self, out: &mut Vec<Decision>) {
        self.queue.reopen(self.ledger.generation);
        while self.ledger.holdings().len() < RUNNING_MAX {
            let Some((key, class)) = self.queue.first_open() else { return };
            self.offer(key, class, out);
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
            run.park(id.index, class, &mut parts);
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
        let variants = run.graph.function(task).variants.len() as u8;
        let estimates: Vec<Estimate> =
            (0..variants).map(|variant| self.estimates.predict(&run.graph, task, variant)).collect();
        let candidate =
            Candidate { graph: &run.graph, task, planned: run.planned(task), estimates: &estimates };
        let view = View { now: self.now, ledger: &self.ledger, estimates: &self.estimates };
        let mut rng = Rng::of(run.seed, u64::from(task));
        let chosen = self.strategies[run.strategy].choose(&view, &candidate, &options, &mut rng)?;
        let proposal = options.get(chosen)?;
        let request = run.request(task, proposal.variant);
        let cost = &run.graph.variant(task, proposal.variant).cost;
        match self.ledger.fit(&request, cost, proposal.variant, proposal.node, &proposal.gpus) {
            Ok(mut placement) => {
                let estimate = estimates.get(usize::from(proposal.variant)).copied().unwrap_or_default();
                placement.predicted = estimate.duration;
                placement.basis = estimate.basis;
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
            let request = run.request(task, variant);
            for node in self.ledger.nodes() {
                if pinned.is_some_and(|name| name != node.spec.name) {
                    continue;
                }
                for gpus in self.ledger.options(&request, node.spec.id) {
                    options.push(Proposal { variant, node: node.spec.id, gpus });
                }
            }
        }
        options
    }

    /// What a planner needs to know of a graph.
    pub fn plan_problem(&self, id: GraphId) -> Option<PlanProblem> {
        let run = self.graphs.get(&id)?;
        let graph = Arc::clone(&run.graph);
        let mut best = Basis::None;
        let seconds = (0..graph.functions().len() as u32)
            .map(|function| {
                let first = graph.instances(function).start;
                (0..graph.functions()[function as usize].variants.len() as u8)
                    .map(|variant| {
                        if graph.instances(function).is_empty() {
                            return UNKNOWN_SECONDS;
                        }
                        let estimate = self.estimates.predict(&graph, first, variant);
                        best = best.min(estimate.basis);
                        estimate.duration.map_or(UNKNOWN_SECONDS, |span| span.as_secs_f64().max(1e-6))
                    })
                    .collect()
            })
            .collect();
        Some(PlanProblem {
            nodes: self.ledger.nodes().map(|node| Arc::clone(&node.spec)).collect(),
            settled: run
                .slots
                .iter()
                .map(|slot| slot.state.is_final() || matches!(slot.state, dunnage_model::TaskState::Running(_)))
                .collect(),
            seconds,
            basis: best,
            seed: run.seed,
            graph,
        })
    }
}
