//! Graph files that are well: the same graph from TOML and JSON, defaults, units, sweeps, limits.

use dunnage_model::{
    Backoff, Bytes, Code, Cost, DeviceKind, FunctionSpec, Graph, GraphSpec, Literal, MilliCores, MilliShare,
    OnFailure, OomRetry, Order, OutputKind, Retry, Span, Tolerance, Weights,
};
use dunnage_wire::graph_file::{
    FileError, Limits, Places, decode_json, decode_json_text, decode_toml, read, render,
};
use std::io::{Cursor, Read};

const DESIGN: &str = include_str!("graphs/design.toml");

fn toml(text: &str) -> GraphSpec {
    let decoded = decode_toml(text, &Limits::default());
    let decoded = decoded.unwrap_or_else(|problems| panic!("{}", render(&problems, "t", &Places::default())));
    // Whatever TOML says, the JSON text beside it says too, by either way of reading.
    let again = decode_json_text(decoded.json.clone(), &Limits::default()).unwrap();
    assert_eq!(again.spec, decoded.spec);
    let again = decode_json(decoded.json.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(again.spec, decoded.spec);
    assert_eq!(again.json, decoded.json);
    decoded.spec
}

/// One function with these lines.
fn function(lines: &str) -> FunctionSpec {
    toml(&format!("[[function]]\nid = \"f\"\ncommand = [\"true\"]\n{lines}\n")).functions.remove(0)
}

#[test]
fn the_example_of_the_format_decodes() {
    let spec = toml(DESIGN);
    assert_eq!(spec.name.as_deref(), Some("gp-sweep"));
    assert_eq!(spec.strategy.as_deref(), Some("time-optimised"));
    assert_eq!((spec.order, spec.tolerance), (Order::Dag, Tolerance::Strict));
    assert_eq!(spec.on_failure, Some(OnFailure::Compensate));
    assert_eq!(spec.timeout, Some(Span::secs(3600)));
    assert_eq!(spec.keep, ["score.0"]);
    assert_eq!(spec.inputs["data"], "diabetes.csv");
    let [prepare, train, score, later] = spec.functions.as_slice() else {
        panic!("{} functions", spec.functions.len());
    };
    assert_eq!(prepare.retry, Some(Retry::default()));
    assert_eq!(prepare.cost.cpu_time, Some(Span::secs(20)));
    let axes: Vec<&str> = train.foreach.iter().map(|axis| axis.name.as_str()).collect();
    assert_eq!(axes, ["lr", "seed"]);
    assert_eq!(train.foreach[0].values, ["0.1", "0.01"]);
    assert_eq!(train.foreach[1].values, ["0", "1", "2", "3", "4", "5", "6", "7"]);
    assert_eq!((train.signal, train.grace, &train.node), (Some(15), Some(Span::secs(5)), &None));
    assert_eq!(train.cost.gpu_memory, Some(Bytes::gib(20)));
    assert_eq!(score.args[0].producer, "train[*]");
    let gemm = Code::Kernel { name: "gemm".into(), params: vec![("alpha".into(), Literal::Float(1.0))] };
    assert_eq!(score.code, gemm);
    assert_eq!(score.variants[1].device, Some(DeviceKind::Cpu));
    assert_eq!(later.code, Code::Python { call: "module:function".into(), pure: false });
}

#[test]
fn what_is_decoded_can_be_built() {
    // Which outputs a kernel has is not known here, so one is declared.
    let spec = toml(&DESIGN.replace("kernel = \"gemm\"", "outputs = [\"npy\"]\nkernel = \"gemm\""));
    let graph = Graph::build(spec, &dunnage_model::Limits::default());
    assert!(graph.is_ok(), "{:?}", graph.err());
}

#[test]
fn nothing_said_is_the_default() {
    let spec = toml("");
    assert_eq!(spec, GraphSpec::default());
    let plain = function("");
    assert_eq!(plain.cost, Cost::default());
    assert_eq!(plain.retry, None);
}

#[test]
fn tolerance_has_four_forms() {
    let of = |text: &str| toml(&format!("[graph]\ntolerance = {text}")).tolerance;
    assert_eq!(of("\"strict\""), Tolerance::Strict);
    assert_eq!(of("\"tolerant\""), Tolerance::Tolerant);
    assert_eq!(of("{ max_failures = 5 }"), Tolerance::MaxFailures(5));
    assert_eq!(of("{ min_success = 1 }"), Tolerance::MinSuccess(1.0));
}

#[test]
fn weights_that_are_not_named_keep_their_defaults() {
    let of = |text: &str| toml(&format!("[graph]\nweights = {text}")).weights.unwrap();
    assert_eq!(of("{}"), Weights::default());
    assert_eq!(of("{ energy = 0.2 }"), Weights { energy: 0.2, ..Weights::default() });
    let all = Weights { time: 0.0, transfer: 0.5, energy: 2.0, fragmentation: 1.0 };
    assert_eq!(of("{ time = 0, transfer = 0.5, energy = 2, fragmentation = 1.0 }"), all);
    assert_eq!(toml("").weights, None);
}

#[test]
fn numbers_in_a_cost_are_mebibytes_and_milliseconds() {
    let cost = function(
        "cost = { cpus = 0.25, memory = 512, gpu_share = 0.3, gpu_memory = 1.5, cpu_time = 20, duration = \"1h30m\", \
         flops = \"1e12\", bytes = \"1.5GB\", compute_capability = 8, gpu_model = \"H100\", custom = { licence = 2 } }",
    )
    .cost;
    assert_eq!(cost.cpus, Some(MilliCores(250)));
    assert_eq!(cost.memory, Some(Bytes::mib(512)));
    assert_eq!(cost.gpu_share, Some(MilliShare(300)));
    assert_eq!(cost.gpu_memory, Some(Bytes(1_572_864)));
    assert_eq!(cost.cpu_time, Some(Span::millis(20)));
    assert_eq!(cost.duration, Some(Span::secs(5400)));
    assert_eq!(cost.flops, Some(1e12));
    assert_eq!(cost.bytes, Some(Bytes(1_500_000_000)));
    assert_eq!(cost.compute_capability, Some((8, 0)));
    assert_eq!(cost.custom, [("licence".to_owned(), 2)]);
    for (text, pair) in [("\"8.6\"", (8, 6)), ("9.0", (9, 0)), ("\"12.1\"", (12, 1)), ("\"10\"", (10, 0))] {
        let cost = function(&format!("cost = {{ compute_capability = {text} }}")).cost;
        assert_eq!(cost.compute_capability, Some(pair));
    }
    assert_eq!(function("cost = { cpus = 0.0001 }").cost.cpus, Some(MilliCores(1)));
    assert_eq!(function("cost = { cpus = 0 }").cost.cpus, Some(MilliCores(0)));
}

#[test]
fn a_sweep_keeps_the_order_and_the_words_of_the_document() {
    let sweep = function(
        "foreach = { z = [1, 1.0, 1e-3, 1e-7, true, \"adam\", \"0-7\"], a = \"10-0030:10\", m = \"5-5\" }",
    );
    let axes: Vec<(&str, Vec<&str>)> = sweep
        .foreach
        .iter()
        .map(|axis| (axis.name.as_str(), axis.values.iter().map(String::as_str).collect()))
        .collect();
    assert_eq!(
        axes,
        [
            ("z", vec!["1", "1.0", "0.001", "1e-7", "true", "adam", "0-7"]),
            ("a", vec!["10", "20", "30"]),
            ("m", vec!["5"]),
        ]
    );
    let end = function("foreach = { x = \"18446744073709551610-18446744073709551615:4\" }");
    assert_eq!(end.foreach[0].values, ["18446744073709551610", "18446744073709551614"]);
}

#[test]
fn an_empty_retry_table_means_two_more_starts() {
    assert_eq!(function("retry = {}").retry, Some(Retry::default()));
    let own =
        function("retry = { max = 0, backoff = \"fixed\", base = \"2m\", oom = { factor = 1.5 } }").retry;
    let expected = Retry {
        max: 0,
        backoff: Backoff::Fixed,
        base: Span::secs(120),
        cap: Span::secs(120),
        oom: OomRetry { max: 3, factor: 1.5 },
        ..Retry::default()
    };
    assert_eq!(own, Some(expected));
}

#[test]
fn signals_have_names_and_numbers() {
    for (text, number) in [("\"TERM\"", 15), ("\"SIGUSR1\"", 10), ("9", 9), ("\"INT\"", 2)] {
        assert_eq!(function(&format!("signal = {text}")).signal, Some(number));
    }
}

#[test]
fn defaults_lie_under_every_function_key_by_key() {
    let text = r#"
        [[function]]
        id = "own"
        command = ["true"]
        retry = { max = 5 }
        env = { A = "own", C = 3 }
        cost = { gpu_share = 0.5, has_cuda_requirement = false, custom = { x = 1 } }
        timeout = "1s"
        node = "auto"
        outputs = []
        compensate = ["undo"]
        [[function]]
        id = "none"
        command = ["true"]
        [defaults]
        retry = { base = "3s", oom = { max = 1 } }
        env = { A = "base", B = true }
        cost = { cpus = 2, gpus = 1, has_cuda_requirement = true, custom = { x = 5, y = 6 } }
        timeout = "9s"
        node = "far"
        dir = "sub"
        outputs = ["json"]
        signal = "INT"
        max_parallel = 3
    "#;
    let spec = toml(text);
    let [own, none] = spec.functions.as_slice() else { panic!() };
    let base = Retry { base: Span::secs(3), oom: OomRetry { max: 1, factor: 2.0 }, ..Retry::default() };
    assert_eq!(own.retry, Some(Retry { max: 5, ..base }));
    assert_eq!(none.retry, Some(base));
    let pairs = |function: &FunctionSpec| -> String {
        function.env.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!((pairs(own).as_str(), pairs(none).as_str()), ("A=own C=3 B=true", "A=base B=true"));
    assert_eq!((own.cost.cpus, own.cost.gpus, own.cost.requires_cuda), (Some(MilliCores(2000)), None, false));
    assert_eq!((none.cost.gpus, none.cost.requires_cuda), (Some(1), true));
    assert_eq!(own.cost.custom, [("x".to_owned(), 1), ("y".to_owned(), 6)]);
    assert_eq!((own.timeout, none.timeout), (Some(Span::secs(1)), Some(Span::secs(9))));
    assert_eq!((&own.node, none.node.as_deref()), (&None, Some("far")));
    assert_eq!((own.outputs.len(), none.outputs[0].kind), (0, OutputKind::Json));
    assert_eq!((own.signal, own.max_parallel, own.dir.as_deref()), (Some(2), Some(3), Some("sub")));
}

#[test]
fn a_cost_in_the_defaults_reaches_every_gpu_key() {
    let spec = toml(
        "[defaults.cost]\ngpu_memory = 5\ngpu_model = \"A100\"\n[[function]]\nid = \"f\"\nkernel = \"gemm\"\n",
    );
    assert_eq!(spec.functions[0].cost.gpu_memory, Some(Bytes::mib(5)));
    assert_eq!(spec.functions[0].cost.gpu_model.as_deref(), Some("A100"));
}

#[test]
fn json_is_read_from_a_stream_within_its_limits() {
    let one = "{\"id\": \"a\", \"command\": [\"a\"]}";
    let limits = Limits { bytes: 1000, ..Limits::default() };
    // An endless document, of which no more than the limit is read.
    let endless = Cursor::new("{\"function\": [").chain(Endless);
    let problems = decode_json(endless, &limits).unwrap_err();
    assert_eq!(problems[0].message, "the document is too long");
    let problems = decode_json(Cursor::new([b'{', b'"', 0xff, b'"']), &limits).unwrap_err();
    assert!(problems[0].message.starts_with("not JSON"), "{problems:?}");
    let fits = decode_json(Cursor::new(format!("{{\"function\": [{one}]}}")), &limits).unwrap();
    assert_eq!(fits.spec.functions.len(), 1);
    struct Endless;
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            buffer.fill(b' ');
            Ok(buffer.len())
        }
    }
}

