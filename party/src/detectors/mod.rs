//! A party's own detectors of abnormal inputs. They are fitted and calibrated when a run ends, on records on which neither a
//! bottom model nor the top model was fitted, and judge records while predictions are served. At most a flag or a p-value of
//! a few bits, rounded up, leaves beside the code of a record; and once, when the run ends, of each record that calibrates, so
//! that the coordinator can calibrate what all sides say together.
//!
//! What leaves is the fraction of normal records that are as strange, which falls on beyond the strangest of them, and no
//! calibrated p-value: that ends at one over the number of records, so that several sources of few records each could flag
//! nothing.

mod anomaly_scorer;
pub mod config;
mod records;

use anyhow::Context;
use hashvfl_core::Part;
use hashvfl_core::p_value::{Grid, PackedPValues};
use hashvfl_detectors::calibration::split::shared_calibration;
use hashvfl_detectors::{Calibrated, CalibrationSplit, DetectorError, PartyDetector};

use crate::prepare::Prepared;
use config::DetectorsConfig;
use records::OwnedRows;

pub use anomaly_scorer::AnomalyScorer;
pub use config::{check, resolution};

/// Fits and calibrates the detectors of `config` on the calibration part of a run whose encoder is frozen.
pub fn fit(config: &DetectorsConfig, prepared: &Prepared) -> anyhow::Result<Calibrated<PartyDetector>> {
    let rows = CalibrationSplit::of(prepared.plan.part(Part::Calibration));
    let records = rows.try_map(|rows| OwnedRows::of(prepared, rows))?;
    fit_on(config, &records, prepared.seed())
        .context("this party's detectors of abnormal inputs ([detectors])")
}

/// What `detectors` say of the run's calibrating records, by `grid`: the same as would be sent of them beside their codes.
///
/// # Errors
/// If the table cannot be read.
pub fn calibration_p_values(
    detectors: &Calibrated<PartyDetector>,
    grid: Grid,
    prepared: &Prepared,
) -> anyhow::Result<PackedPValues> {
    let rows = shared_calibration(prepared.plan.part(Part::Calibration));
    let records = OwnedRows::of(prepared, rows)?;
    let fractions = detectors.fractions(&detectors.tail()?, &records.view()?)?;
    Ok(PackedPValues::pack(grid, &fractions)?)
}

fn fit_on(
    config: &DetectorsConfig,
    records: &CalibrationSplit<OwnedRows>,
    seed: u64,
) -> Result<Calibrated<PartyDetector>, DetectorError> {
    let CalibrationSplit { fit, scale, calibrate } = records.as_ref().try_map(OwnedRows::view)?;
    config.settings().fit(&fit, &scale, &calibrate, None, seed)
}
