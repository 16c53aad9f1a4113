//! The core in stories: given these functions on this machine, when this happens, expect exactly that.
//! Virtual time, no process, no sleep.

mod core_support;

use core_support::{F, Scenario, cores, f, failure, gpu, gpus, nth, scenario, spec, tolerant};
use dunnage_model::{
    AttemptId, Backoff, Bytes, Cause, Decision, DeviceId, DeviceKind, EndReason, Event, GraphId, GraphSpec,
    GraphState, Health, MilliShare, NodeId, OomRetry, Order, Plan, PlannedPlace, Retry, Span, TaskState,
    Time, Tolerance, Usage,
};
use std::sync::Arc;

const A_SECOND: Span = Span::secs(1);

/// Two chains of two, and a lone one: on two cores the heads of the chains run first.
fn two_chains() -> [F; 5] {
    [f("a"), f("b"), f("a2").after("a"), f("b2").after("b"), f("c")]
}

// ---- tolerance

#[test]
fn strict_starts_nothing_after_the_first_failure_and_lets_the_running_end() {
    let mut s = scenario(cores(2));
    let g = s.submit(spec(two_chains()));
    assert_eq!(s.running(), ["a", "b"]);
    s.fail("a", Cause::User);
    assert_eq!(s.running(), ["b"]);
    assert!(s.killed.is_empty(), "what runs ends by itself");
    assert_eq!(
        s.states(g, &["a", "a2", "b", "b2", "c"]),
        ["failed/user", "cancelled/upstream_failed", "running", "cancelled/cancelled", "cancelled/cancelled"]
    );
    s.ok("b");
    assert_eq!(s.ended[&g], GraphState::Failed);
    assert_eq!(s.state(g, "b"), "succeeded");
}

#[test]
fn what_depends_on_a_stopped_task_was_stopped_and_not_failed_upstream() {
    let mut s = scenario(cores(1));
    let g = s.submit(spec([
        f("x"),
        f("y"),
        f("z").after("y"),
        f("x2").after("x"),
        f("x3").after("x2").after("z"),
    ]));
    s.fail("x", Cause::User);
    assert_eq!(
        s.states(g, &["y", "z", "x2", "x3"]),
        [
            "cancelled/cancelled",
            "cancelled/cancelled",
            "cancelled/upstream_failed",
            "cancelled/upstream_failed"
        ]
    );
}

#[test]
fn tolerant_runs_everything_that_can_run_and_succeeds() {
    let mut s = scenario(cores(2));
    let g = s.submit(tolerant(two_chains(), Tolerance::Tolerant));
    s.fail("a", Cause::User);
    s.finish();
    assert_eq!(s.states(g, &["a2", "b2", "c"]), ["cancelled/upstream_failed", "succeeded", "succeeded"]);
    assert_eq!(s.ended[&g], GraphState::Succeeded);
    let counts = s.scheduler.graph(g).unwrap().counts();
    assert_eq!((counts.failed, counts.cancelled, counts.succeeded), (1, 1, 3), "a dependant is no failure");
}

#[test]
fn max_failures_is_tolerant_up_to_its_number_and_then_strict() {
    let mut s = scenario(cores(1));
    let g = s.submit(tolerant((0..6).map(|n| f(&format!("t{n}"))), Tolerance::MaxFailures(2)));
    s.fail("t0", Cause::User);
    s.ok("t1");
    s.fail("t2", Cause::User);
    assert_eq!(s.running(), ["t3"]);
    s.fail("t3", Cause::User);
    assert_eq!(s.states(g, &["t4", "t5"]), ["cancelled/cancelled", "cancelled/cancelled"]);
    assert_eq!(s.ended[&g], GraphState::Failed);

    let g = s.submit(tolerant((0..3).map(|n| f(&format!("u{n}"))), Tolerance::MaxFailures(2)));
    s.fail("u0", Cause::User);
    s.fail("u1", Cause::User);
    s.ok("u2");
    assert_eq!(s.ended[&g], GraphState::Succeeded);
}

#[test]
fn min_success_is_judged_at_the_end_over_all_functions() {
    for (failures, expected) in [(1, GraphState::Succeeded), (2, GraphState::Failed)] {
        let mut s = scenario(cores(4));
        let g = s.submit(tolerant((0..20).map(|n| f(&format!("t{n}"))), Tolerance::MinSuccess(0.95)));
        for n in 0..failures {
            s.fail(&format!("t{n}"), Cause::User);
        }
        assert!(!s.ended.contains_key(&g));
        s.finish();
        assert_eq!(s.ended[&g], expected, "{failures} failures");
    }
    let mut s = scenario(cores(1));
    let g = s.submit(tolerant([f("a"), f("b").after("a")], Tolerance::MinSuccess(0.5)));
    s.fail("a", Cause::User);
    assert_eq!(s.ended[&g], GraphState::Failed, "cancelled dependants did not succeed");
}

#[test]
fn a_reader_of_a_family_takes_those_that_succeeded_or_needs_all() {
    let family = || f("t-{n}").times("n", 3).outputs(1);
    let mut s = scenario(cores(4));
    let g = s.submit(tolerant(
        [family(), f("all").arg("t[*]", 0), f("some").arg_succeeded("t[*]", 0)],
        Tolerance::Tolerant,
    ));
    s.fail("t-1", Cause::User);
    assert_eq!(s.state(g, "all"), "cancelled/upstream_failed");
    assert_eq!(s.state(g, "some"), "queued");
    s.ok("t-0");
    s.ok("t-2");
    assert_eq!(s.running(), ["some"]);
    s.ok("some");
    assert_eq!(s.ended[&g], GraphState::Succeeded);
}

// ---- retry

#[test]
fn without_a_table_a_function_is_started_once() {
    for cause in [
        Cause::User,
        Cause::OutOfMemory,
        Cause::Timeout,
        Cause::SpawnFailed,
        Cause::WorkerDied,
        Cause::DeviceLost,
    ] {
        let mut s = scenario(cores(1));
        let g = s.submit(spec([f("a")]));
        s.fail("a", cause);
        assert_eq!(s.ended.get(&g), Some(&GraphState::Failed), "{cause}");
        assert_eq!(s.row(g, "a").starts, 1);
    }
}

