//! The two ports of the store and what passes through them.
//!
//! A journal has one owner, who loads once and then commits. What others want to know of the past they
//! ask a [`History`], which works beside the owner's commits.

use crate::{StoreClock, StoreError};
use dunnage_model::{AttemptId, GraphId, GraphState, Owner, Time};
use std::fmt;
use std::path::PathBuf;

/// The largest text of a graph that a record can hold. SQLite's own limit is 10^9 bytes.
pub const SPEC_MAX: usize = 990_000_000;

/// What is written, by its one owner.
pub trait Journal: Send {
    /// Reads everything that has not ended. Damaged records are set aside and named.
    fn load(&mut self) -> Result<Loaded, StoreError>;

    /// Writes a batch, all of it or nothing. It survives the death of this process when the call
    /// returns; with `sync` also the loss of power, and so does everything committed before.
    ///
    /// After an error nothing more is taken.
    fn commit(&mut self, batch: &[Write], sync: bool) -> Result<(), StoreError>;

    /// Makes everything committed so far survive the loss of power.
    fn sync(&mut self) -> Result<(), StoreError>;

    /// What syncs this journal from another thread while this one commits.
    fn syncer(&self) -> Result<Box<dyn crate::Syncer>, StoreError>;

    /// A view of what is stored that other threads may use while this journal is written.
    fn reader(&self) -> Result<Box<dyn History>, StoreError>;
}

/// What can be asked of the past. Every answer sees all that was committed before the question.
pub trait History: Send {
    /// The facts of a graph after a sequence number, oldest first; 0 gives all.
    fn facts_of(&mut self, graph: GraphId, after: u64) -> Result<Vec<FactRow>, StoreError>;

    /// The facts of all graphs after a sequence number, oldest first.
    fn facts_since(&mut self, after: u64, limit: usize) -> Result<Vec<FactRow>, StoreError>;

    /// A graph as it was accepted, and how it ended if it has.
    fn graph(&mut self, graph: GraphId) -> Result<Option<(GraphRow, Option<Ended>)>, StoreError>;

    /// The text of a graph.
    fn spec_of(&mut self, graph: GraphId) -> Result<Option<String>, StoreError>;

    /// Graphs that have ended, the last one first.
    fn ended(&mut self, filter: &EndedFilter) -> Result<Vec<EndedRow>, StoreError>;

    /// Where the packed logs of an attempt lie.
    fn logs_of(&mut self, attempt: AttemptId) -> Result<Vec<LogRow>, StoreError>;

    /// Where the packed logs of a graph's attempts lie, by task and attempt.
    fn logs_of_graph(&mut self, graph: GraphId) -> Result<Vec<LogRow>, StoreError>;

    /// The segments that some log still lies in, in order.
    fn segments_in_use(&mut self) -> Result<Vec<u32>, StoreError>;

    /// The environments that some graph still names.
    fn environments_in_use(&mut self) -> Result<Vec<String>, StoreError>;

    /// The documents of a kind by key: learned estimates, calibrations, drained devices.
    fn documents(&mut self, kind: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// What was ever set aside and not forgotten.
    fn damaged(&mut self) -> Result<Vec<Damage>, StoreError>;
}

/// One change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Write {
    /// A graph was accepted, extended, held or released: its row as it is now.
    Graph(Box<GraphRow>),
    /// Facts of one graph, encoded.
    Facts {
        /// Whose.
        graph: GraphId,
        /// Their place in the store-wide sequence: above every earlier one.
        seq: u64,
        /// As [`dunnage_wire::journal::encode_facts`] gives them.
        body: Vec<u8>,
    },
    /// A graph ended.
    Ended {
        /// Which.
        graph: GraphId,
        /// How it ended.
        end: Ended,
    },
    /// An ended graph lives again, because something of it is tried again.
    Reopened {
        /// Which.
        graph: GraphId,
    },
    /// The log of an ended attempt was packed.
    Log(LogRow),
    /// A document is set, or removed.
    Document {
        /// Its kind.
        kind: String,
        /// Its name there.
        key: String,
        /// The document, or nothing to remove it.
        body: Option<Vec<u8>>,
    },
    /// A graph, or one record of it, cannot be used: it is kept, but not loaded any more.
    SetAside {
        /// Which graph.
        graph: GraphId,
        /// One record of facts, or the whole graph.
        seq: Option<u64>,
        /// Why, for people.
        reason: String,
    },
    /// Everything about a graph is deleted.
    Forget {
        /// Which.
        graph: GraphId,
    },
}

