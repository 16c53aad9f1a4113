//! Facts as bytes: what one record of the journal holds.
//!
//! A batch is a version byte followed by MessagePack values, two for each fact: a small number that
//! says what kind of fact it is, and the fact itself as an array. Times are written as differences to
//! the fact before, so that an ordinary fact takes about twenty bytes.
//!
//! [`encode_facts`] leaves out what is not a record of the journal: facts that are not journalled at
//! all, and `Submitted` and `Extended`, which the store keeps as rows with the graph's text.
//! [`decode_facts`] takes any bytes: damaged or hostile ones give a [`JournalError`], never a panic,
//! and never an allocation beyond a small multiple of the input.
//!
//! A released format is never changed. A new one gets the next version byte, its own record types
//! beside those of `record`, and a branch in [`decode_facts`].

mod record;
#[cfg(test)]
mod tests;

use dunnage_model::{Event, Fact, Time};
use record::{
    FailedRecord, FinishedRecord, GraphRecord, GraphTaskRecord, PlacedRecord, StartedRecord, ValueLostRecord,
};
use serde::{Serialize, de::DeserializeOwned};
use std::io::Cursor;

/// The format that is written.
pub const FORMAT: u8 = 1;

/// Bytes that are not facts.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// There are no bytes at all, not even a version.
    #[error("a batch of facts is empty: its version byte is missing")]
    Empty,
    /// The batch was written by a newer version of this program, or is not one.
    #[error(
        "a batch of facts has format {found}, and this version reads up to {FORMAT}; use the version of dunnage that wrote it"
    )]
    Format {
        /// What its first byte says.
        found: u8,
    },
    /// A fact of no known kind.
    #[error("the fact at byte {offset} is of unknown kind {kind}")]
    Kind {
        /// Where it begins.
        offset: u64,
        /// What it claims to be.
        kind: u8,
    },
    /// A fact that cannot be read.
    #[error("the fact at byte {offset} cannot be read: {reason}")]
    Damaged {
        /// Where it begins.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
}

/// The numbers by which kinds of facts are told apart in format 1.
mod kind {
    pub(super) const PLACED: u8 = 1;
    pub(super) const STARTED: u8 = 2;
    pub(super) const FINISHED: u8 = 3;
    pub(super) const FAILED: u8 = 4;
    pub(super) const NEVER_STARTED: u8 = 5;
    pub(super) const VALUE_LOST: u8 = 6;
    pub(super) const CANCELLED: u8 = 7;
    pub(super) const HELD_BACK: u8 = 8;
    pub(super) const RELEASED: u8 = 9;
    pub(super) const RETRIED: u8 = 10;
}

/// Facts as one batch of bytes. What is not a record of the journal is left out.
pub fn encode_facts(facts: &[Fact]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + facts.len() * 24);
    bytes.push(FORMAT);
    let mut before = Time::ZERO;
    for fact in facts {
        let Fact { at, event } = fact;
        // Wrapping, so that even times out of order come back as they were.
        let wait = at.0.wrapping_sub(before.0).cast_signed();
        let written = match event {
            Event::Placed { attempt, placement } => {
                put(&mut bytes, kind::PLACED, &PlacedRecord::of(wait, *attempt, placement))
            }
            Event::Started { attempt } => put(&mut bytes, kind::STARTED, &StartedRecord::of(wait, *attempt)),
            Event::Finished { attempt, usage } => {
                put(&mut bytes, kind::FINISHED, &FinishedRecord::of(wait, *attempt, *usage))
            }
            Event::Failed { attempt, failure, usage } => {
                put(&mut bytes, kind::FAILED, &FailedRecord::of(wait, *attempt, failure, *usage))
            }
            Event::NeverStarted { attempt } => {
                put(&mut bytes, kind::NEVER_STARTED, &StartedRecord::of(wait, *attempt))
            }
            Event::ValueLost { task } => put(&mut bytes, kind::VALUE_LOST, &ValueLostRecord::of(wait, *task)),
            Event::Cancelled { graph, task } => {
                put(&mut bytes, kind::CANCELLED, &GraphTaskRecord::of(wait, *graph, *task))
            }
            Event::HeldBack { graph } => put(&mut bytes, kind::HELD_BACK, &GraphRecord::of(wait, *graph)),
            Event::Released { graph } => put(&mut bytes, kind::RELEASED, &GraphRecord::of(wait, *graph)),
            Event::Retried { graph, task } => {
                put(&mut bytes, kind::RETRIED, &GraphTaskRecord::of(wait, *graph, *task))
            }
            Event::Submitted(_)
            | Event::Extended { .. }
            | Event::NodeSeen(_)
            | Event::DeviceSampled { .. }
            | Event::MemoryUsed { .. }
            | Event::DeviceLost { .. }
            | Event::NodeLost { .. }
            | Event::Planned { .. }
            | Event::Reported { .. }
            | Event::TimerFired => false,
        };
        if written {
            before = *at;
        }
    }
    bytes
}

