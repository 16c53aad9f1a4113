//! The contract of every strategy as a planner: over graph shapes and machine profiles, and over random
//! instances of public formats. Judged by the validator, which knows no planner's books, and on small
//! instances by brute force. And the judge is judged: a schedule that is broken in any way is found out.

mod core_support;

use core_support::{F, build, f, gpus, spec};
use dunnage_core::Rng;
use dunnage_model::{
    Bytes, CpuSpec, DeviceKind, GraphSpec, MilliCores, NodeSpec, Order, OutputKind, OutputSpec, Span,
};
use dunnage_sim::bench_plan::{Limits, Outcome, plan};
use dunnage_sim::formats::{self, Case, Demand, Facts, Format, Machine};
use dunnage_sim::validate::{self, Row};
use dunnage_strategies::planning::{PlanOptions, Schedule, lower_bound};
use std::fmt::Write;
use std::sync::Arc;

/// Everything that reads a value of this size.
const MIB: u64 = 1 << 20;

fn names() -> Vec<&'static str> {
    dunnage_strategies::registry().iter().map(|entry| entry.name).collect()
}

/// No time passes in a test: searches are bounded by schedules.
fn run(case: &Case, strategy: &str, schedules: u64, seed: u64) -> Outcome {
    let options = PlanOptions { seed, ..PlanOptions::default() };
    let limits = Limits { seconds: None, schedules: Some(schedules), options };
    plan(case, strategy, &limits, &|| 0.0).unwrap_or_else(|why| panic!("{}: {strategy}: {why}", case.name))
}

/// A function that runs on cores, and faster on part of a GPU where there is one; its value has a size.
fn task(id: &str, n: u64) -> F {
    f(id)
        .variant(DeviceKind::Cpu, |cost| {
            cost.cpus = Some(MilliCores(500 + 500 * (n % 4) as u32));
            cost.memory = Some(Bytes::gib(n % 3));
            cost.duration = Some(Span::millis(900 + n * 370 % 2900));
        })
        .variant(DeviceKind::Gpu, |cost| {
            cost.cpus = Some(MilliCores(250));
            cost.gpu_memory = Some(Bytes::gib(1 + n % 4));
            cost.duration = Some(Span::millis(150 + n * 130 % 900));
        })
        .with(|spec| {
            spec.outputs =
                vec![OutputSpec { kind: OutputKind::File, size: Some(Bytes((1 + n % 7) * 64 * MIB)) }];
        })
}

fn shapes() -> Vec<(&'static str, Vec<F>)> {
    let chain = (0..10).map(|n| {
        let task = task(&format!("c{n}"), n);
        if n == 0 { task } else { task.arg(&format!("c{}", n - 1), 0) }
    });
    let fork = std::iter::once(task("src", 1))
        .chain((0..12).map(|n| task(&format!("w{n}"), n).arg("src", 0)))
        .chain([(0..12).fold(task("join", 3), |join, n| join.arg(&format!("w{n}"), 0))]);
    let layered = (0..4_u64).flat_map(|layer| {
        (0..5_u64).map(move |n| {
            let task = task(&format!("l{layer}-{n}"), layer * 5 + n);
            (0..5)
                .filter(|other| layer > 0 && (other + n * 7 + layer) % 3 == 0)
                .fold(task, |task, other| task.arg(&format!("l{}-{other}", layer - 1), 0))
        })
    });
    // Number 1 is the root; 2n and 2n + 1 are below n.
    let out_tree = (1..16_u64).map(|n| {
        let task = task(&format!("o{n}"), n);
        if n == 1 { task } else { task.arg(&format!("o{}", n / 2), 0) }
    });
    let in_tree = (1..16_u64).map(|n| {
        let below = [2 * n, 2 * n + 1].into_iter().filter(|below| *below < 16);
        below.fold(task(&format!("i{n}"), n), |task, below| task.arg(&format!("i{below}"), 0))
    });
    let sized = |task: F, mib: u64| {
        task.with(|spec| {
            spec.outputs = vec![OutputSpec { kind: OutputKind::File, size: Some(Bytes(mib * MIB)) }];
        })
    };
    vec![
        ("chain", chain.collect()),
        ("fork-join", fork.collect()),
        (
            "diamond",
            vec![
                task("top", 5),
                task("left", 2).arg("top", 0),
                task("right", 7).arg("top", 0),
                task("bottom", 1).arg("left", 0).arg("right", 0),
            ],
        ),
        ("layered", layered.collect()),
        ("independent", (0..24).map(|n| task(&format!("i{n}"), n)).collect()),
        ("in-tree", in_tree.collect()),
        ("out-tree", out_tree.collect()),
        (
            "sweep with a gather",
            vec![
                task("prepare", 2),
                sized(
                    f("t-{a}-{b}").times("a", 4).times("b", 3).max_parallel(5).lasts(Span::millis(700)),
                    256,
                )
                .arg("prepare", 0),
                sized(f("score").lasts(Span::secs(1)), 1).arg_succeeded("t[*]", 0),
                f("after").after("t[*]").after("score"),
            ],
        ),
        (
            "wide fan",
            std::iter::once(task("root", 4))
                .chain((0..40).map(|n| task(&format!("x{n}"), n).arg("root", 0)))
                .collect(),
        ),
        ("single", vec![task("only", 3)]),
        (
            "without time",
            vec![
                f("a").lasts(Span::millis(0)).outputs(1),
                f("b").lasts(Span::secs(1)).arg("a", 0).outputs(1),
                f("c").lasts(Span::millis(0)).arg("b", 0),
                f("d").lasts(Span::millis(0)),
            ],
        ),
    ]
}

