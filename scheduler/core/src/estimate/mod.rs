//! What a task is expected to take: from earlier runs, else what its author declared, else nothing.
//!
//! Kept by signature (see `signature.rs`), each with windows of the latest times and peaks of memory
//! (`quantiles.rs`), from which follow the time that tasks are ranked by, the band in which it is expected to
//! lie, and the memory that is reserved (`memory.rs`). Only attempts that succeeded count as times. Times that have changed for
//! good are noticed (`drift.rs`), and what was never tried is tried now and then (`explore.rs`).
//!
//! The order of what a prediction rests on: runs of this function on this class of device with input of
//! about this size; runs on another class of the same kind, taken as they are and marked; what was declared;
//! runs with input of another size; nothing.
//!
//! Cost: a prediction hashes some words and looks at the signatures of one function; without any history
//! it looks at nothing. Bounded: [`SIGNATURES_MAX`] signatures of at most 64 values in each window, some
//! 20 MiB in all; those not used for longest go.

mod drift;
pub(crate) mod explore;
mod memory;
mod quantiles;
mod score;
mod signature;

pub use memory::Learned;
pub use score::Score;

use drift::Drift;
use dunnage_model::{
    Basis, Cause, EstimateSummary, Failure, Graph, HISTORY_SAMPLES_MAX, HistoryKey, HistoryRow, MemoryPlace,
    Placement, Span, Time, Usage,
};
use quantiles::Window;
use std::collections::BTreeMap;

/// At most this many signatures are remembered.
pub const SIGNATURES_MAX: usize = 16_384;

/// At most this many peaks of memory are kept of one signature.
const PEAKS_MAX: usize = 32;

/// Of a function whose signatures are more than this, the first are looked at.
const LOOK_MAX: usize = 256;

/// Sizes of input that are this many powers of two apart at most are taken to take about as long.
const NEAR: u32 = 1;

/// Longer times are a fault of the measurement: some thirty years.
const SECONDS_MAX: f64 = 1e9;

/// An expectation, and on what it rests.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Estimate {
    /// Wall time, where anything is known.
    pub duration: Option<Span>,
    /// On what that rests.
    pub basis: Basis,
    /// How many earlier runs that are.
    pub samples: u32,
    /// What nine of ten runs take at least; where reality leaves the band, a plan is worth making again.
    pub low: Option<Span>,
    /// What nine of ten runs take at most.
    pub high: Option<Span>,
    /// Of which runs.
    pub source: Source,
}

/// Of which runs a history is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Source {
    /// This class of device and about this size of input, or no runs at all.
    #[default]
    Same,
    /// Another class of device of the same kind.
    OtherClass,
    /// Input of another size.
    OtherSize,
}

impl Source {
    /// A remark for people; nothing where it is as it should be.
    pub const fn remark(self) -> Option<&'static str> {
        match self {
            Self::Same => None,
            Self::OtherClass => Some("on another class of device"),
            Self::OtherSize => Some("with input of another size"),
        }
    }
}

/// An attempt that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observed<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) task: u32,
    pub(crate) placement: &'a Placement,
    /// The class of the device that it ran on.
    pub(crate) class: &'a str,
    pub(crate) took: Span,
    pub(crate) usage: &'a Usage,
}

/// Everything that is remembered of earlier runs.
#[derive(Debug, Default)]
pub struct Estimates {
    seen: BTreeMap<HistoryKey, Entry>,
    /// Counts uses, so that the least used signatures can go.
    clock: u64,
    /// Facts up to this time were learned from, in the history that was loaded or in this process: a replay
    /// of them teaches nothing.
    learned_until: Option<Time>,
    /// Whether facts of the past are told.
    replaying: bool,
    /// Nothing is learned and nothing tried: for plans, which would learn from their own guesses.
    frozen: bool,
    /// What was learned since the last export; none where nobody wants it.
    changes: Option<BTreeMap<HistoryKey, HistoryRow>>,
    /// Whether any peak of memory is known.
    has_memory: bool,
    tries: explore::Tries,
    scores: score::Scores,
    drifts: u64,
    memory_underestimates: u64,
    refused: u64,
}

