//! `dunnage`: a GPU-aware batch scheduler for one machine.
//!
//! One binary: the command line, the daemon, and the helper processes that it starts of itself
//! (`__launcher`, `__worker`, `__nvml-probe`), which are told apart before anything else is set up.

mod accept;
mod api;
mod cli;
mod client;
mod front;
mod kernel_call;
mod link;
mod literal;
mod priced;
mod render;
mod setup;
mod shell;
mod tree;
mod untrusted;
mod watch;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// This program, for the processes it starts of itself.
fn exe() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| "dunnage".into())
}

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    match args.first().and_then(|arg| arg.to_str()) {
        Some("__launcher") => dunnage_exec::launcher_main(&args[1..]),
        Some("__worker") => {
            let mut cache = dunnage_kernels::MapCache::default();
            dunnage_exec::worker_main(&mut |request| kernel_call::serve(request, &mut cache))
        }
        Some("__nvml-probe") => dunnage_devices::probe_main(args.get(1).map(Path::new)),
        _ => ExitCode::from(u8::try_from(cli::main()).unwrap_or(1)),
    }
}
