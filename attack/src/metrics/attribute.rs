//! Columns with few values: how often the value itself is guessed.

use std::collections::BTreeMap;

use crate::report::Estimate;
use hashvfl_leakage::metrics::proportion;

/// 1 for each level guessed right, 0 for the others: `[rows]`.
pub fn hits(truth: &[usize], guess: &[usize]) -> Vec<f64> {
    assert_eq!(truth.len(), guess.len(), "truth and guess differ in size");
    truth.iter().zip(guess).map(|(t, g)| f64::from(u8::from(t == g))).collect()
}

/// Balanced accuracy of one column, 0 to 1: the fractions of `hits` `[rows]`, averaged over the levels of `truth` `[rows]` that
/// occur. Always guessing one level gives 1 over their number, however common that level is (Brodersen et al. 2010). Its
/// interval is for these levels: of those that occur in no record nothing is said.
pub fn balanced_accuracy(truth: &[usize], hits: &[f64]) -> Estimate {
    let mut of_level: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for (level, hit) in truth.iter().zip(hits) {
        of_level.entry(*level).or_default().push(*hit);
    }
    let recalls: Vec<Estimate> = of_level.values().map(|hits| proportion::of(hits)).collect();
    proportion::mean_of(&recalls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_value_earns_nothing() {
        let truth = [0, 0, 0, 1];
        let reached = |guess: &[usize]| balanced_accuracy(&truth, &hits(&truth, guess));
        assert_eq!(reached(&[0, 0, 0, 0]).value, 0.5);
        assert_eq!(reached(&[0, 0, 0, 1]).value, 1.0);
        assert_eq!(reached(&[1, 0, 0, 1]).value, (2.0 / 3.0 + 1.0) / 2.0);
        // One record says little of its level.
        assert!(reached(&[0, 0, 0, 0]).high > 0.8);
    }
}
