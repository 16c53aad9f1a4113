//! A graph and a machine become a planning instance, and its schedule becomes a plan again.

mod core_support;

use core_support::{F, build, f, gpus, spec};
use dunnage_core::{Budget, Busy, PlanProblem};
use dunnage_model::{
    Basis, Bytes, DeviceId, DeviceKind, Graph, GraphSpec, MilliCores, MilliShare, NodeId, NodeSpec, Order,
    OutputKind, OutputSpec, Placement, Span,
};
use dunnage_strategies::planning::{Edge, Instance, Mode, Planned, from_problem};
use std::sync::Arc;

const HOST: DeviceId = DeviceId::host(NodeId::LOCAL);
const GIB: u64 = 1 << 30;

fn problem(graph: Arc<Graph>, nodes: Vec<NodeSpec>) -> PlanProblem {
    let mut classes: Vec<String> = Vec::new();
    for node in &nodes {
        let gpus = node.gpus.iter().map(|gpu| gpu.device);
        for device in std::iter::once(DeviceId::host(node.id)).chain(gpus) {
            let class = node.class(device).to_owned();
            if !classes.contains(&class) {
                classes.push(class);
            }
        }
    }
    let seconds = graph.functions().iter().map(|function| {
        let seconds = function.variants.iter().map(|variant| {
            let seconds = variant.cost.declared_duration().map_or(1.0, Span::as_secs_f64);
            vec![seconds; classes.len()]
        });
        seconds.collect()
    });
    PlanProblem {
        nodes: nodes.into_iter().map(Arc::new).collect(),
        settled: vec![false; graph.len() as usize],
        busy: Vec::new(),
        seconds: seconds.collect(),
        classes,
        basis: Basis::Declaration,
        has_unknown: false,
        seed: 1,
        graph,
    }
}

fn planned(functions: impl IntoIterator<Item = F>, node: NodeSpec) -> Planned {
    let planned = from_problem(&problem(build(spec(functions)), vec![node]));
    assert_eq!(planned.instance.check(), Ok(()));
    planned
}

/// What each mode of a task takes, by the names of the resources.
fn takes(instance: &Instance, task: u32) -> Vec<String> {
    let named = |mode: &Mode| {
        let takes = mode.takes.iter().map(|(resource, amount)| {
            format!("{} {amount}", instance.resources[*resource as usize].name.replace("local ", ""))
        });
        takes.collect::<Vec<_>>().join(", ")
    };
    instance.modes(task).iter().map(named).collect()
}

fn sized(function: F, sizes: &[u64]) -> F {
    let output = |size: &u64| OutputSpec { kind: OutputKind::File, size: Some(Bytes(*size)) };
    function.with(|spec| spec.outputs = sizes.iter().map(output).collect())
}

fn row(instance: &Instance, node: u32) -> Vec<(u32, f64)> {
    instance.parents.row(node).iter().map(|edge| (edge.node, edge.size)).collect()
}

#[test]
fn modes_are_the_variants_on_every_place_that_could_hold_them() {
    let mut machine = gpus(&[8, 80, 80]);
    machine.custom.insert("licence".to_owned(), 3);
    let functions = [
        f("a").cpus(2).memory(Bytes::gib(4)).cost(|cost| cost.custom.push(("licence".to_owned(), 2))),
        f("b").gpus(1).cost(|cost| cost.gpu_memory = Some(Bytes::gib(10))),
        f("c").gpus(2),
        f("d").gpu_share(250),
        f("e").gpu_memory(Bytes::gib(20)),
        f("g")
            .variant(DeviceKind::Gpu, |cost| cost.gpu_model = Some("small".to_owned()))
            .variant(DeviceKind::Cpu, |cost| cost.cpus = Some(MilliCores(500))),
    ];
    let planned = planned(functions, machine);
    let instance = &planned.instance;
    let all = |gpu: u32, gib: u64| format!("gpu{gpu} share 1000, gpu{gpu} memory {}", gib * GIB);
    assert_eq!(takes(instance, 0), [format!("cores 2000, memory {}, licence 2", 4 * GIB)]);
    assert_eq!(takes(instance, 1), [all(1, 80), all(2, 80)], "8 GiB are too little");
    assert_eq!(
        takes(instance, 2),
        [format!("{}, {}", all(0, 8), all(1, 80)), format!("{}, {}", all(1, 80), all(2, 80))]
    );
    let quarter =
        |gpu: u32, gib: u64| format!("gpu{gpu} share 250, gpu{gpu} memory {}", gib * GIB / 1000 * 250);
    assert_eq!(takes(instance, 3), [quarter(0, 8), quarter(1, 80), quarter(2, 80)]);
    assert_eq!(takes(instance, 4), [1, 2].map(|gpu| format!("gpu{gpu} memory {}", 20 * GIB)));
    assert_eq!(takes(instance, 5), [format!("{}, cores 1000", all(0, 8)), "cores 500".to_owned()]);
    let variants: Vec<u8> = instance.modes(5).iter().map(|mode| mode.variant).collect();
    assert_eq!(variants, [0, 1]);
    assert_eq!(planned.devices, [HOST, core_support::gpu(0), core_support::gpu(1), core_support::gpu(2)]);
}

