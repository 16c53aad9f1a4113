//! The keys of the configuration: one table for files, environment, flags and documentation.

/// A key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// Its name in files; in the environment `DUNNAGE_` and the same in capitals, as a flag `--` and
    /// the same with dashes.
    pub name: &'static str,
    /// What it takes.
    pub kind: KeyKind,
    /// What it means, for `config show` and the manual.
    pub about: &'static str,
}

/// What a key takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyKind {
    /// A path.
    Path,
    /// Text.
    Text,
    /// One of some words.
    Word(&'static [&'static str]),
    /// `HOST:PORT`, or nothing.
    Address,
    /// A size with its unit.
    Size,
    /// A time with its unit, more than nothing.
    Time,
    /// A whole number of at least 1.
    Count,
    /// Named whole numbers.
    Resources,
    /// Numbers by a part of a GPU's name, or `cpu`.
    Rates,
    /// Bandwidths with their unit, and a latency.
    Links,
}

impl KeyKind {
    /// Whether sources are merged name by name, each name with an origin of its own.
    pub const fn is_table(self) -> bool {
        matches!(self, Self::Resources | Self::Rates | Self::Links)
    }
}

/// Every key, in the order in which they are shown.
pub const KEYS: &[Key] = &[
    Key { name: "state_dir", kind: KeyKind::Path, about: "where the store, values and logs are" },
    Key { name: "socket", kind: KeyKind::Path, about: "the daemon's socket" },
    Key {
        name: "devices",
        kind: KeyKind::Text,
        about: "auto, host, nvml, nvml:LIBRARY.so, mock:NAME or mock:FILE.toml",
    },
    Key { name: "strategy", kind: KeyKind::Text, about: "the strategy of graphs that name none" },
    Key { name: "listen_metrics", kind: KeyKind::Address, about: "where /metrics is served over TCP" },
    Key { name: "resources", kind: KeyKind::Resources, about: "named resources: { licence = 3 }" },
    Key {
        name: "prices",
        kind: KeyKind::Rates,
        about: "money per second of a whole GPU, by a part of its name, or of one core: { cpu = 0.00001, h100 = 0.0008 }",
    },
    Key {
        name: "watts",
        kind: KeyKind::Rates,
        about: "what a whole GPU, or one core, draws at work above idling: { cpu = 5, h100 = 600 }",
    },
    Key {
        name: "links",
        kind: KeyKind::Links,
        about: "how fast values move: { host_gpu = \"25GiB/s\", gpu_gpu = \"300GiB/s\", node_node = \"1GiB/s\", latency = \"10us\" }",
    },
    Key {
        name: "ignore_foreign_below",
        kind: KeyKind::Size,
        about: "GPU memory of other processes up to which a GPU counts as free",
    },
    Key {
        name: "gpu_env",
        kind: KeyKind::Word(&super::GpuEnv::WORDS),
        about: "whether CUDA_VISIBLE_DEVICES holds UUIDs or indices",
    },
    Key { name: "log_max", kind: KeyKind::Size, about: "how long the log of one attempt may grow" },
    Key { name: "keep_logs", kind: KeyKind::Time, about: "how long logs of ended tasks are kept" },
    Key { name: "keep_values", kind: KeyKind::Time, about: "how long values of ended graphs are kept" },
    Key { name: "keep_history", kind: KeyKind::Time, about: "how long ended graphs are remembered" },
    Key { name: "workers", kind: KeyKind::Count, about: "kernel workers for the CPU; default one per core" },
    Key { name: "values_tmpfs", kind: KeyKind::Size, about: "memory that small kernel outputs may take" },
    Key { name: "functions_max", kind: KeyKind::Count, about: "tasks that one graph may have" },
    Key {
        name: "graph_bytes_max",
        kind: KeyKind::Size,
        about: "bytes that the document of a graph may have",
    },
    Key { name: "sample_interval", kind: KeyKind::Time, about: "how often devices are sampled" },
    Key {
        name: "probe_timeout",
        kind: KeyKind::Time,
        about: "how long a device may take to answer before it counts as unknown",
    },
];

impl Key {
    /// The key of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// Its environment variable.
    pub fn variable(&self) -> String {
        format!("DUNNAGE_{}", self.name.to_ascii_uppercase())
    }
}
