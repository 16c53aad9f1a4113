//! `bench` as a user has it: every format, every flag, what is wrong in files, reports.

use dunnage_tests::{Ended, Home, has_keys};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

/// Six tasks between two dummies; on two processors no schedule is shorter than 11.
const STG: &str = "  6
  0  0  0
  1  4  1  0
  2  3  1  0
  3  5  2  1 2
  4  2  1  2
  5  6  1  2
  6  1  2  3 4
  7  0  2  5 6
# a comment
";

const HETERO: &str = r#"{ "name": "small", "tasks": [4.0, 2.5, 3.0, 1.0],
 "edges": [[0, 1, 2.0], [0, 2, 1.0], [1, 3, 0.5], [2, 3, 4.0]],
 "speeds": [1.0, 2.0], "links": [[0, 1, 2.0]] }"#;

const WF: &str = r#"{"name": "w", "schemaVersion": "1.5", "workflow": {
 "specification": {
  "tasks": [
   {"id": "prepare", "name": "p", "children": ["a_1", "a_2"], "parents": [], "outputFiles": ["x"]},
   {"id": "a_1", "parents": ["prepare"], "inputFiles": ["x"], "outputFiles": ["y1"]},
   {"id": "a_2", "parents": ["prepare"], "inputFiles": ["x"], "outputFiles": ["y2"]}],
  "files": [{"id": "x", "sizeInBytes": 2097152}, {"id": "y1", "sizeInBytes": 10}, {"id": "y2", "sizeInBytes": 10}]},
 "execution": {"makespanInSeconds": 9, "tasks": [
  {"id": "prepare", "runtimeInSeconds": 2.0}, {"id": "a_1", "runtimeInSeconds": 3.5}, {"id": "a_2", "runtimeInSeconds": 0}]}}}"#;

const FLAT: &str = r#"{"workflow": {"jobs": [
  {"name": "p", "runtime": 2.0, "parents": [], "files": [{"name": "x", "size": 1048576, "link": "output"}]},
  {"name": "a", "runtime": 3.5, "parents": ["p"], "files": [{"name": "x", "size": 1048576, "link": "input"}]}]}}"#;

fn psplib() -> String {
    let stars = "*".repeat(72);
    let jobs = [(0, [0, 0]), (3, [2, 0]), (4, [3, 1]), (2, [2, 2]), (5, [0, 1]), (0, [0, 0])];
    let successors: [&[u32]; 6] = [&[2, 3], &[4], &[5], &[6], &[6], &[]];
    let mut text = format!(
        "{stars}\nfile with basedata            : small.bas\ninitial value random generator: 1\n{stars}\n\
         projects                      :  1\njobs (incl. supersource/sink ):  6\nhorizon                       :  14\n\
         RESOURCES\n  - renewable                 :  2   R\n  - nonrenewable              :  0   N\n\
         \x20 - doubly constrained        :  0   D\n{stars}\nPROJECT INFORMATION:\n\
         pronr.  #jobs rel.date duedate tardcost  MPM-Time\n    1      4      0       9        3        9\n{stars}\n\
         PRECEDENCE RELATIONS:\njobnr.    #modes  #successors   successors\n"
    );
    for (at, row) in successors.iter().enumerate() {
        let list: Vec<String> = row.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "  {}  1  {}  {}", at + 1, row.len(), list.join(" "));
    }
    let _ =
        write!(text, "{stars}\nREQUESTS/DURATIONS:\njobnr. mode duration  R 1  R 2\n{}\n", "-".repeat(72));
    for (at, (duration, asks)) in jobs.iter().enumerate() {
        let _ = writeln!(text, "  {}  1  {duration}  {}  {}", at + 1, asks[0], asks[1]);
    }
    let _ = writeln!(text, "{stars}\nRESOURCEAVAILABILITIES:\n  R 1  R 2\n    4    2\n{stars}");
    text
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(text).expect("written");
    out.finish().expect("ended")
}

const ROW: &str = "instance:string format:string strategy:string tasks:number makespan:number lower_bound:number plan_ms:number schedules:number valid:bool";