#[test]
fn prices_and_joules_are_those_of_the_part_that_is_used() {
    let mut machine = gpus(&[80]);
    machine.tariff.prices = [("cpu".to_owned(), 0.5), ("big".to_owned(), 8.0)].into();
    machine.tariff.watts = [("cpu".to_owned(), 10.0), ("big".to_owned(), 400.0)].into();
    let functions = [
        f("a").cpus(2).lasts(Span::secs(10)),
        f("b").gpu_share(500).cost(|cost| cost.cpus = Some(MilliCores(1000))).lasts(Span::secs(2)),
        f("c").gpu_share(100).cost(|cost| cost.gpu_memory = Some(Bytes::gib(20))).lasts(Span::secs(1)),
    ];
    let planned = planned(functions, machine);
    let costs = |task| {
        let mode = &planned.instance.modes(task)[0];
        (mode.seconds, mode.price, mode.joules)
    };
    assert_eq!(costs(0), (10.0, 10.0, 200.0));
    assert_eq!(costs(1), (2.0, 9.0, 420.0));
    assert_eq!(costs(2), (1.0, 2.0, 100.0), "a quarter of its memory is more than a tenth of its share");
}

#[test]
fn edges_move_what_their_readers_read() {
    let functions = [
        sized(f("a"), &[100, 20, 3]),
        f("both").arg("a", 0).arg("a", 1).arg("a", 0),
        f("after").after("a"),
        f("undeclared").arg("both-out", 0),
        f("both-out").outputs(1),
    ];
    let planned = planned(functions, gpus(&[]));
    let rows: Vec<_> = (0..5).map(|task| row(&planned.instance, task)).collect();
    assert_eq!(rows, [vec![], vec![(0, 120.0)], vec![(0, 0.0)], vec![(4, 0.0)], vec![]]);
}

#[test]
fn a_family_is_read_through_a_gather_for_each_amount() {
    let functions = [
        sized(f("t-{a}").times("a", 3), &[100, 20]),
        f("one").arg("t[*]", 0),
        f("other").arg("t[*]", 0),
        f("more").arg_succeeded("t[*]", 0).arg_succeeded("t[*]", 1),
        f("after").after("t[*]"),
    ];
    let planned = planned(functions, gpus(&[]));
    let instance = &planned.instance;
    assert_eq!(instance.gathers, 3);
    let of = |node| row(instance, node);
    assert_eq!([of(3), of(4), of(5), of(6)], [7, 7, 8, 9].map(|gather| vec![(gather, 0.0)]));
    let members = |size| vec![(0, size), (1, size), (2, size)];
    assert_eq!([of(7), of(8), of(9)], [members(100.0), members(120.0), members(0.0)]);
}

