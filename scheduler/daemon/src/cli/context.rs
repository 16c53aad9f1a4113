//! What every command has: the configuration, the way to print, the way to a daemon.

use super::args::{Colour, Common};
use super::exit::{Failure, USAGE};
use crate::client::Client;
use crate::render::style::Style;
use crate::setup::Setup;
use dunnage_devices::{GpuEnv, Selection};
use dunnage_wire::config::{self, Config, SourceFile, Sources};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

/// See the module.
pub(crate) struct Context {
    pub(crate) common: Common,
    pub(crate) config: Config,
    pub(crate) style: Style,
}

impl Context {
    /// Reads the configuration.
    pub(crate) fn new(common: &Common) -> Result<Self, Failure> {
        let env: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let named = common.config.as_deref();
        let must = named.map(PathBuf::from).or_else(|| std::env::var_os("DUNNAGE_CONFIG").map(PathBuf::from));
        let mut files = Vec::new();
        for path in config::config_paths(&env, named) {
            match std::fs::read_to_string(&path) {
                Ok(text) => files.push(SourceFile { path, text }),
                Err(error)
                    if error.kind() == std::io::ErrorKind::NotFound && must.as_ref() != Some(&path) => {}
                Err(error) => {
                    return Err(Failure::new(
                        USAGE,
                        format!("cannot read the configuration `{}`: {error}", path.display()),
                    ));
                }
            }
        }
        let mut flags = Vec::new();
        let path = |path: &PathBuf| path.display().to_string();
        flags.extend(common.state_dir.as_ref().map(|dir| ("state_dir".to_owned(), path(dir))));
        flags.extend(common.socket.as_ref().map(|socket| ("socket".to_owned(), path(socket))));
        flags.extend(common.devices.as_ref().map(|devices| ("devices".to_owned(), devices.clone())));
        let sources = Sources { files, env, flags, uid: rustix::process::geteuid().as_raw() };
        let config = Config::load(&sources).map_err(|problems| {
            let mut failure = Failure::new(USAGE, "the configuration is not valid");
            failure.problems = problems.iter().map(Into::into).collect();
            failure
        })?;
        Ok(Self { common: common.clone(), config, style: style(common) })
    }

    /// Prints an error and returns its exit code.
    pub(crate) fn tell(&self, failure: &Failure) -> i32 {
        tell(self.common.json, &self.style_of(std::io::stderr().is_terminal()), failure)
    }

    /// The style for a stream that is a terminal or not.
    pub(crate) fn style_of(&self, terminal: bool) -> Style {
        let width = if terminal { self.style.width.min(400) } else { self.style.width };
        Style { colour: colour(&self.common, terminal), width, ..self.style }
    }

    /// Prints a document, as JSON or as text.
    pub(crate) fn print<T: serde::Serialize>(&self, doc: &T, text: impl FnOnce(&Style) -> String) {
        let mut out =
            if self.common.json { serde_json::to_string(doc).unwrap_or_default() } else { text(&self.style) };
        if !out.ends_with('\n') {
            out.push('\n');
        }
        print(&out);
    }

    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        Client::connect(&self.config.socket).await
    }

    /// Whether flags say that no daemon is to be used.
    pub(crate) fn wants_local(&self) -> bool {
        self.common.devices.is_some() || self.common.state_dir.is_some()
    }

    pub(crate) fn selection(&self) -> Result<Selection, Failure> {
        self.config.devices.parse().map_err(|error| Failure::new(USAGE, format!("--devices: {error}")))
    }

    /// The history of earlier runs: one for a daemon and all local runs.
    pub(crate) fn estimates(&self) -> PathBuf {
        self.config.state_dir.join(dunnage_store::EstimateStore::FILE)
    }

    /// How a shell in this state directory is made.
    pub(crate) fn setup(&self, state_dir: PathBuf) -> Result<Setup, Failure> {
        Ok(Setup {
            state_dir,
            devices: self.selection()?,
            resources: self.config.resources.clone(),
            tariff: self.config.tariff(),
            ignore_foreign_below: self.config.ignore_foreign_below,
            gpu_env: match self.config.gpu_env {
                config::GpuEnv::Uuid => GpuEnv::Uuid,
                config::GpuEnv::Index => GpuEnv::Index,
            },
            log_max: self.config.log_max.0,
            values_tmpfs: self.config.values_tmpfs.0,
            workers: self.config.workers,
            sample_every: self.config.sample_interval.to_std(),
            probe_timeout: self.config.probe_timeout.to_std(),
            estimates: self.estimates(),
        })
    }
}

/// Prints an error that came before there was a context.
pub(crate) fn tell_early(common: &Common, failure: &Failure) -> i32 {
    tell(common.json, &style(common), failure)
}

fn tell(json: bool, style: &Style, failure: &Failure) -> i32 {
    if json {
        print(&(failure.json() + "\n"));
    }
    // People who read the error stream get the sentence in any case.
    let _ = std::io::stderr().lock().write_all(failure.text(style).as_bytes());
    failure.code
}

/// Writes to standard output; a reader that went away is no error.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn style(common: &Common) -> Style {
    let terminal = std::io::stdout().is_terminal();
    let width = rustix::termios::tcgetwinsize(std::io::stdout())
        .or_else(|_| rustix::termios::tcgetwinsize(std::io::stderr()))
        .map_or(0, |size| usize::from(size.ws_col));
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    let unicode = locale.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    });
    // What is not read on a terminal is not cut.
    let width = match (terminal, columns) {
        (true, _) if width > 0 => width.clamp(40, 400),
        (_, Some(columns)) => columns,
        (true, None) => 80,
        (false, None) => usize::MAX,
    };
    Style { colour: colour(common, terminal), width, unicode }
}

fn colour(common: &Common, terminal: bool) -> bool {
    match common.color {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => {
            terminal
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                && std::env::var("TERM").as_deref() != Ok("dumb")
        }
    }
}
