//! When queued graphs are predicted to start and to end: a look ahead from the present state.
//!
//! Two steps, so that the loop is held up by a copy alone: [`Scheduler::outlook`] copies what is needed, and
//! [`Outlook::times`] plays on from there, wherever it is called. Both are bounded: so many graphs in the
//! order of the queue, so many functions of each, so many starts; what is beyond that has no prediction.
//!
//! The look ahead is simpler than what really happens. Tasks last as long as is predicted, nothing fails and
//! nothing new comes; a graph goes level by level; whatever fits starts, in the order of the queue as it is
//! now, and reservations are not played. So it tells about when, and no more.

use crate::ledger::Ledger;
use crate::scheduler::Scheduler;
use dunnage_model::{GraphId, NodeId, Order, Placement, Request, Span, TaskState, Time};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// At most so many graphs are looked at.
const GRAPHS_MAX: usize = 512;

/// At most so many functions of one graph.
const FUNCTIONS_MAX: usize = 128;

/// At most so many tasks are counted one by one while copying; larger graphs are taken by their sums.
const TASKS_MAX: u32 = 50_000;

/// At most so many times it is tried whether something fits.
const TRIES_MAX: u32 = 200_000;

/// What a task of unknown length counts for, in seconds.
const UNKNOWN_SECONDS: f64 = 60.0;

/// A copy to look ahead with.
#[derive(Debug)]
pub struct Outlook {
    now: Time,
    free: Ledger,
    running: Vec<(Time, GraphId, Placement)>,
    graphs: Vec<Ahead>,
}

/// When a graph is predicted to start and to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Expected {
    /// The start of its first task; `None` where it has started, or nothing can be said.
    pub start: Option<Time>,
    /// The end of its last task.
    pub end: Option<Time>,
}

/// A graph ahead of its end.
#[derive(Debug)]
struct Ahead {
    id: GraphId,
    has_started: bool,
    one_at_a_time: bool,
    /// What has not started, by level.
    levels: Vec<Vec<Item>>,
    /// Whether everything that has not started is in there.
    is_whole: bool,
    running: u32,
}

/// Tasks that are alike.
#[derive(Debug)]
struct Item {
    /// For each variant and node what it asks for, and for how long.
    ways: Vec<(Request, NodeId, Span)>,
    left: u64,
}

impl Scheduler {
    /// Copies what is needed to look ahead. Cost: what runs, and the first graphs of the queue.
    pub fn outlook(&self) -> Outlook {
        // What runs goes first: its ends free what the others wait for.
        let mut order: Vec<GraphId> = self.ledger.holdings().map(|(attempt, _)| attempt.task.graph).collect();
        order.dedup();
        order.truncate(GRAPHS_MAX);
        let mut seen: BTreeSet<GraphId> = order.iter().copied().collect();
        let queued = self.queue.first_graphs(GRAPHS_MAX, |owner| self.fair.used(owner));
        order.extend(queued.into_iter().filter(|graph| seen.insert(*graph)));
        let priority = |id: &GraphId| {
            let run = self.graphs.get(id);
            run.map(|run| {
                let used = crate::queue::rank_bits(self.fair.used(run.owner));
                (Reverse(run.graph.settings.priority), used, run.size_key, run.id)
            })
        };
        order.sort_by_cached_key(priority);
        let mut budget = TASKS_MAX;
        let graphs = order.into_iter().filter_map(|id| self.ahead(id, &mut budget)).collect();
        Outlook {
            now: self.now,
            free: self.ledger.without_holders(),
            running: self
                .ledger
                .holdings()
                .map(|(attempt, held)| {
                    let ends = self.predicted_end(attempt.task, held);
                    (ends, attempt.task.graph, self.ledger.held_or_used(*attempt, held))
                })
                .collect(),
            graphs,
        }
    }

