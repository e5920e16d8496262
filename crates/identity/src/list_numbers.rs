//! The highest numbers of revocation lists so far, in a file beside the list: so an old copy of the list is not taken after a
//! restart either.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use hashvfl_files::write_readable;
use sha2::{Digest, Sha256};
use tracing::warn;

use crate::files::LoadError;
use crate::hex::{bytes_of_hex, hex};
use crate::revocations::{ListFacts, number_text};

/// Bytes of the file that are looked at, and hex digits of a number, at most.
const MAX_BYTES: u64 = 1 << 20;
const MAX_DIGITS: usize = 128;

/// By issuer, as SHA-256 of its name in hex: a number in hex, two digits a byte, without leading zero bytes.
type Numbers = BTreeMap<String, String>;

/// The highest number of each issuer's list.
#[derive(Debug)]
pub(crate) struct ListNumbers {
    list: PathBuf,
    highest: Numbers,
    /// What the file holds, as far as this process knows.
    written: Numbers,
}

impl ListNumbers {
    /// Those that the file beside `list` holds; none where there is no such file, or no list.
    ///
    /// # Errors
    /// If the file cannot be read, or holds something else.
    pub fn read(list: Option<&Path>) -> Result<Self, LoadError> {
        let list = list.unwrap_or(Path::new("")).to_path_buf();
        let written = if list.as_os_str().is_empty() { Numbers::new() } else { read(&place(&list))? };
        Ok(Self { list, highest: written.clone(), written })
    }

    /// Takes the numbers of `lists`, which are those that count from now on.
    ///
    /// # Errors
    /// If one is lower than that of its issuer before: none is taken then.
    pub fn take(&mut self, lists: &[ListFacts]) -> Result<(), LoadError> {
        let mut now = Numbers::new();
        for list in lists {
            let (issuer, number) = (hex(Sha256::digest(&list.issuer).as_slice()), hex(&list.number));
            if let Some(before) = self.highest.get(&issuer).filter(|before| is_lower(&number, before)) {
                return Err(LoadError::OlderList {
                    list: self.list.clone(),
                    number: number_text(&list.number),
                    before: number_text(&bytes_of_hex(before).unwrap_or_default()),
                    kept: place(&self.list),
                });
            }
            now.insert(issuer, number);
        }
        raise(&mut self.highest, now);
        Ok(())
    }

    /// Writes them, unless the file holds them. Where that fails, the log says so, and lists are taken all the same.
    pub fn keep(&mut self) {
        if self.highest == self.written {
            return;
        }
        let path = place(&self.list);
        // Another process with the same list may have seen a newer one.
        if let Ok(others) = read(&path) {
            raise(&mut self.highest, others);
        }
        let json = serde_json::to_vec_pretty(&self.highest).unwrap_or_default();
        if let Err(error) = write_readable(&path, &json) {
            warn!(
                "{error}: after a restart, an older copy of {} would be taken. Put the list into a folder that this process may write to",
                self.list.display()
            );
        }
        // Said once for each list.
        self.written.clone_from(&self.highest);
    }
}

/// The file beside `list`: `revoked.seen.json` for `revoked.pem`.
fn place(list: &Path) -> PathBuf {
    list.with_extension("seen.json")
}

fn read(path: &Path) -> Result<Numbers, LoadError> {
    let wrong = |reason: String| LoadError::Numbers { path: path.to_path_buf(), reason };
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Numbers::new()),
        Ok(metadata) if metadata.len() > MAX_BYTES => {
            return Err(wrong("it has more than 1 MiB".to_string()));
        }
        Ok(_) => {}
        Err(error) => return Err(wrong(error.to_string())),
    }
    let bytes = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let numbers: Numbers = serde_json::from_slice(&bytes).map_err(|_| wrong("it is damaged".to_string()))?;
    match numbers.values().all(|number| is_number(number)) {
        true => Ok(numbers),
        false => Err(wrong("it is damaged".to_string())),
    }
}

/// Of each issuer the higher number.
fn raise(highest: &mut Numbers, others: Numbers) {
    for (issuer, number) in others {
        match highest.get_mut(&issuer) {
            Some(before) if is_lower(&number, before) => {}
            Some(before) => *before = number,
            None => drop(highest.insert(issuer, number)),
        }
    }
}

fn is_number(text: &str) -> bool {
    let is_digit = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    (2..=MAX_DIGITS).contains(&text.len()) && text.len().is_multiple_of(2) && text.bytes().all(is_digit)
}

/// Compares two numbers in hex.
fn is_lower(number: &str, than: &str) -> bool {
    (number.len(), number) < (than.len(), than)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(issuer: u8, number: &[u8]) -> ListFacts {
        ListFacts { issuer: vec![issuer], number: number.to_vec(), from_s: 0, until_s: 1 }
    }

    #[test]
    fn numbers_rise_by_issuer_and_outlive_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revoked.pem");
        let open = || ListNumbers::read(Some(&path)).unwrap();
        let mut numbers = open();
        numbers.take(&[list(1, &[9]), list(2, &[1, 0])]).unwrap();
        assert!(!place(&path).exists(), "nobody has asked to keep them");
        numbers.keep();
        // 10 is lower than 256, and of another issuer than 9.
        let mut numbers = open();
        let error = numbers.take(&[list(1, &[10]), list(2, &[10])]).unwrap_err().to_string();
        assert!(error.contains("has the number 10, and one with 256 was seen"), "{error}");
        numbers.take(&[list(1, &[9])]).unwrap();
        numbers.take(&[list(1, &[11])]).unwrap();
        // Another process has gone on meanwhile.
        let mut other = open();
        other.take(&[list(2, &[2, 0])]).unwrap();
        other.keep();
        numbers.keep();
        let mut numbers = open();
        assert!(numbers.take(&[list(1, &[10])]).is_err() && numbers.take(&[list(2, &[1, 255])]).is_err());
        numbers.take(&[list(1, &[11]), list(2, &[2, 0])]).unwrap();
    }

    #[test]
    fn a_damaged_file_is_said_and_none_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revoked.pem");
        ListNumbers::read(Some(&path)).unwrap();
        ListNumbers::read(None).unwrap();
        for damaged in ["", "[", "{\"a\":\"\"}", "{\"a\":\"xy\"}", "{\"a\":7}", "{\"a\":\"123\"}"] {
            fs::write(place(&path), damaged).unwrap();
            let error = ListNumbers::read(Some(&path)).unwrap_err().to_string();
            assert!(
                error.contains("revoked.seen.json") && error.contains("is damaged"),
                "{damaged}: {error}"
            );
        }
    }
}
