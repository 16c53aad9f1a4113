//! Where values live: files named after the attempt that wrote them.
//!
//! `<root>/<graph>/<task>.<index>.a<attempt>.<ext>`. Because the name holds the attempt, one that comes
//! late never overwrites the value of another; which attempt's file *is* the value is a fact that the
//! journal remembers, so committing renames nothing. Values of known size may live on tmpfs within a
//! budget; those that outlive their graph's run are on disk and synced.

use crate::engine::RunAs;
use dunnage_model::{Attempt, GraphId, OutputKind, ValueId};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Where the file of a value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Medium {
    /// The state directory.
    Disk,
    /// Memory.
    Tmpfs,
}

/// A value that is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Located {
    /// Its file or folder.
    pub path: PathBuf,
    /// Bytes in it.
    pub size: u64,
    /// Where that is.
    pub medium: Medium,
}

/// The files of values.
#[derive(Debug)]
pub struct ValueStore {
    disk: PathBuf,
    tmpfs: Option<PathBuf>,
    budget: u64,
    /// What is promised to values on tmpfs, by value.
    promised: BTreeMap<ValueId, u64>,
    used: u64,
}

impl ValueStore {
    /// A store with its folders. `budget`: bytes of tmpfs that values may hold together.
    pub fn new(disk: PathBuf, tmpfs: Option<PathBuf>, budget: u64) -> io::Result<Self> {
        for root in std::iter::once(&disk).chain(&tmpfs) {
            private_dir(root, true)?;
        }
        Ok(Self { disk, tmpfs, budget, promised: BTreeMap::new(), used: 0 })
    }

