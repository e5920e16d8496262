//! The messages of the service `Inference` between a serving party and the coordinator, in both directions.

use hashvfl_core::limits::{CODES_ROWS, MAX_BITS, MAX_P_VALUE_BITS, MAX_REQUEST_ROWS};
use hashvfl_core::p_value::Grid;
use hashvfl_core::protocol::message::AuditHead;
use hashvfl_core::protocol::serving_party::{FromServingParty, Serving, ToServingParty};
use hashvfl_core::records::RecordsDigest;

use crate::convert::{Result, WireError, digest, limit, salt, text, wire_message};
use crate::v1;

wire_message!(FromServingParty, v1::ServingPartyMessage);
wire_message!(ToServingParty, v1::ServingCoordinatorMessage);

impl TryFrom<v1::ServingPartyMessage> for FromServingParty {
    type Error = WireError;

    fn try_from(message: v1::ServingPartyMessage) -> Result<Self> {
        use v1::serving_party_message::Message;
        Ok(match message.message.ok_or(WireError::Missing("its content"))? {
            Message::Hello(hello) => Self::Hello(hello.try_into()?),
            Message::Serving(serving) => {
                let records = serving.records.ok_or(WireError::Missing("records"))?;
                Self::Serving(Serving {
                    records: RecordsDigest {
                        count: records.count,
                        digest: digest("salted_sha256", &records.salted_sha256)?,
                    },
                    encoder: digest("encoder_sha256", &serving.encoder_sha256)?,
                    revision: digest("revision", &serving.revision)?,
                    p_values: serving.p_values.map(|grid| Grid::new(grid.bits, grid.step)).transpose()?,
                    head: records.head.map(AuditHead::try_from).transpose()?,
                })
            }
            Message::Granted(granted) => {
                limit("refused records", granted.refused.len(), MAX_REQUEST_ROWS)?;
                let (request, reason) = (granted.request, text(&granted.reason));
                Self::Granted { request, refused: granted.refused, reason }
            }
            Message::Codes(codes) => {
                limit("codes", codes.bits.len(), CODES_ROWS * MAX_BITS / 8)?;
                limit("p-values", codes.p_values.len(), CODES_ROWS * MAX_P_VALUE_BITS as usize / 8)?;
                Self::Codes { request: codes.request, bytes: codes.bits, p_values: codes.p_values }
            }
            Message::Failed(failed) => Self::Failed { text: text(&failed.text) },
        })
    }
}

