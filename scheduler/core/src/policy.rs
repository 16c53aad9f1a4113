//! The queue's policy: who goes first where more is wanted than there is.
//!
//! Graphs are ordered by the user's priority, then by what their owner used of late (fair share), then by
//! predicted size (shortest first), then by submission. Whatever fits may start (skipping); two things keep
//! the large ones from starving behind the small:
//! - the first of the order that does not fit gets a *reservation* (`reservation.rs`), as in EASY backfill
//!   (Lifka 1995), and others overtake it only where that does not move its start. How soon depends on its
//!   part of the machine, see [`Policy::patience`]: one that needs all of it never finds all of it free by
//!   itself, one that needs an eighth soon does;
//! - a task that has waited longer than the [`Guard`] allows, with nothing of its graph started that asks for
//!   the same, goes before all others, whatever its priority, owner or size, first come first served. What
//!   was promised to another by then is kept; beyond that it waits for what runs at most.
//!
//! There is one reservation at a time. It stays with its task until that starts: after each release its task
//! is looked at before others, unless one of a higher priority is there, and its room is kept again.
//!
//! Order by size suffers little from wrong sizes; a reservation for everybody at once costs more than it
//! brings when times are known with a factor of e (measured on the public traces of Gavel and Tiresias:
//! see `dunnage bench replay`).

use crate::estimate::Estimates;
use crate::ledger::Ledger;
use dunnage_model::{DeviceId, Graph, Placement, Request, Span, Time};

/// What a task counts for of which nothing at all is known, in seconds.
const UNKNOWN_SECONDS: f64 = 60.0;

/// At most this many functions of a graph are looked at for its size; the rest counts like these.
const LOOK_MAX: u32 = 1024;

/// After so many ended attempts older ones count for half: what was learned of the past fades.
const FADE: u32 = 1024;

/// How the queue is ordered and what may overtake what. The default is ours; the others are the field's
/// rules, for comparison.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Policy {
    /// Whether shorter graphs of one owner and priority go first, by prediction; else the earlier ones.
    pub shortest_first: bool,
    /// Sizes are told apart in steps, so many for each factor of two; 0 compares them exactly. Alike sizes
    /// go by submission.
    pub size_steps: u32,
    /// Whether one that does not fit is skipped, or all wait behind it.
    pub skips: bool,
    /// The first that does not fit gets a reservation once it has waited for this times its own predicted
    /// length, times the cube of how often its request goes into the machine; `None` for never. Without a
    /// prediction of its length it gets none. Where several users have work in the queue it gets one at once,
    /// whatever is known of it: among users a turn is a turn.
    pub patience: Option<f64>,
    /// What bounds starvation.
    pub guard: Option<Guard>,
    /// After this time, use counts for half in the fair share between users.
    pub half_life: Span,
    /// For how many cores a whole GPU counts there.
    pub gpu_weight: f64,
    /// Whether plans are made again when reality has left them, see `replan.rs`.
    pub replans: bool,
}

/// When a task goes before all others: once it has waited for `least`, `means` times the mean length
/// of an attempt, and `backlog` times as long as the machine needed at worst to work off all that waited. The
/// last is about what anybody would have waited under first come, first served.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Guard {
    /// Times the predicted time to work off all that is queued, at its recent peak.
    pub backlog: f64,
    /// Times the mean duration of the attempts that have ended.
    pub means: f64,
    /// At least this.
    pub least: Span,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            shortest_first: true,
            size_steps: 4,
            skips: true,
            patience: Some(10.0),
            guard: Some(Guard { backlog: 0.95, means: 0.5, least: Span::secs(60) }),
            half_life: Span::secs(24 * 3600),
            gpu_weight: 16.0,
            replans: true,
        }
    }
}

impl Policy {
    /// First come, first served: nothing overtakes.
    pub fn fifo() -> Self {
        Self { shortest_first: false, skips: false, patience: None, guard: None, ..Self::default() }
    }

    /// First fit: in order of submission, whatever fits starts.
    pub fn first_fit() -> Self {
        Self { skips: true, ..Self::fifo() }
    }

    /// Shortest job first, skipping what does not fit.
    pub fn shortest() -> Self {
        Self { shortest_first: true, size_steps: 0, ..Self::first_fit() }
    }

    /// EASY backfill: in order of submission, with a reservation for the first that does not fit.
    pub fn easy() -> Self {
        Self { patience: Some(0.0), ..Self::first_fit() }
    }

    /// A size in seconds as a number that sorts like it, in steps.
    pub(crate) fn size_key(&self, seconds: f64) -> u64 {
        if !self.shortest_first {
            return 0;
        }
        let micros = (seconds * 1e6).clamp(1.0, 1e18);
        if self.size_steps == 0 { micros as u64 } else { (micros.log2() * f64::from(self.size_steps)) as u64 }
    }
}

/// What the queue knows of the load as a whole. Times are in seconds.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// Predicted time in which the whole machine would work off all that has not ended.
    backlog: f64,
    /// Its recent peak: it shrinks by a quarter of a second each second.
    peak: f64,
    peak_at: Time,
    ended: u32,
    /// Sums over ended attempts: wall time; share of the machine times wall time, as it was and as predicted.
    took: f64,
    was: f64,
    predicted: f64,
}

impl Load {
    /// Takes note of work that came, or of work that ended as a negative amount.
    pub(crate) fn add(&mut self, now: Time, work: f64) {
        self.backlog = (self.backlog + work).max(0.0);
        let faded = self.peak - 0.25 * now.since(self.peak_at).as_secs_f64();
        self.peak = faded.max(self.backlog * self.truth());
        self.peak_at = now;
    }

