//! The replay itself.

use super::arrivals::arrivals;
use super::error::PackError;
use super::nodes::{NodeOrder, Nodes};
use super::pods::Pods;
use super::report::{Bin, Failures, PackReport};
use dunnage_core::Rng;
use dunnage_strategies::packing::{Capacity, History, Index, Policy, Shape, Tie, Workload};

/// The largest target.
pub(super) const TARGET_MAX: f64 = 100.0;

/// What a policy knows of the pods before they arrive.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Knowledge {
    /// The list, as in the paper; not the order of arrival.
    #[default]
    List,
    /// Nothing: it learns from what arrives.
    Learned,
}

/// What to replay.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PackOptions {
    /// Who places.
    pub policy: Policy,
    /// Among nodes with the same score.
    pub tie: Tie,
    /// Of the arrivals and of what is drawn.
    pub seed: u64,
    /// The order of the nodes.
    pub node_order: NodeOrder,
    /// GPU milli that arrive, as a multiple of the capacity.
    pub target: f64,
    /// What the policy knows.
    pub knowledge: Knowledge,
}

impl PackOptions {
    /// A policy with this seed, ties by name, the nodes by name, up to 130 %, with the list known.
    pub const fn new(policy: Policy, seed: u64) -> Self {
        Self {
            policy,
            tie: Tie::Name,
            seed,
            node_order: NodeOrder::Name,
            target: 1.3,
            knowledge: Knowledge::List,
        }
    }
}

/// The sums of a bin.
#[derive(Clone, Copy, Default)]
struct Sum {
    bin: i64,
    arrivals: f64,
    alloc: f64,
    frag: f64,
}

/// Lets the pods arrive at the empty nodes. `clock` tells nanoseconds, of any origin; it is asked twice for
/// each arrival and decides nothing. Same nodes, pods and options: same report but for the time.
///
/// # Errors
/// Where there is nothing to replay, see [`PackError`].
pub fn replay(
    nodes: &Nodes,
    pods: &Pods,
    options: &PackOptions,
    clock: &mut dyn FnMut() -> u64,
) -> Result<PackReport, PackError> {
    if !(options.target > 0.0 && options.target <= TARGET_MAX) {
        return Err(PackError::Target(options.target));
    }
    let capacity = nodes.capacity();
    let gpu_total = capacity.gpu_total();
    if gpu_total <= 0.0 {
        return Err(PackError::NoGpus);
    }
    let shapes = pods.shapes(nodes);
    let fills = nodes.in_order(options.node_order);
    let mut kinds: Vec<Shape> = shapes.clone();
    kinds.sort_unstable();
    kinds.dedup();
    let mut empty = fills.clone();
    empty.sort_unstable_by_key(|fill| (fill.cpu, fill.memory, fill.gpus().len(), fill.model()));
    empty.dedup();
    kinds.retain(|shape| !empty.iter().any(|fill| fill.fits(shape)));
    let hopeless: Vec<Shape> = kinds;
    if shapes.iter().all(|shape| hopeless.binary_search(shape).is_ok()) {
        return Err(PackError::NothingFits(pods.first_name().to_owned()));
    }

    let mut rng = Rng::new(options.seed);
    let queue = arrivals(&shapes, options.target * gpu_total, &mut rng)?;
    let weighted: Vec<(Shape, f64)> = shapes.iter().map(|shape| (*shape, 1.0)).collect();
    let workload = Workload::given(&weighted, &capacity);
    let mut history = History::default();
    let known = match options.knowledge {
        Knowledge::List => workload.clone(),
        Knowledge::Learned => history.workload(&capacity),
    };
    let mut frags: Vec<f64> = fills.iter().map(|fill| workload.fragmentation(fill)).collect();
    let mut frag: f64 = frags.iter().sum();
    let mut index = Index::new(fills, options.policy, options.tie, known);

    let mut failures = Failures::default();
    let (mut placements, mut hopeless_count) = (0, 0);
    let (mut arrived, mut used) = (0_i64, 0_i64);
    let mut times: Vec<u64> = Vec::with_capacity(queue.len());
    let mut bins: Vec<Sum> = Vec::new();
    for shape in &queue {
        arrived += shape.gpu_milli();
        let start = clock();
        if options.knowledge == Knowledge::Learned && options.policy.uses_workload() {
            learn(&mut history, shape, &capacity, &mut index);
        }
        let placed = index.find(shape, &mut rng);
        if let Some(placed) = placed {
            index.place(shape, placed);
        }
        times.push(clock().saturating_sub(start));
        match placed {
            Some(placed) => {
                placements += 1;
                used += shape.gpu_milli();
                let now = workload.fragmentation(&index.nodes()[placed.node]);
                frag += now - frags[placed.node];
                frags[placed.node] = now;
            }
            None => {
                failures.count(shape);
                hopeless_count += u64::from(hopeless.binary_search(shape).is_ok());
            }
        }
        let bin = (100.0 * arrived as f64 / gpu_total).round_ties_even() as i64;
        if bins.last().is_none_or(|last| last.bin != bin) {
            bins.push(Sum { bin, ..Sum::default() });
        }
        if let Some(sum) = bins.last_mut() {
            sum.arrivals += 1.0;
            sum.alloc += 100.0 * used as f64 / gpu_total;
            sum.frag += 100.0 * frag / (gpu_total - used as f64).max(1.0);
        }
    }

    let bins: Vec<Bin> = bins
        .iter()
        .map(|sum| Bin {
            arrived: sum.bin as u32,
            alloc: sum.alloc / sum.arrivals,
            frag: sum.frag / sum.arrivals,
        })
        .collect();
    // A pod with several GPUs may jump over a bin: the value is then that of the last bin before.
    let at = |percent: f64| {
        let bin = (100.0 * percent).round_ties_even() as u32;
        bins.iter().rfind(|one| one.arrived <= bin).or(bins.first())
    };
    let last = at(options.target);
    Ok(PackReport {
        policy: options.policy,
        tie: options.tie,
        seed: options.seed,
        node_order: options.node_order,
        alloc_100: if options.target < 1.0 { None } else { at(1.0).map(|bin| bin.alloc) },
        alloc_130: last.map_or(0.0, |bin| bin.alloc),
        frag_130: last.map_or(0.0, |bin| bin.frag),
        placements,
        median_place_us: median(&mut times) as f64 / 1000.0,
        arrivals: queue.len() as u64,
        failures,
        hopeless: hopeless_count,
        bins,
    })
}

fn learn(history: &mut History, shape: &Shape, capacity: &Capacity, index: &mut Index) {
    if history.submit(*shape) {
        index.set_workload(history.workload(capacity));
    }
}

fn median(times: &mut [u64]) -> u64 {
    let middle = times.len() / 2;
    if times.is_empty() { 0 } else { *times.select_nth_unstable(middle).1 }
}
