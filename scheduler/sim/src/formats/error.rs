//! What is wrong with an instance file.

use std::fmt;

/// What is wrong with a file, and where.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FormatError {
    /// The file as it was named.
    pub file: String,
    /// Line and column, counted from 1, where known; column 0 means the whole line.
    pub at: Option<(usize, usize)>,
    /// The field, or the path in the document.
    pub place: String,
    /// What is wrong.
    pub message: String,
    /// The value as written.
    pub value: String,
    /// How to mend it.
    pub hint: String,
}

/// A value is shown up to so many characters.
const VALUE_MAX: usize = 200;

impl FormatError {
    /// An error at a field of a file.
    pub fn new(file: &str, place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), place: place.into(), message: message.into(), ..Self::default() }
    }

    /// On this line, counted from 1.
    #[must_use]
    pub fn line(mut self, line: usize) -> Self {
        self.at = Some((line, 0));
        self
    }

    /// At this line and column, counted from 1.
    #[must_use]
    pub fn at(mut self, at: Option<(usize, usize)>) -> Self {
        self.at = at;
        self
    }

    /// With the value as written, shortened where it is long.
    #[must_use]
    pub fn value(mut self, value: impl fmt::Display) -> Self {
        let value = value.to_string();
        self.value = match value.char_indices().nth(VALUE_MAX) {
            Some((end, _)) => format!("{}...", &value[..end]),
            None => value,
        };
        self
    }

    /// With a way to mend it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The place for people: line, column and field.
    pub fn whereabouts(&self) -> String {
        let at = match self.at {
            Some((line, 0)) => format!("line {line}"),
            Some((line, column)) => format!("line {line}, column {column}"),
            None => String::new(),
        };
        match (at.is_empty(), self.place.is_empty()) {
            (false, false) => format!("{at}, {}", self.place),
            (false, true) => at,
            (true, _) => self.place.clone(),
        }
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file)?;
        let place = self.whereabouts();
        if !place.is_empty() {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)?;
        if !self.value.is_empty() {
            write!(f, ": `{}`", self.value)?;
        }
        if !self.hint.is_empty() {
            write!(f, " ({})", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for FormatError {}
