//! `dunnage`: a GPU-aware batch scheduler for one machine.
//!
//! One binary: the command line, the daemon, and the helper processes that it starts of itself
//! (`__launcher`, `__worker`, `__nvml-probe`), which are told apart before anything else is set up.

mod accept;
mod kernel_call;
mod literal;
mod setup;
mod shell;
mod tree;

fn exe() -> std::path::PathBuf {
    std::env::current_exe().unwrap_or_else(|_| "dunnage".into())
}

fn main() {
}
