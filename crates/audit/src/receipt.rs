//! Receipts of erasures: what one side has erased, for whoever asked for it. No id is in one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hashvfl_core::hex::{bytes_of_hex, hex};
use hashvfl_core::text::one_line;
use hashvfl_core::{Digest, RunId};
use hashvfl_files::{owner_only_folder, write_whole};
use hashvfl_identity::{Fingerprint, IdentityFiles, SignatureError, verify};
use rand::TryRng;
use serde::{Deserialize, Serialize};

use crate::error::AuditError;
use crate::head::Side;
use crate::time;

/// Bytes of a peer's words that are shown, at most.
const MOST_WORDS: usize = 80;

/// What was erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErasureReceipt {
    /// Who erased: `coordinator`, or `party-NAME`.
    pub side: String,
    /// The run of the config under which it did.
    pub run: RunId,
    /// When, by this side's clock.
    pub time: String,
    /// 64 hex digits, drawn for this receipt, so that the digest alone does not tell whether an id was in the request.
    pub salt: String,
    /// SHA-256 of the line `salt` and the request's bytes: `(echo SALT; cat IDS) | sha256sum`.
    pub request_sha256: String,
    /// How much was erased, by what.
    pub counts: BTreeMap<String, u64>,
}

/// A receipt with its signature, as it is kept and handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// What was erased.
    pub receipt: ErasureReceipt,
    /// The side's signature of the receipt in hex; absent: it has no key to sign with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signature: Option<String>,
}

/// Why a file is not the receipt for a request.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] AuditError),
    /// It is no receipt.
    #[error("it is not an erasure receipt: expected a file from the folder `receipts` of an audit trail")]
    NoReceipt,
    /// Whoever made it did not sign it.
    #[error("it is not signed, so anyone could have written it: {0} signs receipts once it has an identity")]
    NotSigned(Side),
    /// Its signature is not of these words.
    #[error("{reason}: it was changed after {side} signed it, or {side} never did")]
    Signature {
        /// Whose receipt it says it is.
        side: Side,
        /// What is wrong with the signature.
        reason: SignatureError,
    },
    /// It is signed with a key of which nobody here knows whose it is.
    #[error(
        "it is signed with the key {found}, but no key of {side} is known here: ask its owner for the fingerprint \
         over another channel, such as the phone, then pass --key or pin it"
    )]
    UnknownKey {
        /// Whose receipt it says it is.
        side: Side,
        /// The key.
        found: Fingerprint,
    },
    /// It is signed with another key than that side's.
    #[error("it is signed with the key {found}, which is not that of {side}: {side} has not made it")]
    OtherKey {
        /// Whose receipt it says it is.
        side: Side,
        /// The key.
        found: Fingerprint,
    },
    /// It answers another request.
    #[error(
        "{0} made it for another request: it asked for other ids, in another order, or with another byte between them"
    )]
    OtherRequest(Side),
}

impl Receipt {
    /// Reads a receipt that a side has kept or handed over.
    ///
    /// # Errors
    /// If the file cannot be read, or holds none.
    pub fn read(path: &Path) -> Result<Self, ReceiptError> {
        let bytes = fs::read(path).map_err(|reason| AuditError::file("read", path, reason))?;
        let receipt: Self = serde_json::from_slice(&bytes).map_err(|_| ReceiptError::NoReceipt)?;
        receipt.side()?;
        Ok(receipt)
    }

    /// Who says that it has erased.
    ///
    /// # Errors
    /// If it names no side.
    pub fn side(&self) -> Result<Side, ReceiptError> {
        Side::of_file_stem(&self.receipt.side).ok_or(ReceiptError::NoReceipt)
    }

