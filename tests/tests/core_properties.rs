//! Random graphs on random machines under random events. After each event the invariants hold; two runs
//! give one log; a replay of the journalled facts gives the same state; and whatever has happened, once
//! the devices are well and the attempts end, every graph ends.

mod core_support;

use core_support::{F, build, f, failure, gpu, gpus, spec};
use dunnage_core::{Scheduler, TaskRow};
use dunnage_model::{
    AttemptId, Bytes, Cause, Decision, DeviceKind, DeviceSample, EndReason, Event, Fact, Graph, GraphId,
    GraphSpec, Health, NodeId, NodeSpec, OomRetry, Order, Owner, Retry, Span, Submission, TaskState, Time,
    Tolerance, Usage,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A function in numbers, which proptest can make smaller.
type FunctionDice = ([u8; 8], Vec<(u8, u8)>);
/// A graph in numbers: settings and functions.
type GraphDice = ([u8; 6], Vec<FunctionDice>);
/// An event in numbers.
type ActionDice = (u8, u16, u16);

fn function_dice() -> impl Strategy<Value = FunctionDice> {
    (any::<[u8; 8]>(), prop::collection::vec(any::<(u8, u8)>(), 0..4))
}

fn graph_dice() -> impl Strategy<Value = GraphDice> {
    (any::<[u8; 6]>(), prop::collection::vec(function_dice(), 1..8))
}

fn story() -> impl Strategy<Value = (Vec<GraphDice>, [u8; 5], Vec<ActionDice>)> {
    (
        prop::collection::vec(graph_dice(), 1..4),
        any::<[u8; 5]>(),
        prop::collection::vec((any::<u8>(), any::<u16>(), any::<u16>()), 0..150),
    )
}

fn machine(dice: [u8; 5]) -> NodeSpec {
    let sizes: Vec<u64> =
        dice[1..4].iter().take(usize::from(dice[0] % 4)).map(|n| [8, 24, 80][usize::from(n % 3)]).collect();
    let mut node = gpus(&sizes);
    node.cpu.capacity = dunnage_model::MilliCores::cores(u32::from(dice[4] % 4) + 2);
    node.custom.insert("licence".to_owned(), 2);
    node
}

/// Functions refer only to earlier ones, so every beginning of the list is a graph as well.
fn functions(dice: &GraphDice, machine: &NodeSpec) -> Vec<F> {
    let mut made: Vec<(String, bool)> = Vec::new();
    let mut list = Vec::new();
    for (n, (d, refs)) in dice.1.iter().enumerate() {
        let sweep = u32::from(d[0] % 4);
        let id = if sweep > 1 { format!("f{n}-{{i}}") } else { format!("f{n}") };
        let mut function = f(&id).outputs(1);
        if sweep > 1 {
            function = function.times("i", sweep);
        }
        function = match (d[1] % 8, machine.gpus.len()) {
            (0, _) => function.cpus(2),
            (1, _) => function.cpus(0).memory(Bytes::gib(20)),
            (2, 1..) => function.gpus(1),
            (3, 2..) => function.gpus(2),
            (4, 1..) => function.gpu_memory(Bytes::gib(u64::from(d[2] % 8) + 1)),
            (5, 1..) => function.gpu_share(u16::from(d[2] % 10) * 100 + 100),
            (6, 1..) => function
                .variant(DeviceKind::Gpu, |cost| cost.gpu_memory = Some(Bytes::gib(4)))
                .variant(DeviceKind::Cpu, |cost| cost.memory = Some(Bytes::gib(1))),
            (7, _) => {
                function.cost(|cost| cost.custom = vec![("licence".to_owned(), u64::from(d[2] % 2) + 1)])
            }
            _ => function.memory(Bytes::gib(u64::from(d[2] % 16))),
        };
        if d[3] % 3 == 0 {
            function = function.max_parallel(u32::from(d[3] / 3 % 3) + 1);
        }
        if d[4] % 2 == 0 {
            let oom = OomRetry { max: u32::from(d[5] % 3), factor: 1.5 };
            let retry =
                Retry { max: u32::from(d[4] / 2 % 3), base: Span::millis(500), oom, ..Retry::default() };
            function = function.with(|spec| spec.retry = Some(retry));
        }
        if d[6] % 4 == 0 {
            function = function.kernel();
        }
        if d[6] % 5 == 0 {
            function = function.timeout(Span::secs(u64::from(d[7] % 5) + 1));
        }
        for (kind, which) in refs {
            let Some(at) = usize::from(*which).checked_rem(made.len()) else { continue };
            let (name, is_family) = &made[at];
            function = match (is_family, kind % 5) {
                (false, 0 | 1) => function.after(name),
                (false, _) => function.arg(name, 0),
                (true, 0) => function.after(&format!("{name}[*]")),
                (true, 1) => function.arg(&format!("{name}[*]"), 0),
                (true, 2) => function.arg_succeeded(&format!("{name}[*]"), 0),
                (true, _) => function.arg(&format!("{name}-0"), 0),
            };
        }
        made.push((format!("f{n}"), sweep > 1));
        list.push(function);
    }
    list
}

fn graph(dice: &GraphDice, machine: &NodeSpec, first: usize) -> Arc<Graph> {
    let d = dice.0;
    let strategies = ["first-available", "load-balanced", "random", "heft", "auto", "no-such"];
    let spec = GraphSpec {
        strategy: Some(strategies[usize::from(d[0]) % strategies.len()].to_owned()),
        order: Order::NAMES[usize::from(d[1]) % 5].1,
        tolerance: [
            Tolerance::Strict,
            Tolerance::Tolerant,
            Tolerance::MaxFailures(u32::from(d[2]) % 3),
            Tolerance::MinSuccess(f64::from(d[2]) / 255.0),
        ][usize::from(d[3]) % 4],
        timeout: d[4].is_multiple_of(4).then(|| Span::secs(u64::from(d[4]) / 8 + 1)),
        priority: i32::from(d[5] % 3) - 1,
        ..spec(functions(dice, machine).into_iter().take(first))
    };
    build(spec)
}

/// The driver, the engine and the journal in one.
struct World {
    scheduler: Scheduler,
    machine: NodeSpec,
    now: Time,
    log: Vec<Decision>,
    journal: Vec<Fact>,
    open: BTreeSet<AttemptId>,
    past: Vec<AttemptId>,
    killed: BTreeMap<AttemptId, EndReason>,
    plans: BTreeMap<GraphId, u32>,
    health: BTreeMap<u16, (Health, Bytes)>,
    node_up: bool,
    graphs: Vec<(GraphId, GraphDice, usize)>,
}

impl World {
    fn new(machine: NodeSpec) -> Self {
        let mut world = Self {
            scheduler: Scheduler::new(dunnage_strategies::strategies()),
            now: Time::ZERO,
            log: Vec::new(),
            journal: Vec::new(),
            open: BTreeSet::new(),
            past: Vec::new(),
            killed: BTreeMap::new(),
            plans: BTreeMap::new(),
            health: BTreeMap::new(),
            node_up: true,
            graphs: Vec::new(),
            machine,
        };
        world.event(Event::NodeSeen(Arc::new(world.machine.clone())));
        world
    }

    fn event(&mut self, event: Event) {
        // As a daemon does: the fact before its effects, placements before their starts.
        if event.is_journalled() {
            let event = self.scheduler.as_fact(event.clone());
            self.journal.push(Fact { at: self.now, event });
        }
        let mut out = Vec::new();
        self.scheduler.handle(self.now, event, &mut out);
        if let Err(why) = self.scheduler.check_invariants() {
            panic!("at {:?}, after {:?}: {why}", self.now, self.journal.last());
        }
        self.carry_out(out);
    }

    fn carry_out(&mut self, out: Vec<Decision>) {
        for decision in &out {
            match decision {
                Decision::Start { attempt, placement } => {
                    let event = Event::Placed { attempt: *attempt, placement: placement.clone() };
                    self.journal.push(Fact { at: self.now, event });
                    assert!(!self.past.contains(attempt), "{attempt} started twice");
                    assert!(self.open.insert(*attempt), "{attempt} started twice");
                }
                Decision::Kill { attempt, reason } => {
                    assert!(self.open.contains(attempt), "{attempt} is told to end and does not run");
                    self.killed.insert(*attempt, *reason);
                }
                Decision::PlanWanted { graph, revision } => {
                    self.plans.insert(*graph, *revision);
                }
                Decision::GraphEnded { graph, state } => {
                    assert!(state.is_final());
                    assert!(self.scheduler.graph(*graph).unwrap().ended.is_some());
                }
                Decision::WakeAt(at) => {
                    assert!(*at > self.now || self.now == Time::ZERO, "a wish for the past");
                }
                Decision::FreeValues { .. } | Decision::TaskEnded { .. } => {}
            }
        }
        self.log.extend(out);
    }

    fn end(&mut self, attempt: AttemptId, event: Event) {
        self.open.remove(&attempt);
        self.killed.remove(&attempt);
        self.past.push(attempt);
        self.event(event);
    }

    fn fail(&mut self, attempt: AttemptId, cause: Cause) {
        self.end(
            attempt,
            Event::Failed { attempt, failure: Box::new(failure(cause)), usage: Usage::default() },
        );
    }

    fn plan(&mut self, graph: GraphId, revision: u32) {
        let Some(problem) = self.scheduler.plan_problem(graph) else { return };
        let Some(run) = self.scheduler.graph(graph) else { return };
        let Some(planner) = dunnage_strategies::planner(self.scheduler.strategy_of(run)) else { return };
        let plan = Arc::new(planner.plan(&problem, &mut dunnage_core::Budget::of(200)));
        self.event(Event::Planned { graph, revision, plan });
    }

    fn submit(&mut self, dice: &GraphDice, held: bool, first: usize) {
        let id = GraphId(self.graphs.len() as u64 + 1);
        let graph = graph(dice, &self.machine, first);
        self.graphs.push((id, dice.clone(), first));
        let submission = Submission {
            id,
            graph,
            owner: Owner(7),
            seed: u64::from(dice.0[0]) * 977 + id.0,
            held,
            sealed: first >= dice.1.len(),
            trace: None,
        };
        self.event(Event::Submitted(Box::new(submission)));
    }

    fn extend(&mut self, at: usize, by: usize) {
        let (id, dice, have) = self.graphs[at].clone();
        if self.scheduler.graph(id).is_none_or(|run| run.sealed || run.ended.is_some()) {
            return;
        }
        let first = (have + by).min(dice.1.len());
        self.graphs[at].2 = first;
        let functions = graph(&dice, &self.machine, first);
        self.event(Event::Extended { graph: id, functions, sealed: first >= dice.1.len() });
    }

    fn act(&mut self, dice: ActionDice, to_submit: &mut Vec<GraphDice>) {
        let (kind, a, b) = dice;
        let pick = |n: usize| usize::from(a).checked_rem(n);
        let attempt = pick(self.open.len()).and_then(|n| self.open.iter().nth(n).copied());
        let graph = pick(self.graphs.len());
        let task_of = |world: &Self, at: usize| {
            let id = world.graphs[at].0;
            let len = world.scheduler.graph(id).map_or(1, |run| run.graph.len());
            id.task(u32::from(b) % len)
        };
        match kind % 32 {
            0..=2 => {
                if let Some(dice) = to_submit.pop() {
                    let first = if b % 3 == 0 { usize::from(b / 3) % dice.1.len() + 1 } else { dice.1.len() };
                    self.submit(&dice, b % 7 == 0, first);
                }
            }
            3..=8 => {
                if let Some(attempt) = attempt {
                    self.end(attempt, Event::Finished { attempt, usage: Usage::default() });
                }
            }
            9..=12 => {
                if let Some(attempt) = attempt {
                    let cause = Cause::ALL[usize::from(b) % Cause::ALL.len()];
                    self.fail(attempt, cause);
                }
            }
            13 => {
                if let Some(attempt) = attempt {
                    self.end(attempt, Event::NeverStarted { attempt });
                }
            }
            14 => {
                if let Some(attempt) = attempt {
                    self.event(Event::Started { attempt });
                }
            }
            15 => {
                if let Some(attempt) = pick(self.past.len()).map(|n| self.past[n]) {
                    self.event(match b % 4 {
                        0 => Event::Finished { attempt, usage: Usage::default() },
                        1 => Event::Failed {
                            attempt,
                            failure: Box::new(failure(Cause::User)),
                            usage: Usage::default(),
                        },
                        2 => Event::NeverStarted { attempt },
                        _ => Event::Started { attempt },
                    });
                }
            }
            16 => {
                if let Some(at) = graph {
                    let task = (b % 4 != 0).then(|| task_of(self, at).index);
                    self.event(Event::Cancelled { graph: self.graphs[at].0, task });
                }
            }
            17 => {
                if let Some(at) = graph {
                    self.event(Event::HeldBack { graph: self.graphs[at].0 });
                }
            }
            18 => {
                if let Some(at) = graph {
                    self.event(Event::Released { graph: self.graphs[at].0 });
                }
            }
            19 | 20 => {
                if let Some(at) = graph {
                    let task = (b % 2 == 0).then(|| task_of(self, at).index);
                    self.event(Event::Retried { graph: self.graphs[at].0, task });
                }
            }
            21 | 22 => {
                if let Some((graph, revision)) = self.plans.pop_first() {
                    self.plan(graph, revision);
                }
            }
            23 => {
                if let Some(at) = graph {
                    self.plan(self.graphs[at].0, u32::from(b % 3));
                }
            }
            24 => {
                if let Some(at) = graph {
                    self.event(Event::ValueLost { task: task_of(self, at) });
                }
            }
            25 | 26 => {
                if let Some(n) = pick(self.machine.gpus.len()) {
                    let health = match b % 5 {
                        0 => Health::Unknown { why: "slow".to_owned() },
                        1 => Health::Lost { why: "off the bus".to_owned() },
                        _ => Health::Ok,
                    };
                    let foreign = Bytes::gib(u64::from(b / 5) % 12);
                    self.sample(n as u16, health, foreign);
                }
            }
            27 => {
                if let Some(n) = pick(self.machine.gpus.len()) {
                    let foreign = self.health.get(&(n as u16)).map_or(Bytes::ZERO, |(_, foreign)| *foreign);
                    let why = "off the bus".to_owned();
                    self.health.insert(n as u16, (Health::Lost { why: why.clone() }, foreign));
                    self.event(Event::DeviceLost { device: gpu(n as u16), why });
                }
            }
            28 => {
                self.node_up = b % 3 != 0;
                self.event(if self.node_up {
                    Event::NodeSeen(Arc::new(self.machine.clone()))
                } else {
                    Event::NodeLost { node: NodeId::LOCAL }
                });
            }
            29 | 30 => {
                self.now = self.now.after(Span::millis(u64::from(b) % 4000));
                self.event(Event::TimerFired);
            }
            _ => {
                if let Some(at) = graph {
                    self.extend(at, usize::from(b) % 3);
                }
            }
        }
    }

    fn sample(&mut self, n: u16, health: Health, foreign: Bytes) {
        self.health.insert(n, (health.clone(), foreign));
        self.event(sampled(n, health, foreign));
    }

    /// From here on everything goes well: every graph must end.
    fn end_well(&mut self) {
        self.event(Event::NodeSeen(Arc::new(self.machine.clone())));
        for n in 0..self.machine.gpus.len() as u16 {
            self.sample(n, Health::Ok, Bytes::ZERO);
        }
        for at in 0..self.graphs.len() {
            self.event(Event::Released { graph: self.graphs[at].0 });
            self.extend(at, usize::MAX / 2);
        }
        for _ in 0..5000 {
            if let Some((attempt, _)) = self.killed.pop_first() {
                self.fail(attempt, Cause::User);
            } else if let Some(attempt) = self.open.first().copied() {
                self.end(attempt, Event::Finished { attempt, usage: Usage::default() });
            } else if let Some((graph, revision)) = self.plans.pop_first() {
                self.plan(graph, revision);
            } else if self.scheduler.graphs().all(|run| run.ended.is_some()) {
                assert_eq!(self.scheduler.ledger().holdings().len(), 0);
                return;
            } else {
                self.now = self.now.after(Span::secs(11));
                self.event(Event::TimerFired);
            }
        }
        let stuck: Vec<String> = self
            .scheduler
            .graphs()
            .filter(|run| run.ended.is_none())
            .flat_map(|run| (0..run.graph.len()).map(|task| run.row(task)))
            .filter(|row| !row.state.is_final())
            .map(|row| format!("{} is {:?}", row.name, row.state))
            .collect();
        panic!("a graph does not end: {stuck:?}");
    }
}

fn sampled(n: u16, health: Health, foreign: Bytes) -> Event {
    let mut sample = DeviceSample::health(gpu(n), health);
    sample.memory_used = Some(foreign);
    Event::DeviceSampled { sample: Box::new(sample), foreign }
}

fn play((graphs, machine_dice, actions): &(Vec<GraphDice>, [u8; 5], Vec<ActionDice>)) -> World {
    let mut world = World::new(machine(*machine_dice));
    let mut to_submit = graphs.clone();
    to_submit.reverse();
    // The first is there from the start.
    world.act((0, 0, 1), &mut to_submit);
    for action in actions {
        world.act(*action, &mut to_submit);
    }
    world
}

/// A row with what is not a fact of the journal left out: whether a plan is there, whether a lost device's
/// attempts were told to end, whether a node is in contact.
fn row(mut row: TaskRow) -> TaskRow {
    match &mut row.state {
        state @ (TaskState::Waiting | TaskState::Ready) => *state = TaskState::Ready,
        TaskState::Running(running) => {
            running.out_of_contact = false;
            if running.ending == Some(EndReason::DeviceLost) {
                running.ending = None;
            }
        }
        _ => {}
    }
    row
}

fn replayed(world: &World, one_graph_after_another: bool) -> World {
    let mut other = World::new(world.machine.clone());
    let mut journal: Vec<&Fact> = world.journal.iter().collect();
    if one_graph_after_another {
        journal.sort_by_key(|fact| fact.event.graph());
    }
    for Fact { at, event } in journal {
        other.scheduler.replay(*at, event.clone());
    }
    other.now = world.now;
    for (n, (health, foreign)) in &world.health {
        other.scheduler.replay(world.now, sampled(*n, health.clone(), *foreign));
    }
    if !world.node_up {
        other.scheduler.replay(world.now, Event::NodeLost { node: NodeId::LOCAL });
    }
    other.open.clone_from(&world.open);
    other.past.clone_from(&world.past);
    other.health.clone_from(&world.health);
    other.graphs.clone_from(&world.graphs);
    let mut out = Vec::new();
    other.scheduler.resume(world.now, &mut out);
    if let Err(why) = other.scheduler.check_invariants() {
        panic!("after the replay: {why}");
    }
    for decision in &out {
        if let Decision::Start { attempt, .. } = decision {
            let why = world.scheduler.explain(attempt.task);
            panic!("{attempt} would have been started before, if it could: {why:?}");
        }
    }
    other.carry_out(out);
    other
}

fn assert_same(world: &World, other: &World) {
    let rows = |world: &World| -> Vec<TaskRow> {
        let graphs = world.scheduler.graphs();
        graphs
            .flat_map(|run| (0..run.graph.len()).map(|task| row(run.row(task))).collect::<Vec<_>>())
            .collect()
    };
    assert_eq!(rows(world).len(), rows(other).len());
    for (a, b) in rows(world).iter().zip(&rows(other)) {
        assert_eq!(a, b, "left as it was, right as replayed");
    }
    for (a, b) in world.scheduler.graphs().zip(other.scheduler.graphs()) {
        assert_eq!(
            (a.id, a.counts(), a.ended, a.ended_at, a.started_at),
            (b.id, b.counts(), b.ended, b.ended_at, b.started_at)
        );
        assert_eq!(a.held, b.held);
    }
    let held = |world: &World| -> Vec<_> {
        world
            .scheduler
            .ledger()
            .holdings()
            .map(|(attempt, placement)| (*attempt, placement.clone()))
            .collect()
    };
    assert_eq!(held(world), held(other));
    let free = |world: &World| -> Vec<_> {
        let nodes = world.scheduler.ledger().nodes();
        nodes.map(|node| (node.cpus_free, node.memory_free, node.custom_free.clone(), node.holders)).collect()
    };
    assert_eq!(free(world), free(other));
}

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(96);
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 4000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_the_invariants_hold_and_every_graph_ends(story in story()) {
        let mut world = play(&story);
        world.end_well();
    }

    #[test]
    fn two_runs_of_one_story_decide_alike(story in story()) {
        let mut first = play(&story);
        let mut second = play(&story);
        first.end_well();
        second.end_well();
        prop_assert_eq!(first.log, second.log);
    }

    #[test]
    fn a_replay_of_the_journal_gives_the_same_state_and_goes_on_to_the_end(story in story()) {
        let world = play(&story);
        let mut other = replayed(&world, false);
        assert_same(&world, &other);
        other.end_well();
        // A store may hand out its facts by graph.
        assert_same(&world, &replayed(&world, true));
    }
}
