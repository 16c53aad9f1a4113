//! The policy of the queue across graphs, in virtual time: priorities, fair share, order by size,
//! reservations and what bounds starvation.

mod core_support;

use core_support::{Scenario, build, cores, f, gpus, scenario, spec};
use dunnage_core::{Guard, Policy, Rng, Scheduler};
use dunnage_model::{
    AttemptId, Bytes, Decision, DeviceId, DeviceSample, Event, Graph, GraphId, GraphSpec, Health, NodeSpec,
    Owner, Placement, Span, Submission, Time,
};
use dunnage_sim::{AttemptEnd, Simulation, Workload};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

fn job(name: &str, cores: u32, seconds: u64) -> GraphSpec {
    spec([f(name).cpus(cores).lasts(Span::secs(seconds))])
}

fn with_priority(graph: GraphSpec, priority: i32) -> GraphSpec {
    let mut graph = graph;
    graph.priority = priority;
    graph
}

/// Takes the name of the first that runs off the machine and says who came in its place.
fn next(s: &mut Scenario, name: &str) -> Vec<String> {
    s.ok(name);
    s.running()
}

#[test]
fn priority_goes_before_size_and_size_before_age() {
    let mut s = scenario(cores(1));
    s.submit(job("first", 1, 10));
    s.submit(job("long", 1, 1000));
    s.submit(job("short", 1, 10));
    s.submit(with_priority(job("urgent", 1, 5000), 1));
    assert_eq!(next(&mut s, "first"), ["urgent"]);
    assert_eq!(next(&mut s, "urgent"), ["short"]);
    assert_eq!(next(&mut s, "short"), ["long"]);
}

#[test]
fn alike_sizes_go_by_age() {
    let mut s = scenario(cores(1));
    s.submit(job("first", 1, 10));
    s.submit(job("a", 1, 105));
    s.submit(job("b", 1, 100));
    assert_eq!(next(&mut s, "first"), ["a"]);
}

/// Hands in a graph of one sweep for somebody.
fn submit_for(s: &mut Scenario, owner: u32, id: u64, graph: GraphSpec) -> GraphId {
    let id = GraphId(id);
    let submission = Submission {
        id,
        graph: build(graph),
        owner: Owner(owner),
        seed: id.0,
        held: false,
        sealed: true,
        trace: None,
    };
    s.event(Event::Submitted(Box::new(submission)));
    id
}

#[test]
fn users_with_endless_work_get_equal_shares_whatever_the_size_of_their_tasks() {
    let mut s = scenario(cores(8));
    // One asks for four cores a task, for long; the others for one, for a short time, and come later.
    submit_for(&mut s, 1, 101, spec([f("big-{n}").times("n", 60).cpus(4).lasts(Span::secs(90))]));
    submit_for(&mut s, 2, 102, spec([f("small-{n}").times("n", 700).cpus(1).lasts(Span::secs(20))]));
    submit_for(&mut s, 3, 103, spec([f("mid-{n}").times("n", 250).cpus(1).lasts(Span::secs(60))]));
    let mut used: BTreeMap<u32, f64> = BTreeMap::new();
    let mut ends: BTreeMap<(Time, AttemptId), f64> = BTreeMap::new();
    let length = |attempt: AttemptId| [90, 20, 60][attempt.task.graph.0 as usize - 101];
    for _ in 0..3000 {
        for (attempt, held) in &s.open {
            let seconds = length(*attempt);
            let end = s.scheduler.graph(attempt.task.graph).map(|run| {
                let row = run.row(attempt.task.index);
                row.placed_at.unwrap_or_default().after(Span::secs(seconds))
            });
            let cores = f64::from(held.cpus.0) / 1000.0;
            ends.insert((end.expect("it is known"), *attempt), cores * seconds as f64);
        }
        let ((at, attempt), core_seconds) = ends.pop_first().expect("something runs");
        s.now = s.now.max(at);
        *used.entry(attempt.task.graph.0 as u32 - 100).or_default() += core_seconds;
        s.open.remove(&attempt);
        s.event(Event::Finished { attempt, usage: dunnage_model::Usage::default() });
        if s.now > Time::ZERO.after(Span::secs(3600)) {
            break;
        }
    }
    let all: f64 = used.values().sum();
    for (user, used) in &used {
        let share = used / all;
        assert!((share - 1.0 / 3.0).abs() < 0.05, "user {user} got {share:.3} of the machine");
    }
}

