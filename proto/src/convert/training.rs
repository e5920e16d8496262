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
wire_message!(FromCoordinator, v1::CoordinatorMessage, uncounted FromCoordinator::Notice { .. });

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
                let excluded = ExcludedRecords::from_bytes(records.excluded);
                let head = records.head.map(AuditHead::try_from).transpose()?;
                limit("checkpoints", records.checkpoints.len(), MAX_CHECKPOINTS)?;
                let checkpoints =
                    records.checkpoints.iter().map(|id| checkpoint(id)).collect::<Result<_>>()?;
                return Ok(Self::Records { digest, excluded, head, checkpoints });
            }
            Message::Committed(v1::Committed {}) => return Ok(Self::Committed),
            Message::Leaving(v1::Leaving {}) => return Ok(Self::Leaving),
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
                excluded: excluded.as_bytes().to_vec(),
                head: head.map(v1::AuditHead::from),
                checkpoints: checkpoints.into_iter().map(|id| id.0.to_vec()).collect(),
            }),
            FromParty::Committed => Message::Committed(v1::Committed {}),
            FromParty::Leaving => Message::Leaving(v1::Leaving {}),
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
            Message::Notice(notice) => return Ok(Self::Notice { text: text(&notice.text) }),
            Message::Returned(back) => return Ok(Self::Returned(back.try_into()?)),
            Message::Begin(begin) => {
                let excluded = ExcludedRecords::from_bytes(begin.excluded);
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
            Message::EncodeSynthetic(asked) => (asked.step, Request::EncodeSynthetic { chunk: asked.chunk }),
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
            FromCoordinator::Notice { text: line } => Message::Notice(v1::Notice { text: text(&line) }),
            FromCoordinator::Returned(mark) => Message::Returned(mark.into()),
            FromCoordinator::Begin { excluded, heads, resume } => {
                // Where no side has an audit log, the field is absent.
                let heads = (!heads.is_empty()).then(|| from_heads(heads));
                let resume = resume.map(|id| id.0.to_vec()).unwrap_or_default();
                Message::Begin(v1::Begin { excluded: excluded.as_bytes().to_vec(), heads, resume })
            }
            FromCoordinator::Save(id) => Message::Save(v1::Save { checkpoint: id.0.to_vec() }),
            FromCoordinator::Commit => Message::Commit(v1::Commit {}),
            FromCoordinator::Heads { heads } => Message::Heads(from_heads(heads)),
            FromCoordinator::Gradient { step, gradient } => {
                Message::Gradient(v1::Gradient { step, values: Some(gradient.into()) })
            }
            FromCoordinator::Request(step, request) => match request {
                Request::Encode(rows) => Message::Encode(v1::Encode { step, rows: Some(rows.into()) }),
                Request::EncodeSynthetic { chunk } => {
                    Message::EncodeSynthetic(v1::EncodeSynthetic { step, chunk })
                }
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
    limit("heads of audit trails", told.heads.len(), MAX_PARTIES + 1)?;
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
#[path = "training_tests.rs"]
mod tests;
