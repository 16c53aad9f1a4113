//! `plan`: where and when everything would run. The same scheduler and strategies in virtual time, with
//! every task taking as long as is expected.

use super::args::PlanArgs;
use super::context::Context;
use super::exit::{DONE, FAILED, Failure, USAGE};
use super::plan_doc;
use crate::accept::{self, Rejected};
use crate::render::{gantt, plan_page, shape};
use dunnage_core::Scheduler;
use dunnage_model::{Basis, Event, Graph, GraphId, GraphSpec, Limits, NodeSpec, Owner, Submission, Time};
use dunnage_sim::{Declared, Simulation};
use dunnage_strategies::planning;
use dunnage_wire::api::{DeviceUseDoc, PlanDoc, PlanTaskDoc};
use dunnage_wire::graph_file;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The number of the only graph.
const GRAPH: GraphId = GraphId(1);

pub(crate) fn plan(context: &Context, args: PlanArgs) -> Result<i32, Failure> {
    let path = args.graph.as_path();
    let decoded = graph_file::read(path, &super::run::limits(context))?;
    let (mut spec, places) = (decoded.spec, decoded.places);
    let file = path.display().to_string();
    spec.name.get_or_insert_with(|| super::run::name_of(path));
    if args.strategy.is_some() {
        spec.strategy = args.strategy;
    }
    if spec.strategy.is_none() {
        spec.strategy = Some(context.config.strategy.clone());
    }
    let limits = Limits { functions: context.config.functions_max, ..Limits::default() };
    let rejected = |rejected: Rejected| Failure::rejected(&file, &rejected, &places);
    let others = match args.strategies.as_slice() {
        [] => Vec::new(),
        names => super::bench::strategies(names)?,
    };
    // A graph has its strategy in it, so each that is compared has a graph of its own.
    let of_others = (!others.is_empty()).then(|| spec.clone());
    let graph = Arc::new(accept::build(spec, &limits).map_err(rejected)?);
    let look = crate::setup::look(&context.selection()?, &context.config)
        .map_err(|error| Failure::new(USAGE, error.to_string()))?;
    let node = Arc::new(look.node);
    let core = || {
        let mut core = Scheduler::new(dunnage_strategies::strategies());
        core.replay(Time::ZERO, Event::NodeSeen(Arc::clone(&node)));
        crate::shell::read_history(&context.estimates(), core.estimates_mut());
        // What it would learn of its own guesses is nothing.
        core.estimates_mut().freeze();
        core
    };
    accept::check_machine(&graph, core().ledger()).map_err(rejected)?;
    let lower_bound_s = lower_bound(core(), &graph);
    let mut doc = simulate(core(), &graph, &node, lower_bound_s)?;
    if let Some(spec) = of_others {
        for name in others {
            let spec = GraphSpec { strategy: Some(name.to_owned()), ..spec.clone() };
            let graph = Arc::new(accept::build(spec, &limits).map_err(rejected)?);
            doc.strategies.push(plan_doc::strategy(name, &simulate(core(), &graph, &node, lower_bound_s)?));
        }
    }
    if let Some(html) = &args.html {
        write(html, &plan_page::page(&doc))?;
    }
    if let Some(svg) = &args.svg {
        write(svg, &plan_page::drawing(&doc))?;
    }
    context.print(&doc, |style| {
        gantt::plan(&doc, style) + &shape::shape(&doc, style) + &shape::strategies(&doc, style)
    });
    Ok(DONE)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::new(USAGE, format!("cannot write `{}`: {error}", path.display())))
}

fn simulate(
    core: Scheduler,
    graph: &Arc<Graph>,
    node: &Arc<NodeSpec>,
    lower_bound_s: f64,
) -> Result<PlanDoc, Failure> {
    let mut simulation = Simulation::new(core, Declared, false);
    simulation.at(Time::ZERO, Event::Submitted(Box::new(submission(graph))));
    let (report, core) = simulation.run().map_err(|why| Failure::new(FAILED, why))?;
    let run = core.graph(GRAPH).ok_or_else(|| Failure::new(FAILED, "the plan is empty"))?;
    let makespan = report.makespan().as_secs_f64();
    let mut tasks: Vec<PlanTaskDoc> = Vec::with_capacity(report.ran.len());
    let mut uses: BTreeMap<dunnage_model::DeviceId, DeviceUseDoc> = BTreeMap::new();
    let mut basis = Basis::None;
    let mut seconds = vec![0.0; graph.len() as usize];
    let (mut money, mut joules) = (0.0, 0.0);
    for ran in &report.ran {
        let task = ran.attempt.task.index;
        let placement =
            run.slots()[task as usize].record.as_ref().and_then(|record| record.placement.as_ref());
        let took = ran.end.since(ran.start).as_secs_f64();
        let held = plan_doc::held(node, placement);
        money += took * held.money_rate;
        joules += took * held.watts;
        if let Some(seconds) = seconds.get_mut(task as usize) {
            *seconds = took;
        }
        tasks.push(PlanTaskDoc {
            id: graph.task_name(task),
            family: graph.family(task).to_owned(),
            device: ran.device.to_string(),
            start_s: ran.start.0 as f64 / 1e6,
            end_s: ran.end.0 as f64 / 1e6,
            variant: placement.map_or(0, |placement| placement.variant),
            cpus: held.cpus,
            memory_bytes: held.memory_bytes,
            gpus: held.gpus,
        });
        if let Some(placement) = placement {
            basis = basis.min(placement.basis);
        }
        let entry = uses.entry(ran.device).or_insert_with(|| DeviceUseDoc {
            device: ran.device.to_string(),
            name: node.gpu(ran.device).map_or_else(|| node.cpu.model.clone(), |gpu| gpu.name.clone()),
            ..DeviceUseDoc::default()
        });
        entry.attempts += 1;
        entry.allocated_s += took * held.share;
    }
    tasks.sort_by(|a, b| a.start_s.total_cmp(&b.start_s).then_with(|| a.id.cmp(&b.id)));
    let cores = f64::from(node.cpu.capacity.0) / 1000.0;
    for (device, entry) in &mut uses {
        let capacity = if device.is_host() { cores } else { 1.0 };
        entry.allocated_ratio = (entry.allocated_s / (capacity * makespan).max(1e-9)).min(1.0);
    }
    Ok(PlanDoc {
        graph: graph.name.clone(),
        functions: graph.len().into(),
        strategy: core.strategy_of(run).to_owned(),
        why: core.why_of(run).unwrap_or_default(),
        makespan_s: makespan,
        lower_bound_s,
        basis: basis.word().to_owned(),
        devices: uses.into_values().collect(),
        tasks,
        money,
        joules,
        machine: plan_doc::machine(node),
        analysis: plan_doc::analysis(graph, &seconds),
        strategies: Vec::new(),
    })
}

/// The least makespan that any plan could have, by what is known of the times.
fn lower_bound(mut core: Scheduler, graph: &Arc<Graph>) -> f64 {
    core.replay(Time::ZERO, Event::Submitted(Box::new(submission(graph))));
    core.plan_problem(GRAPH)
        .map_or(0.0, |problem| planning::lower_bound(&planning::from_problem(&problem).instance))
}

fn submission(graph: &Arc<Graph>) -> Submission {
    Submission {
        id: GRAPH,
        graph: Arc::clone(graph),
        owner: Owner(0),
        seed: 1,
        held: false,
        sealed: true,
        trace: None,
    }
}
