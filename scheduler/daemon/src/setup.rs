//! From a state directory and a device selection to a shell that is ready to run.

use crate::cli::exit::{FAILED, Failure, REFUSED, USAGE};
use crate::priced::Priced;
use crate::shell::{Input, Shell, ShellOptions};
use dunnage_core::Scheduler;
use dunnage_devices::{DeviceSource, GpuEnv, OpenOptions, Selection};
use dunnage_exec::logs::LogKeeper;
use dunnage_exec::values::ValueStore;
use dunnage_exec::{Engine, LocalConfig, LocalEngine};
use dunnage_model::{Bytes, Event, NodeSpec, Tariff};
use dunnage_store::{
    Committer, EnvStore, Journal, Segments, SqliteJournal, StateDir, StoreError, SystemClocks,
};
use dunnage_wire::config::Config;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a kernel worker without calls stays.
const WORKER_IDLE: Duration = Duration::from_secs(30);

/// Everything a shell is made from.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) state_dir: PathBuf,
    pub(crate) devices: Selection,
    pub(crate) resources: BTreeMap<String, u64>,
    pub(crate) tariff: Tariff,
    pub(crate) ignore_foreign_below: Bytes,
    pub(crate) gpu_env: GpuEnv,
    pub(crate) log_max: u64,
    pub(crate) values_tmpfs: u64,
    pub(crate) workers: Option<u32>,
    pub(crate) sample_every: Duration,
    pub(crate) probe_timeout: Duration,
    /// What earlier runs have taught, shared by a daemon and all local runs.
    pub(crate) estimates: PathBuf,
}

/// A shell, and what belongs to its process.
pub(crate) struct Ready {
    pub(crate) shell: Shell,
    pub(crate) sender: mpsc::UnboundedSender<Input>,
    pub(crate) environments: Arc<EnvStore>,
    pub(crate) found: crate::shell::Found,
    pub(crate) rundir: PathBuf,
}

/// The options with which the devices of a setup are opened.
pub(crate) fn open_options(resources: &BTreeMap<String, u64>, deadline: Duration) -> OpenOptions {
    let exe: OsString = crate::exe().into();
    OpenOptions { probe_command: vec![exe, "__nvml-probe".into()], custom: resources.clone(), deadline }
}

/// Opens the store, the devices and the engine, and takes in what lived before.
pub(crate) async fn prepare(setup: &Setup) -> Result<Ready, Failure> {
    prepare_inner(setup).await
}

/// A failure of the store with the exit code that it means.
pub(crate) fn store_failure(error: &StoreError) -> Failure {
    let code = match error {
        StoreError::Locked { .. } => REFUSED,
        StoreError::NotWritable { .. } | StoreError::NotOurs { .. } | StoreError::Newer { .. } => USAGE,
        _ => FAILED,
    };
    Failure::new(code, error.in_full())
}

