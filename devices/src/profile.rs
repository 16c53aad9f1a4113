//! Profiles of made-up machines: small TOML files, some of which come with the program.
//!
//! ```toml
//! cpus = 16                    # left out: the real cores of this machine
//! memory = "64GiB"             # left out: its real RAM
//!
//! [[gpu]]
//! name = "NVIDIA A100-SXM4-40GB"
//! memory = "40GiB"
//! count = 2                    # so many of them
//! compute_capability = "8.0"
//! numa_node = 0
//! idle_watts = 50
//! max_watts = 400
//! foreign = "300MiB"           # taken by somebody else
//! lost_after_samples = 5       # falls off the bus
//! back_after_samples = 10      # and answers again
//!
//! [[gpu.mig]]                  # cut into instances
//! name = "1g.5gb"
//! memory = "4864MiB"
//! count = 7
//! ```
//! Everything that is wrong with a file is told at once.

use crate::select::nearest;
use crate::source::SourceError;
use dunnage_model::{Bytes, UnitError};
use std::fmt;
use std::path::Path;
use toml::{Table, Value};

/// The profiles that come with the program, by name.
pub const PROFILES: &[(&str, &str)] = &[
    ("1x8g", include_str!("profiles/1x8g.toml")),
    ("2x24g", include_str!("profiles/2x24g.toml")),
    ("8xh100", include_str!("profiles/8xh100.toml")),
    ("mig-a100", include_str!("profiles/mig-a100.toml")),
    ("mixed", include_str!("profiles/mixed.toml")),
    ("dying", include_str!("profiles/dying.toml")),
];

/// The largest number of made-up GPUs.
pub(crate) const MAX_GPUS: usize = 64;
/// A profile file is small; a larger one is a mistake.
const MAX_FILE: u64 = 1 << 20;

/// A made-up machine.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Profile {
    /// Its cores; `None` for those of the real machine.
    pub cpus: Option<u32>,
    /// Its RAM; `None` for that of the real machine.
    pub memory: Option<Bytes>,
    /// Its GPUs, counts already written out.
    pub(crate) gpus: Vec<MockGpu>,
}

/// A made-up GPU.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct MockGpu {
    pub(crate) name: String,
    pub(crate) memory: Bytes,
    pub(crate) compute_capability: Option<(u16, u16)>,
    pub(crate) numa_node: Option<u16>,
    pub(crate) idle_watts: f64,
    pub(crate) max_watts: f64,
    pub(crate) foreign: Bytes,
    pub(crate) lost_after: Option<u64>,
    pub(crate) back_after: Option<u64>,
    pub(crate) mig: Vec<MockMig>,
}

/// A made-up MIG instance.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct MockMig {
    pub(crate) name: String,
    pub(crate) memory: Bytes,
}

/// One thing that is wrong with a profile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProfileProblem {
    /// Where: `gpu[0].memory`.
    pub place: String,
    /// What, with the value as written and what to do.
    pub message: String,
}

impl fmt::Display for ProfileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "`{}`: {}", self.place, self.message)
        }
    }
}

impl Profile {
    /// The profile of this name that comes with the program.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn named(name: &str) -> Result<Self, SourceError> {
        let found = PROFILES.iter().find(|(known, _)| *known == name);
        let problem = ProfileProblem { place: String::new(), message: "no such profile".to_owned() };
        let parsed = found.map_or_else(|| Err(vec![problem]), |(_, text)| Self::parse(text));
        parsed.map_err(|problems| SourceError::Profile { name: name.to_owned(), problems })
    }

    /// The profile in this file.
    ///
    /// # Errors
    /// The file cannot be read, or says what cannot be.
    pub fn load(path: &Path) -> Result<Self, SourceError> {
        let name = path.display().to_string();
        let unreadable = |source| SourceError::ProfileFile { path: path.to_owned(), source };
        let length = std::fs::metadata(path).map_err(unreadable)?.len();
        if length > MAX_FILE {
            let message =
                format!("the file has {}; a profile has at most {}", Bytes(length), Bytes(MAX_FILE));
            return Err(SourceError::Profile {
                name,
                problems: vec![ProfileProblem { place: String::new(), message }],
            });
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(&text).map_err(|problems| SourceError::Profile { name, problems })
    }

    /// Reads a profile's text.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Vec<ProfileProblem>> {
        let table: Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                let message = error.to_string().trim_end().to_owned();
                return Err(vec![ProfileProblem { place: String::new(), message }]);
            }
        };
        let mut problems = Vec::new();
        let profile = machine(&table, &mut problems);
        if problems.is_empty() { Ok(profile) } else { Err(problems) }
    }

    /// The same machine with so many GPUs like its first.
    pub(crate) fn times(mut self, count: u32) -> Self {
        self.gpus.truncate(1);
        let first = self.gpus.first().cloned();
        self.gpus = first.into_iter().cycle().take(count as usize).collect();
        self
    }
}

