//! The wire stays readable: bytes of version 4 of the protocol, from before a run could go on over another connection, mean what they
//! meant then, and are still written so. `before/version-4.txt` has a message of each kind, encoded by Google's protobuf from the .proto
//! files of that version (commit 2b0e32fa): which way it goes, its name, and its bytes.

use hashvfl_core::p_value::Grid;
use hashvfl_core::protocol::message::{
    Answer, AuditHead, CheckpointLabel, Command, Confirmation, EncodedPValues, FromCoordinator, FromParty,
    Hello, Request,
};
use hashvfl_core::protocol::serving_party::{FromServingParty, Serving, ToServingParty};
use hashvfl_core::records::RecordsDigest;
use hashvfl_core::{Digest, ExcludedRecords, Gradient, Part, PartyName, RowSelection, RunId, Settings};
use hashvfl_proto::alignment::{FromHolder, FromRelay};
use hashvfl_proto::{WireMessage, v1};
use prost::Message as _;

const RECORDED: &str = include_str!("before/version-4.txt");

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// All messages that went this way, by name.
fn recorded<M: WireMessage>(way: &str) -> Vec<(&'static str, M)> {
    let mut found = Vec::new();
    for line in RECORDED.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if words[0] == way {
            found.push((words[1], read(words[1], &bytes(words[2]))));
        }
    }
    assert!(!found.is_empty(), "{way}");
    found
}

