//! What is left when daemon, launcher or shim are killed.

mod common;

use common::{Site, command, id, kill, lives, shell, until};
use dunnage_exec::claims::{ClaimState, Claims};
use dunnage_exec::{Ending, Engine, EngineEvent, Recovered};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Waits until the attempts have claims, that is: run.
async fn claimed(site: &Site, tasks: &[u32]) {
    let claims = Claims::open(&site.rundir()).expect("opens");
    for task in tasks {
        until(|| matches!(claims.inspect(id(*task)).expect("reads"), ClaimState::Live { .. }).then_some(()))
            .await;
    }
}

#[tokio::test]
async fn the_end_of_attempts_is_told_although_their_launcher_was_killed() {
    let site = Site::new();
    let mut run = site.engine();
    let go = site.rundir().join("go");
    let script = format!("echo ready; while [ ! -e {} ]; do sleep 0.02; done; exit 9", go.display());
    run.engine.submit(vec![shell(1, &script), shell(2, "sleep 60")]);
    claimed(&site, &[1, 2]).await;
    let launcher = run.engine.launcher_pid().await.expect("a launcher");
    kill(launcher);
    while run.next().await != (EngineEvent::LauncherLost { pid: launcher }) {}
    std::fs::write(go, "").expect("writes");
    assert_eq!(run.end(id(1)).await.ending, Ending::Exited { code: 9 });
    run.engine.cancel(id(2), libc::SIGTERM, Duration::from_mins(1));
    let outcome = run.end(id(2)).await;
    assert_eq!((outcome.ending, outcome.cancelled), (Ending::Signalled { signal: 15 }, true));
    assert_eq!(run.run_ending(command(3, &["true"])).await, Ending::Exited { code: 0 }, "a new launcher");
    assert_ne!(run.engine.launcher_pid().await, Some(launcher));
}

#[tokio::test]
async fn a_new_daemon_finds_what_runs_what_ended_and_fences_what_did_not_start() {
    let site = Site::new();
    let go = site.rundir().join("go");
    let script = format!("while [ ! -e {} ]; do sleep 0.02; done; exit 7", go.display());
    let mut first = site.engine();
    first.engine.recover(Vec::new()).await;
    first.engine.submit(vec![shell(1, &script), shell(2, "exit 4")]);
    assert_eq!(first.end(id(2)).await.ending, Ending::Exited { code: 4 });
    claimed(&site, &[1]).await;
    let launcher = first.engine.launcher_pid().await;
    drop(first);

    let mut second = site.engine();
    assert!(!second.engine.runtime_lost());
    let found = second.engine.recover(vec![id(1), id(2), id(3)]).await;
    assert!(matches!(found[0].1, Recovered::Running { .. }), "{found:?}");
    assert!(matches!(&found[1].1, Recovered::Ended(outcome) if outcome.ending == Ending::Exited { code: 4 }));
    assert_eq!(found[2].1, Recovered::NeverStarted);
    assert_eq!(second.engine.launcher_pid().await, launcher, "the same launcher");
    std::fs::write(go, "").expect("writes");
    assert_eq!(second.end(id(1)).await.ending, Ending::Exited { code: 7 });
    second.engine.submit(vec![command(3, &["true"])]);
    loop {
        match second.next().await {
            EngineEvent::NeverStarted { attempt } if attempt == id(3) => break,
            EngineEvent::Ended { attempt, .. } => panic!("{attempt} was fenced off and must not run"),
            _ => {}
        }
    }
    for task in 1..=3 {
        second.engine.claims().remove(id(task)).expect("removes");
    }
    assert!(second.engine.claims().list().expect("lists").is_empty());
}

#[tokio::test]
async fn daemon_and_launcher_may_both_be_gone() {
    let site = Site::new();
    let go = site.rundir().join("go");
    let script = format!("while [ ! -e {} ]; do sleep 0.02; done; exit 7", go.display());
    let first = site.engine();
    let mut engine = first.engine;
    engine.recover(Vec::new()).await;
    engine.submit(vec![shell(1, &script), shell(2, "sleep 60")]);
    claimed(&site, &[1, 2]).await;
    let launcher = engine.launcher_pid().await.expect("a launcher");
    drop(engine);
    kill(launcher);
    until(|| (!lives(launcher)).then_some(())).await;

    let mut second = site.engine();
    let found = second.engine.recover(vec![id(1), id(2)]).await;
    let Recovered::Running { pid: shim } = found[1].1 else { panic!("{found:?}") };
    std::fs::write(go, "").expect("writes");
    assert_eq!(second.end(id(1)).await.ending, Ending::Exited { code: 7 });
    kill(shim);
    assert_eq!(second.end(id(2)).await.ending, Ending::ShimDied);
}

#[tokio::test]
async fn a_killed_shim_takes_its_tree_with_it() {
    let site = Site::new();
    let mut run = site.engine();
    run.engine
        .submit(vec![shell(1, "setsid sleep 60 & echo $!; env -i sleep 60 & echo $!; echo $$; sleep 60")]);
    let pids: Vec<u32> = until(|| {
        let pids: Vec<u32> = site.log(id(1)).lines().filter_map(|line| line.parse().ok()).collect();
        (pids.len() == 3).then_some(pids)
    })
    .await;
    let Ok(ClaimState::Live { shim, .. }) = run.engine.claims().inspect(id(1)) else { panic!("it runs") };
    kill(shim.pid);
    assert_eq!(run.end(id(1)).await.ending, Ending::ShimDied);
    assert!(pids.iter().all(|pid| !lives(*pid)), "{pids:?}");
    assert_eq!(run.run_ending(command(2, &["true"])).await, Ending::Exited { code: 0 });
}

