//! Files of items that are cut off, or in which a bit has changed.

use std::fs::{self, OpenOptions};

use super::*;

const ITEM_BYTES: usize = 32;
/// Two full chunks, and one of 500 items.
const TOTAL: u64 = 4_500;

/// The three chunks of a file, by number.
fn chunk(index: u8) -> Vec<u8> {
    let layout = Layout { total: TOTAL, item_bytes: ITEM_BYTES };
    vec![index + 1; layout.bytes_of(index.into())]
}

/// A journal at `path` of its first `held` chunks.
fn journal(path: &Path, held: u8) {
    let mut journal = Journal::create(path, ITEM_BYTES, TOTAL).unwrap();
    (0..held).for_each(|index| journal.append(&chunk(index)).unwrap());
    assert_eq!(journal.held, u32::from(held));
}

fn flip(path: &Path, byte: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[byte as usize] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// First, middle and last byte of the items and of the digest of a chunk.
fn bytes_of(index: u32) -> Vec<u64> {
    let layout = Layout { total: TOTAL, item_bytes: ITEM_BYTES };
    let (start, next) = (layout.start_of(index), layout.start_of(index + 1));
    let digest = next - DIGEST_BYTES as u64;
    vec![start, (start + digest) / 2, digest - 1, digest, next - 1]
}

#[test]
fn a_journal_drops_a_torn_chunk_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    assert!(Journal::resume(&path, ITEM_BYTES).unwrap().is_none());
    journal(&path, 2);
    let last = 500 * ITEM_BYTES + DIGEST_BYTES;
    for more in [0, 1, last - 1] {
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&vec![9; more]).unwrap();
        let journal = Journal::resume(&path, ITEM_BYTES).unwrap().unwrap();
        assert_eq!((journal.held, journal.total, journal.complete()), (2, TOTAL, false), "{more}");
        assert_eq!(journal.due_bytes(), 500 * ITEM_BYTES);
    }
    let mut journal = Journal::resume(&path, ITEM_BYTES).unwrap().unwrap();
    journal.append(&chunk(2)).unwrap();
    assert!(journal.complete() && Journal::resume(&path, ITEM_BYTES).unwrap().unwrap().complete());
    let mut items = Items::open(&path, ITEM_BYTES).unwrap();
    assert_eq!((items.chunk(2).unwrap(), items.chunk(0).unwrap()), (chunk(2), chunk(0)));
}

#[test]
fn a_changed_bit_of_a_journal_is_found_or_its_last_chunk_is_due_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    for held in 1..=3 {
        for byte in (0..HEADER_BYTES as u64).chain((0..u32::from(held)).flat_map(bytes_of)) {
            journal(&path, held);
            flip(&path, byte);
            // Without its last chunk a complete one could wait in vain for it: the sender may have gone.
            let is_last = held < 3 && bytes_of(u32::from(held) - 1).contains(&byte);
            match Journal::resume(&path, ITEM_BYTES) {
                Err(AlignmentError::Damaged(found)) if !is_last => assert_eq!(found, path),
                Ok(Some(journal)) if is_last => assert_eq!(journal.held, u32::from(held) - 1),
                other => panic!("byte {byte} of {held} chunks: {:?}", other.map(|journal| journal.is_some())),
            }
        }
    }
    // One that was begun and holds nothing yet is begun anew.
    journal(&path, 0);
    flip(&path, 0);
    assert!(Journal::resume(&path, ITEM_BYTES).unwrap().is_none());
}

#[test]
fn whole_files_and_journals_are_the_same_and_a_changed_bit_is_found_wherever_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let [path, grown] = ["items", "journal"].map(|name| folder.path().join(name));
    let mut whole = WholeItems::create(&path, ITEM_BYTES, TOTAL).unwrap();
    (0..3).flat_map(chunk).collect::<Vec<u8>>().chunks(7).for_each(|part| whole.put(part).unwrap());
    whole.finish().unwrap();
    journal(&grown, 3);
    assert_eq!(fs::read(&path).unwrap(), fs::read(&grown).unwrap());

    let read = |skipped: u64| {
        let mut items = Items::open(&path, ITEM_BYTES)?;
        items.skip(skipped)?;
        let mut item = [0; ITEM_BYTES];
        for place in skipped..items.total {
            items.next(&mut item)?;
            assert_eq!(item, [(place / 2_000) as u8 + 1; ITEM_BYTES]);
        }
        Ok::<(), AlignmentError>(())
    };
    for skipped in [0, 1, 1_999, 2_000, 4_001, TOTAL] {
        read(skipped).unwrap();
    }
    for byte in (0..HEADER_BYTES as u64).chain((0..3).flat_map(bytes_of)) {
        flip(&path, byte);
        let checked = Items::open(&path, ITEM_BYTES).and_then(|mut items| items.check());
        for found in [checked, read(0)] {
            assert!(
                matches!(&found, Err(AlignmentError::Damaged(found)) if *found == path),
                "{byte}: {found:?}"
            );
        }
        flip(&path, byte);
    }
    // One that was cut off, or goes on.
    let whole = fs::metadata(&grown).unwrap().len();
    for length in [whole + 1, whole - 1, HEADER_BYTES as u64, 1, 0] {
        OpenOptions::new().write(true).open(&grown).unwrap().set_len(length).unwrap();
        assert!(matches!(Items::open(&grown, ITEM_BYTES), Err(AlignmentError::Damaged(_))), "{length}");
    }
}
