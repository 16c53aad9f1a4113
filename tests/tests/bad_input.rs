//! What is wrong is answered with its place, its value and a fix, and leaves nothing behind.

use dunnage_tests::{Home, ask, has_keys, raw};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// Makes sure that a graph is refused with all of these texts, as text and as JSON, and leaves nothing.
fn refused(graph: &str, texts: &[&str]) {
    let home = Home::new();
    home.write("bad.toml", graph);
    home.call("run --local bad.toml").end().expect(2).says(&["bad.toml"]).says(texts);
    let doc = home.call("run --local --json bad.toml").end().expect(2).json();
    has_keys(&doc, "error:string code:string problems:list");
    assert_eq!(doc["code"], "invalid");
    let problems = doc["problems"].as_array().expect("a list");
    assert!(!problems.is_empty());
    for problem in problems {
        has_keys(problem, "place:string value:string message:string hint:string");
    }
    home.call("plan bad.toml").end().expect(2).says(texts);
    let runs = std::fs::read_dir(home.state().join("runs")).map_or(0, Iterator::count);
    assert_eq!(runs, 0, "a run was left behind");
    home.until_empty();
}

#[test]
fn a_cycle_is_shown_as_its_path() {
    let function = |id: &str, after: &str| {
        format!("[[function]]\nid = '{id}'\ncommand = ['true']\nafter = ['{after}']\n")
    };
    let graph = format!("{}{}{}", function("a", "c"), function("b", "a"), function("c", "b"));
    refused(&graph, &["cycle", "a -> "]);
    let home = Home::new();
    home.write("bad.toml", graph);
    let said = home.call("run --local bad.toml").end().err;
    let path = said.lines().find(|line| line.contains("->")).expect("a path").to_owned();
    assert_eq!(path.matches("->").count(), 3, "{path}");
    refused(&function("self", "self"), &["self -> self"]);
}

#[test]
fn unknown_keys_have_a_nearest_name_and_a_line() {
    refused(
        "[graph]\nnam = 'x'\n[[function]]\nid = 'a'\ncommand = ['true']\n",
        &["bad.toml:2", "`nam`", "did you mean `name`?"],
    );
    refused(
        "[[function]]\nid = 'a'\ncommand = ['true']\ncost = { gpu_memry = '1GiB' }\n",
        &["bad.toml:4", "gpu_memry", "`gpu_memory`"],
    );
    refused("[[functoin]]\nid = 'a'\n", &["functoin", "`function`"]);
    refused("[[function]]\nid = 'a'\nkernel = 'gem'\n", &["`gem`", "`gemm`"]);
    refused(
        "[graph]\nstrategy = 'hefd'\n[[function]]\nid = 'a'\ncommand = ['true']\n",
        &["bad.toml:2", "`hefd`", "`heft`"],
    );
    refused(
        "[graph]\norder = 'sequental'\n[[function]]\nid = 'a'\ncommand = ['true']\n",
        &["sequental", "sequential"],
    );
}

#[test]
fn what_is_not_there_is_named() {
    let two = |args: &str| {
        format!(
            "[[function]]\nid = 'prepare'\ncommand = ['true']\noutputs = ['file']\n[[function]]\nid = 'b'\ncommand = ['true']\n{args}\n"
        )
    };
    refused(&two("args = [['prepar', 0]]"), &["`prepar`", "`prepare`", "bad.toml:8"]);
    refused(&two("args = [['prepare', 3]]"), &["3", "`prepare`", "1"]);
    refused(&two("after = ['nobody']"), &["`nobody`"]);
    refused(&two("args = [['prepare[*]', 0, 'failed']]"), &["failed", "succeeded"]);
    refused(&two("args = [['prepare', 0]]\nextra_args = ['{arg.4}']"), &["{arg.4}"]);
}

