//! The state directory: made if it does not exist, ours or refused, and held by one process.
//!
//! ```text
//! DIR/VERSION          says that the directory is ours, and in which format
//! DIR/lock             locked while in use; names the process that holds it
//! DIR/journal.db       graphs, facts, indexes (with -wal and -shm beside it)
//! DIR/env/HASH         captured environments
//! DIR/logs/segment-N.log   packed logs of ended attempts
//! ```
//! Others may keep folders of their own beside these; `runs/` (local runs, each with a state directory of
//! its own) may be there before the first daemon is.

use crate::StoreError;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The format of the directory's layout.
const LAYOUT: u64 = 1;
const VERSION: &str = "VERSION";
const VERSION_WORDS: &str = "dunnage state ";
const LOCK: &str = "lock";
/// The journal's file in a state directory.
pub const JOURNAL: &str = "journal.db";

/// A state directory that this process holds until the value is dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Kept for its lock, which ends with it however the process ends.
    _lock: File,
    marked: bool,
}

impl StateDir {
    /// Takes a directory, and makes it if it does not exist.
    ///
    /// # Errors
    ///
    /// When it cannot be written, holds something else, is of a newer format, or is in use.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        make_dir(path)?;
        let found = fs::metadata(path).map_err(|source| not_writable(path, source))?;
        if !found.is_dir() {
            return Err(not_ours(path, "it is not a directory"));
        }
        let user = rustix::process::geteuid().as_raw();
        if found.uid() != user {
            return Err(not_ours(
                path,
                &format!("it belongs to user {}, and this is user {user}", found.uid()),
            ));
        }
        let marked = read_version(path)?;
        if !marked {
            refuse_foreign(path)?;
        }
        let lock = take_lock(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock, marked })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the journal lies.
    pub fn journal(&self) -> PathBuf {
        self.path.join(JOURNAL)
    }

    /// A folder in it by name, made if it does not exist, for its owner alone.
    pub fn folder(&self, name: &str) -> Result<PathBuf, StoreError> {
        let path = self.path.join(name);
        make_dir(&path)?;
        Ok(path)
    }

    /// Whether it has been in use before, so that nothing in it may be missing.
    pub(crate) fn is_marked(&self) -> bool {
        self.marked
    }

    /// Says that the directory is ours. Only done once everything in it is complete on disk, so that a
    /// start that was interrupted is simply made again.
    pub(crate) fn mark(&mut self) -> Result<(), StoreError> {
        if self.marked {
            return Ok(());
        }
        write_durably(&self.path, VERSION, format!("{VERSION_WORDS}{LAYOUT}\n").as_bytes())?;
        self.marked = true;
        Ok(())
    }
}

/// Makes a directory, for its owner alone, and those above it.
pub(crate) fn make_dir(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Ok(()) => Ok(()),
        Err(_) if path.exists() => Err(not_ours(path, "it is not a directory")),
        Err(source) => Err(not_writable(path, source)),
    }
}

/// Writes a new file so that after a crash it is there whole or not at all, readable by its owner alone.
pub(crate) fn write_durably(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let path = folder.join(name);
    let unfinished = folder.join(format!(".{name}.{}", std::process::id()));
    let written = (|| {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        sync_dir(folder)
    })();
    written.map_err(|source| {
        // It may never have been made; the first error is the one to tell.
        drop(fs::remove_file(&unfinished));
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                not_writable(folder, source)
            }
            _ => StoreError::io("write", &path, source),
        }
    })
}

/// Makes the names in a directory survive the loss of power.
pub(crate) fn sync_dir(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn read_version(path: &Path) -> Result<bool, StoreError> {
    let file = path.join(VERSION);
    let text = match fs::read(&file) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(StoreError::io("read", &file, source)),
    };
    let number = text.strip_prefix(VERSION_WORDS).and_then(|number| number.trim_end().parse::<u64>().ok());
    match number {
        Some(LAYOUT) => Ok(true),
        Some(found) if found > LAYOUT => Err(StoreError::Newer { path: file, found, known: LAYOUT }),
        Some(_) | None => Err(not_ours(path, &format!("its {VERSION} file says something else"))),
    }
}

