//! Graphs in layers, made from a seed: for planners as instances on processors, and as users write them.

use dunnage_core::{PlanProblem, Rng};
use dunnage_model::{
    ArgSpec, Basis, Bytes, Cost, DeviceKind, FunctionSpec, Graph, GraphSpec, Limits, MilliCores, MilliShare,
    NodeSpec, OutputKind, OutputSpec, Problem, Span, VariantSpec,
};
use dunnage_strategies::planning::{Device, Edge, Instance, Kind, Mode, Resource, Rows, Transfers};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One first and one last task and between them layers as wide as the square root of their number; each
/// task reads from one to three of the layer before. Processors differ eightfold in speed, links fourfold.
pub fn on_processors(tasks: usize, processors: usize, seed: u64) -> Instance {
    let mut rng = Rng::new(seed);
    let mut number = |least: f64, more: f64| least + more * rng.unit();
    let costs: Vec<f64> = (0..tasks).map(|_| number(1.0, 99.0)).collect();
    let width = ((tasks as f64).sqrt() as usize).max(2);
    let last = tasks - 1;
    let mut parents: Vec<BTreeMap<u32, f64>> = vec![BTreeMap::new(); tasks];
    let mut has_reader = vec![false; tasks];
    let (mut before, mut at) = (0..1, 1);
    while at < tasks {
        let layer = if at < last { at..(at + width).min(last) } else { at..tasks };
        for task in layer.clone() {
            let edges = if before.len() > 1 { 1 + number(0.0, 3.0) as usize } else { 1 };
            for _ in 0..edges {
                let parent = before.start + number(0.0, before.len() as f64) as usize;
                let size = number(1.0, 49.0);
                parents[task].entry(parent as u32).or_insert(size);
                has_reader[parent] = true;
            }
        }
        at = layer.end;
        before = layer;
    }
    for task in (0..last).filter(|task| !has_reader[*task]) {
        parents[last].insert(task as u32, number(1.0, 49.0));
    }
    let speeds: Vec<f64> = (0..processors).map(|_| number(0.5, 3.5)).collect();
    let mut transfers = Transfers::free(processors);
    for one in 0..processors {
        for other in one + 1..processors {
            let per_unit = 1.0 / number(0.5, 1.5);
            transfers.set(one, other, per_unit, 0.0);
            transfers.set(other, one, per_unit, 0.0);
        }
    }
    let mut rows: Rows<Edge> = Rows::default();
    for row in parents {
        rows.push(row.into_iter().map(|(node, size)| Edge { node, size }));
    }
    let modes = |cost: f64| {
        let mode = |(device, speed): (usize, &f64)| Mode {
            variant: 0,
            device: device as u32,
            seconds: cost / speed,
            takes: [(device as u32, 1)].into(),
            price: 0.0,
            joules: 0.0,
        };
        speeds.iter().enumerate().map(mode).collect()
    };
    Instance {
        devices: (0..processors as u32).map(|place| Device { name: format!("p{place}"), place }).collect(),
        resources: (0..processors).map(|at| Resource { name: format!("p{at}"), capacity: 1 }).collect(),
        kinds: costs.iter().map(|cost| Kind { modes: modes(*cost) }).collect(),
        kind_of: (0..tasks as u32).collect(),
        children: rows.reversed(tasks),
        parents: rows,
        transfers,
        ..Instance::default()
    }
}

/// Layers of a hundred functions, each after two of the layer before, on a part of one of eight GPUs or on
/// some of 64 cores, with RAM, values of some size, and a time of its own.
pub fn of_a_user(functions: usize) -> Result<PlanProblem, Vec<Problem>> {
    let mut rng = Rng::new(7);
    let functions = (0..functions)
        .map(|at| {
            let base = (at / 100 * 100).saturating_sub(100);
            let arg =
                |from: usize| ArgSpec { producer: format!("f{}", base + from), index: 0, succeeded: false };
            let args = if at < 100 { Vec::new() } else { vec![arg(at % 100), arg((at * 7 + 3) % 100)] };
            let mut cost = |most: usize| Cost {
                cpus: Some(MilliCores(500 * (1 + rng.below(8) as u32))),
                memory: Some(Bytes::gib(1 + rng.below(12) as u64)),
                duration: Some(Span::millis(100 + rng.below(most) as u64)),
                ..Cost::default()
            };
            let on_gpu = Cost {
                gpu_share: Some(MilliShare(250 * (1 + at as u16 % 3))),
                gpu_memory: Some(Bytes::gib(4 + at as u64 % 20)),
                ..cost(2000)
            };
            FunctionSpec {
                id: format!("f{at}"),
                args,
                outputs: vec![OutputSpec {
                    kind: OutputKind::File,
                    size: Some(Bytes::mib(1 + at as u64 % 900)),
                }],
                code: dunnage_model::Code::Command(vec!["true".to_owned()]),
                variants: vec![
                    VariantSpec { device: Some(DeviceKind::Gpu), cost: on_gpu },
                    VariantSpec { device: Some(DeviceKind::Cpu), cost: cost(9000) },
                ],
                ..FunctionSpec::default()
            }
        })
        .collect();
    let graph = Graph::build(GraphSpec { functions, ..GraphSpec::default() }, &Limits::default())?;
    let node = NodeSpec::new(64, Bytes::gib(512));
    let node = (0..8).fold(node, |node, _| node.with_gpu("A", Bytes::gib(80), (9, 0)));
    let classes = vec![node.cpu.model.clone(), "A".to_owned()];
    let seconds = graph.functions().iter().map(|function| {
        let seconds = function.variants.iter().map(|variant| {
            let seconds = variant.cost.declared_duration().map_or(1.0, Span::as_secs_f64);
            vec![seconds; classes.len()]
        });
        seconds.collect()
    });
    Ok(PlanProblem {
        nodes: vec![Arc::new(node)],
        settled: vec![false; graph.len() as usize],
        busy: Vec::new(),
        seconds: seconds.collect(),
        classes,
        basis: Basis::Declaration,
        has_unknown: false,
        seed: 1,
        graph: Arc::new(graph),
    })
}