#[test]
fn ids_are_unique() {
    refused(
        "[[function]]\nid = 'a'\ncommand = ['true']\n[[function]]\nid = 'a'\ncommand = ['true']\n",
        &["`a`", "bad.toml:"],
    );
    refused("[[function]]\nid = 'a-{n}'\nforeach = { n = [1, 1] }\ncommand = ['true']\n", &["a-1"]);
    refused("[[function]]\nid = ''\ncommand = ['true']\n", &["id"]);
}

#[test]
fn units_are_required_and_known() {
    let with = |line: &str| format!("[[function]]\nid = 'a'\ncommand = ['true']\n{line}\n");
    refused(&with("timeout = 30"), &["bad.toml:4", "`30`", "30s"]);
    refused(&with("timeout = '30 parsecs'"), &["30 parsecs", "units"]);
    refused(&with("cost = { memory = '8 GB of it' }"), &["8 GB of it"]);
    refused(&with("cost = { memory = -5 }"), &["-5"]);
    refused(&with("cost = { cpus = 'many' }"), &["many"]);
    refused(&with("cost = { gpu_share = 1.5 }"), &["1.5"]);
    refused(&with("outputs = [{ kind = 'file', size = 100 }]"), &["100"]);
    refused(&with("outputs = ['flie']"), &["flie", "file"]);
    refused(&with("foreach = { n = '5-1' }"), &["5-1"]);
    refused(&with("retry = { max = -1 }"), &["-1"]);
    refused(
        "[graph]\ntolerance = { max_failurs = 5 }\n[[function]]\nid = 'a'\ncommand = ['true']\n",
        &["max_failurs", "max_failures"],
    );
    refused(
        "[graph]\ntolerance = { min_success = 95 }\n[[function]]\nid = 'a'\ncommand = ['true']\n",
        &["95"],
    );
}

#[test]
fn all_problems_come_at_once() {
    let graph = "[graph]\nnam = 'x'\nstrategy = 'hefd'\n\
        [[function]]\nid = 'a'\ncommand = ['true']\ntimeout = 5\n\
        [[function]]\nid = 'a'\ncommand = ['true']\nargs = [['nobody', 0]]\n";
    refused(graph, &["`nam`", "timeout", "`hefd`", "nobody"]);
}

#[test]
fn a_file_that_is_no_graph_is_told_from_one() {
    let home = Home::new();
    home.write("binary.toml", [0x7f, b'E', b'L', b'F', 0, 1, 2, 3]);
    home.call("run --local binary.toml").end().expect(2).says(&["binary.toml", "binary"]);
    home.write("latin1.toml", b"[graph]\nname = 'caf\xe9'\n");
    home.call("run --local latin1.toml").end().expect(2).says(&["latin1.toml", "UTF-8"]);
    home.write("broken.toml", "[graph]\nname = 'x\n");
    home.call("run --local broken.toml").end().expect(2).says(&["broken.toml:2"]);
    home.write("broken.json", "{\"function\": [\n  {\"id\": }\n]}");
    home.call("run --local broken.json").end().expect(2).says(&["broken.json:2"]);
    home.write("empty.toml", "");
    home.call("run --local empty.toml").end().expect(2).says(&["empty.toml", "function"]);
    home.call("run --local none.toml").end().expect(2).says(&["none.toml"]);
    home.call("run --local").arg(home.path("home")).end().expect(2).says(&["directory"]);
    home.call("submit none.toml").end().expect(2).says(&["none.toml"]);
    home.call("plan none.toml").end().expect(2).says(&["none.toml"]);
}

#[test]
fn inputs_that_are_missing_are_told_before_anything_starts() {
    let home = Home::new();
    let graph = "[graph]\ninputs = { data = 'none.csv' }\n[[function]]\nid = 'a'\ncommand = ['sh', 'task.sh']\n\
        [[function]]\nid = 'b'\nafter = ['a']\ncommand = ['cat', '{input.data}']\n";
    home.write("graph.toml", graph);
    home.call("run --local graph.toml").end().expect(2).says(&["none.csv", "data"]);
    assert!(home.diary().entries.is_empty());
    let _daemon = home.daemon("");
    home.call("submit graph.toml").end().expect(2).says(&["none.csv"]);
}