async fn prepare_inner(setup: &Setup) -> Result<Ready, Failure> {
    let store = |error: StoreError| store_failure(&error);
    let other = |text: String| Failure::new(FAILED, text);
    let dir = StateDir::open(&setup.state_dir).map_err(store)?;
    let state_dir = dir.path().to_owned();
    let journal_file = dir.journal();
    let folder = |name: &str| dir.folder(name).map_err(store);
    let (values_dir, logs_dir, live_logs, env_dir) =
        (folder("values")?, folder("logs")?, folder("live-logs")?, folder("env")?);
    let rundir = dunnage_exec::rundir::choose(&state_dir).map_err(|error| other(error.to_string()))?.path;
    let mut journal = SqliteJournal::open(dir, Box::new(SystemClocks)).map_err(store)?;
    let loaded = journal.load().map_err(store)?;
    for damage in &loaded.damaged {
        eprintln!("dunnage: {damage}");
    }
    let history = journal.reader().map_err(store)?;
    let (sender, inputs) = mpsc::unbounded_channel();
    let notices = sender.clone();
    let journal =
        Committer::new(Box::new(journal), Box::new(move |notice| drop(notices.send(Input::Notice(notice)))))
            .map_err(store)?;

    let opened = dunnage_devices::open(&setup.devices, &open_options(&setup.resources, setup.probe_timeout))
        .map_err(|error| Failure::new(USAGE, error.to_string()))?;
    let mut source: Box<dyn DeviceSource> = Box::new(Priced::new(opened.source, setup.tariff.clone()));
    let node = source.inventory().map_err(|error| Failure::new(USAGE, error.to_string()))?;
    let samples = source.sample();
    let notes = opened.notes;
    let made_up = matches!(setup.devices, Selection::Mock(_));
    let cores = (node.cpu.capacity.0 as usize).div_ceil(1000).max(1);
    let mut core = Scheduler::new(dunnage_strategies::strategies());
    core.replay(loaded.clock.now(), Event::NodeSeen(Arc::new(node)));

    let token = loaded.token.clone();
    let keeper = crate::shell::Keeper::open(&setup.estimates, &token, core.estimates_mut());
    let (events, mut engine_events) = mpsc::unbounded_channel();
    let engine = LocalEngine::new(
        LocalConfig {
            rundir: rundir.clone(),
            token: token.clone(),
            exe: crate::exe(),
            launcher_wrap: Vec::new(),
            workers: setup.workers.map_or(cores, |n| n as usize),
            worker_idle: WORKER_IDLE,
        },
        events,
    )
    .map_err(|error| other(format!("cannot use the runtime directory `{}`: {error}", rundir.display())))?;
    let heard = sender.clone();
    tokio::spawn(async move {
        while let Some(event) = engine_events.recv().await {
            if heard.send(Input::Engine(event)).is_err() {
                break;
            }
        }
    });
    let sampler = crate::shell::Sampler::spawn(source, opened.mock_load, sender.clone())
        .map_err(|error| other(format!("cannot start the device thread: {error}")))?;
    let others = rustix::process::geteuid().is_root();
    let scratch = if others { state_dir.join("scratch") } else { rundir.join("scratch") };
    std::fs::create_dir_all(&scratch)
        .map_err(|error| other(format!("cannot make `{}`: {error}", scratch.display())))?;
    if others {
        open_to_submitters(&state_dir, &values_dir, &scratch).map_err(|error| {
            other(format!("cannot let other users reach their values in `{}`: {error}", state_dir.display()))
        })?;
    }
    // The runtime directory is ours alone, so what other users' tasks write is on disk.
    let tmpfs = (!others).then(|| rundir.join("values"));
    let values = ValueStore::new(values_dir, tmpfs, setup.values_tmpfs)
        .map_err(|error| other(format!("cannot make the folders for values: {error}")))?;
    let segments = Segments::open(&logs_dir).map_err(store)?;
    let effects = crate::shell::Effects {
        values,
        logs: LogKeeper::new(&rundir, live_logs, setup.log_max)
            .map_err(|error| other(format!("cannot make the folder for logs: {error}")))?,
        outputs: BTreeMap::new(),
        segments,
        scratch,
        rundir: rundir.clone(),
        log_max: setup.log_max.max(4096),
        inspecting: 0,
        memory: engine.caps().memory,
        with_files: BTreeSet::new(),
        kept_logs: BTreeSet::new(),
    };
    let environments = Arc::new(EnvStore::open(&env_dir).map_err(store)?);
    let mut shell = Shell::new(crate::shell::Parts {
        core,
        clock: loaded.clock,
        history,
        environments: Arc::clone(&environments),
        engine,
        effects,
        options: ShellOptions {
            ignore_foreign_below: setup.ignore_foreign_below,
            gpu_env: setup.gpu_env,
            notes,
            journal: journal_file,
            sample_every: setup.sample_every,
            token,
            made_up,
        },
        keeper,
        sender: sender.clone(),
        inputs,
        sampler: Some(sampler),
        locks: crate::shell::DeviceLocks::new(!made_up),
        journal,
        next_graph: loaded.next_graph.0.max(1),
        next_seq: loaded.next_seq,
    });
    let found = shell.recover(loaded.live, samples).await.map_err(other)?;
    Ok(Ready { shell, sender, environments, found, rundir })
}

/// A daemon of root runs tasks as their submitters: they may walk to the folders of their own graphs, which
/// are theirs, and leave reports, but not look around.
fn open_to_submitters(state_dir: &Path, values: &Path, scratch: &Path) -> std::io::Result<()> {
    let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
    mode(state_dir, 0o711)?;
    mode(values, 0o711)?;
    mode(scratch, 0o1733)
}

/// A machine as it is seen without a shell: for `plan` and `devices`.
pub(crate) fn look(selection: &Selection, config: &Config) -> Result<Look, dunnage_devices::SourceError> {
    let options = open_options(&config.resources, config.probe_timeout.to_std());
    let opened = dunnage_devices::open(selection, &options)?;
    let mut source = Priced::new(opened.source, config.tariff());
    let node = source.inventory()?;
    Ok(Look { node, samples: source.sample(), notes: opened.notes })
}

/// What was seen.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) node: NodeSpec,
    pub(crate) samples: Vec<dunnage_model::DeviceSample>,
    pub(crate) notes: Vec<String>,
}

/// Whether a path lies in a state directory of ours.
pub(crate) fn is_state_dir(path: &Path) -> bool {
    path.join("VERSION").is_file()
}
