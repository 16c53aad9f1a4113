//! What is wrong with an input: the place, the value as written, what is wrong, and a fix.

use std::fmt;

/// One thing wrong with an input. A validation returns all of them at once.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Problem {
    /// A path into the document, `function[3].cost.memory`; empty for the document itself.
    pub place: String,
    /// The id of the function it is in, where it is in one.
    pub function: Option<String>,
    /// The value as written, shortened if long; empty where there is none.
    pub value: String,
    /// What is wrong: a lowercase fragment without a period.
    pub message: String,
    /// How to mend it; empty where the message says so already.
    pub hint: String,
}

impl Problem {
    /// A problem at a place.
    pub fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            function: None,
            value: String::new(),
            message: message.into(),
            hint: String::new(),
        }
    }

    /// With the value as written.
    #[must_use]
    pub fn value(mut self, value: impl fmt::Display) -> Self {
        let value = value.to_string();
        self.value = match value.char_indices().nth(80) {
            Some((at, _)) => format!("{}...", &value[..at]),
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

    /// In this function.
    #[must_use]
    pub fn function(mut self, id: impl Into<String>) -> Self {
        self.function = Some(id.into());
        self
    }
}

/// One line, two with a hint: "function\[0\].cost.memory of `train`: unknown unit: `20Gib`".
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.place.as_str(), &self.function) {
            ("", None) => {}
            ("", Some(id)) => write!(f, "function `{id}`: ")?,
            (place, None) => write!(f, "{place}: ")?,
            (place, Some(id)) => write!(f, "{place} of `{id}`: ")?,
        }
        f.write_str(&self.message)?;
        if !self.value.is_empty() {
            write!(f, ": `{}`", self.value)?;
        }
        if !self.hint.is_empty() {
            write!(f, "\n  hint: {}", self.hint)?;
        }
        Ok(())
    }
}
