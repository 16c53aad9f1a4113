//! The JSON Schema of the graph file, as `dunnage schema` prints it.
//!
//! It is written by hand for the people and editors that read it. A test holds its keys against the
//! tables of the decoder, so that neither can forget one.

/// JSON Schema (draft 2020-12) of the graph file.
pub const fn graph_schema() -> &'static str {
    include_str!("graph.schema.json")
}
