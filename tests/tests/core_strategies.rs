//! The contract of every strategy in the registry: over graph shapes and machine profiles, in virtual
//! time, all tasks succeed, order and capacity are kept (judged by a validator that knows only the report
//! and the graph), and two runs are one. What is special about a strategy is tested beside it.

mod core_support;

use core_support::{F, build, f, gpus, spec};
use dunnage_core::{PlanProblem, Scheduler};
use dunnage_model::{
    AttemptId, Basis, Bytes, Decision, DeviceId, DeviceKind, Event, Graph, GraphId, GraphSpec, GraphState,
    MilliCores, Need, NodeSpec, Owner, Placement, Span, Submission, Time,
};
use dunnage_sim::{Declared, Report, Simulation};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

fn shapes() -> Vec<(&'static str, Vec<F>)> {
    let lasts = |n: u64| Span::millis(700 + n * 370 % 2900);
    let both = |id: &str, n: u64| {
        f(id)
            .variant(DeviceKind::Gpu, |cost| {
                cost.cpus = Some(MilliCores(500));
                cost.gpu_memory = Some(Bytes::gib(6));
                cost.duration = Some(Span::millis(200 + n * 90));
            })
            .variant(DeviceKind::Cpu, |cost| {
                cost.cpus = Some(MilliCores::cores(2));
                cost.duration = Some(Span::secs(1 + n % 3));
            })
    };
    let chain = (0..12).map(|n| {
        let task = f(&format!("c{n}")).lasts(lasts(n)).outputs(1);
        if n == 0 { task } else { task.arg(&format!("c{}", n - 1), 0) }
    });
    let fork = std::iter::once(f("src").lasts(lasts(1)).outputs(1))
        .chain((0..20).map(|n| f(&format!("w{n}")).lasts(lasts(n)).arg("src", 0).outputs(1)))
        .chain([(0..20).fold(f("join"), |join, n| join.arg(&format!("w{n}"), 0))]);
    let layered = (0..5_u64).flat_map(|layer| {
        (0..6_u64).map(move |n| {
            let task =
                f(&format!("l{layer}-{n}")).lasts(lasts(layer * 6 + n)).cpus((n % 3) as u32).outputs(1);
            (0..6)
                .filter(|other| layer > 0 && (other + n * 7 + layer) % 3 == 0)
                .fold(task, |task, other| task.arg(&format!("l{}-{other}", layer - 1), 0))
        })
    });
    vec![
        ("chain", chain.collect()),
        ("fork-join", fork.collect()),
        ("layered", layered.collect()),
        (
            "independent",
            (0..30).map(|n| f(&format!("i{n}")).lasts(lasts(n)).memory(Bytes::gib(n % 5))).collect(),
        ),
        (
            "sweep with a family reader",
            vec![
                f("prepare").lasts(lasts(2)).outputs(1),
                f("t-{a}-{b}")
                    .times("a", 5)
                    .times("b", 4)
                    .max_parallel(7)
                    .lasts(lasts(4))
                    .arg("prepare", 0)
                    .outputs(1),
                f("score").arg_succeeded("t[*]", 0).outputs(1),
                f("after").after("t[*]").after("score"),
            ],
        ),
        ("variants", (0..24).map(|n| both(&format!("v{n}"), n)).collect()),
        (
            "variants in order",
            (0..24)
                .map(|n| {
                    if n < 6 {
                        both(&format!("o{n}"), n)
                    } else {
                        both(&format!("o{n}"), n).after(&format!("o{}", n - 6))
                    }
                })
                .collect(),
        ),
    ]
}

fn profiles() -> Vec<(&'static str, NodeSpec)> {
    let few = |node: NodeSpec, cores| NodeSpec {
        cpu: dunnage_model::CpuSpec { capacity: MilliCores::cores(cores), ..node.cpu.clone() },
        ..node
    };
    vec![
        ("cpu only", few(gpus(&[]), 4)),
        ("one gpu", few(gpus(&[8]), 6)),
        ("eight gpus", gpus(&[80; 8])),
        ("mixed", few(gpus(&[8, 24, 80]), 3)),
    ]
}

