//! What earlier runs teach, in stories: what is expected, what is reserved, what is tried, and what waits for
//! memory that is not there. Virtual time, no process, no sleep.

mod core_support;

use core_support::{F, Scenario, build, cores, f, gpu, gpus, scenario, spec};
use dunnage_core::{Rng, Scheduler};
use dunnage_model::{
    AttemptId, Basis, Bytes, Cause, DeviceId, DeviceKind, DeviceSample, Event, GraphId, GraphSpec, Health,
    MemoryPlace, MilliCores, NodeId, NodeSpec, Owner, Span, Submission, Time, Tolerance, Usage,
};
use std::sync::Arc;

const HOST: DeviceId = DeviceId::host(NodeId::LOCAL);

fn peak(gib: u64) -> Usage {
    Usage { peak_memory: Some(Bytes::gib(gib)), ..Usage::default() }
}

trait More {
    /// A task ends well after this long, having used this much.
    fn ran(&mut self, name: &str, millis: u64, usage: Usage);
    fn why(&self, graph: GraphId, name: &str) -> String;
    fn foreign(&mut self, gib: u64);
    fn uses(&mut self, name: &str, gib: u64);
}

impl More for Scenario {
    fn ran(&mut self, name: &str, millis: u64, usage: Usage) {
        self.pass(Span::millis(millis));
        let attempt = self.attempt(name);
        self.open.remove(&attempt);
        self.event(Event::Finished { attempt, usage });
    }

    fn why(&self, graph: GraphId, name: &str) -> String {
        let task = graph.task(self.task(graph, name));
        self.scheduler.explain(task).expect("the task is known").why.text
    }

    fn foreign(&mut self, gib: u64) {
        self.sample(HOST, Health::Ok, Bytes::gib(gib));
    }

    fn uses(&mut self, name: &str, gib: u64) {
        let by = vec![(self.attempt(name), Bytes::gib(gib))];
        self.event(Event::MemoryUsed { device: HOST, by });
    }
}

/// One instance after the other, on one core.
fn one(name: &str) -> GraphSpec {
    GraphSpec { name: Some(name.to_owned()), ..spec([f("a")]) }
}

// ---- what is expected

#[test]
fn the_basis_of_each_decision_is_recorded_and_a_renamed_graph_keeps_its_history() {
    let mut s = scenario(cores(1));
    let declared =
        |name: &str| GraphSpec { name: Some(name.to_owned()), ..spec([f("a").lasts(Span::secs(9))]) };
    let first = s.submit(declared("monday"));
    s.ran("a", 2000, Usage::default());
    let second = s.submit(declared("tuesday"));
    let placed = |s: &Scenario, graph| s.row(graph, "a").placement.unwrap();
    let (before, after) = (placed(&s, first), placed(&s, second));
    assert_eq!((before.basis, before.predicted), (Basis::Declaration, Some(Span::secs(9))));
    assert_eq!((after.basis, after.predicted), (Basis::History, Some(Span::secs(2))));
    let task = second.task(0);
    let remarks = &s.scheduler.explain(task).unwrap().options[0].remarks;
    assert!(remarks.iter().any(|remark| remark.contains("4.5 times as long")), "{remarks:?}");
}

#[test]
fn a_few_absurd_runs_among_many_do_not_send_the_work_elsewhere() {
    // The story of a kernel of 190 microseconds that had a few runs of 100 milliseconds.
    let mut s = scenario(cores(1));
    for n in 0..40_u64 {
        s.submit(one("g"));
        let took = if n % 8 == 5 { Span::millis(100) } else { Span(190) };
        s.pass(took);
        s.ok("a");
    }
    let last = s.submit(one("g"));
    let predicted = s.row(last, "a").placement.unwrap().predicted.unwrap();
    assert!(predicted <= Span(200), "{predicted}");
}