    /// An attempt ended: how long it took, how long it was predicted to, and its share of the machine.
    pub(crate) fn ended(&mut self, took: f64, predicted: Option<f64>, share: f64) {
        if self.ended >= FADE {
            self.ended /= 2;
            self.took /= 2.0;
            self.was /= 2.0;
            self.predicted /= 2.0;
        }
        self.ended += 1;
        self.took += took;
        if let Some(predicted) = predicted {
            self.was += share * took;
            self.predicted += share * predicted;
        }
    }

    /// By what predictions of work are to be multiplied, never more than 1.
    fn truth(&self) -> f64 {
        if self.ended < 5 || self.predicted <= 0.0 { 1.0 } else { (self.was / self.predicted).min(1.0) }
    }

    /// The mean wall time of an attempt, where any has ended.
    pub(crate) fn mean(&self) -> Option<f64> {
        (self.ended > 0).then(|| self.took / f64::from(self.ended))
    }

    /// How long one may wait before it goes before all others.
    pub(crate) fn bound(&self, guard: Guard, now: Time) -> Span {
        let peak = (self.peak - 0.25 * now.since(self.peak_at).as_secs_f64())
            .max(self.backlog * self.truth())
            .max(0.0);
        let mean = self.mean().unwrap_or(UNKNOWN_SECONDS);
        let bound = guard.least.as_secs_f64() + guard.backlog * peak + guard.means * mean;
        Span::from_secs_f64(bound.clamp(0.0, 1e12))
    }
}

/// What a graph is predicted to need.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Size {
    /// Seconds that it takes at least: its longest task, or all of its work on the whole machine.
    pub(crate) length: f64,
    /// The largest share of the machine that one of its tasks asks for.
    pub(crate) share: f64,
    /// Whether anything was known of it.
    pub(crate) is_known: bool,
    /// Seconds of the whole machine, for a task on the mean.
    pub(crate) work_per_task: f64,
}

impl Size {
    /// Looks at the functions of a graph, at most [`LOOK_MAX`] of them.
    pub(crate) fn of(graph: &Graph, ledger: &Ledger, estimates: &Estimates, mean: Option<f64>) -> Self {
        let functions = graph.functions().len() as u32;
        let unknown = mean.unwrap_or(UNKNOWN_SECONDS);
        let mut size = Self::default();
        let (mut work, mut tasks) = (0.0, 0.0);
        for function in 0..functions.min(LOOK_MAX) {
            let instances = graph.instances(function);
            if instances.is_empty() {
                continue;
            }
            let first = instances.start;
            let (seconds, share) = shortest(graph, first, ledger, estimates);
            size.is_known |= seconds.is_some();
            let seconds = seconds.unwrap_or(unknown);
            size.length = size.length.max(seconds);
            size.share = size.share.max(share);
            let n = f64::from(instances.end - first);
            work += n * seconds * share;
            tasks += n;
        }
        if tasks > 0.0 {
            size.work_per_task = work / tasks;
        }
        size.length = size.length.max(size.work_per_task * f64::from(graph.len()));
        size
    }
}

/// What a task takes on the kind of device where it takes least, with its share of the machine there.
fn shortest(graph: &Graph, task: u32, ledger: &Ledger, estimates: &Estimates) -> (Option<f64>, f64) {
    let mut best: Option<f64> = None;
    let mut share = 0.0;
    for variant in 0..graph.function(task).variants.len() as u8 {
        let request = graph.request(task, variant);
        for node in ledger.nodes() {
            let on_gpu = !matches!(request.gpu, dunnage_model::GpuRequest::None);
            let device = match node.gpus.first() {
                Some(gpu) if on_gpu => gpu.device,
                None if on_gpu => continue,
                _ => DeviceId::host(node.spec.id),
            };
            let seconds = estimates
                .predict(graph, task, variant, node.spec.class(device))
                .duration
                .map(|span| span.as_secs_f64());
            let is_better = match (seconds, best) {
                (Some(seconds), Some(best)) => seconds < best,
                (Some(_), None) => true,
                (None, _) => share == 0.0,
            };
            if is_better {
                best = seconds.or(best);
                share = share_of(request, ledger);
            }
        }
    }
    (best, share)
}

/// The largest of a request's shares of all machines' cores, memory and GPUs.
fn share_of(request: &Request, ledger: &Ledger) -> f64 {
    let (cores, memory, gpus) = ledger.capacity();
    let part = |asked: f64, of: f64| if of > 0.0 { asked / of } else { 0.0 };
    let asked = match &request.gpu {
        dunnage_model::GpuRequest::None => 0.0,
        dunnage_model::GpuRequest::Whole { count, .. } => f64::from(*count),
        dunnage_model::GpuRequest::Part { share, .. } => f64::from(share.0) / 1000.0,
    };
    part(f64::from(request.cpus.0), cores).max(part(request.memory.0 as f64, memory)).max(part(asked, gpus))
}

/// The same of what an attempt holds.
pub(crate) fn share_held(placement: &Placement, ledger: &Ledger) -> f64 {
    let (cores, memory, gpus) = ledger.capacity();
    let part = |held: f64, of: f64| if of > 0.0 { held / of } else { 0.0 };
    let held: f64 = placement.gpus.iter().map(|grant| f64::from(grant.share.0) / 1000.0).sum();
    part(f64::from(placement.cpus.0), cores)
        .max(part(placement.memory.0 as f64, memory))
        .max(part(held, gpus))
}
