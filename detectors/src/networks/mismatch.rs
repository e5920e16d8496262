//! Whether the parties' codes belong to one record, told by a network that saw normal codes and re-paired normal codes.
//!
//! Source: the density ratio as an outlier score, Hido et al., *Statistical outlier detection using direct density ratio
//! estimation* (Knowl. Inf. Syst. 2011), by logistic regression as in Gutmann and Hyvärinen, *Noise-contrastive
//! estimation* (AISTATS 2010). It measures what HashVFL's disagreement between parties is about: how much likelier a
//! party's code is beside the other codes of its record than by itself. A code that is common by itself and does not
//! fit the others is seen; one that is rare everywhere need not be.
//!
//! Training draws from normal rows alone: in half of a batch, the code of one party is that of another normal row.

use std::sync::OnceLock;

use hashvfl_core::random::{below, stream};
use hashvfl_learning::Network;
use serde::{Deserialize, Serialize};

use super::by_bits::ByBits;
use super::train::{batches, halves_gradient, network, stored};
use crate::codes::signs;
use crate::error::DetectorError;
use crate::limits::MAX_TOTAL_BITS;
use crate::rows::Seen;
use crate::{Detector, Score};

/// Updates of the weights.
const UPDATES: u64 = 6_000;
/// Hidden units.
const HIDDEN: usize = 64;
/// Rows that it is fitted on, at least.
const ROWS: usize = 64;

/// The logarithm of how much likelier the codes are re-paired than of one record.
#[derive(Serialize, Deserialize)]
pub struct Mismatch {
    lengths: Vec<usize>,
    #[serde(with = "stored")]
    network: Network,
    /// Made when the first rows are scored.
    #[serde(skip)]
    tables: OnceLock<Box<ByBits<HIDDEN>>>,
}

impl Mismatch {
    /// Refuses stored parts that do not fit together.
    pub fn check(&self) -> Result<(), DetectorError> {
        let bits = self.lengths.iter().try_fold(0_usize, |sum, bits| sum.checked_add(*bits));
        let fits =
            bits.is_some_and(|bits| bits <= MAX_TOTAL_BITS && *self.network.sizes() == [bits, HIDDEN, 1]);
        DetectorError::stored(fits, "a network on codes")
    }
}

impl Detector<Seen<'_>> for Mismatch {
    fn fit(normal: &Seen<'_>, seed: u64) -> Result<Self, DetectorError> {
        let codes = normal.codes;
        DetectorError::rows("a network on codes", ROWS, codes.rows())?;
        let (bits, lengths) = (codes.bits(), codes.lengths().to_vec());
        let starts: Vec<usize> = (0..lengths.len()).map(|party| lengths[..party].iter().sum()).collect();
        let mut network = network(&[bits, HIDDEN, 1], seed, "mismatch");
        let mut rng = stream(seed, "mismatch pairs", &[]);
        batches(codes.rows(), UPDATES, seed, |rows, rate| {
            let mut input: Vec<f32> =
                rows.iter().flat_map(|row| signs(codes, *row as usize, 0..bits)).collect();
            for row in rows {
                let start = input.len();
                input.extend(signs(codes, *row as usize, 0..bits));
                let (party, other) = (below(&mut rng, lengths.len()), below(&mut rng, codes.rows()));
                let range = starts[party]..starts[party] + lengths[party];
                let place = start + range.start..start + range.end;
                input[place].iter_mut().zip(signs(codes, other, range)).for_each(|(to, sign)| *to = sign);
            }
            network.learn(&input, rate, |output| halves_gradient(output, 0.0));
        });
        Ok(Self { lengths, network, tables: OnceLock::new() })
    }
}

impl Score<Seen<'_>> for Mismatch {
    fn score(&self, rows: &Seen<'_>) -> Result<Vec<f64>, DetectorError> {
        rows.codes.check_lengths(&self.lengths)?;
        Ok(self.tables.get_or_init(|| Box::new(ByBits::of(&self.network))).forward(rows.codes))
    }
}
