//! Labels without a single known one: how common each class is names what records show by themselves.
//!
//! - **clusters** of the directions of gradients, or of codes, as many as there are classes (Liu, Lyu, Cui and Tao 2022,
//!   "Similarity-based label inference attack against training and inference of split learning", where a labelled record of each
//!   class names them): here the largest is taken for the most common class, and so on. Of several starts the one whose sizes
//!   are most nearly those of the classes is kept (Kariyappa and Qureshi 2023, "ExPLoit: extracting private labels in split
//!   learning", hold guessed labels to the fractions of classes as well);
//! - **lengths** of gradients (Li et al. 2022, "Label leakage and protection in two-party split learning"): a model is less sure
//!   of the rarer of two classes, so its gradients are longer.
//!
//! Which is which of classes that are as common as one another stays open.

use hashvfl_core::random::{shuffle, stream};

use crate::attacks::inference::clusters::{cosine, k_means, nearest, norm};

/// Starts of the clusters.
const STARTS: u64 = 4;
/// Records that clusters are made of at most.
const MOST_RECORDS: usize = 1000;

/// Scores [records, classes] of `records` by clusters, whose sizes and the `fractions` of classes name them.
pub fn by_clusters(records: &[Vec<f32>], fractions: &[f64], seed: u64) -> Vec<f64> {
    let mut order: Vec<u32> = (0..records.len() as u32).collect();
    shuffle(&mut order, &mut stream(seed, "records of clusters", &[]));
    let some: Vec<Vec<f32>> =
        order.iter().take(MOST_RECORDS).map(|row| records[*row as usize].clone()).collect();
    let mut best: Option<(f64, Vec<Vec<f32>>)> = None;
    for start in 0..STARTS {
        let means = by_class(k_means(&some, fractions.len(), seed.wrapping_add(start)), &some, fractions);
        let apart: f64 = sizes(&some, &means).iter().zip(fractions).map(|(size, of)| (size - of).abs()).sum();
        if best.as_ref().is_none_or(|(least, _)| apart < *least) {
            best = Some((apart, means));
        }
    }
    let means = best.map(|(_, means)| means).unwrap_or_default();
    records.iter().flat_map(|values| means.iter().map(|mean| cosine(values, mean))).collect()
}

/// The same of two classes by the length of gradients: the rarer class has the longer ones.
pub fn by_lengths(records: &[Vec<f32>], fractions: &[f64]) -> Vec<f64> {
    let sign = if fractions[1] <= fractions[0] { 1.0 } else { -1.0 };
    records.iter().flat_map(|values| [0.0, f64::from(sign * norm(values))]).collect()
}

/// `means` in the order of the classes that their sizes name.
fn by_class(means: Vec<Vec<f32>>, records: &[Vec<f32>], fractions: &[f64]) -> Vec<Vec<f32>> {
    let (clusters, classes) = (falling(&sizes(records, &means)), falling(fractions));
    let mut named = means.clone();
    for (cluster, class) in clusters.into_iter().zip(classes) {
        named[class] = means[cluster].clone();
    }
    named
}

/// Places of `values`, that of the greatest first.
fn falling(values: &[f64]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..values.len()).collect();
    places.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
    places
}

/// The fraction of `records` in each cluster.
fn sizes(records: &[Vec<f32>], means: &[Vec<f32>]) -> Vec<f64> {
    let mut sizes = vec![0.0; means.len()];
    for values in records {
        sizes[nearest(values, means)] += 1.0 / records.len() as f64;
    }
    sizes
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::uniform;

    use super::*;
    use crate::metrics::label;

    const FRACTIONS: [f64; 3] = [0.15, 0.55, 0.3];

    /// Classes of records as common as [`FRACTIONS`] say, and for each a direction of its own under noise; the rarest is longest.
    fn world(records: usize) -> (Vec<u32>, Vec<Vec<f32>>) {
        let mut rng = stream(5, "unlabelled test", &[]);
        let (mut classes, mut gradients) = (Vec::new(), Vec::new());
        for record in 0..records {
            let place = (record as f64 + 0.5) / records as f64;
            let class = if place < 0.15 { 0 } else { u32::from(place < 0.7) + 2 * u32::from(place >= 0.7) };
            let mut values: Vec<f32> = (0..6).map(|_| 0.3 * (uniform(&mut rng) - 0.5)).collect();
            values[2 * class as usize] += if class == 0 { 2.0 } else { 1.0 };
            classes.push(class);
            gradients.push(values);
        }
        (classes, gradients)
    }

    fn right(classes: &[u32], scores: &[f64]) -> f64 {
        let best = |row: &[f64]| (0..3).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap() as u32;
        let guess: Vec<u32> = scores.chunks_exact(3).map(best).collect();
        label::hits(classes, &guess).iter().sum::<f64>() / classes.len() as f64
    }

    #[test]
    fn classes_are_named_by_how_common_they_are_and_not_those_of_others() {
        let (mut classes, gradients) = world(400);
        let scores = by_clusters(&gradients, &FRACTIONS, 3);
        assert!(right(&classes, &scores) > 0.98, "{}", right(&classes, &scores));
        // Chance is the sum of the squares of the fractions.
        shuffle(&mut classes, &mut stream(6, "unlabelled test", &[]));
        assert!((right(&classes, &scores) - 0.415).abs() < 0.1, "{}", right(&classes, &scores));
    }

    #[test]
    fn the_rarer_of_two_classes_has_the_longer_gradients_whichever_it_is() {
        let (classes, gradients) = world(400);
        for rarer in [0, 1] {
            let positive: Vec<bool> = classes.iter().map(|class| (*class == 0) == (rarer == 1)).collect();
            let fractions = if rarer == 1 { [0.85, 0.15] } else { [0.15, 0.85] };
            let margins = |scores: Vec<f64>| -> Vec<f64> {
                scores.chunks_exact(2).map(|row| row[1] - row[0]).collect()
            };
            let found = label::auc(&positive, &margins(by_lengths(&gradients, &fractions)));
            assert!(found.is_some_and(|found| found > 0.98), "{found:?}");
        }
    }
}
