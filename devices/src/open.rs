//! From a selection to a source.

use crate::host::HostSource;
use crate::mock::{MockLoad, MockSource};
use crate::nvml::NvmlSource;
use crate::profile::Profile;
use crate::select::{MockSelection, Selection};
use crate::source::{DeviceSource, SourceError};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What opening needs besides the selection.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The command line that becomes the NVML probe: a program that calls
    /// [`probe_main`](crate::probe_main) and its arguments; a library's path is appended.
    pub probe_command: Vec<OsString>,
    /// Named resources that the owner declared.
    pub custom: BTreeMap<String, u64>,
    /// How long a driver may take to answer.
    pub deadline: Duration,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { probe_command: Vec::new(), custom: BTreeMap::new(), deadline: Duration::from_secs(2) }
    }
}

/// An open source.
pub struct Opened {
    /// The source.
    pub source: Box<dyn DeviceSource>,
    /// For made-up devices: where to say what runs on them.
    pub mock_load: Option<MockLoad>,
    /// What a person may want to know, such as why there are no GPUs.
    pub notes: Vec<String>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened")
            .field("mock_load", &self.mock_load)
            .field("notes", &self.notes)
            .finish_non_exhaustive()
    }
}

/// Opens the source that a selection names.
///
/// # Errors
/// NVML was named and cannot be used, or a profile cannot be read.
pub fn open(selection: &Selection, options: &OpenOptions) -> Result<Opened, SourceError> {
    let mut notes = Vec::new();
    let mut mock_load = None;
    let source: Box<dyn DeviceSource> = match selection {
        Selection::Host => Box::new(HostSource::new(options.custom.clone())),
        Selection::Nvml { library } => {
            let source = nvml(library.clone(), options)?;
            notes.extend(note(&source));
            Box::new(source)
        }
        Selection::Auto => match automatic(options) {
            Ok(source) => {
                notes.extend(note(&source));
                Box::new(source)
            }
            Err(why) => {
                notes.push(format!("no NVIDIA GPUs: {why}"));
                Box::new(HostSource::new(options.custom.clone()))
            }
        },
        Selection::Mock(which) => {
            let profile = match which {
                MockSelection::Named(name) => Profile::named(name)?,
                MockSelection::Times { name, count } => Profile::named(name)?.times(*count),
                MockSelection::File(path) => Profile::load(path)?,
            };
            let load = mock_load.insert(MockLoad::default()).clone();
            notes.push(format!("made-up devices ({selection})"));
            Box::new(MockSource::new(profile, options.custom.clone(), load))
        }
    };
    Ok(Opened { source, mock_load, notes })
}

/// Opens NVML where there is a sign of it; otherwise says why not.
fn automatic(options: &OpenOptions) -> Result<NvmlSource, String> {
    if let Some(why) = no_driver() {
        return Err(why);
    }
    nvml(None, options).map_err(|error| match error {
        SourceError::Nvml { why, .. } => why,
        other => other.to_string(),
    })
}

/// Why it is not worth while to start a probe, if so: most machines have no NVIDIA driver, and a start
/// should not cost them a process.
pub(crate) fn no_driver() -> Option<String> {
    let signs = ["/dev/nvidiactl", "/dev/dxg", "/proc/driver/nvidia/version"];
    if signs.iter().any(|path| Path::new(path).exists()) {
        return None;
    }
    let paths = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    if std::env::split_paths(&paths).any(|directory| directory.join("libnvidia-ml.so.1").exists()) {
        return None;
    }
    Some(format!("no NVIDIA driver is loaded (none of {} exists)", signs.join(", ")))
}

fn nvml(library: Option<PathBuf>, options: &OpenOptions) -> Result<NvmlSource, SourceError> {
    if let Some(path) = library.as_ref().filter(|path| path.components().count() > 1 && !path.exists()) {
        let why = "there is no such file".to_owned();
        return Err(SourceError::Nvml { library: Some(path.clone()), why });
    }
    NvmlSource::open(options.probe_command.clone(), library, options.custom.clone(), options.deadline)
}

fn note(source: &NvmlSource) -> Option<String> {
    (source.counted() > source.described()).then(|| {
        format!(
            "{} of {} GPUs did not answer and are left out for now",
            source.counted() - source.described(),
            source.counted()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(text: &str) -> Result<Opened, SourceError> {
        open(&text.parse().unwrap_or_else(|error| panic!("{error}")), &OpenOptions::default())
    }

    #[test]
    fn mocks_open_with_their_handle() {
        let mut opened = opened("mock:2x24gx3").expect("open");
        assert!(opened.mock_load.is_some());
        assert_eq!(opened.source.inventory().expect("an inventory").gpus.len(), 3);
    }

    #[test]
    fn automatic_without_a_probe_is_the_host_alone_and_says_why() {
        let mut opened = opened("auto").expect("open");
        assert!(opened.source.inventory().expect("an inventory").gpus.is_empty());
        assert!(opened.notes[0].starts_with("no NVIDIA GPUs: "), "{:?}", opened.notes);
    }

    #[test]
    fn nvml_without_a_probe_is_an_error_that_helps() {
        let error = opened("nvml").expect_err("no probe").to_string();
        assert!(error.contains("no probe command") && error.contains("--devices host"), "{error}");
        let error = opened("nvml:/no/such.so").expect_err("no library").to_string();
        assert!(error.contains("/no/such.so") && error.contains("no such file"), "{error}");
    }

    #[test]
    fn a_missing_profile_is_named() {
        assert!(opened("mock:none.toml").expect_err("missing").to_string().contains("none.toml"));
    }
}
