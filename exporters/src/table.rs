//! Every metric that there is: name, type, unit, labels, collector, help.
//!
//! This is the only place that spells a metric's name. The collectors, both the page and its
//! documentation, and the lint of names all work from here. An entry knows how many labels it has, so
//! that a sample with too few or too many values does not compile.

/// The most characters of a label's value; what is longer is cut.
pub const LABEL_CHARS_MAX: usize = 200;

/// The most pairs of a running task and a GPU that have series. The scheduler runs at most 1,024
/// attempts at once; this is that many on eight GPUs each.
pub const TASK_SERIES_MAX: usize = 8 * 1024;

/// How a metric behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It only grows, except when what counts begins anew.
    Counter,
    /// It goes up and down.
    Gauge,
    /// A gauge that is always 1 and whose labels tell what something is.
    Info,
    /// A gauge for each of several states, 1 for the one that holds and 0 for the others.
    StateSet,
}

/// What a value is counted in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Things.
    None,
    /// Memory.
    Bytes,
    /// Time.
    Seconds,
    /// Energy.
    Joules,
    /// Power.
    Watts,
    /// Temperature.
    Celsius,
    /// A part of a whole, 0 to 1.
    Ratio,
    /// CPU cores, with fractions.
    Cores,
}

/// Who gathers a metric.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum CollectorName {
    /// What program this is.
    Build,
    /// The machines.
    Node,
    /// The GPUs.
    Gpu,
    /// Running tasks on their GPUs.
    Task,
    /// What waits and what runs.
    Queue,
    /// What the scheduler has done.
    Scheduler,
    /// How well predictions come true.
    Estimates,
    /// The daemon's own process.
    Process,
    /// How the collectors themselves do.
    Collector,
}

/// A metric as data.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Its name, with prefix and suffixes.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What it is counted in.
    pub unit: Unit,
    /// The names of its labels, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// Who gathers it.
    pub collector: CollectorName,
    /// One sentence for the page and the documentation.
    pub help: &'static str,
}

/// A metric with `N` labels: what a collector gives samples to.
#[derive(Debug)]
pub(crate) struct Metric<const N: usize> {
    /// The same as data.
    pub(crate) spec: Spec,
}

/// Makes one `static` an entry and [`TABLE`] of all of them, so that none can be left out.
macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $id:ident = $kind:ident($name:literal, $unit:ident, [$($label:literal),*], $collector:ident);)+) => {
        $(
            $(#[doc = $help])+
            pub(crate) static $id: Metric<{ let labels: &[&str] = &[$($label),*]; labels.len() }> = Metric {
                spec: Spec {
                    name: $name,
                    kind: Kind::$kind,
                    unit: Unit::$unit,
                    labels: &[$($label),*],
                    collector: CollectorName::$collector,
                    help: concat!($($help),+),
                },
            };
        )+

        /// Every metric, in the order of the page.
        pub static TABLE: &[&Spec] = &[$(&$id.spec),+];
    };
}