#[test]
fn the_budget_counts_further_starts() {
    let mut s = scenario(cores(1));
    let g = s.submit(spec([f("a").retry(2)]));
    for start in 1..=2 {
        s.fail("a", Cause::User);
        assert!(matches!(s.row(g, "a").state, TaskState::BackingOff { .. }));
        assert!(s.running().is_empty());
        s.pass(Span::millis(999));
        assert!(s.running().is_empty());
        s.pass(Span::millis(1));
        assert_eq!(nth(s.attempt("a")), start + 1);
    }
    s.fail("a", Cause::User);
    assert_eq!((s.ended[&g], s.row(g, "a").starts), (GraphState::Failed, 3));
}

#[test]
fn waits_grow_and_jitter_stays_in_the_upper_half() {
    let with = |backoff, jitter| {
        let retry = Retry { max: 6, backoff, base: A_SECOND, cap: Span::secs(8), jitter, ..Retry::default() };
        let mut s = scenario(cores(1));
        let g = s.submit(spec([f("a").with(|spec| spec.retry = Some(retry))]));
        let mut waits = Vec::new();
        for _ in 0..6 {
            s.fail("a", Cause::User);
            let TaskState::BackingOff { until } = s.row(g, "a").state else { panic!("it waits") };
            waits.push(until.since(s.now).as_secs_f64());
            s.pass(until.since(s.now));
        }
        waits
    };
    assert_eq!(with(Backoff::Exponential, false), [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]);
    assert_eq!(with(Backoff::Fixed, false), [1.0; 6]);
    let drawn = with(Backoff::Exponential, true);
    for (drawn, full) in drawn.iter().zip([1.0, 2.0, 4.0, 8.0, 8.0, 8.0]) {
        assert!(*drawn >= full / 2.0 && *drawn <= full, "{drawn} of {full}");
    }
    assert_eq!(drawn, with(Backoff::Exponential, true), "the same submission draws the same");
}

#[test]
fn out_of_memory_has_its_own_budget_and_grows_reservation_and_limit() {
    let mut s = scenario(gpus(&[24]));
    let oom = OomRetry { max: 2, factor: 2.0 };
    let g = s.submit(spec([f("a")
        .memory(Bytes::gib(4))
        .gpu_memory(Bytes::gib(5))
        .with(|spec| spec.retry = Some(Retry { max: 1, jitter: false, oom, ..Retry::default() }))]));
    let seen = |s: &Scenario| {
        let place = s.placement("a");
        (place.memory, place.memory_limit.unwrap(), place.gpus[0].memory)
    };
    assert_eq!(seen(&s), (Bytes::gib(4), Bytes::gib(4), Bytes::gib(5)));
    s.fail("a", Cause::OutOfMemory);
    assert_eq!(seen(&s), (Bytes::gib(8), Bytes::gib(8), Bytes::gib(10)), "at once, without a wait");
    s.fail("a", Cause::User);
    s.pass(A_SECOND);
    assert_eq!(seen(&s), (Bytes::gib(8), Bytes::gib(8), Bytes::gib(10)));
    s.fail("a", Cause::OutOfMemory);
    assert_eq!(seen(&s), (Bytes::gib(16), Bytes::gib(16), Bytes::gib(20)));
    s.fail("a", Cause::OutOfMemory);
    assert_eq!(s.state(g, "a"), "failed/out_of_memory");
    assert_eq!(s.row(g, "a").starts, 4);
}

#[test]
fn memory_that_was_not_declared_has_no_limit_and_one_that_grows_stops_at_what_there_is() {
    let mut s = scenario(cores(1));
    s.submit(spec([f("free")]));
    assert_eq!(s.placement("free").memory_limit, None);
    s.ok("free");
    let g = s.submit(spec([f("a").memory(Bytes::gib(10)).retry(1)]));
    s.fail("a", Cause::OutOfMemory);
    assert_eq!(s.placement("a").memory, Bytes::gib(16), "all of the node and not more than there is");
    s.fail("a", Cause::OutOfMemory);
    assert_eq!(s.state(g, "a"), "failed/out_of_memory");
    let message = s.row(g, "a").failure.unwrap().message;
    assert!(message.contains("all the memory of its device"), "{message}");
}

#[test]
fn out_of_memory_moves_a_task_to_the_larger_gpu_although_it_was_planned_elsewhere() {
    let mut s = scenario(gpus(&[8, 80]));
    let mut graph = spec([f("a").gpu_memory(Bytes::gib(6)).retry(1), f("b").after("a")]);
    graph.strategy = Some("heft".to_owned());
    let g = s.submit(graph);
    give_plan(&mut s, g, &[(0, gpu(0)), (0, DeviceId::host(NodeId::LOCAL))]);
    assert_eq!(s.placement("a").gpus[0].device, gpu(0));
    s.fail("a", Cause::OutOfMemory);
    assert_eq!(s.placement("a").gpus[0].device, gpu(1));
    assert_eq!(s.placement("a").gpus[0].memory, Bytes::gib(12));
}

#[test]
fn losses_spend_nothing_and_end_after_ten_in_a_row() {
    let mut s = scenario(cores(1));
    let g = s.submit(spec([f("a").retry(1)]));
    for _ in 0..10 {
        s.fail("a", Cause::WorkerDied);
        assert_eq!(s.running(), ["a"], "at once");
    }
    s.fail("a", Cause::User);
    s.pass(A_SECOND);
    for _ in 0..10 {
        s.fail("a", Cause::NodeLost);
    }
    assert_eq!(s.running(), ["a"], "in a row means in a row");
    s.fail("a", Cause::DeviceLost);
    assert_eq!(s.state(g, "a"), "failed/device_lost");
    assert_eq!(s.row(g, "a").starts, 22);
}

#[test]
fn pure_code_runs_again_after_a_loss_even_without_a_table_or_at_zero() {
    for retry in [None, Some(0)] {
        let mut s = scenario(cores(1));
        let function = f("k").kernel();
        let g = s.submit(spec([match retry {
            Some(max) => function.retry(max),
            None => function,
        }]));
        s.fail("k", Cause::WorkerDied);
        assert_eq!(s.running(), ["k"]);
        s.fail("k", Cause::User);
        assert_eq!(s.state(g, "k"), "failed/user", "its own failure is its own");
    }
    let mut s = scenario(cores(1));
    let g = s.submit(spec([f("a").retry(0)]));
    s.fail("a", Cause::WorkerDied);
    assert_eq!(s.state(g, "a"), "failed/worker_died", "other code only where further starts are allowed");
}

