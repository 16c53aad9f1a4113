//! The core's state as the documents that API and CLI show.

use super::translate::value_path;
use dunnage_core::{GraphRun, Ledger, Scheduler};
use dunnage_exec::values::ValueStore;
use dunnage_model::{DeviceId, Event, Health, MilliCores, Need, OutputKind, TaskCounts, TaskState, Time};
use dunnage_store::{FactRow, StoreClock};
use dunnage_wire::api::{
    CpuDoc, DeviceUseDoc, DevicesDoc, ExplainDoc, ExplainOptionDoc, FunctionDoc, GpuDoc, MigDoc, OutputDoc,
    ProgressDoc, QueueRow, StatusDoc, StoryDoc,
};
use dunnage_wire::journal::decode_facts;
use std::collections::BTreeMap;

/// A json output up to this size is shown in the status.
const INLINE_MAX: u64 = 64 << 10;

fn wall_s(clock: &StoreClock, at: Time) -> f64 {
    clock.wall_us_of(at) as f64 / 1e6
}

/// A graph as a line of `queue`.
pub(crate) fn queue_row(run: &GraphRun, strategy: &str, clock: &StoreClock) -> QueueRow {
    let TaskCounts { functions, queued, running, succeeded, failed, cancelled, compensated } = run.counts();
    QueueRow {
        id: run.id.to_string(),
        name: run.graph.name.clone(),
        state: run.state().word().to_owned(),
        functions: functions.into(),
        queued: queued.into(),
        running: running.into(),
        succeeded: succeeded.into(),
        failed: failed.into(),
        cancelled: cancelled.into(),
        compensated: compensated.into(),
        submitted_at: wall_s(clock, run.submitted_at),
        started_at: run.started_at.map(|at| wall_s(clock, at)),
        ended_at: run.ended_at.map(|at| wall_s(clock, at)),
        strategy: strategy.to_owned(),
        priority: run.graph.settings.priority,
        owner: run.owner.0,
        reason: None,
        start_s: None,
        end_s: None,
    }
}

/// A graph with all its functions.
pub(crate) fn status(run: &GraphRun, core: &Scheduler, values: &ValueStore, clock: &StoreClock) -> StatusDoc {
    let strategy = core.strategy_of(run);
    let TaskCounts { functions: _, queued, running, succeeded, failed, cancelled, compensated } =
        run.counts();
    let zero = run.started_at.unwrap_or(run.submitted_at);
    let since = |at: Time| at.since(zero).as_secs_f64();
    let rows: Vec<_> = (0..run.graph.len()).map(|task| run.row(task)).collect();
    let end = if run.ended.is_some() {
        rows.iter().filter_map(|row| row.ended_at).max()
    } else {
        run.started_at.map(|_| clock.now())
    };
    let makespan = end.filter(|_| run.started_at.is_some()).map(since);
    let functions = rows
        .iter()
        .map(|row| {
            let failure = row.failure.as_ref().filter(|_| row.state != TaskState::Succeeded);
            let cancelled = match &row.state {
                TaskState::Cancelled { cause } => Some(cause.word()),
                TaskState::Waiting
                | TaskState::Ready
                | TaskState::Held
                | TaskState::Running(_)
                | TaskState::BackingOff { .. }
                | TaskState::Succeeded
                | TaskState::Failed
                | TaskState::Compensated => None,
            };
            FunctionDoc {
                id: row.name.clone(),
                state: row.state.word().to_owned(),
                attempts: row.starts,
                cause: cancelled.or(failure.map(|f| f.cause.word())).map(str::to_owned),
                place: failure.and_then(|f| f.place).map(|place| place.word().to_owned()),
                message: failure.map(|f| f.message.clone()),
                exit_code: match row.state {
                    TaskState::Succeeded if is_command(run, row.index) => Some(0),
                    _ => failure.and_then(|f| f.exit_code),
                },
                signal: failure.and_then(|f| f.signal),
                device: row.placement.as_ref().map(|placement| placement.main_device().to_string()),
                start_s: row.started_at.or(row.placed_at).map(since),
                end_s: row.ended_at.map(since),
                predicted_s: row.placement.as_ref().and_then(|p| p.predicted).map(|span| span.as_secs_f64()),
                basis: row.placement.as_ref().map(|placement| placement.basis.word().to_owned()),
                peak_memory_bytes: row.usage.peak_memory.map(|bytes| bytes.0),
                cpu_s: row.usage.cpu_time.map(|span| span.as_secs_f64()),
                cpus: row.placement.as_ref().map(|placement| f64::from(placement.cpus.0) / 1000.0),
                family: run.graph.family(row.index).to_owned(),
                variant: row.placement.as_ref().map(|placement| placement.variant),
                detail: failure.map(|f| f.detail.clone()).filter(|detail| !detail.is_empty()),
                outputs: outputs(run, row.index, values),
            }
        })
        .collect();
    let (critical_path, critical_path_s) =
        if run.ended.is_some() { critical_path(run) } else { (Vec::new(), None) };
    StatusDoc {
        id: run.id.to_string(),
        graph: run.graph.name.clone(),
        state: run.state().word().to_owned(),
        makespan_s: makespan,
        succeeded: succeeded.into(),
        failed: failed.into(),
        cancelled: cancelled.into(),
        queued: queued.into(),
        running: running.into(),
        compensated: compensated.into(),
        strategy: strategy.to_owned(),
        strategy_why: core.why_of(run),
        predicted_makespan_s: expected_makespan(run),
        submitted_at: wall_s(clock, run.submitted_at),
        waited_s: run.started_at.map(|at| at.since(run.submitted_at).as_secs_f64()),
        owner: run.owner.0,
        critical_path,
        critical_path_s,
        devices: device_use(run, core.ledger(), makespan.unwrap_or(0.0)),
        functions,
    }
}

