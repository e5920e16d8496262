//! Heads: a 32-byte hash and a count that commit to the whole content of a log.

use std::fmt;
use std::str::FromStr;

use hashvfl_core::hex::{bytes_of_hex, hex};
use hashvfl_core::protocol::message::AuditHead;
use hashvfl_core::text::counted;
use hashvfl_core::{Digest, PartyName, RunId};
use hashvfl_identity::{Fingerprint, SignatureError, verify};
use serde::{Deserialize, Serialize};

/// Whose log it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The coordinator's.
    Coordinator,
    /// A party's.
    Party(PartyName),
}

impl Side {
    /// The name of a file about this side, without its ending: no party's can be the coordinator's.
    pub fn file_stem(&self) -> String {
        match self {
            Self::Coordinator => "coordinator".to_string(),
            Self::Party(name) => format!("party-{name}"),
        }
    }

    /// The side that a file is about.
    pub(crate) fn of_file_stem(stem: &str) -> Option<Self> {
        match stem.strip_prefix("party-") {
            Some(name) => PartyName::new(name).ok().map(Self::Party),
            None => (stem == "coordinator").then_some(Self::Coordinator),
        }
    }
}

impl FromStr for Side {
    type Err = String;

    /// From `coordinator` or `party/NAME`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("party/") {
            Some(name) => PartyName::new(name).map(Self::Party).map_err(|error| error.to_string()),
            None if text == "coordinator" => Ok(Self::Coordinator),
            None => Err("expected coordinator or party/NAME".to_string()),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator => f.write_str("the coordinator"),
            Self::Party(name) => write!(f, "party {name}"),
        }
    }
}

impl From<Option<PartyName>> for Side {
    fn from(party: Option<PartyName>) -> Self {
        party.map_or(Self::Coordinator, Self::Party)
    }
}

/// The state of a log after an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Entries so far.
    pub sequence: u64,
    /// SHA-256 of the last one's line; of no entry at all, 32 zero bytes.
    pub entry: Digest,
}

impl Head {
    /// Of an empty log.
    pub const EMPTY: Self = Self { sequence: 0, entry: Digest([0; 32]) };

    /// What `side` signs of a head that it tells in `run`.
    pub fn to_signed_bytes(self, side: &Side, run: &RunId) -> Vec<u8> {
        format!("hashvfl.v1 audit head\n{side}\n{run}\n{}\n{}\n", self.sequence, self.entry).into_bytes()
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, the last {}", counted(self.sequence, "entry"), self.entry)
    }
}

/// When a head was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadMoment {
    /// When the run began.
    Begin,
    /// When it had finished.
    Finish,
    /// When a party came to serve its model.
    Serve,
}

/// A head that a peer told, as this side keeps it: a line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptHead {
    /// Whose log it is: `coordinator`, or `party-NAME`.
    pub side: String,
    /// The run in which it was told.
    pub run: RunId,
    /// When, in the run.
    pub at: HeadMoment,
    /// When, by the clock of whoever keeps it.
    pub time: String,
    /// Entries of the log.
    pub sequence: u64,
    /// SHA-256 of the last one, 64 hex digits.
    pub entry_sha256: String,
    /// The peer's signature in hex; absent: it did not sign.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signature: Option<String>,
    /// The key that it was found to be by when it was told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<Fingerprint>,
}

impl KeptHead {
    pub(crate) fn new(
        told: &AuditHead,
        key: Option<Fingerprint>,
        run: &RunId,
        at: HeadMoment,
        time: String,
    ) -> Self {
        let signature = (!told.signature.is_empty()).then(|| hex(&told.signature));
        Self {
            side: Side::from(told.party.clone()).file_stem(),
            run: run.clone(),
            at,
            time,
            sequence: told.sequence,
            entry_sha256: told.entry.to_string(),
            signature,
            key,
        }
    }

    /// Verifies the signature again; the key that it is by, or `None` where the peer has not signed.
    ///
    /// # Errors
    /// If the signature is not of this head.
    pub fn verify(&self) -> Result<Option<Fingerprint>, SignatureError> {
        let Some(signature) = &self.signature else { return Ok(None) };
        let signature = bytes_of_hex(signature).ok_or(SignatureError::Unreadable)?;
        let side = Side::of_file_stem(&self.side).ok_or(SignatureError::Unreadable)?;
        let entry = Digest::from_hex(&self.entry_sha256).ok_or(SignatureError::Unreadable)?;
        let text = Head { sequence: self.sequence, entry }.to_signed_bytes(&side, &self.run);
        verify(&text, &signature).map(Some)
    }
}
