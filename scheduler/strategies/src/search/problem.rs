//! An instance as the engine works on it: nodes in topological order, times in whole ticks, amounts in
//! packed words.
//!
//! Where all times are whole multiples of a common unit, that is the tick and nothing is lost. Where they
//! are not, the tick is a tiny fraction of the horizon and durations are rounded up, so that a schedule in
//! ticks can be carried out in seconds; [`super::retime`] then takes the rounding out again.

use super::packed::Packed;
use crate::planning::{Instance, Occupied};

/// Times stay below this, so that a time and a node fit one sort key.
const TICKS_MAX: i64 = 1 << 40;
/// How fine rounded times are: this many ticks to the horizon.
const TICKS_ROUNDED: f64 = (1_u64 << 39) as f64;
/// More nodes than this have no number in a sort key.
pub(crate) const NODES_MAX: usize = 1 << 23;
/// Up to this many nodes, edges that others imply are left out.
const REDUCE_MAX: usize = 1024;

/// For each node a row of something: in [`Links`] the nodes at the other ends of its edges.
#[derive(Clone, Debug)]
pub(crate) struct Table<T> {
    start: Vec<u32>,
    items: Vec<T>,
}

/// For each node the nodes at the other ends of its edges.
pub(crate) type Links = Table<u32>;

impl<T> Table<T> {
    fn with_capacity(nodes: usize, items: usize) -> Self {
        let mut start = Vec::with_capacity(nodes + 1);
        start.push(0);
        Self { start, items: Vec::with_capacity(items) }
    }

    /// Ends the row that items were pushed to.
    fn end_row(&mut self) {
        self.start.push(self.items.len() as u32);
    }

    /// A node's row.
    pub(crate) fn row(&self, node: usize) -> &[T] {
        &self.items[self.start[node] as usize..self.start[node + 1] as usize]
    }
}

impl Links {
    fn reversed(&self) -> Self {
        let nodes = self.start.len() - 1;
        let mut start = vec![0_u32; nodes + 1];
        for item in &self.items {
            start[*item as usize + 1] += 1;
        }
        for node in 0..nodes {
            start[node + 1] += start[node];
        }
        let mut next = start.clone();
        let mut items = vec![0; self.items.len()];
        for node in 0..nodes {
            for item in self.row(node) {
                let at = &mut next[*item as usize];
                items[*at as usize] = node as u32;
                *at += 1;
            }
        }
        Self { start, items }
    }
}

/// What others hold from time 0 on.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub until: i64,
    pub words: Vec<u64>,
}

/// The engine's problem; see the module.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    /// Seconds a tick.
    pub tick: f64,
    /// Whether ticks are exact.
    pub is_exact: bool,
    /// Later than any serial schedule can end.
    pub horizon: i64,
    /// For each node how long it takes.
    pub duration: Vec<i64>,
    /// For each node the earliest time it may start by itself.
    pub release: Vec<i64>,
    /// For each node the earliest time it may start after all before it.
    pub head: Vec<i64>,
    /// For each node the longest way from its end to the end of all.
    pub tail: Vec<i64>,
    /// What each node waits for.
    pub before: Links,
    /// What waits for each node.
    pub after: Links,
    /// What each node takes.
    pub packed: Packed,
    /// What others hold.
    pub blocks: Vec<Block>,
    /// The node of the instance behind each node here.
    pub node_of: Vec<u32>,
    /// The capacities of the resources that can be short.
    pub capacity: Vec<u64>,
    /// What each node takes of these.
    pub takes: Table<(u32, u64)>,
}

impl Problem {
    /// Whether [`Self::new`] is the whole instance: one mode a task, and values that move at no cost.
    pub(crate) fn is_for(instance: &Instance) -> bool {
        instance.is_single_mode() && moves_are_free(instance)
    }

