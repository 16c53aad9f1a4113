//! What can be wrong with the files and options of a replay.

use std::fmt;

/// What is wrong with a file, and where.
#[derive(Debug)]
pub struct ReadError {
    /// The file, as it was named.
    pub file: String,
    /// The line, counted from 1; 0 where it is about the file as a whole.
    pub line: u64,
    /// The sentence.
    pub text: String,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}: {}", self.file, self.text)
        } else {
            write!(f, "{}:{}: {}", self.file, self.line, self.text)
        }
    }
}

impl std::error::Error for ReadError {}

/// Why there is no replay of these nodes and pods.
#[derive(Clone, PartialEq, Debug)]
pub enum PackError {
    /// The nodes have no GPU, so that there is nothing to measure against.
    NoGpus,
    /// The pods ask for no GPU, so that the target is never reached.
    NoDemand,
    /// No pod of the list would fit a node if it were empty. The first pod, by name.
    NothingFits(String),
    /// The target is no number above 0, or above a bound.
    Target(f64),
    /// Reaching the target would take more than four million arrivals.
    TooManyArrivals,
}

impl fmt::Display for PackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGpus => write!(f, "the nodes have no GPU"),
            Self::NoDemand => write!(f, "the pods ask for no GPU, so the target is never reached"),
            Self::NothingFits(pod) => {
                write!(f, "no pod would fit a node even if it were empty; the first is `{pod}`")
            }
            Self::Target(target) => write!(
                f,
                "the target {target} is not above 0 and at most {}: it is a multiple of the capacity, 1.3 is 130 %",
                super::replay::TARGET_MAX
            ),
            Self::TooManyArrivals => write!(
                f,
                "the pods ask for so little of the GPUs that the target would take more than {} arrivals",
                super::arrivals::ARRIVALS_MAX
            ),
        }
    }
}

impl std::error::Error for PackError {}
