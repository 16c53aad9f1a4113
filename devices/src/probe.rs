//! The probe process: the only one that loads NVML.
//!
//! It answers [`Ask`]s from stdin with [`Say`]s on stdout and ends when stdin does. Each GPU has a
//! thread of its own for questions and one for events, so that a call that hangs in the vendor's
//! library holds up nothing but its own GPU. (One event thread for all would be held up by the one
//! GPU whose registration hangs; and `register_events` consumes its set when it fails, so each GPU
//! has its own set as well.) The main thread makes no vendor calls at all: it always hears that its
//! parent has gone.

#![expect(
    unsafe_code,
    reason = "stdout is put out of the vendor library's reach, and one old call has no wrapper"
)]

use crate::nvml::protocol::{self, Ask, Card, Fault, Instance, Reading, Say};
use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enum_wrappers::device::{EccCounter, MemoryError, TemperatureSensor};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::enums::event::XidError;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use nvml_wrapper_sys::bindings as sys;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Where frames go; shared by all threads.
type Out = Arc<Mutex<File>>;

/// Words of an affinity mask: 4096 cores.
const AFFINITY_WORDS: usize = 64;

/// What `dunnage __nvml-probe [LIBRARY.so]` runs. Ends with its stdin.
pub fn probe_main(library: Option<&Path>) -> ExitCode {
    let out = match take_stdout() {
        Ok(out) => Arc::new(Mutex::new(out)),
        Err(error) => {
            eprintln!("nvml-probe: cannot keep stdout: {error}");
            return ExitCode::FAILURE;
        }
    };
    let nvml: Arc<OnceLock<&'static Nvml>> = Arc::default();
    let (loaded, said) = (Arc::clone(&nvml), Arc::clone(&out));
    let library = library.map(Path::to_path_buf);
    // Loading may hang as well.
    std::thread::spawn(move || load(library.as_deref(), &loaded, &said));
    let mut gpus: BTreeMap<u32, Sender<Ask>> = BTreeMap::new();
    let mut input = std::io::stdin().lock();
    while let Ok(Some(ask)) = protocol::read::<Ask>(&mut input) {
        // Nobody asks before we said that we are ready.
        let Some(nvml) = nvml.get().copied() else { continue };
        let (Ask::Describe { index } | Ask::Sample { index }) = ask;
        let asks = gpus.entry(index).or_insert_with(|| {
            let (asks, asked) = channel();
            let out = Arc::clone(&out);
            std::thread::spawn(move || Gpu::new(nvml, index, out).serve(&asked));
            asks
        });
        // The thread ends only with the process.
        let _ = asks.send(ask);
    }
    leave(0)
}

/// Ends the process without the vendor library's exit handlers, which may hang.
fn leave(status: i32) -> ! {
    // SAFETY: _exit takes any number and touches no memory of ours.
    unsafe { libc::_exit(status) }
}

/// Keeps stdout for frames alone: what the vendor's library prints goes to stderr.
fn take_stdout() -> std::io::Result<File> {
    let out = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok(File::from(out))
}

fn say(out: &Out, message: &Say) {
    let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
    if protocol::write(&mut *out, message).is_err() {
        // Nobody listens any more.
        leave(0);
    }
}

fn load(library: Option<&Path>, loaded: &OnceLock<&'static Nvml>, out: &Out) {
    let mut builder = Nvml::builder();
    if let Some(library) = library {
        builder.lib_path(library.as_os_str());
    }
    let counted = builder.init().and_then(|nvml| {
        let count = nvml.device_count()?;
        Ok((nvml, count))
    });
    match counted {
        Ok((nvml, count)) => {
            // For the life of the process: shutting it down may hang, and threads hold on to it.
            let nvml: &'static Nvml = Box::leak(Box::new(nvml));
            let driver = nvml.sys_driver_version().ok();
            let _ = loaded.set(nvml);
            say(out, &Say::Ready { driver, count });
        }
        Err(error) => {
            let why = match error {
                NvmlError::LibloadingError(error) => format!("the library cannot be loaded: {error}"),
                other => format!("the library says: {other}"),
            };
            say(out, &Say::Unusable { why });
            leave(1);
        }
    }
}

/// What one thread knows of its GPU.
struct Gpu {
    nvml: &'static Nvml,
    index: u32,
    out: Out,
    device: Option<Device<'static>>,
    mig: bool,
    listening: bool,
    /// Time stamp of the newest utilisation sample seen.
    seen: u64,
}

impl Gpu {
    fn new(nvml: &'static Nvml, index: u32, out: Out) -> Self {
        Self { nvml, index, out, device: None, mig: false, listening: false, seen: 0 }
    }

