//! The coordinator's side of a stream to a serving party.

use std::collections::VecDeque;

use crate::codes::packed::{CodeError, PackedCodes};
use crate::limits::CODES_ROWS;
use crate::name::PartyName;
use crate::p_value::Grid;
use crate::protocol::serving_party::{FromServingParty, ToServingParty, granted};
use crate::records::rows::ServedRow;

/// Why a serving party's message is not the answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServingCoordinatorError {
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
    /// Refused positions that are outside the request, or out of order.
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
    /// p-values that `Serving` did not announce.
    #[error("request {request}: {party} sent p-values with its codes, which it did not announce in Serving")]
    Unannounced {
        /// The party.
        party: PartyName,
        /// The request.
        request: u64,
    },
    /// p-values of a wrong length.
    #[error("request {request}: {party}: p-values of {bits} bits each, packed as codes are: {source}")]
    PValues {
        /// The party.
        party: PartyName,
        /// The request.
        request: u64,
        /// Bits of each, as announced.
        bits: usize,
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
pub enum ServingEvent {
    /// Rows that the party's policy refuses, with the reason; none where all are granted.
    Granted {
        /// The refused rows.
        refused: Vec<ServedRow>,
        /// Why.
        reason: String,
    },
    /// Codes of these rows.
    Codes {
        /// The rows.
        rows: Vec<ServedRow>,
        /// Their codes.
        codes: PackedCodes,
        /// Their p-values, packed by the grid that the party announced; absent where it announced none.
        p_values: Option<PackedCodes>,
    },
}

/// A request that is not answered in full.
struct OpenRequest {
    request: u64,
    rows: VecDeque<ServedRow>,
    granted: bool,
}

/// The coordinator's view of one serving party: which requests are open, and what answers them.
pub struct ServingCoordinatorSession {
    party: PartyName,
    bits: usize,
    grid: Option<Grid>,
    last: u64,
    open: VecDeque<OpenRequest>,
}

impl ServingCoordinatorSession {
    /// A party that was accepted and sends codes of `bits` bits, and the p-values that it announced.
    pub fn new(party: PartyName, bits: usize, grid: Option<Grid>) -> Self {
        Self { party, bits, grid, last: 0, open: VecDeque::new() }
    }

    /// The next request, for `rows` (ascending, each once, as many as the limit allows).
    pub fn request(&mut self, rows: &[ServedRow]) -> ToServingParty {
        self.last += 1;
        self.open.push_back(OpenRequest {
            request: self.last,
            rows: rows.iter().copied().collect(),
            granted: false,
        });
        ToServingParty::Encode { request: self.last, rows: rows.iter().map(|row| row.number()).collect() }
    }

    /// Takes a message; with it, whether the oldest request is now answered in full.
    ///
    /// # Errors
    /// If the message answers nothing, or holds what was not asked for. The session must not be used again then.
    pub fn receive(
        &mut self,
        message: FromServingParty,
    ) -> Result<(ServingEvent, bool), ServingCoordinatorError> {
        let found = message.kind();
        let granted = self.open.front().map(|open| open.granted);
        let event = match (message, granted) {
            (FromServingParty::Failed { text }, _) => {
                return Err(ServingCoordinatorError::Failed { party: self.party.clone(), text });
            }
            (FromServingParty::Granted { request, refused, reason }, Some(false)) => {
                self.take_grant(request, &refused, reason)?
            }
            (FromServingParty::Codes { request, bytes, p_values }, Some(true)) => {
                self.take_codes(request, bytes, p_values)?
            }
            (_, granted) => {
                let expected = match granted {
                    None => "nothing: no request is open",
                    Some(false) => "Granted",
                    Some(true) => "Codes",
                };
                return Err(ServingCoordinatorError::Unexpected {
                    party: self.party.clone(),
                    found,
                    expected,
                });
            }
        };
        let done = self.open.front().is_none_or(|open| open.rows.is_empty());
        if done {
            self.open.pop_front();
        }
        Ok((event, done))
    }

    /// The oldest open request, if that is the one with this number.
    fn oldest(&mut self, number: u64) -> Result<&mut OpenRequest, ServingCoordinatorError> {
        match self.open.front_mut() {
            Some(open) if open.request == number => Ok(open),
            open => Err(ServingCoordinatorError::Request {
                party: self.party.clone(),
                found: number,
                expected: open.map_or(0, |open| open.request),
            }),
        }
    }

    fn take_grant(
        &mut self,
        request: u64,
        refused: &[u32],
        reason: String,
    ) -> Result<ServingEvent, ServingCoordinatorError> {
        let party = self.party.clone();
        let open = self.oldest(request)?;
        let ascending = refused.is_sorted_by(|one, next| one < next);
        if !ascending || refused.last().is_some_and(|last| *last as usize >= open.rows.len()) {
            return Err(ServingCoordinatorError::Refused { party, request });
        }
        let rows = refused.iter().map(|position| open.rows[*position as usize]).collect();
        open.rows.retain(granted(refused));
        open.granted = true;
        Ok(ServingEvent::Granted { refused: rows, reason })
    }

    fn take_codes(
        &mut self,
        request: u64,
        bytes: Vec<u8>,
        p_values: Vec<u8>,
    ) -> Result<ServingEvent, ServingCoordinatorError> {
        let (party, bits, grid) = (self.party.clone(), self.bits, self.grid);
        let open = self.oldest(request)?;
        let rows: Vec<ServedRow> = open.rows.drain(..open.rows.len().min(CODES_ROWS)).collect();
        let codes = PackedCodes::from_bytes(rows.len(), bits, bytes)
            .map_err(|source| ServingCoordinatorError::Codes { party: party.clone(), request, source })?;
        let p_values = match grid {
            None if p_values.is_empty() => None,
            None => return Err(ServingCoordinatorError::Unannounced { party, request }),
            Some(grid) => {
                let bits = grid.bits();
                let packed = PackedCodes::from_bytes(rows.len(), bits, p_values);
                Some(packed.map_err(|source| ServingCoordinatorError::PValues {
                    party,
                    request,
                    bits,
                    source,
                })?)
            }
        };
        Ok(ServingEvent::Codes { rows, codes, p_values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(numbers: &[u32]) -> Vec<ServedRow> {
        numbers.iter().map(|number| ServedRow::new(*number)).collect()
    }

    fn session_of_two() -> ServingCoordinatorSession {
        let mut session = ServingCoordinatorSession::new(PartyName::new("bank").unwrap(), 4, None);
        session.request(&rows(&[1, 4, 6]));
        session.request(&rows(&[2]));
        session
    }

    fn granted(request: u64, refused: &[u32]) -> FromServingParty {
        FromServingParty::Granted { request, refused: refused.to_vec(), reason: String::new() }
    }

    fn codes(request: u64, bytes: &[u8]) -> FromServingParty {
        FromServingParty::Codes { request, bytes: bytes.to_vec(), p_values: vec![] }
    }

    #[test]
    fn answers_belong_to_the_oldest_request() {
        let mut session = session_of_two();
        let (event, done) = session.receive(granted(1, &[1])).unwrap();
        assert_eq!(
            (event, done),
            (ServingEvent::Granted { refused: rows(&[4]), reason: String::new() }, false)
        );
        let (event, done) = session.receive(codes(1, &[0x21])).unwrap();
        let packed = PackedCodes::from_bytes(2, 4, vec![0x21]).unwrap();
        assert_eq!(
            (event, done),
            (ServingEvent::Codes { rows: rows(&[1, 6]), codes: packed, p_values: None }, true)
        );
        let (_, done) = session.receive(granted(2, &[0])).unwrap();
        assert!(done, "all of it is refused");
        assert!(matches!(session.receive(codes(2, &[])), Err(ServingCoordinatorError::Unexpected { .. })));
    }

    #[test]
    fn what_answers_nothing_is_an_error() {
        assert!(matches!(
            session_of_two().receive(codes(1, &[1])),
            Err(ServingCoordinatorError::Unexpected { .. })
        ));
        assert!(matches!(
            session_of_two().receive(granted(2, &[])),
            Err(ServingCoordinatorError::Request { .. })
        ));
        for positions in [&[3][..], &[1, 1], &[2, 0]] {
            assert!(matches!(
                session_of_two().receive(granted(1, positions)),
                Err(ServingCoordinatorError::Refused { .. })
            ));
        }
        let mut session = session_of_two();
        session.receive(granted(1, &[])).unwrap();
        assert!(matches!(session.receive(codes(1, &[1])), Err(ServingCoordinatorError::Codes { .. })));
        let failed = FromServingParty::Failed { text: "no disk".into() };
        assert!(matches!(session_of_two().receive(failed), Err(ServingCoordinatorError::Failed { .. })));
    }

    #[test]
    fn p_values_come_where_they_are_announced_and_are_of_the_right_length() {
        let answer = |p_values: &[u8]| FromServingParty::Codes {
            request: 1,
            bytes: vec![0x21, 0x03],
            p_values: p_values.to_vec(),
        };
        let receive = |grid, p_values: &[u8]| {
            let mut session = ServingCoordinatorSession::new(PartyName::new("bank").unwrap(), 4, grid);
            session.request(&rows(&[1, 4, 6]));
            session.receive(granted(1, &[])).unwrap();
            session.receive(answer(p_values))
        };
        let (event, done) = receive(Some(Grid::FINE), &[0x0f, 0x02]).unwrap();
        let ServingEvent::Codes { p_values: Some(p_values), .. } = event else { panic!("{event:?}") };
        assert_eq!(Grid::FINE.p_values(&p_values.to_signs()), [0.5_f64.powi(15), 1.0, 0.25]);
        assert!(done);
        let unannounced = receive(None, &[0x0f, 0x02]);
        assert!(
            matches!(unannounced, Err(ServingCoordinatorError::Unannounced { request: 1, .. })),
            "{unannounced:?}"
        );
        for wrong in [&[][..], &[1], &[1, 2, 3], &[1, 0xf0]] {
            let received = receive(Some(Grid::FINE), wrong);
            assert!(matches!(received, Err(ServingCoordinatorError::PValues { bits: 4, .. })), "{wrong:?}");
        }
    }
}
