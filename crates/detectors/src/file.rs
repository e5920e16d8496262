//! Detectors in a file of the state folder: a first line with the version, JSON, a digest of both.
//!
//! What is read back is checked part by part, so that a file changed on purpose cannot make scoring panic.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use hashvfl_core::Digest;
use hashvfl_files::write_whole;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::calibration::panel::Calibrated;
use crate::codes::batch::References;
use crate::coordinator::CoordinatorDetector;
use crate::error::DetectorError;
use crate::limits::MAX_FILE_BYTES;
use crate::party::PartyDetector;

/// The version that is written.
const VERSION: u32 = 2;
const MAGIC: &str = "hashvfl detectors ";

/// What a file can hold.
pub trait Stored: Serialize + DeserializeOwned {
    /// Refuses parts that do not fit together.
    fn check_parts(&self) -> Result<(), DetectorError>;
}

impl Stored for Calibrated<CoordinatorDetector> {
    fn check_parts(&self) -> Result<(), DetectorError> {
        self.check(CoordinatorDetector::check)
    }
}

impl Stored for Calibrated<PartyDetector> {
    fn check_parts(&self) -> Result<(), DetectorError> {
        self.check(PartyDetector::check)
    }
}

impl Stored for References {
    fn check_parts(&self) -> Result<(), DetectorError> {
        self.check()
    }
}

/// The bytes of a file that holds `detectors`.
///
/// # Errors
/// If they are more than a file may hold.
pub fn to_bytes<T: Stored>(detectors: &T) -> Result<Vec<u8>, DetectorError> {
    let mut bytes = format!("{MAGIC}{VERSION}\n").into_bytes();
    serde_json::to_writer(&mut bytes, detectors).map_err(|error| DetectorError::Format(error.to_string()))?;
    bytes.extend(Digest::of(&bytes).0);
    check_size(bytes.len() as u64)?;
    Ok(bytes)
}

/// Reads [`to_bytes`].
///
/// # Errors
/// If they are damaged, of another version, or no detectors of this kind.
pub fn from_bytes<T: Stored>(bytes: &[u8]) -> Result<T, DetectorError> {
    check_size(bytes.len() as u64)?;
    let damaged = |reason: &str| DetectorError::Format(reason.to_string());
    let line = bytes
        .iter()
        .take(64)
        .position(|byte| *byte == b'\n')
        .ok_or_else(|| damaged("the first line is not there"))?;
    let version =
        std::str::from_utf8(&bytes[..line]).ok().and_then(|line| line.strip_prefix(MAGIC)?.parse().ok());
    let found: u32 = version.ok_or_else(|| damaged("it is another file"))?;
    if found != VERSION {
        return Err(DetectorError::Version { expected: VERSION, found });
    }
    let (content, digest) = bytes.split_last_chunk::<32>().ok_or_else(|| damaged("it is cut off"))?;
    if Digest::of(content).0 != *digest {
        return Err(damaged("the file is cut off or damaged"));
    }
    let json = content.get(line + 1..).ok_or_else(|| damaged("it is cut off"))?;
    // serde's messages may quote a value: only where it went wrong is told.
    let told = |error: serde_json::Error| {
        DetectorError::Format(format!("the file's content ends or errs at column {}", error.column()))
    };
    let detectors: T = serde_json::from_slice(json).map_err(told)?;
    detectors.check_parts()?;
    Ok(detectors)
}

/// Writes a file, whole or not at all, readable by its owner alone.
///
/// # Errors
/// If it is too large or cannot be written.
pub fn write<T: Stored>(path: &Path, detectors: &T) -> Result<(), DetectorError> {
    write_whole(path, &to_bytes(detectors)?).map_err(|error| DetectorError::Format(error.to_string()))
}

/// Reads a file.
///
/// # Errors
/// If it cannot be read, is too large, damaged, of another version, or no detectors of this kind.
pub fn read<T: Stored>(path: &Path) -> Result<T, DetectorError> {
    from_bytes(&read_bytes(path)?).map_err(|error| match error {
        DetectorError::Format(reason) => DetectorError::Format(format!("{}: {reason}", path.display())),
        other => other,
    })
}

/// The bytes of a file, for [`from_bytes`].
///
/// # Errors
/// If it cannot be read.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, DetectorError> {
    let cannot =
        |error: std::io::Error| DetectorError::Format(format!("cannot read {}: {error}", path.display()));
    let mut bytes = Vec::new();
    // One byte beyond the limit tells that there is more, whatever the file's length was said to be.
    let file = File::open(path).map_err(cannot)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(cannot)?;
    Ok(bytes)
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
