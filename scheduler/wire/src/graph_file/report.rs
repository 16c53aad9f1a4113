//! Gathers problems while a document is read, and shows them to people.

use super::Places;
use super::node::Node;
use dunnage_model::Problem;
use std::fmt;

/// Where in the document the reader is: a list on the stack, written out only for a problem.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'a> {
    Root,
    Key(&'a Place<'a>, &'a str),
    Index(&'a Place<'a>, usize),
}

impl Place<'_> {
    pub(crate) fn key<'b>(&'b self, key: &'b str) -> Place<'b> {
        Place::Key(self, key)
    }

    pub(crate) fn index(&self, index: usize) -> Place<'_> {
        Place::Index(self, index)
    }
}

/// `function[3].cost.memory`; a key that is no plain word stands in quotes.
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
            Self::Key(parent, key) => {
                if !matches!(parent, Self::Root) {
                    write!(f, "{parent}.")?;
                }
                let plain = !key.is_empty()
                    && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$'));
                match key.char_indices().nth(60) {
                    None if plain => f.write_str(key),
                    None => write!(f, "{key:?}"),
                    Some((at, _)) => write!(f, "{:?}", format!("{}...", &key[..at])),
                }
            }
        }
    }
}

/// The problems found so far. It lists a bounded number and counts the rest.
#[derive(Debug)]
pub(crate) struct Report {
    problems: Vec<Problem>,
    unlisted: usize,
    max: usize,
}

impl Report {
    pub(crate) fn new(max: usize) -> Self {
        Self { problems: Vec::new(), unlisted: 0, max: max.max(1) }
    }

    pub(crate) fn add(&mut self, problem: Problem) {
        if self.problems.len() < self.max {
            self.problems.push(problem);
        } else {
            self.unlisted += 1;
        }
    }

    /// A problem with a value as written.
    pub(crate) fn wrong(
        &mut self,
        at: &Place<'_>,
        node: &Node<'_>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        // Writing out the place costs more than counting, and a hostile document has many.
        if self.problems.len() < self.max {
            self.problems
                .push(Problem::new(at.to_string(), message).value(one_line(&node.to_string())).hint(hint));
        } else {
            self.unlisted += 1;
        }
    }

    /// A value of the wrong type; `expected` is "text", "a list of texts" or the like.
    pub(crate) fn wrong_type(
        &mut self,
        at: &Place<'_>,
        node: &Node<'_>,
        expected: &str,
        hint: impl Into<String>,
    ) {
        let hint = hint.into();
        let hint = match node {
            Node::Date(_) => "write a date as text, in quotes".to_owned(),
            _ => hint,
        };
        self.wrong(at, node, format!("must be {expected}, not {}", node.type_words()), hint);
    }

    pub(crate) fn len(&self) -> usize {
        self.problems.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Names the function of the problems from `mark` on.
    pub(crate) fn name_function(&mut self, mark: usize, id: &str) {
        let id = one_line(&id.chars().take(80).collect::<String>());
        for problem in &mut self.problems[mark..] {
            problem.function = Some(id.clone());
        }
    }

    /// How many it lists.
    pub(crate) fn max(&self) -> usize {
        self.max
    }

    pub(crate) fn into_problems(mut self) -> Vec<Problem> {
        if self.unlisted > 0 {
            self.problems.push(Problem::new("", format!("and {} more problems", self.unlisted)));
        }
        self.problems
    }
}

/// A text with its control characters escaped, so that a value cannot paint a terminal or break a
/// line of the report.
fn one_line(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len() + 8), |mut out, c| {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        out
    })
}

/// The problem of a document that is no TOML or JSON at all.
pub(crate) fn syntax_problem(line: usize, column: usize, message: &str, hint: &str) -> Problem {
    Problem::new(format!("line {line}, column {column}"), message).hint(hint)
}

/// Problems as people read them, one a line and its hint below:
/// "graph.toml:12: function\[3\].cost.memory of `train`: unknown unit: `20Gib`".
pub fn render(problems: &[Problem], file: &str, places: &Places) -> String {
    let lines = places.lines(problems.iter().map(|problem| problem.place.as_str()));
    let mut out = String::new();
    for (problem, line) in problems.iter().zip(lines) {
        let mut shown = Problem {
            place: one_line(&problem.place),
            function: problem.function.as_deref().map(one_line),
            value: one_line(&problem.value),
            message: one_line(&problem.message),
            hint: one_line(&problem.hint),
        };
        let position = shown.place.strip_prefix("line ").and_then(|rest| rest.split_once(", column "));
        let head = match (position, line) {
            (Some((line, column)), _) => {
                let head = format!("{file}:{line}:{column}: ");
                shown.place.clear();
                head
            }
            (None, Some(line)) => format!("{file}:{line}: "),
            (None, None) => format!("{file}: "),
        };
        out.push_str(&one_line(&head));
        out.push_str(&shown.to_string());
        out.push('\n');
    }
    out
}
