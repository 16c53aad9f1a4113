//! Memory that is reserved: a high quantile of the peaks that were seen, where nothing was declared or, once
//! enough runs are known, where less than was declared was used. A declaration stays the limit of RAM, and is
//! reserved again at once where an attempt has run out of memory.
//!
//! The largest of the last 32 peaks is about the 97th percentile, and a margin on top, the larger the fewer
//! peaks there are, covers the rest; one peak far above all others is taken for a fault. What was exhausted
//! is the least that is reserved next. A reservation is no limit: a task that needs more gets it, and is
//! counted with what it uses (see `ledger/free.rs`).

use super::{Entry, Estimates, LOOK_MAX, PEAKS_MAX, signature};
use dunnage_model::{Bytes, Graph, MemoryPlace, Placement, Usage};

/// Larger peaks are a fault of the measurement: a pebibyte.
const BYTES_MAX: f64 = (1_u64 << 50) as f64;

/// Reservations are rounded up to eighths of a power of two, so that tasks that need about the same ask
/// for the same and form a class in the queue.
const STEPS: f64 = 8.0;

/// So many runs must be known before less than was declared is reserved.
const KNOWN_LEAST: u32 = 5;

/// The margin that is kept besides, where what is learned of RAM takes the place of a declaration: whoever
/// declares may know of a peak that was not seen yet, and many may grow to their limits together.
const CARE: f64 = 1.25;

/// What was learned of a function's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Learned {
    /// RAM to reserve, and from how many runs that is known; none where nothing is.
    pub memory: Option<(Bytes, u32)>,
    /// The same of the memory of each GPU.
    pub gpu_memory: Option<(Bytes, u32)>,
}

impl Estimates {
    /// What to reserve in place of a larger declaration: learned from enough runs with input of about this
    /// size, none of which exhausted what it had. A class of device on which few have run counts as well.
    pub(crate) fn instead_of_declared(&self, graph: &Graph, task: u32, variant: u8) -> Learned {
        if !self.has_memory {
            return Learned::default();
        }
        let declared = &graph.variant(task, variant).cost;
        if declared.memory.is_none() && declared.gpu_memory.is_none() {
            return Learned::default();
        }
        let wanted = signature::key(graph, task, variant, "");
        let mut most = [None::<(Bytes, u32)>; 2];
        let mut known = [true; 2];
        for (key, entry) in self.seen.range(signature::range(wanted.function, wanted.kind)).take(LOOK_MAX) {
            if signature::distance(key.size, wanted.size) > super::NEAR {
                continue;
            }
            let places = [
                (MemoryPlace::Host, entry.memory_at_least, CARE),
                (MemoryPlace::Gpu, entry.gpu_at_least, 1.0),
            ];
            for (at, (place, at_least, care)) in places.into_iter().enumerate() {
                known[at] &= at_least <= 0.0;
                if let Some((bytes, runs)) = entry.reserve(place) {
                    known[at] &= runs >= KNOWN_LEAST;
                    most[at] = most[at].max(Some((bytes.scaled(care), runs)));
                }
            }
        }
        let [memory, gpu_memory] = [0, 1].map(|at: usize| most[at].filter(|_| known[at]));
        Learned {
            memory: memory.filter(|(bytes, _)| declared.memory.is_some_and(|most| *bytes < most)),
            gpu_memory: gpu_memory.filter(|(bytes, _)| declared.gpu_memory.is_some_and(|most| *bytes < most)),
        }
    }

    /// The memory to reserve for a variant of a task, on any class of device, by the nearest size of input.
    pub fn learned_memory(&self, graph: &Graph, task: u32, variant: u8) -> Learned {
        if !self.has_memory {
            return Learned::default();
        }
        let wanted = signature::key(graph, task, variant, "");
        let (mut memory, mut gpu_memory) = (Nearest::default(), Nearest::default());
        for (key, entry) in self.seen.range(signature::range(wanted.function, wanted.kind)).take(LOOK_MAX) {
            // Of two sizes as near, the larger: keys come in order of size within a class.
            let apart = 2 * signature::distance(key.size, wanted.size) + u32::from(key.size < wanted.size);
            memory.look(apart, entry.reserve(MemoryPlace::Host));
            gpu_memory.look(apart, entry.reserve(MemoryPlace::Gpu));
        }
        Learned {
            memory: memory.found.map(|(_, found)| found),
            gpu_memory: gpu_memory.found.map(|(_, found)| found),
        }
    }
}

/// Peaks of one attempt, in bytes.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Peaks {
    pub(super) memory: Option<f32>,
    pub(super) gpu_memory: Option<f32>,
}

/// The reservation of the nearest size; of several classes of device the largest.
#[derive(Default)]
struct Nearest {
    found: Option<(u32, (Bytes, u32))>,
}

impl Nearest {
    fn look(&mut self, apart: u32, reserve: Option<(Bytes, u32)>) {
        let Some(reserve) = reserve else { return };
        let better = match self.found {
            None => true,
            Some((known, best)) => apart < known || apart == known && reserve > best,
        };
        if better {
            self.found = Some((apart, reserve));
        }
    }
}

