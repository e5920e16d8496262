//! Files of places that have a key: what is read is what was written, and nothing else is.

use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashvfl_files::encryption::{
    EncryptionKey, GrowingFile, GrowingReader, RecordEnd, check_place, decrypt, encrypt_blocks,
    encrypt_whole, protect,
};
use hashvfl_files::{read_up_to, read_whole, write_readable, write_whole};
use tempfile::TempDir;

/// A folder, and its key if it has one.
fn place(has_key: bool) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    if has_key {
        give_key(folder.path());
    }
    folder
}

/// Gives a folder a new key.
fn give_key(folder: &Path) {
    let keys = tempfile::tempdir().unwrap();
    let path = keys.path().join("key");
    EncryptionKey::draw(&path).unwrap();
    protect(folder, &Arc::new(EncryptionKey::read(&path).unwrap())).unwrap();
}

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 131 % 251) as u8).collect()
}

/// Whether 16 bytes that follow each other in `content` follow each other in `file` too.
fn shows(file: &[u8], content: &[u8]) -> bool {
    let parts: HashSet<&[u8]> = content.windows(16).collect();
    file.windows(16).any(|part| parts.contains(part))
}

fn reason(path: &Path) -> String {
    read_whole(path).unwrap_err().to_string()
}

#[test]
fn what_is_written_is_read_and_the_disk_does_not_show_it() {
    let folder = place(true);
    for bytes in [0, 1, 15, 65_535, 65_536, 65_537, 131_072, 200_001] {
        let (path, content) = (folder.path().join("codes"), content(bytes));
        write_whole(&path, &content).unwrap();
        let file = fs::read(&path).unwrap();
        assert!(file.len() > content.len() && !shows(&file, &content), "{bytes} bytes");
        assert_eq!(read_whole(&path).unwrap(), content);
        assert!(read_up_to(&path, 10).unwrap().starts_with(&content[..bytes.min(10)]));
        write_whole(&path, &content).unwrap();
        assert_ne!(fs::read(&path).unwrap(), file, "the same content twice does not show");
    }
    let plain = folder.path().join("summary.json");
    write_readable(&plain, b"{}").unwrap();
    assert_eq!(fs::read(&plain).unwrap(), b"{}");
}

#[test]
fn a_changed_bit_a_cut_and_another_name_are_found_out() {
    let folder = place(true);
    let (path, content) = (folder.path().join("top.pending.safetensors"), content(70_000));
    write_whole(&path, &content).unwrap();
    let file = fs::read(&path).unwrap();
    for at in (0..file.len()).step_by(501).chain(0..60).chain(65_560..65_600) {
        let mut changed = file.clone();
        changed[at] ^= 1 << (at % 8);
        fs::write(&path, changed).unwrap();
        assert!(read_whole(&path).is_err(), "bit of byte {at}");
    }
    // Among the cuts is the end of the first chunk.
    for cut in (0..file.len()).step_by(701).chain([36, 36 + 65_552, file.len() - 1]) {
        fs::write(&path, &file[..cut]).unwrap();
        assert!(read_whole(&path).is_err(), "cut at {cut}");
    }
    fs::write(&path, [file.as_slice(), b"x"].concat()).unwrap();
    assert!(read_whole(&path).is_err(), "with a byte more");
    // A file that waited for its name is the same under it, and none under another.
    let (named, other) = (folder.path().join("top.safetensors"), folder.path().join("other.safetensors"));
    fs::write(&named, &file).unwrap();
    fs::write(&other, &file).unwrap();
    assert_eq!(read_whole(&named).unwrap(), content);
    assert!(reason(&other).contains("was renamed after it was written"), "{}", reason(&other));
}

#[test]
fn plain_text_another_key_and_no_key_are_each_said() {
    let (folder, other, none) = (place(true), place(true), place(false));
    let at = |folder: &TempDir| folder.path().join("model");
    write_whole(&at(&folder), b"weights").unwrap();
    fs::copy(at(&folder), at(&other)).unwrap();
    fs::copy(at(&folder), at(&none)).unwrap();
    assert!(reason(&at(&other)).contains("encrypted with a different key"), "{}", reason(&at(&other)));
    assert!(reason(&at(&none)).contains("no key was given"), "{}", reason(&at(&none)));
    check_place(folder.path(), &[]).unwrap();
    for folder in [&other, &none] {
        let error = check_place(folder.path(), &[]).unwrap_err().to_string();
        assert!(error.contains("model: it is encrypted") && !error.contains('\n'), "{error}");
    }
    fs::create_dir(folder.path().join("codes")).unwrap();
    let plain = folder.path().join("codes/plain");
    fs::write(&plain, "0123456789").unwrap();
    assert!(reason(&plain).contains("is not encrypted"), "{}", reason(&plain));
    let error = check_place(folder.path(), &[]).unwrap_err().to_string();
    assert!(error.contains("codes/plain: it is not encrypted"), "{error}");
    check_place(folder.path(), &["plain"]).unwrap();
    check_place(&folder.path().join("none"), &[]).unwrap();
    // In a place without a key nothing has changed.
    write_whole(&at(&none), b"weights").unwrap();
    assert_eq!(fs::read(at(&none)).unwrap(), b"weights");
    assert_eq!(read_whole(&at(&none)).unwrap(), b"weights");
}