#[test]
fn an_attempt_that_never_started_is_placed_anew_and_not_counted() {
    let mut s = scenario(cores(1));
    let g = s.submit(spec([f("a")]));
    for n in 1..20 {
        assert_eq!(nth(s.attempt("a")), n, "the number is never used again");
        s.never_started("a");
    }
    s.ok("a");
    assert_eq!((s.ended[&g], s.row(g, "a").starts), (GraphState::Succeeded, 1));
}

#[test]
fn an_attempt_that_never_started_in_a_stopped_graph_does_not_start() {
    let mut s = scenario(cores(2));
    let g = s.submit(spec([f("a"), f("b")]));
    s.fail("a", Cause::User);
    s.never_started("b");
    assert_eq!(s.state(g, "b"), "cancelled/cancelled");
    assert_eq!(s.ended[&g], GraphState::Failed);
}

// ---- time

#[test]
fn a_task_beyond_its_time_is_ended_for_that() {
    let mut s = scenario(cores(1));
    let g = s.submit(spec([f("a").timeout(Span::secs(5)).retry(1)]));
    s.event(Event::Started { attempt: s.attempt("a") });
    s.pass(Span::secs(4));
    assert!(s.killed.is_empty());
    s.pass(A_SECOND);
    let attempt = s.attempt("a");
    assert_eq!(s.killed.get(&attempt), Some(&EndReason::Timeout));
    s.carry_out_kills();
    assert_eq!(s.row(g, "a").failure.unwrap().cause, Cause::Timeout, "although its process said `user`");
    s.pass(A_SECOND);
    s.pass(Span::secs(4));
    assert!(s.killed.is_empty(), "the second attempt has its own time");
    s.ok("a");
    assert_eq!(s.ended[&g], GraphState::Succeeded);
}

#[test]
fn what_ends_politely_at_its_limit_was_cut_short() {
    let mut s = scenario(cores(1));
    let g = s.submit(spec([f("a").timeout(A_SECOND)]));
    s.pass(A_SECOND);
    assert_eq!(s.killed.len(), 1);
    s.ok("a");
    assert_eq!(s.ended[&g], GraphState::Failed);
    assert_eq!(s.row(g, "a").failure.unwrap().cause, Cause::Timeout);
}

#[test]
fn a_graph_beyond_its_time_ends_everything_and_fails() {
    let mut s = scenario(cores(1));
    let g = s.submit(GraphSpec {
        timeout: Some(Span::secs(10)),
        ..spec([f("a").retry(5), f("b"), f("c").after("a")])
    });
    s.pass(Span::secs(10));
    assert_eq!(s.states(g, &["a", "b", "c"]), ["running", "cancelled/cancelled", "cancelled/cancelled"]);
    assert_eq!(s.killed.values().collect::<Vec<_>>(), [&EndReason::GraphTimeout]);
    s.carry_out_kills();
    assert_eq!(s.ended[&g], GraphState::Failed);
    assert_eq!(s.state(g, "a"), "cancelled/timeout");
}

#[test]
fn a_retried_graph_has_its_whole_time_again() {
    let mut s = scenario(cores(1));
    let g = s.submit(GraphSpec { timeout: Some(Span::secs(10)), ..spec([f("a")]) });
    s.pass(Span::secs(9));
    s.fail("a", Cause::User);
    s.retry(g);
    s.pass(Span::secs(9));
    assert!(s.killed.is_empty(), "the first deadline is over and means nothing");
    s.pass(A_SECOND);
    assert_eq!(s.killed.len(), 1);
}

// ---- cancel, hold, retry

#[test]
fn cancelling_a_graph_ends_what_runs_and_cancels_the_rest() {
    let mut s = scenario(cores(1));
    let g = s.submit(spec(two_chains()));
    s.cancel(g);
    assert_eq!(s.killed.values().collect::<Vec<_>>(), [&EndReason::Cancelled]);
    assert!(!s.ended.contains_key(&g), "it ends when the last has ended");
    s.carry_out_kills();
    assert_eq!(s.ended[&g], GraphState::Cancelled);
    for name in ["a", "b", "a2", "b2", "c"] {
        assert_eq!(s.state(g, name), "cancelled/cancelled", "{name}");
    }
    s.cancel(g);
    s.cancel(GraphId(99));
    assert_eq!(s.graph_state(g), GraphState::Cancelled, "twice is once, and an unknown one is nothing");
}

#[test]
fn cancelling_a_queued_task_cancels_its_dependants() {
    let mut s = scenario(cores(1));
    let g = s.submit(tolerant(two_chains(), Tolerance::Tolerant));
    s.cancel_task(g, "b");
    assert_eq!(
        s.states(g, &["b", "b2", "a"]),
        ["cancelled/cancelled", "cancelled/upstream_failed", "running"]
    );
    s.finish();
    assert_eq!(s.ended[&g], GraphState::Succeeded);
}

#[test]
fn cancelling_a_running_task_ends_it_and_no_retry_follows() {
    let mut s = scenario(cores(1));
    let g = s.submit(spec([f("a").retry(5)]));
    s.cancel_task(g, "a");
    s.carry_out_kills();
    assert_eq!(s.state(g, "a"), "cancelled/cancelled");
    assert_eq!(s.ended[&g], GraphState::Cancelled);
}

#[test]
fn cancelling_a_task_that_backs_off_is_the_end_of_it() {
    let mut s = scenario(cores(1));
    let g = s.submit(spec([f("a").retry(5)]));
    s.fail("a", Cause::User);
    s.cancel_task(g, "a");
    assert_eq!(s.ended[&g], GraphState::Cancelled);
    s.pass(Span::secs(5));
    assert!(s.running().is_empty());
}

#[test]
fn a_held_graph_waits_and_others_pass_it() {
    let mut s = scenario(cores(1));
    let held = s.submit_as(spec([f("a")]), true, true);
    assert_eq!(s.graph_state(held), GraphState::Held);
    let other = s.submit(spec([f("b"), f("c")]));
    s.event(Event::HeldBack { graph: other });
    s.ok("b");
    assert!(s.running().is_empty());
    s.event(Event::Released { graph: held });
    assert_eq!(s.running(), ["a"]);
    s.event(Event::Released { graph: held });
    s.event(Event::Released { graph: other });
    s.ok("a");
    assert_eq!(s.running(), ["c"]);
}

