//! Judged by a check and a brute force that share no code with the search.

use crate::planning::{
    Device, Edge, Instance, Kind, Mode, Occupied, PlanOptions, Resource, Rows, Schedule, SchedulePlanner,
    Transfers,
};
use crate::{CostOptimised, EnergyOptimised, TimeOptimised, schedule_planner};
use dunnage_core::{Budget, Rng};
use dunnage_model::Weights;

const RULES: [&str; 7] = ["heft", "cpop", "peft", "min-min", "max-min", "sufferage", "mct"];

/// What a random instance is like.
#[derive(Clone, Copy)]
struct Shape {
    tasks: u32,
    gathers: bool,
    vector: bool,
    held: bool,
    moving: bool,
}

/// A machine with cores and two GPUs, or with three processors, and a random graph.
fn random(seed: u64, shape: Shape) -> Instance {
    let mut rng = Rng::of(seed, 99);
    let mut number = |from: u64, to: u64| from + rng.below((to - from + 1) as usize) as u64;
    let mut instance = Instance {
        devices: (0..3).map(|at| Device { name: format!("d{at}"), place: at }).collect(),
        transfers: Transfers::free(3),
        ..Instance::default()
    };
    let capacities: &[u64] = if shape.vector { &[8, 64, 10, 40, 10, 24] } else { &[1, 1, 1] };
    instance.resources = capacities
        .iter()
        .enumerate()
        .map(|(at, capacity)| Resource { name: format!("r{at}"), capacity: *capacity })
        .collect();
    for _ in 0..shape.tasks {
        let mut modes = Vec::new();
        for device in 0..3_u32 {
            if device > 0 && modes.len() == 1 && number(0, 4) == 0 {
                continue;
            }
            let seconds = number(1, 40) as f64 / if number(0, 1) == 0 { 4.0 } else { 3.0 };
            let takes: Vec<(u32, u64)> = if !shape.vector {
                vec![(device, 1)]
            } else if device == 0 {
                vec![(0, number(1, 8)), (1, number(1, 40))]
            } else {
                let first = device * 2;
                vec![(0, 1), (1, number(1, 8)), (first, number(2, 10)), (first + 1, number(1, 24))]
            };
            let price = seconds * f64::from(1 + 3 * device);
            modes.push(Mode {
                variant: 0,
                device,
                seconds,
                takes: takes.into(),
                price,
                joules: seconds * 7.0 - price,
            });
        }
        instance.kind_of.push(instance.kinds.len() as u32);
        instance.kinds.push(Kind { modes });
    }
    let mut parents: Vec<Vec<Edge>> = vec![Vec::new(); shape.tasks as usize];
    for child in 1..shape.tasks {
        for parent in child.saturating_sub(6)..child {
            if number(0, 3) == 0 {
                parents[child as usize].push(Edge { node: parent, size: number(0, 6) as f64 });
            }
        }
    }
    if shape.gathers && shape.tasks > 4 {
        // Of the first three, read by the last two.
        instance.gathers = 1;
        parents.push((0..3).map(|node| Edge { node, size: 3.0 }).collect());
        for child in shape.tasks - 2..shape.tasks {
            parents[child as usize].push(Edge { node: shape.tasks, size: 0.0 });
        }
    }
    for row in parents {
        instance.parents.push(row);
    }
    instance.children = instance.parents.reversed(instance.nodes() as usize);
    if shape.moving {
        for from in 0..3 {
            for to in 0..3 {
                instance.transfers.set(from, to, number(0, 8) as f64 / 8.0, number(0, 2) as f64 / 4.0);
            }
        }
    }
    if shape.held {
        instance.earliest = (0..shape.tasks).map(|_| (number(0, 3) / 3) as f64 * 5.0).collect();
        instance.occupied = vec![Occupied { resource: 0, amount: 1, until: 4.5 }];
    }
    instance.check().unwrap();
    instance
}

/// When all that a task reads can be at a place.
fn arrival(instance: &Instance, schedule: &Schedule, node: u32, place: u32) -> f64 {
    let mut latest = 0.0_f64;
    for edge in instance.parents.row(node) {
        latest = latest.max(if edge.node < instance.tasks() {
            let mode = &instance.modes(edge.node)[usize::from(schedule.mode[edge.node as usize])];
            let from = instance.devices[mode.device as usize].place;
            schedule.end[edge.node as usize] + instance.transfers.seconds(edge.size, from, place)
        } else {
            arrival(instance, schedule, edge.node, place)
        });
    }
    latest
}

