//! Files of items of one size behind their number: written whole, or chunk by chunk as a journal.

use std::fs::File;
use std::io::{BufReader, BufWriter, IntoInnerError, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use hashvfl_files::{WholeFile, owner_only};

use crate::error::AlignmentError;

/// Most bytes of a chunk's items: with all that is around them they fit one Noise message of 65,535 bytes.
pub const CHUNK_BYTES: usize = 64_000;
const HEADER_BYTES: u64 = 8;
const BUFFER_BYTES: usize = 1 << 16;

/// Items of one chunk.
pub fn items_per_chunk(item_bytes: usize) -> u64 {
    (CHUNK_BYTES / item_bytes) as u64
}

/// Chunks of `total` items. At most 2^32 items make at most 2^32 / 64,000 chunks of bytes, or 2,147,484 of points.
pub fn chunks(total: u64, item_bytes: usize) -> u32 {
    u32::try_from(total.div_ceil(items_per_chunk(item_bytes))).unwrap_or(u32::MAX)
}

/// Items of chunk `index` of `total` items.
pub fn items_of(index: u32, total: u64, item_bytes: usize) -> u64 {
    let room = items_per_chunk(item_bytes);
    total.saturating_sub(u64::from(index) * room).min(room)
}

/// A file that gets its name when it is whole.
pub struct Whole {
    file: BufWriter<WholeFile>,
    path: PathBuf,
}

impl Whole {
    /// Begins a file without a header.
    pub fn plain(path: &Path) -> Result<Self, AlignmentError> {
        let file = BufWriter::with_capacity(BUFFER_BYTES, WholeFile::create(path)?);
        Ok(Self { file, path: path.to_path_buf() })
    }

    /// Begins a file of `total` items.
    pub fn create(path: &Path, total: u64) -> Result<Self, AlignmentError> {
        let mut whole = Self::plain(path)?;
        whole.put(&total.to_le_bytes())?;
        Ok(whole)
    }

    /// Appends.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), AlignmentError> {
        self.file.write_all(bytes).map_err(AlignmentError::io("write", &self.path))
    }

    /// Gives the file its name.
    pub fn finish(self) -> Result<(), AlignmentError> {
        let file = self.file.into_inner().map_err(IntoInnerError::into_error);
        Ok(file.map_err(AlignmentError::io("write", &self.path))?.finish()?)
    }
}

/// A whole file of items, read from front to back or chunk by chunk.
pub struct Items {
    file: BufReader<File>,
    path: PathBuf,
    /// Number of items.
    pub total: u64,
    item_bytes: usize,
}

impl Items {
    /// Opens a file of items.
    pub fn open(path: &Path, item_bytes: usize) -> Result<Self, AlignmentError> {
        let file = File::open(path).map_err(AlignmentError::io("read", path))?;
        let length = file.metadata().map_err(AlignmentError::io("read", path))?.len();
        let mut file = BufReader::with_capacity(BUFFER_BYTES, file);
        let mut header = [0; HEADER_BYTES as usize];
        file.read_exact(&mut header).map_err(|_| AlignmentError::Damaged(path.to_path_buf()))?;
        let total = u64::from_le_bytes(header);
        if total.checked_mul(item_bytes as u64) != Some(length - HEADER_BYTES) {
            return Err(AlignmentError::Damaged(path.to_path_buf()));
        }
        Ok(Self { file, path: path.to_path_buf(), total, item_bytes })
    }

    /// Reads the next item into `item`; to be called `total` times.
    pub fn next(&mut self, item: &mut [u8]) -> Result<(), AlignmentError> {
        self.file.read_exact(item).map_err(AlignmentError::io("read", &self.path))
    }

    /// Goes on behind the first `items`.
    pub fn skip(&mut self, items: u64) -> Result<(), AlignmentError> {
        let start = HEADER_BYTES + items * self.item_bytes as u64;
        self.file.seek(SeekFrom::Start(start)).map(drop).map_err(AlignmentError::io("read", &self.path))
    }

