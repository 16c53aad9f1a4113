//! What is predicted of the starts and ends of queued graphs.

mod core_support;

use core_support::{Scenario, cores, f, scenario, spec};
use dunnage_core::Expected;
use dunnage_model::{GraphId, GraphSpec, Order, Span, Time};

fn at(seconds: u64) -> Option<Time> {
    Some(Time::ZERO.after(Span::secs(seconds)))
}

fn expected(s: &Scenario, graph: GraphId) -> Expected {
    s.scheduler.outlook().times().get(&graph).copied().unwrap_or_default()
}

#[test]
fn queued_graphs_start_when_those_before_them_end() {
    let mut s = scenario(cores(2));
    let job = |name: &str, cores, seconds| spec([f(name).cpus(cores).lasts(Span::secs(seconds))]);
    let running = s.submit(job("running", 2, 100));
    let short = s.submit(job("short", 1, 10));
    let long = s.submit(job("long", 1, 300));
    let wide = s.submit(job("wide", 2, 20));
    assert_eq!(expected(&s, running), Expected { start: None, end: at(100) });
    assert_eq!(expected(&s, short), Expected { start: at(100), end: at(110) });
    // The wide one is shorter and needs both cores: the long one takes the free core and delays it.
    assert_eq!(expected(&s, long), Expected { start: at(100), end: at(400) });
    assert_eq!(expected(&s, wide), Expected { start: at(400), end: at(420) });
}

#[test]
fn a_graph_goes_level_by_level_and_a_sequential_one_task_by_task() {
    let mut s = scenario(cores(4));
    s.submit(spec([f("first").cpus(4).lasts(Span::secs(10))]));
    let stages =
        || spec([f("a-{n}").times("n", 8).lasts(Span::secs(5)), f("b").after("a[*]").lasts(Span::secs(7))]);
    let graph = s.submit(stages());
    assert_eq!(expected(&s, graph), Expected { start: at(10), end: at(27) });
    s.cancel(graph);
    let graph = s.submit(GraphSpec { order: Order::Sequential, ..stages() });
    assert_eq!(expected(&s, graph), Expected { start: at(10), end: at(57) });
}

#[test]
fn held_graphs_and_what_can_never_run_now_have_none() {
    let mut s = scenario(cores(2));
    s.submit(spec([f("first").cpus(2).lasts(Span::secs(10))]));
    let held = s.submit_as(spec([f("held").lasts(Span::secs(1))]), true, true);
    assert_eq!(expected(&s, held), Expected::default());
}

#[test]
fn a_long_queue_is_looked_at_from_its_head_and_the_look_ends() {
    let mut s = scenario(cores(1));
    s.submit(spec([f("first").lasts(Span::secs(10))]));
    let graphs: Vec<GraphId> =
        (0..700).map(|n| s.submit(spec([f(&format!("t{n}")).lasts(Span::secs(10))]))).collect();
    let times = s.scheduler.outlook().times();
    assert_eq!(times.get(&graphs[0]).and_then(|expected| expected.start), at(10));
    assert_eq!(times.get(&graphs[100]).and_then(|expected| expected.start), at(1010));
    assert!(times.len() >= 256 && times.len() < 700, "{}", times.len());
    let sweep = s.submit(spec([f("many-{n}").times("n", 100_000).lasts(Span::secs(1))]));
    drop(s.scheduler.outlook().times());
    let _ = sweep;
}
