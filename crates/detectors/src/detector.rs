//! What every detector is: it learns from normal rows and then says how strange rows are.
//!
//! A detector of one's own implements [`Detector`] in a file of its own. One line in [`crate::coordinator`] or
//! [`crate::party`] registers it: settings can name it from then on, a run fits and calibrates it, and files keep it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::calibration::combine::Combination;
use crate::error::DetectorError;

/// Says how strange rows are. Scores have no scale: only their order means something.
pub trait Score<Rows: ?Sized> {
    /// One finite score per row; higher is stranger.
    ///
    /// # Errors
    /// If the rows have other sizes than the rows of the fit.
    fn score(&self, rows: &Rows) -> Result<Vec<f64>, DetectorError>;
}

impl<Rows: ?Sized, S: Score<Rows> + ?Sized> Score<Rows> for Box<S> {
    fn score(&self, rows: &Rows) -> Result<Vec<f64>, DetectorError> {
        (**self).score(rows)
    }
}

/// What of a row a detector looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// All parties' codes, at the coordinator.
    Codes,
    /// The last hidden layer of the top model, at the coordinator.
    Features,
    /// The preprocessed columns, at a party.
    Columns,
    /// The output of the bottom model before the sign, at a party.
    Embedding,
}

/// What a detector needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// What it looks at.
    pub input: Input,
    /// The fewest normal rows that can fit it; whoever fits detectors checks this first.
    pub rows: usize,
}

/// A way to tell strange rows from normal rows, learned from normal rows alone.
///
/// Files keep what serde makes of it, so its fields are a file format.
pub trait Detector: Serialize + DeserializeOwned {
    /// The normal rows that it learns from.
    type Normal<'a>;
    /// The rows that it scores.
    type Observations<'a>;
    /// Its name in settings and reports, in kebab-case.
    const NAME: &'static str;
    /// What it needs.
    const NEEDS: Needs;

    /// Learns what is normal from at least [`Needs::rows`] rows. The result depends on the arguments alone.
    ///
    /// # Errors
    /// If the rows cannot fit this detector.
    fn fit(normal: &Self::Normal<'_>, seed: u64) -> Result<Self, DetectorError>;

    /// One finite score per row; higher is stranger.
    ///
    /// # Errors
    /// If the rows have other sizes than the rows of the fit.
    fn score(&self, rows: &Self::Observations<'_>) -> Result<Vec<f64>, DetectorError>;

    /// Checks fields that were read from a file, so that [`Self::score`] cannot panic on them.
    ///
    /// # Errors
    /// If they contradict each other or exceed a limit.
    fn check(&self) -> Result<(), DetectorError>;
}

/// The registered detectors of one side of a federation: an enum with one variant per detector, which settings name.
pub trait DetectorKind: Copy + 'static {
    /// The normal rows that they learn from.
    type Normal<'a>;
    /// The rows that they score.
    type Observations<'a>;
    /// Any of them, fitted.
    type Fitted: for<'a> Score<Self::Observations<'a>>;
    /// All of them.
    const ALL: &'static [Self];
    /// The detectors that are combined where settings name none.
    const DEFAULT: &'static [Self];
    /// How their p-values become one.
    const COMBINATION: Combination;

    /// The name in settings and reports.
    fn name(self) -> &'static str;

    /// What the detector needs.
    fn needs(self) -> Needs;

    /// Fits the detector to `normal` rows.
    ///
    /// # Errors
    /// If there are fewer rows than it needs, or they cannot fit it.
    fn fit(self, normal: &Self::Normal<'_>, seed: u64) -> Result<Self::Fitted, DetectorError>;
}
