//! The store's time: microseconds since it was made, advanced by the boot clock, never backwards.
//!
//! While the machine stays up, time is a constant away from the boot clock, and a restart of the daemon
//! changes nothing. After a reboot it goes on from the last known time, plus what the wall clock says
//! has passed where that is believable. So that no time that was ever journalled can come again, a
//! saved mark carries a *ceiling* above the time it was made at, and a new mark is saved before the
//! time passes the ceiling.

use dunnage_model::{Span, Time};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// How far above the time of a mark its ceiling lies.
const RESERVE: Span = Span::secs(3);
/// How close the time may come to the ceiling before a new mark is due.
const MARGIN: Span = Span::secs(1);
/// The longest pause that is believed: a wall clock that claims more was set wrongly.
const PAUSE_MAX_US: u64 = 5 * 366 * 24 * 3600 * 1_000_000;

/// The clocks of a machine.
pub trait Clocks: Send + Sync {
    /// Tells one boot of the machine from another.
    fn boot_id(&self) -> String;
    /// Microseconds since the boot, sleep included.
    fn boot_us(&self) -> u64;
    /// Microseconds since 1970.
    fn wall_us(&self) -> u64;
}

/// The clocks of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClocks;

/// The store's time. Copies share it.
#[derive(Clone)]
pub struct StoreClock(Arc<Shared>);

struct Shared {
    clocks: Box<dyn Clocks>,
    boot_id: String,
    /// The boot clock and the time at one and the same moment.
    base_boot_us: u64,
    base: Time,
    last: AtomicU64,
    ceiling: AtomicU64,
}

/// What is saved of the time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClockMark {
    /// Of the boot in which it was made.
    pub boot_id: String,
    /// The boot clock then.
    pub boot_us: u64,
    /// The wall clock then.
    pub wall_us: u64,
    /// The time then.
    pub time: Time,
    /// Above every time given out until a later mark is saved.
    pub ceiling: Time,
}

impl Clocks for SystemClocks {
    fn boot_id(&self) -> String {
        // Without it every start looks like a reboot, which is right as well.
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map(|id| id.trim().to_owned())
            .unwrap_or_default()
    }

    fn boot_us(&self) -> u64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        now.tv_sec.cast_unsigned() * 1_000_000 + now.tv_nsec.cast_unsigned() / 1000
    }

    fn wall_us(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
    }
}

impl StoreClock {
    /// Goes on from a mark, or begins at zero.
    pub fn resume(mark: Option<&ClockMark>, clocks: Box<dyn Clocks>) -> Self {
        let (boot_id, boot_us) = (clocks.boot_id(), clocks.boot_us());
        let (base, ceiling) = match mark {
            None => (Time::ZERO, Time::ZERO),
            Some(mark) if !boot_id.is_empty() && mark.boot_id == boot_id && mark.boot_us <= boot_us => {
                (mark.time.after(Span(boot_us - mark.boot_us)), mark.ceiling)
            }
            Some(mark) => {
                let passed = clocks.wall_us().saturating_sub(mark.wall_us);
                let passed = if passed <= PAUSE_MAX_US { Span(passed) } else { Span(0) };
                (mark.ceiling.max(mark.time.after(passed)), Time::ZERO)
            }
        };
        Self(Arc::new(Shared {
            clocks,
            boot_id,
            base_boot_us: boot_us,
            base,
            last: AtomicU64::new(base.0),
            ceiling: AtomicU64::new(ceiling.0),
        }))
    }

    /// Begins at zero with the clocks of this machine.
    pub fn starting_now() -> Self {
        Self::resume(None, Box::new(SystemClocks))
    }

    /// The time. No call gives less than an earlier one, whichever thread asks.
    pub fn now(&self) -> Time {
        let passed = self.0.clocks.boot_us().saturating_sub(self.0.base_boot_us);
        let now = self.0.base.after(Span(passed)).0;
        Time(self.0.last.fetch_max(now, Ordering::Relaxed).max(now))
    }

    /// A point in time for people: microseconds since 1970 by what the wall clock says now.
    pub fn wall_us_of(&self, time: Time) -> u64 {
        let (wall, now) = (self.0.clocks.wall_us(), self.now());
        if time <= now {
            wall.saturating_sub(now.since(time).0)
        } else {
            wall.saturating_add(time.since(now).0)
        }
    }

    /// The wall clock: microseconds since 1970.
    pub fn wall_us(&self) -> u64 {
        self.0.clocks.wall_us()
    }

    /// A mark to be saved.
    pub fn mark(&self) -> ClockMark {
        let time = self.now();
        let ceiling = time.after(RESERVE);
        self.0.ceiling.fetch_max(ceiling.0, Ordering::Relaxed);
        ClockMark {
            boot_id: self.0.boot_id.clone(),
            boot_us: self.0.base_boot_us.saturating_add(time.since(self.0.base).0),
            wall_us: self.0.clocks.wall_us(),
            time,
            ceiling,
        }
    }

    /// A mark to be saved with what is being written now, if the last one does not cover it.
    pub fn mark_due(&self) -> Option<ClockMark> {
        let covered = Time(self.0.ceiling.load(Ordering::Relaxed));
        (self.now().after(MARGIN) > covered).then(|| self.mark())
    }
}

impl fmt::Debug for StoreClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreClock").field("now", &self.now()).finish_non_exhaustive()
    }
}

impl ClockMark {
    /// As one line of words.
    pub(crate) fn to_text(&self) -> String {
        let Self { boot_id, boot_us, wall_us, time, ceiling } = self;
        format!("{boot_us} {wall_us} {} {} {boot_id}", time.0, ceiling.0)
    }

