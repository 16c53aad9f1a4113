//! The exported C symbols. Each one asks [`crate::world`] and writes the answer to where the
//! caller wants it; a null pointer is an invalid argument.

#![expect(unsafe_code, reason = "a C library is made of pointers from its caller")]

use crate::world::{self, Code, Handle, INVALID, NOT_FOUND, NOT_SUPPORTED, OK, SHORT, View};
use nvml_wrapper_sys::bindings as sys;
use std::ffi::{CStr, c_char, c_int, c_uint, c_ulong, c_ulonglong};
use std::time::Duration;

type Device = sys::nvmlDevice_t;
type Set = sys::nvmlEventSet_t;

const fn code(result: Result<(), Code>) -> Code {
    match result {
        Ok(()) => OK,
        Err(code) => code,
    }
}

/// Writes one answer.
///
/// # Safety
/// `place` is null or valid for a write of `T`, as NVML's contract with its caller has it.
unsafe fn put<T>(place: *mut T, value: T) -> Result<(), Code> {
    if place.is_null() {
        return Err(INVALID);
    }
    // SAFETY: not null, and the caller promises that it is valid for a write.
    unsafe { place.write(value) };
    Ok(())
}

/// Writes a text with its closing zero.
///
/// # Safety
/// `place` is null or valid for writes of `length` bytes.
unsafe fn put_text(place: *mut c_char, length: c_uint, text: &str) -> Result<(), Code> {
    if place.is_null() {
        return Err(INVALID);
    }
    if text.len() + 1 > length as usize {
        return Err(SHORT);
    }
    // SAFETY: not null, and `length` bytes are promised, of which text and zero need no more.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast::<c_char>(), place, text.len());
        place.add(text.len()).write(0);
    }
    Ok(())
}

/// Writes a list the way NVML does: the count goes in and out, too few places are an error.
///
/// # Safety
/// `count` is null or valid; `place` is null or valid for as many items as `count` says.
unsafe fn put_list<T>(count: *mut c_uint, place: *mut T, items: Vec<T>) -> Result<(), Code> {
    if count.is_null() {
        return Err(INVALID);
    }
    // SAFETY: not null, and valid by the caller's promise.
    let room = unsafe { count.read() } as usize;
    let needed = items.len();
    // SAFETY: as above.
    unsafe { count.write(needed as c_uint) };
    if needed == 0 {
        return Ok(());
    }
    if room < needed || place.is_null() {
        return Err(SHORT);
    }
    for (index, item) in items.into_iter().enumerate() {
        // SAFETY: `index` is below `room`, for which the caller promised places.
        unsafe { place.add(index).write(item) };
    }
    Ok(())
}

fn raw(device: Device) -> usize {
    device.addr()
}

fn handle(handle: Handle) -> Device {
    std::ptr::without_provenance_mut(handle.encode())
}

