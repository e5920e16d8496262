//! While predictions are served: records are judged, and a monitor watches for drift.

use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use hashvfl_core::p_value::Grid;
use hashvfl_detectors::drift::{DriftMonitor, DriftState};
use hashvfl_detectors::{
    BatchKind, Calibrated, Codes, Combination, CoordinatorDetector, DetectorError, References, file,
};
use tracing::warn;

use super::{DetectorsConfig, OwnedRows};
use crate::state::StateFolder;

/// With this probability at most, the drift monitor ever raises a false alarm.
const FALSE_ALARM: f64 = 0.001;

/// What detectors say of predicted records.
#[derive(Debug, Default)]
pub struct Flags {
    /// A p-value each; no number where not all parties' bits are there.
    pub p_values: Vec<f32>,
    /// Whether it is the level or less.
    pub flagged: Vec<bool>,
    /// Whether inputs as a whole have changed since the calibration.
    pub drifted: bool,
}

/// Detectors at work.
pub struct AnomalyScorer {
    detectors: Calibrated<CoordinatorDetector>,
    /// What compares the records of a request, and what with.
    batch: Option<(BatchKind, References)>,
    config: DetectorsConfig,
    width: usize,
    monitor: Mutex<Option<DriftMonitor>>,
}

impl AnomalyScorer {
    /// The detectors and references that a run has left in its folder, for codes of these lengths and so many features;
    /// none if it left none.
    ///
    /// # Errors
    /// If a file is damaged, or for other codes, or there are too few calibration records for the level.
    pub fn load(
        state: &StateFolder,
        config: &DetectorsConfig,
        lengths: &[usize],
        width: usize,
    ) -> anyhow::Result<Option<Self>> {
        let (path, references) = (state.detectors(), state.references());
        if !path.exists() {
            return Ok(None);
        }
        let loaded = || {
            let detectors: Calibrated<CoordinatorDetector> = file::read(&path)?;
            // A record of each kind of size shows whether all detectors take them.
            let parts: Vec<Vec<f32>> = lengths.iter().map(|bits| vec![1.0; *bits]).collect();
            let probe = OwnedRows::new(&parts, vec![0], vec![0.0; width], width)?;
            detectors.panel().scores_of_each(&probe.seen()?)?;
            detectors.calibration().check_level(config.level_of_each(config.level))?;
            Ok(detectors)
        };
        let loaded: Result<_, DetectorError> = loaded();
        let detectors = loaded.with_context(|| format!("detectors in {}", path.display()))?;
        // Two halves of the rows that gave the scale: one for the monitor's intervals, one to compare with.
        let (edges, compared) = halves(detectors.reference());
        let monitor = DriftMonitor::new(&edges, &compared, config.level, FALSE_ALARM, 0);
        if let Err(error) = &monitor {
            warn!("nobody watches for drift: {error}");
        }
        let batch = config.batch.map(|kind| {
            let read: Result<References, DetectorError> = file::read(&references);
            let read = read.with_context(|| {
                format!(
                    "detectors.batch compares with {}, which a run keeps where detectors.batch is set",
                    references.display()
                )
            })?;
            read.check_codes(lengths)?;
            anyhow::Ok((kind, read))
        });
        let (batch, monitor) = (batch.transpose()?, Mutex::new(monitor.ok()));
        Ok(Some(Self { detectors, batch, config: config.clone(), width, monitor }))
    }

    /// The level.
    pub fn level(&self) -> f64 {
        self.config.level
    }

    /// Warns where the p-values of `grids`, the parties' own, leave a source that can flag nothing by itself: by Bonferroni
    /// it shall, by means no source can.
    pub fn check_parties(&self, grids: &[Grid]) {
        if grids.is_empty() || self.config.parties != Combination::Bonferroni {
            return;
        }
        let level = self.config.parties.level_of_each(self.config.level, 1 + grids.len());
        if let Err(error) = self.detectors.calibration().check_level(self.config.level_of_each(level)) {
            warn!("beside p-values of {} parties: {error}", grids.len());
        }
        let coarse = grids.iter().filter(|grid| grid.least() > level).count();
        if coarse > 0 {
            warn!(
                "{coarse} parties send no p-value as low as {level}, which would flag a record by itself: a lower level \
                 or send = \"p_value\" at them would"
            );
        }
    }

    /// Judges records by their codes, classes and features, and by the p-values of each party that sends some; `whole`
    /// says of which records all parties' bits are there.
    pub fn judge(
        &self,
        codes: &[Vec<f32>],
        (classes, features): (&[u32], &[f32]),
        parties: &[Vec<f64>],
        whole: Vec<bool>,
    ) -> Result<Flags, DetectorError> {
        let rows = OwnedRows::new(codes, classes.to_vec(), features.to_vec(), self.width)?;
        let DetectorsConfig { level, per_class, combination, parties: rule, .. } = self.config;
        let by_class = per_class.then_some(classes);
        let verdicts = self.detectors.judge(&rows.seen()?, by_class, level, None)?;
        let mut of_batch = self.compare(&rows.codes, &whole)?.map(Vec::into_iter);
        let mut flags = Flags::default();
        let mut monitor = self.monitor.lock().unwrap_or_else(PoisonError::into_inner);
        let mut p_values = Vec::with_capacity(1 + parties.len());
        for (row, (verdict, whole)) in verdicts.iter().zip(whole).enumerate() {
            let own = match of_batch.as_mut().filter(|_| whole).and_then(Iterator::next) {
                Some(p_value) => combination.of(&[verdict.p_value, p_value]),
                None => verdict.p_value,
            };
            p_values.clear();
            p_values.push(own);
            p_values.extend(parties.iter().map(|party| party[row]));
            // Of one p-value nothing is to be combined.
            let p_value = if parties.is_empty() { own } else { rule.of(&p_values) };
            flags.p_values.push(if whole { p_value as f32 } else { f32::NAN });
            flags.flagged.push(whole && p_value <= level);
            if let Some(monitor) = monitor.as_mut().filter(|_| whole) {
                flags.drifted |= monitor.observe(verdict.score) == DriftState::Drift;
            }
        }
        Ok(flags)
    }

    /// The p-values of records of a request, compared with each other, where there are enough: of those whose parties'
    /// bits are all there.
    fn compare(&self, codes: &Codes, whole: &[bool]) -> Result<Option<Vec<f64>>, DetectorError> {
        let Some((kind, references)) = &self.batch else { return Ok(None) };
        let rows: Vec<u32> = (0..codes.rows() as u32).filter(|row| whole[*row as usize]).collect();
        if rows.len() < self.config.batch_rows {
            return Ok(None);
        }
        references.p_values(*kind, &codes.gather(&rows)).map(Some)
    }
}

fn halves(scores: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let pairs = scores.chunks(2);
    (pairs.clone().map(|pair| pair[0]).collect(), pairs.filter_map(|pair| pair.get(1).copied()).collect())
}
