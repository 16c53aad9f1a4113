//! The list rules against the papers' examples, against themselves written down naively, and against a
//! validator that knows nothing but the instance and the schedule.

use super::reference;
use super::*;
use crate::schedule_planner;
use dunnage_core::{Budget, Rng};

const ALL: [&str; 7] = ["heft", "cpop", "peft", "min-min", "max-min", "sufferage", "mct"];

fn plan(name: &str, instance: &Instance, mean_comm: MeanComm) -> Schedule {
    assert_eq!(instance.check(), Ok(()));
    let options = PlanOptions { mean_comm, ..PlanOptions::default() };
    schedule_planner(name).unwrap().schedule(instance, &options, &mut Budget::of(1))
}

/// A processor each, a time for each task and processor, edges with sizes, and seconds for a unit by pair.
fn unary(times: &[Vec<f64>], edges: &[(u32, u32, f64)], per_unit: impl Fn(usize, usize) -> f64) -> Instance {
    let devices = times[0].len();
    let mut transfers = Transfers::free(devices);
    for from in 0..devices {
        for to in 0..devices {
            transfers.set(from, to, per_unit(from.min(to), from.max(to)), 0.0);
        }
    }
    let kinds = times.iter().map(|row| {
        let modes = row
            .iter()
            .enumerate()
            .map(|(device, seconds)| mode(device as u32, *seconds, &[(device as u32, 1)]));
        Kind { modes: modes.collect() }
    });
    let mut parents: Rows<Edge> = Rows::default();
    for task in 0..times.len() as u32 {
        parents
            .push(edges.iter().filter(|edge| edge.1 == task).map(|edge| Edge { node: edge.0, size: edge.2 }));
    }
    Instance {
        devices: (0..devices).map(|at| Device { name: format!("p{at}"), place: at as u32 }).collect(),
        resources: (0..devices).map(|at| Resource { name: format!("p{at}"), capacity: 1 }).collect(),
        kinds: kinds.collect(),
        kind_of: (0..times.len() as u32).collect(),
        gathers: 0,
        children: parents.reversed(times.len()),
        parents,
        transfers,
        earliest: Vec::new(),
        ..Instance::default()
    }
}

fn mode(device: u32, seconds: f64, takes: &[(u32, u64)]) -> Mode {
    Mode { variant: 0, device, seconds, takes: takes.into(), price: 0.0, joules: 0.0 }
}

fn example(times: [[u32; 3]; 10], edges: &[(u32, u32, u32)]) -> Instance {
    let times: Vec<Vec<f64>> =
        times.iter().map(|row| row.iter().map(|time| f64::from(*time)).collect()).collect();
    let edges: Vec<_> = edges.iter().map(|edge| (edge.0 - 1, edge.1 - 1, f64::from(edge.2))).collect();
    unary(&times, &edges, |_, _| 1.0)
}

/// Figure 2 of Topcuoglu, Hariri and Wu 2002.
fn topcuoglu() -> Instance {
    let times = [
        [14, 16, 9],
        [13, 19, 18],
        [11, 13, 19],
        [13, 8, 17],
        [12, 13, 10],
        [13, 16, 9],
        [7, 15, 11],
        [5, 11, 14],
        [18, 12, 20],
        [21, 7, 16],
    ];
    let edges = [
        (1, 2, 18),
        (1, 3, 12),
        (1, 4, 9),
        (1, 5, 11),
        (1, 6, 14),
        (2, 8, 19),
        (2, 9, 16),
        (3, 7, 23),
        (4, 8, 27),
        (4, 9, 23),
        (5, 9, 13),
        (6, 8, 15),
        (7, 10, 17),
        (8, 10, 11),
        (9, 10, 13),
    ];
    example(times, &edges)
}

/// The example of Arabnejad and Barbosa 2014.
fn arabnejad() -> Instance {
    let times = [
        [22, 21, 36],
        [22, 18, 18],
        [32, 27, 43],
        [7, 10, 4],
        [29, 27, 35],
        [26, 17, 24],
        [14, 25, 30],
        [29, 23, 36],
        [15, 21, 8],
        [13, 16, 33],
    ];
    let edges = [
        (1, 2, 17),
        (1, 3, 31),
        (1, 4, 29),
        (1, 5, 13),
        (1, 6, 7),
        (2, 8, 3),
        (2, 9, 30),
        (3, 7, 16),
        (4, 8, 11),
        (4, 9, 7),
        (5, 9, 57),
        (6, 8, 5),
        (7, 10, 9),
        (8, 10, 42),
        (9, 10, 7),
    ];
    example(times, &edges)
}

