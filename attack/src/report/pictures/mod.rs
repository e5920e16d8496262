//! Charts and pictures of the report.

pub(crate) mod axis;
pub(crate) mod chart;
pub(crate) mod grid;
pub(crate) mod label;
pub(crate) mod png;
pub(crate) mod scatter;
