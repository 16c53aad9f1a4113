//! A daemon and the commands that talk to it.

use dunnage_tests::{Home, Signal, alive, ask, function, has_keys, is_status, kill, states, until};
use std::fs;

/// A function that waits for the gate `open`.
const GATED: &str = "[graph]\nname = 'gated'\n[[function]]\nid = 'a'\ncommand = ['sh', 'task.sh', 'open']\n\
    [[function]]\nid = 'b'\nafter = ['a']\ncommand = ['sh', 'task.sh']\n";

#[test]
fn the_life_of_a_graph_is_told_in_documents() {
    let home = Home::new();
    let daemon = home.daemon("");
    home.write("graph.toml", GATED);
    let submitted = home.call("submit --json graph.toml").ok().json();
    has_keys(&submitted, "id:string");
    let id = submitted["id"].as_str().expect("an id");
    until("the task", || home.diary().pid_of("a"));

    let queue = home.call("queue --json").ok().json();
    let row = &queue[0];
    has_keys(row, "id:string name:string state:string functions:count queued:count running:count");
    has_keys(row, "succeeded:count failed:count cancelled:count submitted_at:number");
    assert_eq!(
        (&row["id"], row["state"].as_str(), row["functions"].as_u64()),
        (&submitted["id"], Some("running"), Some(2))
    );
    assert_eq!((row["queued"].as_u64(), row["running"].as_u64()), (Some(1), Some(1)));

    let status = home.call("status --json").arg(id).ok().json();
    is_status(&status);
    assert_eq!(states(&status, &["a", "b"]), ["running", "queued"]);
    assert_eq!(
        (function(&status, "a")["attempts"].as_u64(), function(&status, "a")["device"].as_str()),
        (Some(1), Some("cpu"))
    );

    let explained = home.call("explain --json").arg(format!("{id}/b")).ok().json();
    has_keys(
        &explained,
        "id:string function:string state:string reason:string message:string options:list story:list",
    );
    assert_eq!(explained["reason"], "dependency");
    assert!(explained["message"].as_str().is_some_and(|message| message.contains("`a`")), "{explained}");

    let doctor = home.call("doctor --json").ok().json();
    has_keys(&doctor["daemon"], "pid:count launcher_pid:count|?");
    assert_eq!(doctor["daemon"]["pid"].as_u64(), Some(daemon.pid().into()));

    let wait = home.call("wait --json").arg(id).start();
    home.open("open");
    let ended = wait.end().expect(0).json();
    is_status(&ended);
    assert_eq!(states(&ended, &["a", "b"]), ["succeeded", "succeeded"]);
    assert!(ended["makespan_s"].as_f64() > Some(0.0));
    let again = home.call("wait --json").arg(id).ok().json();
    assert_eq!(ended["functions"], again["functions"], "waiting for what has ended answers at once");
    for words in ["queue", "status 1", "explain 1/a", "logs 1", "devices", "doctor"] {
        home.call(words).ok();
    }
    daemon.terminate().expect(0);
    home.until_empty();
    assert!(!home.socket().exists(), "the socket goes with its daemon");
}

#[test]
fn wait_and_submit_give_the_exit_code_of_the_work() {
    let home = Home::new();
    let _daemon = home.daemon("");
    home.call("submit --wait -- true").ok();
    home.call("submit --wait -- false").end().expect(1);
    let parsable = home.call("submit --parsable -- sh -c").arg("exit 3").ok().out;
    assert_eq!(parsable, "3\n");
    let doc = home.call("wait 3 --json").end().expect(1).json();
    assert_eq!(function(&doc, "job")["exit_code"], 3);
    let script = home.write("job.sh", "#!/bin/sh\npwd; echo \"from a script\"\n");
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("executable");
    home.call("submit --wait job.sh").ok();
    assert!(home.call("logs 4").ok().out.contains("from a script"));
}

