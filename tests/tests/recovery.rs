//! What is left after processes of the program were killed: everything.

use dunnage_tests::{Home, Process, Signal, alive, function, kill, states, until};
use std::fs;
use std::path::Path;

/// So many short tasks and a few that depend on all of them.
fn many(count: usize) -> String {
    format!(
        "[[function]]\nid = 'f-{{n}}'\nforeach = {{ n = '1-{count}' }}\ncost = {{ cpus = 0.5 }}\n\
         command = ['sh', '-c', 'sh task.sh - 0.03']\n\
         [[function]]\nid = 'last-{{n}}'\nforeach = {{ n = '1-3' }}\nafter = ['f[*]']\ncommand = ['sh', 'task.sh']\n"
    )
}

fn parent(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let rest = stat.rsplit_once(')').expect("a name").1;
    rest.split_whitespace().nth(1).and_then(|parent| parent.parse().ok()).expect("a parent")
}

fn launcher(home: &Home) -> Option<u32> {
    let doctor = home.call("doctor --json").ok().json();
    doctor["daemon"]["launcher_pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
}

#[test]
fn kills_of_the_daemon_lose_nothing_and_start_nothing_twice() {
    let home = Home::new();
    let mut daemon = home.daemon("");
    home.submit(&many(80));
    for progress in [5, 20, 21, 45, 70] {
        until("progress", || (home.diary().begins().len() >= progress).then_some(()));
        daemon.crash();
        daemon = home.daemon("");
    }
    let doc = home.call("wait 1 --json").ok().json();
    assert_eq!((doc["succeeded"].as_u64(), doc["failed"].as_u64()), (Some(83), Some(0)));
    home.diary().each_exactly_once(83);
    let once = doc["functions"]
        .as_array()
        .is_some_and(|all| all.iter().all(|f| f["attempts"] == 1 && f["exit_code"] == 0));
    assert!(once, "{doc}");
    daemon.terminate().expect(0);
    home.until_empty();
}

/// So many kills; more of them with `TEST_KILLS=1000`.
fn kills() -> usize {
    std::env::var("TEST_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(12)
}

#[test]
fn kills_at_any_moment_change_no_exit_code() {
    let home = Home::new();
    let tasks = kills() * 5 + 20;
    let graph = format!(
        "[graph]\ntolerance = 'tolerant'\n[[function]]\nid = 'f-{{n}}'\nforeach = {{ n = '1-{tasks}' }}\n\
         cost = {{ cpus = 0.5 }}\ncommand = ['sh', '-c', 'sh task.sh - 0.01; exit $(({{n}} % 3))']\n"
    );
    let mut daemon = home.daemon("");
    home.submit(&graph);
    // A generator that is the same every time; what it meets is not.
    let mut state = 12345_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..kills() {
        let further = home.diary().entries.len() + random(12) as usize;
        until("progress", || (home.diary().entries.len() >= further.min(2 * tasks)).then_some(()));
        let kind = random(5);
        if kind >= 3
            && let Some(pid) = launcher(&home)
        {
            kill(pid, Signal::KILL);
        }
        if kind != 3 {
            daemon.crash();
            daemon = home.daemon("");
        }
    }
    let doc = home.call("wait 1 --json").ok().json();
    home.diary().each_exactly_once(tasks);
    for n in 1..=tasks {
        let f = function(&doc, &format!("f-{n}"));
        assert_eq!((f["exit_code"].as_u64(), f["attempts"].as_u64()), (Some(n as u64 % 3), Some(1)), "{f}");
    }
    daemon.terminate().expect(0);
    home.until_empty();
}

#[test]
fn a_submission_that_was_acknowledged_survives() {
    let home = Home::new();
    let daemon = home.daemon("");
    for _ in 0..5 {
        home.call("submit --hold -- sh task.sh").ok();
    }
    daemon.crash();
    let _daemon = home.daemon("");
    let queue = home.call("queue --json").ok().json();
    let rows = queue.as_array().expect("rows");
    assert!(rows.len() == 5 && rows.iter().all(|row| row["state"] == "held"), "{queue}");
    for row in rows {
        home.call("release").arg(row["id"].as_str().expect("an id")).ok();
    }
    for row in rows {
        home.call("wait").arg(row["id"].as_str().expect("an id")).ok();
    }
    assert_eq!(home.diary().ends().len(), 5);
}

#[test]
fn a_stopped_daemon_leaves_tasks_running_and_the_next_finds_them() {
    let home = Home::new();
    let daemon = home.daemon("");
    let graph = "[[function]]\nid = 'a'\ncommand = ['sh', '-c', 'echo before; sh task.sh open; echo after; exit 5']\n";
    home.submit(graph);
    let pid = until("the task", || home.diary().pid_of("a"));
    daemon.terminate().expect(0);
    assert!(alive(pid));
    let daemon = home.daemon("");
    let doc = home.call("status 1 --json").ok().json();
    assert_eq!((states(&doc, &["a"]), function(&doc, "a")["attempts"].as_u64()), (vec!["running"], Some(1)));
    assert!(alive(pid));
    home.open("open");
    let doc = home.call("wait 1 --json").end().expect(1).json();
    assert_eq!(function(&doc, "a")["exit_code"], 5);
    assert_eq!(home.call("logs 1/a").ok().out, "before\nafter\n");
    home.diary().each_exactly_once(1);
    assert_eq!(home.diary().pid_of("a"), Some(pid));
    daemon.terminate().expect(0);
    home.until_empty();
}

#[test]
fn what_ended_while_no_daemon_was_there_has_its_exit_code() {
    let home = Home::new();
    let daemon = home.daemon("");
    let graph = "[graph]\ntolerance = 'tolerant'\n[[function]]\nid = 'ok'\ncost = { cpus = 0 }\n\
        command = ['sh', '-c', 'sh task.sh open; echo 7 > {out.0}']\noutputs = ['json']\n\
        [[function]]\nid = 'bad'\ncost = { cpus = 0 }\ncommand = ['sh', '-c', 'sh task.sh open; exit 9']\n\
        [[function]]\nid = 'killed'\ncost = { cpus = 0 }\ncommand = ['sh', '-c', 'sh task.sh open; kill -SEGV $$']\n\
        [[function]]\nid = 'next'\nargs = [['ok', 0]]\ncommand = ['cp', '{arg.0}', '{out.0}']\noutputs = ['json']\n";
    home.submit(graph);
    until("three tasks", || (home.diary().begins().len() == 3).then_some(()));
    daemon.crash();
    home.open("open");
    until("their ends", || (home.diary().ends().len() == 3).then_some(()));
    home.until_no_task();
    let _daemon = home.daemon("");
    let doc = home.call("wait 1 --json").ok().json();
    assert_eq!(
        states(&doc, &["ok", "bad", "killed", "next"]),
        ["succeeded", "failed", "failed", "succeeded"]
    );
    assert_eq!(
        (function(&doc, "bad")["exit_code"].as_i64(), function(&doc, "killed")["signal"].as_i64()),
        (Some(9), Some(11))
    );
    assert_eq!(function(&doc, "next")["outputs"][0]["value"], 7);
    home.diary().each_exactly_once(3);
}

#[test]
fn a_killed_launcher_costs_nothing() {
    let home = Home::new();
    let _daemon = home.daemon("");
    home.submit(&many(40));
    for progress in [4, 20] {
        until("progress", || (home.diary().begins().len() >= progress).then_some(()));
        let pid = until("a launcher", || launcher(&home));
        kill(pid, Signal::KILL);
    }
    let doc = home.call("wait 1 --json").ok().json();
    assert_eq!((doc["succeeded"].as_u64(), doc["failed"].as_u64()), (Some(43), Some(0)), "{doc}");
    home.diary().each_exactly_once(43);
}

#[test]
fn launcher_and_daemon_killed_together_cost_nothing() {
    let home = Home::new();
    let daemon = home.daemon("");
    home.submit(&many(30));
    until("progress", || (home.diary().begins().len() >= 8).then_some(()));
    let pid = until("a launcher", || launcher(&home));
    kill(pid, Signal::KILL);
    daemon.crash();
    let _daemon = home.daemon("");
    let doc = home.call("wait 1 --json").ok().json();
    assert_eq!((doc["succeeded"].as_u64(), doc["failed"].as_u64()), (Some(33), Some(0)), "{doc}");
    home.diary().each_exactly_once(33);
}

#[test]
fn a_killed_shim_takes_its_task_with_it_and_is_told() {
    let home = Home::new();
    let _daemon = home.daemon("");
    let graph = "[graph]\ntolerance = 'tolerant'\n\
        [[function]]\nid = 'once'\ncost = { cpus = 0 }\ncommand = ['sh', 'task.sh', 'open']\n\
        [[function]]\nid = 'again'\ncost = { cpus = 0 }\nretry = { max = 1, base = '10ms' }\ncommand = ['sh', 'task.sh', 'open']\n";
    home.submit(graph);
    until("two tasks", || (home.diary().begins().len() == 2).then_some(()));
    for id in ["once", "again"] {
        let task = home.diary().pid_of(id).expect("it began");
        kill(parent(task), Signal::KILL);
        until("the end of its task", || (!alive(task)).then_some(()));
    }
    until("another start", || (home.diary().starts().get("again") == Some(&2)).then_some(()));
    home.open("open");
    let doc = home.call("wait 1 --json").ok().json();
    assert_eq!(states(&doc, &["once", "again"]), ["failed", "succeeded"]);
    assert_eq!(
        (function(&doc, "once")["cause"].as_str(), function(&doc, "once")["attempts"].as_u64()),
        (Some("worker_died"), Some(1))
    );
}

#[test]
fn without_its_runtime_directory_nothing_old_runs_beside_the_new() {
    let home = Home::new();
    let daemon = home.daemon("");
    home.submit(
        "[[function]]\nid = 'a'\nretry = { max = 1, base = '10ms' }\ncommand = ['sh', 'task.sh', 'open']\n",
    );
    let old = until("the task", || home.diary().pid_of("a"));
    daemon.crash();
    fs::remove_dir_all(home.runtime().join("dunnage")).expect("removed");
    let _daemon = home.daemon("");
    let new = until("another start", || home.diary().pid_of("a").filter(|pid| *pid != old));
    assert!(!alive(old) && alive(new), "two of one task");
    home.open("open");
    let doc = home.call("wait 1 --json").ok().json();
    assert_eq!(states(&doc, &["a"]), ["succeeded"]);
}

#[test]
fn a_waiting_graph_goes_on_with_its_backoff_and_limits() {
    let home = Home::new();
    let daemon = home.daemon("");
    let graph = "[[function]]\nid = 'a'\ntimeout = '1h'\nretry = { max = 3, base = '50ms', jitter = false }\n\
        command = ['sh', '-c', 'sh task.sh; test -e mended']\n";
    home.submit(graph);
    until("a start", || home.diary().pid_of("a"));
    daemon.crash();
    home.open("mended");
    let _daemon = home.daemon("");
    let doc = home.call("wait 1 --json").ok().json();
    let attempts = function(&doc, "a")["attempts"].as_u64();
    assert_eq!(attempts, Some(home.diary().begins().len() as u64), "each start is counted");
}

#[test]
fn a_time_limit_holds_across_restarts() {
    let home = Home::new();
    let daemon = home.daemon("");
    home.submit(
        "[[function]]\nid = 'a'\ntimeout = '700ms'\ngrace = '100ms'\ncommand = ['sh', 'task.sh', 'never']\n",
    );
    let pid = until("the task", || home.diary().pid_of("a"));
    daemon.crash();
    let _daemon = home.daemon("");
    let doc = home.call("wait 1 --json").end().expect(1).json();
    assert_eq!(function(&doc, "a")["cause"], "timeout");
    assert!(!alive(pid));
}

#[test]
fn what_is_cancelled_stays_cancelled() {
    let home = Home::new();
    let daemon = home.daemon("");
    home.submit(&many(30));
    until("progress", || (home.diary().begins().len() >= 5).then_some(()));
    home.call("cancel 1").ok();
    daemon.crash();
    let _daemon = home.daemon("");
    let doc = home.call("wait 1 --json").end().expect(1).json();
    assert_eq!(doc["state"], "cancelled");
    home.until_no_task();
    let begun = home.diary().begins().len();
    home.call("submit --wait -- true").ok();
    assert_eq!(home.diary().begins().len(), begun);
}

#[test]
fn a_kernel_graph_goes_on_after_a_crash() {
    let home = Home::new();
    let daemon = home.daemon("");
    let graph = dunnage_tests::workspace().join("examples/gp-regression/graph.toml");
    home.call("submit").arg(graph).ok();
    for part in [30, 300] {
        until("progress", || {
            let queue = home.call("queue --json").ok().json();
            (queue[0]["succeeded"].as_u64() >= Some(part)).then_some(())
        });
        // Workers are processes like others.
        let of_ours = |process: &Process| process.pid != daemon.pid();
        if let Some(worker) = home.processes().into_iter().find(of_ours) {
            kill(worker.pid, Signal::KILL);
        }
    }
    daemon.crash();
    let _daemon = home.daemon("");
    let doc = home.call("wait 1 --json").ok().json();
    assert_eq!((doc["state"].as_str(), doc["failed"].as_u64()), (Some("succeeded"), Some(0)));
    let best = &function(&doc, "best")["outputs"][0]["value"];
    assert!(best["rmse"].as_f64().is_some_and(|rmse| (rmse - 56.828_767_218_623).abs() < 1e-6), "{best}");
}

#[test]
fn a_damaged_journal_is_not_an_empty_start() {
    let home = Home::new();
    let daemon = home.daemon("");
    home.call("submit --wait -- true").ok();
    daemon.terminate().expect(0);
    let journal = home.state().join("journal.db");
    let mut bytes = fs::read(&journal).expect("a journal");
    let end = bytes.len().min(4096);
    bytes[..end].fill(0x5a);
    fs::write(&journal, bytes).expect("damaged");
    for leftover in ["journal.db-wal", "journal.db-shm"] {
        let _ = fs::remove_file(home.state().join(leftover));
    }
    let refused = home.call("daemon").end();
    assert!(refused.code.is_some_and(|code| code != 0), "{refused:?}");
    refused.says(&["journal.db"]);
    assert!(Path::new(&journal).exists());
}
