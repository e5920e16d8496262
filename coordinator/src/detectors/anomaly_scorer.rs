//! While predictions are served, records get p-values and flags, and a drift monitor sees their scores.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use hashvfl_core::p_value::Grid;
use hashvfl_detectors::calibration::drift::{DriftMonitor, DriftState};
use hashvfl_detectors::{
    BatchKind, Calibrated, Codes, Combination, CoordinatorDetector, DetectorError, References, file,
};
use tracing::warn;

use super::DetectorsConfig;
use super::records::OwnedRows;
use crate::state::StateFolder;

/// The largest probability that the drift monitor ever raises a false alarm.
const FALSE_ALARM: f64 = 0.001;

/// Records of a request, as the top model has predicted them.
pub struct Predicted<'a> {
    /// The codes `codes[party]`, row-major signs.
    pub codes: &'a [Vec<f32>],
    /// The predicted classes.
    pub classes: Vec<u32>,
    /// The top model's features, row-major.
    pub features: Vec<f32>,
    /// The p-values of each party that sends some: `p_values[party][record]`.
    pub p_values: &'a [Vec<f64>],
    /// Whether the codes of all parties are there, per record.
    pub complete: Vec<bool>,
}

/// What detectors say of predicted records.
#[derive(Debug, Default)]
pub struct Flags {
    /// One p-value per record; NaN where the codes of some party are missing.
    pub p_values: Vec<f32>,
    /// Whether the p-value is the level or less.
    pub flagged: Vec<bool>,
    /// Whether inputs as a whole have changed since the calibration.
    pub drifted: bool,
}

/// Detectors at work.
pub struct AnomalyScorer {
    detectors: Calibrated<CoordinatorDetector>,
    /// The detector that compares the records of a request, and the codes that it compares them with.
    batch: Option<(BatchKind, References)>,
    config: DetectorsConfig,
    width: usize,
    monitor: Mutex<Option<DriftMonitor>>,
}

impl AnomalyScorer {
    /// The detectors and references that a run has left in its folder, for codes of these lengths and so many features;
    /// `None` if it left none.
    ///
    /// # Errors
    /// If a file is damaged or for other codes, or there are too few calibration records for the level.
    pub fn load(
        state: &StateFolder,
        config: &DetectorsConfig,
        lengths: &[usize],
        width: usize,
    ) -> anyhow::Result<Option<Self>> {
        let path = state.detectors();
        if !path.exists() {
            return Ok(None);
        }
        let detectors = read_detectors(&path, config, lengths, width)
            .with_context(|| format!("detectors in {}", path.display()))?;
        // Two halves of the rows that gave the scale: one for the monitor's intervals, one to compare with.
        let (edges, compared) = halves(detectors.reference());
        let monitor = DriftMonitor::new(&edges, &compared, config.level, FALSE_ALARM, 0);
        if let Err(error) = &monitor {
            warn!("drift is not monitored: {error}");
        }
        let batch = match config.batch {
            Some(kind) => Some((kind, read_references(&state.references(), lengths)?)),
            None => None,
        };
        let monitor = Mutex::new(monitor.ok());
        Ok(Some(Self { detectors, batch, config: config.clone(), width, monitor }))
    }

    /// The level.
    pub fn level(&self) -> f64 {
        self.config.level
    }

    /// Warns where the parties' own p-values, whose `grids` these are, leave a source of p-values that can flag nothing by
    /// itself. By Bonferroni each source should; by means no source can.
    pub fn check_parties(&self, grids: &[Grid]) {
        if grids.is_empty() || self.config.parties != Combination::Bonferroni {
            return;
        }
        let level = self.config.parties.level_of_each(self.config.level, 1 + grids.len());
        if let Err(error) = self.detectors.calibration().check_level(self.config.level_of_each(level)) {
            warn!("combined with p-values of {} parties: {error}", grids.len());
        }
        let coarse = grids.iter().filter(|grid| grid.least() > level).count();
        if coarse > 0 {
            warn!(
                "{coarse} parties send no p-value as low as {level}, which would flag a record by itself: a lower level \
                 or send = \"p_value\" at them would"
            );
        }
    }

    /// Judges records by their codes, classes and features, and by the p-values that parties send.
    ///
    /// # Errors
    /// If the records have other sizes than those that the detectors were fitted on.
    pub fn judge(&self, predicted: Predicted<'_>) -> Result<Flags, DetectorError> {
        let Predicted { codes, classes, features, p_values: parties, complete } = predicted;
        let rows = OwnedRows::new(codes, classes, features, self.width)?;
        let DetectorsConfig { level, per_class, combination, parties: rule, .. } = self.config;
        let by_class = per_class.then_some(rows.classes.as_slice());
        let verdicts = self.detectors.judge(&rows.view()?, by_class, level, None)?;
        let mut of_batch = self.compare(&rows.codes, &complete)?.map(Vec::into_iter);
        let mut flags = Flags::default();
        let mut monitor = self.monitor.lock().unwrap_or_else(PoisonError::into_inner);
        let mut p_values = Vec::with_capacity(1 + parties.len());
        for (row, (verdict, complete)) in verdicts.iter().zip(complete).enumerate() {
            let own = match of_batch.as_mut().filter(|_| complete).and_then(Iterator::next) {
                Some(p_value) => combination.of(&[verdict.p_value, p_value]),
                None => verdict.p_value,
            };
            p_values.clear();
            p_values.push(own);
            p_values.extend(parties.iter().map(|party| party[row]));
            // A single p-value stays as it is.
            let p_value = if parties.is_empty() { own } else { rule.of(&p_values) };
            flags.p_values.push(if complete { p_value as f32 } else { f32::NAN });
            flags.flagged.push(complete && p_value <= level);
            if let Some(monitor) = monitor.as_mut().filter(|_| complete) {
                flags.drifted |= monitor.observe(verdict.score) == DriftState::Drift;
            }
        }
        Ok(flags)
    }

    /// The p-values of a request's records compared with each other, of complete records alone, where these are enough.
    fn compare(&self, codes: &Codes, complete: &[bool]) -> Result<Option<Vec<f64>>, DetectorError> {
        let Some((kind, references)) = &self.batch else { return Ok(None) };
        let rows: Vec<u32> = (0..codes.rows() as u32).filter(|row| complete[*row as usize]).collect();
        if rows.len() < self.config.batch_rows {
            return Ok(None);
        }
        references.p_values(*kind, &codes.gather(&rows)).map(Some)
    }
}

/// Reads detectors that take codes of these lengths and so many features, and that can tell the level.
fn read_detectors(
    path: &Path,
    config: &DetectorsConfig,
    lengths: &[usize],
    width: usize,
) -> Result<Calibrated<CoordinatorDetector>, DetectorError> {
    let detectors: Calibrated<CoordinatorDetector> = file::read(path)?;
    detectors.check_use(&OwnedRows::probe(lengths, width)?.view()?, config.settings().level)?;
    Ok(detectors)
}

/// Reads codes of these lengths that batches are compared with.
fn read_references(path: &Path, lengths: &[usize]) -> anyhow::Result<References> {
    let references: References = file::read(path).with_context(|| {
        format!(
            "detectors.batch compares with {}, which a run keeps where detectors.batch is set",
            path.display()
        )
    })?;
    references.check_codes(lengths)?;
    Ok(references)
}

/// Every second score from the first on, and every second from the second on.
fn halves(scores: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let pairs = scores.chunks(2);
    (pairs.clone().map(|pair| pair[0]).collect(), pairs.filter_map(|pair| pair.get(1).copied()).collect())
}