/// Panics where a schedule is not one.
fn check(instance: &Instance, schedule: &Schedule) {
    let tasks = instance.tasks() as usize;
    assert_eq!((schedule.mode.len(), schedule.start.len(), schedule.end.len()), (tasks, tasks, tasks));
    for task in 0..tasks {
        let mode = &instance.modes(task as u32)[usize::from(schedule.mode[task])];
        let (start, end) = (schedule.start[task], schedule.end[task]);
        assert!((end - start - mode.seconds).abs() <= 1e-9 * (1.0 + end), "task {task} has another length");
        assert!(start >= instance.earliest(task as u32), "task {task} starts too early");
        let place = instance.devices[mode.device as usize].place;
        assert!(
            start >= arrival(instance, schedule, task as u32, place),
            "task {task} starts before its inputs"
        );
        for (resource, _) in &mode.takes {
            let mut used = 0;
            for other in 0..tasks {
                if schedule.start[other] <= start && start < schedule.end[other] {
                    let theirs = &instance.modes(other as u32)[usize::from(schedule.mode[other])];
                    used += theirs
                        .takes
                        .iter()
                        .filter(|take| take.0 == *resource)
                        .map(|take| take.1)
                        .sum::<u64>();
                }
            }
            let held =
                instance.occupied.iter().filter(|held| held.resource == *resource && held.until > start);
            used += held.map(|held| held.amount).sum::<u64>();
            let has = instance.resources[*resource as usize].capacity;
            assert!(used <= has, "at {start} {used} of {has} are used");
        }
    }
    assert_eq!(schedule.makespan, schedule.end.iter().copied().fold(0.0, f64::max));
}

/// The least makespan: all orders and modes, each task as early as it fits.
fn optimum(instance: &Instance) -> f64 {
    let tasks = instance.tasks() as usize;
    let mut schedule = Schedule {
        mode: vec![0; tasks],
        start: vec![0.0; tasks],
        end: vec![f64::NAN; tasks],
        ..Schedule::default()
    };
    let mut best = f64::INFINITY;
    place_next(instance, &mut schedule, &mut Vec::new(), &mut best);
    best
}

fn place_next(instance: &Instance, schedule: &mut Schedule, placed: &mut Vec<u32>, best: &mut f64) {
    let makespan = placed.iter().map(|task| schedule.end[*task as usize]).fold(0.0, f64::max);
    if makespan >= *best {
        return;
    }
    if placed.len() == instance.tasks() as usize {
        *best = makespan;
        return;
    }
    for task in 0..instance.tasks() {
        let is_ready = |node: u32| placed.contains(&node);
        let mut waits_for: Vec<u32> = instance.parents.row(task).iter().map(|edge| edge.node).collect();
        while let Some(at) = waits_for.iter().position(|node| *node >= instance.tasks()) {
            let gather = waits_for.swap_remove(at);
            waits_for.extend(instance.parents.row(gather).iter().map(|edge| edge.node));
        }
        if placed.contains(&task) || !waits_for.into_iter().all(is_ready) {
            continue;
        }
        for (index, mode) in instance.modes(task).iter().enumerate() {
            let place = instance.devices[mode.device as usize].place;
            let ready = arrival(instance, schedule, task, place).max(instance.earliest(task));
            let mut times: Vec<f64> = placed.iter().map(|other| schedule.end[*other as usize]).collect();
            times.extend(instance.occupied.iter().map(|held| held.until));
            times.push(ready);
            times.retain(|time| *time >= ready);
            times.sort_by(f64::total_cmp);
            let start =
                times.into_iter().find(|start| fits(instance, schedule, placed, mode, *start)).unwrap();
            schedule.mode[task as usize] = index as u16;
            schedule.start[task as usize] = start;
            schedule.end[task as usize] = start + mode.seconds;
            placed.push(task);
            place_next(instance, schedule, placed, best);
            placed.pop();
        }
    }
}

