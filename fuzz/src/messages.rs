//! Messages of all services, in both directions: counted on raw bytes, decoded, checked.

use hashvfl_core::limits::{MAX_CLASSES, MAX_PARTIES, MAX_SETTINGS};
use hashvfl_core::protocol::message::{FromCoordinator, FromParty};
use hashvfl_core::protocol::serving_party::{FromServingParty, ToServingParty};
use hashvfl_proto::WireMessage;
use hashvfl_proto::alignment::{FromHolder, FromRelay};
use hashvfl_proto::codec::{Scanned, scan};
use hashvfl_proto::v1::{self, PredictRequest, PredictResponse};
use prost::Message;

/// The first byte says which message the others are.
pub fn target(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 8 {
        0 => read::<FromParty>(bytes),
        1 => read::<FromCoordinator>(bytes),
        2 => read::<FromServingParty>(bytes),
        3 => read::<ToServingParty>(bytes),
        4 => read::<FromHolder>(bytes),
        5 => read::<FromRelay>(bytes),
        6 => read::<PredictRequest>(bytes),
        _ => read::<PredictResponse>(bytes),
    }
}

/// Reads a message as a peer's is read. One that is taken is taken again in the form in which it would be sent on.
fn read<M: WireMessage<Wire: Scanned>>(bytes: &[u8]) {
    if scan::<M::Wire>(bytes).is_err() {
        return;
    }
    let Ok(wire) = M::Wire::decode(bytes) else { return };
    let Ok(message) = M::from_wire(wire) else { return };
    let again = message.into_wire().encode_to_vec();
    scan::<M::Wire>(&again).expect("what was taken is within the limits of what may be sent");
    let wire = M::Wire::decode(again.as_slice()).expect("what was encoded is decoded");
    assert!(M::from_wire(wire).is_ok(), "what was taken is taken again");
}

/// Inputs with which a fuzzer begins: lists that take few bytes each, and as many of them as may come.
pub fn seeds() -> Vec<Vec<u8>> {
    let hello = v1::Hello { settings: vec![v1::Setting::default(); MAX_SETTINGS], ..v1::Hello::default() };
    let party = v1::PartyMessage { message: Some(v1::party_message::Message::Hello(hello)) };
    let offer = v1::HolderMessage { message: None };
    let encode = v1::EncodeRows { request: 1, gaps: vec![1; 20_000] };
    let rows = v1::ServingCoordinatorMessage {
        message: Some(v1::serving_coordinator_message::Message::Encode(encode)),
    };
    let asked = PredictRequest { ids: vec![String::new(); 20_000] };
    let classes = vec![String::new(); MAX_CLASSES];
    let model = v1::Model { classes, parties: vec![String::new(); MAX_PARTIES], ..v1::Model::default() };
    let model = PredictResponse { message: Some(v1::predict_response::Message::Model(model)) };
    let answers = v1::Predictions {
        outcomes: vec![1; 5_000],
        classes: vec![1; 5_000],
        took_part: vec![1; 5_000],
        flagged: vec![true; 5_000],
        ..v1::Predictions::default()
    };
    let answers = PredictResponse { message: Some(v1::predict_response::Message::Predictions(answers)) };
    vec![
        [&[0][..], &party.encode_to_vec()].concat(),
        [&[3][..], &rows.encode_to_vec()].concat(),
        [&[4][..], &offer.encode_to_vec()].concat(),
        [&[6][..], &asked.encode_to_vec()].concat(),
        [&[7][..], &model.encode_to_vec()].concat(),
        [&[7][..], &answers.encode_to_vec()].concat(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_are_within_the_limits() {
        for seed in seeds() {
            let scanned = match seed[0] {
                0 => scan::<v1::PartyMessage>(&seed[1..]),
                3 => scan::<v1::ServingCoordinatorMessage>(&seed[1..]),
                4 => scan::<v1::HolderMessage>(&seed[1..]),
                6 => scan::<PredictRequest>(&seed[1..]),
                _ => scan::<PredictResponse>(&seed[1..]),
            };
            assert_eq!(scanned, Ok(()), "kind {}", seed[0]);
        }
    }
}
