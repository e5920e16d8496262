//! Whether codes are likelier to have come about in some other way than from one normal record: a network that tells
//! normal codes from codes of which one party's was replaced.
//!
//! Source: the density ratio as an outlier score, Hido et al., *Statistical outlier detection using direct density ratio
//! estimation* (Knowl. Inf. Syst. 2011), by logistic regression as in Gutmann and Hyvärinen, *Noise-contrastive
//! estimation* (AISTATS 2010). In half of a batch, one party's code is replaced, by that
//!
//! - of another normal row: the codes do not go together, which is what HashVFL's disagreement between parties is about;
//! - of an input drawn evenly over the ranges of the party's columns, where there are such codes ([`crate::Beside`]). What
//!   is rare must be rare beside some measure, and Steinwart, Hush and Scovel (*A classification framework for anomaly
//!   detection*, JMLR 2005) take the even one over the inputs. Counting codes is no stand-in: a bottom model may give most
//!   of its inputs' box one code that many records have, too;
//! - of random bits, now and then: where neither ever lies, the score is high as well.

use std::sync::OnceLock;

use hashvfl_core::random::{below, stream};
use hashvfl_learning::Network;
use serde::{Deserialize, Serialize};

use super::by_bits::ByBits;
use super::train::{BATCH, batches, halves_gradient, network, stored};
use crate::codes::{Codes, signs};
use crate::error::DetectorError;
use crate::limits::MAX_TOTAL_BITS;
use crate::rows::CoordinatorRows;
use crate::{Detector, Score};

/// Passes over the rows, and the fewest and most updates of the weights: more passes over few rows learn them by heart.
const PASSES: usize = 48;
const UPDATES: [usize; 2] = [500, 6_000];
/// Hidden units.
const HIDDEN: usize = 128;
/// Of replaced codes, so many are those of other rows, of synthetic inputs and of random bits.
const SHARES: [usize; 3] = [9, 9, 2];
/// Rows that it is fitted on, at least.
const ROWS: usize = 64;

/// The logarithm of how much likelier the codes are with one party's replaced than of one record.
#[derive(Serialize, Deserialize)]
pub struct DensityRatio {
    lengths: Vec<usize>,
    #[serde(with = "stored")]
    network: Network,
    /// Made when the first rows are scored.
    #[serde(skip)]
    tables: OnceLock<Box<ByBits<HIDDEN>>>,
}

impl DensityRatio {
    /// Refuses stored parts that do not fit together.
    pub fn check(&self) -> Result<(), DetectorError> {
        let bits = self.lengths.iter().try_fold(0_usize, |sum, bits| sum.checked_add(*bits));
        let fits =
            bits.is_some_and(|bits| bits <= MAX_TOTAL_BITS && *self.network.sizes() == [bits, HIDDEN, 1]);
        DetectorError::stored(fits, "a network on codes")
    }

    /// Fits it on normal codes and, where there are any, codes of synthetic inputs.
    ///
    /// # Errors
    /// If there are too few, or their lengths differ.
    pub fn beside(codes: &Codes, synthetic: Option<&Codes>, seed: u64) -> Result<Self, DetectorError> {
        DetectorError::rows("a network on codes", ROWS, codes.rows())?;
        synthetic.map_or(Ok(()), |synthetic| synthetic.check_lengths(codes.lengths()))?;
        let (bits, lengths) = (codes.bits(), codes.lengths().to_vec());
        let starts: Vec<usize> = (0..lengths.len()).map(|party| lengths[..party].iter().sum()).collect();
        let synthetic = synthetic.filter(|synthetic| synthetic.rows() > 0);
        let [paired, even, random] = SHARES;
        let shares = paired + if synthetic.is_some() { even } else { 0 } + random;
        let mut network = network(&[bits, HIDDEN, 1], seed, "mismatch");
        let mut rng = stream(seed, "mismatch pairs", &[]);
        let updates = (PASSES * codes.rows() / BATCH).clamp(UPDATES[0], UPDATES[1]);
        batches(codes.rows(), updates as u64, seed, |rows, rate| {
            let mut input: Vec<f32> =
                rows.iter().flat_map(|row| signs(codes, *row as usize, 0..bits)).collect();
            for row in rows {
                let start = input.len();
                input.extend(signs(codes, *row as usize, 0..bits));
                let party = below(&mut rng, lengths.len());
                let range = starts[party]..starts[party] + lengths[party];
                let place = &mut input[start + range.start..start + range.end];
                let other = match (below(&mut rng, shares), synthetic) {
                    (way, _) if way < paired => Some(codes),
                    (way, Some(synthetic)) if way < paired + even => Some(synthetic),
                    _ => None,
                };
                match other {
                    Some(codes) => {
                        let row = below(&mut rng, codes.rows());
                        place.iter_mut().zip(signs(codes, row, range)).for_each(|(to, sign)| *to = sign);
                    }
                    None => place.iter_mut().for_each(|to| *to = [-1.0, 1.0][below(&mut rng, 2)]),
                }
            }
            network.learn(&input, rate, |output| halves_gradient(output, 0.0));
        });
        Ok(Self { lengths, network, tables: OnceLock::new() })
    }
}

impl Detector<CoordinatorRows<'_>> for DensityRatio {
    fn fit(normal: &CoordinatorRows<'_>, seed: u64) -> Result<Self, DetectorError> {
        Self::beside(normal.codes, None, seed)
    }
}

impl Score<CoordinatorRows<'_>> for DensityRatio {
    fn score(&self, rows: &CoordinatorRows<'_>) -> Result<Vec<f64>, DetectorError> {
        rows.codes.check_lengths(&self.lengths)?;
        Ok(self.tables.get_or_init(|| Box::new(ByBits::of(&self.network))).forward(rows.codes))
    }
}
