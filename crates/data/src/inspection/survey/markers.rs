//! Texts of one file that may stand for a missing value.

use crate::missing::{is_marked, stands_for_missing};

/// Usual ones that one file may have, at most; what comes after them is a text like others.
const MOST: usize = 64;

/// Those that the table's owner named, and then the usual ones in the order and the spelling in which they came.
pub(super) struct Markers {
    texts: Vec<String>,
    asked: usize,
}

impl Markers {
    pub(super) fn new(null_values: &[String]) -> Self {
        Self { texts: null_values.to_vec(), asked: null_values.len() }
    }

    /// Whether the table's owner named the marker at `at`.
    pub(super) fn is_asked(&self, at: usize) -> bool {
        at < self.asked
    }

    /// How many there are so far.
    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    /// The place of the marker that a cell's text is. A number is one where its owner says so.
    pub(super) fn find(&mut self, text: &str, is_number: bool) -> Option<usize> {
        let (asked, usual) = self.texts.split_at(self.asked);
        let found = asked.iter().position(|marker| is_marked(marker, text));
        if found.is_some() || is_number || !stands_for_missing(text) {
            return found;
        }
        if let Some(at) = usual.iter().position(|marker| marker == text) {
            return Some(self.asked + at);
        }
        if usual.len() == MOST {
            return None;
        }
        self.texts.push(text.to_owned());
        Some(self.texts.len() - 1)
    }

    /// Those that `used` says.
    pub(super) fn into_used(self, used: &[bool]) -> Vec<String> {
        self.texts.into_iter().zip(used).filter(|(_, used)| **used).map(|(text, _)| text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_those_asked_for_and_usual_ones_as_they_are_written() {
        let mut markers = Markers::new(&["-9".to_owned(), "see file".to_owned()]);
        for (text, is_number, expected) in [
            ("-9.0", true, Some(0)),
            ("7", true, None),
            ("NAN", false, Some(2)),
            ("see file", false, Some(1)),
            ("nan", false, Some(3)),
            ("NAN", false, Some(2)),
            ("clerk", false, None),
        ] {
            assert_eq!(markers.find(text, is_number), expected, "{text}");
        }
        assert!(markers.is_asked(1) && !markers.is_asked(2) && markers.len() == 4);
        assert_eq!(markers.into_used(&[true, false, false, true]), ["-9", "nan"]);
    }

    #[test]
    fn a_file_cannot_make_up_markers_without_end() {
        let mut markers = Markers::new(&[]);
        let found = (0..1000).filter(|at| markers.find(&format!("nan({at})"), false).is_some()).count();
        assert_eq!((found, markers.len()), (MOST, MOST));
    }
}
