//! Means, covariances and eigenvectors of small symmetric matrices.

use crate::values::MatrixView;

/// Sweeps after which rotations stop, converged or not; ten are usual.
const SWEEPS: usize = 60;

/// The eigenvalues of the symmetric `matrix` [n, n], ascending, and as many rows of eigenvectors, by Jacobi rotations
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
                rotate(&mut matrix, &mut vectors, n, p, q);
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| matrix[a * n + a].total_cmp(&matrix[b * n + b]));
    let values = order.iter().map(|at| matrix[at * n + at]).collect();
    (values, order.iter().map(|at| vectors[at * n..][..n].to_vec()).collect())
}

/// Makes element (p, q) zero. `vectors` holds eigenvectors as rows.
fn rotate(matrix: &mut [f64], vectors: &mut [f64], n: usize, p: usize, q: usize) {
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

/// The means of groups of rows, where `group(row)` names each row's group: [groups, width]. A group without rows gets the
/// mean of all rows.
pub fn means(rows: MatrixView<'_>, groups: usize, group: impl Fn(usize) -> usize) -> Vec<Vec<f64>> {
    let mut sums = vec![vec![0.0; rows.width()]; groups + 1];
    let mut counts = vec![0.0_f64; groups + 1];
    for (at, row) in rows.iter().enumerate() {
        for to in [group(at), groups] {
            counts[to] += 1.0;
            sums[to].iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        }
    }
    let mut means = Vec::with_capacity(groups);
    for at in 0..groups {
        let from = if counts[at] > 0.0 { at } else { groups };
        let count = counts[from].max(1.0);
        means.push(sums[from].iter().map(|sum| sum / count).collect());
    }
    means
}

/// The covariance [width, width] of rows around `center(row)`.
pub fn covariance<'a>(rows: MatrixView<'_>, center: impl Fn(usize) -> &'a [f64]) -> Vec<f64> {
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

/// Eigenvectors over the roots of their eigenvalues, to which `ridge` is added: along them the covariance is the identity.
pub fn whitened(vectors: &[Vec<f64>], variances: &[f64], ridge: f64) -> Vec<Vec<f64>> {
    let mut scaled = Vec::with_capacity(vectors.len());
    for (vector, variance) in vectors.iter().zip(variances) {
        let root = (variance.max(0.0) + ridge).sqrt();
        scaled.push(vector.iter().map(|value| value / root).collect());
    }
    scaled
}

/// Where `point` lies along each of `directions`.
pub fn along(directions: &[Vec<f64>], point: &[f64]) -> Vec<f32> {
    directions.iter().map(|direction| dot(direction, point) as f32).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The rows of a matrix as columns, for [`super::vectors::nearest`].
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
    fn covariance_around_group_means() {
        let values = [0.0, 0.0, 2.0, 2.0, 10.0, 0.0, 12.0, -2.0];
        let rows = MatrixView::new("rows", &values, 2).unwrap();
        let means = means(rows, 3, |row| row / 2);
        assert_eq!(means, [[1.0, 1.0], [11.0, -1.0], [6.0, 0.0]]);
        assert_eq!(covariance(rows, |row| &means[row / 2]), [1.0, 0.0, 0.0, 1.0]);
    }
}
