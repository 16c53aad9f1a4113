//! A graph as its author wrote it: units read, defaults filled in, nothing checked across functions.

use crate::{Bytes, Cost, DeviceKind, Span, Weights};
use std::collections::BTreeMap;

/// A graph as given.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct GraphSpec {
    /// Its name; the file's name where none is given.
    pub name: Option<String>,
    /// Name of the strategy; `auto` where none is given.
    pub strategy: Option<String>,
    /// In what order ready functions run.
    pub order: Order,
    /// How many failures it bears.
    pub tolerance: Tolerance,
    /// What to do when it fails.
    pub on_failure: Option<OnFailure>,
    /// How long it may take in all.
    pub timeout: Option<Span>,
    /// Its place in the queue: higher goes first.
    pub priority: i32,
    /// What is weighed against what; time alone where nothing is said.
    pub weights: Option<Weights>,
    /// Values to keep besides those that nobody reads: `id.index`.
    pub keep: Vec<String>,
    /// The user's files by name, relative to the graph file.
    pub inputs: BTreeMap<String, String>,
    /// Its functions.
    pub functions: Vec<FunctionSpec>,
}

/// A function as given: one of the graph, or a family of them where it has a `foreach`.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct FunctionSpec {
    /// Its id, with placeholders where it has a `foreach`.
    pub id: String,
    /// The family's name, where the default will not do.
    pub family: Option<String>,
    /// The axes of its sweep, in the order of their names.
    pub foreach: Vec<Axis>,
    /// At most this many instances at once.
    pub max_parallel: Option<u32>,
    /// The values it reads.
    pub args: Vec<ArgSpec>,
    /// What must have succeeded before: ids, or `family[*]`.
    pub after: Vec<String>,
    /// What it runs.
    pub code: Code,
    /// Words appended to the command.
    pub extra_args: Vec<String>,
    /// What it makes.
    pub outputs: Vec<OutputSpec>,
    /// Variables of its environment besides the submitter's.
    pub env: Vec<(String, String)>,
    /// Its working directory, relative to the graph file.
    pub dir: Option<String>,
    /// What it needs.
    pub cost: Cost,
    /// Other ways to run it, the first that will do; empty means the cost alone decides.
    pub variants: Vec<VariantSpec>,
    /// When it is started again.
    pub retry: Option<Retry>,
    /// How long an attempt may take.
    pub timeout: Option<Span>,
    /// The signal that asks it to end, as a number; SIGTERM where none is given.
    pub signal: Option<i32>,
    /// How long it has after that signal.
    pub grace: Option<Span>,
    /// The node it must run on.
    pub node: Option<String>,
    /// The command that undoes it.
    pub compensate: Vec<String>,
}

/// One axis of a sweep: a name and the values it takes, as text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Axis {
    /// The name, used as a placeholder.
    pub name: String,
    /// The values in order.
    pub values: Vec<String>,
}

/// A value that a function reads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArgSpec {
    /// The producer's id, or `family[*]` for all of a family.
    pub producer: String,
    /// Which of its outputs.
    pub index: u16,
    /// Of a family: only those that succeeded.
    pub succeeded: bool,
}

/// What a function runs.
#[derive(Clone, PartialEq, Debug)]
pub enum Code {
    /// A program with its words.
    Command(Vec<String>),
    /// A built-in function with its parameters.
    Kernel {
        /// Its name.
        name: String,
        /// Its parameters.
        params: Vec<(String, Literal)>,
    },
    /// A Python function.
    Python {
        /// `module:function`.
        call: String,
        /// Whether it may simply be run again.
        pure: bool,
    },
}

/// A parameter of a kernel: what JSON can say.
#[derive(Clone, PartialEq, Debug)]
pub enum Literal {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text, in which placeholders are replaced.
    Text(String),
    /// A list.
    List(Vec<Literal>),
    /// Named values.
    Table(Vec<(String, Literal)>),
}

/// An output of a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutputSpec {
    /// What it is.
    pub kind: OutputKind,
    /// How large it is, where that is known before.
    pub size: Option<Bytes>,
}

/// What an output is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum OutputKind {
    /// Bytes.
    File,
    /// A directory.
    Dir,
    /// An array in numpy's format.
    Npy,
    /// A JSON document.
    Json,
}

/// A way to run a function.
#[derive(Clone, PartialEq, Debug)]
pub struct VariantSpec {
    /// On cores or on a GPU; told from the cost where not given.
    pub device: Option<DeviceKind>,
    /// What it needs there, besides the function's own cost.
    pub cost: Cost,
}

/// In what order ready functions run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Order {
    /// One after another, as written.
    Sequential,
    /// All that are ready, as written.
    Parallel,
    /// Items of a sweep stream through the stages: what is furthest goes first.
    Pipeline,
    /// By the plan.
    #[default]
    Dag,
    /// By what is really free.
    ResourceAware,
}

/// How many failures a graph bears.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub enum Tolerance {
    /// None: after the first, nothing new starts.
    #[default]
    Strict,
    /// Any: all that can run runs.
    Tolerant,
    /// Up to this many, then as strict.
    MaxFailures(u32),
    /// At least this share of all functions must succeed, judged at the end.
    MinSuccess(f64),
}

/// What to do when a graph fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnFailure {
    /// Undo what succeeded, last first.
    Compensate,
    /// Leave everything as it is.
    Keep,
}

/// When a function is started again.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Retry {
    /// How many further starts.
    pub max: u32,
    /// How waiting grows.
    pub backoff: Backoff,
    /// The first wait.
    pub base: Span,
    /// The longest wait.
    pub cap: Span,
    /// Whether the wait is drawn between half of it and all of it, so that many do not come back at once.
    pub jitter: bool,
    /// Out of memory has a budget of its own.
    pub oom: OomRetry,
}

/// How waiting between attempts grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backoff {
    /// It doubles.
    Exponential,
    /// It stays the same.
    Fixed,
}

/// What to do after an attempt ran out of memory.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct OomRetry {
    /// How many further starts.
    pub max: u32,
    /// By how much reservation and limit grow each time.
    pub factor: f64,
}

impl Default for Code {
    fn default() -> Self {
        Self::Command(Vec::new())
    }
}

/// What holds where the `retry` table is given without these keys.
impl Default for Retry {
    fn default() -> Self {
        Self {
            max: 2,
            backoff: Backoff::Exponential,
            base: Span::secs(1),
            cap: Span::secs(60),
            jitter: true,
            oom: OomRetry { max: 3, factor: 2.0 },
        }
    }
}

impl Order {
    /// The words of the graph file.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("sequential", Self::Sequential),
        ("parallel", Self::Parallel),
        ("pipeline", Self::Pipeline),
        ("dag", Self::Dag),
        ("resource-aware", Self::ResourceAware),
    ];
}

impl OutputKind {
    /// The words of the graph file.
    pub const NAMES: [(&'static str, Self); 4] =
        [("file", Self::File), ("dir", Self::Dir), ("npy", Self::Npy), ("json", Self::Json)];

    /// The word of the graph file.
    pub const fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Dir => "dir",
            Self::Npy => "npy",
            Self::Json => "json",
        }
    }
}