/// Without a mark, only what an interrupted first start leaves behind may be there.
fn refuse_foreign(path: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(path).map_err(|source| not_writable(path, source))? {
        let name = entry.map_err(|source| not_writable(path, source))?.file_name();
        let name = name.to_string_lossy();
        let ours = name == LOCK
            || name.starts_with(JOURNAL)
            || name == "env"
            || name == "logs"
            || name == "runs"
            || name.starts_with("history.")
            || name.starts_with(&format!(".{VERSION}."));
        if !ours {
            return Err(not_ours(path, &format!("it holds `{name}` and no {VERSION} file")));
        }
    }
    Ok(())
}

fn take_lock(path: &Path) -> Result<File, StoreError> {
    let file = path.join(LOCK);
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&file)
        .map_err(|source| not_writable(path, source))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // A number is a help for people; the lock itself is what counts.
            let pid = lock.take(32).read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(StoreError::Locked { path: path.to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(StoreError::io("lock", &file, source)),
    }
    let named = (|| {
        lock.set_len(0)?;
        lock.rewind()?;
        writeln!(lock, "{}", std::process::id())
    })();
    named.map_err(|source| match source.kind() {
        io::ErrorKind::StorageFull => StoreError::Full { path: file },
        _ => not_writable(path, source),
    })?;
    Ok(lock)
}

fn not_writable(path: &Path, source: io::Error) -> StoreError {
    StoreError::NotWritable { path: path.to_owned(), source }
}

fn not_ours(path: &Path, found: &str) -> StoreError {
    StoreError::NotOurs { path: path.to_owned(), found: found.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{LAYOUT, StateDir};
    use crate::StoreError;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_new_directory_is_made_for_its_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b/state");
        let mut dir = StateDir::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(!dir.is_marked());
        dir.mark().unwrap();
        drop(dir);
        assert!(StateDir::open(&path).unwrap().is_marked());
    }

    #[test]
    fn the_second_one_is_refused_and_told_who_holds_it() {
        let parent = tempfile::tempdir().unwrap();
        let held = StateDir::open(parent.path()).unwrap();
        let error = StateDir::open(parent.path()).unwrap_err();
        let pid = std::process::id();
        assert!(matches!(error, StoreError::Locked { pid: Some(found), .. } if found == pid), "{error}");
        assert!(error.to_string().contains(&format!("process {pid}")), "{error}");
        drop(held);
        StateDir::open(parent.path()).unwrap();
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "x").unwrap();
        let foreign = StateDir::open(parent.path()).unwrap_err();
        assert!(matches!(&foreign, StoreError::NotOurs { .. }), "{foreign}");
        assert!(foreign.to_string().contains("it holds `file`"), "{foreign}");
        assert!(!parent.path().join("lock").exists(), "nothing is left in a directory of others");
        let no_dir = StateDir::open(&file).unwrap_err();
        assert!(no_dir.to_string().contains("not a directory"), "{no_dir}");
        let below_a_file = StateDir::open(&file.join("state")).unwrap_err();
        assert!(matches!(below_a_file, StoreError::NotWritable { .. }), "{below_a_file}");
    }

    #[test]
    fn a_newer_layout_and_another_mark_are_refused() {
        let parent = tempfile::tempdir().unwrap();
        let version = parent.path().join("VERSION");
        fs::write(&version, format!("dunnage state {}\n", LAYOUT + 1)).unwrap();
        assert!(matches!(StateDir::open(parent.path()), Err(StoreError::Newer { found: 2, known: 1, .. })));
        fs::write(&version, "1.2.3").unwrap();
        assert!(matches!(StateDir::open(parent.path()), Err(StoreError::NotOurs { .. })));
    }
}
