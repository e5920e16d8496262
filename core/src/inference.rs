//! Prediction: what the coordinator and a party that serves say to each other, and both sides of it as pure state
//! machines.
//!
//! ```text
//!  party      --Hello--> <--Welcome-- --Serving--> <--Accepted--   then, as often as need be:
//!             <--Encode(n, rows)--  --Granted(n)--> --Codes(n)--> --Codes(n)--> ...
//! ```
//!
//! The coordinator numbers its requests from 1 and may send the next before the last is answered; a party answers in
//! order. Rows are those of the served records, of which all sides hold the same list. They come sorted and each once,
//! so that a request tells nothing of the order in which a client asked. `Granted` names the rows that the party's
//! policy refuses; codes of the others follow, [`CODES_ROWS`] records a message.

use std::collections::VecDeque;

use crate::code::{CodeError, PackedCodes};
use crate::digest::Digest;
use crate::limits::{CODES_ROWS, MAX_REQUEST_ROWS};
use crate::message::Hello;
use crate::name::PartyName;
use crate::records::{RecordsDigest, SALT_BYTES};

/// What a serving party says of what it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Serving {
    /// Count and digest of its records.
    pub records: RecordsDigest,
    /// Digest of everything that turns columns into codes.
    pub encoder: Digest,
    /// Drawn anew whenever the columns have changed: codes of another revision are out of date. It says nothing else.
    pub revision: Digest,
}

/// What a serving party says. No field is a float.
#[derive(Debug, Clone, PartialEq)]
pub enum FromServer {
    /// It wants to serve.
    Hello(Hello),
    /// What it serves, in answer to [`ToServer::Welcome`].
    Serving(Serving),
    /// What of a request is allowed.
    Granted {
        /// The request.
        request: u64,
        /// Positions in the request of the rows that are refused, in order.
        refused: Vec<u32>,
        /// By which rule, for a person; empty where nothing is refused.
        reason: String,
    },
    /// Codes of the next rows that were granted.
    Codes {
        /// The request.
        request: u64,
        /// The packed bits; their number follows from the request.
        bytes: Vec<u8>,
    },
    /// The party cannot go on.
    Failed {
        /// One line for a person. Never a raw value.
        text: String,
    },
}

/// What the coordinator says to it.
#[derive(Debug, Clone, PartialEq)]
pub enum ToServer {
    /// The handshake goes on.
    Welcome {
        /// Drawn anew for every handshake.
        salt: [u8; SALT_BYTES],
    },
    /// The party may not serve (any more); the last message of a stream.
    Refused {
        /// One line for a person.
        text: String,
    },
    /// The party is in; requests follow.
    Accepted,
    /// Encode these rows of the served records.
    Encode {
        /// Number of this request, one more than the last.
        request: u64,
        /// Ascending, each once.
        rows: Vec<u32>,
    },
}

impl FromServer {
    /// The kind of message, for errors and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Hello(_) => "Hello",
            Self::Serving(_) => "Serving",
            Self::Granted { .. } => "Granted",
            Self::Codes { .. } => "Codes",
            Self::Failed { .. } => "Failed",
        }
    }
}

/// For `retain` on a request's rows: keeps those whose positions are not among `refused`, which ascend.
pub fn granted(refused: &[u32]) -> impl FnMut(&u32) -> bool {
    let (mut position, mut next) = (0, refused.iter().peekable());
    move |_| {
        position += 1;
        next.next_if(|refused| **refused == position - 1).is_none()
    }
}

/// Why a coordinator's message is not one that a serving party answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// A message that has no place in the present state.
    #[error("the coordinator sent a message out of order: the party was {0}")]
    Unexpected(&'static str),
    /// A request that is not the next.
    #[error("the coordinator sent request {found}, expected request {expected}")]
    Request {
        /// Its number.
        found: u64,
        /// The number that would be right.
        expected: u64,
    },
    /// Rows that are none of the served records, not in order, or too many.
    #[error("request {request}: rows must be 1 to {MAX_REQUEST_ROWS}, ascending and below {records}")]
    Rows {
        /// The request.
        request: u64,
        /// Records that are served.
        records: usize,
    },
    /// The coordinator refused this party.
    #[error("the coordinator refused: {0}")]
    Refused(String),
}

/// What a serving party has to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerWork {
    /// Say what is served, with the digest of ids under this salt.
    SayServing([u8; SALT_BYTES]),
    /// Nothing: the party is in.
    Joined,
    /// Encode rows.
    Encode {
        /// The request.
        request: u64,
        /// The rows, ascending.
        rows: Vec<u32>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Greeting,
    Joining,
    Ready,
}

/// A serving party's place in the protocol.
#[derive(Debug)]
pub struct ServerSession {
    state: State,
    records: usize,
    request: u64,
}

