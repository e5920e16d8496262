//! Detectors of abnormal inputs at the coordinator: fitted and calibrated at the end of a run, on records that fitted
//! no model and on which none was chosen, and judging records when predictions are served.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context, ensure};
use hashvfl_core::p_value::Grid;
use hashvfl_core::{Part, Plan};
use hashvfl_detectors::conformal::flags_interval;
use hashvfl_detectors::drift::{Monitor, State};
use hashvfl_detectors::{
    BatchKind, Calibrated, Codes, Combination, CoordinatorDetector, CoordinatorKind, DetectorError, Panel,
    References, Seen, Values, file, split,
};
use hashvfl_learning::Classifier;
use serde::Deserialize;
use tracing::warn;

use crate::config::CoordinatorConfig;
use crate::state::StateFolder;
use crate::summary;

/// With this probability at most, the drift monitor ever raises a false alarm.
const FALSE_ALARM: f64 = 0.001;

/// The `[detectors]` table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectorsConfig {
    /// A record is flagged where its p-value is this or less.
    pub level: f64,
    /// Which detectors.
    pub kinds: Vec<CoordinatorKind>,
    /// How their p-values become one.
    pub combination: Combination,
    /// How that one and those of parties' own detectors become one.
    pub parties: Combination,
    /// Whether p-values are calibrated for each predicted class alone.
    pub per_class: bool,
    /// Which detector compares the records of a request with each other, if any.
    pub batch: Option<BatchKind>,
    /// Records of a request that it needs, at least.
    pub batch_rows: usize,
}

/// The fewest records that may be asked for as [`DetectorsConfig::batch_rows`].
const BATCH_ROWS: usize = 100;

impl Default for DetectorsConfig {
    fn default() -> Self {
        let kinds = CoordinatorKind::DEFAULT.to_vec();
        let (combination, parties) = Default::default();
        Self { level: 0.01, kinds, combination, parties, per_class: false, batch: None, batch_rows: 1000 }
    }
}

impl DetectorsConfig {
    /// Checks every range.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.level > 0.0 && self.level < 1.0,
            "level must be above 0 and below 1, not {}",
            self.level
        );
        ensure!(
            !self.kinds.is_empty(),
            "kinds must name a detector; without any, set run.calibration_share = 0"
        );
        ensure!(
            self.batch_rows >= BATCH_ROWS,
            "batch_rows must be at least {BATCH_ROWS}, not {}",
            self.batch_rows
        );
        Ok(())
    }

    /// The level that each of the coordinator's own p-values must be able to reach.
    fn level_of_each(&self) -> f64 {
        match self.batch {
            Some(_) => self.combination.level_of_each(self.level, 2),
            None => self.level,
        }
    }
}

/// Whether the calibration part, if there is one, is large enough for the level.
pub fn check(config: &DetectorsConfig, plan: &Plan) -> anyhow::Result<()> {
    match plan.part(Part::Calibration) {
        [] => Ok(()),
        rows => Ok(split::check(rows, config.level_of_each())?),
    }
}

/// Records as detectors see them.
struct Rows {
    codes: Codes,
    classes: Vec<u32>,
    features: Vec<f32>,
    width: usize,
}

impl Rows {
    /// The records with codes `parts[party]`, row-major signs, and what the top model makes of them.
    fn new(
        parts: &[Vec<f32>],
        classes: Vec<u32>,
        features: Vec<f32>,
        width: usize,
    ) -> Result<Self, DetectorError> {
        let parts: Vec<&[f32]> = parts.iter().map(Vec::as_slice).collect();
        Ok(Self { codes: Codes::of_values(&parts, classes.len())?, classes, features, width })
    }

    fn of(
        classifier: &Classifier,
        gather: &dyn Fn(&[u32]) -> Vec<Vec<f32>>,
        rows: &[u32],
    ) -> Result<Self, DetectorError> {
        let parts = gather(rows);
        let (outputs, features) = classifier.predict_with_features(&parts, rows.len());
        let classes = classifier.meaning().classes(&outputs);
        Self::new(&parts, classes, features, classifier.feature_count())
    }

