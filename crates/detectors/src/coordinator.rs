//! The detectors of the coordinator, which sees codes and what the top model makes of them.

use serde::{Deserialize, Serialize};

use crate::codes::Codes;
use crate::codes::centres::Centres;
use crate::codes::chow_liu::ChowLiu;
use crate::codes::disagreement::Disagreement;
use crate::codes::hamming_distance::HammingDistance;
use crate::codes::knn::Knn;
use crate::error::DetectorError;
use crate::features::mahalanobis::Mahalanobis;
use crate::features::pca::Pca;
use crate::networks::DensityRatio;
use crate::rows::CoordinatorRows;
use crate::{Detector, Score};

/// Which detector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CoordinatorKind {
    /// [`HammingDistance`].
    HammingDistance,
    /// [`Disagreement`].
    Disagreement,
    /// [`ChowLiu`].
    ChowLiu,
    /// [`Knn`].
    Knn,
    /// [`Mahalanobis`].
    Mahalanobis,
    /// [`Pca`].
    Pca,
    /// [`DensityRatio`].
    DensityRatio,
}

/// What a run gives detectors beside normal rows, where it does.
#[derive(Clone, Copy, Default)]
pub struct FitExtras<'a> {
    /// The target codes of training, +1.0 and -1.0 by class.
    pub targets: Option<&'a [Vec<f32>]>,
    /// Codes of inputs that each party drew, evenly over the ranges of its columns.
    pub synthetic: Option<&'a Codes>,
}

impl CoordinatorKind {
    /// All that are fitted; [`crate::codes::mutual`] needs no fitting and no panel.
    pub const ALL: &[Self] = &[
        Self::HammingDistance,
        Self::Disagreement,
        Self::ChowLiu,
        Self::Knn,
        Self::Mahalanobis,
        Self::Pca,
        Self::DensityRatio,
    ];

    /// Those that are combined unless others are named. Chosen on spoiled codes of normal validation records alone
    /// (`abnormal --choose`).
    pub const DEFAULT: &[Self] = &[Self::DensityRatio];

    /// Its name in settings and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::HammingDistance => "hamming-distance",
            Self::Disagreement => "disagreement",
            Self::ChowLiu => "chow-liu",
            Self::Knn => "knn",
            Self::Mahalanobis => "mahalanobis",
            Self::Pca => "pca",
            Self::DensityRatio => "density-ratio",
        }
    }

    /// Fits it on normal rows.
    ///
    /// # Errors
    /// If the rows are too few or do not fit together.
    pub fn fit(
        self,
        normal: &CoordinatorRows<'_>,
        beside: FitExtras<'_>,
        seed: u64,
    ) -> Result<CoordinatorDetector, DetectorError> {
        let centres =
            || beside.targets.map(|targets| Centres::of_targets(targets, normal.codes.lengths())).transpose();
        Ok(match self {
            Self::HammingDistance => CoordinatorDetector::HammingDistance(match centres()? {
                Some(centres) => HammingDistance::to(centres),
                None => HammingDistance::fit(normal, seed)?,
            }),
            Self::Disagreement => CoordinatorDetector::Disagreement(match centres()? {
                Some(centres) => Disagreement::around(centres),
                None => Disagreement::fit(normal, seed)?,
            }),
            Self::ChowLiu => CoordinatorDetector::ChowLiu(ChowLiu::fit(normal, seed)?),
            Self::Knn => CoordinatorDetector::Knn(Knn::fit(normal, seed)?),
            Self::Mahalanobis => CoordinatorDetector::Mahalanobis(Mahalanobis::fit(normal, seed)?),
            Self::Pca => CoordinatorDetector::Pca(Pca::fit(normal, seed)?),
            Self::DensityRatio => {
                CoordinatorDetector::DensityRatio(DensityRatio::beside(normal.codes, beside.synthetic, seed)?)
            }
        })
    }
}

/// A fitted detector.
#[derive(Serialize, Deserialize)]
// The tags are the words that files of detectors have had from the start.
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum CoordinatorDetector {
    #[serde(rename = "distance")]
    HammingDistance(HammingDistance),
    Disagreement(Disagreement),
    #[serde(rename = "rarity")]
    ChowLiu(ChowLiu),
    #[serde(rename = "neighbours")]
    Knn(Knn),
    #[serde(rename = "gaussians")]
    Mahalanobis(Mahalanobis),
    #[serde(rename = "components")]
    Pca(Pca),
    #[serde(rename = "mismatch")]
    DensityRatio(DensityRatio),
}

impl CoordinatorDetector {
    /// Which it is.
    pub fn kind(&self) -> CoordinatorKind {
        match self {
            Self::HammingDistance(_) => CoordinatorKind::HammingDistance,
            Self::Disagreement(_) => CoordinatorKind::Disagreement,
            Self::ChowLiu(_) => CoordinatorKind::ChowLiu,
            Self::Knn(_) => CoordinatorKind::Knn,
            Self::Mahalanobis(_) => CoordinatorKind::Mahalanobis,
            Self::Pca(_) => CoordinatorKind::Pca,
            Self::DensityRatio(_) => CoordinatorKind::DensityRatio,
        }
    }

    /// Refuses stored parts that do not fit together.
    pub fn check(&self) -> Result<(), DetectorError> {
        match self {
            Self::HammingDistance(detector) => detector.check(),
            Self::Disagreement(detector) => detector.check(),
            Self::ChowLiu(detector) => detector.check(),
            Self::Knn(detector) => detector.check(),
            Self::Mahalanobis(detector) => detector.check(),
            Self::Pca(detector) => detector.check(),
            Self::DensityRatio(detector) => detector.check(),
        }
    }
}

impl Score<CoordinatorRows<'_>> for CoordinatorDetector {
    fn score(&self, rows: &CoordinatorRows<'_>) -> Result<Vec<f64>, DetectorError> {
        match self {
            Self::HammingDistance(detector) => detector.score(rows),
            Self::Disagreement(detector) => detector.score(rows),
            Self::ChowLiu(detector) => detector.score(rows),
            Self::Knn(detector) => detector.score(rows),
            Self::Mahalanobis(detector) => detector.score(rows),
            Self::Pca(detector) => detector.score(rows),
            Self::DensityRatio(detector) => detector.score(rows),
        }
    }
}
