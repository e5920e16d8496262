//! What leaves of records once the bottom model is frozen, held to the policy: the code of a record is the same whenever it is
//! asked for.

use hashvfl_leakage::check::MOST_RECORDS;
use hashvfl_leakage::regression::family::Effort;

use super::watched::Watched;
use super::{hold_to_policy, sample, values};
use crate::detectors::AnomalyScorer;
use crate::prepare::Prepared;
use crate::releases::ReleaseLedger;

/// A frozen bottom model, and what leaves beside its codes.
pub struct FrozenModel<'a> {
    /// The table of the training, with the model.
    pub trained: &'a Prepared,
    /// What says a p-value beside each code, if anything does.
    pub scorer: Option<&'a AnomalyScorer>,
}

impl FrozenModel<'_> {
    /// Checks one code of each record, where the policy limits what codes tell; `what` is a word for the codes.
    ///
    /// # Errors
    /// If the policy does not allow these codes, or it cannot be told.
    pub fn check(&self, what: &str, releases: &mut ReleaseLedger) -> anyhow::Result<()> {
        if !releases.policy().limits_leakage() {
            return Ok(());
        }
        let all: Vec<u32> = (0..self.trained.columns.rows() as u32).collect();
        let watched = Watched::new(sample(&all, MOST_RECORDS, self.trained.seed()), self.trained)?;
        let codes = self.codes(&watched)?;
        let what = format!("{what}, one for each of {} records,", watched.records());
        hold_to_policy(&what, &watched.with(&codes), Effort::Check, self.trained, releases)
    }

    /// What leaves of these records, [records, values]: values of latents, and behind them the bits of p-values.
    pub(super) fn codes(&self, watched: &Watched) -> anyhow::Result<Vec<f32>> {
        let encoder = &self.trained.encoder;
        let embedding = encoder.values(watched.columns.clone(), watched.records());
        let beside = self.scorer.map(|scorer| scorer.judge(&watched.columns, &embedding)).transpose()?;
        let codes = values(encoder.form(), &encoder.code(embedding));
        let Some(beside) = beside else { return Ok(codes) };
        let (latents, bits) = (encoder.form().latents(), beside.to_signs());
        let rows = codes.chunks_exact(latents).zip(bits.chunks_exact(beside.bits()));
        Ok(rows.flat_map(|(codes, bits)| [codes, bits].concat()).collect())
    }
}