    fn seen(&self) -> Result<Seen<'_>, DetectorError> {
        Seen::new(&self.codes, &self.classes, Values::new("features", &self.features, self.width)?)
    }
}

/// What a run leaves to judge records with.
pub struct Fitted {
    /// Detectors of single records.
    pub detectors: Calibrated<CoordinatorDetector>,
    /// What batches are compared with, where they are.
    pub references: Option<References>,
}

/// Fits and calibrates detectors on the calibration part; none if the run has no such part.
pub fn fit(
    config: &CoordinatorConfig,
    plan: &Plan,
    classifier: &Classifier,
    gather: &dyn Fn(&[u32]) -> Vec<Vec<f32>>,
) -> anyhow::Result<Option<Fitted>> {
    let DetectorsConfig { kinds, combination, per_class, batch, .. } = &config.detectors;
    if plan.part(Part::Calibration).is_empty() {
        return Ok(None);
    }
    let fitted = || {
        let rows = split::split(plan.part(Part::Calibration));
        let [normal, scale, calibration] = rows.map(|rows| Rows::of(classifier, gather, rows));
        let (normal, scale, calibration) = (normal?, scale?, calibration?);
        let (scale, calibrating) = (scale.seen()?, calibration.seen()?);
        let fit = |kind: &CoordinatorKind| kind.fit(&normal.seen()?, classifier.targets(), config.seed);
        let detectors = kinds.iter().map(fit).collect::<Result<Vec<_>, _>>()?;
        let panel = Panel::new(detectors, *combination, &scale)?;
        let classes = per_class.then_some(calibration.classes.as_slice());
        let detectors = Calibrated::new(panel, &scale, &calibrating, classes)?;
        let references = batch.map(|_| References::new(normal.codes, calibration.codes)).transpose()?;
        Ok(Fitted { detectors, references })
    };
    let fitted: Result<_, DetectorError> = fitted();
    fitted
        .map(Some)
        .context("detectors of abnormal inputs (run.calibration_share sets how many records there are)")
}

/// The flags that test records get.
pub fn measure(
    config: &CoordinatorConfig,
    detectors: &Calibrated<CoordinatorDetector>,
    classifier: &Classifier,
    gather: &dyn Fn(&[u32]) -> Vec<Vec<f32>>,
    rows: &[u32],
) -> anyhow::Result<summary::Flags> {
    let (level, calibration) = (config.detectors.level, detectors.calibration().rows());
    let mut flagged = 0;
    if !rows.is_empty() {
        let seen = Rows::of(classifier, gather, rows)?;
        let classes = config.detectors.per_class.then_some(seen.classes.as_slice());
        let verdicts = detectors.judge(&seen.seen()?, classes, level, Some(config.seed))?;
        flagged = verdicts.iter().filter(|verdict| verdict.flagged).count();
    }
    let share = |count: usize| count as f64 / rows.len().max(1) as f64;
    let (low, high) = flags_interval(rows.len(), calibration, level, 0.99)?;
    Ok(summary::Flags {
        level,
        calibration,
        judged: rows.len(),
        flagged_share: share(flagged),
        interval_99: [share(low), share(high)],
    })
}

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
            detectors.calibration().check_level(config.level_of_each())?;
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
        let (batch, monitor) = (batch.transpose()?, Mutex::new(monitor.ok()));
        Ok(Some(Self { detectors, batch, config: config.clone(), width, monitor }))
    }

    /// The level.
    pub fn level(&self) -> f64 {
        self.config.level
    }

    /// Warns where the p-values of `grids`, the parties' own, leave a source that can flag nothing by itself.
    pub fn check_parties(&self, grids: &[Grid]) {
        let level = self.config.parties.level_of_each(self.config.level, 1 + grids.len());
        if grids.is_empty() {
            return;
        }
        if let Err(error) = self.detectors.calibration().check_level(level) {
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
        let rows = Rows::new(codes, classes.to_vec(), features.to_vec(), self.width)?;
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
                flags.drifted |= monitor.observe(verdict.score) == State::Drift;
            }
        }
        Ok(flags)
    }
}

impl Judge {
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