fn machine(table: &Table, problems: &mut Vec<ProfileProblem>) -> Profile {
    let mut fields = Fields { table, place: "", problems };
    fields.known(&["cpus", "memory", "gpu"]);
    let cpus = fields.whole("cpus", 1, 4096).map(|cpus| cpus as u32);
    let memory = fields.size("memory");
    let mut gpus: Vec<MockGpu> = Vec::new();
    let tables = fields.tables("gpu");
    let mut total = 0;
    for (index, table) in tables.iter().enumerate() {
        let (gpu, count) = one_gpu(table, &format!("gpu[{index}]"), fields.problems);
        total += count;
        if total <= MAX_GPUS {
            gpus.extend(std::iter::repeat_n(gpu, count));
        }
    }
    if total > MAX_GPUS {
        fields.wrong("gpu", format!("{total} GPUs in all; use at most {MAX_GPUS}"));
    }
    Profile { cpus, memory, gpus }
}

fn one_gpu(table: &Table, place: &str, problems: &mut Vec<ProfileProblem>) -> (MockGpu, usize) {
    let mut fields = Fields { table, place, problems };
    fields.known(&[
        "name",
        "memory",
        "count",
        "compute_capability",
        "numa_node",
        "idle_watts",
        "max_watts",
        "foreign",
        "lost_after_samples",
        "back_after_samples",
        "mig",
    ]);
    let memory = fields.size("memory");
    if memory.is_none() && !table.contains_key("memory") {
        fields.wrong("memory", "is missing; write for example `memory = \"24GiB\"`".to_owned());
    }
    let memory = memory.unwrap_or_default();
    let idle_watts = fields.number("idle_watts", 0.0, 10_000.0).unwrap_or(20.0);
    let max_watts = fields.number("max_watts", 0.0, 10_000.0).unwrap_or(250.0_f64.max(idle_watts));
    if max_watts < idle_watts {
        fields.wrong("max_watts", format!("{max_watts} is below idle_watts = {idle_watts}"));
    }
    let foreign = fields.size("foreign").unwrap_or_default();
    if foreign > memory {
        fields.wrong("foreign", format!("{foreign} is more than the GPU's {memory}"));
    }
    let lost_after = fields.whole("lost_after_samples", 0, 1 << 40);
    let back_after = fields.whole("back_after_samples", 0, 1 << 40);
    if back_after.is_some() && back_after <= lost_after {
        fields.wrong("back_after_samples", "must be more than lost_after_samples".to_owned());
    }
    let mut mig = Vec::new();
    let mut mig_total = 0_usize;
    let mut mig_memory = Bytes::ZERO;
    for (index, table) in fields.tables("mig").iter().enumerate() {
        let place = format!("{place}.mig[{index}]");
        let mut fields = Fields { table, place: &place, problems: fields.problems };
        fields.known(&["name", "memory", "count"]);
        let count = fields.whole("count", 1, 7).unwrap_or(1) as usize;
        let Some(memory) = fields.size("memory") else {
            if !table.contains_key("memory") {
                fields.wrong("memory", "is missing; write for example `memory = \"4864MiB\"`".to_owned());
            }
            continue;
        };
        let name = fields.text("name").unwrap_or_else(|| "MIG instance".to_owned());
        mig_total += count;
        mig_memory = Bytes(mig_memory.0.saturating_add(memory.0.saturating_mul(count as u64)));
        mig.extend(std::iter::repeat_n(MockMig { name, memory }, count));
    }
    if mig_total > 7 {
        fields.wrong("mig", format!("{mig_total} instances in all; a GPU has at most 7"));
    }
    if mig_memory > memory && memory > Bytes::ZERO {
        fields.wrong("mig", format!("instances of {mig_memory} in all on a GPU of {memory}"));
    }
    let gpu = MockGpu {
        name: fields.text("name").unwrap_or_else(|| "Mock GPU".to_owned()),
        memory,
        compute_capability: fields.capability("compute_capability"),
        numa_node: fields.whole("numa_node", 0, 1023).map(|node| node as u16),
        idle_watts,
        max_watts,
        foreign,
        lost_after,
        back_after,
        mig,
    };
    let count = fields.whole("count", 0, i64::MAX as u64).unwrap_or(1);
    (gpu, usize::try_from(count.min(1 << 20)).unwrap_or(usize::MAX))
}

/// A table being read, and where problems with it go.
struct Fields<'a> {
    table: &'a Table,
    place: &'a str,
    problems: &'a mut Vec<ProfileProblem>,
}