#[test]
fn the_papers_examples_come_out_as_printed() {
    let makespan = |name, instance: &Instance| plan(name, instance, MeanComm::Pairs).makespan;
    assert_eq!(makespan("heft", &topcuoglu()), 80.0);
    assert_eq!(makespan("cpop", &topcuoglu()), 86.0);
    assert_eq!(makespan("peft", &arabnejad()), 122.0);
    assert_eq!(makespan("heft", &arabnejad()), 133.0);
}

/// Tasks on up to 5 unlike processors; with `ties` times are small whole numbers, some of them 0.
fn random_unary(seed: u64, tasks: usize, ties: bool) -> Instance {
    let mut rng = Rng::of(seed, 77);
    let devices = 1 + rng.below(5);
    let mut number = |most: usize, least: f64| {
        if ties { rng.below(most) as f64 } else { least + rng.unit() * most as f64 }
    };
    let times: Vec<Vec<f64>> = (0..tasks).map(|_| (0..devices).map(|_| number(6, 0.1)).collect()).collect();
    let pairs: Vec<f64> = (0..devices * devices).map(|_| number(3, 0.1)).collect();
    let mut edges = Vec::new();
    let mut rng = Rng::of(seed, 78);
    for task in 1..tasks {
        let mut before: Vec<usize> = (0..rng.below(4)).map(|_| rng.below(task)).collect();
        before.sort_unstable();
        before.dedup();
        let size = |rng: &mut Rng| if ties { rng.below(5) as f64 } else { 5.0 * rng.unit() };
        edges.extend(before.into_iter().map(|from| (from as u32, task as u32, size(&mut rng))));
    }
    unary(&times, &edges, |from, to| pairs[from * devices + to])
}

#[test]
fn on_processors_the_rules_are_those_of_the_papers() {
    for seed in 0..60 {
        let instance = random_unary(seed, 5 + seed as usize * 2, seed % 2 == 0);
        for mean_comm in [MeanComm::Pairs, MeanComm::Saga] {
            let (ours, theirs) =
                (plan("heft", &instance, mean_comm).makespan, reference::heft(&instance, mean_comm));
            assert!((ours - theirs).abs() <= 1e-12 * theirs, "heft, seed {seed}: {ours} and not {theirs}");
        }
        let ours = plan("peft", &instance, MeanComm::Pairs).makespan;
        assert_eq!(ours, reference::peft(&instance), "peft, seed {seed}");
        if seed % 2 == 1 {
            let ours = plan("cpop", &instance, MeanComm::Pairs).makespan;
            assert_eq!(ours, reference::cpop(&instance), "cpop, seed {seed}");
        }
        for name in ["min-min", "max-min", "sufferage"] {
            let (ours, theirs) =
                (plan(name, &instance, MeanComm::Pairs).makespan, reference::batch(&instance, name));
            assert_eq!(ours, theirs, "{name}, seed {seed}");
        }
    }
}

