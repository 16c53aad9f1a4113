//! NVIDIA GPUs by the driver's own library, which lives in a probe process.
//!
//! The source asks the probe with a deadline and thinks the worst of silence, one GPU at a time:
//!
//! - A GPU that does not answer within the deadline is *unknown*; the others are sampled. Silent for
//!   three deadlines, it is **left out**: the probe is killed and started again without it, and the
//!   GPU is tried again after a while that doubles with each failure.
//! - A probe that ends by itself (a vendor library may call `exit`) is started again, each time a
//!   little later while it keeps ending. If one GPU alone owed an answer, it is left out as above.
//!   If several did, the next rounds are **cautious**, one GPU after the other, until the culprit
//!   is known.
//! - "GPU is lost", a fatal XID (`xid.rs`) and uncorrected ECC errors make that GPU *lost*. A fatal XID
//!   stays until the source is opened anew, since only a reset mends it; the others last as long as the
//!   driver says so.
//!
//! [`NvmlSource::sample`] never waits longer than the deadline, whatever the driver does.

mod link;
pub(crate) mod protocol;
mod xid;

use crate::host::{HostSource, numa_node_of, parse_cpu_list};
use crate::source::{DeviceSource, SourceError};
use dunnage_model::{Bytes, DeviceId, DeviceSample, GpuSpec, Health, NodeId, NodeSpec, ProcessUse};
use link::{Heard, Link};
use protocol::{Ask, Card, Fault, Reading, Say};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Rounds of one question at a time after a probe ended with several GPUs owing an answer.
const CAUTIOUS_ROUNDS: u32 = 3;
/// Deadlines of silence after which a GPU is left out.
const SILENT_DEADLINES: u32 = 3;

/// Starts of the probe within one look at all GPUs: one to see that it ends, one to find the culprit,
/// one without it, and one to spare.
const DESCRIBE_TRIES: u32 = 4;

/// The host and its NVIDIA GPUs.
#[derive(Debug)]
pub struct NvmlSource {
    host: HostSource,
    command: Vec<OsString>,
    library: Option<PathBuf>,
    deadline: Duration,
    probe: Probe,
    driver: Option<String>,
    /// Ends of the probe since all answered.
    ends: u32,
    cautious: u32,
    /// By driver index.
    cards: BTreeMap<u32, Watch>,
    /// Descriptions that came in since they were last given ids.
    described: BTreeMap<u32, Card>,
    /// Every GPU and instance ever seen; the place is the id.
    known: Vec<GpuSpec>,
    /// Fatal XIDs, by UUID of the GPU.
    fatal: BTreeMap<String, String>,
    /// Nothing was asked since `open` looked.
    first_look: bool,
}

/// The probe process, as far as it is there.
#[derive(Debug)]
enum Probe {
    Down { again: Instant, why: String },
    Starting { link: Link, since: Instant },
    Up { link: Link },
}

/// What is known of the GPU at one driver index.
#[derive(Debug, Default)]
struct Watch {
    uuid: Option<String>,
    /// Described by the present probe.
    described: bool,
    /// Since when it owes an answer.
    waiting: Option<Instant>,
    /// The answer of this round.
    answer: Option<Result<Vec<Reading>, Fault>>,
    /// Not asked until then, and why.
    left_out: Option<(Instant, String)>,
    /// How often it was left out since it last answered.
    strikes: u32,
}

/// What a round of questions is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    Describe,
    Sample,
}

impl NvmlSource {
    /// Starts the probe and takes a first look.
    ///
    /// # Errors
    /// The probe does not start or NVML cannot be used by it; with the reason.
    pub fn open(
        command: Vec<OsString>,
        library: Option<PathBuf>,
        custom: BTreeMap<String, u64>,
        deadline: Duration,
    ) -> Result<Self, SourceError> {
        let mut source = Self {
            host: HostSource::new(custom),
            command,
            library,
            deadline: deadline.max(Duration::from_millis(1)),
            probe: Probe::Down {
                again: Instant::now(),
                why: "the NVML probe was not started yet".to_owned(),
            },
            driver: None,
            ends: 0,
            cautious: 0,
            cards: BTreeMap::new(),
            described: BTreeMap::new(),
            known: Vec::new(),
            fatal: BTreeMap::new(),
            first_look: true,
        };
        source.round(Round::Describe, Instant::now() + source.patience());
        match &source.probe {
            // It may have ended while a GPU was described; then it will be started again without it.
            Probe::Down { why, .. } if source.cards.is_empty() => {
                Err(SourceError::Nvml { library: source.library.clone(), why: why.clone() })
            }
            Probe::Starting { .. } => {
                let why = format!("the library did not load within {:?}", source.patience());
                Err(SourceError::Nvml { library: source.library.clone(), why })
            }
            Probe::Up { .. } | Probe::Down { .. } => Ok(source),
        }
    }

