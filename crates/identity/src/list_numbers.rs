//! The highest numbers of revocation lists so far, in a file beside the list: so an old copy of the list is not taken after a
//! restart either.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hashvfl_core::hex::{bytes_of_hex, hex};
use hashvfl_files::{with_digest, without_digest, write_readable};
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use crate::files::LoadError;
use crate::revocations::{ListFacts, number_text};

/// Bytes of the file that are looked at, and hex digits of a number, at most.
const MAX_BYTES: u64 = 1 << 20;
const MAX_DIGITS: usize = 128;

/// How long after a failure the file is written again.
const RETRY: Duration = Duration::from_secs(10);

/// By issuer, as SHA-256 of its name in hex: a number in hex, two digits a byte, without leading zero bytes.
type Numbers = BTreeMap<String, String>;

/// The highest number of each issuer's list.
#[derive(Debug)]
pub(crate) struct ListNumbers {
    list: PathBuf,
    highest: Numbers,
    /// What the file holds, as far as this process knows.
    written: Numbers,
    /// Whether this process keeps them in the file.
    is_kept: bool,
    failed: Option<Failed>,
}

/// Numbers that could not be written.
#[derive(Debug)]
struct Failed {
    numbers: Numbers,
    at: Instant,
}

impl ListNumbers {
    /// Those that the file beside `list` holds; none where there is no such file, or no list.
    ///
    /// # Errors
    /// If the file cannot be read, or holds something else.
    pub fn read(list: Option<&Path>) -> Result<Self, LoadError> {
        let list = list.unwrap_or(Path::new("")).to_path_buf();
        let written = if list.as_os_str().is_empty() { Numbers::new() } else { read(&place(&list))? };
        Ok(Self { list, highest: written.clone(), written, is_kept: false, failed: None })
    }

    /// Takes the numbers of `lists`, which are those that count from now on. That of a list of which nobody knows who has signed
    /// it is compared alone: a forged number would keep the true list out.
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
            if list.is_signed {
                now.insert(issuer, number);
            }
        }
        raise(&mut self.highest, now);
        Ok(())
    }

    /// Writes them, now and from now on ([`Self::write_where_due`]).
    pub fn keep(&mut self) {
        self.is_kept = true;
        self.write_where_due(Instant::now());
    }

    /// Writes them if this process keeps them, unless the file holds them. Where that fails, the log says so, lists are taken
    /// all the same, and it is tried again after a while.
    pub fn write_where_due(&mut self, now: Instant) {
        if !self.is_kept || self.highest == self.written {
            return;
        }
        // Said once for each list.
        let is_said = self.failed.as_ref().is_some_and(|failed| failed.numbers == self.highest);
        if is_said && self.failed.as_ref().is_some_and(|failed| now < failed.at + RETRY) {
            return;
        }
        let path = place(&self.list);
        // Another process with the same list may have seen a newer one.
        if let Ok(others) = read(&path) {
            raise(&mut self.highest, others);
        }
        let json = serde_json::to_string_pretty(&self.highest).unwrap_or_default();
        match write_readable(&path, with_digest(&json).as_bytes()) {
            Ok(()) => {
                self.written.clone_from(&self.highest);
                if self.failed.take().is_some() {
                    info!("{} holds the highest number of the revocation list now", path.display());
                }
            }
            Err(error) => {
                if !is_said {
                    warn!(
                        "{error}: after a restart, an older copy of {} would be taken. Put the list into a folder that this process may \
                         write to",
                        self.list.display()
                    );
                }
                self.failed = Some(Failed { numbers: self.highest.clone(), at: now });
            }
        }
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
    parse(&bytes).ok_or_else(|| wrong("it is damaged".to_string()))
}

/// The numbers in a file; `None` where they are not as they were written.
fn parse(bytes: &[u8]) -> Option<Numbers> {
    let json = without_digest(str::from_utf8(bytes).ok()?).ok()?;
    let numbers: Numbers = serde_json::from_str(&json).ok()?;
    numbers.iter().all(|(issuer, number)| is_number(issuer) && is_number(number)).then_some(numbers)
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
        ListFacts { issuer: vec![issuer], is_signed: true, number: number.to_vec(), from_s: 0, until_s: 1 }
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
    fn numbers_that_could_not_be_written_are_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revoked.pem");
        let mut numbers = ListNumbers::read(Some(&path)).unwrap();
        numbers.take(&[list(1, &[9])]).unwrap();
        let file = place(&path);
        fs::create_dir(&file).unwrap();
        numbers.keep();
        fs::remove_dir(&file).unwrap();
        let now = Instant::now();
        numbers.write_where_due(now);
        assert!(!file.exists(), "not at once");
        numbers.write_where_due(now + RETRY);
        let mut numbers = ListNumbers::read(Some(&path)).unwrap();
        assert!(numbers.take(&[list(1, &[8])]).is_err());
        // Whoever does not keep them writes nothing.
        fs::remove_file(&file).unwrap();
        numbers.take(&[list(1, &[10])]).unwrap();
        numbers.write_where_due(now + RETRY);
        assert!(!file.exists());
    }

    #[test]
    fn a_number_that_anybody_may_have_written_raises_nothing() {
        let mut numbers = ListNumbers::read(None).unwrap();
        numbers.take(&[list(1, &[9])]).unwrap();
        let by_anybody = |number: &[u8]| [ListFacts { is_signed: false, ..list(1, number) }];
        numbers.take(&by_anybody(&[255; 20])).unwrap();
        numbers.take(&[list(1, &[10])]).unwrap();
        assert!(numbers.take(&by_anybody(&[9])).is_err(), "an old one is one all the same");
    }

    #[test]
    fn whatever_bit_changes_no_other_number_is_taken_and_a_file_of_before_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revoked.pem");
        let mut numbers = ListNumbers::read(Some(&path)).unwrap();
        numbers.take(&[list(1, &[9]), list(2, &[1, 0])]).unwrap();
        numbers.keep();
        let whole = fs::read(place(&path)).unwrap();
        assert_eq!(parse(&whole).unwrap(), numbers.highest);
        for bit in 0..whole.len() * 8 {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&changed), None, "bit {bit}");
        }
        let before = serde_json::to_vec_pretty(&numbers.highest).unwrap();
        assert_eq!(parse(&before).unwrap(), numbers.highest);
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