/// Calls `bench plan` and judges the document by itself.
fn plan(home: &Home, words: &str) -> Vec<Value> {
    let doc = home.call(&format!("bench plan --json {words}")).ok().json();
    let rows = doc.as_array().expect("one array").clone();
    for row in &rows {
        has_keys(row, ROW);
        assert_eq!(row["valid"], true, "{row}");
        let (makespan, bound) = (row["makespan"].as_f64(), row["lower_bound"].as_f64());
        assert!(makespan >= bound, "{row}");
    }
    assert!(rows.iter().any(|row| row["strategy"] == "random"), "random is always shown");
    rows
}

#[test]
fn every_format_is_read_plain_or_compressed() {
    let home = Home::new();
    for (format, text, tasks, more) in [
        ("stg", STG.to_owned(), 8, "--processors 2"),
        ("hetero-json", HETERO.to_owned(), 4, ""),
        ("wfformat", WF.to_owned(), 3, ""),
        ("wfformat", FLAT.to_owned(), 2, ""),
        ("psplib", psplib(), 6, ""),
    ] {
        home.write("plain", &text);
        std::fs::write(home.path("packed"), gzip(text.as_bytes())).expect("written");
        let rows = plan(&home, &format!("--format {format} --instance plain packed --strategies all {more}"));
        assert_eq!(rows.len() % 2, 0);
        let (plain, packed) = rows.split_at(rows.len() / 2);
        for (a, b) in plain.iter().zip(packed) {
            assert_eq!((&a["instance"], &b["instance"]), (&"plain".into(), &"packed".into()));
            assert_eq!((&a["strategy"], &a["format"]), (&b["strategy"], &format.into()));
            assert_eq!(a["tasks"], tasks, "{a}");
            assert_eq!(a["lower_bound"], b["lower_bound"]);
        }
    }
}

/// The lines of `--schedules`, by instance and strategy.
fn schedules(home: &Home, file: &str) -> BTreeMap<(String, String), Vec<Value>> {
    let text = std::fs::read_to_string(home.path(file)).expect("written");
    let mut all: BTreeMap<(String, String), Vec<Value>> = BTreeMap::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).expect("a line is a document");
        let name = |key: &str| line[key].as_str().expect("a name").to_owned();
        all.entry((name("instance"), name("strategy"))).or_default().push(line);
    }
    all
}

#[test]
fn schedules_are_written_so_that_others_can_check_them() {
    let home = Home::new();
    home.write("a.stg", STG);
    home.write("b.sm", psplib());
    home.write("c.json", HETERO);
    home.write("d.json", WF);
    let rows = plan(&home, "--format stg --processors 2 --instance a.stg --schedules s --strategies all");
    let durations = [0, 4, 3, 5, 2, 6, 1, 0];
    for ((_, strategy), lines) in schedules(&home, "s") {
        assert_eq!(lines.len(), 8, "every task, dummies included");
        let mut last = 0;
        for (task, line) in lines.iter().enumerate() {
            assert_eq!(line["task"], task);
            let time = |key: &str| line[key].as_u64().expect("a whole number");
            assert_eq!(time("end") - time("start"), durations[task]);
            assert!(time("end") <= 21 && line["device"].as_u64().expect("a processor") < 2);
            last = last.max(time("end"));
            for other in &lines[..task] {
                let apart = other["device"] != line["device"]
                    || other["end"].as_u64() <= line["start"].as_u64()
                    || line["end"].as_u64() <= other["start"].as_u64();
                assert!(apart || durations[task] == 0, "{strategy}: {other} {line}");
            }
        }
        let row = rows.iter().find(|row| row["strategy"] == strategy.as_str()).expect("a row");
        assert_eq!(row["makespan"].as_u64(), Some(last), "whole numbers stay whole");
    }
    plan(&home, "--format psplib --instance b.sm --schedules s --strategies heft");
    let all = schedules(&home, "s");
    assert_eq!(all.len(), 2, "heft and random");
    for lines in all.values() {
        let tasks: Vec<u64> = lines.iter().filter_map(|line| line["task"].as_u64()).collect();
        assert_eq!(tasks, [1, 2, 3, 4, 5, 6], "the file's own numbers");
        assert!(lines.iter().all(|line| line["device"].is_null()));
    }
    plan(&home, "--format hetero-json --instance c.json --schedules s --strategies heft");
    assert!(schedules(&home, "s").values().flatten().all(|line| line["device"].as_u64() < Some(2)));
    plan(&home, "--format wfformat --instance d.json --schedules s --strategies heft");
    for lines in schedules(&home, "s").values() {
        let names: Vec<&str> = lines.iter().filter_map(|line| line["task"].as_str()).collect();
        assert_eq!(names, ["prepare", "a_1", "a_2"], "what was added stands nowhere");
    }
}

