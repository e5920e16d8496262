//! The protocol: its messages, and each side of it as a pure state machine.

pub mod coordinator;
pub mod message;
pub mod party;
pub mod serving_coordinator;
pub mod serving_party;