fn few(node: NodeSpec, cores: u32) -> NodeSpec {
    NodeSpec { cpu: CpuSpec { capacity: MilliCores::cores(cores), ..node.cpu.clone() }, ..node }
}

/// A GPU that is cut into instances, and is not itself for hire.
fn mig() -> NodeSpec {
    let mut node = few(gpus(&[80, 10, 10, 20]), 6);
    let parent = node.gpus[0].uuid.clone();
    node.gpus[0].allocatable = false;
    for instance in &mut node.gpus[1..] {
        instance.uuid = instance.uuid.replace("GPU-", "MIG-");
        instance.mig_parent = Some(parent.clone());
    }
    node
}

fn profiles() -> Vec<(&'static str, NodeSpec)> {
    vec![
        ("cpu only", few(gpus(&[]), 4)),
        ("one gpu", few(gpus(&[8]), 6)),
        ("eight gpus", gpus(&[80; 8])),
        ("mixed", few(gpus(&[8, 24, 80]), 3)),
        ("mig", mig()),
    ]
}

#[test]
fn every_strategy_on_every_shape_and_machine_makes_a_valid_schedule() {
    for (shape, functions) in shapes() {
        let graph = build(spec(functions));
        for (profile, node) in profiles() {
            let name = format!("{shape} on {profile}");
            let case =
                formats::graph(&name, Arc::clone(&graph), Arc::new(node), 1).expect("it can be planned");
            let bound = lower_bound(&case.instance);
            for strategy in names() {
                let outcome = run(&case, strategy, 40, 3);
                assert_eq!(outcome.verdict, Ok(()), "{name}: {strategy}");
                assert!(
                    outcome.makespan >= bound * (1.0 - 1e-9),
                    "{name}: {strategy}: {} is below the bound {bound}",
                    outcome.makespan
                );
            }
        }
    }
}

/// What searches from one schedule to the next, and what begins such a search.
const SEARCHES: [&str; 4] = ["auto", "time-optimised", "cost-optimised", "energy-optimised"];