/// One signature.
#[derive(Debug, Default)]
struct Entry {
    label: String,
    class: String,
    seconds: Window,
    memory: Window,
    gpu_memory: Window,
    errors: Window,
    drift: Drift,
    /// A time that an attempt was given and did not suffice.
    at_least: f64,
    /// Peaks that did not suffice.
    memory_at_least: f64,
    gpu_at_least: f64,
    runs: u64,
    drifts: u32,
    /// When it was last used, by the clock of uses.
    used: u64,
    /// The middle, and the ends of the band, in seconds.
    summary: Option<(f64, f64, f64)>,
}

impl Entry {
    fn summarise(&mut self) {
        let ends = (self.seconds.middle(), self.seconds.quantile(0.1), self.seconds.quantile(0.9));
        let (Some(middle), Some(low), Some(high)) = ends else {
            self.summary = None;
            return;
        };
        // Few runs say little about the ends: half the time and twice it after one, ever less of that later.
        let runs = self.seconds.len() as f64;
        let doubt = 1.0 + 1.0 / (runs * runs.sqrt());
        self.summary = Some((middle, low.min(middle / doubt), high.max(middle * doubt)));
    }

    fn estimate(&self, source: Source) -> Estimate {
        let Some((middle, low, high)) = self.summary else { return Estimate::default() };
        // Rounded: a window holds seven digits, and what took 700 ms each time is expected to do so again.
        let span = |seconds: f64| Some(Span(((seconds * 1e6).round() as u64).max(1)));
        Estimate {
            duration: span(middle),
            basis: Basis::History,
            samples: self.seconds.len() as u32,
            low: span(low),
            high: span(high),
            source,
        }
    }
}

impl Estimates {
    /// What a variant of a task is expected to take on a device of this class.
    pub fn predict(&self, graph: &Graph, task: u32, variant: u8, class: &str) -> Estimate {
        let found = self.find(graph, task, variant, class);
        if let Some((source, entry)) = found
            && source != Source::OtherSize
            && entry.summary.is_some()
        {
            return entry.estimate(source);
        }
        if let Some(duration) = self.declared(graph, task, variant) {
            // A guess: as likely twice as long as half as long. An attempt that ran into its time limit
            // knows better.
            let at_least = found.map_or(0.0, |(_, entry)| entry.at_least);
            let seconds = duration.as_secs_f64().max(at_least);
            return Estimate {
                duration: Some(Span::from_secs_f64(seconds)),
                basis: Basis::Declaration,
                low: Some(Span::from_secs_f64(seconds / 2.0)),
                high: Some(Span::from_secs_f64(seconds * 2.0)),
                ..Estimate::default()
            };
        }
        match found {
            // Only ever ended by its time limit: at least that, likely more.
            Some((source, entry)) if entry.summary.is_none() && entry.at_least > 0.0 => Estimate {
                duration: Some(Span::from_secs_f64(entry.at_least)),
                basis: Basis::History,
                samples: 0,
                low: Some(Span::from_secs_f64(entry.at_least)),
                high: Some(Span::from_secs_f64(2.0 * entry.at_least)),
                source,
            },
            Some((source, entry)) => entry.estimate(source),
            None => Estimate::default(),
        }
    }

    /// What its author says a variant takes.
    pub fn declared(&self, graph: &Graph, task: u32, variant: u8) -> Option<Span> {
        let variant = graph.variant(task, variant);
        variant.cost.declared_duration().or_else(|| variant.cost.roofline_duration(variant.kind))
    }

    /// The signature that comes nearest to a variant of a task on a class of device: times on the same class
    /// and with the nearest size before others.
    fn find(&self, graph: &Graph, task: u32, variant: u8, class: &str) -> Option<(Source, &Entry)> {
        if self.seen.is_empty() {
            return None;
        }
        let wanted = signature::key(graph, task, variant, class);
        if let Some(entry) = self.seen.get(&wanted)
            && entry.seconds.len() > 0
        {
            return Some((Source::Same, entry));
        }
        self.seen
            .range(signature::range(wanted.function, wanted.kind))
            .take(LOOK_MAX)
            .map(|(key, entry)| {
                let apart = signature::distance(key.size, wanted.size);
                let source = match (key.class == wanted.class, apart) {
                    (true, ..=NEAR) => Source::Same,
                    (false, ..=NEAR) => Source::OtherClass,
                    _ => Source::OtherSize,
                };
                // One that has only ever run into its limit says less than any other.
                (entry.seconds.len() == 0, source, apart, key.class != wanted.class, *key, entry)
            })
            .min_by(|a, b| (a.0, a.1, a.2, a.3, a.4).cmp(&(b.0, b.1, b.2, b.3, b.4)))
            .map(|(_, source, .., entry)| (source, entry))
    }

