//! The coordinator's detectors, which look at codes and at what the top model makes of them.
//!
//! A detector has its own file here, which a `mod` and a `pub use` name, and its line in the registry below.

mod chow_liu;
mod density_ratio;
mod disagreement;
mod hamming_distance;
mod knn;
mod mahalanobis;
mod pca;
mod rows;

pub use chow_liu::ChowLiu;
pub use density_ratio::DensityRatio;
pub use disagreement::Disagreement;
pub use hamming_distance::HammingDistance;
pub use knn::Knn;
pub use mahalanobis::Mahalanobis;
pub use pca::Pca;
pub use rows::{CoordinatorNormal, CoordinatorRows};

use crate::calibration::combine::Combination;
use crate::registry::registry;

registry! {
    /// The coordinator's detectors.
    kinds CoordinatorKind,
    /// One of the coordinator's detectors, fitted.
    fitted CoordinatorDetector,
    normal CoordinatorNormal,
    rows CoordinatorRows,
    // Chosen on spoiled codes of normal validation records alone (`abnormal --choose`).
    default &[Self::DensityRatio],
    combination Combination::Bonferroni,
    detectors {
        HammingDistance stored as "distance",
        Disagreement stored as "disagreement",
        ChowLiu stored as "rarity",
        Knn stored as "neighbours",
        Mahalanobis stored as "gaussians",
        Pca stored as "components",
        DensityRatio stored as "mismatch",
    }
}
