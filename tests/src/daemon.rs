//! A daemon, ended with the test.

use crate::call::{Ended, Running};
use crate::home::Home;
use rustix::process::Signal;

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    running: Running,
}

impl Daemon {
    pub(crate) fn start(home: &Home, flags: &str, variables: &[(&str, String)]) -> Self {
        let mut call = home.call("daemon ").words(flags);
        for (name, value) in variables {
            call = call.env(name, value);
        }
        let mut running = call.start();
        running.until_said("ready in");
        Self { running }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// What it said.
    pub fn said(&self) -> String {
        self.running.err()
    }

    /// Where its metrics are served over TCP.
    ///
    /// # Panics
    /// It was started without `--metrics`.
    pub fn metrics_address(&self) -> String {
        let said = self.said();
        let rest = said.split("metrics at http://").nth(1).expect("an address for metrics");
        rest.split('/').next().unwrap_or_default().to_owned()
    }

    /// Ends it at once, as a crash does.
    pub fn crash(self) {
        self.running.signal(Signal::KILL);
        self.running.end();
    }

    /// Asks it to end, and waits.
    pub fn terminate(self) -> Ended {
        self.running.signal(Signal::TERM);
        self.running.end()
    }

    /// Waits for its end, which somebody else brings about.
    pub fn end(self) -> Ended {
        self.running.end()
    }

    /// Whether it still runs.
    pub fn lives(&mut self) -> bool {
        !self.running.is_over()
    }
}