#[test]
fn a_new_user_goes_before_one_who_has_used_much() {
    let mut s = scenario(cores(1));
    submit_for(&mut s, 1, 101, spec([f("a-{n}").times("n", 10).cpus(1).lasts(Span::secs(60))]));
    s.pass(Span::secs(60));
    let b = submit_for(&mut s, 2, 102, job("b", 1, 3000));
    let first = s.running()[0].clone();
    s.ok(&first);
    assert_eq!(s.running(), ["b"]);
    let _ = b;
}

#[test]
fn old_use_is_forgotten() {
    let policy = Policy { half_life: Span::secs(100), ..Policy::default() };
    let mut s = scenario(cores(1));
    s.scheduler = Scheduler::new(dunnage_strategies::strategies()).with_policy(policy);
    s.event(Event::NodeSeen(Arc::new(cores(1))));
    // One used much long ago, the other less just now.
    submit_for(&mut s, 1, 101, job("a", 1, 1000));
    s.pass(Span::secs(1000));
    s.ok("a");
    s.pass(Span::secs(3000));
    submit_for(&mut s, 2, 102, job("b", 1, 100));
    s.pass(Span::secs(100));
    submit_for(&mut s, 2, 103, job("b2", 1, 10));
    submit_for(&mut s, 1, 104, job("a2", 1, 10));
    assert_eq!(next(&mut s, "b"), ["a2"]);
}

/// A machine of eight cores on which six of eight are taken for 100 s, and somebody waits for all eight.
fn one_that_needs_all(patience: f64) -> Scenario {
    let policy = Policy { patience: Some(patience), guard: None, ..Policy::default() };
    let mut s = scenario(cores(8));
    s.scheduler = Scheduler::new(dunnage_strategies::strategies()).with_policy(policy);
    s.event(Event::NodeSeen(Arc::new(cores(8))));
    s.submit(job("running", 6, 100));
    s.submit(job("large", 8, 1));
    s
}

#[test]
fn what_is_gone_by_then_may_overtake_a_reservation_and_what_is_not_may_not() {
    let mut s = one_that_needs_all(0.0);
    assert_eq!(s.scheduler.reserved().map(|(_, at)| at), Some(Time::ZERO.after(Span::secs(100))));
    s.submit(job("long", 2, 200));
    assert_eq!(s.running(), ["running"]);
    // Of what is only declared, twice as much is thought possible.
    s.submit(job("short", 2, 50));
    assert_eq!(s.running(), ["running", "short"]);
    s.pass(Span::secs(50));
    s.ok("short");
    assert_eq!(s.running(), ["running"], "it would end after the reserved start");
    assert_eq!(next(&mut s, "running"), ["large"]);
    assert_eq!(s.scheduler.reserved().map(|(task, _)| task.graph), Some(GraphId(3)), "it is the next");
    assert_eq!(next(&mut s, "large"), ["long"]);
    assert!(s.scheduler.reserved().is_none());
}

#[test]
fn what_fits_beside_a_reservation_may_last() {
    let policy = Policy { patience: Some(0.0), guard: None, ..Policy::default() };
    let mut s = scenario(cores(8));
    s.scheduler = Scheduler::new(dunnage_strategies::strategies()).with_policy(policy);
    s.event(Event::NodeSeen(Arc::new(cores(8))));
    s.submit(job("running", 6, 100));
    s.submit(job("large", 7, 1));
    s.submit(job("small", 1, 1000));
    assert_eq!(s.running(), ["running", "small"]);
    s.submit(job("another", 1, 1000));
    assert_eq!(s.running(), ["running", "small"], "only one fits beside it");
}