metrics! {
    /// What program answers; always 1.
    BUILD_INFO = Info("dunnage_build_info", None, ["version"], Build);

    /// What a node's cores are; always 1.
    NODE_INFO = Info("dunnage_node_info", None, ["node", "cpu_model", "numa_nodes"], Node);
    /// Whether a node is in contact.
    NODE_UP = Gauge("dunnage_node_up", None, ["node"], Node);
    /// Cores that may be handed out to tasks.
    NODE_CPU_CORES = Gauge("dunnage_node_cpu_cores", Cores, ["node"], Node);
    /// Cores that the ledger has given to tasks.
    NODE_CPU_ALLOCATED = Gauge("dunnage_node_cpu_allocated_cores", Cores, ["node"], Node);
    /// Share of the time in which the node's cores were busy, whoever used them.
    NODE_CPU_BUSY = Gauge("dunnage_node_cpu_busy_ratio", Ratio, ["node"], Node);
    /// RAM that may be handed out to tasks.
    NODE_MEMORY_TOTAL = Gauge("dunnage_node_memory_total_bytes", Bytes, ["node"], Node);
    /// RAM that the ledger has given to tasks.
    NODE_MEMORY_ALLOCATED = Gauge("dunnage_node_memory_allocated_bytes", Bytes, ["node"], Node);
    /// RAM that is not available, whoever uses it.
    NODE_MEMORY_USED = Gauge("dunnage_node_memory_used_bytes", Bytes, ["node"], Node);
    /// RAM that processes use which are not ours.
    NODE_MEMORY_UNACCOUNTED = Gauge("dunnage_node_memory_unaccounted_bytes", Bytes, ["node"], Node);

    /// What a GPU or MIG instance is; always 1.
    GPU_INFO = Info("dunnage_gpu_info", None,
        ["gpu_uuid", "node", "index", "name", "pci_bus_id", "compute_capability", "numa_node", "mig_parent"], Gpu);
    /// How a GPU is: 1 for the state it is in. Only `ok` takes new work.
    GPU_HEALTH = StateSet("dunnage_gpu_health", None, ["gpu_uuid", "state"], Gpu);
    /// All of a GPU's memory.
    GPU_MEMORY_TOTAL = Gauge("dunnage_gpu_memory_total_bytes", Bytes, ["gpu_uuid"], Gpu);
    /// GPU memory in use, whoever uses it, as the driver tells.
    GPU_MEMORY_USED = Gauge("dunnage_gpu_memory_used_bytes", Bytes, ["gpu_uuid"], Gpu);
    /// GPU memory that the ledger has given to tasks.
    GPU_MEMORY_ALLOCATED = Gauge("dunnage_gpu_memory_allocated_bytes", Bytes, ["gpu_uuid"], Gpu);
    /// GPU memory used by processes that are not tasks of this daemon.
    GPU_MEMORY_UNACCOUNTED = Gauge("dunnage_gpu_memory_unaccounted_bytes", Bytes, ["gpu_uuid"], Gpu);
    /// How many whole-GPU slots a GPU offers: 1, or 0 where it is cut into MIG instances.
    GPU_SLOTS = Gauge("dunnage_gpu_slots", None, ["gpu_uuid"], Gpu);
    /// How much of a GPU's slot the ledger has given to tasks; shared GPUs give fractions.
    GPU_SLOTS_ALLOCATED = Gauge("dunnage_gpu_slots_allocated", None, ["gpu_uuid"], Gpu);
    /// How many running tasks hold something of a GPU.
    GPU_TASKS = Gauge("dunnage_gpu_tasks", None, ["gpu_uuid"], Gpu);
    /// Share of the time in which any kernel ran. It does not tell how much of the GPU was busy.
    GPU_KERNEL_ACTIVE = Gauge("dunnage_gpu_kernel_active_ratio", Ratio, ["gpu_uuid"], Gpu);
    /// Share of the time in which the memory controller was busy.
    GPU_MEMORY_ACTIVE = Gauge("dunnage_gpu_memory_controller_active_ratio", Ratio, ["gpu_uuid"], Gpu);
    /// Energy used since the driver was loaded.
    GPU_ENERGY = Counter("dunnage_gpu_energy_joules_total", Joules, ["gpu_uuid"], Gpu);
    /// Power drawn at the last sample.
    GPU_POWER = Gauge("dunnage_gpu_power_watts", Watts, ["gpu_uuid"], Gpu);
    /// Temperature at the last sample.
    GPU_TEMPERATURE = Gauge("dunnage_gpu_temperature_celsius", Celsius, ["gpu_uuid"], Gpu);
    /// How old the GPU's last sample is; its readings on this page are of that age.
    GPU_SAMPLE_AGE = Gauge("dunnage_gpu_sample_age_seconds", Seconds, ["gpu_uuid"], Gpu);

    /// What a running task on a GPU is; always 1. Join other task series with it.
    TASK_GPU_INFO = Info("dunnage_task_gpu_info", None,
        ["task", "gpu_uuid", "graph", "function", "family", "attempt", "strategy", "basis"], Task);
    /// GPU memory that the ledger has given to a running task.
    TASK_GPU_MEMORY_ALLOCATED = Gauge("dunnage_task_gpu_memory_allocated_bytes", Bytes, ["task", "gpu_uuid"], Task);
    /// GPU memory that a running task's processes use, as the driver tells.
    TASK_GPU_MEMORY_USED = Gauge("dunnage_task_gpu_memory_used_bytes", Bytes, ["task", "gpu_uuid"], Task);

    /// How many tasks are not ended, by state. `held` are those of held graphs.
    QUEUE_DEPTH = Gauge("dunnage_queue_depth", None, ["state"], Queue);
    /// How many graphs are known, by state, until they are put away.
    GRAPHS = Gauge("dunnage_graphs", None, ["state"], Queue);

    /// Events that the scheduler has handled.
    EVENTS = Counter("dunnage_events_total", None, [], Scheduler);
    /// Attempts that were given devices.
    PLACEMENTS = Counter("dunnage_placements_total", None, ["strategy"], Scheduler);
    /// Tasks that came to an end, by how.
    TASKS = Counter("dunnage_tasks_total", None, ["outcome"], Scheduler);
    /// Attempts that failed, by cause.
    ATTEMPT_FAILURES = Counter("dunnage_attempt_failures_total", None, ["cause"], Scheduler);
    /// Attempts that followed a failed one, by its cause.
    RETRIES = Counter("dunnage_retries_total", None, ["cause"], Scheduler);
    /// Results of attempts that were no longer current, and were set aside.
    LATE_RESULTS = Counter("dunnage_late_results_total", None, [], Scheduler);
    /// Plans that came after their graph had changed, and were dropped.
    STALE_PLANS = Counter("dunnage_stale_plans_total", None, [], Scheduler);
    /// Placements that a strategy proposed and the ledger refused.
    REFUSED_PROPOSALS = Counter("dunnage_refused_proposals_total", None, [], Scheduler);
    /// Graphs set aside because of an impossible state. Any is a bug worth reporting.
    QUARANTINED_GRAPHS = Counter("dunnage_quarantined_graphs_total", None, [], Scheduler);
    /// How old the snapshot is from which this page was made.
    SNAPSHOT_AGE = Gauge("dunnage_snapshot_age_seconds", Seconds, [], Scheduler);

    /// Attempts that succeeded and had been predicted, by what the prediction rested on.
    PREDICTIONS = Counter("dunnage_predictions_total", None, ["basis"], Estimates);
    /// Those of them that took within a fifth of what was predicted.
    PREDICTIONS_NEAR = Counter("dunnage_predictions_near_total", None, ["basis"], Estimates);
    /// Median distance of actual / predicted from 1 over the latest 256 of them; absent before the first.
    PREDICTION_ERROR = Gauge("dunnage_prediction_error_ratio", Ratio, ["basis"], Estimates);
    /// Signatures (function, class of device, size of input) of which earlier runs are remembered.
    ESTIMATE_SIGNATURES = Gauge("dunnage_estimate_signatures", None, [], Estimates);
    /// Attempts placed where nothing was known yet, to learn.
    EXPLORATIONS = Counter("dunnage_explorations_total", None, [], Estimates);
    /// How often the times of a signature were found to have changed for good.
    ESTIMATE_DRIFTS = Counter("dunnage_estimate_drifts_total", None, [], Estimates);
    /// Attempts that used more RAM than was reserved by what earlier runs used.
    MEMORY_UNDERESTIMATES = Counter("dunnage_memory_underestimates_total", None, [], Estimates);
    /// Measured times that were zero or absurdly long, and were not learned from.
    REFUSED_SAMPLES = Counter("dunnage_refused_samples_total", None, [], Estimates);

    /// CPU time that the daemon has used, user and system.
    PROCESS_CPU = Counter("process_cpu_seconds_total", Seconds, [], Process);
    /// RAM that the daemon holds.
    PROCESS_MEMORY = Gauge("process_resident_memory_bytes", Bytes, [], Process);
    /// File descriptors that the daemon has open.
    PROCESS_FDS = Gauge("process_open_fds", None, [], Process);
    /// When the daemon began, in seconds since 1970.
    PROCESS_START = Gauge("process_start_time_seconds", Seconds, [], Process);

    /// How long a collector took for this page.
    COLLECTOR_DURATION = Gauge("dunnage_collector_duration_seconds", Seconds, ["collector"], Collector);
    /// Whether a collector gave all it should for this page.
    COLLECTOR_SUCCESS = Gauge("dunnage_collector_success", None, ["collector"], Collector);
    /// Pages on which a collector did not give all it should.
    COLLECTOR_ERRORS = Counter("dunnage_collector_errors_total", None, ["collector"], Collector);
}

impl Kind {
    /// The word of the text format, which knows only counters and gauges here.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge | Self::Info | Self::StateSet => "gauge",
        }
    }
}

impl Unit {
    /// The word that a name carries; none for plain counts.
    pub const fn word(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Bytes => Some("bytes"),
            Self::Seconds => Some("seconds"),
            Self::Joules => Some("joules"),
            Self::Watts => Some("watts"),
            Self::Celsius => Some("celsius"),
            Self::Ratio => Some("ratio"),
            Self::Cores => Some("cores"),
        }
    }
}

impl CollectorName {
    /// Every collector, in the order of the page.
    pub const ALL: [Self; 9] = [
        Self::Build,
        Self::Node,
        Self::Gpu,
        Self::Task,
        Self::Queue,
        Self::Scheduler,
        Self::Estimates,
        Self::Process,
        Self::Collector,
    ];

    /// The value of the label `collector`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Node => "node",
            Self::Gpu => "gpu",
            Self::Task => "task",
            Self::Queue => "queue",
            Self::Scheduler => "scheduler",
            Self::Estimates => "estimates",
            Self::Process => "process",
            Self::Collector => "collector",
        }
    }
}
