//! Bytes of a file, plain or gzip, and the words of formats that are made of lines.

use super::FormatError;
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// At most this many bytes are taken from a file, after decompression.
pub const BYTES_MAX: u64 = 1 << 30;

/// What gzip begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What some editors put before a text; it is no part of it.
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// Bytes without a byte order mark before them.
pub(super) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(&BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// The bytes of a file, decompressed where it is gzip by its first bytes, whatever it is called, and without
/// a byte order mark.
///
/// # Errors
/// It cannot be read, or holds more than [`BYTES_MAX`].
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, FormatError> {
    let name = path.display().to_string();
    let failed = |error: std::io::Error| {
        let message = match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
            std::io::ErrorKind::IsADirectory => "this is a folder, not a file".to_owned(),
            _ => format!("cannot be read: {error}"),
        };
        FormatError::new(&name, "", message)
    };
    let mut file = File::open(path).map_err(failed)?;
    if file.metadata().is_ok_and(|about| about.is_dir()) {
        return Err(FormatError::new(&name, "", "this is a folder, not a file").hint("name its files"));
    }
    let mut head = Vec::with_capacity(2);
    file.by_ref().take(2).read_to_end(&mut head).map_err(failed)?;
    let mut bytes = Vec::new();
    let whole = head.as_slice().chain(file);
    if head == GZIP {
        MultiGzDecoder::new(whole)
            .take(BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| FormatError::new(&name, "", format!("the gzip data is damaged: {error}")))?;
    } else {
        whole.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    }
    if bytes.len() as u64 > BYTES_MAX {
        return Err(FormatError::new(&name, "", format!("holds more than {} MiB", BYTES_MAX >> 20))
            .hint("split it, or check that it is what you think it is"));
    }
    if bytes.starts_with(&BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(bytes)
}

/// A file of lines as text.
///
/// # Errors
/// It is not text.
pub(super) fn utf8<'b>(name: &str, bytes: &'b [u8]) -> Result<&'b str, FormatError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) => {
            let line = lines_before(bytes, error.valid_up_to()) + 1;
            Err(FormatError::new(name, "", "this is not text (UTF-8)").line(line))
        }
    }
}

/// How many lines end before this byte.
pub(super) fn lines_before(bytes: &[u8], end: usize) -> usize {
    bytes[..end].split(|byte| *byte == b'\n').count() - 1
}

/// The words of one line, taken one after another.
#[derive(Clone, Debug)]
pub(super) struct Words<'t> {
    file: &'t str,
    line: usize,
    words: std::str::SplitAsciiWhitespace<'t>,
}

impl<'t> Words<'t> {
    /// The words of a line with this number.
    pub(super) fn new(file: &'t str, line: usize, text: &'t str) -> Self {
        Self { file, line, words: text.split_ascii_whitespace() }
    }

    /// On which line they stand.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// An error at a field of this line.
    pub(super) fn wrong(&self, field: &str, message: impl Into<String>) -> FormatError {
        FormatError::new(self.file, field, message).line(self.line)
    }

    /// The next word as a whole number, at most `most`.
    pub(super) fn number(&mut self, field: &str, most: u64) -> Result<u64, FormatError> {
        let Some(word) = self.words.next() else {
            return Err(self.wrong(field, "the line ends where a whole number should stand"));
        };
        let Ok(number) = word.parse::<u64>() else {
            let message = if word.starts_with('-') && word[1..].parse::<u64>().is_ok() {
                "is negative"
            } else if word.bytes().all(|byte| byte.is_ascii_digit()) {
                "is too large"
            } else {
                "is not a whole number"
            };
            return Err(self.wrong(field, message).value(word));
        };
        if number > most {
            return Err(self.wrong(field, format!("is larger than {most}")).value(word));
        }
        Ok(number)
    }

    /// Nothing may be left.
    pub(super) fn end(&mut self, field: &str) -> Result<(), FormatError> {
        match self.words.next() {
            None => Ok(()),
            Some(word) => {
                Err(self.wrong(field, "there is more on the line than there should be").value(word))
            }
        }
    }
}
