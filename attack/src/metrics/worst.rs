//! The records whose privacy is worst: an average hides the few that are given away.

use crate::report::Estimate;

/// The fractions of records that "worst 1 %" and "worst 5 %" speak of.
pub const HUNDREDTH: f64 = 0.01;
/// The greater of these.
pub const TWENTIETH: f64 = 0.05;

/// Error that the attack leaves on the best reconstructed `fraction` of records, from 0.
///
/// A record's scaled error is its squared error over the reference predictor's MSE on all targets: 0 is
/// perfect, 1 is what the reference leaves on an average record. The figure is the mean of the
/// `ceil(fraction * rows)` smallest scaled errors. Records near the mean are easy without any code, so only the
/// comparison with the same figure of the no-code baseline says what codes give away. Not a number without
/// records or if the reference makes no error.
pub fn worst_fraction(errors: &[f64], reference: &[f64], fraction: f64) -> f64 {
    assert_eq!(errors.len(), reference.len(), "the reference scored other records");
    let scale = hashvfl_leakage::metrics::error::mean(reference);
    if errors.is_empty() || scale <= 0.0 {
        return f64::NAN;
    }
    let count = ((fraction * errors.len() as f64).ceil() as usize).clamp(1, errors.len());
    let mut errors = errors.to_vec();
    errors.select_nth_unstable_by(count - 1, f64::total_cmp);
    hashvfl_leakage::metrics::error::mean(&errors[..count]) / scale
}

/// Standard deviations to either side of a 95 % interval, of the number of records below the error that so few have; the mean of
/// the errors below varies more than that error itself, by about a half in variance.
const REACH: f64 = 1.96 * 1.26;

/// The same with its interval: between the figures of as many fewer and more records as chance may put among the best
/// reconstructed. A bootstrap of so few records is too narrow.
pub fn interval(errors: &[f64], reference: &[f64], fraction: f64) -> Estimate {
    let count = (fraction * errors.len() as f64).ceil().max(1.0);
    let figure = |count: f64| worst_fraction(errors, reference, count / errors.len() as f64);
    let (few, many) = (count - REACH * count.sqrt(), count + REACH * count.sqrt());
    let value = worst_fraction(errors, reference, fraction);
    let low = if few < 1.0 { 0.0 } else { figure(few.floor()) };
    Estimate { value, low: low.min(value), high: figure(many.ceil()).max(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_errors_over_the_mean_reference() {
        let errors: Vec<f64> = (0..200).rev().map(f64::from).collect();
        let reference = vec![10.0; 200];
        // Two records of 200: errors 0 and 1. Ten: 0 to 9.
        assert_eq!(worst_fraction(&errors, &reference, HUNDREDTH), 0.05);
        assert_eq!(worst_fraction(&errors, &reference, TWENTIETH), 0.45);
        assert_eq!(worst_fraction(&errors[..1], &reference[..1], HUNDREDTH), 19.9);
        assert_eq!(worst_fraction(&errors, &reference, 1.0), 9.95);
        assert!(worst_fraction(&[], &[], HUNDREDTH).is_nan());
        assert!(worst_fraction(&[1.0], &[0.0], HUNDREDTH).is_nan());
        let found = interval(&errors, &reference, TWENTIETH);
        assert!(found.low < 0.45 && found.value == 0.45 && found.high > 0.45, "{found:?}");
    }
}
