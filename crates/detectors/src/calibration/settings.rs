//! What the `[detectors]` tables of both sides have in common: which detectors, at which level.

use super::panel::{Calibrated, Panel};
use super::split;
use crate::detector::DetectorKind;
use crate::error::DetectorError;

/// The detectors of one side, and how they become one p-value.
#[derive(Debug, Clone, Copy)]
pub struct DetectorSettings<'a, K> {
    /// Which detectors.
    pub kinds: &'a [K],
    /// The level that p-values must be able to reach, above 0 and below 1.
    pub level: f64,
}

impl<K: DetectorKind> DetectorSettings<'_, K> {
    /// Checks what can be checked without records.
    ///
    /// # Errors
    /// If no detector is named.
    pub fn check(&self) -> Result<(), DetectorError> {
        if !self.kinds.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = K::ALL.iter().map(|kind| kind.name()).collect();
        Err(DetectorError::NoKinds { known: names.join(", ") })
    }

    /// Checks that the calibration part `rows` of a run can fit the detectors and tell the level; `what` is the setting that
    /// needs the part.
    ///
    /// # Errors
    /// If the part is empty or too small.
    pub fn check_part(&self, rows: &[u32], what: &'static str) -> Result<(), DetectorError> {
        if rows.is_empty() {
            return Err(DetectorError::NoPart { what });
        }
        split::check(rows, self.level)
    }

    /// Fits the detectors to `normal` rows, learns their common scale on `scale` and calibrates them on `calibrate`. Predicted
    /// classes are calibrated apart where `classes` of the latter are given.
    ///
    /// # Errors
    /// If there are too few rows, or a detector cannot be fitted.
    pub fn fit<'r>(
        &self,
        normal: &K::Normal<'_>,
        scale: &K::Observations<'r>,
        calibrate: &K::Observations<'r>,
        classes: Option<&[u32]>,
        seed: u64,
    ) -> Result<Calibrated<K::Fitted>, DetectorError> {
        let mut detectors = Vec::with_capacity(self.kinds.len());
        for kind in self.kinds {
            detectors.push(kind.fit(normal, seed)?);
        }
        let panel = Panel::new(detectors, K::COMBINATION, scale)?;
        Calibrated::new(panel, scale, calibrate, classes)
    }
}
