//! At the end of a run, detectors are fitted and calibrated, and measured on test records.

use anyhow::Context;
use hashvfl_core::p_value::PackedPValues;
use hashvfl_core::text::counted;
use hashvfl_core::{PackedCodes, Part, Plan};
use hashvfl_detectors::calibration::conformal::{flags_interval, rows_needed};
use hashvfl_detectors::{
    Calibrated, CalibrationEvidence, CalibrationSplit, Codes, CoordinatorDetector, CoordinatorNormal,
    DetectorError, References, Score,
};
use hashvfl_learning::Classifier;
use tracing::warn;

use super::DetectorsConfig;
use super::records::OwnedRows;
use crate::summary;

/// What a run leaves to judge records with.
pub struct FittedDetectors {
    /// Detectors of single records.
    pub detectors: Calibrated<CoordinatorDetector>,
    /// Codes that batches are compared with, where the config asks for that.
    pub references: Option<References>,
    /// What all sides said of calibration records, where parties said anything.
    pub evidence: Option<CalibrationEvidence>,
}

/// What parties sent only for detectors.
#[derive(Clone, Copy)]
pub struct FromParties<'a> {
    /// Codes of synthetic inputs, one chunk after the other, each with one part per party.
    pub synthetic: &'a [Vec<PackedCodes>],
    /// What each party's own detectors say of the records that calibrate, in the run's order; empty where none were asked.
    pub p_values: &'a [Option<PackedPValues>],
}

/// Fits and calibrates detectors on the calibration part; `None` if the run has no such part.
///
/// # Errors
/// If there are too few records, or a detector cannot be fitted.
pub fn fit(
    config: &DetectorsConfig,
    seed: u64,
    plan: &Plan,
    classifier: &Classifier,
    gather: &dyn Fn(&[u32]) -> Vec<Vec<f32>>,
    from_parties: FromParties<'_>,
) -> anyhow::Result<Option<FittedDetectors>> {
    let rows = plan.part(Part::Calibration);
    if rows.is_empty() {
        return Ok(None);
    }
    CalibrationSplit::of(rows)
        .try_map(|rows| OwnedRows::of(classifier, gather, rows))
        .and_then(|records| fit_on(config, seed, classifier, records, from_parties))
        .map(Some)
        .context("detectors of abnormal inputs (run.calibration_fraction sets how many records there are)")
}

fn fit_on(
    config: &DetectorsConfig,
    seed: u64,
    classifier: &Classifier,
    records: CalibrationSplit<OwnedRows>,
    from_parties: FromParties<'_>,
) -> Result<FittedDetectors, DetectorError> {
    let chunks =
        from_parties.synthetic.iter().map(|parts| Codes::join(parts)).collect::<Result<Vec<_>, _>>()?;
    let synthetic = Codes::stack(&chunks.iter().collect::<Vec<_>>())?;
    let CalibrationSplit { fit, scale, calibrate } = records;
    let normal =
        CoordinatorNormal { rows: fit.view()?, targets: classifier.targets(), synthetic: Some(&synthetic) };
    let detectors = config.settings().fit(
        &normal,
        &scale.view()?,
        &calibrate.view()?,
        config.per_class.then_some(calibrate.classes.as_slice()),
        seed,
    )?;
    let evidence = evidence(config, &detectors, &calibrate, from_parties.p_values)?;
    let references = config.batch.map(|_| References::new(fit.codes, calibrate.codes)).transpose()?;
    Ok(FittedDetectors { detectors, references, evidence })
}

/// What all sides said of the calibrating records, of as many as parties were asked about; `None` where no party said anything.
fn evidence(
    config: &DetectorsConfig,
    detectors: &Calibrated<CoordinatorDetector>,
    calibrate: &OwnedRows,
    parties: &[Option<PackedPValues>],
) -> Result<Option<CalibrationEvidence>, DetectorError> {
    let Some(first) = parties.iter().flatten().next() else { return Ok(None) };
    let (count, tail) = (first.packed.rows(), detectors.tail()?);
    let scores = detectors.panel().score(&calibrate.view()?)?;
    let own: Vec<f64> = scores.iter().take(count).map(|score| tail.log_fraction(*score)).collect();
    let classes = config.per_class.then(|| calibrate.classes[..own.len()].to_vec());
    CalibrationEvidence::new(own, classes, parties).map(Some)
}

/// The flags that the test records `rows` get, with ties broken at random.
///
/// # Errors
/// If the calibration cannot tell the level.
pub fn measure(
    config: &DetectorsConfig,
    seed: u64,
    detectors: &Calibrated<CoordinatorDetector>,
    classifier: &Classifier,
    gather: &dyn Fn(&[u32]) -> Vec<Vec<f32>>,
    rows: &[u32],
) -> anyhow::Result<summary::FlagSummary> {
    let level = config.level;
    let calibration = detectors.calibration().rows_for(level);
    let mut flagged = 0;
    if !rows.is_empty() {
        let records = OwnedRows::of(classifier, gather, rows)?;
        let classes = config.per_class.then_some(records.classes.as_slice());
        let verdicts = detectors.judge(&records.view()?, classes, level, Some(seed))?;
        flagged = verdicts.iter().filter(|verdict| verdict.flagged).count();
    }
    let (low, high) = flags_interval(rows.len(), calibration, level, 0.99)?;
    let silent = detectors.calibration().silent_classes(classifier.meaning().outputs(), level);
    if silent > 0 {
        warn!(
            "detectors.per_class: {} with fewer calibrating records than the {} that level {level} needs: records \
             predicted as one of these are never flagged",
            counted(silent, "class"),
            rows_needed(level)
        );
    }
    // Nobody knows how many records of such classes there are.
    let low = if silent > 0 { 0 } else { low };
    let judged = rows.len();
    Ok(summary::FlagSummary {
        level,
        calibration,
        judged,
        flagged_fraction: fraction(flagged, judged),
        interval_99: [fraction(low, judged), fraction(high, judged)],
    })
}

fn fraction(count: usize, of: usize) -> f64 {
    count as f64 / of.max(1) as f64
}