impl ServerSession {
    /// A party that is about to send its `Hello` and serves so many records.
    pub fn new(records: usize) -> Self {
        Self { state: State::Greeting, records, request: 0 }
    }

    /// Whether the party is in.
    pub fn joined(&self) -> bool {
        self.state == State::Ready
    }

    /// What `message` asks for. After an error the session must not be used again.
    pub fn receive(&mut self, message: ToServer) -> Result<ServerWork, ServerError> {
        match (self.state, message) {
            (_, ToServer::Refused { text }) => Err(ServerError::Refused(text)),
            (State::Greeting, ToServer::Welcome { salt }) => {
                self.state = State::Joining;
                Ok(ServerWork::SayServing(salt))
            }
            (State::Joining, ToServer::Accepted) => {
                self.state = State::Ready;
                Ok(ServerWork::Joined)
            }
            (State::Ready, ToServer::Encode { request, rows }) => {
                let expected = self.request + 1;
                if request != expected {
                    return Err(ServerError::Request { found: request, expected });
                }
                let size = (1..=MAX_REQUEST_ROWS).contains(&rows.len());
                let ascending = rows.is_sorted_by(|one, next| one < next);
                if !size || !ascending || rows.last().is_none_or(|last| *last as usize >= self.records) {
                    return Err(ServerError::Rows { request, records: self.records });
                }
                self.request = request;
                Ok(ServerWork::Encode { request, rows })
            }
            (State::Greeting, _) => Err(ServerError::Unexpected("greeting")),
            (State::Joining, _) => Err(ServerError::Unexpected("waiting to be accepted")),
            (State::Ready, _) => Err(ServerError::Unexpected("waiting for a request")),
        }
    }
}

/// Why a serving party's message is not the answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// A message that answers nothing.
    #[error("{party} sent {found}, expected {expected}")]
    Unexpected {
        /// The party.
        party: PartyName,
        /// The message.
        found: &'static str,
        /// What would be right.
        expected: &'static str,
    },
    /// An answer to another request.
    #[error("{party} answered request {found}, expected an answer to request {expected}")]
    Request {
        /// The party.
        party: PartyName,
        /// The answer's request.
        found: u64,
        /// The oldest open request.
        expected: u64,
    },
    /// Refused positions that are none.
    #[error("request {request}: {party} refuses records that it was not asked for")]
    Refused {
        /// The party.
        party: PartyName,
        /// The request.
        request: u64,
    },
    /// Codes of a wrong length.
    #[error("request {request}: {party}: {source}")]
    Codes {
        /// The party.
        party: PartyName,
        /// The request.
        request: u64,
        /// What is wrong with them.
        source: CodeError,
    },
    /// The party gave up.
    #[error("{party} stopped: {text}")]
    Failed {
        /// The party.
        party: PartyName,
        /// Its words.
        text: String,
    },
}

/// What a party's message means for the oldest open request.
#[derive(Debug, Clone, PartialEq)]
pub enum LinkEvent {
    /// Rows that the party's policy refuses, with the reason; none where all are granted.
    Granted {
        /// The refused rows.
        refused: Vec<u32>,
        /// Why.
        reason: String,
    },
    /// Codes of these rows.
    Codes(Vec<u32>, PackedCodes),
}

struct Open {
    request: u64,
    rows: VecDeque<u32>,
    granted: bool,
}

/// The coordinator's view of one serving party: which requests are open, and what answers them.
pub struct LinkSession {
    party: PartyName,
    bits: usize,
    last: u64,
    open: VecDeque<Open>,
}

impl LinkSession {
    /// A party that was accepted and sends codes of `bits` bits.
    pub fn new(party: PartyName, bits: usize) -> Self {
        Self { party, bits, last: 0, open: VecDeque::new() }
    }

    /// The next request, for `rows` (ascending, each once, as many as the limit allows).
    pub fn request(&mut self, rows: &[u32]) -> ToServer {
        self.last += 1;
        self.open.push_back(Open {
            request: self.last,
            rows: rows.iter().copied().collect(),
            granted: false,
        });
        ToServer::Encode { request: self.last, rows: rows.to_vec() }
    }

