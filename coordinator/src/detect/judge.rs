//! While predictions are served: records are judged, and a monitor watches for drift.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use hashvfl_core::p_value::Grid;
use hashvfl_detectors::conformal::{Calibration, Ties};
use hashvfl_detectors::drift::{Monitor, State};
use hashvfl_detectors::evidence::combined;
use hashvfl_detectors::panel::Verdict;
use hashvfl_detectors::tail::Tail;
use hashvfl_detectors::{
    BatchKind, Calibrated, Codes, CoordinatorDetector, DetectorError, Evidence, References, file,
};
use tracing::warn;

use super::{DetectorsConfig, Rows};
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
pub struct Judge {
    detectors: Calibrated<CoordinatorDetector>,
    /// What compares the records of a request, and what with.
    batch: Option<(BatchKind, References)>,
    /// What all sources said of calibration records, and the scale of the coordinator's own.
    evidence: Option<(Evidence, Tail)>,
    /// Calibrations of combined scores, by the parties whose p-values are in them: bit k stands for party k.
    combined: Mutex<BTreeMap<u64, Arc<Calibration>>>,
    config: DetectorsConfig,
    width: usize,
    monitor: Mutex<Option<Monitor>>,
}

impl Judge {
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
            let probe = Rows::new(&parts, vec![0], vec![0.0; width], width)?;
            detectors.panel().scores_of_each(&probe.seen()?)?;
            detectors.calibration().check_level(config.level_of_each(config.level))?;
            Ok(detectors)
        };
        let loaded: Result<_, DetectorError> = loaded();
        let detectors = loaded.with_context(|| format!("detectors in {}", path.display()))?;
        // Two halves of the rows that gave the scale: one for the monitor's intervals, one to compare with.
        let (edges, compared) = halves(detectors.reference());
        let monitor = Monitor::new(&edges, &compared, config.level, FALSE_ALARM, 0);
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
        let evidence = state.evidence();
        let evidence = evidence.exists().then(|| {
            let read = || Ok((file::read(&evidence)?, Tail::new(detectors.reference().to_vec())?));
            let read: Result<_, DetectorError> = read();
            read.with_context(|| format!("evidence of several sources in {}", evidence.display()))
        });
        Ok(Some(Self {
            batch: batch.transpose()?,
            evidence: evidence.transpose()?,
            detectors,
            combined: Mutex::default(),
            config: config.clone(),
            width,
            monitor: Mutex::new(monitor.ok()),
        }))
    }

    /// The level.
    pub fn level(&self) -> f64 {
        self.config.level
    }

    /// Whether p-values that `party` sends by `grid` take part in flags: the run has calibrated such ones.
    pub fn takes(&self, party: usize, grid: Grid) -> bool {
        self.evidence.as_ref().is_some_and(|(evidence, _)| evidence.compares(party, grid))
    }

    /// Judges records by their codes, classes and features, and by p-values that parties sent beside codes, each with
    /// the party's place; `whole` says of which records all parties' bits are there.
    pub fn judge(
        &self,
        codes: &[Vec<f32>],
        (classes, features): (&[u32], &[f32]),
        parties: &[(usize, Vec<f64>)],
        whole: Vec<bool>,
    ) -> Result<Flags, DetectorError> {
        let rows = Rows::new(codes, classes.to_vec(), features.to_vec(), self.width)?;
        let DetectorsConfig { level, per_class, combination, .. } = self.config;
        let by_class = per_class.then_some(classes);
        let verdicts = self.detectors.judge(&rows.seen()?, by_class, level, None)?;
        let p_values = match parties {
            [] => verdicts.iter().map(|verdict| verdict.p_value).collect(),
            _ => self.combine(&verdicts, classes, parties)?,
        };
        let mut of_batch = self.compare(&rows.codes, &whole)?.map(Vec::into_iter);
        let mut flags = Flags::default();
        let mut monitor = self.monitor.lock().unwrap_or_else(PoisonError::into_inner);
        for ((verdict, p_value), whole) in verdicts.iter().zip(p_values).zip(whole) {
            let p_value = match of_batch.as_mut().filter(|_| whole).and_then(Iterator::next) {
                Some(of_batch) => combination.of(&[p_value, of_batch]),
                None => p_value,
            };
            flags.p_values.push(if whole { p_value as f32 } else { f32::NAN });
            flags.flagged.push(whole && p_value <= level);
            if let Some(monitor) = monitor.as_mut().filter(|_| whole) {
                flags.drifted |= monitor.observe(verdict.score) == State::Drift;
            }
        }
        Ok(flags)
    }

    /// p-values of the coordinator's scores combined with what parties say, calibrated together.
    fn combine(
        &self,
        verdicts: &[Verdict],
        classes: &[u32],
        parties: &[(usize, Vec<f64>)],
    ) -> Result<Vec<f64>, DetectorError> {
        // Parties that are not in the evidence do not come here: see `takes`.
        let (evidence, scale) = self.evidence.as_ref().ok_or(DetectorError::Empty)?;
        let rule = self.config.parties;
        let own: Vec<f64> = verdicts.iter().map(|verdict| scale.log_share(verdict.score)).collect();
        let said: Vec<&[f64]> = parties.iter().map(|(_, said)| said.as_slice()).collect();
        let calibration = self.calibration(evidence, parties.iter().map(|(party, _)| *party).collect())?;
        let scores = combined(rule, &own, &said);
        let p_value = |(score, class): (f64, &u32)| calibration.p_value(score, *class, &mut Ties::Count);
        Ok(scores.into_iter().zip(classes).map(p_value).collect())
    }

    /// The calibration of scores that are combined with what these parties say.
    fn calibration(
        &self,
        evidence: &Evidence,
        parties: Vec<usize>,
    ) -> Result<Arc<Calibration>, DetectorError> {
        let mut known = self.combined.lock().unwrap_or_else(PoisonError::into_inner);
        let key = parties.iter().fold(0, |bits, party| bits | 1_u64 << party);
        if let Some(calibration) = known.get(&key) {
            return Ok(Arc::clone(calibration));
        }
        let calibration = Arc::new(evidence.calibration(self.config.parties, &parties)?);
        known.insert(key, Arc::clone(&calibration));
        Ok(calibration)
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
