use hashvfl_core::limits::MAX_TEXT_BYTES;
use hashvfl_core::protocol::message::{Hello, PROTOCOL_VERSION};
use hashvfl_core::settings::{RunSettings, Task};
use hashvfl_core::{Digest, GradientEncoding, PartyName, RunId};
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::convert::WireMessage;

fn from_party() -> Vec<FromParty> {
    let name = PartyName::new("bank").unwrap();
    let settings = RunSettings::new(vec![name.clone()], Task::Binary, 16, 3).to_settings();
    let settings_digest = settings.digest();
    let run = RunId::new("r").unwrap();
    vec![
        FromParty::Hello(Hello { protocol: PROTOCOL_VERSION, run, party: name, settings, settings_digest }),
        FromParty::Records {
            digest: RecordsDigest { count: 7, digest: Digest([9; 32]) },
            excluded: ExcludedRecords::of(&[2], 7),
            head: Some(head(Some("a"))),
            checkpoints: vec![CheckpointId([5; 16]), CheckpointId([6; 16])],
        },
        FromParty::Answer(1, Answer::Codes(vec![1, 2, 3])),
        FromParty::Answer(2, Confirmation::Checkpointed.into()),
        FromParty::Answer(3, Confirmation::Restored.into()),
        FromParty::Saved(CheckpointId([5; 16])),
        FromParty::Committed,
        FromParty::Leaving,
        FromParty::Answer(4, Answer::Frozen(Digest([1; 32]))),
        FromParty::Answer(5, Confirmation::Finished.into()),
        FromParty::Answer(6, Answer::CalibrationPValues(None)),
        FromParty::Answer(
            7,
            Answer::CalibrationPValues(Some(EncodedPValues { grid: Grid::FINE, bytes: vec![1, 2] })),
        ),
        FromParty::Failed { text: "no disk left".into() },
        FromParty::Head(head(Some("a"))),
    ]
}

fn head(party: Option<&str>) -> AuditHead {
    let party = party.map(|party| PartyName::new(party).unwrap());
    AuditHead { party, sequence: 9, entry: Digest([3; 32]), signature: vec![1; 70] }
}

fn from_coordinator() -> Vec<FromCoordinator> {
    let gradient = |encoding| Gradient::encode(vec![1.0, -0.5, 0.25, 0.0], 2, encoding);
    let mut messages = vec![
        FromCoordinator::Welcome { salt: [4; 32] },
        FromCoordinator::Refused { text: "no".into(), try_again: true },
        FromCoordinator::Accepted { session: None },
        FromCoordinator::Notice { text: "the run waits for bank".into() },
        FromCoordinator::Begin { excluded: ExcludedRecords::of(&[2, 6], 7), heads: Vec::new(), resume: None },
        FromCoordinator::Begin {
            excluded: ExcludedRecords::default(),
            heads: vec![head(None), head(Some("a"))],
            resume: Some(CheckpointId([5; 16])),
        },
        FromCoordinator::Save(CheckpointId([5; 16])),
        FromCoordinator::Commit,
        FromCoordinator::Heads { heads: vec![head(None)] },
        FromCoordinator::Gradient { step: 1, gradient: gradient(GradientEncoding::F32) },
        FromCoordinator::Gradient { step: 1, gradient: gradient(GradientEncoding::Int8) },
    ];
    let mut requests = vec![
        Request::Encode(RowSelection::Batch { epoch: 2, batch: 3 }),
        Command::Checkpoint(CheckpointLabel::Best).into(),
        Command::Restore(CheckpointLabel::Best).into(),
        Request::EncodeSynthetic { chunk: 1 },
        Request::Calibrate,
        Request::Freeze,
        Request::Finish,
    ];
    requests.extend(Part::ALL.map(|part| Request::Encode(RowSelection::Chunk { part, chunk: 1 })));
    messages
        .extend(requests.into_iter().zip(1..).map(|(request, step)| FromCoordinator::Request(step, request)));
    messages
}

#[test]
fn every_message_round_trips() {
    for message in from_party() {
        let bytes = v1::PartyMessage::from(message.clone()).encode_to_vec();
        let back = FromParty::try_from(v1::PartyMessage::decode(bytes.as_slice()).unwrap());
        assert_eq!(back, Ok(message));
    }
    for message in from_coordinator() {
        let bytes = v1::CoordinatorMessage::from(message.clone()).encode_to_vec();
        let back = FromCoordinator::try_from(v1::CoordinatorMessage::decode(bytes.as_slice()).unwrap());
        assert_eq!(back, Ok(message));
    }
}

#[test]
fn a_notice_alone_counts_in_no_exchange() {
    for message in from_coordinator() {
        assert_eq!(message.is_counted(), message.kind() != "Notice", "{}", message.kind());
    }
    assert!(from_party().iter().all(FromParty::is_counted));
    let told = FromCoordinator::Notice { text: format!("a\n{}", "b".repeat(2 * MAX_TEXT_BYTES)) };
    let Ok(FromCoordinator::Notice { text }) = FromCoordinator::from_wire(told.into_wire()) else { panic!() };
    assert!(text.len() == MAX_TEXT_BYTES && text.starts_with("a b"), "cut to one line");
}

