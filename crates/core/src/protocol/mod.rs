//! The protocol: its messages, and each side of it as a pure state machine.
//!
//! | | messages | coordinator's side | party's side |
//! |---|---|---|---|
//! | handshake | [`message::Hello`] | [`admission`] | in the two below |
//! | training | [`message`], with the table of requests | [`coordinator`] | [`party`] |
//! | serving | [`serving_party`] | [`serving_coordinator`] | [`serving_party`] |
//!
//! A training's stream outlives its connections: [`exchange`] says what is repeated on a new one, and [`timeout_counter`] when nobody
//! waits any more for a side that is silent each time.

#[macro_use]
mod messages;

pub mod admission;
pub mod coordinator;
pub mod exchange;
pub mod message;
pub mod party;
mod party_error;
pub mod serving_coordinator;
pub mod serving_party;
#[cfg(test)]
mod serving_properties;
pub mod timeout_counter;
