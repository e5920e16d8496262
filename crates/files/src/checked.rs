//! Small files of state that carry the SHA-256 of what they hold, so that a bit that changes on the disk is found.
//!
//! A file of any content ends in a line `sha256 ` with 64 hex digits. An object of JSON, which other programs may read, has a
//! last member `sha256` instead, and is an object of JSON still. Earlier versions wrote neither: what has no digest is read as
//! it is. So whoever parses it must refuse what does not belong there, such as a last line whose first word has changed.

use std::borrow::Cow;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::{WriteError, read_whole, write_whole};

/// Hex digits of a SHA-256.
const DIGITS: usize = 64;
/// Bytes that are read at once to digest a large file.
const READ_BYTES: usize = 1 << 20;
/// What stands before the digits in the last line, and behind them.
const LINE: [&str; 2] = ["\nsha256 ", "\n"];
/// The same in an object of JSON, on one line and on several; with what the object ends in without the digest.
const MEMBERS: [[&str; 3]; 2] = [[",\"sha256\":\"", "\"}", "}"], [",\n  \"sha256\": \"", "\"\n}", "\n}"]];

/// That something is not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is damaged: its SHA-256 is not the one that was written with it")]
pub struct Damaged;

impl From<Damaged> for io::Error {
    fn from(damaged: Damaged) -> Self {
        Self::new(io::ErrorKind::InvalidData, damaged)
    }
}

/// Writes a file of `bytes` as [`write_whole`] does, with their digest.
///
/// # Errors
/// As [`write_whole`].
pub fn write_checked(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let [before, behind] = LINE;
    let line = format!("{before}{}{behind}", digits(bytes));
    write_whole(path, &[bytes, line.as_bytes()].concat())
}

/// What [`write_checked`] has written; all of a file that has no digest.
///
/// # Errors
/// If it cannot be read, or has changed since it was written.
pub fn read_checked(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = read_whole(path)?;
    let [before, behind] = LINE.map(str::as_bytes);
    let Some((content, found)) = digest_at_end(&bytes, before, behind) else { return Ok(bytes) };
    if found != digits(content).as_bytes() {
        return Err(Damaged.into());
    }
    let length = content.len();
    bytes.truncate(length);
    Ok(bytes)
}

/// An object of JSON with its digest as its last member; one without members stays as it is.
pub fn with_digest(json: &str) -> String {
    let [one_line, lines] = MEMBERS;
    let [before, behind, end] = if json.ends_with(lines[2]) { lines } else { one_line };
    match json.strip_suffix(end) {
        Some(members) if !members.ends_with('{') => {
            format!("{members}{before}{}{behind}", digits(json.as_bytes()))
        }
        _ => json.to_string(),
    }
}

/// The object that [`with_digest`] got; one that has no digest as it is.
///
/// # Errors
/// If it has changed.
pub fn without_digest(json: &str) -> Result<Cow<'_, str>, Damaged> {
    for [before, behind, end] in MEMBERS {
        let found = digest_at_end(json.as_bytes(), before.as_bytes(), behind.as_bytes());
        let Some((members, found)) = found else { continue };
        // What stands before the digits is ASCII, so this is where a character ends.
        let content = format!("{}{end}", &json[..members.len()]);
        return if found == digits(content.as_bytes()).as_bytes() {
            Ok(content.into())
        } else {
            Err(Damaged)
        };
    }
    Ok(json.into())
}

/// The SHA-256 of the next `length` bytes of a file that is too large to be read at once.
///
/// # Errors
/// If they cannot be read, or the file ends before.
pub fn sha256_of_next(file: &mut impl Read, length: u64) -> io::Result<[u8; 32]> {
    let mut buffer = vec![0; length.min(READ_BYTES as u64) as usize];
    let (mut hasher, mut left) = (Sha256::new(), length);
    while left > 0 {
        let part = left.min(READ_BYTES as u64) as usize;
        file.read_exact(&mut buffer[..part])?;
        hasher.update(&buffer[..part]);
        left -= part as u64;
    }
    Ok(hasher.finalize().into())
}

