//! The state behind the C symbols: the scenario as it stands now, faults, and who uses what.
//!
//! One lock, never held while a call hangs. Handles are small numbers, not addresses, so that a bad
//! one is an error and not a crash.

use crate::claims;
use crate::scenario::{DeviceSpec, FaultKind, FaultSpec, MigSpec, ProcessSpec, Scenario};
use nvml_wrapper_sys::bindings as sys;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// What a C call answers.
pub(crate) type Code = sys::nvmlReturn_t;
pub(crate) const OK: Code = sys::nvmlReturn_enum_NVML_SUCCESS;
pub(crate) const NOT_SUPPORTED: Code = sys::nvmlReturn_enum_NVML_ERROR_NOT_SUPPORTED;
pub(crate) const INVALID: Code = sys::nvmlReturn_enum_NVML_ERROR_INVALID_ARGUMENT;
pub(crate) const NOT_FOUND: Code = sys::nvmlReturn_enum_NVML_ERROR_NOT_FOUND;
pub(crate) const TIMEOUT: Code = sys::nvmlReturn_enum_NVML_ERROR_TIMEOUT;
pub(crate) const SHORT: Code = sys::nvmlReturn_enum_NVML_ERROR_INSUFFICIENT_SIZE;
const NO_DRIVER: Code = sys::nvmlReturn_enum_NVML_ERROR_DRIVER_NOT_LOADED;
const NO_FUNCTION: Code = sys::nvmlReturn_enum_NVML_ERROR_FUNCTION_NOT_FOUND;
const LOST: Code = sys::nvmlReturn_enum_NVML_ERROR_GPU_IS_LOST;

/// A GPU or one of its MIG instances, as a handle names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Handle {
    pub(crate) device: usize,
    pub(crate) mig: Option<usize>,
}

impl Handle {
    const BASE: usize = 0x1000;
    const STRIDE: usize = 64;

    pub(crate) fn encode(self) -> usize {
        Self::BASE + self.device * Self::STRIDE + self.mig.map_or(0, |mig| mig + 1)
    }

    pub(crate) fn decode(raw: usize) -> Option<Self> {
        let number = raw.checked_sub(Self::BASE)?;
        let mig = (number % Self::STRIDE).checked_sub(1);
        Some(Self { device: number / Self::STRIDE, mig })
    }
}

/// What a call sees of its device: copied, so that no lock is held while it answers.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) handle: Handle,
    pub(crate) spec: DeviceSpec,
    pub(crate) mig: Option<MigSpec>,
    pub(crate) users: Vec<ProcessSpec>,
    pub(crate) energy_millijoules: u64,
    pub(crate) ecc_uncorrected: u64,
}

impl View {
    pub(crate) fn memory(&self) -> u64 {
        self.mig.as_ref().map_or(self.spec.memory, |mig| mig.memory)
    }

    pub(crate) fn reserved(&self) -> u64 {
        if self.mig.is_some() { 0 } else { self.spec.reserved }
    }

    /// Never more than there is, as on a real card.
    pub(crate) fn used(&self) -> u64 {
        let sum = self.users.iter().filter_map(|user| user.memory).fold(0_u64, u64::saturating_add);
        sum.min(self.memory().saturating_sub(self.reserved()))
    }

    pub(crate) fn busy(&self) -> f64 {
        self.users.iter().filter_map(|user| user.sm).sum::<f64>().clamp(0.0, 1.0)
    }

    pub(crate) fn watts(&self) -> f64 {
        self.spec.idle_watts + (self.spec.max_watts - self.spec.idle_watts) * self.busy()
    }

    pub(crate) fn supports(&self, group: &str) -> Result<(), Code> {
        if self.spec.not_supported.iter().any(|name| name == group) { Err(NOT_SUPPORTED) } else { Ok(()) }
    }
}

#[derive(Debug, Default)]
struct World {
    stamp: Option<(PathBuf, Option<SystemTime>, u64)>,
    scenario: Option<Scenario>,
    calls: BTreeMap<usize, u64>,
    energy: BTreeMap<String, (Instant, f64)>,
    sets: BTreeMap<usize, EventSet>,
    next_set: usize,
}

