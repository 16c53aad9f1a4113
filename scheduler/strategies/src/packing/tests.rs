//! Scores against sums done by hand, and the index against looking at every node.

use super::fill::Frees;
use super::*;
use crate::{best_fit, dot_product, gpu_clustering, gpu_packing};
use dunnage_core::Rng;

fn node(cores: i64, gpus: &[u16]) -> Fill {
    let gpus = gpus.iter().map(|free| Gpu { free: *free, model: 0 }).collect();
    Fill::new(cores * 1000, 1 << 20, gpus)
}

fn shape(cores: i64, count: u16, milli: u16) -> Shape {
    Shape { cpu: cores * 1000, count, milli, ..Shape::NOTHING }
}

fn workload(shapes: &[(Shape, f64)], nodes: &[Fill]) -> Workload {
    Workload::given(shapes, &Capacity::of(nodes))
}

#[test]
fn fragmentation_is_what_typical_tasks_cannot_use() {
    let typical = workload(&[(shape(1, 1, 500), 1.0), (shape(4, 1, 1000), 1.0)], &[node(8, &[1000; 2])]);
    assert_eq!(typical.typical_shapes(), 2);
    // Half a GPU can use both; a whole one cannot use the 700.
    assert_eq!(typical.fragmentation(&node(8, &[700, 1000])), 350.0);
    // With two cores a whole one fits nowhere.
    assert_eq!(typical.fragmentation(&node(2, &[700, 1000])), 850.0);
    assert_eq!(typical.fragmentation(&node(0, &[700, 1000])), 1700.0);
    assert_eq!(typical.fragmentation(&node(8, &[])), 0.0);
    // Putting half a GPU on the 700 leaves 200 that nobody can use, beside a whole one.
    let after = typical.fragmentation_after(&node(8, &[700, 1000]), &shape(1, 1, 500), Chosen::one(0));
    assert_eq!(after, 200.0);
    // Tasks without GPU can use none of it.
    let half_cpu = workload(&[(shape(1, 1, 500), 1.0), (shape(4, 0, 0), 1.0)], &[node(8, &[1000])]);
    assert_eq!(half_cpu.fragmentation(&node(8, &[1000])), 500.0);
}

#[test]
fn rare_shapes_are_not_typical() {
    let mut shapes = vec![(shape(1, 1, 500), 95.0)];
    shapes.extend((1..=5).map(|n| (shape(n, 1, 300), 1.0)));
    assert_eq!(workload(&shapes, &[node(8, &[1000])]).typical_shapes(), 1);
}

#[test]
fn a_model_that_is_not_allowed_is_no_use() {
    let only_one = Shape { models: Models::NONE.with(1), ..shape(1, 1, 500) };
    let empty = Fill::new(64_000, 1 << 20, (0..2).map(|model| Gpu { free: 1000, model }).collect());
    let typical = workload(&[(only_one, 1.0)], std::slice::from_ref(&empty));
    assert_eq!(typical.fragmentation(&empty), 1000.0);
    assert_eq!(typical.fragmentation(&node(8, &[1000])), 1000.0);
    assert_eq!(typical.scarcity, [0.0, 2.0]);
    assert!(!node(8, &[1000]).fits(&only_one) && empty.fits(&only_one));
    assert_eq!(empty.first_gpus(&only_one), Chosen::one(1));
}

/// A node of one model goes a shorter way to the same number.
#[test]
fn fragmentation_is_the_same_both_ways() {
    let mut rng = Rng::new(3);
    let shapes: Vec<(Shape, f64)> = (0..30).map(|_| (any_shape(&mut rng), 1.0 + rng.unit())).collect();
    let typical = workload(&shapes, &[node(64, &[1000; 8])]);
    for _ in 0..200 {
        let frees: Vec<u16> = (0..rng.below(9)).map(|_| rng.below(1001) as u16).collect();
        let fill = node(rng.below(64) as i64, &frees);
        let long = typical.fragmentation_mixed(&fill, &Shape::NOTHING, Chosen::NONE);
        assert!((typical.fragmentation(&fill) - long).abs() < 1e-6);
    }
}