#[test]
fn flags_that_are_wrong_are_usage() {
    let home = Home::new();
    for (words, texts) in [
        ("run --bogus", &["--bogus"][..]),
        ("frobnicate", &["frobnicate"]),
        ("", &["Usage"]),
        ("run", &["nothing to run", "-- echo"]),
        ("run a.toml -- true", &["both"]),
        ("run -c many -- true", &["-c", "many"]),
        ("run --mem 8Q -- true", &["--mem", "8Q"]),
        ("run -t x -- true", &["-t", "`x`"]),
        ("run -G 0.5 -- true", &["-G", "0.5", "--gpu-share"]),
        ("run --gpu-share 2 -- true", &["2"]),
        ("run --gres tpu:1 -- true", &["tpu:1", "gpu:2"]),
        ("run --env =x -- true", &["--env", "=x"]),
        ("run --strategy hefd -- true", &["hefd", "heft"]),
        ("submit", &["nothing to submit"]),
        ("daemon --metrics nowhere", &["--metrics", "nowhere"]),
        ("run --resume x", &["--resume", "x"]),
    ] {
        home.call(words).end().expect(2).says(texts);
    }
    assert!(std::fs::read_dir(home.state().join("runs")).map_or(0, Iterator::count) == 0);
}

#[test]
fn without_a_daemon_the_way_to_one_is_told() {
    let home = Home::new();
    for words in [
        "queue",
        "status 1",
        "wait 1",
        "logs 1",
        "cancel 1",
        "hold 1",
        "release 1",
        "retry 1",
        "explain 1/a",
        "submit -- true",
        "daemon stop",
    ] {
        let ended = home.call(words).end().expect(3).says(&["no daemon", "dunnage daemon"]);
        assert!(ended.err.contains(&home.socket().display().to_string()), "{}", ended.err);
    }
    let doc = home.call("queue --json").end().expect(3).json();
    assert_eq!(doc["code"], "unreachable");
}

#[test]
fn ids_that_are_not_there_are_told() {
    let home = Home::new();
    let _daemon = home.daemon("");
    home.call("submit --wait -- true").ok();
    for words in ["status 7", "wait 7", "logs 7", "cancel 7", "hold 7", "release 7", "retry 7", "explain 7/a"]
    {
        home.call(words).end().expect(2).says(&["7"]);
    }
    home.call("status seven").end().expect(2).says(&["seven", "numbers"]);
    for words in ["logs 1/jobb", "explain 1/jobb", "cancel 1/jobb", "retry 1/jobb"] {
        home.call(words).end().expect(2).says(&["jobb"]);
    }
    home.call("explain 1").end().expect(2).says(&["which function", "1/"]);
}

#[test]
fn a_folder_of_somebody_else_is_left_alone() {
    let home = Home::new();
    let foreign = home.path("foreign");
    std::fs::create_dir(&foreign).expect("a folder");
    std::fs::write(foreign.join("thesis.tex"), "precious").expect("a file");
    for words in ["run --state-dir foreign -- true", "daemon --state-dir foreign"] {
        home.call(words).end().expect(2).says(&["foreign", "thesis.tex", "--state-dir"]);
    }
    let names: Vec<_> =
        std::fs::read_dir(&foreign).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names, ["thesis.tex"]);
    // A file in place of a folder cannot be written into by anybody.
    home.write("file", "");
    for words in ["run --state-dir file -- true", "daemon --state-dir file/below"] {
        home.call(words).end().expect(2).says(&["file"]);
    }
}

