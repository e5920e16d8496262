//! Intervals of the area under the ROC curve.
//!
//! Near 1 few pairs are out of order, and by chance none: resamples of what was drawn then lie too near to it, and so does DeLong's
//! variance (DeLong, DeLong and Clarke-Pearson 1988). So the interval is a score interval: it holds each area from which the found
//! one is as near as chance puts it for that area, by the variance of Newcombe (2006, "Confidence intervals for an effect size
//! measure based on the Mann-Whitney statistic", method 5), after Hanley and McNeil (1982). Their model has scores that spread
//! alike in both classes. Where DeLong's variance is larger than theirs, theirs counts as many times.

use super::label::auc;
use crate::report::Estimate;

/// Standard deviations to either side of a 95 % interval.
const REACH: f64 = 1.96;
/// Halvings until an end is found.
const HALVINGS: usize = 60;

/// Area under the ROC curve with its interval; not a number without both classes.
pub fn area(positive: &[bool], scores: &[f64]) -> Estimate {
    let Some(value) = auc(positive, scores) else {
        return Estimate { value: f64::NAN, low: f64::NAN, high: f64::NAN };
    };
    if scores.iter().all(|score| *score == scores[0]) {
        // Whoever says the same of all has a half, whatever is drawn.
        return Estimate { value, low: value, high: value };
    }
    let of = |wanted: bool| -> Vec<f64> {
        scores.iter().zip(positive).filter(|(_, is)| **is == wanted).map(|(score, _)| *score).collect()
    };
    let (positives, negatives) = (of(true), of(false));
    let (m, n) = (positives.len() as f64, negatives.len() as f64);
    // Within 0 and 1, where the model's variance is 0.
    let within = (value * m * n + 0.5) / (m * n + 1.0);
    let found = spread(&positives, &negatives) + spread(&negatives, &positives);
    let wider = (found / variance(within, m, n)).max(1.0);
    let is_near = |area: f64| (value - area).abs() <= REACH * (wider * variance(area, m, n)).sqrt();
    Estimate { value, low: end(value, 0.0, &is_near), high: end(value, 1.0, &is_near) }
}

/// The last place from `inside` towards `outside` that is near.
fn end(mut inside: f64, mut outside: f64, is_near: &dyn Fn(f64) -> bool) -> f64 {
    for _ in 0..HALVINGS {
        let middle = (inside + outside) / 2.0;
        if is_near(middle) {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    inside
}

/// Variance of an area that is `area`, of `m` and `n` records.
fn variance(area: f64, m: f64, n: f64) -> f64 {
    let others = (m + n) / 2.0 - 1.0;
    let shared = (1.0 - area) / (2.0 - area) + area / (1.0 + area);
    area * (1.0 - area) * (1.0 + others * shared) / (m * n)
}

/// DeLong's variance of the mean place of records `of` one class `among` those of the other; 0 of a single record.
fn spread(of: &[f64], among: &[f64]) -> f64 {
    let mut among = among.to_vec();
    among.sort_unstable_by(f64::total_cmp);
    let place = |score: &f64| {
        let (below, upto) =
            (among.partition_point(|other| other < score), among.partition_point(|other| other <= score));
        (below + upto) as f64 / (2 * among.len()) as f64
    };
    let places: Vec<f64> = of.iter().map(place).collect();
    let count = places.len() as f64;
    let mean = places.iter().sum::<f64>() / count;
    let squares: f64 = places.iter().map(|place| (place - mean).powi(2)).sum();
    squares / (count * (count - 1.0).max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(positives: &[f64], negatives: &[f64]) -> Estimate {
        let positive: Vec<bool> =
            (0..positives.len() + negatives.len()).map(|at| at < positives.len()).collect();
        area(&positive, &[positives, negatives].concat())
    }

    /// `m` records above all of `n`.
    fn apart(m: u32, n: u32) -> Estimate {
        let scores = |from: u32, count: u32| (from..from + count).map(f64::from).collect::<Vec<_>>();
        of(&scores(n, m), &scores(0, n))
    }

    #[test]
    fn ends_by_hand() {
        assert_eq!(spread(&[0.35, 0.8], &[0.1, 0.4]), 0.0625);
        assert_eq!(spread(&[0.4], &[0.1, 0.4]), 0.0);
        // Theta where 1 - theta is 1.96 standard errors.
        for (found, low) in [(apart(10, 10), 0.800_207), (apart(88, 312), 0.985_852)] {
            assert!(found.value == 1.0 && found.high == 1.0 && (found.low - low).abs() < 1e-6, "{found:?}");
        }
        let opposite = of(&[0.0, 1.0], &[2.0, 3.0, 4.0]);
        assert!(opposite.value == 0.0 && opposite.low == 0.0 && opposite.high > 0.4, "{opposite:?}");
        let chance = of(&[0.0, 1.0, 2.0, 3.0], &[0.0, 1.0, 2.0, 3.0]);
        assert!((chance.low + chance.high - 1.0).abs() < 1e-9 && chance.low < 0.2, "{chance:?}");
        assert_eq!(of(&[1.0; 50], &[1.0; 50]), Estimate { value: 0.5, low: 0.5, high: 0.5 });
    }

    #[test]
    fn classes_of_two_kinds_widen_the_interval() {
        // Half of the positive records lie above all others, half among them.
        let negatives: Vec<f64> = (0..400).map(f64::from).collect();
        let mixed: Vec<f64> =
            (0..20).map(|at| if at % 2 == 0 { 500.0 } else { f64::from(at) * 20.0 }).collect();
        // The same area of records that lie alike.
        let mean = of(&mixed, &negatives).value * 400.0;
        let alike: Vec<f64> = (0..20).map(|at| mean + 4.0 * f64::from(at) - 38.5).collect();
        let (wide, narrow) = (of(&mixed, &negatives), of(&alike, &negatives));
        assert!((wide.value - narrow.value).abs() < 0.01, "{wide:?} {narrow:?}");
        assert!(wide.high - wide.low > 1.1 * (narrow.high - narrow.low), "{wide:?} {narrow:?}");
    }

    #[test]
    fn one_class_has_no_area() {
        assert!(of(&[1.0, 2.0], &[]).value.is_nan() && of(&[], &[]).low.is_nan());
    }
}