    /// Takes a message; with it, whether the oldest request is now answered in full. After an error the session must
    /// not be used again.
    pub fn receive(&mut self, message: FromServer) -> Result<(LinkEvent, bool), LinkError> {
        let (party, found) = (|| self.party.clone(), message.kind());
        if let FromServer::Failed { text } = message {
            return Err(LinkError::Failed { party: party(), text });
        }
        let Some(open) = self.open.front_mut() else {
            return Err(LinkError::Unexpected {
                party: party(),
                found,
                expected: "nothing: no request is open",
            });
        };
        let request = open.request;
        let expected = |number: u64| match number == request {
            true => Ok(()),
            false => Err(LinkError::Request { party: party(), found: number, expected: request }),
        };
        let event = match (message, open.granted) {
            (FromServer::Granted { request: number, refused, reason }, false) => {
                expected(number)?;
                let ascending = refused.is_sorted_by(|one, next| one < next);
                if !ascending || refused.last().is_some_and(|last| *last as usize >= open.rows.len()) {
                    return Err(LinkError::Refused { party: party(), request });
                }
                let rows = refused.iter().map(|position| open.rows[*position as usize]).collect();
                open.rows.retain(granted(&refused));
                open.granted = true;
                LinkEvent::Granted { refused: rows, reason }
            }
            (FromServer::Codes { request: number, bytes }, true) => {
                expected(number)?;
                let rows: Vec<u32> = open.rows.drain(..open.rows.len().min(CODES_ROWS)).collect();
                let codes = PackedCodes::from_bytes(rows.len(), self.bits, bytes);
                let codes = codes.map_err(|source| LinkError::Codes { party: party(), request, source })?;
                LinkEvent::Codes(rows, codes)
            }
            (_, granted) => {
                let expected = if granted { "Codes" } else { "Granted" };
                return Err(LinkError::Unexpected { party: party(), found, expected });
            }
        };
        let done = open.rows.is_empty();
        if done {
            self.open.pop_front();
        }
        Ok((event, done))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> ServerSession {
        let mut session = ServerSession::new(10);
        session.receive(ToServer::Welcome { salt: [0; SALT_BYTES] }).unwrap();
        assert_eq!(session.receive(ToServer::Accepted), Ok(ServerWork::Joined));
        session
    }

    fn encode(request: u64, rows: &[u32]) -> ToServer {
        ToServer::Encode { request, rows: rows.to_vec() }
    }

    #[test]
    fn a_serving_party_answers_numbered_requests_for_rows_that_it_has() {
        let mut session = ready();
        for request in 1..4 {
            let work = ServerWork::Encode { request, rows: vec![0, 3, 9] };
            assert_eq!(session.receive(encode(request, &[0, 3, 9])), Ok(work));
        }
        for rows in [&[][..], &[10], &[3, 3], &[4, 2]] {
            assert!(matches!(ready().receive(encode(1, rows)), Err(ServerError::Rows { .. })), "{rows:?}");
        }
        assert!(matches!(ready().receive(encode(2, &[1])), Err(ServerError::Request { expected: 1, .. })));
        assert!(matches!(ServerSession::new(10).receive(encode(1, &[1])), Err(ServerError::Unexpected(_))));
        assert!(matches!(ready().receive(ToServer::Accepted), Err(ServerError::Unexpected(_))));
        let refused = ready().receive(ToServer::Refused { text: "no".into() });
        assert_eq!(refused, Err(ServerError::Refused("no".into())));
    }

    fn link() -> LinkSession {
        let mut link = LinkSession::new(PartyName::new("bank").unwrap(), 4);
        link.request(&[1, 4, 6]);
        link.request(&[2]);
        link
    }

    fn granted(request: u64, refused: &[u32]) -> FromServer {
        FromServer::Granted { request, refused: refused.to_vec(), reason: String::new() }
    }

    fn codes(request: u64, bytes: &[u8]) -> FromServer {
        FromServer::Codes { request, bytes: bytes.to_vec() }
    }

    #[test]
    fn answers_belong_to_the_oldest_request() {
        let mut link = link();
        let (event, done) = link.receive(granted(1, &[1])).unwrap();
        assert_eq!((event, done), (LinkEvent::Granted { refused: vec![4], reason: String::new() }, false));
        let (event, done) = link.receive(codes(1, &[0x21])).unwrap();
        let packed = PackedCodes::from_bytes(2, 4, vec![0x21]).unwrap();
        assert_eq!((event, done), (LinkEvent::Codes(vec![1, 6], packed), true));
        let (_, done) = link.receive(granted(2, &[0])).unwrap();
        assert!(done, "all of it is refused");
        assert!(matches!(link.receive(codes(2, &[])), Err(LinkError::Unexpected { .. })));
    }

    #[test]
    fn what_answers_nothing_is_an_error() {
        assert!(matches!(link().receive(codes(1, &[1])), Err(LinkError::Unexpected { .. })));
        assert!(matches!(link().receive(granted(2, &[])), Err(LinkError::Request { .. })));
        for positions in [&[3][..], &[1, 1], &[2, 0]] {
            assert!(matches!(link().receive(granted(1, positions)), Err(LinkError::Refused { .. })));
        }
        let mut link = link();
        link.receive(granted(1, &[])).unwrap();
        assert!(matches!(link.receive(codes(1, &[1])), Err(LinkError::Codes { .. })));
        let failed = FromServer::Failed { text: "no disk".into() };
        assert!(matches!(self::link().receive(failed), Err(LinkError::Failed { .. })));
    }
}
