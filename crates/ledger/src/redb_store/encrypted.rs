//! A ledger's file that is encrypted: redb's pages go through AES in XTS mode, sector by sector, behind a header.
//!
//! No byte of the file moves, and a block that is written again as it was is the same on disk. So what redb does against
//! torn writes holds as it does in plain text.

use std::io;
use std::ops::Bound;
use std::sync::{Mutex, PoisonError};

use hashvfl_files::encryption::{BLOCKS_HEADER_BYTES, BlockCipher, SECTOR_BYTES};
use redb::{BackendError, StorageBackend};

use super::locks::locks_of;

const SECTOR: u64 = SECTOR_BYTES as u64;

/// An encrypted file, in a file.
#[derive(Debug)]
pub struct Encrypted<B> {
    file: B,
    cipher: BlockCipher,
    /// Who writes a part of a sector reads the rest of it first, and nobody writes in between.
    writing: Mutex<()>,
}

impl<B: StorageBackend> Encrypted<B> {
    /// The content of `file`, whose header is there already.
    pub fn new(file: B, cipher: BlockCipher) -> Self {
        Self { file, cipher, writing: Mutex::new(()) }
    }

    /// The sectors in which the bytes from `offset` lie, decrypted, and where the first of them begins.
    fn sectors(&self, offset: u64, bytes: usize) -> io::Result<(u64, Vec<u8>)> {
        let first = offset / SECTOR;
        let end = offset.checked_add(bytes as u64).ok_or(io::ErrorKind::InvalidInput)?;
        let count = usize::try_from((end.div_ceil(SECTOR) - first) * SECTOR).map_err(io::Error::other)?;
        let mut sectors = vec![0; count];
        self.file.read(BLOCKS_HEADER_BYTES + first * SECTOR, &mut sectors)?;
        self.cipher.decrypt(first, &mut sectors);
        Ok((first * SECTOR, sectors))
    }
}

impl<B: StorageBackend> StorageBackend for Encrypted<B> {
    fn len(&self) -> io::Result<u64> {
        // A process that was killed while it made the file has left a part of the header.
        Ok(self.file.len()?.saturating_sub(BLOCKS_HEADER_BYTES))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset.is_multiple_of(SECTOR) && out.len().is_multiple_of(SECTOR_BYTES) {
            self.file.read(BLOCKS_HEADER_BYTES + offset, out)?;
            self.cipher.decrypt(offset / SECTOR, out);
            return Ok(());
        }
        let (start, sectors) = self.sectors(offset, out.len())?;
        let at = (offset - start) as usize;
        out.copy_from_slice(&sectors[at..at + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if !len.is_multiple_of(SECTOR) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a ledger's length is one of whole sectors",
            ));
        }
        // What is new is zeros on disk, which read as zeros.
        self.file.set_len(BLOCKS_HEADER_BYTES + len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let is_whole = offset.is_multiple_of(SECTOR) && data.len().is_multiple_of(SECTOR_BYTES);
        let (start, mut sectors) =
            if is_whole { (offset, data.to_vec()) } else { self.sectors(offset, data.len())? };
        let at = (offset - start) as usize;
        sectors[at..at + data.len()].copy_from_slice(data);
        self.cipher.encrypt(start / SECTOR, &mut sectors);
        self.file.write(BLOCKS_HEADER_BYTES + start, &sectors)
    }

    locks_of!(file);
}

#[cfg(test)]
#[path = "encrypted_tests.rs"]
mod tests;
