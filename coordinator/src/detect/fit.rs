//! At the end of a run: detectors are fitted and calibrated, and measured on test records.

use anyhow::Context;
use hashvfl_core::p_value::Grid;
use hashvfl_core::{PackedCodes, Part, Plan};
use hashvfl_detectors::conformal::{flags_interval, rows_needed};
use hashvfl_detectors::tail::Tail;
use hashvfl_detectors::{
    Beside, Calibrated, Codes, CoordinatorDetector, CoordinatorKind, DetectorError, Evidence, Panel,
    References, Score, Seen, split,
};
use hashvfl_learning::Classifier;
use tracing::warn;

use super::{DetectorsConfig, Rows};
use crate::config::CoordinatorConfig;
use crate::summary;

/// What a run leaves to judge records with.
pub struct Fitted {
    /// Detectors of single records.
    pub detectors: Calibrated<CoordinatorDetector>,
    /// What batches are compared with, where they are.
    pub references: Option<References>,
    /// What all sources said of calibration records, where parties said anything.
    pub evidence: Option<Evidence>,
}

/// What a run leaves beside its models and codes.
#[derive(Clone, Copy)]
pub struct Left<'a> {
    /// Codes of drawn inputs, a chunk after the other: one part a party, or none.
    pub drawn: &'a [Vec<PackedCodes>],
    /// What each party's own detectors say of the calibrating records.
    pub said: &'a [Option<(Grid, PackedCodes)>],
}

/// Fits and calibrates detectors on the calibration part; none if the run has no such part.
pub fn fit(
    config: &CoordinatorConfig,
    plan: &Plan,
    classifier: &Classifier,
    gather: &dyn Fn(&[u32]) -> Vec<Vec<f32>>,
    left: Left<'_>,
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
        let chunks = left.drawn.iter().map(|parts| Codes::join(parts)).collect::<Result<Vec<_>, _>>()?;
        let drawn = Codes::stack(&chunks.iter().collect::<Vec<_>>())?;
        let beside = Beside { targets: classifier.targets(), drawn: Some(&drawn) };
        let fit = |kind: &CoordinatorKind| kind.fit(&normal.seen()?, beside, config.seed);
        let detectors = kinds.iter().map(fit).collect::<Result<Vec<_>, _>>()?;
        let panel = Panel::new(detectors, *combination, &scale)?;
        let classes = per_class.then_some(calibration.classes.as_slice());
        let detectors = Calibrated::new(panel, &scale, &calibrating, classes)?;
        let evidence = evidence(&detectors, &calibrating, (classes, left.said))?;
        let references = batch.map(|_| References::new(normal.codes, calibration.codes)).transpose()?;
        Ok(Fitted { detectors, references, evidence })
    };
    let fitted: Result<_, DetectorError> = fitted();
    fitted
        .map(Some)
        .context("detectors of abnormal inputs (run.calibration_share sets how many records there are)")
}

/// What all sources say of the calibrating rows, as many of them as parties were asked about; none where no party says
/// anything.
fn evidence(
    detectors: &Calibrated<CoordinatorDetector>,
    rows: &Seen<'_>,
    (classes, said): (Option<&[u32]>, &[Option<(Grid, PackedCodes)>]),
) -> Result<Option<Evidence>, DetectorError> {
    let Some((_, first)) = said.iter().flatten().next() else { return Ok(None) };
    let scale = Tail::new(detectors.reference().to_vec())?;
    let scores = detectors.panel().score(rows)?;
    let own: Vec<f64> = scores.iter().take(first.rows()).map(|score| scale.log_share(*score)).collect();
    let classes = classes.map(|classes| classes[..own.len()].to_vec());
    Evidence::new(own, classes, said).map(Some)
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
        let seen = Rows::of(classifier, gather, rows)?;
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
        flagged_share: share(flagged),
        interval_99: [share(low), share(high)],
    })
}
