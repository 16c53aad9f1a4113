//! The command line, as typed.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// The command line.
#[derive(Parser, Debug)]
#[command(
    name = "dunnage",
    version,
    about = "Packs graphs of functions onto the CPUs and GPUs of this machine",
    after_help = "Examples:\n  dunnage run examples/gp-regression/graph.toml\n  dunnage run -G 1 --gpu-memory 20G -- python train.py\n  dunnage daemon &\n  dunnage submit graph.toml && dunnage queue\n\nExit codes: 0 done, 1 the work failed or was cancelled, 2 bad usage or invalid graph, 3 daemon\nunreachable, 4 refused (this machine can never run it), 130 interrupted.",
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Flags of every command.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Common {
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The daemon's socket
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Where the store, values and logs are; made if it does not exist
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// A configuration file instead of the user's own
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// auto, host, nvml, nvml:LIBRARY.so, mock:NAME, mock:NAMExN or mock:FILE.toml
    #[arg(long, global = true, value_name = "DEVICES")]
    pub(crate) devices: Option<String>,
    /// Say more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Colours
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub(crate) color: Colour,
}

/// When to use colours.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Colour {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub(crate) enum Verb {
    /// Run a graph, or one command, and wait for its end
    #[command(
        after_help = "Examples:\n  dunnage run graph.toml\n  dunnage run graph.toml --trace trace.json\n  dunnage run graph.toml --devices mock:2x24g\n  dunnage run -c 4 --mem 8G -- make -j4\n  dunnage run --resume 3\n\nA reachable daemon is used unless --local, --devices or --state-dir is given. A command's output and exit\ncode are passed on; its standard input is empty."
    )]
    Run(RunArgs),
    /// Run the daemon in the foreground, or stop it
    #[command(
        after_help = "Examples:\n  dunnage daemon\n  dunnage daemon --metrics 127.0.0.1:9400\n  dunnage daemon stop          # running tasks go on, and are found again by the next daemon\n  dunnage daemon stop --kill   # ends the tasks first"
    )]
    Daemon(DaemonArgs),
    /// Hand a graph, a command or a script to the daemon
    #[command(
        after_help = "Examples:\n  dunnage submit graph.toml\n  dunnage submit -J train -G 1 --gpu-memory 20G -t 2:00:00 -- python train.py\n  dunnage submit --wait job.sh"
    )]
    Submit(SubmitArgs),
    /// List graphs
    #[command(after_help = "Example:\n  dunnage queue --json")]
    Queue {
        /// Predict when each graph starts and ends
        #[arg(long)]
        start: bool,
    },
    /// Show a graph and its functions
    #[command(after_help = "Example:\n  dunnage status 3 --all")]
    Status {
        /// The graph's id
        id: String,
        /// Every function, not families
        #[arg(long)]
        all: bool,
        /// Draw what ran where and when
        #[arg(long)]
        gantt: bool,
        /// Write a Chrome/Perfetto trace to this file
        #[arg(long, value_name = "FILE")]
        trace: Option<PathBuf>,
    },
    /// Wait for the end of a graph
    #[command(after_help = "Example:\n  dunnage wait 3 && echo done")]
    Wait {
        /// The graph's id
        id: String,
    },
    /// Print what tasks wrote
    #[command(after_help = "Examples:\n  dunnage logs 3\n  dunnage logs 3/train-0.1 -f")]
    Logs {
        /// ID or ID/FUNCTION
        target: String,
        /// Go on as it grows
        #[arg(short, long)]
        follow: bool,
        /// Which attempt; the last where not given
        #[arg(long, value_name = "N")]
        attempt: Option<u32>,
    },
    /// End a graph or one of its functions
    #[command(after_help = "Examples:\n  dunnage cancel 3\n  dunnage cancel 3/train-0.1")]
    Cancel {
        /// ID or ID/FUNCTION
        target: String,
    },
    /// Keep a graph back: nothing of it starts
    Hold {
        /// The graph's id
        id: String,
    },
    /// Let a held graph go
    Release {
        /// The graph's id
        id: String,
    },
    /// Run again what failed or was cancelled
    #[command(after_help = "Examples:\n  dunnage retry 3\n  dunnage retry 3/train-0.1")]
    Retry {
        /// ID or ID/FUNCTION
        target: String,
    },
    /// Say why a task waits, where it was placed and what else was possible
    #[command(after_help = "Example:\n  dunnage explain 3/train-0.1")]
    Explain {
        /// ID/FUNCTION
        target: String,
    },
    /// Show where and when each function of a graph would run, without running it
    #[command(
        after_help = "Examples:\n  dunnage plan graph.toml\n  dunnage plan graph.toml --html plan.html            # graph, Gantt chart, memory over time\n  dunnage plan graph.toml --devices mock:8xh100 --strategy heft\n  dunnage plan graph.toml --strategies all            # which strategy suits it"
    )]
    Plan(PlanArgs),
    /// Show the machine, or take a GPU out of service
    #[command(
        after_help = "Examples:\n  dunnage devices\n  dunnage devices --devices mock:8xh100\n  dunnage devices drain gpu1"
    )]
    Devices {
        #[command(subcommand)]
        change: Option<DeviceChange>,
        /// Look in this process, whatever daemon runs
        #[arg(long)]
        local: bool,
    },
    /// Run strategies over public data sets, in virtual time, and compare them
    #[command(
        after_help = "Examples:\n  dunnage bench plan --format stg --processors 4 --instance rand*.stg --strategies all\n  dunnage bench plan --format psplib --instance j30*.sm --strategies heft,time-optimised --budget-ms 10\n  dunnage bench plan --format hetero-json --instance layered.json.gz --mean-comm saga --html report.html\n  dunnage bench plan --format dunnage --devices mock:8xh100 --instance graph.toml --strategies all\n\nSee docs/bench.md for formats and definitions."
    )]
    Bench {
        #[command(subcommand)]
        what: super::bench::BenchVerb,
    },
    /// Check what works on this machine
    Doctor,
    /// Print the JSON Schema of graph files
    Schema,
    /// Show the configuration
    Config {
        #[command(subcommand)]
        what: ConfigVerb,
    },
    /// Print shell completions
    #[command(
        after_help = "Example:\n  dunnage completions bash > ~/.local/share/bash-completion/completions/dunnage"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// What to do with a device.
