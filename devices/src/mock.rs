//! Made-up devices, whose telemetry follows what is said to run on them.
//!
//! A [`MockLoad`] is the second end of a [`MockSource`]: whoever starts attempts tells it which
//! process uses how much of which device, and the samples say so: used memory is the sum, busy is the
//! sum of the shares, power lies between idle and full, energy is power over the time between
//! samples. GPUs are lost and come back after as many samples as the profile says.
//!
//! Cores and RAM that the profile does not declare are the real machine's, in inventory and samples.

use crate::host::HostSource;
use crate::profile::{MockGpu, Profile};
use crate::source::{DeviceSource, SourceError};
use dunnage_model::{
    Bytes, DeviceId, DeviceSample, GpuSpec, Health, MilliCores, NodeId, NodeSpec, ProcessUse,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time that goes by between samples: since any fixed point, never backwards.
pub type Clock = Box<dyn FnMut() -> Duration + Send>;

/// What runs on made-up devices. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct MockLoad {
    uses: Arc<Mutex<BTreeMap<DeviceId, Vec<ProcessUse>>>>,
}

impl MockLoad {
    /// From now on exactly these processes use this device; an empty list frees it.
    pub fn set(&self, device: DeviceId, processes: Vec<ProcessUse>) {
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        if processes.is_empty() {
            uses.remove(&device);
        } else {
            uses.insert(device, processes);
        }
    }

    fn of(&self, device: DeviceId) -> Vec<ProcessUse> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner).get(&device).cloned().unwrap_or_default()
    }
}

/// The source of made-up devices.
pub struct MockSource {
    profile: Profile,
    custom: BTreeMap<String, u64>,
    host: HostSource,
    load: MockLoad,
    clock: Clock,
    devices: Vec<Made>,
    samples: u64,
    last: Option<Duration>,
}

/// A device as the inventory lists it, with what its samples need.
#[derive(Debug)]
struct Made {
    spec: GpuSpec,
    gpu: MockGpu,
    /// For a GPU that is cut up: the devices of its instances, whose use is its own.
    parts: Vec<DeviceId>,
    energy_joules: f64,
}

impl std::fmt::Debug for MockSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MockSource")
            .field("profile", &self.profile)
            .field("samples", &self.samples)
            .finish_non_exhaustive()
    }
}

impl MockSource {
    /// A source of this profile's devices, on the real clock.
    pub fn new(profile: Profile, custom: BTreeMap<String, u64>, load: MockLoad) -> Self {
        let start = Instant::now();
        Self::with_clock(profile, custom, load, Box::new(move || start.elapsed()))
    }

    /// The same with another clock, for tests and simulation.
    pub fn with_clock(profile: Profile, custom: BTreeMap<String, u64>, load: MockLoad, clock: Clock) -> Self {
        let host = HostSource::new(BTreeMap::new());
        let devices = made(&profile.gpus);
        Self { profile, custom, host, load, clock, devices, samples: 0, last: None }
    }

    fn host_sample(&mut self) -> DeviceSample {
        let device = DeviceId::host(NodeId::LOCAL);
        let (Some(cpus), Some(memory)) = (self.profile.cpus, self.profile.memory) else {
            return self.host.host_sample();
        };
        let processes = self.load.of(device);
        DeviceSample {
            memory_used: Some(used(&processes).min(memory)),
            busy: Some((busy(&processes) / f64::from(cpus)).clamp(0.0, 1.0)),
            processes,
            ..DeviceSample::health(device, Health::Ok)
        }
    }
}

impl DeviceSource for MockSource {
    fn inventory(&mut self) -> Result<NodeSpec, SourceError> {
        let mut node = match (self.profile.cpus, self.profile.memory) {
            (Some(cpus), Some(memory)) => NodeSpec::new(cpus, memory),
            (cpus, memory) => {
                let mut node = self.host.inventory()?;
                if let Some(cpus) = cpus {
                    node.cpu.capacity = MilliCores::cores(cpus);
                    node.cpu.numa_nodes = vec![(0..cpus).collect()];
                }
                node.memory = memory.unwrap_or(node.memory);
                node
            }
        };
        node.name = crate::host::name();
        node.gpus = self.devices.iter().map(|made| made.spec.clone()).collect();
        node.custom.clone_from(&self.custom);
        Ok(node)
    }

