//! Where the runtime directory is: memory-backed, private, and with a path short enough for sockets.

use std::fs::{self, DirBuilder};
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The longest path of a Unix socket, without its final zero.
const SOCKET_PATH: usize = 107;

/// The longest name of a socket that is made in a runtime directory.
const LONGEST_NAME: usize = "/launcher999.sock".len();

/// Why no runtime directory can be had.
#[derive(Debug, thiserror::Error)]
pub enum RundirError {
    /// Somebody else's folder is where ours should be.
    #[error("`{}` cannot be used: {why}; remove it or set XDG_RUNTIME_DIR", path.display())]
    Unsafe {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It cannot be made.
    #[error("cannot make `{}`", path.display())]
    Make {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A runtime directory that was chosen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rundir {
    /// The folder, 0700 and ours.
    pub path: PathBuf,
    /// Whether it is in memory; on a disk starts are slower, and the claims of an earlier boot are
    /// found there (and known by their boot id).
    pub tmpfs: bool,
}

/// The runtime directory for a state directory: the first of `$XDG_RUNTIME_DIR/dunnage`,
/// `/run/user/UID/dunnage`, `/dev/shm/dunnage-UID` that is on tmpfs, else `/tmp/dunnage-UID`, with a
/// folder in it that is named after the state directory.
pub fn choose(state_dir: &Path) -> Result<Rundir, RundirError> {
    let uid = rustix::process::geteuid().as_raw();
    let xdg = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let mut candidates = Vec::new();
    if let Some(xdg) = xdg {
        candidates.push(xdg.join("dunnage"));
    }
    candidates.push(PathBuf::from(format!("/run/user/{uid}/dunnage")));
    candidates.push(PathBuf::from(format!("/dev/shm/dunnage-{uid}")));
    choose_from(&candidates, Path::new(&format!("/tmp/dunnage-{uid}")), state_dir)
}

fn choose_from(candidates: &[PathBuf], last: &Path, state_dir: &Path) -> Result<Rundir, RundirError> {
    let state_dir = state_dir.canonicalize().unwrap_or_else(|_| state_dir.to_owned());
    let name = format!("{:016x}", stable_hash(state_dir.as_os_str().as_bytes()));
    let fits = |path: &Path| path.as_os_str().len() + 1 + name.len() + LONGEST_NAME <= SOCKET_PATH;
    for candidate in candidates {
        let Some(parent) = candidate.parent() else { continue };
        if !fits(candidate)
            || !on_tmpfs(parent)
            || rustix::fs::access(parent, rustix::fs::Access::WRITE_OK).is_err()
        {
            continue;
        }
        // A candidate that is unsafe is an attack or an accident: it is not passed over in silence.
        private(candidate)?;
        let path = candidate.join(&name);
        private(&path)?;
        return Ok(Rundir { path, tmpfs: true });
    }
    private(last)?;
    let path = last.join(&name);
    private(&path)?;
    let tmpfs = on_tmpfs(&path);
    Ok(Rundir { path, tmpfs })
}

/// Makes a folder that only we may enter, or makes sure that it is one.
pub fn private(path: &Path) -> Result<(), RundirError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(RundirError::Make { path: path.to_owned(), source }),
    }
    let refuse = |why| Err(RundirError::Unsafe { path: path.to_owned(), why });
    let metadata =
        fs::symlink_metadata(path).map_err(|source| RundirError::Make { path: path.to_owned(), source })?;
    if metadata.file_type().is_symlink() {
        return refuse("it is a symbolic link");
    }
    if !metadata.is_dir() {
        return refuse("it is not a directory");
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return refuse("it belongs to another user");
    }
    if metadata.mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .map_err(|source| RundirError::Make { path: path.to_owned(), source })?;
    }
    Ok(())
}

fn on_tmpfs(path: &Path) -> bool {
    const TMPFS: u64 = 0x0102_1994;
    rustix::fs::statfs(path).is_ok_and(|info| info.f_type as u64 == TMPFS)
}

/// FNV-1a: the same in every version of the program, which the standard library's hash need not be.
fn stable_hash(bytes: &[u8]) -> u64 {
    struct Fnv(u64);
    impl Hasher for Fnv {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    for byte in bytes {
        byte.hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_directories_get_folders_of_their_own_and_always_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let last = folder.path().join("last");
        let of = |state: &str| choose_from(&[], &last, Path::new(state)).expect("chooses").path;
        assert_eq!(of("/one"), of("/one"));
        assert_ne!(of("/one"), of("/two"));
        assert_eq!(fs::metadata(of("/one")).expect("is there").mode() & 0o777, 0o700);
    }

    #[test]
    fn links_and_long_paths_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::create_dir(&real).expect("makes");
        std::os::unix::fs::symlink(&real, &link).expect("links");
        assert!(matches!(private(&link), Err(RundirError::Unsafe { why: "it is a symbolic link", .. })));
        let long = PathBuf::from("/dev/shm").join("x".repeat(90));
        let chosen = choose_from(std::slice::from_ref(&long), &folder.path().join("last"), Path::new("/s"));
        assert!(chosen.expect("chooses").path.starts_with(folder.path()));
        assert!(!long.exists());
    }

    #[test]
    fn a_folder_that_others_may_enter_is_closed() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = folder.path().join("open");
        fs::create_dir(&open).expect("makes");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("opens");
        private(&open).expect("is ours");
        assert_eq!(fs::metadata(&open).expect("is there").mode() & 0o777, 0o700);
    }
}
