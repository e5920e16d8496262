//! Columns with few values: how often the value itself is guessed.

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

/// Balanced accuracy of one column, 0 to 1: truth and guess `[rows]` are taken to the nearest of `levels`, and
/// the fractions guessed right are averaged over the levels that occur. Always guessing one level gives 1 over
/// their number, however common that level is (Brodersen et al. 2010).
pub fn balanced_accuracy(truth: &[f32], guess: &[f32], levels: &[f32]) -> f64 {
    assert_eq!(truth.len(), guess.len(), "truth and guess differ in size");
    let mut right = vec![0_u64; levels.len()];
    let mut all = vec![0_u64; levels.len()];
    for (t, g) in truth.iter().zip(guess) {
        let level = nearest(levels, *t);
        all[level] += 1;
        right[level] += u64::from(nearest(levels, *g) == level);
    }
    let recalls: Vec<f64> =
        right.iter().zip(&all).filter(|(_, n)| **n > 0).map(|(r, n)| *r as f64 / *n as f64).collect();
    super::error::mean(&recalls)
}

fn nearest(levels: &[f32], value: f32) -> usize {
    let distance = |level: &f32| (level - value).abs();
    (0..levels.len())
        .min_by(|a, b| distance(&levels[*a]).total_cmp(&distance(&levels[*b])))
        .expect("a column has at least one level")
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
        let truth = [0.0, 0.0, 0.0, 1.0];
        assert_eq!(balanced_accuracy(&truth, &[0.1, 0.2, 0.0, 0.3], &[0.0, 1.0]), 0.5);
        assert_eq!(balanced_accuracy(&truth, &[0.1, 0.2, 0.0, 0.7], &[0.0, 1.0]), 1.0);
        assert_eq!(balanced_accuracy(&truth, &[0.9, 0.2, 0.0, 0.7], &[0.0, 1.0]), (2.0 / 3.0 + 1.0) / 2.0);
        // The level 2 occurs in no target.
        assert_eq!(balanced_accuracy(&truth, &truth, &[0.0, 1.0, 2.0]), 1.0);
    }
}