fn fits(instance: &Instance, schedule: &Schedule, placed: &[u32], mode: &Mode, start: f64) -> bool {
    let end = start + mode.seconds;
    let mut moments = vec![start];
    moments.extend(
        placed.iter().map(|task| schedule.start[*task as usize]).filter(|time| *time > start && *time < end),
    );
    mode.takes.iter().all(|(resource, amount)| {
        moments.iter().all(|moment| {
            let mut used = *amount;
            for other in placed.iter().map(|other| *other as usize) {
                if schedule.start[other] <= *moment && *moment < schedule.end[other] {
                    let theirs = &instance.modes(other as u32)[usize::from(schedule.mode[other])];
                    used += theirs
                        .takes
                        .iter()
                        .filter(|take| take.0 == *resource)
                        .map(|take| take.1)
                        .sum::<u64>();
                }
            }
            let held =
                instance.occupied.iter().filter(|held| held.resource == *resource && held.until > *moment);
            used + held.map(|held| held.amount).sum::<u64>()
                <= instance.resources[*resource as usize].capacity
        })
    })
}

fn shapes(tasks: u32) -> impl Iterator<Item = Shape> {
    (0..16).map(move |bits| Shape {
        tasks,
        gathers: bits & 1 != 0,
        vector: bits & 2 != 0,
        held: bits & 4 != 0,
        moving: bits & 8 != 0,
    })
}

fn plan(instance: &Instance, schedules: u64) -> Schedule {
    TimeOptimised.schedule(
        instance,
        &PlanOptions { seed: 5, ..PlanOptions::default() },
        &mut Budget::of(schedules),
    )
}

#[test]
fn tiny_instances_are_solved() {
    let (mut optimal, mut all) = (0, 0);
    for shape in shapes(5) {
        for seed in 0..4 {
            let instance = random(seed, shape);
            let found = plan(&instance, 3000);
            check(&instance, &found);
            let least = optimum(&instance);
            assert!(found.makespan >= least * (1.0 - 1e-12), "{} is less than {least}", found.makespan);
            all += 1;
            optimal += u32::from(found.makespan <= least * (1.0 + 1e-9));
        }
    }
    assert!(optimal * 100 >= all * 95, "{optimal} of {all}");
}

#[test]
fn schedules_hold_and_no_rule_is_better() {
    for shape in shapes(40) {
        for (seed, budget) in [(1, 20), (2, 40), (3, 3000)] {
            let instance = random(seed, shape);
            let found = plan(&instance, budget);
            check(&instance, &found);
            for rule in RULES {
                let planner = schedule_planner(rule).unwrap();
                let by_rule = planner.schedule(&instance, &PlanOptions::default(), &mut Budget::of(0));
                assert!(
                    found.makespan <= by_rule.makespan,
                    "{rule}: {} < {}",
                    by_rule.makespan,
                    found.makespan
                );
            }
            assert!(!found.why.is_empty() && found.schedules >= 7);
        }
    }
}

#[test]
fn the_same_number_of_schedules_gives_the_same_plan() {
    for shape in shapes(30) {
        let instance = random(9, shape);
        let found = plan(&instance, 2500);
        assert_eq!(found, plan(&instance, 2500));
    }
}

/// With a clock that is over after so many questions, and then with as many schedules as were made.
fn cut_and_again(instance: &Instance, weights: Weights, questions: u64) -> u64 {
    let options = PlanOptions { seed: 5, weights, ..PlanOptions::default() };
    let mut asked = 0;
    let mut is_over = || {
        asked += 1;
        asked > questions
    };
    let mut budget = Budget::with_clock(900, &mut is_over);
    let cut = TimeOptimised.schedule(instance, &options, &mut budget);
    let again = TimeOptimised.schedule(instance, &options, &mut Budget::of(cut.schedules));
    assert!(
        cut == again,
        "{questions} questions: {} {}; {} {}",
        cut.makespan,
        cut.why,
        again.makespan,
        again.why
    );
    cut.schedules
}

