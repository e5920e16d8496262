//! Clusters of directions: k-means by cosine (Lloyd 1982).

use hashvfl_core::random::{shuffle, stream};

/// Rounds of k-means.
const ROUNDS: usize = 20;

/// Length of a vector.
pub fn norm(values: &[f32]) -> f32 {
    values.iter().map(|v| v * v).sum::<f32>().sqrt()
}

/// Cosine of the angle between two vectors.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
    f64::from(dot / (norm(a) * norm(b)).max(1e-20))
}

/// Place of the mean that points most like `values`.
pub fn nearest(values: &[f32], means: &[Vec<f32>]) -> usize {
    let near = |mean: &Vec<f32>| cosine(values, mean);
    (0..means.len()).max_by(|a, b| near(&means[*a]).total_cmp(&near(&means[*b]))).unwrap_or(0)
}

/// Means of `count` clusters by cosine, each start as far from the others as can be.
pub fn k_means(records: &[Vec<f32>], count: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut order: Vec<u32> = (0..records.len() as u32).collect();
    shuffle(&mut order, &mut stream(seed, "clusters", &[]));
    let mut means: Vec<Vec<f32>> =
        order.first().map(|row| records[*row as usize].clone()).into_iter().collect();
    while !means.is_empty() && means.len() < count {
        let near = |row: &u32| {
            let values = &records[*row as usize];
            cosine(values, &means[nearest(values, &means)])
        };
        // A few hundred records tell where there is no cluster yet.
        let farthest = order.iter().take(500).min_by(|a, b| near(a).total_cmp(&near(b)));
        means.extend(farthest.map(|row| records[*row as usize].clone()));
    }
    for _ in 0..ROUNDS {
        let mut sums = vec![vec![0.0; records.first().map_or(0, Vec::len)]; means.len()];
        for values in records {
            let sum = &mut sums[nearest(values, &means)];
            sum.iter_mut().zip(values).for_each(|(sum, v)| *sum += v);
        }
        means = sums;
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_are_found() {
        let records: Vec<Vec<f32>> = (0..60)
            .map(|row| {
                let near = (row / 3) as f32 * 0.01;
                [vec![1.0, near, 0.0], vec![-1.0, near, 0.1], vec![0.0, near, -1.0]][row % 3].clone()
            })
            .collect();
        let means = k_means(&records, 3, 7);
        let places: Vec<usize> = records.iter().map(|values| nearest(values, &means)).collect();
        assert!(places.iter().zip(&places[3..]).all(|(a, b)| a == b), "{places:?}");
        assert!(places[0] != places[1] && places[1] != places[2] && places[0] != places[2]);
    }
}
