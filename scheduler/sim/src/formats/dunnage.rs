//! Graph files of this project: the daemon's own way from a graph to a planning problem.
//!
//! The graph is submitted to a scheduler that knows the machine, and held; what its planner would be given
//! is taken from there.

use super::{Case, Facts, Format, FormatError, Machine, TaskNames};
use crate::online::{Shape, Site, Way};
use dunnage_core::{PlanProblem, Scheduler};
use dunnage_model::{DeviceId, Event, Graph, GraphId, NodeId, NodeSpec, Owner, Submission, Time};
use dunnage_strategies::planning::{Planned, from_problem};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a graph's planner is given, and what its numbers mean.
#[derive(Clone, Debug)]
pub struct GraphCase {
    /// The graph and the machine, and what is expected of them.
    pub problem: Arc<PlanProblem>,
    /// For each task of the instance the task of the graph.
    pub tasks: Vec<u32>,
    /// For each device of the instance its id.
    pub devices: Vec<DeviceId>,
    /// The machine as the ledger has it.
    pub site: Site,
}

pub(super) fn case(
    name: &str,
    graph: Arc<Graph>,
    node: Arc<NodeSpec>,
    seed: u64,
) -> Result<Case, FormatError> {
    let mut core = Scheduler::new(dunnage_strategies::strategies());
    let id = GraphId(1);
    core.replay(Time::ZERO, Event::NodeSeen(node));
    let submission = Submission {
        id,
        graph: Arc::clone(&graph),
        owner: Owner(0),
        seed,
        held: true,
        sealed: true,
        trace: None,
    };
    core.replay(Time::ZERO, Event::Submitted(Box::new(submission)));
    let Some(problem) = core.plan_problem(id) else {
        return Err(FormatError::new(name, "", "the graph is empty"));
    };
    let planned = from_problem(&problem);
    if planned.tasks.len() != graph.len() as usize {
        let left_out = (0..graph.len()).find(|task| planned.tasks.binary_search(task).is_err());
        return Err(FormatError::new(name, "", "nothing here could ever run this function")
            .value(left_out.map(|task| graph.task_name(task)).unwrap_or_default())
            .hint("`dunnage devices` shows what this machine has"));
    }
    let names: Vec<String> = planned.tasks.iter().map(|task| graph.task_name(*task)).collect();
    let site = site(&problem, &planned);
    let Planned { instance, tasks, devices, .. } = planned;
    instance.check().map_err(|why| FormatError::new(name, "", why))?;
    let facts = Facts {
        tasks: names.len() as u32,
        names: TaskNames::Names(names),
        edges: Vec::new(),
        machine: Machine::Graph,
    };
    let graph = GraphCase { problem: Arc::new(problem), tasks, devices, site };
    Ok(Case { name: name.to_owned(), format: Format::Dunnage, facts, instance, graph: Some(Box::new(graph)) })
}

/// The ways to ask the ledger for each kind's modes. A mode says what it takes; on which GPUs that is, the
/// names of the resources say.
fn site(problem: &PlanProblem, planned: &Planned) -> Site {
    let mut gpu_of: BTreeMap<String, DeviceId> = BTreeMap::new();
    for node in &problem.nodes {
        for gpu in &node.gpus {
            for what in ["share", "memory"] {
                gpu_of.insert(format!("{} {} {what}", node.name, gpu.device), gpu.device);
            }
        }
    }
    let instance = &planned.instance;
    let on_gpu: Vec<Option<DeviceId>> =
        instance.resources.iter().map(|resource| gpu_of.get(&resource.name).copied()).collect();
    let mut task_of: Vec<Option<u32>> = vec![None; instance.kinds.len()];
    for (task, kind) in planned.tasks.iter().zip(&instance.kind_of) {
        task_of[*kind as usize].get_or_insert(*task);
    }
    let shapes = instance.kinds.iter().zip(&task_of).map(|(kind, task)| match task {
        None => Shape::default(),
        Some(task) => Shape::new(&kind.modes, |mode| {
            let main = planned.devices[mode.device as usize];
            let mut gpus: Vec<DeviceId> =
                mode.takes.iter().filter_map(|(resource, _)| on_gpu[*resource as usize]).collect();
            if gpus.is_empty() && !main.is_host() {
                gpus.push(main);
            }
            gpus.dedup();
            Way { request: problem.graph.request(*task, mode.variant).clone(), node: main.node, gpus }
        }),
    });
    Site {
        shapes: shapes.collect(),
        shape_of_kind: (0..instance.kinds.len() as u32).collect(),
        nodes: problem.nodes.clone(),
    }
}

impl GraphCase {
    /// The node that everything is on, where there is one alone.
    pub fn node(&self, id: NodeId) -> Option<&Arc<NodeSpec>> {
        self.problem.nodes.iter().find(|node| node.id == id)
    }
}
