//! The one spelling under which a record is known to ledger and flips, however its id is written.
//!
//! It is coarser than every normalisation that an alignment may agree on (`alignment::key`), so that a record has one
//! account and one budget whatever table, alignment or spelling it comes by.

use std::collections::HashSet;

use unicode_normalization::UnicodeNormalization;

use crate::records::composite_id::{join, split};
use crate::text::folded;

/// An id in its canonical spelling. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CanonicalId(String);

impl CanonicalId {
    /// The canonical spelling of `id`, which is of so many key columns: each part compatibility-composed (NFKC), in lower
    /// case, composed again, and without white space around it. A text that is no id of so many parts is one part.
    pub fn of(id: &str, key_columns: usize) -> Self {
        let parts = split(id, key_columns).unwrap_or_else(|| vec![id]);
        let parts: Vec<String> = parts.into_iter().map(canonical).collect();
        Self(join(&parts.iter().map(String::as_str).collect::<Vec<_>>()).into_owned())
    }

    /// The spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for CanonicalId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CanonicalId(..)")
    }
}

fn canonical(part: &str) -> String {
    // Compatibility forms first, since they hide letters that have a case; composed again, since lower case may leave the
    // form.
    let lowered = part.nfkc().collect::<String>().to_lowercase();
    // Which small sigma stands for a capital one depends on the letters around it: both are one.
    let composed: String = lowered.replace('ς', "σ").nfkc().collect();
    composed.trim().to_owned()
}

/// The ids of a table, as they are written there.
#[derive(Clone, Copy)]
pub struct TableIds<'a> {
    /// Of each record, in row order.
    pub ids: &'a [String],
    /// Columns that make up an id.
    pub key_columns: usize,
}

impl<'a> TableIds<'a> {
    /// The canonical ids, in row order.
    pub fn canonical(self) -> impl ExactSizeIterator<Item = CanonicalId> + 'a {
        self.ids.iter().map(move |id| CanonicalId::of(id, self.key_columns))
    }

    /// Records whose id differs from that of a record before them only in its spelling.
    pub fn respelt(self) -> usize {
        let distinct: HashSet<CanonicalId> = self.canonical().collect();
        self.ids.len() - distinct.len()
    }

    /// Ids that look like another one and are not its spelling: they differ in how much white space stands within them, or in
    /// characters that do not show.
    pub fn look_alike(self) -> usize {
        let distinct: HashSet<CanonicalId> = self.canonical().collect();
        let shown = |id: &CanonicalId| {
            let parts = split(id.as_str(), self.key_columns).unwrap_or_else(|| vec![id.as_str()]);
            parts.into_iter().map(folded).collect::<Vec<_>>()
        };
        distinct.len() - distinct.iter().map(shown).collect::<HashSet<_>>().len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(id: &str) -> CanonicalId {
        CanonicalId::of(id, 1)
    }

    #[test]
    fn spellings_of_an_id_are_one_and_other_ids_are_others() {
        for respelt in ["r7", " R7 ", "\u{ff32}7", "r\u{2077}", "\tr7\n"] {
            assert_eq!(of(respelt), of("r7"), "{respelt:?}");
        }
        assert_eq!(of("ΟΔΟΣ"), of("οδος"));
        assert_eq!(of("e\u{301}"), of("É"));
        assert_ne!(of("r7"), of("r 7"));
        assert_ne!(of("r7"), of("r07"));
        assert_eq!(format!("{:?}", of("r7")), "CanonicalId(..)");
    }

    #[test]
    fn parts_of_an_id_are_spelt_one_by_one() {
        assert_eq!(CanonicalId::of("3: A 1:B", 2).as_str(), "1:a1:b");
        assert_eq!(CanonicalId::of("no parts", 2).as_str(), "no parts");
        assert_ne!(CanonicalId::of("1:a2:bc", 2), CanonicalId::of("2:ab1:c", 2));
    }

    #[test]
    fn rows_that_share_an_account_are_counted() {
        let ids = ["a", "A", "b", "a ", "c"].map(String::from);
        assert_eq!(TableIds { ids: &ids, key_columns: 1 }.respelt(), 2);
    }

    #[test]
    fn ids_that_look_alike_are_counted() {
        let of = |ids: &[&str], key_columns| {
            let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
            TableIds { ids: &ids, key_columns }.look_alike()
        };
        assert_eq!(of(&["r7", "r\u{200b}7", "R7", "r 7", "r  7", "\u{ad}r7"], 1), 3);
        assert_eq!(of(&["1:a1:b", "4:a\u{200b}1:b", "2:ab0:"], 2), 1);
        assert_eq!(of(&["a", "b"], 1), 0);
    }

    #[test]
    fn each_letter_is_the_same_in_either_case_and_in_every_form() {
        for letter in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let text = letter.to_string();
            let once = of(&text);
            assert_eq!(of(once.as_str()), once, "{letter:?} again");
            assert_eq!(of(&text.to_lowercase()), once, "{letter:?} in lower case");
            for form in [text.nfc().collect::<String>(), text.nfkc().collect(), text.nfd().collect()] {
                assert_eq!(of(&form), once, "{letter:?} composed");
            }
        }
    }

    proptest! {
        #[test]
        fn respelling_again_changes_nothing(id in "\\PC{0,12}", columns in 1_usize..3) {
            let once = CanonicalId::of(&id, columns);
            prop_assert_eq!(CanonicalId::of(once.as_str(), columns), once);
        }
    }
}
