//! Readers of public formats: a file's own numbers ([`Facts`]), and the same as a planner sees it
//! ([`Instance`]).
//!
//! Every reader bounds what it makes room for by what the file really holds, and names file, line and field
//! of what is wrong. Where a format leaves something open, its file says what was chosen.

mod dunnage;
mod error;
mod facts;
mod hetero_json;
mod json;
mod psplib;
mod stg;
mod text;
mod wfformat;

pub use dunnage::GraphCase;
pub use error::FormatError;
pub use facts::{Demand, Facts, Machine, TaskNames};
pub use text::{BYTES_MAX, read_bytes};

use dunnage_model::{Graph, NodeSpec};
use dunnage_strategies::planning::Instance;
use std::path::Path;
use std::sync::Arc;

/// A format that instances come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// A graph file of this project.
    Dunnage,
    /// Related devices with links: `tasks`, `edges`, `speeds`, `links`.
    HeteroJson,
    /// A trace of WfCommons.
    WfFormat,
    /// The Standard Task Graph Set.
    Stg,
    /// PSPLIB's single-mode projects, `.sm`.
    Psplib,
}

impl Format {
    /// All of them, as the command line calls them.
    pub const ALL: [Self; 5] = [Self::Dunnage, Self::HeteroJson, Self::WfFormat, Self::Stg, Self::Psplib];

    /// As the command line calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dunnage => "dunnage",
            Self::HeteroJson => "hetero-json",
            Self::WfFormat => "wfformat",
            Self::Stg => "stg",
            Self::Psplib => "psplib",
        }
    }

    /// The format of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// An instance that was read: what the file says, and what planners and strategies are given.
#[derive(Clone, Debug)]
pub struct Case {
    /// The file as it was named.
    pub name: String,
    /// In which format it was.
    pub format: Format,
    /// The file's own numbers, for the validator.
    pub facts: Facts,
    /// What planners see.
    pub instance: Instance,
    /// The graph and the machine, where the file is a graph of this project.
    pub graph: Option<Box<GraphCase>>,
}

/// Reads an instance of any format but [`Format::Dunnage`], whose files are read by [`graph`].
///
/// # Errors
/// What is wrong with the file, and where.
pub fn read(path: &Path, format: Format, processors: Option<u64>) -> Result<Case, FormatError> {
    let name = path.display().to_string();
    let bytes = read_bytes(path)?;
    parse(&name, &bytes, format, processors)
}

/// The same from bytes that were read, not compressed.
///
/// # Errors
/// What is wrong with them, and where.
pub fn parse(name: &str, bytes: &[u8], format: Format, processors: Option<u64>) -> Result<Case, FormatError> {
    let bytes = text::without_mark(bytes);
    let facts = match format {
        Format::HeteroJson => hetero_json::parse(name, bytes),
        Format::WfFormat => wfformat::parse(name, bytes),
        Format::Stg => stg::parse(name, bytes, processors),
        Format::Psplib => psplib::parse(name, bytes),
        Format::Dunnage => {
            Err(FormatError::new(name, "", "a graph file is read with the machine it is to run on"))
        }
    }?;
    if let Err(path) = facts.check_acyclic() {
        return Err(FormatError::new(name, "", "the edges make a cycle").value(path));
    }
    let instance = facts.instance();
    instance.check().map_err(|why| FormatError::new(name, "", why))?;
    Ok(Case { name: name.to_owned(), format, facts, instance, graph: None })
}

/// A graph of this project on a machine, as the daemon's planner sees it.
///
/// # Errors
/// Why it cannot be planned.
pub fn graph(name: &str, graph: Arc<Graph>, node: Arc<NodeSpec>, seed: u64) -> Result<Case, FormatError> {
    dunnage::case(name, graph, node, seed)
}
