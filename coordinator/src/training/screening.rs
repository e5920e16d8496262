//! Screening of training records: records whose codes and labels do not go together are reported, weighed down or dropped.
//!
//! It acts after some epochs, on the codes that parties have sent in the last of them anyway, and again before the top model
//! is refitted on stored codes. No record is judged by detectors that were fitted on it ([`hashvfl_detectors::screening`]).
//! What parties send does not depend on it; a record of weight 0 gets a gradient of zeros.

use std::collections::HashSet;
use std::error::Error;
use std::path::{Path, PathBuf};

use anyhow::Context;
use hashvfl_core::Digest;
use hashvfl_detectors::screening::{GivenLabels, Labelled, Screened, label_p_values};
use hashvfl_detectors::{Codes, DetectorError};
use hashvfl_files::{read_whole, write_whole};
use hashvfl_learning::top::loss::Labels;
use hashvfl_learning::training::ScreeningPoint;
use serde::{Deserialize, Serialize};
use tracing::info;

use crate::config::ScreeningConfig;
use crate::summary;

/// Judges training records and keeps what it finds, during a run on disk as well: one that goes on from a checkpoint needs it.
pub struct Screener<'a> {
    config: &'a ScreeningConfig,
    labels: Labels,
    seed: u64,
    file: Option<PathBuf>,
    found: Vec<ScreeningFinding>,
}

#[derive(Serialize, Deserialize)]
struct ScreeningFinding {
    at: ScreeningPoint,
    rows: Vec<u32>,
    screened: Screened,
}

/// What was found, behind its digest.
fn to_bytes(found: &[ScreeningFinding]) -> serde_json::Result<Vec<u8>> {
    let text = serde_json::to_vec(found)?;
    Ok([Digest::of(&text).0.as_slice(), &text].concat())
}

/// Reads [`to_bytes`]; `None` where a bit has changed since.
fn from_bytes(bytes: &[u8]) -> Option<Vec<ScreeningFinding>> {
    let (digest, text) = bytes.split_at_checked(32)?;
    let is_whole = Digest::of(text).0 == digest;
    serde_json::from_slice(text).ok().filter(|_| is_whole)
}

impl<'a> Screener<'a> {
    /// A screener of records with these labels.
    pub fn new(config: &'a ScreeningConfig, labels: Labels, seed: u64) -> Self {
        Self { config, labels, seed, file: None, found: Vec::new() }
    }

    /// The same, which keeps what it finds in `file`.
    pub fn keeping(self, file: PathBuf) -> Self {
        Self { file: Some(file), ..self }
    }

    /// Goes on behind `epochs` epochs with what was found in them; weights of records are in the checkpoint.
    ///
    /// # Errors
    /// If what was found is not on disk.
    pub fn go_on(&mut self, epochs: u32) -> anyhow::Result<()> {
        let Some(file) = self.file.as_ref().filter(|_| epochs >= self.config.after_epochs) else {
            return Ok(());
        };
        let path = file.display();
        let bytes = read_whole(file).with_context(|| {
            format!("cannot read {path}: start with --fresh to discard the unfinished run")
        })?;
        let mut found = from_bytes(&bytes).with_context(|| {
            format!("{path} is damaged: start with --fresh to discard the unfinished run")
        })?;
        // Records are judged anew before the refit.
        found.retain(|found| matches!(found.at, ScreeningPoint::Epoch(_)));
        self.found = found;
        Ok(())
    }

    /// The weight of each of `rows`, from 0 to 1; the codes are the signs of `parts[party]` [rows, bits].
    ///
    /// # Errors
    /// If there are too few records.
    pub fn judge(
        &mut self,
        at: ScreeningPoint,
        rows: &[u32],
        parts: &[Vec<f32>],
    ) -> Result<Vec<f32>, Box<dyn Error + Send + Sync>> {
        let settings = self.config.settings();
        let screened = settings.run::<DetectorError>(rows.len(), self.seed, |fold| {
            let judged = Picked::of(&self.labels, rows, parts, &fold.judged)?;
            let others =
                fold.others.as_ref().try_map(|places| Picked::of(&self.labels, rows, parts, places))?;
            let labelled = others.as_ref().try_map(Picked::labelled)?;
            label_p_values(&labelled, &judged.labelled()?, settings.level, self.seed)
        })?;
        info!(flagged = screened.flagged, of = rows.len(), ?at, "training records screened");
        let weights = screened.weights.clone();
        self.found.push(ScreeningFinding { at, rows: rows.to_vec(), screened });
        if let Some(file) = &self.file {
            write_whole(file, &to_bytes(&self.found)?)?;
        }
        Ok(weights)
    }

