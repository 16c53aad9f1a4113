//! What a kernel is: its description, its cost and its body.

use crate::call::Call;
use crate::error::KernelError;
use crate::params::Params;

/// One built-in function. Implementations are unit structs in a static registry.
pub trait Kernel: Sync {
    /// Name, arguments, outputs and parameters.
    fn info(&self) -> &'static KernelInfo;

    /// What a call takes, from the shapes of its arguments; none where shapes do not tell.
    fn cost(&self, args: &[ArgShape], params: &Params<'_>) -> Option<Work>;

    /// Carries a call out. The number of arguments and outputs and the parameters' types have
    /// been checked; shapes and contents have not.
    fn run(&self, call: &mut Call<'_>) -> Result<(), KernelError>;
}

/// The description of a kernel, from which calls are checked and the documentation is made.
#[derive(Debug)]
pub struct KernelInfo {
    /// The name in graphs.
    pub name: &'static str,
    /// One line that says what it computes.
    pub summary: &'static str,
    /// How many arguments it takes; a family counts as one here.
    pub arity: Arity,
    /// The arguments in words, for the documentation.
    pub args: &'static str,
    /// Whether `family[*]` may stand for an argument.
    pub families: bool,
    /// What it writes, in order.
    pub outputs: &'static [OutputInfo],
    /// Its parameters.
    pub params: &'static [ParamInfo],
}

/// Bounds of a number of arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arity {
    /// At least so many.
    pub min: usize,
    /// At most so many; none for no bound.
    pub max: Option<usize>,
}

impl Arity {
    /// Exactly `n`.
    pub const fn exactly(n: usize) -> Self {
        Self { min: n, max: Some(n) }
    }

    /// From `min` to `max`.
    pub const fn between(min: usize, max: usize) -> Self {
        Self { min, max: Some(max) }
    }

    /// `min` or more.
    pub const fn at_least(min: usize) -> Self {
        Self { min, max: None }
    }

    /// Whether `n` is within.
    pub fn allows(self, n: usize) -> bool {
        n >= self.min && self.max.is_none_or(|max| n <= max)
    }
}

impl std::fmt::Display for Arity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.max {
            Some(max) if max == self.min => write!(f, "{max}"),
            Some(max) => write!(f, "{} to {max}", self.min),
            None => write!(f, "{} or more", self.min),
        }
    }
}

/// One output of a kernel.
#[derive(Debug)]
pub struct OutputInfo {
    /// What it holds.
    pub name: &'static str,
    /// The kinds in which it can be written.
    pub kinds: &'static [OutputKind],
    /// Whether a call must ask for it.
    pub presence: Presence,
}

/// Whether an output must be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Every call has it.
    Required,
    /// May be left out, with all that follow.
    Optional,
    /// Any number, also none; the last of a list.
    Repeated,
}

/// The kind of a value, as in the graph file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OutputKind {
    /// Bytes.
    File,
    /// A directory.
    Dir,
    /// An array.
    Npy,
    /// A JSON document.
    Json,
}

impl OutputKind {
    /// The word in graph files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Dir => "dir",
            Self::Npy => "npy",
            Self::Json => "json",
        }
    }
}

impl std::fmt::Display for OutputKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for OutputKind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "file" => Ok(Self::File),
            "dir" => Ok(Self::Dir),
            "npy" => Ok(Self::Npy),
            "json" => Ok(Self::Json),
            _ => Err(format!("`{word}` is not a kind of output; the kinds are file, dir, npy and json")),
        }
    }
}

/// One parameter of a kernel.
#[derive(Debug)]
pub struct ParamInfo {
    /// The key in `params`.
    pub name: &'static str,
    /// What its value may be.
    pub kind: ParamKind,
    /// The default as text; none where the parameter must be given. `-` means that leaving it
    /// out has a meaning of its own, which `doc` tells.
    pub default: Option<&'static str>,
    /// What it does.
    pub doc: &'static str,
}

/// What a parameter's value may be. A string that reads as a number is accepted for a number,
/// because a placeholder inside a longer word arrives as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// A finite number.
    Number,
    /// A finite number above 0.
    Positive,
    /// A finite number, 0 or above.
    NonNegative,
    /// A whole number, 0 or above.
    Count,
    /// True or false.
    Flag,
    /// Any text.
    Text,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of whole numbers, 0 or above.
    Counts,
    /// A list of texts.
    Texts,
    /// A table of anything.
    Table,
}

/// The size of an array or file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Length along each axis; of a plain file, its length in bytes.
    pub dims: Vec<u64>,
    /// Bytes of one item; 1 for a plain file.
    pub item_bytes: u64,
}

impl Shape {
    /// How many items.
    pub fn items(&self) -> u64 {
        self.dims.iter().fold(1, |n, d| n.saturating_mul(*d))
    }

    /// How many bytes of data.
    pub fn bytes(&self) -> u64 {
        self.items().saturating_mul(self.item_bytes)
    }

    /// Rows and columns, a vector being one column.
    pub fn matrix(&self) -> Option<(u64, u64)> {
        match *self.dims.as_slice() {
            [] => Some((1, 1)),
            [n] => Some((n, 1)),
            [rows, cols] => Some((rows, cols)),
            _ => None,
        }
    }
}

/// The size of one argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgShape {
    /// One value.
    One(Shape),
    /// A family.
    Many(Vec<Shape>),
}

impl ArgShape {
    /// The shape, if it is one value.
    pub fn one(&self) -> Option<&Shape> {
        match self {
            Self::One(shape) => Some(shape),
            Self::Many(_) => None,
        }
    }

    /// All shapes in it.
    pub fn shapes(&self) -> &[Shape] {
        match self {
            Self::One(shape) => std::slice::from_ref(shape),
            Self::Many(shapes) => shapes,
        }
    }
}

/// What a call takes: the input of a roofline.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Floating-point operations; a special function counts as 16.
    pub flops: f64,
    /// Bytes read from arguments.
    pub bytes_read: f64,
    /// Bytes written to outputs.
    pub bytes_written: f64,
}

impl Work {
    pub(crate) fn new(flops: f64, read: u64, written: u64) -> Self {
        Self { flops, bytes_read: read as f64, bytes_written: written as f64 }
    }
}

/// The operations that one special function (exp, log, tanh) is counted as.
pub(crate) const SPECIAL_FLOPS: f64 = 16.0;

/// Bytes of all arguments together.
pub(crate) fn total_bytes(args: &[ArgShape]) -> u64 {
    args.iter().flat_map(ArgShape::shapes).fold(0, |sum, shape| sum.saturating_add(shape.bytes()))
}

/// Rows and columns of argument `index`.
pub(crate) fn matrix_at(args: &[ArgShape], index: usize) -> Option<(f64, f64)> {
    let (rows, cols) = args.get(index)?.one()?.matrix()?;
    Some((rows as f64, cols as f64))
}

/// Bytes of argument `index`, 0 where it is not given.
pub(crate) fn bytes_at(args: &[ArgShape], index: usize) -> u64 {
    args.get(index)
        .map_or(0, |arg| arg.shapes().iter().fold(0, |sum, shape| sum.saturating_add(shape.bytes())))
}