    fn ahead(&self, id: GraphId, budget: &mut u32) -> Option<Ahead> {
        let run =
            self.graphs.get(&id).filter(|run| run.ended.is_none() && run.stop.is_none() && !run.held)?;
        let graph = &run.graph;
        let counts = run.counts;
        let counted = graph.len() <= *budget;
        if counted {
            *budget -= graph.len();
        }
        let depths = counted.then(|| graph.depths());
        let unstarted = |task: u32| {
            let state = &run.slots[task as usize].state;
            !state.is_final() && !matches!(state, TaskState::Running(_))
        };
        let mut levels: BTreeMap<u32, Vec<Item>> = BTreeMap::new();
        let functions = graph.functions().len();
        let mean = self.load.mean().unwrap_or(UNKNOWN_SECONDS);
        for function in 0..functions.min(FUNCTIONS_MAX) as u32 {
            let tasks = graph.instances(function);
            if tasks.is_empty() {
                continue;
            }
            let first = tasks.start;
            let left = if counted {
                tasks.clone().filter(|task| unstarted(*task)).count() as u64
            } else {
                // Of a graph too large to count, each function has the same part left.
                let all = u64::from(tasks.end - first);
                all * u64::from(counts.queued) / u64::from(counts.functions.max(1))
            };
            if left == 0 {
                continue;
            }
            let mut ways = Vec::new();
            for variant in 0..graph.function(first).variants.len() as u8 {
                for node in self.ledger.nodes() {
                    let request = self.request_on(run, first, variant, node.spec.id);
                    let class = match node.gpus.first() {
                        Some(gpu) if !matches!(request.gpu, dunnage_model::GpuRequest::None) => gpu.device,
                        _ => dunnage_model::DeviceId::host(node.spec.id),
                    };
                    let estimate = self.estimates.predict(graph, first, variant, node.spec.class(class));
                    let takes = estimate.duration.unwrap_or(Span::from_secs_f64(mean));
                    ways.push((request, node.spec.id, takes));
                }
            }
            ways.sort_by_key(|(.., takes)| *takes);
            // Without depths, functions that stand later come later where anything depends on anything.
            let level = match &depths {
                Some(depths) => depths[first as usize],
                None if graph.edges() == 0 => 0,
                None => function,
            };
            levels.entry(level).or_default().push(Item { ways, left });
        }
        Some(Ahead {
            id,
            has_started: run.started_at.is_some(),
            one_at_a_time: graph.settings.order == Order::Sequential,
            levels: levels.into_values().collect(),
            is_whole: functions <= FUNCTIONS_MAX,
            running: counts.running,
        })
    }
}

impl Outlook {
    /// Plays on until everything has ended or the bound is reached.
    pub fn times(mut self) -> BTreeMap<GraphId, Expected> {
        let mut told: BTreeMap<GraphId, Expected> = BTreeMap::new();
        let index: BTreeMap<GraphId, usize> =
            self.graphs.iter().enumerate().map(|(at, graph)| (graph.id, at)).collect();
        let mut ends: BinaryHeap<Reverse<(Time, usize)>> = BinaryHeap::new();
        let mut held: Vec<(GraphId, Placement)> = Vec::new();
        for (at, graph, placement) in std::mem::take(&mut self.running) {
            ends.push(Reverse((at, held.len())));
            held.push((graph, placement));
        }
        let mut now = self.now;
        let mut tries = 0;
        loop {
            self.start_all(now, &mut tries, &mut told, &mut ends, &mut held);
            if tries >= TRIES_MAX {
                return told;
            }
            let Some(Reverse((at, slot))) = ends.pop() else { return told };
            now = now.max(at);
            let mut slots = vec![slot];
            while let Some(Reverse((next, slot))) = ends.peek().copied() {
                if next > now {
                    break;
                }
                ends.pop();
                slots.push(slot);
            }
            for slot in slots {
                let (graph, placement) = &held[slot];
                self.free.give_back(placement);
                let Some(at) = index.get(graph) else { continue };
                let ahead = &mut self.graphs[*at];
                ahead.running = ahead.running.saturating_sub(1);
                if ahead.running == 0 && ahead.levels.first().is_some_and(|level| level.is_empty()) {
                    ahead.levels.remove(0);
                }
                if ahead.running == 0 && ahead.levels.is_empty() && ahead.is_whole {
                    told.entry(*graph).or_default().end = Some(now);
                }
            }
        }
    }

    fn start_all(
        &mut self,
        now: Time,
        tries: &mut u32,
        told: &mut BTreeMap<GraphId, Expected>,
        ends: &mut BinaryHeap<Reverse<(Time, usize)>>,
        held: &mut Vec<(GraphId, Placement)>,
    ) {
        for ahead in &mut self.graphs {
            let Some(level) = ahead.levels.first_mut() else { continue };
            for item in level.iter_mut() {
                while item.left > 0 && !(ahead.one_at_a_time && ahead.running > 0) {
                    if *tries >= TRIES_MAX {
                        return;
                    }
                    *tries += item.ways.len() as u32;
                    let fitting = item.ways.iter().find_map(|(request, node, takes)| {
                        Some((self.free.pick_last(request, *node, &[])?, *takes))
                    });
                    let Some((placement, takes)) = fitting else { break };
                    self.free.take(&placement);
                    item.left -= 1;
                    ahead.running += 1;
                    ends.push(Reverse((now.after(takes.max(Span(1))), held.len())));
                    held.push((ahead.id, placement));
                    if !ahead.has_started {
                        ahead.has_started = true;
                        told.entry(ahead.id).or_default().start = Some(now);
                    }
                }
            }
            level.retain(|item| item.left > 0);
        }
    }
}
