//! What a verdict becomes: bits put back to the order before this holder sorted, and at last a row order.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use hashvfl_core::Digest;
use hashvfl_core::records::order::OrderText;

use crate::error::AlignmentError;
use crate::key;
use crate::protocol::compare::verdict_bytes;
use crate::settings::AlignmentSettings;
use crate::storage::files::{Items, Whole};
use crate::storage::folder::Folder;
use crate::storage::spool::RECORD_BYTES;

/// Puts the bits of `from`, a verdict in this holder's order of a set, into the order in which the set came.
pub fn place(folder: &Folder, set: usize, from: &str) -> Result<(), AlignmentError> {
    let mut places = Items::open(&folder.of("places", set), 4)?;
    let mut verdict = Items::open(&folder.of(from, set), 1)?;
    let mut bits = vec![0_u8; verdict_bytes(places.total) as usize];
    let mut byte = [0];
    for sorted in 0..places.total {
        if sorted % 8 == 0 {
            verdict.next(&mut byte)?;
        }
        let mut place = [0; 4];
        places.next(&mut place)?;
        let place = u32::from_le_bytes(place) as usize;
        if byte[0] >> (sorted % 8) & 1 == 1 {
            bits[place / 8] |= 1 << (place % 8);
        }
    }
    let mut placed = Whole::create(&folder.of("placed", set), bits.len() as u64)?;
    placed.put(&bits)?;
    placed.finish()
}

/// Records that the verdict of the own set `me` holds.
pub fn count(folder: &Folder, me: usize) -> Result<u64, AlignmentError> {
    let mut placed = Items::open(&folder.of("placed", me), 1)?;
    let (mut count, mut byte) = (0, [0]);
    for _ in 0..placed.total {
        placed.next(&mut byte)?;
        count += u64::from(byte[0].count_ones());
    }
    Ok(count)
}

/// Writes the row order: the ids of common records, in the order of their digests.
pub fn write(folder: &Folder, settings: &AlignmentSettings, me: usize) -> Result<(), AlignmentError> {
    let mut records = Items::open(&folder.file("records"), RECORD_BYTES)?;
    let mut placed = Items::open(&folder.of("placed", me), 1)?;
    let mut ids = Ids::open(folder)?;
    let mut out = Whole::plain(&folder.order())?;
    let (mut text, head) = OrderText::begin(fingerprint(folder)?);
    out.put(head.as_bytes())?;
    let mut byte = [0];
    for index in 0..records.total {
        let mut record = [0; RECORD_BYTES];
        records.next(&mut record)?;
        if index % 8 == 0 {
            placed.next(&mut byte)?;
        }
        if byte[0] >> (index % 8) & 1 == 1 {
            let mut offset = [0; 8];
            offset.copy_from_slice(&record[32..]);
            let id = ids.read(u64::from_be_bytes(offset))?;
            let agreed = key::normalise(settings, &id);
            out.put(text.record(&id, agreed.as_ref().unwrap_or(&id)).as_bytes())?;
        }
    }
    out.put(text.end().as_bytes())?;
    out.finish()
}

/// Of the files that the records were read from.
fn fingerprint(folder: &Folder) -> Result<Option<Digest>, AlignmentError> {
    let path = folder.file("fingerprint");
    let text = std::fs::read_to_string(&path).map_err(AlignmentError::io("read", &path))?;
    if text == "-" {
        return Ok(None);
    }
    Digest::from_hex(&text).map(Some).ok_or(AlignmentError::Damaged(path))
}

/// Ids at their places in the file of ids.
struct Ids {
    file: File,
    path: std::path::PathBuf,
}

impl Ids {
    fn open(folder: &Folder) -> Result<Self, AlignmentError> {
        let path = folder.file("ids");
        let file = File::open(&path).map_err(AlignmentError::io("read", &path))?;
        Ok(Self { file, path })
    }

    fn read(&mut self, offset: u64) -> Result<String, AlignmentError> {
        let mut length = [0; 4];
        let mut id = Vec::new();
        let read = self.file.seek(SeekFrom::Start(offset)).and_then(|_| {
            self.file.read_exact(&mut length)?;
            id.resize(u32::from_le_bytes(length) as usize, 0);
            self.file.read_exact(&mut id)
        });
        read.map_err(AlignmentError::io("read", &self.path))?;
        String::from_utf8(id).map_err(|_| AlignmentError::Damaged(self.path.clone()))
    }
}