    /// From one line of words.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut words = text.splitn(5, ' ');
        let mut number = || words.next()?.parse::<u64>().ok();
        let (boot_us, wall_us, time, ceiling) = (number()?, number()?, number()?, number()?);
        Some(Self {
            boot_id: words.next()?.to_owned(),
            boot_us,
            wall_us,
            time: Time(time),
            ceiling: Time(ceiling),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{ClockMark, Clocks, StoreClock};
    use dunnage_model::{Span, Time};
    use std::sync::{Arc, Mutex};

    /// Clocks that a test sets.
    #[derive(Clone)]
    struct Set(Arc<Mutex<(String, u64, u64)>>);

    impl Set {
        fn new(boot: &str, boot_us: u64, wall_us: u64) -> Self {
            Self(Arc::new(Mutex::new((boot.into(), boot_us, wall_us))))
        }
        fn to(&self, boot_us: u64, wall_us: u64) {
            let mut clocks = self.0.lock().unwrap();
            (clocks.1, clocks.2) = (boot_us, wall_us);
        }
    }

    impl Clocks for Set {
        fn boot_id(&self) -> String {
            self.0.lock().unwrap().0.clone()
        }
        fn boot_us(&self) -> u64 {
            self.0.lock().unwrap().1
        }
        fn wall_us(&self) -> u64 {
            self.0.lock().unwrap().2
        }
    }

    fn resumed(mark: &ClockMark, boot: &str, boot_us: u64, wall_us: u64) -> Time {
        StoreClock::resume(Some(mark), Box::new(Set::new(boot, boot_us, wall_us))).now()
    }

    fn marked() -> ClockMark {
        ClockMark {
            boot_id: "a".into(),
            boot_us: 1_000,
            wall_us: 50_000_000,
            time: Time(20_000_000),
            ceiling: Time(23_000_000),
        }
    }

    #[test]
    fn begins_at_zero_and_follows_the_boot_clock() {
        let clocks = Set::new("a", 777, 0);
        let clock = StoreClock::resume(None, Box::new(clocks.clone()));
        assert_eq!(clock.now(), Time::ZERO);
        clocks.to(1_777, 0);
        assert_eq!(clock.now(), Time(1_000));
    }

    #[test]
    fn a_boot_clock_that_steps_back_does_not_take_time_back() {
        let clocks = Set::new("a", 100, 0);
        let clock = StoreClock::resume(None, Box::new(clocks.clone()));
        clocks.to(5_100, 0);
        assert_eq!(clock.now(), Time(5_000));
        for boot_us in [4_000, 0, 5_099] {
            clocks.to(boot_us, 0);
            assert_eq!(clock.now(), Time(5_000));
        }
    }

    #[test]
    fn in_the_same_boot_a_restart_changes_nothing() {
        assert_eq!(resumed(&marked(), "a", 501_000, 0), Time(20_500_000));
    }

    #[test]
    fn after_a_reboot_the_wall_clock_tells_the_pause() {
        assert_eq!(resumed(&marked(), "b", 5, 150_000_000), Time(120_000_000));
    }

    #[test]
    fn a_wall_clock_that_went_back_or_far_ahead_is_not_believed() {
        for wall_us in [0, 49_000_000, 50_000_001, u64::MAX] {
            assert_eq!(resumed(&marked(), "b", 5, wall_us), Time(23_000_000));
        }
        // A boot clock that went back is another boot, whatever the name says.
        assert_eq!(resumed(&marked(), "a", 5, 0), Time(23_000_000));
        // No name at all: every start is another boot.
        let nameless = ClockMark { boot_id: String::new(), ..marked() };
        assert_eq!(resumed(&nameless, "", 5_000, 0), Time(23_000_000));
    }

    #[test]
    fn no_time_given_out_under_saved_marks_comes_again() {
        let clocks = Set::new("a", 0, 0);
        let clock = StoreClock::resume(None, Box::new(clocks.clone()));
        let mut saved = clock.mark();
        for step in 1..200u64 {
            clocks.to(step * 77_000, 0);
            // What a commit does: first the mark, if one is due, then the facts.
            if let Some(mark) = clock.mark_due() {
                saved = mark;
            }
            let journalled = clock.now();
            assert!(resumed(&saved, "b", 0, 0) >= journalled);
        }
        assert!(saved.time > Time(10_000_000), "marks were renewed on the way");
    }

    #[test]
    fn marks_are_renewed_about_every_two_seconds_and_not_more() {
        let clocks = Set::new("a", 0, 0);
        let clock = StoreClock::resume(None, Box::new(clocks.clone()));
        let mut marks = 0;
        for step in 0..1_000u64 {
            clocks.to(step * 10_000, 0);
            marks += u32::from(clock.mark_due().is_some());
        }
        assert!((4..=6).contains(&marks), "{marks} marks in ten seconds");
    }

    #[test]
    fn marks_survive_being_written_as_text() {
        for boot_id in ["a", "", "8b1f0c7e-0000-4000-8000-000000000000"] {
            let mark = ClockMark { boot_id: boot_id.into(), ..marked() };
            assert_eq!(ClockMark::from_text(&mark.to_text()), Some(mark));
        }
        for text in ["", "1 2 3 4", "1 2 3 x a", "-1 2 3 4 a"] {
            assert_eq!(ClockMark::from_text(text), None, "{text}");
        }
    }

    #[test]
    fn time_is_told_to_people_by_the_wall_clock() {
        let clocks = Set::new("a", 0, 9_000_000);
        let clock = StoreClock::resume(None, Box::new(clocks.clone()));
        clocks.to(2_000_000, 11_000_000);
        assert_eq!(clock.wall_us_of(Time(500_000)), 9_500_000);
        assert_eq!(clock.wall_us_of(Time::ZERO.after(Span::secs(3))), 12_000_000);
    }
}
