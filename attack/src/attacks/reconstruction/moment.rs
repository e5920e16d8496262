//! One step of a run, as a coordinator sees it that looks on.

use std::collections::{BTreeMap, BTreeSet};

use hashvfl_learning::Classifier;

/// What every party last sent of records that the adversary owns.
pub struct LastSent {
    owned: BTreeSet<u32>,
    values: BTreeMap<u32, Vec<Vec<f32>>>,
}

impl LastSent {
    /// Nothing yet of `owned` records.
    pub fn new(owned: &[u32]) -> Self {
        Self { owned: owned.iter().copied().collect(), values: BTreeMap::new() }
    }

    /// A batch came: of each party values `parts[party]` [rows, values].
    pub fn keep(&mut self, rows: &[u32], parts: &[Vec<f32>]) {
        for (place, row) in rows.iter().enumerate().filter(|(_, row)| self.owned.contains(row)) {
            let of_party = |part: &Vec<f32>| {
                let width = part.len() / rows.len();
                part[place * width..][..width].to_vec()
            };
            self.values.insert(*row, parts.iter().map(of_party).collect());
        }
    }

    /// Whether more than half of the owned records have come.
    pub fn has_most(&self) -> bool {
        2 * self.values.len() > self.owned.len()
    }

    /// Those of `rows` that have come.
    pub fn known(&self, mut rows: Vec<u32>) -> Vec<u32> {
        rows.retain(|row| self.values.contains_key(row));
        rows
    }

    /// Each party's values [rows, values] of `rows` that have come.
    fn gather(&self, rows: &[u32], parties: usize) -> Vec<Vec<f32>> {
        let of_party = |party: usize| rows.iter().flat_map(|row| self.values[row][party].clone()).collect();
        (0..parties).map(of_party).collect()
    }
}

/// One step.
pub struct Moment<'a> {
    /// The top model as it is.
    pub top: &'a Classifier,
    /// Rows of the batch.
    pub rows: &'a [u32],
    /// What each party sent of them [rows, values].
    pub parts: &'a [Vec<f32>],
    /// What has been sent of the adversary's records so far.
    pub last: &'a LastSent,
    /// The place of the victim among the parties.
    pub victim: usize,
}

impl Moment<'_> {
    /// The gradient [rows, latents] that the coordinator would answer, had the victim sent `codes` [rows, values] of the
    /// adversary's `rows` and the others what they last did.
    pub fn gradient(&self, codes: Vec<f32>, rows: &[u32]) -> Vec<f32> {
        let mut parts = self.last.gather(rows, self.parts.len());
        parts[self.victim] = codes;
        self.top.gradients(&parts, rows).swap_remove(self.victim)
    }

    /// Rows of the batch that the adversary does not own, and what the victim sent of them [rows, values].
    pub fn strangers(&self) -> (Vec<u32>, Vec<f32>) {
        let part = &self.parts[self.victim];
        let width = part.len() / self.rows.len();
        let (mut rows, mut values) = (Vec::new(), Vec::new());
        for (row, code) in self.rows.iter().zip(part.chunks_exact(width)) {
            if !self.last.owned.contains(row) {
                rows.push(*row);
                values.extend_from_slice(code);
            }
        }
        (rows, values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_owned_records_is_kept() {
        let mut last = LastSent::new(&[1, 2, 5]);
        last.keep(&[0, 1], &[vec![0.0, 0.1, 1.0, 1.1], vec![9.0, 8.0]]);
        assert!(!last.has_most());
        last.keep(&[5, 1], &[vec![5.0, 5.1, 1.2, 1.3], vec![7.0, 6.0]]);
        assert!(last.has_most());
        assert_eq!(last.known(vec![0, 1, 2, 5]), [1, 5]);
        assert_eq!(last.gather(&[1, 5], 2), [vec![1.2, 1.3, 5.0, 5.1], vec![6.0, 7.0]]);
    }
}
