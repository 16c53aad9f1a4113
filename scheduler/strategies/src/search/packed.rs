//! Amounts of several resources in few 64-bit words, so that one subtraction and one mask tell whether a
//! task fits.
//!
//! Each resource has a field of as many bits as its capacity needs, and above it a *guard* bit that is
//! set in every word of free amounts. Where an amount is more than is free, the subtraction borrows the
//! guard. Fields never lend to each other because the guard is there to borrow from.

/// Fields are at most this wide; capacities beyond are divided, rounding against the task.
const BITS_MAX: u32 = 62;

/// The layout, the capacities and what each node takes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packed {
    /// How many words hold all resources.
    pub words: usize,
    /// All free, guards set.
    pub full: Vec<u64>,
    /// The guard bits of each word.
    pub guards: Vec<u64>,
    /// What each node takes, `words` for each, no guards.
    pub needs: Vec<u64>,
    fields: Vec<Field>,
}

#[derive(Clone, Copy, Debug)]
struct Field {
    word: usize,
    shift: u32,
    /// Amounts are divided by two to this power.
    coarse: u32,
    /// The capacity after that.
    capacity: u64,
}

impl Packed {
    /// Lays out resources of these capacities for this many nodes that take nothing yet.
    pub(crate) fn new(capacities: &[u64], nodes: usize) -> Self {
        let mut room: Vec<u32> = Vec::new();
        let mut fields = Vec::with_capacity(capacities.len());
        for capacity in capacities {
            let coarse = (u64::BITS - capacity.leading_zeros()).saturating_sub(BITS_MAX);
            let capacity = capacity >> coarse;
            let bits = u64::BITS - capacity.leading_zeros() + 1;
            let word = room.iter().position(|used| used + bits <= u64::BITS).unwrap_or_else(|| {
                room.push(0);
                room.len() - 1
            });
            fields.push(Field { word, shift: room[word], coarse, capacity });
            room[word] += bits;
        }
        let words = room.len().max(1);
        let (mut full, mut guards) = (vec![0; words], vec![0; words]);
        for field in &fields {
            let bits = u64::BITS - field.capacity.leading_zeros();
            guards[field.word] |= 1 << (field.shift + bits);
            full[field.word] |= field.capacity << field.shift;
        }
        for (word, guard) in full.iter_mut().zip(&guards) {
            *word |= guard;
        }
        Self { words, full, guards, needs: vec![0; words * nodes], fields }
    }

    /// An amount of one resource as it is laid out, and in which word.
    fn laid_out(&self, resource: usize, amount: u64, already: &[u64]) -> (usize, u64) {
        let field = self.fields[resource];
        let up = u64::from(field.coarse > 0 && amount & ((1 << field.coarse) - 1) != 0);
        let bits = u64::BITS - field.capacity.leading_zeros();
        let there = (already[field.word] >> field.shift) & ((1 << bits) - 1);
        let amount = ((amount >> field.coarse) + up).min(field.capacity - there);
        (field.word, amount << field.shift)
    }

    /// Adds an amount of one resource to these words, up to the capacity.
    pub(crate) fn add(&self, words: &mut [u64], resource: usize, amount: u64) {
        let (word, amount) = self.laid_out(resource, amount, words);
        words[word] += amount;
    }

    /// Adds to what a node takes of one resource.
    pub(crate) fn take(&mut self, node: usize, resource: usize, amount: u64) {
        let (word, amount) = self.laid_out(resource, amount, self.need(node));
        self.needs[node * self.words + word] += amount;
    }

    /// What a node takes.
    pub(crate) fn need(&self, node: usize) -> &[u64] {
        &self.needs[node * self.words..(node + 1) * self.words]
    }

    /// Whether two nodes can run at the same time.
    pub(crate) fn fit_together(&self, a: usize, b: usize) -> bool {
        (0..self.words).all(|word| {
            let free = self.full[word] - self.needs[a * self.words + word];
            free.wrapping_sub(self.needs[b * self.words + word]) & self.guards[word] == self.guards[word]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Packed;

    #[test]
    fn a_field_borrows_only_from_its_guard() {
        let mut packed = Packed::new(&[3, 0, 10, 1], 3);
        assert_eq!(packed.words, 1);
        packed.take(0, 0, 3);
        packed.take(0, 2, 4);
        packed.take(1, 2, 6);
        packed.take(2, 0, 1);
        assert!(packed.fit_together(0, 1));
        assert!(!packed.fit_together(0, 2));
        assert!(packed.fit_together(1, 2));
    }

    #[test]
    fn wide_capacities_take_several_words_and_round_against_the_task() {
        let huge = u64::MAX;
        let mut packed = Packed::new(&[huge, huge / 2, 1 << 40, 7], 3);
        assert!(packed.words >= 2);
        packed.take(0, 0, huge);
        packed.take(1, 0, 1);
        packed.take(2, 1, huge / 2);
        assert!(!packed.fit_together(0, 1));
        assert!(packed.fit_together(0, 2));
    }
}