fn run(strategy: &str, functions: &[F], machine: &NodeSpec) -> (Arc<Graph>, Report) {
    let graph = build(GraphSpec { strategy: Some(strategy.to_owned()), ..spec(functions.iter().cloned()) });
    let mut sim = Simulation::new(Scheduler::new(dunnage_strategies::strategies()), Declared, true);
    sim.at(Time::ZERO, Event::NodeSeen(Arc::new(machine.clone())));
    let submission = Submission {
        id: GraphId(1),
        graph: Arc::clone(&graph),
        owner: Owner(0),
        seed: 42,
        held: false,
        sealed: true,
        trace: None,
    };
    sim.at(Time::ZERO, Event::Submitted(Box::new(submission)));
    let (report, _) = sim.run().unwrap_or_else(|why| panic!("{why}"));
    (graph, report)
}

/// Judges a report by nothing but the graph and the machine: each task once and with success, after what
/// it needs, never more at once than there is.
fn validate(graph: &Graph, machine: &NodeSpec, report: &Report) -> Result<(), String> {
    if report.graphs.get(&GraphId(1)) != Some(&GraphState::Succeeded) {
        return Err(format!("the graph ended as {:?}", report.graphs));
    }
    let mut times: BTreeMap<u32, (Time, Time)> = BTreeMap::new();
    for ran in &report.ran {
        if !ran.succeeded || times.insert(ran.attempt.task.index, (ran.start, ran.end)).is_some() {
            return Err(format!("{} failed or ran twice", ran.attempt));
        }
    }
    if times.len() != graph.len() as usize {
        return Err(format!("{} of {} tasks ran", times.len(), graph.len()));
    }
    for (task, (start, _)) in &times {
        for need in graph.needs(*task) {
            let before = match need {
                Need::Task(producer) => *producer..*producer + 1,
                Need::Group(group) | Need::GroupEnd(group) => graph.members(*group),
            };
            for producer in before {
                if times[&producer].1 > *start {
                    return Err(format!(
                        "`{}` starts before `{}` ends",
                        graph.task_name(*task),
                        graph.task_name(producer)
                    ));
                }
            }
        }
    }
    let placements: BTreeMap<AttemptId, &Placement> = report
        .decisions
        .iter()
        .filter_map(|decision| match decision {
            Decision::Start { attempt, placement } => Some((*attempt, &**placement)),
            _ => None,
        })
        .collect();
    // At every start: what runs then, the new one included.
    for at in times.values().map(|(start, _)| *start) {
        let running: Vec<&Placement> = report
            .ran
            .iter()
            .filter(|ran| ran.start <= at && at < ran.end)
            .map(|ran| placements[&ran.attempt])
            .collect();
        let cpus: u64 = running.iter().map(|placement| u64::from(placement.cpus.0)).sum();
        let memory: u64 = running.iter().map(|placement| placement.memory.0).sum();
        if cpus > u64::from(machine.cpu.capacity.0) || memory > machine.memory.0 {
            return Err(format!("at {at:?}: {cpus} thousandths of cores and {memory} bytes"));
        }
        for gpu in &machine.gpus {
            let grants: Vec<_> = running
                .iter()
                .flat_map(|placement| &placement.gpus)
                .filter(|grant| grant.device == gpu.device)
                .collect();
            let memory: u64 = grants.iter().map(|grant| grant.memory.0).sum();
            let share: u32 = grants.iter().map(|grant| u32::from(grant.share.0)).sum();
            let alone = grants.iter().any(|grant| grant.exclusive) && grants.len() > 1;
            if memory > gpu.memory.0 || share > 1000 || alone {
                return Err(format!(
                    "at {at:?}: {} holds {memory} bytes and {share} thousandths",
                    gpu.device
                ));
            }
        }
    }
    for function in 0..graph.functions().len() as u32 {
        let Some(max) = graph.functions()[function as usize].max_parallel else { continue };
        for at in graph.instances(function).map(|task| times[&task].0) {
            let at_once =
                graph.instances(function).filter(|task| times[task].0 <= at && at < times[task].1).count();
            if at_once > max as usize {
                return Err(format!("{at_once} instances at once and {max} may"));
            }
        }
    }
    Ok(())
}

