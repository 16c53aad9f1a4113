//! A lower bound for any instance: what no schedule can beat.

use super::Instance;
use crate::search::{Problem, cheap, destructive};

/// How many steps the destructive bound may take before what is proven so far is given.
const STEPS: u32 = 20_000;

/// Seconds that no schedule of an instance can go below; 0 for one without tasks. Values move at no cost
/// here, tasks take their fastest mode along the longest way, of each resource the least that any of their
/// modes takes over its time, and of all together the least that their weights allow. For tasks with one mode and times in whole units the destructive bound
/// of the search is added, with bounded cost.
pub fn lower_bound(instance: &Instance) -> f64 {
    let mut bound = simple(instance).max(shared_work(instance));
    if let Some(problem) = Problem::new(instance, &mut || false)
        && problem.is_exact
    {
        let cheap = cheap(&problem, &mut || false);
        // No makespan is known here; the sum of all is one.
        let reached = problem.horizon.min(cheap.saturating_mul(2).saturating_add(16));
        let mut left = STEPS;
        let ticks = destructive(&problem, cheap, reached, &mut || {
            left = left.saturating_sub(1);
            left == 0
        });
        bound = bound.max(below(ticks as f64 * problem.tick));
    }
    if is_whole(instance) && bound < WHOLE_MAX {
        // The least makespan is a whole number, and rounding makes none of another one.
        bound = (bound * (1.0 - 1e-10)).ceil();
    }
    bound
}

/// Below this the hair that a bound is lowered by is far less than one.
const WHOLE_MAX: f64 = 1e9;

/// Whether all times are whole and nothing moves, so that there is a shortest schedule in whole times: in one
/// whose tasks cannot start earlier, all start at sums of these.
fn is_whole(instance: &Instance) -> bool {
    let modes = instance.kinds.iter().flat_map(|kind| &kind.modes);
    instance.transfers.is_free()
        && instance.value_memory.iter().all(Option::is_none)
        && modes.map(|mode| mode.seconds).all(|seconds| seconds.fract() == 0.0)
        && instance.earliest.iter().all(|earliest| earliest.fract() == 0.0)
        && instance.occupied.iter().all(|held| held.until == f64::INFINITY || held.until.fract() == 0.0)
}

/// About how many steps [`lower_bound`] takes, each a few nanoseconds.
pub(crate) fn steps_of_bound(instance: &Instance) -> u64 {
    let takes = takes(instance);
    let nodes = u64::from(instance.nodes());
    let destructive = if instance.is_single_mode() { 100 * nodes * nodes.min(300) } else { 0 };
    (takes * rounds(takes)) as u64 + destructive
}

/// All that modes take, and one for each mode.
fn takes(instance: &Instance) -> usize {
    instance.kinds.iter().flat_map(|kind| &kind.modes).map(|mode| 1 + mode.takes.len()).sum()
}

/// How often weights are changed.
fn rounds(takes: usize) -> usize {
    (4_000_000 / takes.max(1)).clamp(1, 100)
}

/// The work that all resources have to share. With any weights on the resources, each task takes at least
/// the weighted share of its cheapest mode, and all resources together give their weights' sum a second.
/// Weights grow where the load is (multiplicative weights; Plotkin, Shmoys and Tardos 1995), so that the
/// bound nears that of the linear relaxation over modes.
fn shared_work(instance: &Instance) -> f64 {
    let resources = instance.resources.len();
    let mut count = vec![0.0_f64; instance.kinds.len()];
    for kind in &instance.kind_of {
        count[*kind as usize] += 1.0;
    }
    let used: Vec<usize> = (0..count.len()).filter(|kind| count[*kind] > 0.0).collect();
    let rounds = rounds(takes(instance));
    let share = |resource: u32, amount: u64| {
        amount as f64 / (instance.resources[resource as usize].capacity as f64).max(1.0)
    };
    let mut weight = vec![1.0_f64; resources];
    let mut bound = 0.0_f64;
    for _ in 0..rounds {
        let mut load = vec![0.0_f64; resources];
        let mut sum = 0.0;
        for kind in &used {
            let cost = |at: usize| -> f64 {
                let mode = &instance.kinds[*kind].modes[at];
                mode.seconds
                    * mode.takes.iter().map(|(r, a)| weight[*r as usize] * share(*r, *a)).sum::<f64>()
            };
            let modes = instance.kinds[*kind].modes.len();
            let Some((least, at)) =
                (0..modes).map(|at| (cost(at), at)).min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
            else {
                continue;
            };
            sum += count[*kind] * least;
            let mode = &instance.kinds[*kind].modes[at];
            for (resource, amount) in &mode.takes {
                load[*resource as usize] += count[*kind] * mode.seconds * share(*resource, *amount);
            }
        }
        let all: f64 = weight.iter().sum();
        let most = load.iter().copied().fold(0.0, f64::max);
        if !(all > 0.0 && most > 0.0) {
            break;
        }
        bound = bound.max(sum / all);
        for (weight, load) in weight.iter_mut().zip(&load) {
            *weight *= 1.0 + 0.2 * load / most;
        }
        for weight in &mut weight {
            *weight /= all;
        }
    }
    bound * (1.0 - 1e-12)
}

