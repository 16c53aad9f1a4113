//! The NVML probe alone: `nvml-probe [LIBRARY.so]`, speaking frames on stdin and stdout.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let library = std::env::args_os().nth(1).map(PathBuf::from);
    dunnage_devices::probe_main(library.as_deref())
}