    fn serve(mut self, asked: &Receiver<Ask>) {
        for ask in asked {
            let index = self.index;
            let answer = match ask {
                Ask::Describe { .. } => Say::Gpu { index, gpu: self.describe() },
                Ask::Sample { .. } => Say::Sample { index, sample: self.sample() },
            };
            say(&self.out, &answer);
        }
    }

    fn describe(&mut self) -> Result<Card, Fault> {
        // A new handle each time: an old one does not survive a reset of the GPU.
        let device = self.nvml.device_by_index(self.index).map_err(fault)?;
        let mig = told(device.mig_mode())?.is_some_and(|mode| mode.current == 1);
        let mut instances = Vec::new();
        if mig {
            for instance in instances_of(&device)? {
                instances.push(Instance {
                    uuid: instance.uuid().map_err(fault)?,
                    name: told(instance.name())?.unwrap_or_else(|| "MIG instance".to_owned()),
                    memory: memory(self.nvml, &instance).map_err(fault)?.0,
                });
            }
        }
        let capability = told(device.cuda_compute_capability())?;
        let card = Card {
            uuid: device.uuid().map_err(fault)?,
            name: told(device.name())?.unwrap_or_else(|| "NVIDIA GPU".to_owned()),
            memory: match memory(self.nvml, &device) {
                Ok((total, _)) => Some(total),
                Err(error) if not_told(&error) => None,
                Err(error) => return Err(fault(error)),
            },
            pci_bus_id: told(device.pci_info())?.map(|pci| pci.bus_id).unwrap_or_default(),
            compute_capability: capability
                .and_then(|it| Some((it.major.try_into().ok()?, it.minor.try_into().ok()?))),
            near_cpus: near_cpus(&device)?,
            mig,
            instances,
        };
        self.device = Some(device);
        self.mig = mig;
        if !self.listening {
            self.listening = true;
            let (nvml, index, out) = (self.nvml, self.index, Arc::clone(&self.out));
            std::thread::spawn(move || listen(nvml, index, &out));
        }
        Ok(card)
    }

    fn sample(&mut self) -> Result<Vec<Reading>, Fault> {
        if self.device.is_none() {
            self.device = Some(self.nvml.device_by_index(self.index).map_err(fault)?);
        }
        let Some(device) = &self.device else { return Ok(Vec::new()) };
        let mut readings = vec![whole(self.nvml, device, &mut self.seen)?];
        if self.mig {
            for instance in instances_of(device)? {
                readings.push(part(self.nvml, &instance)?);
            }
        }
        Ok(readings)
    }
}

/// A reading of a whole GPU.
fn whole(nvml: &Nvml, device: &Device<'_>, seen: &mut u64) -> Result<Reading, Fault> {
    let rates = told(device.utilization_rates())?;
    let energy = told(device.total_energy_consumption())?;
    let power = told(device.power_usage())?;
    let temperature = told(device.temperature(TemperatureSensor::Gpu))?;
    Ok(Reading {
        busy: rates.as_ref().map(|rates| f64::from(rates.gpu) / 100.0),
        memory_busy: rates.map(|rates| f64::from(rates.memory) / 100.0),
        energy_joules: energy.map(|millijoules| millijoules as f64 / 1e3),
        power_watts: power.map(|milliwatts| f64::from(milliwatts) / 1e3),
        temperature_celsius: temperature.map(f64::from),
        ecc_uncorrected: told(device.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile))?,
        processes: with_shares(processes(device)?, told(device.process_utilization_stats(*seen))?, seen),
        ..part(nvml, device)?
    })
}

/// What a MIG instance can tell: memory and processes. The driver has no sensors for it.
fn part(nvml: &Nvml, device: &Device<'_>) -> Result<Reading, Fault> {
    let processes = processes(device)?.into_iter().map(|(pid, memory)| (pid, memory, None)).collect();
    let used = match memory(nvml, device) {
        Ok((_, used)) => Some(used),
        Err(error) if not_told(&error) => None,
        // The one call that every GPU in order answers.
        Err(error) => return Err(fault(error)),
    };
    Ok(Reading { uuid: device.uuid().map_err(fault)?, memory_used: used, processes, ..Reading::default() })
}

/// All memory, and what of it is not free: what the driver keeps for itself counts as used.
fn memory(nvml: &Nvml, device: &Device<'_>) -> Result<(u64, u64), NvmlError> {
    match device.memory_info() {
        Ok(info) => Ok((info.total, info.total.saturating_sub(info.free))),
        Err(NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound) => {
            // Drivers before R510 have the first version of the call alone, which is not wrapped.
            let symbol = nvml.lib().nvmlDeviceGetMemoryInfo.as_ref();
            let symbol = symbol.map_err(|error| NvmlError::FailedToLoadSymbol(error.to_string()))?;
            let mut info = sys::nvmlMemory_t { total: 0, free: 0, used: 0 };
            // SAFETY: the handle is one that this library gave and `info` outlives the call.
            nvml_wrapper::error::nvml_try(unsafe { symbol(device.handle(), &raw mut info) })?;
            Ok((info.total, info.total.saturating_sub(info.free)))
        }
        Err(error) => Err(error),
    }
}

