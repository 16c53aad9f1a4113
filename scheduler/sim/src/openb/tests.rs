//! Replays of small clusters, and what is said of files that are not well.

use super::*;
use dunnage_core::Rng;
use dunnage_strategies::packing::{Policy, Tie};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fmt::Write as _;
use std::io::{Cursor, Write as _};

const NODE_HEAD: &str = "sn,cpu_milli,memory_mib,gpu,model\n";
const POD_HEAD: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n";

fn nodes(lines: &str) -> Result<Nodes, String> {
    read_nodes_from("nodes.csv", Cursor::new(format!("{NODE_HEAD}{lines}")))
        .map_err(|error| error.to_string())
}

fn pods(lines: &str) -> Result<Pods, String> {
    read_pods_from("pods.csv", Cursor::new(format!("{POD_HEAD}{lines}"))).map_err(|error| error.to_string())
}

/// Nodes of three kinds and pods of all classes, some for one model alone.
fn generated(seed: u64) -> (Nodes, Pods) {
    let mut rng = Rng::new(seed);
    let (mut node_lines, mut pod_lines) = (String::new(), String::new());
    for n in 0..30 {
        let line = ["96000,393216,8,G2", "104000,524288,2,T4", "32000,131072,4,V100"][rng.below(3)];
        writeln!(node_lines, "node-{n:03},{line}").expect("a string takes it");
    }
    for n in 0..150 {
        let cores = 1 + rng.below(12);
        let spec = ["", "", "", "T4", "G2|V100"][rng.below(5)];
        let gpu = match rng.below(10) {
            0 | 1 => "0,0,".to_owned(),
            2..=5 => format!("1,{},{spec}", [250, 470, 500, 810][rng.below(4)]),
            6..=8 => format!("1,1000,{spec}"),
            _ => "4,1000,".to_owned(),
        };
        writeln!(pod_lines, "pod-{n:03},{}000,{},{gpu}", cores, cores * 4096).expect("a string takes it");
    }
    (nodes(&node_lines).expect("well formed"), pods(&pod_lines).expect("well formed"))
}

fn ran(nodes: &Nodes, pods: &Pods, options: &PackOptions) -> PackReport {
    replay(nodes, pods, options, &mut || 0).expect("there is something to replay")
}

#[test]
fn a_replay_by_hand() {
    // Three GPUs; three whole pods and one without GPU that takes all cores of a node.
    let nodes = nodes("a,8000,1000,1,M\nb,8000,1000,1,M\nc,8000,1000,1,M\n").expect("well formed");
    let pods = pods("p1,1000,10,1,1000,\np2,1000,10,1,1000,\np3,1000,10,1,1000,\n").expect("well formed");
    let report = ran(&nodes, &pods, &PackOptions::new(Policy::BestFit, 1));
    // 130 % of three GPUs is 3.9: three arrive, and no fourth.
    assert_eq!((report.arrivals, report.placements, report.failures.total()), (3, 3, 0));
    assert_eq!((report.alloc_100, report.alloc_130, report.frag_130), (Some(100.0), 100.0, 0.0));
    let arrived: Vec<(u32, f64)> = report.bins.iter().map(|bin| (bin.arrived, bin.alloc)).collect();
    assert_eq!(arrived.len(), 3);
    assert_eq!(arrived[0].0, 33);
    assert!((arrived[0].1 - 100.0 / 3.0).abs() < 1e-9);

    // Up to twice the capacity: six arrive, three fail.
    let twice = PackOptions { target: 2.0, ..PackOptions::new(Policy::Auto, 1) };
    let report = ran(&nodes, &pods, &twice);
    assert_eq!((report.arrivals, report.failures.whole, report.hopeless), (6, 3, 0));
    // Up to a third: the others are left out, and there is no value at 100 %.
    let third = PackOptions { target: 0.34, ..PackOptions::new(Policy::Fgd, 1) };
    let report = ran(&nodes, &pods, &third);
    assert_eq!((report.arrivals, report.alloc_100), (1, None));
    assert!((report.alloc_130 - 100.0 / 3.0).abs() < 1e-9);
}