    /// The bytes of chunk `index`.
    pub fn chunk(&mut self, index: u32) -> Result<Vec<u8>, AlignmentError> {
        let start = u64::from(index) * items_per_chunk(self.item_bytes) * self.item_bytes as u64;
        let mut bytes = vec![0; items_of(index, self.total, self.item_bytes) as usize * self.item_bytes];
        let read = self.file.seek(SeekFrom::Start(HEADER_BYTES + start));
        read.and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(AlignmentError::io("read", &self.path))?;
        Ok(bytes)
    }
}

/// A file of items that grows by chunks and goes on after a crash: what was cut off in the middle of a chunk is
/// dropped, and that chunk alone is due again.
pub struct Journal {
    file: File,
    path: PathBuf,
    item_bytes: usize,
    /// Items in all.
    pub total: u64,
    /// Chunks held.
    pub held: u32,
}

impl Journal {
    /// Goes on with a journal, where there is one.
    pub fn resume(path: &Path, item_bytes: usize) -> Result<Option<Self>, AlignmentError> {
        let error = || AlignmentError::io("read", path);
        let mut file = match owner_only().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(reason) if reason.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(reason) => return Err(error()(reason)),
        };
        let length = file.metadata().map_err(error())?.len();
        let mut header = [0; HEADER_BYTES as usize];
        if length < HEADER_BYTES {
            return Ok(None);
        }
        file.read_exact(&mut header).map_err(error())?;
        let total = u64::from_le_bytes(header);
        let items = ((length - HEADER_BYTES) / item_bytes as u64).min(total);
        let room = items_per_chunk(item_bytes);
        let held = if items == total { chunks(total, item_bytes) } else { (items / room) as u32 };
        let kept = (u64::from(held) * room).min(total) * item_bytes as u64;
        file.set_len(HEADER_BYTES + kept).map_err(error())?;
        file.seek(SeekFrom::End(0)).map_err(error())?;
        Ok(Some(Self { file, path: path.to_path_buf(), item_bytes, total, held }))
    }

    /// Begins a journal of `total` items.
    pub fn create(path: &Path, item_bytes: usize, total: u64) -> Result<Self, AlignmentError> {
        let error = || AlignmentError::io("write", path);
        let mut file =
            owner_only().read(true).write(true).create(true).truncate(true).open(path).map_err(error())?;
        file.write_all(&total.to_le_bytes()).map_err(error())?;
        Ok(Self { file, path: path.to_path_buf(), item_bytes, total, held: 0 })
    }

    /// Appends the next chunk; it is on disk when this returns.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), AlignmentError> {
        debug_assert_eq!(bytes.len(), self.due_bytes());
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_data());
        written.map_err(AlignmentError::io("write", &self.path))?;
        self.held += 1;
        Ok(())
    }

    /// Bytes of the next chunk.
    pub fn due_bytes(&self) -> usize {
        items_of(self.held, self.total, self.item_bytes) as usize * self.item_bytes
    }

    /// Whether all chunks are there.
    pub fn complete(&self) -> bool {
        self.held == chunks(self.total, self.item_bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    #[test]
    fn a_journal_drops_a_torn_chunk_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        assert!(Journal::resume(&path, 32).unwrap().is_none());
        let mut journal = Journal::create(&path, 32, 4_500).unwrap();
        assert_eq!(journal.due_bytes(), 64_000);
        journal.append(&[1; 64_000]).unwrap();
        journal.append(&[2; 64_000]).unwrap();
        assert_eq!(journal.due_bytes(), 500 * 32);
        for (more, held) in [(0, 2), (1, 2), (500 * 32 - 1, 2)] {
            let mut file = OpenOptions::new().append(true).open(&path).unwrap();
            file.write_all(&vec![9; more]).unwrap();
            let journal = Journal::resume(&path, 32).unwrap().unwrap();
            assert_eq!((journal.held, journal.total, journal.complete()), (held, 4_500, false));
        }
        let mut journal = Journal::resume(&path, 32).unwrap().unwrap();
        journal.append(&[3; 500 * 32]).unwrap();
        assert!(journal.complete() && Journal::resume(&path, 32).unwrap().unwrap().complete());
        let mut items = Items::open(&path, 32).unwrap();
        assert_eq!(items.chunk(2).unwrap(), vec![3; 500 * 32]);
        assert_eq!(items.chunk(0).unwrap()[0], 1);
    }
}
