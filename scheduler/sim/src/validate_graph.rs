//! The judge of schedules of graphs: by the graph's needs and declared sizes, the expected times, and a
//! ledger as the daemon keeps it, which every start must fit in.
//!
//! Of the planner's books it takes only which variant runs on which devices.

use crate::formats::{Case, GraphCase};
use crate::validate::OrderedTime;
use dunnage_core::Ledger;
use dunnage_model::{Arg, Attempt, AttemptId, Cost, DeviceId, Graph, GraphId, Need, NodeSpec, Order, TaskId};
use dunnage_strategies::planning::Schedule;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Times may differ by this part of the makespan.
const TOLERANCE: f64 = 1e-9;

/// With more devices than this a node is one memory.
const MEMORIES_MAX: usize = 1024;

/// When and where a task of the graph runs.
#[derive(Clone, Copy, Debug)]
struct Run {
    variant: u8,
    main: DeviceId,
    start: f64,
    end: f64,
}

/// Judges a schedule of a graph.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn check(case: &Case, graph_case: &GraphCase, schedule: &Schedule) -> Result<(), String> {
    let graph = &*graph_case.problem.graph;
    let slack = TOLERANCE * schedule.makespan.abs();
    let mut runs: Vec<Option<Run>> = vec![None; graph.len() as usize];
    let mut ways = Vec::with_capacity(graph_case.tasks.len());
    for (at, task) in graph_case.tasks.iter().enumerate() {
        let modes = case.instance.modes(at as u32);
        let times = schedule.mode.get(at).zip(schedule.start.get(at)).zip(schedule.end.get(at));
        let Some(((mode, start), end)) = times else {
            return Err("a task is not in the schedule".to_owned());
        };
        let name = || graph.task_name(*task);
        let kind = case.instance.kind_of[at] as usize;
        let shape = &graph_case.site.shapes[graph_case.site.shape_of_kind[kind] as usize];
        let (Some(chosen), Some(way)) = (modes.get(usize::from(*mode)), shape.ways.get(usize::from(*mode)))
        else {
            return Err(format!("`{}` has no way {mode} to run", name()));
        };
        if !start.is_finite() || !end.is_finite() || *start < 0.0 || end < start {
            return Err(format!("`{}` runs from {start} to {end}", name()));
        }
        let (function, variant) = (graph.function_index(*task) as usize, usize::from(chosen.variant));
        let classes = &graph_case.problem.seconds[function][variant];
        let used: &[DeviceId] = if way.gpus.is_empty() { &[DeviceId::host(way.node)] } else { &way.gpus };
        let wanted = used.iter().map(|device| classes[graph_case.problem.class(*device)]).fold(0.0, f64::max);
        if (end - start - wanted).abs() > slack {
            return Err(format!("`{}` runs from {start} to {end} and should take {wanted}", name()));
        }
        let slot = &mut runs[*task as usize];
        if slot.is_some() {
            return Err(format!("`{}` is there twice", name()));
        }
        *slot = Some(Run { variant: chosen.variant, main: used[0], start: *start, end: *end });
        ways.push((*task, way));
    }
    let runs: Vec<Run> = runs.into_iter().collect::<Option<_>>().ok_or("a task is missing")?;
    let last = runs.iter().map(|run| run.end).fold(0.0, f64::max);
    if (last - schedule.makespan).abs() > slack {
        return Err(format!("the last end is {last}, and the makespan is said to be {}", schedule.makespan));
    }
    check_order(graph, &graph_case.problem.nodes, &runs, slack)?;
    check_parallel(graph, &runs, slack)?;

    let mut ledger = Ledger::default();
    for node in &graph_case.problem.nodes {
        ledger.add_node(Arc::clone(node));
    }
    let by_task: BTreeMap<u32, _> = ways.into_iter().collect();
    let attempt =
        |task| AttemptId { task: TaskId { graph: GraphId(1), index: task }, attempt: Attempt::FIRST };
    for (task, starts) in events(&runs, slack) {
        if !starts {
            ledger.release(attempt(task));
            continue;
        }
        let (run, way) = (&runs[task as usize], by_task[&task]);
        let request = graph.request(task, run.variant);
        let placement =
            ledger.fit(request, &Cost::default(), run.variant, way.node, &way.gpus).map_err(|why| {
                format!("`{}` does not fit at {}: {}", graph.task_name(task), run.start, why.text())
            })?;
        ledger.reserve(attempt(task), &placement);
    }
    Ok(())
}

