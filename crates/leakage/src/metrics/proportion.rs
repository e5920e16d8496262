//! Intervals of fractions: score intervals (Wilson 1927), and of differences and means of fractions by the distance of each
//! fraction from the ends of its own interval (Newcombe 1998; Zou and Donner 2008, "Construction of confidence limits about
//! effect measures"). They hold where few or none of the records were guessed right, and where all were: there a bootstrap
//! gives an interval of no width.

use super::Estimate;
use super::error::mean;

/// Standard deviations to either side of a 95 % interval.
pub(crate) const REACH: f64 = 1.959_963_984_540_054;

/// Mean of `values` from 0 to 1, one of each record: mostly 0 or 1. Of none it is not a number.
pub fn of(values: &[f64]) -> Estimate {
    interval(mean(values), values.len() as f64)
}

/// The interval of a fraction of `count` records.
fn interval(value: f64, count: f64) -> Estimate {
    let squared = REACH * REACH;
    let centre = (value + squared / (2.0 * count)) / (1.0 + squared / count);
    let variance = value * (1.0 - value) / count + squared / (4.0 * count * count);
    let reach = REACH * variance.max(0.0).sqrt() / (1.0 + squared / count);
    Estimate { value, low: (centre - reach).clamp(0.0, value), high: (centre + reach).clamp(value, 1.0) }
}

/// Mean of `values` less the mean of `other`, of the same records.
pub fn gain(values: &[f64], other: &[f64]) -> Estimate {
    assert_eq!(values.len(), other.len(), "figures of other records");
    let (one, two) = (of(values), of(other));
    let related = correlation(values, other);
    let (below, above) = (one.value - one.low, one.high - one.value);
    let (other_below, other_above) = (two.value - two.low, two.high - two.value);
    let reach = |a: f64, b: f64| (a * a - 2.0 * related * a * b + b * b).max(0.0).sqrt();
    let value = one.value - two.value;
    Estimate { value, low: value - reach(below, other_above), high: value + reach(above, other_below) }
}

/// Mean of `estimates`, each of records of its own.
pub fn mean_of(estimates: &[Estimate]) -> Estimate {
    let count = estimates.len() as f64;
    let value = estimates.iter().map(|each| each.value).sum::<f64>() / count;
    let below = estimates.iter().map(|each| (each.value - each.low).powi(2)).sum::<f64>().sqrt() / count;
    let above = estimates.iter().map(|each| (each.high - each.value).powi(2)).sum::<f64>().sqrt() / count;
    Estimate { value, low: value - below, high: value + above }
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut both, mut of_a, mut of_b) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        both += (a - mean_a) * (b - mean_b);
        of_a += (a - mean_a).powi(2);
        of_b += (b - mean_b).powi(2);
    }
    if of_a * of_b > 0.0 { both / (of_a * of_b).sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_known_fractions() {
        // By R: prop.test(81, 263, correct = FALSE).
        let values: Vec<f64> = (0..263).map(|row| f64::from(u8::from(row < 81))).collect();
        let found = of(&values);
        assert!((found.low - 0.2553).abs() < 1e-4 && (found.high - 0.3662).abs() < 1e-4, "{found:?}");
        let none = of(&[0.0; 20]);
        assert!(none.low == 0.0 && (none.high - 0.1611).abs() < 1e-4, "{none:?}");
    }

    #[test]
    fn equal_guesses_gain_nothing_and_pairs_narrow_the_interval() {
        let one: Vec<f64> = (0..100).map(|row| f64::from(u8::from(row < 60))).collect();
        let two: Vec<f64> = (0..100).map(|row| f64::from(u8::from(row < 50))).collect();
        let found = gain(&one, &two);
        assert!(found.low > 0.0 && (found.value - 0.1).abs() < 1e-12, "{found:?}");
        let apart: Vec<f64> = two.iter().rev().copied().collect();
        assert!(gain(&one, &apart).low < 0.0);
        assert_eq!(gain(&one, &one).value, 0.0);
    }
}
