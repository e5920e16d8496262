//! Mean and spread of numbers, by which they come to a common scale.

/// Mean and standard deviation of `values`, of which there has to be one. A deviation within rounding errors of the values
/// becomes 1: they are constant. How small the values are makes no difference.
pub fn moments(values: &[f32]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    let squares = values.iter().map(|value| (f64::from(*value) - mean).powi(2));
    let deviation = (squares.sum::<f64>() / count).sqrt();
    // No less than the least number of 32 bits, in which the deviation is kept.
    let rounding = mean.abs() * 1e-7 + f64::from(f32::from_bits(1));
    (mean, if deviation <= rounding { 1.0 } else { deviation })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_told_in_every_unit_and_is_1_where_there_is_none() {
        for unit in [1e30_f32, 1.0, 1e-9, 1e-15, 1e-30] {
            let (mean, deviation) = moments(&[unit, 3.0 * unit, 5.0 * unit]);
            let expected = [3.0, (8.0_f64 / 3.0).sqrt()].map(|value| value * f64::from(unit));
            assert!((mean / expected[0] - 1.0).abs() < 1e-6, "{unit}: {mean}");
            assert!((deviation / expected[1] - 1.0).abs() < 1e-6, "{unit}: {deviation}");
            assert_eq!(moments(&[unit; 7]).1, 1.0);
        }
        assert_eq!(moments(&[0.0; 3]), (0.0, 1.0));
        // Below what 32 bits hold to all digits.
        for tiny in [&[1e-40_f32, 3e-40][..], &[0.0, 0.0, 0.0, 1e-38]] {
            assert!(moments(tiny).1 < 1e-37, "{tiny:?}");
        }
        // One last digit of a large number is no spread.
        assert_eq!(moments(&[1e9, 1e9 + 64.0]).1, 1.0);
    }
}
