//! Commands through launcher and shim: how they start, end, are ended, and what they leave behind.

mod common;

use common::{Site, command, id, lives, shell, until};
use dunnage_exec::engine::RunAs;
use dunnage_exec::{Ending, Engine, EngineEvent, MemoryControl, SpawnStage, cgroup};
use std::time::Duration;

#[tokio::test]
async fn commands_end_as_they_end() {
    let site = Site::new();
    let mut run = site.engine();
    assert_eq!(run.run_ending(command(1, &["true"])).await, Ending::Exited { code: 0 });
    assert_eq!(run.run_ending(shell(2, "exit 42")).await, Ending::Exited { code: 42 });
    assert_eq!(run.run_ending(shell(3, "kill -9 $$")).await, Ending::Signalled { signal: 9 });
    let outcome = run.run(shell(4, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")).await;
    assert!(outcome.cpu_us.is_some_and(|cpu| cpu > 0));
    assert!(outcome.ended_boot_us > outcome.started_boot_us && outcome.started_wall_us > 0);
}

#[tokio::test]
async fn the_memory_of_the_shim_is_not_taken_for_that_of_the_command() {
    let site = Site::new();
    let mut run = site.engine();
    assert_eq!(run.run(command(1, &["true"])).await.peak_memory, None);
    let script = "x=$(head -c 40000000 /dev/zero | tr '\\0' a); echo ${#x}";
    let peak = run.run(shell(2, script)).await.peak_memory;
    assert!(peak.is_some_and(|peak| peak >= 40_000_000), "{peak:?}");
    // What one attempt held is not told of the next one of the same shim.
    assert_eq!(run.run(command(3, &["true"])).await.peak_memory, None);
}

#[tokio::test]
async fn what_cannot_start_says_at_which_step_and_why() {
    let site = Site::new();
    let mut run = site.engine();
    let missing = |stage, errno| Ending::SpawnFailed { stage, errno };
    let ending = run.run_ending(command(1, &["no-such-program-here"])).await;
    assert_eq!(ending, missing(SpawnStage::Program, libc::ENOENT));
    assert!(ending.to_string().starts_with("cannot execute the program: No such file"), "{ending}");
    assert_eq!(
        run.run_ending(command(2, &["/etc/passwd"])).await,
        missing(SpawnStage::Program, libc::EACCES)
    );
    let mut spec = command(3, &["true"]);
    if let dunnage_exec::Work::Command { dir, .. } = &mut spec.work {
        *dir = "/no/such/dir".into();
    }
    assert_eq!(run.run_ending(spec).await, missing(SpawnStage::Directory, libc::ENOENT));
    assert_eq!(run.run_ending(command(4, &["a\0b"])).await, missing(SpawnStage::Argument, libc::EINVAL));
    assert_eq!(run.run_ending(command(5, &[])).await, missing(SpawnStage::Argument, libc::ENOENT));
    assert_eq!(
        run.run_ending(command(6, &["true", &"x".repeat(9 << 20)])).await,
        missing(SpawnStage::TooLarge, libc::E2BIG)
    );
    assert_eq!(
        run.run_ending(command(7, &["true", &"x".repeat(1 << 20)])).await,
        missing(SpawnStage::Program, libc::E2BIG)
    );
    assert_eq!(
        run.run_ending(command(8, &["true"])).await,
        Ending::Exited { code: 0 },
        "and the engine lives on"
    );
}

#[tokio::test]
async fn output_and_environment_are_those_of_the_attempt() {
    let site = Site::new();
    let mut run = site.engine();
    let script = "echo $SHARED $OTHER; echo oops >&2; cat; pwd; ulimit -n; echo $DUNNAGE_ATTEMPT_ID; ls /proc/self/fd | wc -l";
    let outcome = run.run(shell(1, script)).await;
    assert_eq!(outcome.ending, Ending::Exited { code: 0 });
    let log = site.log(id(1));
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[..3], ["base own", "oops", "/"]);
    assert_eq!(lines[4], format!("{}:1.1.1", site.token));
    assert_eq!(lines[5], "4", "nothing is inherited but the three (and the folder that ls reads)");
    assert_eq!(outcome.log_bytes, log.len() as u64);
    let mut quiet = shell(2, "echo unheard");
    quiet.log = false;
    assert_eq!(run.run(quiet).await.log_bytes, 0);
    let mut twice = shell(4, "env | grep -e ^DUNNAGE_ATTEMPT_ID= -e ^OTHER=");
    if let dunnage_exec::Work::Command { env, .. } = &mut twice.work {
        env.overrides = ["DUNNAGE_ATTEMPT_ID", "OTHER", "OTHER"]
            .iter()
            .zip(["forged", "first", "last"])
            .map(|(name, value)| ((*name).to_owned(), value.to_owned()))
            .collect();
    }
    run.run(twice).await;
    let log = site.log(id(4));
    let mut lines: Vec<&str> = log.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, [format!("DUNNAGE_ATTEMPT_ID={}:1.4.1", site.token), "OTHER=last".into()]);
    std::fs::remove_file(dunnage_exec::local::log_path(&site.rundir(), id(4))).expect("removes");
    run.run(command(3, &["true"])).await;
    assert_eq!(
        std::fs::read_dir(site.rundir().join("logs")).expect("lists").count(),
        1,
        "empty logs are removed"
    );
}