#[test]
fn failures_and_time_limits_are_no_times() {
    let mut s = scenario(cores(1));
    let limited = || spec([f("a").lasts(Span::secs(5)).timeout(Span::secs(60))]);
    for _ in 0..3 {
        s.submit(limited());
        assert_eq!(s.placement("a").basis, Basis::Declaration);
        s.pass(Span::millis(1));
        s.fail("a", Cause::User);
    }
    s.submit(limited());
    assert_eq!(s.placement("a").predicted, Some(Span::secs(5)));
    // Its time limit is over: it takes at least that long.
    s.pass(Span::secs(60));
    s.carry_out_kills();
    s.submit(limited());
    let placement = s.placement("a");
    assert_eq!((placement.basis, placement.predicted), (Basis::Declaration, Some(Span::secs(60))));
}

// ---- what is reserved

fn sweep(instances: u32) -> GraphSpec {
    spec([f("a-{n}").times("n", instances).cpus(1)])
}

#[test]
fn memory_that_was_not_declared_is_reserved_as_it_was_used() {
    let mut s = scenario(cores(8));
    let graph = s.submit(sweep(20));
    assert_eq!(s.running().len(), 8, "nothing is known yet");
    for n in 0..8 {
        s.ran(&format!("a-{n}"), 1, peak(6));
    }
    // 6 GiB, and a margin of a tenth rounded up: two on 16 GiB.
    assert_eq!(s.running().len(), 2, "{:?}", s.running());
    let placement = s.placement("a-8").clone();
    assert!(placement.memory >= Bytes::gib(6) && placement.memory <= Bytes::gib(8), "{}", placement.memory);
    let why = s.why(graph, "a-19");
    assert!(why.contains("waits for memory: needs") && why.contains("(learned from 8 runs)"), "{why}");
    assert_eq!(s.placement("a-9").memory_limit, None, "what is learned is no limit");
}

#[test]
fn what_is_declared_is_reserved_until_enough_runs_have_used_less() {
    let mut s = scenario(cores(4));
    let graph = || spec([f("a-{n}").times("n", 4).memory(Bytes::gib(12)).retry(3)]);
    s.submit(graph());
    for n in 0..4 {
        let name = format!("a-{n}");
        assert_eq!(s.running(), [name.as_str()]);
        assert_eq!(s.placement(&name).memory, Bytes::gib(12));
        s.ran(&name, 1, peak(1));
    }
    s.submit(graph());
    s.ran("a-0", 1, peak(1));
    // Five are known: one GiB and its margins, three beside each other, and the limit stays.
    assert_eq!(s.running(), ["a-1", "a-2", "a-3"]);
    let placement = s.placement("a-1").clone();
    assert!(placement.memory >= Bytes::gib(1) && placement.memory < Bytes::gib(2), "{}", placement.memory);
    assert_eq!(placement.memory_limit, Some(Bytes::gib(12)));
    let id = s.attempt("a-1").task;
    let remarks = format!("{:?}", s.scheduler.explain(id).unwrap().options[0].remarks);
    assert!(remarks.contains("(learned from 5 runs; 12 GiB declared)"), "{remarks}");
    // One runs out of memory: it is tried again with more than was declared, and the others as declared.
    let attempt = s.attempt("a-1");
    s.open.remove(&attempt);
    let mut failure = core_support::failure(Cause::OutOfMemory);
    failure.place = Some(MemoryPlace::Host);
    s.event(Event::Failed { attempt, failure: Box::new(failure), usage: peak(12) });
    s.ok("a-2");
    s.ok("a-3");
    s.pass(Span::secs(60));
    assert_eq!(s.placement("a-1").memory, Bytes::gib(16));
    s.ok("a-1");
    s.submit(graph());
    assert_eq!(s.placement("a-0").memory, Bytes::gib(12));
}