#[test]
fn same_seed_and_number_of_schedules_same_answer() {
    let home = Home::new();
    home.write("b.sm", psplib());
    let words = "--format psplib --instance b.sm --strategies all --budget-schedules 50 --seed 7";
    let strip = |rows: Vec<Value>| -> Vec<Value> {
        let without = |mut row: Value| {
            row["plan_ms"] = Value::Null;
            row
        };
        rows.into_iter().map(without).collect()
    };
    let first = strip(plan(&home, &format!("{words} --schedules s1")));
    let second = strip(plan(&home, &format!("{words} --schedules s2")));
    assert_eq!(first, second);
    let read = |file: &str| std::fs::read(home.path(file)).expect("written");
    assert_eq!(read("s1"), read("s2"));
}

#[test]
fn graphs_of_ours_are_planned_on_a_machine() {
    let home = Home::new();
    home.write(
        "g.toml",
        "[[function]]\nid = 'a-{n}'\nforeach = { n = [1, 2, 3, 4, 5, 6] }\ncommand = ['true']\noutputs = ['file']\ncost = { cpus = 2, duration = '3s' }\n\
         [[function]]\nid = 'b'\nargs = [['a[*]', 0]]\ncommand = ['true']\ncost = { gpu_memory = '4GiB', duration = '1s' }\n",
    );
    let rows =
        plan(&home, "--format dunnage --instance g.toml --devices mock:2x24g --strategies all --schedules s");
    assert!(rows.iter().all(|row| row["tasks"] == 7 && row["format"] == "dunnage"));
    for lines in schedules(&home, "s").values() {
        assert!(lines.iter().any(|line| line["task"] == "b"), "{lines:?}");
    }
}

/// Makes sure that all of these stand in what was printed.
#[test]
fn a_graph_of_ours_may_be_compressed() {
    let home = Home::new();
    let graph = "[[function]]\nid = 'a'\ncommand = ['true']\ncost = { duration = '2s' }\n";
    for name in ["g.toml.gz", "g.gz", "g.toml"] {
        home.write(name, gzip(graph.as_bytes()));
        let words = format!(
            "bench plan --format dunnage --devices mock:1x8g --strategies heft --instance {name} --json"
        );
        let doc = home.call(&words).ok().json();
        assert_eq!(doc[0]["makespan"], 2.0, "{doc}");
    }
    home.write("bad.toml.gz", gzip(b"[[function]]\nid = 'a'\ncommand = ['true']\nx = 1\n"));
    let words = "bench plan --format dunnage --devices mock:1x8g --instance bad.toml.gz";
    home.call(words).end().expect(2).says(&["bad.toml.gz", "`x`"]);
}

fn prints(said: &Ended, texts: &[&str]) {
    for text in texts {
        assert!(said.out.contains(text), "{text:?} is not printed: {}", said.out);
    }
}

