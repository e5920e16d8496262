//! Attacks that get columns back.

pub(crate) mod inversion;
pub(crate) mod predictions;
pub(crate) mod regression;
pub(crate) mod substitute;
pub(crate) mod unsplit;
