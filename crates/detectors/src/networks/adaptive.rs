//! What a batch of unlabelled rows has more of than normal rows have: the batch is part of what is learned from.
//!
//! Source: Marandon, Lei, Mary and Roquain, *Adaptive novelty detection with false discovery rate guarantee* (Annals of
//! Statistics 2024): a score learned from one sample of normal rows against calibration rows and the batch mixed is
//! symmetric in these two, so calibration rows tell p-values of the batch. A code that is common among normal rows is
//! strange where it is much more common in the batch. On codes, by logistic regression on a small network, as in
//! [`super::DensityRatio`].

use hashvfl_core::random::{below, stream};

use super::by_bits::ByBits;
use super::train::{batches, halves_gradient, network};
use crate::codes::{Codes, signs};
use crate::error::DetectorError;
use crate::limits::MIN_ROWS;

/// Updates of the weights: more learn single rows by heart.
const UPDATES: u64 = 1_000;
/// Hidden units.
const HIDDEN: usize = 64;

/// The logarithm, up to a constant, of how much likelier each of `together` is there than among `normal` codes.
///
/// # Errors
/// If there are too few of either, or their lengths differ.
pub fn adaptive_scores(normal: &Codes, together: &Codes, seed: u64) -> Result<Vec<f64>, DetectorError> {
    together.check_lengths(normal.lengths())?;
    [normal, together]
        .iter()
        .try_for_each(|codes| DetectorError::rows("adaptive", MIN_ROWS, codes.rows()))?;
    let bits = normal.bits();
    let mut network = network(&[bits, HIDDEN, 1], seed, "adaptive");
    let mut rng = stream(seed, "adaptive normal rows", &[]);
    batches(together.rows(), UPDATES, seed, |rows, rate| {
        let mixed = rows.iter().flat_map(|row| signs(together, *row as usize, 0..bits));
        let mut input: Vec<f32> = mixed.collect();
        rows.iter().for_each(|_| input.extend(signs(normal, below(&mut rng, normal.rows()), 0..bits)));
        network.learn(&input, rate, |output| halves_gradient(output, 1.0));
    });
    Ok(ByBits::<HIDDEN>::of(&network).forward(together))
}
