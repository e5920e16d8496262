//! Parties that come back on another connection: who may, and where their streams go.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashvfl_core::PartyName;
use hashvfl_core::protocol::exchange::Mark;
use hashvfl_core::protocol::message::{Return, SessionKey};
use hashvfl_transport::handshake::HandshakeError;
use hashvfl_transport::listen::TrainingStream;
use rand::TryRng;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc};

/// Streams of one party that nobody has taken yet, at most: it may come back several times while the coordinator computes.
const WAITING: usize = 16;

/// A stream on which a party has come back.
pub struct Returned {
    /// The stream.
    pub stream: TrainingStream,
    /// What has come to the party.
    pub mark: Mark,
}

/// Why a party that is waited for does not come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotBack {
    /// Another process of it greets: the one that was let in has ended.
    Anew,
    /// Nobody lets it come back any more.
    Closed,
}

/// The streams on which a party comes back, for whoever waits for it.
pub struct Returns {
    streams: mpsc::Receiver<Returned>,
    anew: Arc<Notify>,
}

impl Returns {
    /// Those that come out of `streams`.
    pub fn of(streams: mpsc::Receiver<Returned>) -> Self {
        Self { streams, anew: Arc::default() }
    }

    /// The next; `None` once there is none any more.
    pub async fn next(&mut self) -> Option<Returned> {
        self.streams.recv().await
    }

    /// One that is there already.
    pub fn next_now(&mut self) -> Option<Returned> {
        self.streams.try_recv().ok()
    }

    /// The next, of a party that has no connection: it may greet anew in place of that, meanwhile.
    ///
    /// # Errors
    /// If it does, or may not come back any more.
    pub async fn back(&mut self) -> Result<Returned, NotBack> {
        let Self { streams, anew } = self;
        tokio::select! {
            biased;
            back = streams.recv() => back.ok_or(NotBack::Closed),
            () = anew.notified() => Err(NotBack::Anew),
        }
    }
}

struct AdmittedParty {
    session: SessionKey,
    streams: mpsc::Sender<Returned>,
    anew: Arc<Notify>,
}

/// The parties that are in, each with what it must show when it comes back.
#[derive(Default)]
pub struct AdmittedParties(Mutex<BTreeMap<PartyName, AdmittedParty>>);

impl AdmittedParties {
    /// Lets `party` come back: what it must show, and where its streams come.
    ///
    /// # Errors
    /// If the operating system gives no random numbers.
    pub fn open(&self, party: &PartyName) -> Result<(SessionKey, Returns), HandshakeError> {
        let mut key = [0; 32];
        rand::rngs::SysRng.try_fill_bytes(&mut key).map_err(|error| {
            HandshakeError::Failed(format!("cannot draw a key from the operating system: {error}"))
        })?;
        let (session, (streams, returned)) = (SessionKey(key), mpsc::channel(WAITING));
        let returns = Returns::of(returned);
        let seat = AdmittedParty { session: session.clone(), streams, anew: Arc::clone(&returns.anew) };
        self.seats().insert(party.clone(), seat);
        Ok((session, returns))
    }

    /// Another process of `party` greets, and all that it says was checked. If the connection of the one that was let in is lost, that
    /// one has ended, and whoever waits for it hears so. While its connection is there, nobody hears it.
    pub fn greeted_anew(&self, party: &PartyName) {
        if let Some(seat) = self.seats().get(party) {
            // Not those who begin to wait later.
            seat.anew.notify_waiters();
        }
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

    fn seats(&self) -> MutexGuard<'_, BTreeMap<PartyName, AdmittedParty>> {
        // A panic while the lock was held cannot leave the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
