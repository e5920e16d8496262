//! Hash codes: what they are made of, packed, kept, flipped, and those that stand for classes.

pub mod form;
pub mod packed;
pub mod randomised_response;
pub mod stored;
pub mod target;
