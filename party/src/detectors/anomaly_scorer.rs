//! While predictions are served, the party's detectors say how rare records are.

use std::path::Path;

use anyhow::{Context, ensure};
use hashvfl_core::p_value::Grid;
use hashvfl_core::{Digest, PackedCodes};
use hashvfl_detectors::calibration::tail::Tail;
use hashvfl_detectors::{Calibrated, DetectorError, PartyDetector, file};

use super::config::DetectorsConfig;
use super::records::Widths;
use crate::prepare::Prepared;

/// Detectors at work.
pub struct AnomalyScorer {
    detectors: Calibrated<PartyDetector>,
    tail: Tail,
    grid: Grid,
    widths: Widths,
    digest: Digest,
}

impl AnomalyScorer {
    /// The detectors that a run has left at `path`; `None` where nothing of their judgement is to be sent.
    ///
    /// # Errors
    /// If they are missing, damaged, or for other columns or codes, or their calibration cannot tell the level.
    pub fn load(
        config: Option<&DetectorsConfig>,
        path: &Path,
        prepared: &Prepared,
    ) -> anyhow::Result<Option<Self>> {
        let Some(config) = config else { return Ok(None) };
        let Some(grid) = config.grid() else { return Ok(None) };
        ensure!(
            path.exists(),
            "{} does not exist: a party fits its detectors when a run finishes, if its config has [detectors]",
            path.display()
        );
        Self::read(path, grid, config.settings().level, Widths::of(prepared))
            .map(Some)
            .with_context(|| format!("detectors in {}", path.display()))
    }

    fn read(path: &Path, grid: Grid, level: f64, widths: Widths) -> Result<Self, DetectorError> {
        let bytes = file::read_bytes(path)?;
        let detectors: Calibrated<PartyDetector> = file::from_bytes(&bytes)?;
        let probe = (vec![0.0; widths.columns], vec![0.0; widths.latents]);
        detectors.check_use(&widths.view(&probe.0, &probe.1)?, level)?;
        // What earlier versions sent were p-values by the party's own calibration: others, of the same detectors.
        let digest =
            Digest::of_parts([b"fractions", bytes.as_slice(), &[grid.bits() as u8, grid.step() as u8]]);
        Ok(Self { tail: detectors.tail()?, detectors, grid, widths, digest })
    }

    /// The p-values that are sent.
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// Names all that turns columns and embeddings into what is sent.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What is sent of records with these `columns` [rows, columns] and this `embedding` [rows, latents].
    ///
    /// # Errors
    /// If the records have other sizes than those that the detectors were fitted on.
    pub fn judge(&self, columns: &[f32], embedding: &[f32]) -> anyhow::Result<PackedCodes> {
        let rows = self.widths.view(columns, embedding)?;
        Ok(self.grid.pack(&self.detectors.fractions(&self.tail, &rows)?)?)
    }
}
