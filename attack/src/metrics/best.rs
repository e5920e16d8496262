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
    let tables = Tables { truth, guess, mean };
    let records = truth.len() / mean.len().max(1);
    let half = records / 2;
    let chosen = tables.best(&(0..half), places)?;
    let [errors, reference] = tables.errors(&(half..records), &places[chosen]);
    Some((tables.best(&(0..records), places)?, ratio::skill(&errors, &reference)))
}

/// The truth and a guess [records, width], and the mean of each of the columns.
struct Tables<'a> {
    truth: &'a [f32],
    guess: &'a [f32],
    mean: &'a [f32],
}

impl Tables<'_> {
    /// The column with the greatest R2 over the records of `rows`; nothing if none varies there.
    fn best(&self, rows: &Range<usize>, places: &[Range<usize>]) -> Option<usize> {
        let mut best: Option<(usize, f64)> = None;
        for (column, places) in places.iter().enumerate() {
            let [errors, reference] = self.errors(rows, places);
            let r2 = skill(&errors, &reference);
            if r2.is_finite() && best.is_none_or(|(_, most)| r2.total_cmp(&most).is_ge()) {
                best = Some((column, r2));
            }
        }
        best.map(|(column, _)| column)
    }

    /// Squared errors of the records of `rows` where a column stands at `places`: of the guess, and of the mean.
    fn errors(&self, rows: &Range<usize>, places: &Range<usize>) -> [Vec<f64>; 2] {
        let width = self.mean.len();
        let cells = rows.start * width..rows.end * width;
        let truth = neighbours(&self.truth[cells.clone()], width, places);
        let guess = neighbours(&self.guess[cells], width, places);
        let mean = self.mean[places.clone()].repeat(rows.len());
        [guess, mean].map(|guess| squared_errors(&truth, &guess, places.len()))
    }
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