#[test]
fn logs_are_followed_and_outlive_the_daemon() {
    let home = Home::new();
    let daemon = home.daemon("");
    let task = "echo one; sh task.sh open; echo two >&2";
    home.call("submit -- sh -c").arg(task).ok();
    let follower = home.call("logs 1/job -f").start();
    until("the first line", || follower.out().contains("one\n").then_some(()));
    assert!(!follower.out().contains("two"));
    home.open("open");
    assert_eq!(follower.end().expect(0).out, "one\ntwo\n");
    home.call("wait 1").ok();
    daemon.terminate().expect(0);
    let daemon = home.daemon("");
    assert!(home.call("logs 1").ok().out.ends_with("one\ntwo\n"));
    let logs = home.call("logs 1/job --json").ok().json();
    has_keys(&logs[0], "function:string attempt:count text:string");
    assert_eq!((logs[0]["function"].as_str(), logs[0]["text"].as_str()), (Some("job"), Some("one\ntwo\n")));
    daemon.crash();
    let _daemon = home.daemon("");
    assert_eq!(home.call("logs 1/job").ok().out, "one\ntwo\n");
}

#[test]
fn following_ends_whenever_the_task_does() {
    let home = Home::new();
    let _daemon = home.daemon("");
    // Short tasks end at every moment of a follower's life.
    for n in 1..=25 {
        let id = home.call("submit --parsable -- sh -c").arg(format!("sleep 0.0{}; echo done", n % 5)).ok();
        let id = id.out.trim().to_owned();
        until("a start", || {
            let status = home.call("status --json").arg(id.as_str()).ok().json();
            (function(&status, "job")["state"] != "queued").then_some(())
        });
        assert_eq!(home.call("logs -f").arg(format!("{id}/job")).ok().out, "done\n");
        assert_eq!(home.call("run -- sh -c").arg("echo a; echo b").ok().out, "a\nb\n");
    }
}

#[test]
fn logs_of_each_attempt_are_kept() {
    let home = Home::new();
    let _daemon = home.daemon("");
    let graph = "[[function]]\nid = 'a'\nretry = { max = 2, base = '10ms' }\n\
        command = ['sh', '-c', 'echo this is $DUNNAGE_ATTEMPT; test $DUNNAGE_ATTEMPT = 2']\n";
    let id = home.submit(graph);
    home.call("wait").arg(&id).ok();
    let log = |attempt: u32| home.call("logs 1/a --attempt").arg(attempt.to_string()).ok().out;
    assert_eq!([log(1), log(2)], ["this is 1\n", "this is 2\n"]);
    assert_eq!(home.call("logs 1/a").ok().out, "this is 2\n");
}

#[test]
fn a_graph_and_a_function_are_cancelled() {
    let home = Home::new();
    let _daemon = home.daemon("");
    home.submit(GATED);
    let pid = until("the task", || home.diary().pid_of("a"));
    home.call("cancel 1").ok();
    let doc = home.call("wait 1 --json").end().expect(1).json();
    assert_eq!(
        (doc["state"].as_str(), states(&doc, &["a", "b"])),
        (Some("cancelled"), vec!["cancelled", "cancelled"])
    );
    assert!(!alive(pid));

    let graph = "[graph]\ntolerance = 'tolerant'\n[[function]]\nid = 'x-{n}'\nforeach = { n = '0-1' }\ncost = { cpus = 0 }\n\
        command = ['sh', 'task.sh', 'go']\n[[function]]\nid = 'y'\nafter = ['x-0']\ncommand = ['true']\n";
    home.submit(graph);
    let pid = until("the task", || home.diary().pid_of("x-0"));
    home.call("cancel 2/x-0").ok();
    until("its end", || (!alive(pid)).then_some(()));
    home.open("go");
    let doc = home.call("wait 2 --json").end().json();
    assert_eq!(states(&doc, &["x-0", "x-1", "y"]), ["cancelled", "succeeded", "cancelled"], "{doc}");
    // What has ended is not cancelled once more.
    home.call("cancel 2").end();
    assert_eq!(home.call("status 2 --json").ok().json()["state"], doc["state"]);
}

#[test]
fn nothing_of_a_cancelled_tree_survives() {
    let home = Home::new();
    let _daemon = home.daemon("");
    let task =
        "setsid sh -c 'trap \"\" TERM HUP INT; sh task.sh never' & (sh task.sh never &) ; sh task.sh never";
    home.call("submit -- sh -c").arg(task).ok();
    until("three processes", || (home.diary().begins().len() == 3).then_some(()));
    let pids: Vec<u32> = home.diary().entries.iter().map(|entry| entry.pid).collect();
    home.call("cancel 1").ok();
    home.call("wait 1").end().expect(1);
    assert!(pids.iter().all(|pid| !alive(*pid)), "a task ends when its whole tree is gone");
}

