//! What a function is declared to need, and what the ledger is asked for.
//!
//! A [`Cost`] is what the author of a graph wrote. A [`Request`] is the same after the defaults and
//! rules of the graph file: a vector that the ledger can compare with what is free. Requests are
//! interned per graph, so that a million instances of one function share one.

use crate::{Bytes, MilliCores, MilliShare, Span};
use std::sync::Arc;

/// The costs of a function or variant as declared; what is not said is `None`.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Cost {
    /// Cores, fractions allowed; 1 where not said, 0 is allowed.
    pub cpus: Option<MilliCores>,
    /// RAM: a hard limit where declared, no limit where not.
    pub memory: Option<Bytes>,
    /// Whole GPUs.
    pub gpus: Option<u16>,
    /// Part of one GPU.
    pub gpu_share: Option<MilliShare>,
    /// Memory on each GPU.
    pub gpu_memory: Option<Bytes>,
    /// Whether it needs CUDA; alone it means one whole GPU.
    pub requires_cuda: bool,
    /// The least compute capability that will do.
    pub compute_capability: Option<(u16, u16)>,
    /// A part of the GPU's name, compared without case.
    pub gpu_model: Option<String>,
    /// CPU seconds it takes.
    pub cpu_time: Option<Span>,
    /// Wall time it takes.
    pub duration: Option<Span>,
    /// Floating-point operations.
    pub flops: Option<f64>,
    /// Bytes read and written.
    pub bytes: Option<Bytes>,
    /// Named resources of the configuration.
    pub custom: Vec<(String, u64)>,
}

/// What an attempt asks of one node: the vector that the ledger reserves.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Request {
    /// Cores.
    pub cpus: MilliCores,
    /// RAM to reserve; nothing where nothing was declared.
    pub memory: Bytes,
    /// GPUs.
    pub gpu: GpuRequest,
    /// Named resources, sorted by name.
    pub custom: Box<[(Arc<str>, u64)]>,
}

/// The GPU part of a request.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum GpuRequest {
    /// No GPU.
    None,
    /// Whole GPUs of one node, each held alone.
    Whole {
        /// How many.
        count: u16,
        /// At least this much free memory on each.
        memory: Bytes,
        /// Which will do.
        fit: GpuFit,
    },
    /// Part of one GPU, beside others.
    Part {
        /// Its share of the multiprocessors; 0 where only memory was declared.
        share: MilliShare,
        /// Its memory; where only a share was declared, the same share of the memory.
        memory: Option<Bytes>,
        /// Which will do.
        fit: GpuFit,
    },
}

/// Which GPUs will do.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct GpuFit {
    /// The least compute capability.
    pub compute_capability: Option<(u16, u16)>,
    /// A part of the name, in lower case.
    pub model: Option<Arc<str>>,
}

/// Whether a variant runs on a GPU or on cores alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DeviceKind {
    /// Cores and RAM.
    Cpu,
    /// One or more GPUs.
    Gpu,
}

impl Cost {
    /// Whether anything in it asks for a GPU.
    pub fn asks_gpu(&self) -> bool {
        self.requires_cuda
            || self.gpus.is_some_and(|n| n > 0)
            || self.gpu_share.is_some_and(|s| s.0 > 0)
            || self.gpu_memory.is_some()
    }

    /// Fills what is not said here from `base`, key by key.
    pub fn inherit(&mut self, base: &Self) {
        let Self {
            cpus,
            memory,
            gpus,
            gpu_share,
            gpu_memory,
            requires_cuda,
            compute_capability,
            gpu_model,
            cpu_time,
            duration,
            flops,
            bytes,
            custom,
        } = self;
        *cpus = cpus.or(base.cpus);
        *memory = memory.or(base.memory);
        *gpus = gpus.or(base.gpus);
        *gpu_share = gpu_share.or(base.gpu_share);
        *gpu_memory = gpu_memory.or(base.gpu_memory);
        *requires_cuda |= base.requires_cuda;
        *compute_capability = compute_capability.or(base.compute_capability);
        if gpu_model.is_none() {
            gpu_model.clone_from(&base.gpu_model);
        }
        *cpu_time = cpu_time.or(base.cpu_time);
        *duration = duration.or(base.duration);
        *flops = flops.or(base.flops);
        *bytes = bytes.or(base.bytes);
        for (name, amount) in &base.custom {
            if !custom.iter().any(|(known, _)| known == name) {
                custom.push((name.clone(), *amount));
            }
        }
    }

    /// The same without anything of a GPU: what a CPU variant of a function inherits.
    #[must_use]
    pub fn without_gpu(&self) -> Self {
        Self {
            gpus: None,
            gpu_share: None,
            gpu_memory: None,
            requires_cuda: false,
            compute_capability: None,
            gpu_model: None,
            ..self.clone()
        }
    }

