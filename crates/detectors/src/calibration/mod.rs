//! From scores of detectors to p-values: a common scale, their combination, its calibration.

pub mod combine;
pub mod conformal;
pub mod panel;
pub mod tail;
