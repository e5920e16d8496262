//! What is wrong with keys and with what they encrypt.

use std::io;
use std::path::PathBuf;

/// Why the content of a file cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncryptionError {
    /// Its place has a key.
    #[error(
        "it is not encrypted, but [encryption] names a key for it: encrypt it with the subcommand `encryption \
         encrypt`, move it away, or choose another path"
    )]
    Plain,
    /// Its place has none.
    #[error(
        "it is encrypted, but no key was given: name its key in [encryption], or with --key-file or --key-variable"
    )]
    NoKey,
    /// Its place has another.
    #[error("it is encrypted with a different key than the one given")]
    OtherKey,
    /// A tag does not fit.
    #[error(
        "it is encrypted but cannot be decrypted: it is damaged, or was renamed after it was written. Restore its \
         name, or the file from a backup"
    )]
    Damaged,
}

impl From<EncryptionError> for io::Error {
    fn from(error: EncryptionError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// A file that is not encrypted as its place is, or that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct PlaceError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub reason: io::Error,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read the encryption key {path}: {reason}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// Others can read it.
    #[error("the encryption key {0} can be read by others on this machine: `chmod 600` it")]
    Readable(PathBuf),
    /// It stands where its name belongs.
    #[error(
        "[encryption] contains the key itself instead of the name of its file or variable: remove the key, create a \
         new one with `encryption new-key`, and name its file"
    )]
    InPlaceOfName,
    /// The file holds none.
    #[error(
        "{0} does not hold an encryption key (64 hexadecimal digits); the subcommand `encryption new-key` creates one"
    )]
    File(PathBuf),
    /// The environment has no such variable.
    #[error("the environment has no variable {0}, which is to hold the encryption key")]
    NoVariable(String),
    /// The variable holds none.
    #[error("the variable {0} holds no encryption key: it must be 64 hexadecimal digits")]
    Variable(String),
    /// A new one cannot be written.
    #[error("cannot create the encryption key {path}: {reason}")]
    Make {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
}