#[test]
fn a_folder_that_may_not_be_written_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let closed = home.path("closed");
    std::fs::create_dir(&closed).expect("a folder");
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o555)).expect("closed");
    if std::fs::write(closed.join("probe"), "").is_ok() {
        eprintln!("skipped: this user may write anywhere");
        return;
    }
    for words in ["run --state-dir closed/s -- true", "daemon --state-dir closed/s"] {
        home.call(words).end().expect(2).says(&["closed"]);
    }
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o755)).expect("opened");
}

#[test]
fn large_bodies_and_many_functions_are_bounded() {
    let home = Home::new();
    let limits =
        [("DUNNAGE_GRAPH_BYTES_MAX", "20KiB".to_owned()), ("DUNNAGE_FUNCTIONS_MAX", "100".to_owned())];
    let mut daemon = home.daemon_with("", &limits);
    let submit = |body: &str| ask(&home.socket(), "POST", "/v1/graphs?dir=/tmp", &[], body);
    let long = format!("{{\"function\": [{{\"id\": \"a\", \"command\": [\"{}\"]}}]}}", "x".repeat(40_000));
    let answer = submit(&long);
    assert!(matches!(answer.status, 400 | 413), "{answer:?}");
    assert!(answer.body.contains("20480") || answer.body.contains("20 KiB"), "{answer:?}");
    for sweep in ["\"0-100\"", "\"0-99999999999\"", "\"0-18446744073709551615\""] {
        let wide = format!(
            "{{\"function\": [{{\"id\": \"a-{{n}}\", \"command\": [\"true\"], \"foreach\": {{\"n\": {sweep}}}}}]}}"
        );
        let answer = submit(&wide);
        assert!(matches!(answer.status, 400 | 413), "{answer:?}");
        assert!(answer.body.contains("100"), "{answer:?}");
    }
    let square = "{\"function\": [{\"id\": \"a-{m}-{n}\", \"command\": [\"true\"], \"foreach\": {\"n\": \"1-50\", \"m\": \"1-50\"}}]}";
    assert!(matches!(submit(square).status, 400 | 413));
    let deep = format!("{{\"graph\": {}1{}}}", "[".repeat(9_000), "]".repeat(9_000));
    assert_eq!(submit(&deep).status, 400);
    home.write("wide.toml", "[[function]]\nid = 'a-{n}'\nforeach = { n = '1-101' }\ncommand = ['true']\n");
    home.call("submit wide.toml").end().expect(2).says(&["101", "100"]);
    assert!(daemon.lives());
    assert_eq!(home.call("queue --json").ok().json().as_array().map(Vec::len), Some(0));
    home.call("submit --wait -- true").ok();
}

#[test]
fn a_submission_that_is_wrong_is_answered_by_the_api_too() {
    let home = Home::new();
    let _daemon = home.daemon("");
    let submit = |path: &str, body: &str| ask(&home.socket(), "POST", path, &[], body);
    let good = "{\"function\": [{\"id\": \"a\", \"command\": [\"true\"]}]}";
    for (path, body, status) in [
        ("/v1/graphs?dir=/tmp", "{\"function\": [{\"id\": \"a\", \"comand\": [\"true\"]}]}", 400),
        ("/v1/graphs?dir=/tmp", "{\"function\"", 400),
        ("/v1/graphs?dir=/tmp", "\u{0}\u{1}", 400),
        ("/v1/graphs?dir=tmp", good, 400),
        ("/v1/graphs", good, 400),
        ("/v1/graphs?dir=/tmp&environment=../../etc/passwd", good, 409),
    ] {
        let answer = submit(path, body);
        assert_eq!(answer.status, status, "{path} {body}: {answer:?}");
    }
    let answer = submit("/v1/graphs?dir=/tmp", "{\"function\": [{\"id\": \"a\", \"comand\": [\"true\"]}]}");
    let problem = &answer.json()["problems"][0];
    assert!(
        problem["place"] == "function[0].comand" && problem["hint"].to_string().contains("command"),
        "{answer:?}"
    );
    assert_eq!(home.call("queue --json").ok().json().as_array().map(Vec::len), Some(0));
}

