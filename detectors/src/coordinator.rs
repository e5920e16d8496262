//! The detectors of the coordinator, which sees codes and what the top model makes of them.

use serde::{Deserialize, Serialize};

use crate::centres::Centres;
use crate::codes::Codes;
use crate::components::Components;
use crate::disagreement::Disagreement;
use crate::distance::Distance;
use crate::error::DetectorError;
use crate::gaussians::Gaussians;
use crate::neighbours::Neighbours;
use crate::networks::Mismatch;
use crate::rarity::Rarity;
use crate::rows::Seen;
use crate::{Detector, Score};

/// Which detector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CoordinatorKind {
    /// [`Distance`].
    Distance,
    /// [`Disagreement`].
    Disagreement,
    /// [`Rarity`].
    Rarity,
    /// [`Neighbours`].
    Neighbours,
    /// [`Gaussians`].
    Gaussians,
    /// [`Components`].
    Components,
    /// [`Mismatch`].
    Mismatch,
}

/// What a run gives detectors beside normal rows, where it does.
#[derive(Clone, Copy, Default)]
pub struct Beside<'a> {
    /// The target codes of training, +1.0 and -1.0 by class.
    pub targets: Option<&'a [Vec<f32>]>,
    /// Codes of inputs that each party drew, evenly over the ranges of its columns.
    pub drawn: Option<&'a Codes>,
}

impl CoordinatorKind {
    /// All that are fitted; [`crate::mutual`] needs no fitting and no panel.
    pub const ALL: &[Self] = &[
        Self::Distance,
        Self::Disagreement,
        Self::Rarity,
        Self::Neighbours,
        Self::Gaussians,
        Self::Components,
        Self::Mismatch,
    ];

    /// Those that are combined unless others are named. Chosen on spoiled codes of normal validation records alone
    /// (`abnormal --choose`).
    pub const DEFAULT: &[Self] = &[Self::Mismatch];

    /// Its name in settings and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Distance => "distance",
            Self::Disagreement => "disagreement",
            Self::Rarity => "rarity",
            Self::Neighbours => "neighbours",
            Self::Gaussians => "gaussians",
            Self::Components => "components",
            Self::Mismatch => "mismatch",
        }
    }

    /// Fits it on normal rows.
    ///
    /// # Errors
    /// If the rows are too few or do not fit together.
    pub fn fit(
        self,
        normal: &Seen<'_>,
        beside: Beside<'_>,
        seed: u64,
    ) -> Result<CoordinatorDetector, DetectorError> {
        let centres =
            || beside.targets.map(|targets| Centres::of_targets(targets, normal.codes.lengths())).transpose();
        Ok(match self {
            Self::Distance => CoordinatorDetector::Distance(match centres()? {
                Some(centres) => Distance::to(centres),
                None => Distance::fit(normal, seed)?,
            }),
            Self::Disagreement => CoordinatorDetector::Disagreement(match centres()? {
                Some(centres) => Disagreement::around(centres),
                None => Disagreement::fit(normal, seed)?,
            }),
            Self::Rarity => CoordinatorDetector::Rarity(Rarity::fit(normal, seed)?),
            Self::Neighbours => CoordinatorDetector::Neighbours(Neighbours::fit(normal, seed)?),
            Self::Gaussians => CoordinatorDetector::Gaussians(Gaussians::fit(normal, seed)?),
            Self::Components => CoordinatorDetector::Components(Components::fit(normal, seed)?),
            Self::Mismatch => {
                CoordinatorDetector::Mismatch(Mismatch::beside(normal.codes, beside.drawn, seed)?)
            }
        })
    }
}

/// A fitted detector.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum CoordinatorDetector {
    Distance(Distance),
    Disagreement(Disagreement),
    Rarity(Rarity),
    Neighbours(Neighbours),
    Gaussians(Gaussians),
    Components(Components),
    Mismatch(Mismatch),
}

impl CoordinatorDetector {
    /// Which it is.
    pub fn kind(&self) -> CoordinatorKind {
        match self {
            Self::Distance(_) => CoordinatorKind::Distance,
            Self::Disagreement(_) => CoordinatorKind::Disagreement,
            Self::Rarity(_) => CoordinatorKind::Rarity,
            Self::Neighbours(_) => CoordinatorKind::Neighbours,
            Self::Gaussians(_) => CoordinatorKind::Gaussians,
            Self::Components(_) => CoordinatorKind::Components,
            Self::Mismatch(_) => CoordinatorKind::Mismatch,
        }
    }

    /// Refuses stored parts that do not fit together.
    pub fn check(&self) -> Result<(), DetectorError> {
        match self {
            Self::Distance(detector) => detector.check(),
            Self::Disagreement(detector) => detector.check(),
            Self::Rarity(detector) => detector.check(),
            Self::Neighbours(detector) => detector.check(),
            Self::Gaussians(detector) => detector.check(),
            Self::Components(detector) => detector.check(),
            Self::Mismatch(detector) => detector.check(),
        }
    }
}

impl Score<Seen<'_>> for CoordinatorDetector {
    fn score(&self, rows: &Seen<'_>) -> Result<Vec<f64>, DetectorError> {
        match self {
            Self::Distance(detector) => detector.score(rows),
            Self::Disagreement(detector) => detector.score(rows),
            Self::Rarity(detector) => detector.score(rows),
            Self::Neighbours(detector) => detector.score(rows),
            Self::Gaussians(detector) => detector.score(rows),
            Self::Components(detector) => detector.score(rows),
            Self::Mismatch(detector) => detector.score(rows),
        }
    }
}
