//! A running probe process, seen from the source: its pipe, its frames, its end.

use super::protocol::{self, Ask, Say};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// What came from the probe.
#[derive(Debug)]
pub(super) enum Heard {
    /// A message.
    Said(Say),
    /// It has ended, or talks nonsense; why, in words.
    Ended(String),
    /// Nothing in time.
    Nothing,
}

/// A probe process. Dropping it kills the process.
#[derive(Debug)]
pub(super) struct Link {
    child: Child,
    /// Closed by dropping: the probe ends by itself then.
    stdin: Option<ChildStdin>,
    heard: Receiver<io::Result<Option<Say>>>,
}

impl Link {
    /// Starts the probe. It has its own process group, so that an interrupt at a terminal does not
    /// end it before the tasks it watches over.
    pub(super) fn start(command: &[OsString], library: Option<&Path>) -> io::Result<Self> {
        let (program, arguments) =
            command.split_first().ok_or_else(|| io::Error::other("no probe command is set"))?;
        let mut child = Command::new(program)
            .args(arguments)
            .args(library)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let stdin = child.stdin.take();
        let mut stdout = child.stdout.take().ok_or_else(|| io::Error::other("the probe has no stdout"))?;
        // Bounded: a probe that talks without being asked is held up, not our memory.
        let (said, heard) = sync_channel(1024);
        // Ends with the probe's stdout or with this link, whichever is first.
        std::thread::Builder::new().name("nvml-probe-reader".to_owned()).spawn(move || {
            loop {
                let frame = protocol::read::<Say>(&mut stdout);
                let last = !matches!(frame, Ok(Some(_)));
                if said.send(frame).is_err() || last {
                    return;
                }
            }
        })?;
        Ok(Self { child, stdin, heard })
    }

    /// Asks; the pipe has room for far more questions than may be open at once.
    pub(super) fn ask(&mut self, ask: Ask) -> io::Result<()> {
        let stdin = self.stdin.as_mut().ok_or_else(|| io::Error::other("the probe has no stdin"))?;
        protocol::write(stdin, &ask)
    }

    /// The next message, waiting until then at most.
    pub(super) fn hear(&mut self, until: Instant) -> Heard {
        let wait = until.saturating_duration_since(Instant::now());
        match self.heard.recv_timeout(wait) {
            Ok(Ok(Some(said))) => Heard::Said(said),
            Ok(Ok(None)) => Heard::Ended(format!("the NVML probe ended ({})", self.status())),
            Ok(Err(error)) => Heard::Ended(format!("the NVML probe cannot be understood: {error}")),
            Err(RecvTimeoutError::Timeout) => Heard::Nothing,
            Err(RecvTimeoutError::Disconnected) => Heard::Ended("the NVML probe ended".to_owned()),
        }
    }

    fn status(&mut self) -> String {
        // Its stdout is closed, so it has ended or is about to.
        match self.wait(Duration::from_millis(200)) {
            Some(status) => status.to_string(),
            None => "still ending".to_owned(),
        }
    }

    fn wait(&mut self, limit: Duration) -> Option<std::process::ExitStatus> {
        let until = Instant::now() + limit;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(2)),
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stdin = None;
        // An error means that it has ended already.
        let _ = self.child.kill();
        if self.wait(Duration::from_millis(20)).is_some() {
            return;
        }
        // Stuck inside the kernel: the signal takes effect when its call returns, which may be never.
        // A thread waits for that, so that no zombie stays and nobody is held up.
        let pid = rustix::process::Pid::from_child(&self.child);
        let waiter = std::thread::Builder::new().name("nvml-probe-reaper".to_owned());
        let _ = waiter.spawn(move || {
            let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
        });
    }
}
