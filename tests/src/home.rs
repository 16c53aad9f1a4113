//! A place of its own for each test.

use crate::call::Call;
use crate::daemon::Daemon;
use crate::diary::Diary;
use crate::processes::{Process, kill, marked};
use crate::wait::until;
use rustix::process::Signal;
use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The variable that marks every process that comes from a home.
const MARK: &str = "TEST_HOME";

/// A user's folder, state directory and runtime directory, with nothing in them.
///
/// The program finds them through its environment, in which nothing of ours is but `PATH`.
#[derive(Debug)]
pub struct Home {
    folder: TempDir,
    /// In memory, as a real runtime directory is.
    runtime: TempDir,
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Home {
    /// Makes one.
    ///
    /// # Panics
    /// There is no place for temporary files.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("d").tempdir_in("/tmp").expect("a temporary folder");
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory } else { Path::new("/tmp") };
        let runtime = tempfile::Builder::new().prefix("d").tempdir_in(place).expect("a temporary folder");
        let home = Self { folder, runtime };
        for name in ["printed", "home"] {
            fs::create_dir(home.path(name)).expect("a folder");
        }
        home.write("task.sh", TASK);
        home
    }

    /// A path in the home's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A path in the home's folder, as text.
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// The state directory, which is not made.
    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// The runtime directory.
    pub fn runtime(&self) -> &Path {
        self.runtime.path()
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.runtime.path().join("s")
    }

    /// Writes a file in the home's folder.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// What tasks that run `task.sh` have written of themselves.
    pub fn diary(&self) -> Diary {
        Diary::read(&self.path("diary"))
    }

    /// Opens a gate: tasks that wait for it go on.
    pub fn open(&self, gate: &str) {
        self.write(gate, "");
    }

    /// A call of the program; words are split at spaces.
    pub fn call(&self, words: &str) -> Call {
        self.call_of(&crate::dunnage(), words)
    }

    /// A call of a copy of the program.
    pub fn call_of(&self, program: &Path, words: &str) -> Call {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", path())
            .env("HOME", self.path("home"))
            .env("XDG_RUNTIME_DIR", self.runtime())
            .env("DUNNAGE_STATE_DIR", self.state())
            .env("DUNNAGE_SOCKET", self.socket())
            .env("DIARY", self.path("diary"))
            .env("GATES", self.folder.path())
            .env(MARK, self.folder.path())
            .current_dir(self.folder.path());
        Call::new(command, self.path("printed")).words(words)
    }

    /// Writes a graph and runs it with `--json` in this home, without a daemon.
    ///
    /// # Panics
    /// Another exit code.
    pub fn run(&self, graph: &str, flags: &str, code: i32) -> Value {
        let path = self.write("graph.toml", graph);
        self.call("run --json --local").words(&format!(" {flags} ")).arg(path).end().expect(code).json()
    }

    /// Starts a daemon with these flags and waits until it is ready.
    pub fn daemon(&self, flags: &str) -> Daemon {
        Daemon::start(self, flags, &[])
    }

    /// Starts a daemon with these flags and variables and waits until it is ready.
    pub fn daemon_with(&self, flags: &str, variables: &[(&str, String)]) -> Daemon {
        Daemon::start(self, flags, variables)
    }

    /// Writes a graph and submits it.
    ///
    /// # Panics
    /// It is not accepted.
    pub fn submit(&self, graph: &str) -> String {
        let path = self.write("graph.toml", graph);
        let doc = self.call("submit --json").arg(path).ok().json();
        doc["id"].as_str().expect("ids are texts").to_owned()
    }

    /// The living processes that come from this home.
    pub fn processes(&self) -> Vec<Process> {
        marked(&format!("{MARK}={}", self.folder.path().display()))
    }

    /// Lets other users in, with the program.
    ///
    /// # Panics
    /// The modes cannot be set.
    pub fn let_others_in(&self) -> PathBuf {
        for folder in [self.folder.path(), self.runtime()] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("our own folder");
        }
        // The build's folder may be closed to them.
        let program = self.path("program");
        fs::copy(crate::dunnage(), &program).expect("a copy of the program");
        program
    }

    /// Waits until nothing that came from this home runs any more.
    pub fn until_empty(&self) {
        until("the end of every process", || self.processes().is_empty().then_some(()));
    }

    /// Waits until nothing runs that is not the program itself: every task has ended.
    pub fn until_no_task(&self) {
        let program = crate::dunnage().display().to_string();
        until("the end of every task", || {
            self.processes().iter().all(|process| process.command.starts_with(&program)).then_some(())
        });
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // What is killed may just have started another.
        for _ in 0..50 {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            for process in left {
                kill(process.pid, Signal::KILL);
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

/// Our `PATH` without folders that we may not look into: they would make "no such program" a matter of
/// permissions.
fn path() -> OsString {
    let all = std::env::var_os("PATH").unwrap_or_default();
    let open = std::env::split_paths(&all).filter(|folder| fs::read_dir(folder).is_ok());
    std::env::join_paths(open).unwrap_or(all)
}

/// `sh task.sh [GATE [SECONDS]]` tells the diary that it began and ended; in between it waits for a gate,
/// unless that is `-`, and then for a while.
const TASK: &str = r#"
echo "start $DUNNAGE_FUNCTION $DUNNAGE_ATTEMPT $$ $CUDA_VISIBLE_DEVICES" >> "$DIARY"
gate="$1"
if [ -n "$gate" ] && [ "$gate" != - ]; then
    tries=0
    while [ ! -e "$GATES/$gate" ] && [ $tries -lt 6000 ]; do sleep 0.01; tries=$((tries + 1)); done
fi
[ -z "$2" ] || sleep "$2"
echo "end $DUNNAGE_FUNCTION $DUNNAGE_ATTEMPT $$ $CUDA_VISIBLE_DEVICES" >> "$DIARY"
"#;
