//! Ratios of sums over records with their intervals: skill, and mean errors.
//!
//! Errors are skewed: most of them are small, and a few records hold most of their sum. If by chance too few of those were drawn, the
//! ratio and the spread of its resamples are both too small, so a bootstrap's interval says too much of a column that codes tell of
//! nearly all records. These intervals are normal ones of the ratio's logarithm, by the delta method, with quantiles of Student's t
//! in place of the normal ones. Its degrees of freedom follow from the fourth powers of what each record adds (Satterthwaite
//! 1946): as many as records where errors are normal, and few where few records count.

use super::Estimate;
use super::proportion::REACH;

/// Skill from the squared errors of an attack and of a reference predictor on the same records. Its interval is for 95 %.
pub fn skill(errors: &[f64], reference: &[f64]) -> Estimate {
    let left = ratio(errors, reference);
    Estimate { value: 1.0 - left.value, low: 1.0 - left.high, high: 1.0 - left.low }
}

/// Mean of `errors`, none of which is below 0.
pub fn mean(errors: &[f64]) -> Estimate {
    ratio(errors, &vec![1.0; errors.len()])
}

/// Skill of an attack less the skill of `other`, paired by record.
pub fn skill_gain(errors: &[f64], other: &[f64], reference: &[f64]) -> Estimate {
    assert_eq!(errors.len(), other.len(), "errors of other records");
    let whole = sum(errors, reference);
    let value = (other.iter().sum::<f64>() - errors.iter().sum::<f64>()) / whole;
    let pairs = errors.iter().zip(other).zip(reference);
    let added = pairs.map(|((error, other), reference)| (other - error - value * reference) / whole);
    let reach = reach(added);
    Estimate { value, low: value - reach, high: value + reach }
}

/// The sum of `part` over that of `whole`; not a number where the latter is 0.
fn ratio(part: &[f64], whole: &[f64]) -> Estimate {
    let all = sum(part, whole);
    let value = part.iter().sum::<f64>() / all;
    if value == 0.0 {
        return Estimate { value, low: value, high: value };
    }
    let added = part.iter().zip(whole).map(|(part, whole)| (part - value * whole) / all);
    let factor = (reach(added) / value).exp();
    Estimate { value, low: value / factor, high: value * factor }
}

/// The sum of `whole`, a figure for each record of `part`; not a number where it is 0.
fn sum(part: &[f64], whole: &[f64]) -> f64 {
    assert_eq!(part.len(), whole.len(), "the reference scored other records");
    let sum = whole.iter().sum::<f64>();
    if sum > 0.0 { sum } else { f64::NAN }
}

/// How far a 95 % interval reaches to either side of a figure to which each record has `added` that much, about 0.
fn reach(added: impl Iterator<Item = f64>) -> f64 {
    let (mut squares, mut fourths, mut records) = (0.0, 0.0, 0.0);
    for added in added {
        squares += added * added;
        fourths += added.powi(4);
        records += 1.0;
    }
    let spread = fourths - squares * squares / records;
    let degrees = if spread > 0.0 { 2.0 * squares * squares / spread } else { f64::INFINITY };
    students_t(degrees) * squares.sqrt()
}

