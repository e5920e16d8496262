//! Detectors on the top model's features.

pub mod linear;
pub mod mahalanobis;
pub mod pca;
