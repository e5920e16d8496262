//! Attacks on what a HashVFL run really sent, how they are scored, and the report that says what they got.

pub mod metrics;
pub mod report;