#[test]
fn reports_are_for_people() {
    let home = Home::new();
    home.write("a.stg", STG);
    home.write("b.stg", STG.replace("  5  6  1  2", "  5  9  1  2"));
    let words = "bench plan --format stg --processors 2 --instance a.stg b.stg --html page.html";
    let said = home.call(words).ok();
    prints(&said, &["a.stg: 8 tasks", "STRATEGY", "OVER BOUND", "random", "over 2 instances", "BEST ON"]);
    let page = std::fs::read_to_string(home.path("page.html")).expect("written");
    assert!(page.contains("<svg") && page.contains("prefers-color-scheme") && page.ends_with("</html>\n"));
    for outside in ["http://", "https://", "src=", "<script", "@import", "url("] {
        assert!(!page.contains(outside), "the page needs {outside}");
    }
}

/// Makes sure that a file is refused with all of these texts and nothing on standard output.
fn refused(format: &str, text: impl AsRef<[u8]>, texts: &[&str]) -> Ended {
    let home = Home::new();
    std::fs::write(home.path("bad"), text.as_ref()).expect("written");
    let more = if format == "stg" { "--processors 4" } else { "" };
    let said = home.call(&format!("bench plan --format {format} --instance bad {more}")).end().expect(2);
    assert_eq!(said.out, "", "nothing is printed");
    said.says(&["bad"]).says(texts)
}

#[test]
fn what_is_wrong_in_an_stg_file_is_named() {
    refused("stg", "", &["empty"]);
    refused("stg", "x\n", &["line 1", "number of tasks", "`x`"]);
    refused("stg", "1000000000000\n0 0 0\n", &["line 1", "number of tasks", "`1000000000000`"]);
    refused("stg", "5000000\n0 0 0\n", &["line 1", "too short"]);
    refused(
        "stg",
        STG.replace("  3  5  2  1 2", "  3  -5  2  1 2"),
        &["line 5", "task 3, processing time", "negative", "`-5`"],
    );
    refused(
        "stg",
        STG.replace("  3  5  2  1 2", "  3  nan  2  1 2"),
        &["line 5", "processing time", "`nan`"],
    );
    refused(
        "stg",
        STG.replace("  3  5  2  1 2", "  3  99999999999999999999  2  1 2"),
        &["line 5", "too large"],
    );
    refused("stg", STG.replace("  3  5  2  1 2", "  3  5  2  1"), &["line 5", "predecessor 2", "ends"]);
    refused("stg", STG.replace("  3  5  2  1 2", "  3  5  2  1 2 9"), &["line 5", "`9`"]);
    refused(
        "stg",
        STG.replace("  3  5  2  1 2", "  3  5  2  1 77"),
        &["line 5", "predecessor 2", "`77`", "0 to 7"],
    );
    refused("stg", STG.replace("  3  5  2  1 2", "  2  5  2  1 2"), &["line 5", "in order", "`2`"]);
    refused("stg", STG.replace("  2  3  1  0", "  2  3  1  6"), &["cycle", "->", "6", "2"]);
    refused("stg", STG.replace("  6\n", "  7\n"), &["ends after 8 of 9"]);
    refused("stg", STG.replace("  6\n", "  5\n"), &["more lines"]);
    refused("stg", b"6\n\xff\xfe\n", &["line 2", "not text"]);
    let home = Home::new();
    home.write("a.stg", STG);
    home.call("bench plan --format stg --instance a.stg").end().expect(2).says(&["--processors"]);
    home.call("bench plan --format stg --processors 0 --instance a.stg")
        .end()
        .expect(2)
        .says(&["--processors"]);
    home.call("bench plan --format stg --processors 2 --instance none")
        .end()
        .expect(2)
        .says(&["none", "no such file"]);
    home.call("bench plan --format stg --processors 2 --instance .").end().expect(2).says(&["folder"]);
}