/// The 97.5th percentile of Student's t, by its expansion about the normal one (Abramowitz and Stegun 1964, 26.7.5), which is
/// within 4 % from two degrees of freedom on; of fewer, that of two.
fn students_t(degrees: f64) -> f64 {
    let (z, one) = (REACH, 1.0 / degrees.max(2.0));
    let terms = [
        (z.powi(3) + z) / 4.0,
        (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0,
        (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0,
    ];
    z + one * (terms[0] + one * (terms[1] + one * terms[2]))
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::{stream, uniform};
    use rand::rngs::ChaCha8Rng;

    use super::*;
    use crate::metrics::{Bootstrap, error};

    fn unit(rng: &mut ChaCha8Rng) -> f64 {
        f64::from(uniform(rng))
    }

    #[test]
    fn quantiles_of_students_t() {
        for (degrees, expected, within) in [
            (2.0, 4.303, 0.14),
            (3.0, 3.182, 0.03),
            (5.0, 2.571, 0.005),
            (10.0, 2.228, 1e-3),
            (30.0, 2.042, 1e-3),
            (f64::INFINITY, 1.960, 1e-3),
        ] {
            let found = students_t(degrees);
            assert!((found - expected).abs() < within, "{degrees}: {found}");
        }
        assert_eq!(students_t(0.5), students_t(2.0));
    }

    /// Of errors that are not skewed, the interval is that of a bootstrap.
    #[test]
    fn of_even_errors_it_is_the_bootstraps() {
        let mut rng = stream(3, "ratio test", &[]);
        let reference: Vec<f64> = (0..800).map(|_| unit(&mut rng)).collect();
        let errors: Vec<f64> = reference.iter().map(|r| r * unit(&mut rng)).collect();
        let sum = |rows: &[usize], values: &[f64]| rows.iter().map(|row| values[*row]).sum::<f64>();
        let bootstrap = Bootstrap::new(1);
        let near = |found: Estimate, expected: Estimate| {
            let apart = [found.value - expected.value, found.low - expected.low, found.high - expected.high];
            assert!(apart.iter().all(|apart| apart.abs() < 0.01), "{found:?} {expected:?}");
        };
        let drawn = bootstrap.estimate(800, |rows| 1.0 - sum(rows, &errors) / sum(rows, &reference));
        near(skill(&errors, &reference), drawn);
        assert_eq!(skill(&errors, &reference).value, error::skill(&errors, &reference));
        near(mean(&errors), bootstrap.mean(&errors));
        let other: Vec<f64> = reference.iter().map(|r| r * unit(&mut rng)).collect();
        let gain = |rows: &[usize]| (sum(rows, &other) - sum(rows, &errors)) / sum(rows, &reference);
        near(skill_gain(&errors, &other, &reference), bootstrap.estimate(800, gain));
    }

    #[test]
    fn pairs_narrow_the_interval_of_a_difference() {
        let mut rng = stream(5, "ratio test", &[]);
        let reference: Vec<f64> = (0..500).map(|_| 1.0 + 9.0 * unit(&mut rng)).collect();
        let other: Vec<f64> = reference.iter().map(|r| 0.8 * r * unit(&mut rng)).collect();
        let errors: Vec<f64> = other.iter().map(|o| 0.9 * o).collect();
        let (one, two) = (skill(&errors, &reference), skill(&other, &reference));
        let gain = skill_gain(&errors, &other, &reference);
        assert!((gain.value - (one.value - two.value)).abs() < 1e-12);
        assert!(gain.low > 0.0 && one.low < two.high, "{gain:?} {one:?} {two:?}");
        let none = skill_gain(&errors, &errors, &reference);
        assert_eq!((none.value, none.low, none.high), (0.0, 0.0, 0.0));
    }

    /// Two of two hundred records hold nearly all of the error: five may as well.
    #[test]
    fn few_records_that_count_say_little() {
        let errors: Vec<f64> = (0..200).map(|record| if record < 2 { 10.0 } else { 0.001 }).collect();
        let found = skill(&errors, &[1.0; 200]);
        assert!((found.value - 0.899).abs() < 1e-3 && found.low < 0.5 && found.high < 1.0, "{found:?}");
    }

    #[test]
    fn what_has_no_figure_is_no_number() {
        assert!(mean(&[]).low.is_nan() && skill(&[1.0], &[0.0]).high.is_nan());
        assert!(skill_gain(&[1.0], &[1.0], &[0.0]).value.is_nan());
        assert_eq!(skill(&[0.0; 3], &[1.0; 3]), Estimate { value: 1.0, low: 1.0, high: 1.0 });
        // One record says nothing of others.
        let one = skill(&[0.3], &[1.0]);
        assert!(one.low == one.value && one.value == one.high, "{one:?}");
    }
}
