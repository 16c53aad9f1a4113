//! Plans that are made again when reality leaves them, in virtual time.

mod core_support;

use core_support::{F, build, cores, f, gpu, gpus, scenario, spec};
use dunnage_core::{Policy, Rng, Scheduler};
use dunnage_model::{
    AttemptId, Bytes, Decision, Event, Graph, GraphId, GraphSpec, NodeSpec, Owner, Placement, Plan,
    PlannedPlace, Span, Submission, Time,
};
use dunnage_sim::{AttemptEnd, Simulation, Workload};
use std::sync::Arc;

/// The declared times, each off by its own factor.
struct Off {
    factors: Vec<f64>,
}

impl Workload for Off {
    fn attempt(&mut self, graph: &Graph, attempt: AttemptId, placement: &Placement) -> (Span, AttemptEnd) {
        let task = attempt.task.index;
        let declared = graph.variant(task, placement.variant).cost.duration.unwrap_or(Span::secs(1));
        (Span::from_secs_f64(declared.as_secs_f64() * self.factors[task as usize]), AttemptEnd::Succeeds)
    }
}

fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.unit()).ln()).sqrt() * (std::f64::consts::TAU * rng.unit()).cos()
}

/// Some layers of tasks, each after one or two of the layer before.
fn layered(rng: &mut Rng) -> GraphSpec {
    let (layers, width) = (3 + rng.below(6), 3 + rng.below(8));
    let mut functions: Vec<F> = Vec::new();
    for layer in 0..layers {
        for n in 0..width {
            let mut one = f(&format!("t{layer}x{n}"))
                .cpus(1 + rng.below(2) as u32)
                .lasts(Span::millis(5_000 + rng.below(60_000) as u64));
            if layer > 0 {
                let parent = rng.below(width);
                one = one.after(&format!("t{}x{parent}", layer - 1));
                let other = rng.below(width);
                if other != parent {
                    one = one.after(&format!("t{}x{other}", layer - 1));
                }
            }
            functions.push(one);
        }
    }
    GraphSpec { strategy: Some("heft".to_owned()), ..spec(functions) }
}

fn run(graph: &Arc<Graph>, node: &NodeSpec, factors: Vec<f64>, replans: bool) -> (f64, usize) {
    let policy = Policy { replans, ..Policy::default() };
    let scheduler = Scheduler::new(dunnage_strategies::strategies()).with_policy(policy);
    let mut simulation = Simulation::new(scheduler, Off { factors }, true);
    simulation.at(Time::ZERO, Event::NodeSeen(Arc::new(node.clone())));
    let submission = Submission {
        id: GraphId(1),
        graph: Arc::clone(graph),
        owner: Owner(1),
        seed: 1,
        held: false,
        sealed: true,
        trace: None,
    };
    simulation.at(Time::ZERO, Event::Submitted(Box::new(submission)));
    let (report, _) = simulation.run().expect("no invariant is broken");
    assert_eq!(report.ran.len(), graph.len() as usize);
    let plans = report.decisions.iter().filter(|d| matches!(d, Decision::PlanWanted { .. })).count();
    (report.makespan().as_secs_f64(), plans)
}

#[test]
fn planning_again_is_no_worse_on_average() {
    let mut rng = Rng::new(7);
    let (mut ratio, mut plans, n) = (0.0, 0, 50);
    for _ in 0..n {
        let graph = build(layered(&mut rng));
        let factors: Vec<f64> = (0..graph.len()).map(|_| (0.7 * normal(&mut rng)).exp()).collect();
        let (before, one) = run(&graph, &cores(6), factors.clone(), false);
        let (after, several) = run(&graph, &cores(6), factors, true);
        assert_eq!(one, 1);
        plans += several;
        ratio += (after / before).ln();
    }
    assert!(plans > 3 * n, "{plans} plans for {n} graphs");
    println!("{plans} plans, makespan changes by {:+.4} on average", ratio / n as f64);
    assert!(ratio / n as f64 <= 0.003, "makespan grows by {:.4} on average", ratio / n as f64);
}

/// A plan that wants all tasks on the first GPU, in the order of their indices.
fn plan(tasks: usize, device: dunnage_model::DeviceId) -> Arc<Plan> {
    let place = |n: usize| PlannedPlace { variant: 0, device, start_s: n as f64, end_s: n as f64 + 1.0 };
    Arc::new(Plan {
        priority: (0..tasks).map(|n| -(n as f64)).collect(),
        place: (0..tasks).map(|n| Some(place(n))).collect(),
        is_informed: true,
        ..Plan::default()
    })
}