#[test]
fn gpu_memory_that_was_declared_and_not_used_is_given_to_others() {
    let mut s = scenario(gpus(&[40]));
    let graph = || spec([f("a-{n}").times("n", 6).gpu_memory(Bytes::gib(20)).retry(3)]);
    s.submit(graph());
    assert_eq!(s.running().len(), 2);
    for n in 0..6 {
        let usage = Usage { peak_gpu_memory: Some(Bytes::gib(6)), ..Usage::default() };
        s.ran(&format!("a-{n}"), 1, usage);
    }
    s.submit(graph());
    assert_eq!(s.running().len(), 5, "{:?}", s.running());
    let attempt = s.attempt("a-0");
    s.open.remove(&attempt);
    let mut failure = core_support::failure(Cause::OutOfMemory);
    failure.place = Some(MemoryPlace::Gpu);
    s.event(Event::Failed { attempt, failure: Box::new(failure), usage: Usage::default() });
    for n in 1..5 {
        s.ok(&format!("a-{n}"));
    }
    s.pass(Span::secs(60));
    let held: Vec<Bytes> = s.open.values().map(|placement| placement.gpus[0].memory).collect();
    assert!(held.iter().all(|held| *held >= Bytes::gib(20)), "{held:?}");
    s.finish();
    assert!(s.scheduler.graphs().all(|run| run.ended.is_some()));
}

#[test]
fn a_peak_larger_than_the_machine_is_cut_to_it() {
    let mut s = scenario(cores(4));
    s.submit(sweep(2));
    for n in 0..2 {
        s.ran(&format!("a-{n}"), 1, peak(100));
    }
    s.submit(sweep(2));
    assert_eq!(s.running(), ["a-0"], "alone, with all there is");
    assert_eq!(s.placement("a-0").memory, Bytes::gib(16));
    s.ok("a-0");
    assert_eq!(s.running(), ["a-1"]);
    s.ok("a-1");
    s.foreign(10);
    s.submit(sweep(1));
    assert_eq!(s.placement("a-0").memory, Bytes::gib(6), "what is not there is not waited for");
}

#[test]
fn memory_that_did_not_suffice_is_the_least_that_is_reserved() {
    let mut s = scenario(cores(4));
    let graph = s.submit(spec([f("a").retry(0)]));
    let attempt = s.attempt("a");
    s.open.remove(&attempt);
    let mut failure = core_support::failure(Cause::OutOfMemory);
    failure.place = Some(MemoryPlace::Host);
    s.event(Event::Failed { attempt, failure: Box::new(failure), usage: peak(5) });
    assert_eq!(s.state(graph, "a"), "failed/out_of_memory");
    s.submit(spec([f("a")]));
    assert!(s.placement("a").memory >= Bytes::gib(5), "{}", s.placement("a").memory);
}

#[test]
fn the_share_of_a_gpu_is_given_as_much_memory_as_was_used() {
    let mut s = scenario(gpus(&[40]));
    let graph = || spec([f("a-{n}").times("n", 4).gpu_share(200)]);
    s.submit(graph());
    assert_eq!(s.running().len(), 4);
    for n in 0..4 {
        let usage = Usage { peak_gpu_memory: Some(Bytes::gib(15)), ..Usage::default() };
        s.ran(&format!("a-{n}"), 1, usage);
    }
    s.submit(graph());
    assert_eq!(s.running().len(), 2, "by memory and not by share");
}

/// What a large GPU has used is cut to what the kind that is asked for has.
#[test]
fn memory_learned_on_a_larger_gpu_is_not_waited_for_on_a_smaller_one() {
    let mut s = scenario(gpus(&[24, 80]));
    let on = |model: &str| {
        let mut function = f("a").gpu_share(500);
        function = function.cost(|cost| cost.gpu_model = Some(model.to_owned()));
        spec([function])
    };
    for _ in 0..3 {
        s.submit(on("big"));
        let usage = Usage { peak_gpu_memory: Some(Bytes::gib(40)), ..Usage::default() };
        s.ran("a", 1, usage);
    }
    let graph = s.submit(on("small"));
    assert_eq!(s.running(), ["a"], "{}", s.why(graph, "a"));
    assert_eq!(s.placement("a").gpus[0].memory, Bytes::gib(24));
}