#[test]
fn what_is_wrong_in_a_psplib_file_is_named() {
    let good = psplib();
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    refused("psplib", "hello\n", &["jobs", ".sm"]);
    refused(
        "psplib",
        with("  2  1  3  2  0", "  2  1  3  5  0"),
        &["line 30", "job 2, R1", "never run", "`5`", "at most 4"],
    );
    refused("psplib", with("  2  1  3  2  0", "  2  1  x  2  0"), &["line 30", "job 2, duration", "`x`"]);
    refused("psplib", with("  2  1  3  2  0", "  2  1  3  2"), &["line 30", "job 2, R2"]);
    refused("psplib", with("  2  1  1  4", "  2  3  1  4"), &["line 20", "#modes", "`3`", "single-mode"]);
    refused("psplib", with("  2  1  1  4", "  2  1  1  9"), &["line 20", "successor 1", "`9`", "1 to 6"]);
    refused("psplib", with("  4  1  1  6", "  4  1  1  2"), &["cycle", "2 -> 4 -> 2"]);
    refused(
        "psplib",
        with("nonrenewable              :  0", "nonrenewable              :  2"),
        &["nonrenewable", "`2`"],
    );
    refused(
        "psplib",
        with("doubly constrained        :  0", "doubly constrained        :  1"),
        &["doubly constrained"],
    );
    refused("psplib", with("sink ):  6", "sink ):  999999"), &["jobs", "too short"]);
    refused("psplib", with("    1      4      0 ", "    1      4      3 "), &["rel.date", "`3`"]);
    refused("psplib", with("    4    2\n", "    4\n"), &["availability of R2"]);
}

#[test]
fn what_is_wrong_in_a_json_file_is_named() {
    let with = |from: &str, to: &str| {
        assert!(HETERO.contains(from), "{from}");
        HETERO.replacen(from, to, 1)
    };
    refused("hetero-json", "{\"tasks\": [1,", &["line 1", "column"]);
    refused("hetero-json", with("2.5", "NaN"), &["line 1", "column 35", "tasks[1]"]);
    refused("hetero-json", with("2.5", "NaN"), &["`NaN`", "Infinity", "leave the entry out"]);
    refused("hetero-json", with("2.5", "1e999"), &["line 1", "tasks[1]", "out of range", "`1e999`"]);
    refused("hetero-json", "", &["the file is empty"]);
    let null = refused("hetero-json", "null", &["line 1, column 1", "`null`", "an object"]);
    assert!(!null.err.contains("struct"), "{}", null.err);
    // More ways to run tasks than there is memory for.
    let many = format!(
        "{{\"tasks\": [{}0], \"edges\": [], \"speeds\": [{}1], \"links\": []}}",
        "0,".repeat(20_000),
        "1,".repeat(999)
    );
    refused("hetero-json", many, &["tasks", "20001 x 1000", "fewer devices"]);
    refused("hetero-json", format!("\u{feff}{}", with("2.5", "-2.5")), &["line 1, column 35", "`-2.5`"]);
    let size = with("\"edges\": [", "\"edges\": [[0, 1, 7], [0, 1, 8], ");
    refused("hetero-json", size, &["edges[1]", "edges[0]", "another size", "[0, 1, 8]"]);
    refused("hetero-json", with("2.5", "-2.5"), &["line 1, column 35, tasks[1]", "`-2.5`"]);
    refused("hetero-json", with("2.5", "1e308"), &["tasks[1]", "overflow"]);
    refused("hetero-json", with("2.5", "\"x\""), &["tasks[1]"]);
    refused("hetero-json", with("[1, 3, 0.5]", "[1, 7, 0.5]"), &["line 2", "edges[2][1]", "`7`", "4 tasks"]);
    refused("hetero-json", with("[1, 3, 0.5]", "[1, 3.5, 0.5]"), &["edges[2][1]"]);
    refused("hetero-json", with("[1, 3, 0.5]", "[1, 3]"), &["edges[2]"]);
    refused("hetero-json", with("[1, 3, 0.5]", "[3, 0, 0.5]"), &["cycle", "->"]);
    refused("hetero-json", with("[1.0, 2.0]", "[1.0, 0]"), &["line 3", "speeds[1]", "`0`"]);
    refused("hetero-json", with("[1.0, 2.0]", "[]"), &["speeds"]);
    refused("hetero-json", with("[1.0, 2.0]", "[1.0, 2.0, 3.0]"), &["links", "0 and 2"]);
    refused("hetero-json", with("[[0, 1, 2.0]]", "[[0, 1, 2.0], [1, 0, 3.0]]"), &["links[1]"]);
    refused("hetero-json", with("[[0, 1, 2.0]]", "[[0, 2, 2.0]]"), &["links[0][1]", "`2`"]);
    refused("hetero-json", with("\"speeds\"", "\"speed\""), &["speeds"]);
    refused("wfformat", "{}", &["workflow"]);
    refused(
        "wfformat",
        WF.replace("\"sizeInBytes\": 2097152", "\"sizeInBytes\": -1"),
        &["line 7", "files[0].sizeInBytes", "`-1`"],
    );
    refused(
        "wfformat",
        WF.replace(
            "\"parents\": [\"prepare\"], \"inputFiles\": [\"x\"], \"outputFiles\": [\"y2\"]",
            "\"parents\": [\"nobody\"]",
        ),
        &["line 6", "tasks[2].parents[0]", "nobody"],
    );
    refused(
        "wfformat",
        WF.replace("\"runtimeInSeconds\": 3.5", "\"runtimeInSeconds\": -3.5"),
        &["tasks[1].runtimeInSeconds", "-3.5"],
    );
    refused(
        "wfformat",
        WF.replace(
            "{\"id\": \"a_1\", \"runtimeInSeconds\": 3.5}",
            "{\"id\": \"a_1\", \"runtimeInSeconds\": 9}, {\"id\": \"a_1\", \"runtimeInSeconds\": 3.5}",
        ),
        &["execution.tasks[2].runtimeInSeconds", "`3.5`", "another run time (9)"],
    );
    refused(
        "wfformat",
        WF.replace("\"parents\": [\"prepare\"]", "\"children\": [\"prepare\"], \"parents\": [\"prepare\"]"),
        &["children[0]", "as a parent"],
    );
    refused(
        "wfformat",
        WF.replace("{\"id\": \"a_1\", \"runtimeInSeconds\": 3.5}, ", ""),
        &["a_1", "run time"],
    );
}