    /// How many runs a prediction for exactly this class of device rests on.
    pub fn runs(&self, graph: &Graph, task: u32, variant: u8, class: &str) -> u32 {
        match self.find(graph, task, variant, class) {
            Some((Source::Same, entry)) => entry.seconds.len() as u32,
            _ => 0,
        }
    }

    /// Remarks on a prediction, for people: what it was compared with, and how well the last ones did.
    pub fn remarks(&self, graph: &Graph, task: u32, variant: u8, class: &str) -> Vec<String> {
        let mut remarks = Vec::new();
        let less = self.instead_of_declared(graph, task, variant);
        let cost = &graph.variant(task, variant).cost;
        let of = [(less.memory, cost.memory, "memory"), (less.gpu_memory, cost.gpu_memory, "GPU memory")];
        for (learned, declared, what) in of {
            if let (Some((bytes, runs)), Some(declared)) = (learned, declared) {
                remarks.push(format!(
                    "reserves {bytes} of {what} (learned from {runs} runs; {declared} declared)"
                ));
            }
        }
        let Some((source, entry)) = self.find(graph, task, variant, class) else { return remarks };
        let Some((middle, low, high)) = entry.summary else { return remarks };
        let span = |seconds: f64| Span::from_secs_f64(seconds);
        remarks.push(format!(
            "{} {} of `{}` on {}{} took {}, most of them {} to {}",
            entry.seconds.len(),
            if entry.seconds.len() == 1 { "run" } else { "runs" },
            entry.label,
            entry.class,
            source.remark().map(|remark| format!(" ({remark})")).unwrap_or_default(),
            span(middle),
            span(low),
            span(high),
        ));
        if let Some(declared) = self.declared(graph, task, variant) {
            let factor = declared.as_secs_f64() / middle;
            if !(1.0 / 3.0..=3.0).contains(&factor) {
                remarks.push(format!(
                    "declared were {declared}, {}",
                    if factor > 1.0 {
                        format!("{factor:.1} times as long")
                    } else {
                        format!("{:.1} times too short", 1.0 / factor)
                    }
                ));
            }
        }
        if let Some(error) = entry.errors.quantile(0.5) {
            remarks.push(format!(
                "its last {} predictions were off by {:.0} % in the middle",
                entry.errors.len(),
                error * 100.0
            ));
        }
        if entry.drifts > 0 {
            remarks.push(format!(
                "its times have changed {}; older runs were forgotten",
                if entry.drifts == 1 { "once".to_owned() } else { format!("{} times", entry.drifts) }
            ));
        }
        remarks
    }

    /// Takes in an attempt that succeeded.
    pub(crate) fn observe(&mut self, now: Time, seen: &Observed<'_>) {
        let Observed { graph, task, placement, class, took, usage } = *seen;
        if !self.learns(now) {
            return;
        }
        let seconds = took.as_secs_f64();
        if seconds <= 0.0 || seconds > SECONDS_MAX {
            self.refused += 1;
            return;
        }
        let error = placement.predicted.filter(|predicted| predicted.0 > 0).map(|predicted| {
            let error = (seconds / predicted.as_secs_f64() - 1.0).abs();
            self.scores.add(placement.basis, error);
            error
        });
        let key = signature::key(graph, task, placement.variant, class);
        let records = self.changes.is_some();
        let Some(entry) = self.entry(key, || signature::label(graph, task), class) else { return };
        entry.runs += 1;
        let alarm = entry.drift.look(seconds, &entry.seconds);
        entry.seconds.push(seconds as f32, HISTORY_SAMPLES_MAX);
        if let Some(keep) = alarm {
            entry.seconds.keep_latest(keep);
            entry.drifts = entry.drifts.saturating_add(1);
        }
        entry.at_least = 0.0;
        entry.summarise();
        // A window takes no zero; of a prediction that came exactly true a millionth is as good.
        let error = error.map(|error| (error as f32).max(1e-6));
        if let Some(error) = error {
            entry.errors.push(error, PEAKS_MAX);
        }
        let reserved = crate::learn::is_learned(graph, task, placement).then_some(placement.memory);
        let peaks = entry.take_peaks(usage);
        let under =
            peaks.memory.zip(reserved).is_some_and(|(peak, reserved)| f64::from(peak) > reserved.0 as f64);
        let change = records.then(|| HistoryRow {
            runs: 1,
            drifts: u32::from(alarm.is_some()),
            forgets: alarm.is_some(),
            seconds: if alarm.is_some() { entry.seconds.recent().to_vec() } else { vec![seconds as f32] },
            memory: peaks.memory.into_iter().collect(),
            gpu_memory: peaks.gpu_memory.into_iter().collect(),
            errors: error.into_iter().collect(),
            ..HistoryRow::new(key, "", "")
        });
        self.drifts += u64::from(alarm.is_some());
        self.memory_underestimates += u64::from(under);
        self.has_memory |= peaks != memory::Peaks::default();
        if let Some(change) = change {
            self.note(change);
        }
    }

