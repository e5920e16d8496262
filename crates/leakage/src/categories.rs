//! Columns that hold positions of categories, as indicators of these. Categories stand in the order of their names, so a
//! position is a number that says nothing: whether a regression explains its variance depends on names.

use std::cmp::Reverse;

/// Categories of a column that count by themselves, at most; all others count as one.
pub const MOST_BY_THEMSELVES: usize = 31;

/// The most common of `positions` in rising order, at most [`MOST_BY_THEMSELVES`]; the lower ones of those that are as common.
pub fn most_common(positions: &[f32]) -> Vec<f32> {
    let mut sorted = positions.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let mut counted: Vec<(usize, f32)> =
        sorted.chunk_by(|a, b| a == b).map(|alike| (alike.len(), alike[0])).collect();
    // A stable sort.
    counted.sort_by_key(|(count, _)| Reverse(*count));
    counted.truncate(MOST_BY_THEMSELVES);
    let mut common: Vec<f32> = counted.into_iter().map(|(_, position)| position).collect();
    common.sort_unstable_by(f32::total_cmp);
    common
}

/// The square root of the variances, together, of indicators that are 1 in these `fractions` of the records: a category is one
/// column, however many values it has.
pub fn spread(fractions: &[f32]) -> f32 {
    fractions.iter().map(|fraction| fraction * (1.0 - fraction)).sum::<f32>().sqrt()
}

/// The indicators of a column that holds these `positions`, [records, indicators]: one for each of its most common categories,
/// and one for all others. Their variances together are 1. `None` if it does not vary.
pub fn indicators(positions: &[f32]) -> Option<Vec<f32>> {
    let common = most_common(positions);
    if common.len() < 2 {
        return None;
    }
    let width = common.len() + 1;
    let mut table = vec![0.0; positions.len() * width];
    let mut fractions = vec![0.0; width];
    for (position, row) in positions.iter().zip(table.chunks_exact_mut(width)) {
        let place = common.iter().position(|other| other == position).unwrap_or(common.len());
        row[place] = 1.0;
        fractions[place] += 1.0 / positions.len() as f32;
    }
    let spread = spread(&fractions);
    table.iter_mut().for_each(|value| *value /= spread);
    Some(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::column_means;

    #[test]
    fn a_category_is_one_column_however_many_values_it_has() {
        assert_eq!(most_common(&[5.0, 2.0, 5.0, 9.0, 2.0, 7.0]), [2.0, 5.0, 7.0, 9.0]);
        let positions: Vec<f32> =
            (0..400_u16).map(|record| f32::from(if record % 4 == 0 { 77 } else { record % 90 })).collect();
        let common = most_common(&positions);
        assert!(common.len() == MOST_BY_THEMSELVES && common.contains(&77.0));
        let table = indicators(&positions).unwrap();
        let width = table.len() / positions.len();
        assert_eq!(width, MOST_BY_THEMSELVES + 1);
        let means = column_means(&table, width, positions.len());
        let squares: Vec<f32> = table.iter().map(|value| value * value).collect();
        let squares = column_means(&squares, width, positions.len());
        let variance: f32 = squares.iter().zip(&means).map(|(square, mean)| square - mean * mean).sum();
        assert!((variance - 1.0).abs() < 1e-4, "{variance}");
        assert!(table.chunks_exact(width).all(|row| row.iter().filter(|value| **value > 0.0).count() == 1));
        assert_eq!(indicators(&[3.0; 9]), None);
    }
}
