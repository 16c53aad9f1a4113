//! The scenario file: what the machine has, and what goes wrong on it.
//!
//! ```toml
//! driver = "570.86.15"
//!
//! [[device]]
//! name = "NVIDIA RTX A4000"
//! uuid = "GPU-a"
//! memory = "16GiB"
//! not_supported = ["energy", "power"]      # groups of calls that this card does not know
//!
//! [[device.process]]                       # somebody who is always there
//! pid = 4242
//! memory = "300MiB"
//! graphics = true
//!
//! [[device.fault]]
//! kind = "lost"                            # lost | hang | exit | xid | ecc
//! when_file = "/tmp/lost"                  # from the moment this file exists, while it exists
//! after_calls = 20                         # or: from the 21st call about this device on
//!
//! [[device.mig]]                           # makes the device one in MIG mode
//! uuid = "MIG-a"
//! memory = "5GiB"
//! ```

use serde::{Deserialize, Deserializer};

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Scenario {
    /// Driver version string.
    pub(crate) driver: Option<String>,
    /// As NVML writes it: 12080 is 12.8.
    pub(crate) cuda: Option<i32>,
    /// Symbols that this driver is too old to have: their calls say "function not found".
    pub(crate) missing: Vec<String>,
    /// The GPUs, in the driver's order.
    pub(crate) device: Vec<DeviceSpec>,
}

/// One GPU.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceSpec {
    pub(crate) name: String,
    pub(crate) uuid: String,
    #[serde(deserialize_with = "size")]
    pub(crate) memory: u64,
    /// What the driver keeps for itself.
    #[serde(default, deserialize_with = "size")]
    pub(crate) reserved: u64,
    pub(crate) pci: Option<String>,
    #[serde(default = "default_capability")]
    pub(crate) compute_capability: [i32; 2],
    #[serde(default)]
    pub(crate) near_cpus: Vec<u32>,
    pub(crate) numa_node: Option<u32>,
    #[serde(default = "idle_watts")]
    pub(crate) idle_watts: f64,
    #[serde(default = "max_watts")]
    pub(crate) max_watts: f64,
    #[serde(default = "temperature")]
    pub(crate) temperature: u32,
    /// Uncorrected ECC errors since the driver was loaded.
    #[serde(default)]
    pub(crate) ecc_uncorrected: u64,
    /// Groups of calls that say "not supported": memory, utilisation, power, energy, temperature,
    /// ecc, processes, process_utilisation, affinity, numa, mig, events, capability.
    #[serde(default)]
    pub(crate) not_supported: Vec<String>,
    #[serde(default)]
    pub(crate) process: Vec<ProcessSpec>,
    #[serde(default)]
    pub(crate) mig: Vec<MigSpec>,
    #[serde(default)]
    pub(crate) fault: Vec<FaultSpec>,
}

/// A process that is there from the beginning and whose pid is not checked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProcessSpec {
    pub(crate) pid: u32,
    /// Absent: the driver does not tell, as in some containers.
    #[serde(default, deserialize_with = "optional_size")]
    pub(crate) memory: Option<u64>,
    #[serde(default)]
    pub(crate) sm: Option<f64>,
    #[serde(default)]
    pub(crate) graphics: bool,
}

/// A MIG instance.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MigSpec {
    pub(crate) uuid: String,
    pub(crate) name: Option<String>,
    #[serde(deserialize_with = "size")]
    pub(crate) memory: u64,
    #[serde(default)]
    pub(crate) process: Vec<ProcessSpec>,
}

/// What goes wrong, and from when on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FaultSpec {
    pub(crate) kind: FaultKind,
    /// Calls about this device that still go well.
    #[serde(default)]
    pub(crate) after_calls: u64,
    /// The fault is there while this file is.
    pub(crate) when_file: Option<String>,
    /// Only in this call, by its C name; otherwise in every call about the device.
    pub(crate) call: Option<String>,
    /// How long a hang lasts; it ends sooner if `when_file` goes.
    #[serde(default = "hang_seconds")]
    pub(crate) seconds: f64,
    /// Exit status, XID number or count of ECC errors.
    #[serde(default)]
    pub(crate) value: u64,
}

/// The kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FaultKind {
    /// Calls answer that the GPU is lost.
    Lost,
    /// Calls do not come back for a while.
    Hang,
    /// The library ends the process.
    Exit,
    /// An XID event is delivered, once.
    Xid,
    /// Uncorrected ECC errors are counted.
    Ecc,
}

const fn default_capability() -> [i32; 2] {
    [8, 6]
}

const fn idle_watts() -> f64 {
    20.0
}

const fn max_watts() -> f64 {
    200.0
}

const fn temperature() -> u32 {
    35
}

const fn hang_seconds() -> f64 {
    3600.0
}

/// A number of bytes, or a text such as `16GiB`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Size {
    Number(u64),
    Text(String),
}

impl Size {
    fn bytes(&self) -> Result<u64, String> {
        match self {
            Self::Number(bytes) => Ok(*bytes),
            Self::Text(text) => {
                parse_size(text).ok_or_else(|| format!("`{text}` is no size; write 16GiB or 300MiB"))
            }
        }
    }
}

/// Reads `16GiB`, `300MiB`, `1024`.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text.get(..end)?.parse().ok()?;
    let unit = match text.get(end..)?.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Size::deserialize(deserializer)?.bytes().map_err(serde::de::Error::custom)
}

fn optional_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    size(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(parse_size("16GiB"), Some(16 << 30));
        assert_eq!(parse_size("512"), Some(512));
        assert_eq!(parse_size("1 parsec"), None);
    }

    #[test]
    fn a_scenario_needs_little() {
        let text =
            "[[device]]\nname = 'x'\nuuid = 'GPU-x'\nmemory = '8GiB'\n[[device.fault]]\nkind = 'lost'\n";
        let scenario: Scenario = toml::from_str(text).expect("a valid scenario");
        assert_eq!(scenario.device[0].memory, 8 << 30);
        assert_eq!(scenario.device[0].fault[0].kind, FaultKind::Lost);
    }
}