/// A symbol about one device: its body is a `Result<(), Code>` that sees the device as `view`.
macro_rules! about_device {
    ($($name:ident($view:ident $(, $argument:ident: $kind:ty)*) $body:block)*) => {$(
        #[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $name(device: Device $(, $argument: $kind)*) -> Code {
            code(world::enter(stringify!($name), raw(device)).and_then(|$view: View| $body))
        }
    )*};
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlInit_v2() -> Code {
    code(world::system("nvmlInit_v2", |_| Ok(())))
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlInitWithFlags(_flags: c_uint) -> Code {
    code(world::system("nvmlInitWithFlags", |_| Ok(())))
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlShutdown() -> Code {
    OK
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlErrorString(_code: Code) -> *const c_char {
    c"see the number".as_ptr()
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlSystemGetDriverVersion(version: *mut c_char, length: c_uint) -> Code {
    code(world::system("nvmlSystemGetDriverVersion", |scenario| {
        // SAFETY: the caller's buffer, of the length it says.
        unsafe { put_text(version, length, scenario.driver.as_deref().unwrap_or("570.86.15")) }
    }))
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlSystemGetNVMLVersion(version: *mut c_char, length: c_uint) -> Code {
    code(world::system("nvmlSystemGetNVMLVersion", |_| {
        // SAFETY: the caller's buffer, of the length it says.
        unsafe { put_text(version, length, "12.570.86.15") }
    }))
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlSystemGetCudaDriverVersion_v2(version: *mut c_int) -> Code {
    code(world::system("nvmlSystemGetCudaDriverVersion_v2", |scenario| {
        // SAFETY: the caller's place for one number.
        unsafe { put(version, scenario.cuda.unwrap_or(12080)) }
    }))
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> Code {
    code(world::system("nvmlDeviceGetCount_v2", |scenario| {
        // SAFETY: the caller's place for one number.
        unsafe { put(count, scenario.device.len() as c_uint) }
    }))
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, device: *mut Device) -> Code {
    let wanted = Handle { device: index as usize, mig: None };
    // A call about the device: a GPU off the bus gives no handle.
    code(world::enter("nvmlDeviceGetHandleByIndex_v2", wanted.encode()).and_then(|_| {
        // SAFETY: the caller's place for one handle.
        unsafe { put(device, handle(wanted)) }
    }))
}

/// The handle of the device that answers to `found`.
///
/// # Safety
/// `text` is null or a C string; `device` is null or valid for a write.
unsafe fn find(
    symbol: &str,
    text: *const c_char,
    device: *mut Device,
    found: impl Fn(&crate::scenario::DeviceSpec, usize, &str) -> Option<Option<usize>>,
) -> Code {
    if text.is_null() {
        return INVALID;
    }
    // SAFETY: not null, and a C string by the caller's promise.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    code(world::system(symbol, |scenario| {
        let mut devices = scenario.device.iter().enumerate();
        let wanted =
            devices.find_map(|(index, spec)| Some(Handle { device: index, mig: found(spec, index, &text)? }));
        // SAFETY: the caller's place for one handle.
        unsafe { put(device, handle(wanted.ok_or(NOT_FOUND)?)) }
    }))
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetHandleByUUID(uuid: *const c_char, device: *mut Device) -> Code {
    // SAFETY: the caller's string and place.
    unsafe {
        find("nvmlDeviceGetHandleByUUID", uuid, device, |spec, _, text| {
            if spec.uuid == text {
                return Some(None);
            }
            spec.mig.iter().position(|mig| mig.uuid == text).map(Some)
        })
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetHandleByPciBusId_v2(
    bus: *const c_char,
    device: *mut Device,
) -> Code {
    // SAFETY: the caller's string and place.
    unsafe {
        find("nvmlDeviceGetHandleByPciBusId_v2", bus, device, |spec, index, text| {
            bus_id(spec, index).eq_ignore_ascii_case(text).then_some(None)
        })
    }
}

fn bus_id(spec: &crate::scenario::DeviceSpec, index: usize) -> String {
    spec.pci.clone().unwrap_or_else(|| format!("00000000:{:02X}:00.0", index + 1))
}

fn process(user: &crate::scenario::ProcessSpec) -> sys::nvmlProcessInfo_t {
    sys::nvmlProcessInfo_t {
        pid: user.pid,
        usedGpuMemory: user.memory.unwrap_or(u64::MAX),
        gpuInstanceId: u32::MAX,
        computeInstanceId: u32::MAX,
    }
}

fn mask(cpus: &[u32], words: c_uint) -> Vec<c_ulong> {
    let mut mask = vec![0; words as usize];
    for cpu in cpus {
        if let Some(word) = mask.get_mut((cpu / c_ulong::BITS) as usize) {
            *word |= 1 << (cpu % c_ulong::BITS);
        }
    }
    mask
}

about_device! {
    nvmlDeviceGetName(view, name: *mut c_char, length: c_uint) {
        let of_mig = view.mig.as_ref().and_then(|mig| mig.name.clone());
        // SAFETY: the caller's buffer, of the length it says.
        unsafe { put_text(name, length, &of_mig.unwrap_or(view.spec.name)) }
    }

    nvmlDeviceGetUUID(view, uuid: *mut c_char, length: c_uint) {
        // SAFETY: the caller's buffer, of the length it says.
        unsafe { put_text(uuid, length, view.mig.as_ref().map_or(&view.spec.uuid, |mig| &mig.uuid)) }
    }

    nvmlDeviceGetIndex(view, index: *mut c_uint) {
        // SAFETY: the caller's place for one number.
        unsafe { put(index, view.handle.device as c_uint) }
    }

    nvmlDeviceGetMinorNumber(view, minor: *mut c_uint) {
        // SAFETY: the caller's place for one number.
        unsafe { put(minor, view.handle.device as c_uint) }
    }

    nvmlDeviceGetPciInfo_v3(view, pci: *mut sys::nvmlPciInfo_t) {
        let index = view.handle.device;
        let mut info = sys::nvmlPciInfo_t {
            busIdLegacy: [0; 16], domain: 0, bus: index as c_uint + 1, device: 0,
            pciDeviceId: 0x2484_10DE, pciSubSystemId: 0, busId: [0; 32],
        };
        for (place, byte) in info.busId.iter_mut().zip(bus_id(&view.spec, index).bytes().take(31)) {
            *place = byte as c_char;
        }
        // SAFETY: the caller's place for one struct.
        unsafe { put(pci, info) }
    }

    nvmlDeviceGetMemoryInfo_v2(view, memory: *mut sys::nvmlMemory_v2_t) {
        view.supports("memory")?;
        let (total, reserved, used) = (view.memory(), view.reserved(), view.used());
        let free = total - reserved.min(total) - used.min(total - reserved.min(total));
        // SAFETY: the caller's place for one struct.
        unsafe { put(memory, sys::nvmlMemory_v2_t { version: 2, total, reserved, free, used }) }
    }

    nvmlDeviceGetMemoryInfo(view, memory: *mut sys::nvmlMemory_t) {
        view.supports("memory")?;
        // The first version of the call counts what the driver keeps as used.
        let (total, used) = (view.memory(), view.used().saturating_add(view.reserved()).min(view.memory()));
        // SAFETY: the caller's place for one struct.
        unsafe { put(memory, sys::nvmlMemory_t { total, free: total - used, used }) }
    }

    nvmlDeviceGetUtilizationRates(view, rates: *mut sys::nvmlUtilization_t) {
        view.supports("utilisation")?;
        if view.mig.is_some() || !view.spec.mig.is_empty() {
            return Err(NOT_SUPPORTED);
        }
        let gpu = (view.busy() * 100.0).round() as c_uint;
        // SAFETY: the caller's place for one struct.
        unsafe { put(rates, sys::nvmlUtilization_t { gpu, memory: gpu / 2 }) }
    }

    nvmlDeviceGetPowerUsage(view, power: *mut c_uint) {
        view.supports("power")?;
        // SAFETY: the caller's place for one number.
        unsafe { put(power, (view.watts() * 1e3) as c_uint) }
    }

    nvmlDeviceGetEnforcedPowerLimit(view, limit: *mut c_uint) {
        view.supports("power")?;
        // SAFETY: the caller's place for one number.
        unsafe { put(limit, (view.spec.max_watts * 1e3) as c_uint) }
    }

    nvmlDeviceGetTotalEnergyConsumption(view, energy: *mut c_ulonglong) {
        view.supports("energy")?;
        // SAFETY: the caller's place for one number.
        unsafe { put(energy, view.energy_millijoules) }
    }

    nvmlDeviceGetTemperature(view, _sensor: c_uint, temperature: *mut c_uint) {
        view.supports("temperature")?;
        // SAFETY: the caller's place for one number.
        unsafe { put(temperature, view.spec.temperature + (view.busy() * 40.0) as c_uint) }
    }

    nvmlDeviceGetClockInfo(view, _clock: c_uint, megahertz: *mut c_uint) {
        view.supports("clocks")?;
        // SAFETY: the caller's place for one number.
        unsafe { put(megahertz, if view.busy() > 0.0 { 1500 } else { 210 }) }
    }

    nvmlDeviceGetCudaComputeCapability(view, major: *mut c_int, minor: *mut c_int) {
        view.supports("capability")?;
        let [first, second] = view.spec.compute_capability;
        // SAFETY: the caller's places for two numbers.
        unsafe { put(major, first).and_then(|()| put(minor, second)) }
    }

    nvmlDeviceGetComputeRunningProcesses_v3(view, count: *mut c_uint, infos: *mut sys::nvmlProcessInfo_t) {
        view.supports("processes")?;
        let users = view.users.iter().filter(|user| !user.graphics).map(process).collect();
        // SAFETY: the caller's list with as many places as it says.
        unsafe { put_list(count, infos, users) }
    }

    nvmlDeviceGetGraphicsRunningProcesses_v3(view, count: *mut c_uint, infos: *mut sys::nvmlProcessInfo_t) {
        view.supports("processes")?;
        let users = view.users.iter().filter(|user| user.graphics).map(process).collect();
        // SAFETY: the caller's list with as many places as it says.
        unsafe { put_list(count, infos, users) }
    }

    nvmlDeviceGetMPSComputeRunningProcesses_v3(view, count: *mut c_uint, infos: *mut sys::nvmlProcessInfo_t) {
        view.supports("processes")?;
        // SAFETY: the caller's list with as many places as it says.
        unsafe { put_list(count, infos, Vec::new()) }
    }

    nvmlDeviceGetProcessUtilization(
        view, samples: *mut sys::nvmlProcessUtilizationSample_t, count: *mut c_uint, _since: c_ulonglong
    ) {
        view.supports("process_utilisation")?;
        if view.mig.is_some() || !view.spec.mig.is_empty() {
            return Err(NOT_SUPPORTED);
        }
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let busy: Vec<_> = view.users.iter().filter_map(|user| Some((user.pid, user.sm?))).collect();
        if busy.is_empty() {
            // What the real library says where no process ran since then.
            return Err(NOT_FOUND);
        }
        let list = busy.into_iter().map(|(pid, sm)| sys::nvmlProcessUtilizationSample_t {
            pid, timeStamp: now.as_micros() as c_ulonglong, smUtil: (sm * 100.0).round() as c_uint,
            memUtil: 0, encUtil: 0, decUtil: 0,
        });
        // SAFETY: the caller's list with as many places as it says.
        unsafe { put_list(count, samples, list.collect()) }
    }

    nvmlDeviceGetEccMode(view, current: *mut c_uint, pending: *mut c_uint) {
        view.supports("ecc")?;
        // SAFETY: the caller's places for two numbers.
        unsafe { put(current, 1).and_then(|()| put(pending, 1)) }
    }

    nvmlDeviceGetTotalEccErrors(view, kind: c_uint, _counter: c_uint, count: *mut c_ulonglong) {
        view.supports("ecc")?;
        let uncorrected = kind == sys::nvmlMemoryErrorType_enum_NVML_MEMORY_ERROR_TYPE_UNCORRECTED;
        // SAFETY: the caller's place for one number.
        unsafe { put(count, if uncorrected { view.ecc_uncorrected } else { 0 }) }
    }

    nvmlDeviceGetRemappedRows(view, a: *mut c_uint, b: *mut c_uint, pending: *mut c_uint, failed: *mut c_uint) {
        view.supports("ecc")?;
        // SAFETY: the caller's places for four numbers.
        unsafe { put(a, 0).and_then(|()| put(b, 0)).and_then(|()| put(pending, 0)).and_then(|()| put(failed, 0)) }
    }

    nvmlDeviceGetPersistenceMode(_view, mode: *mut c_uint) {
        // SAFETY: the caller's place for one number.
        unsafe { put(mode, 1) }
    }

    nvmlDeviceGetComputeMode(_view, mode: *mut c_uint) {
        // SAFETY: the caller's place for one number.
        unsafe { put(mode, 0) }
    }

    nvmlDeviceGetMigMode(view, current: *mut c_uint, pending: *mut c_uint) {
        view.supports("mig")?;
        let mode = c_uint::from(!view.spec.mig.is_empty());
        // SAFETY: the caller's places for two numbers.
        unsafe { put(current, mode).and_then(|()| put(pending, mode)) }
    }

    nvmlDeviceGetMaxMigDeviceCount(view, count: *mut c_uint) {
        view.supports("mig")?;
        // SAFETY: the caller's place for one number.
        unsafe { put(count, 7) }
    }

    nvmlDeviceGetMigDeviceHandleByIndex(view, index: c_uint, instance: *mut Device) {
        let mig = view.spec.mig.get(index as usize).map(|_| index as usize).ok_or(NOT_FOUND)?;
        // SAFETY: the caller's place for one handle.
        unsafe { put(instance, handle(Handle { mig: Some(mig), ..view.handle })) }
    }

    nvmlDeviceGetDeviceHandleFromMigDeviceHandle(view, parent: *mut Device) {
        // SAFETY: the caller's place for one handle.
        unsafe { put(parent, handle(Handle { mig: None, ..view.handle })) }
    }

    nvmlDeviceIsMigDeviceHandle(view, is: *mut c_uint) {
        // SAFETY: the caller's place for one number.
        unsafe { put(is, c_uint::from(view.mig.is_some())) }
    }

    nvmlDeviceGetGpuInstanceId(view, id: *mut c_uint) {
        let mig = view.handle.mig.ok_or(NOT_FOUND)?;
        // SAFETY: the caller's place for one number.
        unsafe { put(id, mig as c_uint + 1) }
    }

    nvmlDeviceGetComputeInstanceId(_view, id: *mut c_uint) {
        // SAFETY: the caller's place for one number.
        unsafe { put(id, 0) }
    }

    nvmlDeviceGetAttributes_v2(view, attributes: *mut sys::nvmlDeviceAttributes_t) {
        if view.mig.is_none() {
            return Err(NOT_SUPPORTED);
        }
        let answer = sys::nvmlDeviceAttributes_t {
            multiprocessorCount: 14, sharedCopyEngineCount: 1, sharedDecoderCount: 0, sharedEncoderCount: 0,
            sharedJpegCount: 0, sharedOfaCount: 0, gpuInstanceSliceCount: 1, computeInstanceSliceCount: 1,
            memorySizeMB: view.memory() >> 20,
        };
        // SAFETY: the caller's place for one struct.
        unsafe { put(attributes, answer) }
    }

    nvmlDeviceGetNumaNodeId(view, node: *mut c_uint) {
        view.supports("numa")?;
        // SAFETY: the caller's place for one number.
        unsafe { put(node, view.spec.numa_node.ok_or(NOT_SUPPORTED)?) }
    }

    nvmlDeviceGetCpuAffinity(view, words: c_uint, cpus: *mut c_ulong) {
        view.supports("affinity")?;
        let mut room = words;
        // SAFETY: the caller's list with as many places as it says.
        unsafe { put_list(&raw mut room, cpus, mask(&view.spec.near_cpus, words)) }
    }

    nvmlDeviceGetCpuAffinityWithinScope(view, words: c_uint, cpus: *mut c_ulong, _scope: c_uint) {
        view.supports("affinity")?;
        let mut room = words;
        // SAFETY: the caller's list with as many places as it says.
        unsafe { put_list(&raw mut room, cpus, mask(&view.spec.near_cpus, words)) }
    }

    nvmlDeviceGetSupportedEventTypes(view, types: *mut c_ulonglong) {
        view.supports("events")?;
        // SAFETY: the caller's place for one number.
        unsafe { put(types, c_ulonglong::from(sys::nvmlEventTypeXidCriticalError)) }
    }

    nvmlDeviceRegisterEvents(view, _types: c_ulonglong, set: Set) {
        view.supports("events")?;
        world::register(view.handle, set.addr())
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlEventSetCreate(set: *mut Set) -> Code {
    // SAFETY: the caller's place for one handle.
    code(world::make_set().and_then(|id| unsafe { put(set, std::ptr::without_provenance_mut(id)) }))
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlEventSetFree(set: Set) -> Code {
    code(world::free_set(set.addr()))
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlEventSetWait_v2(
    set: Set,
    data: *mut sys::nvmlEventData_t,
    milliseconds: c_uint,
) -> Code {
    let timeout = Duration::from_millis(u64::from(milliseconds));
    code(world::wait(set.addr(), timeout).and_then(|(device, xid)| {
        let answer = sys::nvmlEventData_t {
            device: std::ptr::without_provenance_mut(device),
            eventType: c_ulonglong::from(sys::nvmlEventTypeXidCriticalError),
            eventData: xid,
            gpuInstanceId: u32::MAX,
            computeInstanceId: u32::MAX,
        };
        // SAFETY: the caller's place for one struct.
        unsafe { put(data, answer) }
    }))
}
