//! Metrics of predictions and of codes. All on the host, in f64.

use serde::{Deserialize, Serialize};

/// Why a metric is undefined on some records. A number in its place would mislead whoever reads it, and whatever
/// chooses by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Undefined {
    /// There are no records.
    #[error("no records")]
    NoRecords,
    /// All records are of one class: nothing is to be told apart.
    #[error("one class")]
    OneClass,
    /// All records have one value: there is no variance to explain.
    #[error("one value")]
    OneValue,
    /// Predictions are no finite numbers.
    #[error("predictions are not finite")]
    NotFinite,
}

/// Area under the ROC curve of `scores` for `positive`; ties count half.
///
/// # Errors
/// If it is undefined.
pub fn auc(scores: &[f32], positive: &[bool]) -> Result<f64, Undefined> {
    finite(scores)?;
    let positives = positive.iter().filter(|p| **p).count() as f64;
    let negatives = scores.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return Err(Undefined::OneClass);
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let mut rank_sum = 0.0;
    let mut start = 0;
    while start < order.len() {
        let tied = order[start..].iter().take_while(|i| scores[**i] == scores[order[start]]).count();
        let rank = start as f64 + (tied as f64 + 1.0) / 2.0;
        rank_sum += rank * order[start..start + tied].iter().filter(|i| positive[**i]).count() as f64;
        start += tied;
    }
    Ok((rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

/// Share of `predicted` that equal `actual`.
///
/// # Errors
/// If there are no records.
pub fn accuracy(predicted: &[u32], actual: &[u32]) -> Result<f64, Undefined> {
    if actual.is_empty() {
        return Err(Undefined::NoRecords);
    }
    let right = predicted.iter().zip(actual).filter(|(p, a)| p == a).count();
    Ok(right as f64 / actual.len() as f64)
}

/// Coefficient of determination.
///
/// # Errors
/// If it is undefined.
pub fn r2(predicted: &[f32], actual: &[f32]) -> Result<f64, Undefined> {
    finite(predicted)?;
    if actual.iter().all(|value| *value == actual[0]) {
        return Err(Undefined::OneValue);
    }
    let mean = actual.iter().map(|v| f64::from(*v)).sum::<f64>() / actual.len() as f64;
    let total: f64 = actual.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum();
    let left: f64 = predicted.iter().zip(actual).map(|(p, a)| (f64::from(*p) - f64::from(*a)).powi(2)).sum();
    Ok(1.0 - left / total)
}

/// Refuses no values, and such as are not finite.
fn finite(values: &[f32]) -> Result<(), Undefined> {
    if values.is_empty() {
        return Err(Undefined::NoRecords);
    }
    if values.iter().all(|value| value.is_finite()) { Ok(()) } else { Err(Undefined::NotFinite) }
}

/// How balanced and how informative the bits of a code are, over some records.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Balance {
    /// Mean over the bits of |mean of the bit as -1 or +1|: 0 is balanced, 1 constant.
    pub mean_abs_bit_mean: f64,
    /// The largest of them.
    pub max_abs_bit_mean: f64,
    /// Mean of |correlation| over all pairs of bits that both vary; copies of a bit give 1. Absent where no two vary.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mean_abs_correlation: Option<f64>,
}

impl Balance {
    /// Measures row-major `signs` [records, bits] of +1 and -1; `None` for no records.
    pub fn of(signs: &[f32], bits: usize) -> Option<Self> {
        let rows = signs.len() / bits.max(1);
        if rows == 0 {
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
        let (mut correlation, mut pairs) = (0.0, 0_usize);
        for i in 0..bits {
            for j in 0..i {
                let spread = ((1.0 - means[i].powi(2)) * (1.0 - means[j].powi(2))).sqrt();
                if spread > 0.0 {
                    let covariance = products[i * bits + j] / count - means[i] * means[j];
                    correlation += (covariance / spread).abs();
                    pairs += 1;
                }
            }
        }
        Some(Self {
            mean_abs_bit_mean: absolute.clone().sum::<f64>() / bits as f64,
            max_abs_bit_mean: absolute.fold(0.0, f64::max),
            mean_abs_correlation: (pairs > 0).then(|| correlation / pairs as f64),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auc_with_ties_and_known_values() {
        let positive = [false, false, true, true];
        assert_eq!(auc(&[0.1, 0.4, 0.35, 0.8], &positive), Ok(0.75));
        assert_eq!(auc(&[1.0; 4], &positive), Ok(0.5));
        assert_eq!(auc(&[1.0, 2.0, 3.0, 4.0], &positive), Ok(1.0));
    }

    #[test]
    fn r2_and_accuracy() {
        assert_eq!(r2(&[1.0, 2.0], &[1.0, 2.0]), Ok(1.0));
        assert_eq!(r2(&[1.5, 1.5], &[1.0, 2.0]), Ok(0.0));
        assert_eq!(accuracy(&[1, 2, 3, 3], &[1, 2, 0, 3]), Ok(0.75));
    }

    #[test]
    fn what_is_undefined_is_no_number() {
        assert_eq!(auc(&[0.0, 1.0], &[true, true]), Err(Undefined::OneClass));
        assert_eq!(auc(&[0.0, f32::NAN], &[true, false]), Err(Undefined::NotFinite));
        assert_eq!(auc(&[], &[]), Err(Undefined::NoRecords));
        assert_eq!(accuracy(&[], &[]), Err(Undefined::NoRecords));
        // In sums of squares, 0.1 would have a variance of its own rounding.
        assert_eq!(r2(&[1.0, 2.0, 3.0], &[0.1; 3]), Err(Undefined::OneValue));
        assert_eq!(r2(&[f32::INFINITY, 2.0], &[1.0, 2.0]), Err(Undefined::NotFinite));
        assert_eq!(r2(&[], &[]), Err(Undefined::NoRecords));
    }

    #[test]
    fn balance_sees_constants_and_copies() {
        let copies = Balance::of(&[1.0, 1.0, -1.0, -1.0], 2).unwrap();
        assert_eq!((copies.mean_abs_bit_mean, copies.mean_abs_correlation), (0.0, Some(1.0)));
        let free = Balance::of(&[1.0, 1.0, -1.0, -1.0, 1.0, -1.0, -1.0, 1.0], 2).unwrap();
        assert_eq!((free.max_abs_bit_mean, free.mean_abs_correlation), (0.0, Some(0.0)));
        let constant = Balance::of(&[1.0, 1.0, 1.0, -1.0], 2).unwrap();
        assert_eq!((constant.max_abs_bit_mean, constant.mean_abs_correlation), (1.0, None));
        assert_eq!(Balance::of(&[1.0, -1.0], 1).unwrap().mean_abs_correlation, None, "one bit has no pair");
        assert_eq!(Balance::of(&[], 2), None, "no records are not balanced");
    }
}