#[test]
fn many_amounts_of_one_family_do_not_multiply_its_edges() {
    let family = sized(f("t-{a}").times("a", 50), &(0..60).map(|n| 1 << (n % 40)).collect::<Vec<_>>());
    let readers = (0..60_u16).map(|n| f(&format!("r{n}")).arg("t[*]", n));
    let planned = planned(std::iter::once(family).chain(readers), gpus(&[]));
    let instance = &planned.instance;
    assert!(instance.gathers <= 6 && instance.parents.items() < 500, "{} gathers", instance.gathers);
    for (reader, size) in (0..60).map(|n| (50 + n, f64::from(2.0_f32).powi(n as i32 % 40))) {
        let gather = row(instance, reader)[0].0;
        assert!(instance.parents.row(gather).iter().all(|edge: &Edge| edge.size >= size));
    }
}

fn placed(cpus: u32, memory: Bytes) -> Placement {
    Placement {
        variant: 0,
        node: NodeId::LOCAL,
        cpus: MilliCores::cores(cpus),
        memory,
        memory_limit: None,
        gpus: Vec::new(),
        custom: Vec::new(),
        predicted: None,
        basis: Basis::None,
    }
}

#[test]
fn what_ended_is_left_out_and_what_runs_is_waited_for() {
    let functions = [
        f("ended"),
        f("runs").max_parallel(1),
        f("reader").after("ended").after("runs"),
        f("t-{a}").times("a", 3).max_parallel(2),
        f("score").after("t[*]"),
    ];
    let mut problem = problem(build(spec(functions)), vec![gpus(&[])]);
    for settled in [0, 1, 3] {
        problem.settled[settled] = true;
    }
    let busy = |task, left_s| Busy { task, placement: placed(2, Bytes::gib(1)), left_s };
    problem.busy = vec![busy(Some(1), 5.0), busy(Some(3), 7.0), busy(None, 2.0)];
    let planned = from_problem(&problem);
    let instance = &planned.instance;
    assert_eq!(instance.check(), Ok(()));
    assert_eq!(planned.tasks, [2, 4, 5, 6]);
    assert_eq!(instance.earliest, [5.0, 0.0, 0.0, 7.0]);
    assert_eq!([row(instance, 0), row(instance, 3)], [vec![], vec![(4, 0.0)]]);
    assert_eq!(row(instance, 4), [(1, 0.0), (2, 0.0)]);
    let held: Vec<_> =
        instance.occupied.iter().map(|held| (held.resource, held.amount, held.until)).collect();
    let of = |until| [(0, 2000, until), (1, GIB, until)];
    let limit =
        instance.resources.iter().position(|resource| resource.name.ends_with("at once")).unwrap() as u32;
    assert_eq!(held, [&of(5.0)[..], &of(7.0), &[(limit, 1, 7.0)], &of(2.0)].concat());

    let plan = dunnage_strategies::planner("heft").unwrap().plan(&problem, &mut Budget::of(1));
    assert!(plan.place[0].is_none() && plan.place[1].is_none());
    assert_eq!(plan.place[2].unwrap().start_s, 5.0);
    assert_eq!((plan.place[6].unwrap().start_s, plan.makespan_s), (7.0, 8.0));
    assert!(plan.priority[4] > plan.priority[2] && plan.priority[2] > plan.priority[6]);
}

#[test]
fn sequential_order_and_limits_are_resources() {
    let functions = || [f("a-{n}").times("n", 6).max_parallel(2).cpus(1), f("b").cpus(1)];
    let makespan = |order| {
        let graph = build(GraphSpec { order, ..spec(functions()) });
        let problem = problem(graph, vec![gpus(&[])]);
        dunnage_strategies::planner("heft").unwrap().plan(&problem, &mut Budget::of(1)).makespan_s
    };
    assert_eq!([makespan(Order::Dag), makespan(Order::Sequential)], [3.0, 7.0]);
}

