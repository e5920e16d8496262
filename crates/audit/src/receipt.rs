//! Receipts of erasures: what one side has erased, for whoever asked for it. No id is in one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hashvfl_core::{Digest, RunId};
use hashvfl_files::write_whole;
use hashvfl_identity::IdentityFiles;
use rand::TryRng;
use serde::{Deserialize, Serialize};

use crate::error::AuditError;
use crate::head::{Side, hex};
use crate::time;

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
        std::fs::create_dir_all(folder)
            .map_err(|reason| AuditError::file("make the folder", folder, reason))?;
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
