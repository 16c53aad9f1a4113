//! The worker's cache of mapped input files.
//!
//! Mapping a file costs more than reading a small tile of it, and a tile is read by several
//! functions in a row; so maps are kept, up to a number and a size. A map is found again by path
//! and is good only while device, inode, length and time of change are the same: a value that was
//! made again is mapped again.
#![expect(unsafe_code, reason = "maps files")]

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::{Mmap, MmapOptions};

use crate::error::KernelError;

/// A file of a value, mapped for reading.
#[derive(Debug)]
pub struct MappedFile {
    map: Mmap,
}

impl MappedFile {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    bytes: u64,
    changed_ns: i128,
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            changed_ns: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
        }
    }
}

#[derive(Debug)]
struct Entry {
    identity: Identity,
    file: Arc<MappedFile>,
    used: u64,
}

/// Maps of input files, the least recently used leaving first.
#[derive(Debug)]
pub struct MapCache {
    entries: HashMap<PathBuf, Entry>,
    bytes: u64,
    bytes_max: u64,
    files_max: usize,
    clock: u64,
}

impl Default for MapCache {
    /// 1,024 files and 4 GiB: address space, not memory, as the pages belong to the files.
    fn default() -> Self {
        Self::new(1024, 4 << 30)
    }
}

impl MapCache {
    /// A cache that keeps at most so many files of so many bytes together.
    pub fn new(files_max: usize, bytes_max: u64) -> Self {
        Self { entries: HashMap::new(), bytes: 0, bytes_max, files_max, clock: 0 }
    }

    /// The map of `path`, kept or new.
    pub fn get(&mut self, path: &Path) -> Result<Arc<MappedFile>, KernelError> {
        let lost =
            |message: &str| KernelError::ValueLost { path: path.to_owned(), message: message.to_owned() };
        let failed = |doing, source: io::Error| {
            if source.kind() == io::ErrorKind::NotFound {
                lost("its file is missing")
            } else {
                KernelError::Io { doing, path: path.to_owned(), source }
            }
        };
        let metadata = std::fs::metadata(path).map_err(|error| failed("read", error))?;
        if !metadata.is_file() {
            return Err(lost("it is not a regular file"));
        }
        self.clock += 1;
        if let Some(entry) = self.entries.get_mut(path) {
            if entry.identity == Identity::of(&metadata) {
                entry.used = self.clock;
                return Ok(Arc::clone(&entry.file));
            }
            self.forget(path);
        }
        let file = File::open(path).map_err(|error| failed("open", error))?;
        // Of the file that was opened, in case it was replaced since.
        let metadata = file.metadata().map_err(|error| failed("read", error))?;
        if !metadata.is_file() {
            return Err(lost("it is not a regular file"));
        }
        // SAFETY: values are written under another name and renamed, and never written again, so
        // the bytes do not change while they are mapped. Should somebody cut the file from
        // outside, reading beyond its end raises SIGBUS, which ends this worker and nothing else.
        let map =
            unsafe { MmapOptions::new().populate().map(&file) }.map_err(|error| failed("map", error))?;
        let mapped = Arc::new(MappedFile { map });
        self.bytes += metadata.len();
        self.entries.insert(
            path.to_owned(),
            Entry { identity: Identity::of(&metadata), file: Arc::clone(&mapped), used: self.clock },
        );
        self.evict();
        Ok(mapped)
    }

    /// Drops the map of `path`.
    pub fn forget(&mut self, path: &Path) {
        if let Some(entry) = self.entries.remove(path) {
            self.bytes -= entry.identity.bytes;
        }
    }

    /// Drops the maps of files that are gone, whose pages only the maps still hold. Call it when
    /// the worker is idle.
    pub fn sweep(&mut self) {
        let gone: Vec<PathBuf> = self
            .entries
            .iter()
            .filter(|(path, entry)| {
                std::fs::metadata(path).map_or(true, |now| Identity::of(&now) != entry.identity)
            })
            .map(|(path, _)| path.clone())
            .collect();
        for path in gone {
            self.forget(&path);
        }
    }

    /// How many files are kept mapped.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes kept mapped.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn evict(&mut self) {
        while self.entries.len() > self.files_max || self.bytes > self.bytes_max {
            let Some(oldest) =
                self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(path, _)| path.clone())
            else {
                return;
            };
            self.forget(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Cause;

    #[test]
    fn maps_are_kept_replaced_and_evicted() {
        let folder = tempfile::tempdir().expect("folder");
        let path = |name: &str| folder.path().join(name);
        for name in ["a", "b", "c"] {
            std::fs::write(path(name), name.repeat(10)).expect("written");
        }
        let mut cache = MapCache::new(2, 1000);
        let first = cache.get(&path("a")).expect("mapped");
        assert!(Arc::ptr_eq(&first, &cache.get(&path("a")).expect("kept")));
        cache.get(&path("b")).expect("mapped");
        cache.get(&path("a")).expect("kept");
        cache.get(&path("c")).expect("mapped");
        assert_eq!((cache.len(), cache.bytes()), (2, 20));
        assert!(!cache.entries.contains_key(&path("b")), "b was used least recently");

        // Made again under the same name: another file.
        std::fs::write(path("new"), "other bytes").expect("written");
        std::fs::rename(path("new"), path("a")).expect("renamed");
        assert_eq!(cache.get(&path("a")).expect("mapped").bytes(), b"other bytes");
        assert_eq!(first.bytes(), "a".repeat(10).as_bytes(), "the old map stays good");

        std::fs::remove_file(path("c")).expect("removed");
        cache.sweep();
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn a_missing_file_is_a_lost_value() {
        let folder = tempfile::tempdir().expect("folder");
        let mut cache = MapCache::default();
        let error = cache.get(&folder.path().join("gone.npy")).expect_err("missing");
        assert_eq!(error.cause(), Cause::ValueLost);
        let error = cache.get(folder.path()).expect_err("a folder");
        assert_eq!(error.cause(), Cause::ValueLost);
    }

    #[test]
    fn an_empty_file_maps_as_nothing() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("empty");
        std::fs::write(&path, "").expect("written");
        assert_eq!(MapCache::default().get(&path).expect("mapped").bytes(), b"");
    }

    #[test]
    fn one_file_above_the_limit_is_not_kept() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("big");
        std::fs::write(&path, [7; 100]).expect("written");
        let mut cache = MapCache::new(10, 50);
        assert_eq!(cache.get(&path).expect("mapped").bytes().len(), 100);
        assert!(cache.is_empty());
    }
}