#[test]
fn damaged_and_swollen_gzip_is_refused() {
    let whole = gzip(STG.as_bytes());
    refused("stg", &whole[..whole.len() / 2], &["gzip", "damaged"]);
}

#[test]
fn names_and_budgets_are_checked() {
    let home = Home::new();
    home.write("a.stg", STG);
    let call = |words: &str| {
        home.call(&format!("bench plan --format stg --processors 2 --instance a.stg {words}")).end().expect(2)
    };
    call("--strategies hefd").says(&["`hefd`", "`heft`"]);
    call("--strategies nothing-like-it").says(&["there are", "heft"]);
    call("--budget-ms 0").says(&["--budget-ms"]);
    call("--budget-ms -3");
    call("--budget-ms nan").says(&["--budget-ms"]);
    call("--budget-schedules 0").says(&["--budget-schedules"]);
    call("--schedules /no/such/place/s").says(&["/no/such/place/s"]);
    home.call("bench plan --format stgg --instance a.stg").end().expect(2).says(&["stg"]);
    home.call("bench plan --format stg").end().expect(2).says(&["--instance"]);
    prints(&home.call("bench --help").ok(), &["bench plan --format stg"]);
    prints(&home.call("bench plan --help").ok(), &["--mean-comm", "Examples"]);
}

const NODES: &str =
    "sn,cpu_milli,memory_mib,gpu,model\nn1,32000,100000,4,T4\nn2,64000,200000,8,V100\nn3,16000,50000,2,T4\n";

fn pods() -> String {
    let mut text = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n".to_owned();
    for pod in 0..40 {
        let (gpus, milli) = [(0, 0), (1, 300), (1, 700), (1, 1000), (2, 1000)][pod % 5];
        let model = if pod % 7 == 3 && gpus > 0 { "V100" } else { "" };
        let _ =
            writeln!(text, "p{pod:02},{},{},{gpus},{milli},{model}", 500 + 250 * (pod % 4), 1000 * (pod % 3));
    }
    text
}

