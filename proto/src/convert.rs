//! Generated messages to core's and back. A peer's message is checked for every limit here, before anything
//! else sees it.

use hashvfl_core::limits::{MAX_BATCH_ROWS, MAX_BITS, MAX_TEXT_BYTES};
use hashvfl_core::name::NameError;
use hashvfl_core::p_value::GridError;
use hashvfl_core::protocol::message::{CheckpointLabel, FromCoordinator, FromParty, Hello};
use hashvfl_core::records::RecordsDigest;
use hashvfl_core::records::plan::{Part, RowSelection};
use hashvfl_core::settings::PairsError;
use hashvfl_core::{Digest, ExcludedRecords, Gradient, PartyName, RunId, Settings};

use crate::v1;

/// Why bytes that came over the wire are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A field is absent, or holds a value of a later version.
    #[error("a message lacks {0}, or holds a value of another version")]
    Missing(&'static str),
    /// A digest or salt of a wrong length.
    #[error("{0} must be 32 bytes")]
    Digest(&'static str),
    /// Over a limit.
    #[error("{what} is over its limit of {limit}")]
    Limit {
        /// What.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Pairs that are no settings.
    #[error(transparent)]
    Settings(#[from] PairsError),
    /// p-values that there are none of.
    #[error(transparent)]
    PValues(#[from] GridError),
}

pub(crate) type Result<T> = std::result::Result<T, WireError>;

pub(crate) fn digest(what: &'static str, bytes: &[u8]) -> Result<Digest> {
    Digest::from_slice(bytes).ok_or(WireError::Digest(what))
}

pub(crate) fn limit(what: &'static str, found: usize, limit: usize) -> Result<()> {
    if found <= limit { Ok(()) } else { Err(WireError::Limit { what, limit }) }
}

/// A peer's text, cut to its limit and to one line.
pub(crate) fn text(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut line = String::new();
    for c in text.chars().map(clean) {
        if line.len() + c.len_utf8() > MAX_TEXT_BYTES {
            break;
        }
        line.push(c);
    }
    line
}

impl TryFrom<v1::PartyMessage> for FromParty {
    type Error = WireError;

    fn try_from(message: v1::PartyMessage) -> Result<Self> {
        use v1::party_message::Message;
        Ok(match message.message.ok_or(WireError::Missing("its content"))? {
            Message::Hello(hello) => Self::Hello(hello.try_into()?),
            Message::Records(records) => Self::Records {
                digest: RecordsDigest {
                    count: records.count,
                    digest: digest("salted_sha256", &records.salted_sha256)?,
                },
                excluded: ExcludedRecords::from_bytes(records.left_out),
            },
            Message::Codes(codes) => {
                limit("codes", codes.bits.len(), MAX_BATCH_ROWS * MAX_BITS / 8)?;
                Self::Codes { step: codes.step, bytes: codes.bits }
            }
            Message::Checkpointed(done) => Self::Checkpointed { step: done.step },
            Message::Restored(done) => Self::Restored { step: done.step },
            Message::Frozen(frozen) => {
                Self::Frozen { step: frozen.step, encoder: digest("encoder_sha256", &frozen.encoder_sha256)? }
            }
            Message::Finished(done) => Self::Finished { step: done.step },
            Message::Failed(failed) => Self::Failed { text: text(&failed.text) },
        })
    }
}

impl TryFrom<v1::Hello> for Hello {
    type Error = WireError;

    fn try_from(hello: v1::Hello) -> Result<Self> {
        Ok(Self {
            protocol: hello.protocol_version,
            run: RunId::new(hello.run_id)?,
            party: PartyName::new(hello.party)?,
            settings: Settings::from_pairs(hello.settings.into_iter().map(|pair| (pair.key, pair.value)))?,
            settings_digest: digest("settings_sha256", &hello.settings_sha256)?,
        })
    }
}

impl From<Hello> for v1::Hello {
    fn from(hello: Hello) -> Self {
        let pair = |(key, value): (&str, &str)| v1::Setting { key: key.into(), value: value.into() };
        Self {
            protocol_version: hello.protocol,
            run_id: hello.run.into(),
            party: hello.party.into(),
            settings: hello.settings.pairs().map(pair).collect(),
            settings_sha256: hello.settings_digest.0.to_vec(),
        }
    }
}

impl From<FromParty> for v1::PartyMessage {
    fn from(message: FromParty) -> Self {
        use v1::party_message::Message;
        let message = match message {
            FromParty::Hello(hello) => Message::Hello(hello.into()),
            FromParty::Records { digest, excluded } => Message::Records(v1::Records {
                count: digest.count,
                salted_sha256: digest.digest.0.to_vec(),
                left_out: excluded.as_bytes().to_vec(),
            }),
            FromParty::Codes { step, bytes } => Message::Codes(v1::Codes { step, bits: bytes }),
            FromParty::Checkpointed { step } => Message::Checkpointed(v1::Checkpointed { step }),
            FromParty::Restored { step } => Message::Restored(v1::Restored { step }),
            FromParty::Frozen { step, encoder } => {
                Message::Frozen(v1::Frozen { step, encoder_sha256: encoder.0.to_vec() })
            }
            FromParty::Finished { step } => Message::Finished(v1::Finished { step }),
            FromParty::Failed { text: line } => Message::Failed(v1::Failed { text: text(&line) }),
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<v1::CoordinatorMessage> for FromCoordinator {
    type Error = WireError;

    fn try_from(message: v1::CoordinatorMessage) -> Result<Self> {
        use v1::coordinator_message::Message;
        Ok(match message.message.ok_or(WireError::Missing("its content"))? {
            Message::Welcome(welcome) => Self::Welcome { salt: digest("salt", &welcome.salt)?.0 },
            Message::Refused(refused) => Self::Refused { text: text(&refused.text) },
            Message::Accepted(v1::Accepted {}) => Self::Accepted,
            Message::Begin(begin) => Self::Begin { excluded: ExcludedRecords::from_bytes(begin.left_out) },
            Message::Encode(encode) => Self::Encode {
                step: encode.step,
                rows: encode.rows.ok_or(WireError::Missing("rows"))?.try_into()?,
            },
            Message::Gradient(gradient) => {
                let values = gradient.values.ok_or(WireError::Missing("a gradient's values"))?;
                Self::Gradient { step: gradient.step, gradient: values.try_into()? }
            }
            Message::Checkpoint(asked) => Self::Checkpoint { step: asked.step, label: label(asked.label)? },
            Message::Restore(asked) => Self::Restore { step: asked.step, label: label(asked.label)? },
            Message::Draw(asked) => Self::EncodeSynthetic { step: asked.step, chunk: asked.chunk },
            Message::Freeze(asked) => Self::Freeze { step: asked.step },
            Message::Finish(asked) => Self::Finish { step: asked.step },
        })
    }
}

impl From<FromCoordinator> for v1::CoordinatorMessage {
    fn from(message: FromCoordinator) -> Self {
        use v1::coordinator_message::Message;
        let message = match message {
            FromCoordinator::Welcome { salt } => Message::Welcome(v1::Welcome { salt: salt.to_vec() }),
            FromCoordinator::Refused { text: line } => Message::Refused(v1::Refused { text: text(&line) }),
            FromCoordinator::Accepted => Message::Accepted(v1::Accepted {}),
            FromCoordinator::Begin { excluded } => {
                Message::Begin(v1::Begin { left_out: excluded.as_bytes().to_vec() })
            }
            FromCoordinator::Encode { step, rows } => {
                Message::Encode(v1::Encode { step, rows: Some(rows.into()) })
            }
            FromCoordinator::Gradient { step, gradient } => {
                Message::Gradient(v1::Gradient { step, values: Some(gradient.into()) })
            }
            FromCoordinator::Checkpoint { step, label } => {
                Message::Checkpoint(v1::Checkpoint { step, label: v1::Label::from(label).into() })
            }
            FromCoordinator::Restore { step, label } => {
                Message::Restore(v1::Restore { step, label: v1::Label::from(label).into() })
            }
            FromCoordinator::EncodeSynthetic { step, chunk } => Message::Draw(v1::Draw { step, chunk }),
            FromCoordinator::Freeze { step } => Message::Freeze(v1::Freeze { step }),
            FromCoordinator::Finish { step } => Message::Finish(v1::Finish { step }),
        };
        Self { message: Some(message) }
    }
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

fn label(label: i32) -> Result<CheckpointLabel> {
    match v1::Label::try_from(label) {
        Ok(v1::Label::Best) => Ok(CheckpointLabel::Best),
        Ok(v1::Label::Latest) => Ok(CheckpointLabel::Latest),
        Ok(v1::Label::Unspecified) | Err(_) => Err(WireError::Missing("a checkpoint's label")),
    }
}

impl From<CheckpointLabel> for v1::Label {
    fn from(label: CheckpointLabel) -> Self {
        match label {
            CheckpointLabel::Best => Self::Best,
            CheckpointLabel::Latest => Self::Latest,
        }
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::GradientEncoding;
    use hashvfl_core::protocol::message::PROTOCOL_VERSION;
    use hashvfl_core::settings::{RunSettings, Task};
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
            },
            FromParty::Codes { step: 1, bytes: vec![1, 2, 3] },
            FromParty::Checkpointed { step: 2 },
            FromParty::Restored { step: 3 },
            FromParty::Frozen { step: 4, encoder: Digest([1; 32]) },
            FromParty::Finished { step: 5 },
            FromParty::Failed { text: "no disk left".into() },
        ]
    }

    fn from_coordinator() -> Vec<FromCoordinator> {
        let gradient = |encoding| Gradient::encode(vec![1.0, -0.5, 0.25, 0.0], 2, encoding);
        let mut messages = vec![
            FromCoordinator::Welcome { salt: [4; 32] },
            FromCoordinator::Refused { text: "no".into() },
            FromCoordinator::Accepted,
            FromCoordinator::Begin { excluded: ExcludedRecords::of(&[2, 6], 7) },
            FromCoordinator::Encode { step: 1, rows: RowSelection::Batch { epoch: 2, batch: 3 } },
            FromCoordinator::Gradient { step: 1, gradient: gradient(GradientEncoding::F32) },
            FromCoordinator::Gradient { step: 1, gradient: gradient(GradientEncoding::Int8) },
            FromCoordinator::Checkpoint { step: 2, label: CheckpointLabel::Best },
            FromCoordinator::Restore { step: 3, label: CheckpointLabel::Latest },
            FromCoordinator::EncodeSynthetic { step: 5, chunk: 1 },
            FromCoordinator::Freeze { step: 4 },
            FromCoordinator::Finish { step: 5 },
        ];
        messages.extend(
            Part::ALL.map(|part| FromCoordinator::Encode {
                step: 6,
                rows: RowSelection::Chunk { part, chunk: 1 },
            }),
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

    /// What the README states for d = 64 and a batch of 256: at most 10 bytes a record up, 72 down.
    #[test]
    fn bytes_a_record_and_step_at_64_bits() {
        let (rows, bits) = (256, 64);
        let up = FromParty::Codes { step: 1_000_000, bytes: vec![0; rows * bits / 8] };
        let up = v1::PartyMessage::from(up).encoded_len() as f64 / rows as f64;
        let encode =
            FromCoordinator::Encode { step: 1_000_000, rows: RowSelection::Batch { epoch: 300, batch: 300 } };
        let gradient = Gradient::encode(vec![0.1; rows * bits], bits, GradientEncoding::Int8);
        let gradient = FromCoordinator::Gradient { step: 1_000_000, gradient };
        let down: usize =
            [encode, gradient].into_iter().map(|m| v1::CoordinatorMessage::from(m).encoded_len()).sum();
        let down = down as f64 / rows as f64;
        assert!(up <= 10.0, "{up} bytes a record up");
        assert!(down <= 72.0, "{down} bytes a record down");
    }

    #[test]
    fn values_of_other_versions_and_sizes_are_errors() {
        assert!(FromParty::try_from(v1::PartyMessage { message: None }).is_err());
        let chunk = v1::Chunk { part: 77, chunk: 0 };
        assert!(RowSelection::try_from(v1::encode::Rows::Chunk(chunk)).is_err());
        let frozen = v1::Frozen { step: 1, encoder_sha256: vec![0; 31] };
        let frozen = v1::PartyMessage { message: Some(v1::party_message::Message::Frozen(frozen)) };
        assert_eq!(FromParty::try_from(frozen), Err(WireError::Digest("encoder_sha256")));
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
