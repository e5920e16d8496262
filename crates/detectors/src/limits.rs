//! Limits on rows, and on what a file of detectors may hold.

/// Bytes of a file of detectors.
pub const MAX_FILE_BYTES: u64 = 256 << 20;
/// Calibration scores, rows that the tail of a detector is learned from, or kept codes.
pub const MAX_SCORES: usize = 1 << 20;
/// Detectors of one panel.
pub const MAX_MEMBERS: usize = 16;
/// Bits of all parties' codes together.
pub const MAX_TOTAL_BITS: usize = hashvfl_core::limits::MAX_BITS * hashvfl_core::limits::MAX_PARTIES;
/// Classes that detectors tell apart.
pub const MAX_CLASSES: usize = 65_536;
/// Features of a row, for detectors that invert their covariance.
pub const MAX_FEATURES: usize = 4_096;
/// Columns, embedding values or features of a row.
pub const MAX_WIDTH: usize = 65_536;
/// The fewest normal rows that fit a network, or histograms.
pub const MIN_ROWS: usize = 64;
