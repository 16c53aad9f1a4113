//! What the black-box tests share: a machine of their own to run the program on, and ways to ask it.
//!
//! The tests know the program by its binary, its files and its socket alone. Each has a [`Home`] with
//! its own state, socket and runtime directory; when the home goes, every process that was started from
//! it is ended.

mod binary;
mod call;
mod daemon;
mod diary;
mod documents;
mod home;
mod http;
mod processes;
mod wait;

pub use binary::{dunnage, fake_nvml, workspace};
pub use call::{Call, Ended, Running};
pub use daemon::Daemon;
pub use diary::{Diary, Entry};
pub use documents::{function, has_keys, is_status, states};
pub use home::Home;
pub use http::{Answer, Stream, ask, raw};
pub use processes::{Process, alive, kill, kill_group};
pub use rustix::process::Signal;
pub use wait::{PATIENCE, until};