#[derive(Debug, Default)]
struct EventSet {
    devices: Vec<usize>,
    /// Faults of the scenario that were delivered already, by device and place in its list.
    delivered: Vec<(usize, usize)>,
}

static WORLD: Mutex<Option<World>> = Mutex::new(None);

/// Runs `f` on the world, with the scenario as its file stands now.
fn with<T>(f: impl FnOnce(&mut World) -> Result<T, Code>) -> Result<T, Code> {
    let mut guard: MutexGuard<'_, Option<World>> = WORLD.lock().unwrap_or_else(PoisonError::into_inner);
    let world = guard.get_or_insert_with(World::default);
    world.refresh();
    f(world)
}

/// The scenario, for calls about the system.
pub(crate) fn system<T>(symbol: &str, f: impl FnOnce(&Scenario) -> Result<T, Code>) -> Result<T, Code> {
    with(|world| {
        let scenario = world.scenario.as_ref().ok_or(NO_DRIVER)?;
        if scenario.missing.iter().any(|name| name == symbol) {
            return Err(NO_FUNCTION);
        }
        f(scenario)
    })
}

/// Counts a call about a device, lets its faults happen, and gives what it may see.
pub(crate) fn enter(symbol: &str, raw: usize) -> Result<View, Code> {
    let handle = Handle::decode(raw).ok_or(INVALID)?;
    let (spec, calls) = with(|world| {
        let scenario = world.scenario.as_ref().ok_or(NO_DRIVER)?;
        if scenario.missing.iter().any(|name| name == symbol) {
            return Err(NO_FUNCTION);
        }
        let spec = scenario.device.get(handle.device).ok_or(INVALID)?.clone();
        let calls = world.calls.entry(handle.device).or_default();
        *calls += 1;
        Ok((spec, *calls))
    })?;
    for fault in &spec.fault {
        if fault.call.as_deref().is_some_and(|call| call != symbol) || !active(fault, calls) {
            continue;
        }
        match fault.kind {
            FaultKind::Lost => return Err(LOST),
            FaultKind::Hang => hang(fault),
            FaultKind::Exit => std::process::exit(fault.value as i32),
            FaultKind::Xid | FaultKind::Ecc => {}
        }
    }
    with(|world| world.view(handle, calls))
}

/// Whether a fault has begun and not ended.
fn active(fault: &FaultSpec, calls: u64) -> bool {
    calls > fault.after_calls && fault.when_file.as_deref().is_none_or(|file| Path::new(file).exists())
}

