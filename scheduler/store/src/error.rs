//! What can go wrong with what is stored, by what can be done about it.

use std::io;
use std::path::{Path, PathBuf};

/// A store that cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The state directory does not exist and cannot be made, or nothing can be written there.
    #[error(
        "state directory `{}` cannot be written; name another with --state-dir, or let this user write there", path.display()
    )]
    NotWritable {
        /// Which directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is something else in its place.
    #[error(
        "`{}` is not a state directory of dunnage: {found}; name an empty or new directory with --state-dir", path.display()
    )]
    NotOurs {
        /// Which directory or file.
        path: PathBuf,
        /// What is there.
        found: String,
    },
    /// It was written by a newer version.
    #[error(
        "`{}` was written by a newer version of dunnage (format {found}, this one knows up to {known}); use that version, or another --state-dir", path.display()
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest that this program knows.
        known: u64,
    },
    /// Another daemon or run uses it.
    #[error(
        "state directory `{}` is in use by {}; stop it, or name another with --state-dir",
        path.display(),
        pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Locked {
        /// Which directory.
        path: PathBuf,
        /// Who holds it, where that could be read.
        pid: Option<u32>,
    },
    /// The directory is ours, but the journal is gone. Beginning empty would forget running tasks.
    #[error(
        "the journal `{}` is missing from a state directory that was in use; put it back, or remove the directory to begin empty", path.display()
    )]
    Missing {
        /// The file that should be there.
        path: PathBuf,
    },
    /// The file cannot be read as a whole.
    #[error(
        "the journal `{}` is damaged ({detail}); keep a copy, then mend it with `sqlite3 FILE .recover`, or move the directory away to begin empty", path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// There is no room on the disk.
    #[error("no room on the disk of `{}`; free some space and start the daemon again", path.display())]
    Full {
        /// Which file grew.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("cannot {doing} `{}`", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The database refused a statement.
    #[error("cannot {doing} in `{}`", path.display())]
    Sql {
        /// What was tried.
        doing: &'static str,
        /// In which file.
        path: PathBuf,
        /// What the database said.
        #[source]
        source: rusqlite::Error,
    },
    /// More than a record can hold.
    #[error("{what} has {bytes} bytes, more than the {limit} that a record can hold")]
    TooLarge {
        /// What.
        what: &'static str,
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// A value that has no place in a record.
    #[error("{what} `{value}` cannot be stored: {why}")]
    BadValue {
        /// What it is.
        what: &'static str,
        /// The value.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An earlier write failed, and what is on disk since then is unknown.
    #[error("the store takes nothing more since a write failed: {first}")]
    Stopped {
        /// The first failure.
        first: String,
    },
}

impl StoreError {
    /// An error of the file system, by what a person can do about it.
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path: path.to_owned() },
            _ => Self::Io { doing, path: path.to_owned(), source },
        }
    }

    /// An error of the database, by what a person can do about it.
    pub(crate) fn sql(doing: &'static str, path: &Path, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { path, detail: source.to_string() }
            }
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
                Self::NotWritable { path, source: io::Error::other(source.to_string()) }
            }
            _ => Self::Sql { doing, path, source },
        }
    }

    /// The error and its causes in one line.
    pub fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}
