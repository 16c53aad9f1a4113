//! What it costs to check a graph and to take it apart: levels, critical path, slack, bottlenecks.
//!
//! `cargo run --release -p dunnage-benches --bin graph_analysis`, one thread, CPU time of that thread. The
//! floor of the layered graph is petgraph's own `DiGraph` made from the same edges and sorted topologically,
//! which checks nothing else.

use dunnage_benches::Failure;
use dunnage_benches::options::{Number, Options};
use dunnage_benches::report::{Bar, Report, Row};
use dunnage_model::{
    ArgSpec, Axis, Code, Cost, FunctionSpec, Graph, GraphSpec, Limits, OutputKind, OutputSpec, Span,
};
use dunnage_wire::graph_file;
use petgraph::graph::DiGraph;
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;

/// Milliseconds that both together may take.
const BAR_MS: f64 = 10.0;

/// Functions of a layer.
const LAYER: usize = 100;

fn main() -> Result<(), Failure> {
    let options = Options::read(
        "checking and analysing graphs",
        &[
            Number { name: "functions", default: 10_000, about: "functions of each graph" },
            Number { name: "rounds", default: 21, about: "measured rounds, after three that are not" },
        ],
    )?;
    let (count, rounds) = (options.number("functions"), options.number("rounds"));
    let mut report = Report::new("graph_analysis");
    let edges = edges(count);
    let floor = times(rounds, || (), |()| petgraph_alone(count, &edges));
    for (name, spec) in [
        (format!("{count} functions, {} edges, in layers", edges.len()), layered(count, &edges)),
        (format!("{count} functions in a chain"), chain(count)),
        (format!("a sweep of {count}, its producer and its reader"), sweep(count)),
    ] {
        let layers = name.contains("layers");
        let build = times(rounds, || spec.clone(), |spec| Graph::build(spec, &Limits::default()));
        let graph = checked(spec.clone())?;
        let taken_apart = times(rounds, || (), |()| analyse(&graph));
        let both = times(
            rounds,
            || spec.clone(),
            |spec| Graph::build(spec, &Limits::default()).map(|graph| (analyse(&graph), graph)),
        );
        report.row(Row::new(format!("{name}: check"), "ms", build));
        report.row(Row::new(format!("{name}: analyse"), "ms", taken_apart));
        let row = Row::new(format!("{name}: both"), "ms", both).bar(Bar::AtMost(BAR_MS));
        report.row(if layers { row.floor(&floor) } else { row });
    }
    let text = text(count, &edges);
    let decode = times(
        rounds,
        || (),
        |()| graph_file::decode_json_text(text.clone(), &graph_file::Limits::default()).is_ok(),
    );
    report.row(Row::new(
        format!("reading the {} KiB of JSON of the layers", text.len() / 1024),
        "ms",
        decode,
    ));
    report.note("CPU time of one thread; the specification is made, and the graph dropped, outside of it.");
    report.print(&options);
    Ok(())
}

/// Milliseconds of this thread for each round; making what it takes and dropping what it gives do not count.
fn times<I, O>(rounds: usize, make: impl Fn() -> I, run: impl Fn(I) -> O) -> Vec<f64> {
    let cpu = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
    };
    let mut samples = Vec::with_capacity(rounds);
    for round in 0..rounds + 3 {
        let input = make();
        let start = cpu();
        let output = black_box(run(input));
        let end = cpu();
        drop(output);
        if round >= 3 {
            samples.push(end - start);
        }
    }
    samples
}

fn analyse(graph: &Graph) -> dunnage_model::Analysis {
    graph.analyse(|task| graph.variant(task, 0).cost.duration.map_or(1.0, Span::as_secs_f64))
}

fn checked(spec: GraphSpec) -> Result<Graph, Failure> {
    Graph::build(spec, &Limits::default()).map_err(|problems| format!("{problems:?}").into())
}

fn petgraph_alone(count: usize, edges: &[(u32, u32)]) -> bool {
    let mut graph: DiGraph<(), (), u32> = DiGraph::with_capacity(count, edges.len());
    for _ in 0..count {
        graph.add_node(());
    }
    for (from, to) in edges {
        graph.add_edge((*from).into(), (*to).into(), ());
    }
    petgraph::algo::toposort(&graph, None).is_ok()
}

/// Each after two of the layer before.
fn edges(count: usize) -> Vec<(u32, u32)> {
    (LAYER..count)
        .flat_map(|n| {
            let base = n / LAYER * LAYER - LAYER;
            [n, n * 7 + 3].map(|at| ((base + at % LAYER) as u32, n as u32))
        })
        .collect()
}

fn function(id: String, n: usize) -> FunctionSpec {
    FunctionSpec {
        id,
        code: Code::Command(vec!["program".to_owned(), "--out".to_owned(), "{out.0}".to_owned()]),
        outputs: vec![OutputSpec { kind: OutputKind::File, size: None }],
        cost: Cost { duration: Some(Span::millis(100 + n as u64 % 17 * 50)), ..Cost::default() },
        ..FunctionSpec::default()
    }
}

fn arg(producer: String) -> ArgSpec {
    ArgSpec { producer, index: 0, succeeded: false }
}

fn layered(count: usize, edges: &[(u32, u32)]) -> GraphSpec {
    let mut functions: Vec<FunctionSpec> = (0..count).map(|n| function(format!("f{n}"), n)).collect();
    for (from, to) in edges {
        functions[*to as usize].args.push(arg(format!("f{from}")));
    }
    GraphSpec { functions, ..GraphSpec::default() }
}

fn chain(count: usize) -> GraphSpec {
    let edges: Vec<(u32, u32)> = (1..count as u32).map(|n| (n - 1, n)).collect();
    layered(count, &edges)
}

fn sweep(count: usize) -> GraphSpec {
    let mut middle = function("middle-{n}".to_owned(), 1);
    middle.foreach = vec![Axis { name: "n".to_owned(), values: (0..count).map(|n| n.to_string()).collect() }];
    middle.args.push(arg("first".to_owned()));
    let mut last = function("last".to_owned(), 1);
    last.args.push(arg("middle[*]".to_owned()));
    GraphSpec { functions: vec![function("first".to_owned(), 1), middle, last], ..GraphSpec::default() }
}

/// The layered graph as its file.
fn text(count: usize, edges: &[(u32, u32)]) -> String {
    let mut functions: Vec<serde_json::Value> = (0..count)
        .map(|n| {
            serde_json::json!({
                "id": format!("f{n}"),
                "command": ["program", "--out", "{out.0}"],
                "outputs": ["file"],
                "args": [],
                "cost": { "duration": format!("{}ms", 100 + n % 17 * 50) },
            })
        })
        .collect();
    for (from, to) in edges {
        if let Some(args) = functions[*to as usize]["args"].as_array_mut() {
            args.push(serde_json::json!([format!("f{from}"), 0]));
        }
    }
    serde_json::json!({ "function": functions }).to_string()
}
