//! Mutual scoring: rows of an unlabelled batch score each other by Hamming distance. Nothing is trained.
//!
//! Source: Li et al., *MuSc: Zero-shot industrial anomaly classification and segmentation with mutual scoring of the
//! unlabeled images* (ICLR 2024). A normal row finds many rows like it in the batch, a strange row few; its
//! score is the mean distance to the nearest of the other rows. Here on codes.

use hashvfl_core::random::{shuffle, stream};

use crate::codes::Codes;
use crate::codes::nearest::{distances_to, mean_of_least};
use crate::numerics::vectors::vectorized;

/// The most rows of the batch that others are compared with.
const COMPARED: usize = 2048;
/// The fraction of compared rows whose distances count: the nearest rows. A class of a twentieth of the rows still finds
/// its like.
const NEAREST: f64 = 0.05;

/// A score per row of a batch: the mean Hamming distance to the nearest twentieth of the other rows, of which at most 2,048
/// are compared, drawn from `seed`. All scores are 0 for fewer than two rows.
pub fn mutual_scores(codes: &Codes, seed: u64) -> Vec<f64> {
    let mut compared: Vec<u32> = (0..codes.rows() as u32).collect();
    if compared.len() > COMPARED {
        shuffle(&mut compared, &mut stream(seed, "mutual scoring", &[]));
        compared.truncate(COMPARED);
    }
    let mut place = vec![None; codes.rows()];
    compared.iter().enumerate().for_each(|(at, row)| place[*row as usize] = Some(at));
    let references = codes.gather(&compared);
    let scores = Vec::with_capacity(codes.rows());
    vectorized(
        #[inline(always)]
        move || {
            let (mut scores, mut distances) = (scores, Vec::new());
            for (row, place) in place.iter().enumerate() {
                distances_to(codes.row(row), references.words(), &mut distances);
                // A row is not compared with itself.
                if let Some(own) = place {
                    distances.swap_remove(*own);
                }
                let nearest = (NEAREST * distances.len() as f64).ceil() as usize;
                scores.push(mean_of_least(&distances, nearest.max(1)));
            }
            scores
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_unlike_the_others_stands_out() {
        let mut signs = vec![1.0; 50 * 8];
        signs[200..400].fill(-1.0);
        signs[8 * 7..][..3].fill(-1.0);
        let codes = Codes::of_values(&[&signs], 50).unwrap();
        let scores = mutual_scores(&codes, 0);
        let most = scores.iter().copied().fold(0.0, f64::max);
        assert_eq!((scores[7], most), (3.0, 3.0));
        assert_eq!(scores.iter().filter(|score| **score == 0.0).count(), 49);
        assert_eq!(mutual_scores(&codes.gather(&[0]), 0), [0.0]);
    }

    #[test]
    fn compared_rows_are_drawn_from_large_batches() {
        let codes = Codes::of_values(&[&vec![1.0; 3000]], 3000).unwrap();
        assert!(mutual_scores(&codes, 1).iter().all(|score| *score == 0.0));
    }
}
