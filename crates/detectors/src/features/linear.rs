//! Eigenvectors of small symmetric matrices, and means and covariances of features.

use crate::rows::Values;

/// Sweeps after which rotations stop, converged or not; ten are usual.
const SWEEPS: usize = 60;

/// Eigenvalues, ascending, and as many rows of eigenvectors, of the symmetric `matrix` [n, n]; by Jacobi rotations
/// (Golub and Van Loan, *Matrix Computations*, section 8.5).
pub fn eigen(mut matrix: Vec<f64>, n: usize) -> (Vec<f64>, Vec<Vec<f64>>) {
    let mut vectors: Vec<f64> = (0..n * n).map(|at| if at / n == at % n { 1.0 } else { 0.0 }).collect();
    let size: f64 = matrix.iter().map(|value| value * value).sum();
    for _ in 0..SWEEPS {
        let off: f64 = (0..n * n).filter(|at| at / n != at % n).map(|at| matrix[at] * matrix[at]).sum();
        if off <= size * 1e-26 {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut matrix, &mut vectors, n, (p, q));
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| matrix[a * n + a].total_cmp(&matrix[b * n + b]));
    let values = order.iter().map(|at| matrix[at * n + at]).collect();
    (values, order.iter().map(|at| vectors[at * n..][..n].to_vec()).collect())
}

/// Makes element (p, q) zero. `vectors` holds eigenvectors as rows.
fn rotate(matrix: &mut [f64], vectors: &mut [f64], n: usize, (p, q): (usize, usize)) {
    let off = matrix[p * n + q];
    if off == 0.0 {
        return;
    }
    let theta = (matrix[q * n + q] - matrix[p * n + p]) / (2.0 * off);
    let tangent = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
    let sine = tangent * cosine;
    for k in 0..n {
        let (a, b) = (matrix[k * n + p], matrix[k * n + q]);
        (matrix[k * n + p], matrix[k * n + q]) = (cosine * a - sine * b, sine * a + cosine * b);
    }
    for k in 0..n {
        let (a, b) = (matrix[p * n + k], matrix[q * n + k]);
        (matrix[p * n + k], matrix[q * n + k]) = (cosine * a - sine * b, sine * a + cosine * b);
        let (a, b) = (vectors[p * n + k], vectors[q * n + k]);
        (vectors[p * n + k], vectors[q * n + k]) = (cosine * a - sine * b, sine * a + cosine * b);
    }
}

/// Means of groups of rows, `group(row)` each: [groups, width]; the mean of all rows for a group without rows.
pub fn means(rows: Values<'_>, groups: usize, group: impl Fn(usize) -> usize) -> Vec<Vec<f64>> {
    let mut sums = vec![vec![0.0; rows.width()]; groups + 1];
    let mut counts = vec![0.0_f64; groups + 1];
    for (at, row) in rows.iter().enumerate() {
        for to in [group(at), groups] {
            counts[to] += 1.0;
            sums[to].iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        }
    }
    let all = sums[groups].clone();
    let mean = |at: usize| {
        let (sum, count) =
            if counts[at] > 0.0 { (&sums[at], counts[at]) } else { (&all, counts[groups].max(1.0)) };
        sum.iter().map(|sum| sum / count).collect()
    };
    (0..groups).map(mean).collect()
}

/// Covariance [width, width] of rows around `center(row)`.
pub fn covariance<'a>(rows: Values<'_>, center: impl Fn(usize) -> &'a [f64]) -> Vec<f64> {
    let width = rows.width();
    let mut sums = vec![0.0; width * width];
    let mut off = vec![0.0; width];
    for (at, row) in rows.iter().enumerate() {
        let pairs = row.iter().zip(center(at));
        off.iter_mut().zip(pairs).for_each(|(off, (value, mean))| *off = f64::from(*value) - mean);
        for (line, one) in sums.chunks_exact_mut(width).zip(&off) {
            line.iter_mut().zip(&off).for_each(|(sum, other)| *sum += one * other);
        }
    }
    let count = rows.rows().max(1) as f64;
    sums.iter_mut().for_each(|sum| *sum /= count);
    sums
}

/// Eigenvectors over the roots of their eigenvalues, to which `ridge` is added: along them covariance is the identity.
pub fn whitened(vectors: &[Vec<f64>], variances: &[f64], ridge: f64) -> Vec<Vec<f64>> {
    let scaled = |(vector, variance): (&Vec<f64>, &f64)| {
        let root = (variance.max(0.0) + ridge).sqrt();
        vector.iter().map(|value| value / root).collect()
    };
    vectors.iter().zip(variances).map(scaled).collect()
}

