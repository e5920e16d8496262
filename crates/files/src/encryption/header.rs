//! What an encrypted file begins with.

use std::io;
use std::path::Path;

use rand::TryRng;

use super::error::EncryptionError;
use super::key::EncryptionKey;

const MAGIC: [u8; 8] = *b"HVFLENC1";
/// Random bytes of a header.
const RANDOM_BYTES: usize = 19;
pub(super) const HEADER_BYTES: usize = 8 + 1 + 8 + RANDOM_BYTES;

/// How the rest of a file is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Whole = 1,
    Growing = 2,
    Blocks = 3,
}

/// A header.
#[derive(Clone)]
pub(super) struct EncryptionHeader(pub [u8; HEADER_BYTES]);

impl EncryptionHeader {
    /// A new one.
    pub fn draw(form: Form, key: &EncryptionKey) -> io::Result<Self> {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8] = form as u8;
        bytes[9..17].copy_from_slice(&key.name());
        let drawn = rand::rngs::SysRng.try_fill_bytes(&mut bytes[17..]);
        drawn.map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self(bytes))
    }

    /// The header with which `start` begins; `None` where the file is in plain text and may be.
    ///
    /// # Errors
    /// If it may not, or is encrypted with another key or in another form.
    pub fn of(
        start: &[u8],
        key: Option<&EncryptionKey>,
        form: Form,
    ) -> Result<Option<Self>, EncryptionError> {
        let found = Self::find(start, key)?;
        match found {
            Some(header) if header.0[8] != form as u8 => Err(EncryptionError::Damaged),
            found => Ok(found),
        }
    }

    /// The same in whatever form.
    pub fn find(start: &[u8], key: Option<&EncryptionKey>) -> Result<Option<Self>, EncryptionError> {
        match (start.starts_with(&MAGIC), key) {
            (false, None) => Ok(None),
            (false, Some(_)) => Err(EncryptionError::Plain),
            (true, None) => Err(EncryptionError::NoKey),
            (true, Some(key)) => {
                let (bytes, _) = start.split_first_chunk().ok_or(EncryptionError::Damaged)?;
                let header = Self(*bytes);
                if header.0[9..17] == key.name() { Ok(Some(header)) } else { Err(EncryptionError::OtherKey) }
            }
        }
    }

    /// Whether `start` may be the first bytes of a header whose writer was killed.
    pub fn is_half_written(start: &[u8]) -> bool {
        start.len() < HEADER_BYTES && (MAGIC.starts_with(start) || start.starts_with(&MAGIC))
    }

    pub fn form(&self) -> u8 {
        self.0[8]
    }

    pub fn random(&self) -> &[u8] {
        &self.0[17..]
    }

    /// What the tags of a file vouch for beside its content.
    pub fn associated(&self, path: &Path) -> Vec<u8> {
        [self.0.as_slice(), name(path).as_bytes()].concat()
    }
}

/// What a file is called when it counts: a file that waits for its name is called `pending`.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().replace(".pending.", ".")
}