    /// The driver's version, where it tells.
    pub fn driver(&self) -> Option<&str> {
        self.driver.as_deref()
    }

    /// How many GPUs the driver counts, whether they answer or not.
    pub fn counted(&self) -> usize {
        self.cards.len()
    }

    /// How many of them have described themselves to the present probe.
    pub(crate) fn described(&self) -> usize {
        self.cards.values().filter(|watch| watch.described).count()
    }

    /// How long the library and the first look at GPUs may take: a driver without persistence sets
    /// them up at the first call.
    fn patience(&self) -> Duration {
        self.deadline.saturating_mul(5)
    }

    /// Asks every GPU that is to be asked, and waits until all have answered or it is time.
    fn round(&mut self, kind: Round, until: Instant) {
        let begin = Instant::now();
        for watch in self.cards.values_mut() {
            watch.answer = None;
            if kind == Round::Describe {
                watch.described = false;
            }
            if watch.left_out.as_ref().is_some_and(|(again, _)| *again <= begin) {
                watch.left_out = None;
            }
        }
        // A first look is worth a few starts: a GPU that ends the probe is found and left out.
        let tries = if kind == Round::Describe { DESCRIBE_TRIES } else { 1 };
        for attempt in 1..=tries {
            if self.bring_up(until) {
                loop {
                    self.ask(kind);
                    // One that is silent since an earlier round is heard when it speaks, not waited for.
                    let owed = |watch: &Watch| watch.waiting.is_some_and(|since| since >= begin);
                    if !self.cards.values().any(owed) || !self.hear(until) {
                        break;
                    }
                }
                self.blame_the_silent();
            }
            let Probe::Down { again, .. } = &self.probe else { break };
            if attempt == tries || self.cards.is_empty() || *again >= until {
                break;
            }
            std::thread::sleep(again.saturating_duration_since(Instant::now()));
        }
        if matches!(self.probe, Probe::Up { .. }) && self.cards.values().all(|watch| watch.waiting.is_none())
        {
            self.ends = 0;
            self.cautious = self.cautious.saturating_sub(1);
        }
        self.give_ids();
    }

    /// Starts the probe where it is down and may be started; says whether it is up.
    fn bring_up(&mut self, until: Instant) -> bool {
        if let Probe::Down { again, .. } = &self.probe {
            if *again > Instant::now() {
                return false;
            }
            match Link::start(&self.command, self.library.as_deref()) {
                Ok(link) => self.probe = Probe::Starting { link, since: Instant::now() },
                Err(error) => {
                    let program =
                        self.command.first().map(|program| program.to_string_lossy()).unwrap_or_default();
                    self.down(format!("cannot start the NVML probe `{program}`: {error}"));
                }
            }
        }
        while let Probe::Starting { since, .. } = &self.probe {
            if since.elapsed() > self.patience() {
                self.down("the NVML library hangs while it loads".to_owned());
            } else if !self.hear(until) {
                break;
            }
        }
        matches!(self.probe, Probe::Up { .. })
    }

    /// Asks what may be asked now: all at once, but those under suspicion one by one, after the others.
    fn ask(&mut self, kind: Round) {
        let Probe::Up { link } = &mut self.probe else { return };
        let mut broken = None;
        for suspected in [false, true] {
            let mut open = self.cards.values().any(|watch| watch.waiting.is_some());
            for (&index, watch) in &mut self.cards {
                let done = watch.answer.is_some() || (kind == Round::Describe && watch.described);
                let silent = watch.left_out.is_some() || watch.waiting.is_some();
                if suspected != (self.cautious > 0 || watch.strikes > 0)
                    || done
                    || silent
                    || (suspected && open)
                {
                    continue;
                }
                let question = if watch.described { Ask::Sample { index } } else { Ask::Describe { index } };
                match link.ask(question) {
                    Ok(()) => watch.waiting = Some(Instant::now()),
                    Err(error) => broken = Some(error),
                }
                open = true;
            }
        }
        if let Some(error) = broken {
            self.down(format!("the NVML probe takes no questions: {error}"));
        }
    }

