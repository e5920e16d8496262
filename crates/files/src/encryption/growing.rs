//! Files that grow: what is appended at a time is one record.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use rand::TryRng;

use super::error::EncryptionError;
use super::header::{EncryptionHeader, Form, HEADER_BYTES};
use super::key::EncryptionKey;
use super::places::key_of;
use crate::effects::{self, Effect};
use crate::owner_only;

const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// Where a record ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordEnd {
    /// Bytes of the file.
    bytes: u64,
    /// Records so far.
    records: u64,
}

/// Encrypts and decrypts the records of one file.
struct Records {
    cipher: XChaCha20Poly1305,
    associated: Vec<u8>,
}

impl Records {
    fn new(key: &EncryptionKey, header: &EncryptionHeader, path: &Path) -> Self {
        let cipher = XChaCha20Poly1305::new(key.derive("growing", &[]).as_slice().into());
        Self { cipher, associated: header.associated(path) }
    }

    fn associated(&self, number: u64) -> Vec<u8> {
        [self.associated.as_slice(), &number.to_le_bytes()].concat()
    }

    fn seal(&self, number: u64, content: &[u8]) -> io::Result<Vec<u8>> {
        let too_long = |_| io::Error::from(io::ErrorKind::FileTooLarge);
        let length = u32::try_from(content.len() + TAG_BYTES).map_err(too_long)?;
        // A record may be taken back and another one follow in its place: so no nonce is counted.
        let mut nonce = [0; NONCE_BYTES];
        let drawn = rand::rngs::SysRng.try_fill_bytes(&mut nonce);
        drawn.map_err(|error| io::Error::other(error.to_string()))?;
        let payload = Payload { msg: content, aad: &self.associated(number) };
        let sealed = self.cipher.encrypt(nonce.as_slice().into(), payload);
        let sealed = sealed.map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        Ok([length.to_le_bytes().as_slice(), &nonce, &sealed].concat())
    }

    fn open(
        &self,
        number: u64,
        nonce: &[u8; NONCE_BYTES],
        sealed: &[u8],
    ) -> Result<Vec<u8>, EncryptionError> {
        let payload = Payload { msg: sealed, aad: &self.associated(number) };
        self.cipher.decrypt(nonce.as_slice().into(), payload).map_err(|_| EncryptionError::Damaged)
    }
}

/// A file that grows by records.
pub struct GrowingFile {
    path: PathBuf,
    file: BufWriter<File>,
    records: Option<Records>,
    number: u64,
}

impl GrowingFile {
    /// Begins the file, in place of one that is there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = owner_only().write(true).create(true).truncate(true).open(path)?;
        let file = BufWriter::new(file);
        let mut growing = Self { path: path.to_path_buf(), file, records: None, number: 0 };
        if let Some(key) = key_of(path) {
            let header = EncryptionHeader::draw(Form::Growing, &key)?;
            growing.file.write_all(&header.0)?;
            growing.records = Some(Records::new(&key, &header, path));
        }
        Ok(growing)
    }

    /// Goes on with the file behind `end`; what came later is taken back.
    ///
    /// # Errors
    /// If it cannot be opened, or is not encrypted as its place is.
    pub fn resume(path: &Path, end: RecordEnd) -> io::Result<Self> {
        let records = GrowingReader::open(path)?.records;
        let file = owner_only().write(true).open(path)?;
        file.set_len(end.bytes)?;
        let mut file = BufWriter::new(file);
        file.seek(SeekFrom::End(0))?;
        Ok(Self { path: path.to_path_buf(), file, records, number: end.records })
    }

    /// Appends a record. It may be in memory until [`Self::flush`].
    ///
    /// # Errors
    /// If the disk is full or fails.
    pub fn append(&mut self, content: &[u8]) -> io::Result<()> {
        if !effects::before(Effect::Grown, &self.path)? {
            return Ok(());
        }
        match &self.records {
            None => self.file.write_all(content)?,
            Some(records) => self.file.write_all(&records.seal(self.number, content)?)?,
        }
        self.number += 1;
        Ok(())
    }

    /// Hands all records to the operating system: they outlast this process.
    ///
    /// # Errors
    /// If the disk is full or fails.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    /// Forces all records to the disk: they outlast this machine's power.
    ///
    /// # Errors
    /// If the disk is full or fails.
    pub fn sync(&mut self) -> io::Result<()> {
        if !effects::before(Effect::Synced, &self.path)? {
            return Ok(());
        }
        self.file.flush()?;
        self.file.get_ref().sync_data()
    }
}

