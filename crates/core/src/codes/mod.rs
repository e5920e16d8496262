//! Hash codes: packed, kept, flipped, and those that stand for classes.

pub mod packed;
pub mod randomised_response;
pub mod stored;
pub mod target;
