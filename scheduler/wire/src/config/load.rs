//! Layers the sources over the defaults, and reports everything that is wrong with any of them.

use super::given::{Given, Wrong};
use super::{Config, GpuEnv, Key, Origin, SourceFile, Sources};
use crate::graph_file::Places;
use dunnage_model::{Bytes, Links, Problem, Span, nearest};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::Table;

/// The longest path that the kernel takes for a socket, without the zero at its end.
const SOCKET_PATH_MAX: usize = 107;

/// Money per device-second: more than any currency needs.
const PRICE_MAX: f64 = 1e9;

/// Watts of one device: more than a rack.
const WATTS_MAX: f64 = 1e6;

/// Variables that attempts are given, and others that are not part of the configuration.
const OTHER_VARIABLES: [&str; 9] = [
    "DUNNAGE_CONFIG",
    "DUNNAGE_GRAPH",
    "DUNNAGE_FUNCTION",
    "DUNNAGE_ATTEMPT",
    "DUNNAGE_ARG_",
    "DUNNAGE_OUT_",
    "DUNNAGE_DEADLINE",
    "DUNNAGE_REPORT",
    "DUNNAGE_LOG",
];

impl Config {
    /// Makes a configuration from its sources.
    ///
    /// # Errors
    /// Everything that is wrong with any source. A place is `FILE:LINE: key`, the name of a variable
    /// or a flag.
    pub fn load(sources: &Sources) -> Result<Self, Vec<Problem>> {
        let mut loader = Loader { config: defaults(sources), problems: Vec::new() };
        for file in &sources.files {
            loader.file(file);
        }
        loader.environment(sources);
        for (name, value) in &sources.flags {
            loader.flag(name, value);
        }
        loader.finish()
    }
}

/// What holds where nobody says anything.
fn defaults(sources: &Sources) -> Config {
    let state_dir = if sources.uid == 0 {
        PathBuf::from("/var/lib/dunnage")
    } else {
        let base = sources.directory("XDG_STATE_HOME");
        let base = base.or_else(|| Some(sources.directory("HOME")?.join(".local/state")));
        // Without a home there is nothing better; who makes the directory checks whose it is.
        base.map_or_else(|| format!("/tmp/dunnage-{}", sources.uid).into(), |base| base.join("dunnage"))
    };
    let socket = if sources.uid == 0 {
        PathBuf::from("/run/dunnage/dunnage.sock")
    } else {
        match sources.directory("XDG_RUNTIME_DIR") {
            Some(runtime) => runtime.join("dunnage/dunnage.sock"),
            None => state_dir.join("dunnage.sock"),
        }
    };
    Config {
        state_dir,
        socket,
        devices: "auto".into(),
        strategy: "auto".into(),
        listen_metrics: None,
        resources: BTreeMap::new(),
        prices: BTreeMap::new(),
        watts: BTreeMap::new(),
        links: Links::default(),
        // More than a desktop with a browser takes, less than any training.
        ignore_foreign_below: Bytes::mib(512),
        gpu_env: GpuEnv::Uuid,
        log_max: Bytes::mib(64),
        keep_logs: Span::secs(7 * 86_400),
        keep_values: Span::secs(7 * 86_400),
        keep_history: Span::secs(90 * 86_400),
        workers: None,
        values_tmpfs: Bytes::mib(256),
        functions_max: 1_000_000,
        graph_bytes_max: Bytes::gib(1),
        sample_interval: Span::secs(1),
        probe_timeout: Span::secs(5),
        warnings: Vec::new(),
        origins: BTreeMap::new(),
    }
}

struct Loader {
    config: Config,
    problems: Vec<Problem>,
}

impl Loader {
    fn file(&mut self, file: &SourceFile) {
        let places = Places::of_toml(file.text.as_str());
        let shown = file.path.display();
        let table: Table = match file.text.parse() {
            Ok(table) => table,
            Err(error) => {
                let error: toml::de::Error = error;
                let at = error.span().map_or(0, |span| span.start).min(file.text.len());
                let line = file.text.get(..at).unwrap_or_default().matches('\n').count() + 1;
                let message = format!("not TOML: {}", error.message().trim().replace('\n', ", "));
                self.problems.push(Problem::new(format!("{shown}:{line}"), message));
                return;
            }
        };
        let origin = Origin::File(file.path.clone());
        let base = file.path.parent().unwrap_or(Path::new("/"));
        let lines = places.lines(table.keys().map(String::as_str));
        let mut entries: Vec<_> = table.iter().zip(lines).collect();
        // In the order of the file, not of the alphabet.
        entries.sort_by_key(|(_, line)| *line);
        for ((name, value), line) in entries {
            let line = line.map(|line| format!(":{line}")).unwrap_or_default();
            let at = format!("{shown}{line}: {name}");
            match Key::find(name) {
                Some(key) => self.set(key, Given::File(value, base), &at, &origin),
                None => {
                    let near = nearest(name, super::KEYS.iter().map(|key| key.name));
                    let problem = Problem::new(at, "unknown key").value(name.escape_debug());
                    self.problems.push(problem.hint(match near {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "`dunnage config show` lists the keys".to_owned(),
                    }));
                }
            }
        }
    }