impl Fields<'_> {
    fn wrong(&mut self, key: &str, message: String) {
        let place = if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) };
        self.problems.push(ProfileProblem { place, message });
    }

    fn known(&mut self, keys: &[&str]) {
        for key in self.table.keys().filter(|key| !keys.contains(&key.as_str())) {
            let meant = nearest(key, keys.iter().copied()).map_or_else(
                || format!("known keys are {}", keys.join(", ")),
                |name| format!("did you mean `{name}`?"),
            );
            self.wrong(key, format!("unknown key; {meant}"));
        }
    }

    fn text(&mut self, key: &str) -> Option<String> {
        match self.table.get(key)? {
            Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
            other => {
                self.wrong(key, format!("{other} is no text"));
                None
            }
        }
    }

    fn size(&mut self, key: &str) -> Option<Bytes> {
        let value = self.table.get(key)?;
        let parsed = match value {
            Value::String(text) => Bytes::parse(text),
            _ => Err(UnitError::UnitMissing),
        };
        match parsed {
            Ok(size) => Some(size),
            Err(_) => {
                self.wrong(key, format!("{value} is no size; write a number with a unit, such as \"24GiB\""));
                None
            }
        }
    }

    fn whole(&mut self, key: &str, least: u64, most: u64) -> Option<u64> {
        let value = self.table.get(key)?;
        let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
        match number {
            Some(number) if (least..=most).contains(&number) => Some(number),
            _ => {
                self.wrong(key, format!("{value} is not a whole number from {least} to {most}"));
                None
            }
        }
    }

    fn number(&mut self, key: &str, least: f64, most: f64) -> Option<f64> {
        let value = self.table.get(key)?;
        let number = value.as_float().or_else(|| value.as_integer().map(|number| number as f64));
        match number {
            Some(number) if (least..=most).contains(&number) => Some(number),
            _ => {
                self.wrong(key, format!("{value} is not a number from {least} to {most}"));
                None
            }
        }
    }

    fn capability(&mut self, key: &str) -> Option<(u16, u16)> {
        let value = self.table.get(key)?;
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Float(number) => format!("{number:.1}"),
            other => other.to_string(),
        };
        let parsed =
            text.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        if parsed.is_none() {
            self.wrong(key, format!("{value} is no compute capability; write for example \"8.6\""));
        }
        parsed
    }

    fn tables(&mut self, key: &str) -> Vec<Table> {
        let Some(value) = self.table.get(key) else { return Vec::new() };
        let Value::Array(items) = value else {
            self.wrong(key, format!("must be a list; write `[[{key}]]` before each"));
            return Vec::new();
        };
        let tables: Vec<Table> = items.iter().filter_map(|item| item.as_table().cloned()).collect();
        if tables.len() != items.len() {
            self.wrong(key, format!("must be a list of tables; write `[[{key}]]` before each"));
        }
        tables
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        Profile::parse(text).expect_err("not valid").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_profiles_that_come_along_are_valid() {
        for (name, _) in PROFILES {
            assert!(!Profile::named(name).expect(name).gpus.is_empty(), "{name}");
        }
        let sizes: Vec<u64> =
            Profile::named("2x24g").expect("known").gpus.iter().map(|gpu| gpu.memory.0 >> 30).collect();
        assert_eq!(sizes, [24, 24]);
        assert_eq!(Profile::named("8xh100").expect("known").gpus.len(), 8);
        let mixed = Profile::named("mixed").expect("known").gpus;
        assert_ne!(mixed[0].name, mixed[1].name);
    }

    #[test]
    fn times_repeats_the_first_card() {
        let mixed = Profile::named("mixed").expect("known");
        let first = mixed.gpus[0].clone();
        assert_eq!(mixed.times(5).gpus, vec![first; 5]);
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let text = "cpu = 4\nmemory = 12\n[[gpu]]\nnam = 'x'\nmemory = '8 parsecs'\ncount = -1\n[[gpu]]\nname = 'y'\n";
        let found = problems(text);
        let expected = [
            "`cpu`: unknown key; did you mean `cpus`?",
            "`memory`: 12 is no size; write a number with a unit, such as \"24GiB\"",
            "`gpu[0].nam`: unknown key; did you mean `name`?",
            "`gpu[0].memory`: \"8 parsecs\" is no size; write a number with a unit, such as \"24GiB\"",
            "`gpu[0].count`: -1 is not a whole number from 0 to 9223372036854775807",
            "`gpu[1].memory`: is missing; write for example `memory = \"24GiB\"`",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(problems("[[gpu]]\nmemory = '8GiB'\ncount = 65\n")[0].contains("at most 64"));
        assert!(problems("[[gpu]]\nmemory = '8GiB'\ncount = 99999999999\n")[0].contains("at most 64"));
        assert!(problems("[[gpu]]\nmemory = '8GiB'\nforeign = '9GiB'\n")[0].contains("more than the GPU's"));
        assert!(
            problems("[[gpu]]\nmemory='8GiB'\nmig = [{ memory = '2GiB', count = 7 }]\n")[0]
                .contains("14 GiB in all")
        );
        assert!(
            problems("[[gpu]]\nmemory='8GiB'\nmig = [{ memory = '1MiB', count = 7 }, { memory = '1MiB' }]\n")
                [0]
            .contains("at most 7")
        );
        assert!(
            problems("[[gpu]]\nmemory='8GiB'\nlost_after_samples = 3\nback_after_samples = 3\n").len() == 1
        );
        assert!(problems("gpu = 3\n")[0].contains("[[gpu]]"));
        assert!(problems("gpu = [").len() == 1);
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        let error = Profile::load(Path::new("no/such.toml")).expect_err("missing");
        assert!(error.to_string().contains("no/such.toml"), "{error}");
    }
}