impl Entry {
    fn reserve(&self, place: MemoryPlace) -> Option<(Bytes, u32)> {
        let (window, at_least) = match place {
            MemoryPlace::Host => (&self.memory, self.memory_at_least),
            MemoryPlace::Gpu => (&self.gpu_memory, self.gpu_at_least),
        };
        let margin = match window.len() {
            0..4 => 1.25,
            4..16 => 1.1,
            _ => 1.05,
        };
        let high = window.high().unwrap_or(0.0).max(at_least) * margin;
        (high > 0.0).then(|| (rounded(high), window.len() as u32))
    }

    /// Takes in the peaks of an attempt that succeeded; those that make sense are the answer.
    pub(super) fn take_peaks(&mut self, usage: &Usage) -> Peaks {
        let sane = |bytes: Option<Bytes>| {
            bytes.map(|bytes| bytes.0 as f64).filter(|bytes| *bytes > 0.0 && *bytes < BYTES_MAX)
        };
        let (memory, gpu_memory) = (sane(usage.peak_memory), sane(usage.peak_gpu_memory));
        if let Some(peak) = memory {
            self.memory.push(peak as f32, PEAKS_MAX);
            fade(&mut self.memory_at_least, peak);
        }
        if let Some(peak) = gpu_memory {
            self.gpu_memory.push(peak as f32, PEAKS_MAX);
            fade(&mut self.gpu_at_least, peak);
        }
        Peaks { memory: memory.map(|peak| peak as f32), gpu_memory: gpu_memory.map(|peak| peak as f32) }
    }

    /// An attempt exhausted the memory that it had: so many bytes, as far as it is known.
    pub(super) fn was_too_little(&mut self, placement: &Placement, place: MemoryPlace, usage: &Usage) -> f64 {
        let (had, peak, least) = match place {
            MemoryPlace::Host => {
                (placement.memory_limit.unwrap_or_default(), usage.peak_memory, &mut self.memory_at_least)
            }
            MemoryPlace::Gpu => {
                let had =
                    placement.gpus.iter().filter(|grant| !grant.exclusive).map(|grant| grant.memory).max();
                (had.unwrap_or_default(), usage.peak_gpu_memory, &mut self.gpu_at_least)
            }
        };
        let most = (had.0.max(peak.unwrap_or_default().0) as f64).min(BYTES_MAX);
        *least = least.max(most);
        most
    }
}

/// A success with less takes back a part of what an exhaustion has taught.
fn fade(at_least: &mut f64, peak: f64) {
    *at_least -= (*at_least - peak).max(0.0) / PEAKS_MAX as f64;
    if *at_least <= 1.1 * peak {
        *at_least = 0.0;
    }
}

/// Up to the next eighth of a power of two.
fn rounded(bytes: f64) -> Bytes {
    let exponent = bytes.log2().floor();
    let base = exponent.exp2();
    let eighths = ((bytes / base - 1.0) * STEPS).ceil();
    Bytes((base * (1.0 + eighths / STEPS)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peaks(peaks: &[u64]) -> Entry {
        let mut entry = Entry::default();
        for peak in peaks {
            let usage = Usage { peak_memory: Some(Bytes::mib(*peak)), ..Usage::default() };
            entry.take_peaks(&usage);
        }
        entry
    }

    fn reserve(entry: &Entry) -> Option<u64> {
        entry.reserve(MemoryPlace::Host).map(|(bytes, _)| bytes.0 >> 20)
    }

    #[test]
    fn the_margin_shrinks_with_the_number_of_peaks() {
        assert_eq!(reserve(&peaks(&[])), None);
        assert_eq!(reserve(&peaks(&[1000])), Some(1280));
        assert_eq!(reserve(&peaks(&[1000; 8])), Some(1152));
        assert_eq!(reserve(&peaks(&[960; 20])), Some(1024));
    }

    #[test]
    fn an_absurd_peak_reserves_nothing_more() {
        let mut values = vec![1000; 8];
        values[3] = 900_000;
        assert_eq!(reserve(&peaks(&values)), reserve(&peaks(&[1000; 8])));
        assert_eq!(reserve(&peaks(&[u64::MAX >> 20])), None, "2^64 bytes are no measurement");
    }

    #[test]
    fn what_was_exhausted_is_reserved_and_slowly_forgotten() {
        let mut entry = peaks(&[100; 8]);
        let before = reserve(&entry).unwrap();
        let usage = Usage { peak_memory: Some(Bytes::mib(4000)), ..Usage::default() };
        let placement = Placement {
            variant: 0,
            node: dunnage_model::NodeId::LOCAL,
            cpus: dunnage_model::MilliCores(1000),
            memory: Bytes::ZERO,
            memory_limit: None,
            gpus: Vec::new(),
            custom: Vec::new(),
            predicted: None,
            basis: dunnage_model::Basis::None,
        };
        entry.was_too_little(&placement, MemoryPlace::Host, &usage);
        assert!(reserve(&entry).unwrap() >= 4000);
        for _ in 0..200 {
            let usage = Usage { peak_memory: Some(Bytes::mib(100)), ..Usage::default() };
            entry.take_peaks(&usage);
        }
        assert!(reserve(&entry).unwrap() <= before);
    }
}
