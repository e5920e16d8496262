//! A party's own detectors of abnormal inputs: fitted at the end of a run, on records that fitted neither bottom model nor
//! top model, and judging records while predictions are served. At most a flag or a p-value of a few bits leaves, rounded
//! up, beside a record's code; and once the same of the run's calibration records, on which the coordinator calibrates
//! what it makes of them.
//!
//! What leaves is no calibrated p-value: it is the share of other normal records that score as high, which falls on beyond
//! the last of them. So records that no normal one is like still differ.

use anyhow::{Context, ensure};
use hashvfl_core::p_value::Grid;
use hashvfl_core::plan::CHUNK_ROWS;
use hashvfl_core::{Digest, PackedCodes, Part, Plan};
use hashvfl_detectors::{
    Combination, DetectorError, Local, Panel, PartyDetector, PartyKind, Scaled, Values, file, split,
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
    /// The level of a flag.
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
}

/// Whether the run has records to fit the detectors on.
pub fn check(config: &PartyConfig, plan: &Plan) -> anyhow::Result<()> {
    if config.detectors.is_none() {
        return Ok(());
    }
    let rows = plan.part(Part::Calibration);
    ensure!(
        !rows.is_empty(),
        "[detectors] needs run.calibration_share above 0: records on which detectors are fitted"
    );
    Ok(split::check_fit(rows)?)
}

/// Fits the detectors of `config` on the calibration part of a run whose encoder is frozen.
pub fn fit(config: &DetectorsConfig, prepared: &Prepared) -> anyhow::Result<Scaled<PartyDetector>> {
    let [normal, scale, _] = split::split(prepared.plan.part(Part::Calibration));
    let (normal, scale) = (Rows::of(prepared, normal)?, Rows::of(prepared, scale)?);
    let fitted = || -> Result<_, DetectorError> {
        let detectors = config.kinds.iter().map(|kind| kind.fit(&normal.local()?, prepared.seed()));
        let panel = Panel::new(detectors.collect::<Result<_, _>>()?, config.combination, &scale.local()?)?;
        Scaled::new(panel, &scale.local()?)
    };
    fitted().context("this party's detectors of abnormal inputs ([detectors])")
}

/// What `detectors` say of the run's calibrating records, as it would be sent of predicted ones.
pub fn judge_calibrating(
    detectors: &Scaled<PartyDetector>,
    grid: Grid,
    prepared: &Prepared,
) -> anyhow::Result<PackedCodes> {
    let rows = Rows::of(prepared, split::calibrating(prepared.plan.part(Part::Calibration)))?;
    Ok(grid.pack(&detectors.shares(&rows.local()?)?)?)
}

/// Records as detectors see them.
struct Rows {
    columns: Vec<f32>,
    embedding: Vec<f32>,
    widths: [usize; 2],
}

impl Rows {
    fn of(prepared: &Prepared, rows: &[u32]) -> Result<Self, TableError> {
        let (mut columns, mut embedding) = (Vec::new(), Vec::new());
        for rows in rows.chunks(CHUNK_ROWS) {
            let some = prepared.columns.gather(rows)?;
            columns.extend_from_slice(&some);
            embedding.extend(prepared.encoder.encode(some, rows.len()));
        }
        Ok(Self { columns, embedding, widths: widths(prepared) })
    }

    fn local(&self) -> Result<Local<'_>, DetectorError> {
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
) -> Result<Local<'a>, DetectorError> {
    Local::new(Values::new("columns", columns, columns_wide)?, Values::new("the embedding", embedding, bits)?)
}

/// Detectors at work.
pub struct Judge {
    detectors: Scaled<PartyDetector>,
    grid: Grid,
    widths: [usize; 2],
    digest: Digest,
}

impl Judge {
    /// The detectors that a run has left; none where nothing of their judgement is to be sent.
    ///
    /// # Errors
    /// If they are not there, damaged, or of other columns or codes.
    pub fn load(config: &PartyConfig, prepared: &Prepared) -> anyhow::Result<Option<Self>> {
        let Some(grid) = config.detectors.as_ref().and_then(DetectorsConfig::grid) else {
            return Ok(None);
        };
        let path = config.detectors_path();
        ensure!(
            path.exists(),
            "{} is not there: a party fits its detectors when a run finishes, where its config has [detectors]",
            path.display()
        );
        let widths = widths(prepared);
        let loaded = || -> Result<Self, DetectorError> {
            let bytes = file::read_bytes(&path)?;
            let detectors: Scaled<PartyDetector> = file::from_bytes(&bytes)?;
            let (bits, step) = (grid.bits() as u8, grid.step() as u8);
            let digest = Digest::of_parts([bytes.as_slice(), &[bits, step]]);
            // A record of each kind of size shows whether all detectors take them.
            detectors.shares(&local(&vec![0.0; widths[0]], &vec![0.0; widths[1]], widths)?)?;
            Ok(Self { detectors, grid, widths, digest })
        };
        loaded().map(Some).with_context(|| {
            format!(
                "detectors in {} (those of an earlier version are fitted anew by another run)",
                path.display()
            )
        })
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
        Ok(self.grid.pack(&self.detectors.shares(&local(columns, embedding, self.widths)?)?)?)
    }
}
