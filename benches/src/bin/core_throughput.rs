//! What an event costs the core while more and more tasks are queued, and what a graph costs to check and
//! to plan. The claim is that the cost of an event does not grow with the queue: the last line of the first
//! table is the ratio of the largest queue to the smallest, in the same run.
//!
//! `cargo run --release -p dunnage-benches --bin core_throughput [LARGEST]`, one thread, no I/O.

use dunnage_core::Scheduler;
use dunnage_model::{
    ArgSpec, AttemptId, Axis, Bytes, Code, Cost, Decision, DeviceId, DeviceKind, DeviceSample, Event,
    FunctionSpec, Graph, GraphId, GraphSpec, Health, Limits, MilliCores, NodeId, NodeSpec, OutputKind,
    OutputSpec, Owner, Span, Submission, Time, Usage, VariantSpec,
};
use std::sync::Arc;
use std::time::Instant;

/// Events measured at each size, after as many that are not.
const EVENTS: u32 = 200;

const SIZES: [u32; 4] = [1000, 10_000, 100_000, 1_000_000];

fn main() {
    let largest = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let sizes: Vec<u32> = SIZES.into_iter().filter(|size| *size <= largest).collect();
    println!("microseconds, one thread; `build` and `submit` for each function, the others for each event\n");
    for (title, shape) in [
        ("one sweep", Shape::Sweep),
        ("distinct functions", Shape::Distinct),
        ("graphs of one function", Shape::Graphs),
    ] {
        println!("{title}");
        println!(
            "{:>9} {:>8} {:>8} {:>10} {:>10} {:>10} {:>8} {:>8}",
            "queued", "build", "submit", "end+start", "submit 1", "cancel 1", "sample", "fail"
        );
        let rows: Vec<Vec<f64>> = sizes.iter().map(|size| measure(*size, shape)).collect();
        for (size, row) in sizes.iter().zip(&rows) {
            print_row(&size.to_string(), row);
        }
        if let (Some(first), Some(last)) = (rows.first(), rows.last()) {
            let ratios: Vec<f64> = first.iter().zip(last).map(|(first, last)| last / first).collect();
            print_row("ratio", &ratios);
        }
        println!();
    }
    plans(largest);
}

fn print_row(name: &str, row: &[f64]) {
    print!("{name:>9}");
    for (value, width) in row.iter().zip([8, 8, 10, 10, 10, 8, 8]) {
        print!(" {value:>width$.2}");
    }
    println!();
}

#[derive(Clone, Copy)]
enum Shape {
    /// All instances of one function.
    Sweep,
    /// Each function for itself in one graph, with one of fifty requests.
    Distinct,
    /// Each in a graph of its own.
    Graphs,
}

fn function(id: String) -> FunctionSpec {
    FunctionSpec { id, code: Code::Command(vec!["true".to_owned()]), ..FunctionSpec::default() }
}

fn specs(size: u32, shape: Shape) -> Vec<GraphSpec> {
    let graph = |functions| GraphSpec {
        name: Some("g".to_owned()),
        strategy: Some("first-available".to_owned()),
        tolerance: dunnage_model::Tolerance::Tolerant,
        functions,
        ..GraphSpec::default()
    };
    let distinct = |n: u32| {
        let mut function = function(format!("f{n}"));
        function.cost.memory = Some(Bytes::mib(u64::from(n % 50) + 1));
        function
    };
    match shape {
        Shape::Sweep => {
            let mut sweep = function("t-{n}".to_owned());
            sweep.foreach =
                vec![Axis { name: "n".to_owned(), values: (0..size).map(|n| n.to_string()).collect() }];
            vec![graph(vec![sweep])]
        }
        Shape::Distinct => vec![graph((0..size).map(distinct).collect())],
        Shape::Graphs => (0..size).map(|n| graph(vec![distinct(n)])).collect(),
    }
}

/// The core with what is needed to drive it.
struct Driver {
    scheduler: Scheduler,
    now: u64,
    out: Vec<Decision>,
    running: Vec<AttemptId>,
    next: u64,
}

impl Driver {
    fn event(&mut self, event: Event) {
        self.now += 10;
        self.scheduler.handle(Time(self.now), event, &mut self.out);
        for decision in self.out.drain(..) {
            if let Decision::Start { attempt, .. } = decision {
                self.running.push(attempt);
            }
        }
    }

    fn submit(&mut self, graph: Arc<Graph>) -> GraphId {
        self.next += 1;
        let id = GraphId(self.next);
        let submission =
            Submission { id, graph, owner: Owner(0), seed: 1, held: false, sealed: true, trace: None };
        self.event(Event::Submitted(Box::new(submission)));
        id
    }

    /// Microseconds for each of these, the first `EVENTS` of which are not counted.
    fn time(&mut self, mut one: impl FnMut(&mut Self, u32)) -> f64 {
        for n in 0..EVENTS {
            one(self, n);
        }
        let start = Instant::now();
        for n in EVENTS..2 * EVENTS {
            one(self, n);
        }
        start.elapsed().as_secs_f64() * 1e6 / f64::from(EVENTS)
    }
}