/// Hosts with cores and RAM, GPUs with share and memory, several modes, two GPUs at once, gathers, tasks that
/// may start late, and others that hold something for a while.
fn random_machine(seed: u64) -> Instance {
    let mut rng = Rng::of(seed, 5);
    let gpus = rng.below(4) as u32;
    let mut instance = Instance {
        devices: (0..=gpus).map(|place| Device { name: String::new(), place }).collect(),
        resources: [4000, 64]
            .into_iter()
            .chain((0..gpus).flat_map(|_| [1000, 24]))
            .map(|capacity| Resource { name: String::new(), capacity })
            .collect(),
        transfers: Transfers::free(gpus as usize + 1),
        ..Instance::default()
    };
    for from in 0..=gpus as usize {
        for to in 0..=gpus as usize {
            instance.transfers.set(from, to, rng.unit(), 0.1);
        }
    }
    for _ in 0..=rng.below(6) {
        let mut modes = vec![mode(
            0,
            4.0 * rng.unit(),
            &[(0, 1 + rng.below(4000) as u64), (1, 1 + rng.below(40) as u64)],
        )];
        for gpu in 0..gpus {
            let takes = [
                (0, 500),
                (2 + 2 * gpu, 1 + rng.below(1000) as u64),
                (3 + 2 * gpu, 1 + rng.below(24) as u64),
            ];
            modes.push(mode(1 + gpu, 2.0 * rng.unit(), &takes));
        }
        if gpus > 1 {
            modes.push(mode(1, rng.unit(), &[(2, 1000), (3, 24), (4, 1000), (5, 24)]));
        }
        instance.kinds.push(Kind { modes });
    }
    let tasks = 40 + rng.below(40) as u32;
    instance.kind_of = (0..tasks).map(|_| rng.below(instance.kinds.len()) as u32).collect();
    instance.gathers = 2;
    let third = tasks / 3;
    for task in 0..tasks {
        let mut row = Vec::new();
        if task > 0 && task % 3 != 0 {
            row.push(Edge { node: rng.below(task as usize) as u32, size: rng.below(4) as f64 });
        }
        if task > 2 * third {
            row.push(Edge { node: tasks + task % 2, size: 0.0 });
        }
        instance.parents.push(row);
    }
    for gather in 0..2_u32 {
        let size = f64::from(gather);
        instance.parents.push((third * gather..third * (gather + 1)).map(|node| Edge { node, size }));
    }
    instance.children = instance.parents.reversed(tasks as usize + 2);
    instance.earliest = (0..tasks).map(|task| if task % 7 == 0 { 3.0 } else { 0.0 }).collect();
    instance.occupied = vec![
        Occupied { resource: 0, amount: 2500, until: 2.0 },
        Occupied { resource: instance.resources.len() as u32 - 1, amount: 1 << 40, until: 1.0 },
    ];
    instance
}

/// What is wrong with a schedule.
pub(super) fn validate(instance: &Instance, schedule: &Schedule) -> Result<(), String> {
    let tasks = instance.tasks();
    let place = |task: u32| {
        let mode = &instance.modes(task)[usize::from(schedule.mode[task as usize])];
        instance.devices[mode.device as usize].place
    };
    // A gather's inputs are its readers'.
    let inputs = |task: u32| {
        let mut edges: Vec<Edge> = Vec::new();
        for edge in instance.parents.row(task) {
            if edge.node >= tasks {
                edges.extend(instance.parents.row(edge.node));
            } else {
                edges.push(*edge);
            }
        }
        edges
    };
    for task in 0..tasks {
        let at = task as usize;
        let mode = instance.modes(task).get(usize::from(schedule.mode[at])).ok_or("no such mode")?;
        if schedule.start[at] + mode.seconds != schedule.end[at] || schedule.end[at] > schedule.makespan {
            return Err(format!("{task} does not take as long as its mode"));
        }
        if schedule.start[at] < instance.earliest(task) {
            return Err(format!("{task} starts before it may"));
        }
        for edge in inputs(task) {
            let moved = instance.transfers.seconds(edge.size, place(edge.node), place(task));
            if schedule.end[edge.node as usize] + moved > schedule.start[at] + 1e-9 {
                return Err(format!("{task} starts before it has what {} makes", edge.node));
            }
        }
    }
    for at in 0..tasks {
        let time = schedule.start[at as usize];
        let mut held = vec![0_u64; instance.resources.len()];
        for other in (0..tasks).filter(|other| {
            schedule.start[*other as usize] <= time && time < schedule.end[*other as usize] - 1e-12
        }) {
            for (resource, amount) in &instance.modes(other)[usize::from(schedule.mode[other as usize])].takes
            {
                held[*resource as usize] += amount;
            }
        }
        for other in instance.occupied.iter().filter(|other| time < other.until) {
            let capacity = instance.resources[other.resource as usize].capacity;
            held[other.resource as usize] += other.amount.min(capacity);
        }
        for (held, resource) in held.iter().zip(&instance.resources) {
            if *held > resource.capacity {
                return Err(format!("at {time}: {held} of {}", resource.capacity));
            }
        }
    }
    Ok(())
}