    /// Takes in one message; says whether there may be more before `until`.
    fn hear(&mut self, until: Instant) -> bool {
        let (Probe::Starting { link, .. } | Probe::Up { link }) = &mut self.probe else { return false };
        match link.hear(until) {
            Heard::Nothing => false,
            Heard::Ended(why) => {
                self.down(why);
                false
            }
            Heard::Said(said) => {
                self.take(said);
                true
            }
        }
    }

    fn take(&mut self, said: Say) {
        match said {
            Say::Ready { driver, count } => {
                self.driver = driver;
                // No machine has more; a library that says so is not believed.
                let count = count.min(256);
                self.cards.retain(|index, _| *index < count);
                for index in 0..count {
                    self.cards.entry(index).or_default();
                }
                let now = Probe::Down { again: Instant::now(), why: String::new() };
                if let Probe::Starting { link, .. } | Probe::Up { link } =
                    std::mem::replace(&mut self.probe, now)
                {
                    self.probe = Probe::Up { link };
                }
            }
            Say::Unusable { why } => self.down(why),
            Say::Gpu { index, gpu } => {
                let Some(watch) = self.cards.get_mut(&index) else { return };
                watch.waiting = None;
                match gpu {
                    Ok(card) => {
                        watch.described = true;
                        watch.uuid = Some(card.uuid.clone());
                        self.described.insert(index, card);
                    }
                    Err(fault) => watch.answer = Some(Err(fault)),
                }
            }
            Say::Sample { index, sample } => {
                let Some(watch) = self.cards.get_mut(&index) else { return };
                watch.waiting = None;
                watch.strikes = 0;
                watch.answer = Some(sample);
            }
            Say::Xid { index, xid } => {
                let uuid = self.cards.get(&index).and_then(|watch| watch.uuid.clone());
                if let Some((uuid, meaning)) = uuid.zip(xid::fatal(xid)) {
                    self.fatal.entry(uuid).or_insert_with(|| format!("XID {xid}: {meaning}"));
                }
            }
        }
    }

    /// The probe has ended by itself: it is started again after a while, without the GPU that ended it
    /// where that is known.
    fn down(&mut self, why: String) {
        let suspects: Vec<u32> =
            self.cards.iter().filter(|(_, watch)| watch.waiting.is_some()).map(|(index, _)| *index).collect();
        match suspects.as_slice() {
            [] => {}
            [culprit] => self.leave_out(*culprit, &format!("{why} while it asked this GPU")),
            _ => self.cautious = CAUTIOUS_ROUNDS,
        }
        let doubled = self.deadline / 20 * (1 << self.ends.min(10));
        self.ends += 1;
        self.stop(Instant::now() + doubled.min(self.deadline * 15), why);
    }

    /// Leaves out what is silent for too long, and starts the probe again without it: a thread that
    /// hangs in a vendor's library can only be got rid of with its process.
    fn blame_the_silent(&mut self) {
        let (deadline, cautious) = (self.deadline, self.cautious > 0);
        let silent = |watch: &Watch| {
            let patience = if cautious || watch.strikes > 0 { deadline } else { deadline * SILENT_DEADLINES };
            watch.waiting.is_some_and(|since| since.elapsed() >= patience)
        };
        let found: Vec<u32> =
            self.cards.iter().filter(|(_, watch)| silent(watch)).map(|(index, _)| *index).collect();
        if found.is_empty() {
            return;
        }
        if found.len() == 1 || cautious {
            for index in found {
                self.leave_out(index, &format!("no answer within {deadline:?}, again and again"));
            }
        } else {
            // One may hold up the others through a lock inside the library.
            self.cautious = CAUTIOUS_ROUNDS;
        }
        self.stop(Instant::now(), "the NVML probe is started again without a GPU that hung".to_owned());
    }