    /// What was found, for the summary.
    pub fn summary(&self) -> Vec<summary::ScreeningSummary> {
        let mut summaries = Vec::with_capacity(self.found.len());
        for ScreeningFinding { at, rows, screened } in &self.found {
            let weight = screened.weights.iter().map(|weight| f64::from(*weight)).sum::<f64>();
            summaries.push(summary::ScreeningSummary {
                after: match at {
                    ScreeningPoint::Epoch(epoch) => format!("epoch {epoch}"),
                    ScreeningPoint::Refit => "freeze".to_string(),
                },
                action: self.config.action,
                level: self.config.level,
                judged: rows.len(),
                flagged: screened.flagged,
                mean_weight: weight / rows.len().max(1) as f64,
            });
        }
        summaries
    }

    /// The flagged records of the last time as CSV, the strangest first; `None` where no record was judged.
    pub fn table(&self, ids: &[String]) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(ScreeningFinding { rows, screened, .. }) = self.found.last() else { return Ok(None) };
        let mut flagged: Vec<usize> =
            (0..rows.len()).filter(|at| screened.p_values[*at] <= self.config.level).collect();
        flagged.sort_by(|a, b| screened.p_values[*a].total_cmp(&screened.p_values[*b]));
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record(["id", "p_value", "weight"])?;
        for at in flagged {
            let id = ids.get(rows[at] as usize).map_or("", String::as_str);
            let (p_value, weight) = (screened.p_values[at].to_string(), screened.weights[at].to_string());
            csv.write_record([id, &p_value, &weight])?;
        }
        Ok(Some(csv.into_inner()?))
    }
}

/// Removes the records `ids` from the table at `path`, if that exists.
pub fn erase(path: &Path, ids: &HashSet<&str>) -> anyhow::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let text = read_whole(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut table = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_slice());
    let mut kept = csv::Writer::from_writer(Vec::new());
    for (line, record) in table.records().enumerate() {
        let record = record.with_context(|| format!("{} is damaged", path.display()))?;
        let is_header = line == 0;
        if is_header || !record.get(0).is_some_and(|id| ids.contains(id)) {
            kept.write_record(&record)?;
        }
    }
    Ok(write_whole(path, &kept.into_inner()?)?)
}

/// Some of the records, with their labels.
struct Picked {
    codes: Codes,
    labels: Labels,
}

impl Picked {
    fn of(labels: &Labels, rows: &[u32], parts: &[Vec<f32>], places: &[u32]) -> Result<Self, DetectorError> {
        let parts: Vec<Vec<f32>> = parts.iter().map(|part| pick(part, rows.len(), places)).collect();
        let parts: Vec<&[f32]> = parts.iter().map(Vec::as_slice).collect();
        let codes = Codes::of_values(&parts, places.len())?;
        let numbers = places.iter().map(|at| rows[*at as usize] as usize);
        let labels = match labels {
            Labels::Classes { count, index } => {
                Labels::Classes { count: *count, index: numbers.map(|row| index[row]).collect() }
            }
            Labels::Real(all) => Labels::Real(numbers.map(|row| all[row]).collect()),
        };
        Ok(Self { codes, labels })
    }

    fn labelled(&self) -> Result<Labelled<'_>, DetectorError> {
        let labels = match &self.labels {
            Labels::Classes { count, index } => GivenLabels::Classes { count: *count, of: index },
            Labels::Real(values) => GivenLabels::Values(values),
        };
        Labelled::new(&self.codes, labels)
    }
}

/// The signs at `places` of `signs` [rows, bits].
fn pick(signs: &[f32], rows: usize, places: &[u32]) -> Vec<f32> {
    let bits = signs.len() / rows.max(1);
    places.iter().flat_map(|at| signs[*at as usize * bits..][..bits].iter().copied()).collect()
}
