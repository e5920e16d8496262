//! The report: what was attacked, what was got back, and how far to believe it.

mod model;
pub mod names;

pub use model::*;
