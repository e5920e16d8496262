//! The comparer's work: final tags of all sets, merged.
//!
//! This is the one place that sees all sets under all scalars. From two sets it learns the size of the intersection;
//! from three and more, of every overlap: how many records exactly these holders have. It cannot tell which: sets
//! come sorted by blinded points, in an order that the last holder of each made.

use crate::error::{AlignmentError, PeerFault};
use crate::order::verdict_bytes;
use crate::settings::AlignmentSettings;
use crate::storage::files::{Items, WholeItems};
use crate::storage::folder::AlignmentFolder;

/// Bytes of a final tag: the first of a point's encoding. Among 2^32 records per side, two that differ have the same
/// tag with probability below 2^-62.
pub const TAG_BYTES: usize = 16;

struct Set {
    tags: Items,
    left: u64,
    head: Option<u128>,
    verdict: WholeItems,
    byte: u8,
    bits: u8,
}

impl Set {
    /// Goes on to the next tag; true where tags are in order.
    fn advance(&mut self) -> Result<bool, AlignmentError> {
        let last = self.head.take();
        if self.left > 0 {
            self.left -= 1;
            let mut tag = [0; TAG_BYTES];
            self.tags.next(&mut tag)?;
            self.head = Some(u128::from_be_bytes(tag));
        }
        Ok(self.head.is_none() || last <= self.head)
    }

    fn say(&mut self, common: bool) -> Result<(), AlignmentError> {
        self.byte |= u8::from(common) << self.bits;
        self.bits += 1;
        if self.bits == 8 { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), AlignmentError> {
        self.verdict.put(&[self.byte])?;
        (self.byte, self.bits) = (0, 0);
        Ok(())
    }
}

/// Compares all sets and writes a verdict for each.
pub fn compare(folder: &AlignmentFolder, settings: &AlignmentSettings) -> Result<(), AlignmentError> {
    let mut sets = Vec::with_capacity(settings.holders.len());
    for set in 0..settings.holders.len() {
        let tags = Items::open(&folder.of("tags", set), TAG_BYTES)?;
        let left = tags.total;
        let verdict = WholeItems::create(&folder.of("verdict", set), 1, verdict_bytes(left))?;
        sets.push(Set { tags, left, head: None, verdict, byte: 0, bits: 0 });
    }
    for (place, set) in sets.iter_mut().enumerate() {
        if !set.advance()? {
            return Err(unsorted(settings, place));
        }
    }
    while let Some(least) = sets.iter().filter_map(|set| set.head).min() {
        let common = sets.iter().all(|set| set.head == Some(least));
        for (place, set) in sets.iter_mut().enumerate() {
            if set.head == Some(least) {
                set.say(common)?;
                if !set.advance()? {
                    return Err(unsorted(settings, place));
                }
            }
        }
    }
    for mut set in sets {
        if set.bits > 0 {
            set.flush()?;
        }
        set.verdict.finish()?;
    }
    Ok(())
}

/// The last holder of a set, by place, sent tags out of order.
fn unsorted(settings: &AlignmentSettings, set: usize) -> AlignmentError {
    AlignmentError::Peer { peer: settings.holders[set].clone(), fault: PeerFault::Unsorted }
}
