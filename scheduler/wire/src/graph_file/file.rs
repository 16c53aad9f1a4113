//! From a path to a decoded graph file.

use super::{Decoded, Limits, Places, decode_json_text, decode_toml};
use dunnage_model::Problem;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Why a graph file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is none.
    #[error("no such file: `{}`", .path.display())]
    Missing {
        /// The path as given.
        path: PathBuf,
    },
    /// It is a directory.
    #[error("a directory, not a graph file: `{}`{}", .path.display(), .graph_inside.as_ref().map(|p| format!("\n  hint: `{}`", p.display())).unwrap_or_default())]
    Directory {
        /// The path as given.
        path: PathBuf,
        /// The graph file inside it, if it has one by the usual name.
        graph_inside: Option<PathBuf>,
    },
    /// It cannot be read.
    #[error("cannot read `{}`: {source}", .path.display())]
    Unreadable {
        /// The path as given.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is too long.
    #[error("`{}` is longer than {max} bytes, the most that a graph file may have", .path.display())]
    TooLarge {
        /// The path as given.
        path: PathBuf,
        /// The limit.
        max: u64,
    },
    /// It holds no text.
    #[error("`{}` is a binary file, not TOML or JSON (a zero byte at {offset})", .path.display())]
    Binary {
        /// The path as given.
        path: PathBuf,
        /// Where the first zero byte is.
        offset: usize,
    },
    /// It is text of another encoding.
    #[error("`{}` is not UTF-8: byte {byte:#04x} in line {line}\n  hint: save it as UTF-8", .path.display())]
    NotUtf8 {
        /// The path as given.
        path: PathBuf,
        /// The line of the first wrong byte.
        line: usize,
        /// That byte.
        byte: u8,
    },
    /// It is no graph.
    #[error("{}", super::render(.problems, &.path.display().to_string(), .places).trim_end())]
    Invalid {
        /// The path as given.
        path: PathBuf,
        /// All that is wrong with it.
        problems: Vec<Problem>,
        /// Finds their lines.
        places: Places,
    },
}

/// Reads and decodes a graph file: TOML or JSON by its extension, else by its first character. Pipes
/// and `/dev/stdin` will do as well as regular files.
///
/// # Errors
/// See [`FileError`]; each says what and where.
pub fn read(path: &Path, limits: &Limits) -> Result<Decoded, FileError> {
    let text = read_text(path, limits.bytes)?;
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    decode_text(text, extension, limits).map_err(|(problems, places)| FileError::Invalid {
        path: path.to_owned(),
        problems,
        places,
    })
}

/// Decodes a text whose file had this extension, which may be empty.
///
/// # Errors
/// All problems at once, and what finds their lines.
pub fn decode_text(
    text: String,
    extension: &str,
    limits: &Limits,
) -> Result<Decoded, (Vec<Problem>, Places)> {
    let is_json = match extension.to_ascii_lowercase().as_str() {
        "json" => true,
        "toml" => false,
        // No TOML document begins with a brace, and every graph in JSON does.
        _ => text.trim_start_matches('\u{feff}').trim_start().starts_with('{'),
    };
    if is_json {
        decode_json_text(text, limits).map_err(|problems| (problems, Places::none()))
    } else {
        decode_toml(&text, limits).map_err(|problems| (problems, Places::of_toml(text)))
    }
}

fn read_text(path: &Path, max: u64) -> Result<String, FileError> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => FileError::Missing { path: path.to_owned() },
        _ => FileError::Unreadable { path: path.to_owned(), source },
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        let inside = ["graph.toml", "graph.json"].map(|name| path.join(name));
        let graph_inside = inside.into_iter().find(|path| path.is_file());
        return Err(FileError::Directory { path: path.to_owned(), graph_inside });
    }
    let too_large = || FileError::TooLarge { path: path.to_owned(), max };
    if metadata.is_file() && metadata.len() > max {
        return Err(too_large());
    }
    let mut file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    // The beginning first: a device that never ends is found out by its zero bytes.
    for part in [1 << 16, (max + 1).saturating_sub(1 << 16)] {
        file.by_ref().take(part).read_to_end(&mut bytes).map_err(unreadable)?;
        if let Some(offset) = bytes.iter().position(|byte| *byte == 0) {
            return Err(FileError::Binary { path: path.to_owned(), offset });
        }
    }
    if bytes.len() as u64 > max {
        return Err(too_large());
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let line = String::from_utf8_lossy(&bytes[..valid]).matches('\n').count() + 1;
        FileError::NotUtf8 {
            path: path.to_owned(),
            line,
            byte: bytes.get(valid).copied().unwrap_or_default(),
        }
    })
}
