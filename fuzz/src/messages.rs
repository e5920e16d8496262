//! Messages of all services, in both directions: counted on raw bytes, decoded, checked.

use hashvfl_core::protocol::message::{FromCoordinator, FromParty};
use hashvfl_core::protocol::serving_party::{FromServingParty, ToServingParty};
use hashvfl_proto::WireMessage;
use hashvfl_proto::alignment::{FromHolder, FromRelay};
use hashvfl_proto::codec::{Scanned, scan};
use hashvfl_proto::v1::{PredictRequest, PredictResponse};
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
