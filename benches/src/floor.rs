//! What the machine itself takes: starting processes, syncing a file, passing frames to another thread.

use crate::Failure;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A frame is about as long as a call of a kernel.
const FRAME: usize = 64;

/// Spawns `/bin/true` and waits, in as many threads, with no logs: processes a second.
pub fn spawn_rate(count: usize, threads: usize) -> Result<f64, Failure> {
    let left = AtomicUsize::new(count);
    let work = || -> io::Result<()> {
        let next = |left: usize| left.checked_sub(1);
        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok() {
            let null = Stdio::null;
            let status = Command::new("/bin/true").stdin(null()).stdout(null()).stderr(null()).status()?;
            if !status.success() {
                return Err(io::Error::other("`/bin/true` failed"));
            }
        }
        Ok(())
    };
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread of the floor panicked")))
        })
    })?;
    Ok(count as f64 / begin.elapsed().as_secs_f64())
}

/// A file that is appended to and synced, as a journal is.
#[derive(Debug)]
pub struct Disk {
    file: File,
}

impl Disk {
    /// Makes the file in this folder.
    pub fn new(folder: &Path) -> Result<Self, Failure> {
        Ok(Self { file: File::create(folder.join("floor"))? })
    }

    /// Appends so many bytes and waits until they are on the disk.
    pub fn sync(&mut self, bytes: usize) -> Result<Duration, Failure> {
        let block = vec![0x5a_u8; bytes];
        let begin = Instant::now();
        self.file.write_all(&block)?;
        self.file.sync_data()?;
        Ok(begin.elapsed())
    }
}

/// Sends frames over a socket to a thread that sends them back, all at once: frames a second.
pub fn frame_rate(count: usize) -> Result<f64, Failure> {
    let (mut near, far) = UnixStream::pair()?;
    let mut sink = near.try_clone()?;
    let begin = Instant::now();
    std::thread::scope(|scope| -> io::Result<()> {
        scope.spawn(move || echo(far));
        scope.spawn(move || {
            for _ in 0..count {
                if sink.write_all(&[0; FRAME]).is_err() {
                    return;
                }
            }
        });
        let mut frame = [0; FRAME];
        for _ in 0..count {
            near.read_exact(&mut frame)?;
        }
        near.shutdown(std::net::Shutdown::Both)
    })?;
    Ok(count as f64 / begin.elapsed().as_secs_f64())
}

/// The same with one frame on its way at a time: the time of each there and back.
pub fn frame_trips(count: usize) -> Result<Duration, Failure> {
    let (mut near, far) = UnixStream::pair()?;
    let begin = Instant::now();
    std::thread::scope(|scope| -> io::Result<()> {
        scope.spawn(move || echo(far));
        let mut frame = [0; FRAME];
        for _ in 0..count {
            near.write_all(&frame)?;
            near.read_exact(&mut frame)?;
        }
        near.shutdown(std::net::Shutdown::Both)
    })?;
    Ok(begin.elapsed() / count as u32)
}

fn echo(mut stream: UnixStream) {
    let mut frame = [0; FRAME];
    while stream.read_exact(&mut frame).is_ok() {
        if stream.write_all(&frame).is_err() {
            return;
        }
    }
}
