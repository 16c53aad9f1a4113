//! A daemon of our own: the release binary beside the benchmark, in a home where nothing else is.

use crate::Failure;
use crate::http::Client;
use serde_json::{Map, Value, json};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a daemon may take to start or to end.
const PATIENCE: Duration = Duration::from_mins(2);

/// Between two looks whether a daemon that was just started is ready: far below what is measured, and
/// long enough to leave it the core.
const POLL: Duration = Duration::from_micros(100);

/// A state directory on the disk of `TMPDIR`, and a runtime directory in memory as on a real machine.
#[derive(Debug)]
pub struct Home {
    folder: TempDir,
    runtime: TempDir,
    program: PathBuf,
}

impl Home {
    /// Makes one.
    pub fn new() -> Result<Self, Failure> {
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        // Short names, since a socket's path has a limit.
        let home = Self {
            folder: tempfile::Builder::new().prefix("db").tempdir()?,
            runtime: tempfile::Builder::new().prefix("db").tempdir_in(place)?,
            program: program()?,
        };
        fs::create_dir(home.folder.path().join("home"))?;
        fs::create_dir(home.state())?;
        Ok(home)
    }

    /// The state directory.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The folder that the state directory lies in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file of the benchmark's own, on the same disk as the state.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.runtime.path().join("s")
    }

    /// A call of the program with these arguments, split at spaces.
    pub fn call(&self, words: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(words.split_whitespace())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path().join("home"))
            .env("XDG_RUNTIME_DIR", self.runtime.path())
            .env("DUNNAGE_STATE_DIR", self.state())
            .env("DUNNAGE_SOCKET", self.socket())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Runs the program to its end, which must be success, and gives the time that took.
    pub fn timed(&self, words: &str) -> Result<Duration, Failure> {
        let mut command = self.call(words);
        let begin = Instant::now();
        let status = command.status()?;
        let took = begin.elapsed();
        if status.success() { Ok(took) } else { Err(format!("`dunnage {words}`: {status}").into()) }
    }

    /// Starts a daemon here.
    pub fn daemon(&self) -> Result<Daemon<'_>, Failure> {
        let said = self.path("daemon.log");
        let mut command = self.call("daemon");
        command.stderr(File::create(&said)?);
        let begin = Instant::now();
        let mut child = command.spawn()?;
        let client = loop {
            if let Ok(mut client) = Client::connect(&self.socket())
                && client.ask("GET", "/readyz", "").is_ok()
            {
                break client;
            }
            if child.try_wait()?.is_some() || begin.elapsed() > PATIENCE {
                drop(child.kill());
                drop(child.wait());
                return Err(format!("the daemon does not start: {}", fs::read_to_string(&said)?).into());
            }
            std::thread::sleep(POLL);
        };
        let ready_after = begin.elapsed();
        let mut daemon =
            Daemon { home: self, child, client, ready_after, environment: String::new(), over: false };
        let vars: Map<String, Value> =
            std::env::vars().map(|(name, value)| (name, Value::String(value))).collect();
        let stored = daemon.client.json("PUT", "/v1/environments", &Value::Object(vars).to_string())?;
        stored["environment"].as_str().unwrap_or_default().clone_into(&mut daemon.environment);
        Ok(daemon)
    }
}

/// A running daemon; ended with its tasks when it is dropped.
#[derive(Debug)]
pub struct Daemon<'a> {
    home: &'a Home,
    child: Child,
    /// A connection to it.
    pub client: Client,
    /// From exec until `/readyz` answered.
    pub ready_after: Duration,
    environment: String,
    over: bool,
}

impl Daemon<'_> {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How many cores it places tasks on.
    pub fn cores(&mut self) -> Result<usize, Failure> {
        let devices = self.client.json("GET", "/v1/devices", "")?;
        let cores = devices["cpu"]["cores"].as_f64().ok_or("a daemon without cores")?;
        Ok((cores as usize).max(1))
    }

    /// The process that starts its tasks, once there is one.
    pub fn launcher_pid(&mut self) -> Option<u32> {
        let doc = self.client.json("GET", "/v1/daemon", "").ok()?;
        doc["launcher_pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
    }

    /// Hands a graph in and gives its id.
    pub fn submit(&mut self, graph: &str, hold: bool) -> Result<String, Failure> {
        let dir = self.home.folder.path().display().to_string();
        let path = format!("/v1/graphs?dir={dir}&name=b&environment={}&hold={hold}", self.environment);
        let answer = self.client.json("POST", &path, graph)?;
        Ok(answer["id"].as_str().ok_or("an answer without id")?.to_owned())
    }

    /// Waits for the end of a graph; gives its status as it was sent.
    pub fn wait(&mut self, id: &str) -> Result<Vec<u8>, Failure> {
        self.client.ask("GET", &format!("/v1/graphs/{id}/wait"), "")
    }

    /// Runs a graph to its end and makes sure that every function succeeded.
    pub fn run(&mut self, graph: &str, functions: usize) -> Result<Ran, Failure> {
        let begin = Instant::now();
        let id = self.submit(graph, false)?;
        let accepted = begin.elapsed();
        let status = self.wait(&id)?;
        let wall = begin.elapsed();
        let doc: Value = serde_json::from_slice(&status)?;
        if doc["succeeded"].as_u64() != Some(functions as u64) {
            let message = doc["functions"][0]["message"].clone();
            return Err(
                format!("graph {id}: {} of {functions} succeeded: {message}", doc["succeeded"]).into()
            );
        }
        let makespan = Duration::from_secs_f64(doc["makespan_s"].as_f64().ok_or("no makespan")?);
        Ok(Ran { wall, accepted, makespan })
    }

    /// Its resident memory in bytes.
    pub fn memory(&self) -> Result<Memory, Failure> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let field = |name: &str| -> Option<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
        };
        let all = field("VmRSS:").ok_or("no memory in /proc")?;
        Ok(Memory { all, anonymous: field("RssAnon:").unwrap_or(0) })
    }

    /// Ends it as a crash does.
    pub fn crash(mut self) -> Result<(), Failure> {
        self.over = true;
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end and waits; what is queued stays queued.
    pub fn stop(mut self) -> Result<(), Failure> {
        self.end(false)
    }

    fn end(&mut self, kill: bool) -> Result<(), Failure> {
        self.over = true;
        let asked = self.client.ask("POST", "/v1/stop", &json!({ "kill": kill }).to_string());
        let begin = Instant::now();
        while asked.is_ok() && begin.elapsed() < PATIENCE {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.child.kill()?;
        self.child.wait()?;
        asked.map(drop)
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if !self.over
            && let Err(error) = self.end(true)
        {
            eprintln!("the daemon was killed: {error}");
        }
    }
}

/// How a graph ran.
#[derive(Clone, Copy, Debug)]
pub struct Ran {
    /// From sending it until its whole status has come back.
    pub wall: Duration,
    /// Until it was acknowledged.
    pub accepted: Duration,
    /// From its first placement to its last end, by the daemon's clock.
    pub makespan: Duration,
}

/// What a process holds in memory.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Resident, pages of the program included.
    pub all: u64,
    /// Resident and its own.
    pub anonymous: u64,
}

fn program() -> Result<PathBuf, Failure> {
    let program = match std::env::var_os("DUNNAGE") {
        Some(path) => PathBuf::from(path),
        None => std::env::current_exe()?.parent().ok_or("no folder")?.join("dunnage"),
    };
    let program = program.canonicalize().map_err(|_| {
        format!("there is no `{}`: `cargo build --release -p dunnage-daemon` builds it", program.display())
    })?;
    Ok(program)
}