#[test]
fn every_strategy_runs_every_shape_on_every_profile() {
    for entry in dunnage_strategies::registry() {
        for (shape, functions) in shapes() {
            for (profile, machine) in profiles() {
                let (graph, report) = run(entry.name, &functions, &machine);
                if let Err(why) = validate(&graph, &machine, &report) {
                    panic!("{} on {shape}, {profile}: {why}", entry.name);
                }
                let (_, again) = run(entry.name, &functions, &machine);
                assert_eq!(report, again, "{} on {shape}, {profile}: two runs differ", entry.name);
            }
        }
    }
}

#[test]
fn the_validator_finds_what_is_wrong() {
    let (_, functions) = shapes().remove(1);
    let (_, machine) = profiles().remove(0);
    let (graph, good) = run("first-available", &functions, &machine);
    let broken = |change: fn(&mut Report)| {
        let mut report = good.clone();
        change(&mut report);
        validate(&graph, &machine, &report).is_err()
    };
    assert!(!broken(|_| {}));
    assert!(broken(|report| _ = report.ran.pop()));
    assert!(broken(|report| report.ran[5].succeeded = false));
    assert!(broken(|report| report.ran.last_mut().unwrap().start = Time::ZERO));
    assert!(broken(|report| {
        for decision in &mut report.decisions {
            if let Decision::Start { placement, .. } = decision {
                placement.cpus = MilliCores::cores(3);
            }
        }
    }));
}

fn problem(functions: &[F], machine: &NodeSpec) -> PlanProblem {
    let graph = build(spec(functions.iter().cloned()));
    let seconds = graph
        .functions()
        .iter()
        .map(|function| {
            let time = |variant: &dunnage_model::Variant| {
                variant.cost.declared_duration().map_or(1.0, Span::as_secs_f64)
            };
            function.variants.iter().map(|variant| vec![time(variant)]).collect()
        })
        .collect();
    PlanProblem {
        nodes: vec![Arc::new(machine.clone())],
        settled: vec![false; graph.len() as usize],
        busy: Vec::new(),
        classes: vec![machine.cpu.model.clone()],
        seconds,
        basis: Basis::Declaration,
        has_unknown: false,
        seed: 1,
        graph,
    }
}

/// The longest way through the graph with the shortest time of each task.
fn critical_path(problem: &PlanProblem) -> f64 {
    let graph = &problem.graph;
    let mut ends = vec![0.0_f64; graph.len() as usize];
    for task in graph.topological() {
        let ready = graph.needs(task).iter().map(|need| match need {
            Need::Task(producer) => ends[*producer as usize],
            Need::Group(group) | Need::GroupEnd(group) => {
                graph.members(*group).map(|member| ends[member as usize]).fold(0.0, f64::max)
            }
        });
        let times = &problem.seconds[graph.function_index(task) as usize];
        ends[task as usize] =
            ready.fold(0.0, f64::max) + times.iter().flatten().copied().fold(f64::INFINITY, f64::min);
    }
    ends.into_iter().fold(0.0, f64::max)
}

