//! Logs of attempts: on tmpfs while they are young, copied to disk as they grow old.
//!
//! The shim writes output to `RUNDIR/logs/<attempt>`. An attempt that lives longer than a second has its
//! log copied to disk once a second, and the copied part of the tmpfs file is given back (a hole is
//! punched), so that RAM stays bounded. On disk a log is a few pieces `<attempt>@<offset>`; when all
//! together are above the cap, the oldest goes. Offsets count from the first byte ever written, and the
//! names hold them, so that a new daemon goes on exactly where the last one stopped.

use dunnage_model::AttemptId;
use rustix::fs::FallocateFlags;
use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What a log may hold on disk where nothing else was said.
pub const DEFAULT_CAP: u64 = 64 << 20;

/// How old an attempt is when its log is copied for the first time, and how often it is after that.
const TICK: Duration = Duration::from_secs(1);

/// A log's pieces on disk are at most this part of its cap.
const PIECES: u64 = 4;

/// A part of a log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LogChunk {
    /// Where `bytes` begins, counted from the first byte ever written. It is later than asked for when
    /// what was asked for has been cut.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How many bytes were ever written.
    pub total: u64,
    /// How many of the oldest are gone for good.
    pub cut: u64,
}

/// The log of an attempt that has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EndedLog {
    /// A short one, whole.
    Bytes(Vec<u8>),
    /// A long one: it stays on disk as these files, in this order, until the keeper's `discard`.
    Files {
        /// The pieces.
        paths: Vec<PathBuf>,
        /// How many of the oldest bytes are gone.
        cut: u64,
        /// How many were ever written.
        total: u64,
    },
}

/// Keeps the logs of all attempts of a daemon.
#[derive(Debug)]
pub struct LogKeeper {
    tmpfs: PathBuf,
    disk: PathBuf,
    cap: u64,
    live: BTreeMap<AttemptId, Live>,
}

#[derive(Debug)]
struct Live {
    since: Instant,
    pieces: Pieces,
}

/// The part of a log that is on disk.
#[derive(Debug, Default)]
struct Pieces {
    /// Offset and length of each.
    parts: VecDeque<(u64, u64)>,
}

impl Pieces {
    fn start(&self) -> u64 {
        self.parts.front().map_or(0, |(offset, _)| *offset)
    }

    /// Where the tmpfs part begins.
    fn end(&self) -> u64 {
        self.parts.back().map_or(0, |(offset, length)| offset + length)
    }
}

impl LogKeeper {
    /// A keeper for the logs in `RUNDIR/logs`, with copies in `disk` of at most `cap` bytes each.
    pub fn new(rundir: &Path, disk: PathBuf, cap: u64) -> io::Result<Self> {
        fs::create_dir_all(&disk)?;
        Ok(Self { tmpfs: rundir.join("logs"), disk, cap: cap.max(4096), live: BTreeMap::new() })
    }

    /// An attempt that writes a log began, or was found running after a restart.
    pub fn started(&mut self, attempt: AttemptId, now: Instant) {
        self.live.insert(attempt, Live { since: now, pieces: Pieces::default() });
    }

