//! The messages of a private alignment's relay, checked on the way in.

use hashvfl_core::limits::MAX_SEALED_BYTES;
use hashvfl_core::{Digest, PartyName, Settings};

use crate::convert::{WireError, digest, limit, pairs, settings, text, wire_message};
use crate::v1;

wire_message!(FromHolder, v1::HolderMessage);
wire_message!(FromRelay, v1::RelayMessage);

/// A frame that goes from one holder to another.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    /// To the relay: for whom. From it: from whom, as the relay says.
    pub holder: PartyName,
    /// What only the two holders can open.
    pub sealed: Vec<u8>,
}

/// What a holder sends to the relay.
pub enum FromHolder {
    /// The first message.
    Enrol {
        /// The version that it speaks.
        protocol: u32,
        /// Its name.
        holder: PartyName,
        /// The settings of the alignment.
        settings: Settings,
        /// Their digest.
        settings_digest: Digest,
    },
    /// To be passed on.
    Envelope(Envelope),
    /// The holder cannot take part; the others need not wait for it.
    GaveUp,
}

/// What the relay sends to a holder.
pub enum FromRelay {
    /// A holder has come or gone.
    Presence {
        /// Its name.
        holder: PartyName,
        /// Whether it is there.
        here: bool,
    },
    /// Passed on.
    Envelope(Envelope),
    /// A holder will not come as it is.
    Absence {
        /// Its name.
        holder: PartyName,
        /// Whether the relay refused it; it has given up otherwise.
        refused: bool,
    },
    /// The holder may not stay.
    Refused {
        /// Why.
        text: String,
    },
}

impl TryFrom<v1::Envelope> for Envelope {
    type Error = WireError;

    fn try_from(envelope: v1::Envelope) -> Result<Self, WireError> {
        limit("a sealed frame", envelope.sealed.len(), MAX_SEALED_BYTES)?;
        Ok(Self { holder: PartyName::new(envelope.holder)?, sealed: envelope.sealed })
    }
}

impl From<Envelope> for v1::Envelope {
    fn from(envelope: Envelope) -> Self {
        Self { holder: envelope.holder.into(), sealed: envelope.sealed }
    }
}

impl TryFrom<v1::HolderMessage> for FromHolder {
    type Error = WireError;

    fn try_from(message: v1::HolderMessage) -> Result<Self, WireError> {
        use v1::holder_message::Message;
        Ok(match message.message.ok_or(WireError::Missing("its content"))? {
            Message::Enrol(enrol) => Self::Enrol {
                protocol: enrol.protocol_version,
                holder: PartyName::new(enrol.holder)?,
                settings: settings(enrol.settings)?,
                settings_digest: digest("settings_sha256", &enrol.settings_sha256)?,
            },
            Message::Envelope(envelope) => Self::Envelope(envelope.try_into()?),
            Message::GaveUp(v1::GaveUp {}) => Self::GaveUp,
        })
    }
}

impl From<FromHolder> for v1::HolderMessage {
    fn from(message: FromHolder) -> Self {
        use v1::holder_message::Message;
        let message = match message {
            FromHolder::Enrol { protocol, holder, settings, settings_digest } => Message::Enrol(v1::Enrol {
                protocol_version: protocol,
                holder: holder.into(),
                settings: pairs(&settings),
                settings_sha256: settings_digest.0.to_vec(),
            }),
            FromHolder::Envelope(envelope) => Message::Envelope(envelope.into()),
            FromHolder::GaveUp => Message::GaveUp(v1::GaveUp {}),
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<v1::RelayMessage> for FromRelay {
    type Error = WireError;

    fn try_from(message: v1::RelayMessage) -> Result<Self, WireError> {
        use v1::relay_message::Message;
        Ok(match message.message.ok_or(WireError::Missing("its content"))? {
            Message::Presence(v1::Presence { holder, here }) => {
                Self::Presence { holder: PartyName::new(holder)?, here }
            }
            Message::Envelope(envelope) => Self::Envelope(envelope.try_into()?),
            Message::Absence(v1::Absence { holder, refused }) => {
                Self::Absence { holder: PartyName::new(holder)?, refused }
            }
            Message::Refused(refused) => Self::Refused { text: text(&refused.text) },
        })
    }
}

impl From<FromRelay> for v1::RelayMessage {
    fn from(message: FromRelay) -> Self {
        use v1::relay_message::Message;
        let message = match message {
            FromRelay::Presence { holder, here } => {
                Message::Presence(v1::Presence { holder: holder.into(), here })
            }
            FromRelay::Envelope(envelope) => Message::Envelope(envelope.into()),
            FromRelay::Absence { holder, refused } => {
                Message::Absence(v1::Absence { holder: holder.into(), refused })
            }
            FromRelay::Refused { text: line } => {
                Message::Refused(v1::Refused { text: text(&line), try_again: false })
            }
        };
        Self { message: Some(message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_over_the_limit_and_empty_messages_are_refused() {
        let envelope = |bytes| v1::Envelope { holder: "bank".into(), sealed: vec![0; bytes] };
        assert!(Envelope::try_from(envelope(MAX_SEALED_BYTES)).is_ok());
        let refused = Envelope::try_from(envelope(MAX_SEALED_BYTES + 1)).err();
        assert!(matches!(refused, Some(WireError::Limit { .. })));
        assert!(Envelope::try_from(v1::Envelope { holder: "a b".into(), sealed: vec![] }).is_err());
        assert!(FromHolder::try_from(v1::HolderMessage { message: None }).is_err());
        assert!(FromRelay::try_from(v1::RelayMessage { message: None }).is_err());
    }
}
