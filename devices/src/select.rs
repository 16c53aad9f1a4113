//! `--devices`: which source is wanted, as people write it.
//!
//! `auto` | `host` | `nvml` | `nvml:LIBRARY.so` | `mock:NAME` | `mock:NAMExN` | `mock:FILE.toml`.
//! A profile's name may itself hold an `x` and digits (`2x24g`), so an exact name wins over `NAMExN`.

use crate::profile::{MAX_GPUS, PROFILES};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Which devices to use.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Selection {
    /// The host, and NVIDIA GPUs where there are some.
    #[default]
    Auto,
    /// The host alone.
    Host,
    /// The host and NVIDIA GPUs; an error where NVML cannot be used.
    Nvml {
        /// Another library than the driver's own.
        library: Option<PathBuf>,
    },
    /// Made-up devices.
    Mock(MockSelection),
}

/// Which made-up devices.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MockSelection {
    /// A profile that comes with the program.
    Named(String),
    /// So many GPUs like the first of that profile.
    Times {
        /// The profile.
        name: String,
        /// How many.
        count: u32,
    },
    /// A profile of the user's own.
    File(PathBuf),
}

/// Why a text selects nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SelectionError {
    /// No such kind of source.
    #[error("unknown devices `{given}`: use auto, host, nvml, nvml:LIBRARY.so, mock:NAME, mock:NAMExN or mock:FILE.toml{}", hint(nearest.as_deref()))]
    Kind {
        /// As written.
        given: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// No such profile.
    #[error("unknown device profile `{given}`: use {}, one of these with xN behind it, or a FILE.toml{}", names(), hint(nearest.as_deref()))]
    Profile {
        /// As written.
        given: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// A number of GPUs that is none, or too large.
    #[error("`{given}` asks for {count} GPUs: use 1 to {MAX_GPUS}")]
    Count {
        /// As written.
        given: String,
        /// The number in it.
        count: String,
    },
    /// A colon with nothing behind it.
    #[error("`{given}` names nothing behind its colon: use nvml:LIBRARY.so or mock:NAME")]
    Empty {
        /// As written.
        given: String,
    },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

fn names() -> String {
    PROFILES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// The candidate that is most like `given`, if one is like it at all.
pub(crate) fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    candidates
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(given, name), name))
        .filter(|(distance, name)| *distance <= name.len().max(given.len()).div_ceil(3))
        .min()
        .map(|(_, name)| name.to_owned())
}

impl FromStr for Selection {
    type Err = SelectionError;

    fn from_str(text: &str) -> Result<Self, SelectionError> {
        let given = text.trim();
        let (kind, rest) = match given.split_once(':') {
            Some((kind, rest)) => (kind, Some(rest)),
            None => (given, None),
        };
        match (kind, rest) {
            ("nvml" | "mock", Some("")) => Err(SelectionError::Empty { given: given.to_owned() }),
            ("mock", None) => Err(SelectionError::Empty { given: format!("{given}:") }),
            ("auto", None) => Ok(Self::Auto),
            ("host", None) => Ok(Self::Host),
            ("nvml", None) => Ok(Self::Nvml { library: None }),
            ("nvml", Some(library)) => Ok(Self::Nvml { library: Some(PathBuf::from(library)) }),
            ("mock", Some(profile)) => mock(profile).map(Self::Mock),
            _ => {
                let known = ["auto", "host", "nvml", "mock"];
                // A profile's name without its `mock:` is a likely slip.
                let profile =
                    PROFILES.iter().find(|(name, _)| *name == given).map(|(name, _)| format!("mock:{name}"));
                Err(SelectionError::Kind {
                    given: given.to_owned(),
                    nearest: profile.or_else(|| nearest(kind, known)),
                })
            }
        }
    }
}