#[test]
fn pods_are_packed_by_policy_and_seed() {
    let home = Home::new();
    home.write("nodes.csv", NODES);
    std::fs::write(home.path("pods.csv.gz"), gzip(pods().as_bytes())).expect("written");
    let words = "bench pack --nodes nodes.csv --pods pods.csv.gz --seeds 4-6 --tie fit --node-order random:3";
    let doc = home.call(&format!("{words} --policy fgd,best-fit --json")).ok().json();
    let rows = doc.as_array().expect("one array");
    assert_eq!(rows.len(), 6, "two policies, three seeds, and nothing that was not asked for");
    for row in rows {
        has_keys(
            row,
            "policy:string tie:string seed:number alloc_100:number alloc_130:number frag_130:number placements:number median_place_us:number",
        );
        let percent = |key: &str| row[key].as_f64().expect("a number");
        assert!(
            (50.0..=100.0).contains(&percent("alloc_130")) && (0.0..=100.0).contains(&percent("frag_130")),
            "{row}"
        );
        assert_eq!(row["tie"], "fit");
    }
    let said = home.call(&format!("{words} --policy auto --html page.html")).ok();
    prints(&said, &["POLICY", "AT TARGET", "auto", "random", "FAILED CPU"]);
    let page = std::fs::read_to_string(home.path("page.html")).expect("written");
    assert!(page.contains("<polyline"));
    let wrong = |words: &str, texts: &[&str]| {
        drop(home.call(&format!("bench pack {words}")).end().expect(2).says(texts));
    };
    wrong("--nodes nodes.csv --pods pods.csv.gz --policy fdg", &["`fdg`", "`fgd`"]);
    wrong("--nodes nodes.csv --pods pods.csv.gz --seeds 5-4", &["--seeds", "5-4"]);
    wrong("--nodes nodes.csv --pods pods.csv.gz --seeds 0-99999999", &["--seeds"]);
    wrong("--nodes nodes.csv --pods pods.csv.gz --node-order upwards", &["upwards", "random:S"]);
    wrong("--nodes nodes.csv --pods pods.csv.gz --target nan", &["target"]);
    wrong("--nodes none.csv --pods pods.csv.gz", &["none.csv"]);
    home.write("bad.csv", "name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,1000,-5,1,500\n");
    wrong("--nodes nodes.csv --pods bad.csv", &["bad.csv", "line 2", "memory_mib"]);
    home.write("twice.csv", "name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,1,1,1,500\np,2,1,1,500\n");
    wrong("--nodes nodes.csv --pods twice.csv", &["twice.csv", "line 3", "`p`", "twice"]);
    home.write("bare.csv", "sn,cpu_milli,memory_mib,gpu,model\nn,1000,1000,0,\n");
    wrong("--nodes bare.csv --pods pods.csv.gz", &["bare.csv", "no GPU", "above 0"]);
    wrong("--json --nodes bare.csv --pods pods.csv.gz", &["no GPU", "above 0"]);
}

