//! Objects of a query's JSON tables that are not read as they are written: the engine rounds numbers of many digits, and of a
//! key that comes twice it takes the last value.

use std::collections::{BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::cells::is_long_number;

/// Bytes of a key or a value that are looked at.
const MOST_BYTES: usize = 1024;

/// Looks at the keys and numbers of each object, of text that passes in pieces and is checked beside.
#[derive(Default)]
pub(super) struct Objects {
    depth: usize,
    in_text: bool,
    escaped: bool,
    /// Whether what comes in the object itself is a value.
    is_value: bool,
    key: Vec<u8>,
    value: Vec<u8>,
    /// Hashes of this object's keys.
    keys: HashSet<u64>,
    line: u64,
    long: BTreeSet<Vec<u8>>,
    repeats: Option<u64>,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ObjectFindings {
    /// Keys with numbers of more digits than 64 bits of a float hold.
    pub(super) long: BTreeSet<String>,
    /// The line on which the first object is that has a key twice.
    pub(super) repeats: Option<u64>,
}

impl Objects {
    /// Sees the next bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.line += u64::from(byte == b'\n');
            if self.in_text {
                self.take_text(byte);
            } else {
                self.take_outside(byte);
            }
        }
    }

    fn take_text(&mut self, byte: u8) {
        if byte == b'"' && !self.escaped {
            self.in_text = false;
            if self.depth == 1 && !self.is_value {
                self.end_key();
            }
            return;
        }
        self.escaped = byte == b'\\' && !self.escaped;
        if self.depth == 1 && !self.is_value && self.key.len() < MOST_BYTES {
            self.key.push(byte);
        }
    }

    fn take_outside(&mut self, byte: u8) {
        match byte {
            b'"' => {
                (self.in_text, self.escaped) = (true, false);
                if self.depth == 1 && !self.is_value {
                    self.key.clear();
                }
            }
            b'{' | b'[' => {
                self.depth += 1;
                if self.depth == 1 {
                    self.is_value = false;
                    self.keys.clear();
                }
            }
            b'}' | b']' => {
                self.end_value();
                self.depth = self.depth.saturating_sub(1);
            }
            b':' if self.depth == 1 => self.is_value = true,
            b',' if self.depth == 1 => {
                self.end_value();
                self.is_value = false;
            }
            _ if self.depth == 1 && self.is_value && self.value.len() < MOST_BYTES => self.value.push(byte),
            _ => {}
        }
    }

    fn end_key(&mut self) {
        let mut hasher = DefaultHasher::new();
        self.key.hash(&mut hasher);
        if !self.keys.insert(hasher.finish()) {
            self.repeats.get_or_insert(self.line + 1);
        }
    }

    fn end_value(&mut self) {
        if self.depth == 1 && is_long_number(self.value.trim_ascii()) {
            self.long.insert(self.key.clone());
        }
        self.value.clear();
    }

    pub(super) fn finish(self) -> ObjectFindings {
        // As the engine writes them.
        let name = |key: Vec<u8>| {
            let key = String::from_utf8_lossy(&key).into_owned();
            serde_json::from_str(&format!("\"{key}\"")).unwrap_or(key)
        };
        ObjectFindings { long: self.long.into_iter().map(name).collect(), repeats: self.repeats }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, piece: usize) -> ObjectFindings {
        let mut objects = Objects::default();
        text.as_bytes().chunks(piece).for_each(|bytes| objects.take(bytes));
        objects.finish()
    }

    #[test]
    fn long_numbers_are_found_by_key_however_the_text_is_cut() {
        let text = "{\"a\": 18446744073709551615, \"b\": 0.5, \"c\\\"\\u00e9\":9007199254740993}\n\
                    {\"d\": \"18446744073709551615\", \"e\": 9007199254740992, \"f\": {\"g\": 9007199254740993},\n \
                    \"h\": [9007199254740993, 1], \"i\": -10000000000000000000.50 }\n";
        for piece in [1, 5, 1000] {
            let found = found(text, piece);
            assert_eq!(found.long.iter().map(String::as_str).collect::<Vec<_>>(), ["a", "c\"é", "i"]);
            assert_eq!(found.repeats, None);
        }
    }

    #[test]
    fn a_key_that_comes_twice_in_one_object_is_placed() {
        for (text, expected) in [
            ("{\"a\": 1}\n{\"a\": 1, \"b\": 2, \"a\": 3}\n", Some(2)),
            (
                "{\"a\": {\"a\": 1}, \"b\": [{\"a\": 2}, {\"a\": 3}]}\n{\"a\": \"a\", \"b\": \"\\\"a\\\"\"}\n",
                None,
            ),
            ("{\"a\": \"x\\\\\", \"a\": 2}", Some(1)),
            ("", None),
        ] {
            for piece in [1, 1000] {
                assert_eq!(found(text, piece).repeats, expected, "{text}");
            }
        }
    }
}
