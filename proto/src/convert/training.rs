//! The messages of the service `Federation`: what goes to a party and what comes from it, in both directions.

use hashvfl_core::limits::{
    MAX_BATCH_ROWS, MAX_BITS, MAX_CHECKPOINTS, MAX_P_VALUE_BITS, MAX_PARTIES, MAX_SIGNATURE_BYTES,
};
use hashvfl_core::p_value::Grid;
use hashvfl_core::protocol::message::{
    Answer, AuditHead, CheckpointId, CheckpointLabel, Command, Confirmation, EncodedPValues, FromCoordinator,
    FromParty, Request,
};
use hashvfl_core::records::RecordsDigest;
use hashvfl_core::records::plan::{Part, RowSelection};
use hashvfl_core::{ExcludedRecords, Gradient, PartyName};

use crate::convert::{Result, WireError, digest, limit, salt, text, wire_message};
use crate::v1;

wire_message!(FromParty, v1::PartyMessage);
wire_message!(FromCoordinator, v1::CoordinatorMessage);

impl TryFrom<v1::PartyMessage> for FromParty {
    type Error = WireError;

    fn try_from(message: v1::PartyMessage) -> Result<Self> {
        use v1::party_message::Message;
        let (step, answer) = match message.message.ok_or(WireError::Missing("its content"))? {
            Message::Hello(hello) => return Ok(Self::Hello(hello.try_into()?)),
            Message::Returning(back) => return Ok(Self::Return(back.try_into()?)),
            Message::Records(records) => {
                let digest = digest("salted_sha256", &records.salted_sha256)?;
                let digest = RecordsDigest { count: records.count, digest };
                let excluded = ExcludedRecords::from_bytes(records.left_out);
                let head = records.head.map(AuditHead::try_from).transpose()?;
                limit("checkpoints", records.checkpoints.len(), MAX_CHECKPOINTS)?;
                let checkpoints =
                    records.checkpoints.iter().map(|id| checkpoint(id)).collect::<Result<_>>()?;
                return Ok(Self::Records { digest, excluded, head, checkpoints });
            }
            Message::Committed(v1::Committed {}) => return Ok(Self::Committed),
            Message::Saved(saved) => return Ok(Self::Saved(checkpoint(&saved.checkpoint)?)),
            Message::Head(head) => return Ok(Self::Head(head.try_into()?)),
            Message::Failed(failed) => return Ok(Self::Failed { text: text(&failed.text) }),
            Message::Codes(codes) => {
                limit("codes", codes.bits.len(), MAX_BATCH_ROWS * MAX_BITS / 8)?;
                (codes.step, Answer::Codes(codes.bits))
            }
            Message::Frozen(frozen) => {
                (frozen.step, Answer::Frozen(digest("encoder_sha256", &frozen.encoder_sha256)?))
            }
            Message::CalibrationPValues(sent) => {
                (sent.step, Answer::CalibrationPValues(p_values(sent.announced, sent.p_values)?))
            }
            Message::Checkpointed(done) => (done.step, Confirmation::Checkpointed.into()),
            Message::Restored(done) => (done.step, Confirmation::Restored.into()),
            Message::Finished(done) => (done.step, Confirmation::Finished.into()),
        };
        Ok(Self::Answer(step, answer))
    }
}

