//! The configuration: defaults < `/etc/dunnage/config.toml` < the user's file < environment
//! variables `DUNNAGE_*` < flags. Each value knows where it came from.
//!
//! Nothing in here opens a file or reads the environment: [`Sources`] hold texts and pairs that the
//! caller has read, so that every combination can be tested.
//!
//! ```
//! use dunnage_wire::config::{Config, Origin, Sources};
//! let mut sources = Sources::default();
//! sources.env.push(("DUNNAGE_DEVICES".into(), "mock:2x24g".into()));
//! let config = Config::load(&sources).unwrap();
//! assert_eq!(config.devices, "mock:2x24g");
//! assert_eq!(config.origin("devices"), &Origin::Env("DUNNAGE_DEVICES".into()));
//! ```

mod entries;
mod given;
mod keys;
mod load;
mod sources;
mod tables;

pub use entries::Entry;
pub use keys::{KEYS, Key, KeyKind};
pub use sources::{Origin, SourceFile, Sources, config_paths};

use dunnage_model::{Bytes, Links, Problem, Span, Tariff};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The configuration with everything filled in.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// Where the store, values and logs are.
    pub state_dir: PathBuf,
    /// The daemon's socket.
    pub socket: PathBuf,
    /// Which devices are used: `auto`, `host`, `nvml`, `nvml:LIBRARY`, `mock:NAME`.
    pub devices: String,
    /// The strategy of graphs that name none.
    pub strategy: String,
    /// Where `/metrics` is served over TCP, if anywhere.
    pub listen_metrics: Option<SocketAddr>,
    /// Named resources of this machine.
    pub resources: BTreeMap<String, u64>,
    /// Money per second of a whole GPU by a part of its name in lower case, or of one core (`cpu`).
    pub prices: BTreeMap<String, f64>,
    /// Watts at work above idling, by the same names.
    pub watts: BTreeMap<String, f64>,
    /// How fast values move.
    pub links: Links,
    /// GPU memory of other people's processes up to which a GPU counts as free.
    pub ignore_foreign_below: Bytes,
    /// How an attempt is told its GPUs.
    pub gpu_env: GpuEnv,
    /// How long the log of one attempt may grow.
    pub log_max: Bytes,
    /// How long logs of ended tasks are kept.
    pub keep_logs: Span,
    /// How long values of ended graphs are kept.
    pub keep_values: Span,
    /// How long ended graphs are remembered.
    pub keep_history: Span,
    /// Kernel worker processes for the CPU; one per core where not given.
    pub workers: Option<u32>,
    /// Memory file system that small kernel outputs may take.
    pub values_tmpfs: Bytes,
    /// Tasks that one graph may have.
    pub functions_max: u32,
    /// Bytes that the document of one graph may have.
    pub graph_bytes_max: Bytes,
    /// How often devices are sampled.
    pub sample_interval: Span,
    /// How long a device may take to answer before it counts as unknown.
    pub probe_timeout: Span,
    /// What is odd but stops nothing: unknown `DUNNAGE_*` variables that look like a key.
    pub warnings: Vec<Problem>,
    origins: BTreeMap<String, Origin>,
}

/// How an attempt is told its GPUs in `CUDA_VISIBLE_DEVICES`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum GpuEnv {
    /// By UUID, which stays right whatever else is on the machine.
    #[default]
    Uuid,
    /// By index, for programs that expect numbers.
    Index,
}

impl GpuEnv {
    /// The words of the configuration.
    pub const WORDS: [&'static str; 2] = ["uuid", "index"];

    /// The word of the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Uuid => "uuid",
            Self::Index => "index",
        }
    }
}

impl Config {
    /// What using this machine costs.
    pub fn tariff(&self) -> Tariff {
        Tariff { prices: self.prices.clone(), watts: self.watts.clone(), links: self.links }
    }

    /// Where the value of a key came from; of a table each name for itself: `resources.NAME`.
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }
}
