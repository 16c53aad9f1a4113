//! The five orders in which ready functions run: each does what its word says.

mod core_support;

use core_support::{Scenario, cores, f, gpu, gpus, scenario, spec};
use dunnage_model::{
    Bytes, Decision, DeviceId, DeviceSample, Event, GraphSpec, Health, NodeId, Order, Span, Time,
};

/// Three items through three stages.
fn items(order: Order) -> GraphSpec {
    let values = &["0", "1", "2"];
    let graph = spec([
        f("fetch-{n}").foreach("n", values).lasts(Span::secs(1)),
        f("parse-{n}").foreach("n", values).after("fetch-{n}").lasts(Span::secs(1)),
        f("store-{n}").foreach("n", values).after("parse-{n}").lasts(Span::secs(1)),
    ]);
    GraphSpec { order, strategy: Some("heft".to_owned()), ..graph }
}

/// Ends what runs, the first by name first, and tells in which order tasks started.
fn play(s: &mut Scenario) -> Vec<String> {
    let mut started = s.running();
    for _ in 0..9 {
        let Some(first) = s.running().first().cloned() else { break };
        let before = s.running();
        s.ok(&first);
        started.extend(s.running().into_iter().filter(|name| !before.contains(name)));
    }
    started
}

fn plans(s: &Scenario) -> usize {
    s.orders.iter().filter(|order| matches!(order, Decision::PlanWanted { .. })).count()
}

#[test]
fn sequential_is_one_at_a_time_as_written() {
    let mut s = scenario(cores(8));
    s.submit(items(Order::Sequential));
    assert_eq!(s.running(), ["fetch-0"]);
    assert_eq!(
        play(&mut s),
        ["fetch-0", "fetch-1", "fetch-2", "parse-0", "parse-1", "parse-2", "store-0", "store-1", "store-2"]
    );
}

#[test]
fn parallel_starts_all_that_is_ready_and_waits_for_no_plan() {
    let mut s = scenario(cores(8));
    s.submit(items(Order::Parallel));
    assert_eq!(s.running(), ["fetch-0", "fetch-1", "fetch-2"]);
    assert_eq!(plans(&s), 0);
    s.ok("fetch-1");
    assert_eq!(s.running(), ["fetch-0", "fetch-2", "parse-1"]);
}

#[test]
fn parallel_goes_stage_by_stage_where_there_is_room_for_one() {
    let mut s = scenario(cores(1));
    s.submit(items(Order::Parallel));
    assert_eq!(play(&mut s)[..4], ["fetch-0", "fetch-1", "fetch-2", "parse-0"]);
}

#[test]
fn pipeline_brings_each_item_to_its_end_before_the_next_begins() {
    let mut s = scenario(cores(1));
    s.submit(items(Order::Pipeline));
    assert_eq!(
        play(&mut s),
        ["fetch-0", "parse-0", "store-0", "fetch-1", "parse-1", "store-1", "fetch-2", "parse-2", "store-2"]
    );
}

#[test]
fn pipeline_keeps_all_stages_busy_where_there_is_room() {
    let mut s = scenario(cores(2));
    s.submit(items(Order::Pipeline));
    assert_eq!(s.running(), ["fetch-0", "fetch-1"]);
    s.ok("fetch-0");
    assert_eq!(s.running(), ["fetch-1", "parse-0"]);
    s.ok("parse-0");
    assert_eq!(s.running(), ["fetch-1", "store-0"]);
    s.ok("store-0");
    assert_eq!(s.running(), ["fetch-1", "fetch-2"]);
}

#[test]
fn dag_waits_for_its_plan_and_keeps_its_order() {
    let mut s = scenario(cores(1));
    let graph = s.submit(items(Order::Dag));
    assert_eq!((s.running().len(), plans(&s)), (0, 1));
    let mut priority = vec![0.0; 9];
    priority[2] = 1.0;
    let plan = dunnage_model::Plan { priority, place: vec![None; 9], ..dunnage_model::Plan::default() };
    s.event(Event::Planned { graph, revision: 1, plan: std::sync::Arc::new(plan) });
    assert_eq!(s.running(), ["fetch-2"]);
}

fn host_sample(busy: f64, memory_used: Bytes) -> Event {
    let mut sample = DeviceSample::health(DeviceId::host(NodeId::LOCAL), Health::Ok);
    sample.busy = Some(busy);
    sample.memory_used = Some(memory_used);
    Event::DeviceSampled { sample: Box::new(sample), foreign: Bytes::ZERO }
}

fn gpu_sample(busy: f64) -> Event {
    let mut sample = DeviceSample::health(gpu(0), Health::Ok);
    sample.busy = Some(busy);
    Event::DeviceSampled { sample: Box::new(sample), foreign: Bytes::ZERO }
}

fn aware(graph: GraphSpec) -> GraphSpec {
    GraphSpec { order: Order::ResourceAware, ..graph }
}

#[test]
fn resource_aware_waits_for_cores_that_others_keep_busy() {
    let mut s = scenario(cores(4));
    s.event(host_sample(0.75, Bytes::ZERO));
    s.submit(aware(spec([f("t-{n}").times("n", 4)])));
    // One core in four is idle, and what was just placed is not in the sample yet.
    assert_eq!(s.running(), ["t-0"]);
    s.pass(Span::secs(1));
    s.event(host_sample(0.5, Bytes::ZERO));
    assert_eq!(s.running(), ["t-0", "t-1", "t-2"]);
    // Others, in the order of a plan, do not look.
    s.submit(spec([f("other")]));
    assert_eq!(s.running(), ["other", "t-0", "t-1", "t-2"]);
}

#[test]
fn resource_aware_waits_for_memory_that_is_really_available() {
    let mut s = scenario(cores(4));
    s.event(host_sample(0.0, Bytes::gib(12)));
    s.submit(aware(spec([f("t").memory(Bytes::gib(6))])));
    assert!(s.running().is_empty());
    s.pass(Span::secs(1));
    s.event(host_sample(0.0, Bytes::gib(10)));
    assert_eq!(s.running(), ["t"]);
}

#[test]
fn resource_aware_waits_for_a_gpu_that_is_idle() {
    let mut s = scenario(gpus(&[24]));
    s.event(gpu_sample(0.9));
    s.submit(aware(spec([f("whole").gpus(1)])));
    s.submit(aware(spec([f("part").gpu_share(100)])));
    assert_eq!(s.running(), ["part"]);
    s.ok("part");
    s.pass(Span::secs(1));
    s.event(gpu_sample(0.05));
    assert_eq!(s.running(), ["whole"]);
}

#[test]
fn resource_aware_does_not_wait_for_ever_nor_for_old_samples() {
    let mut s = scenario(cores(4));
    s.event(host_sample(1.0, Bytes::ZERO));
    s.submit(aware(spec([f("t")])));
    for n in 1..=60 {
        assert!(s.running().is_empty(), "after {n} s");
        s.pass(Span::secs(1));
        s.event(host_sample(1.0, Bytes::ZERO));
    }
    assert_eq!(s.running(), ["t"]);
    let mut s = scenario(cores(4));
    s.event(host_sample(1.0, Bytes::ZERO));
    s.now = Time::ZERO.after(Span::secs(31));
    s.submit(aware(spec([f("t")])));
    assert_eq!(s.running(), ["t"]);
}
