//! The packing strategies on the ledger of machines with several GPUs, MIG instances, shares and memory.

mod core_support;

use core_support::{F, Scenario, f, gpus, scenario, spec};
use dunnage_model::{Bytes, Event, GraphSpec, NodeId, NodeSpec, Span};
use std::sync::Arc;

/// Those that look at what tasks typically ask for do otherwise before they have seen any.
const TIGHTEST_FIRST: [&str; 4] = ["best-fit", "dot-product", "gpu-packing", "gpu-clustering"];

const ALL: [&str; 6] = ["best-fit", "dot-product", "gpu-packing", "gpu-clustering", "fgd", "auto"];

fn submit(scenario: &mut Scenario, strategy: &str, functions: impl IntoIterator<Item = F>) {
    scenario.submit(GraphSpec { strategy: Some(strategy.to_owned()), ..spec(functions) });
}

/// On which GPUs of its node a task runs, counted from 1.
fn on(scenario: &Scenario, task: &str) -> Vec<u16> {
    scenario.placement(task).gpus.iter().map(|grant| grant.device.local).collect()
}

fn second(node: NodeSpec) -> NodeSpec {
    let id = NodeId(NodeId::LOCAL.0 + 1);
    let mut node = NodeSpec { id, name: "second".to_owned(), ..node };
    for gpu in &mut node.gpus {
        gpu.device.node = id;
        gpu.uuid.push('b');
    }
    node
}

#[test]
fn parts_fill_the_gpu_that_is_in_use() {
    for strategy in TIGHTEST_FIRST {
        let mut machine = scenario(gpus(&[80, 80, 80]));
        submit(&mut machine, "first-available", [f("whole").gpus(1), f("half").gpu_share(500)]);
        assert_eq!((on(&machine, "whole"), on(&machine, "half")), (vec![1], vec![2]));
        submit(&mut machine, strategy, [f("a").gpu_share(300), f("b").gpu_share(200), f("c").gpu_share(100)]);
        assert_eq!(["a", "b", "c"].map(|task| on(&machine, task)), [[2], [2], [3]], "{strategy}");
    }
}

/// Memory alone counts as its fraction of a GPU's memory: the GPU with less memory left is the tighter one.
#[test]
fn memory_counts_as_its_fraction() {
    for strategy in TIGHTEST_FIRST {
        let mut machine = scenario(gpus(&[80, 80]));
        submit(&mut machine, "first-available", [f("some").gpu_memory(Bytes::gib(20))]);
        submit(&mut machine, strategy, [f("big").gpu_memory(Bytes::gib(70))]);
        assert_eq!((on(&machine, "some"), on(&machine, "big")), (vec![1], vec![2]), "{strategy}");
        // 60 GiB are left of the first and 10 of the second.
        submit(&mut machine, strategy, [f("small").gpu_memory(Bytes::gib(8))]);
        assert_eq!(on(&machine, "small"), [2], "{strategy}");
    }
}

/// fgd and auto learn that halves and whole GPUs are asked for, and keep room for both.
#[test]
fn what_is_typical_is_not_broken_up() {
    for strategy in ["fgd", "auto"] {
        let mut machine = scenario(gpus(&[80; 4]));
        let seen = (0..8).map(|n| {
            if n % 2 == 0 { f(&format!("w{n}")).gpus(1) } else { f(&format!("h{n}")).gpu_share(500) }
        });
        submit(&mut machine, strategy, seen);
        for name in machine.running() {
            machine.ok(&name);
        }
        while let Some(name) = machine.running().first().cloned() {
            machine.ok(&name);
        }
        submit(&mut machine, "first-available", [f("first").gpu_share(500)]);
        submit(&mut machine, strategy, [f("second").gpu_share(500)]);
        assert_eq!(on(&machine, "second"), on(&machine, "first"), "{strategy}");
        submit(&mut machine, strategy, [f("three").gpus(3)]);
        assert_eq!(on(&machine, "three").len(), 3, "{strategy}");
    }
}