/// A machine of its own, with another policy.
fn with_policy(node: NodeSpec, policy: Policy) -> Scenario {
    let mut s = scenario(node.clone());
    s.scheduler = Scheduler::new(dunnage_strategies::strategies()).with_policy(policy);
    s.event(Event::NodeSeen(Arc::new(node)));
    s
}

#[test]
fn a_reservation_outlasts_the_releases_that_bring_it_about() {
    let policy = Policy { patience: Some(0.1), guard: None, ..Policy::default() };
    let mut s = with_policy(gpus(&[24; 8]), policy);
    let on = |name: &str, n: u16, seconds: u64| spec([f(name).gpus(n).lasts(Span::secs(seconds))]);
    // Eight that end one after another, and more than ever run of the same kind behind them.
    for n in 0..200 {
        s.submit(on(&format!("small{n}"), 1, 30));
        if n < 8 {
            s.pass(Span::secs(3));
        }
    }
    let large = s.submit(on("large", 8, 100));
    let mut first = None;
    for _ in 0..100 {
        let next = s.open.keys().min_by_key(|id| {
            let row = s.scheduler.graph(id.task.graph).expect("it runs").row(id.task.index);
            row.placed_at
        });
        let attempt = *next.expect("something runs");
        let name = s.scheduler.graph(attempt.task.graph).expect("it runs").graph.task_name(0);
        if name == "large" {
            break;
        }
        let placed = s.scheduler.graph(attempt.task.graph).expect("it runs").row(0).placed_at;
        let end = placed.expect("it runs").after(Span::secs(30));
        s.pass(end.since(s.now));
        s.ok(&name);
        if let Some((task, at)) = s.scheduler.reserved() {
            assert_eq!(task.graph, large);
            let first = *first.get_or_insert(at);
            assert!(at <= first, "{first:?} was promised and now it is {at:?}");
        }
    }
    let started = s.row(large, "large").placed_at.expect("it started");
    assert!(started <= first.expect("room was kept"), "{started:?} and {first:?} was promised");
}

#[test]
fn room_comes_back_with_those_who_use_more_than_they_hold() {
    let policy = Policy { patience: Some(0.0), guard: None, ..Policy::default() };
    let mut s = with_policy(gpus(&[24]), policy);
    let on = |name: &str, seconds| spec([f(name).gpu_memory(Bytes::gib(8)).lasts(Span::secs(seconds))]);
    s.submit(on("running", 100));
    s.submit(spec([f("host").memory(Bytes::gib(8)).cpus(1).lasts(Span::secs(100))]));
    let host = DeviceId::host(dunnage_model::NodeId::LOCAL);
    for (device, name) in [(core_support::gpu(0), "running"), (host, "host")] {
        let by = vec![(s.attempt(name), Bytes::gib(12))];
        s.event(Event::MemoryUsed { device, by });
    }
    let more = f("large").gpu_memory(Bytes::gib(22)).memory(Bytes::gib(62)).lasts(Span::secs(10));
    let large = s.submit(spec([more]));
    let promised = Some((large.task(0), Time::ZERO.after(Span::secs(100))));
    assert_eq!(s.scheduler.reserved(), promised);
    let expected = s.scheduler.outlook().times();
    assert_eq!(expected.get(&large).and_then(|expected| expected.start), promised.map(|(_, at)| at));
}

#[test]
fn what_others_use_is_not_free_beside_a_reservation() {
    let policy = Policy { patience: Some(0.0), guard: None, ..Policy::default() };
    let mut s = with_policy(cores(8), policy);
    let job = |name: &str, cores: u32, gib: u64, seconds: u64| {
        spec([f(name).cpus(cores).memory(Bytes::gib(gib)).lasts(Span::secs(seconds))])
    };
    s.submit(job("running", 6, 1, 100));
    let host = DeviceId::host(dunnage_model::NodeId::LOCAL);
    let mut sample = DeviceSample::health(host, Health::Ok);
    sample.memory_used = Some(Bytes::gib(7));
    s.event(Event::DeviceSampled { sample: Box::new(sample), foreign: Bytes::gib(6) });
    let large = s.submit(job("large", 7, 7, 10));
    // Of 16 GiB others use 6 and the large one will hold 7.
    s.submit(job("lasting", 1, 4, 100_000));
    assert_eq!(s.running(), ["running"]);
    s.submit(job("little", 1, 3, 100_000));
    assert_eq!(s.running(), ["little", "running"]);
    s.pass(Span::secs(100));
    s.ok("running");
    assert_eq!(s.row(large, "large").starts, 1);
}