/// A graph as it was accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GraphRow {
    /// Its number.
    pub id: GraphId,
    /// Who submitted it.
    pub owner: Owner,
    /// Its name.
    pub name: String,
    /// What its relative paths are relative to.
    pub dir: PathBuf,
    /// The captured environment, by its name in [`EnvStore`](crate::EnvStore).
    pub environment: Option<String>,
    /// The strategy it asked for.
    pub strategy: String,
    /// How many functions it has.
    pub functions: u64,
    /// When it was accepted.
    pub submitted_at: Time,
    /// The same for people: microseconds since 1970.
    pub submitted_wall_us: u64,
    /// Where its random choices begin.
    pub seed: u64,
    /// Whether it was held from the start.
    pub held: bool,
    /// Whether no more functions will be added.
    pub sealed: bool,
    /// W3C trace context of the submitter.
    pub trace: Option<String>,
    /// More about the submission, as JSON; the store does not look inside.
    pub extra: Option<String>,
    /// Its text as accepted, in JSON.
    pub spec: String,
}

/// How a graph ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// Its last state.
    pub state: GraphState,
    /// When.
    pub at: Time,
    /// Counts and times for lists, as JSON; the store does not look inside.
    pub summary: String,
}

/// An ended graph in a list: everything but its text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndedRow {
    /// Its number.
    pub id: GraphId,
    /// Who submitted it.
    pub owner: Owner,
    /// Its name.
    pub name: String,
    /// How many functions it has.
    pub functions: u64,
    /// When it was accepted.
    pub submitted_at: Time,
    /// The same for people: microseconds since 1970.
    pub submitted_wall_us: u64,
    /// How it ended.
    pub end: Ended,
}

/// Which ended graphs to list; the default is the last thousand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndedFilter {
    /// Only with this last state.
    pub state: Option<GraphState>,
    /// Only of this owner.
    pub owner: Option<Owner>,
    /// Only with exactly this name.
    pub name: Option<String>,
    /// Only those that ended before this time: what retention asks for.
    pub ended_before: Option<Time>,
    /// Only those after this one in the list: the last row of the page before.
    pub after: Option<(Time, GraphId)>,
    /// At most this many.
    pub limit: usize,
}

/// A record of facts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FactRow {
    /// Its place in the sequence.
    pub seq: u64,
    /// Whose facts.
    pub graph: GraphId,
    /// For [`dunnage_wire::journal::decode_facts`].
    pub body: Vec<u8>,
}

/// Where a packed log lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogRow {
    /// Whose.
    pub attempt: AttemptId,
    /// Which of its streams; 0 where both are one.
    pub stream: u8,
    /// Where it lies.
    pub place: crate::Place,
    /// How many bytes of it were cut away because it was too long.
    pub truncated: u64,
}

/// What a start needs.
#[derive(Debug)]
pub struct Loaded {
    /// A random word made with the store, to tell it from others.
    pub token: String,
    /// When the store was made: microseconds since 1970.
    pub created_wall_us: u64,
    /// The number of the next graph.
    pub next_graph: GraphId,
    /// The next place in the sequence of facts.
    pub next_seq: u64,
    /// The store's time.
    pub clock: StoreClock,
    /// What has not ended, in order of submission.
    pub live: Vec<LiveGraph>,
    /// What was found damaged just now, and set aside.
    pub damaged: Vec<Damage>,
}

/// A graph that has not ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LiveGraph {
    /// As it was accepted.
    pub row: GraphRow,
    /// What happened to it, oldest first.
    pub facts: Vec<FactRow>,
    /// Whether some of its facts are missing because they were damaged, now or at an earlier start.
    pub damaged: bool,
}

/// A record that cannot be used and was set aside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// Whose.
    pub graph: GraphId,
    /// Which record of facts; none means the graph itself.
    pub seq: Option<u64>,
    /// What is wrong with it.
    pub reason: String,
}

impl Default for EndedFilter {
    fn default() -> Self {
        Self { state: None, owner: None, name: None, ended_before: None, after: None, limit: 1000 }
    }
}

impl Write {
    /// Whether a record can hold it.
    pub fn check(&self) -> Result<(), StoreError> {
        let (what, bytes) = match self {
            Self::Graph(row) => ("the text of a graph", row.spec.len()),
            Self::Facts { body, .. } => ("a record of facts", body.len()),
            Self::Ended { end, .. } => ("the summary of a graph", end.summary.len()),
            Self::Document { body: Some(body), .. } => ("a document", body.len()),
            Self::Document { body: None, .. }
            | Self::Reopened { .. }
            | Self::Log(_)
            | Self::SetAside { .. }
            | Self::Forget { .. } => return Ok(()),
        };
        if bytes > SPEC_MAX { Err(StoreError::TooLarge { what, bytes, limit: SPEC_MAX }) } else { Ok(()) }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seq {
            Some(seq) => write!(f, "record {seq} of graph {} was set aside: {}", self.graph, self.reason),
            None => write!(f, "graph {} was set aside: {}", self.graph, self.reason),
        }
    }
}
