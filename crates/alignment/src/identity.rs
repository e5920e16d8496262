//! A holder's long-term key: an X25519 pair, kept by its owner and pinned, public, in the others' policies.

use std::fmt;
use std::fs;
use std::path::Path;

use curve25519_dalek::MontgomeryPoint;
use hashvfl_core::Digest;
use hashvfl_core::hex::hex;
use hashvfl_files::write_whole;
use rand::TryRng;
use zeroize::Zeroizing;

use crate::error::AlignmentError;

/// A public key: 64 hex digits in a policy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Reads 64 hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        Digest::from_hex(text).map(|digest| Self(digest.0))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// A secret key, wiped from memory when dropped.
pub struct SecretKey(pub(crate) Zeroizing<[u8; 32]>);

impl SecretKey {
    /// Draws a key and keeps it in a new file, readable only by its owner.
    ///
    /// # Errors
    /// When the file is there already: a new key would lock the owner out wherever the old one is pinned.
    pub fn create(path: &Path) -> Result<Self, AlignmentError> {
        if path.exists() {
            let there = std::io::Error::new(std::io::ErrorKind::AlreadyExists, "it already exists");
            return Err(AlignmentError::io("write", path)(there));
        }
        let mut bytes = Zeroizing::new([0; 32]);
        let drawn = rand::rngs::SysRng.try_fill_bytes(bytes.as_mut());
        drawn.map_err(|error| AlignmentError::io("draw a key for", path)(std::io::Error::other(error)))?;
        let text = Zeroizing::new(format!("{}\n", PublicKey(*bytes)));
        write_whole(path, text.as_bytes())?;
        Ok(Self(bytes))
    }

    /// Reads a key file.
    pub fn read(path: &Path) -> Result<Self, AlignmentError> {
        let text = Zeroizing::new(fs::read_to_string(path).map_err(AlignmentError::io("read", path))?);
        let key = PublicKey::from_hex(text.trim()).ok_or_else(|| AlignmentError::Key(path.to_path_buf()))?;
        Ok(Self(Zeroizing::new(key.0)))
    }

    /// The public key, to be pinned by the others.
    pub fn public(&self) -> PublicKey {
        PublicKey(MontgomeryPoint::mul_base_clamped(*self.0).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_for_its_owner_alone_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bank.key");
        let key = SecretKey::create(&path).unwrap();
        assert_eq!(SecretKey::read(&path).unwrap().public(), key.public());
        assert_eq!(PublicKey::from_hex(&key.public().to_string()), Some(key.public()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(SecretKey::create(&path).unwrap_err().to_string().contains("already exists"));
        fs::write(&path, "no key").unwrap();
        assert!(SecretKey::read(&path).unwrap_err().to_string().contains("does not hold a key"));
    }
}
