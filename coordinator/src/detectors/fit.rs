//! At the end of a run: detectors are fitted and calibrated, and measured on test records.

use anyhow::Context;
use hashvfl_core::{PackedCodes, Part, Plan};
use hashvfl_detectors::calibration::conformal::{flags_interval, rows_needed};
use hashvfl_detectors::{
    Calibrated, Codes, CoordinatorDetector, CoordinatorKind, DetectorError, FitExtras, Panel, References,
    split,
};
use hashvfl_learning::Classifier;
use tracing::warn;

use super::{DetectorsConfig, OwnedRows};
use crate::config::CoordinatorConfig;
use crate::summary;

/// What a run leaves to judge records with.
pub struct Fitted {
    /// Detectors of single records.
    pub detectors: Calibrated<CoordinatorDetector>,
    /// What batches are compared with, where they are.
    pub references: Option<References>,
}

/// Fits and calibrates detectors on the calibration part; none if the run has no such part. `synthetic` are codes of drawn
/// inputs, a chunk after the other, one part a party.
pub fn fit(
    config: &CoordinatorConfig,
    plan: &Plan,
    classifier: &Classifier,
    gather: &dyn Fn(&[u32]) -> Vec<Vec<f32>>,
    synthetic: &[Vec<PackedCodes>],
) -> anyhow::Result<Option<Fitted>> {
    let DetectorsConfig { kinds, combination, per_class, batch, .. } = &config.detectors;
    if plan.part(Part::Calibration).is_empty() {
        return Ok(None);
    }
    let fitted = || {
        let rows = split::split(plan.part(Part::Calibration));
        let [normal, scale, calibration] = rows.map(|rows| OwnedRows::of(classifier, gather, rows));
        let (normal, scale, calibration) = (normal?, scale?, calibration?);
        let (scale, calibrating) = (scale.seen()?, calibration.seen()?);
        let chunks = synthetic.iter().map(|parts| Codes::join(parts)).collect::<Result<Vec<_>, _>>()?;
        let synthetic = Codes::stack(&chunks.iter().collect::<Vec<_>>())?;
        let beside = FitExtras { targets: classifier.targets(), synthetic: Some(&synthetic) };
        let fit = |kind: &CoordinatorKind| kind.fit(&normal.seen()?, beside, config.seed);
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
        .context("detectors of abnormal inputs (run.calibration_fraction sets how many records there are)")
}

/// The flags that test records get.
pub fn measure(
    config: &CoordinatorConfig,
    detectors: &Calibrated<CoordinatorDetector>,
    classifier: &Classifier,
    gather: &dyn Fn(&[u32]) -> Vec<Vec<f32>>,
    rows: &[u32],
) -> anyhow::Result<summary::Flags> {
    let level = config.detectors.level;
    let calibration = detectors.calibration().rows_for(level);
    let mut flagged = 0;
    if !rows.is_empty() {
        let seen = OwnedRows::of(classifier, gather, rows)?;
        let classes = config.detectors.per_class.then_some(seen.classes.as_slice());
        let verdicts = detectors.judge(&seen.seen()?, classes, level, Some(config.seed))?;
        flagged = verdicts.iter().filter(|verdict| verdict.flagged).count();
    }
    let share = |count: usize| count as f64 / rows.len().max(1) as f64;
    let (low, high) = flags_interval(rows.len(), calibration, level, 0.99)?;
    let silent = detectors.calibration().silent_classes(classifier.meaning().outputs(), level);
    if silent > 0 {
        warn!(
            "detectors.per_class: {silent} classes have fewer calibration records than the {} that level {level} needs: \
             records predicted as one of these are never flagged",
            rows_needed(level)
        );
    }
    // Nobody knows how many records there are of such classes.
    let low = if silent > 0 { 0 } else { low };
    Ok(summary::Flags {
        level,
        calibration,
        judged: rows.len(),
        flagged_fraction: share(flagged),
        interval_99: [share(low), share(high)],
    })
}
