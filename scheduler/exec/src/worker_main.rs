//! The worker's side: a process that runs kernel calls, one after another, until its socket closes.
//!
//! A second thread reads, so that the worker ends at once with its daemon, also in the middle of a
//! kernel: kernels are pure, and another worker runs the call again.

use crate::frame::{self, FrameReader};
use crate::workers::{WireCall, WireResult};
use crate::{shim, sys};
use rustix::time::ClockId;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A call, as the worker sees it.
#[derive(Clone, Debug)]
pub struct CallRequest {
    /// What the submitter of the call wants to be done.
    pub payload: Vec<u8>,
}

/// What came of a call.
#[derive(Clone, Debug)]
pub struct CallResult {
    /// Whether it succeeded.
    pub ok: bool,
    /// What the submitter is told.
    pub payload: Vec<u8>,
}

/// How long a finished result may wait for others to be sent with.
const GATHER: Duration = Duration::from_millis(1);

/// The worker's `main`: serves the socket on standard input, never returns.
pub fn worker_main(run: &mut dyn FnMut(&CallRequest) -> CallResult) -> ! {
    let code = match serve(run) {
        Ok(()) => 0,
        Err(error) => {
            let _ = writeln!(io::stderr(), "worker: {error}");
            1
        }
    };
    sys::exit_now(code)
}

fn serve(run: &mut dyn FnMut(&CallRequest) -> CallResult) -> io::Result<()> {
    // Kernels must not read or write the socket by accident.
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let null = std::fs::OpenOptions::new().read(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    let mut incoming = socket.try_clone()?;
    let (calls, queue) = mpsc::channel::<Vec<WireCall>>();
    std::thread::Builder::new().name("reader".into()).spawn(move || {
        let mut reader = FrameReader::default();
        loop {
            match reader.next_message::<Vec<WireCall>>() {
                Ok(Some(batch)) => {
                    if calls.send(batch).is_err() {
                        break;
                    }
                    continue;
                }
                Ok(None) => {}
                Err(error) => {
                    let _ = writeln!(io::stderr(), "worker: {error}");
                    sys::exit_now(1);
                }
            }
            match reader.fill(&mut incoming) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        // The daemon is gone, or has no more use for us.
        sys::exit_now(0)
    })?;
    let mut results: Vec<WireResult> = Vec::new();
    let mut size = 0;
    let mut since = Instant::now();
    while let Ok(batch) = queue.recv() {
        let mut next = Some(batch);
        while let Some(batch) = next {
            for WireCall { number, payload } in batch {
                if results.is_empty() {
                    since = Instant::now();
                } else if since.elapsed() >= GATHER || size > frame::MAX_FRAME / 4 {
                    send(&mut socket, &mut results, &mut size)?;
                    since = Instant::now();
                }
                let before = shim::micros(ClockId::ProcessCPUTime);
                let result = run(&CallRequest { payload: payload.0 });
                let cpu_us = shim::micros(ClockId::ProcessCPUTime).saturating_sub(before);
                size += result.payload.len() + 32;
                if size > frame::MAX_FRAME / 2 && !results.is_empty() {
                    let own = result.payload.len() + 32;
                    send(&mut socket, &mut results, &mut size)?;
                    size = own;
                }
                results.push(WireResult {
                    number,
                    ok: result.ok,
                    payload: frame::Blob(result.payload),
                    cpu_us,
                });
            }
            next = queue.try_recv().ok();
        }
        send(&mut socket, &mut results, &mut size)?;
    }
    Ok(())
}

fn send(socket: &mut UnixStream, results: &mut Vec<WireResult>, size: &mut usize) -> io::Result<()> {
    *size = 0;
    if results.is_empty() {
        return Ok(());
    }
    let mut out = Vec::new();
    frame::encode(results, &mut out).map_err(io::Error::other)?;
    results.clear();
    socket.write_all(&out)
}
