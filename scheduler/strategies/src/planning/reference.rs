//! The list rules on plain processors, written down as the papers have them, for tests: sorted lists of busy
//! times, every task looked at in every step.

use super::{Instance, MeanComm, ranks};

/// Processors as sorted lists of busy times: the rules as the papers have them.
struct Naive<'a> {
    instance: &'a Instance,
    busy: Vec<Vec<(f64, f64)>>,
    end: Vec<f64>,
    on: Vec<usize>,
}

impl<'a> Naive<'a> {
    fn new(instance: &'a Instance) -> Self {
        let tasks = instance.tasks() as usize;
        Self {
            instance,
            busy: vec![Vec::new(); instance.devices.len()],
            end: vec![-1.0; tasks],
            on: vec![0; tasks],
        }
    }

    fn is_ready(&self, task: u32) -> bool {
        self.end[task as usize] < 0.0
            && self.instance.parents.row(task).iter().all(|edge| self.end[edge.node as usize] >= 0.0)
    }

    fn seconds(&self, task: u32, device: usize) -> f64 {
        self.instance.modes(task)[device].seconds
    }

    fn inputs(&self, task: u32, device: usize) -> f64 {
        let there = self.instance.parents.row(task).iter().map(|edge| {
            let from = self.on[edge.node as usize] as u32;
            self.end[edge.node as usize] + self.instance.transfers.seconds(edge.size, from, device as u32)
        });
        there.fold(0.0, f64::max)
    }

    fn inserted(&self, task: u32, device: usize) -> f64 {
        let (ready, busy) = (self.inputs(task, device), &self.busy[device]);
        let after = busy.partition_point(|busy| busy.0 <= ready);
        let mut at = if after > 0 { ready.max(busy[after - 1].1) } else { ready };
        for next in &busy[after..] {
            if at + self.seconds(task, device) <= next.0 {
                break;
            }
            at = at.max(next.1);
        }
        at
    }

    fn appended(&self, task: u32, device: usize) -> f64 {
        self.inputs(task, device).max(self.busy[device].iter().map(|busy| busy.1).fold(0.0, f64::max))
    }

    fn put(&mut self, task: u32, device: usize, start: f64) {
        let end = start + self.seconds(task, device);
        let busy = &mut self.busy[device];
        let at = busy.partition_point(|busy| *busy <= (start, end));
        busy.insert(at, (start, end));
        self.end[task as usize] = end;
        self.on[task as usize] = device;
    }

    /// The device of the least of a cost, ties to the lowest.
    fn least(&self, cost: impl Fn(usize) -> f64) -> usize {
        let devices = 0..self.instance.devices.len();
        devices.min_by(|a, b| cost(*a).total_cmp(&cost(*b))).unwrap()
    }

    fn makespan(&self) -> f64 {
        self.end.iter().copied().fold(0.0, f64::max)
    }
}

fn mean(instance: &Instance, task: u32) -> f64 {
    instance.modes(task).iter().map(|mode| mode.seconds).sum::<f64>() / instance.devices.len() as f64
}

pub(super) fn heft(instance: &Instance, mean_comm: MeanComm) -> f64 {
    let devices = instance.devices.len() as f64;
    let pairs =
        if mean_comm == MeanComm::Pairs { devices * (devices - 1.0) } else { devices * (devices + 1.0) };
    let per_unit = if pairs > 0.0 { instance.transfers.sums().0 / pairs } else { 0.0 };
    let order = ranks::depth_first(instance);
    let mut rank = vec![0.0; order.len()];
    for task in order.iter().rev() {
        let behind =
            instance.children.row(*task).iter().map(|edge| edge.size * per_unit + rank[edge.node as usize]);
        rank[*task as usize] = mean(instance, *task) + behind.fold(0.0, f64::max);
    }
    let mut sorted = order;
    sorted.sort_by(|a, b| rank[*b as usize].total_cmp(&rank[*a as usize]));
    let mut naive = Naive::new(instance);
    for task in sorted {
        let end = |device| naive.inserted(task, device) + naive.seconds(task, device);
        let device = naive.least(end);
        naive.put(task, device, naive.inserted(task, device));
    }
    naive.makespan()
}

