//! Judged from outside: an own checker of schedules, brute force on tiny instances, and the same run again.

use super::solve;
use crate::planning::{
    Device, Edge, Instance, Kind, Mode, Occupied, PlanOptions, Resource, Rows, Schedule, Transfers,
    lower_bound,
};
use dunnage_core::{Budget, Rng};

/// Tasks of these durations, amounts and parents.
fn instance(
    durations: &[f64],
    takes: &[Vec<(u32, u64)>],
    parents: &[Vec<u32>],
    capacities: &[u64],
) -> Instance {
    let nodes = parents.len();
    let mut rows: Rows<Edge> = Rows::default();
    for row in parents {
        rows.push(row.iter().map(|node| Edge { node: *node, size: 1.0 }));
    }
    let children = rows.reversed(nodes);
    Instance {
        devices: vec![Device { name: "all".to_owned(), place: 0 }],
        resources: (capacities.iter().enumerate())
            .map(|(at, capacity)| Resource { name: format!("r{at}"), capacity: *capacity })
            .collect(),
        kinds: (durations.iter().zip(takes))
            .map(|(seconds, takes)| Kind {
                modes: vec![Mode {
                    variant: 0,
                    device: 0,
                    seconds: *seconds,
                    takes: takes.clone().into(),
                    price: 0.0,
                    joules: 0.0,
                }],
            })
            .collect(),
        kind_of: (0..durations.len() as u32).collect(),
        gathers: (nodes - durations.len()) as u32,
        parents: rows,
        children,
        transfers: Transfers::free(1),
        earliest: Vec::new(),
        occupied: Vec::new(),
        ..Instance::default()
    }
}

/// A random instance: parents have lower numbers, some tasks take nothing or no time.
fn random(rng: &mut Rng, tasks: usize, resources: usize, scale: f64) -> Instance {
    let capacities: Vec<u64> = (0..resources).map(|_| 2 + rng.below(8) as u64).collect();
    let durations: Vec<f64> = (0..tasks).map(|_| rng.below(8) as f64 * scale).collect();
    let takes: Vec<Vec<(u32, u64)>> = (0..tasks)
        .map(|_| {
            (0..resources)
                .filter_map(|at| {
                    let amount = rng.below(capacities[at] as usize + 1) as u64;
                    (amount > 0 && rng.below(3) > 0).then_some((at as u32, amount))
                })
                .collect()
        })
        .collect();
    let parents: Vec<Vec<u32>> =
        (0..tasks).map(|task| (0..task as u32).filter(|_| rng.below(tasks) < 2).collect()).collect();
    instance(&durations, &takes, &parents, &capacities)
}

/// Everything that makes a schedule one, computed anew.
fn check(instance: &Instance, schedule: &Schedule) {
    let tasks = instance.tasks();
    assert_eq!(schedule.start.len(), tasks as usize);
    let mut seen = vec![0.0_f64; instance.nodes() as usize];
    for node in instance.topological() {
        let ready =
            instance.parents.row(node).iter().map(|edge| seen[edge.node as usize]).fold(0.0, f64::max);
        if node >= tasks {
            seen[node as usize] = ready;
            continue;
        }
        let (start, end) = (schedule.start[node as usize], schedule.end[node as usize]);
        assert!(start >= ready && start >= instance.earliest(node), "task {node} starts too early");
        assert_eq!(end, start + instance.modes(node)[0].seconds);
        seen[node as usize] = end;
    }
    let last = schedule.end.iter().copied().fold(0.0, f64::max);
    assert_eq!(schedule.makespan, last);
    let mut times: Vec<f64> = schedule.start.clone();
    times.push(0.0);
    for time in times {
        for resource in 0..instance.resources.len() as u32 {
            let mut taken = 0_u128;
            for task in 0..tasks {
                if schedule.start[task as usize] <= time && time < schedule.end[task as usize] {
                    let takes = &instance.modes(task)[0].takes;
                    taken += takes.iter().filter(|t| t.0 == resource).map(|t| u128::from(t.1)).sum::<u128>();
                }
            }
            let ours = taken;
            let held: u128 = (instance.occupied.iter())
                .filter(|held| held.resource == resource && time < held.until)
                .map(|held| u128::from(held.amount))
                .sum();
            let capacity = u128::from(instance.resources[resource as usize].capacity);
            assert!(ours == 0 || ours + held <= capacity, "too much at {time}");
        }
    }
}

