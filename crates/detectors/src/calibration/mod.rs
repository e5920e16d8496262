//! From scores to p-values: a common scale, the combination of several detectors, their calibration, evidence of
//! several sides, and drift over time.

pub mod combine;
pub mod conformal;
pub mod drift;
pub mod evidence;
pub mod panel;
pub mod settings;
pub mod split;
pub mod tail;