/// Reads what was appended, in order. A last record whose writer was killed, or lost its power, is none.
pub struct GrowingReader {
    file: BufReader<File>,
    records: Option<Records>,
    /// The record that is being read.
    record: Vec<u8>,
    at: usize,
    end: RecordEnd,
}

impl GrowingReader {
    /// Opens a file.
    ///
    /// # Errors
    /// If it cannot be read, or is not encrypted as its place is.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = BufReader::new(File::open(path)?);
        let key = key_of(path);
        let mut start = Vec::new();
        (&mut file).take(HEADER_BYTES as u64).read_to_end(&mut start)?;
        let end = RecordEnd { bytes: start.len() as u64, records: 0 };
        let mut reader = Self { file, records: None, record: Vec::new(), at: 0, end };
        let half_written = key.is_some() && EncryptionHeader::is_half_written(&start);
        match key {
            // Nothing was appended yet.
            Some(_) if half_written => {}
            key => match EncryptionHeader::of(&start, key.as_deref(), Form::Growing)?.zip(key) {
                Some((header, key)) => reader.records = Some(Records::new(&key, &header, path)),
                None => {
                    reader.file.seek(SeekFrom::Start(0))?;
                    reader.end.bytes = 0;
                }
            },
        }
        Ok(reader)
    }

    /// Where what was read so far ends; `None` in the middle of a record.
    pub fn end(&self) -> Option<RecordEnd> {
        (self.at == self.record.len()).then_some(self.end)
    }

    /// The next record, into `record`; nothing at the end.
    fn advance(&mut self, records: &Records) -> io::Result<()> {
        (self.record, self.at) = (Vec::new(), 0);
        let mut start = Vec::new();
        (&mut self.file).take((4 + NONCE_BYTES) as u64).read_to_end(&mut start)?;
        let Some((length, rest)) = start.split_first_chunk::<4>() else { return Ok(()) };
        let Ok(nonce) = rest.try_into() else { return Ok(()) };
        let length = u32::from_le_bytes(*length);
        // As much as there is: a damaged length allocates nothing that is not in the file.
        let mut sealed = Vec::new();
        (&mut self.file).take(length.into()).read_to_end(&mut sealed)?;
        if sealed.len() as u64 != u64::from(length) {
            return Ok(());
        }
        match records.open(self.end.records, nonce, &sealed) {
            Ok(record) => {
                self.record = record;
                self.end.bytes += (4 + NONCE_BYTES) as u64 + u64::from(length);
                self.end.records += 1;
            }
            Err(_) if ends_in_zeros(nonce, &sealed) && self.only_zeros_are_left()? => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Whether the rest of the file is zeros; it is passed over.
    fn only_zeros_are_left(&mut self) -> io::Result<bool> {
        loop {
            let found = self.file.fill_buf()?;
            if found.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            let count = found.len();
            if count == 0 {
                return Ok(true);
            }
            self.file.consume(count);
        }
    }
}

/// Whether a record ends in as many zeros as its tag has bytes, which no record does that was written as a whole. With nothing but
/// zeros behind it, that is what a loss of power leaves of what was not forced to the disk.
fn ends_in_zeros(nonce: &[u8; NONCE_BYTES], sealed: &[u8]) -> bool {
    nonce.iter().chain(sealed).rev().take(TAG_BYTES).all(|byte| *byte == 0)
}

impl Read for GrowingReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let found = self.fill_buf()?;
        let count = found.len().min(out.len());
        out[..count].copy_from_slice(&found[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for GrowingReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let Some(records) = self.records.take() else {
            // In plain text a record ends wherever one likes.
            return self.file.fill_buf();
        };
        let read = if self.at == self.record.len() { self.advance(&records) } else { Ok(()) };
        self.records = Some(records);
        read?;
        Ok(&self.record[self.at..])
    }

    fn consume(&mut self, count: usize) {
        if self.records.is_some() {
            self.at += count;
        } else {
            self.file.consume(count);
            self.end.bytes += count as u64;
        }
    }
}