    /// The vector that the ledger is asked for.
    pub fn request(&self, kind: DeviceKind) -> Request {
        let fit = GpuFit {
            compute_capability: self.compute_capability,
            model: self.gpu_model.as_ref().map(|name| name.to_lowercase().into()),
        };
        let gpu = match (kind, self.gpus, self.gpu_share, self.gpu_memory) {
            (DeviceKind::Cpu, ..) => GpuRequest::None,
            (DeviceKind::Gpu, Some(count), _, memory) if count > 0 => {
                GpuRequest::Whole { count, memory: memory.unwrap_or_default(), fit }
            }
            (DeviceKind::Gpu, _, Some(MilliShare(1000)), memory) => {
                GpuRequest::Whole { count: 1, memory: memory.unwrap_or_default(), fit }
            }
            (DeviceKind::Gpu, _, None, None) => GpuRequest::Whole { count: 1, memory: Bytes::ZERO, fit },
            (DeviceKind::Gpu, _, share, memory) => {
                GpuRequest::Part { share: share.unwrap_or_default(), memory, fit }
            }
        };
        let mut custom: Vec<(Arc<str>, u64)> =
            self.custom.iter().map(|(name, n)| (name.as_str().into(), *n)).collect();
        custom.sort();
        Request {
            cpus: self.cpus.unwrap_or(MilliCores(1000)),
            memory: self.memory.unwrap_or_default(),
            gpu,
            custom: custom.into(),
        }
    }

    /// How long it takes by the author's word: `duration`, else `cpu_time` over the cores it gets.
    pub fn declared_duration(&self) -> Option<Span> {
        let cores = self.cpus.map_or(1.0, |c| (f64::from(c.0) / 1000.0).max(1.0));
        self.duration.or_else(|| self.cpu_time.map(|t| Span((t.0 as f64 / cores) as u64)))
    }
}

/// Speeds of an ordinary machine, taken until a device was measured: they set times that are right in
/// their order, so that a plan from declared work is better than one from nothing.
mod ordinary {
    /// Floating-point operations a second of one core in tile kernels, calling costs counted in.
    pub(super) const CORE_FLOPS: f64 = 2e9;
    /// Bytes a second that one core reads and writes.
    pub(super) const CORE_BYTES: f64 = 4e9;
    /// Seconds that the shortest call on a core takes.
    pub(super) const CORE_CALL: f64 = 2e-4;
    /// The same of a GPU.
    pub(super) const GPU_FLOPS: f64 = 5e12;
    pub(super) const GPU_BYTES: f64 = 5e11;
    pub(super) const GPU_CALL: f64 = 5e-5;
}

impl Cost {
    /// How long it takes by its declared operations and bytes on an ordinary device, whichever of both
    /// takes longer (the roofline model: Williams, Waterman, Patterson 2009); none where neither was
    /// declared.
    pub fn roofline_duration(&self, kind: DeviceKind) -> Option<Span> {
        if self.flops.is_none() && self.bytes.is_none() {
            return None;
        }
        let cores = self.cpus.map_or(1.0, |c| (f64::from(c.0) / 1000.0).max(1.0));
        let (flops, bytes, call) = match kind {
            DeviceKind::Cpu => (ordinary::CORE_FLOPS * cores, ordinary::CORE_BYTES, ordinary::CORE_CALL),
            DeviceKind::Gpu => (ordinary::GPU_FLOPS, ordinary::GPU_BYTES, ordinary::GPU_CALL),
        };
        let compute = self.flops.unwrap_or(0.0) / flops;
        let moving = self.bytes.map_or(0.0, |n| n.0 as f64) / bytes;
        Some(Span::from_secs_f64(call + compute.max(moving)))
    }
}

impl Request {
    /// Cores or a GPU.
    pub const fn kind(&self) -> DeviceKind {
        match self.gpu {
            GpuRequest::None => DeviceKind::Cpu,
            GpuRequest::Whole { .. } | GpuRequest::Part { .. } => DeviceKind::Gpu,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpu_memory_shares_a_gpu_and_cuda_alone_takes_one() {
        let part = Cost { gpu_memory: Some(Bytes::gib(4)), ..Cost::default() };
        assert!(part.asks_gpu());
        assert!(matches!(part.request(DeviceKind::Gpu).gpu, GpuRequest::Part { share: MilliShare(0), .. }));
        let whole = Cost { requires_cuda: true, ..Cost::default() };
        assert!(matches!(whole.request(DeviceKind::Gpu).gpu, GpuRequest::Whole { count: 1, .. }));
    }

    #[test]
    fn a_cpu_defaults_to_one_core_and_may_be_none() {
        assert_eq!(Cost::default().request(DeviceKind::Cpu).cpus, MilliCores(1000));
        let none = Cost { cpus: Some(MilliCores(0)), ..Cost::default() };
        assert_eq!(none.request(DeviceKind::Cpu).cpus, MilliCores(0));
    }
}
