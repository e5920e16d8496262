//! Attacks by a coordinator that does not follow the protocol.

pub(crate) mod critic;
pub mod fsha;
pub(crate) mod steering;
pub(crate) mod steering_server;