// ---- what is really free

#[test]
fn a_task_is_not_started_into_memory_that_others_use() {
    let mut s = scenario(cores(4));
    s.foreign(9);
    let graph =
        s.submit(spec([f("large").memory(Bytes::gib(8)), f("small").memory(Bytes::gib(4)), f("free")]));
    assert_eq!(s.running(), ["free", "small"], "7 GiB are free, and nothing is known of the third");
    let why = s.why(graph, "large");
    assert_eq!(
        why,
        "waits for memory: needs 8 GiB (declared), 3 GiB free of 16 GiB (9 GiB used by processes that are not ours); \
         it starts where nothing of ours has run for a minute, since it fits the machine"
    );
    s.foreign(2);
    assert_eq!(s.running(), ["free", "large", "small"]);
}

#[test]
fn a_reservation_counts_until_it_is_used_and_what_is_used_beyond_it_counts_too() {
    let mut s = scenario(cores(4));
    let graph = s.submit(spec([f("a").memory(Bytes::gib(6))]));
    s.uses("a", 1);
    s.foreign(0);
    let b = s.submit(spec([f("b").memory(Bytes::gib(10))]));
    assert_eq!(s.running(), ["a", "b"], "16 - 6: what was promised is kept, no more");
    s.ok("b");
    assert!(s.scheduler.graph(b).is_some());
    // It has grown beyond what it declared, as far as nobody stops it.
    s.uses("a", 9);
    let c = s.submit(spec([f("c").memory(Bytes::gib(8))]));
    assert_eq!(s.running(), ["a"]);
    assert!(s.why(c, "c").contains("7 GiB free of 16 GiB"), "{}", s.why(c, "c"));
    s.uses("a", 5);
    assert_eq!(s.running(), ["a", "c"], "it has given some back");
    s.uses("a", 12);
    s.ok("a");
    let node = s.scheduler.ledger().node(NodeId::LOCAL).unwrap();
    assert_eq!((node.memory_beyond, node.memory_really_free()), (0, 8 << 30), "what it used went with it");
    assert_eq!(s.state(graph, "a"), "succeeded");
}

/// After out-of-memory a request grows, but not beyond what can ever be free beside the others.
#[test]
fn memory_grows_to_what_others_leave_and_no_further() {
    let mut s = scenario(cores(4));
    s.foreign(2);
    let graph =
        s.submit(spec([f("a").memory(Bytes::gib(10)).retry(3), f("b").memory(Bytes::gib(1)).after("a")]));
    for round in 0..4 {
        let attempt = s.attempt("a");
        s.open.remove(&attempt);
        let mut failure = core_support::failure(Cause::OutOfMemory);
        failure.place = Some(MemoryPlace::Host);
        s.event(Event::Failed { attempt, failure: Box::new(failure), usage: peak(10) });
        s.pass(Span::secs(600));
        if s.running().is_empty() {
            break;
        }
        assert_eq!(s.placement("a").memory, Bytes::gib(14), "{round}");
    }
    assert_eq!(s.state(graph, "a"), "failed/out_of_memory");
}

/// What others use is never waited for without end: where nothing of ours runs, what fits the machine starts.
#[test]
fn a_declaration_that_fits_the_machine_does_not_wait_for_others_for_ever() {
    let mut s = scenario(cores(4));
    s.foreign(3);
    s.submit(spec([f("small").memory(Bytes::gib(1))]));
    let graph = s.submit(spec([f("all").memory(Bytes::gib(16))]));
    assert_eq!(s.running(), ["small"]);
    let why = s.why(graph, "all");
    assert!(why.contains("3 GiB used by processes that are not ours"), "{why}");
    assert!(why.contains("nothing of ours has run for a minute"), "{why}");
    s.ok("small");
    s.foreign(3);
    s.pass(Span::secs(59));
    s.foreign(3);
    assert_eq!(s.running(), [""; 0], "they may leave");
    s.pass(Span::secs(1));
    s.foreign(3);
    assert_eq!(s.running(), ["all"], "alone");
    let next = s.submit(spec([f("next").memory(Bytes::gib(1))]));
    assert_eq!(s.running(), ["all"], "{}", s.why(next, "next"));
    s.ok("all");
    assert_eq!(s.running(), ["next"]);
}

