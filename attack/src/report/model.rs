//! What a report says, as it stands in `report.json`.

use std::collections::BTreeMap;
use std::fmt;

pub use hashvfl_leakage::metrics::Estimate;
use serde::Serialize;

use super::{Defence, Knowledge, Metric, PrivacyLimits, Quantity, TargetRecords, Victim};
use crate::attacks::AttackId;

/// Version of the format of `report.json`.
pub const VERSION: u32 = 2;

/// What crosses the cut in the run that was attacked, and what stands beside it for comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CutKind {
    /// Hash codes, of a run over the network or of one in this process.
    Codes,
    /// Gradients that the coordinator sent back, seen by a party.
    Gradients,
    /// Predictions, seen by the organisation that receives them.
    Predictions,
    /// Floats, which no setting makes a party send.
    SimulatedFloats,
    /// The same floats, one bit each.
    SimulatedQuantised,
    /// The value before the sign, which nobody sees: the authors' attack.
    BeforeSign,
}

impl fmt::Display for CutKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Codes => "hash codes",
            Self::Gradients => "gradients, at a party",
            Self::Predictions => "predictions, at their recipient",
            Self::SimulatedFloats => "floats (simulated)",
            Self::SimulatedQuantised => "floats at one bit each (simulated)",
            Self::BeforeSign => "value before the sign, which nobody sees",
        })
    }
}

/// Figures of an attack.
pub type Metrics = BTreeMap<Metric, Estimate>;

/// One attack at one cut.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttackResult {
    /// Which attack.
    pub attack: AttackId,
    /// What it is after.
    pub victim: Victim,
    /// What it knows besides auxiliary records and what crossed the cut.
    pub knowledge: Vec<Knowledge>,
    /// How many releases of each target record it saw: 0 for a baseline without the code, 1 for one code, T for
    /// the codes of T epochs.
    pub releases: u64,
    /// What was attacked. A baseline saw nothing of the victim: it stands beside attacks at this cut.
    pub cut: CutKind,
    /// What stood between it and the columns. What a baseline knows of other parties' codes are those of this defence.
    pub defence: Defence,
    /// Bits (or 32 times floats) that it saw of each target record, all releases together.
    pub bits: u64,
    /// Records that the attacker learned from.
    pub auxiliary_rows: usize,
    /// Records that were scored; none of them is among the auxiliary ones.
    pub target_rows: usize,
    /// Its scores.
    pub metrics: Metrics,
    /// Fraction of the variance of each column of the victim's table that it explains; of a column that a model takes as several, of
    /// the one that is explained best; of a category of many values, of indicators of the most common ones and of all others,
    /// together. Empty for images, and where the first screen does not need it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub of_columns: BTreeMap<String, Estimate>,
    /// Squared error of each target, in the order of [`Report::targets_of`]: for comparison with other attacks, record by record.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<f32>,
    /// In the same order whether the value, the record or the class of each target was found: 1 or 0, or less where it was one of
    /// several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hits: Vec<f32>,
    /// What the party's gradient monitor raised, where the coordinator cheats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarm: Option<MonitorAlarm>,
    /// A note for the reader, beyond the figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Seconds it took.
    pub seconds: f64,
}

/// An alarm of a party's gradient monitor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MonitorAlarm {
    /// Training batches until it was raised.
    pub steps: u32,
    /// What was noticed.
    pub cause: String,
    /// What the party does then: its `on_alarm`.
    pub on_alarm: String,
}

/// One line of a chart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// x and figure.
    pub points: Vec<(f64, Estimate)>,
}

/// Lines over one axis.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chart {
    /// For instance "Leakage over epochs".
    pub title: String,
    /// For instance "epochs seen".
    pub x: String,
    /// Whether x is drawn on a logarithmic axis.
    pub log_x: bool,
    /// What the upright axis shows.
    pub y: Quantity,
    /// The lines.
    pub curves: Vec<Curve>,
}

/// A defence at one setting: what it costs and what it saves.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UtilityPoint {
    /// The defence, for instance "randomised response".
    pub defence: String,
    /// Its setting, for instance "epsilon 2 per bit".
    pub setting: String,
    /// The task's metric on test records.
    pub utility: f64,
    /// Ends of its 95 % interval over trainings, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub utility_interval: Option<[f64; 2]>,
    /// Skill of the adversary that knows most, or what labels are inferred with.
    pub leakage: Estimate,
    /// Skill of the same adversary without the code.
    pub baseline: Estimate,
    /// Which attack that was.
    pub strongest: String,
    /// VFLAIR's defence capability score against it, its loss of utility counted from floats without a defence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dcs: Option<Estimate>,
}

/// A figure of a run that was trained several times with other first weights.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spread {
    /// Of what.
    pub what: String,
    /// What is measured.
    pub figure: Quantity,
    /// One per training, the run's own first.
    pub values: Vec<f64>,
}

