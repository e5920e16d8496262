//! Columns with few values: how often the value itself is guessed.

use std::collections::BTreeMap;

use crate::report::Estimate;
use hashvfl_leakage::metrics::proportion;

/// The distinct values of `column` in ascending order, if there are two to `most` of them. Take them from
/// auxiliary rows.
pub fn levels(column: &[f32], most: usize) -> Option<Vec<f32>> {
    let mut levels: Vec<f32> = Vec::new();
    for value in column {
        if let Err(place) = levels.binary_search_by(|level| level.total_cmp(value)) {
            if levels.len() == most {
                return None;
            }
            levels.insert(place, *value);
        }
    }
    (levels.len() >= 2).then_some(levels)
}

/// The number of the level nearest to `value`.
pub fn nearest(levels: &[f32], value: f32) -> usize {
    let distance = |level: &f32| (level - value).abs();
    (0..levels.len())
        .min_by(|a, b| distance(&levels[*a]).total_cmp(&distance(&levels[*b])))
        .expect("a column has at least one level")
}

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
    fn few_values_are_levels_and_many_are_not() {
        assert_eq!(levels(&[2.0, 0.0, 2.0, 1.0], 3), Some(vec![0.0, 1.0, 2.0]));
        assert_eq!(levels(&[2.0, 0.0, 2.0, 1.0], 2), None);
        assert_eq!(levels(&[2.0, 2.0], 3), None);
    }

    #[test]
    fn a_common_value_earns_nothing() {
        let truth = [0, 0, 0, 1];
        let reached = |guess: &[usize]| balanced_accuracy(&truth, &hits(&truth, guess));
        assert_eq!(reached(&[0, 0, 0, 0]).value, 0.5);
        assert_eq!(reached(&[0, 0, 0, 1]).value, 1.0);
        assert_eq!(reached(&[1, 0, 0, 1]).value, (2.0 / 3.0 + 1.0) / 2.0);
        // One record says little of its level.
        assert!(reached(&[0, 0, 0, 0]).high > 0.8);
        assert_eq!(nearest(&[0.0, 1.0], 0.7), 1);
    }
}
