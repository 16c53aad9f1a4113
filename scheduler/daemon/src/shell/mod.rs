//! The loop that owns the scheduler, and everything that stands directly around it.
//!
//! One task owns the state. Inputs arrive on one channel: requests of clients, events of the engine,
//! notices of the journal, samples of devices, plans. Each is turned into an event, the core answers
//! with decisions, the facts go to the journal, and only when they are committed are the decisions
//! carried out and the requests answered.

mod commands;
mod effects;
mod input;
mod keeper;
mod locks;
mod meta;
mod orders;
mod outcome;
mod owner;
mod queries;
mod recovery;
mod reports;
mod sampler;
mod translate;
mod views;

pub(crate) use effects::Effects;
pub(crate) use input::{Command, Input, LogPart, NewGraph, Refused, Reply};
pub(crate) use keeper::{Keeper, read_only as read_history};
pub(crate) use locks::DeviceLocks;
pub(crate) use meta::Meta;
pub(crate) use owner::{Parts, Shell, ShellOptions, Stopped};
pub(crate) use recovery::{Found, graph_of};
pub(crate) use sampler::Sampler;
pub(crate) use translate::missing_inputs;
pub(crate) use views::devices;
