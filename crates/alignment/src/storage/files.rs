//! Files of items of one size, written whole, or chunk by chunk as a journal. The header tells their number. Header and
//! chunks each carry a digest, so that a bit that changes on disk is found.

use std::fs::File;
use std::io::{self, BufWriter, IntoInnerError, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use hashvfl_core::Digest;
use hashvfl_files::{WholeFile, owner_only};

use crate::error::AlignmentError;

/// Most bytes of a chunk's items: with all that is around them they fit one Noise message of 65,535 bytes.
pub const CHUNK_BYTES: usize = 64_000;
/// Bytes of a digest: the first of a SHA-256.
const DIGEST_BYTES: usize = 16;
/// Bytes of the number of items and its digest.
const HEADER_BYTES: usize = 8 + DIGEST_BYTES;
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

/// What a read that failed means: a file that ends too early is not what was written.
pub fn unread(path: &Path) -> impl FnOnce(io::Error) -> AlignmentError {
    let path = path.to_path_buf();
    move |source| match source.kind() {
        io::ErrorKind::UnexpectedEof => AlignmentError::Damaged(path),
        _ => AlignmentError::Io { what: "read", path, source },
    }
}

/// How so many items of this size lie in a file: number, digest; chunk, digest; chunk, digest; ...
#[derive(Debug, Clone, Copy)]
struct Layout {
    total: u64,
    item_bytes: usize,
}

impl Layout {
    fn chunks(self) -> u32 {
        chunks(self.total, self.item_bytes)
    }

    /// Bytes of a chunk's items.
    fn bytes_of(self, index: u32) -> usize {
        items_of(index, self.total, self.item_bytes) as usize * self.item_bytes
    }

    /// Where a chunk begins; behind the last one, where the file ends.
    fn start_of(self, index: u32) -> u64 {
        let items = (u64::from(index) * items_per_chunk(self.item_bytes)).min(self.total);
        HEADER_BYTES as u64 + items * self.item_bytes as u64 + u64::from(index) * DIGEST_BYTES as u64
    }

    fn header(self) -> [u8; HEADER_BYTES] {
        let total = self.total.to_le_bytes();
        let digest = Digest::of_parts([total.as_slice(), &(self.item_bytes as u64).to_le_bytes()]);
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&total);
        header[8..].copy_from_slice(&digest.0[..DIGEST_BYTES]);
        header
    }

    /// The digest behind a chunk's items.
    fn digest(self, index: u32, items: &[u8]) -> [u8; DIGEST_BYTES] {
        let place = [self.total.to_le_bytes(), u64::from(index).to_le_bytes()];
        let digest = Digest::of_parts([place.as_flattened(), items]);
        let mut first = [0; DIGEST_BYTES];
        first.copy_from_slice(&digest.0[..DIGEST_BYTES]);
        first
    }

    /// Reads the header of a file.
    fn read(file: &mut File, path: &Path, item_bytes: usize) -> Result<Self, AlignmentError> {
        let (mut header, mut total) = ([0; HEADER_BYTES], [0; 8]);
        file.read_exact(&mut header).map_err(unread(path))?;
        total.copy_from_slice(&header[..8]);
        let layout = Self { total: u64::from_le_bytes(total), item_bytes };
        if layout.header() == header { Ok(layout) } else { Err(AlignmentError::Damaged(path.to_path_buf())) }
    }

    /// Reads the items of a chunk; `None` where they are not those that its digest was made of.
    fn chunk(self, file: &mut File, path: &Path, index: u32) -> Result<Option<Vec<u8>>, AlignmentError> {
        let (mut items, mut digest) = (vec![0; self.bytes_of(index)], [0; DIGEST_BYTES]);
        let read = file.seek(SeekFrom::Start(self.start_of(index))).and_then(|_| {
            file.read_exact(&mut items)?;
            file.read_exact(&mut digest)
        });
        read.map_err(unread(path))?;
        Ok((self.digest(index, &items) == digest).then_some(items))
    }
}

/// A file that gets its name when it is whole.
pub struct Whole {
    file: BufWriter<WholeFile>,
    path: PathBuf,
}

impl Whole {
    /// Begins a file.
    pub fn create(path: &Path) -> Result<Self, AlignmentError> {
        let file = BufWriter::with_capacity(BUFFER_BYTES, WholeFile::create(path)?);
        Ok(Self { file, path: path.to_path_buf() })
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

/// A file of items that gets its name when all of them are in it.
pub struct WholeItems {
    file: Whole,
    layout: Layout,
    /// The number of the chunk that is being filled, and its items so far.
    index: u32,
    items: Vec<u8>,
}

impl WholeItems {
    /// Begins a file of `total` items.
    pub fn create(path: &Path, item_bytes: usize, total: u64) -> Result<Self, AlignmentError> {
        let layout = Layout { total, item_bytes };
        let mut file = Whole::create(path)?;
        file.put(&layout.header())?;
        Ok(Self { file, layout, index: 0, items: Vec::new() })
    }

    /// Appends items, or parts of them.
    pub fn put(&mut self, mut bytes: &[u8]) -> Result<(), AlignmentError> {
        let room = items_per_chunk(self.layout.item_bytes) as usize * self.layout.item_bytes;
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(room - self.items.len()));
            self.items.extend_from_slice(now);
            if self.items.len() == room {
                self.end_chunk()?;
            }
            bytes = later;
        }
        Ok(())
    }

    fn end_chunk(&mut self) -> Result<(), AlignmentError> {
        self.file.put(&self.items)?;
        self.file.put(&self.layout.digest(self.index, &self.items))?;
        self.items.clear();
        self.index += 1;
        Ok(())
    }