#[test]
fn a_wait_that_ends_while_held_is_not_forgotten() {
    let mut s = scenario(cores(1));
    let g = s.submit(spec([f("a").retry(1)]));
    s.fail("a", Cause::User);
    s.event(Event::HeldBack { graph: g });
    s.pass(Span::secs(2));
    assert!(s.running().is_empty());
    s.event(Event::Released { graph: g });
    assert_eq!(s.running(), ["a"]);
}

#[test]
fn a_retried_graph_goes_on_from_what_succeeded() {
    let mut s = scenario(cores(2));
    let g = s.submit(spec(two_chains()));
    s.ok("b");
    s.fail("a", Cause::User);
    s.finish();
    assert_eq!(s.ended[&g], GraphState::Failed);
    s.retry(g);
    assert_eq!(s.graph_state(g), GraphState::Running);
    assert_eq!(s.running(), ["a", "c"], "b has succeeded and b2 ran to its end");
    assert_eq!(nth(s.attempt("a")), 2);
    s.finish();
    assert_eq!(s.ended[&g], GraphState::Succeeded);
    assert_eq!(s.row(g, "b").starts, 1);
}

#[test]
fn a_retry_makes_values_again_that_were_freed() {
    let mut s = scenario(cores(1));
    let g = s.submit(spec([f("src").outputs(1), f("mid").arg("src", 0).outputs(1), f("end").arg("mid", 0)]));
    s.ok("src");
    s.ok("mid");
    assert_eq!(s.freed, ["src"]);
    s.fail("end", Cause::User);
    assert_eq!(s.freed, ["src", "mid"], "its last reader has ended");
    s.retry(g);
    assert_eq!(s.running(), ["src"], "all the way up");
    s.ok("src");
    s.ok("mid");
    assert_eq!(s.running(), ["end"]);
    s.ok("end");
    assert_eq!(s.ended[&g], GraphState::Succeeded);
    assert_eq!(s.freed, ["src", "mid", "src", "mid"]);
}

#[test]
fn retrying_one_task_brings_back_what_it_takes() {
    let mut s = scenario(cores(4));
    let functions = [f("a"), f("b").after("a"), f("x"), f("y").after("x")];
    let g = s.submit(tolerant(functions, Tolerance::Tolerant));
    s.fail("a", Cause::User);
    s.fail("x", Cause::User);
    let task = Some(s.task(g, "b"));
    s.event(Event::Retried { graph: g, task });
    assert_eq!(s.running(), ["a"]);
    s.ok("a");
    s.ok("b");
    assert_eq!(s.states(g, &["x", "y"]), ["failed/user", "cancelled/upstream_failed"]);
    assert_eq!(s.ended[&g], GraphState::Succeeded);
}

#[test]
fn a_value_that_is_lost_and_needed_is_made_again() {
    let mut s = scenario(cores(1));
    let g = s.submit(spec([
        f("src").outputs(1),
        f("mid").arg("src", 0).outputs(1),
        f("end").arg("mid", 0).arg("src", 0),
    ]));
    s.ok("src");
    s.ok("mid");
    assert_eq!(s.running(), ["end"]);
    let lost = g.task(s.task(g, "mid"));
    s.event(Event::ValueLost { task: lost });
    s.fail("end", Cause::ValueLost);
    assert_eq!(s.state(g, "end"), "failed/value_lost", "a command without a table is started once");

    let mut s = scenario(cores(1));
    let g = s.submit(spec([
        f("src").outputs(1),
        f("mid").arg("src", 0).outputs(1),
        f("end").kernel().arg("mid", 0).arg("src", 0),
    ]));
    s.ok("src");
    s.ok("mid");
    s.event(Event::ValueLost { task: g.task(s.task(g, "mid")) });
    s.fail("end", Cause::ValueLost);
    assert_eq!(s.running(), ["mid"], "not counted, and its own input is still there");
    s.ok("mid");
    assert_eq!(s.running(), ["end"]);
    s.event(Event::ValueLost { task: g.task(s.task(g, "end")) });
    s.ok("end");
    assert_eq!(s.ended[&g], GraphState::Succeeded);
    s.event(Event::ValueLost { task: g.task(0) });
    assert_eq!(s.graph_state(g), GraphState::Succeeded, "nobody needs it any more");
}

#[test]
fn a_task_that_backs_off_waits_for_an_input_that_was_lost_meanwhile() {
    let mut s = scenario(cores(1));
    let g = s.submit(spec([f("src").outputs(1), f("end").arg("src", 0).retry(1)]));
    s.ok("src");
    s.fail("end", Cause::User);
    s.event(Event::ValueLost { task: g.task(0) });
    assert_eq!(s.running(), ["src"]);
    s.pass(Span::secs(5));
    assert_eq!(s.running(), ["src"]);
    s.ok("src");
    assert_eq!(s.running(), ["end"]);
}

#[test]
fn values_are_freed_even_if_all_readers_were_cancelled_while_the_producer_ran() {
    let mut s = scenario(cores(1));
    let g = s.submit(tolerant([f("src").outputs(1), f("end").arg("src", 0)], Tolerance::Tolerant));
    s.cancel_task(g, "end");
    s.ok("src");
    assert_eq!(s.freed, ["src"]);
}

// ---- limits and order

#[test]
fn max_parallel_bounds_one_family_and_not_the_others() {
    let mut s = scenario(cores(8));
    let g = s.submit(spec([f("t-{n}").times("n", 5).max_parallel(2), f("u-{n}").times("n", 2)]));
    assert_eq!(s.running(), ["t-0", "t-1", "u-0", "u-1"]);
    s.ok("t-0");
    assert_eq!(s.running(), ["t-1", "t-2", "u-0", "u-1"]);
    s.finish();
    assert_eq!(s.ended[&g], GraphState::Succeeded);
}

#[test]
fn cancelling_the_one_let_in_lets_the_next_in() {
    let mut s = scenario(cores(1));
    let g = s.submit(tolerant([f("t-{n}").times("n", 3).max_parallel(1)], Tolerance::Tolerant));
    let first = s.submit(GraphSpec { priority: 5, ..spec([f("block")]) });
    s.ok("t-0");
    assert_eq!(s.running(), ["block"]);
    s.cancel_task(g, "t-1");
    s.ok("block");
    assert_eq!(s.running(), ["t-2"]);
    s.finish();
    assert_eq!((s.ended[&g], s.ended[&first]), (GraphState::Succeeded, GraphState::Succeeded));
}

