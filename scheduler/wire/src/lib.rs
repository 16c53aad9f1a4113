//! What is written to disk or wire: the graph file, the journal, the API, as plain versioned serde
//! types, with one conversion each way to the types of `dunnage-model`.

pub mod api;
pub mod config;
pub mod graph_file;
pub mod journal;
pub mod schema;
