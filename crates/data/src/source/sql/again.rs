//! A second header among the records of a query's CSV table, as a file has it that was put together of several: the engine
//! would read it as a record.

use crate::source::input::UTF_8_MARK;

/// Looks for lines that are the first one again, be it with a byte-order mark, in text that passes in pieces.
#[derive(Default)]
pub(super) struct HeaderAgain {
    header: Vec<u8>,
    past_header: bool,
    line: u64,
    /// Bytes of this line's mark, and then of the header, that came so far.
    marked: usize,
    alike: usize,
    differs: bool,
    found: Option<u64>,
}

impl HeaderAgain {
    /// Sees the next bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                b'\r' => {}
                _ if !self.past_header => self.header.push(byte),
                _ if self.differs => {}
                _ if self.alike == 0 && UTF_8_MARK.get(self.marked) == Some(&byte) => self.marked += 1,
                _ if self.header.get(self.alike) == Some(&byte) => self.alike += 1,
                _ => self.differs = true,
            }
        }
    }

    fn end_line(&mut self) {
        self.line += 1;
        if self.past_header && !self.differs && self.alike == self.header.len() {
            self.found.get_or_insert(self.line);
        }
        // Blank lines before the header are passed over.
        self.past_header |= !self.header.is_empty();
        (self.marked, self.alike, self.differs) = (0, 0, false);
    }

    /// The line on which the first one is.
    pub(super) fn finish(mut self) -> Option<u64> {
        self.end_line();
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_the_header_again_is_found_however_the_text_is_cut() {
        for (text, expected) in [
            ("id,a\nk,1\nid,a\nk2,1\n", Some(3)),
            ("\nid,a\r\nk,1\r\n\u{feff}id,a\r\nid,a\r\n", Some(4)),
            ("id,a\nk,1\nid,a", Some(3)),
            ("id,a\nid,ab\nid,\n\u{feff}\nxid,a\n", None),
            ("id,a\n", None),
            ("", None),
        ] {
            for piece in [1, 3, 1000] {
                let mut again = HeaderAgain::default();
                text.as_bytes().chunks(piece).for_each(|bytes| again.take(bytes));
                assert_eq!(again.finish(), expected, "{text:?} in pieces of {piece}");
            }
        }
    }
}
