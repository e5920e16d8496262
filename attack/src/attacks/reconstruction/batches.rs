//! Batches of records, pass after pass, each in a new order.

use hashvfl_core::random::{shuffle, stream};

/// Batches of some records.
pub struct Batches {
    size: usize,
    order: Vec<u32>,
    next: usize,
    pass: u64,
    seed: u64,
}

impl Batches {
    /// Over `records`, `size` of them per batch, or all where there are fewer.
    pub fn new(records: &[u32], size: usize, seed: u64) -> Self {
        Self { size: size.min(records.len()), order: records.to_vec(), next: records.len(), pass: 0, seed }
    }

    /// The next batch, of the same size as every other.
    pub fn draw(&mut self) -> Vec<u32> {
        let size = self.size;
        if self.next + size > self.order.len() {
            shuffle(&mut self.order, &mut stream(self.seed, "substitute batches", &[self.pass]));
            (self.next, self.pass) = (0, self.pass + 1);
        }
        self.next += size;
        self.order[self.next - size..self.next].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_go_through_all_records() {
        let records: Vec<u32> = (0..300).collect();
        let mut batches = Batches::new(&records, 128, 0);
        let mut seen: Vec<u32> = (0..2).flat_map(|_| batches.draw()).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 256);
        assert_eq!(Batches::new(&records[..7], 128, 0).draw().len(), 7);
    }
}