#[test]
fn a_pinned_function_stays_on_its_node_and_one_that_fits_nowhere_is_left_open() {
    let mut other = gpus(&[80]);
    other.id = NodeId(1);
    other.name = "other".to_owned();
    for gpu in &mut other.gpus {
        gpu.device.node = other.id;
    }
    let functions = [
        f("pinned").with(|spec| spec.node = Some("other".to_owned())),
        f("anywhere"),
        f("nowhere").cpus(1000),
        f("reader").after("nowhere"),
    ];
    let problem = problem(build(spec(functions)), vec![gpus(&[8]), other]);
    let planned = from_problem(&problem);
    let on = |task: u32| -> Vec<DeviceId> {
        planned.instance.modes(task).iter().map(|mode| planned.devices[mode.device as usize]).collect()
    };
    assert_eq!(planned.tasks, [0, 1, 3]);
    assert_eq!((on(0), on(1)), (vec![DeviceId::host(NodeId(1))], vec![HOST, DeviceId::host(NodeId(1))]));
    let plan = dunnage_strategies::planner("mct").unwrap().plan(&problem, &mut Budget::of(1));
    assert!(plan.place[2].is_none() && plan.place[3].is_some());
}

#[test]
fn values_move_at_the_speed_of_the_links() {
    let mut machine = gpus(&[80, 80]);
    machine.tariff.links =
        dunnage_model::Links { host_gpu: 10.0, gpu_gpu: 50.0, node_node: 2.0, latency: 1.0 };
    let mut other = machine.clone();
    other.id = NodeId(1);
    for gpu in &mut other.gpus {
        gpu.device.node = other.id;
    }
    let planned = from_problem(&problem(build(spec([f("a")])), vec![machine, other]));
    let place = |device: usize| planned.instance.devices[device].place;
    let seconds = |from, to| planned.instance.transfers.seconds(100.0, place(from), place(to));
    // Host, two GPUs; host, two GPUs.
    assert_eq!([seconds(0, 0), seconds(0, 1), seconds(1, 2), seconds(2, 0)], [0.0, 11.0, 3.0, 11.0]);
    assert_eq!([seconds(0, 3), seconds(1, 3), seconds(1, 5)], [51.0, 61.0, 71.0]);
}

#[test]
fn hostile_numbers_give_a_plan_all_the_same() {
    let mut machine = gpus(&[80]);
    machine.memory = Bytes(u64::MAX);
    machine.custom.insert("x".to_owned(), u64::MAX);
    machine.tariff.links =
        dunnage_model::Links { host_gpu: f64::NAN, gpu_gpu: 1e-300, node_node: -1.0, latency: f64::INFINITY };
    machine.tariff.prices.insert("cpu".to_owned(), f64::MAX);
    machine.tariff.watts.insert("big".to_owned(), f64::NAN);
    let most = |name: &str| {
        let function = sized(f(name), &[u64::MAX, u64::MAX]).memory(Bytes(u64::MAX));
        function.cost(|cost| cost.custom = vec![("x".to_owned(), u64::MAX), ("x".to_owned(), 1)])
    };
    let functions = [
        sized(f("a"), &[u64::MAX, u64::MAX]).memory(Bytes(u64::MAX)),
        most("too-much"),
        f("b").arg("a", 0).arg("a", 1).gpus(1),
        f("c").arg("a", 0).cost(|cost| {
            cost.gpu_share = Some(MilliShare(1));
            cost.gpu_memory = Some(Bytes(u64::MAX));
        }),
        f("d").after("b"),
    ];
    let mut problem = problem(build(spec(functions)), vec![machine]);
    problem.seconds[0] = vec![vec![f64::NAN, f64::INFINITY]];
    problem.seconds[2] = vec![vec![f64::MAX, -1.0]];
    problem.seconds[4] = Vec::new();
    problem.settled.pop();
    problem.busy = [f64::NAN, f64::INFINITY, -3.0, 1e300]
        .map(|left_s| Busy { task: Some(u32::MAX), placement: placed(4_000_000, Bytes(u64::MAX)), left_s })
        .into();
    for entry in dunnage_strategies::registry() {
        let Some(planner) = dunnage_strategies::planner(entry.name) else { continue };
        let planned = from_problem(&problem);
        assert_eq!(planned.instance.check(), Ok(()));
        let plan = planner.plan(&problem, &mut Budget::of(3));
        assert!(plan.makespan_s.is_finite(), "{}: {}", entry.name, plan.makespan_s);
        assert!(plan.place[4].is_some());
    }
}
