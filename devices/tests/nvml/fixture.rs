//! A machine with the fake library on it: scenario, claims, switches for faults, and a source that
//! runs the production path against them.

use dunnage_devices::{OpenOptions, Opened, Selection, SourceError, open};
use dunnage_model::{Bytes, DeviceSample, NodeSpec};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Long enough for anything on a loaded machine; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Machine {
    directory: tempfile::TempDir,
    library: PathBuf,
    deadline: Duration,
}

impl Machine {
    /// A machine with this scenario. `{switch}` in it is the path of [`Machine::switch`].
    pub(crate) fn new(scenario: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("claims")).expect("a directory for claims");
        let machine = Self { directory, library: fake_library(), deadline: Duration::from_millis(800) };
        let switch = machine.path("switch");
        let scenario = scenario.replace("{switch}", &switch.display().to_string());
        fs::write(machine.path("scenario.toml"), scenario).expect("a scenario");
        machine
    }

    pub(crate) fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Turns on the faults that have `when_file = "{switch}"`, or off again.
    pub(crate) fn switch(&self, on: bool) {
        if on {
            fs::write(self.path("switch"), "").expect("a switch");
        } else {
            fs::remove_file(self.path("switch")).expect("a switch");
        }
    }

    /// Says that a process uses memory of a GPU, in whole GiB.
    pub(crate) fn claim(&self, pid: u32, gpu: &str, gib: u64, share: f64) {
        let text = format!("pid = {pid}\ngpu = {gpu}\nbytes = {gib}GiB\nsm = {share}\n");
        let unfinished = self.path("unfinished");
        fs::write(&unfinished, text).expect("a claim");
        fs::rename(unfinished, self.path("claims").join(format!("{pid}-{gpu}"))).expect("a claim");
    }

    /// The command that starts the probe on this machine.
    pub(crate) fn probe(&self) -> Vec<OsString> {
        let mut scenario = OsString::from("FAKE_NVML_SCENARIO=");
        scenario.push(self.path("scenario.toml"));
        let mut claims = OsString::from("FAKE_NVML_CLAIMS=");
        claims.push(self.path("claims"));
        vec!["env".into(), scenario, claims, env!("CARGO_BIN_EXE_nvml-probe").into()]
    }

    pub(crate) fn open(&self) -> Watched {
        let selection = Selection::Nvml { library: Some(self.library.clone()) };
        let options =
            OpenOptions { probe_command: self.probe(), deadline: self.deadline, ..OpenOptions::default() };
        let opened = open(&selection, &options).unwrap_or_else(|error| panic!("{error}"));
        Watched { opened }
    }
}

/// Opens a library with a probe that has no scenario.
pub(crate) fn open_library(library: &Path) -> Result<Opened, SourceError> {
    let probe_command = vec![env!("CARGO_BIN_EXE_nvml-probe").into()];
    let options = OpenOptions { probe_command, ..OpenOptions::default() };
    open(&Selection::Nvml { library: Some(library.to_owned()) }, &options)
}

/// An open source.
pub(crate) struct Watched {
    opened: Opened,
}

impl Watched {
    pub(crate) fn inventory(&mut self) -> NodeSpec {
        self.opened.source.inventory().unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn sample(&mut self) -> Vec<DeviceSample> {
        self.opened.source.sample()
    }

    /// Samples until it is so, and gives the samples in which it was.
    pub(crate) fn until(&mut self, what: &str, so: impl Fn(&[DeviceSample]) -> bool) -> Vec<DeviceSample> {
        let begin = Instant::now();
        loop {
            let samples = self.sample();
            if so(&samples) {
                return samples;
            }
            assert!(begin.elapsed() < PATIENCE, "not seen: {what}; last: {samples:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Samples until the devices are in these states, in words; `cpu` first.
    pub(crate) fn until_health(&mut self, words: &[&str]) -> Vec<DeviceSample> {
        self.until(&format!("{words:?}"), |samples| {
            samples.iter().map(|sample| sample.health.word()).eq(words.iter().copied())
        })
    }
}

/// A process that does nothing until it is ended.
pub(crate) struct Sleeper(Child);

impl Sleeper {
    pub(crate) fn start() -> Self {
        Self(Command::new("sleep").arg("600").stdout(Stdio::null()).spawn().expect("a process"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Ends it, without taking notice of its end: a zombie is left, as after a real task.
    pub(crate) fn end(&mut self) {
        self.0.kill().expect("killed");
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) const fn gib(n: u64) -> Option<Bytes> {
    Some(Bytes::gib(n))
}

/// Builds the fake library and says where it lies: a C library is no dependency that cargo could
/// build for us.
pub(crate) fn fake_library() -> PathBuf {
    let test = std::env::current_exe().expect("our own path");
    // target/PROFILE/deps/nvml-HASH
    let profile = test.parent().and_then(Path::parent).expect("a profile's directory");
    let target = profile.parent().expect("a target directory");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--offline", "--quiet", "--package", "fake-nvml", "--target-dir"]).arg(target);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
    assert!(status.success(), "the fake library does not build");
    let library = profile.join("libfake_nvml.so");
    assert!(library.exists(), "{} was not built", library.display());
    library
}
