//! The smallest program that can be a launcher and a worker: for the tests of this crate.
//!
//! Its kernel knows a few words: `echo:TEXT`, `fail:TEXT`, `die`, `sleep`.

use dunnage_exec::{CallRequest, CallResult, launcher_main, worker_main};

fn main() {
    let mut args = std::env::args_os().skip(1);
    match args.next().as_deref().and_then(|word| word.to_str()) {
        Some("__launcher") => launcher_main(&args.collect::<Vec<_>>()),
        Some("__worker") => worker_main(&mut run),
        _ => {
            eprintln!("this program is only run by tests");
            std::process::exit(2);
        }
    }
}

fn run(call: &CallRequest) -> CallResult {
    let text = String::from_utf8_lossy(&call.payload);
    match text.split_once(':').unwrap_or((&text, "")) {
        ("fail", rest) => CallResult { ok: false, payload: rest.as_bytes().to_vec() },
        ("die", _) => std::process::exit(7),
        ("sleep", _) => {
            std::thread::sleep(std::time::Duration::from_mins(1));
            CallResult { ok: true, payload: Vec::new() }
        }
        (_, rest) => CallResult { ok: true, payload: rest.as_bytes().to_vec() },
    }
}