/// Whole numbers are exact; others are lowered by more than their rounding.
fn below(value: f64) -> f64 {
    if value.fract() == 0.0 && value < 9e15 { value } else { value * (1.0 - 1e-12) }
}

/// The longest way and the work of each resource.
fn simple(instance: &Instance) -> f64 {
    let nodes = instance.nodes() as usize;
    let tasks = instance.tasks();
    let order = instance.topological();
    let mut fastest = vec![0.0_f64; nodes];
    for task in 0..tasks {
        fastest[task as usize] =
            instance.modes(task).iter().map(|mode| mode.seconds).fold(f64::INFINITY, f64::min);
    }
    let mut head = vec![0.0_f64; nodes];
    let mut bound = 0.0_f64;
    for node in &order {
        let own = if *node < tasks { instance.earliest(*node) } else { 0.0 };
        let before = instance.parents.row(*node).iter().map(|edge| edge.node as usize);
        let at = before.map(|parent| head[parent] + fastest[parent]).fold(own, f64::max);
        head[*node as usize] = at;
        bound = bound.max(at + fastest[*node as usize]);
    }
    let mut tail = vec![0.0_f64; nodes];
    for node in order.iter().rev() {
        let after = instance.children.row(*node).iter().map(|edge| edge.node as usize);
        tail[*node as usize] = after.map(|child| fastest[child] + tail[child]).fold(0.0, f64::max);
    }
    bound = below(bound);
    // What each task takes at least of each resource over its time; what its modes do not all take is none.
    let mut work = vec![0.0_f64; instance.resources.len()];
    let mut first = vec![f64::INFINITY; work.len()];
    let mut last = vec![f64::INFINITY; work.len()];
    let of_kind: Vec<Vec<(u32, f64)>> = instance
        .kinds
        .iter()
        .map(|kind| {
            let Some(mode) = kind.modes.first() else { return Vec::new() };
            let least = |resource: u32| {
                let work_of = |takes: &[(u32, u64)], seconds: f64| {
                    takes
                        .iter()
                        .filter(|(taken, _)| *taken == resource)
                        .map(|(_, amount)| *amount as f64)
                        .sum::<f64>()
                        * seconds
                };
                kind.modes.iter().map(|mode| work_of(&mode.takes, mode.seconds)).fold(f64::INFINITY, f64::min)
            };
            mode.takes
                .iter()
                .map(|(resource, _)| (*resource, least(*resource)))
                .filter(|(_, work)| *work > 0.0)
                .collect()
        })
        .collect();
    for task in 0..tasks as usize {
        for (resource, least) in &of_kind[instance.kind_of[task] as usize] {
            let resource = *resource as usize;
            work[resource] += least;
            first[resource] = first[resource].min(head[task]);
            last[resource] = last[resource].min(tail[task]);
        }
    }
    for (resource, work) in work.iter().enumerate() {
        let capacity = instance.resources[resource].capacity as f64;
        if *work > 0.0 && capacity > 0.0 {
            let whole = first[resource] + work / capacity + last[resource];
            // Rounded like a quotient, so lowered whatever it looks like.
            bound = bound.max(whole * (1.0 - 1e-12));
        }
    }
    bound
}