/// What stands before the digest at the end of `bytes`, and the digest's digits.
fn digest_at_end<'a>(bytes: &'a [u8], before: &[u8], behind: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let rest = bytes.strip_suffix(behind)?;
    let (rest, found) = rest.split_at_checked(rest.len().checked_sub(DIGITS)?)?;
    let is_digit = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    Some((rest.strip_suffix(before)?, found)).filter(|_| found.iter().all(is_digit))
}

fn digits(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn whatever_bit_of_a_file_changes_no_other_content_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        for content in [b"".as_slice(), b"17", b"\n", &[0, 255, b'\n', 7], &[9; 60]] {
            write_checked(&path, content).unwrap();
            assert_eq!(read_checked(&path).unwrap(), content);
            let whole = fs::read(&path).unwrap();
            for bit in 0..whole.len() * 8 {
                let mut changed = whole.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                fs::write(&path, &changed).unwrap();
                // Who parses a file of an earlier version finds more in it than belongs there.
                let read = read_checked(&path);
                assert!(read.is_err() || read.is_ok_and(|read| read == changed), "bit {bit}");
            }
            let error = {
                let mut changed = whole.clone();
                let last = changed.len() - 2;
                changed[last] = if changed[last] == b'0' { b'1' } else { b'0' };
                fs::write(&path, &changed).unwrap();
                read_checked(&path).unwrap_err().to_string()
            };
            assert!(error.contains("it is damaged"), "{error}");
        }
    }

    #[test]
    fn so_many_bytes_of_a_file_are_digested() {
        let bytes: Vec<u8> = (0..READ_BYTES + 5).map(|at| at as u8).collect();
        for length in [0, 1, READ_BYTES, READ_BYTES + 4] {
            let mut rest = bytes.as_slice();
            let found = sha256_of_next(&mut rest, length as u64).unwrap();
            assert_eq!(found, <[u8; 32]>::from(Sha256::digest(&bytes[..length])), "{length} bytes");
            assert_eq!(rest, &bytes[length..], "what follows was not read");
        }
        let cut = sha256_of_next(&mut bytes.as_slice(), bytes.len() as u64 + 1).unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_file_of_an_earlier_version_is_read_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        for content in ["", "17", "{}", "sha256 12\n"] {
            fs::write(&path, content).unwrap();
            assert_eq!(read_checked(&path).unwrap(), content.as_bytes());
        }
        assert_eq!(read_checked(&folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn an_object_of_json_stays_one_and_no_changed_bit_gives_another() {
        let objects = [
            r#"{"a":1}"#,
            r#"{"a":{"b":[1,"}"]},"c":"ü"}"#,
            "{\n  \"a\": 1,\n  \"c\": {\n    \"d\": 2\n  }\n}",
        ];
        for object in objects {
            let written = with_digest(object);
            assert_eq!(without_digest(&written).unwrap(), object);
            assert_eq!(without_digest(object).unwrap(), object, "of an earlier version");
            assert!(written.starts_with('{') && written.ends_with('}') && written.contains("sha256"));
            assert_eq!(written.lines().count() > 1, object.lines().count() > 1);
            for bit in 0..written.len() * 8 {
                let mut changed = written.clone().into_bytes();
                changed[bit / 8] ^= 1 << (bit % 8);
                let Ok(changed) = String::from_utf8(changed) else { continue };
                // Where the digest's own member has changed, the rest has not.
                if let Ok(read) = without_digest(&changed) {
                    let end = if object.ends_with("\n}") { 2 } else { 1 };
                    assert_eq!(read, changed, "bit {bit} of {object}");
                    assert!(bit / 8 >= object.len() - end, "bit {bit} of {object}");
                }
            }
        }
        assert_eq!(with_digest("{}"), "{}");
    }
}