#[tokio::test]
async fn a_cancelled_tree_gets_the_signal_then_its_grace_then_the_end() {
    let site = Site::new();
    let mut run = site.engine();
    run.engine.submit(vec![
        shell(1, "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done"),
        shell(2, "trap '' TERM; echo ready; (trap '' TERM; sleep 60) & wait"),
    ]);
    until(|| (site.log(id(1)).contains("ready") && site.log(id(2)).contains("ready")).then_some(())).await;
    run.engine.cancel(id(1), libc::SIGTERM, Duration::from_mins(1));
    let outcome = run.end(id(1)).await;
    assert_eq!((outcome.ending, outcome.cancelled), (Ending::Exited { code: 3 }, true));
    assert!(site.log(id(1)).ends_with("bye\n"), "{}", site.log(id(1)));
    run.engine.cancel(id(2), libc::SIGTERM, Duration::from_millis(50));
    let outcome = run.end(id(2)).await;
    assert_eq!((outcome.ending, outcome.cancelled), (Ending::Signalled { signal: 9 }, true));
    run.engine.cancel(id(2), libc::SIGTERM, Duration::ZERO);
    assert_eq!(
        run.run_ending(command(3, &["true"])).await,
        Ending::Exited { code: 0 },
        "a late order hits nobody else"
    );
}

#[tokio::test]
async fn nothing_of_a_tree_survives_its_main_process() {
    let site = Site::new();
    let mut run = site.engine();
    let script = "setsid sh -c 'sleep 60 & echo $!; sleep 60 & echo $!' & wait; setsid -f sleep 60; \
                  (setsid sh -c 'echo $$; exec sleep 60' &) ; sleep 0.2; exit 5";
    let outcome = run.run(shell(1, script)).await;
    assert_eq!((outcome.ending, outcome.survivors), (Ending::Exited { code: 5 }, 0));
    let pids: Vec<u32> = site.log(id(1)).lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(pids.len(), 3);
    assert!(pids.iter().all(|pid| !lives(*pid)), "{pids:?}");
}

#[tokio::test]
async fn many_at_once_in_few_frames() {
    let site = Site::new();
    let mut run = site.engine();
    run.engine.submit((0..60).map(|n| shell(n, &format!("exit {n}"))).collect());
    let mut seen = std::collections::BTreeMap::new();
    while seen.len() < 60 {
        if let EngineEvent::Ended { attempt, outcome } = run.next().await {
            let Ending::Exited { code } = outcome.ending else { panic!("{outcome:?}") };
            assert_eq!(seen.insert(attempt.task.index, code), None, "one end each");
        }
    }
    assert!(seen.iter().all(|(index, code)| *index as i32 == *code));
}

#[tokio::test]
async fn too_much_memory_is_an_outcome_of_its_own() {
    let site = Site::new();
    let mut run = site.engine();
    // Something that holds 200 MB in a shell: a long variable.
    let mut greedy = shell(1, "x=$(head -c 200000000 /dev/zero | tr '\\0' x); sleep 60");
    greedy.memory_limit = Some(50 << 20);
    let outcome = run.run(greedy).await;
    assert_eq!(outcome.ending, Ending::OutOfMemory { limit: 50 << 20 }, "by {:?}", run.engine.caps().memory);
    let mut modest = command(2, &["true"]);
    modest.memory_limit = Some(50 << 20);
    assert_eq!(run.run_ending(modest).await, Ending::Exited { code: 0 });
    assert!(matches!(
        cgroup::probe(),
        MemoryControl::CgroupV2 | MemoryControl::CgroupV1 | MemoryControl::Watched
    ));
}

#[tokio::test]
async fn as_root_an_attempt_runs_as_its_submitter_for_good() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let site = Site::new();
    let mut run = site.engine();
    let mut spec = shell(1, "id -u; id -g; id -G; grep NoNewPrivs /proc/self/status; echo mine");
    spec.user = Some(RunAs { uid: 65534, gid: 65534, groups: vec![65534, 1] });
    assert_eq!(run.run_ending(spec).await, Ending::Exited { code: 0 });
    assert_eq!(site.log(id(1)), "65534\n65534\n65534 1\nNoNewPrivs:\t1\nmine\n");
    let path = dunnage_exec::local::log_path(&site.rundir(), id(1));
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(path).expect("is there")), 65534);
    let mut spec = command(2, &["true"]);
    spec.user = Some(RunAs { uid: 65534, gid: 65534, groups: Vec::new() });
    if let dunnage_exec::Work::Command { dir, .. } = &mut spec.work {
        *dir = site.rundir().join("private");
        dunnage_exec::rundir::private(dir).expect("makes");
    }
    let ending = run.run_ending(spec).await;
    assert_eq!(
        ending,
        Ending::SpawnFailed { stage: SpawnStage::Directory, errno: libc::EACCES },
        "folders are entered as that user"
    );
}
