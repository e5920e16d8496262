//! The promises of a stream to a serving party, whatever list of messages the other side sends: a party encodes rows that it
//! serves, once it is in and in the order of requests; a coordinator takes codes of rows that it asked for, each once.

use std::collections::VecDeque;

use proptest::prelude::*;

use crate::codes::packed::PackedCodes;
use crate::limits::CODES_ROWS;
use crate::name::PartyName;
use crate::protocol::serving_coordinator::{ServingCoordinatorSession, ServingEvent};
use crate::protocol::serving_party::{FromServingParty, ServingPartySession, ServingWork, ToServingParty};
use crate::records::SALT_BYTES;
use crate::records::rows::ServedRow;

const RECORDS: usize = 40;
const BITS: usize = 4;

/// A request's number less the one that is due: mostly none.
fn off() -> impl Strategy<Value = i64> {
    prop_oneof![8 => Just(0_i64), 1 => -2_i64..=2]
}

fn number(due: u64, off: i64) -> u64 {
    due.saturating_add_signed(off)
}

/// What a coordinator says to a serving party.
#[derive(Debug, Clone)]
enum ToParty {
    Welcome,
    Accepted,
    Refused(bool),
    Encode { off: i64, rows: Vec<u32> },
}

fn to_party() -> impl Strategy<Value = ToParty> {
    let sorted = prop::collection::btree_set(0..RECORDS as u32, 1..8);
    let sorted = sorted.prop_map(|rows| rows.into_iter().collect::<Vec<u32>>());
    let wild = prop::collection::vec(0..RECORDS as u32 + 2, 0..6);
    prop_oneof![
        2 => Just(ToParty::Welcome),
        2 => Just(ToParty::Accepted),
        1 => any::<bool>().prop_map(ToParty::Refused),
        8 => (off(), sorted).prop_map(|(off, rows)| ToParty::Encode { off, rows }),
        2 => (off(), wild).prop_map(|(off, rows)| ToParty::Encode { off, rows }),
    ]
}

/// What a serving party says, to be made right for the oldest request or not.
#[derive(Debug, Clone)]
enum FromParty {
    /// The coordinator asks for so many rows, from this one on.
    Ask {
        first: u32,
        count: u32,
    },
    Grant {
        off: i64,
        refused: Vec<u32>,
    },
    Codes {
        off: i64,
        rows_off: i64,
    },
    Failed,
}

fn from_party() -> impl Strategy<Value = FromParty> {
    let count = prop_oneof![6 => 1_u32..6, 1 => Just(CODES_ROWS as u32 + 3)];
    let refused = prop::collection::btree_set(0_u32..6, 0..4);
    let refused = refused.prop_map(|rows| rows.into_iter().collect::<Vec<u32>>());
    let wild = prop::collection::vec(0_u32..6, 0..4);
    let rows_off = prop_oneof![8 => Just(0_i64), 1 => -2_i64..=2];
    prop_oneof![
        6 => (0_u32..9, count).prop_map(|(first, count)| FromParty::Ask { first, count }),
        6 => (off(), refused).prop_map(|(off, refused)| FromParty::Grant { off, refused }),
        1 => (off(), wild).prop_map(|(off, refused)| FromParty::Grant { off, refused }),
        6 => (off(), rows_off).prop_map(|(off, rows_off)| FromParty::Codes { off, rows_off }),
        1 => Just(FromParty::Failed),
    ]
}

/// A request as whoever asked remembers it.
struct Asked {
    request: u64,
    rows: Vec<ServedRow>,
    granted: bool,
}

impl Asked {
    /// Rows of which the next message of codes is.
    fn next_codes(&self) -> usize {
        self.rows.len().min(CODES_ROWS)
    }