    /// Checks that one of `keys`, those that its side may have, has signed it, and that it is for the request with these
    /// bytes; the key.
    ///
    /// # Errors
    /// What does not fit.
    pub fn verify(&self, request: &[u8], keys: &[Fingerprint]) -> Result<Fingerprint, ReceiptError> {
        let side = self.side()?;
        let Some(signature) = &self.signature else { return Err(ReceiptError::NotSigned(side)) };
        let signature = bytes_of_hex(signature).ok_or(SignatureError::Unreadable);
        let signed = signature.and_then(|signature| verify(&self.receipt.to_signed_bytes(), &signature));
        let found = match signed {
            Ok(found) => found,
            Err(reason) => return Err(ReceiptError::Signature { side, reason }),
        };
        if keys.is_empty() {
            return Err(ReceiptError::UnknownKey { side, found });
        }
        if !keys.contains(&found) {
            return Err(ReceiptError::OtherKey { side, found });
        }
        match self.receipt.is_for(request) {
            true => Ok(found),
            false => Err(ReceiptError::OtherRequest(side)),
        }
    }
}

impl ErasureReceipt {
    /// A receipt of `side` for the request with these bytes.
    ///
    /// # Errors
    /// If the operating system gives no random bytes.
    pub fn new(
        side: &Side,
        run: &RunId,
        request: &[u8],
        counts: BTreeMap<String, u64>,
        now: SystemTime,
    ) -> Result<Self, AuditError> {
        let mut salt = [0; 32];
        rand::rngs::SysRng.try_fill_bytes(&mut salt).map_err(|error| {
            let reason = std::io::Error::other(error.to_string());
            AuditError::file("draw a salt for", Path::new("the receipt"), reason)
        })?;
        let salt = hex(&salt);
        let request_sha256 = Self::digest(&salt, request).to_string();
        Ok(Self {
            side: side.file_stem(),
            run: run.clone(),
            time: time::text(now),
            salt,
            request_sha256,
            counts,
        })
    }

    fn digest(salt: &str, request: &[u8]) -> Digest {
        Digest::of(&[salt.as_bytes(), b"\n", request].concat())
    }

    /// Whether this is the receipt for the request with these bytes.
    pub fn is_for(&self, request: &[u8]) -> bool {
        Self::digest(&self.salt, request).to_string() == self.request_sha256
    }

    /// When and of what, a line each for a person. A peer's words are cut to what a line holds.
    pub fn lines(&self) -> Vec<String> {
        let words = |text: &str| one_line(text, MOST_WORDS);
        let mut lines =
            vec![format!("at {} by its clock, under the config of run {}:", words(&self.time), self.run)];
        for (what, count) in &self.counts {
            lines.push(format!("  {count} {}", words(what)));
        }
        lines
    }

    /// What is signed: the receipt as one line of JSON.
    pub fn to_signed_bytes(&self) -> Vec<u8> {
        // Unwrap safety: names, numbers and texts are JSON.
        serde_json::to_vec(self).expect("a receipt")
    }

    /// SHA-256 of that.
    pub fn sha256(&self) -> Digest {
        Digest::of(&self.to_signed_bytes())
    }

    /// Keeps the receipt in `folder`, signed where there is a signer; the file's path.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep(self, folder: &Path, signer: Option<&IdentityFiles>) -> Result<PathBuf, AuditError> {
        owner_only_folder()
            .recursive(true)
            .create(folder)
            .map_err(|reason| AuditError::file("create the folder", folder, reason))?;
        let path = folder.join(format!("erasure-{}.json", self.sha256().short()));
        let signature = signer.map(|signer| signer.sign(&self.to_signed_bytes())).transpose();
        let signature = signature.map_err(|reason| AuditError::Unsigned { path: path.clone(), reason })?;
        let signature = signature.map(|signature| hex(&signature));
        let receipt = Receipt { receipt: self, signature };
        // Unwrap safety: as above.
        let mut text = serde_json::to_vec_pretty(&receipt).expect("a receipt");
        text.push(b'\n');
        write_whole(&path, &text)?;
        Ok(path)
    }
}