/// What the plan expects, where it rests on anything at all.
fn expected_makespan(run: &GraphRun) -> Option<f64> {
    run.plan().filter(|plan| plan.is_informed).map(|plan| plan.makespan_s)
}

/// How far a graph is.
pub(crate) fn progress(run: &GraphRun, core: &Scheduler, clock: &StoreClock) -> ProgressDoc {
    let TaskCounts { functions, queued, running, succeeded, failed, cancelled, compensated: _ } =
        run.counts();
    let end = run.ended_at.unwrap_or_else(|| clock.now());
    let mut devices = Vec::new();
    for node in core.ledger().nodes() {
        let cores = f64::from(node.spec.cpu.capacity.0.max(1));
        devices.push((DeviceId::host(node.spec.id).to_string(), 1.0 - node.cpus_free as f64 / cores));
        for (gpu, spec) in node.gpus.iter().zip(&node.spec.gpus) {
            let memory = gpu.memory_held as f64 / spec.memory.0.max(1) as f64;
            let share = if gpu.exclusive { 1.0 } else { gpu.share_held as f64 / 1000.0 };
            devices.push((gpu.device.to_string(), memory.max(share)));
        }
    }
    let running_names = core
        .ledger()
        .holdings()
        .filter(|(attempt, _)| attempt.task.graph == run.id)
        .take(16)
        .map(|(attempt, _)| run.graph.task_name(attempt.task.index))
        .collect();
    ProgressDoc {
        name: run.graph.name.clone(),
        state: run.state().word().to_owned(),
        functions: functions.into(),
        queued: queued.into(),
        running: running.into(),
        succeeded: succeeded.into(),
        failed: failed.into(),
        cancelled: cancelled.into(),
        elapsed_s: run.started_at.map_or(0.0, |start| end.since(start).as_secs_f64()),
        predicted_s: expected_makespan(run),
        running_names,
        devices,
        reason: None,
    }
}

fn is_command(run: &GraphRun, task: u32) -> bool {
    matches!(run.graph.function(task).code, dunnage_model::Code::Command(_))
}

