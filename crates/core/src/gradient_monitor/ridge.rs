//! Ridge regression of many outputs at once.

/// Strength of the regression's penalty, in records.
const RIDGE: f64 = 10.0;

/// `(gram + ridge)^-1 cross`, by Cholesky: gram [width, width], cross [width, outputs].
#[inline(always)]
pub fn ridge(gram: &[f64], cross: &[f64], width: usize) -> Vec<f64> {
    let outputs = cross.len() / width;
    let mut factor = gram.to_vec();
    // Column by column, each taken off all rows below.
    let mut column = vec![0.0; width];
    for i in 0..width {
        let pivot = (factor[i * width + i] + RIDGE).sqrt();
        factor[i * width + i] = pivot;
        for j in i + 1..width {
            factor[j * width + i] /= pivot;
            column[j] = factor[j * width + i];
            let (share, below) = (column[j], &mut factor[j * width..][..width]);
            below[i + 1..=j].iter_mut().zip(&column[i + 1..=j]).for_each(|(v, other)| *v -= share * other);
        }
    }
    let mut weights = cross.to_vec();
    for i in 0..width {
        eliminate(
            &mut weights,
            outputs,
            i,
            (0..i).map(|k| (k, factor[i * width + k])),
            factor[i * width + i],
        );
    }
    for i in (0..width).rev() {
        let below = (i + 1..width).map(|k| (k, factor[k * width + i]));
        eliminate(&mut weights, outputs, i, below, factor[i * width + i]);
    }
    weights
}

/// Row `row` less `share` times other rows, divided by `pivot`.
#[inline(always)]
fn eliminate(
    values: &mut [f64],
    width: usize,
    row: usize,
    others: impl Iterator<Item = (usize, f64)>,
    pivot: f64,
) {
    let (above, rest) = values.split_at_mut(row * width);
    let (own, below) = rest.split_at_mut(width);
    for (other, share) in others {
        let other = if other < row { &above[other * width..] } else { &below[(other - row - 1) * width..] };
        own.iter_mut().zip(&other[..width]).for_each(|(own, other)| *own -= share * other);
    }
    own.iter_mut().for_each(|own| *own /= pivot);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_regression_solves_its_equations() {
        let gram = [4.0, 1.0, 0.5, 1.0, 3.0, 0.2, 0.5, 0.2, 5.0];
        let cross = [1.0, -2.0, 0.0, 3.0, 2.0, 0.5];
        let weights = ridge(&gram, &cross, 3);
        for row in 0..3 {
            for output in 0..2 {
                let product: f64 = (0..3).map(|k| gram[row * 3 + k] * weights[k * 2 + output]).sum();
                let found = product + RIDGE * weights[row * 2 + output];
                assert!((found - cross[row * 2 + output]).abs() < 1e-12);
            }
        }
    }
}