#[test]
fn a_run_that_time_cuts_is_repeated_by_its_count() {
    let questions = (0..14).chain((14..).step_by(37).take(6));
    for shape in shapes(30) {
        let several = random(9, shape);
        let mut one = several.clone();
        one.kinds.iter_mut().for_each(|kind| kind.modes.truncate(1));
        one.transfers = Transfers::free(3);
        let mut values = several.clone();
        if shape.vector {
            values.value_memory = vec![None, Some(3), Some(5)];
        }
        let weights = Weights { time: 1.0, energy: 1.0, ..Weights::default() };
        let mut counts = Vec::new();
        for questions in questions.clone() {
            counts.push(cut_and_again(&several, Weights::default(), questions));
            cut_and_again(&one, Weights::default(), questions);
            if questions % 5 == 0 {
                cut_and_again(&several, weights, questions);
                cut_and_again(&values, Weights::default(), questions);
            }
        }
        assert_eq!(counts[0], 1);
        counts.dedup();
        assert!(counts.len() > 6, "{counts:?}");
    }
    // Decoded for so long that time ends within a schedule.
    let shape = Shape { tasks: 700, gathers: true, vector: true, held: false, moving: true };
    let large = random(3, shape);
    let mut one = large.clone();
    one.kinds.iter_mut().for_each(|kind| kind.modes.truncate(1));
    one.transfers = Transfers::free(3);
    let mut chain = random(3, Shape { vector: false, ..shape });
    chain.occupied.clear();
    for questions in [0, 1, 3, 6, 11, 20, 31] {
        cut_and_again(&large, Weights::default(), questions);
        cut_and_again(&one, Weights::default(), questions);
        cut_and_again(&chain, Weights::default(), questions);
    }
}

#[test]
fn no_more_schedules_are_made_than_there_may_be() {
    for shape in shapes(30) {
        let several = random(2, shape);
        let mut one = several.clone();
        one.kinds.iter_mut().for_each(|kind| kind.modes.truncate(1));
        one.transfers = Transfers::free(3);
        for instance in [&several, &one] {
            for schedules in [0, 1, 2, 3, 5, 9, 14, 100] {
                let found = plan(instance, schedules);
                check(instance, &found);
                assert!(found.schedules <= schedules.max(1), "{} of {schedules}", found.schedules);
            }
        }
    }
}

#[test]
fn more_schedules_are_never_worse() {
    for shape in shapes(30) {
        let instance = random(4, shape);
        let mut before = f64::INFINITY;
        for budget in [0, 10, 100, 1000, 4000] {
            let found = plan(&instance, budget).makespan;
            assert!(found <= before, "{found} after {before}");
            before = found;
        }
    }
}

#[test]
fn a_clock_that_is_over_at_once_still_gives_a_plan() {
    for shape in shapes(30) {
        let instance = random(11, shape);
        let mut is_over = || true;
        let options = PlanOptions::default();
        let found =
            TimeOptimised.schedule(&instance, &options, &mut Budget::with_clock(u64::MAX, &mut is_over));
        check(&instance, &found);
    }
}

fn total(instance: &Instance, schedule: &Schedule, part: fn(&Mode) -> f64) -> f64 {
    (0..instance.tasks())
        .map(|task| part(&instance.modes(task)[usize::from(schedule.mode[task as usize])]))
        .sum()
}

#[test]
fn the_least_money_and_the_least_joules_are_spent() {
    for shape in shapes(25) {
        let instance = random(6, shape);
        for (planner, part) in [
            (&CostOptimised as &dyn SchedulePlanner, (|mode| mode.price) as fn(&Mode) -> f64),
            (&EnergyOptimised, |mode| mode.joules),
        ] {
            let found = planner.schedule(&instance, &PlanOptions::default(), &mut Budget::of(500));
            check(&instance, &found);
            let least: f64 = (0..instance.tasks())
                .map(|task| instance.modes(task).iter().map(part).fold(f64::INFINITY, f64::min))
                .sum();
            let spent = total(&instance, &found, part);
            assert!(spent <= least + 0.011 * least.abs().max(1.0), "{spent} instead of {least}");
        }
    }
}

