//! Prediction: the messages between the coordinator and a serving party, and the party's side as a pure state machine.
//! The coordinator's side is [`crate::protocol::serving_coordinator`].
//!
//! ```text
//!  party      --Hello--> <--Welcome-- --Serving--> <--Accepted--   then, any number of times:
//!             <--Encode(n, rows)--  --Granted(n)--> --Codes(n)--> --Codes(n)--> ...
//! ```
//!
//! The coordinator numbers its requests from 1 and may send the next before the last is answered; a party answers in
//! order. Rows are positions in the list of served records, which all sides share. Each comes once, in ascending order:
//! so a request does not show in which order a client asked. `Granted` names the rows that the party's
//! policy refuses; codes of the others follow, [`CODES_ROWS`](crate::limits::CODES_ROWS) records per message, with
//! p-values of the party's own detectors where `Serving` has announced them.

use crate::digest::Digest;
use crate::limits::MAX_REQUEST_ROWS;
use crate::p_value::Grid;
use crate::protocol::message::{AuditHead, Hello};
use crate::records::{RecordsDigest, SALT_BYTES};

/// What a serving party says of what it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving {
    /// Count and digest of its records.
    pub records: RecordsDigest,
    /// Digest of everything that turns columns into codes.
    pub encoder: Digest,
    /// A random number that the party draws anew whenever its columns or detectors have changed. Codes of another
    /// revision are out of date. It says nothing else.
    pub revision: Digest,
    /// The p-values that come with its codes; absent: none do.
    pub p_values: Option<Grid>,
    /// The head of its audit log, where it has one.
    pub head: Option<AuditHead>,
}

messages! {
    /// What a serving party says. No field is a float.
    #[derive(Debug, Clone, PartialEq)]
    pub enum FromServingParty {
        /// It wants to serve.
        Hello(Hello),
        /// What it serves, in answer to [`ToServingParty::Welcome`].
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
            /// The packed p-values of the same records; empty where none are announced.
            p_values: Vec<u8>,
        },
        /// The party cannot go on.
        Failed {
            /// One line for a person. Never a raw value.
            text: String,
        },
    }
}

/// What the coordinator says to it.
#[derive(Debug, Clone, PartialEq)]
pub enum ToServingParty {
    /// The handshake goes on.
    Welcome {
        /// Drawn anew for every handshake.
        salt: [u8; SALT_BYTES],
    },
    /// The party may not serve, or not any longer. This is the last message of a stream.
    Refused {
        /// One line for a person.
        text: String,
        /// Whether the same may be right a little later.
        try_again: bool,
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

/// For `retain` on a request's rows: keeps those whose positions are not among `refused`, which ascend.
pub fn granted<R>(refused: &[u32]) -> impl FnMut(&R) -> bool {
    let (mut position, mut next) = (0, refused.iter().peekable());
    move |_| {
        position += 1;
        next.next_if(|refused| **refused == position - 1).is_none()
    }
}

/// Why a coordinator's message is not one that a serving party answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServingPartyError {
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
    /// The coordinator refused this party for now.
    #[error("the coordinator refused for now: {0}")]
    TryAgain(String),
}

/// What a serving party has to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServingWork {
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
pub struct ServingPartySession {
    state: State,
    records: usize,
    request: u64,
}

impl ServingPartySession {
    /// A party that is about to send its `Hello` and serves so many records.
    pub fn new(records: usize) -> Self {
        Self { state: State::Greeting, records, request: 0 }
    }

    /// Whether the party is in.
    pub fn joined(&self) -> bool {
        self.state == State::Ready
    }

    /// What `message` asks for.
    ///
    /// # Errors
    /// If the protocol does not allow the message now. The session must not be used again then.
    pub fn receive(&mut self, message: ToServingParty) -> Result<ServingWork, ServingPartyError> {
        match (self.state, message) {
            (_, ToServingParty::Refused { text, try_again: false }) => Err(ServingPartyError::Refused(text)),
            (_, ToServingParty::Refused { text, .. }) => Err(ServingPartyError::TryAgain(text)),
            (State::Greeting, ToServingParty::Welcome { salt }) => {
                self.state = State::Joining;
                Ok(ServingWork::SayServing(salt))
            }
            (State::Joining, ToServingParty::Accepted) => {
                self.state = State::Ready;
                Ok(ServingWork::Joined)
            }
            (State::Ready, ToServingParty::Encode { request, rows }) => {
                let expected = self.request + 1;
                if request != expected {
                    return Err(ServingPartyError::Request { found: request, expected });
                }
                let size = (1..=MAX_REQUEST_ROWS).contains(&rows.len());
                let ascending = rows.is_sorted_by(|one, next| one < next);
                if !size || !ascending || rows.last().is_none_or(|last| *last as usize >= self.records) {
                    return Err(ServingPartyError::Rows { request, records: self.records });
                }
                self.request = request;
                Ok(ServingWork::Encode { request, rows })
            }
            (State::Greeting, _) => Err(ServingPartyError::Unexpected("greeting")),
            (State::Joining, _) => Err(ServingPartyError::Unexpected("waiting to be accepted")),
            (State::Ready, _) => Err(ServingPartyError::Unexpected("waiting for a request")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> ServingPartySession {
        let mut session = ServingPartySession::new(10);
        session.receive(ToServingParty::Welcome { salt: [0; SALT_BYTES] }).unwrap();
        assert_eq!(session.receive(ToServingParty::Accepted), Ok(ServingWork::Joined));
        session
    }

    fn encode(request: u64, rows: &[u32]) -> ToServingParty {
        ToServingParty::Encode { request, rows: rows.to_vec() }
    }

    #[test]
    fn a_serving_party_answers_numbered_requests_for_rows_that_it_has() {
        let mut session = ready();
        for request in 1..4 {
            let work = ServingWork::Encode { request, rows: vec![0, 3, 9] };
            assert_eq!(session.receive(encode(request, &[0, 3, 9])), Ok(work));
        }
        for rows in [&[][..], &[10], &[3, 3], &[4, 2]] {
            assert!(
                matches!(ready().receive(encode(1, rows)), Err(ServingPartyError::Rows { .. })),
                "{rows:?}"
            );
        }
        assert!(matches!(
            ready().receive(encode(2, &[1])),
            Err(ServingPartyError::Request { expected: 1, .. })
        ));
        assert!(matches!(
            ServingPartySession::new(10).receive(encode(1, &[1])),
            Err(ServingPartyError::Unexpected(_))
        ));
        assert!(matches!(ready().receive(ToServingParty::Accepted), Err(ServingPartyError::Unexpected(_))));
        let refused = ready().receive(ToServingParty::Refused { text: "no".into(), try_again: false });
        assert_eq!(refused, Err(ServingPartyError::Refused("no".into())));
    }
}
