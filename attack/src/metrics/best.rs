//! The column that is reconstructed best.

use std::ops::Range;

use hashvfl_leakage::metrics::error::{neighbours, skill, squared_errors};
use hashvfl_leakage::metrics::ratio;

use crate::report::Estimate;

/// Of tables [records, width] the column whose R2 against `mean` is greatest, where each column stands at one of `places`, and what
/// an attack gets of a column that is chosen so: one half of the records chooses it, and the other half is scored. Chosen and
/// scored by the same records, the greatest of several figures would be greater than it is, and its interval too high; scored by
/// both halves in turns, the two scores rise together where columns are alike, and the interval is too narrow.
///
/// Nothing if no column varies in one of the halves.
pub fn best_column(
    truth: &[f32],
    guess: &[f32],
    mean: &[f32],
    places: &[Range<usize>],
) -> Option<(usize, Estimate)> {
    let width = mean.len();
    let records = truth.len() / width.max(1);
    let errors_at = |rows: &Range<usize>, places: &Range<usize>| {
        let of = |table: &[f32]| neighbours(&table[rows.start * width..rows.end * width], width, places);
        let (truth, mean) = (of(truth), mean[places.clone()].repeat(rows.len()));
        [of(guess), mean].map(|guess| squared_errors(&truth, &guess, places.len()))
    };
    let choose = |rows: Range<usize>| {
        let r2 = |places: &Range<usize>| {
            let [errors, reference] = errors_at(&rows, places);
            skill(&errors, &reference)
        };
        let columns = places.iter().map(r2).enumerate().filter(|(_, r2)| r2.is_finite());
        columns.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(column, _)| column)
    };
    let half = records / 2;
    let chosen = choose(0..half)?;
    let [errors, reference] = errors_at(&(half..records), &places[chosen]);
    Some((choose(0..records)?, ratio::skill(&errors, &reference)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_that_is_guessed_is_the_best_one() {
        let truth: Vec<f32> = (0..40).flat_map(|row| [(row % 7) as f32, (row % 5) as f32]).collect();
        let guess: Vec<f32> = (0..40).flat_map(|row| [3.0, (row % 5) as f32]).collect();
        let places = [0..1, 1..2];
        let best = |truth: &[f32], guess: &[f32], mean: &[f32]| best_column(truth, guess, mean, &places);
        let (column, found) = best(&truth, &guess, &[3.0, 2.0]).unwrap();
        assert_eq!((column, found.value, found.low), (1, 1.0, 1.0));
        assert!(best(&[1.0; 8], &[1.0; 8], &[1.0, 1.0]).is_none());
        // Several numbers may be one column.
        let together = 0..2;
        let together = std::slice::from_ref(&together);
        let one = best_column(&truth, &guess, &[3.0, 2.0], together).unwrap();
        assert!(one.0 == 0 && (0.2..0.6).contains(&one.1.value), "{one:?}");
    }
}
