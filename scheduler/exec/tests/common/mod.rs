//! What the tests with real processes share.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes,
    reason = "each test binary uses a part"
)]

use dunnage_exec::{
    AttemptSpec, Ending, Engine, EngineEvent, EnvBase, EnvRef, LocalConfig, LocalEngine, Outcome, Work,
};
use dunnage_model::{Attempt, AttemptId, GraphId, MilliCores};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

pub struct Site {
    pub folder: tempfile::TempDir,
    pub token: String,
}

pub struct Running {
    pub engine: LocalEngine,
    pub events: UnboundedReceiver<EngineEvent>,
}

pub fn id(task: u32) -> AttemptId {
    GraphId(1).task(task).attempt(Attempt::FIRST)
}

impl Site {
    pub fn new() -> Self {
        let parent = if std::path::Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
        let folder = tempfile::Builder::new().prefix("dunnage-test").tempdir_in(parent).expect("a folder");
        let token =
            folder.path().file_name().and_then(|name| name.to_str()).unwrap_or("token").replace('.', "");
        Self { folder, token }
    }

    pub fn rundir(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub fn engine(&self) -> Running {
        let (sender, events) = unbounded_channel();
        let config = LocalConfig {
            rundir: self.rundir(),
            token: self.token.clone(),
            exe: env!("CARGO_BIN_EXE_exec-test-host").into(),
            launcher_wrap: Vec::new(),
            workers: 2,
            worker_idle: Duration::from_mins(1),
        };
        Running { engine: LocalEngine::new(config, sender).expect("an engine"), events }
    }

    pub fn log(&self, attempt: AttemptId) -> String {
        std::fs::read_to_string(dunnage_exec::local::log_path(&self.rundir(), attempt)).unwrap_or_default()
    }
}

pub fn command(task: u32, argv: &[&str]) -> AttemptSpec {
    AttemptSpec {
        id: id(task),
        work: Work::Command {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            dir: "/".into(),
            env: EnvRef {
                base: EnvBase::new(vec![
                    ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
                    ("SHARED".into(), "base".into()),
                    ("OTHER".into(), "base".into()),
                ]),
                overrides: vec![("OTHER".into(), "own".into())],
            },
        },
        log: true,
        cores: MilliCores::cores(1),
        affinity: None,
        memory_limit: None,
        user: None,
        signal: 15,
        grace: Duration::from_secs(5),
    }
}

pub fn shell(task: u32, script: &str) -> AttemptSpec {
    command(task, &["sh", "-c", script])
}

impl Running {
    /// The next event; a test that waits in vain fails.
    pub async fn next(&mut self) -> EngineEvent {
        tokio::time::timeout(Duration::from_mins(1), self.events.recv())
            .await
            .expect("an event comes")
            .expect("the engine lives")
    }

    /// Waits for the end of an attempt, passing over other events.
    pub async fn end(&mut self, attempt: AttemptId) -> Outcome {
        loop {
            match self.next().await {
                EngineEvent::Ended { attempt: seen, outcome } if seen == attempt => return *outcome,
                EngineEvent::NeverStarted { attempt: seen } | EngineEvent::Lost { attempt: seen } => {
                    assert_ne!(seen, attempt, "it should have run");
                }
                _ => {}
            }
        }
    }

    /// Runs one attempt to its end.
    pub async fn run(&mut self, spec: AttemptSpec) -> Outcome {
        let attempt = spec.id;
        self.engine.submit(vec![spec]);
        self.end(attempt).await
    }

    pub async fn run_ending(&mut self, spec: AttemptSpec) -> Ending {
        self.run(spec).await.ending
    }
}

/// Waits until `there` gives something. For what other processes do.
pub async fn until<T>(mut there: impl FnMut() -> Option<T>) -> T {
    for _ in 0..6000 {
        if let Some(found) = there() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain");
}

/// Whether a process is there and no zombie.
pub fn lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit(')')
            .next()
            .and_then(|rest| rest.trim_start().chars().next())
            .is_some_and(|state| state != 'Z')
    })
}

pub fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid as i32).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it can be killed");
}