#[test]
fn sequential_runs_one_at_a_time_as_written() {
    let mut s = scenario(cores(8));
    let g = s.submit(GraphSpec { order: Order::Sequential, ..spec([f("c"), f("a"), f("b").after("a")]) });
    for name in ["c", "a", "b"] {
        assert_eq!(s.running(), [name]);
        s.ok(name);
    }
    assert_eq!(s.ended[&g], GraphState::Succeeded);
}

#[test]
fn a_pipeline_lets_the_furthest_go_first() {
    let stages = [f("a-{n}").times("n", 3).outputs(1), f("b-{n}").times("n", 3).arg("a-{n}", 0).outputs(1)];
    let mut s = scenario(cores(1));
    s.submit(GraphSpec { order: Order::Pipeline, ..spec(stages.clone()) });
    let mut order = Vec::new();
    while let Some(name) = s.running().first().cloned() {
        s.ok(&name);
        order.push(name);
    }
    assert_eq!(order, ["a-0", "b-0", "a-1", "b-1", "a-2", "b-2"]);
    let mut s = scenario(cores(1));
    s.submit(GraphSpec { order: Order::Parallel, ..spec(stages) });
    let mut order = Vec::new();
    while let Some(name) = s.running().first().cloned() {
        s.ok(&name);
        order.push(name);
    }
    assert_eq!(order, ["a-0", "a-1", "a-2", "b-0", "b-1", "b-2"], "the others go as written");
}

#[test]
fn a_higher_priority_goes_first_and_then_the_older_graph() {
    let mut s = scenario(cores(1));
    s.submit(spec([f("running")]));
    s.submit(GraphSpec { priority: 1, ..spec([f("old")]) });
    s.submit(GraphSpec { priority: 1, ..spec([f("new")]) });
    s.submit(GraphSpec { priority: 7, ..spec([f("urgent")]) });
    s.submit(GraphSpec { priority: -7, ..spec([f("whenever")]) });
    let mut order = Vec::new();
    while let Some(name) = s.running().first().cloned() {
        s.ok(&name);
        order.push(name);
    }
    assert_eq!(order, ["running", "urgent", "old", "new", "whenever"]);
}

#[test]
fn a_small_task_passes_a_large_one_that_does_not_fit_yet() {
    let mut s = scenario(cores(4));
    s.submit(spec([f("half").cpus(2), f("all").cpus(4), f("small").cpus(1)]));
    assert_eq!(s.running(), ["half", "small"]);
    s.ok("half");
    s.ok("small");
    assert_eq!(s.running(), ["all"]);
}

// ---- results of the past

#[test]
fn a_late_result_of_an_older_attempt_is_a_data_point_and_nothing_more() {
    let mut s = scenario(cores(1));
    let g = s.submit(spec([f("a").retry(3)]));
    let old = s.attempt("a");
    s.fail("a", Cause::WorkerDied);
    let new = s.attempt("a");
    for event in [
        Event::Finished { attempt: old, usage: Usage::default() },
        Event::Failed { attempt: old, failure: Box::new(failure(Cause::User)), usage: Usage::default() },
        Event::Started { attempt: old },
        Event::NeverStarted { attempt: old },
    ] {
        s.event(event);
        assert_eq!(s.attempt("a"), new);
        assert_eq!((s.state(g, "a"), s.row(g, "a").starts), ("running".to_owned(), 2));
    }
    s.ok("a");
    s.event(Event::Failed { attempt: new, failure: Box::new(failure(Cause::User)), usage: Usage::default() });
    assert_eq!(s.state(g, "a"), "succeeded");
    assert_eq!(s.scheduler.snapshot().totals.late_results, 5);
    let nobody: AttemptId = "77.0.1".parse().unwrap();
    s.event(Event::Finished { attempt: nobody, usage: Usage::default() });
}

#[test]
fn a_graph_told_twice_is_one_graph() {
    let mut s = scenario(cores(1));
    let g = s.submit(spec([f("a")]));
    let run = s.scheduler.graph(g).unwrap();
    let again = dunnage_model::Submission {
        id: g,
        graph: Arc::clone(&run.graph),
        owner: run.owner,
        seed: 1,
        held: false,
        sealed: true,
        trace: None,
    };
    s.event(Event::Submitted(Box::new(again)));
    assert_eq!(s.running(), ["a"]);
    s.ok("a");
    assert_eq!(s.ended[&g], GraphState::Succeeded);
}

// ---- plans

fn plan(places: &[(u8, DeviceId)]) -> Plan {
    let place = places
        .iter()
        .map(|(variant, device)| {
            Some(PlannedPlace { variant: *variant, device: *device, start_s: 0.0, end_s: 1.0 })
        })
        .collect();
    // The last goes first.
    Plan { priority: (0..places.len()).map(|n| n as f64).collect(), place, ..Plan::default() }
}

/// Answers the last wish for a plan.
fn give_plan(s: &mut Scenario, graph: GraphId, places: &[(u8, DeviceId)]) {
    let revision = wanted(s).expect("a plan is wanted");
    s.event(Event::Planned { graph, revision, plan: Arc::new(plan(places)) });
}

fn wanted(s: &Scenario) -> Option<u32> {
    s.orders.iter().rev().find_map(|order| match order {
        Decision::PlanWanted { revision, .. } => Some(*revision),
        _ => None,
    })
}

const HOST: DeviceId = DeviceId::host(NodeId::LOCAL);

fn planned(functions: impl IntoIterator<Item = F>) -> GraphSpec {
    GraphSpec { strategy: Some("heft".to_owned()), ..spec(functions) }
}

#[test]
fn nothing_starts_before_the_plan_and_then_in_its_order() {
    let mut s = scenario(cores(1));
    let g = s.submit(planned([f("a"), f("b"), f("c")]));
    assert!(s.running().is_empty());
    give_plan(&mut s, g, &[(0, HOST); 3]);
    let mut order = Vec::new();
    while let Some(name) = s.running().first().cloned() {
        s.ok(&name);
        order.push(name);
    }
    assert_eq!(order, ["c", "b", "a"]);
}

#[test]
fn a_plan_that_does_not_come_is_not_waited_for_for_ever() {
    let mut s = scenario(cores(1));
    let g = s.submit(planned([f("a"), f("b")]));
    s.pass(Span::secs(9));
    assert!(s.running().is_empty());
    s.pass(A_SECOND);
    assert_eq!(s.running(), ["a"]);
    give_plan(&mut s, g, &[(0, HOST); 2]);
    assert!(s.scheduler.graph(g).unwrap().plan().is_some(), "late, but of the state that is");
}

