//! A list of records: a text file of one id a line.

use std::io::Read;
use std::path::Path;

use crate::error::{Place, TableError};
use crate::source::input::open_text;

/// How texts of one number or word can differ, in a few words for a person.
pub const WAYS_OF_WRITING: &str =
    "ids are compared letter by letter: 7, 7.0 and 007 are three, and so are a, A and `a b`";
/// Most digits that an id is filled up to with zeros.
const MOST_DIGITS: usize = 16;

/// What `find` finds for each id of the file at `path`, one id a line, in the file's order; empty lines are passed over.
///
/// # Errors
/// When the file cannot be read, or nothing is found for an id: how many, and on which line the first is.
pub fn read_found<T>(path: &Path, find: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, TableError> {
    let failed = |reason| TableError::Read { path: path.to_path_buf(), reason };
    let mut text = String::new();
    open_text(path)?.read_to_string(&mut text).map_err(failed)?;
    let (mut found, mut unknown, mut otherwise, mut first) = (Vec::new(), 0, 0, None);
    for (line, id) in text.lines().enumerate() {
        if id.trim().is_empty() {
            continue;
        }
        match find(id.trim()) {
            Some(one) => found.push(one),
            None => {
                unknown += 1;
                otherwise += u64::from(written_otherwise(id).iter().any(|id| find(id).is_some()));
                first.get_or_insert(Place { path: path.to_path_buf(), line: line as u64 + 1 });
            }
        }
    }
    match first {
        Some(first) => Err(TableError::UnknownIds { count: unknown, otherwise, first }),
        None => Ok(found),
    }
}

/// The same id as spreadsheets and other programs may have written it.
pub fn written_otherwise(id: &str) -> Vec<String> {
    let id = id.trim().trim_matches('"');
    let mut ways = vec![id.to_owned(), id.to_lowercase(), id.to_uppercase(), id.replace(' ', "")];
    let (whole, fraction) = id.split_once('.').unwrap_or((id, ""));
    let is_whole = !whole.is_empty() && whole.bytes().all(|digit| digit.is_ascii_digit());
    if is_whole && fraction.bytes().all(|digit| digit == b'0') {
        let bare = whole.trim_start_matches('0');
        let bare = if bare.is_empty() { "0" } else { bare };
        ways.extend([format!("{bare}.0"), format!("{whole}.0")]);
        ways.extend((bare.len()..=MOST_DIGITS.max(whole.len())).map(|width| format!("{bare:0>width$}")));
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
        assert!(message.starts_with("6 ids name no record that anything is kept of"), "{message}");
        assert!(message.contains("5 of them are there in another way of writing"), "{message}");
        assert!(!message.contains("nowhere"), "{message}");
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
