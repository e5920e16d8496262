//! Files in plain text that get a key, and copies in plain text of those that have one.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

use super::blocks::{BLOCKS_HEADER_BYTES, BlockCipher, SECTOR_BYTES};
use super::error::EncryptionError;
use super::header::{EncryptionHeader, Form, HEADER_BYTES};
use super::places::key_of;
use super::whole::read_from;
use crate::{WholeFile, write_whole};

/// Bytes that are converted at once.
const STEP_BYTES: usize = 1 << 20;

/// Encrypts the file at `path`, which is written as a whole, in place; false where it is encrypted already.
///
/// # Errors
/// If it cannot be read or written: it is as it was then. If its place has no key, or it is encrypted with another one.
pub fn encrypt_whole(path: &Path) -> io::Result<bool> {
    if is_encrypted(path)? {
        return Ok(false);
    }
    write_whole(path, &std::fs::read(path)?).map_err(|error| error.reason)?;
    Ok(true)
}

/// The same of a file that is written in place, and that nobody has open.
///
/// # Errors
/// As [`encrypt_whole`], and if another process has it open.
pub fn encrypt_blocks(path: &Path) -> io::Result<bool> {
    if is_encrypted(path)? {
        return Ok(false);
    }
    let mut plain = File::options().read(true).write(true).open(path)?;
    match plain.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(io::Error::other("another process has it open")),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let mut file = WholeFile::create_readable(path).map_err(|error| error.reason)?;
    let cipher = BlockCipher::begin(path, &mut file)?.ok_or(EncryptionError::NoKey)?;
    let (mut sectors, mut first) = (vec![0; STEP_BYTES], 0);
    loop {
        let count = fill(&mut plain, &mut sectors)?;
        if count == 0 {
            break;
        }
        if !count.is_multiple_of(SECTOR_BYTES) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is damaged or no ledger"));
        }
        cipher.encrypt(first, &mut sectors[..count]);
        file.write_all(&sectors[..count])?;
        first += (count / SECTOR_BYTES) as u64;
    }
    file.finish().map_err(|error| error.reason)?;
    Ok(true)
}

/// The content of an encrypted file, whatever its form; not of one that grows yet.
///
/// # Errors
/// If it cannot be read, is damaged, or is not encrypted with the key of its place.
pub fn decrypt(path: &Path) -> io::Result<Vec<u8>> {
    let key = key_of(path).ok_or(EncryptionError::NoKey)?;
    let mut file = File::open(path)?;
    let mut start = Vec::new();
    (&mut file).take(HEADER_BYTES as u64).read_to_end(&mut start)?;
    let header = EncryptionHeader::find(&start, Some(&key))?.ok_or(EncryptionError::Plain)?;
    if header.form() == Form::Whole as u8 {
        return read_from(File::open(path)?, path, Some(&key), u64::MAX);
    }
    let cipher = BlockCipher::of_header(&key, &header)?;
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    content.drain(..(BLOCKS_HEADER_BYTES as usize - HEADER_BYTES).min(content.len()));
    let whole = content.len() / SECTOR_BYTES * SECTOR_BYTES;
    content.truncate(whole);
    cipher.decrypt(0, &mut content);
    Ok(content)
}

fn is_encrypted(path: &Path) -> io::Result<bool> {
    let key = key_of(path).ok_or_else(|| io::Error::other("[encryption] has no key for it"))?;
    let mut start = Vec::new();
    File::open(path)?.take(HEADER_BYTES as u64).read_to_end(&mut start)?;
    match EncryptionHeader::find(&start, Some(&key)) {
        Ok(_) => Ok(true),
        Err(EncryptionError::Plain) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Fills `bytes` as far as the file goes; how far.
fn fill(file: &mut File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < bytes.len() {
        match file.read(&mut bytes[count..])? {
            0 => break,
            read => count += read,
        }
    }
    Ok(count)
}
