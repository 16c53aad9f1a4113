//! What planners are told of a graph and a machine, and what `auto` makes of it, in virtual time.

mod core_support;

use core_support::{F, Scenario, build, f, gpus, scenario, spec};
use dunnage_core::{PlanProblem, Scheduler};
use dunnage_model::{
    Bytes, DeviceId, DeviceKind, Event, GraphId, GraphSpec, Health, NodeId, Owner, Span, Submission, Time,
};
use dunnage_sim::{Declared, Simulation};
use std::sync::Arc;

const GPU_1: DeviceId = DeviceId { node: NodeId::LOCAL, local: 1 };

fn problem(functions: Vec<F>, before: impl FnOnce(&mut Scenario)) -> PlanProblem {
    let mut scenario = scenario(gpus(&[8, 24]));
    before(&mut scenario);
    let id = scenario.submit_as(spec(functions), true, true);
    scenario.scheduler.plan_problem(id).expect("a graph")
}

#[test]
fn a_way_of_which_nothing_is_known_is_planned_as_the_slowest_known() {
    let function = f("a")
        .variant(DeviceKind::Gpu, |cost| {
            cost.gpu_memory = Some(Bytes::gib(1));
            cost.duration = Some(Span::secs(7));
        })
        .variant(DeviceKind::Cpu, |_| {});
    let problem = problem(vec![function], |_| {});
    let cpu = problem.class(DeviceId::host(NodeId::LOCAL));
    assert_eq!(problem.seconds[0][0][problem.class(GPU_1)], 7.0);
    assert_eq!(problem.seconds[0][1][cpu], 7.0, "{:?}", problem.seconds);
    assert!(!problem.has_unknown);
}

#[test]
fn where_nothing_is_known_all_ways_are_alike_and_that_is_said() {
    let problem = problem(vec![f("a"), f("b").lasts(Span::secs(3))], |_| {});
    let cpu = problem.class(DeviceId::host(NodeId::LOCAL));
    assert_eq!((problem.seconds[0][0][cpu], problem.seconds[1][0][cpu]), (1.0, 3.0));
    assert!(problem.has_unknown);
}

#[test]
fn a_gpu_that_takes_no_work_is_not_planned_on_nor_is_memory_of_strangers() {
    let problem = problem(vec![f("a").gpus(1)], |scenario| {
        scenario.event(Event::DeviceLost { device: GPU_1, why: "fell off the bus".to_owned() });
        scenario.sample(DeviceId { local: 2, ..GPU_1 }, Health::Ok, Bytes::gib(4));
    });
    let seen: Vec<(bool, Bytes)> =
        problem.nodes[0].gpus.iter().map(|gpu| (gpu.allocatable, gpu.memory)).collect();
    assert_eq!(seen, [(false, Bytes::gib(8)), (true, Bytes::gib(20))]);
}

fn makespan(strategy: &str, functions: &[F]) -> (f64, Option<String>) {
    let graph = build(GraphSpec { strategy: Some(strategy.to_owned()), ..spec(functions.iter().cloned()) });
    let mut simulation = Simulation::new(Scheduler::new(dunnage_strategies::strategies()), Declared, true);
    simulation.at(Time::ZERO, Event::NodeSeen(Arc::new(gpus(&[80; 8]))));
    let submission = Submission {
        id: GraphId(1),
        graph,
        owner: Owner(0),
        seed: 1,
        held: false,
        sealed: true,
        trace: None,
    };
    simulation.at(Time::ZERO, Event::Submitted(Box::new(submission)));
    let (report, core) = simulation.run().expect("invariants hold");
    let why = core.graph(GraphId(1)).and_then(|run| core.why_of(run));
    (report.makespan().as_secs_f64(), why)
}

#[test]
fn auto_lets_long_functions_begin_first_though_they_are_independent() {
    let functions: Vec<F> =
        (0..40).map(|at| f(&format!("f{at}")).gpus(1).lasts(Span::secs(1 + at % 13))).collect();
    let (auto, why) = makespan("auto", &functions);
    for rule in ["heft", "min-min", "max-min", "mct"] {
        assert!(auto <= makespan(rule, &functions).0, "{rule}");
    }
    assert!(why.is_some_and(|why| why.contains("different times")), "auto says why");
}

#[test]
fn auto_says_why_it_packs() {
    let functions: Vec<F> = (0..4).map(|at| f(&format!("f{at}")).gpus(1)).collect();
    let (_, why) = makespan("auto", &functions);
    assert!(why.is_some_and(|why| why.contains("packed as they come")));
}
