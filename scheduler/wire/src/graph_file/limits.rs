//! How large a graph file may be, and what comes out of it.

use super::Places;
use dunnage_model::GraphSpec;

/// How large a graph file may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Functions, and values of all sweeps together.
    pub functions: u32,
    /// Bytes of the document.
    pub bytes: u64,
    /// Problems that are listed; the rest is counted.
    pub problems: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { functions: 1_000_000, bytes: 1 << 30, problems: 100 }
    }
}

/// A decoded graph file.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// What it says.
    pub spec: GraphSpec,
    /// The same graph as JSON text, for the API and the store: of a JSON file its text as read.
    pub json: String,
    /// Finds the lines of problems that the model reports later.
    pub places: Places,
}