/// Where nobody has asked for a whole GPU, `auto` lets tasks that share keep out of each other's way.
#[test]
fn auto_spreads_parts_while_nobody_wants_a_whole_gpu() {
    let mut machine = scenario(gpus(&[80; 4]));
    submit(&mut machine, "auto", (0..4).map(|n| f(&format!("t{n}")).gpu_share(250)));
    let mut used: Vec<u16> = (0..4).flat_map(|n| on(&machine, &format!("t{n}"))).collect();
    used.sort_unstable();
    assert_eq!(used, [1, 2, 3, 4]);
}

#[test]
fn several_gpus_are_taken_on_one_numa_node() {
    for strategy in ALL {
        let mut node = gpus(&[80; 4]);
        for gpu in &mut node.gpus {
            gpu.numa_node = Some(gpu.device.local % 2);
        }
        let mut machine = scenario(node);
        submit(&mut machine, strategy, [f("pair").gpus(2), f("other").gpus(2)]);
        let mut pairs = [on(&machine, "pair"), on(&machine, "other")];
        pairs.sort();
        assert_eq!(pairs, [[1, 3], [2, 4]], "{strategy}");
    }
}

/// A GPU that is cut into MIG instances takes nothing itself, and a small task goes to the small instance.
#[test]
fn mig_instances_are_gpus_of_their_own() {
    for strategy in ALL {
        let mut node = gpus(&[80, 80, 40, 10]);
        node.gpus[1].allocatable = false;
        for at in [2, 3] {
            node.gpus[at].mig_parent = Some(node.gpus[1].uuid.clone());
        }
        let mut machine = scenario(node);
        submit(&mut machine, strategy, [f("small").gpus(1)]);
        assert_eq!(on(&machine, "small"), [4], "{strategy}");
        submit(
            &mut machine,
            strategy,
            [f("large").cost(|cost| {
                cost.gpus = Some(1);
                cost.gpu_memory = Some(Bytes::gib(60));
            })],
        );
        assert_eq!(on(&machine, "large"), [1], "{strategy}");
    }
}

#[test]
fn best_fit_takes_the_tightest_node_and_clustering_the_same_kind() {
    let two = || {
        let mut machine = scenario(gpus(&[80; 4]));
        machine.event(Event::NodeSeen(Arc::new(second(gpus(&[80; 2])))));
        machine
    };
    let mut machine = two();
    submit(&mut machine, "best-fit", [f("a").gpus(1), f("b").cpus(4)]);
    assert_eq!(machine.placement("a").node.0, NodeId::LOCAL.0 + 1);
    assert_eq!(machine.placement("b").node.0, NodeId::LOCAL.0 + 1);

    let mut machine = two();
    submit(&mut machine, "first-available", [f("part").gpu_share(200)]);
    submit(&mut machine, "gpu-clustering", [f("whole").gpus(1)]);
    assert_ne!(machine.placement("whole").node, machine.placement("part").node);
    submit(&mut machine, "gpu-clustering", [f("part-2").gpu_share(200), f("whole-2").gpus(1)]);
    assert_eq!(machine.placement("part-2").node, machine.placement("part").node);
    assert_eq!(machine.placement("whole-2").node, machine.placement("whole").node);
}

/// A task without GPU goes where cores are more than the GPUs there will need.
#[test]
fn auto_leaves_cores_to_gpus() {
    let mut machine = scenario(gpus(&[80; 4]));
    machine.event(Event::NodeSeen(Arc::new(second(gpus(&[80])))));
    let with_gpu = |name: String| {
        f(&name).cost(|cost| {
            cost.cpus = Some(dunnage_model::MilliCores::cores(4));
            cost.gpus = Some(1);
        })
    };
    submit(&mut machine, "auto", (0..8).map(|n| with_gpu(format!("g{n}")).lasts(Span::secs(1))));
    while let Some(name) = machine.running().first().cloned() {
        machine.ok(&name);
    }
    submit(&mut machine, "auto", [f("cores").cpus(8)]);
    assert_eq!(machine.placement("cores").node.0, NodeId::LOCAL.0 + 1);
}
