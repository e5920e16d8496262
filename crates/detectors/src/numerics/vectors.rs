//! Loops over rows, compiled for the processor's widest vectors.

use crate::values::MatrixView;

/// Does `work`, compiled for the processor's widest vectors. The compiler inlines closures that are marked
/// `inline(always)` and give away what they own. Of other closures it makes a call to code for the oldest processor.
pub fn vectorized<T>(work: impl FnOnce() -> T) -> T {
    pulp::Arch::new().dispatch(work)
}

/// Outputs, and rows, whose sums are in the processor's registers at once.
const LANES: usize = 16;
const GROUP: usize = 6;

/// The squared distance of each of `rows` to the nearest of `centres` along directions, which are the columns of `matrix`
/// [width, directions].
pub fn nearest(matrix: &[f32], centres: &[Vec<f32>], rows: MatrixView<'_>) -> Vec<f64> {
    pulp::Arch::new().dispatch(Nearest { matrix, centres, rows })
}

struct Nearest<'a> {
    matrix: &'a [f32],
    centres: &'a [Vec<f32>],
    rows: MatrixView<'a>,
}

impl pulp::WithSimd for Nearest<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> Vec<f64> {
        let Self { matrix, centres, rows } = self;
        let (width, fused) = (rows.width(), !S::IS_SCALAR);
        let outputs = matrix.len() / width;
        let (mut along, mut scores) = (vec![0.0; GROUP * outputs], Vec::with_capacity(rows.rows()));
        let groups = rows.values().chunks_exact(GROUP * width);
        let rest = groups.remainder().chunks_exact(width);
        for group in groups {
            product::<GROUP>(matrix, group, &mut along, fused);
            push_nearest(&along, outputs, centres, &mut scores);
        }
        for row in rest {
            product::<1>(matrix, row, &mut along[..outputs], fused);
            push_nearest(&along[..outputs], outputs, centres, &mut scores);
        }
        scores
    }
}

/// Appends the squared distance of each point of `outputs` values to the nearest of `centres`.
#[inline(always)]
fn push_nearest(points: &[f32], outputs: usize, centres: &[Vec<f32>], scores: &mut Vec<f64>) {
    for point in points.chunks_exact(outputs) {
        let least = centres.iter().map(|centre| squared_distance(point, centre)).fold(f32::MAX, f32::min);
        scores.push(f64::from(least));
    }
}

/// The matrix times each of `R` rows, into as many rows of `to`; `fused` where the processor multiplies and adds at once.
#[inline(always)]
fn product<const R: usize>(matrix: &[f32], rows: &[f32], to: &mut [f32], fused: bool) {
    let (width, outputs) = (rows.len() / R, to.len() / R);
    let mut start = 0;
    while outputs - start >= LANES {
        let mut sums = [[0.0_f32; LANES]; R];
        for (at, column) in matrix.chunks_exact(outputs).enumerate() {
            let column = &column[start..start + LANES];
            for (row, sums) in sums.iter_mut().enumerate() {
                let value = rows[row * width + at];
                for (sum, weight) in sums.iter_mut().zip(column) {
                    *sum = if fused { weight.mul_add(value, *sum) } else { *sum + weight * value };
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            to[row * outputs + start..][..LANES].copy_from_slice(sums);
        }
        start += LANES;
    }
    for (row, to) in rows.chunks_exact(width).zip(to.chunks_exact_mut(outputs)) {
        let to = &mut to[start..];
        to.fill(0.0);
        for (column, value) in matrix.chunks_exact(outputs).zip(row) {
            to.iter_mut().zip(&column[start..]).for_each(|(sum, weight)| *sum += weight * value);
        }
    }
}

/// The squared distance between two points. Meant to be inlined into vector code.
#[inline(always)]
fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += (a - b) * (a - b);
        }
    }
    let mut sum = total(sums);
    for (a, b) in a_rest.iter().zip(b_rest) {
        sum += (a - b) * (a - b);
    }
    sum
}

/// The sum of a power of two of values. Halves are added to halves: one after the other, each addition would wait for the
/// last.
#[inline(always)]
pub fn total<const N: usize>(mut values: [f32; N]) -> f32 {
    let mut left = N;
    while left > 1 {
        left /= 2;
        let (low, high) = values.split_at_mut(left);
        low.iter_mut().zip(high).for_each(|(sum, other)| *sum += *other);
    }
    values[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::eigen::by_columns;

    #[test]
    fn the_nearest_centre_of_any_number_of_rows_and_directions() {
        for (outputs, width, count) in [(1, 1, 1), (15, 3, 6), (16, 5, 7), (40, 7, 13), (150, 9, 5)] {
            let directions: Vec<Vec<f64>> =
                (0..outputs).map(|o| (0..width).map(|w| (o * 3 + w * 5 % 7) as f64).collect()).collect();
            let values: Vec<f32> = (0..count * width).map(|at| (at % 11) as f32 - 2.0).collect();
            let centres: Vec<Vec<f32>> =
                [1.0, -4.0].map(|centre| (0..outputs).map(|o| centre * o as f32).collect()).to_vec();
            let rows = MatrixView::new("rows", &values, width).unwrap();
            let found = nearest(&by_columns(&directions), &centres, rows);
            assert_eq!(found.len(), count);
            for (found, row) in found.iter().zip(values.chunks_exact(width)) {
                let along =
                    |weights: &Vec<f64>| weights.iter().zip(row).map(|(w, r)| w * f64::from(*r)).sum();
                let along: Vec<f64> = directions.iter().map(along).collect();
                let distance = |centre: &Vec<f32>| {
                    along.iter().zip(centre).map(|(a, c)| (a - f64::from(*c)).powi(2)).sum::<f64>()
                };
                let expected = centres.iter().map(distance).fold(f64::MAX, f64::min);
                assert!((found - expected).abs() <= 1e-6 * expected, "{found} {expected}");
            }
        }
    }

    #[test]
    fn a_total_is_a_sum() {
        assert_eq!(total([1.0, 2.0, 4.0, 8.0]), 15.0);
        assert_eq!(total([3.0]), 3.0);
    }
}
