//! Metrics of predictions and of codes. All on the host, in f64.

use serde::{Deserialize, Serialize};

/// The area under the ROC curve of `scores` for `positive`, 0 to 1: how often a positive record scores above a negative one,
/// ties counted half (Hanley and McNeil 1982). `None` where one class is absent.
pub fn auc<S: Copy + PartialEq + Into<f64>>(scores: &[S], positive: &[bool]) -> Option<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|a, b| scores[*a].into().total_cmp(&scores[*b].into()));
    let positives = positive.iter().filter(|p| **p).count() as f64;
    let negatives = scores.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    let mut rank_sum = 0.0;
    let mut start = 0;
    while start < order.len() {
        let tied = order[start..].iter().take_while(|i| scores[**i] == scores[order[start]]).count().max(1);
        let rank = start as f64 + (tied as f64 + 1.0) / 2.0;
        rank_sum += rank * order[start..start + tied].iter().filter(|i| positive[**i]).count() as f64;
        start += tied;
    }
    Some((rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

/// The macro AUC of row-major `logits` [records, classes], 0 to 1: the plain mean over classes of each class's [`auc`] against all
/// others, by the probability of the class. `None` where a class is absent from the records, or is all of them.
///
/// Source: averages of areas over classes are of Hand and Till, *A simple generalisation of the area under the ROC curve for multiple
/// class classification problems* (Machine Learning 45, 2001), who compare classes in pairs. One class against the rest is
/// scikit-learn's `roc_auc_score(multi_class="ovr", average="macro")`.
pub fn macro_auc(logits: &[f32], actual: &[u32], classes: usize) -> Option<f64> {
    let mut present = vec![false; classes];
    actual.iter().for_each(|class| present[*class as usize] = true);
    if classes == 0 || present.contains(&false) {
        return None;
    }
    let odds = log_odds(logits, classes);
    let mut sum = 0.0;
    for class in 0..classes {
        let scores: Vec<f32> = odds.iter().skip(class).step_by(classes).copied().collect();
        let positive: Vec<bool> = actual.iter().map(|own| *own as usize == class).collect();
        sum += auc(&scores, &positive)?;
    }
    Some(sum / classes as f64)
}

/// The logarithm of each class's odds against all others, from row-major `logits` [records, classes]. It orders records as the
/// probability does, also those whose probabilities would all be rounded to 1.
fn log_odds(logits: &[f32], classes: usize) -> Vec<f32> {
    let mut odds = Vec::with_capacity(logits.len());
    for record in logits.chunks_exact(classes) {
        let larger = |best: usize, at: usize| if record[at] > record[best] { at } else { best };
        let likeliest = (0..classes).fold(0, larger);
        let above = |class: usize| f64::from(record[class]) - f64::from(record[likeliest]);
        // Exponentials of all but the likeliest class, whose own is 1.
        let others: f64 =
            (0..classes).filter(|class| *class != likeliest).map(|class| above(class).exp()).sum();
        for class in 0..classes {
            let rest = if class == likeliest { others } else { 1.0 + others - above(class).exp() };
            odds.push((above(class) - rest.ln()) as f32);
        }
    }
    odds
}

/// Share of `predicted` that equal `actual`; 0 for no rows.
pub fn accuracy(predicted: &[u32], actual: &[u32]) -> f64 {
    let right = predicted.iter().zip(actual).filter(|(p, a)| p == a).count();
    right as f64 / actual.len().max(1) as f64
}

/// Coefficient of determination; `None` where `actual` does not vary.
pub fn r2(predicted: &[f32], actual: &[f32]) -> Option<f64> {
    let mean = actual.iter().map(|v| f64::from(*v)).sum::<f64>() / actual.len().max(1) as f64;
    let total: f64 = actual.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum();
    let left: f64 = predicted.iter().zip(actual).map(|(p, a)| f64::from(p - a).powi(2)).sum();
    (total > 0.0).then(|| 1.0 - left / total)
}

/// How balanced and how informative the bits of a code are, over some records.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Balance {
    /// Mean over the bits of |mean of the bit as -1 or +1|: 0 is balanced, 1 constant.
    pub mean_abs_bit_mean: f64,
    /// The largest of them.
    pub max_abs_bit_mean: f64,
    /// Mean of |correlation| over the pairs of bits that both vary; copies of a bit give 1. `None` where there is no such pair: a
    /// constant bit correlates with nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_abs_correlation: Option<f64>,
}

impl Balance {
    /// Measures row-major `signs` [records, bits] of +1 and -1; `None` where there is no record, or no bit.
    pub fn of(signs: &[f32], bits: usize) -> Option<Self> {
        let rows = signs.len() / bits.max(1);
        if rows == 0 || bits == 0 {
            return None;
        }
        let mut sums = vec![0.0_f64; bits];
        let mut products = vec![0.0_f64; bits * bits];
        for row in signs.chunks_exact(bits) {
            for (i, a) in row.iter().enumerate() {
                sums[i] += f64::from(*a);
                for (j, b) in row[..i].iter().enumerate() {
                    products[i * bits + j] += f64::from(a * b);
                }
            }
        }
        let count = rows as f64;
        let means: Vec<f64> = sums.iter().map(|sum| sum / count).collect();
        let absolute = means.iter().map(|mean| mean.abs());
        let (mut correlation, mut pairs) = (0.0, 0_u32);
        for i in 0..bits {
            for j in 0..i {
                let spread = ((1.0 - means[i].powi(2)) * (1.0 - means[j].powi(2))).sqrt();
                let covariance = products[i * bits + j] / count - means[i] * means[j];
                if spread > 0.0 {
                    correlation += (covariance / spread).abs();
                    pairs += 1;
                }
            }
        }
        Some(Self {
            mean_abs_bit_mean: absolute.clone().sum::<f64>() / bits as f64,
            max_abs_bit_mean: absolute.fold(0.0, f64::max),
            mean_abs_correlation: (pairs > 0).then(|| correlation / f64::from(pairs)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auc_with_ties_and_known_values() {
        let positive = [false, false, true, true];
        assert_eq!(auc(&[0.1, 0.4, 0.35, 0.8], &positive), Some(0.75));
        assert_eq!(auc(&[1.0; 4], &positive), Some(0.5));
        assert_eq!(auc(&[0.0, 1.0], &[true, true]), None);
        assert_eq!(auc(&[1.0, 2.0, 3.0, 4.0], &positive), Some(1.0));
    }

    #[test]
    fn a_macro_auc_by_hand_with_ties() {
        // Class 0: its record is above all others, 1. Class 1: two ties and one above it, 1/3. Class 2: of four pairs one is right,
        // two are ties and one is wrong, 1/2.
        let logits = [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        let found = macro_auc(&logits, &[0, 1, 2, 2], 3).unwrap();
        assert!((found - 11.0 / 18.0).abs() < 1e-12, "{found}");
        assert_eq!(macro_auc(&[0.5; 12], &[0, 1, 2, 2], 3), Some(0.5), "nothing but ties");
    }

    #[test]
    fn a_macro_auc_of_all_right_and_of_all_wrong() {
        // By its logit alone, the first record would stand above the second in class 0 too.
        let right = [5.0, 9.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 3.0];
        assert_eq!(macro_auc(&right, &[1, 0, 2], 3), Some(1.0));
        let wrong = [0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0];
        assert_eq!(macro_auc(&wrong, &[0, 1, 2], 3), Some(0.0));
    }

    #[test]
    fn probabilities_that_are_rounded_to_1_are_no_ties() {
        let logits = [100.0, 0.0, 0.0, 90.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(macro_auc(&logits, &[0, 1, 2], 3), Some(2.5 / 3.0));
    }

    #[test]
    fn a_macro_auc_is_undefined_where_a_class_is_absent_or_is_all() {
        let logits = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        assert_eq!(macro_auc(&logits, &[0, 1, 1], 3), None, "the third class is absent");
        assert_eq!(macro_auc(&logits, &[1, 1, 1], 3), None, "the second class is all");
        assert_eq!(macro_auc(&[1.0, 2.0], &[0, 0], 1), None, "the only class is all");
        assert_eq!((macro_auc(&[], &[], 3), macro_auc(&[], &[], 0)), (None, None));
    }

    #[test]
    fn of_two_classes_it_is_their_auc() {
        let logits = [0.5, 1.0, 2.0, -1.0, 0.0, 0.25, 1.0, 3.0, -2.0, 0.5];
        let scores: Vec<f32> = logits.chunks_exact(2).map(|pair: &[f32]| pair[1] - pair[0]).collect();
        let actual = [1, 0, 0, 1, 0];
        let found = macro_auc(&logits, &actual, 2).unwrap();
        assert!((found - auc(&scores, &actual.map(|class| class == 1)).unwrap()).abs() < 1e-12, "{found}");
        assert!(found > 0.5 && found < 1.0, "{found}");
    }

    #[test]
    fn r2_and_accuracy() {
        assert_eq!(r2(&[1.0, 2.0], &[1.0, 2.0]), Some(1.0));
        assert_eq!(r2(&[1.5, 1.5], &[1.0, 2.0]), Some(0.0));
        assert_eq!(r2(&[1.5, 1.5], &[2.0, 2.0]), None);
        assert_eq!(accuracy(&[1, 2, 3, 3], &[1, 2, 0, 3]), 0.75);
    }

    #[test]
    fn balance_sees_constants_and_copies() {
        let copies = Balance::of(&[1.0, 1.0, -1.0, -1.0], 2).unwrap();
        assert_eq!((copies.mean_abs_bit_mean, copies.mean_abs_correlation), (0.0, Some(1.0)));
        let free = Balance::of(&[1.0, 1.0, -1.0, -1.0, 1.0, -1.0, -1.0, 1.0], 2).unwrap();
        assert_eq!((free.max_abs_bit_mean, free.mean_abs_correlation), (0.0, Some(0.0)));
        let constant = Balance::of(&[1.0, 1.0, 1.0, -1.0], 2).unwrap();
        assert_eq!(constant.max_abs_bit_mean, 1.0);
    }

    #[test]
    fn what_is_undefined_is_no_figure() {
        assert_eq!(Balance::of(&[], 2), None, "no record");
        let constant = Balance::of(&[1.0, 1.0, 1.0, -1.0], 2).unwrap();
        assert_eq!(constant.mean_abs_correlation, None, "a bit that never varies");
        assert_eq!(Balance::of(&[1.0, -1.0], 1).unwrap().mean_abs_correlation, None, "no pair");
        // Beside a constant bit, the pairs that vary count: two copies.
        let third = Balance::of(&[1.0, 1.0, 1.0, -1.0, -1.0, 1.0], 3).unwrap();
        assert_eq!(third.mean_abs_correlation, Some(1.0));
        let text = serde_json::to_string(&constant).unwrap();
        assert!(!text.contains("correlation"), "{text}");
        assert_eq!(serde_json::from_str::<Balance>(&text).unwrap(), constant);
    }
}
