//! The column that is reconstructed best.

use std::ops::Range;

use hashvfl_leakage::metrics::{Bootstrap, error};

use crate::report::Estimate;

/// Of tables [records, columns] the column whose R2 against the columns' `mean` is greatest, and what an attack gets of a column
/// that is chosen so: each half of the records is scored at the column that the other half chooses. Chosen and scored by the same
/// records, the greatest of several figures would be greater than it is, and its interval too high.
///
/// Nothing if no column varies in one of the halves.
pub fn best_column(
    truth: &[f32],
    guess: &[f32],
    mean: &[f32],
    bootstrap: Bootstrap,
) -> Option<(usize, Estimate)> {
    let width = mean.len();
    let records = truth.len() / width.max(1);
    let choose = |rows: Range<usize>| {
        let of = |table: &[f32]| table[rows.start * width..rows.end * width].to_vec();
        let columns = error::column_r2(&of(truth), &of(guess), mean).into_iter().enumerate();
        let columns = columns.filter_map(|(column, r2)| Some((column, r2?)));
        columns.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(column, _)| column)
    };
    let half = records / 2;
    let (first, second) = (choose(0..half)?, choose(half..records)?);
    let squared = |record: usize, guess: &dyn Fn(usize) -> f32| {
        let column = if record < half { second } else { first };
        (f64::from(truth[record * width + column]) - f64::from(guess(column))).powi(2)
    };
    let errors: Vec<f64> =
        (0..records).map(|record| squared(record, &|column| guess[record * width + column])).collect();
    let reference: Vec<f64> = (0..records).map(|record| squared(record, &|column| mean[column])).collect();
    Some((choose(0..records)?, bootstrap.skill(&errors, &reference)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_that_is_guessed_is_the_best_one() {
        let truth: Vec<f32> = (0..40).flat_map(|row| [(row % 7) as f32, (row % 5) as f32]).collect();
        let guess: Vec<f32> = (0..40).flat_map(|row| [3.0, (row % 5) as f32]).collect();
        let (column, found) = best_column(&truth, &guess, &[3.0, 2.0], Bootstrap::new(1)).unwrap();
        assert_eq!((column, found.value, found.low), (1, 1.0, 1.0));
        assert!(best_column(&[1.0; 8], &[1.0; 8], &[1.0, 1.0], Bootstrap::new(1)).is_none());
    }
}