/// Reads a batch and hands over its facts in order.
///
/// # Errors
///
/// When the bytes are not a whole batch. The facts before the damage have been handed over by then.
pub fn decode_facts(bytes: &[u8], sink: &mut impl FnMut(Fact)) -> Result<(), JournalError> {
    let (&format, body) = bytes.split_first().ok_or(JournalError::Empty)?;
    match format {
        1 => decode_format_1(body, sink),
        found => Err(JournalError::Format { found }),
    }
}

fn decode_format_1(body: &[u8], sink: &mut impl FnMut(Fact)) -> Result<(), JournalError> {
    let mut reader = Reader { inner: rmp_serde::Deserializer::new(Cursor::new(body)), fact_begins: 0 };
    let mut before = Time::ZERO;
    while reader.inner.position() < body.len() as u64 {
        reader.fact_begins = reader.inner.position();
        let kind: u8 = reader.take()?;
        let (wait, event) = match kind {
            kind::PLACED => {
                let (wait, attempt, placement) =
                    reader.take::<PlacedRecord>()?.into_model().map_err(|why| reader.damaged(&why))?;
                (wait, Event::Placed { attempt, placement: Box::new(placement) })
            }
            kind::STARTED => {
                let (wait, attempt) = reader.take::<StartedRecord>()?.into_model();
                (wait, Event::Started { attempt })
            }
            kind::FINISHED => {
                let (wait, attempt, usage) = reader.take::<FinishedRecord>()?.into_model();
                (wait, Event::Finished { attempt, usage })
            }
            kind::FAILED => {
                let (wait, attempt, failure, usage) =
                    reader.take::<FailedRecord>()?.into_model().map_err(|why| reader.damaged(&why))?;
                (wait, Event::Failed { attempt, failure: Box::new(failure), usage })
            }
            kind::NEVER_STARTED => {
                let (wait, attempt) = reader.take::<StartedRecord>()?.into_model();
                (wait, Event::NeverStarted { attempt })
            }
            kind::VALUE_LOST => {
                let (wait, task) = reader.take::<ValueLostRecord>()?.into_model();
                (wait, Event::ValueLost { task })
            }
            kind::CANCELLED => {
                let (wait, graph, task) = reader.take::<GraphTaskRecord>()?.into_model();
                (wait, Event::Cancelled { graph, task })
            }
            kind::HELD_BACK => {
                let (wait, graph) = reader.take::<GraphRecord>()?.into_model();
                (wait, Event::HeldBack { graph })
            }
            kind::RELEASED => {
                let (wait, graph) = reader.take::<GraphRecord>()?.into_model();
                (wait, Event::Released { graph })
            }
            kind::RETRIED => {
                let (wait, graph, task) = reader.take::<GraphTaskRecord>()?.into_model();
                (wait, Event::Retried { graph, task })
            }
            kind => return Err(JournalError::Kind { offset: reader.offset(), kind }),
        };
        let at = Time(before.0.wrapping_add(wait.cast_unsigned()));
        before = at;
        sink(Fact { at, event });
    }
    Ok(())
}

/// Appends one fact and says so.
fn put(bytes: &mut Vec<u8>, kind: u8, record: &impl Serialize) -> bool {
    rmp_serde::encode::write(bytes, &kind).expect("a vector takes every byte");
    rmp_serde::encode::write(bytes, record).expect("a vector takes every byte");
    true
}

/// Takes values one after another and knows where the fact at hand begins.
struct Reader<'a> {
    inner: rmp_serde::Deserializer<rmp_serde::decode::ReadReader<Cursor<&'a [u8]>>>,
    fact_begins: u64,
}

impl Reader<'_> {
    fn take<T: DeserializeOwned>(&mut self) -> Result<T, JournalError> {
        T::deserialize(&mut self.inner).map_err(|error| self.damaged(&error))
    }

    /// Where the fact begins in the batch, whose first byte is the version.
    fn offset(&self) -> u64 {
        self.fact_begins + 1
    }

    fn damaged(&self, reason: &dyn std::fmt::Display) -> JournalError {
        JournalError::Damaged { offset: self.offset(), reason: reason.to_string() }
    }
}
