//! Random numbers that are the same on every machine: SplitMix64 (Steele, Lea, Flood 2014), seeded by
//! the submission.

/// A small generator with 64 bits of state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator that begins at this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator for one thing among many: another seed gives unrelated numbers.
    pub const fn of(seed: u64, thing: u64) -> Self {
        Self(seed ^ thing.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }

    /// The next 64 bits.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `n - 1`; 0 where `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        // The high word of a product: unbiased enough for choices among few.
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// A number from 0 to 1, 1 excluded.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