/// The shortest makespan: every order of the tasks, each as early as possible (for whole times).
fn brute_force(instance: &Instance) -> i64 {
    fn step(instance: &Instance, start: &mut Vec<Option<i64>>, best: &mut i64) {
        let tasks = instance.tasks() as usize;
        let length = |task: usize| instance.modes(task as u32)[0].seconds as i64;
        let reached =
            (0..tasks).filter_map(|task| start[task].map(|at| at + length(task))).max().unwrap_or(0);
        if reached >= *best {
            return;
        }
        if start.iter().all(Option::is_some) {
            *best = reached;
            return;
        }
        for task in 0..tasks {
            let parents = instance.parents.row(task as u32);
            if start[task].is_some() || parents.iter().any(|edge| start[edge.node as usize].is_none()) {
                continue;
            }
            let mut at = instance.earliest(task as u32) as i64;
            for edge in parents {
                let parent = edge.node as usize;
                at = at.max(start[parent].unwrap_or(0) + length(parent));
            }
            let fits = |at: i64| {
                (at..at + length(task)).all(|time| {
                    instance.modes(task as u32)[0].takes.iter().all(|(resource, amount)| {
                        let held: u64 = (instance.occupied.iter())
                            .filter(|held| held.resource == *resource && (time as f64) < held.until)
                            .map(|held| held.amount)
                            .sum();
                        let taken: u64 = (0..tasks)
                            .filter(|other| {
                                start[*other].is_some_and(|from| from <= time && time < from + length(*other))
                            })
                            .flat_map(|other| instance.modes(other as u32)[0].takes.iter())
                            .filter(|(other, _)| other == resource)
                            .map(|(_, amount)| *amount)
                            .sum();
                        held + taken + amount <= instance.resources[*resource as usize].capacity
                    })
                })
            };
            while !fits(at) {
                at += 1;
            }
            start[task] = Some(at);
            step(instance, start, best);
            start[task] = None;
        }
    }
    let mut best = i64::MAX;
    step(instance, &mut vec![None; instance.tasks() as usize], &mut best);
    best
}

fn plan(instance: &Instance, schedules: u64) -> Schedule {
    let schedule = solve(instance, &PlanOptions::default(), &[], &mut Budget::of(schedules)).unwrap();
    check(instance, &schedule);
    assert!(schedule.schedules <= schedules.max(1));
    assert!(lower_bound(instance) <= schedule.makespan * (1.0 + 1e-12));
    schedule
}

#[test]
fn tiny_instances_are_solved_and_bounds_hold() {
    let mut rng = Rng::new(1);
    for round in 0..150 {
        let mut instance = random(&mut rng, 3 + round % 4, 1 + round % 3, 1.0);
        if round % 2 == 1 {
            let tasks = instance.tasks() as usize;
            instance.earliest = (0..tasks).map(|_| rng.below(6) as f64).collect();
            let resource = rng.below(instance.resources.len()) as u32;
            let amount = 1 + rng.below(instance.resources[resource as usize].capacity as usize) as u64;
            instance.occupied = vec![Occupied { resource, amount, until: 1.0 + rng.below(9) as f64 }];
        }
        instance.check().unwrap();
        let best = brute_force(&instance) as f64;
        assert_eq!(plan(&instance, 3_000).makespan, best, "round {round}");
        assert!(lower_bound(&instance) <= best);
    }
}

#[test]
fn real_times_give_what_whole_times_give() {
    let mut rng = Rng::new(2);
    for round in 0..40_u64 {
        let seed = rng.next();
        let whole = random(&mut Rng::new(seed), 6, 2, 1.0);
        let best = plan(&whole, 2_000).makespan;
        // A common factor, whatever it is.
        for scale in [0.1, std::f64::consts::PI / 3.0, 1e-9, 12_345_678.9] {
            let scaled = plan(&random(&mut Rng::new(seed), 6, 2, scale), 2_000);
            assert!(
                (scaled.makespan - best * scale).abs() <= 1e-9 * scaled.makespan,
                "round {round}, {scale}"
            );
        }
        // No common factor: each a hair longer, so that the optimum is at most as much longer.
        let mut real = whole.clone();
        for kind in &mut real.kinds {
            kind.modes[0].seconds *= 1.0 + 1e-6 * rng.unit();
        }
        let real = plan(&real, 2_000).makespan;
        assert!(best <= real && real <= best * (1.0 + 1e-6), "round {round}: {best} {real}");
    }
}