#[test]
fn every_rule_keeps_order_and_capacities_on_machines_with_several_resources() {
    for seed in 0..40 {
        let instance = random_machine(seed);
        for name in ALL {
            let schedule = plan(name, &instance, MeanComm::Pairs);
            assert_eq!(validate(&instance, &schedule), Ok(()), "{name}, seed {seed}");
            assert_eq!(
                schedule,
                plan(name, &instance, MeanComm::Pairs),
                "{name}, seed {seed}: two runs differ"
            );
        }
    }
}

#[test]
fn the_validator_finds_what_is_wrong() {
    let instance = random_machine(3);
    let good = plan("heft", &instance, MeanComm::Pairs);
    let broken = |change: fn(&mut Schedule)| {
        let mut schedule = good.clone();
        change(&mut schedule);
        validate(&instance, &schedule).is_err()
    };
    assert!(!broken(|_| {}));
    assert!(broken(|schedule| schedule.end[4] += 0.5));
    assert!(broken(|schedule| schedule.makespan -= 0.01));
    assert!(broken(|schedule| {
        let seconds: Vec<f64> =
            schedule.end.iter().zip(&schedule.start).map(|(end, start)| end - start).collect();
        schedule.start.fill(3.0);
        schedule.end = seconds.iter().map(|seconds| 3.0 + seconds).collect();
    }));
}

/// Families whose readers wait through a gather, and the same with an edge for each pair.
fn families(seed: u64, through_gathers: bool) -> Instance {
    let mut rng = Rng::of(seed, 9);
    let (members, readers) = (3 + rng.below(6) as u32, 2 + rng.below(5) as u32);
    let tasks = 2 * members + readers;
    let times: Vec<Vec<f64>> = (0..tasks).map(|_| (0..3).map(|_| 0.5 + rng.unit()).collect()).collect();
    let size = 2.0 * rng.unit();
    let mut instance = unary(&times, &[], |from, to| 0.1 + (from + to) as f64 / 7.0);
    let mut parents: Rows<Edge> = Rows::default();
    for task in 0..tasks {
        let mut row = Vec::new();
        if (members..2 * members).contains(&task) {
            row.push(Edge { node: task - members, size: 0.5 });
        }
        if task >= 2 * members && through_gathers {
            row.push(Edge { node: tasks, size: 0.0 });
        } else if task >= 2 * members {
            row.extend((members..2 * members).map(|node| Edge { node, size }));
        }
        parents.push(row);
    }
    if through_gathers {
        parents.push((members..2 * members).map(|node| Edge { node, size }));
        instance.gathers = 1;
    }
    instance.children = parents.reversed(instance.nodes() as usize);
    instance.parents = parents;
    instance
}

#[test]
fn a_gather_means_the_same_as_its_edges_written_out() {
    for seed in 0..30 {
        let (gathered, written_out) = (families(seed, true), families(seed, false));
        // `mct` takes tasks in the order of a queue, in which a gather is one more step.
        for name in ALL.iter().filter(|name| **name != "mct") {
            let plan = |instance| plan(name, instance, MeanComm::Pairs);
            assert_eq!(plan(&gathered), plan(&written_out), "{name}, seed {seed}");
        }
    }
}

#[test]
fn an_empty_instance_has_an_empty_schedule() {
    for name in ALL {
        let schedule = plan(name, &Instance::default(), MeanComm::Pairs);
        assert_eq!((schedule.makespan, schedule.mode.len()), (0.0, 0), "{name}");
    }
}

#[test]
fn numbers_beyond_all_bounds_do_not_stop_a_plan() {
    let times = vec![vec![1e300, f64::MAX]; 6];
    let edges = [(0, 1, f64::MAX), (1, 2, f64::MAX), (2, 3, 1.0)];
    let mut instance = unary(&times, &edges, |_, _| f64::MAX);
    instance.resources[1].capacity = u64::MAX;
    for kind in &mut instance.kinds {
        kind.modes[1].takes = [(1, u64::MAX / 3)].into();
    }
    instance.occupied = vec![Occupied { resource: 1, amount: u64::MAX, until: f64::INFINITY }];
    for name in ALL {
        assert!(plan(name, &instance, MeanComm::Pairs).makespan > 1e300, "{name}");
    }
}