/// Ready tasks by falling priority, each to the device of the least end plus `more`.
fn naive_ready(instance: &Instance, priority: &[f64], more: impl Fn(u32, usize) -> f64) -> f64 {
    let mut naive = Naive::new(instance);
    let order = ranks::depth_first(instance);
    let position = |task: u32| order.iter().position(|other| *other == task);
    loop {
        let ready = (0..instance.tasks()).filter(|task| naive.is_ready(*task));
        let key = |task: &u32| (priority[*task as usize].to_bits(), std::cmp::Reverse(position(*task)));
        let Some(task) = ready.max_by_key(key) else { return naive.makespan() };
        let cost = |device| naive.inserted(task, device) + naive.seconds(task, device) + more(task, device);
        let device = naive.least(cost);
        naive.put(task, device, naive.inserted(task, device));
    }
}

pub(super) fn peft(instance: &Instance) -> f64 {
    let devices = instance.devices.len();
    let per_unit = instance.transfers.sums().0 / ((devices * (devices - 1)) as f64).max(1.0);
    let mut cost = vec![vec![0.0_f64; devices]; instance.tasks() as usize];
    for task in ranks::depth_first(instance).into_iter().rev() {
        for device in 0..devices {
            let behind = instance.children.row(task).iter().map(|edge| {
                let on = |other: usize| {
                    let moved = if other == device { 0.0 } else { edge.size * per_unit };
                    cost[edge.node as usize][other] + instance.modes(edge.node)[other].seconds + moved
                };
                (0..devices).map(on).fold(f64::INFINITY, f64::min)
            });
            cost[task as usize][device] = behind.fold(0.0, f64::max);
        }
    }
    let rank: Vec<f64> = cost.iter().map(|row| row.iter().sum::<f64>() / devices as f64).collect();
    naive_ready(instance, &rank, |task, device| cost[task as usize][device])
}

pub(super) fn cpop(instance: &Instance) -> f64 {
    let devices = instance.devices.len();
    let per_unit = instance.transfers.sums().0 / ((devices * (devices - 1)) as f64).max(1.0);
    let order = ranks::depth_first(instance);
    let mut up = vec![0.0; order.len()];
    for task in order.iter().rev() {
        let behind =
            instance.children.row(*task).iter().map(|edge| edge.size * per_unit + up[edge.node as usize]);
        up[*task as usize] = mean(instance, *task) + behind.fold(0.0, f64::max);
    }
    let mut down = vec![0.0; order.len()];
    for task in &order {
        let before = instance
            .parents
            .row(*task)
            .iter()
            .map(|edge| down[edge.node as usize] + mean(instance, edge.node) + edge.size * per_unit);
        down[*task as usize] = before.fold(0.0, f64::max);
    }
    // Times are such that no two ways are equally long.
    let longest = up.iter().copied().fold(0.0, f64::max);
    let is_on_path = |task: u32| (up[task as usize] + down[task as usize] - longest).abs() < 1e-9 * longest;
    let path: Vec<u32> = (0..instance.tasks()).filter(|task| is_on_path(*task)).collect();
    let sum = |device: usize| path.iter().map(|task| instance.modes(*task)[device].seconds).sum::<f64>();
    let chosen = (0..devices).min_by(|a, b| sum(*a).total_cmp(&sum(*b))).unwrap();
    let priority: Vec<f64> = up.iter().zip(&down).map(|(up, down)| up + down).collect();
    naive_ready(
        instance,
        &priority,
        |task, device| {
            if is_on_path(task) && device != chosen { f64::INFINITY } else { 0.0 }
        },
    )
}

pub(super) fn batch(instance: &Instance, name: &str) -> f64 {
    let mut naive = Naive::new(instance);
    loop {
        let mut batch: Vec<u32> = (0..instance.tasks()).filter(|task| naive.is_ready(*task)).collect();
        if batch.is_empty() {
            return naive.makespan();
        }
        while !batch.is_empty() {
            let ends = |task: u32| {
                let end = |device| naive.appended(task, device) + naive.seconds(task, device);
                let mut ends: Vec<f64> = (0..instance.devices.len()).map(end).collect();
                ends.sort_by(f64::total_cmp);
                ends
            };
            let cost = |task: u32| match name {
                "min-min" => ends(task)[0],
                "max-min" => -ends(task)[0],
                _ => ends(task)[0] - ends(task).get(1).copied().unwrap_or(ends(task)[0]),
            };
            let at = (0..batch.len())
                .min_by(|a, b| (cost(batch[*a]) + 0.0).total_cmp(&(cost(batch[*b]) + 0.0)))
                .unwrap();
            let task = batch.remove(at);
            let device = naive.least(|device| naive.appended(task, device) + naive.seconds(task, device));
            naive.put(task, device, naive.appended(task, device));
            if name == "sufferage" {
                batch = (0..instance.tasks()).filter(|task| naive.is_ready(*task)).collect();
            }
        }
    }
}