    /// Makes the folders of a graph, owned by whoever its tasks run as.
    pub fn prepare(&self, graph: GraphId, user: Option<&RunAs>) -> io::Result<()> {
        for root in self.roots() {
            let dir = root.join(graph.to_string());
            private_dir(&dir, false)?;
            if let Some(user) = user {
                std::os::unix::fs::chown(&dir, Some(user.uid), Some(user.gid))?;
                // The way there may be walked, not looked at.
                fs::set_permissions(root, std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
            }
        }
        Ok(())
    }

    /// Where a new value should be written. Tmpfs only when its size is known, it need not outlive its
    /// readers, and the budget allows; the budget is then promised to it until `free`.
    pub fn choose(&mut self, value: ValueId, size: Option<u64>, durable: bool) -> Medium {
        if let Some(earlier) = self.promised.remove(&value) {
            self.used -= earlier;
        }
        match size {
            Some(size)
                if !durable && self.tmpfs.is_some() && self.used.saturating_add(size) <= self.budget =>
            {
                self.used += size;
                self.promised.insert(value, size);
                Medium::Tmpfs
            }
            _ => Medium::Disk,
        }
    }

    /// The file that this attempt writes.
    pub fn path(&self, value: ValueId, attempt: Attempt, kind: OutputKind, medium: Medium) -> PathBuf {
        let root = match (medium, &self.tmpfs) {
            (Medium::Tmpfs, Some(tmpfs)) => tmpfs,
            _ => &self.disk,
        };
        let extension = match kind {
            OutputKind::File => "bin",
            OutputKind::Dir => "dir",
            OutputKind::Npy => "npy",
            OutputKind::Json => "json",
        };
        let ValueId { producer, index } = value;
        root.join(producer.graph.to_string())
            .join(format!("{}.{index}.a{}.{extension}", producer.index, attempt.0))
    }

    /// What this attempt has written; `None` if there is nothing of that kind.
    pub fn locate(&self, value: ValueId, attempt: Attempt, kind: OutputKind) -> io::Result<Option<Located>> {
        for medium in [Medium::Tmpfs, Medium::Disk] {
            let path = self.path(value, attempt, kind, medium);
            match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_dir() && kind == OutputKind::Dir => {
                    let size = tree_size(&path)?;
                    return Ok(Some(Located { path, size, medium }));
                }
                Ok(metadata) if metadata.is_file() && kind != OutputKind::Dir => {
                    return Ok(Some(Located { path, size: metadata.len(), medium }));
                }
                // A link or a socket is no value: it could point anywhere.
                Ok(_) => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Brings values to the disk for good: each file, then each folder once. Blocks.
    pub fn sync(values: &[Located]) -> io::Result<()> {
        let mut parents = BTreeSet::new();
        for value in values.iter().filter(|value| value.medium == Medium::Disk) {
            sync_tree(&value.path)?;
            parents.extend(value.path.parent());
        }
        for parent in parents {
            File::open(parent)?.sync_all()?;
        }
        Ok(())
    }

    /// Removes what an attempt has written. Nothing there is fine.
    pub fn free(&mut self, value: ValueId, attempt: Attempt, kind: OutputKind) -> io::Result<()> {
        if let Some(size) = self.promised.remove(&value) {
            self.used -= size;
        }
        for medium in [Medium::Tmpfs, Medium::Disk] {
            let path = self.path(value, attempt, kind, medium);
            absent_is_fine(if kind == OutputKind::Dir {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            })?;
        }
        Ok(())
    }

    /// Removes everything of a graph. Blocks.
    pub fn purge(&mut self, graph: GraphId) -> io::Result<()> {
        let first = ValueId { producer: graph.task(0), index: 0 };
        let last = ValueId { producer: graph.task(u32::MAX), index: u16::MAX };
        let gone: Vec<ValueId> = self.promised.range(first..=last).map(|(value, _)| *value).collect();
        for value in gone {
            self.used -= self.promised.remove(&value).unwrap_or(0);
        }
        for root in self.roots() {
            absent_is_fine(fs::remove_dir_all(root.join(graph.to_string())))?;
        }
        Ok(())
    }

    /// Bytes that a graph's values hold, on disk and on tmpfs. Blocks.
    pub fn size(&self, graph: GraphId) -> io::Result<u64> {
        let mut size = 0;
        for root in self.roots() {
            let dir = root.join(graph.to_string());
            if dir.is_dir() {
                size += tree_size(&dir)?;
            }
        }
        Ok(size)
    }

    /// Bytes of tmpfs that are promised.
    pub const fn tmpfs_used(&self) -> u64 {
        self.used
    }

    fn roots(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.disk.as_path()).chain(self.tmpfs.as_deref())
    }
}

fn private_dir(path: &Path, parents: bool) -> io::Result<()> {
    match DirBuilder::new().recursive(parents).mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn tree_size(path: &Path) -> io::Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        size += if metadata.is_dir() { tree_size(&entry.path())? } else { metadata.size() };
    }
    Ok(size)
}

fn sync_tree(path: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            sync_tree(&entry?.path())?;
        }
        File::open(path)?.sync_all()
    } else if metadata.is_file() {
        File::open(path)?.sync_all()
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, ValueStore) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = ValueStore::new(folder.path().join("disk"), Some(folder.path().join("tmpfs")), 100);
        (folder, store.expect("makes"))
    }

    fn value(task: u32) -> ValueId {
        ValueId { producer: GraphId(3).task(task), index: 0 }
    }

    #[test]
    fn a_late_attempt_does_not_touch_the_value_of_another() {
        let (_folder, mut store) = store();
        store.prepare(GraphId(3), None).expect("prepares");
        for attempt in [1, 2] {
            let path = store.path(value(1), Attempt(attempt), OutputKind::Json, Medium::Disk);
            fs::write(path, vec![b'x'; attempt as usize]).expect("writes");
        }
        let found = store.locate(value(1), Attempt(1), OutputKind::Json).expect("reads").expect("is there");
        assert_eq!(found.size, 1);
        ValueStore::sync(std::slice::from_ref(&found)).expect("syncs");
        store.free(value(1), Attempt(1), OutputKind::Json).expect("frees");
        store.free(value(1), Attempt(1), OutputKind::Json).expect("again");
        assert_eq!(store.locate(value(1), Attempt(1), OutputKind::Json).expect("reads"), None);
        assert_eq!(store.size(GraphId(3)).expect("reads"), 2);
        store.purge(GraphId(3)).expect("purges");
        assert_eq!(store.size(GraphId(3)).expect("reads"), 0);
    }

    #[test]
    fn tmpfs_is_used_within_its_budget_only() {
        let (_folder, mut store) = store();
        assert_eq!(store.choose(value(1), Some(60), false), Medium::Tmpfs);
        assert_eq!(store.choose(value(2), Some(60), false), Medium::Disk, "no room");
        assert_eq!(store.choose(value(3), Some(10), true), Medium::Disk, "must last");
        assert_eq!(store.choose(value(4), None, false), Medium::Disk, "size unknown");
        assert_eq!(
            store.choose(value(1), Some(50), false),
            Medium::Tmpfs,
            "a new attempt replaces the promise"
        );
        assert_eq!(store.tmpfs_used(), 50);
        store.free(value(1), Attempt(1), OutputKind::Npy).expect("frees");
        assert_eq!(store.tmpfs_used(), 0);
    }

    #[test]
    fn a_link_is_no_value_and_a_folder_is_one_with_all_that_is_in_it() {
        let (folder, store) = store();
        store.prepare(GraphId(3), None).expect("prepares");
        let path = store.path(value(1), Attempt(1), OutputKind::File, Medium::Disk);
        std::os::unix::fs::symlink("/etc/passwd", path).expect("links");
        assert_eq!(store.locate(value(1), Attempt(1), OutputKind::File).expect("reads"), None);
        let dir = store.path(value(2), Attempt(1), OutputKind::Dir, Medium::Disk);
        fs::create_dir_all(dir.join("inner")).expect("makes");
        fs::write(dir.join("inner/file"), "12345").expect("writes");
        let found = store.locate(value(2), Attempt(1), OutputKind::Dir).expect("reads").expect("is there");
        assert_eq!(found.size, 5);
        ValueStore::sync(&[found]).expect("syncs");
        drop(folder);
    }
}