#[test]
fn one_way_to_run_is_searched_by_order_alone() {
    for seed in 0..4 {
        let shape = Shape { tasks: 40, gathers: true, vector: true, held: seed % 2 == 1, moving: false };
        let mut instance = random(seed, shape);
        for kind in &mut instance.kinds {
            kind.modes.truncate(1);
        }
        let found = plan(&instance, 500);
        check(&instance, &found);
        assert!(found.why.contains("rules"), "{}", found.why);
        for rule in RULES {
            let planner = schedule_planner(rule).unwrap();
            let by_rule = planner.schedule(&instance, &PlanOptions::default(), &mut Budget::of(0));
            assert!(found.makespan <= by_rule.makespan * (1.0 + 1e-9), "{rule}");
        }
    }
}

#[test]
fn reasons_are_in_words() {
    let shape = Shape { tasks: 30, gathers: false, vector: false, held: false, moving: true };
    let instance = random(1, shape);
    let found = plan(&instance, 2000);
    assert!(found.why.starts_with("best of 9 rules was "), "{}", found.why);
    assert!(found.why.contains("search improved it by "), "{}", found.why);
    assert!(found.why.contains(" above the least possible"), "{}", found.why);
    let options = PlanOptions { seed: 5, ..PlanOptions::default() };
    let weights = Weights { time: 1.0, energy: 1.0, ..Weights::default() };
    let weighted = PlanOptions { weights, ..options };
    let found = TimeOptimised.schedule(&instance, &weighted, &mut Budget::of(2000));
    assert!(found.why.contains("search improved the weighted sum by "), "{}", found.why);
    assert!(!found.why.contains("possible") && !found.why.contains("shorter"), "{}", found.why);
    let cheap = CostOptimised.schedule(&instance, &options, &mut Budget::of(50));
    assert!(cheap.why.starts_with("each task in its cheapest ways"), "{}", cheap.why);
    let auto = schedule_planner("auto").unwrap().schedule(&instance, &options, &mut Budget::of(2000));
    assert!(auto.why.starts_with("time-optimised: best of 9 rules"), "{}", auto.why);
}

#[test]
fn money_within_a_hundredth_does_not_cost_time() {
    // Eight alike tasks, two processors of which one costs a thousandth more: both are used.
    let mode = |device: u32, price: f64| Mode {
        variant: 0,
        device,
        seconds: 1.0,
        takes: [(device, 1)].into(),
        price,
        joules: 0.0,
    };
    let mut parents: Rows<Edge> = Rows::default();
    (0..8).for_each(|_| parents.push([]));
    let instance = Instance {
        devices: (0..2).map(|at| Device { name: String::new(), place: at }).collect(),
        resources: (0..2).map(|_| Resource { name: String::new(), capacity: 1 }).collect(),
        kinds: vec![Kind { modes: vec![mode(0, 1.0), mode(1, 1.001)] }],
        kind_of: vec![0; 8],
        children: parents.clone(),
        parents,
        transfers: Transfers::free(2),
        ..Instance::default()
    };
    let found = CostOptimised.schedule(&instance, &PlanOptions::default(), &mut Budget::of(100));
    assert_eq!(found.makespan, 4.0);
}

#[test]
fn a_goal_that_allows_every_mode_copies_nothing() {
    let shape = Shape { tasks: 12, gathers: true, vector: false, held: false, moving: true };
    let mut instance = random(3, shape);
    let goals = [super::Goal::Money, super::Goal::Energy];
    assert!(goals.iter().all(|goal| goal.restricted(&instance).is_some()));
    for mode in instance.kinds.iter_mut().flat_map(|kind| &mut kind.modes) {
        (mode.price, mode.joules) = (2.0, 3.0);
    }
    assert!(goals.iter().all(|goal| goal.restricted(&instance).is_none()));
    let found = CostOptimised.schedule(&instance, &PlanOptions::default(), &mut Budget::of(50));
    assert!(found.why.starts_with("each task in its cheapest ways"), "{}", found.why);
}

