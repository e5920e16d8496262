//! What a batch of unlabelled rows has more of than normal rows have: a network learns from the batch itself.
//!
//! Source: Marandon, Lei, Mary and Roquain, *Adaptive novelty detection with false discovery rate guarantee* (Annals of
//! Statistics 2024). A score that tells one sample of normal rows from calibration rows mixed with the batch treats these two
//! alike, so calibration rows give p-values of the batch. A code that is common among normal rows is strange where it is
//! much more common in the batch. Here on codes, by logistic regression on a small network, as in
//! [`crate::coordinator::DensityRatio`].

use hashvfl_core::random::{below, stream};

use crate::codes::{Codes, signs};
use crate::error::DetectorError;
use crate::limits::MIN_ROWS;
use crate::networks::by_bits::ByBits;
use crate::networks::train::{batches, halves_gradient, network};

/// Updates of the weights: more learn single rows by heart.
const UPDATES: u64 = 1_000;
/// Hidden units.
const HIDDEN: usize = 64;

/// The logarithm, up to a constant, of how much likelier each code of `together` is there than among `normal` codes.
///
/// # Errors
/// If there are fewer than [`MIN_ROWS`] of either, or their lengths differ.
pub fn adaptive_scores(normal: &Codes, together: &Codes, seed: u64) -> Result<Vec<f64>, DetectorError> {
    together.check_lengths(normal.lengths())?;
    DetectorError::rows("adaptive", MIN_ROWS, normal.rows())?;
    DetectorError::rows("adaptive", MIN_ROWS, together.rows())?;
    let bits = normal.bits();
    let mut network = network(&[bits, HIDDEN, 1], seed, "adaptive");
    let mut rng = stream(seed, "adaptive normal rows", &[]);
    batches(together.rows(), UPDATES, seed, |rows, rate| {
        let mut input: Vec<f32> =
            rows.iter().flat_map(|row| signs(together, *row as usize, 0..bits)).collect();
        rows.iter().for_each(|_| input.extend(signs(normal, below(&mut rng, normal.rows()), 0..bits)));
        network.learn(&input, rate, |output| halves_gradient(output, 1.0));
    });
    Ok(ByBits::<HIDDEN>::of(&network).forward(together))
}
