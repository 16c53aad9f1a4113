//! How a command ends when it does not end well: what is printed, and with which code.

use crate::accept::Rejected;
use crate::render::errors;
use crate::render::style::Style;
use dunnage_wire::api::{ErrorDoc, ProblemDoc};

/// Done.
pub(crate) const DONE: i32 = 0;
/// The work failed or was cancelled.
pub(crate) const FAILED: i32 = 1;
/// Bad usage, an invalid graph, or a named file that is missing.
pub(crate) const USAGE: i32 = 2;
/// The daemon is unreachable.
pub(crate) const UNREACHABLE: i32 = 3;
/// Nothing here can ever run it, or it is not allowed.
pub(crate) const REFUSED: i32 = 4;
/// Interrupted.
pub(crate) const INTERRUPTED: i32 = 130;

/// The end of a command that did not do what was asked.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) code: i32,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// In which file the problems are.
    pub(crate) file: String,
    pub(crate) problems: Vec<ProblemDoc>,
    /// The problems as text with lines, where they are known.
    pub(crate) report: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: i32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
            file: String::new(),
            problems: Vec::new(),
            report: None,
        }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A graph that is wrong, or that nothing here can run.
    pub(crate) fn rejected(
        file: &str,
        rejected: &Rejected,
        places: &dunnage_wire::graph_file::Places,
    ) -> Self {
        let (code, problems, what) = match rejected {
            Rejected::Invalid(problems) => (USAGE, problems, "the graph is not valid"),
            Rejected::Refused(problems) => (REFUSED, problems, "this machine cannot run the graph"),
        };
        Self {
            code,
            message: what.to_owned(),
            hint: None,
            file: file.to_owned(),
            problems: problems.iter().map(ProblemDoc::from).collect(),
            report: Some(dunnage_wire::graph_file::render(problems, file, places)),
        }
    }

    /// An error answer of the daemon.
    pub(crate) fn answer(status: u16, doc: ErrorDoc, file: &str) -> Self {
        let code = match (doc.code.as_str(), status) {
            ("invalid" | "not_found", _) | (_, 400 | 404 | 413) => USAGE,
            ("refused" | "forbidden", _) | (_, 403) => REFUSED,
            _ => FAILED,
        };
        Self {
            code,
            message: doc.error,
            hint: None,
            file: file.to_owned(),
            problems: doc.problems,
            report: None,
        }
    }

    /// As text for standard error.
    pub(crate) fn text(&self, style: &Style) -> String {
        let mut text = errors::error(&self.message, self.hint.as_deref(), style);
        if !text.ends_with('\n') {
            text.push('\n');
        }
        match &self.report {
            Some(report) => text.push_str(report),
            None if self.problems.is_empty() => {}
            None => text.push_str(&errors::problems(&self.file, &self.problems, style)),
        }
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text
    }

    /// As a document, for `--json`.
    pub(crate) fn json(&self) -> String {
        let code = match self.code {
            USAGE => "invalid",
            REFUSED => "refused",
            UNREACHABLE => "unreachable",
            INTERRUPTED => "interrupted",
            _ => "failed",
        };
        let doc =
            ErrorDoc { error: self.message.clone(), code: code.to_owned(), problems: self.problems.clone() };
        serde_json::to_string(&doc).unwrap_or_default()
    }
}

impl From<dunnage_wire::graph_file::FileError> for Failure {
    fn from(error: dunnage_wire::graph_file::FileError) -> Self {
        use dunnage_wire::graph_file::FileError;
        match &error {
            FileError::Invalid { path, problems, places } => {
                Self::rejected(&path.display().to_string(), &Rejected::Invalid(problems.clone()), places)
            }
            FileError::Missing { .. }
            | FileError::Directory { .. }
            | FileError::Unreadable { .. }
            | FileError::TooLarge { .. }
            | FileError::Binary { .. }
            | FileError::NotUtf8 { .. } => Self::new(USAGE, error.to_string()),
        }
    }
}