    /// Notes an answer, after a check that it is about this request's rows.
    fn note(&mut self, event: &ServingEvent) {
        match event {
            ServingEvent::Granted { refused, .. } => {
                assert!(!self.granted, "granted twice");
                let before = self.rows.len();
                self.rows.retain(|row| !refused.contains(row));
                assert_eq!(before - self.rows.len(), refused.len(), "rows that were not asked for");
                self.granted = true;
            }
            ServingEvent::Codes { rows, codes, p_values } => {
                assert!(self.granted, "codes before the grant");
                let due: Vec<ServedRow> = self.rows.drain(..self.next_codes()).collect();
                assert_eq!((rows, codes.rows(), codes.bits()), (&due, due.len(), BITS));
                assert!(p_values.is_none(), "nobody announced any");
            }
        }
    }
}

/// The party's next message, nearly right for the oldest request.
fn answer(oldest: Option<&Asked>, to_send: FromParty) -> FromServingParty {
    let due = oldest.map_or(1, |asked| asked.request);
    match to_send {
        FromParty::Grant { off, refused } => {
            let reason = "the policy".to_string();
            FromServingParty::Granted { request: number(due, off), refused, reason }
        }
        FromParty::Codes { off, rows_off } => {
            let rows = oldest.map_or(1, Asked::next_codes).saturating_add_signed(rows_off as isize);
            let bytes = vec![0; PackedCodes::packed_len(rows, BITS)];
            FromServingParty::Codes { request: number(due, off), bytes, p_values: Vec::new() }
        }
        FromParty::Ask { .. } | FromParty::Failed => FromServingParty::Failed { text: "no disk".to_string() },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_serving_party_encodes_rows_that_it_serves_once_it_is_in(
        messages in prop::collection::vec(to_party(), 1..60),
    ) {
        let mut session = ServingPartySession::new(RECORDS);
        let (mut welcomed, mut accepted, mut last) = (false, false, 0);
        for to_send in messages {
            let message = match to_send {
                ToParty::Welcome => ToServingParty::Welcome { salt: [0; SALT_BYTES] },
                ToParty::Accepted => ToServingParty::Accepted,
                ToParty::Refused(try_again) => ToServingParty::Refused { text: "no".to_string(), try_again },
                ToParty::Encode { off, rows } => ToServingParty::Encode { request: number(last + 1, off), rows },
            };
            // Whoever is refused could go on in spite of it: it would gain nothing.
            let Ok(work) = session.receive(message) else { continue };
            match work {
                ServingWork::SayServing(_) => {
                    prop_assert!(!welcomed, "greeted twice");
                    welcomed = true;
                }
                ServingWork::Joined => {
                    prop_assert!(welcomed && !accepted);
                    accepted = true;
                }
                ServingWork::Encode { request, rows } => {
                    prop_assert!(accepted, "codes before Accepted");
                    prop_assert_eq!(request, last + 1, "each request once, in order");
                    prop_assert!(!rows.is_empty() && rows.is_sorted_by(|one, next| one < next));
                    prop_assert!(rows.iter().all(|row| (*row as usize) < RECORDS));
                    last = request;
                }
            }
            prop_assert_eq!(session.joined(), accepted);
        }
    }

    #[test]
    fn a_coordinator_takes_codes_of_rows_that_it_asked_for_each_once(
        messages in prop::collection::vec(from_party(), 1..60),
    ) {
        let mut session = ServingCoordinatorSession::new(PartyName::new("bank").unwrap(), BITS, None);
        let (mut open, mut last) = (VecDeque::<Asked>::new(), 0);
        for to_send in messages {
            if let FromParty::Ask { first, count } = to_send {
                let rows: Vec<ServedRow> = (first..first + count).map(ServedRow::new).collect();
                let ToServingParty::Encode { request, .. } = session.request(&rows) else {
                    panic!("no request")
                };
                prop_assert_eq!(request, last + 1);
                last = request;
                open.push_back(Asked { request, rows, granted: false });
                continue;
            }
            // What is wrong ends the stream.
            let message = answer(open.front(), to_send);
            let Ok((event, done)) = session.receive(message) else { return Ok(()) };
            let Some(oldest) = open.front_mut() else { panic!("an answer to nothing") };
            oldest.note(&event);
            prop_assert_eq!(done, oldest.rows.is_empty());
            if done {
                open.pop_front();
            }
        }
    }
}