impl Spread {
    /// Mean, standard deviation (of a sample), least and greatest.
    pub fn moments(&self) -> [f64; 4] {
        let count = self.values.len() as f64;
        let mean = self.values.iter().sum::<f64>() / count;
        let squares: f64 = self.values.iter().map(|value| (value - mean).powi(2)).sum();
        let end = |pick: fn(f64, f64) -> f64| self.values.iter().copied().reduce(pick).unwrap_or(f64::NAN);
        [mean, (squares / (count - 1.0).max(1.0)).sqrt(), end(f64::min), end(f64::max)]
    }
}

/// A row of pictures of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PictureRow {
    /// For instance "original", "class mean", "conditional mean", "best reconstruction".
    pub name: String,
    /// Grey images, row-major, 0 to 1, each of the grid's height x width.
    pub images: Vec<Vec<f32>>,
}

/// Pictures of the same records, row by row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PictureGrid {
    /// What it shows.
    pub title: String,
    /// Pixels.
    pub height: usize,
    /// Pixels.
    pub width: usize,
    /// The rows.
    pub rows: Vec<PictureRow>,
}

/// What is checked of the evaluation itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckId {
    /// Every attack that was tried ended without an error.
    AllRan,
    /// An adversary that knows, has seen or owns more must not do worse.
    NeverFalls,
    /// An attack on shuffled codes must fall to what it knows without codes.
    ShuffledCodes,
    /// The manifest's model must give the very codes of the transcript.
    SameCodes,
    /// Labels, the transcript's codes and the coordinator's seed must give the very top model.
    SameTop,
}

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AllRan => "every attack that was begun came to its end",
            Self::NeverFalls => "whoever knows, has seen or owns more never gets less, beyond chance",
            Self::ShuffledCodes => "on shuffled codes the attack falls to the one without codes",
            Self::SameCodes => "the manifest's model and columns give the transcript's codes",
            Self::SameTop => "labels, codes and the coordinator's seed give the run's top model",
        })
    }
}

/// What no attack can exceed, whatever it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bound {
    /// What it is about, for instance "one code".
    pub about: String,
    /// The bound, or that it is vacuous.
    pub says: String,
    /// What it assumes, and which side knowledge it allows.
    pub assumes: String,
    /// Releases of a record that it is about; 0 where it is about something else.
    pub releases: u64,
}

/// A check on the evaluation itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// What was checked.
    pub name: CheckId,
    /// Whether it held.
    pub held: bool,
    /// The figures behind it.
    pub detail: String,
}

/// The whole report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Of this format: [`VERSION`].
    pub version: u32,
    /// For instance "credit-default, host's columns".
    pub title: String,
    /// What the records and columns are, and in which units they are scored.
    pub data: String,
    /// The run: id, what was recorded where, SHA-256 of the transcript's chain.
    pub run: BTreeMap<String, String>,
    /// What stood between the columns and the adversary in the run itself: the answers are about this.
    pub defence: Defence,
    /// The run's agreed settings.
    pub settings: BTreeMap<String, String>,
    /// How to reproduce these figures: commands, seeds, splits.
    pub reproduce: Vec<String>,
    /// Which label-side defence is the run's own, where labels were inferred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradients: Option<Defence>,
    /// Rows of the records that were scored: an attack that is scored on fewer has the first ones.
    pub targets: BTreeMap<TargetRecords, Vec<u32>>,
    /// Rows of the records that the adversary owned.
    pub owned: Vec<u32>,
    /// For each row of the run, the place of its record when ids are sorted: rows are shuffled, and who repeats an attack has
    /// tables with ids.
    pub sorted: Vec<u32>,
    /// The attacks.
    pub results: Vec<AttackResult>,
    /// Charts: over epochs, over d, over the auxiliary fraction.
    pub charts: Vec<Chart>,
    /// Privacy against utility.
    pub utility: Vec<UtilityPoint>,
    /// What label-side defences cost, and how well a party's gradients still predict labels: AUC or accuracy.
    pub label_utility: Vec<UtilityPoint>,
    /// What moves when the run is trained again.
    pub spreads: Vec<Spread>,
    /// The name of the utility's metric.
    pub utility_metric: String,
    /// Pictures.
    pub grids: Vec<PictureGrid>,
    /// Checks on the evaluation itself.
    pub checks: Vec<Check>,
    /// The fraction of the variance that the reader accepts, if it named one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
    /// What else the reader accepts.
    pub limits: PrivacyLimits,
    /// Whether regressions were of the kinds in closed form alone, whose figures are lower.
    pub quick: bool,
    /// Whether columns are pixels, which are scored in one unit; those of a table are in standard deviations of the records of each
    /// population that the adversary owned.
    pub pixels: bool,
    /// Which of the victim's columns, as attacks take them, hold positions of categories and are scored by category.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub positions: Vec<usize>,
    /// What no attack can exceed.
    pub bounds: Vec<Bound>,
    /// What was not tried.
    pub not_tried: Vec<String>,
}
