//! A file that is written in place, block by block: a database.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use aes::Aes256;
use aes::cipher::KeyInit;
use xts_mode::{Xts128, get_tweak_default};

use super::error::EncryptionError;
use super::header::{EncryptionHeader, Form, HEADER_BYTES};
use super::key::EncryptionKey;
use super::places::key_of;

/// Bytes in front of the first sector.
pub const BLOCKS_HEADER_BYTES: u64 = 4096;
/// Bytes of a sector: the unit that a disk writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;
/// Bytes of a cipher's block.
const BLOCK_BYTES: usize = 16;

/// Encrypts and decrypts the sectors of one file.
///
/// A block of 16 bytes depends on its own bytes and place alone. So a block that is written again as it was stays as it is
/// on disk, and a write that is torn touches no other block: whatever a database does against torn writes goes on to hold.
pub struct BlockCipher(Xts128<Aes256>);

impl fmt::Debug for BlockCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlockCipher")
    }
}

impl BlockCipher {
    fn new(key: &EncryptionKey, header: &EncryptionHeader) -> Self {
        let half = |purpose| {
            let key = key.derive(purpose, header.random());
            Aes256::new(key.as_slice().into())
        };
        Self(Xts128::new(half("blocks"), half("tweaks")))
    }

    /// That of the file at `path`; `None` where it is in plain text and may be.
    ///
    /// # Errors
    /// If it cannot be read, or is not encrypted as its place is.
    pub fn of(path: &Path) -> io::Result<Option<Self>> {
        let key = key_of(path);
        let mut start = Vec::new();
        File::open(path)?.take(HEADER_BYTES as u64).read_to_end(&mut start)?;
        let header = EncryptionHeader::of(&start, key.as_deref(), Form::Blocks)?;
        Ok(header.zip(key).map(|(header, key)| Self::new(&key, &header)))
    }

    /// Begins such a file, which will be at `path` when it is whole; `None` where that has no key.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn begin(path: &Path, file: &mut impl Write) -> io::Result<Option<Self>> {
        let Some(key) = key_of(path) else { return Ok(None) };
        let header = EncryptionHeader::draw(Form::Blocks, &key)?;
        file.write_all(&header.0)?;
        file.write_all(&[0; BLOCKS_HEADER_BYTES as usize - HEADER_BYTES])?;
        Ok(Some(Self::new(&key, &header)))
    }

    pub(super) fn of_header(key: &EncryptionKey, header: &EncryptionHeader) -> Result<Self, EncryptionError> {
        if header.form() == Form::Blocks as u8 {
            Ok(Self::new(key, header))
        } else {
            Err(EncryptionError::Damaged)
        }
    }

    /// Encrypts whole sectors, of which the first has the number `first`.
    pub fn encrypt(&self, first: u64, sectors: &mut [u8]) {
        self.0.encrypt_area(sectors, SECTOR_BYTES, first.into(), get_tweak_default);
    }

    /// Decrypts whole sectors. A block of zeros is one that was never written, and stays zeros.
    pub fn decrypt(&self, first: u64, sectors: &mut [u8]) {
        let unwritten: Vec<bool> =
            sectors.chunks(BLOCK_BYTES).map(|block| block.iter().all(|byte| *byte == 0)).collect();
        self.0.decrypt_area(sectors, SECTOR_BYTES, first.into(), get_tweak_default);
        for (block, unwritten) in sectors.chunks_mut(BLOCK_BYTES).zip(unwritten) {
            if unwritten {
                block.fill(0);
            }
        }
    }
}
