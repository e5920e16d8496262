//! A table on the party's own disk, for more rows than memory holds.
//!
//! The source is read once, in a stream, into a columnar file ([`file`]): groups of rows, column by column, as they were
//! read. An encoding is fitted on that column by column. Then all records of the agreed order are encoded, group by group,
//! into a file of rows ([`rows`]), since a batch's records are drawn at random and a record's numbers should lie together.
//! In memory are the ids, a number of 4 bytes a record, and a group or a column.

pub(crate) mod file;
pub(crate) mod rows;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Reads all of `bytes` at `offset`.
#[cfg(unix)]
pub(crate) fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

/// Reads all of `bytes` at `offset`; for one thread at a time.
#[cfg(not(unix))]
pub(crate) fn read_at(mut file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    use std::io::{Read, Seek, SeekFrom};
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(bytes)
}

/// The file of the same name with `ending` behind it.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

pub(crate) fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}
