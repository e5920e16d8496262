//! What the stories in `src/bin` share: a federation of processes, and the same course in one process.

pub mod dataset;
pub mod digits;
pub mod federation;
pub mod numpy;
pub mod processes;
pub mod simulation;