/// All that a growing file holds, with the places where records end.
fn grown(path: &Path, records: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<RecordEnd>) {
    let mut reader = GrowingReader::open(path).unwrap();
    let (mut found, mut ends) = (Vec::new(), vec![reader.end().unwrap()]);
    for record in records {
        let mut bytes = Vec::new();
        Read::by_ref(&mut reader).take(record.len() as u64).read_to_end(&mut bytes).unwrap();
        if bytes.len() < record.len() {
            break;
        }
        found.push(bytes);
        ends.push(reader.end().unwrap());
    }
    (found, ends)
}

fn grow(path: &Path, records: &[&[u8]]) {
    let mut file = GrowingFile::create(path).unwrap();
    records.iter().for_each(|record| file.append(record).unwrap());
    file.sync().unwrap();
}

#[test]
fn a_file_grows_and_is_taken_back_with_a_key_or_without() {
    for has_key in [true, false] {
        let folder = place(has_key);
        let path = folder.path().join("transcript.growing");
        let long = content(5_000);
        let records: [&[u8]; 4] = [b"a header line of the file\n", &long, b"c", b"fourth"];
        grow(&path, &records);
        let file = fs::read(&path).unwrap();
        assert_eq!((shows(&file, &long), file == records.concat()), (!has_key, !has_key));
        let (found, ends) = grown(&path, &records);
        assert_eq!(found, records);
        let mut again = GrowingFile::resume(&path, ends[2]).unwrap();
        again.append(b"other").unwrap();
        again.flush().unwrap();
        let now: [&[u8]; 3] = [records[0], &long, b"other"];
        assert_eq!(grown(&path, &now).0, now);
    }
}

#[test]
fn a_record_whose_writer_was_killed_is_none_and_changed_ones_are_found_out() {
    let folder = place(true);
    let path = folder.path().join("answers");
    let records: [&[u8]; 4] = [b"header", b"first ", b"second", b"third "];
    grow(&path, &records);
    let file = fs::read(&path).unwrap();
    let each = (file.len() - 36) / 4;
    for cut in 0..=file.len() {
        fs::write(&path, &file[..cut]).unwrap();
        let whole = cut.saturating_sub(36) / each;
        assert_eq!(grown(&path, &records).0, records[..whole], "cut at {cut}");
    }
    let all = |file: Vec<u8>| {
        fs::write(&path, file).unwrap();
        let mut found = Vec::new();
        GrowingReader::open(&path)?.read_to_end(&mut found).map(|_| found)
    };
    assert_eq!(all(file.clone()).unwrap(), records.concat());
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 4;
        // A changed length may end the file: what is read is what was written, or nothing.
        if let Ok(found) = all(changed) {
            assert!(found.len() < 24 && records.concat().starts_with(&found), "byte {at}");
        }
    }
    let mut swapped = file.clone();
    swapped[36 + each..36 + 3 * each].rotate_left(each);
    assert!(all(swapped).is_err(), "two records in each other's place");
    let twice = [&file[..], &file[36 + each..36 + 2 * each]].concat();
    assert!(all(twice).is_err(), "a record once more");
}

#[test]
fn zeros_that_a_loss_of_power_leaves_are_no_records() {
    let folder = place(true);
    let path = folder.path().join("answers");
    let records: [&[u8]; 4] = [b"header", b"first ", b"second", b"third "];
    grow(&path, &records[..3]);
    let file = fs::read(&path).unwrap();
    let each = (file.len() - 36) / 3;
    for zeros in [1, 27, 28, 29, 44, 4096] {
        fs::write(&path, [&file[..], &vec![0; zeros]].concat()).unwrap();
        let (found, ends) = grown(&path, &records);
        assert_eq!(found, records[..3], "{zeros} zeros");
        let mut again = GrowingFile::resume(&path, ends[3]).unwrap();
        again.append(records[3]).unwrap();
        again.flush().unwrap();
        assert_eq!(grown(&path, &records).0, records, "{zeros} zeros");
    }
    // Where anything follows them, they are damage.
    for zeros in [27, 28, 4096] {
        fs::write(&path, [&file[..], &vec![0; zeros], &file[36..]].concat()).unwrap();
        assert!(GrowingReader::open(&path).unwrap().read_to_end(&mut Vec::new()).is_err(), "{zeros} zeros");
    }
    // Of a part of the last record's tag nobody knows that it was not damaged.
    for kept in (36..file.len()).filter(|kept| (kept - 36) % each <= each - 16) {
        let mut torn = file.clone();
        torn[kept..].fill(0);
        fs::write(&path, &torn).unwrap();
        let whole = (kept - 36) / each;
        assert_eq!(grown(&path, &records).0, records[..whole], "zeros from {kept} on");
    }
}

#[test]
fn files_in_plain_text_get_a_key_and_copies_are_decrypted() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    let (whole, blocks) = (content(100_000), content(3 * 4096));
    fs::write(path("model"), &whole).unwrap();
    fs::write(path("ledger"), &blocks).unwrap();
    assert!(encrypt_whole(&path("model")).unwrap_err().to_string().contains("has no key"));
    give_key(folder.path());
    for first in [true, false] {
        assert_eq!(encrypt_whole(&path("model")).unwrap(), first);
        assert_eq!(encrypt_blocks(&path("ledger")).unwrap(), first);
    }
    for (name, content) in [("model", &whole), ("ledger", &blocks)] {
        assert!(!shows(&fs::read(path(name)).unwrap(), content));
        assert_eq!(&decrypt(&path(name)).unwrap(), content);
    }
    fs::write(path("plain"), "text").unwrap();
    assert!(decrypt(&path("plain")).unwrap_err().to_string().contains("is not encrypted"));
}