#[test]
fn weights_shift_what_is_spared() {
    let shape = Shape { tasks: 40, gathers: true, vector: true, held: false, moving: true };
    let (mut joules, mut moved, mut pieces) = ([0.0; 2], [0.0; 2], [0.0; 2]);
    for seed in 0..6 {
        let mut instance = random(seed, shape);
        instance.fragmenting = vec![2, 4];
        for kind in &mut instance.kinds {
            for mode in &mut kind.modes {
                mode.joules = mode.seconds * if mode.device == 0 { 1.0 } else { 9.0 };
            }
        }
        let with = |weights: Weights| {
            let options = PlanOptions { seed: 1, weights, ..PlanOptions::default() };
            let found = TimeOptimised.schedule(&instance, &options, &mut Budget::of(3000));
            check(&instance, &found);
            let net = super::encoding::Net::new(&instance);
            super::objective::parts(&net, &net.list_of(&found).unwrap(), &found.start, &found.end)
        };
        let time = with(Weights::default());
        let energy = with(Weights { time: 0.1, energy: 5.0, ..Weights::default() });
        let transfer = with(Weights { time: 0.1, transfer: 5.0, ..Weights::default() });
        let whole = with(Weights { time: 0.1, fragmentation: 5.0, ..Weights::default() });
        joules = [joules[0] + time.joules, joules[1] + energy.joules];
        moved = [moved[0] + time.transfer, moved[1] + transfer.transfer];
        pieces = [pieces[0] + time.fragmentation, pieces[1] + whole.fragmentation];
    }
    assert!(joules[1] < joules[0] * 0.9, "{joules:?}");
    assert!(moved[1] < moved[0] * 0.5, "{moved:?}");
    assert!(pieces[1] < pieces[0] * 0.9, "{pieces:?}");
}

/// Who reads the value of a task, and how much of it, gathers seen through.
fn readers(instance: &Instance, task: u32) -> Vec<(u32, f64)> {
    let mut all = Vec::new();
    let mut open: Vec<(u32, f64)> =
        instance.children.row(task).iter().map(|edge| (edge.node, edge.size)).collect();
    while let Some((node, size)) = open.pop() {
        if node < instance.tasks() {
            all.push((node, size));
        } else {
            open.extend(instance.children.row(node).iter().map(|edge| (edge.node, size)));
        }
    }
    all.retain(|reader| reader.1 > 0.0);
    all.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
    all.dedup_by_key(|reader| reader.0);
    all
}

/// Panics where a memory is overfull at any time, or a value is read where it is not.
fn check_values(instance: &Instance, schedule: &Schedule) {
    let place = |task: u32| {
        let mode = &instance.modes(task)[usize::from(schedule.mode[task as usize])];
        instance.devices[mode.device as usize].place
    };
    // Of which resource, how much, from when, until when.
    let mut held: Vec<(u32, f64, f64, f64)> = Vec::new();
    for task in 0..instance.tasks() {
        let (start, end) = (schedule.start[task as usize], schedule.end[task as usize]);
        for (resource, amount) in &instance.modes(task)[usize::from(schedule.mode[task as usize])].takes {
            held.push((*resource, *amount as f64, start, end));
        }
        let readers = readers(instance, task);
        let Some(size) = readers.iter().map(|reader| reader.1.ceil()).reduce(f64::max) else { continue };
        let moved = schedule.moved.iter().find(|moved| moved.task == task);
        let home = place(task);
        let mut until = end;
        for (reader, size) in readers {
            let (begins, ends) = (schedule.start[reader as usize], schedule.end[reader as usize]);
            let there = place(reader);
            // Those that read before it is moved out read it here.
            let moved = moved.filter(|moved| begins >= moved.until && !(there == home && ends <= moved.from));
            let (from, since) = moved.map_or((Some(home), end), |moved| (moved.to, moved.until));
            let way = from.map_or(0.0, |from| instance.transfers.seconds(size, from, there));
            assert!(begins >= since + way - 1e-9, "task {reader} starts before the value of {task} is there");
            if moved.is_none() {
                until = until.max(if there == home { ends } else { begins });
            }
            if let Some(memory) = instance.value_memory[there as usize].filter(|_| from != Some(there)) {
                held.push((memory, size.ceil(), begins - way, ends));
            }
        }
        if let Some(moved) = moved {
            assert!(moved.from >= end && moved.until >= moved.from);
            assert!(moved.to.is_none_or(|to| instance.value_memory[to as usize].is_none()));
            until = moved.until;
        }
        if let Some(memory) = instance.value_memory[home as usize] {
            held.push((memory, size, start, until));
        }
    }
    for (resource, _, at, _) in &held {
        let used: f64 = held
            .iter()
            .filter(|other| other.0 == *resource && other.2 <= *at + 1e-9 && *at + 1e-9 < other.3)
            .map(|other| other.1)
            .sum();
        let has = instance.resources[*resource as usize].capacity as f64;
        assert!(
            used <= has,
            "at {at} {used} of {has} `{}` are used",
            instance.resources[*resource as usize].name
        );
    }
}