#[test]
fn times_of_any_magnitude_give_schedules_that_hold() {
    let one = vec![(0, 1)];
    let serial = instance(&[1e-10, 1.0, 1.0, 1.0], &vec![one; 4], &vec![vec![]; 4], &[1]);
    assert!(plan(&serial, 100).makespan >= 3.0);
    let mut rng = Rng::new(12);
    for round in 0..200 {
        let mut mixed = random(&mut rng, 2 + round % 9, 2, 1.0);
        let large = 2.0_f64.powi(36 + rng.below(10) as i32);
        for kind in &mut mixed.kinds {
            kind.modes[0].seconds = if round % 2 == 0 {
                [1.0, 5.0, 100.0, large][rng.below(4)]
            } else {
                10.0_f64.powi(rng.below(25) as i32 - 12) * [1.0, 3.0, 7.5][rng.below(3)]
            };
        }
        plan(&mixed, 60);
    }
}

#[test]
fn bounds_of_whole_times_are_whole() {
    let mut rng = Rng::new(31);
    for round in 0..100 {
        let mut whole = random(&mut rng, 3 + round % 3, 2, 1.0);
        let best = brute_force(&whole) as f64;
        // A second mode, so that the bound is that of work over capacity.
        for kind in whole.kinds.iter_mut().step_by(2) {
            let second = Mode { seconds: kind.modes[0].seconds + 1.0, ..kind.modes[0].clone() };
            kind.modes.push(second);
        }
        let bound = lower_bound(&whole);
        assert!(bound.fract() == 0.0 && bound <= best, "{bound} {best}");
    }
}

#[test]
fn long_tasks_go_by_events_and_give_the_same() {
    let mut rng = Rng::new(8);
    for round in 0..30 {
        let seed = rng.next();
        let short = random(&mut Rng::new(seed), 12, 3, 1.0);
        let mut long = random(&mut Rng::new(seed), 12, 3, 1000.0);
        // One task that has no common factor with the others, and that is in nobody's way.
        long.kinds[0].modes[0].takes = Box::default();
        long.kinds[0].modes[0].seconds += 1.0;
        let mut free = short.clone();
        free.kinds[0].modes[0].takes = Box::default();
        let (short, long) = (plan(&free, 4_000).makespan, plan(&long, 4_000).makespan);
        assert!((short * 1000.0..=short * 1000.0 + 1.0).contains(&long), "round {round}: {short} {long}");
    }
}

#[test]
fn many_resources_take_several_words() {
    let mut rng = Rng::new(3);
    for resources in [1, 10, 17, 40] {
        for scale in [1.0, std::f64::consts::PI, 1000.0] {
            plan(&random(&mut rng, 25, resources, scale), 600);
        }
    }
}

#[test]
fn capacities_at_the_edges() {
    let huge = 1 << 63;
    let takes = vec![vec![(0, huge)], vec![(0, 1)], vec![(0, huge / 2), (1, 1)], vec![(0, huge / 2)], vec![]];
    let durations = [3.0, 2.0, 4.0, 4.0, 1.0];
    let halves = instance(&durations, &takes, &vec![vec![]; 5], &[huge, u64::MAX, 0]);
    // All of it, the two halves together, and the one that fits with no other of these.
    assert_eq!(plan(&halves, 500).makespan, 9.0);
    // What is rounded is rounded against the task: valid all the same.
    let odd = instance(&durations, &takes, &vec![vec![]; 5], &[huge + 1, u64::MAX, 0]);
    assert!(plan(&odd, 500).makespan <= 11.0);
}

#[test]
fn what_cannot_be_held_here_is_left_to_others() {
    let options = PlanOptions::default();
    let solve = |instance: &Instance| solve(instance, &options, &[], &mut Budget::of(10));
    let one = instance(&[1.0, 1.0], &[vec![(0, 2)], vec![]], &[vec![], vec![0]], &[2]);
    assert!(solve(&one).is_some());
    let mut modes = one.clone();
    let second = modes.kinds[0].modes[0].clone();
    modes.kinds[0].modes.push(second);
    assert!(solve(&modes).is_none());
    let mut apart = one.clone();
    apart.devices.push(Device { name: "far".to_owned(), place: 1 });
    apart.transfers = Transfers::free(2);
    apart.transfers.set(0, 1, 1.0, 0.0);
    assert!(solve(&apart).is_some(), "nothing runs there");
    apart.kinds[1].modes[0].device = 1;
    assert!(solve(&apart).is_none());
    let mut forever = one.clone();
    forever.occupied = vec![Occupied { resource: 0, amount: 1, until: f64::INFINITY }];
    assert!(solve(&forever).is_none());
    let mut unknown = one;
    unknown.earliest = vec![f64::NAN, 0.0];
    assert!(solve(&unknown).is_some_and(|schedule| schedule.makespan == 2.0));
    assert!(solve(&Instance::default()).is_none());
}