#[test]
fn no_byte_travels_where_no_side_has_an_audit_log() {
    let begin =
        FromCoordinator::Begin { excluded: ExcludedRecords::default(), heads: Vec::new(), resume: None };
    assert_eq!(v1::CoordinatorMessage::from(begin).encode_to_vec(), [10 << 3 | 2, 0]);
    let digest = RecordsDigest { count: 7, digest: Digest([9; 32]) };
    let (excluded, checkpoints) = (ExcludedRecords::default(), Vec::new());
    let records = FromParty::Records { digest, excluded, head: None, checkpoints };
    assert_eq!(v1::PartyMessage::from(records).encoded_len(), 2 + 2 + 2 + 32);
}

#[test]
fn checkpoints_over_their_limits_are_errors() {
    let digest = RecordsDigest { count: 7, digest: Digest([9; 32]) };
    let named = |checkpoints| FromParty::Records {
        digest,
        excluded: ExcludedRecords::default(),
        head: None,
        checkpoints,
    };
    let many = named(vec![CheckpointId([0; 16]); MAX_CHECKPOINTS + 1]);
    assert!(FromParty::try_from(v1::PartyMessage::from(many)).is_err());
    let short = v1::Save { checkpoint: vec![0; 15] };
    let short = v1::CoordinatorMessage { message: Some(v1::coordinator_message::Message::Save(short)) };
    assert!(FromCoordinator::try_from(short).is_err());
}

#[test]
fn heads_over_their_limits_are_errors() {
    let many = FromCoordinator::Heads { heads: vec![head(None); MAX_PARTIES + 2] };
    assert!(FromCoordinator::try_from(v1::CoordinatorMessage::from(many)).is_err());
    let long = AuditHead { signature: vec![0; MAX_SIGNATURE_BYTES + 1], ..head(None) };
    assert!(FromParty::try_from(v1::PartyMessage::from(FromParty::Head(long))).is_err());
}

/// What docs/reference/benchmarks.md states for d = 64 and a batch of 256: at most 10 bytes per record up, 72 down.
#[test]
fn bytes_per_record_and_step_at_64_bits() {
    let (rows, bits) = (256, 64);
    let up = FromParty::Answer(1_000_000, Answer::Codes(vec![0; rows * bits / 8]));
    let up = v1::PartyMessage::from(up).encoded_len() as f64 / rows as f64;
    let encode = Request::Encode(RowSelection::Batch { epoch: 300, batch: 300 });
    let encode = FromCoordinator::Request(1_000_000, encode);
    let gradient = Gradient::encode(vec![0.1; rows * bits], bits, GradientEncoding::Int8);
    let gradient = FromCoordinator::Gradient { step: 1_000_000, gradient };
    let down: usize =
        [encode, gradient].into_iter().map(|m| v1::CoordinatorMessage::from(m).encoded_len()).sum();
    let down = down as f64 / rows as f64;
    assert!(up <= 10.0, "{up} bytes per record up");
    assert!(down <= 72.0, "{down} bytes per record down");
}

#[test]
fn values_of_other_versions_and_sizes_are_errors() {
    assert!(FromParty::try_from(v1::PartyMessage { message: None }).is_err());
    let chunk = v1::Chunk { part: 77, chunk: 0 };
    assert!(RowSelection::try_from(v1::encode::Rows::Chunk(chunk)).is_err());
    let frozen = v1::Frozen { step: 1, encoder_sha256: vec![0; 31] };
    let frozen = v1::PartyMessage { message: Some(v1::party_message::Message::Frozen(frozen)) };
    assert_eq!(FromParty::try_from(frozen), Err(WireError::Digest("encoder_sha256")));
    let unannounced = p_values(None, vec![1]);
    assert_eq!(unannounced, Err(WireError::Missing("what its p-values are")));
    assert!(p_values(Some(v1::PValues { bits: 9, step: 1 }), vec![]).is_err());
}

#[test]
fn a_peers_text_is_one_short_line() {
    let long = FromParty::Failed { text: format!("a\nb\u{1b}[31m{}", "x".repeat(10_000)) };
    let Ok(FromParty::Failed { text }) = FromParty::try_from(v1::PartyMessage::from(long)) else { panic!() };
    assert!(text.len() <= MAX_TEXT_BYTES && text.starts_with("a b [31m"), "{}", &text[..12]);
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(message) = v1::PartyMessage::decode(bytes.as_slice()) {
            let _ = FromParty::try_from(message);
        }
        if let Ok(message) = v1::CoordinatorMessage::decode(bytes.as_slice()) {
            let _ = FromCoordinator::try_from(message);
        }
    }
}
