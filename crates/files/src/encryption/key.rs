//! The key of a side: 32 random bytes, written as 64 hexadecimal digits in a file or in the environment.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use rand::TryRng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::error::KeyError;
use crate::owner_only;

const KEY_BYTES: usize = 32;
/// Bytes of a key's file at most: more than a key with blanks around it.
const MAX_FILE_BYTES: u64 = 256;

/// A key, of which others are derived.
pub struct EncryptionKey(Zeroizing<[u8; KEY_BYTES]>);

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionKey(32 bytes)")
    }
}

impl EncryptionKey {
    /// Reads a key's file.
    ///
    /// # Errors
    /// If it cannot be read, others can read it, or it holds no key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        if path.file_name().is_some_and(|name| Self::from_hex(name.as_encoded_bytes()).is_some()) {
            return Err(KeyError::InPlaceOfName);
        }
        let failed = |reason| KeyError::Read { path: path.to_path_buf(), reason };
        let file = File::open(path).map_err(failed)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = file.metadata().map_err(failed)?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(KeyError::Readable(path.to_path_buf()));
            }
        }
        let mut text = Zeroizing::new(Vec::new());
        file.take(MAX_FILE_BYTES).read_to_end(&mut text).map_err(failed)?;
        Self::from_hex(&text).ok_or_else(|| KeyError::File(path.to_path_buf()))
    }

    /// Takes a key from the environment.
    ///
    /// # Errors
    /// If there is no such variable, or it holds no key.
    pub fn from_variable(name: &str) -> Result<Self, KeyError> {
        if Self::from_hex(name.as_bytes()).is_some() {
            return Err(KeyError::InPlaceOfName);
        }
        let text = std::env::var_os(name).ok_or_else(|| KeyError::NoVariable(name.to_string()))?;
        let text = Zeroizing::new(text.into_encoded_bytes());
        Self::from_hex(&text).ok_or_else(|| KeyError::Variable(name.to_string()))
    }

    /// Draws a key and writes it to a file of its own, mode 0600.
    ///
    /// # Errors
    /// If the file exists or cannot be written, or the operating system gives no random bytes.
    pub fn draw(path: &Path) -> Result<(), KeyError> {
        let failed = |reason| KeyError::Make { path: path.to_path_buf(), reason };
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        rand::rngs::SysRng
            .try_fill_bytes(key.as_mut())
            .map_err(|error| failed(io::Error::other(error.to_string())))?;
        let mut text = Zeroizing::new(String::with_capacity(2 * KEY_BYTES + 1));
        for byte in key.iter() {
            // Unwrap safety: a string takes what is written to it.
            fmt::Write::write_fmt(&mut *text, format_args!("{byte:02x}")).expect("a string");
        }
        text.push('\n');
        let mut file = owner_only().write(true).create_new(true).open(path).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
    }

    /// A key of 64 hexadecimal digits, with blanks around it or not.
    pub(super) fn from_hex(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        if text.len() != 2 * KEY_BYTES {
            return None;
        }
        for (byte, digits) in key.iter_mut().zip(text.chunks_exact(2)) {
            let digit = |at: usize| char::from(digits[at]).to_digit(16);
            *byte = u8::try_from(16 * digit(0)? + digit(1)?).ok()?;
        }
        Some(Self(key))
    }

    /// Tells this key from others, and nothing about it.
    pub(super) fn name(&self) -> [u8; 8] {
        let name = self.derive("name", &[]);
        std::array::from_fn(|at| name[at])
    }

    /// A key for one purpose.
    pub(super) fn derive(&self, purpose: &str, salt: &[u8]) -> Zeroizing<[u8; KEY_BYTES]> {
        let mut hash = Sha256::new();
        hash.update(b"hashvfl encryption 1\0");
        hash.update(self.0.as_slice());
        hash.update(purpose.as_bytes());
        hash.update([0]);
        hash.update(salt);
        Zeroizing::new(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_and_others_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("at-rest.key");
        EncryptionKey::draw(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.len(), 65);
        let key = EncryptionKey::read(&path).unwrap();
        let digits = text.trim();
        let again = EncryptionKey::from_hex(format!("  {}\r\n", digits.to_uppercase()).as_bytes()).unwrap();
        assert_eq!(key.name(), again.name());
        assert_ne!(*key.derive("a", b"b"), *key.derive("ab", b""));
        let again = EncryptionKey::draw(&path).unwrap_err().to_string();
        assert!(again.contains("cannot create the encryption key"), "{again}");
        let other = folder.path().join("other.key");
        EncryptionKey::draw(&other).unwrap();
        assert_ne!(EncryptionKey::read(&other).unwrap().name(), key.name());
        for text in [&digits[1..], "", &format!("{digits}0"), &digits.replace(&digits[..1], "g")] {
            std::fs::write(&path, text).unwrap();
            let error = EncryptionKey::read(&path).unwrap_err().to_string();
            assert!(error.contains("64 hexadecimal digits"), "{error}");
            assert!(text.len() < 60 || !error.contains(&text[..8]), "{error}");
        }
        for shown in [EncryptionKey::read(&folder.path().join(digits)), EncryptionKey::from_variable(digits)]
        {
            assert!(matches!(shown, Err(KeyError::InPlaceOfName)), "a key is not shown as a name");
        }
        assert!(matches!(
            EncryptionKey::from_variable("HASHVFL_NO_SUCH_VARIABLE"),
            Err(KeyError::NoVariable(_))
        ));
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("at-rest.key");
        EncryptionKey::draw(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = EncryptionKey::read(&path).unwrap_err().to_string();
        assert!(error.contains("can be read by others") && error.contains("chmod 600"), "{error}");
    }
}