#[test]
fn ctrl_c_ends_what_run_began_and_not_what_wait_waits_for() {
    let home = Home::new();
    let _daemon = home.daemon("");
    home.submit(GATED);
    let pid = until("the task", || home.diary().pid_of("a"));
    let waiter = home.call("wait 1").start();
    until("its handler of Ctrl-C", || {
        let status = fs::read_to_string(format!("/proc/{}/status", waiter.pid())).ok()?;
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        let mask = u64::from_str_radix(caught.trim(), 16).ok()?;
        (mask & 1 << (Signal::INT.as_raw() - 1) != 0).then_some(())
    });
    waiter.signal(Signal::INT);
    waiter.end().expect(130);
    home.call("submit --wait -- true").ok();
    assert!(alive(pid), "who waits no longer ends nothing");
    home.open("open");
    home.call("wait 1").ok();

    let run = home.call("run -- sh task.sh never").start();
    let pid = until("the task", || home.diary().pid_of("job"));
    run.signal_group(Signal::INT);
    assert!(matches!(run.end().code, Some(130 | 143)));
    until("its end", || (!alive(pid)).then_some(()));
}

#[test]
fn a_log_is_bounded_and_keeps_its_end() {
    let home = Home::new();
    let _daemon = home.daemon_with("", &[("DUNNAGE_LOG_MAX", "100KiB".to_owned())]);
    home.call("submit --wait -- sh -c").arg("seq 1 300000; echo the very end").ok();
    let text = home.call("logs 1").ok().out;
    assert!(text.ends_with("300000\nthe very end\n"), "{}", &text[text.len().saturating_sub(100)..]);
    assert!(text.len() < 300 << 10 && text.contains("cut away"), "{}", text.len());
}

#[test]
fn a_held_graph_waits_until_it_is_released() {
    let home = Home::new();
    let _daemon = home.daemon("");
    home.write("graph.toml", "[[function]]\nid = 'a'\ncommand = ['sh', 'task.sh']\n");
    home.call("submit --hold graph.toml").ok();
    // Something submitted later runs, so the first is not merely late.
    home.call("submit --wait -- true").ok();
    let doc = home.call("status 1 --json").ok().json();
    assert_eq!(doc["state"], "held");
    assert_eq!(home.call("explain 1/a --json").ok().json()["reason"], "held");
    home.call("release 1").ok();
    home.call("wait 1").ok();

    home.submit(GATED);
    until("the task", || {
        home.diary()
            .entries
            .iter()
            .rev()
            .find(|entry| entry.begins && entry.function == "a")
            .cloned()
            .filter(|_| home.diary().begins().len() == 2)
    });
    home.call("hold 3").ok();
    home.open("open");
    until("its end", || (home.diary().ends().len() == 2).then_some(()));
    home.call("submit --wait -- true").ok();
    let doc = home.call("status 3 --json").ok().json();
    assert_eq!(states(&doc, &["a"]), ["succeeded"], "what runs goes on");
    assert_ne!(states(&doc, &["b"]), ["running"]);
    home.call("release 3").ok();
    home.call("wait 3").ok();
}

#[test]
fn what_failed_is_retried_alone() {
    let home = Home::new();
    let daemon = home.daemon("");
    let graph = "[graph]\nkeep = ['a.0']\n[[function]]\nid = 'a'\ncommand = ['sh', '-c', 'sh task.sh; echo 1 > {out.0}']\noutputs = ['file']\n\
        [[function]]\nid = 'b'\nargs = [['a', 0]]\ncommand = ['sh', '-c', 'test -e mended && cat {arg.0} > {out.0}']\noutputs = ['json']\n\
        [[function]]\nid = 'c'\nafter = ['b']\ncommand = ['sh', 'task.sh']\n";
    home.submit(graph);
    let doc = home.call("wait 1 --json").end().expect(1).json();
    assert_eq!(states(&doc, &["a", "b", "c"]), ["succeeded", "failed", "cancelled"]);
    home.open("mended");
    // Also after a restart.
    daemon.crash();
    let _daemon = home.daemon("");
    home.call("retry 1").ok();
    let doc = home.call("wait 1 --json").ok().json();
    assert_eq!(states(&doc, &["a", "b", "c"]), ["succeeded"; 3]);
    assert_eq!(function(&doc, "b")["outputs"][0]["value"], 1);
    home.diary().each_exactly_once(2);
}

