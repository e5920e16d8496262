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
    /// p-values that were not announced.
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

struct Open {
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
    open: VecDeque<Open>,
}

impl ServingCoordinatorSession {
    /// A party that was accepted and sends codes of `bits` bits, and the p-values that it announced.
    pub fn new(party: PartyName, bits: usize, grid: Option<Grid>) -> Self {
        Self { party, bits, grid, last: 0, open: VecDeque::new() }
    }

    /// The next request, for `rows` (ascending, each once, as many as the limit allows).
    pub fn request(&mut self, rows: &[ServedRow]) -> ToServingParty {
        self.last += 1;
        self.open.push_back(Open {
            request: self.last,
            rows: rows.iter().copied().collect(),
            granted: false,
        });
        ToServingParty::Encode { request: self.last, rows: rows.iter().map(|row| row.number()).collect() }
    }

    /// Takes a message; with it, whether the oldest request is now answered in full. After an error the session must
    /// not be used again.
    pub fn receive(
        &mut self,
        message: FromServingParty,
    ) -> Result<(ServingEvent, bool), ServingCoordinatorError> {
        let (party, found) = (|| self.party.clone(), message.kind());
        if let FromServingParty::Failed { text } = message {
            return Err(ServingCoordinatorError::Failed { party: party(), text });
        }
        let Some(open) = self.open.front_mut() else {
            return Err(ServingCoordinatorError::Unexpected {
                party: party(),
                found,
                expected: "nothing: no request is open",
            });
        };
        let request = open.request;
        let expected = |number: u64| match number == request {
            true => Ok(()),
            false => {
                Err(ServingCoordinatorError::Request { party: party(), found: number, expected: request })
            }
        };
        let event = match (message, open.granted) {
            (FromServingParty::Granted { request: number, refused, reason }, false) => {
                expected(number)?;
                let ascending = refused.is_sorted_by(|one, next| one < next);
                if !ascending || refused.last().is_some_and(|last| *last as usize >= open.rows.len()) {
                    return Err(ServingCoordinatorError::Refused { party: party(), request });
                }
                let rows = refused.iter().map(|position| open.rows[*position as usize]).collect();
                open.rows.retain(granted(&refused));
                open.granted = true;
                ServingEvent::Granted { refused: rows, reason }
            }
            (FromServingParty::Codes { request: number, bytes, p_values }, true) => {
                expected(number)?;
                let rows: Vec<ServedRow> = open.rows.drain(..open.rows.len().min(CODES_ROWS)).collect();
                let codes = PackedCodes::from_bytes(rows.len(), self.bits, bytes);
                let codes = codes.map_err(|source| ServingCoordinatorError::Codes {
                    party: party(),
                    request,
                    source,
                })?;
                let p_values = match self.grid {
                    None if p_values.is_empty() => None,
                    None => return Err(ServingCoordinatorError::Unannounced { party: party(), request }),
                    Some(grid) => {
                        let bits = grid.bits();
                        let packed = PackedCodes::from_bytes(rows.len(), bits, p_values);
                        Some(packed.map_err(|source| ServingCoordinatorError::PValues {
                            party: party(),
                            request,
                            bits,
                            source,
                        })?)
                    }
                };
                ServingEvent::Codes { rows, codes, p_values }
            }
            (_, granted) => {
                let expected = if granted { "Codes" } else { "Granted" };
                return Err(ServingCoordinatorError::Unexpected { party: party(), found, expected });
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

    fn rows(numbers: &[u32]) -> Vec<ServedRow> {
        numbers.iter().map(|number| ServedRow::new(*number)).collect()
    }

    fn link() -> ServingCoordinatorSession {
        let mut link = ServingCoordinatorSession::new(PartyName::new("bank").unwrap(), 4, None);
        link.request(&rows(&[1, 4, 6]));
        link.request(&rows(&[2]));
        link
    }

    fn granted(request: u64, refused: &[u32]) -> FromServingParty {
        FromServingParty::Granted { request, refused: refused.to_vec(), reason: String::new() }
    }

    fn codes(request: u64, bytes: &[u8]) -> FromServingParty {
        FromServingParty::Codes { request, bytes: bytes.to_vec(), p_values: vec![] }
    }

    #[test]
    fn answers_belong_to_the_oldest_request() {
        let mut link = link();
        let (event, done) = link.receive(granted(1, &[1])).unwrap();
        assert_eq!(
            (event, done),
            (ServingEvent::Granted { refused: rows(&[4]), reason: String::new() }, false)
        );
        let (event, done) = link.receive(codes(1, &[0x21])).unwrap();
        let packed = PackedCodes::from_bytes(2, 4, vec![0x21]).unwrap();
        assert_eq!(
            (event, done),
            (ServingEvent::Codes { rows: rows(&[1, 6]), codes: packed, p_values: None }, true)
        );
        let (_, done) = link.receive(granted(2, &[0])).unwrap();
        assert!(done, "all of it is refused");
        assert!(matches!(link.receive(codes(2, &[])), Err(ServingCoordinatorError::Unexpected { .. })));
    }

    #[test]
    fn what_answers_nothing_is_an_error() {
        assert!(matches!(link().receive(codes(1, &[1])), Err(ServingCoordinatorError::Unexpected { .. })));
        assert!(matches!(link().receive(granted(2, &[])), Err(ServingCoordinatorError::Request { .. })));
        for positions in [&[3][..], &[1, 1], &[2, 0]] {
            assert!(matches!(
                link().receive(granted(1, positions)),
                Err(ServingCoordinatorError::Refused { .. })
            ));
        }
        let mut link = link();
        link.receive(granted(1, &[])).unwrap();
        assert!(matches!(link.receive(codes(1, &[1])), Err(ServingCoordinatorError::Codes { .. })));
        let failed = FromServingParty::Failed { text: "no disk".into() };
        assert!(matches!(self::link().receive(failed), Err(ServingCoordinatorError::Failed { .. })));
    }

    #[test]
    fn p_values_come_where_they_are_announced_and_are_of_the_right_length() {
        let answer = |p_values: &[u8]| FromServingParty::Codes {
            request: 1,
            bytes: vec![0x21, 0x03],
            p_values: p_values.to_vec(),
        };
        let receive = |grid, p_values: &[u8]| {
            let mut link = ServingCoordinatorSession::new(PartyName::new("bank").unwrap(), 4, grid);
            link.request(&rows(&[1, 4, 6]));
            link.receive(granted(1, &[])).unwrap();
            link.receive(answer(p_values))
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
