//! Squared errors, and skill: the part of a reference predictor's squared error that an attack removes.

use std::ops::Range;

/// Squared error of each record, mean over its columns: `[rows]`, from 0, in squared units of the columns.
pub fn squared_errors(truth: &[f32], guess: &[f32], columns: usize) -> Vec<f64> {
    assert_eq!(truth.len(), guess.len(), "truth and guess differ in size");
    assert!(columns > 0 && truth.len().is_multiple_of(columns), "no whole number of records");
    let square = |(t, g): (&f32, &f32)| (f64::from(*t) - f64::from(*g)).powi(2);
    let record = |(t, g): (&[f32], &[f32])| t.iter().zip(g).map(square).sum::<f64>() / columns as f64;
    truth.chunks_exact(columns).zip(guess.chunks_exact(columns)).map(record).collect()
}

/// Mean of `values`; of none it is not a number.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// `1 - MSE / MSE(reference)` from the squared errors of the same records: 1 for a perfect guess, 0 for one as
/// good as the reference, unbounded below. Against the mean predictor it is the fraction of the variance that
/// the attack explains (Murphy 1988 calls it the skill score). Not a number if the reference makes no error.
pub fn skill(errors: &[f64], reference: &[f64]) -> f64 {
    assert_eq!(errors.len(), reference.len(), "the reference scored other records");
    let (left, reference) = (errors.iter().sum::<f64>(), reference.iter().sum::<f64>());
    if reference > 0.0 { 1.0 - left / reference } else { f64::NAN }
}

/// One column of a table: `[rows]`.
pub fn column(table: &[f32], columns: usize, index: usize) -> Vec<f32> {
    table.iter().skip(index).step_by(columns).copied().collect()
}

/// Neighbouring columns of a table: `[rows, places]`.
pub fn neighbours(table: &[f32], columns: usize, places: &Range<usize>) -> Vec<f32> {
    table.chunks_exact(columns).flat_map(|row| row[places.clone()].iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUTH: [f32; 6] = [0.0, 1.0, 2.0, 3.0, 4.0, 8.0];

    #[test]
    fn errors_are_means_over_the_columns_of_a_record() {
        let guess = [1.0, 1.0, 2.0, 5.0, 4.0, 8.0];
        assert_eq!(squared_errors(&TRUTH, &guess, 2), [0.5, 2.0, 0.0]);
        assert_eq!(mean(&[0.5, 2.0, 0.5]), 1.0);
    }

    #[test]
    fn a_perfect_guess_has_skill_one_and_the_reference_none() {
        let reference = squared_errors(&TRUTH, &[2.0, 4.0, 2.0, 4.0, 2.0, 4.0], 2);
        let perfect = squared_errors(&TRUTH, &TRUTH, 2);
        assert_eq!(skill(&perfect, &reference), 1.0);
        assert_eq!(skill(&reference, &reference), 0.0);
        let double: Vec<f64> = reference.iter().map(|error| 2.0 * error).collect();
        assert_eq!(skill(&double, &reference), -1.0);
        assert!(skill(&perfect, &perfect).is_nan());
    }

    #[test]
    fn columns_are_taken_out_of_a_table() {
        assert_eq!(column(&TRUTH, 2, 1), [1.0, 3.0, 8.0]);
        assert_eq!(neighbours(&TRUTH, 3, &(1..3)), [1.0, 2.0, 4.0, 8.0]);
    }
}
