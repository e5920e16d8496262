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
