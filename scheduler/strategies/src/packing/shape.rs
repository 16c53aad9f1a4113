//! What a task asks for, as packing sees it: cores, memory, and the same part of each of some GPUs.
//!
//! Tasks of one shape are alike for every packing policy, so scores are kept by shape.

/// A set of GPU models, by the numbers that a caller gives them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Models(pub u128);

impl Models {
    /// Models are numbered from 0 to one less than this.
    pub const MAX: usize = 128;
    /// Any model will do.
    pub const ANY: Self = Self(u128::MAX);
    /// None will do.
    pub const NONE: Self = Self(0);

    /// This one too. A number out of range changes nothing.
    #[must_use]
    pub const fn with(self, model: u8) -> Self {
        if (model as usize) < Self::MAX { Self(self.0 | 1 << model) } else { self }
    }

    /// Whether this model will do.
    pub const fn has(self, model: u8) -> bool {
        (model as usize) < Self::MAX && self.0 & (1 << model) != 0
    }

    /// Whether any model will do.
    pub const fn is_any(self) -> bool {
        self.0 == u128::MAX
    }
}

/// What a task asks for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Shape {
    /// Thousandths of cores.
    pub cpu: i64,
    /// Memory, in the unit of the [`Fill`](super::Fill) it is compared with.
    pub memory: i64,
    /// On how many GPUs.
    pub count: u16,
    /// Thousandths of each of them; 0 where `count` is 0.
    pub milli: u16,
    /// Which will do.
    pub models: Models,
}

/// The classes in which failures and tasks are counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// No GPU.
    CpuOnly,
    /// A part of one GPU.
    Shared,
    /// One whole GPU.
    Whole,
    /// Several GPUs.
    Multi,
}

impl Class {
    /// All, in the order of reports.
    pub const ALL: [Self; 4] = [Self::CpuOnly, Self::Shared, Self::Whole, Self::Multi];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CpuOnly => "cpu-only",
            Self::Shared => "shared",
            Self::Whole => "whole",
            Self::Multi => "multi",
        }
    }
}

impl Shape {
    /// Asks for nothing.
    pub const NOTHING: Self = Self { cpu: 0, memory: 0, count: 0, milli: 0, models: Models::ANY };

    /// All GPU milli it asks for.
    pub fn gpu_milli(&self) -> i64 {
        i64::from(self.count) * i64::from(self.milli)
    }

    /// Whether it takes a part of one GPU beside others, so that it matters which.
    pub const fn is_shared(&self) -> bool {
        self.count == 1 && self.milli < super::GPU_MILLI
    }

    /// In which class it is counted.
    pub const fn class(&self) -> Class {
        match self.count {
            0 => Class::CpuOnly,
            1 if self.milli < super::GPU_MILLI => Class::Shared,
            1 => Class::Whole,
            _ => Class::Multi,
        }
    }

    /// What clustering calls its kind: 0 for a part of a GPU, else the number of GPUs, at most 31.
    pub fn kind(&self) -> u32 {
        if self.is_shared() { 0 } else { u32::from(self.count).min(31) }
    }
}