    fn sample(&mut self) -> Vec<DeviceSample> {
        let now = (self.clock)();
        let passed = self.last.map_or(Duration::ZERO, |last| now.saturating_sub(last));
        self.last = Some(now);
        self.samples += 1;
        let mut samples = vec![self.host_sample()];
        for made in &mut self.devices {
            samples.push(made.sample(&self.load, self.samples, passed));
        }
        samples
    }
}

impl Made {
    fn sample(&mut self, load: &MockLoad, number: u64, passed: Duration) -> DeviceSample {
        let device = self.spec.device;
        let lost = self.gpu.lost_after.is_some_and(|after| number > after)
            && self.gpu.back_after.is_none_or(|after| number <= after);
        if lost {
            return DeviceSample::health(
                device,
                Health::Lost { why: "the GPU has fallen off the bus".to_owned() },
            );
        }
        let mut processes = load.of(device);
        for part in &self.parts {
            processes.extend(load.of(*part));
        }
        let busy = busy(&processes).clamp(0.0, 1.0);
        let memory = self.gpu.foreign.saturating_add(used(&processes)).min(self.spec.memory);
        let sample =
            DeviceSample { memory_used: Some(memory), processes, ..DeviceSample::health(device, Health::Ok) };
        if self.spec.mig_parent.is_some() {
            // As from the driver: an instance has memory and processes, no sensors of its own.
            return sample;
        }
        let watts = self.gpu.idle_watts + (self.gpu.max_watts - self.gpu.idle_watts) * busy;
        self.energy_joules += watts * passed.as_secs_f64();
        DeviceSample {
            busy: Some(busy),
            memory_busy: Some(busy * 0.5),
            energy_joules: Some(self.energy_joules),
            power_watts: Some(watts),
            temperature_celsius: Some(30.0 + 45.0 * busy),
            ..sample
        }
    }
}

fn used(processes: &[ProcessUse]) -> Bytes {
    processes.iter().filter_map(|process| process.memory).fold(Bytes::ZERO, Bytes::saturating_add)
}

fn busy(processes: &[ProcessUse]) -> f64 {
    // Not `sum`: that of nothing is -0.
    processes.iter().filter_map(|process| process.sm_share).fold(0.0, |sum, share| sum + share)
}

