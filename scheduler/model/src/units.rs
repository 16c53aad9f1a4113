//! Quantities with their units in the type, and how people write them.

use std::fmt;

/// An amount of memory or data, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Bytes(pub u64);

/// CPU capacity in thousandths of a core.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct MilliCores(pub u32);

/// A share of one GPU in thousandths.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct MilliShare(pub u16);

/// A point in time: microseconds since the store was made, advanced by the boot clock, never backwards.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(pub u64);

/// A length of time in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Span(pub u64);

impl Bytes {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Whole mebibytes.
    pub const fn mib(n: u64) -> Self {
        Self(n.saturating_mul(1 << 20))
    }

    /// Whole gibibytes.
    pub const fn gib(n: u64) -> Self {
        Self(n.saturating_mul(1 << 30))
    }

    /// What is left after taking `other`, at least nothing.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Both together.
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// This amount times a factor, rounded up to a byte.
    pub fn scaled(self, factor: f64) -> Self {
        Self((self.0 as f64 * factor).ceil() as u64)
    }
}

impl MilliCores {
    /// Whole cores.
    pub const fn cores(n: u32) -> Self {
        Self(n.saturating_mul(1000))
    }

    /// How many whole threads an attempt that was given this much should use: at least one.
    pub const fn threads(self) -> u32 {
        let whole = self.0 / 1000;
        if whole == 0 { 1 } else { whole }
    }
}

impl MilliShare {
    /// A whole GPU.
    pub const WHOLE: Self = Self(1000);
}

impl Span {
    /// Whole seconds.
    pub const fn secs(n: u64) -> Self {
        Self(n.saturating_mul(1_000_000))
    }

    /// Whole milliseconds.
    pub const fn millis(n: u64) -> Self {
        Self(n.saturating_mul(1000))
    }

    /// As a number of seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// From a number of seconds; negative and not-a-number give zero.
    pub fn from_secs_f64(secs: f64) -> Self {
        Self((secs * 1e6) as u64)
    }

    /// For the standard library's timers.
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_micros(self.0)
    }
}

impl Time {
    /// The beginning of the store.
    pub const ZERO: Self = Self(0);

    /// This point in time and a span later.
    pub const fn after(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// How long ago `earlier` was; zero if it is not earlier.
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

/// The units of memory that a graph file may use, with their size in bytes. `20G` is Slurm's word for
/// gibibytes; `GB` is the decimal one.
pub const BYTE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("K", 1 << 10),
    ("KiB", 1 << 10),
    ("KB", 1000),
    ("kB", 1000),
    ("M", 1 << 20),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("G", 1 << 30),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("T", 1 << 40),
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
];

/// The units of time that a graph file may use, with their length in microseconds.
pub const SPAN_UNITS: &[(&str, u64)] = &[
    ("us", 1),
    ("ms", 1000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("min", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

/// Why a quantity could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnitError {
    /// There is no number at its start.
    NotANumber,
    /// A number without a unit, where one is required.
    UnitMissing,
    /// A number with a unit that is not in the table.
    UnknownUnit,
    /// Too large to be held.
    TooLarge,
}

fn with_units(text: &str, units: &[(&str, u64)]) -> Result<u64, UnitError> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().map_err(|_| UnitError::NotANumber)?;
    let unit = unit.trim();
    if unit.is_empty() {
        return if number == 0.0 { Ok(0) } else { Err(UnitError::UnitMissing) };
    }
    let (_, size) = units.iter().find(|(name, _)| *name == unit).ok_or(UnitError::UnknownUnit)?;
    let total = number * *size as f64;
    // 2^63 keeps sums of a few such amounts inside u64.
    if total < 9.2e18 { Ok(total.round() as u64) } else { Err(UnitError::TooLarge) }
}

impl Bytes {
    /// Reads `20GiB`, `512M` or `1.5 GB`.
    ///
    /// # Errors
    /// What is wrong with the text; a bare number other than 0 has no unit.
    pub fn parse(text: &str) -> Result<Self, UnitError> {
        with_units(text, BYTE_UNITS).map(Self)
    }
}

impl Span {
    /// Reads `30s`, `1h`, `1h30m` or `250ms`.
    ///
    /// # Errors
    /// What is wrong with the text; a bare number other than 0 has no unit.
    pub fn parse(text: &str) -> Result<Self, UnitError> {
        let text = text.trim();
        let mut total = 0_u64;
        let mut rest = text;
        loop {
            let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let unit = rest[number..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| number + at);
            let (part, later) = rest.split_at(unit);
            total = total.checked_add(with_units(part, SPAN_UNITS)?).ok_or(UnitError::TooLarge)?;
            if later.is_empty() {
                return Ok(Self(total));
            }
            rest = later;
        }
    }
}

/// `1.5 GiB`, `512 MiB`, `0 B`: three significant figures at most, for people.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, unit) = match self.0 {
            n if n >= 1 << 40 => (1_u64 << 40, "TiB"),
            n if n >= 1 << 30 => (1 << 30, "GiB"),
            n if n >= 1 << 20 => (1 << 20, "MiB"),
            n if n >= 1 << 10 => (1 << 10, "KiB"),
            _ => (1, "B"),
        };
        let n = self.0 as f64 / size as f64;
        if n.fract() == 0.0 || n >= 100.0 { write!(f, "{n:.0} {unit}") } else { write!(f, "{n:.1} {unit}") }
    }
}

