//! Packed logs of ended attempts: many small logs in few large files, appended a batch at a time.
//!
//! The index in the journal names segment, offset, length and checksum of each log. After a loss of
//! power the index may name what never reached the disk, or a place that another log has taken since;
//! the checksum tells, and the log is then reported as lost rather than shown wrongly.

use crate::StoreError;
use crate::checksum::Crc;
use crate::dir::{make_dir, sync_dir};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A segment that has grown to this gets no more logs.
const SEGMENT_BYTES: u64 = 64 << 20;

/// Where a log lies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place {
    /// In which segment.
    pub segment: u32,
    /// Where it begins there.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
    /// Of its bytes.
    pub checksum: u32,
}

/// The folder of segments. One owner appends; reading needs only a shared reference.
#[derive(Debug)]
pub struct Segments {
    folder: PathBuf,
    segment_bytes: u64,
    /// The number of the segment that grows.
    current: u32,
    /// Opened with the first log, so that a start writes nothing.
    file: Option<File>,
    end: u64,
    unsynced: bool,
}

impl Segments {
    /// The segments of a state directory: `StateDir::folder("logs")`.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        Self::with_segment_bytes(folder, SEGMENT_BYTES)
    }

    /// The same with another size at which a new segment is begun.
    pub fn with_segment_bytes(folder: &Path, segment_bytes: u64) -> Result<Self, StoreError> {
        make_dir(folder)?;
        let current = numbers(folder)?.last().copied().unwrap_or(0);
        Ok(Self { folder: folder.to_owned(), segment_bytes, current, file: None, end: 0, unsynced: false })
    }

    /// Appends logs and says where they lie. They survive the death of this process.
    pub fn append(&mut self, logs: &[impl AsRef<[u8]>]) -> Result<Vec<Place>, StoreError> {
        let mut places = Vec::with_capacity(logs.len());
        let mut rest = logs;
        while !rest.is_empty() {
            let start = self.writable()?;
            let mut bytes = Vec::new();
            let mut taken = 0;
            for log in rest {
                let offset = start + bytes.len() as u64;
                if taken > 0 && offset >= self.segment_bytes {
                    break;
                }
                let log = log.as_ref();
                bytes.extend_from_slice(log);
                let checksum = Crc::new().with(log).value();
                places.push(Place { segment: self.current, offset, length: log.len() as u64, checksum });
                taken += 1;
            }
            let path = self.path(self.current);
            let file = self.file.as_ref().ok_or_else(|| StoreError::Missing { path: path.clone() })?;
            file.write_all_at(&bytes, start).map_err(|source| StoreError::io("append to", &path, source))?;
            self.end = start + bytes.len() as u64;
            self.unsynced = true;
            rest = &rest[taken..];
        }
        Ok(places)
    }

    /// Makes everything appended so far survive the loss of power.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        if let (Some(file), true) = (&self.file, self.unsynced) {
            file.sync_data().map_err(|source| StoreError::io("sync", &self.path(self.current), source))?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Reads a log.
    ///
    /// # Errors
    ///
    /// When its segment is gone, or something else lies there.
    pub fn read(&self, place: Place) -> Result<Vec<u8>, StoreError> {
        read(&self.folder, place)
    }

    /// A reader for other threads.
    pub fn reader(&self) -> impl Fn(Place) -> Result<Vec<u8>, StoreError> + Send + Sync + Clone + use<> {
        let folder = self.folder.clone();
        move |place| read(&folder, place)
    }

    /// Removes every segment but these and the one that grows, and says how many.
    pub fn retain(&self, in_use: &BTreeSet<u32>) -> Result<usize, StoreError> {
        let mut removed = 0;
        for number in numbers(&self.folder)? {
            if number != self.current && !in_use.contains(&number) {
                let path = self.path(number);
                fs::remove_file(&path).map_err(|source| StoreError::io("remove", &path, source))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// The end of the segment that grows; a new one is begun where the last is full.
    fn writable(&mut self) -> Result<u64, StoreError> {
        if self.file.is_some() && self.end >= self.segment_bytes {
            self.sync()?;
            self.file = None;
            self.current += 1;
        }
        while self.file.is_none() {
            self.current = self.current.max(1);
            let path = self.path(self.current);
            let made = !path.exists();
            let opened = (|| {
                let file = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .create(true)
                    .truncate(false)
                    .mode(0o600)
                    .open(&path)?;
                let end = file.metadata()?.len();
                if made {
                    sync_dir(&self.folder)?;
                }
                Ok((file, end))
            })();
            let (file, end) = opened.map_err(|source| StoreError::io("open", &path, source))?;
            if end >= self.segment_bytes {
                self.current += 1;
            } else {
                (self.file, self.end) = (Some(file), end);
            }
        }
        Ok(self.end)
    }

    fn path(&self, segment: u32) -> PathBuf {
        segment_path(&self.folder, segment)
    }
}

fn read(folder: &Path, place: Place) -> Result<Vec<u8>, StoreError> {
    let path = segment_path(folder, place.segment);
    let damaged = |detail: String| StoreError::Damaged { path: path.clone(), detail };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(StoreError::Missing { path }),
        Err(source) => return Err(StoreError::io("open", &path, source)),
    };
    let size = file.metadata().map_err(|source| StoreError::io("read", &path, source))?.len();
    // Asked before anything is allocated: the place comes from an index that may be damaged.
    if place.offset.checked_add(place.length).is_none_or(|end| end > size) {
        return Err(damaged(format!("the log at byte {} lies beyond its end", place.offset)));
    }
    let mut log = vec![0; place.length as usize];
    file.read_exact_at(&mut log, place.offset).map_err(|source| StoreError::io("read", &path, source))?;
    if Crc::new().with(&log).value() != place.checksum {
        return Err(damaged(format!("at byte {} lies something else than the log", place.offset)));
    }
    Ok(log)
}

fn segment_path(folder: &Path, segment: u32) -> PathBuf {
    folder.join(format!("segment-{segment:06}.log"))
}

/// The segments that exist, in order.
fn numbers(folder: &Path) -> Result<Vec<u32>, StoreError> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder).map_err(|source| StoreError::io("list", folder, source))? {
        let name = entry.map_err(|source| StoreError::io("list", folder, source))?.file_name();
        let name = name.to_string_lossy();
        let number = name.strip_prefix("segment-").and_then(|rest| rest.strip_suffix(".log"));
        numbers.extend(number.and_then(|number| number.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::{Place, Segments};
    use crate::StoreError;
    use std::collections::BTreeSet;
    use std::fs;

    #[test]
    fn logs_come_back_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut segments = Segments::open(dir.path()).unwrap();
        let first = segments.append(&["one", "", "three"]).unwrap();
        segments.sync().unwrap();
        drop(segments);
        let mut segments = Segments::open(dir.path()).unwrap();
        let second = segments.append(&[b"four"]).unwrap();
        let read: Vec<Vec<u8>> =
            first.iter().chain(&second).map(|place| segments.reader()(*place).unwrap()).collect();
        assert_eq!(read, [&b"one"[..], b"", b"three", b"four"]);
    }

    #[test]
    fn a_full_segment_is_followed_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let mut segments = Segments::with_segment_bytes(dir.path(), 100).unwrap();
        let logs: Vec<Vec<u8>> = (0..20).map(|n| vec![n; 40]).collect();
        let places = segments.append(&logs).unwrap();
        assert_eq!(places.iter().map(|place| place.segment).collect::<BTreeSet<_>>().len(), 7);
        for (log, place) in logs.iter().zip(&places) {
            assert_eq!(&segments.read(*place).unwrap(), log);
        }
        // Retention: what nobody names goes, but never the segment that grows.
        assert_eq!(segments.retain(&BTreeSet::from([3])).unwrap(), 5);
        assert!(matches!(segments.read(places[0]), Err(StoreError::Missing { .. })));
        assert!(segments.read(*places.last().unwrap()).is_ok());
        assert!(segments.read(places[8]).is_ok());
    }

    #[test]
    fn what_never_reached_the_disk_is_an_error_and_not_another_log() {
        let dir = tempfile::tempdir().unwrap();
        let mut segments = Segments::open(dir.path()).unwrap();
        let places = segments.append(&[vec![b'a'; 50], vec![b'b'; 50]]).unwrap();
        drop(segments);
        // The loss of power: the file is shorter than its index says, and the next start goes on there.
        let path = dir.path().join("segment-000001.log");
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(50).unwrap();
        let mut segments = Segments::open(dir.path()).unwrap();
        assert!(matches!(segments.read(places[1]), Err(StoreError::Damaged { .. })));
        let after = segments.append(&[vec![b'c'; 50]]).unwrap();
        assert_eq!((after[0].offset, after[0].length), (places[1].offset, places[1].length));
        assert!(matches!(segments.read(places[1]), Err(StoreError::Damaged { .. })));
        assert_eq!(segments.read(places[0]).unwrap(), vec![b'a'; 50]);
    }

    #[test]
    fn damaged_bytes_and_mad_places_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let mut segments = Segments::open(dir.path()).unwrap();
        let place = segments.append(&["a log"]).unwrap()[0];
        for mad in [
            Place { offset: u64::MAX, ..place },
            Place { length: u64::MAX, ..place },
            Place { length: 4, ..place },
            Place { offset: 1, length: 4, ..place },
        ] {
            assert!(matches!(segments.read(mad), Err(StoreError::Damaged { .. })), "{mad:?}");
        }
        let path = dir.path().join("segment-000001.log");
        let mut bytes = fs::read(&path).unwrap();
        bytes[2] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(matches!(segments.read(place), Err(StoreError::Damaged { .. })));
    }
}
