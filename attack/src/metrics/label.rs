//! Labels: accuracy against the most common class, and the area under the ROC curve.

/// 1 for each label guessed right, 0 for the others: `[rows]`. Its mean is the accuracy.
pub fn hits(truth: &[u32], guess: &[u32]) -> Vec<f64> {
    assert_eq!(truth.len(), guess.len(), "truth and guess differ in size");
    truth.iter().zip(guess).map(|(t, g)| f64::from(u8::from(t == g))).collect()
}

/// The most common class of auxiliary `labels`, the smaller number in a tie: the guess of an adversary who
/// sees nothing.
pub fn majority(labels: &[u32]) -> Option<u32> {
    let mut counts = std::collections::BTreeMap::<u32, usize>::new();
    for label in labels {
        *counts.entry(*label).or_default() += 1;
    }
    counts
        .into_iter()
        .max_by_key(|(label, count)| (*count, std::cmp::Reverse(*label)))
        .map(|(label, _)| label)
}

/// Area under the ROC curve, 0 to 1: how often a positive record scores above a negative one, ties counted
/// half (Hanley and McNeil 1982). None without both kinds.
pub fn auc(positive: &[bool], scores: &[f64]) -> Option<f64> {
    assert_eq!(positive.len(), scores.len(), "labels and scores differ in number");
    hashvfl_learning::metrics::auc(scores, positive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracy_and_its_baseline() {
        assert_eq!(hits(&[0, 1, 2], &[0, 2, 2]), [1.0, 0.0, 1.0]);
        assert_eq!(majority(&[3, 1, 1, 3, 0]), Some(1));
        assert_eq!(majority(&[]), None);
    }

    #[test]
    fn area_by_hand() {
        let positive = [false, false, true, true];
        // The example of scikit-learn's roc_auc_score.
        assert_eq!(auc(&positive, &[0.1, 0.4, 0.35, 0.8]), Some(0.75));
        assert_eq!(auc(&positive, &[0.0, 0.1, 0.2, 0.3]), Some(1.0));
        assert_eq!(auc(&positive, &[0.5; 4]), Some(0.5));
        assert_eq!(auc(&positive, &[0.1, 0.3, 0.3, 0.3]), Some(0.75));
        assert_eq!(auc(&[true, true], &[0.1, 0.3]), None);
    }
}