/// Same options, same report; the clock changes nothing but the time; and every pod is accounted for.
#[test]
fn replays_are_reproducible_and_complete() {
    let (nodes, pods) = generated(1);
    for (at, policy) in Policy::ALL.into_iter().enumerate() {
        let tie = [Tie::Name, Tie::Random, Tie::Fit][at % 3];
        for knowledge in [Knowledge::List, Knowledge::Learned] {
            let options = PackOptions { tie, knowledge, ..PackOptions::new(policy, 42) };
            let first = ran(&nodes, &pods, &options);
            let mut now = 0;
            let mut clock = || {
                now += 1500;
                now
            };
            let second = replay(&nodes, &pods, &options, &mut clock).expect("as before");
            assert_eq!(second.median_place_us, 1.5);
            assert_eq!(PackReport { median_place_us: 0.0, ..second }, first);
            assert_eq!(first.placements + first.failures.total(), first.arrivals);
            let most = first.bins.iter().map(|bin| bin.alloc).fold(0.0, f64::max);
            assert!(most <= 100.0 && first.alloc_130 > 50.0, "{policy:?}: {most}");
            // The last pod may ask for several GPUs, and is judged by a part of one.
            assert!(first.bins.last().is_some_and(|bin| (128..=134).contains(&bin.arrived)));
        }
    }
    let other = ran(&nodes, &pods, &PackOptions::new(Policy::Fgd, 43));
    assert_ne!(other.bins, ran(&nodes, &pods, &PackOptions::new(Policy::Fgd, 42)).bins);
}

/// On clusters it was not made for, so small that chance weighs more than policy, our own policy is far above
/// best-fit and level with fgd.
#[test]
fn auto_holds_on_small_clusters() {
    let mut sums = [0.0; 3];
    for seed in 0..4 {
        let (nodes, pods) = generated(seed);
        for (sum, policy) in sums.iter_mut().zip([Policy::Auto, Policy::Fgd, Policy::BestFit]) {
            for node_order in [NodeOrder::Name, NodeOrder::Gpus] {
                let options = PackOptions { tie: Tie::Fit, node_order, ..PackOptions::new(policy, seed) };
                *sum += ran(&nodes, &pods, &options).alloc_130 / 8.0;
            }
        }
    }
    assert!(sums[0] > sums[1] - 0.2 && sums[0] > sums[2] + 2.0, "auto, fgd, best-fit: {sums:?}");
}

#[test]
fn orders_of_nodes_have_names() {
    for text in ["name", "reversed", "random:7", "gpus"] {
        assert_eq!(NodeOrder::named(text).map(|order| order.to_string()).as_deref(), Some(text));
    }
    for text in ["", "random", "random:", "random:-1", "random:x", "Name"] {
        assert_eq!(NodeOrder::named(text), None, "{text}");
    }
}

#[test]
fn packed_and_quoted_files_are_read() {
    let text = format!("\u{feff}{NODE_HEAD}\"node, one\",8000,1000,2,\"M \"\"x\"\"\"\r\n\r\nb,1,1,0,\r\n");
    let plain = read_nodes_from("n", Cursor::new(text.clone())).expect("well formed");
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(text.as_bytes()).expect("memory takes it");
    let packed = read_nodes_from("n", Cursor::new(packed.finish().expect("memory takes it")));
    assert_eq!(packed.expect("the same"), plain);
    assert_eq!((plain.len(), plain.gpus(), plain.models.as_slice()), (2, 2, &["M \"x\"".to_owned()][..]));
    // Other columns, in another order.
    let pods = "pod_phase,gpu_milli,num_gpu,memory_mib,cpu_milli,name\nRunning,500,1,10,1000,p\n";
    assert_eq!(read_pods_from("p", Cursor::new(pods)).expect("well formed").len(), 1);
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    for (lines, wanted) in [
        ("", "nodes.csv:2: there is no node in it"),
        ("a,8000,1000,2\n", "nodes.csv:2: 4 fields where at least 5 are wanted"),
        ("a,8000,1000,2,M\na,8000,1000,2,M\n", "nodes.csv:3: `sn` is `a`: this node is in the list twice"),
        (",8000,1000,2,M\n", "nodes.csv:2: `sn` is ``: a node needs a name"),
        (
            "a,-1,1000,2,M\n",
            "nodes.csv:2: `cpu_milli` is `-1`: a whole number from 0 to 1000000000 is wanted",
        ),
        ("a,NaN,1000,2,M\n", "nodes.csv:2: `cpu_milli` is `NaN`"),
        ("a,+1,1000,2,M\n", "nodes.csv:2: `cpu_milli` is `+1`"),
        ("a,1e3,1000,2,M\n", "nodes.csv:2: `cpu_milli` is `1e3`"),
        ("a,8000,99999999999999999999,2,M\n", "nodes.csv:2: `memory_mib` is `99999999999999999999`"),
        ("a,8000,1000,65,M\n", "nodes.csv:2: `gpu` is `65`: a whole number from 0 to 64 is wanted"),
        ("a,8000,1000,,M\n", "nodes.csv:2: `gpu` is ``"),
        ("\"a,8000,1000,2,M\n", "nodes.csv:2: a quote is not closed in its line"),
        ("\"a\"b,8000,1000,2,M\n", "nodes.csv:2: text after a closing quote"),
    ] {
        let error = nodes(lines).expect_err(lines);
        assert!(error.starts_with(wanted), "{lines:?}: {error}");
    }
    for (lines, wanted) in [
        ("", "pods.csv:2: there is no pod in it"),
        (
            "p,1000,10,1,0,\n",
            "pods.csv:2: `gpu_milli` is `0`: a pod with `num_gpu` above 0 asks for at least 1",
        ),
        ("p,1000,10,1,9999999,\n", "pods.csv:2: `gpu_milli` is `9999999`"),
        ("p,1000,10,1.0,500,\n", "pods.csv:2: `num_gpu` is `1.0`"),
        ("p,1000,\u{7},1,500,\n", "pods.csv:2: `memory_mib` is `\\u{7}`"),
    ] {
        let error = pods(lines).expect_err(lines);
        assert!(error.starts_with(wanted), "{lines:?}: {error}");
    }
    let read = |text: Vec<u8>| read_nodes_from("n", Cursor::new(text)).expect_err("not well").to_string();
    assert!(read(Vec::new()).starts_with("n:1: the file is empty"));
    assert!(read(b"sn,cpu_milli\n".to_vec()).contains("there is no column `memory_mib`"));
    assert!(read(b"sn,sn,cpu_milli,memory_mib,gpu,model\n".to_vec()).contains("`sn` is there twice"));
    assert!(read(vec![0xff; 10]).contains("not UTF-8"));
    assert!(read(vec![b'a'; 70_000]).contains("a line of more than 65536 bytes"));
    assert!(read(vec![0x1f, 0x8b, 8, 0, 0, 0]).contains("cannot be read"));
    let missing = read_nodes(std::path::Path::new("/no/such/file.csv")).expect_err("not there");
    assert!(missing.to_string().starts_with("/no/such/file.csv: "), "{missing}");
    assert!(read_pods(std::path::Path::new("/")).expect_err("a folder").to_string().contains("directory"));
}