#[test]
fn who_was_held_back_has_waited_since_its_release() {
    let guard = Guard { backlog: 0.0, means: 0.0, least: Span::secs(300) };
    let mut s = with_policy(cores(1), Policy { guard: Some(guard), ..Policy::default() });
    s.submit(job("first", 1, 10));
    let held = s.submit(job("held", 1, 10));
    s.event(Event::HeldBack { graph: held });
    s.pass(Span::secs(1000));
    s.submit(with_priority(job("urgent", 1, 100), 5));
    s.event(Event::Released { graph: held });
    assert_eq!(next(&mut s, "first"), ["urgent"]);
}

#[test]
fn a_reservation_goes_with_its_task_and_lets_the_others_in() {
    let mut s = one_that_needs_all(0.0);
    s.submit(job("long", 2, 1000));
    assert_eq!(s.running(), ["running"]);
    let large = GraphId(2);
    s.cancel(large);
    assert_eq!(s.running(), ["long", "running"]);
}

#[test]
fn gpus_that_come_free_last_are_kept_so_that_the_others_are_used() {
    let policy = Policy { patience: Some(0.0), guard: None, ..Policy::default() };
    let mut s = scenario(gpus(&[24; 4]));
    s.scheduler = Scheduler::new(dunnage_strategies::strategies()).with_policy(policy);
    s.event(Event::NodeSeen(Arc::new(gpus(&[24; 4]))));
    let on = |name: &str, n: u16, seconds: u64| spec([f(name).gpus(n).lasts(Span::secs(seconds))]);
    s.submit(on("three", 3, 100));
    s.submit(on("two", 2, 100));
    // Of the four, two are kept from second 100 on, so one may be held for ever.
    s.submit(on("lasting", 1, 100_000));
    assert_eq!(s.running(), ["lasting", "three"]);
    assert_eq!(next(&mut s, "three"), ["lasting", "two"]);
}

#[test]
fn nobody_waits_for_a_reservation_that_no_end_can_fulfil() {
    let policy = Policy { patience: Some(0.0), ..Policy::default() };
    let mut s = scenario(gpus(&[24, 24]));
    s.scheduler = Scheduler::new(dunnage_strategies::strategies()).with_policy(policy);
    s.event(Event::NodeSeen(Arc::new(gpus(&[24, 24]))));
    s.event(Event::DeviceLost { device: core_support::gpu(1), why: "gone".to_owned() });
    let on = |name: &str, n: u16| spec([f(name).gpus(n).lasts(Span::secs(10))]);
    s.submit(on("both", 2));
    s.submit(on("one", 1));
    assert_eq!(s.running(), ["one"]);
    s.submit(on("another", 1));
    assert_eq!(next(&mut s, "one"), ["another"]);
}

#[test]
fn one_that_waited_too_long_goes_before_all_priorities() {
    let guard = Guard { backlog: 0.0, means: 0.0, least: Span::secs(300) };
    let policy = Policy { guard: Some(guard), ..Policy::default() };
    let mut s = scenario(cores(1));
    s.scheduler = Scheduler::new(dunnage_strategies::strategies()).with_policy(policy);
    s.event(Event::NodeSeen(Arc::new(cores(1))));
    s.submit(with_priority(job("x0", 1, 100), 5));
    s.submit(job("lowly", 1, 100));
    for n in 1..=4 {
        s.submit(with_priority(job(&format!("x{n}"), 1, 100), 5));
        s.pass(Span::secs(100));
        let now = next(&mut s, &format!("x{}", n - 1));
        assert_eq!(now, [if n < 4 { format!("x{n}") } else { "lowly".to_owned() }]);
    }
}