#[test]
fn scores_by_hand() {
    let fill = node(64, &[1000, 600, 300, 1000]);
    // 62 cores of 128 and 2400 milli of 8000 left: 100 (1 - .2422 - .15).
    assert_eq!(best_fit::score(&fill, &shape(2, 1, 500)), 60);
    // 100 (1 - (.5 x .015625 + .3625 x .0625) / 2) = 98.5
    assert_eq!(dot_product::score(&fill, &shape(2, 1, 500)), 98);
    // On the 600: 100 - 60 / 10; on a fresh one: 50 - 1.
    assert_eq!(gpu_packing::score(&fill, &shape(2, 1, 500), Chosen::one(1)), 94);
    assert_eq!(gpu_packing::score(&fill, &shape(2, 1, 500), Chosen::one(0)), 49);
    assert_eq!(gpu_packing::score(&node(64, &[1000; 4]), &shape(2, 1, 500), Chosen::one(0)), 29);
    assert_eq!(gpu_packing::score(&fill, &shape(2, 0, 0), Chosen::NONE), 0);
    // 5100 of 8000 in use: 25 x .6375 = 15.
    let mut fill = fill;
    assert_eq!(gpu_clustering::score(&fill, &shape(2, 1, 500)), 25 + 15);
    fill.note_kind(0);
    assert_eq!(gpu_clustering::score(&fill, &shape(2, 1, 500)), 75 + 15);
    assert_eq!(gpu_clustering::score(&fill, &shape(2, 1, 1000)), 15);
    fill.note_kind(2);
    assert_eq!(gpu_clustering::score(&fill, &shape(2, 2, 1000)), 50 + 15);
}

#[test]
fn fgd_takes_the_gpu_that_leaves_a_whole_one() {
    let typical = workload(&[(shape(1, 1, 500), 1.0), (shape(4, 1, 1000), 1.0)], &[node(8, &[1000; 2])]);
    let fill = node(8, &[1000, 500]);
    for policy in [Policy::Fgd, Policy::Auto] {
        let value = policy.value(&fill, &typical);
        let best = policy.best(&fill, &shape(1, 1, 500), &typical, value, Tie::Name);
        assert_eq!(best.map(|best| best.chosen), Some(Chosen::one(1)), "{policy:?}");
    }
    // On the whole one F grows from 250 to 500, on the other it falls to 0: 100 / (1 + e^-.25) = 56.2.
    let score = |at| {
        let value = Policy::Fgd.value(&fill, &typical);
        Policy::Fgd.score(&fill, &shape(1, 1, 500), Chosen::one(at), &typical, value)
    };
    assert_eq!((score(0), score(1)), (43, 56));
}

/// Cores that go with GPUs: a task without GPU goes where there are more cores than its GPUs will need, fgd
/// sees no difference and best-fit goes the wrong way.
#[test]
fn auto_leaves_no_gpu_without_cores() {
    let typical = workload(&[(shape(10, 1, 1000), 9.0), (shape(10, 0, 0), 1.0)], &[node(80, &[1000; 8])]);
    let nodes = vec![node(40, &[1000; 4]), node(60, &[1000; 4])];
    let task = shape(10, 0, 0);
    let chosen = |policy| {
        let mut index = Index::new(nodes.clone(), policy, Tie::Fit, typical.clone());
        index.find(&task, &mut Rng::new(1)).map(|placed| placed.node)
    };
    assert_eq!(chosen(Policy::Auto), Some(1));
    assert_eq!(chosen(Policy::BestFit), Some(0));
}

#[test]
fn scarce_models_are_left_to_those_who_need_them() {
    let gpu = |model| Gpu { free: 1000, model };
    let nodes = vec![
        Fill::new(16_000, 1 << 20, vec![gpu(1)]),
        Fill::new(16_000, 1 << 20, vec![gpu(0)]),
        Fill::new(16_000, 1 << 20, vec![gpu(0)]),
    ];
    let picky = Shape { models: Models::NONE.with(1), ..shape(8, 1, 1000) };
    let typical = workload(&[(shape(8, 1, 1000), 2.0), (picky, 1.0)], &nodes);
    let mut index = Index::new(nodes, Policy::Auto, Tie::Fit, typical);
    let mut rng = Rng::new(1);
    for task in [shape(8, 1, 1000), shape(8, 1, 1000), picky] {
        let placed = index.find(&task, &mut rng).expect("all three fit if the third finds its model");
        index.place(&task, placed);
    }
    assert_eq!(index.find(&picky, &mut rng), None);
}

#[test]
fn frees_are_sorted_and_bounded() {
    let mut frees = Frees::new();
    for n in 0..100_u16 {
        frees.push(n * 37 % 101);
    }
    assert!(frees.as_slice().len() <= GPUS_MAX && frees.as_slice().is_sorted_by(|a, b| a >= b));
    let many = Fill::new(1, 1, vec![Gpu { free: 1000, model: 0 }; 100]);
    assert_eq!(many.gpus().len(), GPUS_MAX);
}

#[test]
fn taking_is_subtracting() {
    let mut fill = node(8, &[1000, 600]);
    fill.take(&shape(2, 1, 500), Chosen::one(1));
    assert_eq!((fill.cpu, fill.gpu_free(), fill.gpus()[1].free, fill.kinds()), (6000, 1100, 100, 1));
    fill.take(&shape(2, 0, 0), Chosen::NONE);
    assert_eq!((fill.cpu, fill.gpu_free(), fill.kinds()), (4000, 1100, 1));
}

