//! Generated messages to core's and back, a file per service. A peer's message is checked here for every limit, before
//! anything else sees it.

pub mod alignment;
mod returning;
mod serving;
mod training;

use hashvfl_core::limits::MAX_TEXT_BYTES;
use hashvfl_core::name::NameError;
use hashvfl_core::p_value::GridError;
use hashvfl_core::protocol::message::Hello;
use hashvfl_core::records::SALT_BYTES;
use hashvfl_core::settings::PairsError;
use hashvfl_core::text::one_line;
use hashvfl_core::{Digest, PartyName, RunId, Settings};

use crate::v1;

/// A message with its form on the wire.
pub trait WireMessage: Sized + Send + 'static {
    /// The generated message.
    type Wire: prost::Message + Default + Clone + 'static;

    /// What is sent.
    fn into_wire(self) -> Self::Wire;

    /// Checks what came.
    ///
    /// # Errors
    /// If it holds nothing, something of another version, or something over a limit.
    fn from_wire(wire: Self::Wire) -> Result<Self>;

    /// Whether it counts in the exchange of two sides that go on over other connections.
    fn is_counted(&self) -> bool;
}

/// [`WireMessage`] by the conversions that stand next to each other for these messages; those of the pattern are not counted.
macro_rules! wire_message {
    ($message:ty, $wire:ty $(, uncounted $pattern:pat)?) => {
        impl crate::convert::WireMessage for $message {
            type Wire = $wire;

            fn into_wire(self) -> $wire {
                self.into()
            }

            fn from_wire(wire: $wire) -> crate::convert::Result<Self> {
                wire.try_into()
            }

            fn is_counted(&self) -> bool {
                $(if matches!(self, $pattern) {
                    return false;
                })?
                true
            }
        }
    };
}
pub(crate) use wire_message;

/// Why bytes from the wire are not a valid message.
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
    /// A malformed name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Malformed settings.
    #[error(transparent)]
    Settings(#[from] PairsError),
    /// p-values of a grid that does not exist.
    #[error(transparent)]
    PValues(#[from] GridError),
}

pub(crate) type Result<T> = std::result::Result<T, WireError>;

pub(crate) fn salt(bytes: &[u8]) -> Result<[u8; SALT_BYTES]> {
    Ok(digest("salt", bytes)?.0)
}

pub(crate) fn digest(what: &'static str, bytes: &[u8]) -> Result<Digest> {
    Digest::from_slice(bytes).ok_or(WireError::Digest(what))
}

pub(crate) fn limit(what: &'static str, found: usize, limit: usize) -> Result<()> {
    if found <= limit { Ok(()) } else { Err(WireError::Limit { what, limit }) }
}

/// A peer's text, cut to its limit and to one line.
pub(crate) fn text(text: &str) -> String {
    one_line(text, MAX_TEXT_BYTES)
}

pub(crate) fn settings(pairs: Vec<v1::Setting>) -> Result<Settings> {
    Ok(Settings::from_pairs(pairs.into_iter().map(|pair| (pair.key, pair.value)))?)
}

pub(crate) fn pairs(settings: &Settings) -> Vec<v1::Setting> {
    settings.pairs().map(|(key, value)| v1::Setting { key: key.into(), value: value.into() }).collect()
}

impl TryFrom<v1::Hello> for Hello {
    type Error = WireError;

    fn try_from(hello: v1::Hello) -> Result<Self> {
        Ok(Self {
            protocol: hello.protocol_version,
            run: RunId::new(hello.run_id)?,
            party: PartyName::new(hello.party)?,
            settings: settings(hello.settings)?,
            settings_digest: digest("settings_sha256", &hello.settings_sha256)?,
        })
    }
}

impl From<Hello> for v1::Hello {
    fn from(hello: Hello) -> Self {
        Self {
            protocol_version: hello.protocol,
            run_id: hello.run.into(),
            party: hello.party.into(),
            settings: pairs(&hello.settings),
            settings_sha256: hello.settings_digest.0.to_vec(),
        }
    }
}

// Clients and coordinator use these as they are: whoever takes them checks their content.
impl WireMessage for v1::PredictRequest {
    type Wire = Self;

    fn into_wire(self) -> Self {
        self
    }

    fn from_wire(wire: Self) -> Result<Self> {
        Ok(wire)
    }

    fn is_counted(&self) -> bool {
        true
    }
}

impl WireMessage for v1::PredictResponse {
    type Wire = Self;

    fn into_wire(self) -> Self {
        self
    }

    fn from_wire(mut wire: Self) -> Result<Self> {
        use v1::predict_response::Message;
        match &mut wire.message {
            Some(Message::Model(model)) => {
                let texts = model.parties.iter_mut().chain(&mut model.classes);
                texts.chain([&mut model.run_id]).for_each(|line| *line = text(line));
            }
            Some(Message::Predictions(predictions)) => predictions.text = text(&predictions.text),
            None => {}
        }
        Ok(wire)
    }

    fn is_counted(&self) -> bool {
        true
    }
}