/// A guard that helps after five minutes.
fn five_minutes() -> Policy {
    let guard = Guard { backlog: 0.0, means: 0.0, least: Span::secs(300) };
    Policy { guard: Some(guard), patience: None, ..Policy::default() }
}

/// Ends what runs longest and submits another like it, every ten seconds, until a task has started.
fn stream_until(s: &mut Scenario, graph: GraphId, name: &str, mut more: impl FnMut(&mut Scenario, u64)) {
    for n in 0..100 {
        more(s, n);
        s.pass(Span::secs(10));
        if s.row(graph, name).starts > 0 {
            return;
        }
        let oldest = s.open.keys().min_by_key(|id| {
            let row = s.scheduler.graph(id.task.graph).expect("it runs").row(id.task.index);
            (row.placed_at, **id)
        });
        let attempt = *oldest.expect("something runs");
        s.open.remove(&attempt);
        s.event(Event::Finished { attempt, usage: dunnage_model::Usage::default() });
    }
    panic!("it never started");
}

#[test]
fn resource_aware_tasks_are_helped_as_well() {
    let mut s = with_policy(cores(2), five_minutes());
    let busy = |s: &mut Scenario, n: u64| {
        let mut sample = DeviceSample::health(DeviceId::host(dunnage_model::NodeId::LOCAL), Health::Ok);
        sample.busy = Some(1.0);
        s.event(Event::DeviceSampled { sample: Box::new(sample), foreign: Bytes::ZERO });
        s.submit(job(&format!("x{n}"), 1, 20));
    };
    busy(&mut s, 1000);
    let order = dunnage_model::Order::ResourceAware;
    let aware = s.submit(GraphSpec { order, ..job("aware", 1, 20) });
    stream_until(&mut s, aware, "aware", busy);
    assert!(s.now <= Time::ZERO.after(Span::secs(340)), "{:?}", s.now);
}

#[test]
fn the_large_task_of_a_graph_of_small_ones_is_helped() {
    let mut s = with_policy(cores(8), five_minutes());
    let small = f("small-{n}").times("n", 1000).cpus(1).lasts(Span::secs(80));
    let graph = s.submit(spec([small, f("large").cpus(8).lasts(Span::secs(80))]));
    stream_until(&mut s, graph, "large", |_, _| {});
    // Five minutes, and the end of what ran then.
    assert!(s.now <= Time::ZERO.after(Span::secs(300 + 8 * 10 + 20)), "{:?}", s.now);
}

#[test]
fn who_starves_is_helped_behind_many_who_cannot_be() {
    let mut s = with_policy(gpus(&[80, 24]), five_minutes());
    s.event(Event::DeviceLost { device: core_support::gpu(0), why: "gone".to_owned() });
    s.submit(spec([f("first").cpus(10).lasts(Span::secs(10))]));
    for n in 0..100 {
        s.submit(spec([f(&format!("lost{n}")).gpu_memory(Bytes::gib(30 + n % 50)).lasts(Span::secs(n + 1))]));
    }
    s.pass(Span::secs(1));
    let large = s.submit(job("large", 16, 1000));
    stream_until(&mut s, large, "large", |s, n| {
        s.submit(job(&format!("x{n}"), 8, 10));
    });
    assert!(s.now <= Time::ZERO.after(Span::secs(400)), "{:?}", s.now);
}

