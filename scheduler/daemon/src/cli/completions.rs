//! `completions`.

use super::args::Cli;
use super::context::print;
use super::exit::{DONE, Failure};
use clap::CommandFactory;

pub(crate) fn completions(shell: clap_complete::Shell) -> Result<i32, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "dunnage", &mut text);
    print(&String::from_utf8_lossy(&text));
    Ok(DONE)
}
