//! Locks on GPUs between runs without a daemon: two such runs never over-commit a device.
//!
//! A lock is `flock` on a file named after the device in a folder that all users share. It goes with
//! its holder, however that ends. The holder's pid stands in the file, for people.

use rustix::fs::FlockOperation;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A held lock; dropping it gives the device back.
#[derive(Debug)]
pub struct GpuLock {
    _file: File,
}

/// Why a device is not ours.
#[derive(Debug, thiserror::Error)]
pub enum GpuLockError {
    /// Another run has it.
    #[error("device `{device}` is held by {}", holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}")))]
    Held {
        /// Which.
        device: String,
        /// By whom, where that is known.
        holder: Option<u32>,
    },
    /// The folder or file cannot be used.
    #[error("cannot lock device `{device}` in `{}`", folder.display())]
    Io {
        /// Which.
        device: String,
        /// Where.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The folder that all users of this machine share.
pub fn shared_folder() -> PathBuf {
    // /tmp and not TMPDIR: users with different TMPDIRs have to meet.
    PathBuf::from("/tmp/dunnage-locks")
}

impl GpuLock {
    /// Takes the lock if it is free.
    pub fn try_take(folder: &Path, device: &str) -> Result<Self, GpuLockError> {
        Self::take(folder, device, FlockOperation::NonBlockingLockExclusive)
    }

    /// Waits for the lock. Blocks; call it beside the loop.
    pub fn wait(folder: &Path, device: &str) -> Result<Self, GpuLockError> {
        Self::take(folder, device, FlockOperation::LockExclusive)
    }

    fn take(folder: &Path, device: &str, how: FlockOperation) -> Result<Self, GpuLockError> {
        let failed =
            |source| GpuLockError::Io { device: device.to_owned(), folder: folder.to_owned(), source };
        let mut file = open(folder, device).map_err(failed)?;
        loop {
            match rustix::fs::flock(&file, how) {
                Ok(()) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let mut text = String::new();
                    let holder = (&file)
                        .take(32)
                        .read_to_string(&mut text)
                        .ok()
                        .and_then(|_| text.trim().parse().ok());
                    return Err(GpuLockError::Held { device: device.to_owned(), holder });
                }
                Err(error) => return Err(failed(error.into())),
            }
        }
        // Only for people; the lock is what counts.
        let _ = file.set_len(0);
        let _ = writeln!(file, "{}", std::process::id());
        Ok(Self { _file: file })
    }
}

fn open(folder: &Path, device: &str) -> io::Result<File> {
    let plain = device.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:".contains(c));
    if device.is_empty() || !plain || device.starts_with('.') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the name of a device"));
    }
    match DirBuilder::new().mode(0o1777).create(folder) {
        // The umask took bits away.
        Ok(()) => fs::set_permissions(folder, fs::Permissions::from_mode(0o1777))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if !fs::symlink_metadata(folder)?.is_dir() {
                return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is not a directory"));
            }
        }
        Err(error) => return Err(error),
    }
    let path = folder.join(device);
    // Existing files are opened without O_CREAT: in a sticky folder the kernel may refuse that for
    // files of others (fs.protected_regular). Links are never followed.
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_NOFOLLOW);
    match options.open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    match options.clone().create_new(true).mode(0o666).open(&path) {
        Ok(file) => {
            if file.metadata()?.mode() & 0o777 != 0o666 {
                file.set_permissions(fs::Permissions::from_mode(0o666))?;
            }
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(&path),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_one_holder_and_is_free_again_after_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let locks = folder.path().join("locks");
        let first = GpuLock::try_take(&locks, "GPU-1").expect("is free");
        let _other = GpuLock::try_take(&locks, "GPU-2").expect("another device is free");
        match GpuLock::try_take(&locks, "GPU-1") {
            Err(GpuLockError::Held { holder, .. }) => assert_eq!(holder, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(first);
        GpuLock::wait(&locks, "GPU-1").expect("is free again");
        assert_eq!(fs::metadata(&locks).expect("is there").mode() & 0o7777, 0o1777);
        assert_eq!(fs::metadata(locks.join("GPU-1")).expect("is there").mode() & 0o777, 0o666);
    }

    #[test]
    fn a_name_cannot_leave_the_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["", "..", "../x", "a/b"] {
            assert!(matches!(GpuLock::try_take(folder.path(), name), Err(GpuLockError::Io { .. })), "{name}");
        }
    }
}