    /// Reads from the disk what an earlier daemon had copied for these attempts; call it once after
    /// `started` for those found running, before the first `tick`.
    pub fn resume(&mut self) -> io::Result<()> {
        let mut found: BTreeMap<AttemptId, Vec<(u64, u64)>> = BTreeMap::new();
        for entry in fs::read_dir(&self.disk)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some((id, offset)) = name.to_str().and_then(|name| name.split_once('@')) else { continue };
            let (Ok(id), Ok(offset)) = (id.parse::<AttemptId>(), offset.parse::<u64>()) else { continue };
            if self.live.contains_key(&id) {
                found.entry(id).or_default().push((offset, entry.metadata()?.len()));
            }
        }
        for (id, mut parts) in found {
            parts.sort_unstable();
            if let Some(live) = self.live.get_mut(&id) {
                live.pieces.parts = parts.into();
            }
        }
        Ok(())
    }

    /// Copies what has grown. Returns when to come again; `None` while nothing is live. Errors of one
    /// log (a full disk) leave it on tmpfs and are returned when all were tried.
    pub fn tick(&mut self, now: Instant) -> (Option<Instant>, io::Result<()>) {
        let mut result = Ok(());
        let mut next: Option<Instant> = None;
        for (attempt, live) in &mut self.live {
            let due = live.since + TICK;
            let again = if due > now {
                due
            } else {
                match copy(&self.tmpfs, &self.disk, self.cap, *attempt, &mut live.pieces) {
                    Ok(copied) if copied > self.cap / PIECES => now + TICK / 10,
                    Ok(_) => now + TICK,
                    Err(error) => {
                        result = Err(error);
                        now + TICK
                    }
                }
            };
            next = Some(next.map_or(again, |next| next.min(again)));
        }
        (next, result)
    }

    /// An attempt has ended: its log is handed to `pack`, and removed from tmpfs when that went well.
    pub fn ended(
        &mut self,
        attempt: AttemptId,
        pack: impl FnOnce(AttemptId, EndedLog) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut pieces = self.live.remove(&attempt).map_or_else(Pieces::default, |live| live.pieces);
        let path = self.tmpfs.join(attempt.to_string());
        let young = match File::open(&path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let total =
            young.as_ref().map(|file| file.metadata()).transpose()?.map_or(pieces.end(), |meta| meta.len());
        if pieces.parts.is_empty() && total <= self.cap / PIECES {
            let mut bytes = vec![0; total as usize];
            if let Some(file) = &young {
                file.read_exact_at(&mut bytes, 0)?;
            }
            pack(attempt, EndedLog::Bytes(bytes))?;
        } else {
            while copy(&self.tmpfs, &self.disk, self.cap, attempt, &mut pieces)? > 0 {}
            let paths =
                pieces.parts.iter().map(|(offset, _)| piece_path(&self.disk, attempt, *offset)).collect();
            pack(attempt, EndedLog::Files { paths, cut: pieces.start(), total })?;
        }
        if young.is_some() { fs::remove_file(path) } else { Ok(()) }
    }

    /// Removes the disk pieces of an ended log, for retention.
    pub fn discard(paths: &[PathBuf]) -> io::Result<()> {
        for path in paths {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads at most `most` bytes of a live log from `offset` on, from disk and tmpfs.
    pub fn read(&self, attempt: AttemptId, offset: u64, most: usize) -> io::Result<LogChunk> {
        let none = Pieces::default();
        let pieces = self.live.get(&attempt).map_or(&none, |live| &live.pieces);
        let young = match File::open(self.tmpfs.join(attempt.to_string())) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let total =
            young.as_ref().map(|file| file.metadata()).transpose()?.map_or(pieces.end(), |meta| meta.len());
        let cut = pieces.start();
        let offset = offset.clamp(cut, total.max(cut));
        let mut bytes = Vec::new();
        for (begin, length) in &pieces.parts {
            let at = offset + bytes.len() as u64;
            if at >= *begin && at < begin + length && bytes.len() < most {
                let file = File::open(piece_path(&self.disk, attempt, *begin))?;
                append(
                    &file,
                    at - begin,
                    ((begin + length - at) as usize).min(most - bytes.len()),
                    &mut bytes,
                )?;
            }
        }
        let at = offset + bytes.len() as u64;
        if let Some(file) = &young
            && at >= pieces.end()
            && bytes.len() < most
        {
            append(file, at, (total.saturating_sub(at) as usize).min(most - bytes.len()), &mut bytes)?;
        }
        Ok(LogChunk { offset, bytes, total, cut })
    }

    /// The last `most` bytes of a live or just ended log.
    pub fn tail(&self, attempt: AttemptId, most: usize) -> io::Result<LogChunk> {
        let total = self.read(attempt, 0, 0)?.total;
        self.read(attempt, total.saturating_sub(most as u64), most)
    }
}

fn append(file: &File, at: u64, length: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
    let filled = bytes.len();
    bytes.resize(filled + length, 0);
    let mut got = 0;
    while got < length {
        match file.read_at(&mut bytes[filled + got..], at + got as u64)? {
            0 => break,
            count => got += count,
        }
    }
    bytes.truncate(filled + got);
    Ok(())
}

fn piece_path(disk: &Path, attempt: AttemptId, offset: u64) -> PathBuf {
    disk.join(format!("{attempt}@{offset}"))
}

/// Copies what has grown since the last time, and gives its memory back. Returns how much that was.
fn copy(tmpfs: &Path, disk: &Path, cap: u64, attempt: AttemptId, pieces: &mut Pieces) -> io::Result<u64> {
    let source = match OpenOptions::new().read(true).write(true).open(tmpfs.join(attempt.to_string())) {
        Ok(source) => source,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let total = source.metadata()?.len();
    let from = pieces.end();
    if total <= from {
        return Ok(0);
    }
    let mut at = from;
    if total - at > cap {
        // More than may be kept has come at once: what is older than the cap is cut unseen.
        at = total - cap;
        for (offset, _) in pieces.parts.drain(..) {
            let _ = fs::remove_file(piece_path(disk, attempt, offset));
        }
    }
    let most = (cap / PIECES).max(1);
    let mut buffer = vec![0; 256 << 10];
    while at < total {
        if pieces.parts.back().is_none_or(|(offset, length)| *length >= most || offset + length != at) {
            pieces.parts.push_back((at, 0));
        }
        let Some((offset, length)) = pieces.parts.back_mut() else { break };
        let room = (most - *length).min(total - at).min(buffer.len() as u64) as usize;
        let count = source.read_at(&mut buffer[..room], at)?;
        if count == 0 {
            break;
        }
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(piece_path(disk, attempt, *offset))?;
        file.write_all(&buffer[..count])?;
        *length += count as u64;
        at += count as u64;
    }
    while pieces.parts.len() > 1 && pieces.end() - pieces.start() > cap {
        if let Some((offset, _)) = pieces.parts.pop_front() {
            let _ = fs::remove_file(piece_path(disk, attempt, offset));
        }
    }
    // Where holes cannot be punched, the file only stays larger.
    let _ = rustix::fs::fallocate(&source, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, at);
    Ok(at - from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunnage_model::GraphId;
    use std::os::unix::fs::MetadataExt;

    struct Bench {
        _folder: tempfile::TempDir,
        run: PathBuf,
        disk: PathBuf,
        now: Instant,
    }

    fn id() -> AttemptId {
        GraphId(1).task(2).attempt(dunnage_model::Attempt(3))
    }

    fn bench() -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        let (run, disk) = (folder.path().join("run"), folder.path().join("disk"));
        fs::create_dir_all(run.join("logs")).expect("makes");
        Bench { _folder: folder, run, disk, now: Instant::now() }
    }

    impl Bench {
        fn keeper(&self, cap: u64) -> LogKeeper {
            LogKeeper::new(&self.run, self.disk.clone(), cap).expect("makes")
        }

        fn write(&self, bytes: &[u8]) {
            let path = self.run.join("logs").join(id().to_string());
            let mut file = OpenOptions::new().append(true).create(true).open(path).expect("opens");
            file.write_all(bytes).expect("writes");
        }
    }

    #[test]
    fn the_log_of_a_short_attempt_is_handed_over_whole_and_never_touches_the_disk() {
        let bench = bench();
        let mut keeper = bench.keeper(DEFAULT_CAP);
        keeper.started(id(), bench.now);
        bench.write(b"hello\n");
        let (next, result) = keeper.tick(bench.now + TICK / 2);
        result.expect("nothing to do");
        assert_eq!(next, Some(bench.now + TICK));
        let mut seen = None;
        keeper
            .ended(id(), |_, log| {
                seen = Some(log);
                Ok(())
            })
            .expect("ends");
        assert_eq!(seen, Some(EndedLog::Bytes(b"hello\n".to_vec())));
        assert_eq!(fs::read_dir(&bench.disk).expect("lists").count(), 0);
        assert_eq!(fs::read_dir(bench.run.join("logs")).expect("lists").count(), 0);
        assert_eq!(keeper.tick(bench.now).0, None, "nothing lives");
    }

    #[test]
    fn a_long_log_is_copied_and_read_across_disk_and_memory_also_by_the_next_daemon() {
        let bench = bench();
        let mut keeper = bench.keeper(DEFAULT_CAP);
        keeper.started(id(), bench.now);
        bench.write(&[b'a'; 10_000]);
        keeper.tick(bench.now + TICK).1.expect("copies");
        let held = fs::metadata(bench.run.join("logs").join(id().to_string())).expect("is there").blocks();
        assert!(held * 512 < 10_000, "memory was given back, {held} blocks are left");
        bench.write(&[b'b'; 5000]);
        let chunk = keeper.read(id(), 9_990, 20).expect("reads");
        assert_eq!(chunk.bytes, [[b'a'; 10], [b'b'; 10]].concat());
        assert_eq!(keeper.tail(id(), 4).expect("reads").bytes, b"bbbb");

        let mut next = bench.keeper(DEFAULT_CAP);
        next.started(id(), bench.now);
        next.resume().expect("reads");
        next.tick(bench.now + TICK).1.expect("copies");
        let whole = next.read(id(), 0, 1 << 20).expect("reads");
        assert_eq!(
            whole.bytes,
            [vec![b'a'; 10_000], vec![b'b'; 5000]].concat(),
            "nothing twice, nothing lost"
        );
        let mut seen = Vec::new();
        next.ended(id(), |_, log| {
            let EndedLog::Files { paths, cut: 0, total: 15_000 } = log else { panic!("{log:?}") };
            for path in &paths {
                seen.extend(fs::read(path)?);
            }
            LogKeeper::discard(&paths)
        })
        .expect("ends");
        assert_eq!(seen, whole.bytes);
    }

    #[test]
    fn above_the_cap_the_newest_is_kept_and_the_rest_is_counted() {
        let bench = bench();
        let cap = 40_000;
        let mut keeper = bench.keeper(cap);
        keeper.started(id(), bench.now);
        for n in 0..20_u8 {
            bench.write(&[b'a' + n; 5000]);
            keeper.tick(bench.now + TICK).1.expect("copies");
        }
        let chunk = keeper.read(id(), 0, 1 << 20).expect("reads");
        assert_eq!(chunk.total, 100_000);
        assert!(chunk.cut >= 60_000 && chunk.cut <= 70_000, "{}", chunk.cut);
        assert_eq!(chunk.offset, chunk.cut);
        assert_eq!(chunk.bytes.len() as u64, chunk.total - chunk.cut);
        assert_eq!(chunk.bytes.last(), Some(&(b'a' + 19)));
        bench.write(&vec![b'z'; 200_000]);
        keeper.tick(bench.now + TICK).1.expect("copies");
        let chunk = keeper.read(id(), 0, 1 << 20).expect("reads");
        assert_eq!((chunk.cut, chunk.bytes.len()), (260_000, 40_000), "a burst above the cap is cut unseen");
    }
}