#[test]
fn a_second_daemon_on_the_same_state_is_refused() {
    let home = Home::new();
    let mut daemon = home.daemon("");
    let second = home.call("daemon").end().expect(4);
    second.says(&[&home.text("state"), &daemon.pid().to_string()]);
    home.call("daemon --socket").arg(home.path("other.sock")).end().expect(4);
    assert!(!home.path("other.sock").exists());
    let other_state = home.call("daemon --state-dir").arg(home.path("other")).end();
    assert_ne!(other_state.code, Some(0));
    other_state.says(&[&home.socket().display().to_string()]);
    assert!(daemon.lives());
    home.call("submit --wait -- true").ok();
}

#[test]
fn a_stale_socket_is_replaced_and_another_file_is_not() {
    let home = Home::new();
    drop(std::os::unix::net::UnixListener::bind(home.socket()).expect("a socket"));
    let daemon = home.daemon("");
    home.call("queue").ok();
    daemon.crash();
    assert!(home.socket().exists(), "a crash leaves it");
    home.call("queue").end().expect(3);
    let daemon = home.daemon("");
    home.call("queue").ok();
    daemon.terminate().expect(0);
    fs::write(home.socket(), "precious").expect("a file");
    let refused = home.call("daemon").end();
    assert_ne!(refused.code, Some(0));
    refused.says(&["not a socket"]);
    assert_eq!(fs::read_to_string(home.socket()).expect("still there"), "precious");
}

#[test]
fn the_socket_belongs_to_its_user() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let _daemon = home.daemon("");
    let mode = fs::metadata(home.socket()).expect("a socket").permissions().mode() & 0o777;
    // A daemon of root serves everybody and asks the kernel who they are.
    assert!(matches!(mode, 0o660 | 0o666), "{mode:o}");
    home.call("submit --wait -- echo private").ok();
    // Others may pass through to values of their own, and see nothing on the way.
    let mode = |path: &std::path::Path| fs::metadata(path).expect("there").permissions().mode();
    assert_eq!(mode(&home.state()) & 0o066, 0);
    for name in ["journal.db", "logs", "live-logs", "env"] {
        assert_eq!(mode(&home.state().join(name)) & 0o077, 0, "{name}: what tasks print is nobody else's");
    }
}

#[test]
fn stop_with_kill_ends_the_tasks() {
    let home = Home::new();
    let daemon = home.daemon("");
    home.submit(GATED);
    let pid = until("the task", || home.diary().pid_of("a"));
    home.call("daemon stop --kill").ok();
    daemon.end().expect(0);
    assert!(!alive(pid));
    home.until_empty();
    assert!(home.diary().ends().is_empty());
    home.call("queue").end().expect(3).says(&["no daemon", "dunnage daemon"]);
}

#[test]
fn environments_are_captured_and_not_shown() {
    let home = Home::new();
    let _daemon = home.daemon("");
    home.call("submit --wait -- sh -c").arg("echo got $SECRET > got").env("SECRET", "s3cr3t-value").ok();
    assert_eq!(fs::read_to_string(home.path("got")).expect("a file"), "got s3cr3t-value\n");
    let mut shown = String::new();
    for words in ["queue --json", "status 1 --json", "explain 1/job --json", "logs 1"] {
        shown.push_str(&home.call(words).ok().out);
    }
    shown.push_str(&ask(&home.socket(), "GET", "/metrics", &[], "").body);
    assert!(!shown.contains("s3cr3t"), "{shown}");
    // Neither is it in the journal.
    for name in ["journal.db", "journal.db-wal"] {
        let bytes = fs::read(home.state().join(name)).unwrap_or_default();
        assert!(!bytes.windows(6).any(|window| window == b"s3cr3t"), "{name}");
    }
}

