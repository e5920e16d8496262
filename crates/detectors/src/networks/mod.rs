//! What the detectors that are small networks share.

pub mod by_bits;
pub mod scale;
pub mod train;
pub mod weights;