fn measure(size: u32, shape: Shape) -> Vec<f64> {
    let specs = specs(size, shape);
    let start = Instant::now();
    let limits = Limits { functions: 10_000_000, ..Limits::default() };
    let graphs: Vec<Arc<Graph>> = specs
        .into_iter()
        .map(|spec| match Graph::build(spec, &limits) {
            Ok(graph) => Arc::new(graph),
            Err(problems) => panic!("{problems:?}"),
        })
        .collect();
    let build = start.elapsed().as_secs_f64() * 1e6 / f64::from(size);
    let mut driver = Driver {
        scheduler: Scheduler::new(dunnage_strategies::strategies()),
        now: 0,
        out: Vec::new(),
        running: Vec::new(),
        next: 0,
    };
    let node = NodeSpec::new(4, Bytes::gib(64)).with_gpu("A", Bytes::gib(24), (8, 6));
    driver.event(Event::NodeSeen(Arc::new(node)));
    let start = Instant::now();
    for graph in graphs {
        driver.submit(graph);
    }
    let submit = start.elapsed().as_secs_f64() * 1e6 / f64::from(size);
    let end_and_start = driver.time(|driver, _| {
        let Some(attempt) = driver.running.pop() else { return };
        driver.event(Event::Started { attempt });
        driver.event(Event::Finished { attempt, usage: Usage::default() });
    });
    let lone = match Graph::build(
        GraphSpec {
            strategy: Some("first-available".to_owned()),
            functions: vec![function("one".to_owned())],
            ..GraphSpec::default()
        },
        &limits,
    ) {
        Ok(graph) => Arc::new(graph),
        Err(problems) => panic!("{problems:?}"),
    };
    let first_lone = driver.next + 1;
    let submit_one = driver.time(|driver, _| {
        driver.submit(Arc::clone(&lone));
    });
    let cancel_one = driver.time(|driver, n| {
        driver.event(Event::Cancelled { graph: GraphId(first_lone + u64::from(n)), task: Some(0) });
    });
    let device = DeviceId { node: NodeId::LOCAL, local: 1 };
    let sample = driver.time(|driver, n| {
        let mut sample = DeviceSample::health(device, Health::Ok);
        sample.memory_used = Some(Bytes::mib(u64::from(n)));
        driver.event(Event::DeviceSampled { sample: Box::new(sample), foreign: Bytes::mib(u64::from(n)) });
    });
    let fail = driver.time(|driver, _| {
        let Some(attempt) = driver.running.pop() else { return };
        let failure = Box::new(dunnage_model::Failure::new(dunnage_model::Cause::User, "no"));
        driver.event(Event::Failed { attempt, failure, usage: Usage::default() });
    });
    vec![build, submit, end_and_start, submit_one, cancel_one, sample, fail]
}

/// Layers of a hundred, each function after two of the layer before, on eight GPUs or cores.
fn layered(size: u32) -> GraphSpec {
    let functions = (0..size)
        .map(|n| {
            let mut function = function(format!("f{n}"));
            function.outputs = vec![OutputSpec { kind: OutputKind::File, size: None }];
            if n >= 100 {
                let base = n / 100 * 100 - 100;
                let producer = |at: u32| ArgSpec {
                    producer: format!("f{}", base + at % 100),
                    index: 0,
                    succeeded: false,
                };
                function.args = vec![producer(n), producer(n * 7 + 3)];
            }
            let cost = |seconds: u32, change: fn(&mut Cost)| {
                let mut cost =
                    Cost { duration: Some(Span::millis(u64::from(seconds) * 100)), ..Cost::default() };
                change(&mut cost);
                cost
            };
            function.variants = vec![
                VariantSpec {
                    device: Some(DeviceKind::Gpu),
                    cost: cost(n % 17 + 1, |cost| {
                        cost.cpus = Some(MilliCores(0));
                        cost.gpus = Some(1);
                    }),
                },
                VariantSpec { device: Some(DeviceKind::Cpu), cost: cost(n % 29 + 5, |_| {}) },
            ];
            function
        })
        .collect();
    GraphSpec { strategy: Some("heft".to_owned()), functions, ..GraphSpec::default() }
}

fn plans(largest: u32) {
    println!("whole graphs in layers, eight GPUs, milliseconds");
    println!("{:>9} {:>10} {:>10} {:>12}", "functions", "build", "heft", "makespan s");
    for size in SIZES.into_iter().filter(|size| *size <= largest) {
        let spec = layered(size);
        let start = Instant::now();
        let graph = match Graph::build(spec, &Limits::default()) {
            Ok(graph) => Arc::new(graph),
            Err(problems) => panic!("{problems:?}"),
        };
        let build = start.elapsed().as_secs_f64() * 1e3;
        let mut driver = Driver {
            scheduler: Scheduler::new(dunnage_strategies::strategies()),
            now: 0,
            out: Vec::new(),
            running: Vec::new(),
            next: 0,
        };
        let node = (0..8)
            .fold(NodeSpec::new(16, Bytes::gib(64)), |node, _| node.with_gpu("A", Bytes::gib(80), (9, 0)));
        driver.event(Event::NodeSeen(Arc::new(node)));
        let id = driver.submit(graph);
        let (Some(problem), Some(planner)) =
            (driver.scheduler.plan_problem(id), dunnage_strategies::planner("heft"))
        else {
            panic!("heft plans");
        };
        let start = Instant::now();
        let plan = planner.plan(&problem, &mut dunnage_core::Budget::of(200));
        let heft = start.elapsed().as_secs_f64() * 1e3;
        println!("{size:>9} {build:>10.1} {heft:>10.1} {:>12.1}", plan.makespan_s);
    }
}