#[test]
fn a_stale_plan_is_dropped() {
    let mut s = scenario(cores(1));
    let g = s.submit(planned([f("a"), f("b")]));
    let old = wanted(&s).unwrap();
    s.event(Event::HeldBack { graph: g });
    s.event(Event::Released { graph: g });
    assert_ne!(wanted(&s), Some(old));
    s.event(Event::Planned { graph: g, revision: old, plan: Arc::new(plan(&[(0, HOST); 2])) });
    assert!(s.running().is_empty());
    assert_eq!(s.scheduler.snapshot().totals.stale_plans, 1);
    give_plan(&mut s, g, &[(0, HOST); 2]);
    assert_eq!(s.running(), ["b"]);
}

#[test]
fn a_retried_graph_waits_for_its_new_plan() {
    let mut s = scenario(cores(1));
    let g = s.submit(planned([f("a"), f("b")]));
    give_plan(&mut s, g, &[(0, HOST); 2]);
    s.fail("b", Cause::User);
    let old = wanted(&s);
    s.retry(g);
    assert!(s.running().is_empty());
    assert_ne!(wanted(&s), old);
    give_plan(&mut s, g, &[(0, HOST); 2]);
    assert_eq!(s.running(), ["b"]);
}

#[test]
fn a_plan_holds_nothing_back_from_an_idle_device_of_the_same_kind() {
    let mut s = scenario(gpus(&[24, 24]));
    let g = s.submit(planned([f("a").gpus(1), f("b").gpus(1)]));
    give_plan(&mut s, g, &[(0, gpu(1)), (0, gpu(1))]);
    assert_eq!(s.running(), ["a", "b"]);
    // The plan's priorities put `b` first.
    assert_eq!(s.placement("b").gpus[0].device, gpu(1), "the first has the place that it was planned for");
    assert_eq!(s.placement("a").gpus[0].device, gpu(0));
}

#[test]
fn a_plan_does_not_keep_a_task_for_a_device_that_others_fill() {
    let mut s = scenario(gpus(&[24, 24]));
    s.sample(gpu(1), Health::Ok, Bytes::gib(20));
    let g = s.submit(planned([f("a").gpu_memory(Bytes::gib(8)), f("b")]));
    give_plan(&mut s, g, &[(0, gpu(1)), (0, HOST)]);
    assert_eq!(s.placement("a").gpus[0].device, gpu(0));
}

// ---- devices

#[test]
fn a_lost_device_ends_its_attempts_and_they_are_placed_on_another() {
    let mut s = scenario(gpus(&[24, 24]));
    let g = s.submit(spec([f("a").gpus(1).retry(1), f("b").gpus(1).retry(1), f("c").gpus(1)]));
    assert_eq!(s.running(), ["a", "b"]);
    let a = s.attempt("a");
    s.event(Event::DeviceLost { device: gpu(0), why: "off the bus".to_owned() });
    assert_eq!(s.killed.iter().collect::<Vec<_>>(), [(&a, &EndReason::DeviceLost)]);
    s.carry_out_kills();
    assert_eq!(s.row(g, "a").failure.unwrap().cause, Cause::DeviceLost);
    assert_eq!(s.running(), ["b"], "the other GPU is taken");
    s.ok("b");
    assert_eq!(s.placement("a").gpus[0].device, gpu(1));
    s.sample(gpu(0), Health::Ok, Bytes::ZERO);
    assert_eq!(s.placement("c").gpus[0].device, gpu(0), "it came back");
    s.finish();
    assert_eq!(s.ended[&g], GraphState::Succeeded);
}

#[test]
fn a_sample_that_says_lost_is_a_loss_once_and_other_ill_health_only_takes_no_new_work() {
    let mut s = scenario(gpus(&[24]));
    s.submit(spec([f("a").gpu_share(300).retry(1), f("b").gpu_share(300).after("a")]));
    s.sample(gpu(0), Health::Unknown { why: "slow".to_owned() }, Bytes::ZERO);
    assert!(s.killed.is_empty());
    s.ok("a");
    assert!(s.running().is_empty());
    s.sample(gpu(0), Health::Ok, Bytes::ZERO);
    assert_eq!(s.running(), ["b"]);
    for _ in 0..3 {
        s.sample(gpu(0), Health::Lost { why: "Xid 79".to_owned() }, Bytes::ZERO);
    }
    let kills = s.orders.iter().filter(|order| matches!(order, Decision::Kill { .. })).count();
    assert_eq!(kills, 1);
    s.sample(gpu(0), Health::Drained, Bytes::ZERO);
    s.carry_out_kills();
    assert!(s.running().is_empty());
}

#[test]
fn memory_of_processes_that_are_not_ours_counts_as_used() {
    let mut s = scenario(gpus(&[24]));
    s.sample(gpu(0), Health::Ok, Bytes::gib(10));
    s.submit(spec([
        f("large").gpu_memory(Bytes::gib(16)),
        f("small").gpu_memory(Bytes::gib(8)),
        f("whole").gpus(1),
    ]));
    assert_eq!(s.running(), ["small"]);
    s.ok("small");
    assert!(s.running().is_empty(), "a whole GPU of which others use a part is not whole");
    s.sample(gpu(0), Health::Ok, Bytes::ZERO);
    assert_eq!(s.running(), ["large"]);
}

#[test]
fn a_whole_gpu_is_shared_with_nobody() {
    let mut s = scenario(gpus(&[24]));
    s.submit(spec([f("part").gpu_share(100), f("whole").gpus(1), f("other").gpu_share(100)]));
    assert_eq!(s.running(), ["other", "part"]);
    s.ok("part");
    assert_eq!(s.running(), ["other"]);
    s.ok("other");
    assert_eq!(s.running(), ["whole"]);
    let grant = s.placement("whole").gpus[0];
    assert_eq!((grant.exclusive, grant.share, grant.memory), (true, MilliShare::WHOLE, Bytes::gib(24)));
    s.submit(spec([f("late").gpu_share(100)]));
    assert_eq!(s.running(), ["whole"]);
}