impl From<FromServingParty> for v1::ServingPartyMessage {
    fn from(message: FromServingParty) -> Self {
        use v1::serving_party_message::Message;
        let message = match message {
            FromServingParty::Hello(hello) => Message::Hello(hello.into()),
            FromServingParty::Serving(serving) => Message::Serving(v1::Serving {
                records: Some(v1::Records {
                    checkpoints: Vec::new(),
                    count: serving.records.count,
                    salted_sha256: serving.records.digest.0.to_vec(),
                    excluded: Vec::new(),
                    head: serving.head.map(v1::AuditHead::from),
                }),
                encoder_sha256: serving.encoder.0.to_vec(),
                revision: serving.revision.0.to_vec(),
                p_values: serving.p_values.map(v1::PValues::from),
            }),
            FromServingParty::Granted { request, refused, reason } => {
                Message::Granted(v1::Granted { request, refused, reason: text(&reason) })
            }
            FromServingParty::Codes { request, bytes, p_values } => {
                Message::Codes(v1::GrantedCodes { request, bits: bytes, p_values })
            }
            FromServingParty::Failed { text: line } => Message::Failed(v1::Failed { text: text(&line) }),
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<v1::ServingCoordinatorMessage> for ToServingParty {
    type Error = WireError;

    fn try_from(message: v1::ServingCoordinatorMessage) -> Result<Self> {
        use v1::serving_coordinator_message::Message;
        Ok(match message.message.ok_or(WireError::Missing("its content"))? {
            Message::Welcome(welcome) => Self::Welcome { salt: salt(&welcome.salt)? },
            Message::Refused(refused) => {
                Self::Refused { text: text(&refused.text), try_again: refused.try_again }
            }
            Message::Accepted(_) => Self::Accepted,
            Message::Encode(encode) => {
                limit("rows", encode.gaps.len(), MAX_REQUEST_ROWS)?;
                Self::Encode { request: encode.request, rows: from_gaps(encode.gaps)? }
            }
        })
    }
}

impl From<ToServingParty> for v1::ServingCoordinatorMessage {
    fn from(message: ToServingParty) -> Self {
        use v1::serving_coordinator_message::Message;
        let message = match message {
            ToServingParty::Welcome { salt } => Message::Welcome(v1::Welcome { salt: salt.to_vec() }),
            ToServingParty::Refused { text: line, try_again } => {
                Message::Refused(v1::Refused { text: text(&line), try_again })
            }
            ToServingParty::Accepted => Message::Accepted(v1::Accepted::default()),
            ToServingParty::Encode { request, rows } => {
                Message::Encode(v1::EncodeRows { request, gaps: to_gaps(rows) })
            }
        };
        Self { message: Some(message) }
    }
}

/// The first row, then how far each is from the one before: mostly a byte each.
fn to_gaps(rows: Vec<u32>) -> Vec<u32> {
    let mut before = 0;
    rows.into_iter().map(|row| row.wrapping_sub(std::mem::replace(&mut before, row))).collect()
}

fn from_gaps(gaps: Vec<u32>) -> Result<Vec<u32>> {
    let mut row = 0_u32;
    let mut rows = Vec::with_capacity(gaps.len());
    for gap in gaps {
        let too_far = WireError::Limit { what: "a row", limit: u32::MAX as usize };
        row = row.checked_add(gap).ok_or(too_far)?;
        rows.push(row);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use hashvfl_core::Digest;
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;

    #[test]
    fn every_message_round_trips() {
        let records = RecordsDigest { count: 7, digest: Digest([9; 32]) };
        let (encoder, revision) = (Digest([1; 32]), Digest([2; 32]));
        for message in [
            FromServingParty::Serving(Serving { records, encoder, revision, p_values: None, head: None }),
            FromServingParty::Serving(Serving {
                records,
                encoder,
                revision,
                p_values: Some(Grid::FINE),
                head: Some(AuditHead {
                    party: None,
                    sequence: 3,
                    entry: Digest([5; 32]),
                    signature: vec![1; 64],
                }),
            }),
            FromServingParty::Granted { request: 1, refused: vec![0, 5], reason: "a rule".into() },
            FromServingParty::Codes { request: 1, bytes: vec![1, 2, 3], p_values: vec![] },
            FromServingParty::Codes { request: 1, bytes: vec![1, 2, 3], p_values: vec![4] },
            FromServingParty::Failed { text: "no disk left".into() },
        ] {
            let bytes = v1::ServingPartyMessage::from(message.clone()).encode_to_vec();
            let back = FromServingParty::try_from(v1::ServingPartyMessage::decode(bytes.as_slice()).unwrap());
            assert_eq!(back, Ok(message));
        }
        for message in [
            ToServingParty::Welcome { salt: [4; 32] },
            ToServingParty::Refused { text: "no".into(), try_again: true },
            ToServingParty::Accepted,
            ToServingParty::Encode { request: 3, rows: vec![0, 1, 2, 900, u32::MAX] },
        ] {
            let bytes = v1::ServingCoordinatorMessage::from(message.clone()).encode_to_vec();
            let back =
                ToServingParty::try_from(v1::ServingCoordinatorMessage::decode(bytes.as_slice()).unwrap());
            assert_eq!(back, Ok(message));
        }
    }

    #[test]
    fn p_values_out_of_range_are_an_error() {
        let serving = |bits, step| v1::Serving {
            records: Some(v1::Records {
                checkpoints: Vec::new(),
                count: 1,
                salted_sha256: vec![0; 32],
                excluded: Vec::new(),
                head: None,
            }),
            encoder_sha256: vec![0; 32],
            revision: vec![0; 32],
            p_values: Some(v1::PValues { bits, step }),
        };
        for (bits, step) in [(0, 1), (5, 1), (1, 0), (4, 16)] {
            let message = v1::serving_party_message::Message::Serving(serving(bits, step));
            let error =
                FromServingParty::try_from(v1::ServingPartyMessage { message: Some(message) }).unwrap_err();
            assert!(error.to_string().contains("bits must be 1 to 4, the step 1 to 15"), "{error}");
        }
    }

    /// Consecutive rows cost a byte each on the way to a party.
    #[test]
    fn bytes_per_record_asked_for() {
        let encode = ToServingParty::Encode { request: 1000, rows: (0..100_000).collect() };
        let bytes = v1::ServingCoordinatorMessage::from(encode).encoded_len();
        assert!(bytes < 100_020, "{bytes}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(message) = v1::ServingPartyMessage::decode(bytes.as_slice()) {
                let _ = FromServingParty::try_from(message);
            }
            if let Ok(message) = v1::ServingCoordinatorMessage::decode(bytes.as_slice()) {
                let _ = ToServingParty::try_from(message);
            }
        }

        #[test]
        fn any_gaps_are_rows_or_an_error(gaps in prop::collection::vec(any::<u32>(), 0..50)) {
            let _ = from_gaps(gaps);
        }
    }
}
