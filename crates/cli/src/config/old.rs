//! Finding renamed keys and values in a config file.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::words::{new_key, new_value};

/// A renamed key or value, where a config file uses its earlier name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {old} is now {new}: `config migrate OLD NEW` rewrites a file")]
pub struct OutdatedName {
    /// The line of its first use, from 1.
    line: usize,
    /// The path of the key, or of the list with the value beside it.
    old: String,
    /// The same with the new name.
    new: String,
    /// Where it stands in the text, quotes included.
    pub(crate) place: Range<usize>,
    /// What to write there.
    pub(crate) replacement: String,
}

/// Refuses a config file that uses an earlier name. A text that is not TOML is left to whoever parses it.
///
/// # Errors
/// The first such word, with its new name.
pub fn check_words(text: &str) -> Result<(), OutdatedName> {
    match DeTable::parse(text).ok().and_then(|root| first_in_table("", root.get_ref())) {
        Some(old) => Err(OutdatedName { line: text[..old.place.start].matches('\n').count() + 1, ..old }),
        None => Ok(()),
    }
}

/// The first earlier name in a table at `path`, or in what it holds.
pub(crate) fn first_in_table(path: &str, table: &DeTable<'_>) -> Option<OutdatedName> {
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        let inner = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
        if let Some(new) = new_key(path, name) {
            let renamed = if path.is_empty() { new.to_string() } else { format!("{path}.{new}") };
            return Some(OutdatedName {
                line: 0,
                old: inner,
                new: renamed,
                place: key.span(),
                replacement: new.to_string(),
            });
        }
        let found = match value.get_ref() {
            DeValue::Table(table) => first_in_table(&inner, table),
            DeValue::Array(values) => values.iter().find_map(|value| old_value(&inner, value)),
            _ => None,
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

fn old_value(list: &str, value: &Spanned<DeValue<'_>>) -> Option<OutdatedName> {
    let DeValue::String(word) = value.get_ref() else { return None };
    let new = new_value(list, word)?;
    Some(OutdatedName {
        line: 0,
        old: format!("\"{word}\" in {list}"),
        new: format!("\"{new}\""),
        place: value.span(),
        replacement: format!("\"{new}\""),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::words::{KEYS, VALUES};

    #[test]
    fn every_word_of_before_is_refused_with_its_new_name() {
        for key in KEYS {
            let text = if key.table.is_empty() {
                format!("{} = 1\n", key.old)
            } else {
                format!("[{}]\n{} = 1\n", key.table, key.old)
            };
            let error = check_words(&text).unwrap_err().to_string();
            let dot = if key.table.is_empty() { "" } else { "." };
            let (old, new) =
                (format!("{}{dot}{}", key.table, key.old), format!("{}{dot}{}", key.table, key.new));
            let line = if key.table.is_empty() { 1 } else { 2 };
            let expected =
                format!("line {line}: {old} is now {new}: `config migrate OLD NEW` rewrites a file");
            assert_eq!(error, expected);
        }
        for Values { list, words } in VALUES {
            let (table, name) = list.split_once('.').unwrap();
            for (old, new) in words {
                let error =
                    check_words(&format!("{table} = {{ {name} = [\"{old}\"] }}")).unwrap_err().to_string();
                assert!(
                    error.starts_with(&format!("line 1: \"{old}\" in {list} is now \"{new}\"")),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn the_same_name_elsewhere_is_no_word_of_before() {
        check_words("[run]\nwait = 1\nnulls = 2\n[columns.image]\nwait_s = 3\n[types]\nnulls = \"number\"\n")
            .unwrap();
        check_words("columns = [\"distance\", \"wait\"]\n[detectors]\nkinds = [\"pca\"]\n").unwrap();
        check_words("not = toml = at all").unwrap();
    }

    use crate::config::words::Values;
}