    /// Takes in an attempt that failed: its time counts for nothing, but a limit that did not suffice is
    /// the least that the next one needs.
    pub(crate) fn observe_failure(&mut self, now: Time, seen: &Observed<'_>, failure: &Failure) {
        let Observed { graph, task, placement, class, took, usage } = *seen;
        if !self.learns(now) || !matches!(failure.cause, Cause::Timeout | Cause::OutOfMemory) {
            return;
        }
        let key = signature::key(graph, task, placement.variant, class);
        let Some(entry) = self.entry(key, || signature::label(graph, task), class) else { return };
        if failure.cause == Cause::Timeout {
            entry.at_least = entry.at_least.max(took.as_secs_f64()).min(SECONDS_MAX);
            return;
        }
        let place = failure.place.unwrap_or(MemoryPlace::Host);
        let exhausted = entry.was_too_little(placement, place, usage);
        if exhausted <= 0.0 {
            return;
        }
        self.has_memory = true;
        // Kept as a peak like others: after a restart it is forgotten as slowly as they are.
        let mut change = HistoryRow::new(key, "", "");
        match place {
            MemoryPlace::Host => change.memory.push(exhausted as f32),
            MemoryPlace::Gpu => change.gpu_memory.push(exhausted as f32),
        }
        self.note(change);
    }

    fn learns(&self, now: Time) -> bool {
        !self.frozen && (!self.replaying || self.learned_until.is_none_or(|until| now > until))
    }

    /// From now on facts of the past are told, or the last one of them was.
    pub(crate) const fn set_replaying(&mut self, replaying: bool) {
        self.replaying = replaying;
    }

    /// Everything up to this time has been told once.
    pub(crate) fn note_live(&mut self, now: Time) {
        self.learned_until = self.learned_until.max(Some(now));
    }

    /// The entry with this key, new or old.
    fn entry(&mut self, key: HistoryKey, label: impl FnOnce() -> String, class: &str) -> Option<&mut Entry> {
        self.clock += 1;
        let used = self.clock;
        if !self.seen.contains_key(&key) {
            self.make_room();
            let row = HistoryRow::new(key, &label(), class);
            self.seen.insert(key, Entry { label: row.label, class: row.class, ..Entry::default() });
        }
        let entry = self.seen.get_mut(&key)?;
        entry.used = used;
        Some(entry)
    }

    /// Where there is no room for another signature, an eighth of them go, those not used for longest: in
    /// one step, so that the next ones cost nothing.
    fn make_room(&mut self) {
        if self.seen.len() < SIGNATURES_MAX {
            return;
        }
        let mut used: Vec<u64> = self.seen.values().map(|entry| entry.used).collect();
        let (_, limit, _) = used.select_nth_unstable(SIGNATURES_MAX / 8);
        let limit = *limit;
        self.seen.retain(|_, entry| entry.used > limit);
    }