    fn leave_out(&mut self, index: u32, why: &str) {
        let deadline = self.deadline;
        let Some(watch) = self.cards.get_mut(&index) else { return };
        let pause = (deadline * 10 * (1 << watch.strikes.min(6))).min(deadline * 300);
        watch.strikes += 1;
        watch.left_out = Some((Instant::now() + pause, why.to_owned()));
    }

    fn stop(&mut self, again: Instant, why: String) {
        for watch in self.cards.values_mut() {
            watch.waiting = None;
            watch.described = false;
        }
        self.probe = Probe::Down { again, why };
    }

    /// Gives ids to what was described: those known keep theirs, new ones follow in order of the bus.
    fn give_ids(&mut self) {
        let mut cards: Vec<(u32, Card)> = std::mem::take(&mut self.described).into_iter().collect();
        cards.sort_by(|(a, left), (b, right)| left.pci_bus_id.cmp(&right.pci_bus_id).then(a.cmp(b)));
        if cards.is_empty() {
            return;
        }
        let nodes = self.host.numa_nodes();
        // A GPU that is built into the processor works in the host's memory.
        let shared = self.host.total_memory();
        for (index, card) in cards {
            let place = Place::of(&card, &nodes);
            let spec =
                |uuid: &str, name: &str, memory: u64, parent: Option<&str>, allocatable: bool| GpuSpec {
                    device: DeviceId::host(NodeId::LOCAL),
                    uuid: uuid.to_owned(),
                    name: name.to_owned(),
                    memory: Bytes(memory),
                    pci_bus_id: card.pci_bus_id.clone(),
                    compute_capability: card.compute_capability,
                    numa_node: place.numa_node,
                    near_cpus: place.near_cpus.clone(),
                    driver_index: index,
                    mig_parent: parent.map(str::to_owned),
                    allocatable,
                };
            for gone in self.known.iter_mut().filter(|gpu| gpu.mig_parent.as_ref() == Some(&card.uuid)) {
                gone.allocatable = false;
            }
            self.learn(spec(&card.uuid, &card.name, card.memory.unwrap_or(shared.0), None, !card.mig));
            for part in &card.instances {
                self.learn(spec(&part.uuid, &part.name, part.memory, Some(&card.uuid), true));
            }
        }
    }

    fn learn(&mut self, spec: GpuSpec) {
        if let Some(known) = self.known.iter_mut().find(|known| known.uuid == spec.uuid) {
            *known = GpuSpec { device: known.device, ..spec };
        } else if let Ok(local) = u16::try_from(self.known.len() + 1) {
            self.known.push(GpuSpec { device: DeviceId { node: NodeId::LOCAL, local }, ..spec });
        }
    }

    /// How a GPU or instance is after a round.
    fn sample_of(&self, gpu: &GpuSpec) -> DeviceSample {
        let card = gpu.mig_parent.as_ref().unwrap_or(&gpu.uuid);
        let here = |watch: &&Watch| watch.uuid.as_ref() == Some(card);
        let described = self.cards.values().find(|watch| watch.described && here(watch));
        let watch = described.or_else(|| self.cards.values().find(here));
        let readings = watch.and_then(|watch| watch.answer.as_ref()).and_then(|answer| answer.as_ref().ok());
        let find = |uuid: &String| readings.and_then(|all| all.iter().find(|reading| reading.uuid == *uuid));
        let ecc = find(card).and_then(|reading| reading.ecc_uncorrected).filter(|count| *count > 0);
        let health = if let Some(why) = self.fatal.get(card) {
            Health::Lost { why: why.clone() }
        } else if let Some(count) = ecc {
            Health::Lost { why: format!("{count} uncorrected ECC errors since the driver was loaded") }
        } else if find(&gpu.uuid).is_some() {
            Health::Ok
        } else {
            self.silence(watch)
        };
        find(&gpu.uuid).map_or_else(
            || DeviceSample::health(gpu.device, health.clone()),
            |reading| DeviceSample {
                device: gpu.device,
                health: health.clone(),
                memory_used: reading.memory_used.map(Bytes),
                busy: reading.busy,
                memory_busy: reading.memory_busy,
                energy_joules: reading.energy_joules,
                power_watts: reading.power_watts,
                temperature_celsius: reading.temperature_celsius,
                processes: reading
                    .processes
                    .iter()
                    .map(|&(pid, memory, sm_share)| ProcessUse { pid, memory: memory.map(Bytes), sm_share })
                    .collect(),
            },
        )
    }

