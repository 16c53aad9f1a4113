//! What a node has free, as packing sees it.

use super::shape::Shape;

/// Thousandths of a whole GPU.
pub const GPU_MILLI: u16 = 1000;

/// At most this many GPUs of a node are looked at.
pub const GPUS_MAX: usize = 64;

/// A GPU, or a MIG instance of one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Gpu {
    /// Thousandths that are free: the lesser of its share and its fraction of memory.
    pub free: u16,
    /// Which model it is, by the caller's numbers.
    pub model: u8,
}

impl Gpu {
    /// Whether it takes its part of a task of this shape now.
    pub const fn takes(&self, shape: &Shape) -> bool {
        self.free >= shape.milli && shape.models.has(self.model)
    }
}

/// A node. At most [`GPUS_MAX`] GPUs are ever in it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Fill {
    /// Thousandths of cores that are free.
    pub cpu: i64,
    /// Memory that is free, in any unit.
    pub memory: i64,
    gpus: Vec<Gpu>,
    gpu_free: i64,
    /// Where all GPUs are of one model: that.
    uniform: Option<u8>,
    /// Bit k: a task of kind k was placed here.
    kinds: u32,
}

/// The GPUs of a node after a task was put on some of them: what is free, most first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frees {
    len: usize,
    milli: [u16; GPUS_MAX],
}

impl Frees {
    pub(crate) fn new() -> Self {
        Self { len: 0, milli: [0; GPUS_MAX] }
    }

    pub(crate) fn push(&mut self, free: u16) {
        let mut at = self.len.min(GPUS_MAX - 1);
        while at > 0 && self.milli[at - 1] < free {
            self.milli[at] = self.milli[at - 1];
            at -= 1;
        }
        self.milli[at] = free;
        self.len = (self.len + 1).min(GPUS_MAX);
    }

    pub(crate) fn as_slice(&self) -> &[u16] {
        &self.milli[..self.len]
    }
}

/// Which GPUs of a node a task is put on: bit i stands for the i-th.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Chosen(pub u64);

impl Chosen {
    /// None.
    pub const NONE: Self = Self(0);

    /// The GPU with this number alone.
    pub const fn one(at: usize) -> Self {
        Self(1 << (at % GPUS_MAX))
    }

    /// Whether it is among them.
    pub const fn has(self, at: usize) -> bool {
        at < GPUS_MAX && self.0 & (1 << at) != 0
    }

    /// How many.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Fill {
    /// A node with this much free. GPUs beyond [`GPUS_MAX`] are left out.
    pub fn new(cpu: i64, memory: i64, mut gpus: Vec<Gpu>) -> Self {
        gpus.truncate(GPUS_MAX);
        let gpu_free = gpus.iter().map(|gpu| i64::from(gpu.free)).sum();
        let uniform = gpus.first().map(|gpu| gpu.model).filter(|m| gpus.iter().all(|gpu| gpu.model == *m));
        Self { cpu, memory, gpus, gpu_free, uniform, kinds: 0 }
    }

    /// Its GPUs.
    pub fn gpus(&self) -> &[Gpu] {
        &self.gpus
    }

    /// Free milli of all its GPUs together.
    pub fn gpu_free(&self) -> i64 {
        self.gpu_free
    }

    /// The model of its GPUs, where all are of one.
    pub fn model(&self) -> Option<u8> {
        self.uniform
    }

    /// Which kinds of tasks were placed here, a bit for each (see [`Shape::kind`]).
    pub fn kinds(&self) -> u32 {
        self.kinds
    }

    /// Notes that a task of this kind is here.
    pub fn note_kind(&mut self, kind: u32) {
        self.kinds |= 1 << kind.min(31);
    }

    /// Whether a task of this shape fits now.
    pub fn fits(&self, shape: &Shape) -> bool {
        if self.cpu < shape.cpu || self.memory < shape.memory {
            return false;
        }
        if shape.count == 0 {
            return true;
        }
        if self.gpu_free < shape.gpu_milli() {
            return false;
        }
        let able = self.gpus.iter().filter(|gpu| gpu.takes(shape)).count();
        able >= usize::from(shape.count)
    }

    /// The first GPUs that a task of this shape fits on; empty where it asks for none.
    pub fn first_gpus(&self, shape: &Shape) -> Chosen {
        let mut chosen = Chosen::NONE;
        let mut missing = shape.count;
        for (at, gpu) in self.gpus.iter().enumerate() {
            if missing == 0 {
                break;
            }
            if gpu.takes(shape) {
                chosen.0 |= 1 << at;
                missing -= 1;
            }
        }
        chosen
    }

    /// The tightest GPUs that a task of this shape fits on; of equal ones the first.
    pub fn tightest_gpus(&self, shape: &Shape) -> Chosen {
        if !shape.is_shared() {
            return self.first_gpus(shape);
        }
        let able = self.gpus.iter().enumerate().filter(|(_, gpu)| gpu.takes(shape));
        able.min_by_key(|(at, gpu)| (gpu.free, *at)).map_or(Chosen::NONE, |(at, _)| Chosen::one(at))
    }

    /// The GPUs that a shared task fits on, one for each amount that is free and model: it does not matter
    /// which of equal ones is taken.
    pub(crate) fn distinct_gpus(&self, shape: &Shape) -> impl Iterator<Item = usize> {
        let able = self.gpus.iter().enumerate().filter(|(_, gpu)| gpu.takes(shape));
        able.filter(|(at, gpu)| !self.gpus[..*at].contains(gpu)).map(|(at, _)| at)
    }

    /// What is free of each GPU once a task of this shape is on these, most first.
    pub(crate) fn frees_after(&self, shape: &Shape, chosen: Chosen) -> Frees {
        let mut frees = Frees::new();
        for (at, gpu) in self.gpus.iter().enumerate() {
            frees.push(gpu.free.saturating_sub(if chosen.has(at) { shape.milli } else { 0 }));
        }
        frees
    }

    /// Places a task of this shape on these GPUs.
    pub fn take(&mut self, shape: &Shape, chosen: Chosen) {
        self.cpu -= shape.cpu;
        self.memory -= shape.memory;
        for (at, gpu) in self.gpus.iter_mut().enumerate() {
            if chosen.has(at) {
                let before = gpu.free;
                gpu.free = before.saturating_sub(shape.milli);
                self.gpu_free -= i64::from(before - gpu.free);
            }
        }
        if shape.count > 0 {
            self.note_kind(shape.kind());
        }
    }
}