/// Starts and ends in order of time; ends before starts that come no earlier than a hair.
fn events(runs: &[Run], slack: f64) -> Vec<(u32, bool)> {
    let mut events: Vec<(OrderedTime, bool, u32)> = Vec::with_capacity(2 * runs.len());
    for (task, run) in (0_u32..).zip(runs) {
        // What takes no time holds nothing at any instant.
        if run.end > run.start {
            events.push((OrderedTime(released(run, slack)), false, task));
            events.push((OrderedTime(run.start), true, task));
        }
    }
    events.sort_unstable();
    events.into_iter().map(|(_, starts, task)| (task, starts)).collect()
}

/// When what a run holds is given back: a hair early, and always after its own start. What takes less time
/// than a hair would otherwise be given back before it is taken, and then be held for ever.
fn released(run: &Run, slack: f64) -> f64 {
    let middle = f64::midpoint(run.start, run.end);
    // Between neighbouring numbers there is no middle.
    if middle > run.start { (run.end - slack).max(middle) } else { run.end }
}

/// No start before what is needed has ended and could be there.
fn check_order(graph: &Graph, nodes: &[Arc<NodeSpec>], runs: &[Run], slack: f64) -> Result<(), String> {
    // When all of a family could be at a device, for each output that somebody reads there.
    let mut gathered: BTreeMap<(u32, Vec<u16>, DeviceId), f64> = BTreeMap::new();
    for task in 0..graph.len() {
        let run = &runs[task as usize];
        for need in graph.needs(task) {
            let there = match need {
                Need::Task(producer) => {
                    let read = outputs_read(graph, task, |arg| match arg {
                        Arg::Value { task, index } if task == producer => Some(*index),
                        _ => None,
                    });
                    arrival(graph, nodes, *producer, &read, &runs[*producer as usize], run.main)
                }
                Need::Group(group) | Need::GroupEnd(group) => {
                    let read = outputs_read(graph, task, |arg| match arg {
                        Arg::Family { group: from, index, .. } if from == group => Some(*index),
                        _ => None,
                    });
                    *gathered.entry((*group, read.clone(), run.main)).or_insert_with(|| {
                        graph
                            .members(*group)
                            .map(|member| {
                                arrival(graph, nodes, member, &read, &runs[member as usize], run.main)
                            })
                            .fold(0.0, f64::max)
                    })
                }
            };
            if run.start + slack < there {
                return Err(format!(
                    "`{}` starts at {}, and what it needs is there at {there}",
                    graph.task_name(task),
                    run.start
                ));
            }
        }
    }
    Ok(())
}

/// The outputs of a producer that a task reads, each once.
fn outputs_read(graph: &Graph, task: u32, of: impl Fn(&Arg) -> Option<u16>) -> Vec<u16> {
    let mut read: Vec<u16> = graph.args(task).iter().filter_map(of).collect();
    read.sort_unstable();
    read.dedup();
    read
}

/// When what is read of a task could be in the memory of a device.
fn arrival(
    graph: &Graph,
    nodes: &[Arc<NodeSpec>],
    producer: u32,
    read: &[u16],
    run: &Run,
    to: DeviceId,
) -> f64 {
    let outputs = &graph.function(producer).outputs;
    let sizes = read.iter().filter_map(|index| outputs.get(usize::from(*index))?.size);
    let bytes: f64 = sizes.map(|size| size.0 as f64).sum();
    let all: usize = nodes.iter().map(|node| 1 + node.gpus.len()).sum();
    let Some(node) = nodes.iter().find(|node| node.id == to.node) else { return f64::INFINITY };
    if bytes == 0.0 || run.main == to || all > MEMORIES_MAX {
        return run.end;
    }
    let links = node.tariff.links;
    let bandwidth = if run.main.is_host() || to.is_host() { links.host_gpu } else { links.gpu_gpu };
    let moving = if bandwidth > 0.0 { bytes / bandwidth } else { 0.0 };
    run.end + links.latency.max(0.0) + moving
}

/// No more of a function at once than it allows; one at a time where the graph says so.
fn check_parallel(graph: &Graph, runs: &[Run], slack: f64) -> Result<(), String> {
    let mut at_once: BTreeMap<Option<u32>, u32> = BTreeMap::new();
    for (task, starts) in events(runs, slack) {
        let function = graph.function_index(task);
        let all = (graph.settings.order == Order::Sequential).then_some((None, 1));
        let own = graph.functions()[function as usize].max_parallel.map(|most| (Some(function), most.max(1)));
        for (key, most) in all.into_iter().chain(own) {
            let count = at_once.entry(key).or_default();
            *count = if starts { *count + 1 } else { count.saturating_sub(1) };
            if *count > most {
                return Err(format!(
                    "`{}` is one of {count} at once, and {most} are allowed",
                    graph.task_name(task)
                ));
            }
        }
    }
    Ok(())
}
