//! What is remembered of earlier runs, as rows that a store can keep.
//!
//! A row is about one signature: a function by its code, a kind and class of device, and a bucket of input
//! sizes. What is written is a change, the runs since the last one, so that several processes may add to
//! one history without one undoing what another has learned.

use crate::DeviceKind;

/// At most this many times, peaks and errors are kept for one signature.
pub const HISTORY_SAMPLES_MAX: usize = 64;

/// At most this many characters name a function or a class of device in a history.
pub const HISTORY_LABEL_MAX: usize = 96;

/// What tells rows apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HistoryKey {
    /// A hash of the function's code and family.
    pub function: u64,
    /// Cores or a GPU.
    pub kind: DeviceKind,
    /// A hash of what the device's vendor calls it.
    pub class: u64,
    /// The size of its work: the power of two of its input's bytes in the upper byte, those of its largest
    /// parameter and of its declared work together in the lower one; 0 where nothing is known.
    pub size: u16,
}

/// Runs of one signature, oldest first: all that is known, or what came since the last change.
#[derive(Clone, PartialEq, Debug)]
pub struct HistoryRow {
    /// Which.
    pub key: HistoryKey,
    /// What its function is called, for people.
    pub label: String,
    /// What its class of device is called, for people.
    pub class: String,
    /// How many runs there were in all; of a change, how many it adds.
    pub runs: u64,
    /// How often its times were found to have changed; of a change, how often since the last one.
    pub drifts: u32,
    /// Whether everything older than this is forgotten, because times have changed. Of a change only.
    pub forgets: bool,
    /// Wall times in seconds.
    pub seconds: Vec<f32>,
    /// Peaks of RAM in bytes.
    pub memory: Vec<f32>,
    /// Peaks of GPU memory in bytes.
    pub gpu_memory: Vec<f32>,
    /// How far predictions were off: `|actual / predicted - 1|`.
    pub errors: Vec<f32>,
}

impl HistoryRow {
    /// A row without runs.
    pub fn new(key: HistoryKey, label: &str, class: &str) -> Self {
        let cut = |text: &str| text.chars().take(HISTORY_LABEL_MAX).collect();
        Self {
            key,
            label: cut(label),
            class: cut(class),
            runs: 0,
            drifts: 0,
            forgets: false,
            seconds: Vec::new(),
            memory: Vec::new(),
            gpu_memory: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Adds a later change to this row, so that it stays within its bounds.
    pub fn add(&mut self, change: &Self) {
        if change.forgets {
            self.seconds.clear();
            self.forgets = true;
        }
        self.runs = self.runs.saturating_add(change.runs);
        self.drifts = self.drifts.saturating_add(change.drifts);
        for (mine, new) in [
            (&mut self.seconds, &change.seconds),
            (&mut self.memory, &change.memory),
            (&mut self.gpu_memory, &change.gpu_memory),
            (&mut self.errors, &change.errors),
        ] {
            mine.extend_from_slice(new);
            let extra = mine.len().saturating_sub(HISTORY_SAMPLES_MAX);
            mine.drain(..extra);
        }
    }
}

/// How well predictions came true, over everything since this process began.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct PredictionRow {
    /// On what they rested, as a word.
    pub basis: &'static str,
    /// Attempts that ended well and had been predicted.
    pub ended: u64,
    /// Those of them that took within a fifth of what was predicted.
    pub near: u64,
    /// The median of `|actual / predicted - 1|` over the latest; none before the first.
    pub median_error: Option<f64>,
}

/// What the estimates know and how well they do.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct EstimateSummary {
    /// Signatures that are remembered.
    pub signatures: u64,
    /// By basis.
    pub predictions: Vec<PredictionRow>,
    /// Attempts placed to learn what had not been tried.
    pub explorations: u64,
    /// How often times of a signature were found to have changed.
    pub drifts: u64,
    /// Attempts that used more RAM than was reserved by what was learned.
    pub memory_underestimates: u64,
    /// Samples that were no number, zero or absurdly large.
    pub refused_samples: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seconds: &[f32]) -> HistoryRow {
        let key = HistoryKey { function: 1, kind: DeviceKind::Cpu, class: 2, size: 0 };
        HistoryRow {
            runs: seconds.len() as u64,
            seconds: seconds.to_vec(),
            ..HistoryRow::new(key, &"x".repeat(500), "cores")
        }
    }

    #[test]
    fn changes_add_up_within_bounds() {
        let mut all = row(&[1.0, 2.0]);
        assert_eq!(all.label.len(), HISTORY_LABEL_MAX);
        all.add(&row(&[3.0; 80]));
        assert_eq!((all.runs, all.seconds.len()), (82, HISTORY_SAMPLES_MAX));
        assert!(all.seconds.iter().all(|s| *s == 3.0));
    }

    #[test]
    fn a_change_that_forgets_drops_older_times_alone() {
        let mut all = HistoryRow { memory: vec![5.0], ..row(&[1.0, 2.0]) };
        all.add(&HistoryRow { forgets: true, drifts: 1, ..row(&[9.0]) });
        assert_eq!((all.seconds.as_slice(), all.memory.len(), all.drifts), (&[9.0_f32][..], 1, 1));
    }
}