#[test]
fn a_shared_gpu_holds_shares_up_to_one_and_memory_up_to_what_it_has() {
    let mut s = scenario(gpus(&[24]));
    s.submit(spec([
        f("a").gpu_share(500).cost(|cost| cost.gpu_memory = Some(Bytes::gib(4))),
        f("b").gpu_share(400),
        f("c").gpu_share(200),
        f("d").gpu_memory(Bytes::gib(12)),
        f("e").gpu_memory(Bytes::gib(8)),
    ]));
    assert_eq!(s.running(), ["a", "b", "e"]);
    let b = s.placement("b").gpus[0].memory;
    assert_eq!(b, Bytes(Bytes::gib(24).0 / 1000 * 400), "a share without memory takes the same share of it");
    s.ok("b");
    assert_eq!(s.running(), ["a", "c", "e"], "of the memory are now 24 - 4 - 8 - 4.8 left");
    s.ok("c");
    assert_eq!(s.running(), ["a", "d", "e"]);
}

#[test]
fn several_gpus_are_given_together_or_not_at_all() {
    let mut s = scenario(gpus(&[24, 24, 24, 24]));
    s.submit(spec([f("three").gpus(3), f("two").gpus(2), f("one").gpus(1)]));
    assert_eq!(s.running(), ["one", "three"]);
    let devices: Vec<DeviceId> = s.placement("three").gpus.iter().map(|grant| grant.device).collect();
    assert_eq!(devices, [gpu(0), gpu(1), gpu(2)]);
    s.ok("one");
    assert_eq!(s.running(), ["three"]);
    s.ok("three");
    assert_eq!(s.running(), ["two"]);
}

#[test]
fn only_gpus_that_fit_are_given() {
    let mut s = scenario(gpus(&[24, 80]));
    s.submit(spec([
        f("new").gpu_share(100).cost(|cost| cost.compute_capability = Some((9, 0))),
        f("model").gpu_share(100).cost(|cost| cost.gpu_model = Some("BIG".to_owned())),
        f("any").gpu_share(100),
    ]));
    for (name, device) in [("new", gpu(1)), ("model", gpu(1)), ("any", gpu(0))] {
        assert_eq!(s.placement(name).gpus[0].device, device, "{name}");
    }
}

#[test]
fn named_resources_are_counted() {
    let mut node = cores(8);
    node.custom.insert("licence".to_owned(), 3);
    let mut s = scenario(node);
    let licences = |id: &str, n: u64| f(id).cost(|cost| cost.custom = vec![("licence".to_owned(), n)]);
    s.submit(spec([licences("a", 2), licences("b", 2), licences("c", 1)]));
    assert_eq!(s.running(), ["a", "c"]);
    s.ok("a");
    assert_eq!(s.running(), ["b", "c"]);
}

#[test]
fn a_variant_is_chosen_by_what_is_free() {
    let mut s = scenario(gpus(&[24]));
    let both = |id: &str| {
        f(id).variant(DeviceKind::Gpu, |cost| cost.gpus = Some(1)).variant(DeviceKind::Cpu, |_| {})
    };
    s.submit(spec([both("a"), both("b")]));
    assert_eq!(s.placement("a").variant, 0);
    assert_eq!((s.placement("b").variant, s.placement("b").gpus.len()), (1, 0));
}

#[test]
fn attempts_on_a_node_out_of_contact_are_kept_and_nothing_new_is_placed_there() {
    let mut s = scenario(cores(2));
    s.submit(spec([f("a"), f("b").after("a"), f("c").cpus(1)]));
    s.event(Event::NodeLost { node: NodeId::LOCAL });
    s.ok("a");
    assert_eq!(s.running(), ["c"]);
    s.event(Event::NodeSeen(Arc::new(cores(2))));
    assert_eq!(s.running(), ["b", "c"]);
}

#[test]
fn a_smaller_machine_holds_what_runs_and_takes_nothing_new_until_it_fits() {
    let mut s = scenario(cores(4));
    s.submit(spec([f("t-{n}").times("n", 6)]));
    s.event(Event::NodeSeen(Arc::new(cores(2))));
    assert_eq!(s.running().len(), 4);
    s.ok("t-0");
    s.ok("t-1");
    assert_eq!(s.running().len(), 2);
    s.ok("t-2");
    assert_eq!(s.running(), ["t-3", "t-4"]);
}

// ---- extension

#[test]
fn a_graph_that_is_not_sealed_waits_for_more_and_is_extended() {
    let mut s = scenario(cores(4));
    let g = s.submit_as(spec([f("a"), f("b")]), false, false);
    s.ok("a");
    s.ok("b");
    assert!(!s.ended.contains_key(&g));
    let longer = core_support::build(spec([f("a"), f("b"), f("c").after("a")]));
    s.event(Event::Extended { graph: g, functions: longer, sealed: true });
    assert_eq!(s.running(), ["c"]);
    s.ok("c");
    assert_eq!(s.ended[&g], GraphState::Succeeded);
}

#[test]
fn an_extension_that_needs_what_failed_is_cancelled_at_once() {
    let mut s = scenario(cores(4));
    let functions = [f("a"), f("b")];
    let g = s.submit_as(tolerant(functions.clone(), Tolerance::Tolerant), false, false);
    s.fail("a", Cause::User);
    let longer = functions.into_iter().chain([f("c").after("a"), f("d").after("c"), f("e").after("b")]);
    let longer = core_support::build(tolerant(longer, Tolerance::Tolerant));
    s.event(Event::Extended { graph: g, functions: longer, sealed: true });
    assert_eq!(
        s.states(g, &["c", "d", "e"]),
        ["cancelled/upstream_failed", "cancelled/upstream_failed", "queued"]
    );
    s.finish();
    assert_eq!(s.ended[&g], GraphState::Succeeded);
}

#[test]
fn an_extension_of_a_stopping_graph_does_not_start() {
    let mut s = scenario(cores(4));
    let g = s.submit_as(spec([f("a"), f("b")]), false, false);
    s.fail("a", Cause::User);
    s.event(Event::Extended {
        graph: g,
        functions: core_support::build(spec([f("a"), f("b"), f("c")])),
        sealed: false,
    });
    assert_eq!(s.state(g, "c"), "cancelled/cancelled");
    s.ok("b");
    assert_eq!(s.ended[&g], GraphState::Failed);
}

// ---- explanations and size