#[test]
fn files_that_cannot_be_graphs_are_told_apart() {
    let dir = std::env::temp_dir().join(format!("dunnage-wire-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let limits = Limits { bytes: 100, ..Limits::default() };
    let open = |name: &str, bytes: &[u8]| read(&write(name, bytes), &limits);
    assert!(matches!(read(&dir.join("none.toml"), &limits), Err(FileError::Missing { .. })));
    assert!(matches!(read(&dir, &limits), Err(FileError::Directory { graph_inside: None, .. })));
    assert!(matches!(open("x.toml", b"\x7fELF\0\0"), Err(FileError::Binary { offset: 4, .. })));
    assert!(matches!(open("y.toml", b"# a\n# \xe4"), Err(FileError::NotUtf8 { line: 2, byte: 0xe4, .. })));
    assert!(matches!(open("z.toml", &[b'#'; 101]), Err(FileError::TooLarge { max: 100, .. })));
    assert!(matches!(read("/dev/zero".as_ref(), &limits), Err(FileError::Binary { .. })));
    let error = open("bad.toml", b"[graph]\n\nnam = 3").unwrap_err().to_string();
    assert!(
        error.ends_with("bad.toml:3: graph.nam: unknown key: `nam`\n  hint: did you mean `name`?"),
        "{error}"
    );
    // Without an extension the first character tells.
    assert_eq!(open("a", b"\n {\"graph\": {\"name\": \"j\"}}").unwrap().spec.name.as_deref(), Some("j"));
    assert_eq!(open("b", b"graph.name = \"t\"").unwrap().spec.name.as_deref(), Some("t"));
    assert_eq!(open("c.json", b"\xef\xbb\xbf{\"$schema\": \"x\"}").unwrap().spec, GraphSpec::default());
    write("graph.toml", b"");
    let error = read(&dir, &limits).unwrap_err().to_string();
    assert!(error.contains("hint") && error.contains("graph.toml"), "{error}");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn places_of_the_model_find_their_lines() {
    let decoded = decode_toml(DESIGN, &Limits::default()).unwrap();
    let line_of = |needle: &str| DESIGN.lines().position(|line| line.starts_with(needle)).map(|at| at + 1);
    assert_eq!(decoded.places.line("graph.keep[0]"), line_of("keep"));
    assert_eq!(decoded.places.line("function[1].foreach.lr"), line_of("foreach"));
    assert_eq!(decoded.places.line("function[2].args[0]"), line_of("args = [[\"train"));
    assert_eq!(decoded.places.line("function[2].nothing"), line_of("id = \"score\"").map(|line| line - 1));
    assert_eq!(decoded.places.line("nothing"), None);
}