/// Where `point` lies along each of `directions`.
pub fn along(directions: &[Vec<f64>], point: &[f64]) -> Vec<f32> {
    let place = |row: &Vec<f64>| row.iter().zip(point).map(|(w, c)| w * c).sum::<f64>() as f32;
    directions.iter().map(place).collect()
}

/// Does `work`, compiled for the processor's widest vectors. Inlined into that are closures marked `inline(always)` that
/// give away what they own, so that they can be called once only; of others the compiler makes a call, to code for the
/// oldest processor.
pub fn vectorized<T>(work: impl FnOnce() -> T) -> T {
    pulp::Arch::new().dispatch(work)
}

/// Outputs, and rows, whose sums are in the processor's registers at once.
const LANES: usize = 16;
const GROUP: usize = 6;

/// Squared distances of each of `rows` to the nearest of `centres` along directions: `matrix` holds these by columns,
/// [width, directions].
pub fn nearest(matrix: &[f32], centres: &[Vec<f32>], rows: Values<'_>) -> Vec<f64> {
    pulp::Arch::new().dispatch(Nearest { matrix, centres, rows })
}

struct Nearest<'a> {
    matrix: &'a [f32],
    centres: &'a [Vec<f32>],
    rows: Values<'a>,
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
        let mut measure = |along: &[f32]| {
            for point in along.chunks_exact(outputs) {
                let least =
                    centres.iter().map(|centre| squared_distance(point, centre)).fold(f32::MAX, f32::min);
                scores.push(f64::from(least));
            }
        };
        for group in groups {
            product::<GROUP>(matrix, group, &mut along, fused);
            measure(&along);
        }
        for row in rest {
            product::<1>(matrix, row, &mut along[..outputs], fused);
            measure(&along[..outputs]);
        }
        scores
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

/// The sum of a power of two of values, halves added to halves: in order, each addition would wait for the one before.
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

/// Rows of a matrix as columns, for [`nearest`].
pub fn by_columns(rows: &[Vec<f64>]) -> Vec<f32> {
    let width = rows.first().map_or(0, Vec::len);
    (0..width).flat_map(|column| rows.iter().map(move |row| row[column] as f32)).collect()
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::stream;
    use rand::Rng;

    use super::*;

    #[test]
    fn eigenvectors_give_the_matrix_back() {
        let mut rng = stream(1, "matrix", &[]);
        for n in [1, 2, 7, 33] {
            let draws: Vec<f64> =
                (0..n * n).map(|_| f64::from(rng.next_u32()) / 2_f64.powi(31) - 1.0).collect();
            let matrix: Vec<f64> = (0..n * n).map(|at| draws[at] + draws[at % n * n + at / n]).collect();
            let (values, vectors) = eigen(matrix.clone(), n);
            assert!(values.is_sorted());
            for i in 0..n {
                for j in 0..n {
                    let sum: f64 = (0..n).map(|k| values[k] * vectors[k][i] * vectors[k][j]).sum();
                    assert!((sum - matrix[i * n + j]).abs() < 1e-9);
                    let dot: f64 = (0..n).map(|k| vectors[i][k] * vectors[j][k]).sum();
                    assert!((dot - f64::from(u8::from(i == j))).abs() < 1e-9);
                }
            }
        }
    }

    #[test]
    fn the_nearest_centre_of_any_number_of_rows_and_directions() {
        for (outputs, width, count) in [(1, 1, 1), (15, 3, 6), (16, 5, 7), (40, 7, 13), (150, 9, 5)] {
            let directions: Vec<Vec<f64>> =
                (0..outputs).map(|o| (0..width).map(|w| (o * 3 + w * 5 % 7) as f64).collect()).collect();
            let values: Vec<f32> = (0..count * width).map(|at| (at % 11) as f32 - 2.0).collect();
            let centres: Vec<Vec<f32>> =
                [1.0, -4.0].map(|centre| (0..outputs).map(|o| centre * o as f32).collect()).to_vec();
            let rows = Values::new("rows", &values, width).unwrap();
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

    #[test]
    fn covariance_around_group_means() {
        let values = [0.0, 0.0, 2.0, 2.0, 10.0, 0.0, 12.0, -2.0];
        let rows = Values::new("rows", &values, 2).unwrap();
        let means = means(rows, 3, |row| row / 2);
        assert_eq!(means, [[1.0, 1.0], [11.0, -1.0], [6.0, 0.0]]);
        assert_eq!(covariance(rows, |row| &means[row / 2]), [1.0, 0.0, 0.0, 1.0]);
    }
}