/// The devices of these GPUs in the order of an inventory: each GPU, then its instances.
fn made(gpus: &[MockGpu]) -> Vec<Made> {
    let mut devices: Vec<Made> = Vec::new();
    for (index, gpu) in gpus.iter().enumerate() {
        let id = |place: usize| DeviceId { node: NodeId::LOCAL, local: place as u16 + 1 };
        let place = devices.len();
        let spec = GpuSpec {
            device: id(place),
            uuid: format!("GPU-00000000-0000-0000-0000-{:012x}", index + 1),
            name: gpu.name.clone(),
            memory: gpu.memory,
            pci_bus_id: format!("00000000:{:02X}:00.0", index + 1),
            compute_capability: gpu.compute_capability,
            numa_node: gpu.numa_node,
            near_cpus: Vec::new(),
            driver_index: index as u32,
            mig_parent: None,
            allocatable: gpu.mig.is_empty(),
        };
        let parent = spec.uuid.clone();
        let parts = (0..gpu.mig.len()).map(|part| id(place + 1 + part)).collect();
        devices.push(Made { spec: spec.clone(), gpu: gpu.clone(), parts, energy_joules: 0.0 });
        for (part, mig) in gpu.mig.iter().enumerate() {
            let spec = GpuSpec {
                device: id(place + 1 + part),
                uuid: format!("MIG-00000000-0000-0000-{:04x}-{:012x}", index + 1, part + 1),
                name: mig.name.clone(),
                memory: mig.memory,
                mig_parent: Some(parent.clone()),
                allocatable: true,
                ..spec.clone()
            };
            let gpu = MockGpu { foreign: Bytes::ZERO, ..gpu.clone() };
            devices.push(Made { spec, gpu, parts: Vec::new(), energy_joules: 0.0 });
        }
    }
    devices
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    const fn gpu(local: u16) -> DeviceId {
        DeviceId { node: NodeId::LOCAL, local }
    }

    fn on(pid: u32, gib: u64, share: f64) -> ProcessUse {
        ProcessUse { pid, memory: Some(Bytes::gib(gib)), sm_share: Some(share) }
    }

    /// A source whose clock stands until it is moved.
    fn source(text: &str) -> (MockSource, MockLoad, Arc<AtomicU64>) {
        let profile = Profile::parse(text).unwrap_or_else(|problems| panic!("{problems:?}"));
        let (load, seconds) = (MockLoad::default(), Arc::new(AtomicU64::new(0)));
        let hand = Arc::clone(&seconds);
        let clock: Clock = Box::new(move || Duration::from_secs(hand.load(Ordering::Relaxed)));
        (MockSource::with_clock(profile, BTreeMap::new(), load.clone(), clock), load, seconds)
    }

    const ONE: &str = "cpus = 4\nmemory = '8GiB'\n[[gpu]]\nmemory = '24GiB'\nforeign = '1GiB'\nidle_watts = 100\nmax_watts = 300\n";

    #[test]
    fn telemetry_follows_what_runs() {
        let (mut source, load, seconds) = source(ONE);
        let idle = source.sample().remove(1);
        assert_eq!((idle.memory_used, idle.busy), (Some(Bytes::gib(1)), Some(0.0)));
        load.set(gpu(1), vec![on(7, 8, 0.5), on(8, 4, 0.25)]);
        seconds.store(10, Ordering::Relaxed);
        let sample = source.sample().remove(1);
        assert_eq!(sample.memory_used, Some(Bytes::gib(13)));
        assert_eq!(sample.busy, Some(0.75));
        assert_eq!(sample.power_watts, Some(250.0));
        assert_eq!(sample.energy_joules, Some(2500.0));
        assert_eq!(sample.processes.len(), 2);
        load.set(gpu(1), Vec::new());
        assert_eq!(source.sample().remove(1).memory_used, Some(Bytes::gib(1)));
    }

    #[test]
    fn a_card_is_never_fuller_than_it_is_large() {
        let (mut source, load, _) = source(ONE);
        load.set(gpu(1), vec![on(7, 80, 3.0)]);
        let sample = source.sample().remove(1);
        assert_eq!((sample.memory_used, sample.busy), (Some(Bytes::gib(24)), Some(1.0)));
    }

    #[test]
    fn a_declared_host_shows_its_load() {
        let (mut source, load, _) = source(ONE);
        load.set(DeviceId::host(NodeId::LOCAL), vec![on(7, 2, 1.0)]);
        let host = source.sample().remove(0);
        assert_eq!((host.memory_used, host.busy), (Some(Bytes::gib(2)), Some(0.25)));
    }

    #[test]
    fn a_dying_card_is_lost_alone_and_may_come_back() {
        let text = "cpus = 1\nmemory = '1GiB'\n[[gpu]]\nmemory = '1GiB'\n[[gpu]]\nmemory = '1GiB'\nlost_after_samples = 1\nback_after_samples = 2\n";
        let (mut source, _, _) = source(text);
        let words: Vec<Vec<&str>> =
            (0..3).map(|_| source.sample().iter().map(|sample| sample.health.word()).collect()).collect();
        assert_eq!(words, [["ok", "ok", "ok"], ["ok", "ok", "lost"], ["ok", "ok", "ok"]]);
    }

    #[test]
    fn a_cut_card_takes_no_work_and_shows_that_of_its_instances() {
        let profile = Profile::named("mig-a100").expect("known");
        let load = MockLoad::default();
        let mut source =
            MockSource::with_clock(profile, BTreeMap::new(), load.clone(), Box::new(|| Duration::ZERO));
        let node = source.inventory().expect("a host");
        let shape: Vec<(bool, bool)> =
            node.gpus.iter().map(|gpu| (gpu.allocatable, gpu.mig_parent.is_some())).collect();
        assert_eq!(
            shape,
            [(false, false), (true, true), (true, true), (true, true), (true, true), (true, false)]
        );
        assert!(node.gpus.iter().enumerate().all(|(place, gpu)| usize::from(gpu.device.local) == place + 1));
        load.set(gpu(2), vec![on(7, 5, 0.5)]);
        let samples = source.sample();
        assert_eq!(samples[2].memory_used, Some(Bytes::gib(5)));
        assert_eq!(samples[1].memory_used, Some(Bytes::gib(5)), "the whole card");
        assert_eq!(samples[2].power_watts, None, "an instance has no sensors");
    }

    #[test]
    fn an_undeclared_host_is_the_real_one() {
        let profile = Profile::named("2x24g").expect("known");
        let custom = BTreeMap::from([("licence".to_owned(), 3)]);
        let mut source = MockSource::new(profile, custom.clone(), MockLoad::default());
        let node = source.inventory().expect("a host");
        let real = HostSource::new(BTreeMap::new()).inventory().expect("a host");
        assert_eq!((node.cpu.capacity, node.memory, node.custom), (real.cpu.capacity, real.memory, custom));
    }
}
