//! What a verdict becomes: bits put back to the order before this holder sorted, and at last a row order.

use hashvfl_core::records::order::OrderText;

use crate::error::AlignmentError;
use crate::key;
use crate::settings::AlignmentSettings;
use crate::storage::files::{Items, Whole, WholeItems};
use crate::storage::folder::AlignmentFolder;
use crate::storage::ids::Ids;
use crate::storage::spool::RECORD_BYTES;

/// Bytes of an item of `places`: where a point lay before this holder sorted the set.
pub const PLACE_BYTES: usize = 4;

/// Bytes of a verdict over so many points.
pub fn verdict_bytes(points: u64) -> u64 {
    points.div_ceil(8)
}

/// Puts the bits of `from`, a verdict in this holder's order of a set, into the order in which the set came.
pub fn place(folder: &AlignmentFolder, set: usize, from: &str) -> Result<(), AlignmentError> {
    let path = folder.of("places", set);
    let mut places = Items::open(&path, PLACE_BYTES)?;
    let mut verdict = Items::open(&folder.of(from, set), 1)?;
    let mut bits = vec![0_u8; verdict_bytes(places.total) as usize];
    let mut byte = [0];
    for sorted in 0..places.total {
        if sorted % 8 == 0 {
            verdict.next(&mut byte)?;
        }
        let mut place = [0; PLACE_BYTES];
        places.next(&mut place)?;
        let place = u32::from_le_bytes(place) as usize;
        if byte[0] >> (sorted % 8) & 1 == 1 {
            let bits = bits.get_mut(place / 8).ok_or_else(|| AlignmentError::Damaged(path.clone()))?;
            *bits |= 1 << (place % 8);
        }
    }
    let mut placed = WholeItems::create(&folder.of("placed", set), 1, bits.len() as u64)?;
    placed.put(&bits)?;
    placed.finish()
}

/// Records that the verdict of the own set `me` holds.
pub fn count(folder: &AlignmentFolder, me: usize) -> Result<u64, AlignmentError> {
    let mut placed = Items::open(&folder.of("placed", me), 1)?;
    let (mut count, mut byte) = (0, [0]);
    for _ in 0..placed.total {
        placed.next(&mut byte)?;
        count += u64::from(byte[0].count_ones());
    }
    Ok(count)
}

/// Writes the row order: the ids of common records, in the order of their digests.
pub fn write(
    folder: &AlignmentFolder,
    settings: &AlignmentSettings,
    me: usize,
) -> Result<(), AlignmentError> {
    let mut records = Items::open(&folder.file("records"), RECORD_BYTES)?;
    let mut placed = Items::open(&folder.of("placed", me), 1)?;
    let mut ids = Ids::open(&folder.file("ids"))?;
    let mut out = Whole::create(&folder.order())?;
    let (mut text, head) = OrderText::begin(folder.fingerprint()?);
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