    /// Gives the file its name.
    pub fn finish(mut self) -> Result<(), AlignmentError> {
        if !self.items.is_empty() {
            self.end_chunk()?;
        }
        debug_assert_eq!(self.index, self.layout.chunks());
        self.file.finish()
    }
}

/// A whole file of items, read from front to back or chunk by chunk.
pub struct Items {
    file: File,
    path: PathBuf,
    /// Number of items.
    pub total: u64,
    layout: Layout,
    /// The next chunk from front to back.
    due: u32,
    /// The chunk before it, and how many of its bytes were taken.
    items: Vec<u8>,
    taken: usize,
}

impl Items {
    /// Opens a file of items; compares its header and length.
    pub fn open(path: &Path, item_bytes: usize) -> Result<Self, AlignmentError> {
        let mut file = File::open(path).map_err(AlignmentError::io("read", path))?;
        let length = file.metadata().map_err(AlignmentError::io("read", path))?.len();
        let layout = Layout::read(&mut file, path, item_bytes)?;
        if layout.start_of(layout.chunks()) != length {
            return Err(AlignmentError::Damaged(path.to_path_buf()));
        }
        let (due, items, taken) = (0, Vec::new(), 0);
        Ok(Self { file, path: path.to_path_buf(), total: layout.total, layout, due, items, taken })
    }

    /// Reads all of it, and compares it to its digests.
    pub fn check(&mut self) -> Result<(), AlignmentError> {
        (0..self.layout.chunks()).try_for_each(|index| self.chunk(index).map(drop))
    }

    /// Reads the next item into `item`; to be called `total` times.
    pub fn next(&mut self, item: &mut [u8]) -> Result<(), AlignmentError> {
        if self.taken == self.items.len() {
            self.turn()?;
        }
        let next = self.items.get(self.taken..self.taken + item.len());
        item.copy_from_slice(next.ok_or_else(|| AlignmentError::Damaged(self.path.clone()))?);
        self.taken += item.len();
        Ok(())
    }

    /// Goes on to the next chunk.
    fn turn(&mut self) -> Result<(), AlignmentError> {
        self.items = self.chunk(self.due)?;
        (self.due, self.taken) = (self.due + 1, 0);
        Ok(())
    }

    /// Goes on behind the first `items`.
    pub fn skip(&mut self, items: u64) -> Result<(), AlignmentError> {
        let room = items_per_chunk(self.layout.item_bytes);
        (self.due, self.items, self.taken) = ((items / room) as u32, Vec::new(), 0);
        let within = (items % room) as usize;
        if within > 0 {
            self.turn()?;
            self.taken = within * self.layout.item_bytes;
        }
        Ok(())
    }

    /// The bytes of chunk `index`.
    pub fn chunk(&mut self, index: u32) -> Result<Vec<u8>, AlignmentError> {
        let items = self.layout.chunk(&mut self.file, &self.path, index)?;
        items.ok_or_else(|| AlignmentError::Damaged(self.path.clone()))
    }
}

/// A file of items that grows by chunks and goes on after a crash: what was cut off in the middle of a chunk is
/// dropped, and only that chunk is due again.
pub struct Journal {
    file: File,
    path: PathBuf,
    layout: Layout,
    /// Items in all.
    pub total: u64,
    /// Chunks held.
    pub held: u32,
}

impl Journal {
    /// Goes on with a journal, where there is one, and compares all of it to its digests.
    ///
    /// # Errors
    /// If a chunk has changed. The last one of a journal that is not complete is dropped instead: whoever sent it has it.
    pub fn resume(path: &Path, item_bytes: usize) -> Result<Option<Self>, AlignmentError> {
        let error = || AlignmentError::io("read", path);
        let mut file = match owner_only().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(reason) if reason.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(reason) => return Err(error()(reason)),
        };
        let length = file.metadata().map_err(error())?.len();
        if length <= HEADER_BYTES as u64 {
            return Ok(None);
        }
        let layout = Layout::read(&mut file, path, item_bytes)?;
        let mut held = 0;
        while held < layout.chunks() && layout.start_of(held + 1) <= length {
            if layout.chunk(&mut file, path, held)?.is_none() {
                if layout.start_of(held + 1) < length || held + 1 == layout.chunks() {
                    return Err(AlignmentError::Damaged(path.to_path_buf()));
                }
                break;
            }
            held += 1;
        }
        file.set_len(layout.start_of(held)).map_err(error())?;
        file.seek(SeekFrom::End(0)).map_err(error())?;
        Ok(Some(Self { file, path: path.to_path_buf(), layout, total: layout.total, held }))
    }

    /// Begins a journal of `total` items.
    pub fn create(path: &Path, item_bytes: usize, total: u64) -> Result<Self, AlignmentError> {
        let error = || AlignmentError::io("write", path);
        let layout = Layout { total, item_bytes };
        let mut file =
            owner_only().read(true).write(true).create(true).truncate(true).open(path).map_err(error())?;
        // On disk before the first chunk, which counts for nothing without it.
        file.write_all(&layout.header()).and_then(|()| file.sync_data()).map_err(error())?;
        Ok(Self { file, path: path.to_path_buf(), layout, total, held: 0 })
    }

    /// Appends the next chunk; it is on disk when this returns.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), AlignmentError> {
        debug_assert_eq!(bytes.len(), self.due_bytes());
        let chunk = [bytes, &self.layout.digest(self.held, bytes)].concat();
        let written = self.file.write_all(&chunk).and_then(|()| self.file.sync_data());
        written.map_err(AlignmentError::io("write", &self.path))?;
        self.held += 1;
        Ok(())
    }

    /// Bytes of the next chunk.
    pub fn due_bytes(&self) -> usize {
        self.layout.bytes_of(self.held)
    }

    /// Whether all chunks are there.
    pub fn complete(&self) -> bool {
        self.held == self.layout.chunks()
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