#[test]
fn use_of_a_gpu_beyond_its_reservation_counts() {
    let mut s = scenario(gpus(&[40]));
    s.submit(spec([f("a").gpu_memory(Bytes::gib(10))]));
    let by = vec![(s.attempt("a"), Bytes::gib(30))];
    s.event(Event::MemoryUsed { device: gpu(0), by });
    s.submit(spec([f("b").gpu_memory(Bytes::gib(20))]));
    assert_eq!(s.running(), ["a"]);
    s.ok("a");
    assert_eq!(s.running(), ["b"]);
}

#[test]
fn use_that_is_told_of_strangers_and_unknown_devices_is_harmless() {
    let mut s = scenario(cores(1));
    let stranger: AttemptId = GraphId(77).task(3).attempt(dunnage_model::Attempt(9));
    for device in [HOST, gpu(5), DeviceId::host(NodeId(9))] {
        s.event(Event::MemoryUsed { device, by: vec![(stranger, Bytes(u64::MAX))] });
    }
    s.submit(spec([f("a").memory(Bytes::gib(16))]));
    s.event(Event::MemoryUsed { device: HOST, by: vec![(s.attempt("a"), Bytes(u64::MAX))] });
    s.event(Event::MemoryUsed { device: gpu(0), by: vec![(s.attempt("a"), Bytes(1))] });
    let b = s.submit(spec([f("b").memory(Bytes::gib(1))]));
    s.ok("a");
    assert_eq!(s.running(), ["b"], "{}", s.why(b, "b"));
}

// ---- what is tried

/// A GPU variant first and one on cores; each with what it is declared to take.
fn either(instances: u32, on_gpu: u64, on_cores: u64) -> GraphSpec {
    let duration = |millis| Some(Span::millis(millis));
    let f: F = f("a-{n}")
        .times("n", instances)
        .variant(DeviceKind::Gpu, |cost| {
            cost.cpus = Some(MilliCores(0));
            cost.duration = duration(on_gpu);
        })
        .variant(DeviceKind::Cpu, |cost| cost.duration = duration(on_cores));
    GraphSpec { strategy: Some("first-available".to_owned()), ..spec([f.max_parallel(1)]) }
}

/// Which variants the instances of a graph ran with, one after another.
fn variants(s: &mut Scenario, graph: GraphSpec, on_gpu: u64, on_cores: u64) -> Vec<u8> {
    s.submit(graph);
    let mut chosen = Vec::new();
    while let Some((attempt, placement)) = s.open.pop_first() {
        chosen.push(placement.variant);
        s.pass(Span::millis(if placement.variant == 0 { on_gpu } else { on_cores }));
        s.event(Event::Finished { attempt, usage: Usage::default() });
    }
    chosen
}

#[test]
fn what_was_never_tried_is_tried_now_and_then_and_rarely() {
    let mut s = scenario(gpus(&[40]));
    let chosen = variants(&mut s, either(200, 10, 20), 10, 20);
    let tried = chosen.split(|variant| *variant == 1).count() - 1;
    assert!((1..=200 / 16).contains(&tried), "{tried} of 200 in {chosen:?}");
    let first = chosen.iter().position(|variant| *variant == 1).unwrap();
    assert!((3..=20).contains(&first), "{first}");
    assert_eq!(s.scheduler.estimates().summary().explorations, tried as u64);
    // Once it is known, it needs no trying.
    assert_eq!(tried, 1, "{chosen:?}");
    let mut again = scenario(gpus(&[40]));
    assert_eq!(variants(&mut again, either(200, 10, 20), 10, 20), chosen, "the same every time");
}

