//! A party's own detectors of abnormal inputs: fitted and calibrated at the end of a run, on records that fitted neither
//! bottom model nor top model, and judging records while predictions are served. At most a flag or a p-value of a few
//! bits leaves, rounded up, beside a record's code.

use anyhow::{Context, ensure};
use hashvfl_core::p_value::Grid;
use hashvfl_core::records::plan::CHUNK_ROWS;
use hashvfl_core::{Digest, PackedCodes, Part, Plan};
use hashvfl_detectors::{
    Calibrated, Combination, DetectorError, Panel, PartyDetector, PartyKind, PartyRows, Values, file, split,
};
use serde::Deserialize;

use hashvfl_data::TableError;

use crate::config::PartyConfig;
use crate::prepare::Prepared;

/// What of a record's judgement leaves beside its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Send {
    /// Nothing.
    #[default]
    Nothing,
    /// One bit: whether the p-value is at most the largest power of two that is the level or less.
    Flag,
    /// Four bits: the p-value, rounded up to a power of two, 2^-15 at least.
    PValue,
}

/// The `[detectors]` table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectorsConfig {
    /// What leaves.
    pub send: Send,
    /// The level that p-values must be able to be as low as, and of a flag.
    pub level: f64,
    /// Which detectors.
    pub kinds: Vec<PartyKind>,
    /// How their p-values become one.
    pub combination: Combination,
}

impl Default for DetectorsConfig {
    fn default() -> Self {
        let kinds = PartyKind::DEFAULT.to_vec();
        Self { send: Send::default(), level: 0.01, kinds, combination: PartyKind::COMBINATION }
    }
}

impl DetectorsConfig {
    /// Checks every range.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!(Grid::flag(self.level).is_some(), "level must be from 2^-15 to below 1, not {}", self.level);
        ensure!(!self.kinds.is_empty(), "kinds must name a detector; without any, leave the table out");
        Ok(())
    }

    /// The p-values that are sent.
    pub fn grid(&self) -> Option<Grid> {
        match self.send {
            Send::Nothing => None,
            Send::Flag => Grid::flag(self.level),
            Send::PValue => Some(Grid::FINE),
        }
    }

    /// The level that the calibration must be able to tell: a flag's is a power of two.
    fn calibrated_level(&self) -> f64 {
        match self.send {
            Send::Flag => Grid::flag(self.level).map_or(self.level, Grid::least),
            Send::Nothing | Send::PValue => self.level,
        }
    }
}

/// Whether the run has records to fit and calibrate the detectors on, enough for their level.
pub fn check(config: &PartyConfig, plan: &Plan) -> anyhow::Result<()> {
    let Some(detectors) = &config.detectors else { return Ok(()) };
    let rows = plan.part(Part::Calibration);
    ensure!(
        !rows.is_empty(),
        "[detectors] needs run.calibration_fraction above 0: records on which detectors are fitted and calibrated"
    );
    Ok(split::check(rows, detectors.calibrated_level())?)
}

/// Fits and calibrates the detectors of `config` on the calibration part of a run whose encoder is frozen.
pub fn fit(config: &DetectorsConfig, prepared: &Prepared) -> anyhow::Result<Calibrated<PartyDetector>> {
    let rows = split::split(prepared.plan.part(Part::Calibration));
    let [normal, scale, calibration] = rows.map(|rows| OwnedRows::of(prepared, rows));
    let (normal, scale, calibration) = (normal?, scale?, calibration?);
    let fitted = || -> Result<_, DetectorError> {
        let (normal, scale) = (normal.local()?, scale.local()?);
        let detectors = config.kinds.iter().map(|kind| kind.fit(&normal, prepared.seed()));
        let panel = Panel::new(detectors.collect::<Result<_, _>>()?, config.combination, &scale)?;
        Calibrated::new(panel, &scale, &calibration.local()?, None)
    };
    fitted().context("this party's detectors of abnormal inputs ([detectors])")
}

/// Records as detectors see them.
struct OwnedRows {
    columns: Vec<f32>,
    embedding: Vec<f32>,
    widths: [usize; 2],
}

impl OwnedRows {
    fn of(prepared: &Prepared, rows: &[u32]) -> Result<Self, TableError> {
        let (mut columns, mut embedding) = (Vec::new(), Vec::new());
        for rows in rows.chunks(CHUNK_ROWS) {
            let some = prepared.columns.gather(rows)?;
            columns.extend_from_slice(&some);
            embedding.extend(prepared.encoder.encode(some, rows.len()));
        }
        Ok(Self { columns, embedding, widths: widths(prepared) })
    }

    fn local(&self) -> Result<PartyRows<'_>, DetectorError> {
        local(&self.columns, &self.embedding, self.widths)
    }
}

fn widths(prepared: &Prepared) -> [usize; 2] {
    [prepared.columns.cols(), prepared.encoder.bits()]
}

fn local<'a>(
    columns: &'a [f32],
    embedding: &'a [f32],
    [columns_wide, bits]: [usize; 2],
) -> Result<PartyRows<'a>, DetectorError> {
    PartyRows::new(
        Values::new("columns", columns, columns_wide)?,
        Values::new("the embedding", embedding, bits)?,
    )
}

/// Detectors at work.
pub struct AnomalyScorer {
    detectors: Calibrated<PartyDetector>,
    grid: Grid,
    level: f64,
    widths: [usize; 2],
    digest: Digest,
}

impl AnomalyScorer {
    /// The detectors that a run has left; none where nothing of their judgement is to be sent.
    ///
    /// # Errors
    /// If they are not there, damaged, of other columns or codes, or their calibration cannot tell the level.
    pub fn load(config: &PartyConfig, prepared: &Prepared) -> anyhow::Result<Option<Self>> {
        let Some((settings, grid)) = config.detectors.as_ref().and_then(|own| Some((own, own.grid()?)))
        else {
            return Ok(None);
        };
        let path = config.detectors_path();
        ensure!(
            path.exists(),
            "{} is not there: a party fits its detectors when a run finishes, where its config has [detectors]",
            path.display()
        );
        let (level, widths) = (settings.calibrated_level(), widths(prepared));
        let loaded = || -> Result<Self, DetectorError> {
            let bytes = file::read_bytes(&path)?;
            let detectors: Calibrated<PartyDetector> = file::from_bytes(&bytes)?;
            detectors.calibration().check_level(level)?;
            let (bits, step) = (grid.bits() as u8, grid.step() as u8);
            let digest = Digest::of_parts([bytes.as_slice(), &[bits, step]]);
            let judge = Self { detectors, grid, level, widths, digest };
            // A record of each kind of size shows whether all detectors take them.
            judge.p_values(&vec![0.0; widths[0]], &vec![0.0; widths[1]])?;
            Ok(judge)
        };
        loaded().map(Some).with_context(|| format!("detectors in {}", path.display()))
    }

    /// The p-values that are sent.
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// Names all that turns columns and embeddings into what is sent.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What is sent of records with these `columns` [rows, columns] and this `embedding` [rows, bits].
    pub fn judge(&self, columns: &[f32], embedding: &[f32]) -> anyhow::Result<PackedCodes> {
        Ok(self.grid.pack(&self.p_values(columns, embedding)?)?)
    }

    fn p_values(&self, columns: &[f32], embedding: &[f32]) -> Result<Vec<f64>, DetectorError> {
        let verdicts =
            self.detectors.judge(&local(columns, embedding, self.widths)?, None, self.level, None)?;
        Ok(verdicts.iter().map(|verdict| verdict.p_value).collect())
    }
}
