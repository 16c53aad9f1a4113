//! One call of the program: its arguments, and what became of it.

use crate::processes::{kill, kill_group};
use crate::wait::{PATIENCE, until};
use rustix::process::Signal;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A call that is being put together.
#[derive(Debug)]
pub struct Call {
    command: Command,
    words: String,
    scratch: PathBuf,
    input: Option<File>,
}

impl Call {
    pub(crate) fn new(command: Command, scratch: PathBuf) -> Self {
        Self { command, words: String::new(), scratch, input: None }
    }

    /// Adds arguments, split at spaces.
    pub fn words(mut self, words: &str) -> Self {
        self.words.push_str(words);
        self.command.args(words.split_whitespace());
        self
    }

    /// Adds one argument as it is.
    pub fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.words.push_str(&format!(" {}", word.as_ref().display()));
        self.command.arg(word);
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets its working directory.
    pub fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Runs it as another user; only root may.
    pub fn user(mut self, id: u32) -> Self {
        self.command.uid(id).gid(id);
        self
    }

    /// Gives it this to read; otherwise it reads nothing.
    ///
    /// # Panics
    /// There is no place for a temporary file.
    pub fn input(mut self, text: &str) -> Self {
        let mut file = tempfile::tempfile_in(&self.scratch).expect("a temporary file");
        file.write_all(text.as_bytes()).and_then(|()| file.rewind()).expect("written");
        self.input = Some(file);
        self
    }

    /// Starts it in a process group of its own, as a shell does.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn start(mut self) -> Running {
        let place = tempfile::tempdir_in(&self.scratch).expect("a folder for what it prints");
        let file = |name: &str| File::create(place.path().join(name)).expect("a file for what it prints");
        let input = self.input.take().map_or_else(Stdio::null, Stdio::from);
        self.command.stdin(input).stdout(file("out")).stderr(file("err")).process_group(0);
        let child = self.command.spawn().unwrap_or_else(|error| panic!("`{}`: {error}", self.words));
        Running { child, words: self.words, place }
    }

    /// Runs it to its end.
    pub fn end(self) -> Ended {
        self.start().end()
    }

    /// Runs it to its end, which must be success.
    ///
    /// # Panics
    /// It ends otherwise.
    pub fn ok(self) -> Ended {
        self.end().expect(0)
    }
}

/// A call that was started.
#[derive(Debug)]
pub struct Running {
    child: Child,
    words: String,
    place: tempfile::TempDir,
}

impl Running {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub fn out(&self) -> String {
        self.read("out")
    }

    /// What it has said on standard error so far.
    pub fn err(&self) -> String {
        self.read("err")
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.place.path().join(name)).unwrap_or_default()).into_owned()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal);
    }

    /// Sends its process group a signal, as a terminal does.
    pub fn signal_group(&self, signal: Signal) {
        kill_group(self.pid(), signal);
    }

    /// Whether it has ended.
    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_some()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It does not end within [`PATIENCE`].
    pub fn end(mut self) -> Ended {
        let what = format!("the end of `{}`", self.words);
        let begin = std::time::Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                break status;
            }
            let late = begin.elapsed() > PATIENCE;
            assert!(!late, "waited in vain: {what}; out: {}; err: {}", self.out(), self.err());
            std::thread::sleep(std::time::Duration::from_millis(3));
        };
        Ended {
            code: status.code(),
            signal: status.signal(),
            out: self.out(),
            err: self.err(),
            words: std::mem::take(&mut self.words),
        }
    }

    /// Waits until it has said this on standard error.
    pub fn until_said(&mut self, text: &str) {
        until(&format!("`{}` says {text:?}", self.words), || {
            let over = self.is_over();
            let said = self.err().contains(text);
            assert!(said || !over, "`{}` ended and did not say {text:?}: {}", self.words, self.err());
            said.then_some(())
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// How a call ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit code, if it was not ended by a signal.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What it printed.
    pub out: String,
    /// What it said on standard error.
    pub err: String,
    words: String,
}

impl Ended {
    /// Makes sure of the exit code.
    ///
    /// # Panics
    /// It is another.
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "`{}`\nout: {}\nerr: {}", self.words, self.out, self.err);
        self
    }

    /// Makes sure that all of these stand in what it said on standard error.
    ///
    /// # Panics
    /// One does not.
    pub fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.err.contains(text), "`{}` does not say {text:?}: {}", self.words, self.err);
        }
        self
    }

    /// What it printed as one JSON document.
    ///
    /// # Panics
    /// It is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("`{}`: {error}\nout: {}\nerr: {}", self.words, self.out, self.err))
    }
}