fn outputs(run: &GraphRun, task: u32, values: &ValueStore) -> Vec<OutputDoc> {
    let function = run.graph.function(task);
    let slot = &run.slots()[task as usize];
    let freed = slot.record.as_ref().is_some_and(|record| record.freed);
    function
        .outputs
        .iter()
        .enumerate()
        .map(|(index, output)| {
            let index = index as u16;
            let there = slot.state == TaskState::Succeeded && (!freed || run.graph.is_kept(task, index));
            let path = if there { value_path(values, run, task, index) } else { None };
            let value = path.as_ref().filter(|_| output.kind == OutputKind::Json).and_then(|path| {
                let bytes = crate::untrusted::read_small(path, INLINE_MAX).ok().flatten()?;
                serde_json::from_slice(&bytes).ok()
            });
            OutputDoc {
                kind: output.kind.word().to_owned(),
                path: path.map(|path| path.display().to_string()),
                value,
            }
        })
        .collect()
}

/// The chain that led to the end: from the last end back along what each waited for longest.
fn critical_path(run: &GraphRun) -> (Vec<String>, Option<f64>) {
    let end = |task: u32| run.slots()[task as usize].record.as_ref().and_then(|record| record.ended_at);
    let ran = |task: u32| run.slots()[task as usize].starts > 0;
    let Some(last) = (0..run.graph.len()).filter(|task| ran(*task)).max_by_key(|task| end(*task)) else {
        return (Vec::new(), None);
    };
    let mut path = vec![last];
    let mut at = last;
    loop {
        let before = run
            .graph
            .needs(at)
            .iter()
            .flat_map(|need| match need {
                Need::Task(task) => *task..*task + 1,
                Need::Group(group) | Need::GroupEnd(group) => run.graph.members(*group),
            })
            .filter(|task| ran(*task))
            .max_by_key(|task| end(*task));
        let Some(before) = before else { break };
        path.push(before);
        at = before;
    }
    let spent = path
        .iter()
        .filter_map(|task| {
            let record = run.slots()[*task as usize].record.as_ref()?;
            Some(record.ended_at?.since(record.started_at.or(record.placed_at)?).as_secs_f64())
        })
        .fold(0.0, |sum, took: f64| sum + took);
    (path.iter().rev().map(|task| run.graph.task_name(*task)).collect(), Some(spent))
}

/// What each device did for a graph, from the last attempt of each of its tasks.
fn device_use(run: &GraphRun, ledger: &Ledger, makespan: f64) -> Vec<DeviceUseDoc> {
    let mut uses: BTreeMap<DeviceId, (u64, f64, f64)> = BTreeMap::new();
    for slot in run.slots() {
        let Some(record) = &slot.record else { continue };
        let (Some(placement), Some(start)) = (&record.placement, record.started_at.or(record.placed_at))
        else {
            continue;
        };
        let took = record.ended_at.unwrap_or(start).since(start).as_secs_f64();
        let cpu = record.usage.cpu_time.map_or(0.0, |span| span.as_secs_f64());
        let host = uses.entry(DeviceId::host(placement.node)).or_default();
        host.0 += u64::from(placement.gpus.is_empty());
        host.1 += took * f64::from(placement.cpus.0) / 1000.0;
        host.2 += cpu;
        for grant in &placement.gpus {
            let share = if grant.share.0 == 0 {
                // Memory alone was given: its part of the memory stands for its part of the GPU.
                ledger
                    .gpu(grant.device)
                    .map_or(0.0, |(_, spec)| grant.memory.0 as f64 / spec.memory.0.max(1) as f64)
            } else {
                f64::from(grant.share.0) / 1000.0
            };
            let gpu = uses.entry(grant.device).or_default();
            gpu.0 += 1;
            gpu.1 += took * share;
        }
    }
    uses.into_iter()
        .map(|(device, (attempts, allocated_s, cpu_s))| {
            let (name, capacity) = if device.is_host() {
                ledger.node(device.node).map_or((String::new(), 1.0), |node| {
                    (node.spec.cpu.model.clone(), f64::from(node.spec.cpu.capacity.0) / 1000.0)
                })
            } else {
                (ledger.gpu(device).map_or(String::new(), |(_, spec)| spec.name.clone()), 1.0)
            };
            let whole = (capacity * makespan).max(1e-9);
            DeviceUseDoc {
                device: device.to_string(),
                name,
                attempts,
                allocated_s,
                allocated_ratio: (allocated_s / whole).min(1.0),
                busy_ratio: device.is_host().then(|| (cpu_s / whole).min(1.0)),
            }
        })
        .collect()
}