#[test]
fn a_long_look_at_the_queue_is_cut_and_goes_on() {
    let mut s = with_policy(gpus(&[80, 24]), Policy { guard: None, ..Policy::default() });
    for n in 0..2 {
        s.event(Event::DeviceLost { device: core_support::gpu(n), why: "gone".to_owned() });
    }
    for n in 0..700 {
        let memory = Bytes(Bytes::gib(30).0 + n * 4096);
        s.submit(spec([f(&format!("lost{n}")).gpu_memory(memory).lasts(Span::secs(1))]));
    }
    s.submit(spec([f("last").gpu_memory(Bytes::gib(20)).lasts(Span::secs(100_000))]));
    assert!(s.running().is_empty());
    let sample = DeviceSample::health(core_support::gpu(1), Health::Ok);
    s.event(Event::DeviceSampled { sample: Box::new(sample), foreign: Bytes::ZERO });
    assert!(s.running().is_empty(), "it is too far behind to be seen at once");
    s.pass(Span::secs(1));
    assert_eq!(s.running(), ["last"]);
}

#[test]
fn a_graph_that_is_brought_back_is_not_charged_twice() {
    let mut s = scenario(cores(1));
    let graph = s.submit(job("a", 1, 100));
    let attempt = s.attempt("a");
    let placement = s.placement("a").clone();
    s.pass(Span::secs(100));
    s.fail("a", dunnage_model::Cause::User);
    let story = |s: &Scenario| format!("{:?}", s.scheduler.snapshot().totals);
    let before = (story(&s), s.scheduler.now());
    let run = s.scheduler.forget(graph).expect("it has ended");
    let submission = Submission {
        id: graph,
        graph: Arc::clone(&run.graph),
        owner: run.owner,
        seed: run.seed,
        held: false,
        sealed: true,
        trace: None,
    };
    let failure = Box::new(core_support::failure(dunnage_model::Cause::User));
    let usage = dunnage_model::Usage::default();
    s.scheduler.replay_counted(|core| {
        core.replay(Time::ZERO, Event::Submitted(Box::new(submission)));
        core.replay(Time::ZERO, Event::Placed { attempt, placement: Box::new(placement) });
        core.replay(Time::ZERO.after(Span::secs(100)), Event::Failed { attempt, failure, usage });
    });
    assert_eq!((story(&s), s.scheduler.now()), before);
    s.event(Event::Retried { graph, task: None });
    assert_eq!(s.running(), ["a"]);
}

/// Each task takes what was declared.
struct Exact;

impl Workload for Exact {
    fn attempt(&mut self, graph: &Graph, attempt: AttemptId, held: &Placement) -> (Span, AttemptEnd) {
        let cost = &graph.variant(attempt.task.index, held.variant).cost;
        (cost.duration.unwrap_or(Span::secs(1)), AttemptEnd::Succeeds)
    }
}

/// Takes another time than was declared.
struct Wrong(u64);

impl Workload for Wrong {
    fn attempt(&mut self, graph: &Graph, attempt: AttemptId, held: &Placement) -> (Span, AttemptEnd) {
        let declared = graph.variant(attempt.task.index, held.variant).cost.duration.unwrap_or(Span::secs(1));
        let factor = 0.2 + 4.0 * Rng::of(self.0, attempt.task.graph.0).unit();
        (Span::from_secs_f64(declared.as_secs_f64() * factor), AttemptEnd::Succeeds)
    }
}

/// A stream of jobs with their arrivals in seconds.
#[derive(Clone, Debug)]
struct Job {
    at: u64,
    owner: u32,
    priority: i32,
    cores: u32,
    gpus: u16,
    seconds: u64,
    is_known: bool,
}

fn jobs(n: usize) -> impl Strategy<Value = Vec<Job>> {
    let one = (0..2000_u64, 0..3_u32, -1..2_i32, 1..5_u32, 0..3_u16, 1..300_u64, prop::bool::weighted(0.8));
    let one = one.prop_map(|(at, owner, priority, cores, gpus, seconds, is_known)| Job {
        at,
        owner,
        priority,
        cores,
        gpus,
        seconds,
        is_known,
    });
    prop::collection::vec(one, 1..n)
}

/// The decisions, and from when to when each graph's task ran.
type Ran = (Vec<Decision>, BTreeMap<u64, (Time, Time)>);

fn machine() -> NodeSpec {
    gpus(&[24; 4])
}

