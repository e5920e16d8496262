//! Parties that come back on another connection: who may, and where their streams go.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashvfl_core::PartyName;
use hashvfl_core::protocol::exchange::Mark;
use hashvfl_core::protocol::message::{Return, SessionKey};
use hashvfl_transport::handshake::HandshakeError;
use hashvfl_transport::listen::TrainingStream;
use rand::TryRng;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Streams of one party that nobody has taken yet, at most: it may come back several times while the coordinator computes.
const WAITING: usize = 16;

/// A stream on which a party has come back.
pub struct Returned {
    /// The stream.
    pub stream: TrainingStream,
    /// What has come to the party.
    pub mark: Mark,
}

struct Seat {
    session: SessionKey,
    streams: mpsc::Sender<Returned>,
}

/// The parties that are in, each with what it must show when it comes back.
#[derive(Default)]
pub struct Seats(Mutex<BTreeMap<PartyName, Seat>>);

impl Seats {
    /// Lets `party` come back: what it must show, and where its streams come.
    ///
    /// # Errors
    /// If the operating system gives no random numbers.
    pub fn open(&self, party: &PartyName) -> Result<(SessionKey, mpsc::Receiver<Returned>), HandshakeError> {
        let mut key = [0; 32];
        rand::rngs::SysRng.try_fill_bytes(&mut key).map_err(|error| {
            HandshakeError::Failed(format!("cannot draw a key from the operating system: {error}"))
        })?;
        let (session, (streams, returns)) = (SessionKey(key), mpsc::channel(WAITING));
        self.seats().insert(party.clone(), Seat { session: session.clone(), streams });
        Ok((session, returns))
    }

    /// Lets `party` come back no more.
    pub fn close(&self, party: &PartyName) {
        self.seats().remove(party);
    }

    /// Hands `stream` over to whoever waits for the party that has come back on it.
    ///
    /// # Errors
    /// If nobody does, or the party is another; with the stream.
    pub fn hand_over(
        &self,
        back: Return,
        stream: TrainingStream,
    ) -> Result<(), Box<(TrainingStream, HandshakeError)>> {
        let seats = self.seats();
        let seat = seats.get(&back.party).filter(|seat| seat.session == back.session);
        let Some(seat) = seat else { return Err(Box::new((stream, HandshakeError::NoReturn))) };
        let sent = seat.streams.try_send(Returned { stream, mark: back.mark });
        sent.map_err(|error| match error {
            TrySendError::Full(Returned { stream, .. }) => Box::new((stream, HandshakeError::NotYet)),
            TrySendError::Closed(Returned { stream, .. }) => Box::new((stream, HandshakeError::NoReturn)),
        })
    }

    fn seats(&self) -> MutexGuard<'_, BTreeMap<PartyName, Seat>> {
        // A panic while the lock was held cannot leave the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