#[test]
fn values_never_overfill_a_memory() {
    let mut moved = 0;
    for seed in 0..60 {
        let shape = Shape {
            tasks: 30,
            gathers: seed % 2 == 0,
            vector: true,
            held: seed % 5 == 0,
            moving: seed % 3 > 0,
        };
        let mut instance = random(seed, shape);
        // Some values live long: the first tasks are also read by the last ones.
        let mut parents: Rows<Edge> = Rows::default();
        for node in 0..instance.nodes() {
            let late = (22..30).contains(&node).then(|| Edge { node: 29 - node, size: 4.0 });
            let row = instance.parents.row(node).iter().copied();
            parents.push(row.filter(|edge| late.is_none_or(|late| late.node != edge.node)).chain(late));
        }
        instance.children = parents.reversed(instance.nodes() as usize);
        instance.parents = parents;
        // The memory of the host is also bounded, or not; each task alone just fits.
        instance.value_memory = vec![(seed % 4 == 0).then_some(1), Some(3), Some(5)];
        for kind in &mut instance.kinds {
            for mode in &mut kind.modes {
                for take in mode.takes.iter_mut().filter(|take| [1, 3, 5].contains(&take.0)) {
                    take.1 = 1;
                }
            }
        }
        let mut read = vec![0.0; 30];
        let mut most = 0.0_f64;
        for task in 0..30 {
            let readers = readers(&instance, task);
            let size = readers.iter().map(|reader| reader.1).fold(0.0, f64::max);
            most = most.max(size);
            for (reader, _) in readers {
                read[reader as usize] += size;
            }
        }
        let capacity = 1 + (read.into_iter().fold(0.0, f64::max) + most) as u64;
        for resource in [1, 3, 5] {
            instance.resources[resource].capacity = capacity;
        }
        let found = plan(&instance, if seed % 2 == 0 { 300 } else { 0 });
        check(&instance, &found);
        check_values(&instance, &found);
        moved += found.moved.len();
        assert_eq!(found, plan(&instance, if seed % 2 == 0 { 300 } else { 0 }));
    }
    assert!(moved > 0, "no memory was ever short");
}

#[test]
fn a_task_too_large_for_its_memory_keeps_its_values_in_files() {
    let shape = Shape { tasks: 20, gathers: true, vector: true, held: false, moving: true };
    for seed in 0..10 {
        let mut instance = random(seed, shape);
        instance.value_memory = vec![Some(1), Some(3), Some(5)];
        for resource in [1, 3, 5] {
            instance.resources[resource].capacity = 41;
        }
        let found = plan(&instance, 50);
        check(&instance, &found);
    }
}

#[test]
fn a_chain_of_values_needs_no_more_than_two_at_once() {
    // Each task reads what the one before made; memory holds two values and no more.
    let mut parents: Rows<Edge> = Rows::default();
    for task in 0..10_u32 {
        parents.push(task.checked_sub(1).map(|node| Edge { node, size: 5.0 }));
    }
    let mode = Mode { variant: 0, device: 0, seconds: 1.0, takes: [(0, 1)].into(), price: 0.0, joules: 0.0 };
    let instance = Instance {
        devices: vec![Device { name: String::new(), place: 0 }],
        resources: [1, 10].map(|capacity| Resource { name: String::new(), capacity }).into(),
        kinds: vec![Kind { modes: vec![mode] }],
        kind_of: vec![0; 10],
        children: parents.reversed(10),
        parents,
        transfers: Transfers::free(1),
        value_memory: vec![Some(1)],
        ..Instance::default()
    };
    let found = plan(&instance, 10);
    check(&instance, &found);
    check_values(&instance, &found);
    assert_eq!((found.makespan, found.moved.len()), (10.0, 0));
}

#[test]
fn a_graph_without_tasks_has_a_plan() {
    assert_eq!(plan(&Instance::default(), 10), Schedule::default());
}