fn simulate<W: Workload>(jobs: &[Job], policy: Policy, workload: W) -> Ran {
    simulate_with(jobs, policy, workload, true)
}

/// Without a check of everything after each event, for long stories.
fn simulate_unchecked<W: Workload>(jobs: &[Job], policy: Policy, workload: W) -> Ran {
    simulate_with(jobs, policy, workload, false)
}

fn simulate_with<W: Workload>(jobs: &[Job], policy: Policy, workload: W, check: bool) -> Ran {
    let mut scheduler = Scheduler::new(dunnage_strategies::strategies()).with_policy(policy);
    // All jobs run the same function: what is expected of each is what it declares.
    scheduler.estimates_mut().freeze();
    let mut simulation = Simulation::new(scheduler, workload, check);
    simulation.at(Time::ZERO, Event::NodeSeen(Arc::new(machine())));
    for (n, job) in jobs.iter().enumerate() {
        let mut one = f("one").cost(|cost| {
            cost.cpus = Some(dunnage_model::MilliCores::cores(job.cores));
            cost.gpus = (job.gpus > 0).then_some(job.gpus);
        });
        if job.is_known {
            one = one.lasts(Span::secs(job.seconds));
        }
        let mut graph = spec([one]);
        graph.name = Some(format!("g{n}"));
        graph.priority = job.priority;
        let submission = Submission {
            id: GraphId(n as u64 + 1),
            graph: build(graph),
            owner: Owner(job.owner),
            seed: 1,
            held: false,
            sealed: true,
            trace: None,
        };
        simulation.at(Time::ZERO.after(Span::secs(job.at)), Event::Submitted(Box::new(submission)));
    }
    let (report, _) = simulation.run().expect("no invariant is broken");
    let ran = report.ran.iter().map(|ran| (ran.attempt.task.graph.0, (ran.start, ran.end))).collect();
    (report.decisions, ran)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Everything runs, the books are right after each event, and the same story gives the same decisions.
    #[test]
    fn every_policy_runs_everything_and_twice_alike(jobs in jobs(40), seed in 0..100_u64) {
        for policy in
            [Policy::default(), Policy::easy(), Policy::shortest(), Policy::fifo(), Policy::first_fit()]
        {
            let (decisions, ran) = simulate(&jobs, policy, Wrong(seed));
            prop_assert_eq!(ran.len(), jobs.len());
            let (again, _) = simulate(&jobs, policy, Wrong(seed));
            prop_assert_eq!(decisions, again);
        }
    }

    /// A large job under a stream of small ones that never ends, of higher priority and of other users,
    /// starts within the bound, what ran when it was found to starve included: whatever predictions say.
    #[test]
    fn a_large_job_starts_within_the_bound(
        lengths in prop::collection::vec((1..120_u64, 1..3_u16), 20..30),
        seed in 0..100_u64,
        known in prop::bool::ANY,
    ) {
        // Small jobs come so fast that there is always one that fits.
        let mut all: Vec<Job> = vec![Job {
            at: 100,
            owner: 1,
            priority: 0,
            cores: 1,
            gpus: 4,
            seconds: 10,
            is_known: known,
        }];
        let mut at = 0;
        for round in 0..60 {
            if at > 2500 {
                break;
            }
            for (seconds, gpus) in &lengths {
                all.push(Job {
                    at: at + round,
                    owner: 2 + (seconds % 2) as u32,
                    priority: 1,
                    cores: 1,
                    gpus: *gpus,
                    seconds: *seconds,
                    is_known: known || seconds % 3 == 0,
                });
                at += seconds / 3;
            }
        }
        let guard = Guard { backlog: 0.0, means: 5.0, least: Span::secs(200) };
        let policy = Policy { guard: Some(guard), ..Policy::default() };
        let (_, ran) = simulate_unchecked(&all, policy, Wrong(seed));
        let longest = ran.values().map(|(start, end)| end.since(*start).as_secs_f64()).fold(0.0, f64::max);
        let waited = ran[&1].0.since(Time::ZERO.after(Span::secs(100))).as_secs_f64();
        // The bound, with the largest mean there can be; the end after which it was noticed; what ran then.
        let bound = 200.0 + 5.0 * longest + longest + longest;
        prop_assert!(waited <= bound, "it waited {waited} s and the bound is {bound} s");
    }

    /// With exact times, the start that was promised to the first of the queue is kept.
    #[test]
    fn backfill_never_delays_a_reserved_start_when_times_are_exact(jobs in jobs(40)) {
        let jobs: Vec<Job> =
            jobs.into_iter().map(|job| Job { is_known: true, priority: 0, owner: 0, ..job }).collect();
        keeps_promises(&jobs, Policy { guard: None, ..Policy::easy() })?;
    }

    /// The same by default, among several users, whoever starves meanwhile.
    #[test]
    fn a_promised_start_is_kept_by_default(jobs in jobs(60), within in 50..1000_u64) {
        let jobs: Vec<Job> = jobs
            .into_iter()
            .map(|job| Job { is_known: true, priority: 0, at: job.at % within, ..job })
            .collect();
        keeps_promises(&jobs, Policy::default())?;
    }
}