impl From<FromParty> for v1::PartyMessage {
    fn from(message: FromParty) -> Self {
        use v1::party_message::Message;
        let message = match message {
            FromParty::Hello(hello) => Message::Hello(hello.into()),
            FromParty::Return(back) => Message::Returning(back.into()),
            FromParty::Records { digest, excluded, head, checkpoints } => Message::Records(v1::Records {
                count: digest.count,
                salted_sha256: digest.digest.0.to_vec(),
                left_out: excluded.as_bytes().to_vec(),
                head: head.map(v1::AuditHead::from),
                checkpoints: checkpoints.into_iter().map(|id| id.0.to_vec()).collect(),
            }),
            FromParty::Committed => Message::Committed(v1::Committed {}),
            FromParty::Saved(id) => Message::Saved(v1::Saved { checkpoint: id.0.to_vec() }),
            FromParty::Head(head) => Message::Head(head.into()),
            FromParty::Failed { text: line } => Message::Failed(v1::Failed { text: text(&line) }),
            FromParty::Answer(step, answer) => match answer {
                Answer::Codes(bits) => Message::Codes(v1::Codes { step, bits }),
                Answer::Frozen(encoder) => {
                    Message::Frozen(v1::Frozen { step, encoder_sha256: encoder.0.to_vec() })
                }
                Answer::CalibrationPValues(sent) => {
                    let (announced, p_values) =
                        sent.map(|sent| (v1::PValues::from(sent.grid), sent.bytes)).unzip();
                    let p_values = p_values.unwrap_or_default();
                    Message::CalibrationPValues(v1::CalibrationPValues { step, announced, p_values })
                }
                Answer::Confirmed(confirmation) => match confirmation {
                    Confirmation::Checkpointed => Message::Checkpointed(v1::Checkpointed { step }),
                    Confirmation::Restored => Message::Restored(v1::Restored { step }),
                    Confirmation::Finished => Message::Finished(v1::Finished { step }),
                },
            },
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<v1::CoordinatorMessage> for FromCoordinator {
    type Error = WireError;

    fn try_from(message: v1::CoordinatorMessage) -> Result<Self> {
        use v1::coordinator_message::Message;
        let (step, request) = match message.message.ok_or(WireError::Missing("its content"))? {
            Message::Welcome(welcome) => return Ok(Self::Welcome { salt: salt(&welcome.salt)? }),
            Message::Refused(refused) => {
                return Ok(Self::Refused { text: text(&refused.text), try_again: refused.try_again });
            }
            Message::Accepted(accepted) => {
                return Ok(Self::Accepted { session: accepted.try_into()? });
            }
            Message::Returned(back) => return Ok(Self::Returned(back.try_into()?)),
            Message::Begin(begin) => {
                let excluded = ExcludedRecords::from_bytes(begin.left_out);
                let heads = heads(begin.heads.unwrap_or_default())?;
                let resume = match begin.resume.as_slice() {
                    [] => None,
                    id => Some(checkpoint(id)?),
                };
                return Ok(Self::Begin { excluded, heads, resume });
            }
            Message::Save(asked) => return Ok(Self::Save(checkpoint(&asked.checkpoint)?)),
            Message::Commit(v1::Commit {}) => return Ok(Self::Commit),
            Message::Heads(told) => return Ok(Self::Heads { heads: heads(told)? }),
            Message::Gradient(gradient) => {
                let values = gradient.values.ok_or(WireError::Missing("a gradient's values"))?;
                return Ok(Self::Gradient { step: gradient.step, gradient: values.try_into()? });
            }
            Message::Encode(asked) => {
                (asked.step, Request::Encode(asked.rows.ok_or(WireError::Missing("rows"))?.try_into()?))
            }
            Message::Draw(asked) => (asked.step, Request::EncodeSynthetic { chunk: asked.chunk }),
            Message::Calibrate(asked) => (asked.step, Request::Calibrate),
            Message::Checkpoint(asked) => (asked.step, Command::Checkpoint(label(asked.label)?).into()),
            Message::Restore(asked) => (asked.step, Command::Restore(label(asked.label)?).into()),
            Message::Freeze(asked) => (asked.step, Request::Freeze),
            Message::Finish(asked) => (asked.step, Request::Finish),
        };
        Ok(Self::Request(step, request))
    }
}

impl From<FromCoordinator> for v1::CoordinatorMessage {
    fn from(message: FromCoordinator) -> Self {
        use v1::coordinator_message::Message;
        let message = match message {
            FromCoordinator::Welcome { salt } => Message::Welcome(v1::Welcome { salt: salt.to_vec() }),
            FromCoordinator::Refused { text: line, try_again } => {
                Message::Refused(v1::Refused { text: text(&line), try_again })
            }
            FromCoordinator::Accepted { session } => Message::Accepted(session.into()),
            FromCoordinator::Returned(mark) => Message::Returned(mark.into()),
            FromCoordinator::Begin { excluded, heads, resume } => {
                // Where no side has an audit log, the field is absent.
                let heads = (!heads.is_empty()).then(|| from_heads(heads));
                let resume = resume.map(|id| id.0.to_vec()).unwrap_or_default();
                Message::Begin(v1::Begin { left_out: excluded.as_bytes().to_vec(), heads, resume })
            }
            FromCoordinator::Save(id) => Message::Save(v1::Save { checkpoint: id.0.to_vec() }),
            FromCoordinator::Commit => Message::Commit(v1::Commit {}),
            FromCoordinator::Heads { heads } => Message::Heads(from_heads(heads)),
            FromCoordinator::Gradient { step, gradient } => {
                Message::Gradient(v1::Gradient { step, values: Some(gradient.into()) })
            }
            FromCoordinator::Request(step, request) => match request {
                Request::Encode(rows) => Message::Encode(v1::Encode { step, rows: Some(rows.into()) }),
                Request::EncodeSynthetic { chunk } => Message::Draw(v1::Draw { step, chunk }),
                Request::Calibrate => Message::Calibrate(v1::Calibrate { step }),
                Request::Command(command) => match command {
                    Command::Checkpoint(label) => {
                        Message::Checkpoint(v1::Checkpoint { step, label: v1::Label::from(label).into() })
                    }
                    Command::Restore(label) => {
                        Message::Restore(v1::Restore { step, label: v1::Label::from(label).into() })
                    }
                },
                Request::Freeze => Message::Freeze(v1::Freeze { step }),
                Request::Finish => Message::Finish(v1::Finish { step }),
            },
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<v1::AuditHead> for AuditHead {
    type Error = WireError;

    fn try_from(head: v1::AuditHead) -> Result<Self> {
        limit("a signature", head.signature.len(), MAX_SIGNATURE_BYTES)?;
        let party = if head.party.is_empty() { None } else { Some(PartyName::new(head.party)?) };
        let entry = digest("entry_sha256", &head.entry_sha256)?;
        Ok(Self { party, sequence: head.sequence, entry, signature: head.signature })
    }
}

impl From<AuditHead> for v1::AuditHead {
    fn from(head: AuditHead) -> Self {
        let AuditHead { party, sequence, entry, signature } = head;
        Self {
            party: party.map(String::from).unwrap_or_default(),
            sequence,
            entry_sha256: entry.0.to_vec(),
            signature,
        }
    }
}

/// Heads of audit logs: at most one for each party and one for the coordinator.
fn heads(told: v1::AuditHeads) -> Result<Vec<AuditHead>> {
    limit("heads of audit logs", told.heads.len(), MAX_PARTIES + 1)?;
    told.heads.into_iter().map(AuditHead::try_from).collect()
}

fn from_heads(heads: Vec<AuditHead>) -> v1::AuditHeads {
    v1::AuditHeads { heads: heads.into_iter().map(v1::AuditHead::from).collect() }
}

impl TryFrom<v1::encode::Rows> for RowSelection {
    type Error = WireError;

    fn try_from(rows: v1::encode::Rows) -> Result<Self> {
        Ok(match rows {
            v1::encode::Rows::Batch(v1::Batch { epoch, batch }) => Self::Batch { epoch, batch },
            v1::encode::Rows::Chunk(v1::Chunk { part, chunk }) => {
                let part = match v1::Part::try_from(part) {
                    Ok(v1::Part::Train) => Part::Train,
                    Ok(v1::Part::Validation) => Part::Validation,
                    Ok(v1::Part::Test) => Part::Test,
                    Ok(v1::Part::CohortTrain) => Part::CohortTrain,
                    Ok(v1::Part::CohortValidation) => Part::CohortValidation,
                    Ok(v1::Part::Calibration) => Part::Calibration,
                    Ok(v1::Part::Unspecified) | Err(_) => return Err(WireError::Missing("a part")),
                };
                Self::Chunk { part, chunk }
            }
        })
    }
}

impl From<RowSelection> for v1::encode::Rows {
    fn from(rows: RowSelection) -> Self {
        match rows {
            RowSelection::Batch { epoch, batch } => Self::Batch(v1::Batch { epoch, batch }),
            RowSelection::Chunk { part, chunk } => {
                let part = match part {
                    Part::Train => v1::Part::Train,
                    Part::Validation => v1::Part::Validation,
                    Part::Test => v1::Part::Test,
                    Part::CohortTrain => v1::Part::CohortTrain,
                    Part::CohortValidation => v1::Part::CohortValidation,
                    Part::Calibration => v1::Part::Calibration,
                };
                Self::Chunk(v1::Chunk { part: part.into(), chunk })
            }
        }
    }
}

impl TryFrom<v1::gradient::Values> for Gradient {
    type Error = WireError;

    fn try_from(values: v1::gradient::Values) -> Result<Self> {
        let most = MAX_BATCH_ROWS * MAX_BITS;
        Ok(match values {
            v1::gradient::Values::F32(gradient) => {
                limit("a gradient", gradient.values.len(), most)?;
                Self::F32(gradient.values)
            }
            v1::gradient::Values::Int8(gradient) => {
                limit("a gradient", gradient.values.len(), most)?;
                limit("a gradient's scales", gradient.scales.len(), MAX_BATCH_ROWS)?;
                let values = gradient.values.into_iter().map(|byte| byte as i8).collect();
                Self::Int8 { scales: gradient.scales, values }
            }
        })
    }
}

impl From<Gradient> for v1::gradient::Values {
    fn from(gradient: Gradient) -> Self {
        match gradient {
            Gradient::F32(values) => Self::F32(v1::F32Gradient { values }),
            Gradient::Int8 { scales, values } => {
                let values = values.into_iter().map(|value| value as u8).collect();
                Self::Int8(v1::Int8Gradient { scales, values })
            }
        }
    }
}

/// p-values with what was announced of them; without that, there must be none.
fn p_values(announced: Option<v1::PValues>, bytes: Vec<u8>) -> Result<Option<EncodedPValues>> {
    limit("p-values", bytes.len(), (MAX_BATCH_ROWS * MAX_P_VALUE_BITS as usize).div_ceil(8))?;
    match announced {
        Some(v1::PValues { bits, step }) => Ok(Some(EncodedPValues { grid: Grid::new(bits, step)?, bytes })),
        None if bytes.is_empty() => Ok(None),
        None => Err(WireError::Missing("what its p-values are")),
    }
}

impl From<Grid> for v1::PValues {
    fn from(grid: Grid) -> Self {
        Self { bits: grid.bits() as u32, step: grid.step() }
    }
}

fn checkpoint(bytes: &[u8]) -> Result<CheckpointId> {
    bytes.try_into().map(CheckpointId).map_err(|_| WireError::Missing("a checkpoint's id of 16 bytes"))
}

fn label(label: i32) -> Result<CheckpointLabel> {
    match v1::Label::try_from(label) {
        Ok(v1::Label::Best) => Ok(CheckpointLabel::Best),
        Ok(v1::Label::Unspecified) | Err(_) => Err(WireError::Missing("a checkpoint's label")),
    }
}

impl From<CheckpointLabel> for v1::Label {
    fn from(label: CheckpointLabel) -> Self {
        match label {
            CheckpointLabel::Best => Self::Best,
        }
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::limits::MAX_TEXT_BYTES;
    use hashvfl_core::protocol::message::{Hello, PROTOCOL_VERSION};
    use hashvfl_core::settings::{RunSettings, Task};
    use hashvfl_core::{Digest, GradientEncoding, PartyName, RunId};
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;

    fn from_party() -> Vec<FromParty> {
        let name = PartyName::new("bank").unwrap();
        let settings = RunSettings::new(vec![name.clone()], Task::Binary, 16, 3).to_settings();
        let settings_digest = settings.digest();
        let run = RunId::new("r").unwrap();
        vec![
            FromParty::Hello(Hello {
                protocol: PROTOCOL_VERSION,
                run,
                party: name,
                settings,
                settings_digest,
            }),
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
            FromCoordinator::Begin {
                excluded: ExcludedRecords::of(&[2, 6], 7),
                heads: Vec::new(),
                resume: None,
            },
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
        messages.extend(
            requests.into_iter().zip(1..).map(|(request, step)| FromCoordinator::Request(step, request)),
        );
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

    /// What the README states for d = 64 and a batch of 256: at most 10 bytes per record up, 72 down.
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
        let Ok(FromParty::Failed { text }) = FromParty::try_from(v1::PartyMessage::from(long)) else {
            panic!()
        };
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
}