#[derive(Subcommand, Debug)]
pub(crate) enum DeviceChange {
    /// Place nothing new on a GPU; what runs there goes on
    Drain {
        /// gpu0, its UUID or its index
        id: String,
    },
    /// Use a drained GPU again
    Resume {
        /// gpu0, its UUID or its index
        id: String,
    },
}

/// What to do with the configuration.
#[derive(Subcommand, Debug)]
pub(crate) enum ConfigVerb {
    /// Every value and where it comes from
    Show,
}

/// What is asked for a command.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Request {
    /// A name
    #[arg(short = 'J', long = "job-name", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Cores, fractions allowed
    #[arg(short = 'c', long = "cpus-per-task", visible_alias = "cpus", value_name = "N")]
    pub(crate) cpus: Option<String>,
    /// RAM, a hard limit: 8G (a bare number is MiB)
    #[arg(long, value_name = "SIZE")]
    pub(crate) mem: Option<String>,
    /// Whole GPUs
    #[arg(short = 'G', long, value_name = "N")]
    pub(crate) gpus: Option<String>,
    /// gpu:N or gpu:MODEL:N
    #[arg(long, value_name = "LIST")]
    pub(crate) gres: Option<String>,
    /// Memory on each GPU; alone, the GPU is shared
    #[arg(long, value_name = "SIZE")]
    pub(crate) gpu_memory: Option<String>,
    /// A share of one GPU, 0 to 1
    #[arg(long, value_name = "SHARE")]
    pub(crate) gpu_share: Option<String>,
    /// Time limit: minutes, M:S, H:M:S, D-H, D-H:M:S, or 90s, 2h
    #[arg(short = 't', long, value_name = "TIME")]
    pub(crate) time: Option<String>,
    /// Working directory
    #[arg(short = 'D', long, value_name = "DIR")]
    pub(crate) chdir: Option<PathBuf>,
    /// NAME=VALUE for its environment; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// Start with an empty environment (PATH and HOME stay)
    #[arg(long)]
    pub(crate) clean_env: bool,
    /// Its place in the queue: higher goes first
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) priority: Option<i32>,
    /// The strategy that places it
    #[arg(long, value_name = "NAME")]
    pub(crate) strategy: Option<String>,
}

/// `plan`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PlanArgs {
    /// The graph file
    pub(crate) graph: PathBuf,
    /// Another strategy than the graph's
    #[arg(long)]
    pub(crate) strategy: Option<String>,
    /// Compare these strategies, or `all`; `random` is always shown beside them
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) strategies: Vec<String>,
    /// Write a page with the graph, Gantt chart, memory and cores over time to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Write a drawing of the graph alone to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Plan in this process: what is always done
    #[arg(long)]
    pub(crate) local: bool,
}

/// `run`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RunArgs {
    /// The graph file
    #[arg(value_name = "GRAPH")]
    pub(crate) graph: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) request: Request,
    /// Do not use a daemon
    #[arg(long)]
    pub(crate) local: bool,
    /// Write a Chrome/Perfetto trace to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Go on with an earlier local run
    #[arg(long, value_name = "ID", conflicts_with_all = ["graph", "command"])]
    pub(crate) resume: Option<u64>,
    /// A command instead of a graph
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<String>,
}

/// `submit`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SubmitArgs {
    /// The graph file, or a script
    #[arg(value_name = "GRAPH|SCRIPT")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) request: Request,
    /// Print the id alone
    #[arg(long)]
    pub(crate) parsable: bool,
    /// Wait for its end, and exit as it did
    #[arg(short = 'W', long)]
    pub(crate) wait: bool,
    /// Keep it back until `release`
    #[arg(short = 'H', long)]
    pub(crate) hold: bool,
    /// A command instead of a graph
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<String>,
}

/// `daemon`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DaemonArgs {
    #[command(subcommand)]
    pub(crate) verb: Option<DaemonVerb>,
    /// Serve /metrics, /healthz and /readyz at this address
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics: Option<String>,
}

/// What to do with a daemon.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum DaemonVerb {
    /// Stop the daemon; running tasks go on
    Stop {
        /// End the tasks first
        #[arg(long)]
        kill: bool,
    },
}