/// A plan that wants one place for all does not keep the other from being tried.
#[test]
fn what_was_never_tried_is_tried_under_a_plan_too() {
    let mut s = scenario(gpus(&[40]));
    let graph = GraphSpec { strategy: Some("heft".to_owned()), ..either(60, 10, 20) };
    let id = s.submit(graph);
    let place = dunnage_model::PlannedPlace { variant: 0, device: gpu(0), start_s: 0.0, end_s: 0.01 };
    let plan = dunnage_model::Plan { place: vec![Some(place); 60], ..Default::default() };
    s.event(Event::Planned { graph: id, revision: 1, plan: Arc::new(plan) });
    let mut chosen = Vec::new();
    while let Some((attempt, placement)) = s.open.pop_first() {
        chosen.push(placement.variant);
        s.pass(Span::millis(if placement.variant == 0 { 10 } else { 20 }));
        s.event(Event::Finished { attempt, usage: Usage::default() });
    }
    assert_eq!(chosen.len(), 60);
    assert!(chosen.contains(&1), "{chosen:?}");
}

#[test]
fn what_is_expected_to_be_much_slower_is_not_tried() {
    let mut s = scenario(gpus(&[40]));
    let chosen = variants(&mut s, either(200, 10, 50), 10, 50);
    assert!(chosen.iter().all(|variant| *variant == 0), "{chosen:?}");
}

// ---- replay

#[test]
fn a_replay_makes_the_same_reservations_whatever_was_learned_since() {
    let mut s = scenario(cores(8));
    s.submit(sweep(6));
    for n in 0..3 {
        s.ran(&format!("a-{n}"), 1, peak(6));
    }
    let graph = GraphId(1);
    let held: Vec<_> =
        s.scheduler.ledger().holdings().map(|(id, placement)| (*id, placement.clone())).collect();

    // The next daemon has a history that says otherwise.
    let mut next = Scheduler::new(dunnage_strategies::strategies());
    let mut rows = {
        s.scheduler.estimates_mut().record_changes();
        s.ran("a-3", 1, peak(1));
        s.scheduler.estimates_mut().export_changes()
    };
    assert_eq!(rows.len(), 1);
    rows[0].memory = vec![64e9; 32];
    next.replay(Time(0), Event::NodeSeen(Arc::new(cores(8))));
    assert_eq!(next.estimates_mut().load(&rows, Some(s.now)), 0);
    let submission = Submission {
        id: graph,
        graph: build(sweep(6)),
        owner: Owner(1000),
        seed: 1,
        held: false,
        sealed: true,
        trace: None,
    };
    next.replay(Time(0), Event::Submitted(Box::new(submission)));
    for (attempt, placement) in &held {
        next.replay(s.now, Event::Placed { attempt: *attempt, placement: Box::new(placement.clone()) });
    }
    let again: Vec<_> = next.ledger().holdings().map(|(id, placement)| (*id, placement.clone())).collect();
    assert_eq!(again, held);
    // Facts that are in the history already teach nothing.
    let before = next.estimates().summary();
    next.replay(s.now, Event::Finished { attempt: held[0].0, usage: peak(2) });
    assert_eq!(next.estimates().summary().predictions, before.predictions);
    next.check_invariants().unwrap();
}

