//! Evidence of several sources about one row as one p-value: the coordinator's detectors, and those of parties, which send a
//! few bits of what they make of a row.
//!
//! Each source says, on a scale of its own, how rare a row is. The combined score is calibrated as a whole, on rows of
//! which all sources have said so. So the flagged fraction is the level, whatever the rule and however sources depend on each
//! other, and no source has to reach a part of the level by itself. Without that, K sources of n rows each could flag nothing
//! at a level below K / (n + 1) by Bonferroni.

use hashvfl_core::p_value::{Grid, PackedPValues};
use serde::{Deserialize, Serialize};

use super::combine::Combination;
use super::conformal::Calibration;
use super::tail::check_scores;
use crate::error::DetectorError;
use crate::file::CheckStored;

/// The weight of the mean over all sources beside the rule. It orders rows to which the rule gives one score, of which
/// p-values of a few bits make many, and is too small for others.
const TIE_BREAK: f64 = 1e-6;

/// What all sources said of the calibration rows, row by row.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationEvidence {
    /// Of the coordinator's own detectors: the logarithm of the fraction of normal rows that are as strange.
    own: Vec<f64>,
    /// Predicted classes, where rows are calibrated by class.
    classes: Option<Vec<u32>>,
    /// Of each party, in the run's order; `None` where it sent nothing.
    parties: Vec<Option<SaidOfRows>>,
}

/// What one party said of the calibration rows.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct SaidOfRows {
    bits: u32,
    step: u32,
    p_values: Vec<f64>,
}

impl SaidOfRows {
    fn grid(&self) -> Result<Grid, DetectorError> {
        Grid::new(self.bits, self.step).map_err(|error| DetectorError::Format(error.to_string()))
    }
}

/// The p-values that one party sent of some rows.
#[derive(Debug, Clone, Copy)]
pub struct SentOfRows<'a> {
    /// What was sent stands for these.
    pub grid: Grid,
    /// One per row, of that grid.
    pub p_values: &'a [f64],
}

impl CalibrationEvidence {
    /// Keeps what was said of the calibration rows: the coordinator's `own` logarithms of fractions, predicted `classes` where
    /// rows are calibrated by class, and the p-values of each party that sent some.
    ///
    /// # Errors
    /// If there are no rows, sources differ in their number, or a logarithm is not finite.
    pub fn new(
        own: Vec<f64>,
        classes: Option<Vec<u32>>,
        parties: &[Option<PackedPValues>],
    ) -> Result<Self, DetectorError> {
        let mut said = Vec::with_capacity(parties.len());
        for party in parties {
            said.push(party.as_ref().map(|sent| SaidOfRows {
                bits: sent.grid.bits() as u32,
                step: sent.grid.step(),
                p_values: sent.p_values(),
            }));
        }
        let evidence = Self { own, classes, parties: said };
        evidence.check()?;
        Ok(evidence)
    }

    /// Whether p-values that `party` sends by `grid` can be compared with what it said of the calibration rows.
    pub fn compares(&self, party: usize, grid: Grid) -> bool {
        let said = self.parties.get(party).and_then(Option::as_ref);
        said.is_some_and(|said| (said.bits, said.step) == (grid.bits() as u32, grid.step()))
    }

    /// The calibration of the coordinator's own fractions combined by `rule` with what `parties` said, which are numbers in
    /// the run's order.
    ///
    /// # Errors
    /// If one of the parties said nothing.
    pub fn calibration(&self, rule: Combination, parties: &[usize]) -> Result<Calibration, DetectorError> {
        let mut sent = Vec::with_capacity(parties.len());
        for party in parties {
            let said = self.parties.get(*party).and_then(Option::as_ref).ok_or(DetectorError::Empty)?;
            sent.push(SentOfRows { grid: said.grid()?, p_values: &said.p_values });
        }
        let scores = combined_scores(rule, &self.own, &sent);
        match &self.classes {
            Some(classes) => Calibration::per_class(scores, classes),
            None => Calibration::new(scores),
        }
    }
}

impl CheckStored for CalibrationEvidence {
    fn check(&self) -> Result<(), DetectorError> {
        check_scores(&self.own)?;
        let rows = self.own.len();
        let mut fits = rows > 0 && self.classes.as_ref().is_none_or(|classes| classes.len() == rows);
        for said in self.parties.iter().flatten() {
            fits &= said.grid().is_ok()
                && said.p_values.len() == rows
                && said.p_values.iter().all(|p_value| *p_value > 0.0 && *p_value <= 1.0);
        }
        DetectorError::stored(fits, "evidence of several sources")
    }
}

/// The combined score of each row, from the coordinator's `own` logarithms of fractions and what each of `parties` sent;
/// higher is stranger. p-values that were rounded up weigh as the mean of those that are rounded so: with their upper ends, the
/// coordinator's own fractions would outrank every flag.
///
/// # Panics
/// If a party has p-values of fewer rows.
pub fn combined_scores(rule: Combination, own: &[f64], parties: &[SentOfRows<'_>]) -> Vec<f64> {
    let mut logs = vec![0.0; 1 + parties.len()];
    let mut scores = Vec::with_capacity(own.len());
    for (row, own) in own.iter().enumerate() {
        logs[0] = *own;
        for (log, party) in logs[1..].iter_mut().zip(parties) {
            *log = party.grid.mean_log(party.p_values[row]);
        }
        let mean = logs.iter().sum::<f64>() / logs.len() as f64;
        scores.push(-rule.of_logs(&logs) - TIE_BREAK * mean);
    }
    scores
}

#[cfg(test)]
#[path = "evidence_tests.rs"]
mod tests;
