//! While predictions are served, records get p-values and flags, and drift monitors see their scores.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use hashvfl_core::ServedRow;
use hashvfl_core::p_value::Grid;
use hashvfl_detectors::calibration::conformal::{Calibration, Ties};
use hashvfl_detectors::calibration::evidence::{SentOfRows, combined_scores};
use hashvfl_detectors::calibration::panel::Verdict;
use hashvfl_detectors::calibration::tail::Tail;
use hashvfl_detectors::{
    BatchKind, Calibrated, CalibrationEvidence, Codes, Combination, CoordinatorDetector, CoordinatorKind,
    DetectorError, DetectorKind, References, file,
};
use tracing::warn;

use super::DetectorsConfig;
use super::client_drift::ClientDrift;
use super::records::OwnedRows;
use crate::state::StateFolder;

/// How the coordinator's own p-value and those of parties become one score, which is then calibrated: the rule that found
/// most in the benchmark (docs/research/detectors.md, "Several sources").
const SOURCES: Combination = Combination::Bonferroni;

/// Records of a request, as the top model has predicted them.
pub struct Predicted<'a> {
    /// Who has asked for them.
    pub client: &'a str,
    /// Which records they are.
    pub rows: &'a [ServedRow],
    /// The codes `codes[party]`, row-major signs.
    pub codes: &'a [Vec<f32>],
    /// The predicted classes.
    pub classes: Vec<u32>,
    /// The top model's features, row-major.
    pub features: Vec<f32>,
    /// The p-values of each party that sends some which [`AnomalyScorer::takes`].
    pub p_values: &'a [SentPValues],
    /// Whether the codes of all parties are there, per record.
    pub complete: Vec<bool>,
}

/// p-values that a party sent with its codes.
pub struct SentPValues {
    /// The party's number in the run's order.
    pub party: usize,
    /// What was sent stands for these.
    pub grid: Grid,
    /// One per record, of that grid.
    pub p_values: Vec<f64>,
}

/// What detectors say of predicted records.
#[derive(Debug, Default)]
pub struct RequestFlags {
    /// One p-value per record; NaN where the codes of some party are missing.
    pub p_values: Vec<f32>,
    /// Whether the p-value is the level or less.
    pub flagged: Vec<bool>,
    /// Whether the inputs that this client has asked for have changed as a whole since the calibration.
    pub drifted: bool,
}

/// Detectors at work.
pub struct AnomalyScorer {
    detectors: Calibrated<CoordinatorDetector>,
    /// The detector that compares the records of a request, and the codes that it compares them with.
    batch: Option<(BatchKind, References)>,
    evidence: Option<CombinedCalibration>,
    config: DetectorsConfig,
    width: usize,
    drift: Mutex<Option<ClientDrift>>,
}