    /// The problem with values that move at no cost, whatever the instance says. `None` where tasks have
    /// several modes, where a time is not a finite number, where others hold for ever what a task needs, or
    /// where `stop` says so, which is asked a few times.
    pub(crate) fn new(instance: &Instance, stop: &mut dyn FnMut() -> bool) -> Option<Self> {
        let nodes = instance.nodes() as usize;
        if nodes == 0 || nodes > NODES_MAX || !instance.is_single_mode() {
            return None;
        }
        let node_of = instance.topological();
        if node_of.len() != nodes {
            return None;
        }
        let mut here = vec![0_u32; nodes];
        for (at, node) in node_of.iter().enumerate() {
            here[*node as usize] = at as u32;
        }
        let tasks = instance.tasks();
        let seconds: Vec<f64> = node_of
            .iter()
            .map(|node| if *node < tasks { instance.modes(*node)[0].seconds } else { 0.0 })
            .collect();
        let earliest: Vec<f64> = node_of
            .iter()
            .map(|node| if *node < tasks { instance.earliest(*node).max(0.0) } else { 0.0 })
            .collect();
        if stop() {
            return None;
        }
        let (short, occupied) = scarce(instance)?;
        let ticks = Ticks::of(&seconds, &earliest, &occupied)?;

        let mut before = Links::with_capacity(nodes, instance.parents.items());
        let mut row = Vec::new();
        for node in &node_of {
            row.clear();
            row.extend(instance.parents.row(*node).iter().map(|edge| here[edge.node as usize]));
            row.sort_unstable();
            row.dedup();
            before.items.extend_from_slice(&row);
            before.end_row();
        }
        if nodes <= REDUCE_MAX {
            before = reduced(&before);
        }
        if stop() {
            return None;
        }
        let after = before.reversed();

        let mut field_of = vec![usize::MAX; instance.resources.len()];
        for (field, (resource, _)) in short.iter().enumerate() {
            field_of[*resource] = field;
        }
        let capacity: Vec<u64> = short.iter().map(|(_, capacity)| *capacity).collect();
        let mut packed = Packed::new(&capacity, nodes);
        let duration: Vec<i64> = seconds.iter().map(|value| ticks.up(*value)).collect();
        let mut takes = Table::with_capacity(nodes, nodes);
        for (at, node) in node_of.iter().enumerate() {
            // What takes no time takes nothing.
            let all: &[(u32, u64)] =
                if *node < tasks && duration[at] > 0 { &instance.modes(*node)[0].takes } else { &[] };
            for (resource, amount) in all {
                let field = field_of[*resource as usize];
                if field != usize::MAX && *amount > 0 {
                    packed.take(at, field, *amount);
                    takes.items.push((field as u32, *amount));
                }
            }
            takes.end_row();
        }
        let blocks = occupied
            .iter()
            .filter(|held| field_of[held.resource as usize] != usize::MAX && ticks.up(held.until) > 0)
            .map(|held| {
                let mut words = vec![0; packed.words];
                packed.add(&mut words, field_of[held.resource as usize], held.amount);
                Block { until: ticks.up(held.until), words }
            })
            .collect();
        let release: Vec<i64> = earliest.iter().map(|value| ticks.up(*value)).collect();
        if stop() {
            return None;
        }
        let mut problem = Self {
            tick: ticks.tick,
            is_exact: ticks.is_exact,
            horizon: ticks.horizon + 2 * nodes as i64 + 2,
            head: release.clone(),
            tail: vec![0; nodes],
            duration,
            release,
            before,
            after,
            packed,
            blocks,
            node_of,
            capacity,
            takes,
        };
        for node in 0..nodes {
            for parent in problem.before.row(node) {
                let end = problem.head[*parent as usize] + problem.duration[*parent as usize];
                problem.head[node] = problem.head[node].max(end);
            }
        }
        for node in (0..nodes).rev() {
            for child in problem.after.row(node) {
                let rest = problem.duration[*child as usize] + problem.tail[*child as usize];
                problem.tail[node] = problem.tail[node].max(rest);
            }
        }
        Some(problem)
    }