#[test]
fn garbage_on_the_sockets_harms_nobody() {
    let home = Home::new();
    let mut daemon = home.daemon("--metrics 127.0.0.1:0");
    home.call("submit -- sh task.sh open").ok();
    let noise: Vec<u8> = (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let long_head = format!("GET /{} HTTP/1.1\r\nHost: dunnage\r\n\r\n", "x".repeat(200_000));
    for bytes in [
        &b""[..],
        b"\r\n\r\n",
        b"GET",
        &noise,
        long_head.as_bytes(),
        b"\xff\xff\xff\xff",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        raw(&home.socket(), bytes);
    }
    // The sockets between our own processes as well, if there are any by name.
    let rundirs = std::fs::read_dir(home.runtime().join("dunnage")).expect("a runtime directory");
    for socket in
        rundirs.flatten().flat_map(|dir| std::fs::read_dir(dir.path()).into_iter().flatten().flatten())
    {
        let path = socket.path();
        if path.extension().is_some_and(|extension| extension == "sock") {
            for bytes in [&b"\xff\xff\xff\xff"[..], &noise, b"\x00\x00\x00\x05hello"] {
                if let Ok(mut stream) = UnixStream::connect(&path) {
                    let _ = stream.write_all(bytes);
                }
            }
        }
    }
    let address = daemon.metrics_address();
    let mut tcp = std::net::TcpStream::connect(&address).expect("a listener");
    tcp.write_all(&noise[..1000]).expect("sent");
    drop(tcp);
    assert!(daemon.lives());
    home.open("open");
    home.call("wait 1").ok();
    home.call("submit --wait -- sh task.sh").ok();
}

#[test]
fn clients_that_stall_hold_up_nobody() {
    let home = Home::new();
    let _daemon = home.daemon("");
    let stall = |bytes: &str| {
        let mut stream = UnixStream::connect(home.socket()).expect("a connection");
        stream.write_all(bytes.as_bytes()).expect("sent");
        stream
    };
    let mut stalled = Vec::new();
    for _ in 0..40 {
        stalled.push(stall(""));
        stalled.push(stall("POST /v1/graphs?dir=/tmp HTTP/1.1\r\nHost: dun"));
        stalled.push(stall("POST /v1/graphs?dir=/tmp HTTP/1.1\r\nHost: dunnage\r\nContent-Length: 1000\r\n\r\n{\"function\": ["));
        // Asks and does not read.
        stalled.push(stall("GET /metrics HTTP/1.1\r\nHost: dunnage\r\n\r\n"));
    }
    home.call("queue").ok();
    home.call("submit --wait -- sh task.sh").ok();
    assert_eq!(ask(&home.socket(), "GET", "/readyz", &[], "").status, 200);
    home.diary().each_exactly_once(1);
    // A client that sends nothing is given up in the end.
    let mut silent = stall("GET / HTTP/1.1\r\n");
    silent.set_read_timeout(Some(dunnage_tests::PATIENCE)).expect("a time limit");
    let mut answer = Vec::new();
    silent.read_to_end(&mut answer).expect("hung up");
}

#[test]
fn what_this_version_does_not_run_is_said_at_once() {
    let home = Home::new();
    home.write("graph.toml", "[[function]]\nid = 'a'\npython = { call = 'm:f' }\n");
    home.call("run --local graph.toml").end().expect(4).says(&["Python", "`command`"]);
    home.write("graph.toml", "[[function]]\nid = 'a'\npython = { call = 'm.f' }\n");
    home.call("run --local graph.toml").end().expect(2).says(&["m.f"]);
    home.write("graph.toml", "[[function]]\nid = 'a'\nnode = 'elsewhere'\ncommand = ['true']\n");
    home.call("run --local graph.toml").end().expect(4).says(&["elsewhere"]);
}