#[test]
fn jobs_are_replayed_through_policies() {
    let home = Home::new();
    let mut text = "job_id,num_gpu,submit_time,duration,model_name\n".to_owned();
    for job in 0..30 {
        let _ = writeln!(text, "{job},{},{},{},m{}", 1 + job % 4, job * 60, 100 + job * 37 % 900, job % 3);
    }
    home.write("jobs.csv", &text);
    let words = "bench replay --format tiresias --trace jobs.csv --load 0.7";
    let doc = home.call(&format!("{words} --json")).ok().json();
    let rows = doc.as_array().expect("one array");
    let policies: Vec<&str> = rows.iter().filter_map(|row| row["policy"].as_str()).collect();
    assert!(["default", "fifo", "sjf"].iter().all(|policy| policies.contains(policy)), "{policies:?}");
    for row in rows {
        has_keys(
            row,
            "trace:string jobs:number succeeded:number mean_jct_s:number max_wait_s:number makespan_s:number utilisation:number energy_j:number regret:number to_sjf:number strategy:string",
        );
        assert_eq!(row["succeeded"], 30, "{row}");
    }
    let random = |doc: &Value| {
        doc.as_array().is_some_and(|rows| {
            rows.iter().any(|row| row["strategy"] == "random" && row["policy"] == "default")
        })
    };
    assert!(random(&doc), "{doc}");
    prints(
        &home.call(&format!("{words} --error 0 --policies sjf,fifo --html page.html")).ok(),
        &["sjf", "fifo", "random", "+0.0 %", "REGRET", "TO SJF"],
    );
    let page = std::fs::read_to_string(home.path("page.html")).expect("written");
    assert!(page.contains("<polyline") && page.contains("In use over time") && page.contains("Waiting"));
    // With true times nobody is better than the best that the regret is against.
    let doc = home.call(&format!("{words} --error 0 --strategies all --policies all --json")).ok().json();
    let regrets: Vec<f64> =
        doc.as_array().expect("a list").iter().filter_map(|row| row["regret"].as_f64()).collect();
    assert!(regrets.len() > 10 && regrets.iter().all(|regret| *regret >= 0.0), "{regrets:?}");
    assert!(regrets.contains(&0.0), "{regrets:?}");
    let doc = home.call(&format!("{words} --strategies fgd,mct --json")).ok().json();
    let names: Vec<&str> =
        doc.as_array().expect("a list").iter().filter_map(|row| row["strategy"].as_str()).collect();
    assert_eq!(names, ["fgd", "mct", "random"]);
    let wrong = |words: &str, texts: &[&str]| {
        drop(home.call(&format!("bench replay {words}")).end().expect(2).says(texts));
    };
    wrong("--format tiresias --trace jobs.csv --policies sfj", &["`sfj`", "`sjf`"]);
    wrong("--format tiresias --trace jobs.csv --strategies fgdd", &["`fgdd`", "`fgd`"]);
    wrong("--format tiresias --trace jobs.csv --load 0", &["--load"]);
    wrong("--format tiresias --trace jobs.csv --load 1e-300", &["--load", "0.01 to 100"]);
    wrong("--format tiresias --trace jobs.csv --error=-1", &["--error"]);
    wrong("--format gavel --trace jobs.csv", &["--throughputs"]);
    wrong("--format journal --trace jobs.csvv", &["journal"]);
    home.write("bad.csv", text.replace("3,4,180,", "3,4,-180,"));
    wrong("--format tiresias --trace bad.csv", &["line 5", "submit_time"]);
    home.write("many.csv", text.replace("3,4,180,", "3,99,180,"));
    wrong("--format tiresias --trace many.csv", &["many.csv", "line 5", "99 GPUs", "has 8", "--devices"]);
    home.write("twice.csv", text.replace("\n3,4,180,", "\n2,4,180,"));
    wrong("--format tiresias --trace twice.csv", &["line 5", "job_id", "`2`", "line 4"]);
    home.write("table.json", "{\"v100\": {\"('A', 1)\": {\"null\": 2.0}}}");
    home.write("g.trace", "B\tpython\tsteps\t0\t100\t0\t1\n");
    wrong("--format gavel --trace g.trace --throughputs table.json", &["line 1", "`B`", "--throughputs"]);
    wrong(
        "--json --format gavel --trace g.trace --throughputs table.json",
        &["line 1", "--throughputs names"],
    );
}

#[test]
fn a_journal_of_ours_is_a_trace() {
    let home = Home::new();
    let graph = "[[function]]\nid = 'a-{n}'\nforeach = { n = [1, 2, 3] }\ncommand = ['true']\n";
    home.run(graph, "", 0);
    let runs = home.state().join("runs");
    let run =
        std::fs::read_dir(&runs).expect("a folder of runs").next().expect("a run").expect("its name").path();
    let doc = home
        .call("bench replay --format journal --json --times true --policies fifo --trace")
        .arg(&run)
        .ok()
        .json();
    assert_eq!((&doc[0]["jobs"], &doc[0]["succeeded"]), (&1.into(), &1.into()), "{doc}");
    assert_eq!(
        (&doc[0]["strategy"], &doc[1]["strategy"]),
        (&"as submitted".into(), &"random".into()),
        "{doc}"
    );
}
