//! The parts of a plan's document: what tasks hold and cost, the machine, the shape of the graph, and how one
//! strategy compares with others.

use dunnage_model::{Graph, Need, NodeSpec, Placement};
use dunnage_wire::api::{
    AnalysisDoc, LevelDoc, PathStepDoc, PlanDeviceDoc, PlanDoc, PlanFunctionDoc, PlanGpuDoc, PlanStrategyDoc,
    RedundantDoc,
};

/// Dependencies that need not be said; more are not listed.
const REDUNDANT_MAX: usize = 1000;

/// What a task holds while it runs, and what that costs by the second.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) cpus: f64,
    pub(super) memory_bytes: u64,
    pub(super) gpus: Vec<PlanGpuDoc>,
    /// Of its first GPU the part that it takes, by share or by memory; without one, its cores.
    pub(super) share: f64,
    pub(super) money_rate: f64,
    pub(super) watts: f64,
}

/// What a placement holds. A GPU that is shared counts by its share or by its memory, whichever is more.
pub(super) fn held(node: &NodeSpec, placement: Option<&Placement>) -> Held {
    let Some(placement) = placement else { return Held::default() };
    let cpus = f64::from(placement.cpus.0) / 1000.0;
    let mut held = Held {
        cpus,
        memory_bytes: placement.memory.0,
        gpus: Vec::with_capacity(placement.gpus.len()),
        share: cpus,
        money_rate: cpus * node.tariff.price(None),
        watts: cpus * node.tariff.power(None),
    };
    for (at, grant) in placement.gpus.iter().enumerate() {
        let gpu = node.gpu(grant.device);
        let memory = gpu.map_or(0.0, |gpu| grant.memory.0 as f64 / gpu.memory.0.max(1) as f64);
        let share = f64::from(grant.share.0) / 1000.0;
        let part = if grant.exclusive { 1.0 } else { memory.max(share).min(1.0) };
        if at == 0 {
            held.share = memory.max(share).min(1.0);
        }
        let name = Some(gpu.map_or("", |gpu| gpu.name.as_str()));
        held.money_rate += part * node.tariff.price(name);
        held.watts += part * node.tariff.power(name);
        held.gpus.push(PlanGpuDoc {
            device: grant.device.to_string(),
            share: if grant.exclusive { 1.0 } else { share },
            memory_bytes: grant.memory.0,
        });
    }
    held
}

/// Every device that work may be placed on.
pub(super) fn machine(node: &NodeSpec) -> Vec<PlanDeviceDoc> {
    let host = PlanDeviceDoc {
        device: dunnage_model::DeviceId::host(node.id).to_string(),
        name: node.cpu.model.clone(),
        cores: f64::from(node.cpu.capacity.0) / 1000.0,
        memory_bytes: node.memory.0,
    };
    let gpus = node.gpus.iter().filter(|gpu| gpu.allocatable).map(|gpu| PlanDeviceDoc {
        device: gpu.device.to_string(),
        name: gpu.name.clone(),
        cores: 0.0,
        memory_bytes: gpu.memory.0,
    });
    std::iter::once(host).chain(gpus).collect()
}

/// What the shape of a graph says, given how long each task takes.
pub(super) fn analysis(graph: &Graph, seconds: &[f64]) -> AnalysisDoc {
    let found = graph.analyse(|task| seconds.get(task as usize).copied().unwrap_or(0.0));
    let layers = found.folded.layers();
    let family = |function: u32| graph.family_name(function).to_owned();
    let bottlenecks = found.bottlenecks().into_iter().map(family).collect();
    let mut after: Vec<Vec<u32>> = vec![Vec::new(); graph.functions().len()];
    for edge in &found.folded.edges {
        after[edge.to as usize].push(edge.from);
    }
    let functions = graph.functions().iter().zip(&found.functions).zip(after).zip(0_u32..);
    let functions = functions.map(|(((function, share), after), at)| PlanFunctionDoc {
        id: function.id.clone(),
        family: family(at),
        instances: share.instances,
        layer: layers[at as usize],
        seconds: share.seconds,
        on_path: share.on_path,
        path_s: share.path_s,
        slack_s: if share.least_slack_s.is_finite() { share.least_slack_s } else { 0.0 },
        after,
    });
    let redundant = found.redundant.found.iter().take(REDUNDANT_MAX).map(|(function, need)| RedundantDoc {
        function: graph.functions()[*function as usize].id.clone(),
        after: match need {
            Need::Task(task) => graph.task_name(*task),
            Need::Group(group) | Need::GroupEnd(group) => {
                format!("{}[*]", family(graph.groups()[*group as usize].function))
            }
        },
    });
    let path = found.critical_path.iter().map(|task| PathStepDoc {
        id: graph.task_name(*task),
        family: graph.family(*task).to_owned(),
        seconds: seconds.get(*task as usize).copied().unwrap_or(0.0),
    });
    let levels = found.levels.iter().map(|level| LevelDoc {
        tasks: level.tasks,
        seconds: level.seconds,
        functions: level.functions.clone(),
    });
    AnalysisDoc {
        dependencies: graph.edges() as u64,
        components: found.components,
        sources: found.sources,
        sinks: found.sinks,
        work_s: found.work_s,
        critical_path_s: found.critical_path_s,
        parallelism: found.parallelism(),
        widest_level: found.widest().map_or(0, |(at, _)| at as u32),
        critical_path: path.collect(),
        bottlenecks,
        functions: functions.collect(),
        redundant: redundant.collect(),
        levels: levels.collect(),
    }
}

/// A line of the comparison.
pub(super) fn strategy(name: &str, doc: &PlanDoc) -> PlanStrategyDoc {
    let gpus = doc.machine.len().saturating_sub(1);
    let given: f64 =
        doc.devices.iter().filter(|device| device.device != "cpu").map(|device| device.allocated_ratio).sum();
    let cores = doc.machine.first().map_or(0.0, |host| host.cores);
    let core_seconds: f64 = doc.tasks.iter().map(|task| task.cpus * (task.end_s - task.start_s)).sum();
    PlanStrategyDoc {
        strategy: name.to_owned(),
        makespan_s: doc.makespan_s,
        money: doc.money,
        joules: doc.joules,
        gpu_ratio: (gpus > 0).then(|| given / gpus as f64),
        cpu_ratio: core_seconds / (cores * doc.makespan_s).max(1e-9),
    }
}
