//! What the author of a graph wants to be weighed against what.

/// Weights of the parts of a plan's or a placement's cost. Each part is measured in its own unit and
/// divided by what the best list rule comes to, so that weights are comparable: 2 counts twice as much.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Weights {
    /// Of the makespan.
    pub time: f64,
    /// Of the seconds that values are moved for.
    pub transfer: f64,
    /// Of the joules spent above idling.
    pub energy: f64,
    /// Of GPU capacity left in pieces that nobody can use.
    pub fragmentation: f64,
}

impl Default for Weights {
    /// Time alone; moving values counts through the time it takes.
    fn default() -> Self {
        Self { time: 1.0, transfer: 0.0, energy: 0.0, fragmentation: 0.0 }
    }
}
