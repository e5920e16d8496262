//! Sizes beyond which a file is refused: a wrong file must not fill a machine's memory.

/// The most values (rows x columns) in one table: 2^30 f32, that is 4 GiB.
pub const MAX_VALUES: u64 = 1 << 30;

/// The most rows in one table or label file, so that a row number always fits a `u32`.
pub const MAX_ROWS: u64 = u32::MAX as u64;

/// The most columns in one table (an image of 256 x 256 has as many).
pub const MAX_COLUMNS: u64 = 1 << 16;

/// The most classes of labels.
pub const MAX_CLASSES: usize = 10_000;