#[test]
fn gathers_end_with_the_last_they_wait_for() {
    // Two readers of three writers through one gather.
    let takes = vec![vec![(0, 1)]; 5];
    let parents = vec![vec![], vec![], vec![], vec![5], vec![5], vec![0, 1, 2]];
    let instance = instance(&[1.0, 2.0, 3.0, 4.0, 5.0], &takes, &parents, &[2]);
    let schedule = plan(&instance, 200);
    assert_eq!(schedule.makespan, 8.0);
    assert_eq!(schedule.start.len(), 5);
}

#[test]
fn no_seed_is_better() {
    let mut rng = Rng::new(5);
    for round in 0..20 {
        let instance = random(&mut rng, 30, 3, if round % 2 == 0 { 1.0 } else { 0.777_123_456_789_1 });
        let seed = plan(&instance, 2_000);
        let options = PlanOptions { seed: 99, ..PlanOptions::default() };
        for schedules in [0, 1, 2, 10] {
            let mut budget = Budget::of(schedules);
            let after = solve(&instance, &options, std::slice::from_ref(&seed), &mut budget).unwrap();
            check(&instance, &after);
            assert!(after.makespan <= seed.makespan);
        }
    }
}

#[test]
fn a_run_that_time_cuts_is_repeated_by_its_count() {
    let mut rng = Rng::new(6);
    for (tasks, questions) in [(40, 3), (40, 17), (40, 150), (1_100, 5), (1_100, 20)] {
        let instance = random(&mut rng, tasks, 4, 1.0);
        let mut asked = 0;
        let mut clock = || {
            asked += 1;
            asked > questions
        };
        let options = PlanOptions { seed: 4, ..PlanOptions::default() };
        let cut = solve(&instance, &options, &[], &mut Budget::with_clock(100_000, &mut clock)).unwrap();
        check(&instance, &cut);
        let again = solve(&instance, &options, &[], &mut Budget::of(cut.schedules)).unwrap();
        // No `assert_eq`: nobody reads a thousand starts.
        assert!(cut == again, "{tasks} tasks, {questions} questions");
        assert!(again == solve(&instance, &options, &[], &mut Budget::of(cut.schedules)).unwrap());
    }
}

/// Tasks that are mostly ready at once, of times in whole seconds or not.
fn wide(rng: &mut Rng, tasks: usize, is_real: bool) -> Instance {
    let durations: Vec<f64> = (0..tasks)
        .map(|_| if is_real { 1.0 + 20.0 * rng.unit() } else { 1.0 + rng.below(20) as f64 })
        .collect();
    let takes: Vec<Vec<(u32, u64)>> = (0..tasks).map(|_| vec![(0, 1 + rng.below(4) as u64)]).collect();
    let parents: Vec<Vec<u32>> = (0..tasks)
        .map(|task| if task > 0 && task % 3 == 0 { vec![rng.below(task) as u32] } else { vec![] })
        .collect();
    instance(&durations, &takes, &parents, &[16])
}

#[test]
fn large_instances_are_near_the_bound_at_once() {
    let mut rng = Rng::new(7);
    for (tasks, is_real) in [(8_000, false), (8_000, true), (2_000, true), (2_000, false)] {
        let mut instance = wide(&mut rng, tasks, is_real);
        if tasks == 2_000 {
            instance.earliest = (0..tasks).map(|_| 30.0 * rng.unit()).collect();
            instance.occupied = vec![Occupied { resource: 0, amount: 7, until: 99.5 }];
        }
        let schedule = solve(&instance, &PlanOptions::default(), &[], &mut Budget::of(30)).unwrap();
        if tasks == 2_000 {
            check(&instance, &schedule);
        }
        let bound = lower_bound(&instance);
        assert!(bound <= schedule.makespan, "{bound}");
        assert!(schedule.makespan <= bound * 1.05, "{} {bound}", schedule.makespan);
    }
}

#[test]
fn a_large_seed_is_not_lost() {
    let mut rng = Rng::new(9);
    for is_real in [false, true] {
        let instance = wide(&mut rng, 3_000, is_real);
        let seed = solve(&instance, &PlanOptions::default(), &[], &mut Budget::of(40)).unwrap();
        for schedules in [0, 1, 5] {
            let mut budget = Budget::of(schedules);
            let seeds = std::slice::from_ref(&seed);
            let after = solve(&instance, &PlanOptions::default(), seeds, &mut budget).unwrap();
            assert!(after.makespan <= seed.makespan && after.schedules <= schedules);
        }
        // Time that is over before anything begins.
        let mut over = || true;
        let mut budget = Budget::with_clock(100, &mut over);
        let after =
            solve(&instance, &PlanOptions::default(), std::slice::from_ref(&seed), &mut budget).unwrap();
        assert_eq!((after.makespan, after.schedules), (seed.makespan, 0));
    }
}
