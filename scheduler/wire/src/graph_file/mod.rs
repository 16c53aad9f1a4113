//! The graph file: TOML or JSON, the same keys, decoded to a [`GraphSpec`](dunnage_model::GraphSpec).
//!
//! Everything that one file can tell about itself is checked here: keys, types, units, values. What
//! functions say about each other (ids, references, cycles, placeholders) is checked by
//! `Graph::build` in the model. Both report all problems at once, each with its place.
//!
//! There is one way from a document to a spec: TOML and JSON both become small trees (`node.rs`), one
//! for the `[graph]` table, one for the defaults and one for each function, and the same readers
//! take them apart. JSON is read as a stream, so that of a million functions only one tree lives at
//! a time.
//!
//! ```
//! use dunnage_wire::graph_file::{Limits, decode_toml};
//! let text = r#"
//!     [[function]]
//!     id = "hello"
//!     command = ["echo", "hello"]
//! "#;
//! let decoded = decode_toml(text, &Limits::default()).unwrap();
//! assert_eq!(decoded.spec.functions[0].id, "hello");
//! ```

mod assembly;
mod code;
mod cost;
mod defaults;
mod file;
mod function;
mod graph;
mod json;
mod keys;
mod limits;
mod node;
mod places;
mod report;
mod retry;
mod scalar;
mod signal;
mod sweep;
mod toml_text;
mod values;

pub use file::{FileError, decode_text, read};
pub use json::{decode_json, decode_json_text};
pub use keys::{KINDS, Kind};
pub use limits::{Decoded, Limits};
pub use places::Places;
pub use report::render;
pub use toml_text::decode_toml;