/// The machine.
pub(crate) fn devices(ledger: &Ledger, notes: &[String]) -> DevicesDoc {
    let Some(node) = ledger.nodes().next() else { return DevicesDoc::default() };
    let spec = &node.spec;
    let mut gpus: Vec<GpuDoc> = Vec::new();
    for (gpu, spec) in node.gpus.iter().zip(&spec.gpus) {
        let sample = gpu.sample.as_ref().map(|(_, sample)| sample.as_ref());
        if let Some(parent) = &spec.mig_parent
            && let Some(doc) = gpus.iter_mut().find(|doc| doc.uuid == *parent)
        {
            doc.mig.push(MigDoc {
                id: spec.device.to_string(),
                uuid: spec.uuid.clone(),
                name: spec.name.clone(),
                memory_bytes: spec.memory.0,
                health: gpu.health.word().to_owned(),
            });
            continue;
        }
        gpus.push(GpuDoc {
            id: spec.device.to_string(),
            uuid: spec.uuid.clone(),
            name: spec.name.clone(),
            memory_bytes: spec.memory.0,
            memory_used_bytes: sample.and_then(|sample| sample.memory_used).map(|bytes| bytes.0),
            memory_allocated_bytes: gpu.memory_held.max(0) as u64,
            memory_foreign_bytes: gpu.foreign.0,
            share_allocated: if gpu.exclusive { 1.0 } else { gpu.share_held as f64 / 1000.0 },
            pci_bus_id: spec.pci_bus_id.clone(),
            compute_capability: spec.compute_capability.map(|(major, minor)| format!("{major}.{minor}")),
            mig: Vec::new(),
            health: gpu.health.word().to_owned(),
            health_why: match &gpu.health {
                Health::Unknown { why } | Health::Lost { why } => Some(why.clone()),
                Health::Ok | Health::Drained => None,
            },
            busy_ratio: sample.and_then(|sample| sample.busy),
            temperature_celsius: sample.and_then(|sample| sample.temperature_celsius),
            power_watts: sample.and_then(|sample| sample.power_watts),
        });
    }
    let given = MilliCores((i64::from(spec.cpu.capacity.0) - node.cpus_free).max(0) as u32);
    DevicesDoc {
        node: spec.name.clone(),
        cpu: CpuDoc {
            cores: f64::from(spec.cpu.capacity.0) / 1000.0,
            model: spec.cpu.model.clone(),
            numa_nodes: spec.cpu.numa_nodes.len() as u64,
            allocated: f64::from(given.0) / 1000.0,
        },
        memory_bytes: spec.memory.0,
        memory_used_bytes: node
            .sample
            .as_ref()
            .and_then(|(_, sample)| sample.memory_used)
            .map(|bytes| bytes.0),
        gpus,
        custom: spec.custom.clone(),
        notes: notes.to_vec(),
    }
}