    /// What it means that there is no reading of a device.
    fn silence(&self, watch: Option<&Watch>) -> Health {
        let Some(watch) = watch else {
            return match &self.probe {
                Probe::Up { .. } => Health::Lost { why: "the driver no longer lists this GPU".to_owned() },
                Probe::Starting { .. } => Health::Unknown { why: "the NVML probe is starting".to_owned() },
                Probe::Down { why, .. } => Health::Unknown { why: why.clone() },
            };
        };
        match (&watch.answer, &watch.left_out, &self.probe) {
            (Some(Ok(_)), _, _) => Health::Lost { why: "this MIG instance is no longer there".to_owned() },
            (Some(Err(Fault { lost: true, why })), _, _) => Health::Lost { why: why.clone() },
            (Some(Err(Fault { lost: false, why })), _, _) => Health::Unknown { why: why.clone() },
            (None, Some((_, why)), _) => Health::Unknown { why: why.clone() },
            (None, None, Probe::Down { why, .. }) => Health::Unknown { why: why.clone() },
            (None, None, Probe::Starting { .. }) => {
                Health::Unknown { why: "the NVML probe is starting".to_owned() }
            }
            (None, None, Probe::Up { .. }) => {
                Health::Unknown { why: format!("no answer within {:?}", self.deadline) }
            }
        }
    }
}

impl DeviceSource for NvmlSource {
    fn inventory(&mut self) -> Result<NodeSpec, SourceError> {
        let mut node = self.host.inventory()?;
        // What is already known need not be asked for again right after `open`.
        let fresh = self.cards.values().all(|watch| watch.described) && self.first_look;
        if !fresh {
            self.round(Round::Describe, Instant::now() + self.patience());
        }
        self.first_look = false;
        node.gpus.clone_from(&self.known);
        Ok(node)
    }

    fn sample(&mut self) -> Vec<DeviceSample> {
        let until = Instant::now() + self.deadline;
        let host = self.host.host_sample();
        self.round(Round::Sample, until);
        let gpus = self.known.iter().map(|gpu| self.sample_of(gpu));
        std::iter::once(host).chain(gpus).collect()
    }
}

/// Where a card sits in the machine.
struct Place {
    numa_node: Option<u16>,
    near_cpus: Vec<u32>,
}

impl Place {
    /// By the kernel's own files, and by the driver's affinity mask where these say nothing. (The
    /// driver's "NUMA node id" is another thing: the node that a GPU's memory *is*.)
    fn of(card: &Card, nodes: &[Vec<u32>]) -> Self {
        let directory = sysfs(&card.pci_bus_id);
        let read =
            |name: &str| directory.as_ref().and_then(|path| std::fs::read_to_string(path.join(name)).ok());
        let near_cpus = if card.near_cpus.is_empty() {
            read("local_cpulist").map(|list| parse_cpu_list(&list)).unwrap_or_default()
        } else {
            card.near_cpus.clone()
        };
        // The kernel writes -1 where it does not know.
        let numa_node = read("numa_node").and_then(|text| text.trim().parse().ok());
        Self { numa_node: numa_node.or_else(|| numa_node_of(nodes, &near_cpus)), near_cpus }
    }
}

/// `00000000:65:00.0` is `0000:65:00.0` to the kernel.
fn sysfs(pci_bus_id: &str) -> Option<PathBuf> {
    let lower = pci_bus_id.to_ascii_lowercase();
    let (domain, rest) = lower.split_once(':')?;
    let domain = u32::from_str_radix(domain, 16).ok()?;
    let plain = rest.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.');
    plain.then(|| Path::new("/sys/bus/pci/devices").join(format!("{domain:04x}:{rest}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_names_a_bus_address_its_own_way() {
        assert_eq!(
            sysfs("00000000:65:00.0").as_deref(),
            Some(Path::new("/sys/bus/pci/devices/0000:65:00.0"))
        );
        assert_eq!(
            sysfs("00010000:C1:00.0").as_deref(),
            Some(Path::new("/sys/bus/pci/devices/10000:c1:00.0"))
        );
        assert_eq!(sysfs("00000000:../../x"), None);
        assert_eq!(sysfs(""), None);
    }
}
