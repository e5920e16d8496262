//! The text of an order file, whoever writes it: CSV without a header. The first record is the mark, the second the
//! fingerprint of the files that held the records, or `-`; each other one is the id in the holder's table and, where that
//! is written otherwise, the agreed id. The last is the SHA-256 of all bytes before it.

use sha2::{Digest as _, Sha256};

use crate::digest::Digest;

/// What the first line says.
pub const MARK: &str = "hashvfl-order-2";
/// The mark of order files without a digest. A single flipped bit cannot turn one mark into the other.
pub const MARK_WITHOUT_DIGEST: &str = "hashvfl-order-1";

/// Hex digits of the digest, and the end of its line.
const END_BYTES: usize = 64 + 1;

/// Gives an order file line by line, so that nobody need hold all of it.
#[derive(Debug)]
pub struct OrderText {
    hasher: Sha256,
}

impl OrderText {
    /// The first lines of an order that was agreed on with files of this fingerprint.
    pub fn begin(fingerprint: Option<Digest>) -> (Self, String) {
        let fingerprint = fingerprint.map_or("-".to_owned(), |digest| digest.to_string());
        let lines = format!("{MARK}\n{fingerprint}\n");
        (Self { hasher: Sha256::new_with_prefix(&lines) }, lines)
    }

    /// The line of a record that is `own` in the holder's table and `agreed` at all holders.
    pub fn record(&mut self, own: &str, agreed: &str) -> String {
        let mut line = quoted(own);
        if own != agreed {
            line.push(',');
            line += &quoted(agreed);
        }
        line.push('\n');
        self.hasher.update(&line);
        line
    }

    /// The last line.
    pub fn end(self) -> String {
        format!("{}\n", Digest(self.hasher.finalize().into()))
    }
}

/// A cell of CSV.
fn quoted(text: &str) -> String {
    if text.is_empty() || text.contains(['"', ',', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

/// The lines before the digest, if it is theirs.
pub fn verified(file: &[u8]) -> Option<&[u8]> {
    let (lines, end) = file.split_at_checked(file.len().checked_sub(END_BYTES)?)?;
    (end == format!("{}\n", Digest::of(lines)).as_bytes()).then_some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> String {
        let (mut text, mut file) = OrderText::begin(None);
        file += &text.record("k1", "k1");
        file += &text.record("a,b \"c\"", "");
        file + &text.end()
    }

    #[test]
    fn a_file_is_csv_behind_whose_lines_their_digest_stands() {
        let file = file();
        let lines = "hashvfl-order-2\n-\nk1\n\"a,b \"\"c\"\"\",\"\"\n";
        assert_eq!(file, format!("{lines}{}\n", Digest::of(lines.as_bytes())));
        assert_eq!(verified(file.as_bytes()), Some(lines.as_bytes()));
        let (_, begun) = OrderText::begin(Some(Digest([0xab; 32])));
        assert_eq!(begun, format!("hashvfl-order-2\n{}\n", "ab".repeat(32)));
    }

    #[test]
    fn a_file_that_is_cut_off_or_goes_on_is_refused() {
        let file = file();
        for length in 0..file.len() {
            assert_eq!(verified(&file.as_bytes()[..length]), None, "{length} bytes");
        }
        assert_eq!(verified(format!("{file}k2\n").as_bytes()), None);
        assert_eq!(verified(format!("{file}\n").as_bytes()), None);
    }
}
