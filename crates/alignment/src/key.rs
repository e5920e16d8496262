//! What a record's id is: one or several columns, normalised as agreed. This is the one place for it.

use hashvfl_core::Digest;
use hashvfl_core::records::composite_id::{join, split};
use unicode_normalization::UnicodeNormalization;

use crate::settings::{AlignmentSettings, Case, Unicode};

/// An id as all holders write it. `None` if a part is empty after normalisation: such a record has no id.
pub fn normalise(settings: &AlignmentSettings, id: &str) -> Option<String> {
    let parts = split(id, settings.key_columns)?;
    let parts: Vec<String> = parts.into_iter().map(|part| normalise_part(settings, part)).collect();
    if parts.iter().any(String::is_empty) {
        return None;
    }
    Some(join(&parts.iter().map(String::as_str).collect::<Vec<_>>()).into_owned())
}

fn normalise_part(settings: &AlignmentSettings, part: &str) -> String {
    let lowered = |part: &str| match settings.case {
        Case::Keep => part.to_owned(),
        Case::Lower => part.to_lowercase(),
    };
    // The form comes last: lower case may leave it.
    let part = match settings.unicode {
        Unicode::Keep => lowered(part),
        Unicode::Nfc => lowered(part).nfc().collect(),
        // Compatibility forms first, since they hide letters that have a case.
        Unicode::Nfkc => lowered(&part.nfkc().collect::<String>()).nfkc().collect(),
    };
    part.trim().to_owned()
}

/// The digest of a normalised id under the agreed settings. Records are ordered by it.
pub fn digest(settings: &Digest, key: &str) -> Digest {
    Digest::of_parts([settings.0.as_slice(), key.as_bytes()])
}

#[cfg(test)]
mod tests {
    use hashvfl_core::CanonicalId;
    use proptest::prelude::*;

    use super::*;

    fn settings(more: &str) -> AlignmentSettings {
        let text =
            format!("id = \"a\"\nholders = [\"x\", \"y\"]\ncomparer = \"y\"\nmost_records = 9\n{more}");
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn ids_that_mean_the_same_become_the_same() {
        let same = |more: &str, a: &str, b: &str| {
            let settings = settings(more);
            normalise(&settings, a) == normalise(&settings, b)
        };
        assert!(same("", " a ", "a") && same("key_columns = 2", "3: a 1:b", "1:a1:b"));
        assert!(!same("", "A", "a") && same("case = \"lower\"", "A", "a"));
        assert!(same("", "e\u{301}", "\u{e9}") && !same("unicode = \"keep\"", "e\u{301}", "\u{e9}"));
        assert!(!same("", "\u{ff21}", "A") && same("unicode = \"nfkc\"\ncase = \"lower\"", "\u{ff21}", "a"));
        assert!(same("key_columns = 2", "2: a1:b", "1:a1:b"));
        assert_eq!(normalise(&settings(""), "  "), None);
        assert_eq!(normalise(&settings("key_columns = 2"), "1:a0:"), None);
        assert_eq!(normalise(&settings("key_columns = 2"), "no parts"), None);
    }

    #[test]
    fn no_normalisation_of_a_letter_leads_to_another_account() {
        for case in ["keep", "lower"] {
            for unicode in ["keep", "nfc", "nfkc"] {
                let settings = settings(&format!("case = \"{case}\"\nunicode = \"{unicode}\""));
                for letter in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
                    let id = format!("Α{letter}");
                    let Some(once) = normalise(&settings, &id) else { continue };
                    assert_eq!(CanonicalId::of(&once, 1), CanonicalId::of(&id, 1), "{id:?} {case} {unicode}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn no_normalisation_leads_to_another_account(
            parts in prop::collection::vec("[ \t]{0,1}\\PC{1,8}[ ]{0,1}", 1..4),
            lower: bool,
            unicode in prop_oneof![Just("keep"), Just("nfc"), Just("nfkc")],
        ) {
            let (columns, case) = (parts.len(), if lower { "lower" } else { "keep" });
            let settings = settings(&format!(
                "case = \"{case}\"\nunicode = \"{unicode}\"\nkey_columns = {columns}"
            ));
            let id = join(&parts.iter().map(String::as_str).collect::<Vec<_>>()).into_owned();
            if let Some(once) = normalise(&settings, &id) {
                prop_assert_eq!(CanonicalId::of(&once, columns), CanonicalId::of(&id, columns));
            }
        }

        #[test]
        fn normalising_again_changes_nothing(id in ".{1,12}", lower: bool, nfkc: bool) {
            let case = if lower { "lower" } else { "keep" };
            let unicode = if nfkc { "nfkc" } else { "nfc" };
            let settings = settings(&format!("case = \"{case}\"\nunicode = \"{unicode}\""));
            if let Some(once) = normalise(&settings, &id) {
                prop_assert_eq!(normalise(&settings, &once), Some(once));
            }
        }
    }
}
