//! One other holder: a Noise session under both pinned keys, opened anew whenever either side comes back.
//!
//! Noise_KK: each side knows the other's long-term key beforehand, each session has fresh keys of its own, and
//! frames count on. An inserted or repeated frame does not decrypt under any number to come: it is dropped, and the
//! session continues. A frame that decrypts under a later number shows that earlier ones were altered or dropped: that ends
//! the alignment. The prologue ties the session to the agreed settings and to who talks to whom.

use hashvfl_core::{Digest, PartyName};
use snow::{HandshakeState, TransportState};

use crate::error::PeerFault;
use crate::identity::{PublicKey, SecretKey};
use crate::protocol::message::Message;

const NOISE: &str = "Noise_KK_25519_ChaChaPoly_SHA256";
/// Noise's limit of a message.
const MOST_BYTES: usize = 65_535;
const HELLO: u8 = 1;
const REPLY: u8 = 2;
const SEALED: u8 = 3;
/// Numbers after the next one under which a sealed frame that does not open is tried.
const LOOK_AHEAD: u64 = 64;
/// Frames of a session for which that is done. Any more that do not open cost one try each, as any frame does.
const MOST_SEARCHES: u32 = 64;

enum Session {
    Closed,
    Greeting(Box<HandshakeState>),
    Open(Box<TransportState>),
}

/// What a frame came to.
pub enum ReceivedFrame {
    /// Nothing: it belongs to a session that is over, or to none.
    Stale,
    /// The session is open; the frame, if any, is the answer.
    Opened(Option<Vec<u8>>),
    /// A message.
    Message(Message),
}

/// Another holder and the session with it.
pub struct Peer {
    /// Its name.
    pub name: PartyName,
    /// Whether it has said that it is through.
    pub done: bool,
    /// Whether the relay says that it is there.
    pub here: bool,
    /// Whether it left while it was needed, and was said to be missing.
    pub missing: bool,
    /// Whether a frame of a handshake came under its name that does not fit its key.
    pub doubtful: bool,
    key: PublicKey,
    prologue: Vec<u8>,
    session: Session,
    id: [u8; 8],
    /// Sealed frames of this session that did not open.
    unopened: u32,
}

impl Peer {
    /// A peer that is not there yet. `names`: the two holders, in the settings' order.
    pub fn new(name: PartyName, key: PublicKey, settings: &Digest, names: [&PartyName; 2]) -> Self {
        let parts = names.map(|name| name.as_str().as_bytes());
        let prologue =
            Digest::of_parts([b"hashvfl.v1 alignment".as_slice(), &settings.0, parts[0], parts[1]]);
        let prologue = prologue.0.to_vec();
        let (done, here, missing, doubtful) = (false, false, false, false);
        let (session, id, unopened) = (Session::Closed, [0; 8], 0);
        Self { name, done, here, missing, doubtful, key, prologue, session, id, unopened }
    }

    /// Whether messages can go both ways.
    pub fn is_open(&self) -> bool {
        matches!(self.session, Session::Open(_))
    }

    /// Forgets the session.
    pub fn close(&mut self) {
        self.session = Session::Closed;
    }

    fn handshake(&self, secret: &SecretKey, initiator: bool) -> Result<HandshakeState, snow::Error> {
        let builder = snow::Builder::new(NOISE.parse()?)
            .local_private_key(secret.0.as_slice())?
            .remote_public_key(&self.key.0)?
            .prologue(&self.prologue)?;
        if initiator { builder.build_initiator() } else { builder.build_responder() }
    }

    /// Begins a session: the first frame.
    pub fn greet(&mut self, secret: &SecretKey, id: [u8; 8]) -> Result<Vec<u8>, PeerFault> {
        let mut state = self.handshake(secret, true).map_err(|_| PeerFault::Handshake)?;
        self.id = id;
        let frame = self.frame(HELLO, |payload| state.write_message(&[], payload))?;
        self.session = Session::Greeting(Box::new(state));
        Ok(frame)
    }

