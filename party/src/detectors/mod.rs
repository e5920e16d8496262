//! A party's own detectors of abnormal inputs. They are fitted and calibrated when a run ends, on records on which neither a
//! bottom model nor the top model was fitted, and judge records while predictions are served. At most a flag or a p-value of
//! a few bits, rounded up, leaves beside the code of a record.

mod anomaly_scorer;
pub mod config;
mod records;

use anyhow::Context;
use hashvfl_core::Part;
use hashvfl_detectors::{Calibrated, DetectorError, PartyDetector, Split};

use crate::prepare::Prepared;
use config::DetectorsConfig;
use records::OwnedRows;

pub use anomaly_scorer::AnomalyScorer;
pub use config::check;

/// Fits and calibrates the detectors of `config` on the calibration part of a run whose encoder is frozen.
pub fn fit(config: &DetectorsConfig, prepared: &Prepared) -> anyhow::Result<Calibrated<PartyDetector>> {
    let rows = Split::of(prepared.plan.part(Part::Calibration));
    let records = rows.try_map(|rows| OwnedRows::of(prepared, rows))?;
    fit_on(config, &records, prepared.seed())
        .context("this party's detectors of abnormal inputs ([detectors])")
}

fn fit_on(
    config: &DetectorsConfig,
    records: &Split<OwnedRows>,
    seed: u64,
) -> Result<Calibrated<PartyDetector>, DetectorError> {
    let Split { fit, scale, calibrate } = records.as_ref().try_map(OwnedRows::view)?;
    config.settings().fit(&fit, &scale, &calibrate, None, seed)
}