/// Runs each job for as long as was predicted: no task starts later than it was ever promised.
fn keeps_promises(jobs: &[Job], policy: Policy) -> Result<(), TestCaseError> {
    let mut s = Scheduler::new(dunnage_strategies::strategies()).with_policy(policy);
    let mut out = Vec::new();
    s.handle(Time::ZERO, Event::NodeSeen(Arc::new(machine())), &mut out);
    let mut agenda: BTreeMap<(Time, u64), Event> = BTreeMap::new();
    let mut graphs = Vec::new();
    for (n, job) in jobs.iter().enumerate() {
        let mut graph = spec([f("one").lasts(Span::secs(job.seconds)).cost(|cost| {
            cost.cpus = Some(dunnage_model::MilliCores::cores(job.cores));
            cost.gpus = (job.gpus > 0).then_some(job.gpus);
        })]);
        graph.name = Some(format!("g{n}"));
        graphs.push(build(graph));
    }
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_key(|n| (jobs[*n].at, *n));
    for (id, n) in order.iter().enumerate() {
        let submission = Submission {
            id: GraphId(id as u64 + 1),
            graph: Arc::clone(&graphs[*n]),
            owner: Owner(jobs[*n].owner),
            seed: 1,
            held: false,
            sealed: true,
            trace: None,
        };
        let at = Time::ZERO.after(Span::secs(jobs[*n].at));
        agenda.insert((at, id as u64), Event::Submitted(Box::new(submission)));
    }
    let mut promised: BTreeMap<GraphId, Time> = BTreeMap::new();
    let mut serial = 1_000_000;
    while let Some(((now, _), event)) = agenda.pop_first() {
        out.clear();
        s.handle(now, event, &mut out);
        s.check_invariants().expect("no invariant is broken");
        for decision in &out {
            if let Decision::Start { attempt, placement } = decision {
                if let Some(at) = promised.get(&attempt.task.graph) {
                    prop_assert!(now <= *at, "{} was promised {at:?} and started {now:?}", attempt.task);
                }
                let took = placement.predicted.expect("it is declared");
                serial += 1;
                agenda.insert((now, serial), Event::Started { attempt: *attempt });
                serial += 1;
                let usage = dunnage_model::Usage::default();
                agenda.insert((now.after(took), serial), Event::Finished { attempt: *attempt, usage });
            }
        }
        if let Some((task, at)) = s.reserved() {
            let before = promised.entry(task.graph).or_insert(at);
            *before = at.min(*before);
        }
    }
    Ok(())
}

#[test]
fn exact_times_take_what_was_declared() {
    let one = Job { at: 0, owner: 0, priority: 0, cores: 1, gpus: 1, seconds: 5, is_known: true };
    let (_, ran) = simulate(&[one], Policy::default(), Exact);
    assert_eq!(ran[&1].1.since(ran[&1].0), Span::secs(5));
}