    /// Takes a frame that came under this peer's name.
    pub fn receive(&mut self, frame: &[u8], secret: &SecretKey) -> Result<ReceivedFrame, PeerFault> {
        // Whoever takes this peer's name at the relay can send anything. Only what its key has sealed may end a session.
        let Some((kind, rest)) = frame.split_first() else { return Ok(ReceivedFrame::Stale) };
        let Some((id, payload)) = rest.split_first_chunk::<8>() else { return Ok(ReceivedFrame::Stale) };
        let mut buffer = vec![0; MOST_BYTES];
        match *kind {
            HELLO => {
                let mut state = self.handshake(secret, false).map_err(|_| PeerFault::Handshake)?;
                if state.read_message(payload, &mut buffer).is_err() {
                    self.doubtful = true;
                    return Ok(ReceivedFrame::Stale);
                }
                self.id = *id;
                let reply = self.frame(REPLY, |payload| state.write_message(&[], payload))?;
                self.begin(state)?;
                Ok(ReceivedFrame::Opened(Some(reply)))
            }
            REPLY if self.id == *id => match std::mem::replace(&mut self.session, Session::Closed) {
                Session::Greeting(mut state) => {
                    if state.read_message(payload, &mut buffer).is_err() {
                        self.doubtful = true;
                        self.session = Session::Greeting(state);
                        return Ok(ReceivedFrame::Stale);
                    }
                    self.begin(*state)?;
                    Ok(ReceivedFrame::Opened(None))
                }
                other => {
                    self.session = other;
                    Ok(ReceivedFrame::Stale)
                }
            },
            SEALED if self.id == *id => self.open(payload, &mut buffer),
            _ => Ok(ReceivedFrame::Stale),
        }
    }

    /// The session is open from now on.
    fn begin(&mut self, state: HandshakeState) -> Result<(), PeerFault> {
        let state = state.into_transport_mode().map_err(|_| PeerFault::Handshake)?;
        self.session = Session::Open(Box::new(state));
        self.unopened = 0;
        Ok(())
    }

    /// Opens a sealed frame with room for it in `buffer`. One that opens under no number to come is dropped: anybody can
    /// have sent it. One that opens under a later number is the peer's, and others before it are missing.
    fn open(&mut self, payload: &[u8], buffer: &mut [u8]) -> Result<ReceivedFrame, PeerFault> {
        let Session::Open(state) = &mut self.session else { return Ok(ReceivedFrame::Stale) };
        if let Ok(length) = state.read_message(payload, buffer) {
            return Ok(ReceivedFrame::Message(Message::from_bytes(&buffer[..length])?));
        }
        self.unopened = self.unopened.saturating_add(1);
        if self.unopened > MOST_SEARCHES {
            return Ok(ReceivedFrame::Stale);
        }
        let next = state.receiving_nonce();
        for ahead in 1..=LOOK_AHEAD {
            state.set_receiving_nonce(next + ahead);
            if state.read_message(payload, buffer).is_ok() {
                return Err(PeerFault::Seal);
            }
        }
        state.set_receiving_nonce(next);
        Ok(ReceivedFrame::Stale)
    }

    /// Seals a message; `None` while no session is open.
    pub fn seal(&mut self, message: &Message) -> Result<Option<Vec<u8>>, PeerFault> {
        let mut state = match std::mem::replace(&mut self.session, Session::Closed) {
            Session::Open(state) => state,
            // One that is being opened goes on.
            other => {
                self.session = other;
                return Ok(None);
            }
        };
        let bytes = message.to_bytes();
        let frame = self.frame(SEALED, |payload| state.write_message(&bytes, payload));
        self.session = Session::Open(state);
        frame.map(Some)
    }

    fn frame(
        &self,
        kind: u8,
        write: impl FnOnce(&mut [u8]) -> Result<usize, snow::Error>,
    ) -> Result<Vec<u8>, PeerFault> {
        let mut frame = vec![0; 9 + MOST_BYTES];
        frame[0] = kind;
        frame[1..9].copy_from_slice(&self.id);
        let length = write(&mut frame[9..]).map_err(|_| PeerFault::Handshake)?;
        frame.truncate(9 + length);
        Ok(frame)
    }
}

#[cfg(test)]
#[path = "peer_tests.rs"]
mod tests;