#[test]
fn a_queued_task_is_explained() {
    let mut s = scenario(gpus(&[24]));
    let g = s.submit(spec([
        f("a").gpus(1),
        f("b").gpus(1),
        f("c").after("a"),
        f("m-{n}").times("n", 2).max_parallel(1),
        f("r").retry(1),
    ]));
    s.fail("r", Cause::User);
    let held = s.submit_as(spec([f("h")]), true, true);
    let planned = s.submit(planned([f("p"), f("q")]));
    let why = |graph: GraphId, name: &str| {
        let task = graph.task(s.task(graph, name));
        s.scheduler.explain(task).unwrap().why.code
    };
    assert_eq!(
        ["a", "b", "c", "m-1", "r"].map(|name| why(g, name)),
        ["running", "resources", "dependency", "limit", "backoff"]
    );
    assert_eq!((why(held, "h"), why(planned, "p")), ("held", "planning"));
    let b = s.scheduler.explain(g.task(1)).unwrap();
    assert_eq!(b.options.len(), 1);
    assert!(b.options[0].obstacle.as_ref().unwrap().contains("held alone"), "{b:?}");
}

#[test]
fn a_fan_of_ten_thousand_is_not_quadratic() {
    // Every check of the invariants is linear, so this one goes without: in a quadratic core it would
    // take minutes instead of a moment.
    let family = |id: &str| {
        f(id).times("n", 10_000).outputs(1).cost(|cost| cost.cpus = Some(dunnage_model::MilliCores(1)))
    };
    let graph = core_support::build(tolerant(
        [
            f("src").outputs(1),
            family("t-{n}").arg("src", 0),
            family("u-{n}").arg("t[*]", 0),
            f("end").arg_succeeded("u[*]", 0),
        ],
        Tolerance::Tolerant,
    ));
    let mut s = scenario(cores(1));
    let submission = dunnage_model::Submission {
        id: GraphId(1),
        graph,
        owner: dunnage_model::Owner(0),
        seed: 0,
        held: false,
        sealed: true,
        trace: None,
    };
    let mut out = Vec::new();
    s.scheduler.handle(Time::ZERO, Event::Submitted(Box::new(submission)), &mut out);
    let mut open: Vec<AttemptId> = Vec::new();
    let (mut events, mut starts, mut ends) = (0, 0, 0);
    loop {
        for decision in out.drain(..) {
            match decision {
                Decision::Start { attempt, .. } => {
                    starts += 1;
                    open.push(attempt);
                }
                Decision::GraphEnded { state, .. } => assert_eq!(state, GraphState::Succeeded),
                Decision::TaskEnded { .. } => ends += 1,
                _ => {}
            }
        }
        let Some(attempt) = open.pop() else { break };
        events += 1;
        // Of the first family half fail, which cancels all of the second, and only once each.
        let event = if attempt.task.index % 2 == 1 {
            Event::Failed { attempt, failure: Box::new(failure(Cause::User)), usage: Usage::default() }
        } else {
            Event::Finished { attempt, usage: Usage::default() }
        };
        s.scheduler.handle(Time(events), event, &mut out);
    }
    assert_eq!((starts, ends), (10_002, 20_002));
    s.scheduler.check_invariants().unwrap();
}

#[test]
fn many_different_requests_that_cannot_run_do_not_keep_others_from_running() {
    let mut s = scenario(gpus(&[24]));
    s.event(Event::DeviceLost { device: gpu(0), why: "gone".to_owned() });
    s.submit(spec([f("first").cpus(16)]));
    // More classes than are looked at after a release, none of which can run, and one behind them that can.
    let stuck =
        (1..500).map(|n| f(&format!("s{n}")).cpus(1).cost(|cost| cost.gpu_memory = Some(Bytes::mib(n))));
    s.submit(spec(stuck));
    s.submit(spec([f("last").cpus(16)]));
    assert_eq!(s.running(), ["first"]);
    s.ok("first");
    assert_eq!(s.running(), ["last"]);
}

#[test]
fn a_sequential_graph_waits_for_the_one_that_is_started_again() {
    let mut s = scenario(cores(4));
    let g = s.submit(GraphSpec { order: Order::Sequential, ..spec([f("a").retry(1), f("b"), f("c")]) });
    s.fail("a", Cause::User);
    assert!(s.running().is_empty());
    s.pass(A_SECOND);
    assert_eq!(s.running(), ["a"]);
    s.fail("a", Cause::User);
    assert_eq!(s.ended[&g], GraphState::Failed);
    let g = s.submit(GraphSpec {
        order: Order::Sequential,
        ..tolerant([f("d").retry(1), f("e"), f("h")], Tolerance::Tolerant)
    });
    s.fail("d", Cause::User);
    s.cancel_task(g, "d");
    assert_eq!(s.running(), ["e"]);
}

#[test]
fn a_reader_that_runs_while_its_input_is_made_again_is_judged_by_its_own_result() {
    for reader_fails in [false, true] {
        let mut s = scenario(cores(2));
        let g =
            s.submit(tolerant([f("src").outputs(1), f("end").arg("src", 0).retry(1)], Tolerance::Tolerant));
        s.ok("src");
        s.event(Event::ValueLost { task: g.task(0) });
        assert_eq!(s.running(), ["end", "src"]);
        s.fail("src", Cause::User);
        assert_eq!(s.running(), ["end"]);
        if reader_fails {
            s.fail("end", Cause::WorkerDied);
            assert_eq!(s.state(g, "end"), "cancelled/upstream_failed");
        } else {
            s.ok("end");
            assert_eq!(s.state(g, "end"), "succeeded");
        }
        assert_eq!(s.ended[&g], GraphState::Succeeded);
    }
}

#[test]
fn a_value_that_can_not_be_made_again_cancels_its_task_instead_of_waiting_for_ever() {
    let mut s = scenario(cores(4));
    let g = s.submit(tolerant(
        [f("a").outputs(1), f("b").arg("a", 0).outputs(1), f("busy"), f("c").arg("b", 0).after("busy")],
        Tolerance::Tolerant,
    ));
    s.event(Event::HeldBack { graph: g });
    s.event(Event::Released { graph: g });
    s.ok("a");
    s.event(Event::ValueLost { task: g.task(0) });
    s.fail("a", Cause::User);
    s.ok("b");
    s.event(Event::ValueLost { task: g.task(1) });
    assert_eq!(s.states(g, &["b", "c"]), ["cancelled/upstream_failed", "cancelled/upstream_failed"]);
    s.finish();
    assert_eq!(s.ended[&g], GraphState::Succeeded);
}