#[test]
fn plans_are_whole_keep_the_order_and_are_no_shorter_than_the_critical_path() {
    for entry in dunnage_strategies::registry() {
        let Some(planner) = dunnage_strategies::planner(entry.name) else { continue };
        for (shape, functions) in shapes() {
            for (profile, machine) in profiles() {
                let what = format!("{} on {shape}, {profile}", entry.name);
                let problem = problem(&functions, &machine);
                let graph = &problem.graph;
                let plan = planner.plan(&problem, &mut dunnage_core::Budget::of(200));
                assert_eq!(
                    plan,
                    planner.plan(&problem, &mut dunnage_core::Budget::of(200)),
                    "{what}: two plans differ"
                );
                assert!(plan.makespan_s >= critical_path(&problem) - 1e-9, "{what}");
                assert_eq!(plan.place.len(), graph.len() as usize, "{what}");
                for task in 0..graph.len() {
                    let place =
                        plan.place[task as usize].unwrap_or_else(|| panic!("{what}: {task} has no place"));
                    let seconds =
                        problem.seconds[graph.function_index(task) as usize][usize::from(place.variant)][0];
                    assert!((place.end_s - place.start_s - seconds).abs() < 1e-9, "{what}");
                    assert_eq!(
                        place.device.is_host(),
                        graph.variant(task, place.variant).kind == DeviceKind::Cpu,
                        "{what}"
                    );
                    for need in graph.needs(task) {
                        let before = match need {
                            Need::Task(producer) => *producer..*producer + 1,
                            Need::Group(group) | Need::GroupEnd(group) => graph.members(*group),
                        };
                        for producer in before {
                            let end = plan.place[producer as usize].map_or(0.0, |place| place.end_s);
                            assert!(end <= place.start_s + 1e-9, "{what}: {task} before {producer}");
                            assert!(
                                plan.priority[producer as usize] > plan.priority[task as usize],
                                "{what}"
                            );
                        }
                    }
                }
                // On each GPU the planned memory fits at every planned start.
                for gpu in &machine.gpus {
                    let on: Vec<_> = (0..graph.len())
                        .filter_map(|task| {
                            plan.place[task as usize].filter(|place| place.device == gpu.device)
                        })
                        .collect();
                    for at in on.iter().map(|place| place.start_s) {
                        let at_once =
                            on.iter().filter(|place| place.start_s <= at && at < place.end_s - 1e-9).count()
                                as u64;
                        assert!(
                            Bytes::gib(6).0 * at_once <= gpu.memory.0,
                            "{what}: {at_once} at once on {}",
                            gpu.device
                        );
                    }
                }
            }
        }
    }
}

/// One line a task: when and where.
fn gantt(graph: &Graph, report: &Report) -> String {
    let mut lines: Vec<(Time, DeviceId, u32, String)> = Vec::new();
    for ran in &report.ran {
        let step = |time: Time| (time.0 / 250_000) as usize;
        let bar = format!("{}{}", " ".repeat(step(ran.start)), "#".repeat(step(ran.end) - step(ran.start)));
        let name = graph.task_name(ran.attempt.task.index);
        lines.push((
            ran.start,
            ran.device,
            ran.attempt.task.index,
            format!("{name:<8} {:<5} |{bar}", ran.device.to_string()),
        ));
    }
    lines.sort();
    lines.into_iter().fold(String::new(), |mut text, (.., line)| {
        writeln!(text, "{line}").unwrap();
        text
    })
}

#[test]
fn a_small_schedule_looks_like_this() {
    let on_gpu = |id: &str, gpu: u64, cpu: u64| {
        f(id)
            .variant(DeviceKind::Gpu, |cost| {
                cost.cpus = Some(MilliCores(0));
                cost.gpus = Some(1);
                cost.duration = Some(Span::millis(gpu));
            })
            .variant(DeviceKind::Cpu, |cost| {
                cost.cpus = Some(MilliCores::cores(2));
                cost.duration = Some(Span::millis(cpu));
            })
    };
    let functions = [
        f("prepare").lasts(Span::millis(500)),
        on_gpu("train-a", 1000, 4000).after("prepare"),
        on_gpu("train-b", 1000, 4000).after("prepare"),
        on_gpu("train-c", 1000, 1500).after("prepare"),
        f("score").lasts(Span::millis(250)).after("train-a").after("train-b").after("train-c"),
    ];
    let mut machine = gpus(&[24]);
    machine.cpu.capacity = MilliCores::cores(4);
    let (graph, report) = run("heft", &functions, &machine);
    insta::assert_snapshot!(gantt(&graph, &report), @r"
    prepare  cpu   |##
    train-c  cpu   |  ######
    train-a  gpu0  |  ####
    train-b  gpu0  |      ####
    score    cpu   |          #
    ");
}
