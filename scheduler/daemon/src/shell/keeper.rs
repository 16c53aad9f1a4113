//! Keeps what is learned of earlier runs: read at the start, written beside the loop, in batches.
//!
//! A history is worth something, never as much as a run: what fails in here is told once, and everything
//! goes on without it.

use dunnage_core::{Estimates, SIGNATURES_MAX};
use dunnage_model::{HistoryKey, HistoryRow, Time};
use dunnage_store::EstimateStore;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

/// Batches that may wait while another process writes; further ones are put together with later ones.
const WAITING_MAX: usize = 4;

/// What was learned since the last batch, and until when.
struct Learned {
    until: Time,
    changes: Vec<HistoryRow>,
}

/// The thread that writes; none where nothing can be kept.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    thread: Option<(mpsc::SyncSender<Learned>, JoinHandle<()>)>,
}

impl Keeper {
    /// Reads the history of a file into the estimates, and keeps what they learn from now on.
    pub(crate) fn open(path: &Path, token: &str, estimates: &mut Estimates) -> Self {
        let store = match load(path, token, estimates) {
            Ok(store) => store,
            Err(error) => {
                eprintln!("dunnage: goes on without the history of earlier runs: {error}");
                return Self::default();
            }
        };
        estimates.record_changes();
        let (sender, receiver) = mpsc::sync_channel(WAITING_MAX);
        let token = token.to_owned();
        let thread = std::thread::Builder::new().name("history".to_owned()).spawn(move || {
            write(store, &token, &receiver);
        });
        match thread {
            Ok(thread) => Self { thread: Some((sender, thread)) },
            Err(error) => {
                eprintln!("dunnage: what is learned is not kept: {error}");
                Self::default()
            }
        }
    }

    /// Hands in what was learned. Where the disk is slow, it stays with the estimates until the next time.
    pub(crate) fn keep(&self, estimates: &mut Estimates, until: Time) {
        let Some((sender, _)) = &self.thread else { return };
        if !estimates.has_changes() {
            return;
        }
        let learned = Learned { until, changes: estimates.export_changes() };
        if let Err(mpsc::TrySendError::Full(learned)) = sender.try_send(learned) {
            estimates.take_back(learned.changes);
        }
    }

    /// Waits until everything is written.
    pub(crate) fn close(self) {
        if let Some((sender, thread)) = self.thread {
            drop(sender);
            drop(thread.join());
        }
    }
}

/// Reads a history without keeping anything: for `plan`.
pub(crate) fn read_only(path: &Path, estimates: &mut Estimates) {
    if path.is_file()
        && let Err(error) = load(path, "", estimates)
    {
        eprintln!("dunnage: plans without the history of earlier runs: {error}");
    }
}

fn load(path: &Path, token: &str, estimates: &mut Estimates) -> Result<EstimateStore, String> {
    let told = |error: dunnage_store::StoreError| error.in_full();
    let (mut store, remark) = EstimateStore::open(path).map_err(told)?;
    if let Some(remark) = remark {
        eprintln!("dunnage: {remark}");
    }
    let loaded = store.load(token).map_err(told)?;
    let damaged = loaded.damaged + estimates.load(&loaded.rows, loaded.learned_until);
    if damaged > 0 {
        eprintln!("dunnage: {damaged} rows of the history of earlier runs were damaged and set aside");
    }
    Ok(store)
}

fn write(mut store: EstimateStore, token: &str, receiver: &mpsc::Receiver<Learned>) {
    let mut told = false;
    let mut tell = |error: dunnage_store::StoreError| {
        if !std::mem::replace(&mut told, true) {
            eprintln!("dunnage: what is learned of earlier runs is not kept: {}", error.in_full());
        }
    };
    if let Err(error) = store.prune() {
        tell(error);
    }
    // Batches that could not be written go with the next: until when was learned is not moved past them.
    let mut kept: BTreeMap<HistoryKey, HistoryRow> = BTreeMap::new();
    let mut kept_until = Time::ZERO;
    let mut put = |kept: &mut BTreeMap<HistoryKey, HistoryRow>, until: Time| {
        let wall_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let rows: Vec<HistoryRow> = kept.values().cloned().collect();
        match store.add(token, until, &rows, wall_s) {
            Ok(()) => kept.clear(),
            Err(error) => tell(error),
        }
    };
    while let Ok(Learned { until, changes }) = receiver.recv() {
        for change in changes {
            if let Some(known) = kept.get_mut(&change.key) {
                known.add(&change);
            } else if kept.len() < SIGNATURES_MAX {
                kept.insert(change.key, change);
            }
        }
        kept_until = kept_until.max(until);
        put(&mut kept, kept_until);
    }
    if !kept.is_empty() {
        put(&mut kept, kept_until);
    }
    if let Err(error) = store.prune() {
        tell(error);
    }
}

impl super::Shell {
    /// Hands what was learned to the keeper.
    pub(crate) fn keep_estimates(&mut self) {
        // Facts of a graph that was taken up again set the core's time back for a moment.
        let until = self.core.estimates().learned_until().max(self.core.now());
        self.keeper.keep(self.core.estimates_mut(), until);
    }
}
