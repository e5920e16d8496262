//! Detectors of abnormal inputs at the coordinator. They are fitted and calibrated when a run ends, on records on which no
//! model was fitted or chosen, and score records while predictions are served.

mod anomaly_scorer;
mod client_drift;
mod config;
mod fit;
mod records;

pub use anomaly_scorer::{AnomalyScorer, Predicted, RequestFlags, SentPValues};
pub use config::{DetectorsConfig, check, resolution, silent_classes};
pub use fit::{FittedDetectors, FromParties, fit, measure};
