//! What carries frames between holders.

use std::time::Duration;

use hashvfl_core::PartyName;

use crate::error::RelayError;

/// What a relay brings.
#[derive(Debug)]
pub enum RelayEvent {
    /// A holder is there, or there again.
    Arrived(PartyName),
    /// A holder has left.
    Left(PartyName),
    /// A holder has given up before it could say so to the others itself.
    GaveUp(PartyName),
    /// A frame under a holder's name.
    Frame(PartyName, Vec<u8>),
    /// The relay was lost and is reached again: nobody is there until it says so.
    RelayLost,
    /// Somebody asks this process to end.
    AskedToEnd,
}

/// Carries frames between holders. It is not trusted: it may lose, repeat, alter and invent them.
pub trait Relay {
    /// The next event; `None` when none came in time.
    fn receive(&mut self, wait: Duration) -> Result<Option<RelayEvent>, RelayError>;

    /// Passes a frame on. A holder that is not there does not get it.
    fn send(&mut self, to: &PartyName, frame: Vec<u8>) -> Result<(), RelayError>;
}