/// `1h02m`, `3m20s`, `4.2s`, `12ms`, `80us`, for people.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.0 / 1_000_000;
        match self.0 {
            0 => f.write_str("0s"),
            n if n < 1000 => write!(f, "{n}us"),
            n if n < 10_000 => write!(f, "{:.1}ms", n as f64 / 1e3),
            n if n < 1_000_000 => write!(f, "{}ms", n / 1000),
            n if n < 60_000_000 => write!(f, "{:.1}s", n as f64 / 1e6),
            _ if secs < 3600 => write!(f, "{}m{:02}s", secs / 60, secs % 60),
            _ if secs < 86_400 => write!(f, "{}h{:02}m", secs / 3600, secs % 3600 / 60),
            _ => write!(f, "{}d{:02}h", secs / 86_400, secs % 86_400 / 3600),
        }
    }
}

/// `2`, `0.5`: cores.
impl fmt::Display for MilliCores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.0) / 1000.0)
    }
}

/// `1`, `0.25`: of one GPU.
impl fmt::Display for MilliShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.0) / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        assert_eq!(Bytes::parse("20GiB"), Ok(Bytes::gib(20)));
        assert_eq!(Bytes::parse("20G"), Ok(Bytes::gib(20)));
        assert_eq!(Bytes::parse("1.5 GB"), Ok(Bytes(1_500_000_000)));
        assert_eq!(Bytes::parse("12"), Err(UnitError::UnitMissing));
        assert_eq!(Bytes::parse("12 parsecs"), Err(UnitError::UnknownUnit));
        assert_eq!(Bytes::parse("GiB"), Err(UnitError::NotANumber));
        assert_eq!(Bytes::parse("99999999999TiB"), Err(UnitError::TooLarge));
    }

    #[test]
    fn times_are_read_with_their_units() {
        assert_eq!(Span::parse("1h30m"), Ok(Span::secs(5400)));
        assert_eq!(Span::parse("250ms"), Ok(Span::millis(250)));
        assert_eq!(Span::parse("1.5s"), Ok(Span::millis(1500)));
        assert_eq!(Span::parse("30"), Err(UnitError::UnitMissing));
        assert_eq!(Span::parse(""), Err(UnitError::NotANumber));
        assert_eq!(Span::parse("1h30"), Err(UnitError::UnitMissing));
    }

    #[test]
    fn quantities_print_for_people() {
        assert_eq!(Bytes(1_610_612_736).to_string(), "1.5 GiB");
        assert_eq!(Bytes::gib(24).to_string(), "24 GiB");
        assert_eq!(Span::secs(3725).to_string(), "1h02m");
        assert_eq!(Span::millis(4230).to_string(), "4.2s");
        assert_eq!(MilliCores(1500).to_string(), "1.5");
    }
}