/// The message that `bytes` are. It is written as it was.
fn read<M: WireMessage>(name: &str, bytes: &[u8]) -> M {
    let parse = || {
        let wire = M::Wire::decode(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        M::from_wire(wire).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    assert_eq!(parse().into_wire().encode_to_vec(), bytes, "{name} is written in another way");
    parse()
}

fn bank() -> PartyName {
    PartyName::new("bank").unwrap()
}

fn hello() -> Hello {
    let pairs = [("bits", "16"), ("epochs", "3")].map(|(key, value)| (key.to_string(), value.to_string()));
    Hello {
        protocol: 4,
        run: RunId::new("r").unwrap(),
        party: bank(),
        settings: Settings::from_pairs(pairs.into_iter()).unwrap(),
        settings_digest: Digest([7; 32]),
    }
}

fn head(party: Option<PartyName>) -> AuditHead {
    AuditHead { party, sequence: 9, entry: Digest([3; 32]), signature: vec![1; 70] }
}

fn digest_of_records() -> RecordsDigest {
    RecordsDigest { count: 7, digest: Digest([9; 32]) }
}

fn excluded() -> ExcludedRecords {
    ExcludedRecords::from_bytes(vec![4])
}

fn p_values() -> EncodedPValues {
    EncodedPValues { grid: Grid::new(4, 1).unwrap(), bytes: vec![1, 2] }
}

#[test]
fn what_a_party_said_in_a_run_is_read() {
    let (digest, excluded, head_of_bank) = (digest_of_records(), excluded(), head(Some(bank())));
    let records =
        FromParty::Records { digest, excluded, head: Some(head_of_bank.clone()), checkpoints: Vec::new() };
    let expected = [
        ("hello", FromParty::Hello(hello())),
        ("records", records),
        ("codes", FromParty::Answer(1, Answer::Codes(vec![1, 2, 3]))),
        ("checkpointed", FromParty::Answer(2, Confirmation::Checkpointed.into())),
        ("restored", FromParty::Answer(3, Confirmation::Restored.into())),
        ("frozen", FromParty::Answer(4, Answer::Frozen(Digest([1; 32])))),
        ("no-p-values", FromParty::Answer(5, Answer::CalibrationPValues(None))),
        ("p-values", FromParty::Answer(6, Answer::CalibrationPValues(Some(p_values())))),
        ("finished", FromParty::Answer(300, Confirmation::Finished.into())),
        ("failed", FromParty::Failed { text: "no disk left".into() }),
        ("head", FromParty::Head(head_of_bank)),
    ];
    assert_eq!(recorded::<FromParty>("party"), expected);
}

#[test]
fn what_the_coordinator_said_in_a_run_is_read() {
    let request = |step, request: Request| FromCoordinator::Request(step, request);
    let chunk = |part| request(2, Request::Encode(RowSelection::Chunk { part, chunk: 1 }));
    let heads = vec![head(None), head(Some(bank()))];
    let f32 = Gradient::F32(vec![1.0, -0.5]);
    let int8 = Gradient::Int8 { scales: vec![0.5], values: vec![127, -1] };
    let expected = [
        ("welcome", FromCoordinator::Welcome { salt: [4; 32] }),
        ("refused", FromCoordinator::Refused { text: "no".into(), try_again: true }),
        ("accepted", FromCoordinator::Accepted { session: None }),
        ("begin", FromCoordinator::Begin { excluded: excluded(), heads, resume: None }),
        ("batch", request(1, Request::Encode(RowSelection::Batch { epoch: 2, batch: 3 }))),
        ("chunk-train", chunk(Part::Train)),
        ("chunk-validation", chunk(Part::Validation)),
        ("chunk-test", chunk(Part::Test)),
        ("chunk-cohort-train", chunk(Part::CohortTrain)),
        ("chunk-cohort-validation", chunk(Part::CohortValidation)),
        ("chunk-calibration", chunk(Part::Calibration)),
        ("gradient", FromCoordinator::Gradient { step: 1, gradient: f32 }),
        ("gradient-int8", FromCoordinator::Gradient { step: 1, gradient: int8 }),
        ("checkpoint", request(3, Command::Checkpoint(CheckpointLabel::Best).into())),
        ("restore", request(4, Command::Restore(CheckpointLabel::Best).into())),
        ("synthetic", request(7, Request::EncodeSynthetic { chunk: 1 })),
        ("calibrate", request(8, Request::Calibrate)),
        ("freeze", request(5, Request::Freeze)),
        ("finish", request(300, Request::Finish)),
        ("heads", FromCoordinator::Heads { heads: vec![head(None)] }),
    ];
    assert_eq!(recorded::<FromCoordinator>("coordinator"), expected);
}

#[test]
fn what_was_said_while_predictions_were_served_is_read() {
    let serving = Serving {
        records: digest_of_records(),
        encoder: Digest([1; 32]),
        revision: Digest([2; 32]),
        p_values: Some(Grid::new(4, 1).unwrap()),
        head: None,
    };
    let expected = [
        ("hello", FromServingParty::Hello(hello())),
        ("serving", FromServingParty::Serving(serving)),
        ("granted", FromServingParty::Granted { request: 1, refused: vec![0, 5], reason: "a rule".into() }),
        ("codes", FromServingParty::Codes { request: 1, bytes: vec![1, 2, 3], p_values: vec![4] }),
        ("failed", FromServingParty::Failed { text: "no disk left".into() }),
    ];
    assert_eq!(recorded::<FromServingParty>("serving-party"), expected);
    let expected = [
        ("welcome", ToServingParty::Welcome { salt: [4; 32] }),
        ("refused", ToServingParty::Refused { text: "no".into(), try_again: true }),
        ("accepted", ToServingParty::Accepted),
        ("rows", ToServingParty::Encode { request: 3, rows: vec![0, 1, 2, 900] }),
    ];
    assert_eq!(recorded::<ToServingParty>("serving-coordinator"), expected);
}

#[test]
fn what_holders_of_an_alignment_and_clients_said_is_read() {
    assert_eq!(recorded::<FromHolder>("holder").len(), 3);
    assert_eq!(recorded::<FromRelay>("relay").len(), 4);
    let asked = recorded::<v1::PredictRequest>("client");
    assert_eq!(asked[0].1.ids, ["1", "2"]);
    let answers = recorded::<v1::PredictResponse>("client-answer");
    let Some(v1::predict_response::Message::Predictions(predictions)) = &answers[1].1.message else {
        panic!("no predictions")
    };
    assert_eq!((predictions.probabilities[0], predictions.drifted), (0.25, true));
}