#[test]
fn many_waiters_are_answered() {
    let home = Home::new();
    let daemon = home.daemon("");
    home.submit(GATED);
    let waiters: Vec<_> = (0..6).map(|_| home.call("wait 1 --json").start()).collect();
    until("the task", || home.diary().pid_of("a"));
    home.open("open");
    for waiter in waiters {
        assert_eq!(waiter.end().expect(0).json()["state"], "succeeded");
    }
    // A waiter is told when its daemon goes.
    home.call("submit --hold -- true").ok();
    let waiter = home.call("wait 2").start();
    let pid = daemon.pid();
    until("the waiter's connection", || {
        let established = fs::read_to_string("/proc/net/unix").unwrap_or_default();
        let ours = home.socket().display().to_string();
        (established.lines().filter(|line| line.ends_with(&ours)).count() >= 2).then_some(())
    });
    kill(pid, Signal::KILL);
    waiter.end().expect(3);
}

#[test]
fn a_higher_priority_goes_first() {
    let home = Home::new();
    home.write("one.toml", "cpus = 1\nmemory = '8GiB'\n");
    let _daemon = home.daemon("--devices mock:one.toml");
    home.call("submit -- sh task.sh open").ok();
    until("the first", || home.diary().pid_of("job"));
    let later = |name: &str, priority: i32| {
        let graph = format!(
            "[graph]\npriority = {priority}\n[[function]]\nid = '{name}'\ncommand = ['sh', 'task.sh']\n"
        );
        home.submit(&graph)
    };
    let ids = [later("low", -5), later("usual", 0), later("high", 7), later("usual-too", 0)];
    home.open("open");
    for id in ids {
        home.call("wait").arg(id).ok();
    }
    assert_eq!(home.diary().begins(), ["job", "high", "usual", "usual-too", "low"]);
}

#[test]
fn a_daemon_of_root_runs_tasks_as_their_submitter() {
    const NOBODY: u32 = 65534;
    let home = Home::new();
    if fs::metadata(home.path("home")).map_or(0, |meta| std::os::unix::fs::MetadataExt::uid(&meta)) != 0 {
        eprintln!("skipped: only root may run things as others");
        return;
    }
    let program = home.let_others_in();
    let _daemon = home.daemon("");
    // Whom a daemon of root serves is its administrator's choice.
    fs::set_permissions(home.socket(), std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .expect("our own socket");
    let graph = "[[function]]\nid = 'a-{n}'\nforeach = { n = '0-1' }\ncommand = ['sh', '-c', 'id -u > {out.0}; id -G >> {out.0}']\noutputs = ['file']\n\
        [[function]]\nid = 'b'\nargs = [['a[*]', 0]]\ncommand = ['sh', '-c', 'cat \"$@\"; cat $DUNNAGE_ARG_0 > {out.0}', 'sh', '{arg.0}']\noutputs = ['json']\n";
    home.write("graph.toml", graph);
    let call = |words: &str| home.call_of(&program, words).user(NOBODY);
    call("submit --wait graph.toml").ok();
    assert_eq!(
        call("logs 1/b").ok().out,
        "65534\n65534\n65534\n65534\n",
        "neither root nor a group of root's"
    );
    home.call("submit --hold -- true").ok();
    for words in ["cancel 2", "logs 2", "release 2", "daemon stop --kill"] {
        call(words).end().expect(4);
    }
    let secret = home.write("secret.csv", "1");
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("closed");
    let reader = call("submit --wait -- cat").arg(&secret).end();
    reader.expect(1);
}

#[test]
fn many_functions_go_through() {
    let home = Home::new();
    let _daemon = home.daemon("");
    let graph =
        "[[function]]\nid = 'f-{n}'\nforeach = { n = '1-300' }\ncommand = ['true']\ncost = { cpus = 0.25 }\n";
    let id = home.submit(graph);
    let doc = home.call("wait --json").arg(&id).ok().json();
    assert_eq!(doc["succeeded"], 300);
    assert!(doc["functions"].as_array().is_some_and(|all| all.iter().all(|f| f["attempts"] == 1)));
}
