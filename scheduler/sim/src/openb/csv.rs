//! Tables in CSV, plain or gzipped, with a head line: bounded, and every complaint says where.
//!
//! Fields may be quoted with `"`, doubled inside; a quoted field may not hold a line break. Files are gzipped
//! where they begin as gzip does, whatever they are called.

use super::error::ReadError;
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// At most this many bytes are read of a table, unpacked.
const BYTES_MAX: u64 = 1 << 30;

/// At most this many bytes in a line.
const LINE_MAX: u64 = 64 << 10;

/// At most this many lines.
const LINES_MAX: u64 = 4_000_000;

/// At most this much of a bad field is shown.
const SHOWN_MAX: usize = 40;

/// A table that is read line by line.
pub(super) struct Table {
    file: String,
    lines: Box<dyn BufRead>,
    /// Where the wanted columns are; `None` for one that is not there and need not be.
    columns: Vec<Option<usize>>,
    names: &'static [&'static str],
    line: u64,
    bytes: u64,
    text: String,
}

/// A line of a table.
pub(super) struct Row<'a> {
    table: &'a Table,
    fields: Vec<String>,
}

/// Opens a file.
pub(super) fn open(path: &Path) -> Result<File, ReadError> {
    let fail = |text: String| ReadError { file: path.display().to_string(), line: 0, text };
    let file = File::open(path).map_err(|error| fail(error.to_string()))?;
    match file.metadata() {
        Ok(meta) if meta.is_dir() => Err(fail("is a directory".to_owned())),
        Ok(_) => Ok(file),
        Err(error) => Err(fail(error.to_string())),
    }
}

impl Table {
    /// Reads the head line. The first `required` of the names must be in it.
    pub(super) fn new(
        file: &str,
        reader: impl Read + 'static,
        names: &'static [&'static str],
        required: usize,
    ) -> Result<Self, ReadError> {
        let file = file.to_owned();
        let mut plain = BufReader::new(reader);
        let fail = |text: String| ReadError { file: file.clone(), line: 0, text };
        let start = plain.fill_buf().map_err(|error| fail(error.to_string()))?;
        let lines: Box<dyn BufRead> = if start.starts_with(&[0x1f, 0x8b]) {
            Box::new(BufReader::new(MultiGzDecoder::new(plain)))
        } else {
            Box::new(plain)
        };
        let mut table =
            Self { file, lines, columns: Vec::new(), names, line: 0, bytes: 0, text: String::new() };
        if !table.read_line()? {
            return Err(table.error("the file is empty; a head line with the names of the columns is wanted"));
        }
        let head = table.split()?;
        for (at, name) in names.iter().enumerate() {
            let mut places = head.iter().enumerate().filter(|(_, field)| field.trim() == *name);
            let place = places.next().map(|(place, _)| place);
            if places.next().is_some() {
                return Err(table.error(&format!("the column `{name}` is there twice")));
            }
            if place.is_none() && at < required {
                return Err(
                    table.error(&format!("there is no column `{name}`, wanted are {}", names.join(", ")))
                );
            }
            table.columns.push(place);
        }
        Ok(table)
    }

    pub(super) fn error(&self, text: &str) -> ReadError {
        ReadError { file: self.file.clone(), line: self.line, text: text.to_owned() }
    }

    /// The next line that is not blank.
    pub(super) fn next(&mut self) -> Result<Option<Row<'_>>, ReadError> {
        loop {
            if !self.read_line()? {
                return Ok(None);
            }
            if !self.text.trim().is_empty() {
                break;
            }
        }
        let fields = self.split()?;
        let least = self.columns.iter().flatten().max().map_or(0, |last| last + 1);
        if fields.len() < least {
            return Err(self.error(&format!("{} fields where at least {least} are wanted", fields.len())));
        }
        Ok(Some(Row { table: self, fields }))
    }

    fn read_line(&mut self) -> Result<bool, ReadError> {
        self.line += 1;
        if self.line > LINES_MAX {
            return Err(self.error(&format!("more than {LINES_MAX} lines")));
        }
        self.text.clear();
        let mut bytes = Vec::new();
        let read = (&mut self.lines).take(LINE_MAX + 1).read_until(b'\n', &mut bytes);
        match read {
            Ok(0) => return Ok(false),
            Ok(n) if n as u64 > LINE_MAX => {
                return Err(self.error(&format!("a line of more than {LINE_MAX} bytes")));
            }
            Ok(n) => self.bytes += n as u64,
            Err(error) => return Err(self.error(&format!("cannot be read: {error}"))),
        }
        if self.bytes > BYTES_MAX {
            return Err(self.error(&format!("more than {BYTES_MAX} bytes of text")));
        }
        while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            bytes.pop();
        }
        self.text = String::from_utf8(bytes).map_err(|_| self.error("not UTF-8"))?;
        if self.line == 1 && self.text.starts_with('\u{feff}') {
            self.text.remove(0);
        }
        Ok(true)
    }

    fn split(&self) -> Result<Vec<String>, ReadError> {
        let mut fields = vec![String::new()];
        let mut chars = self.text.chars().peekable();
        let (mut quoted, mut closed) = (false, false);
        while let Some(char) = chars.next() {
            let Some(field) = fields.last_mut() else { break };
            match char {
                '"' if quoted && chars.peek() == Some(&'"') => {
                    chars.next();
                    field.push('"');
                }
                '"' if quoted => (quoted, closed) = (false, true),
                '"' if field.is_empty() && !closed => quoted = true,
                ',' if !quoted => {
                    fields.push(String::new());
                    closed = false;
                }
                _ if closed => return Err(self.error("text after a closing quote")),
                _ => field.push(char),
            }
        }
        if quoted { Err(self.error("a quote is not closed in its line")) } else { Ok(fields) }
    }
}

impl Row<'_> {
    /// The text of a column, by its place in the list of names; empty where the column is not there.
    pub(super) fn text(&self, column: usize) -> &str {
        let place = self.table.columns.get(column).copied().flatten();
        place.and_then(|place| self.fields.get(place)).map_or("", |field| field.trim())
    }

    /// A whole number from 0 to `most`.
    pub(super) fn number(&self, column: usize, most: u64) -> Result<u64, ReadError> {
        let text = self.text(column);
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse::<u64>() {
            Ok(number) if digits && number <= most => Ok(number),
            _ => Err(self.bad(column, &format!("a whole number from 0 to {most} is wanted"))),
        }
    }

    /// A complaint about a column.
    pub(super) fn bad(&self, column: usize, wanted: &str) -> ReadError {
        let name = self.table.names.get(column).copied().unwrap_or("?");
        let text = self.text(column);
        let mut shown: String = text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
        if text.chars().count() > SHOWN_MAX {
            shown.push_str("...");
        }
        self.table.error(&format!("`{name}` is `{shown}`: {wanted}"))
    }
}
