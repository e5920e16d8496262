//! Reads a list of records: a text file with one id per line.

use std::io::Read;
use std::path::Path;

use crate::error::{Counted, Location, TableError};
use crate::source::input::{open_text, remark_on_ends};
use tracing::warn;

/// The most digits to which an id is padded with zeros.
const MOST_DIGITS: usize = 16;
/// Bytes of an id, at most, that is tried in other ways of writing: a client of the coordinator chooses its ids.
const MOST_BYTES: usize = 256;

/// Returns what `find` finds for each id of the file at `path`, which has one id per line, in the file's order. Empty lines are
/// ignored.
///
/// # Errors
/// When the file cannot be read or holds no id, or nothing is found for an id: how many, and on which line the first is.
pub fn read_found<T>(path: &Path, find: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, TableError> {
    let failed = |reason| TableError::Read { path: path.to_path_buf(), reason };
    let mut text = String::new();
    open_text(path)?.read_to_string(&mut text).map_err(failed)?;
    let (mut found, mut unknown, mut otherwise, mut first) = (Vec::new(), 0, 0, None);
    for (line, id) in text.lines().enumerate() {
        // As ids of tables are read: a blank of another alphabet is a part of an id.
        let id = id.trim_ascii();
        if id.is_empty() {
            continue;
        }
        match find(id) {
            Some(one) => found.push(one),
            None => {
                unknown += 1;
                otherwise += u64::from(written_otherwise(id).iter().any(|id| find(id).is_some()));
                first.get_or_insert(Location {
                    path: path.to_path_buf(),
                    counted: Counted::Line,
                    number: line as u64 + 1,
                });
            }
        }
    }
    for remark in remark_on_ends(&[path.to_path_buf()])? {
        warn!("{}: {remark}", path.display());
    }
    match first {
        Some(first) => Err(TableError::UnknownIds { count: unknown, otherwise, first }),
        None if found.is_empty() => Err(TableError::NoIds { path: path.to_path_buf() }),
        None => Ok(found),
    }
}

/// The same id as spreadsheets and other programs may have written it: a few ways, each hardly longer than itself. None of an id
/// of more than 256 bytes.
pub fn written_otherwise(id: &str) -> Vec<String> {
    if id.len() > MOST_BYTES {
        return Vec::new();
    }
    let id = id.trim().trim_matches('"');
    let mut ways = vec![id.to_owned(), id.to_lowercase(), id.to_uppercase(), id.replace(' ', "")];
    let (whole, fraction) = id.split_once('.').unwrap_or((id, ""));
    let is_whole = !whole.is_empty() && whole.bytes().all(|digit| digit.is_ascii_digit());
    if is_whole && fraction.bytes().all(|digit| digit == b'0') {
        let bare = whole.trim_start_matches('0');
        let bare = if bare.is_empty() { "0" } else { bare };
        ways.extend([bare.to_owned(), whole.to_owned(), format!("{bare}.0"), format!("{whole}.0")]);
        ways.extend((bare.len()..=MOST_DIGITS).map(|width| format!("{bare:0>width$}")));
    }
    ways
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rows_come_in_the_order_of_the_list_and_unknown_ids_are_placed_but_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids.txt");
        let find = |id: &str| ["a", "b", "c"].iter().position(|known| *known == id);
        fs::write(&path, "c\n\n a \r\n").unwrap();
        assert_eq!(read_found(&path, find).unwrap(), [2, 0]);
        fs::write(&path, "c\nsecret\nhidden\n").unwrap();
        let error = read_found(&path, find).unwrap_err().to_string();
        assert!(error.contains("2 ids") && error.contains("line 2"), "{error}");
        assert!(!error.contains("secret"), "{error}");
        assert!(read_found(Path::new("nowhere.txt"), find).is_err());
    }

    #[test]
    fn a_list_of_no_ids_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids.txt");
        for text in ["", "\n \t\r\n", "\u{feff}", "\u{feff}\n\n"] {
            fs::write(&path, text).unwrap();
            let message = read_found(&path, |_| Some(0)).unwrap_err().to_string();
            assert!(
                message.contains("ids.txt holds no ids") && message.contains("nothing was done"),
                "{message}"
            );
        }
    }

    #[test]
    fn blanks_are_those_of_tables() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids.txt");
        let find = |id: &str| ["k", "\u{a0}k"].iter().position(|known| *known == id);
        fs::write(&path, " k\t\n\u{a0}k\n").unwrap();
        assert_eq!(read_found(&path, find).unwrap(), [0, 1]);
    }

    #[test]
    fn marks_of_encodings_are_no_part_of_an_id() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids.txt");
        let find = |id: &str| (id == "a").then_some(0);
        fs::write(&path, "\u{feff}a\n").unwrap();
        assert_eq!(read_found(&path, find).unwrap(), [0]);
        let utf_16: Vec<u8> = "\u{feff}a\r\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
        fs::write(&path, utf_16).unwrap();
        assert!(read_found(&path, find).unwrap_err().to_string().contains("UTF-16"));
    }

    #[test]
    fn an_unknown_id_that_is_there_in_another_way_of_writing_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids.txt");
        let find = |id: &str| ["7", "008", "9.0", "K1", "a b"].iter().position(|known| *known == id);
        fs::write(&path, "7.0\n8\n09\nk1\n\"7\"\nnowhere\n").unwrap();
        let message = read_found(&path, find).unwrap_err().to_string();
        assert!(message.starts_with("6 ids not among the known records"), "{message}");
        assert!(message.contains("5 of them match in another spelling"), "{message}");
        assert!(!message.contains("nowhere"), "{message}");
    }

    #[test]
    fn a_long_id_has_few_other_ways_of_writing() {
        for id in ["0".repeat(1_000_000), "9".repeat(70_000), "x".repeat(MOST_BYTES + 1)] {
            assert!(written_otherwise(&id).is_empty(), "{} bytes", id.len());
        }
        for id in ["0".repeat(MOST_BYTES), format!("{}7", "0".repeat(199)), "9".repeat(100), "7".to_owned()] {
            let ways = written_otherwise(&id);
            assert!(ways.len() <= 8 + MOST_DIGITS, "{} ways", ways.len());
            assert!(ways.iter().all(|way| way.len() <= MOST_DIGITS.max(id.len() + 2)), "{} bytes", id.len());
        }
        assert!(written_otherwise(&format!("{}7", "0".repeat(199))).contains(&"7".to_owned()));
    }

    proptest! {
        /// Every id of a list is found once, in its order.
        #[test]
        fn listed_ids_are_found(ids in prop::collection::hash_set("[a-z0-9]{1,4}", 1..20)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("ids.txt");
            let ids: Vec<String> = ids.into_iter().collect();
            fs::write(&path, ids.join("\r\n")).unwrap();
            let find = |id: &str| ids.iter().position(|known| known == id);
            prop_assert_eq!(read_found(&path, find).unwrap(), (0..ids.len()).collect::<Vec<_>>());
        }
    }
}