fn hang(fault: &FaultSpec) {
    let until = Instant::now() + Duration::from_secs_f64(fault.seconds.clamp(0.0, 86_400.0));
    while Instant::now() < until && active(fault, u64::MAX) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A new, empty event set.
pub(crate) fn make_set() -> Result<usize, Code> {
    with(|world| {
        world.next_set += 1;
        let id = world.next_set;
        world.sets.insert(id, EventSet::default());
        Ok(id)
    })
}

/// Forgets an event set.
pub(crate) fn free_set(set: usize) -> Result<(), Code> {
    with(|world| world.sets.remove(&set).map(|_| ()).ok_or(INVALID))
}

/// Adds a device to an event set.
pub(crate) fn register(handle: Handle, set: usize) -> Result<(), Code> {
    with(|world| {
        world.sets.get_mut(&set).ok_or(INVALID)?.devices.push(handle.device);
        Ok(())
    })
}

/// Waits for the next XID of a set's devices: the device's handle and the number.
pub(crate) fn wait(set: usize, timeout: Duration) -> Result<(usize, u64), Code> {
    let until = Instant::now() + timeout;
    loop {
        if let Some(found) = with(|world| world.next_xid(set))? {
            return Ok(found);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(TIMEOUT);
        }
        std::thread::sleep(left.min(Duration::from_millis(10)));
    }
}

impl World {
    fn refresh(&mut self) {
        let Some(path) = std::env::var_os("FAKE_NVML_SCENARIO").map(PathBuf::from) else {
            self.scenario = None;
            return;
        };
        let metadata = std::fs::metadata(&path);
        let length = metadata.as_ref().map_or(0, std::fs::Metadata::len);
        let stamp = (path.clone(), metadata.and_then(|data| data.modified()).ok(), length);
        if self.stamp.as_ref() == Some(&stamp) {
            return;
        }
        match std::fs::read_to_string(&path).map_err(|error| error.to_string()).and_then(|text| {
            // What a test wrote wrongly must be seen by its author.
            toml::from_str(&text).map_err(|error| error.to_string())
        }) {
            Ok(scenario) => self.scenario = Some(scenario),
            Err(error) => eprintln!("fake-nvml: cannot read scenario `{}`: {error}", path.display()),
        }
        self.stamp = Some(stamp);
    }

    fn view(&mut self, handle: Handle, calls: u64) -> Result<View, Code> {
        let scenario = self.scenario.as_ref().ok_or(NO_DRIVER)?;
        let spec = scenario.device.get(handle.device).ok_or(INVALID)?.clone();
        let mig = match handle.mig {
            None => None,
            Some(index) => Some(spec.mig.get(index).ok_or(INVALID)?.clone()),
        };
        // The whole GPU sees the processes of its instances as well.
        let mut users: Vec<ProcessSpec> = mig.as_ref().map_or_else(
            || spec.process.iter().chain(spec.mig.iter().flat_map(|mig| &mig.process)).cloned().collect(),
            |mig| mig.process.clone(),
        );
        if let Some(directory) = std::env::var_os("FAKE_NVML_CLAIMS") {
            let here = |gpu: &str| match &mig {
                Some(mig) => gpu == mig.uuid,
                None => gpu == spec.uuid || spec.mig.iter().any(|mig| mig.uuid == gpu),
            };
            users.extend(
                claims::live(Path::new(&directory)).into_iter().filter(|claim| here(&claim.gpu)).map(
                    |claim| ProcessSpec {
                        pid: claim.pid,
                        memory: Some(claim.bytes),
                        sm: Some(claim.sm),
                        graphics: false,
                    },
                ),
            );
        }
        let ecc: u64 = spec
            .fault
            .iter()
            .filter(|fault| fault.kind == FaultKind::Ecc && active(fault, calls))
            .map(|fault| fault.value.max(1))
            .sum();
        let mut view = View {
            handle,
            ecc_uncorrected: spec.ecc_uncorrected + ecc,
            spec,
            mig,
            users,
            energy_millijoules: 0,
        };
        view.energy_millijoules = self.energy(&view);
        Ok(view)
    }

    /// Joules are integrated between calls, on top of what an idle card used since the machine booted:
    /// so the counter survives a restart of the process that loaded this library, as the real one does.
    fn energy(&mut self, view: &View) -> u64 {
        let now = Instant::now();
        let (since, joules) = self.energy.entry(view.spec.uuid.clone()).or_insert_with(|| {
            let uptime = std::fs::read_to_string("/proc/uptime").ok();
            let uptime = uptime.and_then(|text| text.split(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0);
            (now, view.spec.idle_watts * uptime)
        });
        *joules += view.watts() * now.duration_since(*since).as_secs_f64();
        *since = now;
        (*joules * 1e3) as u64
    }

    fn next_xid(&mut self, set: usize) -> Result<Option<(usize, u64)>, Code> {
        let scenario = self.scenario.as_ref().ok_or(NO_DRIVER)?;
        let set = self.sets.get_mut(&set).ok_or(INVALID)?;
        for &device in &set.devices {
            let Some(spec) = scenario.device.get(device) else { continue };
            let calls = self.calls.get(&device).copied().unwrap_or(0);
            for (place, fault) in spec.fault.iter().enumerate() {
                if fault.kind == FaultKind::Xid
                    && active(fault, calls)
                    && !set.delivered.contains(&(device, place))
                {
                    set.delivered.push((device, place));
                    return Ok(Some((Handle { device, mig: None }.encode(), fault.value)));
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_survive_the_round_trip() {
        for handle in [Handle { device: 0, mig: None }, Handle { device: 7, mig: Some(6) }] {
            assert_eq!(Handle::decode(handle.encode()), Some(handle));
        }
        assert_eq!(Handle::decode(0), None, "a null handle is an error");
    }
}
