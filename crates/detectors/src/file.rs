//! Fitted detectors in a file of the state folder: a first line with the version, JSON, and a digest of both.
//!
//! What is read is checked part by part, so that a file that somebody changed on purpose cannot make scoring panic.

use std::path::Path;

use hashvfl_core::Digest;
use hashvfl_files::{read_up_to, write_whole};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::DetectorError;
use crate::limits::MAX_FILE_BYTES;

/// The version that is written.
const VERSION: u32 = 2;
const MAGIC: &str = "hashvfl detectors ";

/// What can be checked once it was read from a file.
pub trait CheckStored {
    /// Checks fields that were read from a file.
    ///
    /// # Errors
    /// If they contradict each other or exceed a limit.
    fn check(&self) -> Result<(), DetectorError>;
}

/// The bytes of a file that holds `detectors`.
///
/// # Errors
/// If they are longer than a file may be.
pub fn to_bytes<T: Serialize>(detectors: &T) -> Result<Vec<u8>, DetectorError> {
    let mut bytes = format!("{MAGIC}{VERSION}\n").into_bytes();
    serde_json::to_writer(&mut bytes, detectors).map_err(|error| DetectorError::Format(error.to_string()))?;
    bytes.extend(Digest::of(&bytes).0);
    check_size(bytes.len() as u64)?;
    Ok(bytes)
}

/// Reads [`to_bytes`].
///
/// # Errors
/// If they are damaged, have another version, or hold no detectors of this kind.
pub fn from_bytes<T: DeserializeOwned + CheckStored>(bytes: &[u8]) -> Result<T, DetectorError> {
    check_size(bytes.len() as u64)?;
    let line = bytes
        .iter()
        .take(64)
        .position(|byte| *byte == b'\n')
        .ok_or_else(|| damaged("it has no first line"))?;
    let version =
        std::str::from_utf8(&bytes[..line]).ok().and_then(|line| line.strip_prefix(MAGIC)?.parse().ok());
    let found: u32 = version.ok_or_else(|| damaged("its first line is not that of a file of detectors"))?;
    if found != VERSION {
        return Err(DetectorError::Version { expected: VERSION, found });
    }
    let (content, digest) = bytes.split_last_chunk::<32>().ok_or_else(|| damaged("it is truncated"))?;
    if Digest::of(content).0 != *digest {
        return Err(damaged("it is truncated or damaged"));
    }
    let json = content.get(line + 1..).ok_or_else(|| damaged("it is truncated"))?;
    // serde's messages may quote a value, so only the place is told.
    let detectors: T = serde_json::from_slice(json)
        .map_err(|error| damaged(&format!("its content is wrong at column {}", error.column())))?;
    detectors.check()?;
    Ok(detectors)
}

fn damaged(reason: &str) -> DetectorError {
    DetectorError::Format(reason.to_string())
}

/// Writes a file, whole or not at all, that only its owner can read.
///
/// # Errors
/// If it is too large or cannot be written.
pub fn write<T: Serialize>(path: &Path, detectors: &T) -> Result<(), DetectorError> {
    write_whole(path, &to_bytes(detectors)?).map_err(|error| DetectorError::Unwritten(error.to_string()))
}

/// Reads a file.
///
/// # Errors
/// If it cannot be read, is too large or damaged, has another version, or holds no detectors of this kind.
pub fn read<T: DeserializeOwned + CheckStored>(path: &Path) -> Result<T, DetectorError> {
    from_bytes(&read_bytes(path)?).map_err(|error| match error {
        DetectorError::Format(reason) => damaged(&format!("{}: {reason}", path.display())),
        other => other,
    })
}

/// The bytes of a file, for [`from_bytes`].
///
/// # Errors
/// If it cannot be read.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, DetectorError> {
    // One byte more than the limit tells that it is too large, whatever length it is said to have.
    let read = read_up_to(path, MAX_FILE_BYTES + 1);
    read.map_err(|error| damaged(&format!("cannot read {}: {error}", path.display())))
}

fn check_size(bytes: u64) -> Result<(), DetectorError> {
    if bytes <= MAX_FILE_BYTES {
        return Ok(());
    }
    Err(DetectorError::Limit {
        what: "bytes of a file of detectors",
        found: usize::try_from(bytes).unwrap_or(usize::MAX),
        limit: MAX_FILE_BYTES as usize,
    })
}