fn wanted(orders: &[Decision]) -> Vec<u32> {
    orders
        .iter()
        .filter_map(|order| match order {
            Decision::PlanWanted { revision, .. } => Some(*revision),
            _ => None,
        })
        .collect()
}

fn ten_on_gpus() -> GraphSpec {
    let functions = (0..10).map(|n| f(&format!("t{n}")).gpus(1).retry(9).lasts(Span::secs(100)));
    GraphSpec { strategy: Some("heft".to_owned()), ..spec(functions) }
}

#[test]
fn the_old_plan_stays_in_force_until_the_new_one_is_there() {
    let mut s = scenario(gpus(&[24]));
    let graph = s.submit(ten_on_gpus());
    assert_eq!(wanted(&s.orders), [1]);
    s.event(Event::Planned { graph, revision: 1, plan: plan(10, gpu(0)) });
    assert_eq!(s.running(), ["t0"]);
    // Twice as long as declared, and a bit.
    s.pass(Span::secs(200));
    assert_eq!(wanted(&s.orders), [1]);
    s.pass(Span::secs(1));
    assert_eq!(wanted(&s.orders), [1, 2]);
    // Nothing waits for it.
    s.ok("t0");
    assert_eq!(s.running(), ["t1"]);
    // The other way round.
    let mut new = (*plan(10, gpu(0))).clone();
    new.priority.reverse();
    s.event(Event::Planned { graph, revision: 2, plan: Arc::new(new) });
    s.pass(Span::secs(100));
    s.ok("t1");
    assert_eq!(s.running(), ["t9"]);
}

#[test]
fn a_plan_for_an_older_state_is_dropped() {
    let mut s = scenario(gpus(&[24]));
    let graph = s.submit(ten_on_gpus());
    s.event(Event::Planned { graph, revision: 1, plan: plan(10, gpu(0)) });
    s.pass(Span::secs(201));
    s.event(Event::Planned { graph, revision: 1, plan: plan(10, gpu(0)) });
    s.event(Event::Planned { graph, revision: 7, plan: plan(10, gpu(0)) });
    assert_eq!(s.scheduler.snapshot().totals.stale_plans, 2);
}

#[test]
fn plans_are_made_again_no_more_than_their_making_allows() {
    let mut s = scenario(gpus(&[24]));
    let graph = s.submit(ten_on_gpus());
    // The planner took three seconds, so the next plan comes thirty later at the earliest.
    s.pass(Span::secs(3));
    s.event(Event::Planned { graph, revision: 1, plan: plan(10, gpu(0)) });
    for n in 0..3 {
        s.pass(Span::secs(1));
        s.ok(&format!("t{n}"));
    }
    assert_eq!(wanted(&s.orders), [1]);
    s.pass(Span::secs(27));
    assert_eq!(wanted(&s.orders), [1, 2]);
    s.pass(Span::secs(10));
    s.ok("t3");
    assert_eq!(wanted(&s.orders), [1, 2], "one is being made");
}

#[test]
fn a_lost_device_and_one_that_comes_back_are_reasons_and_a_small_rest_is_none() {
    let mut s = scenario(gpus(&[24, 24]));
    let graph = s.submit(ten_on_gpus());
    s.event(Event::Planned { graph, revision: 1, plan: plan(10, gpu(0)) });
    s.pass(Span::secs(20));
    s.event(Event::DeviceLost { device: gpu(1), why: "gone".to_owned() });
    assert_eq!(wanted(&s.orders), [1, 2]);
    s.event(Event::Planned { graph, revision: 2, plan: plan(10, gpu(0)) });
    s.pass(Span::secs(20));
    s.sample(gpu(1), dunnage_model::Health::Ok, Bytes::ZERO);
    assert_eq!(wanted(&s.orders), [1, 2, 3]);
    s.event(Event::Planned { graph, revision: 3, plan: plan(10, gpu(0)) });
    s.carry_out_kills();
    for _ in 0..8 {
        s.pass(Span::secs(100));
        let running = s.running();
        s.ok(&running[0]);
    }
    let before = wanted(&s.orders).len();
    s.pass(Span::secs(2));
    s.event(Event::DeviceLost { device: gpu(1), why: "gone again".to_owned() });
    assert_eq!(wanted(&s.orders).len(), before, "at most one task has not started");
}