fn any_shape(rng: &mut Rng) -> Shape {
    let (count, milli) = match rng.below(4) {
        0 => (0, 0),
        1 => (1, [250, 330, 500, 810][rng.below(4)]),
        2 => (1, 1000),
        _ => (2 + rng.below(2) as u16, 1000),
    };
    let models =
        if count > 0 && rng.below(4) == 0 { Models::NONE.with(rng.below(3) as u8) } else { Models::ANY };
    Shape { cpu: rng.below(12) as i64 * 500, memory: rng.below(3) as i64 * 1000, count, milli, models }
}

fn any_node(rng: &mut Rng) -> Fill {
    let (model, mixed) = (rng.below(3) as u8, rng.below(5) == 0);
    let gpu = |at: usize| Gpu { free: 1000, model: if mixed { (at % 3) as u8 } else { model } };
    let gpus = (0..[0, 1, 2, 4, 8][rng.below(5)]).map(gpu).collect();
    Fill::new([8000, 16_000, 48_000][rng.below(3)], [4000, 64_000][rng.below(2)], gpus)
}

/// The node that looking at every node finds: most score, then most of the tie key, then first.
fn by_looking(index: &Index, policy: Policy, tie: Tie, shape: &Shape) -> Option<Placed> {
    let mut best: Option<(Rated, usize)> = None;
    for (at, fill) in index.nodes().iter().enumerate() {
        let value = policy.value(fill, index.workload());
        let Some(rated) = policy.best(fill, shape, index.workload(), value, tie) else { continue };
        if best.is_none_or(|(most, _)| (rated.score, rated.tie) > (most.score, most.tie)) {
            best = Some((rated, at));
        }
    }
    best.map(|(rated, node)| Placed { node, gpus: rated.chosen })
}

/// For random clusters and tasks: what the index finds is what looking at every node finds, nothing that fits
/// is refused, nothing is placed where it does not fit, and statistics that change are taken in.
#[test]
fn the_index_finds_what_looking_at_every_node_finds() {
    for seed in 0..12 {
        for policy in Policy::ALL {
            for tie in [Tie::Name, Tie::Fit, Tie::Random] {
                let mut rng = Rng::new(seed);
                let nodes: Vec<Fill> = (0..=rng.below(24)).map(|_| any_node(&mut rng)).collect();
                let shapes: Vec<Shape> = (0..12).map(|_| any_shape(&mut rng)).collect();
                let capacity = Capacity::of(&nodes);
                let given: Vec<(Shape, f64)> = shapes.iter().map(|shape| (*shape, 1.0)).collect();
                let mut index = Index::new(nodes, policy, tie, Workload::given(&given, &capacity));
                for n in 0..150 {
                    if n == 40 {
                        index.set_workload(Workload::given(&given[..4], &capacity));
                    }
                    let shape = shapes[rng.below(shapes.len())];
                    let drawn = tie == Tie::Random || policy == Policy::Random;
                    let looked = by_looking(&index, policy, tie, &shape);
                    let found = index.find(&shape, &mut rng);
                    if drawn {
                        assert_eq!(found.is_some(), looked.is_some());
                    } else {
                        assert_eq!(found, looked, "{policy:?} {tie:?} {seed} {n}");
                    }
                    let Some(placed) = found else {
                        assert!(index.nodes().iter().all(|fill| !fill.fits(&shape)), "refused what fits");
                        continue;
                    };
                    let fill = &index.nodes()[placed.node];
                    let able = fill.gpus().iter().enumerate().filter(|(at, gpu)| {
                        placed.gpus.has(*at) && gpu.free >= shape.milli && shape.models.has(gpu.model)
                    });
                    assert!(fill.fits(&shape) && able.count() == usize::from(shape.count));
                    assert_eq!(placed.gpus.len(), usize::from(shape.count));
                    index.place(&shape, placed);
                }
            }
        }
    }
}

#[test]
fn what_was_submitted_is_learned_and_forgotten() {
    let empty = [node(64, &[1000; 8])];
    let capacity = Capacity::of(&empty);
    let mut history = History::default();
    let refreshes = (0..100).filter(|_| history.submit(shape(4, 1, 500))).count();
    assert_eq!(refreshes, 7, "after 1, 2, 4 ... 64");
    let learned = history.workload(&capacity);
    let given = workload(&[(shape(4, 1, 500), 1.0)], &empty);
    assert_eq!(learned.fragmentation(&empty[0]), given.fragmentation(&empty[0]));
    assert!((learned.cpu_per_gpu - 8.0).abs() < 1e-9 && learned.largest_milli == 500);
    // Six half-lives later hardly anything is left of it.
    for _ in 0..6 * 4096 {
        history.submit(shape(4, 1, 1000));
    }
    assert_eq!(history.workload(&capacity).typical_shapes(), 1);
    // However many shapes are submitted, few are remembered, the frequent one among them.
    for n in 0..10_000 {
        history.submit(Shape { cpu: n, ..shape(0, 1, 250) });
    }
    let after = history.workload(&capacity);
    assert!(after.typical_shapes() <= 512);
    assert_eq!(after.largest_milli, 1000);
}
