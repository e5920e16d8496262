//! Whether codes are likelier to have another origin than one normal record: a network that tells normal codes from codes in
//! which one party's was replaced.
//!
//! Source: the density ratio as an outlier score, Hido et al., *Statistical outlier detection using direct density ratio
//! estimation* (Knowl. Inf. Syst. 2011), by logistic regression as in Gutmann and Hyvärinen, *Noise-contrastive
//! estimation* (AISTATS 2010). In half of a batch, one party's code is replaced by one of these:
//!
//! - The code of another normal row. The codes then do not go together, as in HashVFL's disagreement between parties.
//! - The code of a synthetic input, drawn evenly over the ranges of the party's columns
//!   ([`CoordinatorNormal::synthetic`]). What is rare must be rare beside some measure, and Steinwart, Hush and Scovel
//!   (*A classification framework for anomaly detection*, JMLR 2005) take the even measure over the inputs. Counting codes
//!   cannot replace it: a bottom model may give most of its inputs' box a code that many records have, too.
//! - Random bits, now and then, so that the score is also high where neither of the two ever lies.

use std::sync::OnceLock;

use hashvfl_core::random::{below, stream};
use hashvfl_learning::Network;
use rand::rngs::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{CoordinatorNormal, CoordinatorRows};
use crate::codes::{self, Codes, signs, starts, total_bits};
use crate::detector::{Detector, Input, Needs};
use crate::error::DetectorError;
use crate::limits::{MAX_TOTAL_BITS, MIN_ROWS};
use crate::networks::by_bits::ByBits;
use crate::networks::train::{BATCH, batches, halves_gradient, network};
use crate::networks::weights;

/// Passes over the rows, and the fewest and most updates of the weights: more passes over few rows learn them by heart.
const PASSES: usize = 48;
const UPDATES: [usize; 2] = [500, 6_000];
/// Hidden units.
const HIDDEN: usize = 128;
/// How replaced codes are shared out: codes of other rows, codes of synthetic inputs, random bits.
const SHARES: [usize; 3] = [9, 9, 2];

/// The logarithm of how much likelier the codes are with one party's code replaced than from one record.
#[derive(Serialize, Deserialize)]
pub struct DensityRatio {
    lengths: Vec<usize>,
    #[serde(with = "weights")]
    network: Network,
    /// Made when the first rows are scored.
    #[serde(skip)]
    tables: OnceLock<Box<ByBits<HIDDEN>>>,
}

impl Detector for DensityRatio {
    type Normal<'a> = CoordinatorNormal<'a>;
    type Observations<'a> = CoordinatorRows<'a>;
    const NAME: &'static str = "density-ratio";
    const NEEDS: Needs = Needs { input: Input::Codes, rows: MIN_ROWS };

    fn fit(normal: &CoordinatorNormal<'_>, seed: u64) -> Result<Self, DetectorError> {
        let codes = normal.rows.codes;
        if let Some(synthetic) = normal.synthetic {
            synthetic.check_lengths(codes.lengths())?;
        }
        let (bits, lengths) = (codes.bits(), codes.lengths().to_vec());
        let synthetic = normal.synthetic.filter(|synthetic| synthetic.rows() > 0);
        let mut replacement = Replacement {
            codes,
            synthetic,
            starts: starts(&lengths),
            // The names of the streams stay, for a run to give the same detector again.
            rng: stream(seed, "mismatch pairs", &[]),
        };
        let mut network = network(&[bits, HIDDEN, 1], seed, "mismatch");
        let updates = (PASSES * codes.rows() / BATCH).clamp(UPDATES[0], UPDATES[1]);
        batches(codes.rows(), updates as u64, seed, |rows, rate| {
            let mut input: Vec<f32> =
                rows.iter().flat_map(|row| signs(codes, *row as usize, 0..bits)).collect();
            for row in rows {
                let start = input.len();
                input.extend(signs(codes, *row as usize, 0..bits));
                replacement.replace_one_party(&mut input[start..]);
            }
            network.learn(&input, rate, |output| halves_gradient(output, 0.0));
        });
        Ok(Self { lengths, network, tables: OnceLock::new() })
    }

    fn score(&self, rows: &CoordinatorRows<'_>) -> Result<Vec<f64>, DetectorError> {
        rows.codes.check_lengths(&self.lengths)?;
        Ok(self.tables.get_or_init(|| Box::new(ByBits::of(&self.network))).forward(rows.codes))
    }

    fn check(&self) -> Result<(), DetectorError> {
        let bits = total_bits(&self.lengths);
        let fits = bits <= MAX_TOTAL_BITS && *self.network.sizes() == [bits, HIDDEN, 1];
        DetectorError::stored(fits, "a network on codes")
    }
}

/// Where replaced codes come from.
struct Replacement<'a> {
    codes: &'a Codes,
    /// At least one row.
    synthetic: Option<&'a Codes>,
    /// The first bit of each party.
    starts: Vec<usize>,
    rng: ChaCha8Rng,
}

impl<'a> Replacement<'a> {
    /// Replaces the code of a drawn party in a record's `signs`, which are those of all parties.
    fn replace_one_party(&mut self, signs: &mut [f32]) {
        let lengths = self.codes.lengths();
        let party = below(&mut self.rng, lengths.len());
        let range = self.starts[party]..self.starts[party] + lengths[party];
        let place = &mut signs[range.clone()];
        match self.source() {
            Some(codes) => {
                let row = below(&mut self.rng, codes.rows());
                place.iter_mut().zip(codes::signs(codes, row, range)).for_each(|(to, sign)| *to = sign);
            }
            None => place.iter_mut().for_each(|to| *to = [-1.0, 1.0][below(&mut self.rng, 2)]),
        }
    }

    /// The codes that the next replacement is drawn from; `None` for random bits.
    fn source(&mut self) -> Option<&'a Codes> {
        let [other_rows, synthetic, random] = SHARES;
        let shares = other_rows + if self.synthetic.is_some() { synthetic } else { 0 } + random;
        match below(&mut self.rng, shares) {
            draw if draw < other_rows => Some(self.codes),
            draw if draw < other_rows + synthetic => self.synthetic,
            _ => None,
        }
    }
}
