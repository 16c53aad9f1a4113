//! Documents as what a person sees: tables, summaries, Gantt charts, progress, traces, errors.
//!
//! Everything here is a pure function from a document of [`dunnage_wire::api`] and a [`style::Style`]
//! to text whose lines end with a line feed (the progress and the trace write as they go). Rules that
//! hold throughout: without colour no escape byte is written; control characters of names and messages
//! are escaped; a line is never wider than the style's width.

pub(crate) mod bench;
pub(crate) mod devices;
pub(crate) mod doctor;
pub(crate) mod errors;
pub(crate) mod explain;
pub(crate) mod gantt;
pub(crate) mod plan_page;
pub(crate) mod progress;
pub(crate) mod queue;
pub(crate) mod shape;
pub(crate) mod status;
pub(crate) mod style;
pub(crate) mod summary;
pub(crate) mod trace;

mod failures;
mod family;
mod format;
mod lanes;
mod page;
mod table;
mod text;

#[cfg(test)]
mod sample;
