//! Files that are written and read as a whole.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::stream::{DecryptorBE32, EncryptorBE32};
use chacha20poly1305::aead::{KeyInit, Payload};

use super::error::EncryptionError;
use super::header::{EncryptionHeader, Form, HEADER_BYTES};
use super::key::EncryptionKey;
use super::places::key_of;

/// Bytes that have a tag of their own.
const CHUNK_BYTES: usize = 1 << 16;
const TAG_BYTES: usize = 16;

fn cipher(key: &EncryptionKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.derive("whole", &[]).as_slice().into())
}

/// Encrypts a file on its way to the disk.
pub(crate) struct Sealer {
    stream: EncryptorBE32<XChaCha20Poly1305>,
    associated: Vec<u8>,
    /// What is not written yet: a whole chunk waits until it is known not to be the last one.
    waiting: Vec<u8>,
}

impl Sealer {
    /// Begins the file that will be at `path`; `None` where it has no key.
    pub fn begin(path: &Path, file: &mut impl Write) -> io::Result<Option<Self>> {
        let Some(key) = key_of(path) else { return Ok(None) };
        let header = EncryptionHeader::draw(Form::Whole, &key)?;
        file.write_all(&header.0)?;
        let stream = EncryptorBE32::from_aead(cipher(&key), header.random().into());
        Ok(Some(Self { stream, associated: header.associated(path), waiting: Vec::new() }))
    }

    pub fn write(&mut self, file: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.waiting.len() == CHUNK_BYTES {
                let payload = Payload { msg: &self.waiting, aad: &self.associated };
                let sealed = self.stream.encrypt_next(payload);
                file.write_all(&sealed.map_err(|_| io::ErrorKind::FileTooLarge)?)?;
                self.waiting.clear();
            }
            let (now, later) = rest.split_at(rest.len().min(CHUNK_BYTES - self.waiting.len()));
            self.waiting.extend_from_slice(now);
            rest = later;
        }
        Ok(())
    }

    pub fn finish(self, file: &mut impl Write) -> io::Result<()> {
        let payload = Payload { msg: self.waiting.as_slice(), aad: self.associated.as_slice() };
        let sealed = self.stream.encrypt_last(payload);
        file.write_all(&sealed.map_err(|_| io::ErrorKind::FileTooLarge)?)
    }
}

/// Reads a file, which is encrypted where its place has a key.
///
/// # Errors
/// If it cannot be read, is damaged, or is not encrypted as its place is.
pub fn read_whole(path: &Path) -> io::Result<Vec<u8>> {
    read_up_to(path, u64::MAX)
}

/// The first bytes of the content of a file, `limit` of them at least if there are so many; the rest may be missing.
///
/// # Errors
/// As [`read_whole`].
pub fn read_up_to(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let key = key_of(path);
    read_from(File::open(path)?, path, key.as_deref(), limit)
}

pub(super) fn read_from(
    file: File,
    path: &Path,
    key: Option<&EncryptionKey>,
    limit: u64,
) -> io::Result<Vec<u8>> {
    let Some(key) = key else {
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        EncryptionHeader::of(&bytes, None, Form::Whole)?;
        return Ok(bytes);
    };
    let mut file = BufReader::with_capacity(CHUNK_BYTES, file);
    let mut start = Vec::new();
    (&mut file).take(HEADER_BYTES as u64).read_to_end(&mut start)?;
    let header = EncryptionHeader::of(&start, Some(key), Form::Whole)?.ok_or(EncryptionError::Plain)?;
    let associated = header.associated(path);
    let mut stream = DecryptorBE32::from_aead(cipher(key), header.random().into());
    let mut content = Vec::new();
    loop {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES + TAG_BYTES);
        (&mut file).take((CHUNK_BYTES + TAG_BYTES) as u64).read_to_end(&mut chunk)?;
        let payload = Payload { msg: chunk.as_slice(), aad: associated.as_slice() };
        if file.fill_buf()?.is_empty() {
            content.extend(stream.decrypt_last(payload).map_err(|_| EncryptionError::Damaged)?);
            return Ok(content);
        }
        content.extend(stream.decrypt_next(payload).map_err(|_| EncryptionError::Damaged)?);
        if content.len() as u64 >= limit {
            return Ok(content);
        }
    }
}