    /// Keeps a change for the next export.
    fn note(&mut self, change: HistoryRow) {
        let Some(changes) = &mut self.changes else { return };
        if let Some(known) = changes.get_mut(&change.key) {
            known.add(&change);
        } else if changes.len() < SIGNATURES_MAX
            && let Some(entry) = self.seen.get(&change.key)
        {
            // More than this between two exports are not worth their memory.
            let (label, class) = (entry.label.clone(), entry.class.clone());
            changes.insert(change.key, HistoryRow { label, class, ..change });
        }
    }

    /// Takes in a history: rows as they were kept, and until when the facts of this store are in it, so that
    /// a replay does not count them twice. Rows that make no sense are left out; their number is the answer.
    pub fn load(&mut self, rows: &[HistoryRow], learned_until: Option<Time>) -> usize {
        self.learned_until = learned_until;
        let mut left_out = 0;
        for row in rows {
            if self.seen.len() >= SIGNATURES_MAX {
                left_out += 1;
                continue;
            }
            let clean = HistoryRow::new(row.key, &row.label, &row.class);
            let mut entry = Entry {
                label: clean.label,
                class: clean.class,
                runs: row.runs,
                drifts: row.drifts,
                ..Entry::default()
            };
            let windows = (
                Window::of(&row.seconds, HISTORY_SAMPLES_MAX),
                Window::of(&row.memory, PEAKS_MAX),
                Window::of(&row.gpu_memory, PEAKS_MAX),
                Window::of(&row.errors, PEAKS_MAX),
            );
            let (Some(seconds), Some(memory), Some(gpu_memory), Some(errors)) = windows else {
                left_out += 1;
                continue;
            };
            (entry.seconds, entry.memory, entry.gpu_memory, entry.errors) =
                (seconds, memory, gpu_memory, errors);
            entry.summarise();
            self.clock += 1;
            entry.used = self.clock;
            self.has_memory |= entry.memory.len() + entry.gpu_memory.len() > 0;
            self.seen.insert(row.key, entry);
        }
        left_out
    }

    /// From now on what is learned is kept for [`Self::export_changes`].
    pub fn record_changes(&mut self) {
        self.changes.get_or_insert_default();
    }

    /// What was learned since the last time; nothing where it is not recorded.
    pub fn export_changes(&mut self) -> Vec<HistoryRow> {
        self.changes.as_mut().map(std::mem::take).unwrap_or_default().into_values().collect()
    }

    /// Until when it has learned from facts as they came.
    pub fn learned_until(&self) -> Time {
        self.learned_until.unwrap_or_default()
    }

    /// Takes back changes that could not be written, to be exported again.
    pub fn take_back(&mut self, changes: Vec<HistoryRow>) {
        let Some(later) = self.changes.as_mut().map(std::mem::take) else { return };
        let mut all: BTreeMap<HistoryKey, HistoryRow> =
            changes.into_iter().map(|change| (change.key, change)).collect();
        for (key, change) in later {
            match all.get_mut(&key) {
                Some(known) => known.add(&change),
                None => drop(all.insert(key, change)),
            }
        }
        self.changes = Some(all);
    }

    /// Whether there is anything to export.
    pub fn has_changes(&self) -> bool {
        self.changes.as_ref().is_some_and(|changes| !changes.is_empty())
    }

    /// From now on nothing is learned and nothing tried for the sake of learning: for a plan, in which tasks
    /// take as long as is expected.
    pub fn freeze(&mut self) {
        self.frozen = true;
    }

    /// How well predictions of a function come true.
    pub fn score(&self, graph: &Graph, task: u32, variant: u8, class: &str) -> Option<Score> {
        let (_, entry) = self.find(graph, task, variant, class)?;
        let median_error = entry.errors.quantile(0.5)?;
        let near = entry.errors.recent().iter().filter(|error| f64::from(**error) <= score::NEAR).count();
        Some(Score { predictions: entry.errors.len() as u32, near: near as u32, median_error })
    }

    /// What is known, and how well predictions come true.
    pub fn summary(&self) -> EstimateSummary {
        EstimateSummary {
            signatures: self.seen.len() as u64,
            predictions: self.scores.rows(),
            explorations: self.tries.made(),
            drifts: self.drifts,
            memory_underestimates: self.memory_underestimates,
            refused_samples: self.refused,
        }
    }
}

#[cfg(test)]
mod tests;
