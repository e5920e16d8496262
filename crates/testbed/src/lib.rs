//! What the demo, tests and benchmarks share: data sets, a federation of processes, and the same training in one
//! process.

pub mod dataset;
pub mod digits;
pub mod federation;
pub mod identities;
pub mod numpy;
pub mod processes;
pub mod simulation;
pub mod statistics;
pub mod strangers;