fn mock(profile: &str) -> Result<MockSelection, SelectionError> {
    let known = |name: &str| PROFILES.iter().any(|(other, _)| *other == name);
    if known(profile) {
        return Ok(MockSelection::Named(profile.to_owned()));
    }
    if profile.contains('/') || profile.to_ascii_lowercase().ends_with(".toml") {
        return Ok(MockSelection::File(PathBuf::from(profile)));
    }
    let unknown = |name: &str| SelectionError::Profile {
        given: name.to_owned(),
        nearest: nearest(name, PROFILES.iter().map(|(name, _)| *name)),
    };
    let Some((name, count)) = profile.rsplit_once('x') else { return Err(unknown(profile)) };
    if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(unknown(profile));
    }
    if !known(name) {
        // `8xh10` is likelier a misspelt name than a count of a profile called `8`.
        let whole = unknown(profile);
        return Err(match whole {
            SelectionError::Profile { nearest: Some(_), .. } => whole,
            _ => unknown(name),
        });
    }
    match count.parse() {
        Ok(number) if (1..=MAX_GPUS as u32).contains(&number) => {
            Ok(MockSelection::Times { name: name.to_owned(), count: number })
        }
        _ => Err(SelectionError::Count { given: format!("mock:{profile}"), count: count.to_owned() }),
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Host => f.write_str("host"),
            Self::Nvml { library: None } => f.write_str("nvml"),
            Self::Nvml { library: Some(path) } => write!(f, "nvml:{}", path.display()),
            Self::Mock(MockSelection::Named(name)) => write!(f, "mock:{name}"),
            Self::Mock(MockSelection::Times { name, count }) => write!(f, "mock:{name}x{count}"),
            Self::Mock(MockSelection::File(path)) => write!(f, "mock:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_survives_the_round_trip() {
        let forms = [
            "auto",
            "host",
            "nvml",
            "nvml:/opt/lib.so",
            "mock:2x24g",
            "mock:8xh100",
            "mock:1x8gx4",
            "mock:my.toml",
        ];
        for text in forms {
            assert_eq!(text.parse::<Selection>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn an_exact_name_wins_over_a_count() {
        assert_eq!("mock:2x24g".parse(), Ok(Selection::Mock(MockSelection::Named("2x24g".to_owned()))));
        let times = MockSelection::Times { name: "8xh100".to_owned(), count: 2 };
        assert_eq!("mock:8xh100x2".parse(), Ok(Selection::Mock(times)));
        let times = MockSelection::Times { name: "mixed".to_owned(), count: 3 };
        assert_eq!("mock:mixedx3".parse(), Ok(Selection::Mock(times)));
    }

    #[test]
    fn a_slip_is_answered_with_what_may_have_been_meant() {
        let message = |text: &str| text.parse::<Selection>().expect_err(text).to_string();
        assert!(message("nvlm").ends_with("did you mean `nvml`?"), "{}", message("nvlm"));
        assert!(message("mock:2x24").contains("did you mean `2x24g`?"), "{}", message("mock:2x24"));
        assert!(message("mock:8xh10").contains("did you mean `8xh100`?"), "{}", message("mock:8xh10"));
        assert!(message("2x24g").contains("did you mean `mock:2x24g`?"), "{}", message("2x24g"));
        assert!(message("mock:zzzzzz").contains("1x8g, 2x24g"), "{}", message("mock:zzzzzz"));
        assert!(!message("mock:zzzzzz").contains("did you mean"));
    }

    #[test]
    fn counts_are_bounded() {
        for text in ["mock:2x24gx0", "mock:2x24gx65", "mock:2x24gx99999999999999999999"] {
            assert!(matches!(text.parse::<Selection>(), Err(SelectionError::Count { .. })), "{text}");
        }
    }

    #[test]
    fn nothing_behind_a_colon_is_an_error() {
        for text in ["mock:", "nvml:", "mock", "", ":"] {
            assert!(text.parse::<Selection>().is_err(), "{text}");
        }
    }
}