/// Why a task is where it is, what else was possible, and what happened to it.
pub(crate) fn explain(
    core: &Scheduler,
    run: &GraphRun,
    task: u32,
    facts: &[FactRow],
    memory_control: &str,
    clock: &StoreClock,
) -> ExplainDoc {
    let row = run.row(task);
    let Some(explanation) = core.explain(run.id.task(task)) else { return ExplainDoc::default() };
    let limited = row.placement.as_ref().is_some_and(|placement| placement.memory_limit.is_some())
        || run.graph.function(task).variants.iter().any(|variant| variant.cost.memory.is_some());
    let mut story = vec![StoryDoc {
        at: wall_s(clock, run.submitted_at),
        what: format!("accepted with graph {} (`{}`)", run.id, run.graph.name),
    }];
    for record in facts {
        // A record that cannot be read was told of when it was set aside.
        let _ = decode_facts(&record.body, &mut |fact| {
            if let Some(what) = told(&fact.event, task) {
                story.push(StoryDoc { at: wall_s(clock, fact.at), what });
            }
        });
    }
    ExplainDoc {
        id: run.id.to_string(),
        function: row.name,
        state: explanation.state.to_owned(),
        reason: explanation.why.code.to_owned(),
        message: explanation.why.text,
        strategy: explanation.strategy.to_owned(),
        device: row.placement.as_ref().map(|placement| placement.main_device().to_string()),
        predicted_s: row.placement.as_ref().and_then(|p| p.predicted).map(|span| span.as_secs_f64()),
        basis: row.placement.as_ref().map(|placement| placement.basis.word().to_owned()),
        memory_control: limited.then(|| memory_control.to_owned()),
        options: explanation
            .options
            .into_iter()
            .map(|option| ExplainOptionDoc {
                variant: option.variant,
                device: option.device.to_string(),
                predicted_s: option.predicted.map(|span| span.as_secs_f64()),
                basis: option.basis.word().to_owned(),
                samples: option.estimate.samples.into(),
                low_s: option.estimate.low.map(|span| span.as_secs_f64()),
                high_s: option.estimate.high.map(|span| span.as_secs_f64()),
                remarks: option.remarks,
                obstacle: option.obstacle,
            })
            .collect(),
        story,
    }
}

/// What a fact means for a task, if it is about it.
fn told(event: &Event, task: u32) -> Option<String> {
    let mine = |id: &dunnage_model::AttemptId| id.task.index == task;
    match event {
        Event::Placed { attempt, placement } if mine(attempt) => Some(format!(
            "attempt {} placed on {} with {} cores{}{}, expected to take {}",
            attempt.attempt.0,
            placement.main_device(),
            placement.cpus,
            if placement.memory.0 > 0 { format!(", {} of RAM", placement.memory) } else { String::new() },
            placement.gpus.iter().fold(String::new(), |text, grant| {
                text + &format!(", {} of {}", grant.memory, grant.device)
            }),
            placement
                .predicted
                .map_or("an unknown time".to_owned(), |span| format!("{span} ({})", placement.basis.word())),
        )),
        Event::Started { attempt } if mine(attempt) => Some(format!("attempt {} started", attempt.attempt.0)),
        Event::Finished { attempt, .. } if mine(attempt) => {
            Some(format!("attempt {} succeeded", attempt.attempt.0))
        }
        Event::Failed { attempt, failure, .. } if mine(attempt) => {
            Some(format!("attempt {} failed ({}): {}", attempt.attempt.0, failure.cause, failure.message))
        }
        Event::NeverStarted { attempt } if mine(attempt) => {
            Some(format!("attempt {} never started; placed anew", attempt.attempt.0))
        }
        Event::ValueLost { task: lost } if lost.index == task => {
            Some("its value was lost; it is made again".to_owned())
        }
        Event::Cancelled { task: Some(cancelled), .. } if *cancelled == task => {
            Some("cancelled by its owner".to_owned())
        }
        Event::Cancelled { task: None, .. } => Some("its graph was cancelled by its owner".to_owned()),
        Event::HeldBack { .. } => Some("its graph was held".to_owned()),
        Event::Released { .. } => Some("its graph was released".to_owned()),
        Event::Retried { task: retried, .. } if retried.is_none() || *retried == Some(task) => {
            Some("a retry was asked for".to_owned())
        }
        _ => None,
    }
}