/// Processes on a device and their memory, compute and graphics.
fn processes(device: &Device<'_>) -> Result<Vec<(u32, Option<u64>)>, Fault> {
    let mut found: BTreeMap<u32, Option<u64>> = BTreeMap::new();
    let lists = [told(device.running_compute_processes())?, told(device.running_graphics_processes())?];
    for process in lists.into_iter().flatten().flatten() {
        let memory = match process.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => Some(bytes),
            UsedGpuMemory::Unavailable => None,
        };
        // One that does both is in both lists, with the same memory, and counts once.
        let entry = found.entry(process.pid).or_insert(memory);
        *entry = (*entry).max(memory);
    }
    Ok(found.into_iter().collect())
}

/// Adds to each process the newest share of the multiprocessors that was told of it.
fn with_shares(
    processes: Vec<(u32, Option<u64>)>,
    samples: Option<Vec<nvml_wrapper::struct_wrappers::device::ProcessUtilizationSample>>,
    seen: &mut u64,
) -> Vec<(u32, Option<u64>, Option<f64>)> {
    let mut newest: BTreeMap<u32, (u64, f64)> = BTreeMap::new();
    for sample in samples.into_iter().flatten() {
        *seen = (*seen).max(sample.timestamp);
        let share = (f64::from(sample.sm_util) / 100.0).min(1.0);
        let entry = newest.entry(sample.pid).or_insert((sample.timestamp, share));
        if sample.timestamp > entry.0 {
            *entry = (sample.timestamp, share);
        }
    }
    processes
        .into_iter()
        .map(|(pid, memory)| (pid, memory, newest.get(&pid).map(|(_, share)| *share)))
        .collect()
}

fn instances_of<'nvml>(device: &Device<'nvml>) -> Result<Vec<Device<'nvml>>, Fault> {
    // The count is a maximum; places without an instance say "not found".
    let places = told(device.mig_device_count())?.unwrap_or(0).min(64);
    let mut instances = Vec::new();
    for place in 0..places {
        instances.extend(told(device.mig_device_by_index(place))?);
    }
    Ok(instances)
}

fn near_cpus(device: &Device<'_>) -> Result<Vec<u32>, Fault> {
    let mask = match told(device.cpu_affinity_within_scope(AFFINITY_WORDS, sys::NVML_AFFINITY_SCOPE_NODE))? {
        Some(mask) => mask,
        None => told(device.cpu_affinity(AFFINITY_WORDS))?.unwrap_or_default(),
    };
    let bits = std::ffi::c_ulong::BITS;
    let cores =
        (0..bits * mask.len() as u32).filter(|core| mask[(core / bits) as usize] >> (core % bits) & 1 == 1);
    Ok(cores.collect())
}

/// Passes on the XID errors of one GPU until it is gone.
fn listen(nvml: &'static Nvml, index: u32, out: &Out) {
    let registered = nvml.device_by_index(index).and_then(|device| {
        let set = nvml.create_event_set()?;
        device.register_events(EventTypes::CRITICAL_XID_ERROR, set).map_err(|error| error.error)
    });
    // A GPU or driver without events is an ordinary one; its calls tell when it is lost.
    let Ok(set) = registered else { return };
    loop {
        match set.wait(60_000) {
            Ok(event) => {
                if let Some(XidError::Value(xid)) = event.event_data {
                    say(out, &Say::Xid { index, xid });
                }
            }
            Err(NvmlError::Timeout) => {}
            Err(_) => break,
        }
        // The driver may deliver one event over and over.
        std::thread::sleep(Duration::from_millis(50));
    }
    // Not freed: that is a call which may hang, and the process ends anyway.
    std::mem::forget(set);
}

/// An answer, or `None` where the driver does not tell; a GPU that is gone is an error.
fn told<T>(answer: Result<T, NvmlError>) -> Result<Option<T>, Fault> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error @ (NvmlError::GpuLost | NvmlError::ResetRequired)) => Err(fault(error)),
        Err(_) => Ok(None),
    }
}

/// Whether an error is the ordinary "this card or driver does not do that".
const fn not_told(error: &NvmlError) -> bool {
    matches!(
        error,
        NvmlError::NotSupported
            | NvmlError::FailedToLoadSymbol(_)
            | NvmlError::FunctionNotFound
            | NvmlError::NoPermission
            | NvmlError::NotFound
    )
}

fn fault(error: NvmlError) -> Fault {
    let lost = matches!(error, NvmlError::GpuLost | NvmlError::ResetRequired);
    Fault { lost, why: format!("the driver says: {error}") }
}
