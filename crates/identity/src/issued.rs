//! The issuance file: every certificate that an authority has signed, and what it has taken back.

use std::collections::BTreeSet;
use std::path::Path;

use hashvfl_files::write_whole;

use crate::dates::date;
use crate::fingerprint::Fingerprint;
use crate::pem::{self, FileError, ISSUED};
use crate::role::Identity;

/// A certificate that was signed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issued {
    /// Whom it names.
    pub identity: Identity,
    /// Its serial number in hex.
    pub serial: String,
    /// Its public key.
    pub fingerprint: Fingerprint,
    /// The public key itself: SubjectPublicKeyInfo in DER, in hex. A renewal needs it.
    pub public_key: String,
    /// From when it counts, in seconds since 1970.
    pub not_before_s: i64,
    /// Until when.
    pub not_after_s: i64,
    /// When and why it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Revoked>,
}

/// When and why a certificate was taken back.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoked {
    /// In seconds since 1970.
    pub at_s: i64,
    /// For people; it stays in this file.
    pub reason: String,
}

impl Issued {
    /// Whether it counts at the time `now_s`.
    pub fn counts(&self, now_s: i64) -> bool {
        self.revoked.is_none() && self.not_after_s > now_s
    }

    /// One word and a date on how it is at the time `now_s`.
    pub fn state(&self, now_s: i64) -> String {
        match &self.revoked {
            Some(revoked) => format!("revoked on {}: {}", date(revoked.at_s), revoked.reason),
            None if self.not_after_s <= now_s => format!("expired on {}", date(self.not_after_s)),
            None => format!("valid until {}", date(self.not_after_s)),
        }
    }
}

/// What `issued.json` holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuedFile {
    /// The number of the revocation list that was written last.
    pub list_number: u64,
    /// Until when that list counts, in seconds since 1970.
    pub list_until_s: i64,
    /// All certificates, in the order in which they were signed.
    pub certificates: Vec<Issued>,
}

impl IssuedFile {
    /// Reads the file.
    ///
    /// # Errors
    /// If it cannot be read or holds something else.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let text = pem::bytes(path, ISSUED)?;
        serde_json::from_slice(&text).map_err(|error| ISSUED.wrong(path, error.to_string()))
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|error| ISSUED.wrong(path, format!("it cannot be written as JSON: {error}")))?;
        text.push(b'\n');
        Ok(write_whole(path, &text)?)
    }

    /// The newest certificate of `identity` that counts at the time `now_s`.
    pub fn newest(&self, identity: &Identity, now_s: i64) -> Option<&Issued> {
        self.certificates.iter().rev().find(|issued| issued.identity == *identity && issued.counts(now_s))
    }

    /// Who else has a certificate, counting at the time `now_s`, of a key of which `who` has had one: whoever has the key can be
    /// all of them.
    pub fn sharing_keys_with(&self, who: &Identity, now_s: i64) -> BTreeSet<&Identity> {
        let keys: BTreeSet<&Fingerprint> = self
            .certificates
            .iter()
            .filter(|issued| issued.identity == *who)
            .map(|issued| &issued.fingerprint)
            .collect();
        let others = self.certificates.iter().filter(|issued| {
            issued.identity != *who && issued.counts(now_s) && keys.contains(&issued.fingerprint)
        });
        others.map(|issued| &issued.identity).collect()
    }

    /// Who had a certificate of `key` that was revoked, and when it was, in seconds since 1970.
    pub fn taken_back(&self, key: &Fingerprint) -> Option<(&Identity, i64)> {
        for issued in &self.certificates {
            if let Some(revoked) = &issued.revoked
                && issued.fingerprint == *key
            {
                return Some((&issued.identity, revoked.at_s));
            }
        }
        None
    }
}