#[test]
fn a_graph_that_is_told_of_again_teaches_nothing() {
    let mut s = scenario(cores(1));
    let graph = s.submit(one("g"));
    let attempt = s.attempt("a");
    let (placed_at, placement) = (s.now, s.placement("a").clone());
    s.ran("a", 500, peak(1));
    let ended_at = s.now;
    s.pass(Span::secs(9));
    let before = format!("{:?}", s.scheduler.estimates().summary());
    let samples = |s: &Scenario| s.scheduler.explain(graph.task(0)).unwrap().options[0].estimate.samples;
    assert_eq!(samples(&s), 1);
    s.scheduler.forget(graph);
    let submission = Submission {
        id: graph,
        graph: build(one("g")),
        owner: Owner(1000),
        seed: 1,
        held: false,
        sealed: true,
        trace: None,
    };
    s.scheduler.replay(placed_at, Event::Submitted(Box::new(submission)));
    s.scheduler.replay(placed_at, Event::Placed { attempt, placement: Box::new(placement) });
    s.scheduler.replay(ended_at, Event::Finished { attempt, usage: peak(1) });
    assert_eq!(samples(&s), 1);
    assert_eq!(format!("{:?}", s.scheduler.estimates().summary()), before);
}

#[test]
fn a_host_sample_without_a_measurement_changes_nothing() {
    let mut s = scenario(NodeSpec::new(2, Bytes::gib(4)));
    s.foreign(3);
    let sample = DeviceSample::health(HOST, Health::Ok);
    s.event(Event::DeviceSampled { sample: Box::new(sample), foreign: Bytes::ZERO });
    let graph = s.submit(spec([f("a").memory(Bytes::gib(2))]));
    assert_eq!(s.running(), [""; 0]);
    assert!(s.why(graph, "a").contains("3 GiB used by processes that are not ours"));
}

// ---- anything at all

/// Random stories: the books are right after every event (the scenario sees to it), nothing is started into
/// RAM that is not there, and as soon as others leave, everything ends.
#[test]
fn no_story_starts_a_task_into_memory_that_is_not_there() {
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let mut s = scenario(cores(8));
        for _ in 0..120 {
            let really_free = |s: &Scenario| {
                s.scheduler
                    .ledger()
                    .node(NodeId::LOCAL)
                    .map_or(0, dunnage_core::NodeLedger::memory_really_free)
            };
            let open: Vec<AttemptId> = s.open.keys().copied().collect();
            let some = open.get(rng.below(open.len())).copied();
            match (rng.below(6), some) {
                (0, _) => {
                    let n = rng.below(4);
                    let one = f(&format!("f{n}-{{i}}")).times("i", 1 + rng.below(5) as u32);
                    let one = if n == 0 { one.memory(Bytes::gib(1 + rng.below(6) as u64)) } else { one };
                    s.submit(GraphSpec { tolerance: Tolerance::Tolerant, ..spec([one]) });
                }
                (1, _) => s.foreign(rng.below(15) as u64),
                (2, Some(attempt)) => {
                    let by = vec![(attempt, Bytes::mib(rng.below(9000) as u64))];
                    s.event(Event::MemoryUsed { device: HOST, by });
                }
                (3, Some(attempt)) => {
                    let mut failure = core_support::failure(Cause::OutOfMemory);
                    failure.place = Some(MemoryPlace::Host);
                    s.open.remove(&attempt);
                    let usage = peak(rng.below(30) as u64);
                    s.event(Event::Failed { attempt, failure: Box::new(failure), usage });
                }
                (_, Some(attempt)) => {
                    s.pass(Span(rng.below(5_000_000) as u64));
                    s.open.remove(&attempt);
                    s.event(Event::Finished { attempt, usage: peak(rng.below(9) as u64) });
                }
                (_, None) => {}
            }
            let new = s.open.iter().filter(|(attempt, _)| !open.contains(attempt));
            if new.clone().any(|(_, placement)| placement.memory > Bytes::ZERO) {
                assert!(really_free(&s) >= 0, "seed {seed}: {} bytes", really_free(&s));
            }
        }
        s.foreign(0);
        s.finish();
        assert!(s.scheduler.graphs().all(|run| run.ended.is_some()), "seed {seed}");
    }
}