/// What calibrates scores that are combined with parties' p-values.
struct CombinedCalibration {
    evidence: CalibrationEvidence,
    /// The scale of the coordinator's own scores.
    tail: Tail,
    /// Calibrations so far, by the parties whose p-values are in them: bit k stands for party k.
    known: Mutex<BTreeMap<u64, Arc<Calibration>>>,
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
        // Two halves of the rows that gave the scale: one for the monitors' intervals, one to compare with.
        let (edges, compared) = halves(detectors.reference());
        let drift = ClientDrift::new(edges, compared, config.level);
        if let Err(error) = &drift {
            warn!("drift is not monitored: {error}");
        }
        let batch = match config.batch {
            Some(kind) => Some((kind, read_references(&state.references(), lengths)?)),
            None => None,
        };
        let evidence = match state.evidence() {
            path if path.exists() => Some(
                CombinedCalibration::read(&path, &detectors)
                    .with_context(|| format!("evidence of several sources in {}", path.display()))?,
            ),
            _ => None,
        };
        let drift = Mutex::new(drift.ok());
        Ok(Some(Self { detectors, batch, evidence, config: config.clone(), width, drift }))
    }

    /// The level.
    pub fn level(&self) -> f64 {
        self.config.level
    }

    /// Whether p-values that `party` sends by `grid` take part in flags: the run has calibrated such ones.
    pub fn takes(&self, party: usize, grid: Grid) -> bool {
        self.evidence.as_ref().is_some_and(|combined| combined.evidence.compares(party, grid))
    }

    /// Whether the least p-value of `grid` is above the part of the level that Bonferroni leaves each of `parties` parties
    /// and the coordinator: it hardly flags a record by itself then.
    pub fn is_coarse(&self, grid: Grid, parties: usize) -> bool {
        grid.least() > SOURCES.level_of_each(self.config.level, 1 + parties)
    }

    /// Judges records by their codes, classes and features, and by the p-values that parties send.
    ///
    /// # Errors
    /// If the records have other sizes than those that the detectors were fitted on.
    pub fn judge(&self, predicted: Predicted<'_>) -> Result<RequestFlags, DetectorError> {
        let Predicted { client, rows: asked, codes, classes, features, p_values: parties, complete } =
            predicted;
        let rows = OwnedRows::new(codes, classes, features, self.width)?;
        let DetectorsConfig { level, per_class, .. } = self.config;
        let by_class = per_class.then_some(rows.classes.as_slice());
        let verdicts = self.detectors.judge(&rows.view()?, by_class, level, None)?;
        let combined = match (&self.evidence, parties) {
            (Some(combined), [_, ..]) => combined.p_values(&verdicts, &rows.classes, parties)?,
            _ => verdicts.iter().map(|verdict| verdict.p_value).collect(),
        };
        let mut of_batch = self.compare(&rows.codes, &complete)?.map(Vec::into_iter);
        let mut flags = RequestFlags::default();
        let mut drift = self.drift.lock().unwrap_or_else(PoisonError::into_inner);
        let mut monitor = drift.as_mut().map(|drift| drift.of(client)).transpose()?;
        for (row, complete) in complete.into_iter().enumerate() {
            let p_value = match of_batch.as_mut().filter(|_| complete).and_then(Iterator::next) {
                Some(of_batch) => CoordinatorKind::COMBINATION.of(&[combined[row], of_batch]),
                None => combined[row],
            };
            flags.p_values.push(if complete { p_value as f32 } else { f32::NAN });
            flags.flagged.push(complete && p_value <= level);
            if let Some(monitor) = monitor.as_mut().filter(|_| complete) {
                monitor.observe(asked[row], verdicts[row].score);
            }
        }
        flags.drifted = monitor.is_some_and(|monitor| monitor.has_drifted());
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

impl CombinedCalibration {
    fn read(path: &Path, detectors: &Calibrated<CoordinatorDetector>) -> Result<Self, DetectorError> {
        Ok(Self { evidence: file::read(path)?, tail: detectors.tail()?, known: Mutex::default() })
    }

    /// p-values of the coordinator's own scores combined with what parties say, which are in the evidence.
    fn p_values(
        &self,
        own: &[Verdict],
        classes: &[u32],
        parties: &[SentPValues],
    ) -> Result<Vec<f64>, DetectorError> {
        let logs: Vec<f64> = own.iter().map(|verdict| self.tail.log_fraction(verdict.score)).collect();
        let (mut sent, mut numbers) = (Vec::new(), Vec::new());
        for SentPValues { party, grid, p_values } in parties {
            sent.push(SentOfRows { grid: *grid, p_values });
            numbers.push(*party);
        }
        let calibration = self.calibration(&numbers)?;
        let mut p_values = Vec::with_capacity(own.len());
        for (score, class) in combined_scores(SOURCES, &logs, &sent).into_iter().zip(classes) {
            p_values.push(calibration.p_value(score, *class, &mut Ties::Count));
        }
        Ok(p_values)
    }

    /// The calibration of scores that are combined with what these parties say.
    fn calibration(&self, parties: &[usize]) -> Result<Arc<Calibration>, DetectorError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = parties.iter().fold(0, |bits, party| bits | 1_u64 << party);
        if let Some(calibration) = known.get(&key) {
            return Ok(Arc::clone(calibration));
        }
        let calibration = Arc::new(self.evidence.calibration(SOURCES, parties)?);
        known.insert(key, Arc::clone(&calibration));
        Ok(calibration)
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