/// A little file that unpacks to a lot is given up at the bounds, long before it is read to its end.
#[test]
fn packed_floods_are_given_up() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(NODE_HEAD.as_bytes()).expect("memory takes it");
    let lines = "\n".repeat(1 << 20);
    for _ in 0..5 {
        packed.write_all(lines.as_bytes()).expect("memory takes it");
    }
    let packed = packed.finish().expect("memory takes it");
    assert!(packed.len() < 100_000);
    let error = read_nodes_from("n", Cursor::new(packed)).expect_err("too much").to_string();
    assert!(error.contains("more than 4000000 lines"), "{error}");
}

#[test]
fn what_cannot_be_replayed_is_said() {
    let one = |text: &str| nodes(text).expect("well formed");
    let all = |text: &str| pods(text).expect("well formed");
    let why = |nodes: &Nodes, pods: &Pods, target: f64| {
        let options = PackOptions { target, ..PackOptions::new(Policy::Auto, 1) };
        replay(nodes, pods, &options, &mut || 0).map(|report| report.arrivals)
    };
    let node = one("a,8000,1000,1,M\n");
    let fits = all("p,1000,10,1,500,\n");
    for target in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
        assert!(matches!(why(&node, &fits, target), Err(PackError::Target(_))), "{target}");
    }
    assert_eq!(why(&one("a,8000,1000,0,\n"), &fits, 1.3), Err(PackError::NoGpus));
    assert_eq!(why(&node, &all("p,1000,10,0,0,\n"), 1.3), Err(PackError::NoDemand));
    let never = all("p1,9000,10,1,500,\np2,1000,10,2,1000,\np3,1000,10,1,500,X\n");
    assert_eq!(why(&node, &never, 1.3), Err(PackError::NothingFits("p1".to_owned())));
    // One that can fit is enough; the others are failures, and counted as hopeless.
    let mixed = all("p1,9000,10,1,500,\np2,1000,10,1,500,\n");
    let report = ran(&node, &mixed, &PackOptions::new(Policy::Auto, 1));
    assert!(report.hopeless >= 1 && report.failures.shared >= report.hopeless, "{report:?}");
    // So little of so much that the list would never end.
    let many: String = (0..100).fold(String::new(), |all, n| format!("{all}n{n},8000,1000,64,M\n"));
    let crumbs = (0..1000).fold("p,1,1,1,1,\n".to_owned(), |all, n| format!("{all}q{n},1,1,0,0,\n"));
    assert_eq!(why(&one(&many), &all(&crumbs), 100.0), Err(PackError::TooManyArrivals));
}