/// Tasks shorter than any tolerance next to long ones.
fn mixed_magnitudes() -> Vec<Case> {
    let days = 86_400_000;
    let of = |name: &str, millis: &[u64], node: NodeSpec| {
        let tasks = millis
            .iter()
            .enumerate()
            .map(|(n, millis)| f(&format!("t{n}")).cpus(1).lasts(Span::millis(*millis)).outputs(1));
        let join = (0..millis.len())
            .fold(f("join").cpus(1).lasts(Span::millis(5)), |join, n| join.arg(&format!("t{n}"), 0));
        let graph = build(spec(tasks.chain([join])));
        formats::graph(name, graph, Arc::new(node), 1).expect("it can be planned")
    };
    let mut cases = vec![
        of("5 ms and 70 d on one core", &[5, 5, 70 * days], few(gpus(&[]), 1)),
        of("5 ms and 70 d on two cores", &[5, 70 * days, 5, 5, 70 * days], few(gpus(&[]), 2)),
    ];
    for costs in ["1e-10, 1, 1, 1", "1, 1e-10, 1e6, 1e-10, 1", "1e-12, 1e-12, 1e-12, 1e9"] {
        for (devices, machine) in
            [("one", r#""speeds": [1], "links": []"#), ("two", r#""speeds": [1, 3], "links": [[0, 1, 1]]"#)]
        {
            let text = format!(r#"{{"tasks": [{costs}], "edges": [[0, 3, 1]], {machine}}}"#);
            let name = format!("{costs} on {devices}");
            cases.push(
                formats::parse(&name, text.as_bytes(), Format::HeteroJson, None).expect("it is well-formed"),
            );
        }
    }
    cases
}

fn check_mixed_magnitudes(strategies: impl Iterator<Item = &'static str>) {
    let cases = mixed_magnitudes();
    for strategy in strategies {
        for case in &cases {
            let outcome = run(case, strategy, 60, 3);
            assert_eq!(outcome.verdict, Ok(()), "{}: {strategy}", case.name);
            let bound = lower_bound(&case.instance);
            assert!(outcome.makespan >= bound * (1.0 - 1e-9), "{}: {strategy}", case.name);
        }
    }
}

#[test]
fn tasks_of_very_different_length_are_no_trouble() {
    check_mixed_magnitudes(names().into_iter().filter(|name| !SEARCHES.contains(name)));
}

#[test]
fn tasks_of_very_different_length_are_no_trouble_for_a_search() {
    check_mixed_magnitudes(SEARCHES.into_iter());
}

#[test]
fn one_after_another_means_that_for_every_strategy() {
    let graph =
        build(GraphSpec { order: Order::Sequential, ..spec((0..6).map(|n| task(&format!("s{n}"), n))) });
    let case = formats::graph("sequential", graph, Arc::new(gpus(&[8, 8])), 1).expect("it can be planned");
    for strategy in names() {
        let outcome = run(&case, strategy, 40, 3);
        assert_eq!(outcome.verdict, Ok(()), "{strategy}");
        let sum: f64 = outcome.rows.iter().map(|row| row.end - row.start).sum();
        assert!(outcome.makespan >= sum * (1.0 - 1e-9), "{strategy}: {} < {sum}", outcome.makespan);
    }
}

/// A random acyclic graph: parents of each of `tasks`.
fn parents(rng: &mut Rng, tasks: usize, density: f64) -> Vec<Vec<usize>> {
    (0..tasks).map(|task| (0..task).filter(|_| rng.unit() < density).collect()).collect()
}

fn hetero(rng: &mut Rng, tasks: usize, devices: usize) -> Case {
    let mut edges = Vec::new();
    for (task, parents) in parents(rng, tasks, 0.4).into_iter().enumerate() {
        for parent in parents {
            edges.push(format!("[{parent}, {task}, {}]", (rng.unit() * 20.0).round() / 4.0));
        }
    }
    let costs: Vec<String> = (0..tasks).map(|_| format!("{}", (rng.unit() * 80.0).round() / 8.0)).collect();
    let speeds: Vec<String> = (0..devices).map(|_| format!("{}", 0.5 + rng.unit())).collect();
    let links: Vec<String> = (0..devices)
        .flat_map(|a| (a + 1..devices).map(move |b| (a, b)))
        .map(|(a, b)| format!("[{a}, {b}, {}]", 0.5 + 2.0 * rng.unit()))
        .collect();
    let text = format!(
        "{{\"tasks\": [{}], \"edges\": [{}], \"speeds\": [{}], \"links\": [{}]}}",
        costs.join(","),
        edges.join(","),
        speeds.join(","),
        links.join(",")
    );
    formats::parse("hetero", text.as_bytes(), Format::HeteroJson, None).expect("it is well-formed")
}

fn stg(rng: &mut Rng, tasks: usize, processors: u64) -> Case {
    let mut text = format!("{tasks}\n0 0 0\n");
    let graph = parents(rng, tasks, 0.3);
    let mut is_leaf = vec![true; tasks];
    for (task, parents) in graph.iter().enumerate() {
        let list: Vec<String> = match parents.as_slice() {
            [] => vec!["0".to_owned()],
            some => some.iter().map(|parent| (parent + 1).to_string()).collect(),
        };
        for parent in parents {
            is_leaf[*parent] = false;
        }
        let _ = writeln!(text, "{} {} {} {}", task + 1, rng.below(9), list.len(), list.join(" "));
    }
    let leaves: Vec<String> =
        (0..tasks).filter(|task| is_leaf[*task]).map(|task| (task + 1).to_string()).collect();
    let _ = writeln!(text, "{} 0 {} {}", tasks + 1, leaves.len(), leaves.join(" "));
    formats::parse("stg", text.as_bytes(), Format::Stg, Some(processors)).expect("it is well-formed")
}

fn psplib(rng: &mut Rng, tasks: usize) -> Case {
    let jobs = tasks + 2;
    let mut successors: Vec<Vec<usize>> = vec![Vec::new(); jobs];
    for (task, parents) in parents(rng, tasks, 0.3).into_iter().enumerate() {
        if parents.is_empty() {
            successors[0].push(task + 1);
        }
        for parent in parents {
            successors[parent + 1].push(task + 1);
        }
    }
    for list in &mut successors[..=tasks] {
        if list.is_empty() {
            list.push(jobs - 1);
        }
    }
    let stars = "*".repeat(40);
    let mut text = format!(
        "{stars}\nprojects : 1\njobs (incl. supersource/sink ): {jobs}\nhorizon : 99\nRESOURCES\n - renewable : 2 R\n - nonrenewable : 0 N\n - doubly constrained : 0 D\n{stars}\nPRECEDENCE RELATIONS:\njobnr. #modes #successors successors\n"
    );
    for (job, list) in successors.iter().enumerate() {
        let list: Vec<String> = list.iter().map(|job| (job + 1).to_string()).collect();
        let _ = writeln!(text, "{} 1 {} {}", job + 1, list.len(), list.join(" "));
    }
    let _ = writeln!(text, "{stars}\nREQUESTS/DURATIONS:\njobnr. mode duration R 1 R 2\n-----");
    for job in 0..jobs {
        let dummy = job == 0 || job == jobs - 1;
        let mut draw = |n: usize| if dummy { 0 } else { rng.below(n) };
        let _ = writeln!(text, "{} 1 {} {} {}", job + 1, draw(8), draw(5), draw(4));
    }
    let _ = writeln!(text, "{stars}\nRESOURCEAVAILABILITIES:\n R 1 R 2\n 5 4\n{stars}");
    formats::parse("psplib", text.as_bytes(), Format::Psplib, None).expect("it is well-formed")
}

#[test]
fn every_strategy_on_random_instances_of_every_format() {
    let mut rng = Rng::new(11);
    for round in 0..8 {
        let tasks = 1 + rng.below(30);
        let cases = [
            hetero(&mut rng, tasks, 1 + round % 4),
            stg(&mut rng, tasks, 1 + round as u64 % 5),
            psplib(&mut rng, tasks),
        ];
        for case in &cases {
            let bound = lower_bound(&case.instance);
            for strategy in names() {
                let outcome = run(case, strategy, 60, 5);
                assert_eq!(outcome.verdict, Ok(()), "{} {round}: {strategy}", case.name);
                assert!(outcome.makespan >= bound * (1.0 - 1e-9), "{} {round}: {strategy}", case.name);
            }
        }
    }
}

/// The rules that the searches begin with.
const RULES: [&str; 7] = ["heft", "cpop", "peft", "min-min", "max-min", "sufferage", "mct"];

#[test]
fn a_search_is_never_worse_than_the_rules_it_begins_with() {
    let mut rng = Rng::new(23);
    for round in 0..10 {
        let tasks = 4 + rng.below(25);
        let cases = [hetero(&mut rng, tasks, 3), stg(&mut rng, tasks, 3), psplib(&mut rng, tasks)];
        for case in &cases {
            let best = RULES.iter().map(|rule| run(case, rule, 1, 5).makespan).fold(f64::INFINITY, f64::min);
            for schedules in [20, 200] {
                let found = run(case, "time-optimised", schedules, 5).makespan;
                assert!(
                    found <= best * (1.0 + 1e-12),
                    "{} {round}: {found} > {best} of the rules",
                    case.name
                );
            }
        }
    }
}

#[test]
fn same_seed_and_number_of_schedules_same_plan() {
    let mut rng = Rng::new(31);
    for _ in 0..3 {
        for case in [hetero(&mut rng, 18, 3), stg(&mut rng, 18, 3), psplib(&mut rng, 18)] {
            for strategy in names() {
                let (first, again) = (run(&case, strategy, 80, 9), run(&case, strategy, 80, 9));
                assert_eq!(first, again, "{}: {strategy}", case.name);
            }
        }
    }
}

/// Calls `each` with every order of the tasks in which parents come first.
fn orders(facts: &Facts, order: &mut Vec<u32>, each: &mut dyn FnMut(&[u32])) {
    if order.len() == facts.tasks as usize {
        each(order);
        return;
    }
    for task in 0..facts.tasks {
        let is_ready = !order.contains(&task)
            && facts.edges.iter().all(|(parent, child, _)| *child != task || order.contains(parent));
        if is_ready {
            order.push(task);
            orders(facts, order, each);
            order.pop();
        }
    }
}

/// The least makespan of related devices: every order, every assignment, each task appended to its device.
fn least_of_related(facts: &Facts) -> f64 {
    let Machine::Related { costs, speeds, links } = &facts.machine else { panic!("no related devices") };
    let devices = speeds.len();
    let mut least = f64::INFINITY;
    orders(facts, &mut Vec::new(), &mut |order| {
        for assignment in 0..devices.pow(order.len() as u32) {
            let device = |task: u32| assignment / devices.pow(task) % devices;
            let (mut free, mut ends) = (vec![0.0_f64; devices], vec![0.0_f64; order.len()]);
            for task in order {
                let to = device(*task);
                let mut start = free[to];
                for (parent, child, size) in &facts.edges {
                    if child == task {
                        let from = device(*parent);
                        let moving = if from == to { 0.0 } else { size / links[from * devices + to] };
                        start = start.max(ends[*parent as usize] + moving);
                    }
                }
                let end = start + costs[*task as usize] / speeds[to];
                (free[to], ends[*task as usize]) = (end, end);
            }
            least = least.min(ends.iter().copied().fold(0.0, f64::max));
        }
    });
    least
}

/// The least makespan with resources: every order, each task as early as it fits.
fn least_of_vector(facts: &Facts) -> f64 {
    let Machine::Vector { durations, demands, capacities, .. } = &facts.machine else { panic!("no vector") };
    let mut least = u64::MAX;
    let horizon = durations.iter().sum::<u64>() as usize + 1;
    orders(facts, &mut Vec::new(), &mut |order| {
        let mut used = vec![vec![0_u64; capacities.len()]; horizon];
        let mut ends = vec![0_u64; order.len()];
        for task in order {
            let duration = durations[*task as usize];
            let asks = |resource| demands.of(*task, resource, capacities.len(), duration);
            let before = facts.edges.iter().filter(|edge| edge.1 == *task).map(|edge| ends[edge.0 as usize]);
            let mut start = before.max().unwrap_or(0);
            while (start..start + duration)
                .any(|t| (0..capacities.len()).any(|r| used[t as usize][r] + asks(r) > capacities[r]))
            {
                start += 1;
            }
            for t in start..start + duration {
                (0..capacities.len()).for_each(|r| used[t as usize][r] += asks(r));
            }
            ends[*task as usize] = start + duration;
        }
        least = least.min(ends.iter().copied().max().unwrap_or(0));
    });
    least as f64
}

#[test]
fn nobody_is_below_the_optimum_and_the_search_reaches_it_where_tasks_run_one_way() {
    let mut rng = Rng::new(47);
    for round in 0..12 {
        let case = hetero(&mut rng, 4, 2);
        let least = least_of_related(&case.facts);
        assert!(lower_bound(&case.instance) <= least * (1.0 + 1e-9), "the bound of round {round}");
        for strategy in names() {
            let outcome = run(&case, strategy, 300, 5);
            assert_eq!(outcome.verdict, Ok(()), "{round}: {strategy}");
            assert!(outcome.makespan >= least * (1.0 - 1e-9), "{round}: {strategy}: {}", outcome.makespan);
        }
        for case in [stg(&mut rng, 5, 2), psplib(&mut rng, 5)] {
            let least = least_of_vector(&case.facts);
            assert!(lower_bound(&case.instance) <= least, "the bound of round {round}");
            for strategy in names() {
                let makespan = run(&case, strategy, 2_000, 5).makespan;
                assert!(makespan >= least, "{} {round}: {strategy}: {makespan} < {least}", case.name);
                if strategy == "time-optimised" {
                    assert_eq!(makespan, least, "{} {round}", case.name);
                }
            }
        }
    }
}

#[test]
fn an_instance_without_tasks_is_planned_in_no_time() {
    let text = br#"{"tasks": [], "edges": [], "speeds": [1, 2], "links": [[0, 1, 1]]}"#;
    let empty = formats::parse("empty", text, Format::HeteroJson, None).expect("it is well-formed");
    let dummies =
        formats::parse("dummies", b"0\n0 0 0\n1 0 1 0\n", Format::Stg, Some(1)).expect("it is well-formed");
    for strategy in names() {
        for case in [&empty, &dummies] {
            let outcome = run(case, strategy, 20, 1);
            assert_eq!((outcome.makespan, outcome.verdict), (0.0, Ok(())), "{}: {strategy}", case.name);
        }
    }
}

#[test]
fn broken_schedules_are_found_out() {
    let mut rng = Rng::new(3);
    for case in [hetero(&mut rng, 12, 2), stg(&mut rng, 12, 2), psplib(&mut rng, 12)] {
        let good = run(&case, "heft", 1, 1);
        let judge = |rows: &[Row]| {
            let last = rows.iter().map(|row| row.end).fold(0.0, f64::max);
            validate::check(&case.facts, rows, last)
        };
        assert_eq!(judge(&good.rows), Ok(()), "{}", case.name);
        let broken = |what: &str, change: &dyn Fn(&mut Vec<Row>)| {
            let mut rows = good.rows.clone();
            change(&mut rows);
            assert!(judge(&rows).is_err(), "{}: {what} is not seen", case.name);
        };
        let long = good.rows.iter().position(|row| row.end > row.start).expect("one takes time");
        broken("a task that is missing", &|rows| rows.truncate(rows.len() - 1));
        broken("a task that is there twice", &|rows| rows[1] = rows[0]);
        broken("a task that does not exist", &|rows| rows[0].task = 999);
        broken("a start that is no number", &|rows| rows[long].start = f64::NAN);
        broken("an end without end", &|rows| rows[long].end = f64::INFINITY);
        broken("a start before the beginning", &|rows| rows[long].start = -1.0);
        broken("a run that is too short", &|rows| rows[long].end = rows[long].start);
        broken("a run that is too long", &|rows| rows[long].end += 1.0);
        let (parent, child, _) = *case
            .facts
            .edges
            .iter()
            .find(|(parent, _, _)| good.rows[*parent as usize].end > 0.0)
            .expect("an edge");
        broken("a child before its parent", &|rows| {
            let takes = rows[child as usize].end - rows[child as usize].start;
            rows[child as usize].start = 0.0;
            rows[child as usize].end = takes;
            let before = rows[parent as usize];
            assert!(before.end > 0.0);
        });
        // All at once is too much for any of these machines.
        broken("more than there is", &|rows| {
            for row in rows.iter_mut() {
                (row.start, row.end) = (0.0, row.end - row.start);
                row.device = row.device.map(|_| 0);
            }
        });
        let far = validate::check(&case.facts, &good.rows, good.makespan * 2.0 + 1.0);
        assert!(far.is_err(), "{}: a makespan that is not so is not seen", case.name);
    }
}

#[test]
fn broken_schedules_of_graphs_are_found_out() {
    let functions = (0..8).map(|n| task(&format!("i{n}"), n)).chain([f("last")
        .gpus(1)
        .lasts(Span::secs(1))
        .arg("i0", 0)
        .arg("i5", 0)]);
    let graph = build(spec(functions));
    let case = formats::graph("graph", graph, Arc::new(few(gpus(&[8]), 2)), 1).expect("it can be planned");
    let planner = dunnage_strategies::schedule_planner("heft").expect("it plans");
    let good = planner.schedule(&case.instance, &PlanOptions::default(), &mut dunnage_core::Budget::of(1));
    let judge = |schedule: &Schedule| validate::judge(&case, schedule, &validate::rows(&case, schedule));
    assert_eq!(judge(&good), Ok(()));
    let broken = |what: &str, change: &dyn Fn(&mut Schedule)| {
        let mut schedule = good.clone();
        change(&mut schedule);
        schedule.makespan = schedule.end.iter().copied().fold(0.0, f64::max);
        assert!(judge(&schedule).is_err(), "{what} is not seen");
    };
    broken("all at once", &|schedule| {
        for (start, end) in schedule.start.iter_mut().zip(&mut schedule.end).take(8) {
            (*start, *end) = (0.0, *end - *start);
        }
    });
    broken("a reader before its producers", &|schedule| {
        (schedule.start[8], schedule.end[8]) = (0.0, schedule.end[8] - schedule.start[8]);
    });
    // The value of 384 MiB takes 20 ms from the cores to the GPU.
    broken("a value that is there at once", &|schedule| {
        let on_cores = case.instance.modes(5).iter().position(|mode| mode.variant == 0);
        schedule.mode[5] = on_cores.expect("a way on cores") as u16;
        schedule.start[5] = 100.0;
        schedule.end[5] = 100.0 + case.instance.modes(5)[usize::from(schedule.mode[5])].seconds;
        schedule.start[8] = schedule.end[5];
        schedule.end[8] = schedule.start[8] + 1.0;
    });
    broken("a run that is too short", &|schedule| schedule.end[3] = schedule.start[3]);
    broken("a way that does not exist", &|schedule| schedule.mode[2] = 77);
}

#[test]
fn too_much_of_one_resource_is_found_out_at_the_instant() {
    let machine = |capacity| Machine::Vector {
        durations: vec![4, 4, 2],
        demands: Demand::Table(vec![2, 2, 1]),
        capacities: vec![capacity],
        resources: vec!["cores".to_owned()],
        processors: false,
    };
    let facts = |capacity| Facts {
        names: formats::TaskNames::Numbers { first: 0, count: 3 },
        tasks: 3,
        edges: Vec::new(),
        machine: machine(capacity),
    };
    let row = |task, start, end| Row { task, device: None, start, end };
    // Two of two until 4, and one from 4: what is given back may be taken at once.
    let tight = [row(0, 0.0, 4.0), row(1, 4.0, 8.0), row(2, 8.0, 10.0)];
    assert_eq!(validate::check(&facts(2), &tight, 10.0), Ok(()));
    let over = [row(0, 0.0, 4.0), row(1, 4.0, 8.0), row(2, 7.0, 9.0)];
    let why = validate::check(&facts(2), &over, 9.0).expect_err("three of two");
    assert!(why.contains('7') && why.contains("cores"), "{why}");
    assert_eq!(validate::check(&facts(3), &over, 9.0), Ok(()));
}