    /// A time in seconds in ticks, rounded as durations are.
    pub(crate) fn ticks(&self, seconds: f64) -> i64 {
        let scaled = seconds.max(0.0) / self.tick;
        (if self.is_exact { scaled.round() } else { scaled.ceil() }) as i64
    }

    /// How many nodes there are.
    pub(crate) fn nodes(&self) -> usize {
        self.duration.len()
    }

    /// The longest way through the graph.
    pub(crate) fn critical_path(&self) -> i64 {
        (0..self.nodes())
            .map(|node| self.head[node] + self.duration[node] + self.tail[node])
            .max()
            .unwrap_or(0)
    }
}

/// Whether no edge between places that tasks can be in takes time.
fn moves_are_free(instance: &Instance) -> bool {
    if instance.transfers.is_free() {
        return true;
    }
    if (0..instance.nodes()).flat_map(|node| instance.parents.row(node)).all(|edge| edge.size <= 0.0) {
        return true;
    }
    let mut places: Vec<u32> = (instance.kinds.iter().flat_map(|kind| &kind.modes))
        .filter_map(|mode| instance.devices.get(mode.device as usize))
        .map(|device| device.place)
        .collect();
    places.sort_unstable();
    places.dedup();
    places.iter().all(|from| places.iter().all(|to| instance.transfers.seconds(1.0, *from, *to) == 0.0))
}

/// The resources that can be short, with what there is of them for us, and what others hold of it for a
/// while. A resource of which all tasks together could have what they want at once is none.
type Scarce = (Vec<(usize, u64)>, Vec<Occupied>);

fn scarce(instance: &Instance) -> Option<Scarce> {
    let count = instance.resources.len();
    let mut capacity: Vec<u64> = instance.resources.iter().map(|resource| resource.capacity).collect();
    let mut wanted = vec![0_u128; count];
    let mut largest = vec![0_u64; count];
    for kind in &instance.kind_of {
        let mode = &instance.kinds[*kind as usize].modes[0];
        for (resource, amount) in &mode.takes {
            wanted[*resource as usize] += u128::from(*amount);
        }
    }
    for mode in instance.kinds.iter().map(|kind| &kind.modes[0]).filter(|mode| mode.seconds > 0.0) {
        for (resource, _) in &mode.takes {
            let same = mode.takes.iter().filter(|(other, _)| other == resource);
            let all = same.fold(0_u64, |sum, (_, amount)| sum.saturating_add(*amount));
            largest[*resource as usize] = largest[*resource as usize].max(all);
        }
    }
    let mut held: Vec<Occupied> = Vec::new();
    for occupied in &instance.occupied {
        if occupied.resource as usize >= count || occupied.until.is_nan() {
            return None;
        }
        if occupied.until == f64::INFINITY {
            let left = &mut capacity[occupied.resource as usize];
            *left = left.saturating_sub(occupied.amount);
        } else if occupied.until > 0.0 && occupied.amount > 0 {
            held.push(*occupied);
        }
    }
    if (0..count).any(|resource| largest[resource] > capacity[resource]) {
        return None;
    }
    // Nobody can hold more than there is; what is held longest is certain.
    held.sort_by(|a, b| b.until.total_cmp(&a.until).then(a.resource.cmp(&b.resource)));
    let mut taken = vec![0_u64; count];
    for occupied in &mut held {
        let resource = occupied.resource as usize;
        occupied.amount = occupied.amount.min(capacity[resource] - taken[resource]);
        taken[resource] += occupied.amount;
    }
    held.retain(|occupied| occupied.amount > 0);
    let short = (0..count)
        .filter(|resource| wanted[*resource] + u128::from(taken[*resource]) > u128::from(capacity[*resource]))
        .map(|resource| (resource, capacity[resource]))
        .collect();
    Some((short, held))
}