    fn environment(&mut self, sources: &Sources) {
        for key in super::KEYS {
            let variable = key.variable();
            if let Some(value) = sources.variable(&variable) {
                self.set(key, Given::Word(value), &variable, &Origin::Env(variable.clone()));
            }
        }
        for (name, _) in &sources.env {
            let other = OTHER_VARIABLES.iter().any(|other| name.starts_with(other));
            let Some(rest) = name.strip_prefix("DUNNAGE_").filter(|_| !other) else {
                continue;
            };
            let rest = rest.to_ascii_lowercase();
            if Key::find(&rest).is_none()
                && let Some(near) = nearest(&rest, super::KEYS.iter().map(|key| key.name))
            {
                let problem = Problem::new(name, "no variable of this program");
                let near = near.to_ascii_uppercase();
                self.config.warnings.push(problem.hint(format!("did you mean `DUNNAGE_{near}`?")));
            }
        }
    }

    fn flag(&mut self, name: &str, value: &str) {
        let flag = format!("--{}", name.replace('_', "-"));
        match Key::find(name) {
            Some(key) => self.set(key, Given::Word(value), &flag, &Origin::Flag(flag.clone())),
            None => self.problems.push(Problem::new(flag, "no key of the configuration has this flag")),
        }
    }

    fn set(&mut self, key: &'static Key, given: Given<'_>, at: &str, origin: &Origin) {
        match self.try_set(key, given, origin) {
            Ok(()) => {
                if !key.kind.is_table() {
                    self.config.origins.insert(key.name.to_owned(), origin.clone());
                }
            }
            Err((message, hint)) => {
                self.problems.push(Problem::new(at, message).value(given.shown()).hint(hint));
            }
        }
    }

    fn try_set(&mut self, key: &'static Key, given: Given<'_>, origin: &Origin) -> Result<(), Wrong> {
        let config = &mut self.config;
        match key.name {
            "state_dir" => config.state_dir = given.path()?,
            "socket" => config.socket = given.path()?,
            "devices" => config.devices = given.text()?,
            "strategy" => config.strategy = given.text()?,
            "listen_metrics" => config.listen_metrics = given.address()?,
            "ignore_foreign_below" => config.ignore_foreign_below = given.size()?,
            "gpu_env" => config.gpu_env = given.gpu_env()?,
            "log_max" => config.log_max = given.size()?,
            "keep_logs" => config.keep_logs = given.time()?,
            "keep_values" => config.keep_values = given.time()?,
            "keep_history" => config.keep_history = given.time()?,
            "workers" => config.workers = Some(given.count(4096)?),
            "values_tmpfs" => config.values_tmpfs = given.size()?,
            "functions_max" => config.functions_max = given.count(100_000_000)?,
            "graph_bytes_max" => config.graph_bytes_max = given.size()?,
            "sample_interval" => config.sample_interval = given.time()?,
            "probe_timeout" => config.probe_timeout = given.time()?,
            "resources" => {
                for (name, amount) in given.resources()? {
                    config.origins.insert(format!("resources.{name}"), origin.clone());
                    config.resources.insert(name, amount);
                }
            }
            "prices" => {
                for (name, price) in given.rates("a price", PRICE_MAX, "cpu=0.00001,h100=0.0008")? {
                    config.origins.insert(format!("prices.{name}"), origin.clone());
                    config.prices.insert(name, price);
                }
            }
            "watts" => {
                for (name, watts) in given.rates("a power in watts", WATTS_MAX, "cpu=5,h100=600")? {
                    config.origins.insert(format!("watts.{name}"), origin.clone());
                    config.watts.insert(name, watts);
                }
            }
            "links" => {
                for (name, value) in given.links()? {
                    config.origins.insert(format!("links.{}", name.word()), origin.clone());
                    *name.of_mut(&mut config.links) = value;
                }
            }
            other => return Err((format!("the key `{other}` has no reader"), String::new())),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Config, Vec<Problem>> {
        let config = &mut self.config;
        // Two state directories are two daemons: the socket goes with the state unless it is said.
        let state_origin = config.origin("state_dir").clone();
        if state_origin != Origin::Default && config.origin("socket") == &Origin::Default {
            config.socket = config.state_dir.join("dunnage.sock");
            config.origins.insert("socket".into(), state_origin);
        }
        let length = config.socket.as_os_str().len();
        if length > SOCKET_PATH_MAX {
            self.problems.push(
                Problem::new("socket", format!("a path of {length} bytes, too long for a socket"))
                    .value(config.socket.display())
                    .hint(format!("at most {SOCKET_PATH_MAX}: give a shorter one with `--socket`")),
            );
        }
        if self.problems.is_empty() { Ok(self.config) } else { Err(self.problems) }
    }
}
