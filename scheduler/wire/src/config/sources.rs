//! What a configuration is read from, and how a value names its source.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a value came from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Origin {
    /// Nobody said it.
    #[default]
    Default,
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// A flag, with its dashes.
    Flag(String),
}

/// `default`, the file's path, `environment variable NAME`, `flag --name`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A configuration file that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it holds.
    pub text: String,
}

/// Everything that a configuration is made from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sources {
    /// Files, the more general first; those that do not exist are left out.
    pub files: Vec<SourceFile>,
    /// The environment, all of it: `HOME` and the `XDG_*` directories set defaults.
    pub env: Vec<(String, String)>,
    /// Flags that were given, by the name of their key: `("state_dir", "/tmp/x")`.
    pub flags: Vec<(String, String)>,
    /// Who runs this: root has other default directories than anybody else.
    pub uid: u32,
}

impl Sources {
    /// A variable of the environment; an empty one counts as not set.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        let found = self.env.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A directory from the environment; a relative one does not count, by the XDG specification.
    pub(crate) fn directory(&self, name: &str) -> Option<PathBuf> {
        self.variable(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }
}

/// The files to read, the more general first. A file named by `--config` or `DUNNAGE_CONFIG` takes
/// the place of the user's own, and must exist; the others need not.
pub fn config_paths(env: &[(String, String)], named: Option<&Path>) -> Vec<PathBuf> {
    let sources = Sources { env: env.to_vec(), ..Sources::default() };
    let user = match named {
        Some(path) => Some(path.to_owned()),
        None => sources.variable("DUNNAGE_CONFIG").map(PathBuf::from).or_else(|| {
            let base = sources.directory("XDG_CONFIG_HOME");
            let base = base.or_else(|| Some(sources.directory("HOME")?.join(".config")));
            Some(base?.join("dunnage/config.toml"))
        }),
    };
    [Some(PathBuf::from("/etc/dunnage/config.toml")), user].into_iter().flatten().collect()
}