/// Without the edges that others imply (small graphs only: one bit for each pair of nodes).
fn reduced(before: &Links) -> Links {
    let nodes = before.start.len() - 1;
    let words = nodes.div_ceil(64);
    let mut ancestors = vec![0_u64; words * nodes];
    let mut links = Links::with_capacity(nodes, before.items.len());
    for node in 0..nodes {
        let (done, rest) = ancestors.split_at_mut(node * words);
        let mine = &mut rest[..words];
        // The latest parent first: what is before it need not be named.
        let first = links.items.len();
        for parent in before.row(node).iter().rev() {
            let (word, bit) = (*parent as usize / 64, 1 << (*parent % 64));
            if mine[word] & bit != 0 {
                continue;
            }
            mine[word] |= bit;
            let of_parent = &done[*parent as usize * words..(*parent as usize + 1) * words];
            for (mine, theirs) in mine.iter_mut().zip(of_parent) {
                *mine |= theirs;
            }
            links.items.push(*parent);
        }
        links.items[first..].reverse();
        links.end_row();
    }
    links
}

struct Ticks {
    tick: f64,
    is_exact: bool,
    horizon: i64,
}

impl Ticks {
    fn of(seconds: &[f64], earliest: &[f64], occupied: &[Occupied]) -> Option<Self> {
        let latest =
            earliest.iter().copied().chain(occupied.iter().map(|held| held.until)).fold(0.0, f64::max);
        let sum = seconds.iter().sum::<f64>() + latest;
        let is_fine = |value: &f64| value.is_finite() && *value >= 0.0;
        if !sum.is_finite() || !seconds.iter().all(is_fine) || !earliest.iter().all(is_fine) {
            return None;
        }
        let values = || {
            seconds
                .iter()
                .copied()
                .chain(earliest.iter().copied())
                .chain(occupied.iter().map(|held| held.until))
        };
        for digits in 0..7 {
            let unit = 10_f64.powi(-digits);
            if sum / unit >= (TICKS_MAX / 4) as f64 {
                break;
            }
            let mut common = 0_i64;
            let is_whole = values().all(|value| {
                let scaled = value / unit;
                let whole = scaled.round();
                common = greatest_common_divisor(common, whole as i64);
                (scaled - whole).abs() <= whole.abs() * 1e-14
            });
            if is_whole {
                let tick = common.max(1) as f64 * unit;
                return Some(Self { tick, is_exact: true, horizon: (sum / tick).ceil() as i64 + 1 });
            }
        }
        // Whole multiples of something else, such as of a common factor on all times.
        let common = values().fold(0.0, |common, value| near_common_divisor(common, value, sum * 1e-9));
        // The largest has the smallest rounding; what is nothing beside it may have rounded to nothing.
        let largest = values().fold(0.0, f64::max);
        let unit = largest / (largest / common).round();
        if common > sum * 1e-6
            && unit.is_finite()
            && unit > 0.0
            && values().all(|value| {
                let whole = (value / unit).round();
                (whole > 0.0 || value == 0.0) && (value / unit - whole).abs() <= whole.abs() * 1e-13
            })
        {
            return Some(Self { tick: unit, is_exact: true, horizon: (sum / unit).ceil() as i64 + 1 });
        }
        let tick = (sum / TICKS_ROUNDED).max(f64::MIN_POSITIVE);
        Some(Self { tick, is_exact: false, horizon: (sum / tick).ceil() as i64 + 1 })
    }

    fn up(&self, value: f64) -> i64 {
        let scaled = value / self.tick;
        (if self.is_exact { scaled.round() } else { scaled.ceil() }) as i64
    }
}

fn greatest_common_divisor(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The same for numbers that are whole multiples of it up to rounding.
fn near_common_divisor(mut a: f64, mut b: f64, rounding: f64) -> f64 {
    while b > rounding {
        (a, b) = (b, a % b);
        // A hair below the divisor is none left.
        if a - b <= rounding {
            b = 0.0;
        }
    }
    a
}
