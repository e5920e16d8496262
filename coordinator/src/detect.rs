//! Detectors of abnormal inputs at the coordinator: fitted and calibrated at the end of a run, on records that fitted
//! no model and on which none was chosen, and judging records when predictions are served.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, ensure};
use hashvfl_core::{Part, Plan};
use hashvfl_detectors::conformal::{flags_interval, rows_needed};
use hashvfl_detectors::drift::{Monitor, State};
use hashvfl_detectors::{
    Calibrated, Codes, Combination, CoordinatorDetector, CoordinatorKind, DetectorError, Panel, Seen, Values,
    file,
};
use hashvfl_learning::Classifier;
use serde::Deserialize;
use tracing::warn;

use crate::config::CoordinatorConfig;
use crate::summary;

/// Share of the calibration part on which detectors are fitted, and on which their scales are.
const SHARES: [f64; 2] = [0.5, 0.2];
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
    /// Whether p-values are calibrated for each predicted class alone.
    pub per_class: bool,
}

impl Default for DetectorsConfig {
    fn default() -> Self {
        let kinds = CoordinatorKind::DEFAULT.to_vec();
        Self { level: 0.01, kinds, combination: Combination::default(), per_class: false }
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
        Ok(())
    }
}

/// Rows of the calibration part: those that fit detectors, their scales, and those that calibrate.
fn split(plan: &Plan) -> [&[u32]; 3] {
    let rows = plan.part(Part::Calibration);
    let at = |share: f64| (rows.len() as f64 * share).round() as usize;
    let (fit, rest) = rows.split_at(at(SHARES[0]));
    let (scale, calibrate) = rest.split_at(at(SHARES[1]).min(rest.len()));
    [fit, scale, calibrate]
}

/// Whether the calibration part, if there is one, is large enough for the level.
pub fn check(config: &DetectorsConfig, plan: &Plan) -> anyhow::Result<()> {
    let records = plan.part(Part::Calibration).len();
    let (found, needed) = (split(plan)[2].len(), rows_needed(config.level));
    let of_all = (needed as f64 / (1.0 - SHARES[0] - SHARES[1])).ceil() as usize;
    ensure!(
        records == 0 || found >= needed,
        "detectors.level = {} needs {needed} calibration records, and {found} of the {records} of run.calibration_share \
         are left for that beside those that fit the detectors: raise the share to at least {of_all} records, or the level",
        config.level
    );
    Ok(())
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

/// Fits and calibrates detectors on the calibration part; none if the run has no such part.
pub fn fit(
    config: &CoordinatorConfig,
    plan: &Plan,
    classifier: &Classifier,
    gather: &dyn Fn(&[u32]) -> Vec<Vec<f32>>,
) -> anyhow::Result<Option<Calibrated<CoordinatorDetector>>> {
    let DetectorsConfig { kinds, combination, per_class, .. } = &config.detectors;
    if plan.part(Part::Calibration).is_empty() {
        return Ok(None);
    }
    let fitted = || {
        let [normal, scale, calibration] = split(plan).map(|rows| Rows::of(classifier, gather, rows));
        let (normal, scale, calibration) = (normal?, scale?, calibration?);
        let (scale, calibrating) = (scale.seen()?, calibration.seen()?);
        let fit = |kind: &CoordinatorKind| kind.fit(&normal.seen()?, classifier.targets(), config.seed);
        let detectors = kinds.iter().map(fit).collect::<Result<Vec<_>, _>>()?;
        let panel = Panel::new(detectors, *combination, &scale)?;
        Calibrated::new(panel, &scale, &calibrating, per_class.then_some(calibration.classes.as_slice()))
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
    level: f64,
    per_class: bool,
    width: usize,
    monitor: Mutex<Option<Monitor>>,
}

impl Judge {
    /// The detectors that a run has left in `path`, for codes of these lengths and so many features; none if it left
    /// none.
    ///
    /// # Errors
    /// If the file is damaged, or for other codes, or its calibration cannot tell the level.
    pub fn load(
        path: &Path,
        config: &DetectorsConfig,
        lengths: &[usize],
        width: usize,
    ) -> anyhow::Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let loaded = || {
            let detectors: Calibrated<CoordinatorDetector> = file::read(path)?;
            // A record of each kind of size shows whether all detectors take them.
            let parts: Vec<Vec<f32>> = lengths.iter().map(|bits| vec![1.0; *bits]).collect();
            let probe = Rows::new(&parts, vec![0], vec![0.0; width], width)?;
            detectors.panel().scores_of_each(&probe.seen()?)?;
            detectors.calibration().check_level(config.level)?;
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
        let (level, per_class, monitor) = (config.level, config.per_class, Mutex::new(monitor.ok()));
        Ok(Some(Self { detectors, level, per_class, width, monitor }))
    }

    /// The level.
    pub fn level(&self) -> f64 {
        self.level
    }

    /// Judges records by their codes, classes and features; `whole` says of which all parties' bits are there.
    pub fn judge(
        &self,
        codes: &[Vec<f32>],
        classes: &[u32],
        features: &[f32],
        whole: Vec<bool>,
    ) -> Result<Flags, DetectorError> {
        let rows = Rows::new(codes, classes.to_vec(), features.to_vec(), self.width)?;
        let by_class = self.per_class.then_some(classes);
        let verdicts = self.detectors.judge(&rows.seen()?, by_class, self.level, None)?;
        let mut flags = Flags::default();
        let mut monitor = self.monitor.lock().unwrap_or_else(PoisonError::into_inner);
        for (verdict, whole) in verdicts.iter().zip(whole) {
            flags.p_values.push(if whole { verdict.p_value as f32 } else { f32::NAN });
            flags.flagged.push(whole && verdict.flagged);
            if let Some(monitor) = monitor.as_mut().filter(|_| whole) {
                flags.drifted |= monitor.observe(verdict.score) == State::Drift;
            }
        }
        Ok(flags)
    }
}

fn halves(scores: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let pairs = scores.chunks(2);
    (pairs.clone().map(|pair| pair[0]).collect(), pairs.filter_map(|pair| pair.get(1).copied()).collect())
}