#[tokio::test]
async fn without_the_token_everything_open_is_proven_dead() {
    let site = Site::new();
    let mut first = site.engine();
    first.engine.recover(Vec::new()).await;
    // The second one hides from whoever looks for its marker.
    let hidden = "echo $$; exec env -u DUNNAGE_ATTEMPT_ID sleep 60";
    first.engine.submit(vec![shell(1, "echo $$; exec sleep 60"), shell(2, hidden)]);
    let pid = async |task| until(|| site.log(id(task)).trim().parse::<u32>().ok()).await;
    let pids = [pid(1).await, pid(2).await];
    drop(first);
    std::fs::remove_file(site.rundir().join("token")).expect("removes");
    let mut second = site.engine();
    assert!(second.engine.runtime_lost());
    let open = vec![id(1), id(2), id(3)];
    let died: Vec<_> = open.iter().map(|attempt| (*attempt, Recovered::Died)).collect();
    assert_eq!(second.engine.recover(open.clone()).await, died);
    for pid in pids {
        until(|| (!lives(pid)).then_some(())).await;
    }
    // An order that comes late is not carried out.
    second.engine.submit(vec![command(3, &["true"])]);
    loop {
        match second.next().await {
            EngineEvent::NeverStarted { attempt } if attempt == id(3) => break,
            EngineEvent::Ended { attempt, .. } => panic!("{attempt} was given up and must not run"),
            _ => {}
        }
    }
    drop(second);
    // The same is said again to a daemon that comes before those facts are on disk.
    let third = site.engine();
    assert!(!third.engine.runtime_lost());
    assert_eq!(third.engine.recover(open).await, died);
}

#[tokio::test]
async fn a_runtime_directory_counts_as_lost_until_old_attempts_are_proven_dead() {
    let site = Site::new();
    let first = site.engine();
    assert!(first.engine.runtime_lost());
    drop(first);
    let second = site.engine();
    assert!(second.engine.runtime_lost(), "the first proved nothing");
    second.engine.recover(Vec::new()).await;
    drop(second);
    assert!(!site.engine().engine.runtime_lost());
}

/// What a daemon of another version would say first.
#[derive(serde::Serialize)]
enum Greeting {
    Hello { version: u32, token: String },
}

#[tokio::test]
async fn a_launcher_keeps_away_from_a_daemon_of_another_version() {
    use std::io::{Read, Write};
    let site = Site::new();
    let mut run = site.engine();
    run.engine.submit(vec![shell(1, "sleep 60")]);
    claimed(&site, &[1]).await;
    let launcher = run.engine.launcher_pid().await.expect("a launcher");
    let message =
        rmp_serde::to_vec_named(&Greeting::Hello { version: 999, token: "other".into() }).expect("encodes");
    let mut stranger = UnixStream::connect(socket(&site)).expect("connects");
    stranger.write_all(&(message.len() as u32).to_le_bytes()).expect("writes");
    stranger.write_all(&message).expect("writes");
    stranger.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
    let mut answer = Vec::new();
    stranger.read_to_end(&mut answer).expect("it answers and closes");
    assert!(answer.len() > 4, "it says what it speaks");
    // The daemon that it lost comes back, and what runs is not disturbed.
    while run.next().await != (EngineEvent::LauncherLost { pid: launcher }) {}
    run.engine.cancel(id(1), libc::SIGTERM, Duration::from_mins(1));
    assert_eq!(run.end(id(1)).await.ending, Ending::Signalled { signal: 15 });
    assert_eq!(run.run_ending(command(2, &["true"])).await, Ending::Exited { code: 0 });
}

/// The launcher's socket, whatever its name is in this version.
fn socket(site: &Site) -> std::path::PathBuf {
    std::fs::read_dir(site.rundir())
        .expect("lists")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|end| end == "sock"))
        .expect("a socket")
}

#[tokio::test]
async fn a_launcher_refuses_an_oversized_frame_and_lives_on() {
    use std::io::{Read, Write};
    let site = Site::new();
    let mut run = site.engine();
    assert_eq!(run.run_ending(command(1, &["true"])).await, Ending::Exited { code: 0 });
    let launcher = run.engine.launcher_pid().await.expect("a launcher");
    let mut stranger = UnixStream::connect(socket(&site)).expect("connects");
    stranger.write_all(&u32::MAX.to_le_bytes()).expect("writes");
    stranger.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
    assert_eq!(stranger.read(&mut [0; 16]).expect("closed, not silent"), 0);
    assert!(lives(launcher));
    while run.next().await != (EngineEvent::LauncherLost { pid: launcher }) {}
    assert_eq!(
        run.run_ending(command(2, &["true"])).await,
        Ending::Exited { code: 0 },
        "the daemon comes back"
    );
    assert_eq!(run.engine.launcher_pid().await, Some(launcher));
}

#[tokio::test]
async fn a_launcher_leaves_after_goodbye() {
    let site = Site::new();
    let mut run = site.engine();
    run.run(command(1, &["true"])).await;
    let launcher = run.engine.launcher_pid().await.expect("a launcher");
    let socket = socket(&site);
    run.engine.goodbye().await;
    drop(run);
    until(|| (!lives(launcher)).then_some(())).await;
    assert!(!socket.exists());
}
