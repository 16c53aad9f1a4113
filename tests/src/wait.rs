//! Waiting for something to become true, with a bound that only a failing test reaches.

use std::time::{Duration, Instant};

/// Long enough for anything on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Looks again and again until there is a result.
///
/// # Panics
/// There is none after [`PATIENCE`].
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
